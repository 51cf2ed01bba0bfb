"""Networks of the null model: the same layers, degrees and weights, other partners.

In the layer-pair configuration null, two links between the same two layers swap their targets, many times (Maslov & Sneppen 2002): every
neuron keeps its number of links to and from every layer, and every source keeps the weights of its links. A swap that would make a
second link between two neurons, or a link of a neuron to itself, is not made.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from atlas.cluster.network import Network
from atlas.cluster.partition import Matrix
from atlas.ids import INDEX_BITS
from atlas.runtime.jit import F8, I8, NONE, FloatArray, Int, IntArray, compiled_kernel, in_, out
from atlas.stages.resamples import Floats

Statistic = Callable[[Network, Matrix], Floats]
_BURN_IN = 5  # swaps tried per link before the first draw
_BETWEEN = 0.5  # and between two draws


class NullModel:
    """Random networks with the layers and degrees of a network, one after the other."""

    def __init__(self, network: Network, seed: int) -> None:
        layers = network.neurons >> INDEX_BITS
        pair = layers[network.source] * (int(layers.max(initial=0)) + 1) + layers[network.target]
        order = np.argsort(pair, kind="stable")
        self._first = np.searchsorted(pair[order], pair[order]).astype(np.int64)
        self._last = np.searchsorted(pair[order], pair[order], side="right").astype(np.int64)
        self.source, self.target = (np.ascontiguousarray(ends[order]) for ends in (network.source, network.target))
        self.weight, self.signed = network.weight[order], network.signed[order]
        self._network, self._order = network, order
        self._size = len(network.neurons)
        self._slots = np.full(1 << int(np.ceil(np.log2(4 * len(order) + 8))), -1, np.int64)
        self._state = np.array([seed + 1], np.int64)
        _fill(self._slots, self.source, self.target, self._size)
        self._swap(_BURN_IN)

    def _swap(self, times: float) -> None:
        count = int(times * len(self.source)) + 1
        _swap(self._slots, self.source, self.target, self._first, self._last, self._size, count, self._state)

    def draw(self) -> Network:
        """Return another random network."""
        self._swap(_BURN_IN)
        return self._network.with_links(self.source.copy(), self.target.copy(), self.weight, self.signed)

    def statistics(self, statistic: Statistic, sets: Matrix, draws: int) -> Floats:
        """Return a statistic of every set in so many random networks (draws, n_sets)."""
        found = np.empty((draws, sets.shape[0]))
        for row in range(draws):
            self._swap(_BETWEEN)
            drawn = self._network.with_links(self.source, self.target, self.weight, self.signed)
            found[row] = statistic(drawn, sets)
        return found


def links_inside(network: Network, sets: Matrix) -> Floats:
    """Return the number of links inside every set (n_sets,).

    Weights do not count: links between hubs are heavy, and swaps keep the strength of sources but not of targets, so that every set of hubs
    would have more weight inside than by chance.
    """
    return inner_weights(network.source, network.target, np.ones(len(network.source)), sets)


def inner_weights(source: IntArray, target: IntArray, weight: FloatArray, sets: Matrix) -> Floats:
    """Return the sum of the weights of the links inside every set (n_sets,).

    Args:
        source: Row of the source of every link (n_links,).
        target: Row of its target.
        weight: Its weight.
        sets: Sets (n_sets, n_neurons).

    Returns:
        The sums.
    """
    by_neuron = sets.T.tocsr()
    by_neuron.sort_indices()
    total = np.zeros(sets.shape[0])
    arrays = (by_neuron.indptr.astype(np.int64), by_neuron.indices.astype(np.int64))
    _inner(*arrays, source, target, weight, total)
    return total


def permuted(network: Network, rng: np.random.Generator) -> Network:
    """Return the network with its weights in another order: the same links, other strengths."""
    order = rng.permutation(len(network.weight))
    return network.with_links(network.source, network.target, network.weight[order], network.signed[order])


@compiled_kernel(I8, out(I8), I8, allocates=False)
def _place(slots: IntArray, key: Int) -> Int:
    """Return the slot of a key, or the free slot where it belongs."""
    mask = len(slots) - 1
    mixed = key * 0x9E3779B97F4A7C1 & 0x7FFFFFFFFFFFFFFF
    slot = (mixed ^ mixed >> 29) & mask
    while slots[slot] != -1 and slots[slot] != key:
        slot = (slot + 1) & mask
    return slot


@compiled_kernel(NONE, out(I8), I8, allocates=False)
def _enter(slots: IntArray, key: Int) -> None:
    slots[_place(slots, key)] = key


@compiled_kernel(NONE, out(I8), I8, allocates=False)
def _remove(slots: IntArray, key: Int) -> None:
    """Free the slot of a key, and move back the keys behind it that had to make way."""
    mask = len(slots) - 1
    free = _place(slots, key)
    slots[free] = -1
    slot = (free + 1) & mask
    while slots[slot] != -1:
        moved = slots[slot]
        slots[slot] = -1
        slots[_place(slots, moved)] = moved
        slot = (slot + 1) & mask


@compiled_kernel(NONE, out(I8), in_(I8), in_(I8), I8, allocates=False)
def _fill(slots: IntArray, source: IntArray, target: IntArray, size: Int) -> None:
    """Enter all links in a hash table with open addressing."""
    for row in range(len(source)):
        _enter(slots, source[row] * size + target[row])


@compiled_kernel(NONE, out(I8), out(I8), out(I8), in_(I8), in_(I8), I8, I8, out(I8), allocates=False)
def _swap(
    slots: IntArray,
    source: IntArray,
    target: IntArray,
    first: IntArray,
    last: IntArray,
    size: Int,
    count: Int,
    state: IntArray,
) -> None:
    """Try `count` swaps of the targets of two links between the same layers."""
    number = state[0]
    for _ in range(count):
        number = (number * 6364136223846793005 + 1442695040888963407) & 0x7FFFFFFFFFFFFFFF
        one = (number >> 16) % len(source)
        number = (number * 6364136223846793005 + 1442695040888963407) & 0x7FFFFFFFFFFFFFFF
        other = first[one] + (number >> 16) % (last[one] - first[one])
        a, b, c, d = source[one], target[one], source[other], target[other]
        if a in (c, d) or b in (c, d):
            continue
        forward, back = a * size + d, c * size + b
        if slots[_place(slots, forward)] == forward or slots[_place(slots, back)] == back:
            continue
        _remove(slots, a * size + b)
        _remove(slots, c * size + d)
        _enter(slots, forward)
        _enter(slots, back)
        target[one], target[other] = d, b
    state[0] = number


@compiled_kernel(NONE, in_(I8), in_(I8), in_(I8), in_(I8), in_(F8), out(F8), allocates=False)
def _inner(
    starts: IntArray, sets: IntArray, source: IntArray, target: IntArray, weight: FloatArray, total: FloatArray
) -> None:
    """Add up the weights of links whose ends share a set; the sets of every neuron are ascending."""
    for row in range(len(source)):
        one, other = starts[source[row]], starts[target[row]]
        one_end, other_end = starts[source[row] + 1], starts[target[row] + 1]
        while one < one_end and other < other_end:
            if sets[one] == sets[other]:
                total[sets[one]] += weight[row]
                one += 1
                other += 1
            elif sets[one] < sets[other]:
                one += 1
            else:
                other += 1
