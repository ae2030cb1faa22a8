// graphql-ws, which Apollo Client, urql, Relay and GraphiQL use for WebSockets.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { STATUS, Seen, WS, Way, absence, ask, basket, bearer, journey, move, place, resuming, subscribe, tokenOf } from "./shop.mjs";

function connect(options) {
  return createClient({ url: WS, webSocketImpl: WebSocket, connectionParams: () => bearer(), ...options });
}

test("an order is watched from its creation to its delivery", async () => {
  const client = connect();
  const orderId = await place();
  const seen = new Seen();
  const { stop, over } = subscribe(client, { query: STATUS, variables: { orderId } }, seen);
  await journey(orderId, seen);
  stop();
  assert.equal(await over, "complete");
  await client.dispose();
});

test("what was missed while the network was away comes first, in order and once", async () => {
  const sockets = [];
  const way = new Way();
  let closed;
  const isClosed = new Promise((resolve) => (closed = resolve));
  const client = connect({
    on: { opened: (socket) => sockets.push(socket), closed: () => closed() },
    retryWait: way.wait,
    shouldRetry: () => true,
  });
  const orderId = await place();
  const seen = new Seen();
  const { stop } = subscribe(client, resuming(orderId, seen), seen);
  await absence(orderId, seen, way, () => (sockets[0].terminate(), isClosed));
  assert.equal(sockets.length, 2);
  stop();
  await client.dispose();
});

test("one socket carries many subscriptions, a query and a mutation, and one that fails ends alone", async () => {
  const sockets = [];
  const client = connect({ on: { opened: (socket) => sockets.push(socket) } });
  const orders = await Promise.all(Array.from({ length: 10 }, () => place()));
  const watched = orders.map((orderId) => {
    const seen = new Seen();
    return { orderId, seen, ...subscribe(client, { query: STATUS, variables: { orderId } }, seen) };
  });
  const refused = new Seen();
  const bad = subscribe(client, { query: "subscription { nothingOfThatName }" }, refused);
  assert.equal(await bad.over, "error");
  assert.match(refused.errors[0].message, /nothingOfThatName/);
  const cursor = new Seen();
  const lost = subscribe(client, { query: STATUS, variables: { orderId: orders[0], after: "no cursor" } }, cursor);
  await lost.over;
  assert.equal(cursor.errors[0].extensions.code, "INVALID_CURSOR");

  for await (const answer of client.iterate({
    query: "query($id: ID!) { order(id: $id, minVersion: 1) { id } }",
    variables: { id: orders[0] },
  }))
    assert.equal(answer.data.order.id, orders[0]);
  await watched[0].seen.status("CONFIRMED");
  for await (const answer of client.iterate({
    query: "mutation($input: CancelOrderInput!) { cancelOrder(input: $input) { order { status } errors { code } } }",
    variables: { input: { orderId: orders[0] } },
  }))
    assert.equal(answer.data.cancelOrder.order.status, "CANCELED");
  await watched[0].seen.status("CANCELED");
  await Promise.all(watched.slice(1).map(({ orderId, seen }) => journey(orderId, seen)));
  assert.equal(sockets.length, 1);
  for (const { stop } of watched) stop();
  await client.dispose();
});

test("what is stopped is told no more", async () => {
  const client = connect();
  const orderId = await place();
  const [stays, goes] = [new Seen(), new Seen()];
  const payload = { query: STATUS, variables: { orderId } };
  const one = subscribe(client, payload, stays);
  const other = subscribe(client, payload, goes);
  await Promise.all([stays.status("CONFIRMED"), goes.status("CONFIRMED")]);
  other.stop();
  await other.over;
  const before = goes.items.length;
  await move(orderId, "PAID");
  await stays.status("PAID");
  assert.equal(goes.items.length, before);
  one.stop();
  await client.dispose();
});

