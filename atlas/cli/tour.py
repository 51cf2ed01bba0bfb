"""First look at an atlas: a summary, one circuit, one of its neurons, and commands to try next."""

from __future__ import annotations

import shlex
from typing import Any

from rich.console import Group
from rich.text import Text

from atlas.cli.circuit_page import anchored_note, circuit_page, clusters_note
from atlas.cli.feature_page import feature_page
from atlas.cli.pages import groups_note, neuron_page
from atlas.cli.terminal import command_name, grouped
from atlas.errors import InputError
from atlas.ids import FEATURE, NeuronId, UnitId
from atlas.io.text import visible
from atlas.options import AGREES
from atlas.query.client import Atlas

_LIMIT = 6
# Sizes of a circuit that fits on a page. Without such a circuit, the busiest of any size is shown.
_FITTING = (4, 16)


def tour(atlas: Atlas) -> Group:
    """Return an overview of an atlas. Raises `InputError` where it holds no neuron."""
    facts = dict(atlas.metadata().fetchall())
    circuits = atlas.busiest_circuits(min_size=_FITTING[0], max_size=_FITTING[1], limit=1).fetchall()
    path = circuits[0][0] if circuits else None
    found = atlas.central_neurons(cluster_path=path, limit=1).fetchall()
    if not found:
        raise InputError(f"{atlas.path} holds no neuron")
    neuron = NeuronId(*found[0][1:3])
    parts: list[Any] = [_summary(facts)]
    if path is not None:
        parts += [_title("One circuit"), Text(clusters_note(atlas) or ""), circuit_page(atlas, path, limit=_LIMIT)]
    if (token := _surest(atlas)) is not None:
        note = Text(anchored_note(atlas) or "")
        parts += [_title("One circuit of a token"), note, circuit_page(atlas, token, limit=_LIMIT)]
    parts += [_title("One neuron"), neuron_page(atlas, neuron, limit=_LIMIT)]
    feature = _telling_feature(atlas)
    if feature is not None:
        parts += [_title("One feature"), feature_page(atlas, feature, limit=_LIMIT)]
    parts += [_title("Next"), _next(atlas, path, token, neuron, feature)]
    return Group(*parts)


def _surest(atlas: Atlas) -> str | None:
    """Return the circuit of a token that is found again most surely, one of an output if possible; None without any."""
    for kind in ("output", "input"):
        found = atlas.circuits(kind=kind, min_agreement=AGREES).project("circuit_id, half_agreement, labelled_count")
        if rows := found.fetchall():
            return str(max(rows, key=lambda row: (row[1], row[2], row[0]))[0])
    return None


def _telling_feature(atlas: Atlas) -> UnitId | None:
    """Return a feature that goes along with a neuron of a circuit, and is neither rare nor dense; None without features."""
    for least, most in ((20, 0.05), (1, None)):
        found = atlas.features(min_contexts=least, max_density=most, limit=1).fetchall()
        if found:
            return UnitId(FEATURE, *found[0][1:3])
    return None


def _title(text: str) -> Text:
    return Text(f"\n── {text} " + "─" * (60 - len(text)), style="bold")


def _summary(facts: dict[str, str]) -> Text:
    def number(key: str) -> str:
        return grouped(facts.get(key, "0"))

    # Imported files may state the number of graphs without naming them, and state no links.
    graphs = number("graphs_stated" if number("total_graphs") == "0" else "total_graphs")
    seen = f"{graphs} graphs, " if graphs != "0" else ""
    links = (
        f"; {number('links_kept')} links kept, {number('links_dropped')} dropped"
        if number("links_in_files") != "0"
        else ""
    )
    note = groups_note(facts)
    return Text(
        f"\n{facts.get('model', 'unknown model')}: {seen}{number('total_neurons')} neurons ({number('labelled_neurons')} labelled), "
        f"{number('total_edges')} edges, {number('total_clusters')} circuits{links}" + (f"\n{note}" if note else "")
    )


def _next(atlas: Atlas, path: str | None, token: str | None, neuron: NeuronId, feature: UnitId | None) -> Text:
    """Return commands to try next, only those that print rows of this atlas."""
    file = shlex.quote(str(atlas.path))
    labels = [text for (text,) in atlas.labels(neuron).project("text").limit(1).fetchall()]
    drawn = token or path
    commands: list[tuple[str, str, Any]] = [
        (f"serve {file} " + (f"--page circuit/{drawn}" if drawn else "--open"), "a circuit drawn in the browser", None),
        (
            f"query {file} circuits --min-size 4 --max-size 40",
            "all circuits of that size",
            atlas.circuits(min_size=4, max_size=40, limit=1),
        ),
        *([(f"circuit {file} {path}", "all of this circuit", None)] if path else []),
        (
            f"query {file} circuits --kind input --min-agreement 0.5",
            "circuits of tokens that are found again",
            atlas.circuits(kind="input", min_agreement=0.5, limit=1),
        ),
        (f"neuron {file} {neuron}", "all of this neuron", None),
        *([(f"feature {file} {feature}", "all of this feature", None)] if feature else []),
        (f"query {file} exemplars {neuron}", "where it fires", atlas.exemplars(neuron, limit=1)),
        (
            f"query {file} projection {neuron} --kind output",
            "what its weights promote",
            atlas.projection(neuron, kind="output", limit=1),
        ),
        *(
            (f"search {file} {shlex.quote(visible(text))}", "neurons by label", atlas.search(text, limit=1))
            for text in labels
        ),
        (f'sql {file} "FROM help"', "every view and macro, with an example", None),
    ]
    pairs = [
        (f"{command_name()} {command}", what) for command, what, rows in commands if rows is None or rows.fetchall()
    ]
    pairs.append((f"duckdb -readonly {file}", "the same in the DuckDB shell"))
    width = max(len(command) for command, _ in pairs)
    return Text("\n".join(f"  {command:{width}}   {what}" for command, what in pairs))
