"""Experiments on stored and on made contexts against slow, obvious counts, with an effect that was planted."""

from __future__ import annotations

import csv
import math
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from conftest import ROOT

from atlas.activations.sweeps import Family, sweep, token_family
from atlas.cli.main import main
from atlas.errors import InputError, UsageError
from atlas.stages.store.cells import Context
from atlas.stages.store.collector import VOCABULARY, Collector
from atlas.stages.store.spaces import ActivationSpace

SWITCH, GATE = 7, 8  # a token that switches unit 1 on, unless the gate is there


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweeps") / "store"
    rng = np.random.default_rng(3)
    space = ActivationSpace("m", skips_first=True, skipped_tokens=(0,))
    with Collector(folder, space=space, layers={2: 3}, thresholds={2: 0.5}) as collector:
        for number in range(200):
            ids = tuple(rng.integers(0, 10, 8).tolist())
            values = np.zeros((1, 8, 3), np.float32)
            count = ids.count(SWITCH)
            values[0, 3, 1] = rng.normal(2 * count, 0.3) if count and GATE not in ids else 0
            values[0, :, 2] = [4 + 0.1 * at if token in (3, 4) else 0 for at, token in enumerate(ids)]
            who = (("speaker", "ab"[number % 2]),) if number % 5 else ()
            collector.add(
                {2: values}, [Context(ids, f"doc {number}", source="x" if number < 90 else "y", attributes=who)]
            )
        words = {"token_id": range(10), "token": [" w0", "w1", " w2", " cat", " cats", "w5", "w6", " on", " off", "$9"]}
        collector.write(VOCABULARY.table({**words, "is_special": [None] * 10}))
    return folder


def contexts(store: Path) -> list[dict[str, Any]]:
    return pq.read_table(store / "contexts.parquet").to_pylist()


def cells(store: Path, unit: int) -> dict[tuple[int, int], float]:
    rows = [row for part in (store / "activations").iterdir() for row in pq.read_table(part).to_pylist()]
    return {(row["context_id"], row["position"]): row["value"] for row in rows if row["unit"] == unit}


def peaks(store: Path, unit: int) -> list[float]:
    found = [0.0] * len(contexts(store))
    for (context, _), value in sorted(cells(store, unit).items()):
        if abs(value) > abs(found[context]):
            found[context] = value
    return found


def check(rows: list[dict[str, Any]], groups: dict[Any, list[float]], order: list[Any]) -> None:
    assert [(row["first_group"], row["second_group"]) for row in rows] == order
    first = groups[order[0]]
    for row in rows:
        values = groups[row["first_group"], row["second_group"]]
        assert (row["row_count"], row["active_count"]) == (len(values), sum(value != 0 for value in values))
        assert row["mean"] == pytest.approx(statistics.fmean(values), abs=1e-6)
        assert row["difference"] == pytest.approx(row["mean"] - statistics.fmean(first), abs=1e-6)
        if len(values) > 1:
            half = 1.96 * statistics.stdev(values) / math.sqrt(len(values))
            assert (row["mean_low"], row["mean_high"]) == pytest.approx(
                (row["mean"] - half, row["mean"] + half), abs=1e-6
            )
        assert row["active_share_low"] <= row["active_share"] <= row["active_share_high"]


def test_a_switch_is_seen_although_contexts_without_it_are_silent(store: Path) -> None:
    family = token_family(store, [" on"])
    assert family.token_ids == (SWITCH,)
    rows = sweep(store, (2, 1), family=family).to_pylist()
    groups = defaultdict(list)
    for row, value in zip(contexts(store), peaks(store, 1), strict=True):
        groups[str(row["token_ids"].count(SWITCH)), None].append(value)
    check(rows, groups, [(str(n), None) for n in sorted(int(key) for key, _ in groups)])
    assert rows[0]["active_count"] == 0
    assert rows[1]["difference_low"] > 0.3
    assert rows[0]["difference_low"] is None


def test_two_families_interact(store: Path) -> None:
    first, second = Family("on", (SWITCH,)), Family("off", (GATE,))
    rows = sweep(store, (2, 1), family=first, other=second).to_pylist()
    groups = defaultdict(list)
    for row, value in zip(contexts(store), peaks(store, 1), strict=True):
        groups[str(row["token_ids"].count(SWITCH)), str(row["token_ids"].count(GATE))].append(value)
    check(rows, groups, sorted(groups, key=lambda key: (int(key[0]), int(key[1]))))
    by_group = {(row["first_group"], row["second_group"]): row for row in rows}
    assert by_group["1", "0"]["mean"] > 1
    assert by_group["1", "1"]["mean"] == 0


