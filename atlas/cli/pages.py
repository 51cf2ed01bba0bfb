"""Pages of a neuron (labels, cluster, neighbours, tokens, graphs), a circuit (members, wiring) and the reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.text import Text

from atlas.cli.activation_page import activity_parts
from atlas.cli.circuit_page import anchored_note, clusters_note
from atlas.cli.page_parts import neuron_name, percent, row_count, signed_bars, titled
from atlas.cli.terminal import grouped, shown, table
from atlas.errors import InputError
from atlas.ids import NeuronId, UnitId
from atlas.query.client import Atlas
from atlas.query.connection import rows_of

_Row = dict[str, Any]


def neuron_page(atlas: Atlas, neuron: NeuronId, *, limit: int = 10, min_graphs: int = 1) -> Group:
    """Return the page of a neuron. Raises `InputError` where it is in no graph of the atlas, and has no activations in it."""
    found, labels = rows_of(atlas.neuron(neuron)), rows_of(atlas.labels(neuron))
    if not found and (activity := activity_parts(atlas, UnitId("neuron", *neuron))):
        return Group(Text(f"{neuron}  a node of no graph, with activations", style="bold"), *activity)
    if not found:
        known = f"; it has {labels[0]['text']!r} as a label" if labels else ""
        raise InputError(
            f"{neuron} is a node of no graph in {atlas.path}{known}; look for others with: atlas search {atlas.path} TEXT"
        )
    parts: list[Any] = [_head(found[0], labels), *_reports(atlas, neuron)]
    for title, ask in (
        ("Upstream (share: of the source's graphs)", atlas.upstream),
        ("Downstream (share: of its own graphs)", atlas.downstream),
    ):
        # Weight-based edges are in no graph.
        least = min_graphs if min_graphs > 1 else None
        total = row_count(ask(neuron, min_graphs=least))
        parts.append(_neighbours(titled(title, total, limit), rows_of(ask(neuron, min_graphs=least, limit=limit))))
    parts += activity_parts(atlas, UnitId(found[0]["unit_type"], *neuron))
    for title, tokens in (("Tokens in", atlas.tokens_in), ("Logits out", atlas.logits_out)):
        parts.append(_tokens(titled(title, row_count(tokens(neuron)), limit), rows_of(tokens(neuron, limit=limit))))
    parts.append(
        _graphs(
            titled("Graphs", row_count(atlas.graphs_of(neuron)), limit), rows_of(atlas.graphs_of(neuron, limit=limit))
        )
    )
    return Group(*parts)


def _reports(atlas: Atlas, neuron: NeuronId) -> list[Text]:
    """List the findings of investigations of the neuron, one line each."""
    return [
        Text(
            f"  report     {shown(row['summary'])}  "
            f"({', '.join(shown(row[name]) for name in ('kind', 'function_type', 'verdict', 'file') if row[name] is not None)})"
        )
        for row in rows_of(atlas.reports(neuron))
    ]


def _head(neuron: _Row, labels: Sequence[_Row]) -> Group:
    lines = [Text(f"{neuron['neuron_id']}  {shown(neuron['label']) or '(no label)'}", style="bold")]
    for label in labels:
        note = ", ".join(
            shown(part) for part in (label["kind"], label["sources"], label["model"], label["confidence"]) if part
        )
        suffix = ", uninformative" if label["is_uninformative"] else ""
        lines.append(Text(f"  label      {shown(label['text'])}  ({note}{suffix})"))
        if label["description"]:
            lines.append(Text(f"             {shown(label['description'])}"))
    cluster = neuron["cluster_path"]
    flow = f", flow {shown(neuron['infomap_flow'])}" if neuron["infomap_flow"] is not None else ""
    place = f"{cluster}{flow}" if cluster else "none"
    lines.append(Text(f"  cluster    {place}"))
    counted = [(neuron["graph_count"], "graphs"), (neuron["node_count"], "nodes")]
    seen = ", ".join(f"{count:,} {what}" for count, what in counted if count is not None) or "not counted"
    lines.append(Text(f"  seen       {seen}; {neuron['unit_type']}"))
    lines.append(Text(f"  edges      {neuron['in_degree']:,} in, {neuron['out_degree']:,} out"))
    if neuron["max_activation"] is not None:
        mean = f", mean {shown(neuron['mean_activation'])}" if neuron["mean_activation"] is not None else ""
        least = neuron["min_activation"]
        span = f"{shown(least)} to " if least is not None else "max "
        lines.append(Text(f"  activation {span}{shown(neuron['max_activation'])}{mean}"))
    return Group(*lines)


def _neighbours(title: str, rows: list[_Row]) -> Any:
    scale, bars = signed_bars(rows)
    cells = [
        (
            neuron_name(row),
            signed,
            row["mean_weight"],
            row["graph_count"],
            None if row["frequency"] is None else f"{row['frequency']:.0%}",
            row["cluster_path"],
            row["label"],
        )
        for row, signed in zip(rows, bars, strict=True)
    ]
    columns = ("neuron", scale, "mean weight", "graphs", "share", "cluster", "label")
    return table(columns, cells, title=title)


def _tokens(title: str, rows: list[_Row]) -> Any:
    scale, bars = signed_bars(rows)
    cells = [
        (
            repr(row["token"])[1:-1] if row["token"] is not None else f"#{row['token_id']}",
            signed,
            row["mean_weight"],
            row["graph_count"],
        )
        for row, signed in zip(rows, bars, strict=True)
    ]
    return table(("token", scale, "mean weight", "graphs"), cells, title=title)


def _strongest(row: _Row) -> float | None:
    found: float | None = (
        max(row["activation_min"], row["activation_max"], key=abs) if row["activation_max"] is not None else None
    )
    return found


def _graphs(title: str, rows: list[_Row]) -> Any:
    cells = [
        (row["graph_id"], _strongest(row), [token or "" for token in row["tokens"] or []], row["prompt"])
        for row in rows
    ]
    return table(("graph", "activation", "on tokens", "prompt"), cells, title=title)


# Rank correlations of edge weights for which the number of graphs is forecast.
TARGETS = (0.7, 0.8, 0.9, 0.95)
_FEWEST_GROUPS = 8


def reliability_page(atlas: Atlas) -> Group:
    """Return the page of the reliability of edge weights by number of graphs, with a forecast of the graphs needed.

    The forecast is the Spearman-Brown formula (Spearman 1910, Brown 1910): if two sets of n graphs have the
    correlation r, two sets of k * n graphs have k * r / (1 + (k - 1) * r).
    """
    levels = rows_of(atlas.sql("FROM reliability"))
    columns = (
        "graph_count",
        "edge_count",
        "both_share",
        "rank_correlation",
        "fixed_rank_correlation",
        "top_count",
        "top_overlap",
    )
    heads = ("graphs", "edges", "in both", "rank correlation", "of the same edges", "strongest", "shared")
    shares = ("both_share", "top_overlap")
    cells = [[percent(row[name]) if name in shares else row[name] for name in columns] for row in levels]
    parts: list[Any] = [
        Text(_spoken_about(levels)),
        table(heads, cells, title="\nTwo sets of so many graphs each, on average"),
    ]
    edges = rows_of(atlas.sql("FROM edge_reliability"))
    cells = [
        [
            f"{row['min_graphs']} to {row['max_graphs']}",
            row["edge_count"],
            row["rank_correlation"],
            percent(row["same_sign_share"]),
        ]
        for row in edges
    ]
    title = "\nThe two halves of all graphs, by the number of graphs that an edge is in"
    parts.append(table(("graphs of the edge", "edges", "rank correlation", "same sign"), cells, title=title))
    halves = atlas.sql("SELECT count(DISTINCT group_id) FROM graphs GROUP BY split_bucket % 2").fetchall()
    parts.append(Text(_forecast(levels, min((count for (count,) in halves), default=0))))
    return Group(*parts)


_FIRST_FACTS = (
    "model",
    "transcoder_set",
    "unit_type",
    "method",
    "total_graphs",
    "total_groups",
    "total_neurons",
    "total_edges",
    "num_layers",
)
_HIDDEN_FACTS = {"recipe", "tool", "atlas_schema", "label_precedence"}


def info_page(atlas: Atlas) -> Group:
    """Return the summary of an atlas: metadata, groups of prompts, links kept and dropped, largest circuits."""
    facts = dict(atlas.metadata().fetchall())
    ordered = [key for key in _FIRST_FACTS if key in facts]
    ordered += [key for key in facts if key not in {*_FIRST_FACTS, *_HIDDEN_FACTS}]
    rows = [(key.replace("_", " "), grouped(facts[key])) for key in ordered]
    parts: list[Any] = [table(("fact", "value"), rows, title=f"{atlas.path}, {atlas.path.stat().st_size / 1e6:.1f} MB")]
    if note := groups_note(facts):
        parts.append(Text(f"\n{note} (atlas query FILE prompt_groups)"))
    counted = [
        ("kept in" if kept else "dropped:", reason, f"{count:,}", f"{graphs:,}", f"{share:.2%}")
        for kept, reason, count, graphs, share in atlas.link_accounting().fetchall()
    ]
    if counted:
        counted.append(
            ("total", "links in the files", grouped(facts["links_in_files"]), facts["total_graphs"], "100.00%")
        )
        parts.append(table(("links", "table or reason", "count", "graphs", "share"), counted, title="\nLinks"))
    if fidelity := rows_of(atlas.sql("FROM fidelity WHERE size = 'all'")):
        parts.append(_fidelity(fidelity))
    columns = "circuit_id, size, layer_min, layer_max, half_agreement, is_found_again, labelled_count, sample_labels"
    circuits = atlas.circuits(level=1, limit=5).project(columns)
    title = "\nLargest circuits (more: atlas query FILE circuits --min-size 3 --max-size 60; one: atlas circuit FILE 1)"
    parts.append(table(circuits.columns, circuits.fetchall(), title=title))
    parts += [Text(f"\n{note}") for note in (clusters_note(atlas), anchored_note(atlas)) if note]
    return Group(*parts)


def _fidelity(rows: Sequence[_Row]) -> Any:
    """Return a table of predicted against measured effects of single cuts in the model."""
    cells = [
        (
            row["subject"],
            f"{row['count']:,}",
            f"{row['group_count']:,}",
            f"{row['rank_correlation']:.2f}" if row["rank_correlation"] is not None else None,
            f"{row['slope']:.2f}" if row["slope"] is not None else None,
            percent(row["same_sign_share"]),
            f"{row['gradient_rank_correlation']:.2f}" if row["gradient_rank_correlation"] is not None else None,
        )
        for row in rows
    ]
    heads = ("cut in the model", "sample", "groups", "rank correlation", "slope", "same sign", "of the gradient")
    return table(heads, cells, title="\nEffects of single cuts against their predictions (by size: FROM fidelity)")


def groups_note(facts: Mapping[str, str]) -> str | None:
    """Return a sentence about the groups of prompts where they are fewer than the graphs; None where they are not.

    `facts` are the metadata of an atlas.
    """
    graphs, groups, largest = (
        int(facts.get(key, "0")) for key in ("total_graphs", "total_groups", "largest_group_graphs")
    )
    if not groups or groups == graphs:
        return None
    note = f"{graphs:,} graphs are {groups:,} groups of prompts, as good as {facts['effective_groups']} of equal size"
    if 2 * largest > graphs:
        return f"{note}. One group holds {largest:,} of them: the statistics are about that kind of prompt."
    return f"{note}. Graphs of one group are no independent evidence; count groups, not graphs."


def _spoken_about(levels: Sequence[_Row]) -> str:
    """Return which share of the edges the largest sets both have."""
    if not levels or levels[-1]["both_share"] is None:
        return "No edges to compare."
    last = levels[-1]
    return (
        f"Of {last['edge_count']:,} edges (a sample), {percent(last['both_share'])} are in both halves of the groups of prompts; "
        "nothing is known about how the others repeat."
    )


def _forecast(levels: Sequence[_Row], groups: int) -> str:
    """Return the forecast of the formula of Spearman and Brown, or why its assumptions do not hold.

    It needs groups of prompts that are alike, of which `groups` are in the smaller half, and one set of edges, so it is about `fixed_rank_correlation`; and it would mislead where most
    edges are not in that set.
    """
    known = [row for row in levels if row["fixed_rank_correlation"] is not None and row["fixed_count"] >= 10]
    if not known or not 0 < known[-1]["fixed_rank_correlation"] < 1:
        return "\nToo few edges are in both sets to say how many graphs would be enough."
    if known[-1]["both_share"] < 0.5:
        return (
            "\nNo forecast: less than half of the edges are in both halves, so more graphs would bring new edges first."
        )
    if groups < _FEWEST_GROUPS:
        return f"\nNo forecast: a half has {groups} groups of prompts; {_FEWEST_GROUPS} in each are the least that say anything."
    graphs, found = known[-1]["graph_count"], known[-1]["fixed_rank_correlation"]
    enough = [(target, graphs * target * (1 - found) / (found * (1 - target))) for target in TARGETS]
    told = ", ".join(f"{target:g} with about {shown(float(f'{number:.2g}'))}" for target, number in enough)
    return f"\nForecast (Spearman-Brown, from {graphs:,} graphs with {found:.2f}): rank correlation {told} graphs."
