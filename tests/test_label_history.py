"""Labels of one's own: added to, never lost, taken back, imported and exported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from atlas.cli.main import main
from atlas.errors import InputError, UsageError
from atlas.ids import UnitId
from atlas.labels import LabelFile, import_labels
from atlas.labels.history import append_label, export_consolidated, label_history


def unit(text: str) -> UnitId:
    return UnitId.parse(text)


def test_the_last_label_holds_and_all_stay(tmp_path: Path) -> None:
    file = tmp_path / "notes" / "labels.jsonl"
    append_label(file, unit("L24/N5326"), " months ", author="ada", confidence="low")
    append_label(file, unit("L2/F10"), "self.", author="ada")
    row = append_label(file, unit("L24/N5326"), "names of months", author="bob", notes="in English")
    assert row["replaces"] == "months"
    append_label(file, unit("L24/N5326"), "dates", author="bob", kind="input")
    append_label(file, unit("L1/N1"), "wrong", author="ada")
    append_label(file, unit("L1/N1"), "", author="ada")
    history = label_history(file, unit("L24/N5326"))
    assert [(r["label"], r["author"]) for r in history] == [
        ("months", "ada"),
        ("names of months", "bob"),
        ("dates", "bob"),
    ]
    import_labels([LabelFile(file)], tmp_path / "out")
    found = pl.read_parquet(tmp_path / "out" / "labels.parquet").sort("layer", "kind", nulls_last=True)
    assert found.select("layer", "neuron", "text", "kind", "source", "dictionary").rows() == [
        (2, 10, "self.", None, "ada", "sae"),
        (24, 5326, "dates", "input", "bob", None),
        (24, 5326, "names of months", None, "bob", None),
    ]


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    code = (
        "import sys; from pathlib import Path; from atlas.ids import UnitId; from atlas.labels.history import append_label\n"
        "for n in range(40): append_label(Path(sys.argv[1]), UnitId('neuron', 1, n), f'{sys.argv[2]} {n}', author=sys.argv[2])"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(file), name]) for name in ("a", "b", "c")]
    assert [process.wait() for process in running] == [0, 0, 0]
    rows = label_history(file)
    assert len(rows) == 120
    assert {(row["author"], row["neuron"]) for row in rows} == {(name, n) for name in "abc" for n in range(40)}
    # Each one states the label before it, whoever wrote that.
    for number in range(40):
        mine = label_history(file, UnitId("neuron", 1, number))
        assert [row["replaces"] for row in mine] == [None, mine[0]["label"], mine[1]["label"]]


def test_consolidated_files(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    for text in ("first", "second"):
        append_label(file, unit("L0/F845"), text, author="ada")
    assert export_consolidated(file, tmp_path / "consolidated_full.json") == 1
    (row,) = json.loads((tmp_path / "consolidated_full.json").read_text()).values()
    assert set(row) == {
        "feature_id", "model_type", "dashboard_name", "dashboard_category", "dashboard_notes", "research_label",
        "research_state_path", "hypothesis_confidence", "display_name", "source", "last_updated",
    }  # fmt: skip
    import_labels([LabelFile(tmp_path / "consolidated_full.json")], tmp_path / "out")
    found = pl.read_parquet(tmp_path / "out" / "labels.parquet")
    assert found.select("layer", "neuron", "text", "source").rows() == [(0, 845, "second", "ada")]
    append_label(file, unit("L1/F845"), "other layer")
    with pytest.raises(InputError, match=r"labels of the layers \[0, 1\]"):
        export_consolidated(file, tmp_path / "x.json")


def test_files_of_something_else_are_not_added_to(tmp_path: Path) -> None:
    for name, text in (("thesis.tex", "\\section{x}"), ("rows.jsonl", '{"a": 1}\n')):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError):
            append_label(tmp_path / name, unit("L1/N1"), "x")
        assert (tmp_path / name).read_text() == text
    # A line that lacks its end, as an editor leaves it, is kept whole.
    file = tmp_path / "labels.jsonl"
    file.write_text('{"layer": 1, "neuron": 2, "label": "by hand"}')
    append_label(file, unit("L1/N2"), "next")
    assert [row["label"] for row in label_history(file)] == ["by hand", "next"]


def test_the_command(tmp_path: Path) -> None:
    file = str(tmp_path / "labels.jsonl")
    run = CliRunner().invoke
    assert "months, by ada" in run(main, ["label", file, "L24/N5326", "months", "--author", "ada"]).output
    assert "(was: months)" in run(main, ["label", file, "L24/N5326", "dates", "--author", "bob"]).output
    shown = run(main, ["label", file, "L24/N5326"]).output
    assert shown.index("months") < shown.index("dates")
    assert "1 labels in" in run(main, ["label", file, "--consolidated", str(tmp_path / "c.json")]).output
    assert run(main, ["label", file, "L24-5326", "x"]).exit_code == 1


def test_a_feature_label_never_becomes_one_of_a_neuron(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    append_label(file, unit("L2/F10"), "self.", author="ada")
    append_label(file, unit("L2/N10"), "loops", author="ada")
    import_labels([LabelFile(file, same_units=True)], tmp_path / "out")
    found = pl.read_parquet(tmp_path / "out" / "labels.parquet")
    assert dict(found.select("text", "dictionary").rows()) == {"self.": "sae", "loops": None}


def test_history_knows_features_of_any_dictionary_and_no_other_kinds(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text('{"layer": 2, "feature": 7, "label": "indent"}\n{"layer": 2, "neuron": 7, "label": "no"}\n')
    assert [row["label"] for row in label_history(file, unit("L2/F7"))] == ["indent"]
    with pytest.raises(UsageError, match="unknown label kind 'nonsense'; there are output"):
        append_label(file, unit("L2/F7"), "x", kind="nonsense")
