"""Label files of other tools, field by field as they write them."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from atlas.errors import LabelFileError
from atlas.labels import LabelFile, import_labels


def imported(path: Path, found: Any) -> list[dict[str, Any]]:
    """Write `found` as the file asks, import it, and give the labels as rows without what is null."""
    text = "".join(json.dumps(row) + "\n" for row in found) if ".jsonl" in path.name else json.dumps(found)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    import_labels([LabelFile(path)], path.parent / "out")
    rows = pl.read_parquet(path.parent / "out" / "labels.parquet").sort("layer", "neuron", "rank", "kind").to_dicts()
    return [{key: value for key, value in row.items() if value is not None and key not in ("file", "rank", "is_uninformative", "sources")} for row in rows]  # fmt: skip


FUNCTION_DB = {
    "neurons": {
        "L24/N5326": {
            "neuron_id": "L24/N5326", "layer": 24, "neuron_idx": 5326,
            "function_label": "months", "function_description": "promotes names of months", "confidence": "high",
            "interpretability": "high", "function_type": "semantic",
            "input_label": "dates", "input_description": "fires on dates", "input_type": "token-pattern",
            "input_interpretability": "medium", "input_confidence": "llm-auto",
            "upstream_neurons": [{"neuron_id": "L1/N2", "weight": 0.5, "function_label": None}],
            "direct_logit_effects": {"promotes": [{"token": " May", "weight": 1.0}], "suppresses": []},
            "neurondb_label": "calendar words", "appearance_count": 12,
        },
        "L0/N7": {"layer": 0, "neuron_idx": 7, "function_label": "uninterpretable", "function_type": "unknown"},
    },
    "metadata": {"total_neurons": 2, "layers": [0, 24]},
}  # fmt: skip


@pytest.mark.parametrize("name", ["neuron_labels_combined.json", "db.json.gz"])
def test_the_function_database(tmp_path: Path, name: str) -> None:
    unlabelled, output, given, activates = imported(tmp_path / name, FUNCTION_DB)
    assert (unlabelled["layer"], unlabelled["neuron"], unlabelled["text"]) == (0, 7, "uninterpretable")
    source = name.split(".")[0]
    assert output == {
        "layer": 24, "neuron": 5326, "text": "months", "kind": "output", "source": source, "confidence": "high",
        "description": "promotes names of months", "interpretability": "high", "type": "semantic",
    }  # fmt: skip
    assert given == {
        "layer": 24, "neuron": 5326, "text": "dates", "kind": "input", "source": source, "confidence": "llm-auto",
        "description": "fires on dates", "interpretability": "medium", "type": "token-pattern",
    }  # fmt: skip
    assert (activates["kind"], activates["source"], activates["text"]) == ("activation+", "neurondb", "calendar words")


def test_the_batch_labeler(tmp_path: Path) -> None:
    row = {
        "neuron_id": "L3/N4", "layer": 3, "neuron_idx": 4, "output_label": "a", "output_description": "b",
        "output_type": "routing", "output_interpretability": "low", "input_label": "c", "input_description": "d",
        "input_type": "context", "input_interpretability": "high", "interestingness_score": 7,
        "interestingness_reason": "because", "confidence": "medium", "appearance_count": 9,
    }  # fmt: skip
    output, given = imported(tmp_path / "batch.json", [row])
    assert (output["text"], output["type"], output["interpretability"], output["confidence"], output["score"]) == ("a", "routing", "low", "medium", 7.0)  # fmt: skip
    assert (given["text"], given["description"], given["type"], given["interpretability"]) == ("c", "d", "context", "high")  # fmt: skip
    assert "confidence" not in given


def test_olmo(tmp_path: Path) -> None:
    row = {
        "label": "long label", "short_label": "short", "output_function": "does", "type": "lexical",
        "interpretability": "high", "confidence": "low", "input_label": "in", "input_function": "fires",
        "input_type": "position", "input_interpretability": "medium", "input_confidence": "high", "autointerp_label": "raw",
    }  # fmt: skip
    found = imported(tmp_path / "olmo3_enriched_labels.json", {"L5/N6": row})
    assert sorted((one.get("kind"), one["text"], one.get("confidence"), one["source"]) for one in found if one.get("kind")) == [
        ("input", "in", "high", "olmo3_enriched_labels"),
        ("output", "long label", "low", "olmo3_enriched_labels"),
        ("output", "short", "low", "olmo3_enriched_labels"),
    ]  # fmt: skip
    assert [(one["text"], one["source"]) for one in found if not one.get("kind")] == [("raw", "autointerp")]
    # The short one is shown.
    frame = pl.read_parquet(tmp_path / "out" / "labels.parquet")
    assert frame.filter(pl.col("rank") == 1)["text"].to_list() == ["short"]


def test_qwen(tmp_path: Path) -> None:
    rows: list[Any] = [
        {"feature_id": 1, "labels": [{"label": "x", "metadata": {"parsed_response": {"label": "x", "description": "about x"}}}], "feature_metadata": {"layer": 2, "neuron": 3, "num_exemplars": 9, "max_activation": 4.5}},
        {"feature_id": 2, "labels": [], "feature_metadata": {"layer": 2, "neuron": 4}},
        {"feature_id": 3, "labels": [{"label": "y"}], "feature_metadata": {}},
    ]  # fmt: skip
    full, empty = imported(tmp_path / "labels.jsonl", rows)
    assert full == {"layer": 2, "neuron": 3, "text": "x", "source": "labels", "description": "about x", "num_exemplars": 9, "max_activation": 4.5}  # fmt: skip
    assert (empty["neuron"], empty.get("text", "")) == (4, "")
    assert pl.read_parquet(tmp_path / "out" / "label_files.parquet")["malformed_count"].to_list() == [1]


def test_profiles_with_neurondb_labels(tmp_path: Path) -> None:
    profiles = [{"layer": 1, "neuron": 2, "neuron_id": "L1/N2", "appearance_count": 5, "transluce_label_positive": "p", "transluce_label_negative": "n", "max_act_label": None}]  # fmt: skip
    found = imported(tmp_path / "edge_stats_enriched.json", {"metadata": {"model": "m"}, "summary": {}, "profiles": profiles})  # fmt: skip
    assert [(one["kind"], one["text"], one["source"]) for one in found] == [("activation+", "p", "transluce"), ("activation-", "n", "transluce")]  # fmt: skip


def test_the_table_of_neurondb(tmp_path: Path) -> None:
    with (tmp_path / "neurondb_labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["layer", "neuron", "description"], [1, 2, "best"], [1, 2, "second"]])
    import_labels([LabelFile(tmp_path / "neurondb_labels.csv")], tmp_path / "out")
    frame = pl.read_parquet(tmp_path / "out" / "labels.parquet").sort("rank")
    assert frame.select("text", "kind", "source").rows() == [("best", "activation+", "neurondb"), ("second", "activation+", "neurondb")]  # fmt: skip


def test_explanations_of_neuronpedia(tmp_path: Path) -> None:
    rows = [{"modelId": "gpt2-small", "layer": "6-res-jb", "index": "650", "description": "names of rivers", "typeName": "oai_token-act-pair", "explanationModelName": "gpt-4"}]  # fmt: skip
    (found,) = imported(tmp_path / "explanations.jsonl.gz", rows)
    assert (found["layer"], found["neuron"], found["text"], found["source"], found["model"]) == (6, 650, "names of rivers", "neuronpedia", "gpt-4")  # fmt: skip
    assert (found["subject_model"], found["dictionary"]) == ("gpt2-small", "res-jb")


def test_real_explanations_of_delphi(data: Path, tmp_path: Path) -> None:
    path = data / "labels" / "delphi" / "explanations_layer_4.json"
    import_labels([LabelFile(path)], tmp_path / "out")
    frame = pl.read_parquet(tmp_path / "out" / "labels.parquet").sort("neuron")
    plain = json.loads(path.read_text())
    assert frame["neuron"].to_list() == sorted(map(int, plain))
    assert set(frame["layer"]) == {4}
    assert frame["text"][0] == plain["1"].removeprefix("Explanation: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"metadata": {"a": 1}}', "holds no label: rows stand in a list"),
        ('{"neurons": {"L1/N2": {"function_label": "x"}, "L1/N', "ends in the middle; 1 members are whole"),
        ('{"neurons": {"L1/N2": nothing at all, really}}', "is no JSON after 0 members"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(LabelFileError, match=said):
        import_labels([LabelFile(tmp_path / "a.json")], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_explanations_is_read_file_by_file(tmp_path: Path) -> None:
    folder = tmp_path / "explanations"
    folder.mkdir()
    (folder / "layers.4.mlp_latent12.txt").write_text('"Explanation: words about \\u00e9t\\u00e9"')
    (folder / "model.layers.10_feature7.txt").write_text("plain words")
    (folder / "layers.4.mlp_latent13.txt").write_text("[1, 2]")
    (folder / "notes.txt").write_text("not an explanation")
    result = import_labels([LabelFile(folder)], tmp_path / "labels")[0]
    assert (result.row_count, result.kept_count, result.uninformative_count, result.from_graphs) == (3, 2, 1, False)
    found = pq.read_table(tmp_path / "labels" / "labels.parquet").to_pylist()
    assert [
        (row["layer"], row["neuron"], row["text"], row["source"]) for row in found if not row["is_uninformative"]
    ] == [
        (4, 12, "words about été", "delphi"),
        (10, 7, "plain words", "delphi"),
    ]
    files = pq.read_table(tmp_path / "labels" / "label_files.parquet").to_pylist()[0]
    assert files["size_bytes"] == sum(path.stat().st_size for path in folder.iterdir() if path.name != "notes.txt")


def test_a_run_of_delphi_gives_its_detection_scores(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for name in ("explanations", "scores/detection"):
        (run / name).mkdir(parents=True)
    answers = [(True, True), (True, True), (True, False), (True, None), (False, False), (False, True), (False, 0)]
    rows = [{"activating": is_so, "prediction": said, "distance": 1} for is_so, said in answers]
    for number, text in ((12, json.dumps(rows)), (13, json.dumps(rows[:4])), (14, "damaged"), (15, '["x", 3, {}]')):
        (run / "explanations" / f"layers.4.mlp_latent{number}.txt").write_text(f'"words {number}"')
        (run / "scores" / "detection" / f"layers.4.mlp_latent{number}.txt").write_text(text)
    (run / "explanations" / "layers.4.mlp_latent16.txt").write_text('"words 16"')
    for folder in (run, run / "explanations"):
        import_labels([LabelFile(folder)], tmp_path / "labels")
        found = pq.read_table(tmp_path / "labels" / "labels.parquet").to_pylist()
        # 2 of 3 activating ones and 2 of 3 others are answered rightly; one is not answered.
        assert [(row["neuron"], row["score"], row["type"], row["num_exemplars"]) for row in found] == [
            (12, pytest.approx(2 / 3), "detection", 6),
            *((number, None, None, None) for number in (13, 14, 15, 16)),
        ]
        files = pq.read_table(tmp_path / "labels" / "label_files.parquet").to_pylist()[0]
        assert files["size_bytes"] == sum(path.stat().st_size for path in run.rglob("*.txt"))


def test_explanations_with_scores_and_dashboards(tmp_path: Path) -> None:
    (tmp_path / "explanations.json").write_text(
        '{"layer": 5, "results": {"3": {"latent": 3, "explanation": "dates", "score": 0.75}, "4": {"explanation": "cities"}}}'
    )
    (tmp_path / "batch-0.json").write_text(
        '{"model_id": "gpt2", "layer": 2, "features": [{"feature_index": 9, "pos_str": [" a", " b", " c", " d"], "pos_values": [3, 2, 1, 0]}]}'
    )
    files = [LabelFile(tmp_path / name) for name in ("explanations.json", "batch-0.json")]
    import_labels(files, tmp_path / "labels")
    found = pq.read_table(tmp_path / "labels" / "labels.parquet").to_pylist()
    columns = ("layer", "neuron", "text", "source", "score", "model")
    assert [tuple(row[name] for name in columns) for row in found] == [
        (2, 9, "‘ a’ ‘ b’ ‘ c’", "saedashboard", None, "gpt2"),
        (5, 3, "dates", "autointerp", 0.75, None),
        (5, 4, "cities", "autointerp", None, None),
    ]


def test_explanations_of_wandb_runs_and_consolidated_files(tmp_path: Path) -> None:
    first = {
        "blocks.3.mlp.hook_post_neuron_2": {
            "text": "closing brackets", "score": 0.41, "sae_position": "blocks.3.mlp.hook_post", "neuron_index": 2, "num_examples": 9,
        },
        "blocks.3.mlp.hook_post_neuron_5": {
            "text": "imports", "score": None, "sae_position": "blocks.3.mlp.hook_post", "neuron_index": 5, "num_examples": 3,
        },
    }  # fmt: skip
    assert imported(tmp_path / "explanations.json", first) == [
        {
            "layer": 3,
            "neuron": 2,
            "text": "closing brackets",
            "score": 0.41,
            "type": "simulation",
            "source": "autointerp",
        },
        {"layer": 3, "neuron": 5, "text": "imports", "source": "autointerp"},
    ]
    second = {
        "blocks.1.hook_resid_post": [
            {"neuron_idx": 8, "explanation": "names", "detection_score": 0.75, "fuzz_score": 0.6}
        ]
    }
    assert imported(tmp_path / "second.json", second) == [
        {"layer": 1, "neuron": 8, "text": "names", "score": 0.75, "type": "detection", "source": "autointerp"}
    ]
    named = {
        "feature_id": 845,
        "model_type": "full",
        "dashboard_category": "tactical",
        "dashboard_notes": "",
        "source": "claude code",
    }
    third = {"845": {**named, "display_name": "swim speed"}, "846": {**named, "feature_id": 846, "display_name": ""}}
    (label,) = imported(tmp_path / "consolidated_full.json", third)
    assert (label["layer"], label["neuron"], label["text"]) == (0, 845, "swim speed")
    assert (label["type"], label["source"]) == ("tactical", "claude code")
