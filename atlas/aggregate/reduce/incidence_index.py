"""Index of which neuron is in which graph, on disk and mapped into memory: the graphs of each neuron, the neurons of each graph.

A neuron has two numbers: its place in the order of keys, and its rank, the most frequent neuron first. Counters of frequent
neurons lie together, and of two neurons with as many shared graphs the rarer one has the higher rank. Neurons of one graph are in
no list of a graph, because they share no second graph with any other.
"""

from __future__ import annotations

import contextlib
import mmap
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.aggregate.kernels import sort_words
from atlas.aggregate.kernels.key_stats import LOW, expand_slices, run_starts, take
from atlas.graph import Ints
from atlas.ids import INDEX_BITS, MAX_INDEX, NEURON_BITS
from atlas.io.run_files import RunFile, RunWriter
from atlas.io.work_dir import LocalStore, Store, open_store
from atlas.runtime.executors import Executor

Array = NDArray[Any]
NEURONS = "index/neurons.runs"
_GRAPHS, _MEMBERS, _OFFSETS = "index/graphs.u4", "index/members.u4", "index/offsets.runs"
_BLOCK_PARTS = 8  # parts of which the members are sorted at once
_MERGED = 4_000_000  # members that are merged at once
_TABLE_SIZE = 1 << 22  # of ranks by neuron
# Sets of graphs as bits, of the most frequent neurons, in each worker.
_BITMAP_BYTES = 64_000_000


def postings_name(number: int) -> str:
    """Return the name of the postings of a part, which hold the graphs of its neurons."""
    return f"postings/{number:05d}.runs"


def write_postings(store: Store, number: int, neurons: dict[str, Array], graphs: Array) -> None:
    """Write the graphs (n_incidences,) of the neurons of one part, neuron after neuron."""
    runs = RunWriter()
    runs.add(
        "neurons", {"key": neurons["key"].astype(np.int64), "graph_count": neurons["graph_count"].astype(np.int64)}
    )
    runs.add("graphs", {"graph": graphs.astype(np.uint32)})
    runs.write(store, postings_name(number), lasting=False)


@dataclass(frozen=True)
class BlockJob:
    """Job that inverts the postings of a few parts; `first` is the number of their first neuron."""

    store: str
    number: int
    parts: tuple[int, ...]
    first: int
    graph_total: int


@dataclass(frozen=True)
class Sizes:
    """Numbers that decide what co-occurrence costs.

    Attributes:
        graph_counts: Graphs of every neuron (n_neurons,), in the order of keys.
        steps: Sum over graphs of the square of the number of their members: visits of a member, if all pairs are counted.
        members: Sum over graphs of the number of their members.
    """

    graph_counts: Ints
    steps: int
    members: int

    @property
    def visits(self) -> int:
        """Members that are visited for each graph of a neuron, on average."""
        return max(round(self.steps / self.members), 1) if self.members else 1


def write_index(store: Store, parts: int, graph_total: int, workers: Executor) -> Sizes:
    """Write the index of the postings of all parts.

    Args:
        store: Work folder with the postings.
        parts: Number of parts of neurons.
        graph_total: Number of graphs.
        workers: Executor of the jobs that sort.

    Returns:
        Sizes, from which the cost of co-occurrence is predicted.
    """
    neurons = [RunFile(store, postings_name(part)).columns("neurons", ["key", "graph_count"]) for part in range(parts)]
    key = np.concatenate([found["key"] for found in neurons])
    count = np.concatenate([found["graph_count"] for found in neurons])
    by_rank = np.lexsort((-np.arange(len(key)), -count))
    rank = np.empty(len(key), np.uint32)
    rank[by_rank] = np.arange(len(key), dtype=np.uint32)
    firsts = np.cumsum([0, *(len(found["key"]) for found in neurons)])
    runs = RunWriter()
    runs.add("neurons", {"key": key, "graph_count": count, "rank": rank})
    runs.write(store, NEURONS, lasting=False)
    jobs = [
        BlockJob(
            store.url, number, tuple(range(start, min(start + _BLOCK_PARTS, parts))), int(firsts[start]), graph_total
        )
        for number, start in enumerate(range(0, parts, _BLOCK_PARTS))
    ]
    for _ in workers.run(write_members, jobs):
        pass
    store.put(
        _GRAPHS, (RunFile(store, postings_name(part)).column("graphs", "graph") for part in range(parts)), lasting=False
    )
    blocks = [RunFile(store, _block_name(job.number)) for job in jobs]
    offsets = sum((block.column("offsets", "offset") for block in blocks), np.zeros(graph_total + 1, np.int64))
    store.put(_MEMBERS, _merged(blocks, offsets), lasting=False)
    runs = RunWriter()
    runs.add("offsets", {"offset": offsets})
    runs.write(store, _OFFSETS, lasting=False)
    sizes = np.diff(offsets)
    return Sizes(count, int((sizes * sizes).sum()), int(sizes.sum()))


def _block_name(number: int) -> str:
    return f"members/{number:05d}.runs"


def write_members(job: BlockJob) -> None:
    """Write the ranks of the neurons of every graph that are in some parts."""
    store = open_store(job.store)
    words, first = [np.zeros(0, np.int64)], job.first
    for part in job.parts:
        file = RunFile(store, postings_name(part))
        counts = file.column("neurons", "graph_count")
        rank = RunFile(store, NEURONS).columns("neurons", ["rank"], first, first + len(counts))["rank"]
        kept = np.repeat(counts > 1, counts)
        words.append(
            file.column("graphs", "graph")[kept].astype(np.int64) << NEURON_BITS | np.repeat(rank, counts)[kept]
        )
        first += len(counts)
    ordered = sort_words(np.concatenate(words))
    sizes = np.bincount(ordered >> NEURON_BITS, minlength=job.graph_total)
    runs = RunWriter()
    runs.add("offsets", {"offset": np.append(0, np.cumsum(sizes))})
    runs.add("members", {"neuron": (ordered & LOW).astype(np.uint32)})
    runs.write(store, _block_name(job.number), lasting=False)


