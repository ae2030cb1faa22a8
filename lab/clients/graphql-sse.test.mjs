// graphql-sse in both of its modes, a browser's EventSource, and curl.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { EventSource } from "eventsource";
import { createClient } from "graphql-sse";
import { HTTP, STATUS, STREAM, Seen, Way, absence, bearer, journey, move, place, resuming, shown, subscribe } from "./shop.mjs";

/** A fetch whose connections can be lost: `lose` breaks those that are open. */
function network() {
  const open = new Set();
  return {
    lose: () => open.forEach((connection) => connection.abort()),
    fetch: (url, options) => {
      const connection = new AbortController();
      open.add(connection);
      options.signal?.addEventListener("abort", () => connection.abort());
      return fetch(url, { ...options, signal: connection.signal });
    },
  };
}

for (const [mode, options] of [
  ["distinct connections", { url: HTTP, headers: () => bearer() }],
  ["a single connection", { url: STREAM, singleConnection: true, headers: () => bearer() }],
]) {
  test(`over ${mode} an order is watched from its creation to its delivery`, async () => {
    const client = createClient(options);
    const orderId = await place();
    const seen = new Seen();
    const { stop, over } = subscribe(client, { query: STATUS, variables: { orderId } }, seen);
    await journey(orderId, seen);
    stop();
    assert.equal(await over, "complete");
    client.dispose();
  });

  test(`over ${mode} what was missed comes first, in order and once`, async () => {
    const [net, way] = [network(), new Way()];
    const client = createClient({ ...options, fetchFn: net.fetch, retry: way.wait });
    const orderId = await place();
    const seen = new Seen();
    const { stop } = subscribe(client, resuming(orderId, seen), seen);
    await absence(orderId, seen, way, net.lose);
    stop();
    client.dispose();
  });

  test(`over ${mode} one that fails ends alone`, async () => {
    const client = createClient(options);
    const orders = await Promise.all([place(), place(), place()]);
    const watched = orders.map((orderId) => {
      const seen = new Seen();
      return { orderId, seen, ...subscribe(client, { query: STATUS, variables: { orderId } }, seen) };
    });
    const refused = new Seen();
    const bad = subscribe(client, { query: STATUS, variables: { orderId: orders[0], after: "no cursor" } }, refused);
    await bad.over;
    assert.equal(refused.errors[0].extensions.code, "INVALID_CURSOR");
    for await (const answer of client.iterate({
      query: "query($id: ID!) { order(id: $id, minVersion: 1) { id } }",
      variables: { id: orders[0] },
    }))
      assert.equal(answer.data.order.id, orders[0]);
    await Promise.all(watched.map(({ orderId, seen }) => journey(orderId, seen)));
    for (const { stop } of watched) stop();
    client.dispose();
  });
}

test("over distinct connections the answer is 401 without a token in its headers", async () => {
  const client = createClient({ url: HTTP, retryAttempts: 0 });
  const seen = new Seen();
  const { over } = subscribe(client, { query: STATUS, variables: { orderId: await place() } }, seen);
  assert.equal(await over, "error");
  const { response } = seen.errors[0];
  assert.equal(response.status, 401);
  assert.equal((await response.json()).errors[0].extensions.code, "UNAUTHENTICATED");
  client.dispose();
});

// The client rejects a promise of its own besides, which nobody can catch.
test("a single connection is not reserved without a token in its headers", async () => {
  const answer = await fetch(STREAM, { method: "PUT" });
  assert.equal(answer.status, 401);
  assert.equal((await answer.json()).errors[0].extensions.code, "UNAUTHENTICATED");
});

/** The address of a subscription for clients that can only GET. */
function address(orderId) {
  const url = new URL(HTTP);
  url.searchParams.set("query", STATUS);
  url.searchParams.set("variables", JSON.stringify({ orderId }));
  return url.href;
}

test("an EventSource with a fetch that says who it is goes on where it was when its connection is lost", async () => {
  const orderId = await place();
  const seen = new Seen();
  const way = new Way();
  let connection;
  const source = new EventSource(address(orderId), {
    fetch: async (url, options) => {
      await way.wait();
      connection = new AbortController();
      const response = await fetch(url, { ...options, headers: { ...options.headers, ...bearer() } });
      // What is lost ends as a broken body does, not as one that the client gave up.
      const body = response.body.pipeThrough(new TransformStream(), { signal: connection.signal });
      return new Response(body, { status: response.status, headers: response.headers });
    },
  });
  source.addEventListener("next", ({ data }) => seen.next(JSON.parse(data)));
  await absence(orderId, seen, way, () => connection.abort(new TypeError("network lost")));
  source.close();
});

test("an EventSource without a token, as a browser has it, is refused and does not come back", async () => {
  const source = new EventSource(address(await place()));
  const error = await new Promise((resolve) => source.addEventListener("error", resolve));
  assert.deepEqual([error.code, source.readyState], [401, EventSource.CLOSED]);
});

test("curl -N is enough, and its -H Last-Event-ID goes on", async () => {
  const orderId = await place();
  const follow = (headers, until) =>
    new Promise((resolve, reject) => {
      const says = ["-H", "accept: text/event-stream", "-H", `authorization: ${bearer().authorization}`, ...headers];
      const curl = spawn("curl", ["-sN", "--noproxy", "*", ...says, address(orderId)]);
      const items = [];
      let id;
      createInterface({ input: curl.stdout }).on("line", (line) => {
        if (line.startsWith("id: ")) id = line.slice(4);
        if (!line.startsWith("data: {")) return;
        items.push(JSON.parse(line.slice(6)).data.orderStatusChanged);
        if (items.at(-1).status === until) curl.kill(), resolve({ items, id });
      });
      curl.on("error", reject);
    });
  const first = await follow([], "CONFIRMED");
  await move(orderId, "PAID");
  await move(orderId, "PROCESSING");
  await shown(orderId, 4);
  const second = await follow(["-H", `last-event-id: ${first.id}`], "PROCESSING");
  assert.deepEqual(
    second.items.map((item) => [item.kind, item.status]),
    [
      ["MISSED", "PAID"],
      ["MISSED", "PROCESSING"],
    ],
  );
});

test("curl without a token is told 401", async () => {
  const orderId = await place();
  const curl = spawn("curl", ["-sN", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}", address(orderId)]);
  assert.equal((await curl.stdout.toArray()).join(""), "401");
});
