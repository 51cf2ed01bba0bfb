"""Aggregated link tables: conversion of pairs of nodes to keys, and of keys to columns.

A key is `left << 31 | right`. Packed neurons and token ids both fit 31 bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.aggregate.kernels import unpack_pairs
from atlas.aggregate.kernels.key_stats import LOW, KeyStats
from atlas.graph import LINK_TABLES, Ints, NodeKind
from atlas.ids import INDEX_BITS, MAX_INDEX, NEURON_BITS
from atlas.stages import DATASETS


@dataclass(frozen=True, slots=True)
class LinkTable:
    """One aggregated table and the two kinds of node that its links join."""

    name: str
    source: NodeKind
    target: NodeKind

    @property
    def keyed_by_target(self) -> bool:
        """True for links from error nodes. These are not units, so their links are summed per target."""
        return self.source is NodeKind.ERROR

    def keys(self, source: Ints, target: Ints) -> Ints:
        """Return the keys (n,) of links between units `source` (n,) and `target` (n,)."""
        return target if self.keyed_by_target else source << NEURON_BITS | target

    def key_columns(self, key: Ints) -> dict[str, NDArray[Any]]:
        """Return the columns of the dataset that keys encode, in the dataset's order."""
        if self.source is self.target is NodeKind.NEURON:
            return dict(zip(("src_layer", "src_neuron", "tgt_layer", "tgt_neuron"), unpack_pairs(key), strict=True))
        parts: Iterable[tuple[NodeKind, Ints, str]]
        if self.keyed_by_target:
            parts = ((self.target, key, ""),)
        else:
            parts = ((self.source, key >> NEURON_BITS, "src_"), (self.target, key & LOW, "tgt_"))
        both_alike = self.source is self.target or self.name == "token_logit_edges"
        columns: dict[str, NDArray[Any]] = {}
        for kind, unit, prefix in parts:
            prefix = prefix if both_alike else ""
            if kind is NodeKind.NEURON:
                columns[f"{prefix}layer"] = unit >> INDEX_BITS
                columns[f"{prefix}neuron"] = unit & MAX_INDEX
            else:
                columns[f"{prefix}token_id"] = unit
        return columns

    def arrow(self, stats: KeyStats, **more: NDArray[Any] | str) -> pa.Table:
        """Return the statistics as a table of the dataset. `more` adds columns, or one text for all rows."""
        dataset = DATASETS[f"stats.{self.name}"]
        columns: dict[str, Any] = {**self.key_columns(stats.key), **stats.columns(), **more}
        for name, value in more.items():
            if isinstance(value, str):
                indices = pa.array(np.zeros(len(stats), dtype=np.int32))
                columns[name] = pa.DictionaryArray.from_arrays(indices, pa.array([value]))
        return dataset.table(columns)


TABLES = tuple(LinkTable(name, source, target) for (source, target), name in LINK_TABLES.items())
