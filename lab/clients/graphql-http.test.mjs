// What the specification of GraphQL over HTTP asks of a server, by the suite of `graphql-http`: MUST, SHOULD and MAY.
import assert from "node:assert/strict";
import { test } from "node:test";
import { serverAudits } from "graphql-http";
import { HTTP, bearer } from "./shop.mjs";

const audits = serverAudits({
  url: HTTP,
  fetchFn: (url, options) => fetch(url, { ...options, headers: { ...options?.headers, ...bearer() } }),
});

test("the suite has not lost its audits", () => assert.ok(audits.length >= 60, `${audits.length} audits`));

test("without a token the answer is 401, and its error says why", async () => {
  const body = JSON.stringify({ query: "{ __typename }" });
  for (const authorization of [{}, bearer("nonsense")]) {
    const headers = { "content-type": "application/json", ...authorization };
    const response = await fetch(HTTP, { method: "POST", headers, body });
    assert.equal(response.status, 401);
    const { data, errors } = await response.json();
    assert.deepEqual([data, errors[0].extensions.code], [undefined, "UNAUTHENTICATED"]);
  }
});

for (const { name, fn } of audits) {
  test(name, async () => {
    const { status, reason } = await fn();
    assert.equal(status, "ok", reason);
  });
}
