"""Top partners of neurons, compiled by numba: three ways to find them, of which each neuron takes the first that serves."""

from __future__ import annotations

from typing import Any

from numba import int64, uint64

from atlas.aggregate.kernels.numba_kernel.cooccurrence import INDEX, Graphs, in_both, mark, searched, shared, tested
from atlas.aggregate.kernels.numpy_cooccurrence import HOT
from atlas.graph import Ints
from atlas.runtime.jit import I8, NONE, U4, U8, Int, compiled_kernel, in_, inlined, out, out_2d


@inlined
def _keep(best: Any, row: Int, top: Int, worst: Int, score: Int) -> Int:
    """Put a score in the place of the worst one, and return the place of the one that is worst then."""
    best[row, worst] = score
    for place in range(top):
        if best[row, place] < best[row, worst]:
            worst = place
    return worst


@inlined
def _holds(
    other: Int,
    size: Int,
    marks: Graphs,
    graphs: Graphs,
    start: Int,
    starts: Ints,
    stops: Ints,
    bitmaps: Graphs,
    words: Int,
) -> bool:
    """Return whether `other` is in all of graphs[start:start + size], which are marked in `marks`."""
    if (other + 1) * words <= len(bitmaps):
        if words < 8 * size:
            return bool(in_both(marks, bitmaps, other * words, words) == size)
        found = int64(2)  # the first two graphs have it
        while found < size and tested(bitmaps, other * words, graphs, start + found, start + found + 1):
            found += 1
        return bool(found == size)
    return bool(searched(graphs, start, start + size, starts[other], stops[other]) == size)


@inlined
def _flag(flags: Graphs, members: Graphs, start: Int, stop: Int) -> None:
    """Flag members[start:stop] in the set of neurons `flags`, or take the flags away again."""
    for j in range(start, stop):
        member = uint64(members[j])
        flags[member >> uint64(6)] ^= uint64(1) << (member & uint64(63))


@inlined
def _in_at_least(count: Int, starts: Ints, stops: Ints) -> Int:
    """Return the number of neurons that are in at least `count` graphs; they have the lowest ranks."""
    low, high = int64(0), int64(len(starts))
    while low < high:
        middle = (low + high) >> 1
        if stops[middle] - starts[middle] >= count:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def _hold(flags: Graphs, members: Graphs, offsets: Ints, held: Int, graph: Int) -> Int:
    """Flag the members of a graph instead of those of the graph `held`."""
    if graph != held:
        if held >= 0:
            _flag(flags, members, offsets[held], offsets[held + 1])
        if graph >= 0:
            _flag(flags, members, offsets[graph], offsets[graph + 1])
    return graph


@inlined
def _in_all(
    row: Int, place: Int, graphs: Graphs, starts: Ints, stops: Ints, members: Graphs, offsets: Ints, bitmaps: Graphs,
    words: Int, touched: Graphs, marks: Graphs, flags: Graphs, best: Any,
) -> bool:  # fmt: skip
    """Write the rarest neurons that are in all graphs of a neuron, of which the first one's members are flagged.

    Return whether there are enough: then no others are better.
    """
    start, size, top = starts[row], stops[row] - starts[row], best.shape[1]
    last, kept = int64(0), int64(0)
    for j in range(offsets[graphs[start + 1]], offsets[graphs[start + 1] + 1]):
        member = uint64(members[j])
        touched[last] = members[j]
        last += int64((flags[member >> uint64(6)] >> (member & uint64(63))) & uint64(1))
    if last > top:
        mark(marks, graphs, start, start + size)
        # Members ascend: the rarest come first from behind.
        while kept < top and last > 0:
            last -= 1
            partner = int64(touched[last])
            if partner != row and (
                size == 2 or _holds(partner, size, marks, graphs, start, starts, stops, bitmaps, words)
            ):
                best[place, kept] = size << 32 | partner
                kept += 1
        mark(marks, graphs, start, start + size)
    enough = kept == top
    for k in range(0 if enough else kept):
        best[place, k] = -1
    return bool(enough)


@inlined
def _by_rank(
    row: Int, place: Int, graphs: Graphs, starts: Ints, stops: Ints, bitmaps: Graphs, words: Int,
    affordable: Int, least: Int, marks: Graphs, best: Any,
) -> bool:  # fmt: skip
    """Intersect a neuron with the most frequent ones, as long as a neuron of their frequency can still be better.

    Return whether all of these were affordable: then no others are better.
    """
    size, count, top = stops[row] - starts[row], int64(len(starts)), best.shape[1]
    limit: Int = min(int64(HOT), count)
    ahead: Int = int64(0)
    worst: Int = int64(0)
    floor: Int = int64(least)
    if limit * words > len(bitmaps):
        return False
    mark(marks, graphs, starts[row], starts[row] + size)
    while ahead < limit and stops[ahead] - starts[ahead] >= floor:
        score = in_both(marks, bitmaps, ahead * words, words) << 32 | ahead
        if ahead != row and score >> 32 >= floor and score > best[place, worst]:
            worst = _keep(best, place, top, worst, score)
            floor = max(floor, best[place, worst] >> 32)
        ahead += 1
        if ahead == limit and limit == HOT:
            able = _in_at_least(floor, starts, stops)
            if able * words <= len(bitmaps) and (able - HOT) * (words + 10) <= affordable:
                limit = able
    mark(marks, graphs, starts[row], starts[row] + size)
    done = ahead >= count or stops[ahead] - starts[ahead] < floor
    for k in range(0 if done else top):
        best[place, k] = -1
    return bool(done)


