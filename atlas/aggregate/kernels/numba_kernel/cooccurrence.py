"""Shared graphs of the ends of edges, compiled by numba, and operations on sets of graphs."""

from __future__ import annotations

from typing import Any

from numba import int64, uint64

from atlas.graph import Ints
from atlas.runtime.jit import I8, NONE, U4, U8, Int, compiled_kernel, in_, inlined, out

Graphs = Any  # NDArray[np.uint32], or the words of a set of graphs, NDArray[np.uint64]
# The arrays of an index, in the order of `IncidenceIndex.arrays`: graphs, starts, stops, members, offsets, bitmaps, words.
INDEX = (in_(U4), in_(I8), in_(I8), in_(U4), in_(I8), in_(U8), I8)


@inlined
def tested(words: Graphs, base: Int, graphs: Graphs, start: Int, stop: Int) -> Int:
    """Return how many of graphs[start:stop] are in the set at words[base:]."""
    found = uint64(0)
    for i in range(start, stop):
        graph = uint64(graphs[i])
        found += (words[uint64(base) + (graph >> uint64(6))] >> (graph & uint64(63))) & uint64(1)
    return int64(found)


@inlined
def in_both(one: Graphs, other: Graphs, base: Int, words: Int) -> Int:
    """Return the number of graphs in both one[:words] and other[base:base + words]."""
    found = uint64(0)
    for i in range(words):
        bits = one[i] & other[base + i]
        # LLVM makes one instruction of this: the number of ones, by pairs, by fours, by bytes.
        bits = bits - ((bits >> uint64(1)) & uint64(0x5555555555555555))
        bits = (bits & uint64(0x3333333333333333)) + ((bits >> uint64(2)) & uint64(0x3333333333333333))
        bits = (bits + (bits >> uint64(4))) & uint64(0x0F0F0F0F0F0F0F0F)
        found += (bits * uint64(0x0101010101010101)) >> uint64(56)
    return int64(found)


@inlined
def searched(graphs: Graphs, start: Int, stop: Int, low: Int, high: Int) -> Int:
    """Return how many of graphs[start:stop] are in the much longer graphs[low:high], by binary search."""
    found = int64(0)
    for i in range(start, stop):
        graph, first, last = graphs[i], low, high
        while first < last:
            middle = (first + last) >> 1
            if graphs[middle] < graph:
                first = middle + 1
            else:
                last = middle
        if first < high and graphs[first] == graph:
            found += 1
    return found


@inlined
def shared(
    row: Int, other: Int, marks: Graphs, graphs: Graphs, starts: Ints, stops: Ints, bitmaps: Graphs, words: Int
) -> Int:
    """Return the number of graphs that `row`, whose graphs are marked in `marks`, shares with `other`."""
    start, stop, low, high = starts[row], stops[row], starts[other], stops[other]
    if (other + 1) * words <= len(bitmaps) and words < 2 * (high - low):
        if words < 2 * (stop - start):
            return in_both(marks, bitmaps, other * words, words)
        return tested(bitmaps, other * words, graphs, start, stop)
    if 40 * (stop - start) < high - low:
        return searched(graphs, start, stop, low, high)
    return tested(marks, 0, graphs, low, high)


@inlined
def mark(marks: Graphs, graphs: Graphs, start: Int, stop: Int) -> None:
    """Mark graphs[start:stop] in the set `marks`, or take the marks away again."""
    for i in range(start, stop):
        graph = uint64(graphs[i])
        marks[graph >> uint64(6)] ^= uint64(1) << (graph & uint64(63))


@compiled_kernel(NONE, in_(I8), in_(I8), in_(I8), *INDEX, I8, out(U4), out(U8), out(I8), allocates=False)
def joint_counts(
    source: Ints, target: Ints, linked: Ints,
    graphs: Graphs, starts: Ints, stops: Ints, members: Graphs, offsets: Ints, bitmaps: Graphs, words: Int,
    visits: Int, counts: Graphs, marks: Graphs, both: Ints,
) -> None:  # fmt: skip
    """Write to both (n_edges,) in how many graphs both ends of each edge are.

    source and target (n_edges,) are neurons, the edges of a source one after the other; linked (n_edges,) is the number
    of graphs that link the two. `visits` is the number of members that are visited for each graph of a neuron, on
    average. counts (n_neurons,) and marks (words,) are scratch, zero at the start and at the end.

    Per source the cheaper of two ways is taken: to count all partners in the graphs of the source, or to intersect its
    graphs with those of each target.
    """
    # Counters of more neurons are not in the caches.
    costly = int64(2) if len(counts) < 1 << 17 else int64(6)
    first = int64(0)
    while first < len(source):
        row = source[first]
        start, stop = starts[row], stops[row]
        size = stop - start
        last = first
        pairs = 2 * size
        while last < len(source) and source[last] == row:
            there = stops[target[last]] - starts[target[last]]
            # They share as many graphs as link them, at least, and no more than the rarer one has.
            if linked[last] != min(size, there):
                pairs += 10 + (min(there, size, words >> 1) if (target[last] + 1) * words <= len(bitmaps) else there)
            last += 1
        if pairs <= costly * size * visits:
            mark(marks, graphs, start, stop)
            for edge in range(first, last):
                other = target[edge]
                if linked[edge] == min(size, stops[other] - starts[other]):
                    both[edge] = linked[edge]
                else:
                    both[edge] = shared(row, other, marks, graphs, starts, stops, bitmaps, words)
            mark(marks, graphs, start, stop)
        else:
            for i in range(start, stop):
                for j in range(offsets[graphs[i]], offsets[graphs[i] + 1]):
                    counts[members[j]] += 1
            for edge in range(first, last):
                other = target[edge]
                there = stops[other] - starts[other]
                # Neurons of one graph are no members.
                both[edge] = (
                    counts[other]
                    if min(size, there) > 1
                    else searched(graphs, start, stop, starts[other], stops[other])
                )
            if size * visits > len(counts):
                for j in range(len(counts)):
                    counts[j] = 0
            else:
                for i in range(start, stop):
                    for j in range(offsets[graphs[i]], offsets[graphs[i] + 1]):
                        counts[members[j]] = 0
        first = last
