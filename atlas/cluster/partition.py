"""Result of a clustering method: a path of modules per neuron, or sets of neurons that may overlap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from atlas.stages.resamples import Floats, Ints

ModulePath = tuple[int, ...]
Matrix = Any  # scipy.sparse.csr_array (n_sets, n_neurons)


class Partition(NamedTuple):
    """One module path per neuron of the network, and what the method knows of it.

    Attributes:
        paths: Path of every neuron, 1-based; empty where it is in no module.
        flows: Shares of a random walk; None of methods without one.
        codelength: Bits per step, lower is better.
        one_level_codelength: Bits per step with everything in one module.
        quality: By the method, higher is better.
        candidates: Sets of which replication chooses the clusters, with the weight of every member (n_sets, n_neurons).
        overlaps: A neuron may be in several of the chosen candidates.
    """

    paths: list[ModulePath]
    flows: Sequence[float | None]
    codelength: float | None = None
    one_level_codelength: float | None = None
    quality: float | None = None
    candidates: Matrix | None = None
    overlaps: bool = False


def flat(labels: Ints) -> list[ModulePath]:
    """Return the paths of flat labels, with 1 for the largest module; empty where the label is negative."""
    found, counts = np.unique(labels[labels >= 0], return_counts=True)
    first = {label: int(np.argmax(labels == label)) for label in found.tolist()} if len(found) < 1000 else {}
    order = sorted(
        zip(found.tolist(), counts.tolist(), strict=True), key=lambda row: (-row[1], first.get(row[0], row[0]))
    )
    number = {label: rank for rank, (label, _) in enumerate(order, 1)}
    return [(number[label],) if label >= 0 else () for label in labels.tolist()]


def without_singletons(paths: Sequence[ModulePath]) -> list[ModulePath]:
    """Return the paths without modules of one neuron: such a neuron is in the module above, or in none."""
    count = Counter(path[:level] for path in paths for level in range(1, len(path) + 1))
    return [tuple(path[: sum(count[path[:level]] > 1 for level in range(1, len(path) + 1))]) for path in paths]


def leaves(paths: Sequence[ModulePath]) -> Ints:
    """Return the number of the leaf module of every neuron; -1 where it is in none (n_neurons,)."""
    number: dict[ModulePath, int] = {}
    return np.array([number.setdefault(path, len(number)) if path else -1 for path in paths], np.int64)


def prefixes(paths: Sequence[ModulePath]) -> list[ModulePath]:
    """Return the paths of all modules at every level, in order."""
    return sorted({path[:level] for path in set(paths) for level in range(1, len(path) + 1)})


def modules(paths: Sequence[ModulePath], named: Sequence[ModulePath]) -> Matrix:
    """Return the members of modules.

    Args:
        paths: Path of every neuron (n_neurons,).
        named: Modules.

    Returns:
        1 for every member (n_modules, n_neurons).
    """
    place = {path: row for row, path in enumerate(named)}
    pairs = [
        (place[path[:level]], neuron)
        for neuron, path in enumerate(paths)
        for level in range(1, len(path) + 1)
        if path[:level] in place
    ]
    return sets_from(pairs, len(named), len(paths))


def sets_from(pairs: Iterable[tuple[int, int]], sets: int, neurons: int) -> Matrix:
    """Return a matrix with 1 at (set, neuron) pairs."""
    rows, columns = np.array([*pairs], np.int64).reshape(-1, 2).T
    return sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(sets, neurons))


def placed(sets: Matrix, rows: Ints, count: int) -> Matrix:
    """Return sets over the neurons of a network as sets over all `count` neurons, of which those have the `rows`."""
    return sparse.csr_array((sets.data, rows[sets.indices], sets.indptr), shape=(sets.shape[0], count))


def sizes(sets: Matrix) -> Ints:
    """Return the number of members of every set (n_sets,)."""
    found: Ints = np.diff(sets.indptr)
    return found


def without_weights(sets: Matrix) -> Matrix:
    """Return the sets with 1 for every member."""
    return sparse.csr_array((np.ones(len(sets.indices)), sets.indices, sets.indptr), shape=sets.shape)


def found_sets(partition: Partition) -> Matrix:
    """Return the sets that a result offers for a match: its candidates, or its modules at every level."""
    if partition.candidates is not None:
        return without_weights(partition.candidates)
    return modules(partition.paths, prefixes(partition.paths))


def chosen(candidates: Matrix, score: Floats, least: float, *, overlaps: bool) -> Ints:
    """Choose sets greedily, those with the best score first, of equal ones the larger.

    Args:
        candidates: Sets (n_sets, n_neurons).
        score: Score of every set (n_sets,).
        least: Least score.
        overlaps: Sets may share up to half of their members; else none.

    Returns:
        Rows of the chosen sets.
    """
    size = sizes(candidates)
    owner: list[set[int]] = [set() for _ in range(candidates.shape[1])]
    found: list[int] = []
    for row in np.lexsort((np.arange(len(score)), -size, -np.nan_to_num(score))).tolist():
        if not score[row] >= least:
            break
        members = candidates.indices[candidates.indptr[row] : candidates.indptr[row + 1]].tolist()
        near = [other for neuron in members for other in owner[neuron]]
        if near and (not overlaps or max(near.count(other) for other in set(near)) * 2 > len(members)):
            continue
        for neuron in members:
            owner[neuron].add(row)
        found.append(row)
    return np.array(found, np.int64)
