import { ask } from "../driver.js";
import { Asked, Facts, Section, State, Table, Token, useAnswer } from "../parts.js";
import { Histogram } from "../charts.js";
import { link, number, visible } from "../text.js";
import { html } from "../vendor/preact.js";

const NEAR = ["neuron_id", "label", "mean_weight", "graph_count", "group_count", "target_share", "frequency", "positive_share", "std_weight", "cluster_path"];
const TOKENS = ["token", "mean_weight", "graph_count", "count"];

function Head({ id, found, labels }) {
  const row = found.rows[0];
  return html`
    <h1>${id} <small>${row ? visible(row.label ?? "no label", 300) : "in no graph of this atlas"}</small></h1>
    ${row && html`<${Facts} facts=${[
      ["description", row.description],
      ["circuit", row.cluster_path && html`<a href=${link("circuit", row.cluster_path)}>${row.cluster_path}</a>`],
      ["seen in", row.graph_count === null ? "not counted" : `${number(row.graph_count)} graphs, ${number(row.node_count)} nodes`],
      ["edges", `${number(row.in_degree)} in, ${number(row.out_degree)} out`],
      ["activation", row.max_activation === null ? null : `${number(row.min_activation)} to ${number(row.max_activation)}, mean ${number(row.mean_activation)}`],
    ]} />`}
    <p class="controls"><a href=${link("find", undefined, { q: `upstream(${id}, hops=2)` })}>upstream, two steps</a> <a href=${link("find", undefined, { q: `similar(${id})` })}>similar</a></p>`;
}

export function Context({ before, token, behind }) {
  return html`<span class="token">${visible(before ?? "", 200)}<mark>${visible(token ?? "", 80)}</mark>${visible(behind ?? "", 200)}</span>`;
}

// Where a unit is active, by how strongly.
function Examples({ id }) {
  return html`<${Section} title="Where it is active, by stratum" query="examples" params=${{ unit: id }} limit=${40} empty=${null} wide render=${({ rows }) => html`
    <div class="scroll" tabindex="0" role="region" aria-label="Examples"><table><thead><tr><th scope="col">stratum</th><th scope="col" class="number">value</th><th scope="col">text</th><th scope="col">document</th></tr></thead>
    <tbody>${rows.map((row) => html`<tr><td>${visible(row.stratum, 40)}</td><td class="number">${number(row.value)}</td><td class="text"><${Context} ...${row} /></td><td class="text">${visible(row.document ?? "", 60)}</td></tr>`)}</tbody></table></div>`} />`;
}

function Activity({ id }) {
  return html`
    <${Section} title="Sizes of activations" query="activation_histogram" params=${{ unit: id }} limit=${500} empty=${null} render=${({ rows }) => html`<${Histogram} title=${`Sizes of activations of ${id}`} bars=${rows.map((row) => (row.sign < 0 ? { ...row, low: -row.high, high: -row.low } : row)).sort((a, b) => a.low - b.low)} />`} />
    <${Section} title="Tokens it is active on" query="tokens_of" params=${{ unit: id }} columns=${["relation", "token", "mass_share", "precision", "recall", "lift", "active_count"]} empty=${null} />
    <${Section} title="Active on the same tokens" query="coactive" params=${{ unit: id }} columns=${["other_id", "label", "jaccard", "cosine", "joint_count", "edge_graph_count", "cluster_path"]} empty=${null} />`;
}

export function Neuron({ name, params, set }) {
  const found = useAnswer(() => Promise.all([ask("neuron", { neuron: name }), ask("labels", { neuron: name, limit: 50 })]), [name]);
  const least = Number(params.min_graphs) || undefined;
  const near = { neuron: name, min_graphs: least };
  return html`<${State} found=${found}>${([neuron, labels]) => html`
    <${Head} id=${name} found=${neuron} />
    ${labels.rows.length > 0 && html`<section class="card"><header><h2>Labels</h2></header><${Table} caption="Labels" rows=${labels.rows} columns=${["text", "kind", "source", "model", "confidence", "score", "is_uninformative"]} /></section>`}
    <div class="controls"><label>Edges in at least <input type="number" min="1" size="5" value=${params.min_graphs ?? 1} onChange=${(event) => set({ min_graphs: event.target.value > 1 ? event.target.value : "" })} /> graphs</label></div>
    <div class="grid">
      <${Section} title="Driven by" query="upstream" params=${near} columns=${NEAR} edge=${(row) => [row.neuron_id, name]} />
      <${Section} title="Drives" query="downstream" params=${near} columns=${NEAR} edge=${(row) => [name, row.neuron_id]} />
      <${Section} title="Input tokens" query="tokens_in" params=${{ neuron: name }} columns=${TOKENS} empty=${null} />
      <${Section} title="Output tokens" query="logits_out" params=${{ neuron: name }} columns=${TOKENS} empty=${null} />
      <${Section} title="Tokens that its weights promote and suppress" query="projection" params=${{ neuron: name }} columns=${["projection_kind", "direction", "token", "weight"]} empty=${null} />
      <${Activity} id=${name} />
      <${Section} title="In the same graphs" query="cooccurring" params=${{ neuron: name }} columns=${["neuron_id", "label", "joint_graph_count", "share", "lift", "npmi", "cluster_path"]} empty=${null} />
      <${Section} title="Circuits" query="circuits_of" params=${{ neuron: name }} empty=${null} />
      <${Asked} title="Similar neurons"><${Section} title="Similar neurons" query="similar_neurons" params=${{ chosen: name }} columns=${["neuron_id", "label", "cosine", "input_cosine", "output_cosine", "shared_count", "control_share"]} /><//>
      <${Section} title="Graphs" query="graphs_of" params=${{ neuron: name }} columns=${["graph_id", "prompt", "tokens", "activation_max"]} empty=${null} />
      <${Section} title="Reports, which are claims" query="reports" params=${{ neuron: name }} empty=${null} />
      <${Section} title="Evidence of the reports" query="report_evidence" params=${{ neuron: name }} columns=${["kind", "prompt", "token", "other_id", "value", "text", "file"]} limit=${20} empty=${null} />
    </div>
    <p></p><${Examples} id=${name} />`}<//>`;
}

export function Feature({ name }) {
  return html`<h1>${name} <small>feature of a dictionary</small></h1>
    <div class="grid">
      <${Section} title="Neurons that write it, read it, or are active with it" query="feature_neurons" params=${{ unit: name }} columns=${["relation", "neuron_id", "label", "strength", "cluster_path"]} />
      <${Section} title="Tokens that it promotes and suppresses" query="feature_tokens" params=${{ unit: name }} columns=${["projection_kind", "direction", "token", "weight", "centred_weight"]} empty=${null} />
      <${Activity} id=${name} />
      <${Section} title="Similar features" query="similar_units" params=${{ unit: name }} empty=${null} />
    </div>
    <p></p><${Examples} id=${name} />`;
}
