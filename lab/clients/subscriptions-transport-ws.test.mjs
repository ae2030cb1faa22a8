// subscriptions-transport-ws, the older protocol, with which GraphQL Playground and old Apollo clients come.
import assert from "node:assert/strict";
import { test } from "node:test";
import { SubscriptionClient } from "subscriptions-transport-ws";
import WebSocket from "ws";
import { JOURNEY, STATUS, Seen, WS, bearer, journey, move, place, resuming } from "./shop.mjs";

function connect(options = {}) {
  return new SubscriptionClient(WS, { reconnect: true, timeout: 30_000, connectionParams: () => bearer(), ...options }, WebSocket);
}

test("an order is watched from its creation to its delivery", async () => {
  const client = connect();
  const orderId = await place();
  const seen = new Seen();
  const { unsubscribe } = client
    .request({ query: STATUS, variables: { orderId } })
    .subscribe({ next: seen.next, error: seen.error });
  await journey(orderId, seen);
  unsubscribe();
  client.close();
});

test("it subscribes again by itself when its connection is lost, and misses nothing after its cursor", async () => {
  const client = connect({ inactivityTimeout: 0 });
  const orderId = await place();
  const seen = new Seen();
  const payload = resuming(orderId, seen);
  client.request(payload).subscribe({ next: seen.next, error: seen.error });
  await seen.status("CONFIRMED");
  const again = new Promise((resolve) => client.onReconnected(resolve));
  client.client.terminate();
  await move(orderId, "PAID");
  await move(orderId, "PROCESSING");
  await again;
  await move(orderId, "SHIPPED");
  await move(orderId, "DELIVERED");
  await seen.status("DELIVERED");
  seen.check();
  assert.equal(seen.last.version, JOURNEY.length);
  client.close();
});

test("queries and refusals come over the same socket", async () => {
  const client = connect();
  const orderId = await place();
  const answer = await new Promise((resolve, reject) =>
    client.request({ query: "{ __typename }" }).subscribe({ next: resolve, error: reject }),
  );
  assert.deepEqual(answer.data, { __typename: "Query" });
  const seen = new Seen();
  client
    .request({ query: STATUS, variables: { orderId, after: "no cursor" } })
    .subscribe({ next: seen.next, error: seen.error });
  await seen.until("an error", () => seen.errors.length > 0);
  assert.equal(seen.errors[0].extensions?.code ?? seen.errors[0].code, "INVALID_CURSOR", JSON.stringify(seen.errors));
  client.close();
});

test("without a token in connectionParams its socket is closed with 4403", async () => {
  for (const connectionParams of [{}, bearer("nonsense")]) {
    const client = connect({ connectionParams, reconnect: false });
    // The library does not pass the code on.
    const code = await new Promise((resolve) => client.client.once("close", resolve));
    assert.equal(code, 4403);
    client.close();
  }
});
