// Driver of static sites and of the single file: the queries of the server, answered by DuckDB in the browser.
//
// `globalThis.ATLAS_FILES` has the engine of a single file; a site loads it from its folder.
import { AsyncDuckDB, DuckDBAccessMode, DuckDBDataProtocol, VoidLogger } from "./duckdb/duckdb.js";

const MOST = 1000;
const given = globalThis.ATLAS_FILES;
let listed = null;
export const isStatic = true;

export function index() {
  listed ??= given ? Promise.resolve(given.index) : fetch("index.json").then((answer) => answer.json());
  return listed;
}

export function useAtlas() {}
export const fileOf = (all) => all.atlases[0].file;
export const graphAddress = () => null;

// Not every host packs WebAssembly, which is a fifth of its size packed.
async function unpacked(url) {
  const answer = await fetch(url);
  const stream = answer.body.pipeThrough(new DecompressionStream("gzip"));
  return URL.createObjectURL(await new Response(stream, { headers: { "Content-Type": "application/wasm" } }).blob());
}

async function engine() {
  const here = (name) => new URL(name, document.baseURI).href;
  // A worker of another origin, such as that of a file, starts from a text.
  const worker = given ? new Worker(URL.createObjectURL(new Blob([given.worker], { type: "text/javascript" }))) : new Worker(here("explorer/duckdb/worker.js"));
  const db = new AsyncDuckDB(new VoidLogger(), worker);
  await db.instantiate(given ? given.wasm : await unpacked(here("explorer/duckdb/duckdb-eh.wasm.gz")));
  await db.open({
    query: { castBigIntToDouble: true, castDecimalToDouble: true },
    // Without these, the whole file is read before the first answer.
    filesystem: { reliableHeadRequests: true, allowFullHTTPReads: false, forceFullHTTPReads: false },
  });
  if (given) await db.registerFileBuffer("atlas.duckdb", given.atlas);
  else await db.registerFileURL("atlas.duckdb", here("atlas.duckdb"), DuckDBDataProtocol.HTTP, false);
  const connection = await db.connect();
  await connection.query("ATTACH 'atlas.duckdb' AS atlas (READ_ONLY)");
  await connection.query("USE atlas");
  for (const setting of ["autoinstall_known_extensions = false", "autoload_known_extensions = false", "enable_external_access = false", "lock_configuration = true"]) {
    await connection.query(`SET ${setting}`).catch(() => {});
  }
  return connection;
}

let opened = null;
let last = Promise.resolve();

// One question after another: sets of neurons are temporary tables.
function inTurn(work) {
  const next = last.then(async () => work(await (opened ??= engine())));
  last = next.catch(() => {});
  return next;
}

function value(cell) {
  if (cell === null || cell === undefined || typeof cell === "number" || typeof cell === "string" || typeof cell === "boolean") return Number.isNaN(cell) ? null : cell;
  if (typeof cell === "bigint") return Number(cell);
  if (typeof cell[Symbol.iterator] === "function") return [...cell].map(value);
  return typeof cell.toJSON === "function" ? cell.toJSON() : String(cell);
}

function rowsOf(table, most) {
  const columns = table.schema.fields.map((field) => field.name);
  const all = table.toArray();
  const rows = all.slice(0, most).map((row) => Object.fromEntries(columns.map((name) => [name, value(row[name])])));
  return { columns, types: table.schema.fields.map((field) => String(field.type)), rows, truncated: all.length > most };
}

export const literal = (one) => (one === null || one === undefined || one === "" ? "NULL" : typeof one === "number" || typeof one === "boolean" ? String(one) : `'${String(one).replaceAll("'", "''")}'`);

