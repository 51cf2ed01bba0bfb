"""Replication of anchored circuits in halves and bootstraps of the groups of prompts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from atlas.circuits.anchored import SIZES, Anchors
from atlas.stages.resamples import FEWEST_BUCKETS, Bools, Floats, Ints, bootstraps, false_discovery_rate, halves

SPLITS = 10  # into halves: one of two chooses the size, the other measures
DRAWS = 200  # sets of other anchors, per split that measures
FEWEST_OTHERS = 5  # anchors, below which those are too few to compare with


@dataclass(frozen=True)
class Replication:
    """Circuits of anchors, and how surely they are found again; NaN where there are too few groups or anchors.

    Attributes:
        chosen: True for the pairs of an anchor and one of its neurons (n_pairs,).
        scores: Scores of all pairs (n_pairs,).
        confidence: Share of the bootstraps in which the pair is chosen (n_pairs,).
        support: Median Jaccard index of the circuit and its bootstraps (n_anchors,).
        half_agreement: Mean Jaccard index of the circuits of two halves (n_anchors,).
        control_agreement: The same of the circuit of another anchor in the other half (n_anchors,).
        null_p: Share of other anchors whose circuit agrees as well (n_anchors,).
        null_fdr: False discovery rate at this p (Benjamini & Hochberg 1995), over the anchors of one kind (n_anchors,).
    """

    chosen: Bools
    scores: Floats
    confidence: Floats
    support: Floats
    half_agreement: Floats
    control_agreement: Floats
    null_p: Floats
    null_fdr: Floats


def replicate(
    anchors: Anchors, buckets: int, *, size: int | None, resamples: int, rng: np.random.Generator
) -> Replication:
    """Choose the circuits of anchors, and measure how surely they are found again.

    The size of a circuit is the one of `SIZES` whose circuits of two halves agree best, in half of the splits; agreement is
    measured in the other splits, which did not choose.

    Args:
        anchors: Anchors of one kind.
        buckets: Number of buckets of groups.
        size: Number of neurons of every circuit; chosen by replication where None.
        resamples: Number of bootstraps.
        rng: Generator of the resamples.

    Returns:
        The circuits, with their trust.
    """
    count = len(anchors.tokens)
    unknown = np.full(count, np.nan)
    scores = anchors.scores(np.ones(buckets))
    if buckets < 2:
        sizes = np.full(count, size or SIZES[1])
        chosen = anchors.best(scores, sizes)
        return Replication(chosen, scores, np.full(len(scores), np.nan), *[unknown] * 5)
    splits = _halves(anchors, buckets, rng)
    sizes = np.full(count, size or SIZES[1])
    if size is None and buckets >= FEWEST_BUCKETS:
        sizes = _sizes(anchors, splits[::2])
    chosen = anchors.best(scores, sizes)
    measured = [(anchors.best(one, sizes), anchors.best(other, sizes)) for one, other in splits[1::2]]
    agreement = np.mean([anchors.jaccard(one, other) for one, other in measured], axis=0)
    control, p = _against_others(anchors, measured, agreement, rng)
    found, jaccards = np.zeros(len(scores)), []
    for weights in bootstraps(buckets, resamples, rng):
        again = anchors.best(anchors.scores(weights), sizes)
        found += again
        jaccards.append(anchors.jaccard(chosen, again))
    support = np.median(jaccards, axis=0) if jaccards else unknown
    confidence = found / resamples if resamples else np.full(len(scores), np.nan)
    return Replication(chosen, scores, confidence, support, agreement, control, p, false_discovery_rate(p))


def _halves(anchors: Anchors, buckets: int, rng: np.random.Generator) -> list[tuple[Floats, Floats]]:
    """Return the scores in both halves of every split."""
    return [(anchors.scores(one), anchors.scores(other)) for one, other in halves(buckets, SPLITS, rng)]


def _sizes(anchors: Anchors, halves: list[tuple[Floats, Floats]]) -> Ints:
    """Return the size of every circuit at which two halves agree best; the larger one where two do (n_anchors,)."""
    count = len(anchors.tokens)
    agreement = []
    for size in SIZES:
        sizes = np.full(count, size)
        pairs = [(anchors.best(one, sizes), anchors.best(other, sizes)) for one, other in halves]
        agreement.append(np.mean([anchors.jaccard(one, other) for one, other in pairs], axis=0))
    best: Ints = np.argmax(np.array(agreement)[::-1], axis=0)
    return np.array(SIZES[::-1])[best]


def _against_others(
    anchors: Anchors, measured: list[tuple[Bools, Bools]], agreement: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the mean agreement with the circuits of other anchors, and the share of them that agree as well as its own."""
    count = len(anchors.tokens)
    if count < FEWEST_OTHERS:
        return np.full(count, np.nan), np.full(count, np.nan)
    total, as_well, draws = np.zeros(count), np.zeros(count), 0
    for one, other in measured:
        for _ in range(DRAWS):
            others = (np.arange(count) + rng.integers(1, count, count)) % count
            found = anchors.against_others(one, other, others)
            total += found
            as_well += found >= agreement
            draws += 1
    return total / draws, (1 + as_well) / (1 + draws)
