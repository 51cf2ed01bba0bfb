"""Profiles: neurons whose inputs and outputs are alike, with their signs, in a tree of which replication chooses the circuits.

The profile of a neuron is its edges: one number per partner and direction, the signed weight times the logarithm of how much larger the
|weight| is than the strengths of both ends let expect, 0 where it is smaller. Either direction has length 1, so it counts as much as the other.
Profiles are joined by average linkage of their cosine. Every branch of the tree is a candidate. Where groups of prompts tell which branches
are found again, those are chosen; else the branches that stay apart longest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from atlas.cluster.network import Network
from atlas.cluster.partition import Matrix, Partition, chosen, sizes
from atlas.errors import InputError
from atlas.options import ClusterOptions
from atlas.stages.resamples import Floats

LARGEST = 80  # neurons of a circuit where no bound is given
_MOST = 30_000  # neurons: the distances of all pairs take 4 bytes x n^2 / 2, and twice that while they are computed


def partition(network: Network, options: ClusterOptions, *, seed: int, trials: int) -> Partition:
    """Return the branches of the tree as candidates, and those that stay apart longest as modules. It has no seed.

    Raises `InputError` where there are too many neurons for the distances of all pairs.
    """
    del seed, trials
    size = len(network.neurons)
    if size > _MOST:
        raise InputError(
            f"the method profiles compares all pairs of neurons; {size:,} are too many (at most {_MOST:,}): raise min_graphs or min_groups"
        )
    branches, persistence = tree(profiles(network), options.min_size, options.max_size or LARGEST)
    rows = chosen(branches, persistence * sizes(branches), 1e-9, overlaps=False)
    return Partition(paths_of(branches, rows), [None] * size, candidates=branches)


def paths_of(sets: Matrix, rows: Any) -> list[tuple[int, ...]]:
    """Return the paths of the neurons in disjoint sets, numbered in the order of `rows`; empty where a neuron is in none."""
    paths: list[tuple[int, ...]] = [()] * sets.shape[1]
    for rank, row in enumerate(rows.tolist(), 1):
        for neuron in sets.indices[sets.indptr[row] : sets.indptr[row + 1]].tolist():
            # Where sets overlap, the first one is the path.
            paths[neuron] = paths[neuron] or (rank,)
    return paths


def profiles(network: Network) -> Matrix:
    """Return the profile of every neuron, each of length 1 (n_neurons, 2 n_neurons)."""
    size = len(network.neurons)
    out, into = (np.bincount(ends, network.weight, size) for ends in (network.source, network.target))
    expected = out[network.source] * into[network.target] / network.weight.sum()
    specific = network.weight * np.log(np.maximum(network.weight / expected, 1))
    value = np.where(network.signed < 0, -specific, specific)
    forth = sparse.csr_array((value, (network.source, network.target)), shape=(size, size))
    back = sparse.csr_array((value, (network.target, network.source)), shape=(size, size))
    return _unit(sparse.hstack([_unit(forth), _unit(back)]).tocsr())


def cohesion(network: Network, sets: Matrix) -> Floats:
    """Return how alike the profiles of the members of every set are: their mean cosine (n_sets,)."""
    vectors = profiles(network)
    together = sparse.csr_array(sets @ vectors)
    length = np.asarray(together.multiply(together).sum(1)).reshape(-1)
    count = sizes(sets)
    # A neuron without links has no profile, and a length of 0.
    own = np.asarray(sets @ np.asarray(vectors.multiply(vectors).sum(1)).reshape(-1)).reshape(-1)
    found: Floats = (length - own) / np.maximum(count * (count - 1), 1)
    return found


def _unit(rows: Any) -> Any:
    length = np.sqrt(np.asarray(rows.multiply(rows).sum(1)).reshape(-1))
    scale = np.divide(1, length, out=np.zeros(len(length)), where=length > 0)
    return sparse.csr_array(sparse.diags_array(scale) @ rows)


def tree(vectors: Any, least: int, most: int) -> tuple[Matrix, Floats]:
    """Return the branches of a tree by average linkage of cosines.

    Args:
        vectors: Unit vectors (n, ...).
        least: Least number of members of a branch.
        most: Largest number.

    Returns:
        The branches (n_branches, n), and how much further each is from its sibling than its own parts are from each other (n_branches,).
    """
    size = vectors.shape[0]
    if size < 2:
        return sparse.csr_array((0, size)), np.zeros(0)
    distance = 1 - (vectors @ vectors.T).toarray().astype(np.float32)
    np.fill_diagonal(distance, 0)
    # Rounding makes a matrix that is not quite symmetric, and distances just below 0.
    near = squareform(np.maximum((distance + distance.T) / 2, 0), checks=False)
    return branches(linkage(near, "average"), size, least, most)


def branches(steps: Any, size: int, least: int, most: int) -> tuple[Matrix, Floats]:
    """Return the branches of scipy's linkage with `least` to `most` members, and their persistence."""
    members: list[list[int] | None] = [[leaf] for leaf in range(size)]
    height = np.zeros(size + len(steps))
    parent = np.full(size + len(steps), np.inf)
    kept: list[int] = []
    for number, (one, other, distance, count) in enumerate(steps.tolist(), size):
        height[number] = distance
        parent[[int(one), int(other)]] = distance
        both = (members[int(one)], members[int(other)])
        is_small = count <= most and both[0] is not None and both[1] is not None
        members.append([*both[0], *both[1]] if is_small else None)  # type: ignore[misc]
        if is_small and count >= least:
            kept.append(number)
    parts = [members[number] or [] for number in kept]
    indptr = np.cumsum([0, *map(len, parts)])
    indices = np.array([leaf for part in parts for leaf in part], np.int64)
    found = sparse.csr_array((np.ones(len(indices)), indices, indptr), shape=(len(kept), size))
    root = height.max(initial=0)
    return found, np.minimum(parent[kept], root) - height[kept]
