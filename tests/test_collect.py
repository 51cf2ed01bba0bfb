"""Collected activations against the hooks of transformers, and dictionaries against a plain forward pass."""

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
from safetensors.torch import save_file  # noqa: E402

from atlas.activations.collect import collect  # noqa: E402
from atlas.activations.dictionaries import Dictionary, layer_of_dictionary, load_dictionary, place_of  # noqa: E402
from atlas.errors import InputError, SpaceMismatch, UsageError  # noqa: E402
from atlas.models import TracedModel, load_model  # noqa: E402
from atlas.options import CollectOptions, DocumentOptions  # noqa: E402

DEMO = ROOT / "build" / "demo"
WIDTH, FEATURES = 128, 300


@pytest.fixture(scope="module")
def model() -> TracedModel:
    return load_model(DEMO, device="cpu")


def progress(*_: object) -> None:
    pass


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.jsonl"
    long = "\n".join(f"    def method_{n}(self, value):\n        return self.values[{n}] + value" for n in range(12))
    rows = [
        {"text": "def close(self):\n    self.file.close()", "source": "io"},
        {"text": ""},
        {"text": long, "source": "long"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def hooked(model: TracedModel, ids: list[int], place: str, layer: int) -> Any:
    """Values inside the model of transformers, by one hook, (positions, units)."""
    seen = []
    block = model.model.model.layers[layer]
    if place == "mlp":
        handle = block.mlp.down_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0][0]))
    else:
        handle = block.register_forward_hook(
            lambda _, __, out: seen.append((out[0] if isinstance(out, tuple) else out)[0])
        )
    with torch.no_grad():
        model.model(torch.tensor([ids]))
    handle.remove()
    return seen[0]


def contexts(store: Path) -> list[dict[str, Any]]:
    return pq.read_table(store / "contexts.parquet").to_pylist()


def cells(store: Path) -> dict[tuple[int, int, int, int], float]:
    rows = [row for part in sorted((store / "activations").glob("*")) for row in pq.read_table(part).to_pylist()]
    return {(row["layer"], row["unit"], row["context_id"], row["position"]): row["value"] for row in rows}


def test_neurons_are_those_of_the_hooks(model: TracedModel, text: Path, tmp_path: Path) -> None:
    found = collect(
        model,
        text,
        tmp_path / "store",
        CollectOptions(window=32, threshold=0.5, layers=(1, 4)),
        batch=3,
        progress=progress,
    )
    rows = contexts(tmp_path / "store")
    assert [len(row["token_ids"]) for row in rows][:-1] == [len(rows[0]["token_ids"]), *([32] * (len(rows) - 2))]
    assert [row["start"] for row in rows] == [0, *range(0, 32 * (len(rows) - 1), 32)]
    assert {row["source"] for row in rows} == {"io", "long"}
    assert found.rejects == {"empty": 1}
    whole = model.tokenizer(json.loads(text.read_text().splitlines()[2])["text"])["input_ids"]
    assert [token for row in rows[1:] for token in row["token_ids"]] == whole[
        : sum(len(row["token_ids"]) for row in rows[1:])
    ]
    held, seen = cells(tmp_path / "store"), 0
    for row in rows:
        for layer in (1, 4):
            values = hooked(model, row["token_ids"], "mlp", layer)
            for at in range(1, len(row["token_ids"])):
                for unit in torch.nonzero(values[at].abs() > 0.5).flatten().tolist():
                    assert held[layer, unit, row["context_id"], at] == pytest.approx(float(values[at, unit]), rel=1e-4)
                    seen += 1
    assert seen == len(held) > 500
    units = pq.read_table(tmp_path / "store" / "units.parquet").to_pylist()
    looked_at = sum(len(row["token_ids"]) - 1 for row in rows)
    assert [(row["layer"], row["unit_count"], row["token_count"]) for row in units] == [
        (1, 320, looked_at),
        (4, 320, looked_at),
    ]


def test_the_strongest_activations_of_every_context(model: TracedModel, text: Path, tmp_path: Path) -> None:
    options = CollectOptions(top_per_context=7, window=24, layers=(1, 3))
    collect(model, text, tmp_path / "store", options, batch=3, progress=progress)
    held = cells(tmp_path / "store")
    rows = contexts(tmp_path / "store")
    for row in rows:
        for layer in (1, 3):
            values = hooked(model, row["token_ids"], "mlp", layer)[1:].abs()
            best = values.flatten().topk(7).values
            mine = [abs(value) for key, value in held.items() if (key[0], key[2]) == (layer, row["context_id"])]
            assert sorted(mine, reverse=True) == pytest.approx(best.tolist(), rel=1e-4)
    assert len(held) == 14 * len(rows)
    with pytest.raises(SpaceMismatch, match="top_per_context"):
        collect(
            model, text, tmp_path / "store", CollectOptions(threshold=0.0, window=24, layers=(1, 3)), progress=progress
        )
    with pytest.raises(UsageError, match="stands instead of a threshold"):
        CollectOptions(top_per_context=7, threshold=1.0)


