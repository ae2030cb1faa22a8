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

createRoot(document.getElementById("graphiql")).render(
  <GraphiQL fetcher={fetcher} defaultQuery={defaultQuery}>
    <GraphiQL.Logo>Shop orders</GraphiQL.Logo>
  </GraphiQL>,
);
