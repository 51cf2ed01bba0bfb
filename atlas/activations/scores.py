"""Scores of explanations: does a judge who knows the explanation tell where a unit is active?

    detection    the judge sees a context, and says whether the unit is active anywhere in it
    fuzzing      the judge sees a context with marked tokens: those on which the unit is active, or as many others
    simulation   the judge says how active the unit is on every token

Examples are from the half `score` of the documents; explanations are made from the half `explain`. As many active as inactive examples
are drawn, so that 0.5 is chance. Failures of the judge are NULL and counted. Every explanation stands beside a baseline: the same
questions with the explanation of another unit.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from atlas.activations.judges import Answer, Judge, Question
from atlas.activations.score_measures import Answered, binary_measures, simulation_measures
from atlas.errors import InputError
from atlas.io.files import write_parquet
from atlas.options import DETECTION, FUZZING, SIMULATION, WHOLE, ScoreOptions
from atlas.stages import DATASETS
from atlas.stages.manifest import read_manifest, replaced_folder, write_manifest
from atlas.stages.store.backends import Cells, StoreBackend
from atlas.stages.store.cells import SPLITS, contexts_of, looked_at_cells
from atlas.stages.store.merge import require_whole
from atlas.stages.store.spaces import ActivationSpace

Progress = Callable[[str, int, int], None]
Unit = tuple[int, int]
OWN, BASELINE = "explanation", "baseline"
PROMPT_VERSION = 1  # of the questions; raised when they change


@dataclass(frozen=True)
class ScoreSummary:
    """Counts of a scoring, and the median balanced accuracy of detection of explanations and baselines."""

    units: int
    questions: int
    failures: int
    detection: float | None
    baseline: float | None


@dataclass(frozen=True)
class _Example:
    """A question, and the truth about it."""

    question: Question
    truth: tuple[float, ...]
    context: int
    stratum: str


def score_explanations(
    store: Path,
    explanations: Mapping[Unit, str],
    judge: Judge,
    out: Path,
    options: ScoreOptions | None = None,
    *,
    progress: Progress = lambda *_: None,
) -> ScoreSummary:
    """Score explanations of units, and write the scores and all answers as the stage `scores`.

    Args:
        store: Folder of the store.
        explanations: Text by layer and number.
        judge: Who answers.
        out: Folder of the stage, which is replaced.
        options: Tasks and numbers; the defaults where None.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts and medians.

    Raises:
        InputError: The store has no such unit, or has no positions or halves; or the judge failed as a whole.
        OutputError: The folder cannot be written.
    """
    options = options or ScoreOptions()
    contexts = _Contexts(store)
    units = sorted(explanations)
    scores: list[dict[str, Any]] = []
    predictions: list[dict[str, Any]] = []
    for number, unit in enumerate(units):
        # The explanation of the next unit is the baseline, so that it is one of the same style.
        other = explanations[units[(number + 1) % len(units)]] if len(units) > 1 else None
        for role, text in ((OWN, explanations[unit]), (BASELINE, other)):
            if text is not None:
                _score(contexts, unit, text, role, judge, options, scores, predictions)
        progress("scoring units", number + 1, len(units))
    with replaced_folder(out, "scores") as folder:
        for name, rows in (("explanation_scores", scores), ("predictions", predictions)):
            dataset = DATASETS[f"scores.{name}"]
            write_parquet(pa.Table.from_pylist(rows, schema=dataset.schema), dataset.path(folder))
        facts = {"judge": judge.name, "prompt_version": PROMPT_VERSION, "options": vars(options), "split": SPLITS[1]}
        write_manifest(folder, "scores", **facts, space=contexts.space.as_dict())
    medians = [_median(scores, role) for role in (OWN, BASELINE)]
    failures = sum(row["answer"] is None for row in predictions)
    return ScoreSummary(len(units), len(predictions), failures, medians[0], medians[1])


def _median(scores: Sequence[dict[str, Any]], role: str) -> float | None:
    found = [
        row["score"]
        for row in scores
        if (row["role"], row["task"], row["measure"]) == (role, DETECTION, "balanced_accuracy")
        and row["score"] is not None
    ]
    return float(np.median(found)) if found else None


class _Contexts:
    """Contexts of the half `score`, with the texts of their tokens."""

    def __init__(self, store: Path) -> None:
        require_whole(store)
        self.store = store
        self.space = ActivationSpace.of(read_manifest(store, "activations")["space"])
        if self.space.positions == WHOLE:
            raise InputError(f"{store} has one value per context and no order of tokens, so there is no text to judge")
        if not self.space.is_counted:
            raise InputError(
                f"{store} holds chosen contexts or activations alone, so it is not known where a unit is silent"
            )
        self.backend = StoreBackend(store)
        table = pq.read_table(DATASETS["activations.contexts"].path(store))
        words = pq.read_table(DATASETS["activations.vocabulary"].path(store))
        self.words = dict(zip(words["token_id"].to_pylist(), words["token"].to_pylist(), strict=True))
        self.ids = table["token_ids"].to_pylist()
        self.scored = [number for number, split in enumerate(table["split"].to_pylist()) if split == SPLITS[1]]
        if not self.scored:
            raise InputError(f"{store} has no document in the half {SPLITS[1]!r}; collect more of them")
        self.looked_at = {
            number: np.flatnonzero(
                looked_at_cells(
                    contexts_of(table.slice(number, 1)),
                    skips_first=self.space.skips_first,
                    skipped_tokens=self.space.skipped_tokens,
                )[0]
            ).tolist()
            for number in self.scored
        }

    def tokens(self, context: int) -> tuple[str, ...]:
        """Return the texts of the tokens of a context."""
        return tuple(self.words.get(token, str(token)) for token in self.ids[context])

    def values(self, unit: Unit) -> dict[int, dict[int, float]]:
        """Return the activations of a unit by context of the half and position."""
        cells: Cells | None = self.backend.load(unit)
        if cells is None:
            raise InputError(f"{self.store} has no unit {unit[1]} in layer {unit[0]}")
        scored = set(self.scored)
        found: dict[int, dict[int, float]] = {}
        for context, position, value in zip(*(part.tolist() for part in cells), strict=True):
            if context in scored:
                found.setdefault(context, {})[position] = value
        return found


def _score(
    contexts: _Contexts,
    unit: Unit,
    text: str,
    role: str,
    judge: Judge,
    options: ScoreOptions,
    scores: list[dict[str, Any]],
    predictions: list[dict[str, Any]],
) -> None:
    values = contexts.values(unit)
    # The same contexts for the explanation and its baseline.
    drawn = _drawn(contexts, unit, values, options)
    about = {"layer": unit[0], "unit": unit[1], "explanation": text, "role": role}
    for task in options.tasks:
        examples = _MAKERS[task](contexts, text, values, drawn, options)
        answers = judge.answer([example.question for example in examples])
        answered = [
            Answered(example.truth, _checked(answer, example), example.stratum)
            for example, answer in zip(examples, answers, strict=True)
        ]
        measure = simulation_measures if task == SIMULATION else binary_measures
        for found in measure(answered, options.resamples, options.seed):
            scores.append(
                about
                | {"task": task, "measure": found.measure, "score": found.score, "score_low": found.low}
                | {"score_high": found.high, "example_count": found.examples, "failure_count": found.failures}
            )
        for example, item in zip(examples, answered, strict=True):
            answer = None if item.answer is None else list(item.answer)
            facts = {"task": task, "context_id": example.context, "stratum": example.stratum}
            predictions.append(about | facts | {"truth": list(example.truth), "answer": answer})


def _checked(answer: Answer, example: _Example) -> tuple[float, ...] | None:
    """Return an answer of the right form; None for a failure."""
    if answer is None:
        return None
    values = (float(answer),) if isinstance(answer, int | float) else tuple(float(value) for value in answer)
    fits = len(values) == len(example.truth) and bool(np.isfinite(values).all())
    return values if fits else None


@dataclass(frozen=True)
class _Drawn:
    active: list[tuple[int, str]]  # context and stratum
    inactive: list[int]


def _drawn(contexts: _Contexts, unit: Unit, values: Mapping[int, Mapping[int, float]], options: ScoreOptions) -> _Drawn:
    """Draw active contexts, as many of each quarter of their strength, and inactive ones."""
    rng = random.Random(f"{options.seed} {unit}")
    order = sorted(values, key=lambda context: (-max(map(abs, values[context].values())), context))
    quarters = [part.tolist() for part in np.array_split(np.array(order, np.int64), 4)]
    wanted = min(options.examples, len(order), len(contexts.scored) - len(order))
    active: list[tuple[int, str]] = []
    left = [(f"quarter {number}", rng.sample(part, len(part))) for number, part in enumerate(quarters, 1)]
    while len(active) < wanted:
        for stratum, part in left:
            if part and len(active) < wanted:
                active.append((part.pop(), stratum))
    silent = [context for context in contexts.scored if context not in values]
    return _Drawn(active, rng.sample(silent, min(wanted, len(silent))))


def _detection(
    contexts: _Contexts, text: str, _: Mapping[int, Mapping[int, float]], drawn: _Drawn, __: ScoreOptions
) -> list[_Example]:
    found = [
        _Example(Question(DETECTION, text, contexts.tokens(context)), (1.0,), context, stratum)
        for context, stratum in drawn.active
    ]
    return found + [
        _Example(Question(DETECTION, text, contexts.tokens(context)), (0.0,), context, "inactive")
        for context in drawn.inactive
    ]


def _fuzzing(
    contexts: _Contexts, text: str, values: Mapping[int, Mapping[int, float]], drawn: _Drawn, options: ScoreOptions
) -> list[_Example]:
    """Mark the active tokens of one half of the contexts, and as many others in the other half."""
    rng = random.Random(f"{options.seed} marks")
    found: list[_Example] = []
    seen: dict[str, int] = {}
    for context, stratum in drawn.active:
        mine = values[context]
        least = options.mark_from * max(map(abs, mine.values()))
        marked = [position for position, value in mine.items() if abs(value) >= least]
        others = [position for position in contexts.looked_at[context] if position not in mine]
        # Half of each stratum is marked wrong, so that strength tells nothing.
        seen[stratum] = seen.get(stratum, 0) + 1
        is_true = seen[stratum] % 2 == 1
        if not is_true and len(others) < len(marked):
            continue  # there are not as many others
        chosen = marked if is_true else rng.sample(others, len(marked))
        question = Question(FUZZING, text, contexts.tokens(context), tuple(sorted(chosen)))
        found.append(_Example(question, (float(is_true),), context, stratum))
    return found


def _simulation(
    contexts: _Contexts, text: str, values: Mapping[int, Mapping[int, float]], drawn: _Drawn, options: ScoreOptions
) -> list[_Example]:
    """Take the strongest contexts, and random ones of all."""
    rng = random.Random(f"{options.seed} random")
    count = max(1, len(drawn.active) // 2)
    top = sorted(values, key=lambda context: (-max(map(abs, values[context].values())), context))[:count]
    rest = [context for context in contexts.scored if context not in top]
    found = []
    for stratum, some in (("top", top), ("random", rng.sample(rest, min(count, len(rest))))):
        for context in some:
            tokens = contexts.tokens(context)
            truth = tuple(values.get(context, {}).get(position, 0.0) for position in range(len(tokens)))
            found.append(_Example(Question(SIMULATION, text, tokens), truth, context, stratum))
    return found


_Maker = Callable[[_Contexts, str, Mapping[int, Mapping[int, float]], _Drawn, ScoreOptions], list[_Example]]
_MAKERS: dict[str, _Maker] = {DETECTION: _detection, FUZZING: _fuzzing, SIMULATION: _simulation}
