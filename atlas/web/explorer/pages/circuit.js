import { ask } from "../driver.js";
import { Facts, Section, State, useAnswer } from "../parts.js";
import { Matrix, MOST_EDGES, Network } from "../charts.js";
import { link, number, percent, visible } from "../text.js";
import { html } from "../vendor/preact.js";

function Trust({ row }) {
  const share = (value) => (value === null ? null : percent(value));
  return html`<${Facts} facts=${[
    ["neurons", `${number(row.size)}, layers ${row.layer_min} to ${row.layer_max}`],
    ["graphs", row.graph_count],
    ["found again in other prompts", row.is_found_again === null ? "not tested" : html`<span class=${row.is_found_again ? "good" : "poor"}>${row.is_found_again ? "yes" : "no"}</span>`],
    ["agreement of two halves", row.half_agreement === null ? null : `${share(row.half_agreement)}; ${share(row.control_agreement)} of random sets of the same layers`],
    ["support", share(row.support)],
    ["against the null model", row.null_p === null ? null : `p = ${number(row.null_p)}, false discovery rate ${number(row.null_fdr)}`],
    ["effect of cutting it", row.effect === null ? null : `${number(row.effect)}; at most ${number(row.control_effect_max)} of random sets alike`],
    ["sign coherence", share(row.sign_coherence)],
    ["conductance", number(row.conductance)],
    ["labels", row.sample_labels?.map((label) => html`<span class="chip">${visible(label, 80)}</span>`)],
  ]} />`;
}

async function wired(name) {
  const found = await ask("circuit_edges", { cluster_path: name, limit: MOST_EDGES });
  const nodes = new Map();
  const add = (id, label) => nodes.set(id, { id, layer: Number(id.slice(1).split("/")[0]), label });
  for (const row of found.rows) { add(row.src_id, row.src_label); add(row.tgt_id, row.tgt_label); }
  const edges = found.rows.map((row) => ({ src: row.src_id, tgt: row.tgt_id, weight: row.mean_weight, count: row.graph_count }));
  return { nodes: [...nodes.values()], truncated: found.truncated, edges };
}

function Drawing({ name, view, set }) {
  const found = useAnswer(() => wired(name), [name]);
  return html`<section class="card wide"><header><h2>Wiring</h2><div class="tools"><button type="button" class="plain" onClick=${() => set({ view: view === "matrix" ? "" : "matrix" })}>${view === "matrix" ? "Drawing" : "Matrix"}</button></div></header>
    <${State} found=${found}>${(net) => !net.edges.length ? html`<p class="note">No edges between its neurons.</p>` : view === "matrix"
      ? html`<${Matrix} title=${`Edges inside circuit ${name}`} names=${net.nodes.sort((a, b) => a.layer - b.layer || (a.id < b.id ? -1 : 1)).map((node) => node.id)} cells=${net.edges.map((edge) => ({ row: edge.src, column: edge.tgt, value: edge.weight }))} />`
      : html`${net.truncated && html`<p class="note">Only the strongest ${number(MOST_EDGES)} edges are drawn; all are in the table below.</p>`}<${Network} title=${`Wiring of circuit ${name}`} nodes=${net.nodes} edges=${net.edges} />`}<//>
  </section>`;
}

export function Circuit({ name, params, set }) {
  const found = useAnswer(() => ask("circuits", { path: name, limit: 5 }), [name]);
  return html`<${State} found=${found}>${({ rows }) => {
    const row = rows[0];
    return html`<h1>Circuit ${name} <small>${visible(row?.name ?? "", 300)}</small></h1>
      ${row ? html`<${Trust} row=${row} />` : html`<p class="error" role="alert">The atlas has no circuit ${visible(name, 80)}. <a href=${link("circuits")}>All circuits</a></p>`}
      ${row && html`<p></p><${Drawing} name=${name} view=${params.view} set=${set} />
      <div class="grid">
        <${Section} title="Members" query="circuit_neurons" params=${{ circuit: name }} columns=${["neuron_id", "label", "role", "rank", "weight", "confidence"]} limit=${25} />
        <${Section} title="Tokens in and out" query="circuit_ends" params=${{ circuit: name }} columns=${["side", "token", "neuron_count", "weight", "abs_weight"]} limit=${20} empty=${null} />
        <${Section} title="Circuits that it drives, and that drive it" query="circuit_partners" params=${{ circuit: name }} limit=${15} empty=${null} />
        <${Section} title="Graphs in which it acts" query="circuit_graphs" params=${{ circuit: name }} columns=${["graph_id", "prompt", "active_count", "active_share"]} limit=${15} empty=${null} />
        <${Section} title="Edges inside" query="circuit_edges" params=${{ cluster_path: name }} columns=${["src_id", "src_label", "tgt_id", "tgt_label", "mean_weight", "graph_count"]} limit=${25} />
        ${row.anchor && html`<${Section} title="Strongest paths through it" query="circuit_paths" params=${{ circuit: name }} limit=${10} empty=${null} />`}
      </div>`}`;
  }}<//>`;
}