// SQL with values in the place of $names, but not inside of texts and comments.
export function bound(sql, values) {
  return sql.replace(/'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\$(\w+)/g, (all, name) => (name === undefined ? all : literal(values[name])));
}

const IDS = /^\s*L\d+\/N\d+(?:[\s,;]+L\d+\/N\d+)*[\s,;]*$/;

// Set of neurons as SQL: ids, a circuit, or a condition on the table neurons with the simple operators of atlas find.
export function setSql(text) {
  const from = "SELECT layer, neuron FROM neurons";
  if (Array.isArray(text)) return setSql(text.join(" "));
  if (IDS.test(text)) return `${from} WHERE neuron_id IN (${text.match(/L\d+\/N\d+/g).map(literal).join(", ")})`;
  const circuit = /^circuit\(\s*"?([^"()]+?)"?\s*\)$/.exec(text.trim());
  if (circuit) return `SELECT layer, neuron FROM circuit_members WHERE circuit_id = circuit_named(${literal(circuit[1])})`;
  const texts = [];
  const words = text
    .replace(/"([^"]*)"|'([^']*)'/g, (_, a, b) => `\u0001${texts.push(a ?? b) - 1}\u0001`)
    .replace(/\bgraphs\b/g, "graph_count").replace(/\bgroups\b/g, "group_count").replace(/\bdegree\b/g, "(in_degree + out_degree)")
    .replaceAll("&&", " AND ").replaceAll("||", " OR ").replace(/!(?!=)/g, " NOT ")
    .replace(/(\w+)\s*~\s*(\u0001\d+\u0001|\w+)/g, (_, column, word) => `contains(lower(${column}), lower(${word.startsWith("\u0001") ? word : literal(word)}))`);
  return `${from} WHERE ${words.replace(/\u0001(\d+)\u0001/g, (_, at) => literal(texts[at]))}`;
}

// Values of the parameters of a query, as the server reads them: a neuron is a layer and a number.
function raw(query, params) {
  const values = {}, sets = {};
  for (const [name, one] of Object.entries(params)) {
    const schema = query.parameters[name] ?? {};
    const unit = /^L(\d+)\/([NF])(\d+)$/.exec(one);
    if (schema.anyOf) sets[name] = one;
    else if (name === "unit" && unit) Object.assign(values, { layer: +unit[1], unit: +unit[3], unit_type: unit[2] === "F" ? "feature" : "neuron" });
    else if (name.endsWith("neuron") && unit) Object.assign(values, { [name.replace("neuron", "layer")]: +unit[1], [name]: +unit[3] });
    else if ((name === "unit" || name.endsWith("neuron")) && schema.type === "string") throw new Error(`${one} is no neuron; write it like L24/N5326`);
    else values[name] = schema.type === "integer" || schema.type === "number" ? (one === "" || one === undefined || one === null ? null : Number(one)) : schema.type === "boolean" ? (one === "" || one === undefined || one === null ? null : String(one) === "true") : one;
  }
  return { values, sets };
}

const known = new Map();

export function ask(name, params = {}) {
  const key = JSON.stringify([name, params]);
  if (!known.has(key)) {
    const answer = answerOf(name, params);
    known.set(key, answer);
    answer.catch(() => known.delete(key));
  }
  return known.get(key);
}

async function answerOf(name, { limit = MOST, ...params }) {
  const query = (await index()).queries.find((one) => one.name === name);
  if (!query) throw new Error(`no query is called ${name}`);
  const { values, sets } = raw(query, params);
  return inTurn(async (connection) => {
    for (const [set, schema] of Object.entries(query.parameters)) {
      if (!schema.anyOf) continue;
      const chosen = sets[set] === undefined || sets[set] === "" ? null : sets[set];
      values[set] = chosen === null ? null : true;
      await connection.query(`CREATE OR REPLACE TEMP TABLE "${set}" AS ${chosen === null ? "SELECT layer, neuron FROM neurons" : setSql(chosen)}`);
    }
    return rowsOf(await connection.query(`SELECT * FROM (${bound(query.sql, { ...values, limit: limit + 1 }).replace(/;\s*$/, "")}\n) LIMIT ${limit + 1}`), limit);
  });
}

export function sql(text, limit = MOST) {
  if (!/^\s*(SELECT|FROM|WITH|DESCRIBE|SUMMARIZE|SHOW|EXPLAIN|VALUES|TABLE)\b/i.test(text)) return Promise.reject(new Error("Only SELECT and FROM are answered here."));
  return inTurn(async (connection) => rowsOf(await connection.query(text), limit));
}

// There are no addresses of rows without a server; `save` writes them to a file of the reader.
export const address = () => null;
export const sqlAddress = () => null;

export async function save(name, params, form) {
  const { columns, rows } = await ask(name, { ...params, limit: 100000 });
  const cell = (one) => (one === null ? "" : /[",\n]/.test(String(one)) ? `"${String(one).replaceAll('"', '""')}"` : String(one));
  const text = form === "csv" ? [columns.join(","), ...rows.map((row) => columns.map((column) => cell(Array.isArray(row[column]) ? JSON.stringify(row[column]) : row[column])).join(","))].join("\n") : JSON.stringify(rows);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text]));
  link.download = `${name}.${form}`;
  link.click();
  URL.revokeObjectURL(link.href);
}
