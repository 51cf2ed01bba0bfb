import { ask } from "../driver.js";
import { Choice, Section, State, useAnswer } from "../parts.js";
import { link, number, visible } from "../text.js";
import { html } from "../vendor/preact.js";

const COLUMNS = ["circuit_id", "kind", "name", "size", "layer_min", "layer_max", "graph_count", "is_found_again", "half_agreement", "support", "null_p", "effect", "sample_labels"];

export function Circuits({ params, set }) {
  const found = useAnswer(() => ask("clusterings"), []);
  const given = { kind: params.kind, clustering: params.clustering, found_again: params.found_again, min_size: params.min_size };
  return html`<h1>Circuits</h1>
    <div class="controls">
      <${Choice} label="Kind" value=${params.kind ?? ""} options=${["", "cluster", "input", "output", "contrast", "set"]} set=${(value) => set({ kind: value })} />
      <${State} found=${found}>${({ rows }) => html`<${Choice} label="Clustering" value=${params.clustering ?? ""} options=${["", ...rows.map((row) => row.clustering)]} set=${(value) => set({ clustering: value })} />`}<//>
      <${Choice} label="Found again" value=${params.found_again ?? ""} options=${["", "true", "false"]} set=${(value) => set({ found_again: value })} />
      <label>Neurons, at least <input type="number" min="1" size="5" value=${params.min_size ?? ""} onChange=${(event) => set({ min_size: event.target.value })} /></label>
      <a href=${link("clusterings")}>Compare clusterings</a>
    </div>
    <${Section} title="Circuits, largest first" query="circuits" params=${given} columns=${COLUMNS} limit=${50} />`;
}

// Clusters of two clusterings as bands between two columns, as wide as the neurons they share.
function Alluvial({ rows }) {
  const heights = (key, size) => {
    const found = new Map();
    for (const row of rows) found.set(row[key], Math.max(found.get(row[key]) ?? 0, row[size]));
    const total = [...found.values()].reduce((sum, one) => sum + one, 0);
    let top = 10;
    return new Map([...found].sort((a, b) => b[1] - a[1]).map(([name, value]) => { const place = { top, height: (480 * value) / total, used: 0, size: value }; top += place.height + 120 / found.size; return [name, place]; }));
  };
  const [left, right] = [heights("cluster_path", "size"), heights("other_path", "other_size")];
  const band = (row) => {
    const [a, b] = [left.get(row.cluster_path), right.get(row.other_path)];
    const width = Math.max(1, Math.min((a.height * row.shared_count) / a.size, (b.height * row.shared_count) / b.size));
    const [y, z] = [a.top + a.used + width / 2, b.top + b.used + width / 2];
    a.used += width; b.used += width;
    return html`<path class="edge up" opacity="0.35" stroke-width=${width} d=${`M120 ${y}C320 ${y} 320 ${z} 520 ${z}`}><title>${`${row.cluster_path} and ${row.other_path}: ${number(row.shared_count)} neurons, Jaccard ${number(row.jaccard)}`}</title></path>`;
  };
  const column = (places, x, anchor) => [...places].map(([name, one]) => html`<rect class="fill" x=${x} y=${one.top} width="8" height=${Math.max(one.height, 1)} /><text x=${anchor === "end" ? x - 4 : x + 12} y=${one.top + one.height / 2 + 4} text-anchor=${anchor}>${one.height > 9 ? visible(name, 12) : ""}</text>`);
  return html`<svg class="chart" viewBox="0 0 640 640" width="100%" role="img" aria-label="Clusters of two clusterings and the neurons that they share">${rows.map(band)}${column(left, 112, "end")}${column(right, 520, "start")}</svg>`;
}

export function Clusterings({ params, set }) {
  const found = useAnswer(() => ask("clusterings"), []);
  return html`<h1>Clusterings</h1>
    <${Section} title="Clusterings and how far to trust them" query="clusterings" params=${{}} limit=${50} />
    <${State} found=${found}>${({ rows }) => {
      const names = rows.map((row) => row.clustering);
      if (names.length < 2) return html`<p class="note">The atlas has one clustering: nothing to compare.</p>`;
      const [first, second] = [params.first ?? names[0], params.second ?? names[1]];
      return html`<div class="controls"><${Choice} label="Of" value=${first} options=${names} set=${(value) => set({ first: value })} /><${Choice} label="beside" value=${second} options=${names} set=${(value) => set({ second: value })} /></div>
        <${Section} title="Clusters that share neurons" query="cluster_matches" params=${{ clustering: first, other: second }} limit=${120} render=${(value) => html`<${Alluvial} rows=${value.rows} />`} empty="These clusterings share no matches." />
        <${Section} title="The same as a table" query="cluster_matches" params=${{ clustering: first, other: second }} limit=${20} />`;
    }}<//>`;
}
