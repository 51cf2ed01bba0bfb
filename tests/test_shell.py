"""The prompt of `atlas shell`, and completion of the command in the user's shell."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

import atlas
from atlas.cli.main import main
from atlas.cli.shell import Shell


def session(small_atlas: Path, *lines: str) -> Any:
    return CliRunner().invoke(main, ["shell", str(small_atlas)], input="\n".join(lines) + "\n")


def test_sql_queries_sets_and_help(small_atlas: Path) -> None:
    done = session(
        small_atlas,
        "SELECT count(*) AS neurons",
        "FROM neurons;",
        ".find layer = 1 && graphs >= 3",
        ".query upstream L1/N2 --limit 1",
        ".search sure",
        ".show L1/N2",
        ".schema edges",
        ".help reach",
        ".format csv",
        "SELECT 1 AS one;",
        ".quit",
        "SELECT 'after' AS never;",
    )
    assert done.exit_code == 0
    with atlas.open(small_atlas) as small:
        count = small.sql("SELECT count(*) FROM neurons").fetchall()[0][0]
    lines = done.stdout.splitlines()
    assert lines[:2] == ["neurons", f"{count:>7}"]
    assert any(line.startswith("L1/N") for line in lines)
    assert "100% sure_thing" in done.stdout
    assert "Usage: atlas query FILE reach [OPTIONS]" in done.stdout
    assert "src_layer" in done.stdout
    assert "one\n1\n" in done.stdout
    assert "after" not in done.stdout
    assert f"{small_atlas.stem}> " not in done.stdout  # a pipe shows results alone


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("SELEC 1;", "syntax error"),
        ("DROP TABLE edges;", "SELECT"),
        ("ATTACH 'other.duckdb';", "SELECT"),
        (".query nothing", "no query is called 'nothing'"),
        (".query upstream nobody", "nobody"),
        (".find layr = 1", "layr"),
        (".show circuit-x", "no neuron and no circuit"),
        (".nothing", ".help lists them"),
        (".format png", "not 'png'"),
        (".query upstream 'L1/N2", "quotation"),
    ],
)
def test_errors_are_one_line_and_the_prompt_goes_on(small_atlas: Path, line: str, message: str) -> None:
    done = session(small_atlas, line, "SELECT 'still' AS here;")
    assert done.exit_code == 0
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "still" in done.stdout


def test_the_tab_key_completes_names(small_atlas: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with atlas.open(small_atlas) as small:
        shell = Shell(small)
        assert "similar_neurons" in shell.completedefault("similar_n", ".query similar_n")
        assert "edges_by_target" in shell.completedefault("edges_", "FROM edges_")
        assert "mean_abs_weight" in shell.completedefault("mean_a", "SELECT mean_a")
        assert shell.completenames(".qu") == [".query", ".quit"]


def completed(words: list[str], incomplete: str) -> set[str]:
    found = ShellComplete(main, {}, "atlas", "_ATLAS_COMPLETE").get_completions(words, incomplete)
    return {item.value for item in found}


def test_completion_of_queries_their_options_recipes_and_fields() -> None:
    assert completed(["query", "x.duckdb"], "strong") == {"strongest_paths"}
    assert {"--max-hops", "--min-graphs"} <= completed(["query", "x.duckdb", "strongest_paths"], "--m")
    assert "qwen3-32b" in completed(["build"], "qwen")
    assert {"layer = 1 && graph_count", "layer = 1 && graph(", "layer = 1 && graphs"} <= completed(
        ["find", "x.duckdb"], "layer = 1 && graph"
    )
    assert "shell" in completed([], "sh")
