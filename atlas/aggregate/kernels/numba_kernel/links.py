"""Keys, endpoints and counts per graph of observations, compiled by numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from atlas.aggregate.kernels.key_stats import LOW
from atlas.aggregate.kernels.numba_kernel.sort import bit_packing, key_bounds
from atlas.graph import MAX_WEIGHT, Floats, Ints
from atlas.ids import INDEX_BITS, MAX_INDEX, NEURON_BITS
from atlas.runtime.jit import F8, I4, I8, NONE, U1, U4, U8, ByteArray, Int32Array, compiled_kernel, in_, out

Graphs = NDArray[np.uint32]
Array = NDArray[Any]
DENSE_BITS = 23  # `ends` uses one slot per neuron if neurons have at most this many bits


@compiled_kernel(I8, in_(I4), in_(I4), in_(I4), in_(I4), in_(F8), out(I8))
def _pack(
    source_layer: Int32Array,
    source: Int32Array,
    target_layer: Int32Array,
    target: Int32Array,
    weight: Floats,
    key: Ints,
) -> int:
    """Write the keys of rows to `key`, and return the number of rows that are out of range, huge or not finite."""
    bad = np.int64(0)
    for i in range(len(key)):
        a, b = np.int64(source_layer[i]), np.int64(source[i])
        c, d = np.int64(target_layer[i]), np.int64(target[i])
        # The bitwise or shows a negative value or a bit that is too high. NaN compares false.
        wrong = (((a | c) >> 7) | ((b | d) >> INDEX_BITS)) != 0
        bad += np.int64(wrong | (not abs(weight[i]) <= MAX_WEIGHT))
        key[i] = a << 55 | b << NEURON_BITS | c << INDEX_BITS | d
    return int(bad)


def pack(
    source_layer: Int32Array, source: Int32Array, target_layer: Int32Array, target: Int32Array, weight: Floats
) -> tuple[Ints, int]:
    """Return the keys (n,) of int32 columns, and the number of invalid rows. `observe` then finds the reasons."""
    key = np.empty(len(weight), np.int64)
    return key, _pack(source_layer, source, target_layer, target, weight, key)


@compiled_kernel(
    I8, in_(I8), in_(U4), U8, U8, out(U4), out(U4), out(U4), out(U4), out(I8), out(I8), out(I8), allocates=False
)
def _find_ends(
    key: Ints, graph: Graphs, base: int, width: int, stamp: Graphs, place: Graphs, neurons: Graphs, graphs: Graphs,
    links: Ints, loops: Ints, backward: Ints,
) -> int:  # fmt: skip
    """Write the distinct pairs (neuron, graph) in graph order; return their number, or -1 if graphs do not ascend.

    `place` receives the position of the first pair of each neuron; links, loops and backward the counts of each graph.
    """
    at = uint64(0)
    last = np.uint32(0)
    for i in range(len(key)):
        number = graph[i]
        if number < last:
            return -1
        last = number
        pair = uint64(key[i])
        source, target = pair >> uint64(NEURON_BITS), pair & uint64(LOW)
        links[number] += 1
        loops[number] += np.int64(source == target)
        backward[number] += np.int64(source >> uint64(INDEX_BITS) >= target >> uint64(INDEX_BITS))
        left, right = source - base, target - base
        left = (left >> uint64(INDEX_BITS) << width) | (left & uint64(MAX_INDEX))
        right = (right >> uint64(INDEX_BITS) << width) | (right & uint64(MAX_INDEX))
        if stamp[left] != number + 1:
            stamp[left] = number + 1
            place[left] += 1
            neurons[at] = left
            graphs[at] = number
            at += uint64(1)
        if stamp[right] != number + 1:
            stamp[right] = number + 1
            place[right] += 1
            neurons[at] = right
            graphs[at] = number
            at += uint64(1)
    total = uint64(0)
    for i in range(len(place)):
        count = place[i]
        place[i] = total
        total += count
    return int(at)


@compiled_kernel(NONE, in_(U4), in_(U4), U8, U8, out(U4), out(U4), out(U4))
def _place_ends(
    neurons: Graphs, graphs: Graphs, base: int, width: int, place: Graphs, neuron_out: Graphs, graph_out: Graphs
) -> None:
    """Move pairs to the positions of their neurons. Pairs come in graph order, so each neuron's graphs ascend."""
    mask = (uint64(1) << width) - uint64(1)
    for i in range(len(neurons)):
        local = uint64(neurons[i])
        at = place[local]
        place[local] += 1
        neuron_out[at] = ((local >> width << uint64(INDEX_BITS)) | (local & mask)) + base
        graph_out[at] = graphs[i]


