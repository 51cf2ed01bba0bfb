"""Keys, endpoints and counts per graph of observations, compiled by numba."""

from __future__ import annotations

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from atlas.aggregate.kernels.key_stats import LOW
from atlas.aggregate.kernels.numba_kernel.sort import bit_packing, key_bounds
from atlas.graph import MAX_WEIGHT, Floats, Ints
from atlas.ids import INDEX_BITS, MAX_INDEX, NEURON_BITS
from atlas.runtime.jit import F8, I4, I8, NONE, U4, U8, Int32Array, compiled_kernel, in_, out

Graphs = NDArray[np.uint32]
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


@compiled_kernel(I8, in_(I8), in_(U4), U8, U8, out(U4), out(U4), out(U4), out(U4))
def _find_ends(
    key: Ints, graph: Graphs, base: int, width: int, stamp: Graphs, place: Graphs, neurons: Graphs, graphs: Graphs
) -> int:
    """Write the distinct pairs (neuron, graph) in graph order; return their number, or -1 if graphs do not ascend.

    `place` receives the position of the first pair of each neuron.
    """
    at = uint64(0)
    last = np.uint32(0)
    for i in range(len(key)):
        number = graph[i]
        if number < last:
            return -1
        last = number
        pair = uint64(key[i])
        left, right = (pair >> uint64(NEURON_BITS)) - base, (pair & uint64(LOW)) - base
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


def ends(key: Ints, graph: Graphs) -> tuple[Graphs, Graphs] | None:
    """Return the endpoints of all rows as sorted, distinct pairs (neuron, graph).

    Returns None if the graphs do not ascend or the range of neurons is too wide; the caller must then sort them.
    """
    n = len(key)
    if not n:
        return np.empty(0, np.uint32), np.empty(0, np.uint32)
    found = np.empty(6, np.int64)
    key_bounds(key, found)
    low, high, index, low2, high2, index2 = found.tolist()
    squeezed = bit_packing(min(low, low2), max(high, high2), index | index2)
    if squeezed.bits > DENSE_BITS:
        return None
    stamp, place = np.zeros(1 << squeezed.bits, np.uint32), np.zeros(1 << squeezed.bits, np.uint32)
    neurons, owners = np.empty(2 * n, np.uint32), np.empty(2 * n, np.uint32)
    count = _find_ends(key, graph, squeezed.base, squeezed.width, stamp, place, neurons, owners)
    if count < 0:
        return None
    neuron_out, graph_out = np.empty(count, np.uint32), np.empty(count, np.uint32)
    _place_ends(neurons[:count], owners[:count], squeezed.base, squeezed.width, place, neuron_out, graph_out)
    return neuron_out, graph_out


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
