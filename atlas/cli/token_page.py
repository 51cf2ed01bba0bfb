"""Page of a token: what it drives, what drives it, its circuits, and paths to an output."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.text import Text

from atlas.cli.page_parts import Row, percent, signed_bars, titled
from atlas.cli.terminal import table
from atlas.errors import InputError
from atlas.query.client import Atlas
from atlas.query.connection import rows_of

_TITLES = {
    "in": "Drives as an input (share: of all tokens into the neuron)",
    "out": "Driven by, as an output (share: of all neurons into it)",
}


def token_page(atlas: Atlas, token: str, *, output: str | None = None, limit: int = 10) -> Group:
    """Return the page of a token. Raises `InputError` where no graph has it."""
    found = rows_of(atlas.token(token))
    if not found:
        near = [repr(row["token"]) for row in rows_of(atlas.search_tokens(token, limit=5))] if token.strip() else []
        hint = f"; there are {', '.join(near)}" if near else ""
        raise InputError(f"no graph of {atlas.path} has the token {token!r}{hint}")
    names = (
        "token",
        "token_id",
        "input_graph_count",
        "output_graph_count",
        "driven_count",
        "driving_count",
        "circuits",
    )
    heads = ("token", "id", "input in graphs", "output in graphs", "drives neurons", "driven by neurons", "circuits")
    cells = [[repr(row[name]) if name == "token" else row[name] for name in names] for row in found]
    parts: list[Any] = [table(heads, cells, title=f"Tokens of the text {token!r}")]
    for side, title in _TITLES.items():
        rows = rows_of(atlas.token_neurons(token, side=side, limit=limit))
        total = sum(row["driven_count" if side == "in" else "driving_count"] for row in found)
        if rows:
            parts.append(_neurons(titled(title, total, limit), rows))
    if output is not None:
        parts.append(_paths(atlas, token, output, limit))
    return Group(*parts)


def _neurons(title: str, rows: list[Row]) -> Any:
    scale, bars = signed_bars(rows)
    cells = [
        (
            row["neuron_id"],
            signed,
            row["mean_weight"],
            row["graph_count"],
            percent(row["share"]),
            row["cluster_path"],
            row["label"],
        )
        for row, signed in zip(rows, bars, strict=True)
    ]
    return table(("neuron", scale, "mean weight", "graphs", "share", "cluster", "label"), cells, title=title)


def _paths(atlas: Atlas, token: str, output: str, limit: int) -> Any:
    rows = rows_of(atlas.token_paths(token, output, limit=limit))
    if not rows:
        return Text(f"\nNo path of up to three neurons leads from {token!r} to {output!r}.")
    cells = [
        (repr(row["token"]), " → ".join(row["path"]), repr(row["output"]), row["strength"], row["graph_count"])
        for row in rows
    ]
    title = f"\nStrongest paths to {output!r}"
    return table(("token", "through", "output", "strength", "graphs"), cells, title=title)
