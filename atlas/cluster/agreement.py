"""Likeness of two results: of sets by their Jaccard index, of partitions by AMI and element-centric similarity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from atlas.cluster.partition import Matrix, sizes
from atlas.ids import INDEX_BITS
from atlas.stages.resamples import Floats, Ints


def best_match(sets: Matrix, others: Matrix) -> tuple[Ints, Floats]:
    """Find the most alike set of another result for every set.

    Args:
        sets: Sets (n_sets, n_neurons).
        others: Sets of the other result (n_others, n_neurons).

    Returns:
        Row of the best match, -1 where no set shares a member, and its Jaccard index, two arrays (n_sets,).
    """
    best, index = np.full(sets.shape[0], -1), np.zeros(sets.shape[0])
    if not sets.shape[0] or not others.shape[0]:
        return best, index
    both = sparse.csr_array(sets @ others.T)
    row = np.repeat(np.arange(sets.shape[0]), np.diff(both.indptr))
    alike = both.data / (sizes(sets)[row] + sizes(others)[both.indices] - both.data)
    order = np.lexsort((both.indices, -alike, row))
    first = order[np.flatnonzero(np.diff(row[order], prepend=-1))]
    best[row[first]], index[row[first]] = both.indices[first], alike[first]
    return best, index


def jaccard_of_rows(one: Matrix, ones: Ints, other: Matrix, others: Ints) -> Floats:
    """Return the Jaccard index of the set `ones[i]` of one result and `others[i]` of another; 0 where either is -1 (n,)."""
    found = np.zeros(len(ones))
    known = np.flatnonzero((ones >= 0) & (others >= 0))
    if len(known):
        both = np.asarray((one[ones[known]] * other[others[known]]).sum(1)).reshape(-1)
        found[known] = both / (sizes(one)[ones[known]] + sizes(other)[others[known]] - both)
    return found


def random_sets(sets: Matrix, rng: np.random.Generator) -> Matrix:
    """Return sets of the same sizes, whose members are drawn from all that are in a set."""
    pool, size = np.unique(sets.indices), sizes(sets)
    parts = [rng.choice(pool, count, replace=False) for count in size.tolist()]
    members = np.concatenate([np.zeros(0, np.int64), *parts])
    return sparse.csr_array((np.ones(len(members)), members, sets.indptr), shape=sets.shape)


def mutual_information(one: Ints, other: Ints) -> float:
    """Return the adjusted mutual information of two partitions, over the neurons in both; NaN without any.

    Args:
        one: Label of every neuron, negative where it has none (n,).
        other: Labels of the other partition (n,).

    Returns:
        1 for equal partitions, about 0 for unrelated ones (Vinh, Epps & Bailey 2010).
    """
    from sklearn.metrics import adjusted_mutual_info_score

    both = (one >= 0) & (other >= 0)
    return float(adjusted_mutual_info_score(one[both], other[both])) if both.any() else float("nan")


def element_similarity(one: Ints, other: Ints) -> float:
    """Return the element-centric similarity of two partitions (Gates, Wood, Hetrick & Ahn 2019), over the neurons in both.

    Of a partition, the similarity of a neuron is 1 - 1/2 sum_j |p_j - q_j|, where p_j is 1/(size of its cluster) for the members of
    its cluster in one partition, and q_j the same in the other.

    Args:
        one: Label of every neuron, negative where it has none (n,).
        other: Labels of the other partition (n,).

    Returns:
        Mean over the neurons, from 0 to 1; NaN without any.
    """
    both = (one >= 0) & (other >= 0)
    if not both.any():
        return float("nan")
    first, second = (np.unique(labels[both], return_inverse=True)[1] for labels in (one, other))
    size, other_size = np.bincount(first)[first], np.bincount(second)[second]
    pair = np.unique(first * (second.max() + 1) + second, return_inverse=True)[1]
    shared = np.bincount(pair)[pair]
    only = (size - shared) / size + (other_size - shared) / other_size
    distance = only + shared * np.abs(1 / size - 1 / other_size)
    return float(np.mean(1 - distance / 2))


def likeness(names: Sequence[str], members: Mapping[str, Any]) -> list[list[float | None]]:
    """Return the adjusted mutual information of every two clusterings.

    Args:
        names: Names of the clusterings.
        members: Columns `clustering`, `layer`, `neuron` and `place`, the number of the cluster.

    Returns:
        A symmetric matrix, in the order of the names; None where two share no neuron.
    """
    units = members["layer"].astype(np.int64) << INDEX_BITS | members["neuron"]
    known, row = np.unique(units, return_inverse=True)
    labels = []
    for name in names:
        mine = members["clustering"] == name
        found = np.full(len(known), -1)
        found[row[mine]] = members["place"][mine]
        labels.append(found)
    values = [[mutual_information(one, other) for other in labels] for one in labels]
    return [[None if np.isnan(value) else value for value in line] for line in values]
