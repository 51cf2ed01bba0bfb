"""Statistics of edges within groups of prompts, which show if an edge recurs in another group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.aggregate.kernels import Kernel
from atlas.aggregate.kernels.key_stats import KeyStats, run_starts
from atlas.aggregate.kernels.numpy_kernel import sums
from atlas.aggregate.link_tables import TABLES
from atlas.graph import Floats, Ints
from atlas.ids import NEURON_BITS
from atlas.stages import DATASETS

_GROUP = (1 << NEURON_BITS) - 1


@dataclass(frozen=True, slots=True)
class EdgeGroups:
    """Rows of (edge, group), sorted by both; all arrays have shape (n_rows,)."""

    key: Ints
    group_id: Ints
    count: Ints
    graph_count: Ints
    positive_count: Ints
    weight_sum: Floats
    weight_abs_sum: Floats
    weight_sq_sum: Floats

    def __len__(self) -> int:
        return len(self.key)

    def table(self) -> pa.Table:
        """Return the rows as the dataset `edge_groups`."""
        columns: dict[str, Any] = dict(TABLES[0].key_columns(self.key))
        columns |= {name: getattr(self, name) for name in _COLUMNS[1:]}
        columns["group_id"] = self.group_id.astype(np.int32)
        return DATASETS["stats.edge_groups"].table(columns)


_COLUMNS = tuple(item.name for item in fields(EdgeGroups))
_VALUES = _COLUMNS[2:]
_NONE: Any = np.zeros(0)
EMPTY = EdgeGroups(*([_NONE.astype(np.int64)] * 5), *([_NONE] * 3))


def of_links(kernel: Kernel, key: Ints, graph: NDArray[np.uint32], weight: Floats, groups: Ints) -> EdgeGroups:
    """Return the statistics of links within groups.

    Args:
        kernel: Kernel that sorts and reduces.
        key: Packed edges, ascending, (n_links,).
        graph: `graph number << 1 | half` of each link, (n_links,).
        weight: Weights, (n_links,).
        groups: Group of each graph number, (n_graphs,).

    Returns:
        One row for each edge and group with a link.
    """
    starts = run_starts(key)
    run = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(key)))
    words = run << NEURON_BITS | groups[graph >> 1]
    stats = kernel.reduce(*kernel.sort(words, graph, weight))[0]
    return EdgeGroups(
        key[starts][stats.key >> NEURON_BITS], stats.key & _GROUP, *(getattr(stats, name) for name in _VALUES)
    )


def of_table(key: Ints, table: pa.Table, renumbered: Ints) -> EdgeGroups:
    """Return rows of earlier statistics with new group numbers; `renumbered` (n_groups,) maps old numbers to new."""
    columns = {name: table[name].to_numpy() for name in _VALUES}
    return merge([EdgeGroups(key, renumbered[table["group_id"].to_numpy()], **columns)])


def merge(parts: Sequence[EdgeGroups]) -> EdgeGroups:
    """Return the rows of the union of links. The parts must not share graphs; their rows may be in any order."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return EMPTY
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
    key, group = columns["key"], columns["group_id"]
    if len(parts) == 1 and ((key[1:] > key[:-1]) | ((key[1:] == key[:-1]) & (group[1:] > group[:-1]))).all():
        return parts[0]
    order = np.lexsort((group, key))
    key, group = key[order], group[order]
    new = np.ones(len(key), bool)
    new[1:] = (key[1:] != key[:-1]) | (group[1:] != group[:-1])
    starts, row = np.flatnonzero(new), np.cumsum(new) - 1
    merged: dict[str, NDArray[Any]] = {"key": key[starts], "group_id": group[starts]}
    for name in _VALUES:
        values = columns[name][order]
        whole = values.dtype.kind == "i"
        merged[name] = np.add.reduceat(values, starts) if whole else sums(row, values)
    return EdgeGroups(**merged)


def with_halves(stats: KeyStats, rows: EdgeGroups, buckets: NDArray[np.uint8]) -> tuple[KeyStats, Ints]:
    """Return statistics with halves by group instead of by graph, and the number of groups of each edge (n_keys,).

    Args:
        stats: Statistics of all edges of `rows`.
        rows: The same links by group.
        buckets: Sixteenth of the corpus that each group is in, (n_groups,).
    """
    starts = run_starts(rows.key)
    edge = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(rows)))
    mine = (buckets[rows.group_id] & 1) == 0
    count = sums(edge, np.where(mine, rows.count, 0).astype(np.float64)).astype(np.int64)
    weight = sums(edge, np.where(mine, rows.weight_sum, 0.0))
    columns = stats.columns() | {"half_count": count, "half_weight_sum": weight}
    return KeyStats(**columns), np.diff(starts, append=len(rows))
