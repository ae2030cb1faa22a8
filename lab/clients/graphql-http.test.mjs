// What the specification of GraphQL over HTTP asks of a server, by the suite of `graphql-http`: MUST, SHOULD and MAY.
import assert from "node:assert/strict";
import { test } from "node:test";
import { serverAudits } from "graphql-http";
import { HTTP } from "./shop.mjs";

const audits = serverAudits({ url: HTTP });

test("the suite has not lost its audits", () => assert.ok(audits.length >= 60, `${audits.length} audits`));

for (const { name, fn } of audits) {
  test(name, async () => {
    const { status, reason } = await fn();
    assert.equal(status, "ok", reason);
  });
}
