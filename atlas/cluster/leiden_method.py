"""Leiden: the partition with the largest modularity, or the largest constant Potts quality, whose clusters are connected.

Traag, Waltman & van Eck, "From Louvain to Leiden: guaranteeing well-connected communities", 2019. Modularity is that of directed
networks (Leicht & Newman 2008) with a resolution (Reichardt & Bornholdt 2006), or without directions; CPM is that of Traag, Van Dooren &
Nesterov 2011, to which directions do not matter. With layers of signs, positive links bind and negative ones separate (Traag & Bruggeman
2009). leidenalg finds the directed ones and layers; igraph finds the others, many times as fast. (igraph 1.0 takes directed networks, too, but the
quality that it states there is not the modularity of what it finds.)
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from atlas.cluster.network import Network
from atlas.cluster.partition import ModulePath, Partition
from atlas.errors import needs_extra
from atlas.options import ClusterOptions
from atlas.options.clusters import CPM, MODULARITY, SIGNED

_ITERATIONS = 4  # of one trial: trials after those improve the quality more than further ones do


def partition(network: Network, options: ClusterOptions, *, seed: int, trials: int) -> Partition:
    """Return the module path (1-based, larger siblings first) of every neuron; a seed repeats the result.

    Args:
        network: Network to cluster.
        options: `objective`, `resolution`, and `max_size`, above which a cluster is clustered again inside, level by level.
        seed: Seed of the first trial; each trial has the next one.
        trials: Number of trials, of which the best is kept.

    Returns:
        The partition, with its quality.

    Raises:
        MissingExtra: igraph or leidenalg is not installed.
    """
    with needs_extra("cluster"):
        import igraph
        import leidenalg  # noqa: F401
    graph = igraph.Graph(n=len(network.neurons), edges=np.stack([network.source, network.target], 1), directed=True)
    graph.es["weight"] = network.weight
    graph.es["positive"] = network.signed >= 0
    paths, quality = _paths(graph, options, seed, trials)
    return Partition(paths, [None] * len(paths), quality=quality)


def _best(graph: Any, options: ClusterOptions, seed: int, trials: int) -> tuple[list[int], float]:
    """Return the community of every neuron in the best trial, and its quality."""
    if options.signs == SIGNED:
        trial = _of_layers
    elif options.objective == MODULARITY:
        trial = _directed
    else:
        trial = _undirected
    return max((trial(graph, options, seed + number) for number in range(trials)), key=lambda one: one[1])


def _directed(graph: Any, options: ClusterOptions, seed: int) -> tuple[list[int], float]:
    import leidenalg

    found = leidenalg.find_partition(
        graph,
        leidenalg.RBConfigurationVertexPartition,
        weights="weight",
        resolution_parameter=options.resolution,
        seed=seed,
        n_iterations=_ITERATIONS,
    )
    return found.membership, found.quality()


def _of_layers(graph: Any, options: ClusterOptions, seed: int) -> tuple[list[int], float]:
    import leidenalg

    is_cpm = options.objective == CPM
    kind: Any = leidenalg.CPMVertexPartition if is_cpm else leidenalg.RBConfigurationVertexPartition
    layers = [graph.subgraph_edges(graph.es.select(positive=sign), delete_vertices=False) for sign in (True, False)]
    parts = [kind(layer, weights="weight", resolution_parameter=options.resolution) for layer in layers]
    optimiser = leidenalg.Optimiser()
    optimiser.set_rng_seed(seed)
    optimiser.optimise_partition_multiplex(parts, layer_weights=[1, -1], n_iterations=_ITERATIONS)
    return parts[0].membership, parts[0].quality() - parts[1].quality()


def _undirected(graph: Any, options: ClusterOptions, seed: int) -> tuple[list[int], float]:
    """Return communities by igraph's own Leiden, many times as fast, of objectives that directions do not matter to."""
    import igraph

    plain = graph.as_undirected(mode="each")
    igraph.set_random_number_generator(random.Random(seed))
    try:
        found = plain.community_leiden(
            "CPM" if options.objective == CPM else "modularity",
            weights="weight",
            resolution=options.resolution,
            n_iterations=_ITERATIONS,
        )
    finally:
        igraph.set_random_number_generator(random)
    # igraph divides by the sum of the weights.
    return found.membership, found.quality * sum(plain.es["weight"])


def _paths(graph: Any, options: ClusterOptions, seed: int, trials: int) -> tuple[list[ModulePath], float]:
    labels, quality = _best(graph, options, seed, trials)
    found = _members(labels)
    paths: list[ModulePath] = [()] * graph.vcount()
    for rank, neurons in enumerate(found, 1):
        inner: list[ModulePath] = [()] * len(neurons)
        if 0 < options.max_size < len(neurons) and len(found) > 1:
            inner = _paths(graph.induced_subgraph(neurons), options, seed, trials)[0]
            # A cluster that does not divide has no level below it.
            inner = inner if len(set(inner)) > 1 else [()] * len(neurons)
        for place, path in zip(neurons, inner, strict=True):
            paths[place] = (rank, *path)
    return paths, float(quality)


def _members(labels: Sequence[int]) -> list[list[int]]:
    """Return the members of every community, the largest first."""
    found: dict[int, list[int]] = {}
    for neuron, label in enumerate(labels):
        found.setdefault(label, []).append(neuron)
    return sorted(found.values(), key=lambda members: (-len(members), members[0]))