@inlined
def _visit(
    row: Int, taken: Int, graphs: Graphs, starts: Ints, stops: Ints, members: Graphs, offsets: Ints,
    counts: Graphs, touched: Graphs,
) -> Int:  # fmt: skip
    """Count the members of `taken` graphs of a neuron, evenly spaced; return the number of neurons written to `touched`."""
    start, size, seen = starts[row], stops[row] - starts[row], int64(0)
    for k in range(taken):
        graph = graphs[start + (k if taken == size else (2 * k + 1) * size // (2 * taken))]
        for j in range(offsets[graph], offsets[graph + 1]):
            other = members[j]
            count = counts[other]
            touched[seen] = other
            seen += int64(count == 0)
            counts[other] = count + 1
    return seen


@inlined
def _choose(row: Int, place: Int, seen: Int, least: Int, counts: Graphs, touched: Graphs, best: Any) -> None:
    """Keep the best of the neurons that were counted, and take their counts away."""
    worst: Int = int64(0)
    floor: Int = int64(least)
    for i in range(seen):
        other = touched[i]
        count = int64(counts[other])
        counts[other] = 0
        if count >= floor and int64(other) != row:
            score = count << 32 | int64(other)
            if score > best[place, worst]:
                worst = _keep(best, place, best.shape[1], worst, score)
                floor = max(floor, best[place, worst] >> 32)


@inlined
def _decide(
    row: Int, place: Int, graphs: Graphs, starts: Ints, stops: Ints, bitmaps: Graphs, words: Int,
    least: Int, marks: Graphs, candidates: Any, best: Any,
) -> None:  # fmt: skip
    """Keep the best of some candidates by their exact counts, and take the candidates away."""
    worst: Int = int64(0)
    low = (int64(1) << 32) - 1
    mark(marks, graphs, starts[row], stops[row])
    for i in range(candidates.shape[1]):
        if candidates[0, i] >= 0:
            other = candidates[0, i] & low
            candidates[0, i] = -1
            score = shared(row, other, marks, graphs, starts, stops, bitmaps, words) << 32 | other
            if score >> 32 >= least and score > best[place, worst]:
                worst = _keep(best, place, best.shape[1], worst, score)
    mark(marks, graphs, starts[row], stops[row])


@compiled_kernel(
    NONE, in_(I8), *INDEX, *(I8,) * 4, out(U4), out(U4), out(U8), out(U8), out_2d(I8), out_2d(I8), allocates=False
)
def top_partners(
    rows: Ints,
    graphs: Graphs, starts: Ints, stops: Ints, members: Graphs, offsets: Ints, bitmaps: Graphs, words: Int,
    visits: Int, whole: Int, limit: Int, least: Int,
    counts: Graphs, touched: Graphs, marks: Graphs, flags: Graphs, candidates: Any, best: Any,
) -> None:  # fmt: skip
    """Write to best (n_rows, top) the highest scores of the partners of some neurons.

    A score is joint graphs << 32 | partner; a partner shares at least `least` graphs. Of a neuron in at most `whole` graphs, the
    neurons in all of them are sought first. A more frequent one is intersected with the most frequent ones, if that takes less
    than to count `visits` members for each graph. Otherwise the members of its graphs are counted, of at most `limit` graphs:
    then the best candidates (1, n) by these counts are chosen, of which the exact counts decide.

    counts (n_neurons,), touched (n_neurons + 1,), marks (words,) and flags (n_neurons / 64,) are scratch; all but `touched` are
    zero at the start and at the end, candidates are -1. Neurons with the same first graph should come one after the other.
    """
    held: Int = int64(-1)
    for place in range(len(rows)):
        row = rows[place]
        size = stops[row] - starts[row]
        if size < least:
            continue
        if 2 <= size <= whole:
            held = _hold(flags, members, offsets, held, int64(graphs[starts[row]]))
            if _in_all(
                row, place, graphs, starts, stops, members, offsets, bitmaps, words, touched, marks, flags, best
            ):
                continue
        elif _by_rank(
            row, place, graphs, starts, stops, bitmaps, words, 6 * min(size, limit) * visits, least, marks, best
        ):
            continue
        seen = _visit(row, min(size, limit), graphs, starts, stops, members, offsets, counts, touched)
        if size <= limit:
            _choose(row, place, seen, least, counts, touched, best)
        else:
            _choose(row, 0, seen, 1, counts, touched, candidates)
            _decide(row, place, graphs, starts, stops, bitmaps, words, least, marks, candidates, best)
    held = _hold(flags, members, offsets, held, int64(-1))
