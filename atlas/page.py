"""The page of one neuron: labels, cluster, strongest neighbours with bars, tokens, graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.text import Text

from atlas.errors import InputError
from atlas.ids import NeuronId
from atlas.queries import Atlas
from atlas.terminal import bar, shown, table, terminal_width

_Row = dict[str, Any]


def _rows(relation: Any) -> list[_Row]:
    columns = relation.columns
    return [dict(zip(columns, row, strict=True)) for row in relation.fetchall()]


def neuron_page(atlas: Atlas, neuron: NeuronId, *, limit: int = 10, min_graphs: int = 1) -> Group:
    """All that the atlas knows of a neuron; raises `InputError` where it is in no graph of the atlas."""
    found = _rows(atlas.neuron(neuron))
    if not found:
        known = f"; it has {_rows(atlas.labels(neuron))[0]['text']!r} as a label" if _rows(atlas.labels(neuron)) else ""
        raise InputError(
            f"{neuron} is a node of no graph in {atlas.path}{known}; look for others with: atlas search {atlas.path} TEXT"
        )
    parts: list[Any] = [_head(found[0], _rows(atlas.labels(neuron)))]
    for title, ask in (
        ("Upstream (share: of the source's graphs)", atlas.upstream),
        ("Downstream (share: of its own graphs)", atlas.downstream),
    ):
        total = _count(ask(neuron, min_graphs=min_graphs))
        parts.append(_neighbours(_titled(title, total, limit), _rows(ask(neuron, min_graphs=min_graphs, limit=limit))))
    for title, tokens in (("Tokens in", atlas.tokens_in), ("Logits out", atlas.logits_out)):
        parts.append(_tokens(_titled(title, _count(tokens(neuron)), limit), _rows(tokens(neuron, limit=limit))))
    parts.append(
        _graphs(_titled("Graphs", _count(atlas.graphs(neuron)), limit), _rows(atlas.graphs(neuron, limit=limit)))
    )
    return Group(*parts)


def _head(neuron: _Row, labels: Sequence[_Row]) -> Group:
    lines = [Text(f"{neuron['neuron_id']}  {shown(neuron['label']) or '(no label)'}", style="bold")]
    for label in labels:
        note = ", ".join(
            shown(part) for part in (label["kind"], label["source"], label["model"], label["confidence"]) if part
        )
        junk = ", says nothing" if label["is_junk"] else ""
        lines.append(Text(f"  label      {shown(label['text'])}  ({note}{junk})"))
        if label["description"]:
            lines.append(Text(f"             {shown(label['description'])}"))
    cluster = neuron["cluster_path"]
    place = (
        f"{cluster}, flow {shown(neuron['infomap_flow'])}"
        if cluster
        else "none (no edge passes the clustering's threshold)"
    )
    lines.append(Text(f"  cluster    {place}"))
    lines.append(
        Text(
            f"  seen       {neuron['appearance_count']:,} graphs, {neuron['node_count']:,} nodes; {neuron['unit_type']}"
        )
    )
    lines.append(Text(f"  edges      {neuron['in_degree']:,} in, {neuron['out_degree']:,} out"))
    if neuron["max_activation"] is not None:
        mean = f", mean {shown(neuron['mean_activation'])}" if neuron["mean_activation"] is not None else ""
        lines.append(Text(f"  activation max {shown(neuron['max_activation'])}{mean}"))
    return Group(*lines)


def _bar_width() -> int:
    return 10 if terminal_width() >= 100 else 4


def _scale(width: int) -> str:
    """Header of a column of bars."""
    return f"{'−':{width}}0{'+':>{width}}"


def _count(relation: Any) -> int:
    """Number of rows, without fetching them: a hub has very many neighbours."""
    return int(relation.aggregate("count(*)").fetchall()[0][0])


def _titled(title: str, total: int, limit: int) -> str:
    return f"\n{title}: {limit} of {total:,}" if total > limit else f"\n{title}: {total}"


def _neighbours(title: str, rows: list[_Row]) -> Any:
    largest, width = max((abs(row["mean_weight"]) for row in rows), default=0.0), _bar_width()
    cells = [
        (
            str(NeuronId(row["layer"], row["neuron"])),
            bar(row["mean_weight"], largest, width),
            row["mean_weight"],
            row["graph_count"],
            f"{row['frequency']:.0%}",
            row["cluster_path"],
            row["label"],
        )
        for row in rows
    ]
    columns = ("neuron", _scale(width), "mean weight", "graphs", "share", "cluster", "label")
    return table(columns, cells, title=title)


def _tokens(title: str, rows: list[_Row]) -> Any:
    largest, width = max((abs(row["mean_weight"]) for row in rows), default=0.0), _bar_width()
    cells = [
        (
            repr(row["token"])[1:-1] if row["token"] is not None else f"#{row['token_id']}",
            bar(row["mean_weight"], largest, width),
            row["mean_weight"],
            row["graph_count"],
        )
        for row in rows
    ]
    return table(("token", _scale(width), "mean weight", "graphs"), cells, title=title)


def _graphs(title: str, rows: list[_Row]) -> Any:
    cells = [
        (row["graph_id"], row["activation_max"], [token or "" for token in row["tokens"] or []], row["prompt"])
        for row in rows
    ]
    return table(("graph", "activation", "on tokens", "prompt"), cells, title=title)
