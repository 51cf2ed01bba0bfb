"""Runs of a method on other seeds, resamples and null networks, in worker processes."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from atlas.cluster import profiles
from atlas.cluster.edges import Edges
from atlas.cluster.methods import find, gain
from atlas.cluster.network import make_network
from atlas.cluster.null_model import NullModel, links_inside, permuted
from atlas.cluster.partition import Matrix, Partition, found_sets, leaves, placed, without_singletons
from atlas.errors import NothingToCluster
from atlas.options import ClusterOptions
from atlas.options.clusters import PROFILES
from atlas.runtime.executors import InlineExecutor, ProcessExecutor, cpu_count
from atlas.stages.resamples import Floats, Ints

SWAPPED, PERMUTED = "swapped", "permuted"
TRIALS = 2  # of a run, at most: many runs tell more than one that is a little better
_SMALL = 5_000  # edges, up to which processes cost more than they save
_MOST_AT_ONCE = 12_000_000  # edges in all processes together, each of which has half a kilobyte in a library

Progress = Callable[[str, int, int], None]


class Run(NamedTuple):
    """One run of the method: on a resample, or on a null network of one."""

    weights: Floats  # how often each bucket counts
    seed: int
    null: str | None = None


class Result(NamedTuple):
    """Findings of a run, over all neurons of the edges."""

    sets: Matrix  # that a match may choose from (n_sets, n_neurons)
    labels: Ints  # leaf module of every neuron, -1 where it is in none (n_neurons,)
    gain: float  # over one module


class NullTest(NamedTuple):
    """Sets to compare with the null model of a resample."""

    weights: Floats
    seed: int
    sets: Matrix
    draws: int


class Runner:
    """Runs calls on the edges in worker processes, which map them from a temporary folder."""

    def __init__(
        self, executor: Any, folder: Path | None, edges: Edges, options: ClusterOptions, tell: Progress
    ) -> None:
        self._executor, self._folder, self._edges, self._options, self._tell = executor, folder, edges, options, tell

    def results(self, runs: Sequence[Run], step: str) -> list[Result]:
        """Return the result of every run, in order."""
        return self._all(_result, runs, step)

    def best(self, seed: int, trials: int, step: str) -> Partition:
        """Return the best of some trials on all groups, each with the next seed."""
        found: list[Partition] = self._all(_trial, [seed + number for number in range(trials)], step)
        return min(found, key=_badness)

    def p_values(self, tests: Sequence[NullTest], step: str) -> list[Floats]:
        """Return the share of null networks in which every set has as large a statistic, for every test, in order."""
        return self._all(_p_values, tests, step)

    def _all(self, function: Callable[..., Any], items: Sequence[Any], step: str) -> list[Any]:
        state = functools.partial(_state, self._folder, None if self._folder else self._edges, self._options)
        found: list[Any] = [None] * len(items)
        for done, (index, value) in enumerate(self._executor.run(function, list(enumerate(items)), state), 1):
            found[index] = value
            self._tell(step, done, len(items))
        return found


@contextmanager
def runner(edges: Edges, options: ClusterOptions, tell: Progress) -> Iterator[Runner]:
    """Yield a runner, with a worker process per core where the edges are many, as far as memory for their networks goes."""
    count = min(cpu_count(), max(1, _MOST_AT_ONCE // max(1, len(edges.source))))
    if len(edges.source) <= _SMALL or count == 1:
        yield Runner(InlineExecutor(), None, edges, options, tell)
        return
    with tempfile.TemporaryDirectory(prefix="atlas-cluster-") as folder, ProcessExecutor(count) as executor:
        edges.save(Path(folder))
        yield Runner(executor, Path(folder), edges, options, tell)


def _state(folder: Path | None, edges: Edges | None, options: ClusterOptions) -> tuple[Edges, ClusterOptions]:
    loaded = edges if folder is None else Edges.load(folder)
    assert loaded is not None  # one of the two is given
    return loaded, options


def _trial(state: tuple[Edges, ClusterOptions], item: tuple[int, int]) -> tuple[int, Partition]:
    edges, options = state
    index, seed = item
    whole = np.ones(edges.buckets)
    return index, find(edges, whole, make_network(edges, options, whole), options, seed=seed, trials=1)


def _badness(found: Partition) -> float:
    """Return the codelength of a result, or its negative quality."""
    return found.codelength if found.codelength is not None else -(found.quality or 0.0)


def _result(state: tuple[Edges, ClusterOptions], item: tuple[int, Run]) -> tuple[int, Result]:
    edges, options = state
    index, run = item
    size = len(edges.neurons)
    labels = np.full(size, -1)
    try:
        network = make_network(edges, options, run.weights)
    except NothingToCluster:
        return index, Result(sparse.csr_array((0, size)), labels, float("nan"))
    if run.null == SWAPPED:
        network = NullModel(network, run.seed).draw()
    elif run.null == PERMUTED:
        network = permuted(network, np.random.default_rng(run.seed))
    found = find(edges, run.weights, network, options, seed=run.seed, trials=min(options.trials, TRIALS))
    found = found._replace(paths=without_singletons(found.paths))
    labels[network.rows] = leaves(found.paths)
    return index, Result(placed(found_sets(found), network.rows, size), labels, gain(network, found))


def _p_values(state: tuple[Edges, ClusterOptions], item: tuple[int, NullTest]) -> tuple[int, Floats]:
    """Return (1 + draws with as large a statistic) / (1 + draws) of every set; 1 where it is 0.

    The statistic is the number of links inside; of profiles, which need no links inside, the mean cosine.
    """
    edges, options = state
    index, test = item
    try:
        network = make_network(edges, options, test.weights)
    except NothingToCluster:
        return index, np.ones(test.sets.shape[0])
    # Rows of the network, of all neurons: those that are not in it have no links.
    sets = test.sets[:, network.rows].tocsr()
    statistic = profiles.cohesion if options.method == PROFILES else links_inside
    observed = statistic(network, sets)
    drawn = NullModel(network, test.seed).statistics(statistic, sets, test.draws)
    p = (1 + (drawn >= observed * (1 - 1e-12)).sum(0)) / (1 + test.draws)
    return index, np.where(observed > 0, p, 1.0)