def test_a_density_gives_its_threshold(model: TracedModel, text: Path, tmp_path: Path) -> None:
    found = collect(model, text, tmp_path / "store", CollectOptions(density=0.05, window=64), progress=progress)
    held = cells(tmp_path / "store")
    for layer in range(5):
        values = (
            torch.cat([hooked(model, row["token_ids"], "mlp", layer)[1:] for row in contexts(tmp_path / "store")])
            .abs()
            .flatten()
        )
        kept = sum(key[0] == layer for key in held)
        assert kept == pytest.approx(0.05 * len(values), rel=0.01)
        assert kept == int((values > found.thresholds[layer] * (1 + 1e-6)).sum())


@pytest.mark.parametrize("positions", ["all", "last"])
def test_residual_vectors_are_those_of_the_hooks(
    model: TracedModel, text: Path, tmp_path: Path, positions: str
) -> None:
    options = CollectOptions(hook="resid", positions=positions, window=16, layers=(0, 3))
    collect(model, text, tmp_path / "store", options, batch=2, progress=progress)
    rows = [
        row for part in sorted((tmp_path / "store" / "vectors").glob("*")) for row in pq.read_table(part).to_pylist()
    ]
    held = {(row["layer"], row["context_id"], row["position"]): row["vector"] for row in rows}
    count = 0
    for row in contexts(tmp_path / "store"):
        for layer in (0, 3):
            values = hooked(model, row["token_ids"], "resid", layer)
            last = len(row["token_ids"]) - 1
            for at in [last] if positions == "last" else range(1, last + 1):
                np.testing.assert_allclose(held[layer, row["context_id"], at], values[at], rtol=1e-4, atol=1e-5)
                count += 1
    assert count == len(held)


def weights(seed: int = 0) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "W_enc": torch.randn(WIDTH, FEATURES, generator=generator) * 0.1,
        "W_dec": torch.randn(FEATURES, WIDTH, generator=generator) * 0.1,
        "b_enc": torch.randn(FEATURES, generator=generator) * 0.1,
        "b_dec": torch.randn(WIDTH, generator=generator) * 0.1,
    }


def saelens(folder: Path, given: dict[str, Any], **config: Any) -> Path:
    folder.mkdir()
    save_file({name: value.contiguous() for name, value in given.items()}, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps({"hook_name": "blocks.2.hook_resid_post", **config}))
    return folder


def by_rows(given: dict[str, Any]) -> dict[str, Any]:
    """The same weights under the names of dictionary_learning."""
    return {
        "encoder.weight": given["W_enc"].T.contiguous(),
        "encoder.bias": given["b_enc"],
        "decoder.weight": given["W_dec"].T.contiguous(),
    }


X = torch.randn(40, WIDTH, generator=torch.Generator().manual_seed(9))


