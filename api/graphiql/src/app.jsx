import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";
import "graphiql/style.css";
import "./page.css";

globalThis.MonacoEnvironment = {
  getWorker(_id, label) {
    const name = ["graphql", "json"].includes(label) ? label : "editor";
    return new Worker(`/assets/${name}.worker.js`);
  },
};

const endpoint = new URL("/graphql", location.href);
const socket = new URL(endpoint);
socket.protocol = location.protocol === "https:" ? "wss:" : "ws:";

const fetcher = createGraphiQLFetcher({
  url: endpoint.href,
  subscriptionUrl: socket.href,
  // The server sends whole answers; asking for multipart ones would only invite a different content type.
  enableIncrementalDelivery: false,
});

// In development the server signs tokens for whoever tries it out, one of each role; elsewhere there are none.
async function demoTokens() {
  const answer = await fetch("/demo-tokens").catch(() => null);
  return answer?.ok ? answer.json() : null;
}

const headersOf = (token) => JSON.stringify({ authorization: `Bearer ${token}` }, null, 2);

const defaultQuery = `# Ctrl+Enter runs the operation here,
# Ctrl+Space completes a name, the book
# at the left opens the schema.
#
# A subscription ends when its tab is left:
# watch one in a second browser window
# while mutations run here.

query Products {
  products(first: 5) {
    nodes {
      id
      name
    }
  }
}
`;

const usersQuery = `# As staff: whose orders there are.

query Orders {
  orders(first: 5) {
    nodes {
      id
      status
      customerName
    }
  }
}
`;

const adminQuery = `# As an administrator: users and products.

query Users {
  users(first: 5) {
    nodes {
      id
      name
    }
  }
}
`;

const tokens = await demoTokens();
const tabs = tokens && [
  { query: defaultQuery, headers: headersOf(tokens.customer) },
  { query: usersQuery, headers: headersOf(tokens.staff) },
  { query: adminQuery, headers: headersOf(tokens.admin) },
];

createRoot(document.getElementById("graphiql")).render(
  <GraphiQL
    fetcher={fetcher}
    defaultQuery={defaultQuery}
    defaultHeaders={tokens ? headersOf(tokens.customer) : undefined}
    defaultTabs={tabs ?? undefined}
  >
    <GraphiQL.Logo>Shop orders</GraphiQL.Logo>
  </GraphiQL>,
);
