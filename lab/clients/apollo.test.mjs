// Apollo Client: queries and mutations over HTTP, subscriptions over a WebSocket, one cache.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client/core";
import { SetContextLink } from "@apollo/client/link/context";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { OperationTypeNode } from "graphql";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { CREATE_ORDER, HTTP, STATUS, Seen, WS, basket, bearer, journey } from "./shop.mjs";

test("a page places an order, watches it, and its cache is up to date", async () => {
  const socket = createClient({ url: WS, webSocketImpl: WebSocket, connectionParams: () => bearer() });
  const apollo = new ApolloClient({
    cache: new InMemoryCache(),
    link: ApolloLink.split(
      ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
      new GraphQLWsLink(socket),
      new SetContextLink(({ headers }) => ({ headers: { ...headers, ...bearer() } })).concat(new HttpLink({ uri: HTTP })),
    ),
  });
  const { data } = await apollo.mutate({ mutation: gql(CREATE_ORDER), variables: { input: await basket() } });
  assert.deepEqual(data.createOrder.errors, []);
  const orderId = data.createOrder.order.id;

  const seen = new Seen();
  const subscription = apollo
    .subscribe({ query: gql(STATUS), variables: { orderId } })
    .subscribe({ next: ({ data, error }) => (error ? seen.error(error) : seen.next({ data })), error: seen.error });
  await journey(orderId, seen);

  // The subscription's items carry the order: the cache has its last version without another request.
  const cached = apollo.cache.readFragment({
    id: `Order:${orderId}`,
    fragment: gql("fragment Standing on Order { version status }"),
  });
  assert.deepEqual([cached.version, cached.status], [6, "DELIVERED"]);
  const { data: asked } = await apollo.query({
    query: gql("query($id: ID!) { order(id: $id, minVersion: 6) { id version status } }"),
    variables: { id: orderId },
    fetchPolicy: "network-only",
  });
  assert.equal(asked.order.status, "DELIVERED");
  subscription.unsubscribe();
  apollo.stop();
  await socket.dispose();
});

test("what the server refuses is an error of the operation", async () => {
  const socket = createClient({ url: WS, webSocketImpl: WebSocket, connectionParams: () => bearer() });
  const apollo = new ApolloClient({ cache: new InMemoryCache(), link: new GraphQLWsLink(socket) });
  const seen = new Seen();
  apollo
    .subscribe({ query: gql(STATUS), variables: { orderId: "order_none" } })
    .subscribe({ next: ({ error }) => error && seen.error(error), error: seen.error });
  await seen.until("an error", () => seen.errors.length > 0);
  assert.ok(seen.errors[0].message, JSON.stringify(seen.errors));
  apollo.stop();
  await socket.dispose();
});

test("without a token a request is answered with 401, and the socket closed with 4403", async () => {
  const http = new ApolloClient({ cache: new InMemoryCache(), link: new HttpLink({ uri: HTTP }) });
  const query = gql("{ products(first: 1) { edges { node { id } } } }");
  await assert.rejects(http.query({ query }), ({ statusCode, bodyText }) => {
    assert.equal(JSON.parse(bodyText).errors[0].extensions.code, "UNAUTHENTICATED");
    return statusCode === 401;
  });
  // One request may say who it is by itself.
  const { data } = await http.query({ query, context: { headers: bearer() } });
  assert.ok(data.products.edges);
  http.stop();

  const socket = createClient({ url: WS, webSocketImpl: WebSocket, retryAttempts: 0 });
  const apollo = new ApolloClient({ cache: new InMemoryCache(), link: new GraphQLWsLink(socket) });
  const seen = new Seen();
  apollo
    .subscribe({ query: gql(STATUS), variables: { orderId: "order_none" } })
    .subscribe({ next: ({ error }) => error && seen.error(error), error: seen.error });
  await seen.until("an error", () => seen.errors.length > 0);
  assert.match(seen.errors[0].message, /4403/);
  apollo.stop();
  await socket.dispose();
});
