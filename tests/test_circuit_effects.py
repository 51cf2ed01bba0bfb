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

from atlas.circuits.cells import read_places  # noqa: E402
from atlas.circuits.cutting import Bench  # noqa: E402
from atlas.circuits.effects import circuit_effects  # noqa: E402
from atlas.cli.main import main  # noqa: E402
from atlas.errors import InputError, StageError, UsageError  # noqa: E402
from atlas.ids import INDEX_BITS, MAX_INDEX, NeuronId  # noqa: E402
from atlas.models import TracedModel, load_model  # noqa: E402
from atlas.options import VerifyOptions  # noqa: E402
from atlas.stages.clusters_writer import Clusters, write_clusters  # noqa: E402

MODEL = ROOT / "build" / "demo"
PROMPTS = MODEL / "prompts.jsonl"


@pytest.fixture(scope="module")
def model() -> TracedModel:
    return load_model(MODEL, device="cpu")


@pytest.fixture(scope="module")
def stages(demo: Path) -> Path:
    return demo / "out" / "demo.stages"


def _ids(model: TracedModel) -> dict[int, tuple[int, ...]]:
    texts = [json.loads(line)["text"] for line in PROMPTS.read_text().splitlines()]
    return {row: tuple(model.tokenizer(text)["input_ids"]) for row, text in enumerate(texts)}


@pytest.fixture(scope="module")
def bench(model: TracedModel, stages: Path) -> Bench:
    ids = _ids(model)
    places = read_places(stages / "stats")
    return Bench(model, ids, places, places.bucket % 2 == 0, VerifyOptions(mean_prompts=12, prompts=6))


def test_circuits_are_tested_on_other_groups_than_they_are_found_on(bench: Bench, stages: Path) -> None:
    rows = pq.read_table(stages / "stats" / "graphs.parquet").to_pylist()
    group = {row["corpus_index"]: row["group_id"] for row in rows}
    tested = {group[prompt] for prompt in bench.test_prompts.tolist()}
    finding = {group[prompt] for prompt in group if prompt not in set(bench.test_prompts.tolist())}
    assert not tested & finding
    assert len(bench.test_prompts) > 20


def test_the_divergence_is_that_of_plain_hooks(bench: Bench, model: TracedModel) -> None:
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


def test_controls_are_alike_and_no_members(bench: Bench) -> None:
    members = np.array([NeuronId(0, 3).packed, NeuronId(0, 200).packed, NeuronId(3, 7).packed])
    topic = np.unique(bench.places.prompt)[::2]
    controls = bench._controls(members, topic)
    assert len(controls) == 10
    for control in controls:
        assert not set(control.tolist()) & set(members.tolist())
        assert len(set(control.tolist())) == 3
        assert Counter((control >> INDEX_BITS).tolist()) == {0: 2, 3: 1}
    assert len({tuple(control.tolist()) for control in controls}) > 5


def write_clustering(folder: Path, half: dict[int, bool], members: dict[int, list[NeuronId]], again: list[int]) -> None:
    """Clusters of some neurons, those `again` found again, each half the same."""
    neurons = np.array(sorted(one.packed for ones in members.values() for one in ones))
    of = {one.packed: number for number, ones in members.items() for one in ones}
    numbers = sorted(members)
    agreement = [0.8 if number in again else 0.3 for number in numbers]
    found = Clusters(
        neurons,
        [(of[packed],) for packed in neurons.tolist()],
        [None] * len(neurons),
        trust={"half_agreement": agreement, "null_fdr": [0.01] * len(numbers)},
        half_members={"neuron": neurons.tolist(), "path": [(of[packed],) for packed in neurons.tolist()]},
        half_groups=half,
    )
    write_clusters(folder, found, {"name": "made", "method": "made", "options": "{}"}, {})


def test_clusters_are_cut_where_they_act(model: TracedModel, stages: Path, tmp_path: Path) -> None:
    places = read_places(stages / "stats")
    # A selection of the groups, of which every other one finds; groups that are in neither half test, too.
    half = {group: group % 2 == 0 for group in np.unique(places.group).tolist()[:-3]}
    finds = np.isin(places.group, [group for group, found in half.items() if found])
    is_neuron = places.kind == "neuron"
    neurons, counts = np.unique(places.item[is_neuron], return_counts=True)
    order = np.argsort(np.abs(counts - 30), kind="stable")[:8]
    chosen = [NeuronId(int(one) >> INDEX_BITS, int(one) & MAX_INDEX) for one in neurons[order]]
    write_clustering(tmp_path / "clusters", half, {1: chosen[:5], 2: chosen[5:]}, again=[1])
    options = VerifyOptions(controls=2, prompts=100, mean_prompts=12)
    found = circuit_effects(stages / "stats", [tmp_path / "clusters"], model, PROMPTS, tmp_path / "out", options)
    assert (found.circuits, found.untested) == (1, 0)
    row = pq.read_table(tmp_path / "out" / "circuit_effects.parquet").to_pylist()[0]
    assert (row["circuit_id"], row["clustering"], row["tested_count"]) == ("1", "made", 5)
    mine = {one.packed for one in chosen[:5]}
    tested = sorted(set(places.prompt[~finds].tolist()))
    active = {prompt: len(mine & set(places.item[is_neuron & (places.prompt == prompt)].tolist())) for prompt in tested}
    acting = [prompt for prompt, count in active.items() if count >= 2]
    assert row["topic_prompt_count"] == len(acting)
    assert row["other_prompt_count"] == len(tested) - len(acting)
    bench = Bench(model, _ids(model), places, finds, options)
    packed = np.array(sorted(mine))
    assert row["effect"] == pytest.approx(bench._divergence(packed, np.array(acting)), rel=1e-6)
    write_clustering(tmp_path / "other", {**half, 12345: True}, {1: chosen}, again=[1])
    with pytest.raises(InputError, match="of other statistics"):
        circuit_effects(stages / "stats", [tmp_path / "other"], model, PROMPTS, tmp_path / "out", options)
    twice = [tmp_path / "clusters", tmp_path / "clusters"]
    with pytest.raises(UsageError, match="two clusterings called 'made'"):
        circuit_effects(stages / "stats", twice, model, PROMPTS, tmp_path / "out", options)
    with pytest.raises(StageError, match="circuits"):
        circuit_effects(stages / "stats", [stages / "stats"], model, PROMPTS, tmp_path / "out", options)


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
        circuit_effects(stages / "stats", [stages / "circuits"], model, PROMPTS, tmp_path / name, options)
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
        circuit_effects(
            small_atlas.parent / "stats", [small_atlas.parent / "circuits"], model, PROMPTS, tmp_path / "out"
        )
    assert not (tmp_path / "out").exists()
