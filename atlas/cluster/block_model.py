"""Degree-corrected stochastic block model of a directed network, with the number of blocks of the least description length.

A link is as likely as the links between the blocks of its ends, and the degrees of its ends, say (Karrer & Newman 2011; directed: Zhu, Yan &
Moore 2014). Blocks start from the spectral embedding; then single neurons move as long as the likelihood grows. The description
length is that of Peixoto 2017 with uniform priors of degrees: bits for the blocks, their links, the degrees and the links, so that more blocks
count only where they save more than they cost. Weights do not count; thresholds of the network do.
"""

from __future__ import annotations

import math

import numpy as np

from atlas.cluster.network import Network
from atlas.cluster.partition import Partition, flat
from atlas.cluster.spectral import embedding, k_means
from atlas.options import ClusterOptions
from atlas.runtime.jit import F8, I8, Int, IntArray, compiled_kernel, in_, out, out_2d
from atlas.stages.resamples import Ints

_MOST = 128  # blocks
_SWEEPS = 30


def partition(network: Network, options: ClusterOptions, *, seed: int, trials: int) -> Partition:
    """Return flat modules: the blocks of the least description length, which is the negative quality, in bits per link."""
    size = len(network.neurons)
    given = options.clusters and min(options.clusters, max(2, size // 2))
    numbers = [given] if given else [2**power for power in range(1, 8) if 2**power <= min(_MOST, size // 4)]
    best = np.zeros(size, np.int64)
    shortest = description_length(network.source, network.target, best)
    if given and size > 3:
        shortest = math.inf
    links = _by_neuron(network, size)
    rows = embedding(network, min(max(numbers), size - 2), seed)[1] if numbers and size > 3 else np.zeros((size, 0))
    for number in numbers if size > 3 else []:
        blocks = k_means(rows[:, : 2 * number], number, seed, min(trials, 3))
        order = np.random.default_rng(seed).permutation(size)
        _descend(*links, blocks, number, order)
        length = description_length(network.source, network.target, blocks)
        if length < shortest:
            best, shortest = blocks, length
    return Partition(flat(best), [None] * size, quality=-shortest / math.log(2) / max(1, len(network.source)))


def description_length(source: Ints, target: Ints, blocks: Ints) -> float:
    """Return the description length of a network and its blocks, in nats.

    Args:
        source: Source of every link (n_links,).
        target: Target of every link.
        blocks: Block of every neuron (n_neurons,).

    Returns:
        Length of links given blocks and degrees, of degrees, of the links between blocks, and of the blocks (Peixoto 2017).
    """
    blocks = np.unique(blocks, return_inverse=True)[1]
    size, links, number = len(blocks), len(source), int(blocks.max(initial=0)) + 1
    between = np.bincount(blocks[source] * number + blocks[target], minlength=number**2).reshape(number, number)
    members = np.bincount(blocks, minlength=number)
    degrees = [np.bincount(end, minlength=size) for end in (source, target)]
    totals = between.sum(1), between.sum(0)
    given_degrees = sum(_log_factorial(total) for total in totals) - _log_factorial(between.reshape(-1))
    given_degrees -= sum(_log_factorial(degree) for degree in degrees)
    of_degrees = sum(
        _log_multiset(int(count), int(total)) for sums in totals for count, total in zip(members, sums, strict=True)
    )
    of_blocks = _log_binomial(size - 1, number - 1) + math.lgamma(size + 1) - _log_factorial(members) + math.log(size)
    return given_degrees + of_degrees + _log_multiset(number**2, links) + of_blocks


def _log_factorial(values: Ints) -> float:
    return sum(math.lgamma(value + 1) for value in values[values > 1].tolist())


def _log_binomial(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _log_multiset(kinds: int, items: int) -> float:
    """Return the logarithm of the number of ways to give items to kinds."""
    return _log_binomial(kinds + items - 1, items) if kinds else 0.0


def _by_neuron(network: Network, size: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Return the targets of every neuron and its sources, each with where they start."""
    found: list[Ints] = []
    for near, far in ((network.source, network.target), (network.target, network.source)):
        order = np.argsort(near, kind="stable")
        found += [np.searchsorted(near[order], np.arange(size + 1)).astype(np.int64), far[order].astype(np.int64)]
    return found[0], found[1], found[2], found[3]


def _descend(
    out_starts: Ints, out_ends: Ints, in_starts: Ints, in_ends: Ints, blocks: Ints, number: int, order: Ints
) -> None:
    """Move neurons between blocks, in place, as long as the likelihood grows."""
    between = np.zeros((number, number), np.int64)
    source = np.repeat(np.arange(len(blocks)), np.diff(out_starts))
    np.add.at(between, (blocks[source], blocks[out_ends]), 1)
    for _ in range(_SWEEPS):
        if not _sweep(out_starts, out_ends, in_starts, in_ends, blocks, between, order):
            break


@compiled_kernel(F8, F8, allocates=False)
def _f(value: float) -> float:
    """Return x ln x."""
    return value * math.log(value) if value > 0 else 0.0


@compiled_kernel(F8, out_2d(I8), out(I8), out(I8), I8, I8, allocates=False)
def _gain(between: np.ndarray, given: IntArray, taken: IntArray, here: Int, there: Int) -> float:
    """Return how much sum e ln e over pairs of blocks grows where a neuron moves."""
    gain = 0.0
    for block in range(between.shape[0]):
        if block in (here, there):
            continue
        gain += _f(between[here, block] - given[block]) - _f(between[here, block])
        gain += _f(between[there, block] + given[block]) - _f(between[there, block])
        gain += _f(between[block, here] - taken[block]) - _f(between[block, here])
        gain += _f(between[block, there] + taken[block]) - _f(between[block, there])
    gain += _f(between[here, here] - given[here] - taken[here]) - _f(between[here, here])
    gain += _f(between[there, there] + given[there] + taken[there]) - _f(between[there, there])
    gain += _f(between[here, there] - given[there] + taken[here]) - _f(between[here, there])
    gain += _f(between[there, here] - taken[there] + given[here]) - _f(between[there, here])
    return gain


@compiled_kernel(F8, out(I8), I8, I8, I8, allocates=False)
def _of_degrees(total: IntArray, here: Int, there: Int, degree: Int) -> float:
    """Return how much -sum d ln d over blocks grows where a neuron of a degree moves."""
    return _f(total[here]) - _f(total[here] - degree) + _f(total[there]) - _f(total[there] + degree)


@compiled_kernel(I8, in_(I8), in_(I8), out(I8), I8, out(I8), allocates=False)
def _count(starts: IntArray, ends: IntArray, blocks: IntArray, neuron: Int, counts: IntArray) -> Int:
    """Count the links of a neuron by the block of the other end, without those to itself; return their number."""
    counts[:] = 0
    number = 0
    for place in range(starts[neuron], starts[neuron + 1]):
        if ends[place] != neuron:
            counts[blocks[ends[place]]] += 1
            number += 1
    return number


@compiled_kernel(I8, in_(I8), in_(I8), in_(I8), in_(I8), out(I8), out_2d(I8), in_(I8))
def _sweep(
    out_starts: IntArray,
    out_ends: IntArray,
    in_starts: IntArray,
    in_ends: IntArray,
    blocks: IntArray,
    between: np.ndarray,
    order: IntArray,
) -> Int:
    """Move every neuron to the block that makes the links likeliest; return how many moved."""
    number = between.shape[0]
    given, taken = np.zeros(number, np.int64), np.zeros(number, np.int64)
    out_total, in_total = np.zeros(number, np.int64), np.zeros(number, np.int64)
    members = np.zeros(number, np.int64)
    for row in range(number):
        out_total[row] = between[row].sum()
        in_total[row] = between[:, row].sum()
    for block in blocks:
        members[block] += 1
    moved = 0
    for neuron in order:
        here = blocks[neuron]
        if members[here] == 1:
            continue
        out_degree = _count(out_starts, out_ends, blocks, neuron, given)
        in_degree = _count(in_starts, in_ends, blocks, neuron, taken)
        best, there = 1e-9, here
        for block in range(number):
            if block == here:
                continue
            gain = _gain(between, given, taken, here, block)
            gain += _of_degrees(out_total, here, block, out_degree) + _of_degrees(in_total, here, block, in_degree)
            if gain > best:
                best, there = gain, block
        if there == here:
            continue
        for block in range(number):
            between[here, block] -= given[block]
            between[there, block] += given[block]
            between[block, here] -= taken[block]
            between[block, there] += taken[block]
        out_total[here] -= out_degree
        out_total[there] += out_degree
        in_total[here] -= in_degree
        in_total[there] += in_degree
        members[here] -= 1
        members[there] += 1
        blocks[neuron] = there
        moved += 1
    return moved
