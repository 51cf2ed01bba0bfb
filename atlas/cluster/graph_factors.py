"""Non-negative factors of the matrix of neurons and graphs: soft circuits of neurons that act in the same graphs (Lee & Seung 1999).

An entry is the root of the share of the neuron in the |weights| of all links of the graph. The matrix is about A B with one column of A
(neurons) and one row of B (graphs) per factor; a neuron may be in several. Unlike factors of the network, members need no link.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from atlas.cluster.edges import Edges
from atlas.cluster.factors import factorized, number_of_factors, scaled, soft_sets
from atlas.cluster.network import Network
from atlas.cluster.partition import Partition
from atlas.errors import InputError
from atlas.options import ClusterOptions
from atlas.stages.resamples import Floats


def partition(
    edges: Edges, weights: Floats, network: Network, options: ClusterOptions, *, seed: int, trials: int
) -> Partition:
    """Return the factors of a resample as sets that overlap.

    Args:
        edges: Statistics by bucket, with the share of every neuron in every graph.
        weights: How often each bucket counts (n_buckets,).
        network: Network of that resample, whose neurons are factored.
        options: `clusters`, the number of factors, and `min_size` and `max_size` of a set.
        seed: Seed of the factors.
        trials: Not used; the factors start from singular vectors.

    Returns:
        Candidates that overlap.

    Raises:
        InputError: Single graphs are not known.
    """
    del trials
    if not len(edges.graph_bucket):
        raise InputError(
            "the method graph-nmf needs the links of single graphs and their groups: a source aggregated with --graph-links auto and --groups auto"
        )
    size = len(network.neurons)
    place = np.full(len(edges.neurons), -1)
    place[network.rows] = np.arange(size)
    often = weights[edges.graph_bucket][edges.node_graph]
    row = place[edges.node_neuron]
    kept = np.flatnonzero((row >= 0) & (often > 0))
    graph, column = np.unique(edges.node_graph[kept], return_inverse=True)
    # A graph that counts twice adds its squared error twice.
    value = np.sqrt(edges.node_share[kept] * often[kept])
    matrix = sparse.csr_array((value, (row[kept], column)), shape=(size, max(1, len(graph))))
    neurons, graphs = factorized(matrix, min(number_of_factors(options, size), max(1, len(graph))), seed)
    order = np.argsort(-np.linalg.norm(neurons, axis=0) * np.linalg.norm(graphs, axis=0), kind="stable")
    return soft_sets(scaled(neurons), order, options)
