// Bundles the page into the folder named as the first argument.
import { copyFile } from "node:fs/promises";
import { build } from "esbuild";

const outdir = process.argv[2];

// graphiql/style.css already holds the editor's styles, in the order its overrides need.
const skipEditorStyles = {
  name: "skip-editor-styles",
  setup(build) {
    build.onLoad({ filter: /monaco-editor[\\/].*\.css$/ }, () => ({ contents: "", loader: "css" }));
  },
};

const common = {
  outdir,
  bundle: true,
  minify: true,
  target: "es2022",
  legalComments: "eof",
  logLevel: "warning",
  define: { "process.env.NODE_ENV": '"production"' },
};

await build({
  ...common,
  entryPoints: { app: "src/app.jsx" },
  format: "esm",
  jsx: "automatic",
  plugins: [skipEditorStyles],
});
await build({
  ...common,
  entryPoints: {
    "editor.worker": "monaco-editor/esm/vs/editor/editor.worker.js",
    "graphql.worker": "monaco-graphql/esm/graphql.worker.js",
    "json.worker": "monaco-editor/esm/vs/language/json/json.worker.js",
  },
  format: "iife",
});
await copyFile("src/index.html", `${outdir}/index.html`);
