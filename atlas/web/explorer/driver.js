// Ask the server. The static site replaces this module by one that asks DuckDB in the browser.

export const isStatic = false;
let atlas = null;
const known = new Map();

export function useAtlas(name) {
  if (name !== atlas) known.clear();
  atlas = name;
}

// File of the atlas that is asked.
export const fileOf = (listed) => (listed.atlases.find((one) => one.name === atlas) ?? listed.atlases[0]).file;

// Address of one graph for the viewers of Neuronpedia.
export const graphAddress = (id) => `graphs/${id}/neuronpedia.json?${query({})}`;

function query(params) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value === null || value === undefined || value === "") continue;
    for (const one of Array.isArray(value) ? value : [value]) found.append(name, one);
  }
  if (atlas) found.set("atlas", atlas);
  return found.toString();
}

// Address of the rows in another form, for links. A table of a comparison has an address of its own.
export function address(name, params, form) {
  return `${name.startsWith("compare/") ? "" : "api/"}${name}${form ? `.${form}` : ""}?${query(params)}`;
}

async function read(url, options) {
  let answer;
  try {
    answer = await fetch(url, options);
  } catch {
    throw new Error("The server does not answer; start it again with atlas serve.");
  }
  const body = await answer.json().catch(() => ({ detail: answer.statusText }));
  if (!answer.ok) throw new Error(body.detail);
  return body;
}

function named(answer) {
  return { ...answer, rows: answer.rows.map((row) => Object.fromEntries(row.map((value, at) => [answer.columns[at], value]))) };
}

// Rows of a query, each an object by column. Equal questions of one visit are asked once.
export function ask(name, params = {}) {
  const url = address(name, params);
  if (!known.has(url)) {
    if (known.size > 300) known.clear();
    const answer = read(url).then(named);
    known.set(url, answer);
    answer.catch(() => known.delete(url));
  }
  return known.get(url);
}

export function sql(text, limit) {
  const body = JSON.stringify({ sql: text, limit, ...(atlas ? { atlas } : {}) });
  return read("sql", { method: "POST", headers: { "Content-Type": "application/json" }, body }).then(named);
}

export function sqlAddress(text, form) {
  return `sql?${query({ sql: text, format: form, limit: 100000 })}`;
}

export function save() {
  throw new Error("The server has addresses of rows.");
}

let listed = null;
export function index() {
  listed ??= read("api");
  return listed;
}
