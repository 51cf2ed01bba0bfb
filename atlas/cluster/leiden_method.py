"""Leiden: the partition with the largest modularity, or the largest constant Potts quality, whose clusters are connected.

Traag, Waltman & van Eck, "From Louvain to Leiden: guaranteeing well-connected communities", 2019. Modularity is that of directed
networks (Leicht & Newman 2008) with a resolution (Reichardt & Bornholdt 2006); CPM is that of Traag, Van Dooren & Nesterov 2011. With
layers of signs, positive links bind and negative ones separate (Traag & Bruggeman 2009).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from atlas.cluster.network import Network
from atlas.cluster.partition import ModulePath, Partition
from atlas.errors import needs_extra
from atlas.options import ClusterOptions
from atlas.options.clusters import MODULARITY, SIGNED

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


def communities(source: Any, target: Any, weight: Any, size: int, *, resolution: float, seed: int) -> list[int]:
    """Return the community of every node of an undirected network, by modularity."""
    with needs_extra("cluster"):
        import igraph
        import leidenalg
    graph = igraph.Graph(n=size, edges=np.stack([source, target], 1))
    kind: Any = leidenalg.RBConfigurationVertexPartition
    found = leidenalg.find_partition(
        graph,
        kind,
        weights=list(weight),
        resolution_parameter=resolution,
        seed=seed,
        n_iterations=_ITERATIONS,
    )
    members: list[int] = found.membership
    return members


def _best(graph: Any, options: ClusterOptions, seed: int, trials: int) -> tuple[list[int], float]:
    """Return the community of every neuron in the best trial, and its quality."""
    import leidenalg

    is_modular = options.objective == MODULARITY
    kind: Any = leidenalg.RBConfigurationVertexPartition if is_modular else leidenalg.CPMVertexPartition
    given = {"weights": "weight", "resolution_parameter": options.resolution}

    def trial(number: int) -> tuple[list[int], float]:
        if options.signs == SIGNED:
            layers = [
                graph.subgraph_edges(graph.es.select(positive=sign), delete_vertices=False) for sign in (True, False)
            ]
            parts = [kind(layer, **given) for layer in layers]
            optimiser = leidenalg.Optimiser()
            optimiser.set_rng_seed(seed + number)
            optimiser.optimise_partition_multiplex(parts, layer_weights=[1, -1], n_iterations=_ITERATIONS)
            return parts[0].membership, parts[0].quality() - parts[1].quality()
        found = leidenalg.find_partition(graph, kind, seed=seed + number, n_iterations=_ITERATIONS, **given)
        return found.membership, found.quality()

    return max((trial(number) for number in range(trials)), key=lambda one: one[1])


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
