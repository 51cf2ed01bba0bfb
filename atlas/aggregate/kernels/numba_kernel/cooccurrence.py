"""Kernels of co-occurrence, compiled by numba: shared graphs of the ends of edges, and top partners of neurons."""

from __future__ import annotations

from typing import Any

from numba import int64, uint64

from atlas.graph import Ints
from atlas.runtime.jit import I8, NONE, U4, U8, Int, compiled_kernel, in_, inlined, out, out_2d

Graphs = Any  # NDArray[np.uint32], or the words of a set of graphs, NDArray[np.uint64]
# The arrays of an index, in the order of `IncidenceIndex.arrays`: graphs, starts, stops, members, offsets, bitmaps, words.
INDEX = (in_(U4), in_(I8), in_(I8), in_(U4), in_(I8), in_(U8), I8)


@inlined
def _tested(words: Graphs, base: int, graphs: Graphs, start: Int, stop: Int) -> Int:
    """Return how many of graphs[start:stop] are in the set at words[base:]."""
    found = uint64(0)
    for i in range(start, stop):
        graph = uint64(graphs[i])
        found += (words[uint64(base) + (graph >> uint64(6))] >> (graph & uint64(63))) & uint64(1)
    return int64(found)


@inlined
def _in_both(one: Graphs, other: Graphs, base: int, words: int) -> Int:
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
def _searched(graphs: Graphs, start: int, stop: int, low: int, high: int) -> Int:
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
        found += int64(first < high and graphs[first] == graph)
    return found


@inlined
def _shared(
    row: int, other: int, marks: Graphs, graphs: Graphs, starts: Ints, stops: Ints, bitmaps: Graphs, words: int
) -> Int:
    """Return the number of graphs that `row`, whose graphs are marked in `marks`, shares with `other`."""
    start, stop, low, high = starts[row], stops[row], starts[other], stops[other]
    if (other + 1) * words <= len(bitmaps) and words < 2 * (high - low):
        if words < 2 * (stop - start):
            return _in_both(marks, bitmaps, other * words, words)
        return _tested(bitmaps, other * words, graphs, start, stop)
    if 40 * (stop - start) < high - low:
        return _searched(graphs, start, stop, low, high)
    return _tested(marks, 0, graphs, low, high)


@inlined
def _mark(marks: Graphs, graphs: Graphs, start: int, stop: int) -> None:
    """Mark graphs[start:stop] in the set `marks`, or take the marks away again."""
    for i in range(start, stop):
        graph = uint64(graphs[i])
        marks[graph >> uint64(6)] ^= uint64(1) << (graph & uint64(63))


@compiled_kernel(NONE, in_(I8), in_(I8), in_(I8), *INDEX, I8, out(U4), out(U8), out(I8), allocates=False)
def joint_counts(
    source: Ints, target: Ints, linked: Ints,
    graphs: Graphs, starts: Ints, stops: Ints, members: Graphs, offsets: Ints, bitmaps: Graphs, words: int,
    visits: int, counts: Graphs, marks: Graphs, both: Ints,
) -> None:  # fmt: skip
    """Write to both (n_edges,) in how many graphs both ends of each edge are.

    source and target (n_edges,) are neurons, the edges of a source one after the other; linked (n_edges,) is the number
    of graphs that link the two. `visits` is the number of members that are visited for each graph of a neuron, on
    average. counts (n_neurons,) and marks (words,) are scratch, zero at the start and at the end.

    Per source the cheaper of two ways is taken: to count all partners in the graphs of the source, or to intersect its
    graphs with those of each target.
    """
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
        if pairs <= 4 * size * visits:
            _mark(marks, graphs, start, stop)
            for edge in range(first, last):
                other = target[edge]
                if linked[edge] == min(size, stops[other] - starts[other]):
                    both[edge] = linked[edge]
                else:
                    both[edge] = _shared(row, other, marks, graphs, starts, stops, bitmaps, words)
            _mark(marks, graphs, start, stop)
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
                    else _searched(graphs, start, stop, starts[other], stops[other])
                )
            if size * visits > len(counts):
                for j in range(len(counts)):
                    counts[j] = 0
            else:
                for i in range(start, stop):
                    for j in range(offsets[graphs[i]], offsets[graphs[i] + 1]):
                        counts[members[j]] = 0
        first = last


@inlined
def _keep(best: Any, row: int, top: int, worst: Int, score: Int) -> Int:
    """Put a score in the place of the worst one, and return the place of the one that is worst then."""
    best[row, worst] = score
    for place in range(top):
        if best[row, place] < best[row, worst]:
            worst = place
    return worst


