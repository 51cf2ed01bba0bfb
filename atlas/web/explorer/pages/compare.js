import { ask, isStatic, sql } from "../driver.js";
import { Choice, Facts, Section, State, Table, useAnswer } from "../parts.js";
import { Volcano } from "../charts.js";
import { link, number, percent, visible } from "../text.js";
import { html, useState } from "../vendor/preact.js";

const NEURONS = ["neuron_id", "label", "top_cluster", "frequency_a", "frequency_b", "difference", "difference_low", "difference_high", "groups_a", "groups_b", "test", "p_value", "q_value"];
const EDGES = ["src_id", "src_label", "tgt_id", "tgt_label", "frequency_a", "frequency_b", "q_value", "mean_weight_a", "mean_weight_b", "mean_low", "mean_high", "mean_q_value", "groups_a", "groups_b", "test"];
// Points of the plot: the least probable ones.
const POINTS = 2000;

const quoted = (text) => `'${text.replaceAll("'", "''")}'`;

function Found({ facts }) {
  const known = Object.fromEntries(facts.map((row) => [row.key, row.value]));
  const side = (end) => `${number(Number(known[`graphs_${end}`] ?? 0))} graphs in ${number(Number(known[`groups_${end}`]))} groups of prompts${known[`where_${end}`] ? `: ${visible(known[`where_${end}`], 200)}` : ""}`;
  const counts = (kind) => `${number(Number(known[`different_${kind}`]))} of ${number(Number(known[`tested_${kind}`]))} tested`;
  return html`<section class="card"><header><h2>What differs</h2></header><${Facts} facts=${[
    ["files", known.comparison_of], ["A", side("a")], ["B", side("b")], ["groups on both sides", number(Number(known.shared_groups))],
    ["neurons", counts("neurons")], ["edges, in frequency", counts("edges")], ["edges, in mean weight", counts("means")],
  ]} />${known.detectable && html`<p class="note">${Number(known.detectable) >= 1 ? "So few groups of prompts have no power: no difference can be told from chance." : `Differences of frequency below ${percent(Number(known.detectable))} are mostly missed with so many groups of prompts.`}</p>`}
    <p class="note">At a false discovery rate of 5 % (Benjamini and Hochberg); the unit of replication is the group of prompts.</p></section>`;
}

function Comparison({ params }) {
  const found = useAnswer(() => ask("compare/facts", params), [JSON.stringify(params)]);
  return html`<${State} found=${found} waits="Comparing …">${({ rows }) => html`<${Found} facts=${rows} />
    <${Section} title="Neurons: difference, and how sure" query="compare/neurons" params=${params} limit=${POINTS} source=${false} render=${({ rows: all }) => html`
      ${all.some((row) => row.p_value !== null) ? html`<${Volcano} title="Difference of frequencies of neurons against its p-value" across="share of the graphs of A less that of B" points=${all.filter((row) => row.p_value !== null).map((row) => ({ x: row.difference, p: row.p_value, sure: row.q_value < 0.05, href: link("neuron", row.neuron_id), name: `${row.neuron_id} ${visible(row.label ?? "", 80)}: ${percent(row.frequency_a)} of A, ${percent(row.frequency_b)} of B, q ${number(row.q_value)}` }))} />` : html`<p class="note">No neuron was tested: there are too few graphs, or groups of prompts are not known.</p>`}
      <${Table} rows=${all.slice(0, 100)} columns=${NEURONS} caption="Neurons" />`} />
    <${Section} title="Edges, the surest difference first" query="compare/edges" params=${params} columns=${EDGES} limit=${30} source=${false} />
    <${Section} title="Layers, circuits and labels of which more neurons differ" query="compare/enrichment" params=${params} limit=${20} source=${false} empty="None has three tested neurons." />`}<//>`;
}

function Condition({ name, value, set, hint }) {
  return html`<label>${name} graphs where <input list="conditions" size="32" value=${value} placeholder=${hint} onInput=${(event) => set(event.target.value)} /></label>`;
}

