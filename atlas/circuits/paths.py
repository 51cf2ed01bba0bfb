"""Strongest paths through anchored circuits, from an input token over neurons of the circuit to an output token.

The strength of a path is the product of the shares of its steps: of a token or a neuron in all |weights| into the next neuron, and of the last
neuron in all |weights| of neurons into the output. It is the share of the output that runs along the path where all links are in all graphs, so
`graph_count` says how many single graphs have all of its links.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from atlas.circuits.cells import Cells, Observations, opened
from atlas.ids import INDEX_BITS
from atlas.stages.resamples import Floats, Ints, script


class TokenPath(NamedTuple):
    """One path: from an input token, through packed neurons, to an output token."""

    strength: float  # product of the shares, with the product of the signs of the weights
    token: int
    neurons: tuple[int, ...]
    output: int


@dataclass(frozen=True)
class Ends:
    """Circuit whose paths are sought.

    Attributes:
        members: Packed neurons (n,).
        anchored: Those of them that carry the anchor.
        tokens: Input tokens that paths start from; any where None.
        outputs: Output tokens that paths end in; any where None.
    """

    members: Ints
    anchored: frozenset[int]
    tokens: frozenset[int] | None = None
    outputs: frozenset[int] | None = None


@dataclass(frozen=True)
class _Links:
    """Links by their near end, the largest shares first."""

    near: Ints  # (n,), ascending
    far: Ints
    share: Floats  # with the sign of the weight

    @classmethod
    def of(cls, near: Ints, far: Ints, share: Floats) -> _Links:
        order = np.lexsort((far, -np.abs(share), near))
        return cls(near[order], far[order], share[order])

    def at(self, end: int, among: frozenset[int] | None, most: int) -> list[tuple[int, float]]:
        """Return the strongest links of an end to others `among` some, or to any."""
        first, last = (int(np.searchsorted(self.near, end, side)) for side in ("left", "right"))
        pairs = zip(self.far[first:last].tolist(), self.share[first:last].tolist(), strict=True)
        found = []
        for far, share in pairs:
            if share and (among is None or far in among):
                found.append((far, share))
                if len(found) == most:
                    break
        return found


@dataclass
class Wires:
    """Shares of all steps that a path may take."""

    inputs: _Links = field(init=False)  # neuron -> tokens
    edges: _Links = field(init=False)  # neuron -> its sources
    outputs: _Links = field(init=False)  # neuron -> output tokens
    seen: Observations

    def __post_init__(self) -> None:
        tokens, edges, logits = self.seen.cells["input"], self.seen.edges, self.seen.cells["output"]
        sums = [_sums(cells) for cells in (tokens, edges, logits)]
        neurons = np.unique(np.concatenate([tokens.second, edges.second]))
        into = np.zeros(len(neurons))
        for cells, (_, absolute) in zip((tokens, edges), sums, strict=False):
            into += np.bincount(np.searchsorted(neurons, cells.second), absolute, len(neurons))
        for name, cells, (signed, absolute) in zip(("inputs", "edges"), (tokens, edges), sums, strict=False):
            share = np.copysign(_ratio(absolute, into[np.searchsorted(neurons, cells.second)]), signed)
            setattr(self, name, _Links.of(cells.second, cells.first, share))
        signed, absolute = sums[2]
        outputs, place = np.unique(logits.first, return_inverse=True)
        share = np.copysign(
            _ratio(absolute, np.bincount(place, absolute, len(outputs))[place].astype(np.float64)), signed
        )
        self.outputs = _Links.of(logits.second, logits.first, share)

    def strongest(self, ends: Ends, count: int) -> list[TokenPath]:
        """Return the strongest paths of a circuit, each through a neuron that carries the anchor.

        Args:
            ends: Circuit, and where its paths may start and end.
            count: Number of paths at most.

        Returns:
            The paths, the largest |strength| first.
        """
        members = frozenset(ends.members.tolist())
        # By neuron, and by whether a neuron that carries the anchor is on the way, the strongest beginnings in order.
        begun: dict[tuple[int, bool], list[TokenPath]] = {}
        found: list[TokenPath] = []
        # Links run from lower to higher layers, so that the beginnings of all sources are known.
        for neuron in sorted(members):
            starts = [
                TokenPath(share, token, (neuron,), -1) for token, share in self.inputs.at(neuron, ends.tokens, count)
            ]
            carries = neuron in ends.anchored
            ways: dict[bool, list[Iterable[TokenPath]]] = {carries: [starts], not carries: []}
            for source, share in self.edges.at(neuron, members, len(members)):
                if source >> INDEX_BITS < neuron >> INDEX_BITS:
                    for flag in (False, True):
                        ways[flag or carries].append(_longer(begun.get((source, flag), ()), share, neuron))
            for flag, paths in ways.items():
                begun[neuron, flag] = _best(paths, count)
            outputs = self.outputs.at(neuron, ends.outputs, count)
            whole = [_ended(begun[neuron, True], share, output) for output, share in outputs]
            found = _best([found, *whole], count)
        return found


def _longer(paths: Iterable[TokenPath], share: float, neuron: int) -> Iterator[TokenPath]:
    for one in paths:
        yield one._replace(strength=one.strength * share, neurons=(*one.neurons, neuron))


def _ended(paths: Iterable[TokenPath], share: float, output: int) -> Iterator[TokenPath]:
    for one in paths:
        yield one._replace(strength=one.strength * share, output=output)


def _sums(cells: Cells) -> tuple[Floats, Floats]:
    return cells.sums(np.ones(int(cells.bucket.max(initial=0)) + 1))


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _best(ordered: Iterable[Iterable[TokenPath]], count: int) -> list[TokenPath]:
    """Return the strongest of some paths, each of whose sources yields them in order; no more are made than are looked at."""
    merged = heapq.merge(*ordered, key=lambda one: (-abs(one.strength), one.token, one.neurons, one.output))
    return list(itertools.islice(merged, count))


def graph_counts(stats: Path, paths: Sequence[TokenPath]) -> list[tuple[int, int]]:
    """Count the graphs, and their groups of prompts, that have all links of each path.

    Args:
        stats: Stats folder with single graphs.
        paths: Paths.

    Returns:
        Number of graphs and of groups of every path.
    """
    rows = []
    for number, one in enumerate(paths):
        items = [("token", one.token), *(("neuron", neuron) for neuron in one.neurons), ("logit", one.output)]
        rows += [(number, step, *source, *target) for step, (source, target) in enumerate(itertools.pairwise(items))]
    names = ("path", "step", "source_kind", "source_item", "target_kind", "target_item")
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    types = (pa.int64(), pa.int64(), pa.string(), pa.int64(), pa.string(), pa.int64())
    steps = pa.table({name: pa.array(column, kind) for name, column, kind in zip(names, columns, types, strict=True)})
    with opened(stats) as con:
        found = _counted(con, steps)
    return [found.get(number, (0, 0)) for number in range(len(paths))]


def _counted(con: duckdb.DuckDBPyConnection, steps: pa.Table) -> dict[int, tuple[int, int]]:
    con.from_arrow(steps).create("steps")
    rows = con.sql(script("circuits", "path_graphs")).fetchall()
    return {path: (graphs, groups) for path, graphs, groups in rows}
