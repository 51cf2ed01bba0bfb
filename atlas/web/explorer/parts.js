// Pieces of pages: sections that ask one query, tables whose names are links, facts, controls.
import { ask, address, fileOf, index, save } from "./driver.js";
import { heading, isNeuron, isShare, link, number, percent, python, target, visible } from "./text.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";

// Value of a promise that is asked again when `keys` change: {value} or {error}, and {waiting} until then.
export function useAnswer(make, keys) {
  const [found, setFound] = useState({ waiting: true });
  useEffect(() => {
    let current = true;
    setFound({ waiting: true });
    Promise.resolve()
      .then(make)
      .then((value) => current && setFound({ value }), (error) => current && setFound({ error }));
    return () => { current = false; };
  }, keys);
  return found;
}

// Whether a place of the page has come near the window: what nobody scrolls to is not asked.
function useSeen() {
  const place = useRef(null);
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    if (seen || !place.current) return undefined;
    const watch = new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) setSeen(true); }, { rootMargin: "80px" });
    watch.observe(place.current);
    return () => watch.disconnect();
  }, [seen]);
  return [place, seen];
}

export function State({ found, waits = "Reading …", children }) {
  if (found.waiting) return html`<p class="loading" role="status">${waits}</p>`;
  if (found.error) return html`<p class="error" role="alert">${visible(found.error.message, 600)}</p>`;
  return children(found.value);
}

export function Token({ text }) {
  return html`<span class="token">${visible(text, 80)}</span>`;
}

function Bar({ value, most }) {
  const width = most ? (48 * Math.abs(value)) / most : 0;
  return html`<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><line class="axis" x1="50" x2="50" y1="0" y2="10" /><rect class=${value < 0 ? "fill down" : "fill"} x=${value < 0 ? 50 - width : 50} y="1" width=${width} height="8" /></svg>`;
}

const isToken = (column) => ["token", "tokens", "output", "before", "behind"].includes(column);

// Edge of a row: its ends, or the neuron of the page and that of the row.
function edgeOf(row, edge) {
  if (edge) return edge(row);
  return isNeuron(row.src_id ?? "") && isNeuron(row.tgt_id ?? "") ? [row.src_id, row.tgt_id] : null;
}

function Cell({ column, value, most, ends }) {
  if (value === null || value === undefined) return "";
  if (typeof value === "boolean") return value ? html`<span class="good">yes</span>` : "no";
  if (column === "mean_weight" || column === "weight") return html`${ends ? html`<a href=${link("edge", ends.join("~"))}>${number(value)}</a>` : number(value)} <${Bar} value=${value} most=${most} />`;
  if (typeof value === "number") {
    const text = isShare(column) ? percent(value) : /(^|_)(id|layer|rank)$/.test(column) ? String(value) : number(value);
    const to = target(column, value);
    return to ? html`<a href=${to}>${text}</a>` : text;
  }
  if (Array.isArray(value)) return value.slice(0, isToken(column) ? 12 : 3).map((one) => (isToken(column) ? html`<${Token} text=${one ?? ""} /> ` : html`<span class="chip">${visible(one, 80)}</span>`));
  if (typeof value === "object") return visible(JSON.stringify(value), 200);
  if (column === "path" && value.includes("/N")) return value.split(/(L\d+\/N\d+)/).map((part, at) => (at % 2 ? html`<a href=${link("neuron", part)}>${part}</a>` : part));
  const to = target(column, value);
  const shown = isToken(column) ? html`<${Token} text=${value} />` : visible(value, 240);
  // A token of spaces has no other name.
  return to ? html`<a href=${to} aria-label=${isToken(column) ? `token “${visible(value, 80)}”` : undefined}>${shown}</a>` : shown;
}

function kind(column, rows) {
  const value = rows.find((row) => row[column] !== null && row[column] !== undefined)?.[column];
  if (typeof value === "number" && !isToken(column)) return "number";
  if (target(column, value)) return "id";
  return "text";
}

