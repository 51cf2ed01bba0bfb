// Drawings as SVG: layered networks, histograms, matrices, points.
import { link, number, visible } from "./text.js";
import { html, useMemo, useState } from "./vendor/preact.js";

export const MOST_EDGES = 2000;

// Places of neurons: one row per layer, the first at the bottom; in a row, near the neurons they are wired to.
export function layered(nodes, edges, width = 1000, step = 84) {
  const layers = [...new Set(nodes.map((node) => node.layer))].sort((a, b) => a - b);
  const rows = layers.map((layer) => nodes.filter((node) => node.layer === layer));
  const near = new Map(nodes.map((node) => [node.id, []]));
  for (const edge of edges) {
    near.get(edge.src)?.push([edge.tgt, Math.abs(edge.weight)]);
    near.get(edge.tgt)?.push([edge.src, Math.abs(edge.weight)]);
  }
  const place = new Map();
  const spread = (row) => row.forEach((node, at) => place.set(node.id, (at + 0.5) / row.length));
  rows.forEach(spread);
  const middle = (node) => {
    let sum = 0, weight = 0;
    for (const [other, size] of near.get(node.id)) { sum += place.get(other) * size; weight += size; }
    return weight ? sum / weight : place.get(node.id);
  };
  for (let sweep = 0; sweep < 8; sweep++) {
    for (const row of sweep % 2 ? [...rows].reverse() : rows) {
      const wanted = new Map(row.map((node) => [node.id, middle(node)]));
      row.sort((a, b) => wanted.get(a.id) - wanted.get(b.id) || (a.id < b.id ? -1 : 1));
      spread(row);
    }
  }
  const widest = Math.max(...rows.map((row) => row.length));
  const across = Math.max(width, widest * 26);
  const found = new Map();
  rows.forEach((row, at) => row.forEach((node) => found.set(node.id, { ...node, x: 60 + place.get(node.id) * (across - 80), y: 30 + (rows.length - 1 - at) * step })));
  const room = new Map(rows.map((row, at) => [layers[at], across / row.length]));
  return { nodes: found, room, layers: layers.map((layer, at) => ({ layer, y: 30 + (rows.length - 1 - at) * step })), width: across, height: 60 + (rows.length - 1) * step };
}

export function Network({ nodes, edges, title, total }) {
  const [pinned, setPinned] = useState(null);
  const drawn = useMemo(() => [...edges].sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight)).slice(0, MOST_EDGES), [edges]);
  const plan = useMemo(() => layered(nodes, drawn), [nodes, drawn]);
  const most = Math.max(...drawn.map((edge) => Math.abs(edge.weight)), 1e-12);
  const near = pinned && new Set([pinned, ...drawn.flatMap((edge) => (edge.src === pinned ? [edge.tgt] : edge.tgt === pinned ? [edge.src] : []))]);
  const labelled = nodes.length <= 70;
  const all = total ?? edges.length;
  const name = (node) => `${node.id}${node.label ? ` ${visible(node.label, 120)}` : ""}`;
  const keys = (event, id) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); setPinned(pinned === id ? null : id); } };
  return html`<div>
    <p class="note">${number(nodes.length)} neurons, ${all > drawn.length ? `the strongest ${number(drawn.length)} of ${number(all)}` : number(drawn.length)} edges; <span class="up">blue drives</span>, <span class="down">red suppresses</span>; the first layer is at the bottom. Choose a neuron to see its edges${pinned ? html`: <a href=${link("neuron", pinned)}>${name(plan.nodes.get(pinned))}</a>` : ""}.</p>
    <div class="scroll"><svg class="network" viewBox=${`0 0 ${plan.width} ${plan.height}`} width="100%" role="group" aria-label=${title}>
      ${plan.layers.map((row) => html`<text class="soft" x="4" y=${row.y + 4}>L${row.layer}</text>`)}
      ${drawn.map((edge) => {
        const [a, b] = [plan.nodes.get(edge.src), plan.nodes.get(edge.tgt)];
        if (!a || !b) return null;
        const bend = a.y === b.y ? 36 : (a.y - b.y) / 2;
        const faded = near && edge.src !== pinned && edge.tgt !== pinned;
        return html`<path class=${`edge ${edge.weight < 0 ? "down" : "up"}${faded ? " faded" : ""}`} opacity=${faded ? undefined : 0.25 + (0.65 * Math.abs(edge.weight)) / most} stroke-width=${0.6 + (3 * Math.abs(edge.weight)) / most} d=${`M${a.x} ${a.y}C${a.x} ${a.y - bend} ${b.x} ${b.y + bend} ${b.x} ${b.y}`}><title>${`${edge.src} → ${edge.tgt}: ${number(edge.weight)}${edge.count ? `, ${number(edge.count)} graphs` : ""}`}</title></path>`;
      })}
      ${[...plan.nodes.values()].map((node) => html`<g class=${near && !near.has(node.id) ? "faded" : ""}>
        <circle class=${`dot${pinned === node.id ? " pinned" : ""}`} cx=${node.x} cy=${node.y} r=${labelled ? 7 : 4.5} tabindex="0" role="button" aria-pressed=${pinned === node.id} aria-label=${name(node)} onClick=${() => setPinned(pinned === node.id ? null : node.id)} onKeyDown=${(event) => keys(event, node.id)} onDblClick=${() => { location.hash = link("neuron", node.id); }}><title>${name(node)}</title></circle>
        ${plan.room.get(node.layer) > 92 && html`<text x=${node.x} y=${node.y + 19} text-anchor="middle">${visible(node.label || node.id, 16)}</text>`}
      </g>`)}
    </svg></div></div>`;
}

