"""Trained autoencoders, their reconstruction and their features against plain forward passes and products of weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from conftest import ROOT  # noqa: E402

from atlas.activations import load_dictionary, read_features, reconstruct, train_dictionary  # noqa: E402
from atlas.activations.collect import read_contexts  # noqa: E402
from atlas.activations.train import is_held_out  # noqa: E402
from atlas.errors import InputError, OutputError, UsageError  # noqa: E402
from atlas.models import TracedModel, load_model  # noqa: E402
from atlas.options import DocumentOptions, FeatureOptions, TrainOptions  # noqa: E402

DEMO = ROOT / "build" / "demo"
LAYER = 1
SMALL = {"expansion": 2, "k": 8, "batch_size": 64, "buffer": 500, "window": 32, "rate": 3e-3}


def quiet(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def model() -> TracedModel:
    return load_model(DEMO, device="cpu")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.jsonl"
    rows = [
        {"text": f"class Name{n}:\n    def get_{n}(self, value):\n        return self.items[{n}] + value * {n % 7}\n"}
        for n in range(120)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def contexts(model: TracedModel, text: Path, window: int = 32) -> list[Any]:
    from collections import Counter

    return [c for _, c in read_contexts(text, model, DocumentOptions(), window, Counter())]


def stream(model: TracedModel, ids: list[int], layer: int) -> Any:
    """Residual stream behind a block (positions, d), by a hook of torch."""
    seen = []
    handle = model.model.model.layers[layer].register_forward_hook(
        lambda _, __, out: seen.append((out[0] if isinstance(out, tuple) else out)[0])
    )
    with torch.no_grad():
        model.model(torch.tensor([ids]))
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.slow) for kind in ("relu", "topk", "batchtopk")])
def test_a_trained_autoencoder_is_read_back_and_measured(
    model: TracedModel, text: Path, tmp_path: Path, kind: str
) -> None:
    options = TrainOptions(kind=kind, epochs=4, **SMALL)
    found = train_dictionary(model, text, tmp_path / "sae", LAYER, options, batch=8, progress=quiet)
    dictionary = load_dictionary(tmp_path / "sae")
    assert (dictionary.width, dictionary.features) == (128, 256)
    assert torch.allclose(dictionary.decoder.norm(dim=1), torch.ones(256), atol=1e-5)
    # The measures, from one context at a time.
    vectors, codes = [], []
    for context in contexts(model, text):
        if is_held_out(context):
            values = stream(model, list(context.token_ids), LAYER)[1:]
            vectors.append(values)
            before = (values - dictionary.decoder_bias) @ dictionary.encoder + dictionary.encoder_bias
            mine = before.relu()
            if kind == "topk":
                mine = torch.where(mine >= mine.topk(8, dim=1).values[:, -1:], mine, 0)
            if kind == "batchtopk":
                mine = torch.where(mine > dictionary.threshold, mine, 0)
            codes.append(mine)
    x, f = torch.cat(vectors).double(), torch.cat(codes).double()
    back = f @ dictionary.decoder.double() + dictionary.decoder_bias.double()
    fvu = float(((x - back) ** 2).sum() / ((x - x.mean(0)) ** 2).sum())
    measures = found.measures
    assert found.held_out
    assert measures["token_count"] == len(x) > 100
    assert measures["l0"] == pytest.approx(float((f > 0).sum()) / len(x), rel=1e-3)
    assert measures["fvu"] == pytest.approx(fvu, rel=1e-3)
    assert measures["dead_count"] == int((f == 0).all(0).sum())
    assert fvu < 0.5  # it has learned something
    if kind != "relu":
        assert measures["l0"] == pytest.approx(8, rel=0.3)
    written = json.loads((tmp_path / "sae" / "training.json").read_text())
    assert written["measures"] == measures
    assert written["options"]["kind"] == kind
    assert sorted(path.name for path in (tmp_path / "sae").iterdir()) == [
        "cfg.json",
        "sae_weights.safetensors",
        "training.json",
    ]


def test_losses_are_those_of_the_model_with_its_stream_replaced(model: TracedModel, text: Path, tmp_path: Path) -> None:
    dictionary = load_dictionary(DEMO / "sae")
    some = contexts(model, text)[:5]
    found = reconstruct(model, dictionary, 2, [some[:2], some[2:]])
    losses: dict[str, list[float]] = {"loss": [], "loss_reconstructed": [], "loss_zero": []}
    for context in some:
        ids = torch.tensor([list(context.token_ids)])
        for name in losses:

            def replaced(_: object, __: object, out: Any, name: str = name) -> Any:
                values = (out[0] if isinstance(out, tuple) else out).clone()
                if name == "loss_zero":
                    values[:, 1:] = 0
                elif name == "loss_reconstructed":
                    values[:, 1:] = dictionary.decode(dictionary.encode(values[:, 1:]), values[:, 1:])
                return (values, *out[1:]) if isinstance(out, tuple) else values

            handle = model.model.model.layers[2].register_forward_hook(replaced)
            with torch.no_grad():
                logits = model.model(ids).logits[0, :-1]
            handle.remove()
            losses[name] += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none").tolist()
    facts = found.facts()
    for name, values in losses.items():
        assert facts[name] == pytest.approx(np.mean(values), rel=1e-4)
    expected = (np.mean(losses["loss_zero"]) - np.mean(losses["loss_reconstructed"])) / (
        np.mean(losses["loss_zero"]) - np.mean(losses["loss"])
    )
    assert facts["loss_recovered"] == pytest.approx(expected, rel=1e-3)
    assert expected > 0.5  # a reconstruction may lose less than nothing on a few tokens


class Killed(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("at", [pytest.param(3, marks=pytest.mark.slow), 40, pytest.param(75, marks=pytest.mark.slow)])
def test_a_killed_training_goes_on_with_the_same_result(
    model: TracedModel, text: Path, tmp_path: Path, at: int
) -> None:
    options = TrainOptions(epochs=2, **SMALL)
    train_dictionary(model, text, tmp_path / "whole", LAYER, options, batch=8, progress=quiet)
    steps = 0

    def killing(step: str, _: int, __: int) -> None:
        nonlocal steps
        steps += step == "training"
        if steps == at:
            raise Killed

    with pytest.raises(Killed):
        train_dictionary(model, text, tmp_path / "killed", LAYER, options, batch=8, progress=killing)
    train_dictionary(model, text, tmp_path / "killed", LAYER, options, batch=8, progress=quiet)
    for name in ("sae_weights.safetensors", "training.json", "cfg.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_other_options_do_not_go_on(model: TracedModel, text: Path, tmp_path: Path) -> None:
    def killing(step: str, done: int, __: int) -> None:
        if step == "training" and done > 20:
            raise Killed

    out = tmp_path / "sae"
    with pytest.raises(Killed):
        train_dictionary(model, text, out, LAYER, TrainOptions(**SMALL), batch=8, progress=killing)
    other = TrainOptions(**SMALL | {"k": 4})
    with pytest.raises(UsageError, match="unfinished training of another model, text or options; --fresh discards it"):
        train_dictionary(model, text, out, LAYER, other, batch=8, progress=quiet)
    (out / "training.state").write_bytes(b"\0" * 100)
    with pytest.raises(InputError, match="is damaged"):
        train_dictionary(model, text, out, LAYER, other, batch=8, progress=quiet)
    assert train_dictionary(model, text, out, LAYER, other, batch=8, fresh=True, progress=quiet).steps > 20


def test_an_edited_text_does_not_go_on(model: TracedModel, text: Path, tmp_path: Path) -> None:
    def killing(step: str, done: int, __: int) -> None:
        if step == "training" and done > 20:
            raise Killed

    mine = tmp_path / "text.jsonl"
    mine.write_bytes(text.read_bytes())
    with pytest.raises(Killed):
        train_dictionary(model, mine, tmp_path / "sae", LAYER, TrainOptions(**SMALL), batch=8, progress=killing)
    mine.write_bytes(text.read_bytes().replace(b"Name1:", b"Mane1:"))
    with pytest.raises(UsageError, match="unfinished training of another model, text or options"):
        train_dictionary(model, mine, tmp_path / "sae", LAYER, TrainOptions(**SMALL), batch=8, progress=quiet)


def test_a_finished_autoencoder_is_replaced_only_where_asked(model: TracedModel, text: Path, tmp_path: Path) -> None:
    options = TrainOptions(**SMALL)
    train_dictionary(model, text, tmp_path / "sae", LAYER, options, batch=8, progress=quiet)
    before = (tmp_path / "sae" / "sae_weights.safetensors").read_bytes()
    with pytest.raises(OutputError, match="holds a trained autoencoder; --fresh replaces it"):
        train_dictionary(
            model, text, tmp_path / "sae", LAYER, TrainOptions(**SMALL | {"k": 4}), batch=8, progress=quiet
        )
    assert (tmp_path / "sae" / "sae_weights.safetensors").read_bytes() == before


def test_more_active_features_than_there_are_is_refused(model: TracedModel, text: Path, tmp_path: Path) -> None:
    options = TrainOptions(**SMALL | {"expansion": 1, "k": model.width + 1})
    with pytest.raises(UsageError, match=f"k is {model.width + 1}, and there are {model.width} features"):
        train_dictionary(model, text, tmp_path / "sae", LAYER, options, progress=quiet)


def test_a_folder_of_something_else_is_refused(model: TracedModel, text: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match="holds other files"):
        train_dictionary(model, text, tmp_path, LAYER, progress=quiet)
    with pytest.raises(UsageError, match="layer 5 is none of the model's layers 0 to 4"):
        train_dictionary(model, text, tmp_path / "sae", 5, progress=quiet)
    with pytest.raises(InputError, match="fewer than one batch"):
        train_dictionary(model, text, tmp_path / "sae", 1, TrainOptions(batch_size=10**6, buffer=10**6), progress=quiet)
    with pytest.raises(UsageError, match="must hold a batch or more"):
        TrainOptions(buffer=100, batch_size=200)
    with pytest.raises(UsageError, match="k must be 1 or more, not 0"):
        TrainOptions(k=0)


def table(folder: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(folder / f"{name}.parquet").to_pylist()


def test_features_are_products_of_the_weights(model: TracedModel, text: Path, tmp_path: Path) -> None:
    dictionary = load_dictionary(DEMO / "sae")
    options = FeatureOptions(top_tokens=5, top_neurons=4, top_similar=3)
    found = read_features(model, dictionary, tmp_path / "features", options, text=text, batch=8, progress=quiet)
    assert (found.layer, found.features) == (2, 1024)
    tokens, neurons = table(tmp_path / "features", "feature_tokens"), table(tmp_path / "features", "feature_neurons")
    similar = table(tmp_path / "features", "similar_units")
    stats = {row["unit"]: row for row in table(tmp_path / "features", "features")}
    unembedding, gain = model.unembedding.double(), model.final_norm.weight.double()
    for unit in (0, 17, 1023):
        direction = dictionary.decoder[unit].double()
        for kind, vector in (("output", direction), ("output_folded", direction * gain)):
            logits = unembedding @ vector
            allowed = [token for token in range(model.vocabulary) if token not in model.special_tokens]
            ranked = sorted(allowed, key=lambda token: -float(logits[token]))
            for side, best in (("promotes", ranked[:5]), ("suppresses", ranked[::-1][:5])):
                mine = [
                    row
                    for row in tokens
                    if (row["unit"], row["projection_kind"], row["direction"]) == (unit, kind, side)
                ]
                assert [row["token_id"] for row in mine] == best
                for row in mine:
                    assert row["weight"] == pytest.approx(float(logits[row["token_id"]]), rel=1e-4, abs=1e-5)
                    assert row["centred_weight"] == pytest.approx(row["weight"] - float(logits.mean()), abs=1e-5)
        logits = (unembedding @ direction).numpy()
        centred = logits - logits.mean()
        assert stats[unit]["logit_std"] == pytest.approx(logits.std(), rel=1e-4)
        assert stats[unit]["logit_kurtosis"] == pytest.approx((centred**4).mean() / logits.var() ** 2, rel=1e-4)
        assert stats[unit]["logit_skew"] == pytest.approx((centred**3).mean() / logits.std() ** 3, rel=1e-3)
        for relation, layers, vector in (
            ("written_by", range(3), dictionary.encoder[:, unit]),
            ("read_by", range(3, 5), dictionary.decoder[unit]),
        ):
            cosines = {}
            for layer in layers:
                block = model.model.model.layers[layer]
                weights = (
                    block.mlp.down_proj.weight.T
                    if relation == "written_by"
                    else block.mlp.gate_proj.weight * block.post_attention_layernorm.weight
                )
                for neuron in range(320):
                    cosines[layer, neuron] = float(torch.cosine_similarity(weights[neuron], vector, 0))
            best_neurons = sorted(cosines, key=lambda key: -abs(cosines[key]))[:4]
            mine = [row for row in neurons if (row["unit"], row["relation"]) == (unit, relation)]
            assert [(row["neuron_layer"], row["neuron"]) for row in mine] == best_neurons
            assert [row["cosine"] for row in mine] == [pytest.approx(cosines[key], abs=1e-5) for key in best_neurons]
        for kind, matrix in (("decoder_cosine", dictionary.decoder), ("encoder_cosine", dictionary.encoder.T)):
            alike = torch.cosine_similarity(matrix, matrix[unit][None], 1)
            alike[unit] = -2
            expected = alike.topk(3)
            mine = [row for row in similar if (row["unit"], row["similarity_kind"]) == (unit, kind)]
            assert [row["other_unit"] for row in mine] == expected.indices.tolist()
            assert [row["similarity"] for row in mine] == pytest.approx(expected.values.tolist(), abs=1e-5)
    (row,) = table(tmp_path / "features", "reconstruction")
    assert {name: row[name] for name in found.measures} == found.measures
    assert 0 < row["fvu"] < 0.5
    assert row["l0"] == 16


def test_the_autoencoder_of_the_demo_is_the_one_that_its_figures_are_of(model: TracedModel) -> None:
    facts = json.loads((DEMO / "sae" / "training.json").read_text())
    dictionary = load_dictionary(DEMO / "sae")
    assert facts["model_fingerprint"] == model.fingerprint
    assert facts["features"] == dictionary.features == 1024
    assert sum(path.stat().st_size for path in (DEMO / "sae").iterdir()) < 2_000_000
    assert facts["measures"]["fvu"] < 0.15
    assert facts["measures"]["loss_recovered"] > 0.95
