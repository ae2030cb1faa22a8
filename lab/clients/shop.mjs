// A shop as its customers and staff use it, over plain HTTP; and what a subscriber must have seen of an order.
import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";

const { SHOP_ADDRESS: address, SHOP_TOKEN: ADMIN, SHOP_STAFF_TOKEN: STAFF } = process.env;
const { JWT_SECRET, JWT_ISSUER, JWT_AUDIENCE } = process.env;
assert.ok(address && ADMIN && STAFF, "SHOP_ADDRESS, SHOP_TOKEN and SHOP_STAFF_TOKEN are not set: run make clients");

export const HTTP = `http://${address}/graphql`;
export const STREAM = `http://${address}/graphql/stream`;
export const WS = `ws://${address}/graphql`;

/** Every status of one order, with what a client needs to go on later. */
export const STATUS = `subscription Status($orderId: ID!, $after: String) {
  orderStatusChanged(orderId: $orderId, after: $after) { __typename kind cursor version status previousStatus order { __typename id version status } }
}`;

/** The journey of an order; the number of a version is its place. */
export const JOURNEY = ["PENDING", "CONFIRMED", "PAID", "PROCESSING", "SHIPPED", "DELIVERED"];

/** How long anything may take before a test fails. */
export const BOUND = 30_000;

/**
 * What says who a client is: headers over HTTP, the payload of connection_init over a WebSocket. An object of its own each time, since
 * graphql-sse adds to the one it is given.
 */
export const bearer = (token = ADMIN) => ({ authorization: `Bearer ${token}` });

/** A user's token for so many seconds, signed as a login signs it. */
export function tokenOf(userId, seconds) {
  const now = Math.floor(Date.now() / 1_000);
  const claims = { sub: userId, iss: JWT_ISSUER, aud: JWT_AUDIENCE, iat: now, exp: now + seconds, role: "customer" };
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", JWT_SECRET).update(signed).digest("base64url")}`;
}

export async function ask(query, variables, token = ADMIN) {
  const response = await fetch(HTTP, {
    method: "POST",
    headers: { "content-type": "application/json", ...bearer(token) },
    body: JSON.stringify({ query, variables }),
    signal: AbortSignal.timeout(BOUND),
  });
  const { data, errors } = await response.json();
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data;
}

export const CREATE_ORDER = `mutation Place($input: CreateOrderInput!) {
  createOrder(input: $input) { order { __typename id version status } errors { code message } }
}`;

/** A customer and a product that nobody else has: what an administrator gives createOrder. */
export async function basket() {
  const { createUser, createProduct } = await ask(
    `mutation($user: CreateUserInput!, $product: CreateProductInput!) {
      createUser(input: $user) { user { id } errors { message } }
      createProduct(input: $product) { product { id } errors { message } }
    }`,
    {
      user: { name: "A customer", email: `${randomUUID()}@example.org` },
      product: { name: "A cup", price: { amount: "4.50", currencyCode: "EUR" }, stock: 10 },
    },
  );
  return { onBehalfOf: createUser.user.id, lines: [{ productId: createProduct.product.id, quantity: 1 }] };
}

/** Places an order; out: its id. */
export async function place(input) {
  const { createOrder } = await ask(CREATE_ORDER, { input: input ?? (await basket()) });
  assert.deepEqual(createOrder.errors, []);
  return createOrder.order.id;
}

/** Staff take an order that is CONFIRMED one step further. */
export async function move(orderId, status) {
  const [mutation, input] =
    status === "PAID"
      ? ["payOrder(input: $input)", { orderId, method: "card", reference: randomUUID() }]
      : ["updateOrderStatus(input: $input)", { orderId, status }];
  const type = status === "PAID" ? "PayOrderInput" : "UpdateOrderStatusInput";
  const data = await ask(`mutation($input: ${type}!) { done: ${mutation} { errors { code message } } }`, { input }, STAFF);
  assert.deepEqual(data.done.errors, []);
}

