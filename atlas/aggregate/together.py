"""Who is in the same graphs: for every edge the graphs that hold both ends, for every neuron its strongest company.

The rows of the co-occurrence matrix are computed one after the other from two sorted incidence lists:
the graphs of every neuron (postings), and the neurons of every graph (members). Both lie on the disk;
the members are read block by block of neurons, so that memory is bounded by a block, not by the corpus.

    both(s, t) = |graphs(s) & graphs(t)|        lift = both * n / (graphs(s) * graphs(t))
    pmi = ln(lift)                              npmi = pmi / -ln(both / n)     (Bouma, "Normalized (pointwise)
                                                mutual information in collocation extraction", 2009)
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from atlas.aggregate.runs import RunFile, RunWriter
from atlas.aggregate.statistics import LOW, ranges, run_starts, sort_words, take
from atlas.aggregate.store import Store, open_store
from atlas.graph import Ints
from atlas.ids import INDEX_BITS, MAX_INDEX, NEURON_BITS
from atlas.schema import DATASETS

Array = NDArray[Any]
# Pairs of one batch of rows: a few arrays of this many numbers.
_BATCH = 2_000_000
_BLOCK_PARTS = 8


@dataclass(frozen=True)
class Together:
    """How far co-occurrence goes: `top` neurons of company each, edges of at least `min_count` links."""

    top: int = 20
    min_count: int = 1


def postings_name(number: int) -> str:
    """The graphs of every neuron of a part."""
    return f"postings/{number:05d}.runs"


def write_postings(store: Store, number: int, neurons: dict[str, Array], graphs: Array) -> None:
    """Write the graphs (n_incidences,) of the neurons of one part, neuron after neuron."""
    runs = RunWriter()
    runs.add("neurons", {"key": neurons["key"].astype(np.int64), "graph_count": neurons["graph_count"].astype(np.int64)})
    runs.add("graphs", {"graph": graphs.astype(np.uint32)})
    runs.write(store, postings_name(number), lasting=False)


@dataclass(frozen=True)
class BlockJob:
    """The members of one block of neurons: the postings of a few parts, turned round."""

    store: str
    number: int
    parts: tuple[int, ...]
    graph_total: int


def block_name(number: int) -> str:
    """The members of a block in the store."""
    return f"members/{number:05d}.runs"


def block_jobs(store: str, parts: int, graph_total: int) -> list[BlockJob]:
    """The blocks of all neurons."""
    starts = range(0, parts, _BLOCK_PARTS)
    return [
        BlockJob(store, number, tuple(range(start, min(start + _BLOCK_PARTS, parts))), graph_total)
        for number, start in enumerate(starts)
    ]


def write_members(job: BlockJob) -> None:
    """Write, for every graph, its neurons of one block, as numbers within the block."""
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
    """The members of a block: neurons `first` to `last` (numbers over all), and where each graph's begin."""

    first: int
    last: int
    members: Array
    offsets: Ints


class Company:
    """All neurons with their graphs; opened once per process."""

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
        """The members, block by block."""
        for number in range(len(self._bounds) - 1):
            file = RunFile(self.store, block_name(number))
            first, last = int(self._bounds[number]), int(self._bounds[number + 1])
            yield _Block(first, last, file.column("members", "neuron"), file.column("offsets", "offset"))

    def graphs(self, first: int, last: int) -> tuple[Array, Ints]:
        """The graphs of neurons `first` to `last`, one after the other, and how many each has."""
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
        """The number of each packed neuron, which must be one of `key`."""
        return np.searchsorted(self.key, neuron)


@functools.lru_cache(maxsize=1)
def company(store_url: str, graph_total: int, stamp: str) -> Company:
    """The company behind a store, in the run of this stamp."""
    return Company(open_store(store_url), graph_total)


def _pairs(block: _Block, graphs: Array, graph_counts: Ints, first: int) -> Iterator[tuple[int, int, Ints, Ints]]:
    """For batches of rows: first row, number of rows, and the pairs as sorted words `row * width + other` with counts.

    graphs are those of all rows, one after the other; graph_counts (n_rows,) say how many each has.
    """
    width = block.last - block.first
    sizes = take(np.diff(block.offsets), graphs)
    ends = np.cumsum(graph_counts)
    work = np.append(0, np.cumsum(sizes))[np.append(0, ends)]
    start = 0
    while start < len(graph_counts):
        stop = max(int(np.searchsorted(work, work[start] + _BATCH, "right")) - 1, start + 1)
        low, high = int(ends[start] - graph_counts[start]), int(ends[stop - 1])
        mine = sizes[low:high]
        members = block.members[ranges(block.offsets[graphs[low:high]], mine)]
        row = np.repeat(np.arange(stop - start), graph_counts[start:stop])
        words = np.repeat(row, mine) * width + members
        yield (first + start, stop - start, *_counted(words, (stop - start) * width))
        start = stop


def _counted(words: Ints, cells: int) -> tuple[Ints, Ints]:
    """The distinct words in order, and how often each occurs."""
    if cells <= 2 * len(words):
        counts = np.bincount(words, minlength=cells)
        found = np.flatnonzero(counts)
        return found, counts[found]
    words = sort_words(words)
    starts = run_starts(words)
    return words[starts], np.diff(starts, append=len(words))