@inlined
def _holds(
    other: int,
    size: int,
    marks: Graphs,
    graphs: Graphs,
    start: int,
    starts: Ints,
    stops: Ints,
    bitmaps: Graphs,
    words: int,
) -> bool:
    """Return whether `other` is in all of graphs[start:start + size], which are marked in `marks`."""
    if (other + 1) * words <= len(bitmaps):
        if words < 8 * size:
            return bool(_in_both(marks, bitmaps, other * words, words) == size)
        found = int64(2)  # the first two graphs have it
        while found < size and _tested(bitmaps, other * words, graphs, start + found, start + found + 1):
            found += 1
        return bool(found == size)
    return bool(_searched(graphs, start, start + size, starts[other], stops[other]) == size)


@inlined
def _flag(flags: Graphs, members: Graphs, start: int, stop: int) -> None:
    """Flag members[start:stop] in the set of neurons `flags`, or take the flags away again."""
    for j in range(start, stop):
        member = uint64(members[j])
        flags[member >> uint64(6)] ^= uint64(1) << (member & uint64(63))


@compiled_kernel(
    NONE, in_(I8), *INDEX, I8, I8, I8, out(U4), out(U4), out(U8), out(U8), out_2d(I8), out_2d(I8), allocates=False
)
def top_partners(
    rows: Ints,
    graphs: Graphs, starts: Ints, stops: Ints, members: Graphs, offsets: Ints, bitmaps: Graphs, words: int,
    whole: int, limit: int, least: int, counts: Graphs, touched: Graphs, marks: Graphs, flags: Graphs, candidates: Any, best: Any,
) -> None:  # fmt: skip
    """Write to best (n_rows, top) the highest scores of the partners of some neurons.

    A score is joint graphs << 32 | partner; a partner shares at least `least` graphs. Of a neuron in at most `whole` graphs, the
    neurons in all of them are sought first; where these are enough, no others can be better. The partners of a neuron in more
    than `limit` graphs are chosen from `limit` of its graphs, evenly spaced: of the best candidates (1, n) by the counts in
    these, the exact counts decide. counts (n_neurons,), touched (n_neurons + 1,), marks (words,) and flags
    (n_neurons / 64,) are scratch; all but `touched` are zero at the start and at the end, candidates are -1. Neurons with the
    same first graph should come one after the other.
    """
    top, most = best.shape[1], candidates.shape[1]
    mask, held = (int64(1) << 32) - 1, int64(-1)
    for place in range(len(rows)):
        row = rows[place]
        start, size = starts[row], stops[row] - starts[row]
        if size < least:
            continue
        if 2 <= size <= whole:
            if int64(graphs[start]) != held:
                if held >= 0:
                    _flag(flags, members, offsets[held], offsets[held + 1])
                held = int64(graphs[start])
                _flag(flags, members, offsets[held], offsets[held + 1])
            last = int64(0)
            for j in range(offsets[graphs[start + 1]], offsets[graphs[start + 1] + 1]):
                member = uint64(members[j])
                touched[last] = members[j]
                last += int64((flags[member >> uint64(6)] >> (member & uint64(63))) & uint64(1))
            kept = int64(0)
            if last > top:
                _mark(marks, graphs, start, start + size)
                # Members ascend: the rarest come first from behind.
                while kept < top and last > 0:
                    last -= 1
                    partner = int64(touched[last])
                    if partner != row and (
                        size == 2 or _holds(partner, size, marks, graphs, start, starts, stops, bitmaps, words)
                    ):
                        best[place, kept] = size << 32 | partner
                        kept += 1
                _mark(marks, graphs, start, start + size)
            if kept == top:
                continue
            for k in range(kept):
                best[place, k] = -1
        taken = min(size, limit)
        is_sampled = taken < size
        seen = uint64(0)
        for k in range(taken):
            graph = graphs[start + ((2 * k + 1) * size // (2 * taken) if is_sampled else k)]
            for j in range(offsets[graph], offsets[graph + 1]):
                other = members[j]
                count = counts[other]
                touched[seen] = other
                seen += uint64(count == 0)
                counts[other] = count + 1
        worst: Int = int64(0)
        floor = least if not is_sampled else int64(1)
        for i in range(seen):
            other = touched[i]
            count = int64(counts[other])
            counts[other] = 0
            if count < floor or int64(other) == row:
                continue
            score = count << 32 | int64(other)
            if is_sampled:
                if score > candidates[0, worst]:
                    worst = _keep(candidates, 0, most, worst, score)
                    floor = max(floor, candidates[0, worst] >> 32)
            elif score > best[place, worst]:
                worst = _keep(best, place, top, worst, score)
                floor = max(floor, best[place, worst] >> 32)
        if is_sampled:
            _mark(marks, graphs, start, start + size)
            worst = int64(0)
            for i in range(most):
                if candidates[0, i] >= 0:
                    other = candidates[0, i] & mask
                    candidates[0, i] = -1
                    score = _shared(row, other, marks, graphs, starts, stops, bitmaps, words) << 32 | other
                    if score >> 32 >= least and score > best[place, worst]:
                        worst = _keep(best, place, top, worst, score)
            _mark(marks, graphs, start, start + size)
    if held >= 0:
        _flag(flags, members, offsets[held], offsets[held + 1])
