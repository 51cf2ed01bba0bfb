"""Non-negative factors of the network: soft circuits, each a set of sources and targets that go together (Lee & Seung 1999).

W is about A B with one column of A (sources) and one row of B (targets) per factor. The membership of a neuron is the larger of its
shares of the two; a neuron may be in several factors.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy import sparse

from atlas.cluster.network import Network
from atlas.cluster.partition import Partition
from atlas.cluster.profiles import LARGEST, paths_of
from atlas.errors import needs_extra
from atlas.options import ClusterOptions
from atlas.stages.resamples import Ints

_LEAST = 0.25  # of the strongest member of a factor


def partition(network: Network, options: ClusterOptions, *, seed: int, trials: int) -> Partition:
    """Return the factors as sets that overlap: the neurons with a quarter or more of the strongest one's membership."""
    del trials
    size = len(network.neurons)
    count = number_of_factors(options, size)
    # Roots, because few links hold most of the weight, and squared errors would fit those alone.
    weight = sparse.csr_array((np.sqrt(network.weight), (network.source, network.target)), shape=(size, size))
    source, target = factorized(weight, count, seed)
    share = np.maximum(*(scaled(part) for part in (source, target)))
    order = np.argsort(-np.linalg.norm(source, axis=0) * np.linalg.norm(target, axis=0), kind="stable")
    return soft_sets(share, order, options)


def number_of_factors(options: ClusterOptions, size: int) -> int:
    """Return the number of factors of so many neurons: one of twenty, from 2 to 64, where not given."""
    return min(options.clusters or max(2, min(64, size // 20)), max(2, size // 2), size)


def factorized(weight: Any, count: int, seed: int) -> tuple[Any, Any]:
    """Return the non-negative factors of a matrix (n, m): two arrays (n, count) and (m, count)."""
    with needs_extra("cluster"):
        from sklearn.decomposition import NMF
        from sklearn.exceptions import ConvergenceWarning
    model = NMF(
        count, init="nndsvda" if count < min(weight.shape) else "random", random_state=seed, max_iter=400, tol=1e-3
    )
    # A matrix that a few factors hold to the last digit makes an error just below 0, and needs no more steps.
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        rows = model.fit_transform(weight)
    return rows, model.components_.T


def soft_sets(share: Any, order: Ints, options: ClusterOptions) -> Partition:
    """Return factors as sets that overlap.

    Args:
        share: Membership of every neuron in every factor, 1 of its strongest one (n_neurons, n_factors).
        order: Factors, the strongest first.
        options: `min_size` and `max_size` of a set.

    Returns:
        The neurons with a quarter or more of the strongest one's membership.
    """
    size = len(share)
    most = options.max_size or LARGEST
    rows, columns, values = [], [], []
    for row, factor in enumerate(order.tolist()):
        strongest = np.argsort(-share[:, factor], kind="stable")[:most]
        kept = np.sort(strongest[share[strongest, factor] >= _LEAST])
        if len(kept) >= options.min_size:
            rows += [row] * len(kept)
            columns += kept.tolist()
            values += share[kept, factor].tolist()
    number = np.unique(rows, return_inverse=True)[1] if rows else np.zeros(0, np.int64)
    sets = sparse.csr_array((values, (number, columns)), shape=(int(number.max(initial=-1)) + 1, size))
    return Partition(paths_of(sets, np.arange(sets.shape[0])), [None] * size, candidates=sets, overlaps=True)


def scaled(part: Any) -> Any:
    """Return the columns with 1 for the largest entry."""
    top = part.max(0, keepdims=True)
    return np.divide(part, top, out=np.zeros_like(part), where=top > 0)
