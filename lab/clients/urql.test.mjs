// urql: queries and mutations by fetch, subscriptions by graphql-ws and by graphql-sse.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { createClient as createSse } from "graphql-sse";
import { createClient as createWs } from "graphql-ws";
import { pipe, subscribe } from "wonka";
import WebSocket from "ws";
import { CREATE_ORDER, HTTP, STATUS, STREAM, Seen, WS, basket, bearer, journey } from "./shop.mjs";

// urql aborts its request when it has the answer, which Node reports as a rejection that nobody handles if the body is
// still being read: here it is read before urql has it.
async function whole(url, { signal, ...options }) {
  const response = await fetch(url, options);
  return new Response(await response.text(), response);
}

const transports = {
  "graphql-ws": () => createWs({ url: WS, webSocketImpl: WebSocket, connectionParams: () => bearer() }),
  "graphql-sse": () => createSse({ url: HTTP, headers: () => bearer() }),
  "graphql-sse over a single connection": () => createSse({ url: STREAM, singleConnection: true, headers: () => bearer() }),
};

/** Subscriptions by a client that takes a sink. */
const subscriptions = (transport) =>
  subscriptionExchange({
    forwardSubscription: ({ query, variables }) => ({
      subscribe: (sink) => ({ unsubscribe: transport.subscribe({ query, variables }, sink) }),
    }),
  });

for (const [name, create] of Object.entries(transports))
  test(`an order is placed and watched, with ${name}`, async () => {
    const transport = create();
    const urql = new Client({
      url: HTTP,
      fetch: whole,
      fetchOptions: () => ({ headers: bearer() }),
      preferGetMethod: false,
      exchanges: [fetchExchange, subscriptions(transport)],
    });
    const placed = await urql.mutation(CREATE_ORDER, { input: await basket() }).toPromise();
    assert.equal(placed.error, undefined);
    const orderId = placed.data.createOrder.order.id;
    const seen = new Seen();
    const { unsubscribe } = pipe(
      urql.subscription(STATUS, { orderId }),
      subscribe(({ data, error }) => (error ? seen.error(error) : seen.next({ data }))),
    );
    await journey(orderId, seen);
    const asked = await urql.query("query($id: ID!) { order(id: $id, minVersion: 6) { status } }", { id: orderId }).toPromise();
    assert.equal(asked.data.order.status, "DELIVERED");
    unsubscribe();
    await transport.dispose();
  });

test("what the server refuses is urql's error", async () => {
  const urql = new Client({
    url: HTTP,
    fetch: whole,
    fetchOptions: () => ({ headers: bearer() }),
    preferGetMethod: false,
    exchanges: [fetchExchange],
  });
  const answer = await urql.query("query($id: ID!) { order(id: $id, at: \"2001-01-01T00:00:00Z\") { id } nothing }", { id: "order_1" }).toPromise();
  assert.match(answer.error.message, /nothing/);
});

test("without a token a request is answered with 401, and the socket closed with 4403", async () => {
  const socket = createWs({ url: WS, webSocketImpl: WebSocket, retryAttempts: 0 });
  const urql = new Client({ url: HTTP, fetch: whole, preferGetMethod: false, exchanges: [fetchExchange, subscriptions(socket)] });
  const { error, data } = await urql.query("{ products(first: 1) { edges { node { id } } } }", {}).toPromise();
  assert.deepEqual([data, error.response.status], [undefined, 401]);
  assert.equal(error.graphQLErrors[0].extensions.code, "UNAUTHENTICATED");
  const closed = await new Promise((resolve) => pipe(urql.subscription(STATUS, { orderId: "order_none" }), subscribe(resolve)));
  assert.equal(closed.error.networkError.code, 4403);
  await socket.dispose();
});
