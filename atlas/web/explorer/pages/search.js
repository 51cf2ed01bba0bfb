import { isStatic } from "../driver.js";
import { Section } from "../parts.js";
import { html, useState } from "../vendor/preact.js";

export function Search({ params, set }) {
  const words = params.q ?? "";
  if (!words) return html`<h1>Search</h1><p class="note">Write words of labels, the id of a neuron, or a condition such as <code>layer >= 2 && graphs >= 20</code> into the field above.</p>`;
  return html`<h1>Search <small>${words}</small></h1>
    <${Section} title="Neurons" query="search" params=${{ words }} columns=${["neuron_id", "text", "kind", "terms", "score", "graph_count", "cluster_path"]} limit=${20} empty="No label has these words." />
    <div class="grid">
      <${Section} title="Circuits" query="search_circuits" params=${{ words }} limit=${10} empty="No circuit is named so." />
      <${Section} title="Tokens" query="search_tokens" params=${{ words }} columns=${["token", "input_graph_count", "output_graph_count"]} limit=${10} empty="No token has these letters." />
    </div>`;
}

const EXAMPLES = isStatic ? ['label ~ "list" && layer >= 2', "graphs >= 100", "degree > 500", 'circuit("1")'] : ['label ~ "list" && layer >= 2', "graphs >= 100 && !circuit(1)", "upstream(L4/N45, hops=2)", "degree > 500 || share >= 0.5"];

export function Find({ params, set }) {
  const [text, setText] = useState(params.q ?? "");
  return html`<h1>Find neurons</h1>
    <form class="controls" onSubmit=${(event) => { event.preventDefault(); set({ q: text }); }}>
      <input class="grow" size="60" aria-label="Condition" value=${text} onInput=${(event) => setText(event.target.value)} /><button>Find</button>
    </form>
    ${isStatic && html`<p class="note">Without a server: ids, circuit("12.3"), and conditions on columns of the table neurons; steps along edges are for atlas find.</p>`}
    <p class="note">For example ${EXAMPLES.map((one) => html`<button type="button" class="chip" onClick=${() => { setText(one); set({ q: one }); }}>${one}</button>`)}</p>
    ${params.q && html`<${Section} title="Neurons" query="find" params=${{ chosen: params.q }} columns=${["neuron_id", "label", "graph_count", "group_count", "in_degree", "out_degree", "cluster_path"]} limit=${50} />
      <div class="grid"><${Section} title="Common inputs" query="common_partners" params=${{ chosen: params.q, direction: "inputs" }} limit=${15} />
      <${Section} title="Common outputs" query="common_partners" params=${{ chosen: params.q, direction: "outputs" }} limit=${15} /></div>`}`;
}
