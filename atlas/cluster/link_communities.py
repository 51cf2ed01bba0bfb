"""Link communities: links, not neurons, are clustered, so a neuron is in as many circuits as its links are (Ahn, Bagrow & Lehmann 2010).

Two links that share a neuron are as alike as the neighbourhoods of their other ends. Links are joined by single linkage; the threshold is the
one with the largest partition density. Each neuron brings its strongest links, in either direction.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from atlas.cluster.network import Network
from atlas.cluster.partition import Partition
from atlas.cluster.profiles import LARGEST, paths_of
from atlas.options import ClusterOptions
from atlas.stages.resamples import Floats, Ints, ranks

_STRONGEST = 10  # links that a neuron brings
_THRESHOLDS = np.arange(0.05, 1, 0.05)


def partition(network: Network, options: ClusterOptions, *, seed: int, trials: int) -> Partition:
    """Return the communities as sets that overlap, with the share of the links of every member inside. It has no seed."""
    del seed, trials
    size = len(network.neurons)
    source, target = _strongest(network)
    pairs = _touching(source, target, size)
    alike = _similarity(source, target, pairs, size)
    best, labels = -1.0, np.arange(len(source))
    for threshold in _THRESHOLDS:
        near = pairs[:, alike >= threshold]
        graph = sparse.csr_array((np.ones(near.shape[1]), (near[0], near[1])), shape=(len(source), len(source)))
        found = connected_components(graph, directed=False)[1]
        density = _density(source, target, found, size, options.max_size or LARGEST)
        if density > best:
            best, labels = density, found
    ends, neuron = np.concatenate([labels, labels]), np.concatenate([source, target])
    counts = sparse.csr_array((np.ones(len(ends)), (ends, neuron)), shape=(int(labels.max(initial=-1)) + 1, size))
    degree = np.bincount(neuron, minlength=size)
    members = np.diff(counts.indptr)
    large = np.flatnonzero((members >= options.min_size) & (members <= (options.max_size or LARGEST)))
    large = large[np.argsort(-members[large], kind="stable")]
    sets = sparse.csr_array(counts[large] @ sparse.diags_array(1 / np.maximum(degree, 1)))
    paths = paths_of(sets, np.arange(sets.shape[0]))
    return Partition(paths, [None] * size, quality=best, candidates=sets, overlaps=True)


def _strongest(network: Network) -> tuple[Ints, Ints]:
    """Return the links that are among the strongest of either end, without direction, each once."""
    kept = np.zeros(len(network.weight), np.bool_)
    for end in (network.source, network.target):
        order = np.lexsort((-network.weight, end))
        kept[order[ranks(end[order]) < _STRONGEST]] = True
    low = np.minimum(network.source, network.target)[kept]
    high = np.maximum(network.source, network.target)[kept]
    links = np.unique(np.stack([low, high])[:, low != high], axis=1)
    return links[0], links[1]


def _touching(source: Ints, target: Ints, size: int) -> Ints:
    """Return the pairs of links that share a neuron (2, n_pairs)."""
    link = np.concatenate([np.arange(len(source))] * 2)
    incidence = sparse.csr_array(
        (np.ones(len(link)), (link, np.concatenate([source, target]))), shape=(len(source), size)
    )
    both = sparse.triu(incidence @ incidence.T, 1).tocoo()
    found: Ints = np.stack([both.row, both.col]).astype(np.int64)
    return found


def _similarity(source: Ints, target: Ints, pairs: Ints, size: int) -> Floats:
    """Return the Jaccard index of the neighbourhoods (with the neuron itself) of the ends that two links do not share."""
    every = np.arange(size)
    rows, columns = np.concatenate([source, target, every]), np.concatenate([target, source, every])
    near = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(size, size))
    common = sparse.csr_array(near @ near.T)
    degree = np.diff(near.indptr)
    one, other = pairs
    shared = np.where((source[one] == source[other]) | (source[one] == target[other]), source[one], target[one])
    ends = [source[links] + target[links] - shared for links in (one, other)]
    both = np.asarray(common[ends[0], ends[1]]).reshape(-1)
    found: Floats = both / (degree[ends[0]] + degree[ends[1]] - both)
    return found


def _density(source: Ints, target: Ints, labels: Ints, size: int, most: int) -> float:
    """Return the partition density: the mean over links of how full their community is, 0 where it has more than `most` neurons."""
    if not len(labels):
        return 0.0
    links = np.bincount(labels)
    members = np.unique(np.concatenate([labels * size + source, labels * size + target]))
    neurons = np.bincount(members // size, minlength=len(links))
    spare = np.maximum((neurons - 2) * (neurons - 1), 1)
    return float(
        2 / len(labels) * (links * np.where((neurons > 2) & (neurons <= most), (links - neurons + 1) / spare, 0)).sum()
    )
