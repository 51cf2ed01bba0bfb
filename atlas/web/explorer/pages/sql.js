import { isStatic, sql, sqlAddress } from "../driver.js";
import { Points } from "../charts.js";
import { State, Table, useAnswer } from "../parts.js";
import { number, visible } from "../text.js";
import { html, useState } from "../vendor/preact.js";

const EXAMPLES = ["FROM help", "FROM hubs LIMIT 20", "SELECT layer, count(*) AS neurons, sum(out_degree) AS edges FROM neurons GROUP BY layer ORDER BY layer"];
const KEY = "atlas-sql";

function history_() {
  try { return JSON.parse(localStorage.getItem(KEY)) ?? []; } catch { return []; }
}

function remember(text) {
  localStorage.setItem(KEY, JSON.stringify([text, ...history_().filter((one) => one !== text)].slice(0, 20)));
}

// The first two columns of numbers against each other.
function Chart({ rows, columns }) {
  const numbers = columns.filter((column) => rows.every((row) => typeof row[column] === "number"));
  if (numbers.length < 2 || rows.length < 3) return html`<p class="note">A chart needs two columns of numbers and three rows.</p>`;
  const [x, y] = numbers;
  return html`<${Points} title=${`${y} by ${x}`} across=${x} up=${y} points=${rows.map((row) => ({ x: row[x], y: Math.abs(row[y]), sign: row[y], href: "#/sql", name: `${x} ${number(row[x])}, ${y} ${number(row[y])}` }))} />`;
}

function Answer({ text, chart, set }) {
  const found = useAnswer(() => { remember(text); return sql(text, 1000); }, [text]);
  return html`<section class="card"><header><h2>Rows</h2><div class="tools">${!isStatic && html`<a href=${sqlAddress(text, "csv")}>CSV</a><a href=${sqlAddress(text, "arrow")}>Arrow</a>`}<button type="button" class="plain" onClick=${() => set({ chart: chart ? "" : "1" })}>${chart ? "Table" : "Chart"}</button></div></header>
    <${State} found=${found}>${(value) => html`${chart ? html`<${Chart} ...${value} />` : html`<${Table} rows=${value.rows} columns=${value.columns} caption="Rows" />`}
      ${value.truncated && html`<p class="note">The first ${number(value.rows.length)} rows.${isStatic ? "" : " CSV and Arrow have up to 100,000."}</p>`}`}<//></section>`;
}

export function Sql({ params, set }) {
  const [text, setText] = useState(params.q ?? EXAMPLES[0]);
  const run = () => set({ q: text });
  const keys = (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(); } };
  return html`<h1>SQL <small>read-only, DuckDB</small></h1>
    <form onSubmit=${(event) => { event.preventDefault(); run(); }}>
      <textarea aria-label="SQL" spellcheck="false" value=${text} onInput=${(event) => setText(event.target.value)} onKeyDown=${keys}></textarea>
      <div class="controls"><button>Run</button> <span class="note">Ctrl-Enter runs.</span>
        <label>Before <select onChange=${(event) => event.target.value && setText(event.target.value)}><option value="">…</option>${[...EXAMPLES, ...history_().filter((one) => !EXAMPLES.includes(one))].map((one) => html`<option value=${one}>${visible(one, 80)}</option>`)}</select></label></div>
    </form>
    ${params.q && html`<${Answer} text=${params.q} chart=${params.chart} set=${set} />`}`;
}
