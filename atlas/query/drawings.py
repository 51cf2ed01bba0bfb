"""Drawings of circuits, of the neighbourhood of neurons, and of the sizes of activations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atlas.io.drawing import DOWN, INK, SOFT, UP, Bar, Curve, Dot, Drawing, Words
from atlas.io.text import visible

Row = Mapping[str, Any]
_STEP, _MARGIN, _SWEEPS = 84.0, 60.0, 8
_LABELLED = 92.0  # room that a label needs


@dataclass(frozen=True)
class Edge:
    """Edge of a drawing."""

    source: str
    target: str
    weight: float
    graph_count: int | None = None


def wiring(
    title: str,
    labels: Mapping[str, str | None],
    edges: Sequence[Edge],
    *,
    address: Callable[[str], str | None] = lambda _name: None,
    marked: str | None = None,
) -> Drawing:
    """Draw neurons in rows of layers, the first layer at the bottom, with their edges.

    A neuron lies near the neurons that it is wired to: rows are ordered by the weighted mean of their neighbours' places, in
    sweeps up and down (Sugiyama, Tagawa and Toda 1981).

    Args:
        title: Title of the drawing.
        labels: Labels by neuron id; all neurons that edges name.
        edges: Edges; the widest line is the strongest.
        address: Address that a neuron leads to.
        marked: Neuron that is filled.

    Returns:
        The drawing: blue edges drive, red ones suppress.
    """
    rows = _rows(labels, edges)
    across = max(1000.0, 26.0 * max((len(row) for row in rows), default=1))
    height = 2 * 30 + _STEP * max(len(rows) - 1, 0) + 20
    at: dict[str, tuple[float, float]] = {}
    items: list[Curve | Dot | Bar | Words] = []
    for number, row in enumerate(rows):
        y = 30 + _STEP * (len(rows) - 1 - number)
        items.append(Words((4, y + 4), row[0].partition("/")[0], "start", SOFT))
        for place, name in enumerate(row):
            at[name] = (_MARGIN + (place + 0.5) / len(row) * (across - 80), y)
    most = max((abs(edge.weight) for edge in edges), default=1.0) or 1.0
    for edge in sorted(edges, key=lambda edge: (abs(edge.weight), edge.source, edge.target)):
        size = abs(edge.weight) / most
        start, end = at[edge.source], at[edge.target]
        bend = 36.0 if start[1] == end[1] else (start[1] - end[1]) / 2
        count = f", {edge.graph_count:,} graphs" if edge.graph_count is not None else ""
        said = f"{edge.source} → {edge.target}: {edge.weight:.4g}{count}"
        items.append(
            Curve(start, end, bend, UP if edge.weight >= 0 else DOWN, 0.6 + 3 * size, 0.25 + 0.65 * size, said)
        )
    for row in rows:
        for name in row:
            label = labels[name] or ""
            fill = "#f2c14e" if name == marked else "#ffffff"
            items.append(Dot(at[name], 7, fill, f"{name} {label}".strip(), address(name)))
            if across / len(row) > _LABELLED:
                items.append(Words((at[name][0], at[name][1] + 19), visible(label or name)[:16]))
    return Drawing(title, across, height, items)


def _rows(labels: Mapping[str, str | None], edges: Sequence[Edge]) -> list[list[str]]:
    """Return the ids of neurons by layer, each row in the order in which it is drawn."""
    by_layer: dict[int, list[str]] = {}
    for name in sorted(labels, key=lambda name: [int(part[1:]) for part in name.split("/")]):
        by_layer.setdefault(int(name[1:].partition("/")[0]), []).append(name)
    rows = [by_layer[layer] for layer in sorted(by_layer)]
    near: dict[str, list[tuple[str, float]]] = {name: [] for name in labels}
    for edge in edges:
        near[edge.source].append((edge.target, abs(edge.weight)))
        near[edge.target].append((edge.source, abs(edge.weight)))
    place = {name: (number + 0.5) / len(row) for row in rows for number, name in enumerate(row)}

    def middle(name: str) -> float:
        weight = math.fsum(size for _, size in near[name])
        return math.fsum(place[other] * size for other, size in near[name]) / weight if weight else place[name]

    for sweep in range(_SWEEPS):
        for row in reversed(rows) if sweep % 2 else rows:
            wanted = {name: middle(name) for name in row}
            row.sort(key=lambda name: (wanted[name], name))
            place |= {name: (number + 0.5) / len(row) for number, name in enumerate(row)}
    return rows


def bars(title: str, found: Sequence[tuple[float, float, int]]) -> Drawing:
    """Draw a histogram with the logarithm of counts upwards.

    Args:
        title: Title of the drawing.
        found: Ascending bins of low bound, high bound and count.

    Returns:
        The drawing; bins below zero are red.
    """
    width = 600 / max(len(found), 1)
    most = math.log1p(max((count for _, _, count in found), default=1))
    items: list[Curve | Dot | Bar | Words] = [
        Bar(
            (20 + place * width, 122),
            max(width - 1, 0.5),
            112 * math.log1p(count) / most,
            DOWN if low < 0 else UP,
            f"{low:.4g} to {high:.4g}: {count:,}",
        )
        for place, (low, high, count) in enumerate(found)
    ]
    if found:
        items.append(Words((20, 140), f"{found[0][0]:.4g}", "start", SOFT))
        items.append(Words((620, 140), f"{found[-1][1]:.4g}", "end", SOFT))
    items.append(Words((320, 140), "bars: logarithm of counts", "middle", SOFT))
    items.append(Bar((20, 122.5), 600, 1, INK))
    return Drawing(title, 640, 150, items)
