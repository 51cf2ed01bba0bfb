import { Section, Token as Shown } from "../parts.js";
import { link } from "../text.js";
import { html, useState } from "../vendor/preact.js";

const NEURONS = ["neuron_id", "label", "mean_weight", "graph_count", "share", "cluster_path"];

export function Token({ name, params, set }) {
  const [to, setTo] = useState(params.to ?? "");
  return html`<h1>Token <${Shown} text=${name} /></h1>
    <div class="grid">
      <${Section} title="The token" query="token" params=${{ token: name }} empty="No graph has this token; see the search in tokens." />
      <${Section} title="Neurons that it drives" query="token_neurons" params=${{ token: name, side: "in" }} columns=${NEURONS} limit=${15} empty=${null} />
      <${Section} title="Neurons that drive it as an output" query="token_neurons" params=${{ token: name, side: "out" }} columns=${NEURONS} limit=${15} empty=${null} />
      <${Section} title="Neurons and features that are active on it" query="fires_on" params=${{ token: name }} columns=${["unit_id", "label", "precision", "recall", "lift", "active_count", "cluster_path"]} limit=${15} empty=${null} />
    </div>
    <form class="controls" onSubmit=${(event) => { event.preventDefault(); set({ to }); }}><label>Paths to the output <input value=${to} onInput=${(event) => setTo(event.target.value)} /></label><button>Find</button> <a href=${link("search", undefined, { q: name.trim(), in: "tokens" })}>tokens like it</a></form>
    ${params.to && html`<${Section} title="Strongest paths" query="token_paths" params=${{ token: name, output: params.to }} limit=${15} empty="No path of up to three neurons." />`}`;
}
