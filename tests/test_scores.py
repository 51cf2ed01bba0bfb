"""Scores of explanations with scripted judges: one who knows, one who guesses, one who fails."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from atlas.activations.judges import CommandJudge, Question
from atlas.activations.score_measures import Answered, binary_measures, simulation_measures
from atlas.activations.scores import score_explanations
from atlas.cli.main import main
from atlas.errors import InputError, UsageError
from atlas.options import ScoreOptions
from atlas.stages.store.cells import Context
from atlas.stages.store.collector import VOCABULARY, Collector
from atlas.stages.store.spaces import ActivationSpace

WORDS = ["<s>", "cat", "dog", "the", "a", "on", "mat", "sat"]
OPTIONS = ScoreOptions(examples=40, resamples=100)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unit 0 is active on cats, unit 1 on dogs."""
    folder = tmp_path_factory.mktemp("scores") / "store"
    rng = np.random.default_rng(0)
    with Collector(folder, space=ActivationSpace("m", skips_first=True), layers={1: 2}) as collector:
        for number in range(300):
            ids = [0, *rng.integers(3, 8, 9).tolist()]
            for unit, chance in ((0, 0.4), (1, 0.3)):
                if rng.random() < chance:
                    ids[int(rng.integers(1, 10))] = unit + 1
            values = np.stack([[(2 + 0.01 * number) * (token == unit + 1) for token in ids] for unit in (0, 1)], 1)
            collector.add({1: values[None].astype(np.float32)}, [Context(tuple(ids), f"doc {number}")])
        collector.write(VOCABULARY.table({"token_id": range(8), "token": WORDS, "is_special": [None] * 8}))
    return folder


EXPLANATIONS = {(1, 0): "cat", (1, 1): "dog"}


class Knowing:
    """Looks for the word of the explanation."""

    name = "scripted 1"

    def __init__(self) -> None:
        self.asked: list[Question] = []

    def answer(self, questions: Sequence[Question]) -> list[Any]:
        self.asked += questions
        found: list[Any] = []
        for question in questions:
            places = [at for at, token in enumerate(question.tokens) if token == question.explanation]
            if question.task == "detection":
                found.append(0.9 if places else 0.2)
            elif question.task == "fuzzing":
                found.append(0.8 if set(question.marked) <= set(places) else 0.1)
            else:
                found.append([10.0 * (at in places) for at in range(len(question.tokens))])
        return found