def test_every_kind_of_dictionary_is_its_formula(tmp_path: Path) -> None:
    given = weights()
    before = (X - given["b_dec"]) @ given["W_enc"] + given["b_enc"]
    raw = X @ given["W_enc"] + given["b_enc"]

    def same(loaded: Dictionary, codes: Any) -> None:
        torch.testing.assert_close(loaded.encode(X), codes, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(
            loaded.decode(codes, X), codes @ given["W_dec"] + given["b_dec"], rtol=1e-5, atol=1e-5
        )

    same(
        load_dictionary(saelens(tmp_path / "a", given, architecture="standard", apply_b_dec_to_input=True)),
        before.relu(),
    )
    same(
        load_dictionary(saelens(tmp_path / "b", given, architecture="standard", apply_b_dec_to_input=False)), raw.relu()
    )
    top = torch.zeros_like(before)
    for row in range(len(before)):
        best = torch.argsort(before[row], descending=True)[:7]
        top[row, best] = before[row, best].relu()
    same(
        load_dictionary(
            saelens(
                tmp_path / "c", given, architecture="topk", activation_fn_kwargs={"k": 7}, apply_b_dec_to_input=True
            )
        ),
        top,
    )
    threshold = torch.rand(FEATURES, generator=torch.Generator().manual_seed(3))
    jump = saelens(
        tmp_path / "d", given | {"threshold": threshold}, architecture="jumprelu", apply_b_dec_to_input=False
    )
    same(load_dictionary(jump), torch.where(raw > threshold, raw, 0.0))
    gates = {
        name: torch.randn(FEATURES, generator=torch.Generator().manual_seed(n)) * 0.1
        for n, name in enumerate(("b_gate", "r_mag", "b_mag"))
    }
    product = (X - given["b_dec"]) @ given["W_enc"]
    size = (product * gates["r_mag"].exp() + gates["b_mag"]).relu()
    gated = {name: value for name, value in given.items() if name != "b_enc"} | gates
    same(
        load_dictionary(saelens(tmp_path / "e", gated, architecture="gated")),
        torch.where(product + gates["b_gate"] > 0, size, 0.0),
    )
    same(
        load_dictionary(saelens(tmp_path / "f", given, architecture="standard", clamp=0.5)),
        before.relu().clamp(max=0.5),
    )
    # dictionary_learning
    torch.save(by_rows(given) | {"bias": given["b_dec"]}, tmp_path / "ae.pt")
    same(load_dictionary(tmp_path / "ae.pt"), before.relu())
    (tmp_path / "batch").mkdir()
    torch.save(
        by_rows(given) | {"b_dec": given["b_dec"], "k": torch.tensor(7), "threshold": torch.tensor(0.3)},
        tmp_path / "batch" / "ae.pt",
    )
    (tmp_path / "batch" / "config.json").write_text(
        json.dumps({"trainer": {"dict_class": "BatchTopKSAE", "k": 7, "submodule_name": "resid_post_layer_3"}})
    )
    batch = load_dictionary(tmp_path / "batch")
    same(batch, torch.where(before > 0.3, before, 0.0))
    assert place_of(batch) == 3
    torch.save(
        by_rows(given) | {"b_dec": given["b_dec"], "k": torch.tensor(7), "threshold": torch.tensor(-1.0)},
        tmp_path / "top.pt",
    )
    same(load_dictionary(tmp_path / "top.pt"), top)


def test_features_are_codes_of_the_residual_stream(model: TracedModel, text: Path, tmp_path: Path) -> None:
    dictionary = load_dictionary(
        saelens(tmp_path / "sae", weights(), architecture="standard", apply_b_dec_to_input=True)
    )
    collect(
        model, text, tmp_path / "store", CollectOptions(hook="sae", window=24), dictionary=dictionary, progress=progress
    )
    held, count = cells(tmp_path / "store"), 0
    for row in contexts(tmp_path / "store"):
        codes = dictionary.encode(hooked(model, row["token_ids"], "resid", 2))
        for at in range(1, len(row["token_ids"])):
            for unit in torch.nonzero(codes[at] > 1e-3).flatten().tolist():
                assert held[2, unit, row["context_id"], at] == pytest.approx(float(codes[at, unit]), rel=1e-3, abs=1e-4)
                count += 1
    assert 0.9 * len(held) < count <= len(held)
    manifest = json.loads((tmp_path / "store" / "manifest.json").read_text())
    assert manifest["space"]["dictionary"] == dictionary.fingerprint
    assert manifest["space"]["value_kind"] == "code"


def test_a_collection_is_added_to_and_does_not_depend_on_batches(
    model: TracedModel, text: Path, tmp_path: Path
) -> None:
    options = CollectOptions(window=16, threshold=0.5, layers=(2,))
    for size in (1, 4):
        collect(model, text, tmp_path / str(size), options, batch=size, progress=progress)
    one, four = (cells(tmp_path / str(size)) for size in (1, 4))
    near = {key for found in (one, four) for key, value in found.items() if abs(abs(value) - 0.5) < 1e-4}
    assert one.keys() - near == four.keys() - near
    collect(model, text, tmp_path / "grown", options, batch=1, corpus=DocumentOptions(limit=1), progress=progress)
    collect(model, text, tmp_path / "grown", options, batch=1, progress=progress)
    assert cells(tmp_path / "grown") == one


def test_what_does_not_fit_is_said(model: TracedModel, text: Path, tmp_path: Path) -> None:
    sae = load_dictionary(saelens(tmp_path / "sae", weights(), architecture="standard"))
    small = Dictionary(torch.zeros(4, 6), torch.zeros(6, 4), torch.zeros(6), torch.zeros(4))
    for options, dictionary, said in (
        (CollectOptions(hook="sae"), None, "the hook sae needs a dictionary"),
        (CollectOptions(), sae, "other hooks have none"),
        (CollectOptions(layers=(9,)), None, "layer 9 is none of the model's layers 0 to 4"),
        (CollectOptions(hook="sae"), small, "vectors of width 4, and the model's have 128"),
    ):
        with pytest.raises(UsageError, match=said):
            collect(model, text, tmp_path / "x", options, dictionary=dictionary, progress=progress)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.pt").write_bytes(b"no tensor")
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pt")
    for path, said in (
        (tmp_path / "empty", "holds no sparse autoencoder"),
        (tmp_path / "broken.pt", "cannot be read as tensors alone"),
        (tmp_path / "other.pt", "lacks 'encoder.weight'; it has x"),
        (
            saelens(tmp_path / "n", weights(), normalize_activations="layer_norm"),
            "normalize_activations is 'layer_norm'",
        ),
        (saelens(tmp_path / "t", weights(), architecture="topk"), "names TopK and states no k"),
    ):
        with pytest.raises(InputError, match=said):
            load_dictionary(path)
    with pytest.raises(InputError, match="reads blocks.2.mlp.hook_post"):
        place_of(load_dictionary(saelens(tmp_path / "m", weights(), hook_name="blocks.2.mlp.hook_post")))


def test_transcoders_are_never_read_as_autoencoders(tmp_path: Path) -> None:
    sparsify = {
        "encoder.weight": weights()["W_enc"].T.contiguous(),
        "W_dec": weights()["W_dec"],
        "encoder.bias": weights()["b_enc"],
    }
    folder = saelens(tmp_path / "sparsify", sparsify | {"b_dec": weights()["b_dec"]}, hook_name="", transcode=True, k=4)
    found = load_dictionary(folder)
    assert found.is_transcoder
    assert not found.subtracts_bias
    with pytest.raises(InputError, match="names a skip connection, and there is no W_skip"):
        load_dictionary(saelens(tmp_path / "none", weights(), architecture="skip_transcoder"))
    matrix = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(2))
    skipping = saelens(tmp_path / "skips", weights() | {"W_skip": matrix}, hook_name="blocks.2.hook_mlp_in")
    found = load_dictionary(skipping)
    codes = (X @ weights()["W_enc"] + weights()["b_enc"]).relu()
    torch.testing.assert_close(found.encode(X), codes)
    expected = codes @ weights()["W_dec"] + weights()["b_dec"] + torch.einsum("oi,ni->no", matrix, X)
    torch.testing.assert_close(found.decode(codes, X), expected, rtol=1e-4, atol=1e-4)
    skip = weights() | {"W_skip": torch.eye(WIDTH - 1)}
    with pytest.raises(InputError, match="W_skip has the shape"):
        load_dictionary(saelens(tmp_path / "skip", skip, architecture="skip_transcoder"))


