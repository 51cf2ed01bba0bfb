"""Neuron reports of the earlier tool as rows, in every shape their files have had."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import legacy_factories
import pyarrow.parquet as pq
import pytest
from legacy_factories import Corpus

from atlas.database import Inputs, build_database
from atlas.errors import InputError
from atlas.importers.checkpoint import import_checkpoint
from atlas.importers.reports import import_reports


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    legacy_factories.report_files(tmp_path / "json")
    return tmp_path / "json"


def test_findings_and_evidence_become_rows(reports: Path, tmp_path: Path) -> None:
    summary = import_reports([reports], tmp_path / "reports")
    assert (summary.files, summary.neurons) == (4, 2)
    assert summary.rejects == {"bad_json": 3, "no_report": 1, "no_neuron": 1}
    rows = {(r["neuron"], r["kind"]): r for r in pq.read_table(tmp_path / "reports" / "reports.parquet").to_pylist()}
    first = rows[7890, "investigation"]
    assert (first["layer"], first["summary"], first["confidence"], first["function_type"]) == (
        15,
        "It fires on drugs.",
        0.85,
        "semantic",
    )
    assert (first["polarity"], first["regime"], first["experiment_count"], first["skeptic_verdict"]) == (
        "positive",
        "standard",
        34,
        "SUPPORTED",
    )
    assert first["findings"] == ["selective", '{"z": 3}']
    assert first["open_questions"] == ["why?"]
    assert json.loads(first["details"])["skeptic_report"] == {"verdict": "SUPPORTED"}
    assert json.loads(first["details"])["evidence"] == {"dose_response_results": [{"dose": 1}]}  # what becomes no row
    assert rows[4, "investigation"]["summary"] == "pain"
    assert (rows[7890, "dashboard"]["title"], rows[7890, "dashboard"]["reported"]) == ("aspirin", "2025-12-02")
    review = rows[7890, "review"]
    assert (review["verdict"], review["skeptic_verdict"], review["summary"], review["findings"]) == (
        "APPROVE",
        "WEAKENED",
        "drugs",
        ["vitamins fire"],
    )


def test_evidence_keeps_its_order_and_its_numbers(reports: Path, tmp_path: Path) -> None:
    import_reports([reports], tmp_path / "reports")
    rows = pq.read_table(tmp_path / "reports" / "report_examples.parquet").to_pylist()

    def of(file: str) -> list[tuple]:
        return [
            (r["kind"], r["rank"], r["prompt"], r["token"], r["value"], r["other_layer"], r["text"])
            for r in rows
            if r["file"] == f"{file}.json"
        ]

    assert of("L15_N7890_investigation") == [
        ("activating", 1, "Take aspirin", "aspirin", 3.5, None, None),
        ("activating", 2, "bare text", None, None, None, None),
        ("non_activating", 1, "Hello", "Hello", 0.0, None, None),
        ("promotes", 1, "Take aspirin", "no", 0.5, None, None),
        ("suppresses", 1, "Take aspirin", "mg", -1.25, None, None),
        ("suppresses", 2, "Take aspirin", "pill", -0.5, None, None),
        ("steering", 1, "Take", None, 5.0, None, None),
        ("upstream", 1, None, None, 0.5, 3, "pain"),
        ("downstream", 1, None, "LOGIT(mg)", 2.0, None, None),
        ("relp", 1, "Take aspirin", None, 0.125, None, "live"),
        ("hypothesis", 1, None, None, 0.9, None, "drugs"),
    ]
    assert of("L3_N4_investigation") == [
        ("negatively_activating", 1, "x", None, -1.0, None, None),
        ("downstream", 1, None, None, -0.5, 15, None),
    ]
    assert of("L15_N7890_dashboard") == [
        ("activating", 1, "p", "t", 2.0, None, None),
        ("suppresses", 1, None, "mg", -0.5, None, None),
        ("upstream", 1, None, None, 0.5, 3, "pain"),
        ("hypothesis", 1, None, None, 0.75, None, "drugs"),
    ]
    assert of("L15_N7890_pi_result") == [
        ("test", 1, "Take C", None, 0.5, None, "vitamins"),
        ("hypothesis", 1, None, None, None, None, "verbs"),
        ("review", 1, None, None, 1.0, None, "more tests"),
        ("review", 2, None, None, 2.0, None, "fine"),
    ]


@pytest.mark.slow
def test_reports_stand_beside_neurons_in_an_atlas(reports: Path, tmp_path: Path, atlas_command) -> None:
    corpus = Corpus(graphs=5, layers=4, neurons=5)
    import_checkpoint(corpus.write(tmp_path / "latest.dat"), tmp_path / "stats")
    done = atlas_command("import", "reports", reports, "-o", tmp_path / "reports")
    assert (done.returncode, "rejects: bad_json 3" in done.stderr) == (0, True)
    atlas = build_database(tmp_path / "a.duckdb", Inputs(tmp_path / "stats", reports=tmp_path / "reports")).path
    with duckdb.connect(str(atlas), read_only=True) as con:
        assert con.execute("SELECT layer, kind, in_atlas FROM reports ORDER BY ALL").fetchall() == [
            (3, "investigation", True), (15, "dashboard", False), (15, "investigation", False), (15, "review", False),
        ]  # fmt: skip
        assert con.execute("SELECT count(*) FROM report_examples").fetchall() == [(21,)]
    page = atlas_command("neuron", atlas, "L3/N4").stdout
    assert "report     pain  (investigation, L3_N4_investigation.json)" in page


def test_a_folder_without_reports_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no neuron report \(no .json file\)"):
        import_reports([tmp_path], tmp_path / "reports")
    (tmp_path / "a.json").write_text("7")
    with pytest.raises(InputError, match="1 no_report"):
        import_reports([tmp_path], tmp_path / "reports")