// Bars between bounds: rows of {low, high, count, sign}.
export function Histogram({ bars, title }) {
  const most = Math.max(...bars.map((bar) => bar.count), 1);
  const width = 600 / bars.length;
  return html`<svg class="chart" viewBox="0 0 640 150" width="100%" role="img" aria-label=${title}>
    <line class="axis" x1="20" x2="620" y1="122" y2="122" />
    ${bars.map((bar, at) => html`<rect class=${`fill${bar.sign < 0 ? " down" : ""}`} x=${20 + at * width} width=${Math.max(width - 1, 0.5)} y=${122 - (112 * Math.log1p(bar.count)) / Math.log1p(most)} height=${(112 * Math.log1p(bar.count)) / Math.log1p(most)}><title>${`${number(bar.low)} to ${number(bar.high)}: ${number(bar.count)}`}</title></rect>`)}
    <text class="soft" x="20" y="140">${number(bars[0].low)}</text><text class="soft" x="620" y="140" text-anchor="end">${number(bars.at(-1).high)}</text>
    <text class="soft" x="320" y="140" text-anchor="middle">bars: logarithm of counts, at most ${number(most)}</text>
  </svg>`;
}

// Signed cells of a square: cells of {row, column, value}.
export function Matrix({ names, cells, title }) {
  const most = Math.max(...cells.map((cell) => Math.abs(cell.value)), 1e-12);
  const size = Math.max(4, Math.min(18, 620 / names.length));
  const at = new Map(names.map((name, place) => [name, place]));
  const edge = names.length * size;
  return html`<div class="scroll"><svg viewBox=${`0 0 ${edge + 90} ${edge + 10}`} width=${Math.min(edge + 90, 800)} role="img" aria-label=${title}>
    <rect x="80" y="4" width=${edge} height=${edge} fill="none" class="axis" stroke-width="1" />
    ${size >= 9 && names.map((name, place) => html`<text x="76" y=${4 + (place + 0.75) * size} text-anchor="end">${name}</text>`)}
    ${cells.map((cell) => html`<rect class=${`fill${cell.value < 0 ? " down" : ""}`} opacity=${0.12 + (0.88 * Math.abs(cell.value)) / most} x=${80 + at.get(cell.column) * size} y=${4 + at.get(cell.row) * size} width=${size} height=${size}><title>${`${cell.row} → ${cell.column}: ${number(cell.value)}`}</title></rect>`)}
  </svg></div>`;
}

// Points of {x, y, name, href, sign}.
export function Points({ points, title, across, up }) {
  const [left, right] = [Math.min(...points.map((one) => one.x)), Math.max(...points.map((one) => one.x))];
  const most = Math.max(...points.map((one) => one.y), 1e-12);
  const x = (value) => 50 + (570 * (value - left)) / (right - left || 1);
  return html`<svg class="chart" viewBox="0 0 640 300" width="100%" role="group" aria-label=${title}>
    <line class="axis" x1="50" x2="620" y1="262" y2="262" /><line class="axis" x1="50" x2="50" y1="10" y2="262" />
    ${points.map((one) => html`<a href=${one.href} aria-label=${one.name}><circle class=${`fill${one.sign < 0 ? " down" : ""}`} opacity="0.65" cx=${x(one.x)} cy=${262 - (250 * one.y) / most} r="3.4"><title>${one.name}</title></circle></a>`)}
    <text class="soft" x="335" y="292" text-anchor="middle">${across} (${number(left)} to ${number(right)})</text>
    <text class="soft" x="14" y="140" text-anchor="middle" transform="rotate(-90 14 140)">${up} (to ${number(most)})</text>
  </svg>`;
}

// Differences and how sure they are: points of {x, p, sure, name, href}. Those that are sure are links.
export function Volcano({ points, title, across }) {
  const high = Math.max(...points.map((one) => -Math.log10(Math.max(one.p, 1e-300))), 1);
  const wide = Math.max(...points.map((one) => Math.abs(one.x)), 1e-12);
  const place = (one) => [335 + (280 * one.x) / wide, 262 + (250 * Math.log10(Math.max(one.p, 1e-300))) / high];
  const dot = (one) => { const [x, y] = place(one); return html`<circle class=${one.sure ? `fill${one.x < 0 ? " down" : ""}` : "dot-soft"} opacity=${one.sure ? 0.8 : 0.4} cx=${x} cy=${y} r=${one.sure ? 3.6 : 2.4}><title>${one.name}</title></circle>`; };
  const sure = points.filter((one) => one.sure);
  const line = sure.length ? Math.max(...sure.map((one) => place(one)[1])) + 3 : null;
  return html`<svg class="chart" viewBox="0 0 640 300" width="100%" role="group" aria-label=${title}>
    <line class="axis" x1="50" x2="620" y1="262" y2="262" /><line class="axis" x1="335" x2="335" y1="10" y2="262" />
    ${line !== null && html`<line class="axis" stroke-dasharray="4 4" x1="50" x2="620" y1=${line} y2=${line} />`}
    ${points.filter((one) => !one.sure).map(dot)}
    ${sure.map((one) => html`<a href=${one.href} aria-label=${one.name}>${dot(one)}</a>`)}
    <text class="soft" x="335" y="292" text-anchor="middle">${across} (${number(-wide)} to ${number(wide)})${line === null ? "" : "; above the dashed line: false discovery rate below 5 %"}</text>
    <text class="soft" x="14" y="140" text-anchor="middle" transform="rotate(-90 14 140)">−log10 of p (to ${number(high)})</text>
  </svg>`;
}