def test_dictionaries_with_nan_or_of_another_block(model: TracedModel, tmp_path: Path) -> None:
    broken = weights()
    broken["b_enc"][3] = torch.nan
    with pytest.raises(InputError, match="b_enc holds NaN or infinity"):
        load_dictionary(saelens(tmp_path / "nan", broken))
    found = load_dictionary(saelens(tmp_path / "sae", weights(), hook_name="blocks.2.hook_resid_post"))
    assert layer_of_dictionary(found, model) == layer_of_dictionary(found, model, 2) == 2
    with pytest.raises(UsageError, match="states block 2, and --layers or --layer says 3"):
        layer_of_dictionary(found, model, 3)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["ln2.hook_normalized", "skip", "hook_mlp_out", "hook_resid_pre"])
def test_dictionaries_of_other_places(model: TracedModel, text: Path, tmp_path: Path, place: str) -> None:
    """Transcoders read the input of an MLP and write its output; others read the output, or the stream before a block."""
    has_skip = place == "skip"
    skip = {"W_skip": torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(2)) / 10} if has_skip else {}
    place = "ln2.hook_normalized" if has_skip else place
    kind = "skip_transcoder" if has_skip else "standard"
    dictionary = load_dictionary(
        saelens(tmp_path / "sae", weights() | skip, architecture=kind, hook_name=f"blocks.2.{place}")
    )
    layer = place_of(dictionary)
    assert layer == (1 if place == "hook_resid_pre" else 2)
    assert dictionary.is_transcoder == (place == "ln2.hook_normalized")
    assert dictionary.subtracts_bias != dictionary.is_transcoder
    options = CollectOptions(hook="sae", window=24, threshold=0.5)
    collect(model, text, tmp_path / "store", options, dictionary=dictionary, progress=progress)
    held, seen = cells(tmp_path / "store"), 0
    block = model.model.model.layers[2]
    errors, total, targets = 0.0, 0, []
    for row in contexts(tmp_path / "store"):
        kept: dict[str, Any] = {}
        hooks = [
            block.mlp.register_forward_hook(
                lambda _, given, out, kept=kept: kept.update(given=given[0][0], out=out[0])
            ),
            block.register_forward_pre_hook(lambda _, given, kept=kept: kept.update(stream=given[0][0])),
        ]
        with torch.no_grad():
            model.model(torch.tensor([row["token_ids"]]))
        for hook in hooks:
            hook.remove()
        source = {"ln2.hook_normalized": "given", "hook_mlp_out": "out", "hook_resid_pre": "stream"}[place]
        codes = dictionary.encode(kept[source])
        target = kept["stream" if place == "hook_resid_pre" else "out"][1:]
        errors += float((dictionary.decode(codes, kept[source])[1:] - target).double().square().sum())
        targets.append(target.double())
        for at in range(1, len(row["token_ids"])):
            for unit in torch.nonzero(codes[at] > 0.5).flatten().tolist():
                assert held[layer, unit, row["context_id"], at] == pytest.approx(float(codes[at, unit]), rel=1e-3)
                seen += 1
    assert seen == len(held) > 100
    from atlas.activations import reconstruct
    from atlas.stages.store.cells import Context

    found = reconstruct(
        model, dictionary, layer, [[Context(tuple(r["token_ids"]))] for r in contexts(tmp_path / "store")]
    )
    joined = torch.cat(targets)
    total = float((joined - joined.mean(0)).square().sum())
    assert found.fvu == pytest.approx(errors / total, rel=1e-3)
    assert found.loss_reconstructed > found.loss > 0