def ends(key: Ints, graph: Graphs, graphs: int) -> tuple[Graphs, Graphs, tuple[Ints, Ints, Ints]] | None:
    """Return the endpoints of all rows as sorted, distinct pairs (neuron, graph), and the counts of `count_links`.

    Returns None if the graphs do not ascend or the range of neurons is too wide; the caller must then sort them.
    """
    n = len(key)
    counts = np.zeros(graphs, np.int64), np.zeros(graphs, np.int64), np.zeros(graphs, np.int64)
    if not n:
        return np.empty(0, np.uint32), np.empty(0, np.uint32), counts
    found = np.empty(6, np.int64)
    key_bounds(key, found)
    low, high, index, low2, high2, index2 = found.tolist()
    squeezed = bit_packing(min(low, low2), max(high, high2), index | index2)
    if squeezed.bits > DENSE_BITS:
        return None
    stamp, place = np.zeros(1 << squeezed.bits, np.uint32), np.zeros(1 << squeezed.bits, np.uint32)
    neurons, owners = np.empty(2 * n, np.uint32), np.empty(2 * n, np.uint32)
    count = _find_ends(key, graph, squeezed.base, squeezed.width, stamp, place, neurons, owners, *counts)
    if count < 0:
        return None
    neuron_out, graph_out = np.empty(count, np.uint32), np.empty(count, np.uint32)
    _place_ends(neurons[:count], owners[:count], squeezed.base, squeezed.width, place, neuron_out, graph_out)
    return neuron_out, graph_out, counts


@compiled_kernel(NONE, in_(I8), in_(U4), out(I8), out(I8), out(I8))
def _count_links(key: Ints, graph: Graphs, links: Ints, loops: Ints, backward: Ints) -> None:
    for i in range(len(key)):
        pair, number = key[i], graph[i]
        source, target = pair >> NEURON_BITS, pair & LOW
        links[number] += 1
        loops[number] += np.int64(source == target)
        backward[number] += np.int64(source >> INDEX_BITS >= target >> INDEX_BITS)


def count_links(key: Ints, graph: Graphs, graphs: int) -> tuple[Ints, Ints, Ints]:
    """Return the numbers of links, self-loops and backward links of each graph, each of shape (graphs,)."""
    found = np.zeros(graphs, np.int64), np.zeros(graphs, np.int64), np.zeros(graphs, np.int64)
    _count_links(key, graph, *found)
    return found


@compiled_kernel(
    I8,
    in_(I8),
    in_(U4),
    in_(F8),
    in_(U4),
    U8,
    U8,
    out(I8),
    out(F8),
    out(I8),
    out(U1),
    out(I8),
    out(F8),
    allocates=False,
)
def _sample(
    key: Ints, graph: Graphs, weight: Floats, buckets: Graphs, first: int, below: int,
    counts: Ints, sums: Floats, key_out: Ints, bucket_out: ByteArray, count_out: Ints, sum_out: Floats,
) -> int:  # fmt: skip
    """Write the cells of `sampled_cells`, and return their number. `counts` and `sums`, one per bucket, are scratch of zeros."""
    at, start = 0, 0
    while start < len(key):
        stop = start + 1
        while stop < len(key) and key[stop] == key[start]:
            stop += 1
        # The hash of `edge_sample.sampled`.
        mixed = uint64(key[start])
        mixed = (mixed ^ (mixed >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> uint64(27))) * uint64(0x94D049BB133111EB)
        if (mixed ^ (mixed >> uint64(31))) >> uint64(32) < below:
            for i in range(start, stop):
                bucket = buckets[uint64(graph[i] >> 1) - first]
                counts[bucket] += 1
                sums[bucket] += weight[i]
            for bucket in range(len(counts)):
                if counts[bucket]:
                    key_out[at], bucket_out[at] = key[start], bucket
                    count_out[at], sum_out[at] = counts[bucket], sums[bucket]
                    counts[bucket], sums[bucket] = 0, 0.0
                    at += 1
        start = stop
    return at


