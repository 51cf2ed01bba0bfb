"""The log of an atlas: every run that made it, from manifests, its build, what was added, and how it is shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

import atlas
from atlas.cli.main import main
from atlas.database.add import add_stage
from atlas.stages.manifest import read_manifest


def log_of(path: Path) -> list[dict]:
    with atlas.open(path) as opened:
        return opened.experiments().to_arrow_table().to_pylist()


def test_every_stage_and_the_build_are_runs(small_atlas: Path) -> None:
    rows = log_of(small_atlas)
    assert [row["run"] for row in rows] == list(range(1, len(rows) + 1))
    by_name = {row["name"]: row for row in rows}
    assert rows[0]["command"] == "aggregate"
    assert {row["command"] for row in rows} >= {"cluster", "circuits", "import labels", "project", "collect", "measure"}
    folder = small_atlas.parent
    for name, stage in (("stats", "stats"), ("clusters", "clusters")):
        manifest, row = read_manifest(folder / name, stage), by_name[name]
        parameters = json.loads(row["parameters"])
        stated = {key: value for key, value in manifest["options"].items() if value is not None}
        assert {key: parameters[key] for key in stated} == stated
        assert row["tool_version"] == manifest["tool_version"]
    figures = json.loads(by_name["stats"]["figures"])
    assert (figures["graphs"], figures["links"]) == (30, 3600)
    assert (
        json.loads(by_name["clusters"]["figures"])["cluster_count"]
        == read_manifest(folder / "clusters", "clusters")["cluster_count"]
    )
    last = rows[-1]
    assert (last["command"], last["output"], last["inputs"][0]) == ("build", "small.duckdb", "stats")
    with atlas.open(small_atlas) as opened:
        edges = opened.sql("SELECT count(*) FROM edges").fetchall()[0][0]
    assert json.loads(last["figures"])["total_edges"] == edges
    assert last["seconds"] > 0
    assert all(row["finished"] is not None for row in rows)


def test_what_is_added_follows(small_atlas: Path, tmp_path: Path) -> None:
    before = log_of(small_atlas)
    add_stage(small_atlas, small_atlas.parent / "labels", out=tmp_path / "more.duckdb")
    after = log_of(tmp_path / "more.duckdb")
    assert after[:-1] == before
    assert (after[-1]["command"], after[-1]["name"], after[-1]["run"]) == ("add", "labels", len(before) + 1)


@pytest.mark.parametrize("fmt", ["text", "markdown", "json", "csv"])
def test_the_log_is_shown(fmt: str, small_atlas: Path) -> None:
    result = CliRunner().invoke(main, ["log", str(small_atlas), "--format", fmt, "--parameters"])
    assert result.exit_code == 0, result.stderr
    for word in (
        "atlas aggregate",
        "atlas build",
        "graphs 30",
        "cooccurrence 20",
        "small.duckdb" if fmt != "csv" else "stats",
    ):
        assert word in result.stdout


def test_an_earlier_atlas_has_an_empty_log(small_atlas: Path, tmp_path: Path) -> None:
    path = tmp_path / "earlier.duckdb"
    shutil.copy(small_atlas, path)
    with duckdb.connect(str(path)) as con:
        con.execute("DROP TABLE experiments; DROP TABLE map_discs")
        con.execute("UPDATE metadata SET value = '10' WHERE key = 'atlas_schema'")
    assert log_of(path) == []
    with atlas.open(path) as opened:
        assert len(opened.hubs(limit=3).fetchall()) == 3
