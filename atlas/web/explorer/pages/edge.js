import { ask, isStatic } from "../driver.js";
import { Facts, Section, State, useAnswer } from "../parts.js";
import { Histogram } from "../charts.js";
import { heading, isShare, link, number, percent, visible } from "../text.js";
import { html } from "../vendor/preact.js";

function bins(rows) {
  const weights = rows.map((row) => row.weight);
  const [low, high] = [Math.min(...weights), Math.max(...weights)];
  const count = Math.min(30, Math.max(5, Math.ceil(Math.sqrt(weights.length))));
  const width = (high - low) / count || 1;
  const bars = Array.from({ length: count }, (_, at) => ({ low: low + at * width, high: low + (at + 1) * width, count: 0, sign: low + (at + 0.5) * width < 0 ? -1 : 1 }));
  for (const weight of weights) bars[Math.min(count - 1, Math.floor((weight - low) / width))].count++;
  return bars;
}

export function Edge({ name }) {
  const [source, goal] = name.split("~");
  const ends = { from_neuron: source, to_neuron: goal };
  const found = useAnswer(() => ask("edge", ends), [name]);
  return html`<h1><a href=${link("neuron", source)}>${source}</a> → <a href=${link("neuron", goal ?? "")}>${goal}</a></h1>
    <${State} found=${found}>${({ rows, columns }) => {
      const row = rows[0];
      if (!row) return html`<p class="error" role="alert">The atlas has no edge from ${visible(source, 40)} to ${visible(goal ?? "nothing", 40)}${isStatic ? ", or it was left out of this slim copy" : ""}.</p>`;
      const shown = columns.filter((column) => !/^(src|tgt)_/.test(column));
      return html`<p>${visible(row.src_label ?? "no label", 200)} → ${visible(row.tgt_label ?? "no label", 200)}</p>
        <section class="card many"><${Facts} facts=${shown.map((column) => [heading(column), typeof row[column] === "boolean" ? (row[column] ? "yes" : "no") : isShare(column) ? percent(row[column]) : row[column]])} /></section>
        <${Section} title="Weights over graphs" query="edge_graphs" params=${ends} limit=${5000} empty="The links of single graphs are not in this atlas, or not of this edge." render=${(value) => html`<${Histogram} title="Weights over graphs" bars=${bins(value.rows)} />`} />
        <${Section} title="Graphs that have it" query="edge_graphs" params=${ends} limit=${15} empty=${null} />
        <${Section} title="Paths from one to the other, over one neuron between" query="paths_between" params=${ends} limit=${15} />
        <p class="note">${number(row.graph_count)} graphs have this edge.</p>`;
    }}<//>`;
}