def test_text_is_added_at_the_threshold_of_the_store(model: TracedModel, text: Path, tmp_path: Path) -> None:
    options = CollectOptions(density=0.05, window=32)
    first = collect(model, text, tmp_path / "store", options, corpus=DocumentOptions(limit=1), progress=progress)
    both = collect(model, text, tmp_path / "store", options, progress=progress)
    assert both.thresholds == first.thresholds
    assert both.store.known_contexts == 1
    with pytest.raises(UsageError, match="other layers, units or thresholds"):
        collect(model, text, tmp_path / "store", CollectOptions(density=0.1, window=32), progress=progress)


def test_equal_texts_are_one_document(model: TracedModel, tmp_path: Path) -> None:
    path = tmp_path / "twice.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("x = 1", "y = 2", "x = 1")))
    for batch in (1, 8):
        found = collect(
            model, path, tmp_path / f"{batch}", CollectOptions(threshold=0.5), batch=batch, progress=progress
        )
        assert found.store.contexts == 2


def test_vectors_of_other_layers_or_positions_do_not_mix(model: TracedModel, text: Path, tmp_path: Path) -> None:
    options = CollectOptions(hook="resid", layers=(0,), positions="last")
    collect(model, text, tmp_path / "store", options, progress=progress)
    for other in (
        CollectOptions(hook="resid", layers=(1,), positions="last"),
        CollectOptions(hook="resid", layers=(0,)),
    ):
        with pytest.raises(SpaceMismatch, match="(vector_layers|positions) is"):
            collect(model, text, tmp_path / "store", other, progress=progress)


def test_documents_of_two_files_have_two_names_and_keep_their_facts(model: TracedModel, tmp_path: Path) -> None:
    import pyarrow as pa

    facts = [
        {"speaker": "anna", "turn": 1, "score": 0.5, "note": "n" * 500, "tags": ["a"], "ok": None},
        {"speaker": "ben"},
    ]
    for name, word in (("one", "open"), ("two", "read")):
        rows = [{"text": f"def {word}(self):\n    return {number}"} | facts[number] for number in range(2)]
        (tmp_path / name).mkdir()
        if name == "one":
            (tmp_path / name / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            pq.write_table(pa.Table.from_pylist(rows), tmp_path / name / "text.parquet")
        suffix = "jsonl" if name == "one" else "parquet"
        collect(
            model,
            tmp_path / name / f"text.{suffix}",
            tmp_path / "store",
            CollectOptions(layers=(1,), threshold=1.0),
            progress=progress,
        )
    rows = contexts(tmp_path / "store")
    assert len({row["document"] for row in rows}) == len(rows) == 4
    assert [row["document"].rpartition(":")[0] for row in rows] == ["text:0", "text:1", "text:0", "text:1"]
    known = {"speaker": "anna", "turn": "1", "score": "0.5"}
    assert [dict(row["attributes"]) for row in rows] == [known, {"speaker": "ben"}] * 2
