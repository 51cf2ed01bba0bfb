"""Conversion of many graphs at once to sorted runs: the links of each table, and the nodes of each graph."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.aggregate.bookkeeping import Bookkeeping, GraphCounts
from atlas.aggregate.edge_sample import sample_of
from atlas.aggregate.kernels import cpu_kernel, gather_words
from atlas.aggregate.kernels.key_stats import KeyStats, LinkBatch, take
from atlas.aggregate.link_tables import TABLES
from atlas.graph import Floats, Graph, Ints, NodeKind
from atlas.ids import INDEX_BITS, NEURON_BITS
from atlas.io.run_files import RunWriter

# A key with at least this many links in one chunk is written as one row of statistics (88 bytes) instead of rows of
# 18 bytes each, and is not sorted again. With fewer links, combining costs more than it saves.
COMBINE_FROM = 8
_NODE_COLUMNS = ("position", "activation", "influence", "probability")
_KINDS = len(NodeKind)
_TABLE_OF = np.full(_KINDS * _KINDS, len(TABLES), np.int8)
for _number, _table in enumerate(TABLES):
    _TABLE_OF[_table.source * _KINDS + _table.target] = _number


def bucket_of(content_hash: str) -> int:
    """Return the hash-sixteenth of a graph. Even buckets are the first half."""
    return int(content_hash[:1], 16)


def downcast_if_lossless(values: Floats) -> NDArray[Any]:
    """Return the values as float32 if that is lossless. Models compute in float32, but JSON holds float64."""
    if len(values) and not _fits(values[:64]):
        return values
    return values.astype(np.float32) if _fits(values) else values


def _fits(values: Floats) -> bool:
    # A value beyond the range of float32 becomes infinite, and then compares unequal, as it should.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.array_equal(values.astype(np.float32), values, equal_nan=True))


class Chunk:
    """Collector of the graphs of a task, which writes runs whenever enough links are pending."""

    def __init__(self, *, max_links: int, sample_below: int, combine: bool, keep_graphs: bool = False) -> None:
        self.runs = RunWriter()
        self.bookkeeping = Bookkeeping()
        self._max_links = max_links
        self.sample_below = sample_below  # may decrease while links are added
        self._combine = combine
        self._keep_graphs = keep_graphs
        self._graphs: list[Graph] = []
        self._first = 0  # number of the first pending graph, within the task
        self._links = 0
        self._flushes = 0

    @property
    def graphs(self) -> int:
        """Number of flushed graphs."""
        return self._first

    @property
    def holds_graphs(self) -> bool:
        """True if any graph was added."""
        return bool(self._first or self._graphs)

    def add(self, graph: Graph) -> None:
        """Add one graph, and flush if enough links are pending."""
        self._graphs.append(graph)
        # A node takes about as much memory as a link.
        self._links += len(graph.links.weight) + len(graph.nodes.kind)
        if self._links >= self._max_links:
            self.flush()

    def flush(self) -> None:
        """Convert the pending graphs to runs."""
        graphs, self._graphs, self._links = self._graphs, [], 0
        if not graphs:
            return
        pending = _Pending(graphs, self._first)
        self._write_links(pending)
        self._write_nodes(pending)
        if self._keep_graphs:
            self._write_graphs(pending)
        self.bookkeeping.add(graphs, pending.counts(), self._first)
        self._first += len(graphs)
        self._flushes += 1

    def _write_links(self, pending: _Pending) -> None:
        for number, table in enumerate(TABLES):
            rows = np.flatnonzero(pending.table == number)
            if len(rows):
                source, target, graph = (take(found, rows) for found in (pending.source, pending.target, pending.graph))
                below = self.sample_below if table.name == "edges" else 0
                seen = LinkBatch(graph, table.keys(source, target), take(pending.weight, rows))
                split_half = SplitHalf(pending.buckets, self._first)
                write_observations(self.runs, table.name, self._flushes, seen, split_half, below, combine=self._combine)

    def _write_nodes(self, pending: _Pending) -> None:
        rows = np.flatnonzero(pending.node_kind == NodeKind.NEURON)
        key, graph = take(pending.node_key, rows), take(pending.node_graph, rows)
        position = np.concatenate([graph_.nodes.position for graph_ in pending.graphs])[rows]
        order = np.lexsort((position, graph, key))
        columns: dict[str, NDArray[Any]] = {
            "key": key[order].astype(np.uint32),
            "graph": graph[order],
            "position": position[order],
        }
        for name in ("activation", "influence"):
            values = np.concatenate([getattr(graph_.nodes, name) for graph_ in pending.graphs])
            columns[name] = downcast_if_lossless(values[rows][order])
        self.runs.add(f"nodes.{self._flushes}", columns)
        members = np.unique(graph.astype(np.int64) << NEURON_BITS | key)
        pending.neuron_counts = np.bincount((members >> NEURON_BITS) - self._first, minlength=len(pending.graphs))

    def _write_graphs(self, pending: _Pending) -> None:
        """Write nodes and kept links as they are, graph by graph."""
        nodes = {
            name: np.concatenate([getattr(graph.nodes, name) for graph in pending.graphs]) for name in _NODE_COLUMNS
        }
        columns: dict[str, NDArray[Any]] = {
            "key": pending.node_graph,
            "kind": pending.node_kind,
            "unit": pending.node_key,
        }
        columns["position"] = nodes.pop("position").astype(np.int32)
        nodes["score_gradient"] = np.concatenate([_score_gradient(graph) for graph in pending.graphs])
        self.runs.add(f"graph_nodes.{self._flushes}", columns | {n: v.astype(np.float32) for n, v in nodes.items()})
        rows = np.flatnonzero(pending.table < len(TABLES))
        ends = {
            name: np.concatenate([getattr(graph.links, name) for graph in pending.graphs])
            for name in ("source", "target")
        }
        columns = {"key": take(pending.graph, rows), **{n: take(v, rows).astype(np.uint32) for n, v in ends.items()}}
        columns["weight"] = take(pending.weight, rows).astype(np.float32)
        self.runs.add(f"graph_links.{self._flushes}", columns)


def _score_gradient(graph: Graph) -> Floats:
    if graph.tracing is not None:
        return graph.tracing.score_gradient
    return np.full(len(graph.nodes.kind), np.nan)


@dataclass(frozen=True, slots=True)
class SplitHalf:
    """Hash-sixteenths of graphs, which are numbered from `first`."""

    buckets: NDArray[np.uint32]
    first: int = 0

    def graph_and_half(self, graph: NDArray[Any]) -> NDArray[Any]:
        """Return `graph number << 1 | half` of each row."""
        numbers = np.arange(self.first, self.first + len(self.buckets), dtype=np.uint32)
        table: NDArray[np.uint32] = (numbers << 1 | (self.buckets & 1)).astype(np.uint32, copy=False)
        return gather_words(table, graph, self.first)


def write_observations(
    runs: RunWriter, table: str, number: int, seen: LinkBatch, split_half: SplitHalf, below: int, *, combine: bool
) -> None:
    """Write the observations of one table as a sorted run. With `combine`, frequent keys are written as statistics.

    Edges with a hash below `below` are also summed in the sample.
    """
    # Adding 0.0 removes the sign of zeros, so that results do not depend on row order or machine instructions.
    kernel = cpu_kernel(len(seen.key))
    key, graph, weight = kernel.sort(seen.key, split_half.graph_and_half(seen.graph), seen.weight + 0.0)
    if below:
        runs.add(f"sample.{number}", sample_of(key, graph, weight, split_half.buckets, split_half.first, below))
    if combine:
        stats, key, graph, weight = kernel.reduce(key, graph, weight, COMBINE_FROM)
        if len(stats):
            runs.add(f"{table}.sum.{number}", stats.columns())
    runs.add(f"{table}.raw.{number}", {"key": key, "graph": _short(graph), "weight": downcast_if_lossless(weight)})


def write_statistics(runs: RunWriter, table: str, number: int, stats: KeyStats) -> None:
    """Write statistics as a run."""
    runs.add(f"{table}.sum.{number}", stats.columns())


def _short(graph: NDArray[Any]) -> NDArray[Any]:
    return graph.astype(np.uint16) if not len(graph) or int(graph.max()) < 1 << 16 else graph.astype(np.uint32)


class _Pending:
    """Nodes and links of several graphs as concatenated arrays. Graphs are numbered from `first`."""

    def __init__(self, graphs: list[Graph], first: int) -> None:
        self.graphs = graphs
        self.neuron_counts: Ints = np.zeros(len(graphs), np.int64)
        self.buckets = np.array([bucket_of(graph.info.content_hash) for graph in graphs], np.uint32)
        node_sizes = np.array([len(graph.nodes.kind) for graph in graphs])
        link_sizes = np.array([len(graph.links.weight) for graph in graphs])
        numbers = np.arange(first, first + len(graphs), dtype=np.uint32)
        self._first = first
        self.node_graph = np.repeat(numbers, node_sizes)
        self.graph = np.repeat(numbers, link_sizes)
        self.node_kind = np.concatenate([graph.nodes.kind for graph in graphs])
        self.node_key = np.concatenate([graph.nodes.key for graph in graphs])
        offsets = np.repeat(np.cumsum(node_sizes) - node_sizes, link_sizes)
        source = np.concatenate([graph.links.source for graph in graphs]) + offsets
        target = np.concatenate([graph.links.target for graph in graphs]) + offsets
        self.weight = np.concatenate([graph.links.weight for graph in graphs])
        # Padded, so that the lookup also works without any node.
        kind, key = np.append(self.node_kind, np.int8(0)), np.append(self.node_key, 0)
        self.table = _TABLE_OF[take(kind, source).astype(np.int64) * _KINDS + take(kind, target)]
        self.source, self.target = take(key, source), take(key, target)

    def counts(self) -> list[GraphCounts]:
        """Return the counts of the nodes and links of each graph."""
        n, width = len(self.graphs), len(TABLES) + 1
        local = (self.graph - self._first).astype(np.int64)
        kept = np.bincount(local * width + self.table, minlength=n * width).reshape(n, width)
        edges = self.table == 0
        loops = np.bincount(local[edges & (self.source == self.target)], minlength=n)
        backward = edges & (self.source >> INDEX_BITS >= self.target >> INDEX_BITS)
        backwards = np.bincount(local[backward], minlength=n)
        return [
            GraphCounts(
                Counter({table.name: int(count) for table, count in zip(TABLES, kept[i], strict=False) if count}),
                int(self.neuron_counts[i]),
                int(loops[i]),
                int(backwards[i]),
            )
            for i in range(n)
        ]
