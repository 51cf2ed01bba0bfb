"""Co-occurrence: the number of graphs that hold both ends of an edge, and the top co-occurring neurons of a neuron.

The co-occurrence matrix is computed row by row from two sorted incidence lists: the graphs of every neuron
(postings), and the neurons of every graph (members). Both are on disk. The members are read one block of neurons at a
time, so that memory is bounded by a block, not by the corpus.

    both(s, t) = |graphs(s) & graphs(t)|        lift = both * n / (graphs(s) * graphs(t))
    pmi = ln(lift)                              npmi = pmi / -ln(both / n)     (Bouma, "Normalized (pointwise)
                                                mutual information in collocation extraction", 2009)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from atlas.aggregate.kernels import count_cooccurrence, sort_words
from atlas.aggregate.kernels.key_stats import LOW
from atlas.errors import UsageError
from atlas.graph import Ints
from atlas.ids import INDEX_BITS, MAX_INDEX, NEURON_BITS
from atlas.io.run_files import RunFile, RunWriter
from atlas.io.work_dir import Store, open_store
from atlas.stages import DATASETS

Array = NDArray[Any]
_BLOCK_PARTS = 8


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
    """Job that inverts the postings of a few parts to the members of one block of neurons."""

    store: str
    number: int
    parts: tuple[int, ...]
    graph_total: int


def block_name(number: int) -> str:
    """Return the name of the members of a block in the store."""
    return f"members/{number:05d}.runs"


def block_jobs(store: str, parts: int, graph_total: int) -> list[BlockJob]:
    """Return the jobs for the blocks of all neurons."""
    starts = range(0, parts, _BLOCK_PARTS)
    return [
        BlockJob(store, number, tuple(range(start, min(start + _BLOCK_PARTS, parts))), graph_total)
        for number, start in enumerate(starts)
    ]


def write_members(job: BlockJob) -> None:
    """Write the neurons of every graph that are in one block, numbered within the block."""
    store = open_store(job.store)
    words, first = [np.zeros(0, np.int64)], 0
    for part in job.parts:
        file = RunFile(store, postings_name(part))
        counts = file.column("neurons", "graph_count")
        local = np.repeat(np.arange(first, first + len(counts)), counts)
        words.append(file.column("graphs", "graph").astype(np.int64) << NEURON_BITS | local)
        first += len(counts)
    ordered = sort_words(np.concatenate(words))
    sizes = np.bincount(ordered >> NEURON_BITS, minlength=job.graph_total)
    runs = RunWriter()
    runs.add("members", {"neuron": (ordered & LOW).astype(np.uint32)})
    runs.add("offsets", {"offset": np.append(0, np.cumsum(sizes))})
    runs.write(store, block_name(job.number), lasting=False)


@dataclass(frozen=True)
class _Block:
    """Members of a block of neurons, from `first` to `last`, and the offset of each graph in them."""

    first: int
    last: int
    members: Array
    offsets: Ints


class CooccurrenceIndex:
    """Index of all neurons with their graphs."""

    def __init__(self, store: Store, graph_total: int) -> None:
        self.store = store
        self.graph_total = graph_total
        names = sorted(name for name in store.names() if name.startswith("postings/"))
        self._parts = [RunFile(store, name) for name in names]
        neurons = [part.columns("neurons", ["key", "graph_count"]) for part in self._parts]
        empty = np.zeros(0, np.int64)
        self.key: Ints = np.concatenate([empty, *(found["key"] for found in neurons)])
        self.graph_count: Ints = np.concatenate([empty, *(found["graph_count"] for found in neurons)])
        self._sizes = [len(found["key"]) for found in neurons]
        self._starts = np.append(0, np.cumsum(self.graph_count))
        blocks = [sum(self._sizes[start : start + _BLOCK_PARTS]) for start in range(0, len(names), _BLOCK_PARTS)]
        self._bounds = np.append(0, np.cumsum(blocks)).astype(int)

    def blocks(self) -> Iterator[_Block]:
        """Yield the members, block by block."""
        for number in range(len(self._bounds) - 1):
            file = RunFile(self.store, block_name(number))
            first, last = int(self._bounds[number]), int(self._bounds[number + 1])
            yield _Block(first, last, file.column("members", "neuron"), file.column("offsets", "offset"))

    def graphs(self, first: int, last: int) -> tuple[Array, Ints]:
        """Return the concatenated graphs of neurons `first` to `last`, and the number of graphs of each."""
        found, start = [np.zeros(0, np.uint32)], 0
        for part, size in zip(self._parts, self._sizes, strict=True):
            low, high = max(first, start), min(last, start + size)
            if low < high:
                base = self._starts[start]
                rows = int(self._starts[low] - base), int(self._starts[high] - base)
                found.append(part.columns("graphs", ["graph"], *rows)["graph"])
            start += size
        return np.concatenate(found), self.graph_count[first:last]

    def number(self, neuron: Ints) -> Ints:
        """Return the index of each packed neuron in `key`, which must contain it."""
        return np.searchsorted(self.key, neuron)


@dataclass(frozen=True)
class Score:
    """Score of a pair as one integer: more joint graphs rank first, then the rarer neuron, then the lower number."""

    other_bits: int
    graph_bits: int
    total: int

    @classmethod
    def of(cls, index: CooccurrenceIndex) -> Score:
        """Return the score for all neurons and graphs; raises `UsageError` if they are too many for 63 bits."""
        found = cls(len(index.key).bit_length(), index.graph_total.bit_length(), index.graph_total)
        if found.other_bits + 2 * found.graph_bits > 63:
            raise UsageError(
                f"{len(index.key):,} neurons in {found.total:,} graphs are too many for co-occurrence; leave it out with --cooccurrence 0"
            )
        return found

    def decode(self, scores: Ints) -> tuple[Ints, Ints, Ints, Ints]:
        """Return row, rank (from 1), other neuron and joint graph count of all pairs in scores (n_rows, top).

        The pairs are sorted by row and rank.
        """
        scores = -np.sort(-scores, axis=1)
        row, rank = np.nonzero(scores >= 0)
        found = scores[row, rank]
        other = (1 << self.other_bits) - 1 - (found & ((1 << self.other_bits) - 1))
        return row, rank + 1, other, found >> (self.other_bits + self.graph_bits)


def evaluate(index: CooccurrenceIndex, top: int, key: Ints, low: int, high: int) -> tuple[pa.Array, pa.Table]:
    """Return `joint_graph_count` of the edges of a range, and the rows of `cooccurrence` of its neurons.

    `top` co-occurring neurons are kept per neuron. key (n_edges,) is ascending. A neuron belongs to the range if its
    first possible edge is in [low, high).
    """
    source, target = index.number(key >> NEURON_BITS), index.number(key & LOW)
    home = [int(np.searchsorted(index.key, -(-bound // (1 << NEURON_BITS)), "left")) for bound in (low, high)]
    # A source with edges in several ranges belongs to the first of them, but its row is needed in all.
    first, last = min([home[0], *source[:1].tolist()]), max([home[1], *(source[-1:] + 1).tolist()])
    both = np.zeros(len(key), np.int64)
    score = Score.of(index)
    best = np.full((last - first, top), -1, np.int64)
    graphs, sizes = index.graphs(first, last)
    starts = np.append(0, np.cumsum(sizes))
    edges = np.searchsorted(source, np.arange(first, last + 1))
    for block in index.blocks():
        where = (block.first, block.last, block.members, block.offsets)
        bits = (score.other_bits, score.graph_bits, score.total)
        count_cooccurrence(first, graphs, starts, *where, edges, target, both, index.graph_count, *bits, best)
    return pa.array(both), _table(index, score.decode(best), first, home)


def _table(index: CooccurrenceIndex, pairs: tuple[Ints, Ints, Ints, Ints], first: int, home: Sequence[int]) -> pa.Table:
    row, rank, other, both = pairs
    number = row + first
    mine = (number >= home[0]) & (number < home[1])
    number, rank, other, both = number[mine], rank[mine], other[mine], both[mine]
    n = max(index.graph_total, 1)
    lift = both * (n / (index.graph_count[number].astype(np.float64) * index.graph_count[other]))
    pmi, share = _ln(lift), -_ln(both / n)
    npmi = np.divide(pmi, share, out=np.full(len(pmi), np.nan), where=share > 0)
    key, partner = index.key[number], index.key[other]
    return DATASETS["stats.cooccurrence"].table(
        {
            "layer": key >> INDEX_BITS,
            "neuron": key & MAX_INDEX,
            "rank": rank,
            "other_layer": partner >> INDEX_BITS,
            "other_neuron": partner & MAX_INDEX,
            "joint_graph_count": both,
            "lift": lift,
            "pmi": pmi,
            "npmi": pa.array(npmi, from_pandas=True),
        }
    )


def _ln(values: NDArray[np.float64]) -> NDArray[np.float64]:
    # Not np.log: its last bit depends on the processor's instructions, and on which of them are disabled.
    found: NDArray[np.float64] = pc.ln(pa.array(values)).to_numpy(zero_copy_only=False)
    return found


def nothing(rows: int) -> tuple[pa.Array, pa.Table]:
    """Return the result of `evaluate` if co-occurrence is left out."""
    return pa.nulls(rows, pa.int64()), DATASETS["stats.cooccurrence"].empty()
