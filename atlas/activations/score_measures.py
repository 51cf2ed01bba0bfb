"""Measures of answers against the truth, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """A measure, its 95 % interval over resampled examples, and the numbers of examples and failures."""

    measure: str
    score: float | None
    low: float | None
    high: float | None
    examples: int
    failures: int


@dataclass(frozen=True)
class Answered:
    """An example with its truth and the answer of the judge: one value, or one per token; None for a failure."""

    truth: tuple[float, ...]
    answer: tuple[float, ...] | None
    stratum: str


def binary_measures(answers: Sequence[Answered], resamples: int, seed: int) -> list[Measured]:
    """Measure yes-or-no answers: an answer of 0.5 or more is yes. Failures are in no measure, and are counted.

    Args:
        answers: Examples of both classes.
        resamples: Number of bootstrap samples.
        seed: Seed of the bootstrap.

    Returns:
        Balanced accuracy ((TPR + TNR) / 2; 0.5 is chance), accuracy, precision, F1, AUROC, and recall by stratum of active
        examples.
    """
    valid = [item for item in answers if item.answer is not None]
    failures = len(answers) - len(valid)
    truth = np.array([item.truth[0] for item in valid], np.float64)
    given = np.array([item.answer[0] for item in valid if item.answer is not None], np.float64)
    measures: Mapping[str, Callable[[Floats, Floats], float | None]] = {
        "balanced_accuracy": _balanced,
        "accuracy": lambda true, answer: float(((answer >= 0.5) == (true > 0)).mean()) if len(true) else None,
        "precision": lambda true, answer: _share(true > 0, answer >= 0.5),
        "f1": _f1,
        "auroc": _auroc,
    }
    found = [_resampled(name, run, truth, given, failures, resamples, seed) for name, run in measures.items()]
    strata = sorted({item.stratum for item in valid if item.truth[0] > 0})
    for stratum in strata:
        mine = np.array([item.stratum == stratum and item.truth[0] > 0 for item in valid])
        run = measures_recall
        failed = sum(item.answer is None and item.stratum == stratum and item.truth[0] > 0 for item in answers)
        found.append(_resampled(f"recall {stratum}", run, truth[mine], given[mine], failed, resamples, seed))
    return found


def measures_recall(_: Floats, answer: Floats) -> float | None:
    """Return the share of active examples that are called active."""
    return float((answer >= 0.5).mean()) if len(answer) else None


def simulation_measures(answers: Sequence[Answered], resamples: int, seed: int) -> list[Measured]:
    """Measure simulated activations over concatenated contexts, by where the contexts come from.

    Args:
        answers: Examples with one truth and one answer per token.
        resamples: Number of bootstrap samples, of whole contexts.
        seed: Seed of the bootstrap.

    Returns:
        Pearson correlation and explained variance (1 - sum (a - s)^2 / sum (a - mean)^2, the simulation scaled by least squares), of
        strong contexts, of random ones, and of both.
    """
    found = []
    for name, kept in (("top", ("top",)), ("random", ("random",)), ("top and random", ("top", "random"))):
        mine = [item for item in answers if item.stratum in kept]
        valid = [item for item in mine if item.answer is not None and len(item.answer) == len(item.truth)]
        failures = len(mine) - len(valid)
        for measure, run in (("correlation", _pearson), ("explained_variance", _explained)):
            found.append(_of_contexts(f"{measure} {name}", run, valid, failures, resamples, seed))
    return found


def _resampled(
    name: str,
    run: Callable[[Floats, Floats], float | None],
    truth: Floats,
    given: Floats,
    failures: int,
    resamples: int,
    seed: int,
) -> Measured:
    score = run(truth, given)
    rng = np.random.default_rng(seed)
    drawn = [
        run(truth[rows], given[rows])
        for rows in (rng.integers(0, len(truth), len(truth)) for _ in range(resamples if len(truth) else 0))
    ]
    return Measured(name, score, *_interval(drawn, score), len(truth), failures)


def _of_contexts(
    name: str,
    run: Callable[[Floats, Floats], float | None],
    valid: Sequence[Answered],
    failures: int,
    resamples: int,
    seed: int,
) -> Measured:
    pairs = [(np.array(item.truth), np.array(item.answer)) for item in valid]

    def score_of(rows: Sequence[int]) -> float | None:
        if not len(rows):
            return None
        return run(np.concatenate([pairs[row][0] for row in rows]), np.concatenate([pairs[row][1] for row in rows]))

    rng = np.random.default_rng(seed)
    score = score_of(range(len(pairs)))
    drawn = [score_of(rng.integers(0, len(pairs), len(pairs)).tolist()) for _ in range(resamples if pairs else 0)]
    return Measured(name, score, *_interval(drawn, score), len(pairs), failures)


def _interval(drawn: Sequence[float | None], score: float | None) -> tuple[float | None, float | None]:
    values = [value for value in drawn if value is not None]
    if score is None or len(values) < 2:
        return None, None
    low, high = np.quantile(values, [0.025, 0.975]).tolist()
    return low, high


def _share(part: NDArray[np.bool_], of: NDArray[np.bool_]) -> float | None:
    return float((part & of).sum() / of.sum()) if of.any() else None


def _balanced(truth: Floats, answer: Floats) -> float | None:
    said, active = answer >= 0.5, truth > 0
    rates = (_share(said, active), _share(~said, ~active))
    return (rates[0] + rates[1]) / 2 if rates[0] is not None and rates[1] is not None else None


def _f1(truth: Floats, answer: Floats) -> float | None:
    said, active = answer >= 0.5, truth > 0
    total = said.sum() + active.sum()
    return float(2 * (said & active).sum() / total) if total else None


def _auroc(truth: Floats, answer: Floats) -> float | None:
    """Return the probability that an active example has the larger answer; None where all answers are yes or no."""
    active = truth > 0
    if not active.any() or active.all() or set(np.unique(answer).tolist()) <= {0.0, 1.0}:
        return None
    order = np.argsort(answer, kind="stable")
    ranks = np.empty(len(answer))
    ranks[order] = np.arange(1, len(answer) + 1)
    for value in np.unique(answer):  # equal answers share their mean rank
        mine = answer == value
        ranks[mine] = ranks[mine].mean()
    count = int(active.sum())
    return float((ranks[active].sum() - count * (count + 1) / 2) / (count * (len(answer) - count)))


def _pearson(truth: Floats, answer: Floats) -> float | None:
    if len(truth) < 2 or truth.std() == 0 or answer.std() == 0:
        return None
    return float(np.corrcoef(truth, answer)[0, 1])


def _explained(truth: Floats, answer: Floats) -> float | None:
    """Return the variance that the simulation explains after a least-squares fit of scale and shift."""
    correlation = _pearson(truth, answer)
    return None if correlation is None else correlation**2
