import { ask } from "../driver.js";
import { Section, State, useAnswer } from "../parts.js";
import { link } from "../text.js";
import { html, useState } from "../vendor/preact.js";

// Two groups of prompts, or two lists of graphs.
export function Compare({ params, set }) {
  const [first, setFirst] = useState(params.first ?? "");
  const [second, setSecond] = useState(params.second ?? "");
  const found = useAnswer(() => ask("prompt_groups", { limit: 200 }), []);
  const given = { graphs: params.first, others: params.second };
  return html`<h1>Compare graphs</h1>
    <form class="controls" onSubmit=${(event) => { event.preventDefault(); set({ first, second }); }}>
      <label>Graphs <input list="groups" value=${first} onInput=${(event) => setFirst(event.target.value)} placeholder="a group of prompts, or 1, 4, 9" /></label>
      <label>against <input list="groups" value=${second} onInput=${(event) => setSecond(event.target.value)} /></label><button>Compare</button>
    </form>
    <${State} found=${found}>${({ rows }) => html`<datalist id="groups">${rows.map((row) => html`<option value=${row.prompt_group} />`)}</datalist>`}<//>
    ${params.first && params.second ? html`<${Section} title="Neurons that differ most" query="graph_sets" params=${given} limit=${30} note="Shares of the graphs of each side; tests with a false discovery rate: atlas compare." />`
      : html`<${Section} title="Groups of prompts" query="prompt_groups" params=${{}} limit=${30} /><p class="note">Single graphs: <a href=${link("graphs")}>graphs</a>.</p>`}`;
}
