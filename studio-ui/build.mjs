// Bundles the studio into the Python package (default), or the unit tests for node (--tests).
import { copyFile, mkdir, readdir, readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const tests = process.argv.includes("--tests");
const out = tests ? "build/tests" : "../src/chromatrack/studio/static";
await mkdir(out, { recursive: true });

if (tests) {
  const files = (await readdir("tests")).filter((name) => name.endsWith(".test.ts"));
  await build({
    entryPoints: files.map((name) => `tests/${name}`),
    outdir: out,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "warning",
  });
} else {
  await build({
    entryPoints: { app: "src/main.tsx" },
    outdir: out,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    legalComments: "none",
    logLevel: "warning",
  });
  await copyFile("src/index.html", `${out}/index.html`);
  let total = 0;
  for (const name of ["index.html", "app.js", "app.css"]) {
    const size = gzipSync(await readFile(`${out}/${name}`)).length;
    total += size;
    console.log(`${name}: ${(size / 1024).toFixed(1)} kB gzipped`);
  }
  console.log(`total: ${(total / 1024).toFixed(1)} kB gzipped`);
}