export function Table({ rows, columns, caption, edge }) {
  const [order, setOrder] = useState(null);
  if (!rows.length) return html`<p class="note">None.</p>`;
  columns = columns.filter((column) => rows.some((row) => row[column] !== null && row[column] !== undefined));
  const most = Math.max(...rows.map((row) => Math.abs(row.mean_weight ?? row.weight ?? 0)));
  const kinds = Object.fromEntries(columns.map((column) => [column, kind(column, rows)]));
  const sorted = order ? [...rows].sort(compare(order)) : rows;
  const turn = (column) => setOrder(order?.column === column ? { column, down: !order.down } : { column, down: kinds[column] === "number" });
  const sortOf = (column) => (order?.column === column ? (order.down ? "descending" : "ascending") : undefined);
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${caption}><table>
    <thead><tr>${columns.map((column) => html`<th scope="col" class=${kinds[column]} aria-sort=${sortOf(column)}><button type="button" onClick=${() => turn(column)}>${heading(column)}${order?.column === column ? (order.down ? " ↓" : " ↑") : ""}</button></th>`)}</tr></thead>
    <tbody>${sorted.map((row) => html`<tr>${columns.map((column) => html`<td class=${kinds[column]}><${Cell} column=${column} value=${row[column]} most=${most} ends=${edgeOf(row, edge)} /></td>`)}</tr>`)}</tbody>
  </table></div>`;
}

function compare({ column, down }) {
  const sign = down ? -1 : 1;
  return (first, second) => {
    const [a, b] = [first[column], second[column]];
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (a > b ? 1 : a < b ? -1 : 0);
  };
}

// One query as a card: its rows, their number, and the same rows as JSON, CSV, SQL and Python (without `source`, not the last two).
export function Section({ title, query, params, columns, limit = 10, note, render, empty, wide, edge, source }) {
  const [most, setMost] = useState(limit);
  const [place, seen] = useSeen();
  const found = useAnswer(() => (seen ? ask(query, { ...params, limit: most }) : new Promise(() => {})), [query, JSON.stringify(params), most, seen]);
  const rows = found.value?.rows;
  if (rows && !rows.length && empty === null) return null;
  if (!seen) return html`<section class="card unseen" ref=${place} data-query=${query}><header><h2>${title}</h2></header></section>`;
  return html`<section class=${`card${wide ? " wide" : ""}${found.waiting ? " unseen" : ""}`} data-query=${query}>
    <header><h2>${title}</h2><${Tools} query=${query} params=${params} source=${source} /></header>
    ${note && html`<p class="note">${note}</p>`}
    <${State} found=${found}>${(value) => html`
      ${!value.rows.length ? html`<p class="note">${empty ?? "None."}</p>` : render ? render(value) : html`<${Table} rows=${value.rows} columns=${(columns ?? value.columns).filter((column) => value.columns.includes(column))} caption=${title} edge=${edge} />`}
      ${value.truncated && html`<p class="note">The first ${number(value.rows.length)}. <button type="button" class="plain" onClick=${() => setMost(most * 5)}>Show ${number(most * 5)}</button></p>`}`}
    <//>
  </section>`;
}

// A question that takes longer is asked when it is wanted.
export function Asked({ title, children }) {
  const [open, setOpen] = useState(false);
  return open ? children : html`<section class="card"><header><h2>${title}</h2></header><button type="button" onClick=${() => setOpen(true)}>Show</button></section>`;
}

export function Tools({ query, params, source = true }) {
  const [shown, setShown] = useState(null);
  return html`<div class="tools">
    ${["json", "csv"].map((form) => { const to = address(query, params, form); return to ? html`<a href=${to}>${form.toUpperCase()}</a>` : html`<button type="button" class="plain" onClick=${() => save(query, params, form)}>${form.toUpperCase()}</button>`; })}
    ${source && ["sql", "python"].map((form) => html`<button type="button" class="plain" aria-expanded=${shown === form} onClick=${() => setShown(shown === form ? null : form)}>${{ sql: "SQL", python: "Python" }[form]}</button>`)}
    ${shown && html`<${Source} kind=${shown} query=${query} params=${params} close=${() => setShown(null)} />`}
  </div>`;
}

function Source({ kind: form, query, params, close }) {
  const found = useAnswer(index, []);
  const text = (listed) => {
    if (form === "python") return `import atlas\n\nmodel = atlas.open("${fileOf(listed)}")\n${python(query, params)}`;
    const given = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== "");
    return `${listed.queries.find((one) => one.name === query).sql}\n${given.map(([name, value]) => `-- $${name} = ${JSON.stringify(value)}`).join("\n")}`;
  };
  return html`<dialog open aria-label=${form === "sql" ? "SQL of this table" : "Python of this table"}>
    <${State} found=${found}>${(listed) => html`<pre tabindex="0">${text(listed)}</pre>
      <p><button type="button" onClick=${() => navigator.clipboard?.writeText(text(listed))}>Copy</button> <button type="button" onClick=${close}>Close</button></p>`}<//>
  </dialog>`;
}

export function Facts({ facts }) {
  const shown = facts.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return html`<dl class="facts">${shown.map(([name, value]) => html`<dt>${name}</dt><dd>${typeof value === "number" ? number(value) : typeof value === "string" ? visible(value, 600) : value}</dd>`)}</dl>`;
}

export function Choice({ label, value, options, set }) {
  return html`<label>${label} <select value=${value} onChange=${(event) => set(event.target.value)}>${options.map((one) => html`<option value=${one} selected=${one === value}>${one}</option>`)}</select></label>`;
}
