// A file of its own, since the page's policy runs no script that stands in a page.
const root = document.getElementById("root");
root.textContent = "";
const endpoint = `${location.origin}/graphql`;

// In development the server signs tokens for whoever tries it out, one of each role; elsewhere there are none.
fetch("/demo-tokens")
  .then((answer) => (answer.ok ? answer.json() : {}))
  .catch(() => ({}))
  .then((tokens) => {
    const tabs = Object.entries(tokens).map(([role, token]) => ({
      endpoint,
      name: role,
      query: `# With a token of role ${role}: see HTTP HEADERS below.\n{ products(first: 5) { nodes { id name } } }\n`,
      headers: { authorization: `Bearer ${token}` },
    }));
    GraphQLPlayground.init(root, {
      endpoint,
      subscriptionEndpoint: endpoint.replace(/^http/, "ws"),
      settings: { "request.credentials": "omit", "schema.polling.enable": false },
      ...(tabs.length > 0 && { tabs }),
    });
  });
