"""Index of a folder of reports: a table that works without scripts, and a filter where they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from atlas.query.client import Atlas
from atlas.web.html_page import Raw, escaped, link, page, table

# Rows are hidden by their text; nothing of the texts is ever made HTML.
_FILTER = """<script>
addEventListener("DOMContentLoaded", () => {
  const words = document.getElementById("words"), layer = document.getElementById("layer"), type = document.getElementById("type"), count = document.getElementById("count");
  const rows = [...document.querySelectorAll("tbody tr")];
  const show = () => {
    let shown = 0;
    for (const row of rows) {
      const cells = [...row.cells].map((cell) => cell.textContent);
      const fits = words.value.toLowerCase().split(/\\s+/).every((word) => cells.join(" ").toLowerCase().includes(word))
        && (!layer.value || cells[1] === layer.value) && (!type.value || cells[4] === type.value);
      row.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${rows.length}`;
  };
  for (const field of [words, layer, type]) field.addEventListener("input", show);
  document.getElementById("filter").hidden = false;
  show();
});
</script>"""


def index_page(atlas: Atlas, neurons: Sequence[dict[str, Any]], circuits: Sequence[dict[str, Any]]) -> str:
    """Return the index of reports.

    Args:
        atlas: Atlas that they are of.
        neurons: Entries of `index.json`.
        circuits: Entries of `circuits.json`.

    Returns:
        A page that opens from a folder, without a server.
    """
    facts = dict(atlas.metadata().fetchall())
    rows = [
        (
            link(f"html/{one['filename']}", one["neuron_id"]),
            str(one["layer"]),
            one["title"],
            one["summary"],
            one["func_type"],
        )
        for one in neurons
    ]
    rows += [
        (link(f"html/{one['filename']}", one["circuit_id"]), "", one["title"], one["summary"], "circuit")
        for one in circuits
    ]
    layers = sorted({one["layer"] for one in neurons})
    types = sorted({one["func_type"] for one in neurons if one["func_type"]} | ({"circuit"} if circuits else set()))
    return page(
        f"Reports of {facts.get('model', atlas.path.name)}",
        [
            f"<h1>Reports <small>{escaped(facts.get('model', ''))}, from {escaped(atlas.path.name)}</small></h1>",
            '<p id="filter" hidden><label>Words <input id="words" type="search"></label> '
            f'<label>Layer <select id="layer">{_options(map(str, layers))}</select></label> '
            f'<label>Function <select id="type">{_options(types)}</select></label> <span id="count" class="soft" aria-live="polite"></span></p>',
            table(
                f"{len(neurons):,} neurons, {len(circuits):,} circuits",
                ("report", "layer", "title", "summary", "function"),
                rows,
            ),
        ],
        head=Raw(_FILTER),
    )


def _options(values: Any) -> str:
    return "<option></option>" + "".join(f"<option>{escaped(value)}</option>" for value in values)
