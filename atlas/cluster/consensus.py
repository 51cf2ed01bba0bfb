"""Consensus: circuits of pairs that stay together over bootstraps of the groups of prompts and over two methods.

Leiden and Infomap cluster every bootstrap. The share of the results in which two neurons are in one cluster is how surely they belong
together (Lancichinetti & Fortunato 2012). Stable cores are the branches, by complete linkage, whose pairs all stay together in 90 % of the
results or more.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from atlas.cluster import infomap_method, leiden_method
from atlas.cluster.edges import Edges
from atlas.cluster.network import Network, make_network
from atlas.cluster.partition import Partition, flat, leaves
from atlas.errors import InputError, NothingToCluster
from atlas.options import ClusterOptions
from atlas.options.clusters import ABSOLUTE
from atlas.stages.resamples import Floats, Ints

TOGETHER = 0.9
_BOOTSTRAPS = 10  # of each method
_MOST = 30_000  # neurons


def partition(
    edges: Edges, weights: Floats, network: Network, options: ClusterOptions, *, seed: int, trials: int
) -> Partition:
    """Return the stable cores of a resample.

    Args:
        edges: Statistics by bucket.
        weights: How often each bucket counts in the resample that is bootstrapped (n_buckets,).
        network: Network of that resample.
        options: What decides the networks; `resolution` of Leiden; `min_size` of a core.
        seed: Seed of the bootstraps and of both methods.
        trials: Number of trials of each result.

    Returns:
        The cores as modules; other neurons are in none. Quality is the mean share over the pairs inside.

    Raises:
        InputError: There are no groups of prompts, or too many neurons for the shares of all pairs.
    """
    size = len(network.neurons)
    if len(weights) < 2:
        raise InputError("the method consensus needs groups of prompts: a source aggregated with --groups auto")
    if size > _MOST:
        raise InputError(
            f"the method consensus compares all pairs of neurons; {size:,} are too many (at most {_MOST:,})"
        )
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(int(weights.sum()), weights / weights.sum(), size=_BOOTSTRAPS).astype(np.float64)
    together, both = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    place = np.full(len(edges.neurons), -1)
    place[np.searchsorted(edges.neurons, network.neurons)] = np.arange(size)
    for number, draw in enumerate(draws):
        for labels in _labels(edges, draw, options, seed + number, min(trials, 2), place):
            member = labels >= 0
            together += (labels[:, None] == labels) & member[:, None] & member
            both += member[:, None] & member
    share = np.divide(together, both, out=np.zeros_like(together), where=both > 0)
    np.fill_diagonal(share, 1)
    found = np.zeros(size, np.int64)
    if size > 1:
        found = fcluster(linkage(squareform(1 - share, checks=False), "complete"), 1 - TOGETHER + 1e-6, "distance")
    found = np.where(np.bincount(found)[found] >= options.min_size, found, -1)
    inside = (found[:, None] == found) & (found >= 0)[:, None]
    quality = float(share[inside].mean()) if inside.any() else None
    return Partition(flat(found), [None] * size, quality=quality)


def _labels(edges: Edges, draw: Floats, options: ClusterOptions, seed: int, trials: int, place: Ints) -> list[Ints]:
    """Return the leaf modules of both methods in one bootstrap, over the neurons of the network; -1 where a neuron is in none."""
    found: list[Ints] = []
    try:
        network = make_network(edges, options, draw)
    except NothingToCluster:
        return found
    plain = replace(options, signs=ABSOLUTE, max_size=0)
    for method in (leiden_method, infomap_method):
        paths = method.partition(network, plain, seed=seed, trials=trials).paths
        rows = place[network.rows]
        labels = np.full(int(place.max()) + 1, -1)
        labels[rows[rows >= 0]] = leaves(paths)[rows >= 0]
        found.append(labels)
    return found
