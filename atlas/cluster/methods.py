"""The methods by name; each is loaded when it runs, because some need a library that others do not."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from atlas.cluster.edges import Edges
from atlas.cluster.network import Network
from atlas.cluster.partition import Partition
from atlas.options import ClusterOptions
from atlas.options.clusters import (
    BLOCKS,
    CONSENSUS,
    FACTORS,
    GRAPH_FACTORS,
    INFOMAP,
    LEIDEN,
    LINKS,
    LOCAL,
    LOUVAIN,
    NESTED_BLOCKS,
    OF_GROUPS,
    PROFILES,
    SPECTRAL,
)
from atlas.stages.resamples import Floats

_MODULES = {
    INFOMAP: "infomap_method",
    LEIDEN: "leiden_method",
    LOUVAIN: "louvain",
    SPECTRAL: "spectral",
    BLOCKS: "block_model",
    NESTED_BLOCKS: "nested_blocks",
    FACTORS: "factors",
    GRAPH_FACTORS: "graph_factors",
    PROFILES: "profiles",
    CONSENSUS: "consensus",
    LOCAL: "local",
    LINKS: "link_communities",
}


def find(
    edges: Edges, weights: Floats, network: Network, options: ClusterOptions, *, seed: int, trials: int
) -> Partition:
    """Cluster the network of a resample.

    Args:
        edges: Statistics by bucket, which the methods of `OF_GROUPS` take.
        weights: How often each bucket counts (n_buckets,).
        network: Network of that resample.
        options: Method, and its options.
        seed: Seed of the first trial.
        trials: Number of trials, of which the best is kept.

    Returns:
        The result.
    """
    method = import_module(f"atlas.cluster.{_MODULES[options.method]}")
    given = (edges, weights, network) if options.method in OF_GROUPS else (network,)
    found: Partition = method.partition(*given, options, seed=seed, trials=trials)
    return found


def gain(network: Network, partition: Partition) -> float:
    """Return how much better a result is than one module, which has 0.

    Args:
        network: Network that was clustered.
        partition: Its result.

    Returns:
        The share of the codelength that is saved where the method has one (Infomap), else the modularity of the leaf modules
        (Leicht & Newman 2008), with every neuron that is in none alone.
    """
    if partition.codelength is not None and partition.one_level_codelength:
        return 1 - partition.codelength / partition.one_level_codelength
    number: dict[object, int] = {}
    keys = [path or ("alone", row) for row, path in enumerate(partition.paths)]
    labels = np.array([number.setdefault(key, len(number)) for key in keys])
    total = network.weight.sum()
    inside = network.weight[labels[network.source] == labels[network.target]].sum()
    out, into = (np.bincount(labels[ends], network.weight, len(number)) for ends in (network.source, network.target))
    return float(inside / total - (out * into).sum() / total**2)
