// A file of its own, since the page's policy runs no script that stands in a page.
const root = document.getElementById("root");
root.textContent = "";
GraphQLPlayground.init(root, {
  endpoint: `${location.origin}/graphql`,
  subscriptionEndpoint: `${location.origin.replace(/^http/, "ws")}/graphql`,
  settings: { "request.credentials": "same-origin", "schema.polling.enable": false },
});
