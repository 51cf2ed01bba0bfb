"""Local communities: the neurons around a seed that a walk from it seldom leaves.

From every seed, a walk that returns to it with probability 0.15 gives each neuron a probability (personalised PageRank). Neurons join in the
order of probability over strength, and the set with the smallest conductance is the community (Andersen, Chung & Lang 2006).
Communities overlap and need not cover everything.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from atlas.cluster.network import Network
from atlas.cluster.partition import Partition, chosen, sizes
from atlas.cluster.profiles import LARGEST, paths_of
from atlas.options import ClusterOptions
from atlas.stages.resamples import Floats

_RETURN, _STEPS = 0.15, 20
_SEEDS = 2_000  # strongest neurons
_BLOCK = 64  # walks at once


def partition(network: Network, options: ClusterOptions, *, seed: int, trials: int) -> Partition:
    """Return the communities of the strongest neurons as sets that overlap, with the probability of every member. It has no seed."""
    del seed, trials
    size = len(network.neurons)
    both = sparse.csr_array((network.weight, (network.source, network.target)), shape=(size, size))
    both = sparse.csr_array(both + both.T)
    strength = np.asarray(both.sum(1)).reshape(-1)
    step = sparse.csr_array(both @ sparse.diags_array(1 / np.maximum(strength, 1e-300)))
    seeds = np.argsort(-strength, kind="stable")[:_SEEDS]
    most = min(options.max_size or LARGEST, size - 1)
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    scores: list[float] = []
    for first in range(0, len(seeds), _BLOCK):
        block = seeds[first : first + _BLOCK]
        walks = _walks(step, block, size)
        for column in range(len(block)):
            members, conductance = _sweep(both, strength, walks[:, column], most, options.min_size)
            if len(members):
                rows += [len(scores)] * len(members)
                columns += members.tolist()
                values += walks[members, column].tolist()
                scores.append(1 - conductance)
    sets = sparse.csr_array((values, (rows, columns)), shape=(len(scores), size))
    kept = chosen(sets, np.array(scores) + 1e-9 * sizes(sets), 1e-9, overlaps=True)
    sets = sparse.csr_array(sets[kept])
    return Partition(paths_of(sets, np.arange(len(kept))), [None] * size, candidates=sets, overlaps=True)


def _walks(step: sparse.csr_array, seeds: np.ndarray, size: int) -> Floats:
    """Return the probability of every neuron in the walk from every seed (n_neurons, n_seeds)."""
    start = np.zeros((size, len(seeds)))
    start[seeds, np.arange(len(seeds))] = 1
    found = start
    for _ in range(_STEPS):
        found = _RETURN * start + (1 - _RETURN) * (step @ found)
    return np.asarray(found)


def _sweep(both: sparse.csr_array, strength: Floats, walk: Floats, most: int, least: int) -> tuple[np.ndarray, float]:
    """Return the first neurons, by probability over strength, with the smallest conductance, and that."""
    ratio = np.divide(walk, strength, out=np.zeros(len(walk)), where=strength > 0)
    near = np.argpartition(-ratio, min(most, len(ratio) - 1))[:most]
    order = near[np.lexsort((near, -ratio[near]))]
    order = order[ratio[order] > 0]
    if len(order) < least:
        return order[:0], 1.0
    inside = np.cumsum(_added(both[order][:, order].toarray()))
    volume = np.cumsum(strength[order])
    rest = np.maximum(np.minimum(volume, strength.sum() - volume), 1e-300)
    conductance = ((volume - inside) / rest)[least - 1 :]
    best = int(np.argmin(conductance))
    return np.sort(order[: least + best]), float(conductance[best])


def _added(weight: np.ndarray) -> Floats:
    """Return the weight, both ways, that every neuron adds to the set of those before it (n,)."""
    lower = np.tril(weight, -1)
    found: Floats = 2 * lower.sum(1) + np.diag(weight)
    return found
