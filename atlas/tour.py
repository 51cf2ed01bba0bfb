"""The first look at an atlas: a summary, one circuit, one neuron of it, and what to try next."""

from __future__ import annotations

import shlex
from typing import Any

from rich.console import Group
from rich.text import Text

from atlas.errors import InputError
from atlas.ids import NeuronId
from atlas.page import circuit_page, neuron_page
from atlas.queries import Atlas
from atlas.terminal import program

_LIMIT = 6
# A circuit that fits on a page: the busiest of these sizes, the busiest of any size where there is none.
_FITTING = (4, 16)
_CIRCUIT = """
SELECT cluster_path FROM clusters
WHERE EXISTS (
    FROM neurons AS n WHERE n.cluster_path = clusters.cluster_path OR starts_with(n.cluster_path, clusters.cluster_path || '.')
)
ORDER BY size BETWEEN $least AND $most DESC, flow DESC NULLS LAST, cluster_path LIMIT 1
"""
_NEURON = """
SELECT layer, neuron FROM neurons
WHERE $path IS NULL OR cluster_path = $path OR starts_with(cluster_path, $path || '.')
ORDER BY infomap_flow DESC NULLS LAST, in_degree + out_degree DESC, layer, neuron LIMIT 1
"""


def tour(atlas: Atlas) -> Group:
    """What is in the atlas at a glance; raises `InputError` where it holds no neuron."""
    facts = dict(atlas.metadata().fetchall())
    circuits = atlas.sql(_CIRCUIT, {"least": _FITTING[0], "most": _FITTING[1]}).fetchall()
    path = circuits[0][0] if circuits else None
    found = atlas.sql(_NEURON, {"path": path}).fetchall()
    if not found:
        raise InputError(f"{atlas.path} holds no neuron")
    neuron = NeuronId(*found[0])
    parts: list[Any] = [_summary(facts)]
    if path is not None:
        parts += [_title("One circuit"), circuit_page(atlas, path, limit=_LIMIT)]
    parts += [
        _title("One neuron"),
        neuron_page(atlas, neuron, limit=_LIMIT),
        _title("Next"),
        _next(atlas, path, neuron),
    ]
    return Group(*parts)


def _title(text: str) -> Text:
    return Text(f"\n── {text} " + "─" * (60 - len(text)), style="bold")


def _summary(facts: dict[str, str]) -> Text:
    def number(key: str) -> str:
        return f"{int(facts.get(key, 0)):,}"

    # Files of earlier tools may count graphs without naming them, and count no links.
    graphs = number("total_graphs" if int(facts.get("total_graphs", 0)) else "graphs_stated")
    seen = f"{graphs} graphs, " if graphs != "0" else ""
    links = (
        f"; {number('links_kept')} links kept, {number('links_dropped')} dropped"
        if number("links_in_files") != "0"
        else ""
    )
    return Text(
        f"\n{facts.get('model', 'unknown model')}: {seen}{number('total_neurons')} neurons ({number('labelled_neurons')} labelled), "
        f"{number('total_edges')} edges, {number('total_clusters')} circuits{links}"
    )


def _next(atlas: Atlas, path: str | None, neuron: NeuronId) -> Text:
    file = shlex.quote(str(atlas.path))
    pairs = [
        (f"{program()} query {file} circuits --min-size 4 --max-size 40", "all circuits of that size"),
        *([(f"{program()} circuit {file} {path}", "all of this circuit")] if path else []),
        (f"{program()} neuron {file} {neuron}", "all of this neuron"),
        (f"{program()} query {file} exemplars {neuron}", "where it fires"),
        (f"{program()} query {file} projection {neuron} --kind output", "what its weights promote"),
        (f"{program()} search {file} TEXT", "neurons by label"),
        (f'{program()} sql {file} "FROM help"', "every view and macro, with an example"),
        (f"duckdb -readonly {file}", "the same in the DuckDB shell"),
    ]
    width = max(len(command) for command, _ in pairs)
    return Text("\n".join(f"  {command:{width}}   {what}" for command, what in pairs))