def _merged(blocks: Sequence[RunFile], offsets: Ints) -> Iterator[Array]:
    """Yield the members of all graphs, graph after graph and ascending, from blocks that have some members of each."""
    graph, last = 0, len(offsets) - 1
    while graph < last:
        stop = max(int(np.searchsorted(offsets, offsets[graph] + _MERGED, "right")) - 1, graph + 1)
        words = []
        for block in blocks:
            bounds = block.columns("offsets", ["offset"], graph, stop + 1)["offset"]
            rank = block.columns("members", ["neuron"], int(bounds[0]), int(bounds[-1]))["neuron"].astype(np.int64)
            words.append(np.repeat(np.arange(stop - graph) << NEURON_BITS, np.diff(bounds)) | rank)
        # Those of one block are in this order already.
        yield ((sort_words(np.concatenate(words)) if len(words) > 1 else words[0]) & LOW).astype(np.uint32)
        graph = stop


class IncidenceIndex:
    """Index of all neurons with their graphs, for the kernels of co-occurrence."""

    def __init__(self, store: Store, graph_total: int) -> None:
        """Open the index in a work folder. Of a remote folder it holds a copy on this machine."""
        found = RunFile(store, NEURONS).columns("neurons", ["key", "graph_count", "rank"])
        self.key: Ints = found["key"]
        self.rank: Ints = found["rank"].astype(np.int64)
        self.graph_count: Ints = found["graph_count"]
        self.graph_total = graph_total
        self._width = int((self.key & MAX_INDEX).max(initial=0)).bit_length()
        self._ranks = self._table_of_ranks()
        ends = np.cumsum(self.graph_count)
        # By rank from here on.
        self.number = np.empty(len(self.key), np.int64)
        self.number[self.rank] = np.arange(len(self.key))
        stops = ends[self.number]
        starts = stops - self.graph_count[self.number]
        self._copy: Path | None = None
        self._maps: list[mmap.mmap] = []
        graphs, members = (self._mapped(store, name) for name in (_GRAPHS, _MEMBERS))
        words = -(-graph_total // 64)
        offsets = RunFile(store, _OFFSETS).column("offsets", "offset")
        self.arrays = (graphs, starts, stops, members, offsets, _bitmaps(graphs, starts, stops, words), words)

    def scratch(self) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
        """Return counts of neurons and marks of graphs for one call; threads of a worker share the index, not these."""
        return np.zeros(len(self.key), np.uint32), np.zeros(self.arrays[-1], np.uint64)

    def rank_of(self, neuron: Ints) -> Ints:
        """Return the rank of each packed neuron, which must be in `key`."""
        if self._ranks is None:
            return self.rank[np.searchsorted(self.key, neuron)]
        found: Ints = take(self._ranks, neuron >> INDEX_BITS << self._width | neuron & MAX_INDEX)
        return found

    def _table_of_ranks(self) -> Ints | None:
        """Return the rank of every neuron of as many layers and indices as there are; None where these are too many."""
        layers = int(self.key.max(initial=0) >> INDEX_BITS) + 1
        if layers << self._width > _TABLE_SIZE:
            return None
        found = np.zeros(layers << self._width, np.int64)
        found[self.key >> INDEX_BITS << self._width | self.key & MAX_INDEX] = self.rank
        return found

    def _mapped(self, store: Store, name: str) -> NDArray[np.uint32]:
        if not isinstance(store, LocalStore):
            if self._copy is None:
                self._copy = Path(tempfile.mkdtemp(prefix="atlas-index-"))
                weakref.finalize(self, shutil.rmtree, self._copy, ignore_errors=True)
            store.fetch(name, self._copy / name)
            store = LocalStore(self._copy)
        with store.local(name) as path, path.open("rb") as stream:
            # An empty file cannot be mapped.
            if not path.stat().st_size:
                return np.zeros(0, np.uint32)
            self._maps.append(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        return np.frombuffer(self._maps[-1], np.uint32)

    def release(self) -> None:
        """Give the mapped pages back after a job; the system keeps them in its cache as long as it likes."""
        for mapped in self._maps:
            with contextlib.suppress(AttributeError, OSError):  # not every system has this
                mapped.madvise(mmap.MADV_DONTNEED)


def _bitmaps(graphs: NDArray[np.uint32], starts: Ints, stops: Ints, words: int) -> NDArray[np.uint64]:
    """Return the graphs of the most frequent neurons as bits: as many neurons as have room, and repay it."""
    most = min(_BITMAP_BYTES // (8 * max(words, 1)), len(starts))
    sizes = (stops - starts)[:most]
    count = int((2 * sizes > words).sum())  # sizes descend
    found = np.zeros(count * words, np.uint64)
    first, total = 0, np.cumsum(sizes[:count])
    while first < count:
        used = int(total[first - 1]) if first else 0
        last = max(int(np.searchsorted(total, used + _MERGED, "right")), first + 1)
        mine = slice(first, last)
        graph = graphs[expand_slices(starts[mine], sizes[mine])].astype(np.uint64)
        word = np.repeat(np.arange(first, last) * words, sizes[mine]) + (graph >> np.uint64(6)).astype(np.int64)
        runs = run_starts(word)
        found[word[runs]] = np.bitwise_or.reduceat(np.uint64(1) << (graph & np.uint64(63)), runs)
        first = last
    return found
