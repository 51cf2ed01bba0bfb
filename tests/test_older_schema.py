"""An atlas of an earlier schema answers every question as the same atlas of this one does, and stays as it is."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

import atlas
from atlas.cli.main import main
from atlas.errors import AtlasFileError
from atlas.query.catalogue import catalogue

# What schema 9 did not have.
_ADDED = {
    "neurons": ("input_abs_sum", "output_abs_sum", "input_weight_norm", "output_weight_norm"),
    "labels": ("label_id",),
}
_TABLES = ("label_documents", "label_terms", "label_postings", "edges_inside", "card", "experiments", "map_discs")


@pytest.fixture(scope="module")
def older(small_atlas: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("older") / "small.duckdb"
    shutil.copy(small_atlas, path)
    with duckdb.connect(str(path)) as con:
        for name, kind in con.sql(
            "SELECT DISTINCT function_name, function_type FROM duckdb_functions() WHERE NOT internal"
        ).fetchall():
            con.execute(f"DROP MACRO{' TABLE' if 'table' in kind else ''} {name}")
        for (name,) in con.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall():
            con.execute(f"DROP VIEW {name}")
        for table in _TABLES:
            con.execute(f"DROP TABLE IF EXISTS {table}")
        for table, columns in _ADDED.items():
            kept = [row[0] for row in con.sql(f"DESCRIBE {table}").fetchall() if row[0] not in columns]
            con.execute(
                f"CREATE TABLE fresh AS SELECT {', '.join(kept)} FROM {table}; DROP TABLE {table}; ALTER TABLE fresh RENAME TO {table}"
            )
        con.execute("UPDATE metadata SET value = '9' WHERE key = 'atlas_schema'")
        con.execute("DELETE FROM help WHERE name IN ('search', 'similar_neurons')")
    return path


@pytest.fixture(scope="module")
def both(small_atlas: Path, older: Path):
    with atlas.open(small_atlas) as new, atlas.open(older) as old:
        yield new, old


def plain(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [
        tuple(pytest.approx(value, rel=1e-5, nan_ok=True) if isinstance(value, float) else value for value in row)
        for row in rows
    ]


@pytest.mark.slow
# Of the runs that made it, of itself and of a map an earlier atlas says nothing; test_experiments and test_map have that.
@pytest.mark.parametrize("name", sorted(catalogue().keys() - {"experiments", "data_card", "constellation"}))
def test_every_query_answers_the_same(name: str, both: Any) -> None:
    new, old = both
    values = {"INTEGER": 1, "BIGINT": 10, "VARCHAR": "t1", "BOOLEAN": True, "DOUBLE": 0.1, "NEURONS": "layer = 1"}
    named = {
        "layer": 1,
        "neuron": 2,
        "circuit": "1",
        "cluster_path": "1",
        "words": "label",
        "graph_id": 3,
        "graphs": "1, 2",
        "others": "3",
        "output": "t2",
        "by": "layer",
    }
    given = {
        one.name: named.get(one.name, one.choices[0] if one.choices else values[one.type])
        for one in catalogue()[name].parameters
        if one.required
    }
    expected = [row for row in new.query(name, **given).fetchall() if row[0] != "atlas_schema"]
    found = [row for row in old.query(name, **given).fetchall() if row[0] != "atlas_schema"]
    assert found == plain(expected)


def test_sets_and_pages(both: Any, older: Path) -> None:
    new, old = both
    chosen = "label ~ label && share >= 0.1 && upstream(L2/N3, hops=2, share=0.01) || similar(L1/N2, by=both, top=3)"
    assert old.find(chosen).fetchall() == new.find(chosen).fetchall()
    examples = old.sql("SELECT name, example FROM help").fetchall()
    assert {"search", "similar_neurons"} <= {name for name, _ in examples}
    for _, example in examples:
        old.sql(example.rstrip(";")).fetchall()
    for command in (["info"], ["neuron", "L1/N2"], ["circuit", "1"], ["search", "label"], ["tour"]):
        done = CliRunner().invoke(main, [command[0], str(older), *command[1:]])
        assert done.exit_code == 0, done.output


def test_the_file_stays_as_it_is_and_is_not_written_to(older: Path, tmp_path: Path) -> None:
    before = older.read_bytes()
    with atlas.open(older) as old:
        old.search("label").fetchall()
    for command in (
        ["export", "slim", str(older), "-o", str(tmp_path / "x.duckdb")],
        ["add", str(older), str(tmp_path)],
    ):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 1
        assert re.search("has atlas schema 9.*build it again|is neither a clustering nor labels", done.output), (
            done.output
        )
    assert older.read_bytes() == before


@pytest.mark.parametrize(
    ("version", "message"), [("8", "build it again"), ("13", "update circuit-atlas"), ("x", "build it again")]
)
def test_much_older_and_newer_ones_are_refused(older: Path, tmp_path: Path, version: str, message: str) -> None:
    shutil.copy(older, tmp_path / "a.duckdb")
    with duckdb.connect(str(tmp_path / "a.duckdb")) as con:
        con.execute("UPDATE metadata SET value = $1 WHERE key = 'atlas_schema'", [version])
    with pytest.raises(AtlasFileError, match=message):
        atlas.open(tmp_path / "a.duckdb")
