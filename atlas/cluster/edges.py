"""Statistics of edges, by bucket of groups of prompts where they are known."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from atlas.ids import INDEX_BITS
from atlas.stages.resamples import Floats, Ints

STATISTICS = ("count", "graphs", "groups", "signed", "absolute")


@dataclass(frozen=True, slots=True)
class Sums:
    """Statistics of every edge in a resample, each (n_edges,); NaN where the file does not state it."""

    count: Floats
    graphs: Floats
    groups: Floats
    signed: Floats
    absolute: Floats

    def of(self, rows: Ints) -> Sums:
        """Return the statistics of some edges."""
        return Sums(*(getattr(self, name)[rows] for name in STATISTICS))


@dataclass(frozen=True, slots=True)
class Edges:
    """Statistics of edges by bucket. Where groups are not told apart, there is one bucket.

    Attributes:
        neurons: Packed neurons with an edge, ascending (n_neurons,).
        source: Row of the source in `neurons` (n_edges,).
        target: Row of the target (n_edges,).
        starts: Place of the first cell of every edge (n_edges,).
        bucket: Bucket of every cell (n_cells,).
        count: Number of links of every cell (n_cells,), as the next ones.
        graphs: Number of graphs with the edge.
        groups: Number of groups of prompts with the edge.
        signed: Sum of the weights.
        absolute: Sum of the |weights|.
        presence: Number of graphs with every neuron (n_neurons, n_buckets); NaN where it is not known.
        graph_totals: Number of graphs of every bucket (n_buckets,); NaN where it is not known.
        group_total: Number of groups of prompts.
        node_neuron: Row in `neurons` of every neuron in every graph (n_nodes,); the next ones are only there where a method needs them.
        node_graph: Number of the graph (n_nodes,).
        node_share: Share of the neuron in all |weights| of the graph (n_nodes,).
        graph_bucket: Bucket of every graph (n_graphs,).
        group_ids: Every group of prompts (n_groups,); empty where groups are not told apart.
        group_bucket: Its bucket (n_groups,).
    """

    neurons: Ints
    source: Ints
    target: Ints
    starts: Ints
    bucket: Ints
    count: Floats
    graphs: Floats
    groups: Floats
    signed: Floats
    absolute: Floats
    presence: Floats
    graph_totals: Floats
    group_total: int
    node_neuron: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    node_graph: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    node_share: Floats = field(default_factory=lambda: np.zeros(0))
    graph_bucket: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    group_ids: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    group_bucket: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def buckets(self) -> int:
        """Number of buckets."""
        return len(self.graph_totals)

    @property
    def layers(self) -> Ints:
        """Layer of every neuron (n_neurons,)."""
        found: Ints = self.neurons >> INDEX_BITS
        return found

    def sums(self, weights: Floats) -> Sums:
        """Return the statistics in a resample, in which each bucket counts as often as `weights` (n_buckets,) says."""
        if len(self.starts) == len(self.bucket) and (weights == 1).all():
            return Sums(*(getattr(self, name) for name in STATISTICS))
        times = weights[self.bucket]
        return Sums(*(np.add.reduceat(getattr(self, name) * times, self.starts) for name in STATISTICS))

    def save(self, folder: Path) -> None:
        """Write all arrays to a folder, from which worker processes map them."""
        for item in fields(self):
            np.save(folder / f"{item.name}.npy", np.asarray(getattr(self, item.name)))

    @classmethod
    def load(cls, folder: Path) -> Edges:
        """Map the arrays of a folder."""
        arrays = {item.name: np.load(folder / f"{item.name}.npy", mmap_mode="r") for item in fields(cls)}
        return cls(**arrays | {"group_total": int(arrays["group_total"])})
