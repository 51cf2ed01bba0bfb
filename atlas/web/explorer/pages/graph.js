import { ask, graphAddress, isStatic } from "../driver.js";
import { Choice, Section, State, Table, Token, useAnswer } from "../parts.js";
import { link, number, visible } from "../text.js";
import { html, useMemo, useState } from "../vendor/preact.js";

const LINKS = 20000, DRAWN = 400;

export function Graphs() {
  return html`<h1>Graphs</h1><p class="note">One graph is one prompt.</p>
    <${Section} title="Graphs" query="graphs" params=${{}} columns=${["graph_id", "prompt", "prompt_group", "neuron_count", "link_count", "dropped_count"]} limit=${100} />`;
}

async function read(id) {
  const [nodes, links, all] = await Promise.all([ask("graph_nodes", { graph_id: id, limit: 100000 }), ask("graph_links", { graph_id: id, limit: LINKS }), ask("unusual_neurons", { graph_id: id, limit: 1000 })]);
  const unusual = new Map(all.rows.map((row) => [row.neuron_id, row.surprise]));
  return { nodes: nodes.rows, links: links.rows, cut: links.truncated, unusual };
}

// A place for every node: positions of tokens from left to right, layers from the bottom up; nodes of one place side by side.
function places(nodes) {
  const layers = [...new Set(nodes.filter((node) => node.kind === "neuron").map((node) => node.layer))].sort((a, b) => a - b);
  const row = (node) => (node.kind === "neuron" ? 1 + layers.indexOf(node.layer) : node.kind === "logit" ? layers.length + 1 : 0);
  const cells = new Map();
  for (const node of nodes) {
    const key = `${node.position} ${row(node)}`;
    cells.set(key, [...(cells.get(key) ?? []), node]);
  }
  const positions = [...new Set(nodes.map((node) => node.position))].sort((a, b) => a - b);
  const widths = positions.map((position) => Math.max(34, ...[...cells].filter(([key]) => key.startsWith(`${position} `)).map(([, members]) => 12 * Math.min(members.length, 14))));
  const lefts = widths.map((_, at) => 50 + widths.slice(0, at).reduce((sum, one) => sum + one + 8, 0));
  const found = new Map();
  for (const members of cells.values()) {
    members.forEach((node, at) => {
      const column = positions.indexOf(node.position);
      const inRow = Math.min(members.length, 14);
      found.set(node.node, { node, x: lefts[column] + widths[column] / 2 + 12 * ((at % 14) - (inRow - 1) / 2), y: 40 + (layers.length + 1 - row(node)) * 62 + 10 * Math.floor(at / 14) });
    });
  }
  const tokens = positions.map((position, at) => ({ position, x: lefts[at] + widths[at] / 2, text: nodes.find((node) => node.position === position && node.kind === "token")?.token }));
  return { found, tokens, layers: layers.map((layer, at) => ({ layer, y: 40 + (layers.length - at) * 62 })), width: lefts.at(-1) + widths.at(-1) + 20, height: 40 + (layers.length + 1) * 62 + 46 };
}

const name = (node) => (node.kind === "neuron" ? `${node.neuron_id} ${visible(node.label ?? "", 120)}` : `${node.kind} ${visible(node.token ?? "", 60)}${node.probability ? `, probability ${number(node.probability)}` : ""}`);

function Drawing({ graph, pinned, pin, colour }) {
  const plan = useMemo(() => places(graph.nodes), [graph]);
  const most = Math.max(...graph.links.map((one) => Math.abs(one.weight)), 1e-12);
  const chosen = new Set(pinned);
  const shown = (pinned.length ? graph.links.filter((one) => chosen.has(one.source) || chosen.has(one.target)) : graph.links).slice(0, DRAWN);
  const near = pinned.length ? new Set([...pinned, ...shown.flatMap((one) => [one.source, one.target])]) : null;
  const surprise = Math.max(...graph.unusual.values(), 1e-12);
  const groups = [...new Set(graph.nodes.map((node) => node.cluster_path).filter(Boolean))].sort();
  const fill = (node) => {
    if (node.kind !== "neuron") return undefined;
    if (colour === "unusual") { const share = (graph.unusual.get(node.neuron_id) ?? 0) / surprise; return share ? `rgba(200, 60, 30, ${0.1 + 0.9 * share})` : undefined; }
    const at = groups.indexOf(node.cluster_path);
    return at < 0 ? undefined : `hsl(${(at * 137.5) % 360} 60% 62%)`;
  };
  const keys = (event, id) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pin(id); } };
  return html`<div class="scroll"><svg viewBox=${`0 0 ${plan.width} ${plan.height}`} width=${Math.max(plan.width, 600)} role="group" aria-label="Nodes by token and layer">
    ${plan.layers.map((row) => html`<text class="soft" x="4" y=${row.y + 4}>L${row.layer}</text>`)}
    ${shown.map((one) => { const [a, b] = [plan.found.get(one.source), plan.found.get(one.target)]; return a && b && html`<path class=${`edge ${one.weight < 0 ? "down" : "up"}`} opacity=${0.2 + (0.7 * Math.abs(one.weight)) / most} stroke-width=${0.5 + (3 * Math.abs(one.weight)) / most} d=${`M${a.x} ${a.y}L${b.x} ${b.y}`}><title>${number(one.weight)}</title></path>`; })}
    ${[...plan.found.values()].map(({ node, x, y }) => html`<circle class=${`dot${chosen.has(node.node) ? " pinned" : ""}${near && !near.has(node.node) ? " faded" : ""}`} cx=${x} cy=${y} r="4.6" style=${{ fill: fill(node) }} tabindex="0" role="button" aria-pressed=${chosen.has(node.node)} aria-label=${name(node)} onClick=${() => pin(node.node)} onKeyDown=${(event) => keys(event, node.node)}><title>${name(node)}</title></circle>`)}
    ${plan.tokens.map((one) => html`<text x=${one.x} y=${plan.height - 22} text-anchor="middle">${visible(one.text ?? "", 12)}</text><text class="soft" x=${one.x} y=${plan.height - 6} text-anchor="middle">${one.position}</text>`)}
  </svg></div>`;
}

