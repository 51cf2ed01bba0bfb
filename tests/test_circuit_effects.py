"""Causal effects of circuits against plain hooks of transformers, on prompts that the circuits were not found on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from conftest import ROOT  # noqa: E402

from atlas.circuits.cells import read_observations, read_places  # noqa: E402
from atlas.circuits.effects import _Bench, circuit_effects  # noqa: E402
from atlas.cli.main import main  # noqa: E402
from atlas.errors import InputError, UsageError  # noqa: E402
from atlas.ids import INDEX_BITS, MAX_INDEX, NeuronId  # noqa: E402
from atlas.models import TracedModel, load_model  # noqa: E402
from atlas.options import VerifyOptions  # noqa: E402

MODEL = ROOT / "build" / "demo"
PROMPTS = MODEL / "prompts.jsonl"


@pytest.fixture(scope="module")
def model() -> TracedModel:
    return load_model(MODEL, device="cpu")


@pytest.fixture(scope="module")
def stages(demo: Path) -> Path:
    return demo / "out" / "demo.stages"


@pytest.fixture(scope="module")
def bench(model: TracedModel, stages: Path) -> _Bench:
    texts = [json.loads(line)["text"] for line in PROMPTS.read_text().splitlines()]
    ids = {row: tuple(model.tokenizer(text)["input_ids"]) for row, text in enumerate(texts)}
    options = VerifyOptions(mean_prompts=12, prompts=6)
    return _Bench(model, ids, read_places(stages / "stats"), read_observations(stages / "stats"), options)


def test_circuits_are_tested_on_other_groups_than_they_are_found_on(bench: _Bench, stages: Path) -> None:
    rows = pq.read_table(stages / "stats" / "graphs.parquet").to_pylist()
    group = {row["corpus_index"]: row["group_id"] for row in rows}
    tested = {group[prompt] for prompt in bench.test_prompts.tolist()}
    finding = {group[prompt] for prompt in group if prompt not in set(bench.test_prompts.tolist())}
    assert not tested & finding
    assert len(bench.test_prompts) > 20


def test_the_divergence_is_that_of_plain_hooks(bench: _Bench, model: TracedModel) -> None:
    finding = [p for p in sorted(set(bench.places.prompt.tolist())) if p not in set(bench.test_prompts.tolist())][:12]
    layers = model.model.model.layers
    sums = torch.zeros(len(layers), 2, model.neurons, dtype=torch.float64)
    counts = [0, 0]
    for prompt in finding:
        kept: dict[int, Any] = {}
        hooks = [
            layer.mlp.down_proj.register_forward_pre_hook(lambda _, args, n=n, kept=kept: kept.update({n: args[0][0]}))
            for n, layer in enumerate(layers)
        ]
        with torch.no_grad():
            model.model(torch.tensor([bench.ids[prompt]]))
        for hook in hooks:
            hook.remove()
        for at in range(len(bench.ids[prompt])):
            counts[min(at, 1)] += 1
            for n in range(len(layers)):
                sums[n, min(at, 1)] += kept[n][at].double()
    means = sums / torch.tensor(counts)[None, :, None]
    torch.testing.assert_close(bench.means, means, rtol=1e-5, atol=1e-6)
    cut_ones = [*((0, number) for number in range(0, 320, 8)), (3, 7), (4, 45)]
    neurons = np.array([NeuronId(*one).packed for one in cut_ones])
    prompts = bench.test_prompts[:7]
    total = 0.0
    for prompt in prompts.tolist():
        ids = torch.tensor([bench.ids[prompt]])

        def cut(_: object, args: tuple[Any, ...], n: int) -> tuple[Any]:
            values = args[0].clone()
            for packed in neurons.tolist():
                if packed >> INDEX_BITS == n:
                    for at in range(values.shape[1]):
                        values[0, at, packed & MAX_INDEX] = means[n, min(at, 1), packed & MAX_INDEX]
            return (values,)

        with torch.no_grad():
            clean = torch.log_softmax(model.model(ids).logits[0, -1].double(), -1)
            hooks = [
                layer.mlp.down_proj.register_forward_pre_hook(lambda module, args, n=n: cut(module, args, n))
                for n, layer in enumerate(layers)
            ]
            without = torch.log_softmax(model.model(ids).logits[0, -1].double(), -1)
            for hook in hooks:
                hook.remove()
        total += float((clean.exp() * (clean - without)).sum())
    assert bench._divergence(neurons, prompts) == pytest.approx(total / 7, rel=1e-4)
    assert total > 0.01


def test_controls_are_alike_and_no_members(bench: _Bench) -> None:
    members = np.array([NeuronId(0, 3).packed, NeuronId(0, 200).packed, NeuronId(3, 7).packed])
    topic = np.unique(bench.places.prompt)[::2]
    controls = bench._controls(members, topic)
    assert len(controls) == 10
    for control in controls:
        assert not set(control.tolist()) & set(members.tolist())
        assert len(set(control.tolist())) == 3
        assert Counter((control >> INDEX_BITS).tolist()) == {0: 2, 3: 1}
    assert len({tuple(control.tolist()) for control in controls}) > 5


def test_the_demo_states_the_effects_of_its_circuits(model: TracedModel, stages: Path, tmp_path: Path) -> None:
    rows = pq.read_table(stages / "verify" / "circuit_effects.parquet").to_pylist()
    assert 1 <= len(rows) <= 4
    for row in rows:
        assert row["effect"] > 0
        assert row["control_effect"] <= row["control_effect_max"]
        assert row["is_above_controls"] == (row["effect"] > row["control_effect_max"])
        assert row["sufficiency"] <= 1
    options = VerifyOptions(most=1)
    for name in ("a", "b"):
        circuit_effects(stages / "stats", stages / "circuits", model, PROMPTS, tmp_path / name, options)
    one, other = (pq.read_table(tmp_path / name / "circuit_effects.parquet") for name in ("a", "b"))
    assert one.equals(other)


@pytest.mark.slow
def test_the_command_and_what_it_refuses(stages: Path, tmp_path: Path) -> None:
    given = ["verify", str(stages / "stats"), str(stages / "circuits"), "--model", str(MODEL), "--most", "1"]
    done = CliRunner().invoke(main, [*given, "--prompts", str(PROMPTS), "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "1 circuits cut from the model on held-out prompts" in done.output
    other = tmp_path / "other.jsonl"
    other.write_text('{"text": "def f(self):"}\n')
    wrong = CliRunner().invoke(main, [*given, "--prompts", str(other), "-o", str(tmp_path / "out")])
    assert wrong.exit_code == 1
    assert "of other prompts than these" in wrong.output
    shuffled = tmp_path / "shuffled.jsonl"
    shuffled.write_text("\n".join(reversed(PROMPTS.read_text().splitlines())))
    wrong = CliRunner().invoke(main, [*given, "--prompts", str(shuffled), "-o", str(tmp_path / "out")])
    assert "of other prompts than these" in wrong.output
    for name, value in (("prompts", 1), ("most", -1), ("controls", 0), ("seed", 1 << 40)):
        with pytest.raises(UsageError, match="verify"):
            VerifyOptions(**{name: value})


def test_statistics_of_graph_files_know_no_prompts(small_atlas: Path, model: TracedModel, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="of other prompts than these"):
        circuit_effects(small_atlas.parent / "stats", small_atlas.parent / "circuits", model, PROMPTS, tmp_path / "out")
    assert not (tmp_path / "out").exists()
