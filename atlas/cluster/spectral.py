"""Spectral co-clustering: neurons with the same sources and targets, after the degrees are divided out.

The network is D_out^-1/2 W D_in^-1/2 with the mean strength added to every degree (Dhillon 2001; Rohe, Qin & Yu 2016: DI-SIM). Each neuron
is its row in the leading left and right singular vectors, scaled to length 1, and k-means clusters the rows.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from atlas.cluster.network import Network
from atlas.cluster.partition import Partition, flat
from atlas.errors import needs_extra
from atlas.options import ClusterOptions
from atlas.stages.resamples import Floats, Ints

_MOST = 64  # clusters, of which the gap between singular values chooses


def partition(network: Network, options: ClusterOptions, *, seed: int, trials: int) -> Partition:
    """Return flat modules; their number is that before the largest gap between singular values where not given."""
    size = len(network.neurons)
    labels = np.zeros(size, np.int64)
    if size > 3:
        given = options.clusters and min(options.clusters, max(2, size // 2))
        values, rows = embedding(network, min(given or _MOST, size - 2), seed)
        number = _number(values, given)
        labels = k_means(rows[:, : 2 * number], number, seed, trials)
    return Partition(flat(labels), [None] * size)


def _number(values: Floats, given: int | None) -> int:
    if given is not None or len(values) < 3:
        return given or len(values)
    return int(np.argmax(values[1:-1] - values[2:])) + 2


def embedding(network: Network, count: int, seed: int) -> tuple[Floats, Floats]:
    """Return the leading singular values, and left and right vectors in turn, scaled per neuron (n_neurons, 2 count)."""
    size = len(network.neurons)
    weight = sparse.csr_array((network.weight, (network.source, network.target)), shape=(size, size))
    out, into = weight.sum(1), weight.sum(0)
    scale = [1 / np.sqrt(strength + strength.mean()) for strength in (out, into)]
    scaled = sparse.diags_array(scale[0]) @ weight @ sparse.diags_array(scale[1])
    left, values, right = svds(scaled, k=count, random_state=seed)
    order = np.argsort(-values, kind="stable")
    both = np.stack([left[:, order], right[order].T], 2).reshape(size, -1)
    length = np.linalg.norm(both, axis=1, keepdims=True)
    return values[order], np.divide(both, length, out=np.zeros_like(both), where=length > 0)


def k_means(rows: Floats, count: int, seed: int, trials: int) -> Ints:
    """Return the number of the nearest of `count` means of every row."""
    with needs_extra("cluster"):
        from sklearn.cluster import KMeans
    found: Ints = (
        KMeans(min(count, len(rows)), n_init=max(1, trials), random_state=seed).fit_predict(rows).astype(np.int64)
    )
    return found
