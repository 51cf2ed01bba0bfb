"""Louvain by scikit-network (BSD): modularity without the libraries under the GPL.

Blondel, Guillaume, Lambiotte & Lefebvre 2008, for directed networks (Dugue & Perez 2015).
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from atlas.cluster.network import Network
from atlas.cluster.partition import Partition, flat
from atlas.errors import needs_extra
from atlas.options import ClusterOptions


def partition(network: Network, options: ClusterOptions, *, seed: int, trials: int) -> Partition:
    """Return flat modules, those with the largest modularity of all trials. Raises `MissingExtra` without scikit-network."""
    with needs_extra("cluster"):
        from sknetwork.clustering import Louvain, get_modularity
    size = len(network.neurons)
    weight = sparse.csr_matrix((network.weight, (network.source, network.target)), shape=(size, size))
    best, labels = -np.inf, np.zeros(size, np.int64)
    for trial in range(trials):
        method = Louvain(options.resolution, "dugue", shuffle_nodes=True, random_state=seed + trial)
        found = method.fit_predict(weight)
        quality = float(get_modularity(weight, found, resolution=options.resolution))
        if quality > best:
            best, labels = quality, found.astype(np.int64)
    return Partition(flat(labels), [None] * size, quality=best)
