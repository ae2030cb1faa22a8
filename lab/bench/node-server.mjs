// What people run on Node: `graphql-ws` on `ws`, with a schema of the same names as ours, fed within the process. One thread, as Node
// has it; no pings, as with the others. Told what to do by lines: see src/talk.rs.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { buildSchema } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { WebSocketServer } from "ws";

const schema = buildSchema(`
  scalar DateTime
  scalar Decimal
  enum OrderStatus { PENDING CONFIRMED REJECTED PAID PROCESSING SHIPPED DELIVERED CANCELED }
  enum UpdateKind { SNAPSHOT MISSED LIVE RESYNC }
  type Money { amount: Decimal! currencyCode: String! }
  type OrderItem { productName: String! quantity: Int! }
  type Order { id: ID! version: Int! status: OrderStatus! total: Money! items: [OrderItem!]! }
  type OrderStatusChange {
    kind: UpdateKind! cursor: String! version: Int! status: OrderStatus! previousStatus: OrderStatus at: DateTime! order: Order!
  }
  type Query { nothing: Boolean }
  type Subscription { orderStatusChanged(orderId: ID!): OrderStatusChange! }
`);

/** One subscriber's place: what it was not asked for yet, or who waits for the next. */
class Mailbox {
  #all;
  #items;
  #waiting = [];

  constructor(all, first) {
    this.#all = all.add(this);
    this.#items = [first];
  }

  put(item) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting({ value: { orderStatusChanged: item }, done: false });
    else this.#items.push(item);
  }

  next() {
    const item = this.#items.shift();
    if (item) return Promise.resolve({ value: { orderStatusChanged: item }, done: false });
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  return() {
    this.#all.delete(this);
    for (const waiting of this.#waiting.splice(0)) waiting({ value: undefined, done: true });
    return Promise.resolve({ value: undefined, done: true });
  }

  throw(error) {
    this.return();
    return Promise.reject(error);
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

let states = [];
let orders = [];
const watchers = new Map();

const stateOf = (id, version) => {
  const state = states[version - 1];
  return { ...state, order: { ...state.order, id } };
};

const roots = {
  subscription: {
    orderStatusChanged({ orderId }) {
      const all = watchers.get(orderId);
      if (!all) throw new Error(`there is no order ${orderId}`);
      return new Mailbox(all, stateOf(orderId, 1));
    },
  },
};

const tasks = {
  stage(stage) {
    ({ states, orders } = stage);
    for (const id of orders) watchers.set(id, new Set());
  },
  publish({ orders: many, version }) {
    for (const id of orders.slice(0, many)) {
      const state = stateOf(id, version);
      for (const mailbox of watchers.get(id)) mailbox.put(state);
    }
  },
};

const server = createServer();
useServer({ schema, roots }, new WebSocketServer({ server, path: "/graphql" }), 0);
server.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ listening: `127.0.0.1:${server.address().port}` }));
});

createInterface({ input: process.stdin })
  .on("line", (line) => {
    for (const [task, what] of Object.entries(JSON.parse(line))) tasks[task](what);
  })
  .on("close", () => process.exit());