def table(folder: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(folder / f"{name}.parquet").to_pylist()


def score(rows: list[dict[str, Any]], unit: int, role: str, task: str, measure: str) -> dict[str, Any]:
    (found,) = [
        row for row in rows if (row["unit"], row["role"], row["task"], row["measure"]) == (unit, role, task, measure)
    ]
    return found


def test_a_judge_who_knows_is_right_and_the_baseline_is_chance(store: Path, tmp_path: Path) -> None:
    judge = Knowing()
    summary = score_explanations(store, EXPLANATIONS, judge, tmp_path / "scores", OPTIONS)
    rows = table(tmp_path / "scores", "explanation_scores")
    for unit in (0, 1):
        for task, measure in (
            ("detection", "balanced_accuracy"),
            ("detection", "auroc"),
            ("fuzzing", "balanced_accuracy"),
        ):
            assert score(rows, unit, "explanation", task, measure)["score"] == 1
        assert score(rows, unit, "explanation", "simulation", "correlation top and random")["score"] > 0.95
        assert score(rows, unit, "baseline", "detection", "balanced_accuracy")["score"] < 0.75
        assert score(rows, unit, "explanation", "detection", "recall quarter 4")["score"] == 1
    assert (summary.detection, summary.failures) == (1, 0)
    assert summary.baseline is not None
    assert summary.baseline < 0.75
    manifest = json.loads((tmp_path / "scores" / "manifest.json").read_text())
    assert (manifest["judge"], manifest["split"]) == ("scripted 1", "score")
    # Every example is of the other half of the documents than explanations, and both classes are alike in number.
    splits = {row["context_id"]: row["split"] for row in pq.read_table(store / "contexts.parquet").to_pylist()}
    answers = table(tmp_path / "scores", "predictions")
    assert {splits[row["context_id"]] for row in answers} == {"score"}
    mine = [
        row["truth"][0] for row in answers if (row["unit"], row["role"], row["task"]) == (0, "explanation", "detection")
    ]
    assert mine.count(1.0) == mine.count(0.0) == 40
    assert len(answers) == len(judge.asked)
    # The same seed asks the same questions.
    again = Knowing()
    score_explanations(store, EXPLANATIONS, again, tmp_path / "again", OPTIONS)
    assert again.asked == judge.asked


def test_marks_are_the_active_tokens_or_as_many_others(store: Path, tmp_path: Path) -> None:
    judge = Knowing()
    score_explanations(
        store, {(1, 0): "cat"}, judge, tmp_path / "scores", ScoreOptions(tasks=("fuzzing",), examples=30)
    )
    answers = table(tmp_path / "scores", "predictions")
    for question, row in zip(judge.asked, answers, strict=True):
        active = [at for at, token in enumerate(question.tokens) if token == "cat"]
        if row["truth"] == [1.0]:
            assert list(question.marked) == active
        else:
            assert not set(question.marked) & set(active)
            assert len(question.marked) == len(active)
            assert 0 not in question.marked  # the first token was not looked at
    # Half of every stratum, so that the strength of an activation does not tell.
    for stratum in {row["stratum"] for row in answers}:
        truths = [row["truth"][0] for row in answers if row["stratum"] == stratum]
        assert abs(truths.count(1.0) - truths.count(0.0)) <= 1 < len(truths)


class Failing(Knowing):
    """Answers every third question only, and simulates too few tokens."""

    def answer(self, questions: Sequence[Question]) -> list[Any]:
        found = super().answer(questions)
        return [
            (value[:-1] if isinstance(value, list) else value) if number % 3 == 0 else None
            for number, value in enumerate(found)
        ]


def test_failures_are_null_and_counted_and_earn_nothing(store: Path, tmp_path: Path) -> None:
    summary = score_explanations(store, {(1, 0): "cat"}, Failing(), tmp_path / "scores", OPTIONS)
    rows = table(tmp_path / "scores", "explanation_scores")
    found = score(rows, 0, "explanation", "detection", "balanced_accuracy")
    assert found["score"] == 1
    assert found["example_count"] == 27
    assert found["failure_count"] == 53
    simulated = score(rows, 0, "explanation", "simulation", "correlation top")
    assert simulated["score"] is simulated["score_low"] is None
    assert simulated["example_count"] == 0
    answers = table(tmp_path / "scores", "predictions")
    assert summary.failures == sum(row["answer"] is None for row in answers)


def test_measures_against_their_definitions() -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 60)
    given = np.round(np.clip(0.3 * truth + rng.random(60) * 0.7, 0, 1), 1)
    answers = [
        Answered((float(t),), (float(g),), "quarter 1" if t else "inactive") for t, g in zip(truth, given, strict=True)
    ]
    found = {item.measure: item for item in binary_measures(answers, 200, 1)}
    said = given >= 0.5
    tp, tn = int((said & (truth == 1)).sum()), int((~said & (truth == 0)).sum())
    positives, negatives = int(truth.sum()), int((truth == 0).sum())
    assert found["balanced_accuracy"].score == pytest.approx((tp / positives + tn / negatives) / 2)
    assert found["accuracy"].score == pytest.approx((tp + tn) / 60)
    assert found["precision"].score == pytest.approx(tp / said.sum())
    assert found["f1"].score == pytest.approx(2 * tp / (said.sum() + positives))
    pairs = [(1 if a > b else 0.5 if a == b else 0) for a in given[truth == 1] for b in given[truth == 0]]
    assert found["auroc"].score == pytest.approx(sum(pairs) / len(pairs))
    assert found["recall quarter 1"].score == pytest.approx(tp / positives)
    for item in found.values():
        assert item.low <= item.score <= item.high
    a, b = rng.normal(0, 1, 30), rng.normal(0, 1, 30)
    items = [Answered(tuple(a[n : n + 10]), tuple(b[n : n + 10]), "top" if n else "random") for n in (0, 10, 20)]
    simulated = {item.measure: item.score for item in simulation_measures(items, 10, 1)}
    assert simulated["correlation top and random"] == pytest.approx(np.corrcoef(a, b)[0, 1])
    slope, shift = np.polyfit(b, a, 1)
    left = ((a - slope * b - shift) ** 2).sum() / ((a - a.mean()) ** 2).sum()
    assert simulated["explained_variance top and random"] == pytest.approx(1 - left)
    assert simulated["correlation random"] == pytest.approx(np.corrcoef(a[:10], b[:10])[0, 1])
    nothing = {item.measure: item.score for item in binary_measures([], 10, 1)}
    assert set(nothing.values()) == {None}
    assert not any(math.isnan(value) for value in simulated.values() if value is not None)


def test_a_command_judges(store: Path, tmp_path: Path) -> None:
    script = tmp_path / "judge.py"
    script.write_text(
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    q = json.loads(line)\n"
        "    print(json.dumps(q['explanation'] in q['tokens']) if len(q['tokens']) else 'no idea')\n"
    )
    labels = tmp_path / "labels.jsonl"
    labels.write_text(
        "".join(json.dumps({"layer": 1, "neuron": n, "label": text}) + "\n" for n, text in ((0, "cat"), (1, "dog")))
    )
    done = CliRunner().invoke(
        main,
        [
            "score",
            str(store),
            str(labels),
            "-o",
            str(tmp_path / "scores"),
            "--judge",
            f"{sys.executable} {script}",
            "--task",
            "detection",
        ],
    )
    assert done.exit_code == 0, done.output
    assert "balanced accuracy of detection: median 1.000" in done.output
    for command, said in (
        (f"{sys.executable} -c 'raise SystemExit(3)'", "failed"),
        (f"{sys.executable} -c 'print(1)'", "gave 1 answers to 2 questions"),
        ("/no/such/judge", "cannot be run"),
        # One that never stops is stopped behind the last answer that is needed.
        ("yes 0.5", "gave more answers than 2 questions"),
        (f"{sys.executable} -c 'print(\"x\" * 5_000_000)'", "gave more answers"),
    ):
        with pytest.raises(InputError, match=said):
            CommandJudge(command).answer([Question("detection", "x", ("a",))] * 2)
    assert CommandJudge(f"{sys.executable} -c \"print('no'); print('[1, 2]'); print('null')\"").answer(
        [Question("detection", "x", ("a",))] * 3
    ) == [None, [1.0, 2.0], None]


def test_what_cannot_be_scored_is_one_line(store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no unit 9 in layer 1"):
        score_explanations(store, {(1, 9): "x"}, Knowing(), tmp_path / "scores")
    assert not (tmp_path / "scores").exists()
    with pytest.raises(UsageError, match="task 'intruder' is none"):
        ScoreOptions(tasks=("intruder",))