class _Top:
    """The `top` best others of each row; better is more graphs together, then the rarer other, then the lower number."""

    def __init__(self, rows: int, top: int, all_: Company) -> None:
        self._other_bits = max(len(all_.key), 1).bit_length()
        self._graph_bits = max(all_.graph_total, 1).bit_length()
        self._total = all_.graph_total
        self._counts = all_.graph_count
        self.scores = np.full((rows, top), -1, np.int64)
        self._worst = np.full(rows, -1 if top else np.iinfo(np.int64).max, np.int64)

    def add(self, row: Ints, other: Ints, both: Ints) -> None:
        """Take pairs, ordered by row."""
        top = self.scores.shape[1]
        score = both << self._graph_bits | (self._total - self._counts[other])
        score = score << self._other_bits | ((1 << self._other_bits) - 1 - other)
        better = score > self._worst[row]
        row, score = row[better], score[better]
        starts = run_starts(row)
        for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(row)], strict=True) if len(row) else ():
            found = np.concatenate([self.scores[row[start]], score[start:stop]])
            found.partition(len(found) - top)
            self.scores[row[start]] = found[-top:]
            self._worst[row[start]] = found[-top]

    def pairs(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Row, rank from 1, other and both of all that were kept, by row and rank."""
        scores = -np.sort(-self.scores, axis=1)
        row, rank = np.nonzero(scores >= 0)
        found = scores[row, rank]
        other = (1 << self._other_bits) - 1 - (found & ((1 << self._other_bits) - 1))
        return row, rank + 1, other, found >> (self._other_bits + self._graph_bits)


def evaluate(
    all_: Company, options: Together, key: Ints, count: Ints, low: int, high: int
) -> tuple[pa.Array, pa.Table]:
    """`both_graphs` of the edges of a range (null below the threshold), and the rows of `cooccurrence` of its neurons.

    key (n_edges,) ascending, count (n_edges,); the range's neurons are those whose first possible edge is in [low, high).
    """
    asked = np.flatnonzero(count >= options.min_count)
    source, target = all_.number(key[asked] >> NEURON_BITS), all_.number(key[asked] & LOW)
    home = [int(np.searchsorted(all_.key, -(-bound // (1 << NEURON_BITS)), "left")) for bound in (low, high)]
    # A source whose edges fill several ranges is at home in the first of them; its row is needed in all.
    first, last = min([home[0], *source[:1].tolist()]), max([home[1], *(source[-1:] + 1).tolist()])
    both = np.zeros(len(asked), np.int64)
    best = _Top(last - first, options.top, all_)
    graphs, counts = all_.graphs(first, last)
    for block in all_.blocks():
        width = block.last - block.first
        mine = np.flatnonzero((target >= block.first) & (target < block.last))
        for start, rows, words, found in _pairs(block, graphs, counts, first):
            here = mine[slice(*np.searchsorted(source[mine], [start, start + rows]))]
            asked_words = (source[here] - start) * width + target[here] - block.first
            place = np.minimum(np.searchsorted(words, asked_words), max(len(words) - 1, 0))
            if len(here) and len(words):
                both[here] = np.where(words[place] == asked_words, found[place], 0)
            row, other = words // width + (start - first), words % width + block.first
            others = row + first != other
            best.add(row[others], other[others], found[others])
    column = np.zeros(len(key), np.int64)
    column[asked] = both
    unknown = np.ones(len(key), bool)
    unknown[asked] = False
    return pa.array(column, mask=unknown), _table(all_, best, first, home)


def _table(all_: Company, best: _Top, first: int, home: Sequence[int]) -> pa.Table:
    row, rank, other, both = best.pairs()
    number = row + first
    mine = (number >= home[0]) & (number < home[1])
    number, rank, other, both = number[mine], rank[mine], other[mine], both[mine]
    n = max(all_.graph_total, 1)
    lift = both * (n / (all_.graph_count[number].astype(np.float64) * all_.graph_count[other]))
    pmi, share = _ln(lift), -_ln(both / n)
    npmi = np.divide(pmi, share, out=np.full(len(pmi), np.nan), where=share > 0)
    key, partner = all_.key[number], all_.key[other]
    return DATASETS["stats.cooccurrence"].table(
        {
            "layer": key >> INDEX_BITS,
            "neuron": key & MAX_INDEX,
            "rank": rank,
            "other_layer": partner >> INDEX_BITS,
            "other_neuron": partner & MAX_INDEX,
            "both_graphs": both,
            "lift": lift,
            "pmi": pmi,
            "npmi": pa.array(npmi, from_pandas=True),
        }
    )


def _ln(values: NDArray[np.float64]) -> NDArray[np.float64]:
    # Not np.log: its last bit depends on the instructions of the machine, and on those that are switched off.
    found: NDArray[np.float64] = pc.ln(pa.array(values)).to_numpy(zero_copy_only=False)
    return found


def nothing(rows: int) -> tuple[pa.Array, pa.Table]:
    """What `evaluate` gives where nothing was asked."""
    return pa.nulls(rows, pa.int64()), DATASETS["stats.cooccurrence"].empty()
