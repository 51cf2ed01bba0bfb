"""Reduction of sorted observations, and merging of two sorted statistics, each in one compiled pass."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from atlas.aggregate.kernels.key_stats import KeyStats, unfilled
from atlas.graph import Floats, Ints
from atlas.runtime.jit import F8, I8, NONE, U4, Int, compiled_kernel, helper, in_, out

Graphs = NDArray[np.uint32]
# The columns of KeyStats, in their order.
STATS_IN = (*(in_(I8) for _ in range(5)), *(in_(F8) for _ in range(6)))
STATS_OUT = (*(out(I8) for _ in range(5)), *(out(F8) for _ in range(6)))
STAMPS = 1 << 26  # most graph numbers that get a slot each, if the graphs of a key are not in order


@compiled_kernel(NONE, in_(I8), I8, out(I8))
def _count_runs(key: Ints, at_least: int, found: Ints) -> None:
    """Write to `found` (3,) the numbers of keys, of keys with at least `at_least` rows, and of the latter's rows."""
    keys = frequent = rows = np.int64(0)
    n = len(key)
    if at_least <= 1:
        for i in range(1, n):
            keys += key[i] != key[i - 1]
        keys += n > 0
        frequent, rows = keys, np.int64(n)
    else:
        start = 0
        for i in range(1, n + 1):
            if i == n or key[i] != key[i - 1]:
                keys += 1
                if i - start >= at_least:
                    frequent += 1
                    rows += i - start
                start = i
    found[0], found[1], found[2] = keys, frequent, rows


@helper
def _run(
    graph: Graphs, weight: Floats, start: np.uint64, stop: np.uint64
) -> tuple[Int, Int, Int, float, float, float, float, float, float, Int]:
    """Return the statistics of one run of rows, which have the same key.

    The order is: distinct graphs, positive weights, links in the first half, the four sums, minimum, maximum, and the
    number of times that a lower graph follows a higher one.
    """
    value, marked = weight[start], graph[start]
    half = np.float64(marked & 1 == 0)
    # Adding 0.0 makes 0.0 of -0.0, which -0.3 * 0.0 is.
    total, absolute, square, of_half = value, abs(value), value * value, value * half + 0.0
    low = high = value
    positive, split_half, graphs, falls = np.int64(value > 0.0), np.int64(marked & 1 == 0), np.int64(1), np.int64(0)
    if stop - start > uint64(1):
        total += 0.0
        last = marked >> 1
        for i in range(start + uint64(1), stop):
            value, marked = weight[i], graph[i]
            half = np.float64(marked & 1 == 0)
            total += value
            absolute += abs(value)
            square += value * value
            of_half += value * half
            low, high = min(low, value), max(high, value)
            positive += np.int64(value > 0.0)
            split_half += np.int64(marked & 1 == 0)
            number = marked >> 1
            graphs += np.int64(number != last)
            falls += np.int64(number < last)
            last = number
    return graphs, positive, split_half, total, absolute, square, of_half, low, high, falls


@compiled_kernel(I8, in_(I8), in_(U4), in_(F8), I8, *STATS_OUT, out(I8), out(U4), out(F8))
def _split(
    key: Ints, graph: Graphs, weight: Floats, at_least: int,
    key_out: Ints, count: Ints, graph_count: Ints, positive_count: Ints, half_count: Ints,
    weight_sum: Floats, weight_abs_sum: Floats, weight_sq_sum: Floats, half_weight_sum: Floats,
    weight_min: Floats, weight_max: Floats,
    key_rest: Ints, graph_rest: Graphs, weight_rest: Floats,
) -> int:  # fmt: skip
    """Reduce runs of at least `at_least` rows to statistics, and copy the rows of other runs.

    Returns the number of times that a lower graph follows a higher one within a reduced run.
    """
    falls = np.int64(0)
    at = rest = start = uint64(0)
    end = uint64(len(key))
    while start < end:
        stop = start + uint64(1)
        while stop < end and key[stop] == key[start]:
            stop += uint64(1)
        if stop - start < uint64(at_least):
            for i in range(start, stop):
                key_rest[rest], graph_rest[rest], weight_rest[rest] = key[i], graph[i], weight[i]
                rest += uint64(1)
        else:
            key_out[at], count[at] = key[start], stop - start
            graph_count[at], positive_count[at], half_count[at], total, absolute, square, of_half, low, high, fell = (
                _run(graph, weight, start, stop)
            )
            weight_sum[at], weight_abs_sum[at], weight_sq_sum[at], half_weight_sum[at] = (
                total,
                absolute,
                square,
                of_half,
            )
            weight_min[at], weight_max[at] = low, high
            falls += fell
            at += uint64(1)
        start = stop
    return int(falls)


@compiled_kernel(NONE, in_(I8), in_(U4), I8, I8, out(U4), out(I8))
def _distinct(key: Ints, graph: Graphs, at_least: int, lowest: int, stamp: Graphs, graph_count: Ints) -> None:
    """Count the distinct graphs, in any order, of each run of at least `at_least` rows.

    `stamp` has one slot per graph number, and must be zero at the start.
    """
    n = len(key)
    start, at = 0, 0
    while start < n:
        stop = start + 1
        while stop < n and key[stop] == key[start]:
            stop += 1
        if stop - start >= at_least:
            graphs = np.int64(0)
            for i in range(start, stop):
                number = uint64(np.int64(graph[i] >> 1) - lowest)
                if stamp[number] != at + 1:
                    stamp[number] = at + 1
                    graphs += 1
            graph_count[at] = graphs
            at += 1
        start = stop