/** Waits until the views have a version of an order: whoever asks from now on is told it at once. */
export async function shown(orderId, minVersion) {
  const document = "query($orderId: ID!, $minVersion: Int!) { order(id: $orderId, minVersion: $minVersion) { version } }";
  const { order } = await ask(document, { orderId, minVersion });
  assert.ok(order.version >= minVersion);
}

/** What a subscriber received; waits for what is to come. */
export class Seen {
  items = [];
  errors = [];
  #waiting = [];

  /** Takes an answer of the subscription. */
  next = ({ data, errors }) => {
    if (errors) this.errors.push(...errors);
    if (data?.orderStatusChanged) this.items.push(data.orderStatusChanged);
    this.#wake();
  };

  /** Takes what a client reports instead of an answer. */
  error = (error) => {
    this.errors.push(...(Array.isArray(error) ? error : (error.errors ?? [error])));
    this.#wake();
  };

  #wake() {
    for (const look of this.#waiting) look();
  }

  /** Waits until something holds. */
  until(what, holds) {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (!holds(this)) return;
        clearTimeout(timer);
        this.#waiting = this.#waiting.filter((other) => other !== look);
        resolve(this);
      };
      const timer = setTimeout(
        () => reject(new Error(`not within ${BOUND} ms: ${what}; seen: ${JSON.stringify([this.items, this.errors])}`)),
        BOUND,
      );
      this.#waiting.push(look);
      look();
    });
  }

  /** Waits for a status. */
  status(status) {
    return this.until(status, () => this.items.some((item) => item.status === status));
  }

  get last() {
    return this.items.at(-1);
  }

  /**
   * Every version once and in order, up to the last; from the first that came, since a stream begins with where the
   * order stands.
   */
  check() {
    assert.deepEqual(this.errors, []);
    const first = this.items[0].version;
    this.items.forEach((item, at) => {
      assert.equal(item.version, first + at, JSON.stringify(this.items));
      assert.equal(item.status, JOURNEY[item.version - 1]);
      assert.equal(item.order.version, item.version);
      assert.equal(item.order.status, item.status);
    });
    return this;
  }
}

/** Subscribes with a client that takes a sink, as graphql-ws and graphql-sse do. Out: how to stop, and how it ended. */
export function subscribe(client, payload, seen) {
  let completed;
  const over = new Promise((resolve) => (completed = resolve));
  const stop = client.subscribe(payload, {
    next: seen.next,
    error: (error) => (seen.error(error), completed("error")),
    complete: () => completed("complete"),
  });
  return { stop, over };
}

/** The payload of an order's subscription, whose cursor is that of the last item: for clients that send it anew with every connection. */
export function resuming(orderId, seen) {
  const payload = { query: STATUS, variables: { orderId } };
  const next = seen.next;
  seen.next = (answer) => {
    next(answer);
    payload.variables.after = seen.last.cursor;
  };
  return payload;
}

/** A way to the shop that can be lost, and does not come back before it may. */
export class Way {
  #open = Promise.resolve();
  #reopen;

  /** What a client waits for before it connects again. */
  wait = () => this.#open;

  close() {
    this.#open = new Promise((resolve) => (this.#reopen = resolve));
  }

  reopen() {
    this.#reopen();
  }
}

/** Takes an order along while a subscriber's way is lost: what it missed comes first, in order and once, then what happens. */
export async function absence(orderId, seen, way, lose) {
  await seen.status("CONFIRMED");
  way.close();
  await lose();
  for (const status of ["PAID", "PROCESSING", "SHIPPED"]) await move(orderId, status);
  await shown(orderId, 5);
  way.reopen();
  await seen.status("SHIPPED");
  await move(orderId, "DELIVERED");
  await seen.status("DELIVERED");
  seen.check();
  assert.deepEqual(
    seen.items.slice(-4).map((item) => item.kind),
    ["MISSED", "MISSED", "MISSED", "LIVE"],
  );
}

/** Takes an order from CONFIRMED to DELIVERED while a subscriber looks on. */
export async function journey(orderId, seen) {
  await seen.status("CONFIRMED");
  for (const status of JOURNEY.slice(2)) {
    await move(orderId, status);
    await seen.status(status);
  }
  seen.check();
  assert.equal(seen.last.version, JOURNEY.length);
}
