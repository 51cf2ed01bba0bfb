"""Edge profiles of neurons as a statistics file of the earlier tool, which `atlas import edge-stats` reads back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from atlas.database.scripts import script
from atlas.query.connection import AtlasFile
from atlas.query.criteria import NeuronsLike, as_set
from atlas.query.export import stream_rows


def write_profiles(atlas: AtlasFile, chosen: NeuronsLike, path: Path, *, top: int = 20) -> int:
    """Write the strongest inputs and outputs of every neuron of a set.

    Args:
        atlas: An open atlas.
        chosen: Set of neurons.
        path: JSON file, which is replaced.
        top: Partners of each list at most: those with the most links.

    Returns:
        Number of profiles.
    """
    found = atlas.run(script("exports/profiles"), {"top": top}, {"chosen": as_set(chosen)})
    facts = dict(atlas.sql("SELECT key, value FROM metadata").fetchall())
    graphs = int(facts.get("total_graphs") or facts.get("graphs_stated") or 0)
    about = {"model": facts.get("model"), "total_graphs": graphs, "processed": graphs, "partners_of_a_list": top}
    names, count = found.columns, 0
    with path.open("w", encoding="utf-8") as stream:
        stream.write(f'{{"metadata": {json.dumps(about, ensure_ascii=False)},\n"profiles": [')
        for row in stream_rows(found):
            text = json.dumps(_profile(dict(zip(names, row, strict=True))), ensure_ascii=False)
            stream.write(("\n" if not count else ",\n") + text)
            count += 1
        stream.write(f'\n],\n"summary": {{"total_neurons": {count}}}}}\n')
    return count


def _profile(row: dict[str, Any]) -> dict[str, Any]:
    seen = row["graph_count"]

    def shared(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [item | {"frequency": item["count"] / seen if seen else None} for item in items]

    def ended(items: list[dict[str, Any]], end: str) -> list[dict[str, Any]]:
        return [{end: item.pop("name")} | item for item in shared(items)]

    return {
        "layer": row["layer"],
        "neuron": row["neuron"],
        "neuron_id": row["neuron_id"],
        "label": row["label"],
        "appearance_count": seen,
        "top_upstream_sources": ended(row["upstream"], "source"),
        "top_downstream_targets": ended(row["downstream"], "target"),
        "output_token_associations": shared(row["outputs"]),
        "top_cooccurring_neurons": shared(row["cooccurring"]),
    }