def sampled_cells(
    key: Ints, graph: Graphs, weight: Floats, buckets: Graphs, first: int, below: int, bucket_total: int
) -> tuple[Ints, ByteArray, Ints, Floats]:
    """Return key, bucket, count and sum of weights of the cells of sampled edges, each (n_cells,).

    Args:
        key: Sorted keys, (n,).
        graph: `graph number << 1 | half` of each row, (n,).
        weight: Weights, (n,).
        buckets: Bucket of each graph, (n_graphs,).
        first: Number of the first of these graphs.
        below: Edges with a hash below this are sampled.
        bucket_total: Number of buckets.
    """
    n = len(key)
    key_out, bucket, links, total = np.empty(n, np.int64), np.empty(n, np.uint8), np.empty(n, np.int64), np.empty(n)
    counts, sums = np.zeros(bucket_total, np.int64), np.zeros(bucket_total)
    size = _sample(key, graph, weight, buckets, first, below, counts, sums, key_out, bucket, links, total)
    return key_out[:size].copy(), bucket[:size].copy(), links[:size].copy(), total[:size].copy()


def _number(values: Array, numbers: Graphs, distinct: Array) -> int:
    """Number runs of equal values from 0, and write the value of each; return the number of runs, or -1 if values fall."""
    runs = uint64(0)
    for i in range(len(values)):
        value = values[i]
        if i == 0 or value != distinct[runs - uint64(1)]:
            if i and value < distinct[runs - uint64(1)]:
                return -1
            distinct[runs] = value
            runs += uint64(1)
        numbers[i] = runs - uint64(1)
    return int(runs)


_number_4 = compiled_kernel(I8, in_(I4), out(U4), out(I4), allocates=False)(_number)
_number_8 = compiled_kernel(I8, in_(I8), out(U4), out(I8), allocates=False)(_number)


def numbered_runs(values: Array) -> tuple[Array, Graphs] | None:
    """Return the distinct values of ascending int32 or int64 (n,), and the index of each row's value; None if they fall."""
    numbers, distinct = np.empty(len(values), np.uint32), np.empty_like(values)
    runs = (_number_4 if values.dtype == np.int32 else _number_8)(values, numbers, distinct)
    return None if runs < 0 else (distinct[:runs].copy(), numbers)


@compiled_kernel(NONE, in_(U4), in_(U4), U8, out(U4), allocates=False)
def _gather(table: Graphs, rows: Graphs, first: int, found: Graphs) -> None:
    for i in range(len(rows)):
        found[i] = table[rows[i] - first]


def gathered(table: Graphs, rows: Graphs, first: int) -> Graphs:
    """Return table[rows - first], (n,)."""
    found = np.empty(len(rows), np.uint32)
    _gather(table, rows, first, found)
    return found


@compiled_kernel(NONE, in_(I8), out(I4), out(I4), out(I4), out(I4), allocates=False)
def _unpack(key: Ints, layer: Int32Array, neuron: Int32Array, other_layer: Int32Array, other: Int32Array) -> None:
    for i in range(len(key)):
        source, target = key[i] >> NEURON_BITS, key[i] & LOW
        layer[i], neuron[i] = source >> INDEX_BITS, source & MAX_INDEX
        other_layer[i], other[i] = target >> INDEX_BITS, target & MAX_INDEX


def unpacked(key: Ints) -> tuple[Int32Array, Int32Array, Int32Array, Int32Array]:
    """Return source layer, source, target layer and target of packed pairs of neurons, each (n,)."""
    found = np.empty((4, len(key)), np.int32)
    _unpack(key, found[0], found[1], found[2], found[3])
    return found[0], found[1], found[2], found[3]