// Two atlases, or two selections of graphs, with tests.
function Tested({ params, set, listed }) {
  const [a, setA] = useState(params.where_a ?? "");
  const [b, setB] = useState(params.where_b ?? "");
  const here = params.atlas ?? listed.atlases[0].name;
  const [other, setOther] = useState(params.other ?? here);
  const isOne = other === here;
  const kinds = useAnswer(() => sql("SELECT corpus_source AS name, count(*) AS graphs, count(DISTINCT group_id) AS groups FROM graphs WHERE corpus_source IS NOT NULL GROUP BY corpus_source HAVING count(DISTINCT group_id) > 1 ORDER BY graphs DESC, name", 100), []);
  const given = params.comparison ? { comparison: params.comparison } : params.where_a || params.where_b || params.other ? { other: params.other, where_a: params.where_a, where_b: params.where_b } : null;
  const start = () => set({ comparison: "", where_a: a, where_b: b, other: isOne ? "" : other });
  return html`<form class="controls" onSubmit=${(event) => { event.preventDefault(); start(); }}>
      <${Condition} name=${`A${listed.atlases.length > 1 ? `, ${here}:` : ":"}`} value=${a} set=${setA} hint=${isOne ? "corpus_source = 'imports'" : "all graphs"} />
      ${listed.atlases.length > 1 && html`<${Choice} label="B" value=${other} options=${listed.atlases.map((one) => one.name)} set=${setOther} />`}
      <${Condition} name=${listed.atlases.length > 1 ? "" : "B:"} value=${b} set=${setB} hint=${isOne ? "all other graphs" : "all graphs"} />
      <button>Compare</button></form>
    <${State} found=${kinds}>${({ rows }) => html`<datalist id="conditions">${rows.map((row) => html`<option value=${`corpus_source = ${quoted(row.name)}`} />`)}</datalist>
      ${!given && rows.length > 1 && html`<p class="note">One corpus against the others: ${rows.slice(0, 24).map((row) => html`<a class="chip" href=${link("compare", undefined, { where_a: `corpus_source = ${quoted(row.name)}` })}>${visible(row.name, 60)}</a> `)}</p>`}`}<//>
    ${listed.comparisons?.length > 0 && html`<p class="note">Comparisons in files: ${listed.comparisons.map(({ name, atlas }) => html`<a class="chip" href=${link("compare", undefined, { comparison: name, ...(atlas && listed.atlases.length > 1 ? { atlas } : {}) })}>${name}</a> `)}</p>`}
    ${given && html`<${Comparison} key=${JSON.stringify(given)} params=${given} />`}`;
}

// Two groups of prompts, or two lists of graphs: shares only.
function Shares({ params, set }) {
  const [first, setFirst] = useState(params.first ?? "");
  const [second, setSecond] = useState(params.second ?? "");
  const found = useAnswer(() => ask("prompt_groups", { limit: 200 }), []);
  const given = { graphs: params.first, others: params.second };
  return html`<h2>Two groups of prompts, or two lists of graphs</h2>
    <form class="controls" onSubmit=${(event) => { event.preventDefault(); set({ first, second }); }}>
      <label>Graphs <input list="groups" value=${first} onInput=${(event) => setFirst(event.target.value)} placeholder="a group of prompts, or 1, 4, 9" /></label>
      <label>against <input list="groups" value=${second} onInput=${(event) => setSecond(event.target.value)} /></label><button>Compare shares</button>
    </form>
    <${State} found=${found}>${({ rows }) => html`<datalist id="groups">${rows.map((row) => html`<option value=${row.prompt_group} />`)}</datalist>`}<//>
    ${params.first && params.second ? html`<${Section} title="Neurons that differ most" query="graph_sets" params=${given} limit=${30} note="Shares of the graphs of each side. Two groups are too few for a test." />`
      : html`<${Section} title="Groups of prompts" query="prompt_groups" params=${{}} limit=${30} /><p class="note">Single graphs: <a href=${link("graphs")}>graphs</a>.</p>`}`;
}

export function Compare({ params, set, listed }) {
  return html`<h1>Compare</h1>
    ${isStatic ? html`<p class="note">Tests with a false discovery rate need a server: atlas serve FILE.</p>` : html`<${Tested} key=${`${params.where_a} ${params.where_b} ${params.other}`} params=${params} set=${set} listed=${listed} />`}
    ${!params.comparison && !params.where_a && !params.where_b && !params.other && html`<${Shares} params=${params} set=${set} />`}`;
}
