// Bundle preact, its hooks and htm into one ES module, with their licences and the hash of every file.
// Run by `make vendor`, once for a new version; the result is committed, so that nobody else needs Node.
import { createHash } from "node:crypto";
import { readFile, writeFile, mkdir } from "node:fs/promises";
import { build } from "esbuild";

const out = new URL("../../atlas/web/explorer/vendor/", import.meta.url).pathname;
const packages = ["preact", "htm"];
await mkdir(out, { recursive: true });

await build({
  stdin: {
    contents: `
      import { h, render, Fragment } from "preact";
      import { useEffect, useMemo, useRef, useState } from "preact/hooks";
      import htm from "htm";
      export const html = htm.bind(h);
      export { render, Fragment, useEffect, useMemo, useRef, useState };
    `,
    resolveDir: process.cwd(),
  },
  bundle: true,
  format: "esm",
  minify: true,
  target: "es2022",
  legalComments: "none",
  outfile: `${out}preact.js`,
});

const licences = [];
for (const name of packages) {
  const about = JSON.parse(await readFile(`node_modules/${name}/package.json`, "utf8"));
  const text = await readFile(`node_modules/${name}/LICENSE`, "utf8");
  licences.push(`${name} ${about.version} (${about.license})\n\n${text.trim()}\n`);
}
await writeFile(`${out}LICENSES.txt`, licences.join(`\n${"-".repeat(72)}\n\n`));

const sums = [];
for (const name of ["LICENSES.txt", "preact.js"]) {
  const hash = createHash("sha256").update(await readFile(out + name)).digest("hex");
  sums.push(`${hash}  ${name}`);
}
await writeFile(`${out}SHA256SUMS`, `${sums.join("\n")}\n`);
console.log(sums.join("\n"));
