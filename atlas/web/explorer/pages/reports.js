import { sql } from "../driver.js";
import { State, Table, useAnswer } from "../parts.js";
import { html } from "../vendor/preact.js";

export function Reports() {
  const found = useAnswer(() => sql("SELECT 'L' || layer || '/N' || neuron AS neuron_id, kind, title, summary, function_type, confidence, verdict, skeptic_verdict, experiment_count, file FROM reports ORDER BY layer, neuron, kind", 1000), []);
  return html`<h1>Reports</h1><p class="note">Investigations of single neurons by people and programs, with the files they come from. They are claims, not measurements.</p>
    <section class="card"><${State} found=${found}>${({ rows, columns }) => (rows.length ? html`<${Table} rows=${rows} columns=${columns} caption="Reports" />` : html`<p class="note">The atlas holds no reports. <code>atlas import reports</code> reads them.</p>`)}<//></section>`;
}