def split_frequent(key: Ints, graph: Graphs, weight: Floats, at_least: int) -> tuple[KeyStats, Ints, Graphs, Floats]:
    """Return statistics of keys with at least `at_least` rows, and the rows of other keys; all are sorted by key."""
    n = len(key)
    found = np.empty(3, np.int64)
    _count_runs(key, at_least, found)
    _, frequent, rows = found.tolist()
    stats = unfilled(frequent)
    rest = np.empty(n - rows, np.int64), np.empty(n - rows, np.uint32), np.empty(n - rows)
    outputs: tuple[Any, ...] = (*stats.columns().values(), *rest)
    if _split(key, graph, weight, at_least, *outputs):
        # In some key, a lower graph follows a higher one: count its graphs with one stamp per graph number.
        lowest = int(graph.min()) >> 1
        slots = (int(graph.max()) >> 1) - lowest + 1
        if slots > STAMPS:
            from atlas.aggregate.kernels.numpy_kernel import split_frequent as split_in_numpy

            return split_in_numpy(key, graph, weight, at_least)
        _distinct(key, graph, at_least, lowest, np.zeros(slots, np.uint32), stats.graph_count)
    return stats, *rest


@compiled_kernel(I8, *STATS_IN, *STATS_IN, *STATS_OUT)
def _merge(
    key: Ints, count: Ints, graph_count: Ints, positive_count: Ints, half_count: Ints,
    weight_sum: Floats, weight_abs_sum: Floats, weight_sq_sum: Floats, half_weight_sum: Floats,
    weight_min: Floats, weight_max: Floats,
    key_2: Ints, count_2: Ints, graph_count_2: Ints, positive_count_2: Ints, half_count_2: Ints,
    weight_sum_2: Floats, weight_abs_sum_2: Floats, weight_sq_sum_2: Floats, half_weight_sum_2: Floats,
    weight_min_2: Floats, weight_max_2: Floats,
    key_out: Ints, count_out: Ints, graph_count_out: Ints, positive_count_out: Ints, half_count_out: Ints,
    weight_sum_out: Floats, weight_abs_sum_out: Floats, weight_sq_sum_out: Floats, half_weight_sum_out: Floats,
    weight_min_out: Floats, weight_max_out: Floats,
) -> int:  # fmt: skip
    """Merge two sorted statistics, and return the number of keys of the union."""
    i = j = at = 0
    n, m = len(key), len(key_2)
    while i < n or j < m:
        first = i < n and (j == m or key[i] <= key_2[j])
        second = j < m and (i == n or key_2[j] <= key[i])
        if first:
            key_out[at] = key[i]
            count_out[at] = count[i]
            graph_count_out[at] = graph_count[i]
            positive_count_out[at] = positive_count[i]
            half_count_out[at] = half_count[i]
            weight_sum_out[at] = weight_sum[i]
            weight_abs_sum_out[at] = weight_abs_sum[i]
            weight_sq_sum_out[at] = weight_sq_sum[i]
            half_weight_sum_out[at] = half_weight_sum[i]
            weight_min_out[at] = weight_min[i]
            weight_max_out[at] = weight_max[i]
            i += 1
        if first and second:
            count_out[at] += count_2[j]
            graph_count_out[at] += graph_count_2[j]
            positive_count_out[at] += positive_count_2[j]
            half_count_out[at] += half_count_2[j]
            weight_sum_out[at] += weight_sum_2[j]
            weight_abs_sum_out[at] += weight_abs_sum_2[j]
            weight_sq_sum_out[at] += weight_sq_sum_2[j]
            half_weight_sum_out[at] += half_weight_sum_2[j]
            weight_min_out[at] = min(weight_min_out[at], weight_min_2[j])
            weight_max_out[at] = max(weight_max_out[at], weight_max_2[j])
            j += 1
        elif second:
            key_out[at] = key_2[j]
            count_out[at] = count_2[j]
            graph_count_out[at] = graph_count_2[j]
            positive_count_out[at] = positive_count_2[j]
            half_count_out[at] = half_count_2[j]
            weight_sum_out[at] = weight_sum_2[j]
            weight_abs_sum_out[at] = weight_abs_sum_2[j]
            weight_sq_sum_out[at] = weight_sq_sum_2[j]
            half_weight_sum_out[at] = half_weight_sum_2[j]
            weight_min_out[at] = weight_min_2[j]
            weight_max_out[at] = weight_max_2[j]
            j += 1
        at += 1
    return at


def merge_two(large: KeyStats, small: KeyStats) -> KeyStats:
    """Return the statistics of the union of two parts."""
    rows = len(large) + len(small)
    out = unfilled(rows)
    merge: Any = _merge
    columns = (np.ascontiguousarray(values) for part in (large, small) for values in part.columns().values())
    return out.slice(0, merge(*columns, *out.columns().values()))