def test_each_token_of_a_family(store: Path) -> None:
    family = token_family(store, pattern=r" cats?| on")
    rows = sweep(store, (2, 2), family=family, by="token").to_pylist()
    words = {3: " cat", 4: " cats", SWITCH: " on"}
    active = cells(store, 2)
    groups = defaultdict(list)
    for row in contexts(store):
        for at, token in enumerate(row["token_ids"]):
            if at and token in words:
                groups[words[token], None].append(active.get((row["context_id"], at), 0.0))
    check(rows, groups, sorted(groups))
    assert [row["active_share"] for row in rows] == [1, 1, 0]


@pytest.mark.parametrize("attribute", ["speaker", "source", "split"])
def test_attributes(store: Path, attribute: str) -> None:
    rows = sweep(store, (2, 1), attribute=attribute).to_pylist()
    groups = defaultdict(list)
    for row, value in zip(contexts(store), peaks(store, 1), strict=True):
        groups[row.get(attribute, dict(row["attributes"]).get(attribute)), None].append(value)
    check(rows, groups, sorted(groups, key=lambda key: (key[0] is not None, key[0])))
    assert sum(row["row_count"] for row in rows) == 200
    assert len(rows) == (3 if attribute == "speaker" else 2)


def test_what_does_not_fit_is_one_line(store: Path) -> None:
    with pytest.raises(InputError, match="has no token 'on'; there is ' on'"):
        token_family(store, ["on"])
    with pytest.raises(UsageError, match="is no regular expression"):
        token_family(store, pattern="(")
    with pytest.raises(InputError, match="no token of .* matches zebra"):
        token_family(store, pattern="zebra")
    with pytest.raises(InputError, match="has no unit 9 in layer 2"):
        sweep(store, (2, 9), attribute="source")
    with pytest.raises(InputError, match="no context of .* has the attribute 'mood'"):
        sweep(store, (2, 1), attribute="mood")
    with pytest.raises(UsageError, match="over the tokens of a family, or over an attribute"):
        sweep(store, (2, 1))


@pytest.mark.slow
def test_the_command_its_table_and_its_pictures(store: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    shown = run(main, ["sweep", str(store), "L2/N1", "--tokens", " on"])
    assert shown.exit_code == 0, shown.output
    assert "difference" in shown.output
    pytest.importorskip("matplotlib")
    for name, more in (("groups", []), ("heat", ["--and-tokens", " off"]), ("tokens", ["--by", "token"])):
        picture, rows = tmp_path / f"{name}.png", tmp_path / f"{name}.csv"
        given = ["sweep", str(store), "L2/N1", "--tokens", " on", *more, "--plot", str(picture), "-o", str(rows)]
        done = run(main, given)
        assert done.exit_code == 0, done.output
        assert picture.read_bytes().startswith(b"\x89PNG")
        found = list(csv.DictReader(rows.read_text().splitlines()))
        assert {"first_group", "row_count", "mean", "mean_low"} <= set(found[0])
        before = picture.read_bytes()
        run(main, given)
        assert picture.read_bytes() == before


def test_made_contexts_are_run_through_the_model(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from atlas.activations import load_dictionary, probe
    from atlas.ids import UnitId
    from atlas.models import load_model

    model = load_model(ROOT / "build" / "demo", device="cpu")
    dictionary = load_dictionary(ROOT / "build" / "demo" / "sae")
    templates, members = ["def close({}", "class A:\n    def f({}"], ["self", "value", "x"]
    neuron = probe(model, UnitId("neuron", 1, 45), templates, members).to_pylist()
    feature = probe(model, UnitId("feature", 2, 31), templates, members, dictionary=dictionary).to_pylist()
    assert [row["first_group"] for row in neuron] == members
    for row, other in zip(neuron, feature, strict=True):
        values, codes = [], []
        for template in templates:
            ids = torch.tensor([model.tokenizer(template.replace("{}", row["first_group"]))["input_ids"]])
            with torch.no_grad():
                states = model.model(ids, output_hidden_states=True).hidden_states
                block = model.model.model.layers[1]
                kept: list[Any] = []
                hook = block.mlp.down_proj.register_forward_pre_hook(lambda _, args, kept=kept: kept.append(args[0]))
                model.model(ids)
                hook.remove()
            values.append(float(kept[0][0, -1, 45]))
            codes.append(float(dictionary.encode(states[3][0, -1][None])[0, 31]))
        assert row["mean"] == pytest.approx(statistics.fmean(values), rel=1e-4, abs=1e-5)
        assert other["mean"] == pytest.approx(statistics.fmean(codes), rel=1e-4, abs=1e-5)
        assert row["row_count"] == 2
        assert row["difference"] == pytest.approx(row["mean"] - neuron[0]["mean"], abs=1e-6)
    for unit, given, message in (
        (UnitId("neuron", 1, 45), ["no place"], "has no {}"),
        (UnitId("feature", 2, 31), ["{}"], "needs its autoencoder"),
        (UnitId("neuron", 9, 1), ["{}"], "is none of the 320 units of layer 9"),
    ):
        with pytest.raises(UsageError, match=message):
            probe(model, unit, given, members)
