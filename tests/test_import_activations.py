"""Imported activations and vectors: against files written field by field, the synthetic files, and hostile ones."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from click.testing import CliRunner  # noqa: E402
from conftest import ROOT  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

from atlas.cli.main import main  # noqa: E402
from atlas.errors import InputError  # noqa: E402
from atlas.importers.activations import import_activations  # noqa: E402
from atlas.importers.vectors import import_vectors  # noqa: E402
from atlas.stages.store.byte_tokens import decoded  # noqa: E402

DATA = Path(os.environ.get("ATLAS_TEST_DATA", ROOT.parent / "shared" / "data")) / "activations" / "synthetic"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder of test data is not there")
Cell = tuple[int, int, int, int]


def cells(store: Path) -> dict[Cell, float]:
    rows = [row for part in sorted((store / "activations").glob("*")) for row in pq.read_table(part).to_pylist()]
    return {(row["layer"], row["unit"], row["context_id"], row["position"]): row["value"] for row in rows}


def rows(store: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(store / f"{name}.parquet").to_pylist()


WINDOWS = [["Ġdef", "Ċ", "a", "a"], ["âĢĻ", "Ġself", "(", ")"], ["b", "b", "b", "b"]]


def wandb(folder: Path, **changes: Any) -> Path:
    """Two layers of windows of four tokens; the third window fires nothing."""
    (folder / "activation_data").mkdir(parents=True)
    for layer in range(2):
        values = torch.tensor([[0, 1.5, 0, 0], [0, 0, -2.0, 0.25], [3.0, 0, 0, 0]], dtype=torch.float16) * (layer + 1)
        content = {
            "nonzero_activations": values,
            "data_indices": torch.tensor([0, 0, 1]),
            "neuron_indices": torch.tensor([2, 5, 0]),
        } | changes
        torch.save(content, folder / "activation_data" / f"blocks--{layer}--mlp--hook_post.pt")
    torch.save(WINDOWS, folder / "activation_data" / "all_token_ids.pt")
    return folder


def test_windows_of_wandb(tmp_path: Path) -> None:
    summary = import_activations(wandb(tmp_path / "run"), tmp_path / "store", model="m", value_kind="code")
    expected = {}
    for layer in range(2):
        for unit, context, position, value in ((2, 0, 1, 1.5), (5, 0, 2, -2.0), (5, 0, 3, 0.25), (0, 1, 0, 3.0)):
            expected[layer, unit, context, position] = value * (layer + 1)
    assert cells(tmp_path / "store") == expected
    assert (summary.layers, summary.units, summary.contexts, summary.activations) == (2, 12, 3, 8)
    assert "do not state how many units" in summary.notes()[0]
    words = {row["token_id"]: row["token"] for row in rows(tmp_path / "store", "vocabulary")}
    texts = [[words[token] for token in row["token_ids"]] for row in rows(tmp_path / "store", "contexts")]
    assert texts == [[" def", "\n", "a", "a"], ["’", " self", "(", ")"], ["b", "b", "b", "b"]]
    assert [row["token_count"] for row in rows(tmp_path / "store", "units")] == [12, 12]
    manifest = json.loads((tmp_path / "store" / "manifest.json").read_text())
    assert (manifest["space"]["model"], manifest["space"]["value_kind"]) == ("m", "code")
    assert import_activations(tmp_path / "run", tmp_path / "store", units=9).units == 18
    assert json.loads((tmp_path / "store" / "manifest.json").read_text())["space"]["value_kind"] is None


def delphi(folder: Path, dtype: Any = np.uint16) -> dict[Cell, float]:
    """Two modules of eight latents in two splits."""
    rng = np.random.default_rng(2)
    expected = {}
    tokens = rng.integers(0, 50, (6, 5)).astype(np.int64)
    for layer in (1, 10):
        module = folder / "latents" / f"layers.{layer}.mlp"
        module.mkdir(parents=True)
        (module / "config.json").write_text(json.dumps({"model_name": "org/tiny", "cache_ctx_len": 5}))
        for first in (0, 4):
            places = sorted({tuple(rng.integers(0, (6, 5, 4)).tolist()) for _ in range(15)})
            values = rng.normal(0, 2, len(places)).astype(np.float16)
            save_file(
                {"locations": np.array(places, dtype), "activations": values, "tokens": tokens},
                module / f"{first}_{first + 3}.safetensors",
            )
            for (context, position, latent), value in zip(places, values, strict=True):
                expected[layer, latent + first, context, position] = float(value)
    return expected


@pytest.mark.parametrize("dtype", [np.uint16, np.int64])
def test_latents_of_delphi(tmp_path: Path, dtype: Any) -> None:
    expected = delphi(tmp_path / "run", dtype)
    summary = import_activations(tmp_path / "run", tmp_path / "store")
    assert cells(tmp_path / "store") == expected
    assert (summary.layers, summary.units, summary.notes()) == (2, 16, [])
    assert json.loads((tmp_path / "store" / "manifest.json").read_text())["space"]["model"] == "org/tiny"


def shards(folder: Path, sizes: list[int], layers: int = 2, **stated: Any) -> np.ndarray:
    """Shards of bfloat16 vectors of width 4; returns all rows by layer, exactly."""
    generator = torch.Generator().manual_seed(4)
    whole = []
    for layer in range(layers):
        (folder / f"layer_{layer:02d}").mkdir(parents=True)
        parts = [torch.randn(size, 4, generator=generator).to(torch.bfloat16) for size in sizes]
        for number, part in enumerate(parts):
            torch.save(part, folder / f"layer_{layer:02d}" / f"shard_{number:03d}.pt")
        whole.append(torch.cat(parts).float().numpy())
    (folder / "metadata.json").write_text(
        json.dumps({"model_name": "org/tiny", "total_examples": sum(sizes), **stated})
    )
    return np.stack(whole)


def test_shards_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    whole = shards(tmp_path / "EM", [1] * 1002)
    summary = import_vectors(tmp_path / "EM", tmp_path / "store")
    assert (summary.layers, summary.rows, summary.shards, summary.notes()) == (2, 1002, 1002, [])
    found = pq.read_table(sorted((tmp_path / "store" / "vectors").glob("*"))[0]).to_pylist()
    assert len(found) == 2 * 1002
    for row in found:
        assert row["vector"] == whole[row["layer"], row["context_id"]].tolist()
        assert row["position"] == -1
    assert rows(tmp_path / "store", "contexts")[1001]["document"] == "EM 1001"


def test_stale_shards_are_said(tmp_path: Path) -> None:
    shards(tmp_path / "EM", [3, 3, 2], total_examples=6)
    assert import_vectors(tmp_path / "EM", tmp_path / "store").notes() == [
        "metadata.json states 6 rows; more are left over from an earlier run, fewer were cut off"
    ]


@needs_data
def test_the_synthetic_files(tmp_path: Path) -> None:
    expected = json.loads((DATA / "wandb" / "expected.json").read_text())
    import_activations(DATA / "wandb", tmp_path / "wandb", units=9)
    found = cells(tmp_path / "wandb")
    for name, facts in expected.items():
        mine = [key for key in found if key[0] == int(name.split(".")[1])]
        assert (len(mine), len({unit for _, unit, *_ in mine})) == (facts["nonzero_cells"], facts["alive"])
    expected = json.loads((DATA / "delphi" / "expected.json").read_text())
    import_activations(DATA / "delphi", tmp_path / "delphi")
    found = cells(tmp_path / "delphi")
    assert len(found) == expected["n_nonzero"]
    for latent, (count, most) in enumerate(zip(expected["per_latent_count"], expected["per_latent_max"], strict=True)):
        mine = [value for key, value in found.items() if key[1] == latent]
        assert len(mine) == count
        # The file holds float16.
        assert max(mine, default=None) == (most if most is None else pytest.approx(most, rel=1e-3))
    summary = import_vectors(DATA / "em" / "org_Tiny-Model" / "SP_demo" / "EM", tmp_path / "em")
    assert (summary.layers, summary.rows, summary.notes()) == (2, 9, [])


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/never",)


def test_hostile_and_damaged_files_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    evil = wandb(tmp_path / "evil")
    (evil / "activation_data" / "blocks--0--mlp--hook_post.pt").write_bytes(pickle.dumps(Evil()))
    cut = wandb(tmp_path / "cut")
    file = cut / "activation_data" / "blocks--1--mlp--hook_post.pt"
    file.write_bytes(file.read_bytes()[:200])
    mute = wandb(tmp_path / "mute")
    (mute / "activation_data" / "all_token_ids.pt").unlink()
    delphi(tmp_path / "short")
    split = tmp_path / "short" / "latents" / "layers.1.mlp" / "0_3.safetensors"
    split.write_bytes(split.read_bytes()[:40])
    for path, said in (
        (tmp_path / "empty", "holds no activations that are known"),
        (evil, "cannot be read as tensors alone"),
        (cut, "cannot be read as tensors alone"),
        (mute, "has no all_token_ids.pt, so its windows have no text"),
        (wandb(tmp_path / "far", data_indices=torch.tensor([0, 0, 7])), "window 7 is none of the 3"),
        (wandb(tmp_path / "rows", data_indices=torch.tensor([0])), "3 rows, 1 data_indices"),
        (wandb(tmp_path / "flat", nonzero_activations=torch.zeros(3)), "has 1 dimensions, not 2"),
        (wandb(tmp_path / "nan", nonzero_activations=torch.full((3, 4), torch.nan)), "NaN or infinite"),
        (wandb(tmp_path / "wide", nonzero_activations=torch.ones(3, 9)), "position 4 of layer 0; it must be below 4"),
        (tmp_path / "short", "cannot be read as tensors alone"),
    ):
        with pytest.raises(InputError, match=said):
            import_activations(path, tmp_path / "store")
        assert not (tmp_path / "store").exists()
    assert not Path("/tmp/never").exists()
    shards(tmp_path / "gap", [2, 2, 2])
    (tmp_path / "gap" / "layer_00" / "shard_001.pt").unlink()
    (tmp_path / "gap" / "layer_01" / "shard_001.pt").unlink()
    shards(tmp_path / "uneven", [2, 2])
    torch.save(torch.zeros(3, 4), tmp_path / "uneven" / "layer_01" / "shard_001.pt")
    for path, said in (
        (tmp_path / "empty", "holds no layer_00/"),
        (tmp_path / "gap", "lacks shard 001"),
        (tmp_path / "uneven", "shard 1 has \\[2, 3\\] rows in different layers"),
    ):
        with pytest.raises(InputError, match=said):
            import_vectors(path, tmp_path / "store")


def test_the_commands(tmp_path: Path) -> None:
    wandb(tmp_path / "run")
    shards(tmp_path / "EM", [2, 1])
    for kind, path, said in (("activations", "run", "8 activations"), ("vectors", "EM", "3 rows")):
        done = CliRunner().invoke(main, ["import", kind, str(tmp_path / path), "-o", str(tmp_path / kind)])
        assert done.exit_code == 0, done.output
        assert said in done.stderr
    done = CliRunner().invoke(main, ["measure", str(tmp_path / "activations"), "-o", str(tmp_path / "measures")])
    assert done.exit_code == 0, done.output
    assert "12 units: 6 never active" in done.stderr


def test_byte_level_spelling() -> None:
    for text in (" self", "’s", "é", "中", "\n\t", "a b"):
        spelled = "".join(
            {
                value: key
                for key, value in __import__("atlas.stages.store.byte_tokens", fromlist=["_BYTES"])._BYTES.items()
            }[byte]
            for byte in text.encode()
        )
        assert decoded(spelled) == text
    assert decoded("▁der") == " der"


SPLAT = DATA / "splatnlp"


def sparse(store: Path) -> list[dict[str, Any]]:
    return [row for part in sorted((store / "activations").glob("*")) for row in pq.read_table(part).to_pylist()]


@needs_data
@pytest.mark.parametrize("folder", ["activations_efficient", "activations_transposed", "."])
def test_the_arrays_of_the_sae_pipeline(folder: str, tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    expected = json.loads((SPLAT / "expected.json").read_text())
    summary = import_activations(SPLAT / folder, tmp_path / "store", layer=4)
    rows = sparse(tmp_path / "store")
    counts = [sum(row["unit"] == unit for row in rows) for unit in range(6)]
    assert counts == expected["per_feature_nnz"]
    most = [max((row["value"] for row in rows if row["unit"] == unit), default=0.0) for unit in range(6)]
    assert most == pytest.approx(expected["per_feature_max"])
    assert {(row["layer"], row["position"]) for row in rows} == {(4, -1)}
    contexts = pq.read_table(tmp_path / "store" / "contexts.parquet").to_pylist()
    assert len(contexts) == 11
    told = " ".join(summary.notes())
    if folder == "activations_efficient":
        assert "global_index is not the place of 4 samples, and 3 of them occur twice" in told
        for name in ("feature_stats.pkl", "histograms.pkl"):
            assert f"{name}: the numbers of samples of 6 features agree with the activations" in told
        assert "idf.parquet: the numbers of samples of 8 tokens agree" in told
    if folder != ".":
        assert contexts[expected["true_row_of_batch1_sample0"]]["token_ids"] == [0, 6, 7]
        assert dict(contexts[0]["attributes"]) == {"is_null_token": "false", "weapon_id_token": "2"}
    else:
        assert "the files hold no tokens of the samples" in told


@needs_data
def test_statistics_of_samples_that_are_sets_of_tokens(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    from atlas.activations.measures import measure

    import_activations(SPLAT / "activations_efficient", tmp_path / "store")
    measure(tmp_path / "store", tmp_path / "measures")
    contexts = [set(row["token_ids"]) for row in pq.read_table(tmp_path / "store" / "contexts.parquet").to_pylist()]
    rows = sparse(tmp_path / "store")
    stats = {row["unit"]: row for row in pq.read_table(tmp_path / "measures" / "activation_stats.parquet").to_pylist()}
    assert {row["token_count"] for row in stats.values()} == {11}
    assert stats[5]["is_dead"] is True
    idf = {
        row["token_id"]: row["idf"] for row in pq.read_table(tmp_path / "measures" / "token_stats.parquet").to_pylist()
    }
    stated = pq.read_table(SPLAT / "activations_efficient" / "precomputed" / "idf.parquet").to_pylist()
    assert idf == {row["ability_input_tokens"]: pytest.approx(row["idf"]) for row in stated}
    found = pq.read_table(tmp_path / "measures" / "activation_tokens.parquet").to_pylist()
    for row in found:
        mine = {cell["context_id"]: cell["value"] for cell in rows if cell["unit"] == row["unit"]}
        having = {context for context in mine if row["token_id"] in contexts[context]}
        assert row["relation"] == "in"
        assert row["active_count"] == len(having)
        assert row["recall"] == pytest.approx(len(having) / len(mine))
        assert row["precision"] == pytest.approx(len(having) / sum(row["token_id"] in tokens for tokens in contexts))
        share = sum(abs(mine[context]) for context in having) / sum(map(abs, mine.values()))
        assert row["mass_share"] == pytest.approx(share)
        assert row["tfidf"] == pytest.approx(share * idf[row["token_id"]])
    assert len(found) > 20


@needs_data
def test_units_are_measured_although_their_contexts_have_no_tokens(tmp_path: Path) -> None:
    from atlas.activations.measures import measure

    import_activations(SPLAT / "neuron_acts", tmp_path / "store")
    measure(tmp_path / "store", tmp_path / "measures")
    stats = {row["unit"]: row for row in pq.read_table(tmp_path / "measures" / "activation_stats.parquet").to_pylist()}
    expected = json.loads((SPLAT / "expected.json").read_text())
    assert [stats[unit]["active_count"] for unit in range(6)] == expected["per_feature_nnz"]
    assert [stats[unit]["is_dead"] for unit in range(6)] == [False] * 5 + [True]
    examples = pq.read_table(tmp_path / "measures" / "activation_examples.parquet").to_pylist()
    for unit in range(5):
        mine = [row["context_id"] for row in examples if (row["unit"], row["stratum"]) == (unit, "top")]
        assert len(mine) == len(set(mine)) == expected["per_feature_nnz"][unit]


def test_pickles_of_objects_are_refused(tmp_path: Path) -> None:
    from atlas.importers.plain_pickle import read_plain

    for name, value in (("evil", Evil()), ("path", Path("x"))):
        (tmp_path / name).write_bytes(pickle.dumps(value))
        with pytest.raises(InputError, match="is refused: it holds an object of (posix|pathlib)"):
            read_plain(tmp_path / name)
    assert not Path("/tmp/never").exists()
    (tmp_path / "cut").write_bytes(pickle.dumps({1: [2.0]})[:-3])
    with pytest.raises(InputError, match="cannot be read as a pickle"):
        read_plain(tmp_path / "cut")
    (tmp_path / "plain").write_bytes(pickle.dumps({1: {"counts": [1, 2], "name": "x", "share": 0.5}}))
    assert read_plain(tmp_path / "plain") == {1: {"counts": [1, 2], "name": "x", "share": 0.5}}


@needs_data
def test_influences_are_projections(tmp_path: Path) -> None:
    from atlas.importers.projections import import_projections

    file = SPLAT / "activations_efficient" / "precomputed" / "influences.parquet"
    import_projections([file], tmp_path / "out")
    found = pq.read_table(tmp_path / "out" / "projections.parquet").to_pylist()
    (first, *_) = pq.read_table(file).to_pylist()
    mine = [
        (row["direction"], row["rank"], row["token"], row["weight"])
        for row in found
        if row["neuron"] == first["feature_id"]
    ]
    expected = [
        (direction, rank, first[f"{sign}{rank}_tok"], pytest.approx(first[f"{sign}{rank}_val"]))
        for sign, direction in (("+", "promotes"), ("-", "suppresses"))
        for rank in (1, 2, 3)
    ]
    assert mine == expected
    pq.write_table(pq.read_table(file).drop_columns(["feature_id"]), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="holds no influences"):
        import_projections([tmp_path / "other.parquet"], tmp_path / "no")


def arrays(folder: Path, values: Any, *, numbers: tuple[int, ...] = (0, 1)) -> Path:
    zarr = pytest.importorskip("zarr")
    (folder / "activations").mkdir(parents=True)
    for number in numbers:
        zarr.save_array(str(folder / "activations" / f"batch_{number:04d}.zarr"), values)
    return folder


def test_hostile_arrays_are_one_line(tmp_path: Path) -> None:
    values = np.ones((2, 3), np.float32)
    gap = arrays(tmp_path / "gap", values, numbers=(0, 2))
    flat = arrays(tmp_path / "flat", np.ones(4, np.float32))
    nan = arrays(tmp_path / "nan", values * np.nan)
    words = arrays(tmp_path / "ints", np.ones((2, 3), np.int64))
    torn = arrays(tmp_path / "torn", np.random.default_rng(0).normal(0, 1, (50, 30)).astype(np.float32))
    chunk = max((p for p in torn.rglob("*") if p.is_file() and p.name != "zarr.json"), key=lambda p: p.stat().st_size)
    chunk.write_bytes(chunk.read_bytes()[:20])
    silent = tmp_path / "npy" / "neuron_0000"
    silent.mkdir(parents=True)
    np.save(silent / "acts.npy", np.array([Path("x")], object), allow_pickle=True)
    np.save(silent / "idxs.npy", np.array([0]))
    twice = tmp_path / "twice" / "neuron_0002"
    twice.mkdir(parents=True)
    np.save(twice / "acts.npy", np.ones(2, np.float32))
    np.save(twice / "idxs.npy", np.array([4, 4]))
    for path, said in (
        (gap, "lacks batch 1"),
        (flat, "an array of 1 dimensions"),
        (words, "type int64, not a matrix of numbers"),
        (nan, "NaN or infinite"),
        (torn, "is damaged"),
        (tmp_path / "npy", "cannot be read as an array of numbers"),
        (tmp_path / "twice", "holds a sample twice"),
    ):
        with pytest.raises(InputError, match=said):
            import_activations(path, tmp_path / "store")
        assert not (tmp_path / "store").exists()


def test_units_without_a_file_are_not_dead_and_samples_beyond_the_end_are_refused(tmp_path: Path) -> None:
    from atlas.activations.measures import measure

    def unit(number: int, samples: list[int]) -> None:
        folder = tmp_path / "acts" / f"neuron_{number:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "acts.npy", np.ones(len(samples), np.float32))
        np.save(folder / "idxs.npy", np.array(samples, np.int64))

    (tmp_path / "acts").mkdir()
    (tmp_path / "acts" / "metadata.json").write_text(json.dumps({"num_regular": 5, "num_null": 0}))
    unit(0, [0, 2, 4])
    unit(2, [])
    summary = import_activations(tmp_path / "acts", tmp_path / "store")
    assert "1 units below the largest number have no file" in " ".join(summary.notes())
    measure(tmp_path / "store", tmp_path / "measures")
    stats = pq.read_table(tmp_path / "measures" / "activation_stats.parquet").to_pylist()
    assert [(row["unit"], row["is_dead"]) for row in stats] == [(0, False), (2, True)]
    unit(0, [0, 2, 7])
    with pytest.raises(InputError, match="holds the sample 7, and metadata.json states 5 samples"):
        import_activations(tmp_path / "acts", tmp_path / "store")
