"""Leiden: the partition with the largest modularity, or the largest constant Potts quality, whose clusters are connected.

Traag, Waltman & van Eck, "From Louvain to Leiden: guaranteeing well-connected communities", 2019. Modularity is that of directed
networks (Leicht & Newman 2008) with a resolution (Reichardt & Bornholdt 2006); CPM is that of Traag, Van Dooren & Nesterov 2011.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from atlas.cluster.edges import Network
from atlas.cluster.partition import Partition
from atlas.errors import needs_extra

MODULARITY, CPM = "modularity", "cpm"
OBJECTIVES = (MODULARITY, CPM)


def partition(
    network: Network, *, objective: str, resolution: float, max_size: int, seed: int, trials: int
) -> Partition:
    """Return the module path (1-based, larger siblings first) of every neuron; a seed repeats the result.

    Args:
        network: Network to cluster.
        objective: `modularity` or `cpm`.
        resolution: Larger values give smaller clusters.
        max_size: Clusters with more neurons are clustered again inside, level by level; 0 leaves them.
        seed: Seed of the first trial; each trial has the next one.
        trials: Number of trials, of which the best is kept.

    Returns:
        The partition, with its quality.

    Raises:
        MissingExtra: igraph or leidenalg is not installed.
    """
    with needs_extra("cluster"):
        import igraph
        import leidenalg
    kind: Any = leidenalg.RBConfigurationVertexPartition if objective == MODULARITY else leidenalg.CPMVertexPartition
    graph = igraph.Graph(
        n=len(network.neurons), edges=np.stack([network.source, network.target], 1).tolist(), directed=True
    )
    graph.es["weight"] = network.weight.tolist()

    def best(part: Any) -> Any:
        found = (
            leidenalg.find_partition(
                part, kind, weights="weight", resolution_parameter=resolution, seed=seed + trial, n_iterations=-1
            )
            for trial in range(trials)
        )
        return max(found, key=lambda one: one.quality())

    def paths_in(part: Any) -> tuple[list[tuple[int, ...]], float]:
        found = best(part)
        ordered = sorted(range(len(found)), key=lambda number: (-len(found[number]), min(found[number])))
        paths: list[tuple[int, ...]] = [()] * part.vcount()
        for rank, number in enumerate(ordered, 1):
            neurons = sorted(found[number])
            inner: list[tuple[int, ...]] = [()] * len(neurons)
            if 0 < max_size < len(neurons) and len(found) > 1:
                inner = paths_in(part.induced_subgraph(neurons))[0]
                # A cluster that does not divide has no level below it.
                inner = inner if len(set(inner)) > 1 else [()] * len(neurons)
            for place, path in zip(neurons, inner, strict=True):
                paths[place] = (rank, *path)
        return paths, float(found.quality())

    paths, quality = paths_in(graph)
    return Partition(paths, [None] * len(paths), quality=quality)
