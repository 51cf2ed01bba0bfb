"""Trust of a clustering: other seeds, other prompts, and networks of the null model.

A cluster is found again in a result as well as its best match there has a Jaccard index. Its `half_agreement` is the least of that of its best
matches in two halves of the groups of prompts, and of itself and either; `support` is that of itself and its best match in a bootstrap. Sets of the same size, drawn from all
clustered neurons, are the control of both. `null_p` asks whether the best match of one half has more links inside, in the other half, than
in networks with the same layers and degrees: the half that tests has not chosen the members.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from atlas.cluster.agreement import best_match, element_similarity, jaccard_of_rows, mutual_information, random_sets
from atlas.cluster.edges import Edges
from atlas.cluster.held_out import HeldOut, held_out
from atlas.cluster.network import make_network
from atlas.cluster.partition import Matrix, chosen, sizes
from atlas.cluster.runs import PERMUTED, SWAPPED, NullTest, Progress, Result, Run, Runner, runner
from atlas.errors import NothingToCluster
from atlas.options import ClusterOptions, is_found_again
from atlas.options.clusters import FEWEST_DRAWS, LINKS, LOCAL, PROFILES
from atlas.stages.resamples import FEWEST_BUCKETS, Floats, Ints, bootstraps, false_discovery_rate, halves

WITHOUT_CHANCE = (PROFILES, LOCAL, LINKS)
SMALLEST = 3  # neurons of a cluster that is tested
_LEAST_AGREEMENT = 0.4  # of a candidate that replication chooses
_NULL_SPLITS = 3  # that are compared with the null model
_NULL_NETWORKS = 3  # that are clustered, of each kind
_LARGE = 1_000_000  # links, from which on a fifth of the null networks is drawn, as of profiles, which take longer


@dataclass(frozen=True)
class Trust:
    """Trust of the sets of a clustering; NaN where it is not known.

    Attributes:
        rows: Which of the given sets these are: the chosen ones (n_sets,).
        sets: Their columns of the dataset `clusters`, each (n_sets,).
        confidence: Share of the bootstraps in which a neuron is in the best match of a set (n_sets, n_neurons), of its members.
        tested: Which sets were tested (n_sets,).
        clustering: Columns of the dataset `clusterings`.
        half: Buckets of one half of the groups (n_buckets,).
        half_sets: Best match of every set in the result of that half (n_sets, n_neurons).
    """

    rows: Ints
    sets: dict[str, Floats]
    confidence: Matrix
    tested: NDArray[np.bool_]
    clustering: dict[str, float]
    half: NDArray[np.bool_]
    half_sets: Matrix


def measure(
    edges: Edges,
    sets: Matrix,
    labels: Ints,
    options: ClusterOptions,
    *,
    own: Ints,
    is_choice: bool,
    overlaps: bool,
    tell: Progress,
) -> Trust:
    """Measure the trust of sets of neurons.

    Args:
        edges: Statistics by bucket of groups, of two buckets or more.
        sets: Clusters at all levels, or candidates (n_sets, n_neurons of the edges).
        labels: Leaf module of every neuron, -1 where it is in none (n_neurons,).
        options: Method and its options; numbers of seeds, resamples, splits and draws.
        own: Rows of the sets that the method chooses by itself.
        is_choice: Replication chooses the circuits from the sets, in other splits than those that measure.
        overlaps: Chosen circuits may share neurons.
        tell: Called with the name of the step, the number done and the total.

    Returns:
        The trust of the sets, or of the chosen ones.
    """
    rng = np.random.default_rng(options.seed)
    plan = _Plan(edges.buckets, options, rng)
    with runner(edges, options, tell) as run:
        found = run.results(plan.runs, f"resampling {options.title}")
        pairs = [(found[one], found[other]) for one, other in plan.pairs]
        choosing, measuring = pairs[::2], pairs[1::2]
        rows = own
        if is_choice and edges.buckets >= FEWEST_BUCKETS:
            rows = chosen(sets, agreement(sets, choosing), _LEAST_AGREEMENT, overlaps=overlaps)
        sets = sets[rows].tocsr()
        columns = _found_again(sets, [found[place] for place in plan.bootstraps], measuring, rng)
        columns["seed_support"] = _mean([best_match(sets, found[place].sets)[1] for place in plan.seeds], sets.shape[0])
        tested = is_tested(sets, labels)
        columns |= _against_null(run, edges, sets, tested, plan.halves[1::2], measuring, options)
        confidence = _confidence(sets, [found[place] for place in plan.bootstraps])
    columns = {name: np.where(tested, values, np.nan) for name, values in columns.items()}
    clustering = _of_clustering(plan, found, pairs, labels, has_chance=options.method not in WITHOUT_CHANCE)
    clustering |= _held_out(edges, plan.halves[1::2], measuring, options, rng)
    return Trust(
        rows, columns, confidence, tested, clustering, plan.halves[1][0] > 0, matched(sets, measuring[0][0].sets)
    )


def is_tested(sets: Matrix, labels: Ints) -> NDArray[np.bool_]:
    """Return True for sets whose trust is measured: of three neurons or more, and no more than half of those in a module.

    Args:
        sets: Sets (n_sets, n_neurons).
        labels: Leaf module of every neuron, -1 where it is in none (n_neurons,).

    Returns:
        One value per set. A set of most neurons is found again whatever the links are.
    """
    clustered = max(int((labels >= 0).sum()), len(np.unique(sets.indices)))
    found: NDArray[np.bool_] = (sizes(sets) >= SMALLEST) & (2 * sizes(sets) <= clustered)
    return found


class _Plan:
    """Runs that are to be made, by what each is for."""

    def __init__(self, buckets: int, options: ClusterOptions, rng: np.random.Generator) -> None:
        whole = np.ones(buckets)
        self.halves = halves(buckets, options.splits, rng)
        self.runs: list[Run] = []
        self._seed = options.seed
        # A method without chance gives the same for every seed.
        self.seeds = self._add([whole] * (min(1, options.seeds) if options.method in WITHOUT_CHANCE else options.seeds))
        self.bootstraps = self._add([*bootstraps(buckets, options.resamples, rng)])
        both = self._add([half for pair in self.halves for half in pair])
        self.pairs = [(both[place], both[place + 1]) for place in range(0, len(both), 2)]
        self.swapped = self._add([whole] * _NULL_NETWORKS, SWAPPED)
        self.permuted = self._add([whole] * _NULL_NETWORKS, PERMUTED)

    def _add(self, weights: list[Floats], null: str | None = None) -> list[int]:
        places = []
        for one in weights:
            places.append(len(self.runs))
            # Far from the seeds of the trials of one run.
            self.runs.append(Run(one, (self._seed + 1009 * (len(self.runs) + 1)) % 2**31, null))
        return places


def _mean(values: list[Floats], count: int) -> Floats:
    found: Floats = np.mean(values, axis=0) if values else np.full(count, np.nan)
    return found


def agreement(sets: Matrix, pairs: list[tuple[Result, Result]]) -> Floats:
    """Return the mean Jaccard index of the best matches of every set in two halves (n_sets,).

    Where a match is less alike to the set than to the other match, that counts: both could be another circuit that is there in both halves.
    """
    found = []
    for one, other in pairs:
        (first, near), (second, also_near) = best_match(sets, one.sets), best_match(sets, other.sets)
        both = jaccard_of_rows(one.sets, first, other.sets, second)
        found.append(np.minimum(both, np.minimum(near, also_near)))
    return _mean(found, sets.shape[0])


def _found_again(
    sets: Matrix, resampled: list[Result], pairs: list[tuple[Result, Result]], rng: np.random.Generator
) -> dict[str, Floats]:
    """Return support and half agreement, of the sets and of random ones of the same sizes."""
    control = random_sets(sets, rng)
    return {
        "support": np.median([best_match(sets, one.sets)[1] for one in resampled], axis=0),
        "control_support": np.median([best_match(control, one.sets)[1] for one in resampled], axis=0),
        "half_agreement": agreement(sets, pairs),
        "control_agreement": agreement(control, pairs),
    }


def _against_null(
    run: Runner,
    edges: Edges,
    sets: Matrix,
    tested: NDArray[np.bool_],
    splits: list[tuple[Floats, Floats]],
    pairs: list[tuple[Result, Result]],
    options: ClusterOptions,
) -> dict[str, Floats]:
    """Return p and false discovery rate of the matches of one half in the other.

    Twice the median of the p-values of several splits is one, however they depend on each other (Rueger 1978).
    """
    count = sets.shape[0]
    is_slow = len(edges.source) >= _LARGE or options.method == PROFILES
    draws = max(FEWEST_DRAWS, options.draws // 5) if is_slow else options.draws
    tests, matched = [], []
    for number, ((_, half), (one, _)) in enumerate(list(zip(splits, pairs, strict=True))[:_NULL_SPLITS]):
        match = best_match(sets, one.sets)[0]
        matched.append(match)
        tests.append(
            NullTest(half, options.seed + number, one.sets[np.maximum(match, 0)].tocsr(), draws)
            if len(one.sets.indices)
            else None
        )
    values = iter(run.p_values([test for test in tests if test is not None], f"null networks of {options.title}"))
    p = [
        np.where(match >= 0, next(values), 1.0) if test else np.ones(count)
        for test, match in zip(tests, matched, strict=True)
    ]
    joint = np.minimum(1, 2 * np.median(p, axis=0)) if len(p) > 1 else p[0]
    rates = np.full(count, np.nan)
    rates[tested] = false_discovery_rate(joint[tested])
    return {"null_p": joint, "null_fdr": rates}


def matched(sets: Matrix, others: Matrix) -> Matrix:
    """Return the best match of every set among the sets of another result; no neuron where there is none."""
    match = best_match(sets, others)[0]
    if not others.shape[0]:
        return sparse.csr_array(sets.shape)
    return others[np.maximum(match, 0)].multiply((match >= 0)[:, None]).tocsr()


def _confidence(sets: Matrix, resampled: list[Result]) -> Matrix:
    """Return the share of the bootstraps in which each member is in the best match of its set."""
    total = sets * 0.0
    for one in resampled:
        total = total + sets.multiply(matched(sets, one.sets))
    return (total / max(1, len(resampled))).tocsr()


def _of_clustering(
    plan: _Plan, found: list[Result], pairs: list[tuple[Result, Result]], labels: Ints, *, has_chance: bool
) -> dict[str, float]:
    """Return how alike the results of other seeds and of halves are, and what null networks gain."""
    # Without chance, other seeds say nothing.
    seeds = [found[place].labels for place in plan.seeds] if has_chance else []
    both = [(one.labels, other.labels) for one, other in pairs]
    with np.errstate(all="ignore"):
        return {
            "seed_ami": average([mutual_information(labels, one) for one in seeds]),
            "seed_similarity": average([element_similarity(labels, one) for one in seeds]),
            "half_ami": average([mutual_information(*pair) for pair in both]),
            "half_similarity": average([element_similarity(*pair) for pair in both]),
            "gain_swapped": average([found[place].gain for place in plan.swapped]),
            "gain_permuted": average([found[place].gain for place in plan.permuted]),
        }


def average(values: list[float]) -> float:
    """Return the mean of the values that are known; NaN where there are none."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _held_out(
    edges: Edges,
    splits: list[tuple[Floats, Floats]],
    pairs: list[tuple[Result, Result]],
    options: ClusterOptions,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return the mean scores of the clusters of one half on the links of the other."""
    scores: list[HeldOut] = []
    for (half, rest), (one, _) in zip(splits, pairs, strict=True):
        try:
            network, other = make_network(edges, options, half), make_network(edges, options, rest)
        except NothingToCluster:
            continue
        score = held_out(edges, half, network, other, one.labels, rng)
        scores += [score] if score else []
    names = {"base_auc": "base_auc", "auc": "held_out_auc", "bits": "held_out_bits"}
    return {name: average([getattr(score, key) for score in scores]) for key, name in names.items()}


def found_again(columns: dict[str, Floats]) -> Ints:
    """Return the rows of the sets that count as found again."""
    both = zip(columns["half_agreement"].tolist(), columns["null_fdr"].tolist(), strict=True)
    return np.array([row for row, (agreement, rate) in enumerate(both) if is_found_again(agreement, rate)], np.int64)
