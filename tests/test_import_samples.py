"""Examples of other tools, from files written field by field, from real ones, and from hostile ones."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT

from atlas.activations.measures import measure
from atlas.errors import InputError
from atlas.importers.samples import import_samples
from atlas.importers.vectors import import_vectors

DATA = Path(os.environ.get("ATLAS_TEST_DATA", ROOT.parent / "shared" / "data")) / "activations"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder of test data is not there")


def rows(store: Path, name: str) -> list[dict[str, Any]]:
    path = store / f"{name}.parquet"
    parts = [path] if path.exists() else sorted((store / name).glob("*.parquet"))
    return [row for part in parts for row in pq.read_table(part).to_pylist()]


def examples(store: Path) -> set[tuple[int, int, str, int, float]]:
    """(layer, unit, tokens, position, value) of every activation."""
    words = {row["token_id"]: row["token"] for row in rows(store, "vocabulary")}
    texts = {row["context_id"]: "|".join(words[t] for t in row["token_ids"]) for row in rows(store, "contexts")}
    return {
        (row["layer"], row["unit"], texts[row["context_id"]], row["position"], round(row["value"], 4))
        for row in rows(store, "activations")
    }


def stated(store: Path) -> dict[tuple[int, int, str], float]:
    return {(row["layer"], row["unit"], row["name"]): row["value"] for row in rows(store, "stated_stats")}


def dump(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def sample(value: float, tokens: list[str], context: list[str], position: int) -> dict[str, Any]:
    return {
        "feature_idx": 7,
        "activation_value": value,
        "tokens": tokens,
        "text": "".join(tokens),
        "position": position,
    } | {
        "context_tokens": context,
        "context_text": "".join(context),
    }


def test_sample_folders(tmp_path: Path) -> None:
    wide = [f"w{n}" for n in range(9)]
    samples = [
        sample(9.5, ["w3", "w4"], wide, 40),  # in the middle of a whole window
        sample(8.0, ["<bos>"], ["<bos>", "a", "b", "c", "d"], 0),  # at the start of a sequence
        sample(7.0, ["a", "b"], ["<bos>", "a", "b", "c", "d", "e"], 2),
        sample(6.0, ["x", "y"], ["p", "q", "x", "y"], 55),  # cut at the other end: y stands once
        sample(5.0, ["z", "z"], ["z", "z", "a"], 60),  # cut, and z stands twice
    ]
    facts = {
        "feature_idx": 7,
        "num_samples": 5,
        "max_activation": 9.5,
        "mean_activation": 7.1,
        "activation_count": 1234,
    }
    dump(tmp_path / "run" / "feature_00007_samples.json", {"statistics": facts, "top_samples": samples})
    dump(tmp_path / "run" / "collection_summary.json", {"total_samples_seen": 5})
    summary = import_samples([tmp_path / "run"], tmp_path / "store", layer=3, model="m")
    assert examples(tmp_path / "store") == {
        (3, 7, "|".join(wide), 4, 9.5),
        (3, 7, "<bos>|a|b|c|d", 0, 8.0),
        (3, 7, "<bos>|a|b|c|d|e", 2, 7.0),
        (3, 7, "p|q|x|y", 3, 6.0),
    }
    assert (summary.examples, summary.unplaced, summary.units) == (4, 1, 1)
    assert "1 examples were left out" in " ".join(summary.notes())
    assert stated(tmp_path / "store") == {
        (3, 7, "activation_count"): 1234.0,
        (3, 7, "max_activation"): 9.5,
        (3, 7, "mean_activation"): 7.1,
    }
    with pytest.raises(InputError, match="does not name the layer; give it with --layer N"):
        import_samples([tmp_path / "run"], tmp_path / "other")


def test_what_chosen_windows_cannot_tell_is_null(tmp_path: Path) -> None:
    feature = {"feature_index": 2, "frac_nonzero": 0.0002, "n_prompts_total": 50, "activations": []}
    for number in range(6):
        feature["activations"].append(
            {"bin_min": -1, "bin_max": 2.2, "tokens": ["a", f"Ġb{number}", "c"], "values": [0.0, 1.0 + number, 0.5]}
        )
    dump(tmp_path / "batch-0.json", {"model_id": "gpt2", "layer": 4, "features": [feature]})
    import_samples([tmp_path / "batch-0.json"], tmp_path / "store")
    measure(tmp_path / "store", tmp_path / "measures")
    stats = rows(tmp_path / "measures", "activation_stats")
    (row,) = [row for row in stats if row["unit"] == 2]
    assert (row["active_count"], row["context_count"], row["max_active"]) == (12, 6, 6.0)
    unknown = (
        "token_count",
        "density",
        "density_low",
        "density_high",
        "is_dense",
        "mean_all",
        "mean_sq_all",
        "is_single_token",
    )
    assert all(row[name] is None for name in unknown)
    assert [other["is_dead"] for other in stats if other["unit"] < 2] == [None, None]
    for token in rows(tmp_path / "measures", "activation_tokens"):
        assert token["token_count"] is token["precision"] is token["lift"] is None
        assert 0 < token["mass_share"] <= 1
    tops = [row for row in rows(tmp_path / "measures", "activation_examples") if row["stratum"] == "top"]
    assert [row["value"] for row in tops] == [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    assert {row["token"] for row in rows(tmp_path / "store", "vocabulary")} >= {"a", " b0", "c"}


def test_neuronpedia_exports(tmp_path: Path) -> None:
    folder = tmp_path / "gpt2-small" / "6-res-jb"
    lines = [
        {
            "modelId": "gpt2-small",
            "layer": "6-res-jb",
            "index": "12",
            "tokens": ["a", "b"],
            "values": [0, 2.5],
            "binMin": -1,
        },
        {
            "modelId": "gpt2-small",
            "layer": "6-res-jb",
            "index": 12,
            "tokens": ["c", "d"],
            "values": [1.5, 0],
            "binMin": 0.1,
            "binMax": 2,
        },
        {"modelId": "gpt2-small", "layer": "6-res-jb", "index": "9", "tokens": ["c", "d"], "values": [0, 4]},
        {"modelId": "gpt2-small", "layer": "6-res-jb", "index": "9", "tokens": ["c", "d"], "values": [0]},
    ]
    (folder / "activations").mkdir(parents=True)
    with gzip.open(folder / "activations" / "batch-0.jsonl.gz", "wt") as stream:
        stream.write("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "features").mkdir()
    with gzip.open(folder / "features" / "batch-0.jsonl.gz", "wt") as stream:
        stream.write(
            json.dumps({"modelId": "gpt2-small", "layer": "6-res-jb", "index": "9", "maxActApprox": 4.5}) + "\n"
        )
    (folder / "explanations").mkdir()
    with gzip.open(folder / "explanations" / "batch-0.jsonl.gz", "wt") as stream:
        stream.write(json.dumps({"description": "not an example"}) + "\n")
    summary = import_samples([tmp_path], tmp_path / "store")
    # Two units share the window c d: it is one context.
    assert examples(tmp_path / "store") == {(6, 12, "a|b", 1, 2.5), (6, 12, "c|d", 0, 1.5), (6, 9, "c|d", 1, 4.0)}
    assert (summary.contexts, summary.unplaced) == (2, 1)
    assert stated(tmp_path / "store") == {(6, 9, "maxActApprox"): 4.5}
    assert json.loads((tmp_path / "store" / "manifest.json").read_text())["space"]["model"] == "gpt2-small"
    groups = [dict(row["attributes"])["groups"] for row in rows(tmp_path / "store", "contexts")]
    assert groups == ["top", "interval 0.1 to 2, top"]


def test_atoms_and_viewer_features(tmp_path: Path) -> None:
    atom = {"density": 0.01, "mean_act": 0.2, "mean_act_squared": 0.9, "hist": {"0": 3}}
    atom["random"] = [{"tokens": ["a", "b"], "acts": [0, 0], "doc_id": 3}]
    atom["top"] = [{"tokens": ["c", "d"], "acts": [5, 1], "doc_id": 4}]
    dump(tmp_path / "open" / "atoms" / "31.json", atom)
    import_samples([tmp_path / "open"], tmp_path / "atoms", layer=2)
    assert examples(tmp_path / "atoms") == {(2, 31, "c|d", 0, 5.0), (2, 31, "c|d", 1, 1.0)}
    assert len(rows(tmp_path / "atoms", "contexts")) == 2  # the random one is kept, too
    assert stated(tmp_path / "atoms")[2, 31, "density"] == 0.01
    example = {"tokens": ["e", "f"], "tokens_acts_list": [0, 3], "train_token_ind": 1, "is_repeated_datapoint": False}
    viewer = {
        "index": 5,
        "examples_quantiles": [{"quantile_name": "Top", "examples": [example]}],
        "activation_frequency": 0.1,
    }
    dump(tmp_path / "viewer" / "4000005.json", viewer)
    import_samples([tmp_path / "viewer"], tmp_path / "features")
    assert examples(tmp_path / "features") == {(4, 5, "e|f", 1, 3.0)}


@needs_data
def test_real_dashboards(tmp_path: Path) -> None:
    summary = import_samples([DATA / "saedashboard" / "test_simple"], tmp_path / "store")
    expected = set()
    windows = set()
    for name in ("batch-0.json", "batch-1.json"):
        found = json.loads((DATA / "saedashboard" / "test_simple" / name).read_text())
        for feature in found["features"]:
            for row in feature["activations"]:
                windows.add(tuple(row["tokens"]))
                expected |= {(feature["feature_index"], round(value, 3)) for value in row["values"] if value}
    assert (summary.units, summary.contexts) == (len({unit for unit, _ in expected}), len(windows))
    assert {(row["unit"], round(row["value"], 3)) for row in rows(tmp_path / "store", "activations")} == expected
    measure(tmp_path / "store", tmp_path / "measures")


def test_hostile_files_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    bad = {
        "empty": "holds no examples: none of",
        "no.json": "is no JSON",
        "other.json": "holds no examples of a known tool; it has nodes",
        "list.json": "holds no object",
        "cut.json": "is damaged or of another version: KeyError",
        "nan.json": "NaN or infinite",
        "torn.jsonl.gz": "cannot be read",
    }
    (tmp_path / "no.json").write_text("{")
    dump(tmp_path / "other.json", {"nodes": []})
    dump(tmp_path / "list.json", [])
    dump(tmp_path / "cut.json", {"layer": 1, "features": [{"activations": []}]})
    row = {"tokens": ["a"], "values": [float("nan")]}
    dump(tmp_path / "nan.json", {"layer": 1, "features": [{"feature_index": 1, "activations": [row]}]})
    (tmp_path / "torn.jsonl.gz").write_bytes(gzip.compress(b'{"layer": 1}\n')[:-9])
    for name, said in bad.items():
        with pytest.raises(InputError, match=said) as caught:
            import_samples([tmp_path / name], tmp_path / "store", layer=0)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "store").exists()


def cache(folder: Path, *, tokens: bool = True, sequences: int = 5) -> np.ndarray:
    """A cache of SAELens, in two files."""
    folder.mkdir()
    values = np.random.default_rng(1).normal(0, 1, (sequences, 4, 3)).astype(np.float32)
    for number, part in enumerate(np.array_split(values, 2)):
        columns: dict[str, Any] = {
            "blocks.2.hook_resid_post": pa.array(part.tolist(), pa.list_(pa.list_(pa.float32())))
        }
        if tokens:
            columns["token_ids"] = pa.array([[9, 8, 7, n] for n in range(len(part))], pa.list_(pa.int32()))
        table = pa.table(columns)
        with (
            pa.OSFile(str(folder / f"data-{number:05d}-of-00007.arrow"), "wb") as sink,
            pa.ipc.new_stream(sink, table.schema) as stream,
        ):
            stream.write_table(table)
    return values


def test_caches_of_saelens(tmp_path: Path) -> None:
    values = cache(tmp_path / "cache")
    summary = import_vectors(tmp_path / "cache", tmp_path / "store", model="m")
    assert (summary.rows, summary.shards, summary.notes()) == (5, 2, [])
    found = rows(tmp_path / "store", "vectors")
    assert {row["layer"] for row in found} == {2}
    for row in found:
        np.testing.assert_array_equal(row["vector"], values[row["context_id"], row["position"]])
    assert len(found) == 20
    assert rows(tmp_path / "store", "contexts")[1]["token_ids"] == [9, 8, 7, 1]
    cache(tmp_path / "older", tokens=False)
    assert "tokens are not known" in import_vectors(tmp_path / "older", tmp_path / "old").notes()[0]
    torn = next((tmp_path / "cache").iterdir())
    torn.write_bytes(torn.read_bytes()[:100])
    with pytest.raises(InputError, match="cannot be read as a stream of Arrow"):
        import_vectors(tmp_path / "cache", tmp_path / "store")


def test_letters_are_no_bytes_unless_the_file_spells_bytes(tmp_path: Path) -> None:
    plain = [" caf", "é", "£", "für", "°C"]
    spelled = ["Ġcaf", "Ã©", "Â£", "fÃ¼r", "Â°C"]
    for name, tokens in (("plain", plain), ("spelled", spelled)):
        rows_of = [{"tokens": tokens, "values": [1.0, 0, 0, 0, 0]}]
        dump(tmp_path / f"{name}.json", {"layer": 1, "features": [{"feature_index": 1, "activations": rows_of}]})
        import_samples([tmp_path / f"{name}.json"], tmp_path / name)
        assert [row["token"] for row in rows(tmp_path / name, "vocabulary")] == plain


def test_values_that_are_no_numbers_are_one_line(tmp_path: Path) -> None:
    for number, feature in enumerate(
        (
            {"feature_index": "f1", "activations": []},
            {"feature_index": 1, "activations": [{"tokens": ["a"], "values": ["n/a"]}]},
        )
    ):
        dump(tmp_path / f"{number}.json", {"layer": 1, "features": [feature]})
        with pytest.raises(InputError, match="is damaged or of another version: ValueError"):
            import_samples([tmp_path / f"{number}.json"], tmp_path / "store")
