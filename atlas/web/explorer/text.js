// How values are written, and where their names lead.

export function number(value) {
  if (value === null || value === undefined) return "";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2);
  return value.toLocaleString("en", { maximumSignificantDigits: size >= 1000 ? 5 : 4 });
}

export const percent = (value) => (value === null || value === undefined ? "" : `${number(Math.round(value * 1000) / 10)} %`);

// Control, direction and line characters of texts from files, visible; long texts end in an ellipsis.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const SIGNS = { "\n": "⏎", "\t": "→", "\r": "␍" };
export function visible(text, most = 400) {
  const shown = String(text).replace(HIDDEN, (one) => SIGNS[one] ?? `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return shown.length > most ? `${shown.slice(0, most)} …` : shown;
}

const NEURON = /^L\d+\/N\d+$/;
const UNIT = /^L\d+\/[NF]\d+$/;

export const isNeuron = (text) => NEURON.test(text);
export const isUnit = (text) => UNIT.test(text);

let atlas = null;

// The atlas that addresses name, where it is not the only one.
export function nameAtlas(name) {
  atlas = name;
}

// Address inside the explorer.
export function link(page, name, params = {}) {
  const query = new URLSearchParams();
  if (atlas) query.set("atlas", atlas);
  for (const [key, value] of Object.entries(params)) if (value !== null && value !== undefined && value !== "") query.set(key, value);
  const rest = query.toString();
  const path = name === undefined ? page : `${page}/${String(name).split("/").map(encodeURIComponent).join("/")}`;
  return `#/${path}${rest ? `?${rest}` : ""}`;
}

const PAGES = {
  neuron_id: "unit", other_id: "unit", unit_id: "unit", src_id: "unit", tgt_id: "unit", via_id: "unit", near_id: "unit",
  a_id: "unit", b_id: "unit", c_id: "unit",
  circuit_id: "circuit", cluster_path: "circuit", top_cluster: "circuit", other_circuit: "circuit",
  graph_id: "graph", token: "token", output: "token",
};

// Page that a cell leads to; null for plain text.
export function target(column, value) {
  if (value === null || value === undefined || value === "") return null;
  if (isUnit(value) && column !== "token") return link(value.includes("/F") ? "feature" : "neuron", value);
  const page = PAGES[column];
  if (!page || page === "unit") return null;
  return link(page, value);
}

const SHARES = /(^|_)(share|frequency|density|precision|recall|jaccard|coverage|confidence|support|agreement|frequency_[ab])$/;
export const isShare = (column) => SHARES.test(column);

export function heading(column) {
  const words = { neuron_id: "neuron", src_id: "from", tgt_id: "to", other_id: "unit", cluster_path: "circuit", circuit_id: "circuit", graph_id: "graph", target_share: "share of input" };
  return words[column] ?? column.replaceAll("_", " ").replace(/(graph|group|edge|neuron|cluster|link|node|token|context|label|position|experiment) count$/, "$1s").replace(/ count$/, "");
}

export function python(name, params) {
  const written = (value) => (Array.isArray(value) ? `[${value.map(written).join(", ")}]` : typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value));
  const entries = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const first = entries.filter(([key]) => ["from_neuron", "to_neuron", "neuron", "unit", "words", "token", "circuit", "cluster_path", "graph_id", "chosen"].includes(key)).slice(0, name === "edge" || "from_neuron" in params ? 2 : 1);
  const rest = entries.filter((entry) => !first.includes(entry)).map(([key, value]) => `${key}=${written(value)}`);
  return `model.${name}(${[...first.map(([, value]) => written(value)), ...rest].join(", ")})`;
}
