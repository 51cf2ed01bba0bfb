"""Profile of resolutions: what a method finds at each, and the one whose clusters are most found again in other prompts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from atlas.cluster.agreement import mutual_information
from atlas.cluster.edges import Edges
from atlas.cluster.partition import sizes
from atlas.cluster.runs import Progress, Result, Run, runner
from atlas.cluster.trust import agreement, average, is_tested
from atlas.errors import InputError
from atlas.options import ClusterOptions
from atlas.options.circuits import AGREES
from atlas.stages.resamples import halves

_SPLITS = 5  # others than those that measure trust
_SEED = 7919  # of the splits, beside that of the clustering


@dataclass(frozen=True)
class Resolution:
    """Findings of a method at one resolution.

    Attributes:
        resolution: Resolution.
        cluster_count: Number of leaf clusters of two neurons or more.
        largest_share: Share of the clustered neurons in the largest one.
        gain: Quality beyond one module, as of the clustering.
        half_ami: Adjusted mutual information of the results of two halves of the groups of prompts.
        stable_count: Neurons in clusters with a half agreement of 0.5 or more.
        is_chosen: It is that of the clustering.
    """

    resolution: float
    cluster_count: int
    largest_share: float
    gain: float
    half_ami: float
    stable_count: int
    is_chosen: bool = False


def profile(edges: Edges, options: ClusterOptions, tell: Progress) -> list[Resolution]:
    """Cluster at every resolution of `options.resolutions`, on all groups of prompts and on halves.

    Args:
        edges: Statistics by bucket of groups.
        options: Method, and its options.
        tell: Called with the name of the step, the number done and the total.

    Returns:
        One row per resolution, in order. Chosen is the one with most neurons in clusters that are found again, of equal ones that whose
        halves agree most.

    Raises:
        InputError: There is only one group of prompts.
    """
    if edges.group_total < 2 or edges.buckets < 2:
        raise InputError(
            "resolutions are compared by what is found again in other prompts, which needs two groups of prompts or more; give one resolution"
        )
    rng = np.random.default_rng(options.seed + _SEED)
    splits = halves(edges.buckets, _SPLITS, rng)
    weights = [np.ones(edges.buckets), *(half for pair in splits for half in pair)]
    found = []
    for number, resolution in enumerate(options.resolutions):
        with runner(edges, replace(options, resolution=resolution), lambda *_: None) as run:
            runs = [Run(one, options.seed + 101 * place) for place, one in enumerate(weights)]
            tell(f"resolutions of {options.title}", number, len(options.resolutions))
            found.append(_row(resolution, run.results(runs, "")))
    best = max(range(len(found)), key=lambda row: (found[row].stable_count, np.nan_to_num(found[row].half_ami)))
    return [replace(one, is_chosen=row == best) for row, one in enumerate(found)]


def _row(resolution: float, results: list[Result]) -> Resolution:
    whole, of_halves = results[0], results[1:]
    pairs = list(zip(of_halves[::2], of_halves[1::2], strict=True))
    counts = np.bincount(whole.labels[whole.labels >= 0])
    again = np.zeros(whole.sets.shape[0], np.bool_)
    if pairs:
        again = is_tested(whole.sets, whole.labels) & (agreement(whole.sets, pairs) >= AGREES)
    return Resolution(
        resolution,
        int((counts > 1).sum()),
        float(counts.max(initial=0) / max(1, counts.sum())),
        whole.gain,
        average([mutual_information(one.labels, other.labels) for one, other in pairs]),
        len(np.unique(whole.sets[np.flatnonzero(again)].indices)) if sizes(whole.sets).size else 0,
    )
