"""Kernel in numpy. It sorts links by key, and reduces each run of equal keys.

A link is `(key, graph, weight)`. The key is a packed pair (62 bits). `graph` is `graph number << 1 | half`, where
half is the hash-half of the graph (for split-half reliability). Equal keys stay in input order and are added in that
order, so that the same links in the same order give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from atlas.aggregate.kernels.key_stats import (
    COLUMNS,
    EMPTY,
    LOW,
    Endpoints,
    KeyStats,
    LinkCounts,
    run_starts,
    take,
)
from atlas.graph import MAX_WEIGHT, Floats, Ints, pack_pairs
from atlas.ids import INDEX_BITS, MAX_INDEX, NEURON_BITS

_WORD = 63  # bits of a packed (key, row number); signed, so that numpy and torch sort it alike


class NumpyKernel:
    """Implementation of `Kernel` in numpy."""

    def pack(self, ends: Sequence[NDArray[np.int32]], weight: Floats) -> tuple[Ints, int]:
        """Return the keys, and the number of invalid rows."""
        layers, units = (ends[0], ends[2]), (ends[1], ends[3])
        wrong = ~(np.abs(weight) <= MAX_WEIGHT)
        for values, bits in ((layers, NEURON_BITS - INDEX_BITS), (units, INDEX_BITS)):
            wrong |= ((values[0] | values[1]) >> bits) != 0
        return pack_pairs(*ends), int(np.count_nonzero(wrong))

    def sort(self, key: Ints, graph: NDArray[np.uint32], weight: Floats) -> tuple[Ints, NDArray[np.uint32], Floats]:
        """Return the rows sorted by key."""
        rows, _ = order_by_key(key)
        return take(key, rows), take(graph, rows), take(weight, rows)

    def reduce(
        self, key: Ints, graph: NDArray[np.uint32], weight: Floats, at_least: int = 1
    ) -> tuple[KeyStats, Ints, NDArray[np.uint32], Floats]:
        """Return the statistics of frequent keys, and the rows of the other keys."""
        return split_frequent(key, graph, weight, at_least)

    def merge(self, parts: Sequence[KeyStats]) -> KeyStats:
        """Return the statistics of the union of all parts."""
        return merge(parts, merge_two)

    def endpoints(self, key: Ints, graph: NDArray[np.uint32], graph_total: int) -> tuple[Endpoints, LinkCounts]:
        """Return the neurons and the link counts of each graph."""
        source, target = key >> NEURON_BITS, key & LOW
        chosen = (slice(None), source == target, source >> INDEX_BITS >= target >> INDEX_BITS)
        kept, loops, backward = (np.bincount(graph[mine], minlength=graph_total) for mine in chosen)
        return endpoints(key, graph, graph_total), LinkCounts(kept, loops, backward)


def _bits(largest: int) -> int:
    return int(largest).bit_length()


def _bit_packed(half: Ints) -> tuple[Ints, int]:
    """Return one half of the keys in as few bits as possible and in the same sort order, and the number of bits."""
    base = int(half.min())
    span = _bits(int(half.max()) - base)
    index = half & MAX_INDEX
    width = _bits(int(index.max()))
    layers = _bits(int(half.max()) >> INDEX_BITS)
    if layers + width < span:
        return (half >> INDEX_BITS << width) | index, layers + width
    return half - base, span


def sort_in_place(words: NDArray[Any]) -> NDArray[Any]:
    """Sort words in place, and return them."""
    words.sort()
    return words


def order_by_key(key: Ints, sort: Callable[[Ints], Ints] = sort_in_place) -> tuple[Ints, Ints]:
    """Return the row numbers (n,) that sort keys stably, and the start of each run of equal keys.

    The function sorts packed words (key and row number in one integer), which is faster than an indirect sort. If the
    keys leave no bits for the row number, it uses a stable argsort. `sort` sorts the words; a radix sort is faster for
    many words.
    """
    n = len(key)
    if not n:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    row_bits = _bits(n - 1)
    left, left_bits = _bit_packed(key >> NEURON_BITS)
    right, right_bits = _bit_packed(key & LOW)
    if left_bits + right_bits + row_bits > _WORD:
        rows: Ints = np.argsort(key, kind="stable")
        values = key[rows]
    else:
        left <<= right_bits
        left |= right
        left <<= row_bits
        left |= np.arange(n)
        words = sort(left)
        rows = words & ((1 << row_bits) - 1)
        values = words >> row_bits
    return rows, run_starts(values)


def split_frequent(
    key: Ints, graph: NDArray[Any], weight: Floats, at_least: int
) -> tuple[KeyStats, Ints, NDArray[Any], Floats]:
    """Return statistics of keys with at least `at_least` rows, and the rows of other keys; all are sorted by key."""
    starts = run_starts(key)
    lengths = np.diff(starts, append=len(key))
    frequent = lengths >= at_least
    if frequent.all():
        return reduce_sorted(key[starts], starts, graph, weight), key[:0], graph[:0], weight[:0]
    mine = np.repeat(frequent, lengths)
    sizes = lengths[frequent]
    stats = reduce_sorted(key[starts[frequent]], np.cumsum(sizes) - sizes, graph[mine], weight[mine])
    np.logical_not(mine, out=mine)
    return stats, key[mine], graph[mine], weight[mine]


def reduce_sorted(key: Ints, starts: Ints, graph: NDArray[Any], weight: Floats) -> KeyStats:
    """Return the statistics of observations that are sorted by key.

    key (n_keys,) holds the distinct keys, and starts (n_keys,) the first row of each.
    """
    lengths = np.diff(starts, append=len(weight))
    first_weight, first_graph = take(weight, starts), take(graph, starts)
    in_half = (first_graph & 1) == 0
    found: dict[str, Any] = {
        "count": lengths,
        "graph_count": np.ones(len(key), np.int64),
        "positive_count": (first_weight > 0).astype(np.int64),
        "half_count": in_half.astype(np.int64),
        "weight_sum": first_weight,
        "weight_abs_sum": np.abs(first_weight),
        "weight_sq_sum": first_weight * first_weight,
        "half_weight_sum": first_weight * in_half + 0.0,  # -0.3 * False is -0.0
        "weight_min": first_weight.copy(),
        "weight_max": first_weight.copy(),
    }
    # Most keys of a large corpus occur once; only the others need a reduction.
    several = lengths > 1
    if several.any():
        mine = np.repeat(several, lengths)
        sizes = lengths[several]
        for name, values in _segments(graph[mine], weight[mine], sizes).items():
            found[name][several] = values
    return KeyStats(key, **found)


def _segments(graph: NDArray[Any], weight: Floats, sizes: Ints) -> dict[str, NDArray[Any]]:
    """Return the statistics of consecutive runs of `sizes` (n_runs,) observations."""
    starts = np.cumsum(sizes) - sizes
    run = np.repeat(np.arange(len(sizes)), sizes)
    in_half = (graph & 1) == 0
    return {
        "graph_count": _distinct(graph >> 1, starts, sizes),
        "positive_count": _true_counts(weight > 0, starts, sizes),
        "half_count": _true_counts(in_half, starts, sizes),
        "weight_sum": sums(run, weight),
        "weight_abs_sum": sums(run, np.abs(weight)),
        "weight_sq_sum": sums(run, weight * weight),
        "half_weight_sum": sums(run, weight * in_half),
        "weight_min": np.minimum.reduceat(weight, starts),
        "weight_max": np.maximum.reduceat(weight, starts),
    }


def sums(run: Ints, values: Floats) -> Floats:
    """Return the sums of `values` (n,) by `run` (n,), which ascends from 0. Values are added one by one.

    `np.add.reduceat` is not used, because it adds long runs in pairs, which gives other bits.
    """
    totals: Any = np.bincount(run, weights=values)
    return cast(Floats, totals)


def _true_counts(flags: NDArray[np.bool_], starts: Ints, sizes: Ints) -> Ints:
    """Count the true flags of each run, as differences of one running total."""
    total = np.cumsum(flags, dtype=np.int64)
    last: Ints = total[starts + sizes - 1]
    last[1:] -= last[:-1].copy()
    return last


def _distinct(graph: NDArray[Any], starts: Ints, sizes: Ints) -> Ints:
    """Count the distinct graphs of each run. Graphs are mostly in ascending order."""
    new = np.empty(len(graph), dtype=bool)
    new[:1] = True
    np.not_equal(graph[1:], graph[:-1], out=new[1:])
    falls = graph[1:] < graph[:-1]
    new[starts] = True
    falls[starts[1:] - 1] = False
    if falls.any():
        # In some run, a lower graph follows a higher one: sort the graphs inside every run and compare again.
        run = np.repeat(np.arange(len(starts)), sizes)
        order = np.lexsort((graph, run))
        graph = graph[order]
        np.not_equal(graph[1:], graph[:-1], out=new[1:])
        new[starts] = True
    return _true_counts(new, starts, sizes)


def merge(
    parts: Sequence[KeyStats],
    merge_two: Callable[[KeyStats, KeyStats], KeyStats],
    sort: Callable[[Ints], Ints] = sort_in_place,
) -> KeyStats:
    """Return the statistics of the union of the parts, which must not share graphs.

    Sums are added in the order of `parts`, so that the same parts give the same bits.
    """
    parts = [part for part in parts if len(part)]
    if len(parts) < 2:
        return parts[0] if parts else EMPTY
    if len(parts) > 2:
        # Usually one part is large and many are small: merge the small parts first, then pass once over the large one.
        return merge_two(parts[0], _merge_many(parts[1:], sort))
    return merge_two(*parts)


def _how(name: str) -> np.ufunc:
    return {"weight_min": np.minimum, "weight_max": np.maximum}.get(name, np.add)


def _merge_many(parts: Sequence[KeyStats], sort: Callable[[Ints], Ints]) -> KeyStats:
    key = np.concatenate([part.key for part in parts])
    rows, starts = order_by_key(key, sort)
    merged: dict[str, Any] = {"key": take(key, rows[starts])}
    for name in COLUMNS[1:]:
        values = take(np.concatenate([getattr(part, name) for part in parts]), rows)
        merged[name] = _how(name).reduceat(values, starts)
    return KeyStats(**merged)


def merge_two(large: KeyStats, small: KeyStats) -> KeyStats:
    """Return the statistics of the union of two parts, by looking up every key of `small` in `large`."""
    place = np.searchsorted(large.key, small.key)
    known = large.key[np.minimum(place, len(large) - 1)] == small.key
    new = np.flatnonzero(~known)
    mine, there = np.flatnonzero(known), place[known]
    # Positions of the rows of either part in the union.
    target = place[new] + np.arange(len(new))
    stay = np.ones(len(large) + len(new), bool)
    stay[target] = False
    merged: dict[str, Any] = {}
    for name, values in large.columns().items():
        found = getattr(small, name)
        joined = np.empty(len(stay), values.dtype)
        joined[target] = found[new]
        if name != "key":
            values = values.copy()
            values[there] = _how(name)(values[there], found[mine])
        joined[stay] = values
        merged[name] = joined
    return KeyStats(**merged)


def endpoints(key: Ints, graph: NDArray[Any], graphs: int, sort: Callable[[Ints], Ints] = sort_in_place) -> Endpoints:
    """Return the sorted, distinct pairs of neuron and graph at both ends of all links."""
    ends = np.concatenate([(key >> NEURON_BITS).astype(np.uint32), (key & LOW).astype(np.uint32)])
    owner = np.concatenate([graph, graph])
    index_bits = int((ends & MAX_INDEX).max(initial=0)).bit_length()
    neuron_bits = index_bits + int(ends.max(initial=0) >> INDEX_BITS).bit_length()
    word = np.uint32 if neuron_bits + graphs.bit_length() <= 32 else np.int64
    # Words of few bits sort twice as fast.
    words = (ends >> INDEX_BITS << index_bits | ends & MAX_INDEX).astype(word, copy=False)
    words |= owner.astype(word, copy=False) << np.asarray(neuron_bits, word)
    words = sort(words) if word == np.int64 else sort_in_place(words)
    words = words[run_starts(words)].astype(np.int64)
    local = words & ((1 << neuron_bits) - 1)
    neuron = local >> index_bits << INDEX_BITS | local & ((1 << index_bits) - 1)
    rows, _ = order_by_key(neuron, sort)
    return Endpoints(neuron[rows], (words >> neuron_bits)[rows])
