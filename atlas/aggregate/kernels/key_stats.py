"""Inputs and outputs of kernels: links, statistics per key, counts per graph. This module imports no kernel."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.graph import Floats, Ints
from atlas.ids import NEURON_BITS

LOW = (1 << NEURON_BITS) - 1


@dataclass(frozen=True, slots=True)
class KeyStats:
    """Statistics per key, sorted by key. All arrays have shape (n_keys,)."""

    key: Ints  # ascending, distinct
    count: Ints
    graph_count: Ints
    positive_count: Ints
    half_count: Ints  # links in graphs of the first hash-half
    weight_sum: Floats
    weight_abs_sum: Floats
    weight_sq_sum: Floats
    half_weight_sum: Floats  # sum over the first hash-half
    weight_min: Floats
    weight_max: Floats

    def __len__(self) -> int:
        return len(self.key)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, the key first."""
        return {name: getattr(self, name) for name in COLUMNS}

    def slice(self, start: int, stop: int) -> KeyStats:
        """Return the statistics of the keys in rows `start` to `stop`."""
        return KeyStats(*(values[start:stop] for values in self.columns().values()))


COLUMNS = tuple(item.name for item in fields(KeyStats))
FLOAT_COLUMNS = tuple(name for name in COLUMNS if name.startswith(("weight", "half_weight")))


def unfilled(keys: int) -> KeyStats:
    """Return uninitialized statistics of `keys` keys."""
    columns: list[Any] = [np.empty(keys, np.float64 if name in FLOAT_COLUMNS else np.int64) for name in COLUMNS]
    return KeyStats(*columns)


EMPTY = unfilled(0)


@dataclass(frozen=True, slots=True)
class LinkBatch:
    """Links of many graphs; all arrays have shape (n_links,)."""

    graph: NDArray[Any]  # id or number of the graph
    key: Ints  # packed source << 31 | packed target
    weight: Floats
    dropped: dict[str, NDArray[np.bool_]] = field(default_factory=dict)  # by reason, a mask of the dropped links


@dataclass(frozen=True)
class LinkCounts:
    """Counts of the links of each graph, kept and dropped; all arrays have shape (n_graphs,)."""

    kept: Ints
    self_loops: Ints
    backward: Ints  # links that do not go up a layer
    dropped: dict[str, Ints] = field(default_factory=dict)  # by reason


@dataclass(frozen=True)
class Endpoints:
    """Endpoints of links, as sorted, distinct pairs of neuron and graph. Both arrays have shape (n_endpoints,)."""

    neuron: NDArray[Any]
    graph: NDArray[Any]


def run_starts(values: NDArray[Any]) -> Ints:
    """Return the start index of each run of equal values in a sorted array."""
    new = np.empty(len(values), dtype=bool)
    new[:1] = True
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return np.flatnonzero(new)


def take(values: NDArray[Any], rows: Ints) -> NDArray[Any]:
    """Return values[rows], without numpy's default bounds check of every row."""
    return values.take(rows, mode="clip")


def expand_slices(starts: Ints, sizes: Ints) -> Ints:
    """Return the row numbers start, start + 1, ... of several slices, one after the other."""
    total = int(sizes.sum())
    shift = starts - (np.cumsum(sizes) - sizes)
    rows: Ints = np.repeat(shift, sizes) + np.arange(total)
    return rows