test("a feed of many orders goes on after its cursor", async () => {
  const feed = `subscription($after: String) {
    orderUpdates(after: $after) { kind cursor change { orderId version status } }
  }`;
  const told = [];
  const client = connect();
  const follow = (after, until) =>
    new Promise((resolve, reject) => {
      const stop = client.subscribe(
        { query: feed, variables: { after } },
        {
          next: ({ data, errors }) => {
            if (errors) return reject(new Error(JSON.stringify(errors)));
            told.push(data.orderUpdates);
            if (until(data.orderUpdates)) stop(), resolve(data.orderUpdates.cursor);
          },
          error: reject,
          complete: () => {},
        },
      );
    });
  const from = await follow(null, (item) => item.kind === "BEGIN");
  const orderId = await place();
  const confirmed = (item) => item.change?.orderId === orderId && item.change.status === "CONFIRMED";
  const cursor = await follow(from, confirmed);
  await move(orderId, "PAID");
  await follow(cursor, (item) => item.change?.orderId === orderId && item.change.status === "PAID");
  const versions = told.filter((item) => item.change?.orderId === orderId).map((item) => item.change.version);
  assert.deepEqual([...new Set(versions)], [1, 2, 3]);
  await client.dispose();
});

test("the level of a product is told, first as it is", async () => {
  const { createProduct } = await ask(
    "mutation($input: CreateProductInput!) { createProduct(input: $input) { product { id } } }",
    { input: { name: "A pot", price: { amount: "9.00", currencyCode: "EUR" }, stock: 7 } },
  );
  const productId = createProduct.product.id;
  const client = connect();
  const levels = client.iterate({
    query: "subscription($productId: ID!) { stockLevelChanged(productId: $productId) { kind stock { available } } }",
    variables: { productId },
  });
  const first = (await levels.next()).value.data.stockLevelChanged;
  assert.deepEqual([first.kind, first.stock.available], ["SNAPSHOT", 7]);
  await ask(
    "mutation($input: AdjustStockInput!) { adjustStock(input: $input) { errors { code } } }",
    { input: { productId, delta: 5, reason: "RECEIVED" } },
  );
  const second = (await levels.next()).value.data.stockLevelChanged;
  assert.deepEqual([second.kind, second.stock.available], ["LIVE", 12]);
  await levels.return();
  await client.dispose();
});

test("without a token in connectionParams the socket is closed with 4403", async () => {
  for (const connectionParams of [undefined, bearer("nonsense")]) {
    const client = connect({ connectionParams, retryAttempts: 0 });
    const seen = new Seen();
    const { over } = subscribe(client, { query: STATUS, variables: { orderId: await place() } }, seen);
    assert.equal(await over, "error");
    assert.deepEqual([seen.errors[0].code, seen.items], [4403, []]);
    await client.dispose();
  }
});

test("a token is renewed over the open socket by a ping, and one that runs out closes it with 4403", async (t) => {
  const input = await basket();
  const orderId = await place(input);
  const token = () => bearer(tokenOf(input.onBehalfOf, 4));
  const follow = () => {
    const follower = { seen: new Seen(), pongs: 0 };
    follower.client = connect({
      connectionParams: token,
      retryAttempts: 0,
      on: { opened: (socket) => (follower.socket = socket), pong: (received) => (follower.pongs += received) },
    });
    Object.assign(follower, subscribe(follower.client, { query: STATUS, variables: { orderId } }, follower.seen));
    return follower;
  };
  const [careful, careless] = [follow(), follow()];
  await Promise.all([careful, careless].map(({ seen }) => seen.status("CONFIRMED")));
  // The library's own keepAlive pings have no payload: this one goes over its socket.
  const renew = () => careful.socket.send(JSON.stringify({ type: "ping", payload: token() }));
  const renewals = setInterval(renew, 1_000);
  t.after(() => clearInterval(renewals));

  assert.equal(await careless.over, "error");
  assert.equal(careless.seen.errors[0].code, 4403);
  const told = careless.seen.items.length;
  await delay(4_500); // longer than any of the other's tokens was good for
  await move(orderId, "PAID");
  await careful.seen.status("PAID");
  careful.seen.check();
  assert.ok(careful.pongs > 0);
  assert.equal(careless.seen.items.length, told);
  careful.stop();
  for (const { client } of [careful, careless]) await client.dispose();
});
