import { ask } from "../driver.js";
import { Asked, Facts, Section, State, Table, useAnswer } from "../parts.js";
import { link, visible } from "../text.js";
import { html } from "../vendor/preact.js";

const SHOWN = ["total_graphs", "total_groups", "effective_groups", "total_neurons", "total_edges", "labels_in_atlas", "labelled_neurons", "clustered_neurons", "created", "tool_version"];

export function Home() {
  const found = useAnswer(async () => {
    const [card, facts] = await Promise.all([ask("data_card"), ask("metadata", { limit: 10000 })]);
    return { card: Object.fromEntries(card.rows.map((row) => [row.section, row.text])), facts: Object.fromEntries(facts.rows.map((row) => [row.key, row.value])) };
  }, []);
  return html`<${State} found=${found}>${({ card, facts }) => html`
      <h1>${visible(card.title ?? facts.model ?? "Atlas")} <small>${visible(facts.model ?? "")}</small></h1>
      ${card.description && html`<p>${visible(card.description, 1200)}</p>`}
      ${facts.slim && html`<p class="note">This atlas is slim: it holds ${visible(facts.slim)}.</p>`}
      <div class="grid">
        <section class="card"><header><h2>What this is</h2></header><${Facts} facts=${["model", "corpora", "method", "contents", "labels", "trust", "limits", "licences"].map((name) => [name, card[name]])} /></section>
        <section class="card"><header><h2>Counts</h2></header><${Facts} facts=${SHOWN.filter((name) => name in facts).map((name) => [name.replaceAll("_", " "), /^\d+$/.test(facts[name]) ? Number(facts[name]) : facts[name]])} />
          <p class="note">All facts: <a href=${link("sql", undefined, { q: "FROM metadata" })}>FROM metadata</a>; tables and views: <a href=${link("sql", undefined, { q: "FROM help" })}>FROM help</a>.</p></section>
      </div><p></p>
    `}<//>
    <div class="grid">
      <${Section} title="Circuits that are found again in other prompts" query="circuits" params=${{ found_again: true }} columns=${["circuit_id", "name", "size", "half_agreement", "effect", "sample_labels"]} limit=${12} empty="No circuit is found again in other prompts: none is more than a description of these." />
      <${Section} title="Hubs" query="hubs" params=${{}} columns=${["neuron_id", "label", "degree", "graph_count", "graph_share", "top_cluster"]} limit=${12} />
      <${Asked} title="Edges that recur"><${Section} title="Edges that recur" query="recurring_edges" params=${{}} columns=${["src_id", "src_label", "tgt_id", "tgt_label", "graph_count", "mean_weight"]} limit=${12} /><//>
      <${Section} title="How far clusterings can be trusted" query="clusterings" params=${{}} columns=${["clustering", "is_primary", "method", "neuron_count", "cluster_count", "found_again_count", "half_ami", "seed_ami"]} limit=${12} empty="The atlas has no clusterings." />
    </div>`;
}
