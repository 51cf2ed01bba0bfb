// Bundle the libraries of the explorer, with their licences and the hash of every file. Run by `make vendor`.
//
// vendor/ (preact, htm) is committed: nobody who runs the explorer needs Node. duckdb/ (DuckDB for browsers, 8 MB) is not: it is
// made before a wheel is built, and by those who write static sites from a checkout.
import { createHash } from "node:crypto";
import { readFile, writeFile, mkdir } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const explorer = new URL("../../atlas/web/explorer/", import.meta.url).pathname;
const common = { bundle: true, format: "esm", minify: true, target: "es2022", legalComments: "none" };
const MIT = "MIT License. Copyright Stichting DuckDB Foundation. https://github.com/duckdb/duckdb-wasm/blob/main/LICENSE";

async function bundle(folder, name, contents) {
  await mkdir(explorer + folder, { recursive: true });
  await build({ ...common, stdin: { contents, resolveDir: process.cwd() }, outfile: `${explorer}${folder}/${name}` });
}

async function finish(folder, packages, names) {
  const licences = [];
  for (const name of packages) {
    const about = JSON.parse(await readFile(`node_modules/${name}/package.json`, "utf8"));
    const text = await readFile(`node_modules/${name}/LICENSE`, "utf8").catch(() => readFile(`node_modules/${name}/LICENSE.txt`, "utf8")).catch(() => MIT);
    licences.push(`${name} ${about.version} (${about.license})\n\n${text.trim()}\n`);
  }
  await writeFile(`${explorer}${folder}/LICENSES.txt`, licences.join(`\n${"-".repeat(72)}\n\n`));
  const sums = [];
  for (const name of ["LICENSES.txt", ...names]) {
    sums.push(`${createHash("sha256").update(await readFile(`${explorer}${folder}/${name}`)).digest("hex")}  ${name}`);
  }
  await writeFile(`${explorer}${folder}/SHA256SUMS`, `${sums.join("\n")}\n`);
  console.log(`${folder}\n${sums.join("\n")}`);
}

await bundle("vendor", "preact.js", `
  import { h, render, Fragment } from "preact";
  import { useEffect, useMemo, useRef, useState } from "preact/hooks";
  import htm from "htm";
  export const html = htm.bind(h);
  export { render, Fragment, useEffect, useMemo, useRef, useState };
`);
await finish("vendor", ["preact", "htm"], ["preact.js"]);

const dist = "node_modules/@duckdb/duckdb-wasm/dist/";
await bundle("duckdb", "duckdb.js", `export { AsyncDuckDB, DuckDBAccessMode, DuckDBDataProtocol, VoidLogger } from "@duckdb/duckdb-wasm";`);
await writeFile(`${explorer}duckdb/worker.js`, (await readFile(`${dist}duckdb-browser-eh.worker.js`, "utf8")).replace(/\n\/\/# sourceMappingURL=.*\s*$/, "\n"));
await writeFile(`${explorer}duckdb/duckdb-eh.wasm.gz`, gzipSync(await readFile(`${dist}duckdb-eh.wasm`), { level: 9 }));
await finish("duckdb", ["@duckdb/duckdb-wasm", "apache-arrow"], ["duckdb.js", "worker.js", "duckdb-eh.wasm.gz"]);