// Sums of the links between circuits, tokens and outputs: circuits of many graphs as the supernodes of this one.
function supernodes({ nodes, links }) {
  const group = new Map(nodes.map((node) => [node.node, node.kind === "neuron" ? (node.cluster_path ? `circuit ${node.cluster_path}` : "other neurons") : `${node.kind} ${visible(node.token ?? "", 20)}`]));
  const sums = new Map();
  for (const one of links) {
    const key = JSON.stringify([group.get(one.source), group.get(one.target)]);
    const sum = sums.get(key) ?? { from: group.get(one.source), to: group.get(one.target), link_count: 0, weight: 0, abs_weight: 0 };
    sum.link_count++; sum.weight += one.weight; sum.abs_weight += Math.abs(one.weight);
    sums.set(key, sum);
  }
  return [...sums.values()].filter((one) => one.from !== one.to).sort((a, b) => b.abs_weight - a.abs_weight).slice(0, 40);
}

export function Graph({ name: id, params, set }) {
  const found = useAnswer(() => read(id), [id]);
  const pinned = (params.pin ?? "").split(",").filter(Boolean).map(Number);
  const pin = (node) => set({ pin: (pinned.includes(node) ? pinned.filter((one) => one !== node) : [...pinned, node]).join(",") });
  const colour = params.colour ?? "circuit";
  return html`<${State} found=${found}>${(graph) => {
    const words = graph.nodes.filter((node) => node.kind === "token").sort((a, b) => a.position - b.position);
    const outputs = graph.nodes.filter((node) => node.kind === "logit").sort((a, b) => b.probability - a.probability);
    const byId = new Map(graph.nodes.map((node) => [node.node, node]));
    const own = pinned.length ? graph.links.filter((one) => pinned.includes(one.source) || pinned.includes(one.target)) : [];
    return html`<h1>Graph ${id}</h1>
      <p>${[...new Map(words.map((node) => [node.position, node])).values()].map((node) => html`<${Token} text=${node.token ?? "?"} />`)} → ${outputs.slice(0, 6).map((node) => html`<a href=${link("token", node.token ?? "")}><${Token} text=${node.token ?? "?"} /></a> <small>${number(node.probability)}</small> `)}</p>
      <section class="card wide"><header><h2>Nodes by token and layer</h2><div class="tools">${!isStatic && html`<a href=${graphAddress(id)} download=${`graph-${id}.json`}>For Neuronpedia</a>`}</div></header>
        <div class="controls"><${Choice} label="Colour" value=${colour} options=${["circuit", "unusual"]} set=${(value) => set({ colour: value })} />${pinned.length > 0 && html`<button type="button" onClick=${() => set({ pin: "" })}>Unpin ${pinned.length}</button>`}</div>
        ${graph.nodes.length ? html`<${Drawing} graph=${graph} pinned=${pinned} pin=${pin} colour=${colour} />
          <p class="note">${number(graph.nodes.length)} nodes; ${pinned.length ? `links of ${pinned.length} pinned` : "the strongest links"}, at most ${number(DRAWN)} of ${number(graph.links.length)}${graph.cut ? " and more" : ""}. Choose nodes to pin them.</p>` : html`<p class="note">The nodes of this graph are not in this file; atlas graph FILE ${id} reads them where the statistics lie beside it.</p>`}
        ${own.length > 0 && html`<${Table} caption="Links of the pinned nodes" columns=${["from", "to", "weight"]} rows=${own.slice(0, 60).map((one) => ({ from: name(byId.get(one.source)), to: name(byId.get(one.target)), weight: one.weight }))} />`}
      </section>
      <div class="grid">
        <${Section} title="Unusual neurons" note="Few other groups of prompts have them." query="unusual_neurons" params=${{ graph_id: id }} columns=${["neuron_id", "label", "other_group_count", "other_groups", "surprise", "activation_max", "cluster_path"]} empty=${null} />
        <${Section} title="Unusual edges" note="Both ends are usual together, the edge is not." query="unusual_edges" params=${{ graph_id: id }} columns=${["src_id", "src_label", "tgt_id", "tgt_label", "weight", "other_group_count", "joint_group_count", "surprise"]} empty=${null} />
        <${Section} title="Usual neurons that are missing" query="missing_neurons" params=${{ graph_id: id }} columns=${["neuron_id", "label", "other_group_count", "other_groups", "cluster_path"]} empty=${null} />
        ${graph.links.length > 0 && html`<section class="card"><header><h2>Between circuits of this graph</h2></header><${Table} caption="Between circuits" columns=${["from", "to", "link_count", "weight", "abs_weight"]} rows=${supernodes(graph)} /></section>`}
      </div>`;
  }}<//>`;
}
