"""Paths as people type them, and as files that are handed around record them."""

from __future__ import annotations

import json
from pathlib import Path

import factories
import pytest

from atlas.errors import InputError
from atlas.io.paths import local_path, matching, recorded
from atlas.pipeline import run_recipe
from atlas.pipeline.recipe import load_recipe


def test_paths_are_recorded_without_the_folders_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert recorded(tmp_path / "graphs" / "a") == "graphs/a"
    assert recorded("graphs/*.json") == "graphs/*.json"
    assert recorded("/home/somebody/graphs") == "graphs"
    assert recorded("../../home/somebody/graphs") == "graphs"
    assert recorded("/home/somebody/g/x", Path("/home/somebody/g")) == "x"


def test_patterns_below_odd_folders(tmp_path: Path) -> None:
    (tmp_path / "x[1]").mkdir()
    (tmp_path / "x[1]" / "a.json").write_text("")
    (tmp_path / "x1").mkdir()
    (tmp_path / "x1" / "b.json").write_text("")
    assert matching(str(tmp_path / "x[1]" / "*.json")) == [tmp_path / "x[1]" / "a.json"]
    assert matching(str(tmp_path / "x?" / "*")) == [tmp_path / "x1" / "b.json"]
    assert matching(str(tmp_path / "x[1]")) == [tmp_path / "x[1]"]


def test_addresses_and_standard_input_are_refused() -> None:
    for text in ("https://example.org/a", "https:/example.org/a", "s3://bucket/a"):
        with pytest.raises(InputError, match="addresses are not fetched"):
            local_path(text)
    with pytest.raises(InputError, match="cannot read from a pipe"):
        local_path("-")


@pytest.mark.slow
def test_nothing_that_a_build_writes_tells_where_it_was_made(tmp_path: Path) -> None:
    import duckdb

    for seed in range(3):
        factories.write(tmp_path / "secret-home" / "graphs" / f"{seed}.json", factories.random_graph(seed))
    labels = tmp_path / "secret-home" / "labels.csv"
    labels.write_text("layer,neuron,label\n1,2,x\n")
    recipe = tmp_path / "secret-home" / "r.toml"
    recipe.write_text(
        f'[graphs]\npaths = "{tmp_path}/secret-home/graphs"\n[[labels.files]]\npath = "{labels}"\n[[cluster]]\nmin_count = 1\ntrials = 1\n'
        f'output = "x"\n'.replace('output = "x"\n', "")
    )
    out = tmp_path / "handed-around" / "a.duckdb"
    run_recipe(load_recipe(recipe, output=out), recipe_path=recipe)
    hidden = (str(tmp_path), "secret-home")
    for path in out.parent.rglob("*"):
        if path.is_file() and path.suffix != ".duckdb":
            assert not any(word.encode() in path.read_bytes() for word in hidden), path
    with duckdb.connect(str(out), read_only=True) as con:
        for table, column in con.execute(
            "SELECT table_name, column_name FROM duckdb_columns() JOIN duckdb_tables() USING (table_name) WHERE data_type = 'VARCHAR'"
        ).fetchall():
            for (text,) in con.execute(
                f'SELECT DISTINCT "{column}" FROM "{table}" WHERE "{column}" IS NOT NULL'
            ).fetchall():
                assert not any(word in text for word in hidden), (table, column, text)
        recipe_text = con.execute("SELECT value FROM metadata WHERE key = 'recipe'").fetchall()[0][0]
    assert json.loads(recipe_text)["graphs"]["paths"] == ["graphs"]
