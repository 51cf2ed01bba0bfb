"""A recipe from graphs to atlas: what runs again, what does not, and what a kill leaves behind."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import factories
import polars as pl
import pytest
from conftest import made_once

from atlas.database import open_atlas, run_checks
from atlas.errors import InputError, OutputError
from atlas.io.files import only_writer
from atlas.pipeline import PipelineResult, run_recipe
from atlas.pipeline.fingerprints import Fingerprints
from atlas.pipeline.recipe import load_recipe


def make_project(folder: Path) -> None:
    """A folder with graphs, labels and a recipe."""
    for seed in range(12):
        factories.write(folder / "graphs" / f"{seed:03d}.json", factories.random_graph(seed, neurons=20, links=100))
    (folder / "labels.csv").write_text("layer,neuron,label\n1,2,first\n2,3,second\n")
    (folder / "small.toml").write_text(
        """
output = "${HERE}/out/small.duckdb"
[graphs]
paths = ["${HERE}/graphs"]
[[cluster]]
min_count = 2
trials = 2
[[labels.files]]
path = "${HERE}/labels.csv"
"""
    )


def make_built_project(folder: Path) -> None:
    make_project(folder)
    build(folder)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_project(tmp_path)
    return tmp_path


@pytest.fixture
def built(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """A project that was built before; all tests copy the same one."""
    made = made_once(tmp_path_factory, "project", make_built_project)
    return Path(shutil.copytree(made, tmp_path / "project"))


def build(project: Path, *settings: str) -> PipelineResult:
    path = project / "small.toml"
    return run_recipe(load_recipe(path, settings), recipe_path=path)


def ran(result: PipelineResult) -> list[str]:
    return [stage.name for stage in result.stages if stage.ran]


EVERYTHING = ["stats", "clusters-infomap", "circuits", "labels", "atlas"]


def test_the_first_build_runs_everything_and_the_second_nothing(project: Path) -> None:
    first = build(project)
    assert ran(first) == EVERYTHING
    changed = first.path.stat().st_mtime_ns
    second = build(project)
    assert ran(second) == []
    assert second.build is None
    assert second.path.stat().st_mtime_ns == changed
    with open_atlas(first.path) as con:
        assert all(result.passed for result in run_checks(con))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("a new graph", EVERYTHING),
        ("a changed graph", EVERYTHING),
        ("a removed graph", EVERYTHING),
        ("touched graphs", []),
        ("other labels", ["labels", "atlas"]),
        ("cluster.seed=7", ["clusters-infomap", "atlas"]),
        ("cluster.min_count=3", ["clusters-infomap", "atlas"]),
        ("labels.precedence=graphs", ["labels", "atlas"]),
        ("atlas.min_count=2", ["atlas"]),
        ("graphs.model=other", ["stats", "atlas"]),
        ("aggregate.device=cpu", []),
        ("aggregate.memory=1500000000", []),
        ("atlas.memory=2G", []),
        ("atlas removed", ["atlas"]),
        ("clusters removed", ["clusters-infomap"]),
        ("stats replaced by hand", ["clusters-infomap", "atlas"]),
    ],
)
def test_a_change_runs_exactly_what_depends_on_it(built: Path, change: str, expected: list[str]) -> None:
    graphs, stages = built / "graphs", built / "out" / "small.stages"
    settings = [change] if "=" in change else []
    if change == "a new graph":
        factories.write(graphs / "new.json", factories.random_graph(99))
    elif change == "a changed graph":
        factories.write(graphs / "003.json", factories.random_graph(98))
    elif change == "a removed graph":
        (graphs / "003.json").unlink()
    elif change == "touched graphs":
        for path in graphs.iterdir():
            os.utime(path)
    elif change == "other labels":
        (built / "labels.csv").write_text("layer,neuron,label\n1,2,third\n")
    elif change == "atlas removed":
        (built / "out" / "small.duckdb").unlink()
    elif change == "clusters removed":
        (stages / "clusters-infomap" / "manifest.json").unlink()
        for path in (stages / "clusters-infomap").iterdir():
            path.unlink()
    elif change == "stats replaced by hand":
        path = stages / "stats" / "edges" / "part-00000.parquet"
        pl.read_parquet(path).with_columns(pl.col("weight_abs_sum") * 2).write_parquet(path)
    assert ran(build(built, *settings)) == expected
    assert ran(build(built, *settings)) == []


@pytest.mark.slow
def test_metadata_says_how_it_was_made(project: Path) -> None:
    result = build(project, "cluster.seed=7")
    with open_atlas(result.path) as con:
        facts = dict(con.execute("SELECT key, value FROM metadata").fetchall())
        clustering = con.execute("SELECT seed, trial_count, options FROM clusterings").fetchall()
        roles = dict(con.execute("SELECT role, count(*) FROM sources GROUP BY role").fetchall())
    assert json.loads(facts["recipe"])["cluster"][0]["seed"] == 7
    assert float(facts["seconds_stats"]) > 0
    assert float(facts["peak_memory_mb"]) > 1
    assert facts["tool_version"]
    assert clustering[0][:2] == (7, 2)
    assert json.loads(clustering[0][2])["weight"] == "mean_abs_weight_sq"
    assert roles == {"graph": 12, "labels": 1 + 1, "recipe": 1}  # the file, and the labels of the graphs


@pytest.mark.slow
def test_two_builds_of_one_atlas_at_the_same_time(project: Path) -> None:
    with (
        only_writer(project / "out" / "small.stages"),
        pytest.raises(OutputError, match="is being written by another process"),
    ):
        build(project)
    build(project)
    with (
        only_writer(project / "out" / "small.duckdb"),
        pytest.raises(OutputError, match="small.duckdb is being written"),
    ):
        build(project, "atlas.min_count=2")


@pytest.mark.slow
def test_two_real_processes_at_once_leave_one_good_atlas(project: Path) -> None:
    code = "import sys; from atlas.cli.main import main; main()"
    command = [sys.executable, "-c", code, "build", str(project / "small.toml")]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [(run.communicate()[1], run.returncode) for run in runs]
    assert 0 in {code for _, code in ends}
    assert all(code == 0 or (code == 1 and "another process" in text) for text, code in ends), ends
    with open_atlas(project / "out" / "small.duckdb") as con:
        assert all(result.passed for result in run_checks(con))


@pytest.mark.slow
def test_a_build_killed_at_any_moment_is_finished_by_the_same_command(built: Path) -> None:
    """Killed at random moments; the old atlas stays readable and the end is the same."""
    expected = (built / "out" / "small.stages" / "stats" / "neurons" / "part-00000.parquet").read_bytes()
    command = [sys.executable, "-c", "from atlas.cli.main import main; main()", "build", str(built / "small.toml")]
    rng = random.Random(5)
    for number in range(6):
        factories.write(built / "graphs" / "x.json", factories.random_graph(1000 + number))
        run = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.3, 3.0))
        run.send_signal(signal.SIGKILL)
        run.wait()
        with open_atlas(built / "out" / "small.duckdb") as con:
            assert con.execute("SELECT count(*) > 0 FROM neurons").fetchall() == [(True,)]
    (built / "graphs" / "x.json").unlink()
    build(built)
    assert (built / "out" / "small.stages" / "stats" / "neurons" / "part-00000.parquet").read_bytes() == expected
    with open_atlas(built / "out" / "small.duckdb") as con:
        assert all(result.passed for result in run_checks(con))
    left = {path.name for path in (built / "out").iterdir()}
    assert left == {"small.duckdb", "small.stages", ".small.duckdb.lock", ".small.stages.lock"}


def test_a_missing_input_is_named(project: Path) -> None:
    (project / "labels.csv").unlink()
    with pytest.raises(InputError, match="labels.csv"):
        build(project)


@pytest.mark.slow
def test_the_real_atlas(data: Path, tmp_path: Path) -> None:
    from conftest import ROOT

    recipe = load_recipe(
        ROOT / "build" / "gemma-2-2b-clt-hp.toml", [f"output={tmp_path}/a.duckdb"], {"DATA": str(data)}
    )
    result = run_recipe(recipe)
    assert result.build is not None
    counts = result.build.counts
    assert counts["total_graphs"] == 65
    assert counts["links_in_files"] == counts["links_kept"] == 418_452
    assert counts["labels_in_atlas"] == counts["total_labels"] == counts["labelled_neurons"] == 1_108
    with open_atlas(result.path) as con:
        assert all(check.passed for check in run_checks(con))
        # 58 of 65 graphs share a template: its features are in nearly every graph, and show up first.
        top = con.execute("SELECT appearance_count FROM neurons ORDER BY appearance_count DESC LIMIT 5").fetchall()
        assert top[0] == (65,)


@pytest.mark.slow
@pytest.mark.parametrize("content", ["", "{", "[]", '{"fingerprint": 3}', "{}"])
@pytest.mark.parametrize("name", ["stats.json", "atlas.json", "hashes.json"])
def test_damaged_stamps_only_cost_time(built: Path, name: str, content: str) -> None:
    (built / "out" / "small.stages" / ".fingerprints" / name).write_text(content)
    assert build(built).path.is_file()
    assert ran(build(built)) == []


@pytest.mark.slow
def test_odd_values_in_the_hashes_only_cost_time(built: Path) -> None:
    path = built / "out" / "small.stages" / ".fingerprints" / "hashes.json"
    odd = [None, 3, "x", [1], [], {}] * 9
    path.write_text(json.dumps(dict(zip(json.loads(path.read_text()), odd, strict=False))))
    build(built)
    assert ran(build(built)) == []


@pytest.mark.parametrize(
    "name", ["neurons/part-00000.parquet", "tokens.parquet", "manifest.json", "edges/part-00000.parquet"]
)
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_stage_is_made_again(built: Path, name: str, damage: str) -> None:
    path = built / "out" / "small.stages" / "stats" / name
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:20])
    else:
        path.unlink()
    if (name, damage) == ("manifest.json", "gone"):
        # Nothing says any more that the folder is ours, and a folder of Parquet files may be anybody's.
        with pytest.raises(OutputError, match="holds no stats"):
            build(built)
        return
    assert ran(build(built)) == ["stats"]


@pytest.mark.slow
def test_a_damaged_atlas_is_made_again(built: Path) -> None:
    atlas = build(built).path
    atlas.write_bytes(atlas.read_bytes()[:10_000])
    assert ran(build(built)) == ["atlas"]


@pytest.mark.slow
def test_outputs_among_the_graphs_are_no_graphs(project: Path) -> None:
    out = f"output={project}/graphs/out.duckdb"
    build(project, out)
    assert ran(build(project, out)) == []


def test_an_output_that_is_no_atlas_is_refused_before_the_work(project: Path) -> None:
    (project / "out").mkdir()
    (project / "out" / "small.duckdb").write_text("mine")
    with pytest.raises(OutputError, match="exists and is no atlas"):
        build(project)
    assert [path.name for path in (project / "out").iterdir()] == ["small.duckdb"]


@pytest.mark.slow
@pytest.mark.parametrize("stage", EVERYTHING)
def test_a_stage_that_was_made_but_not_noted_is_made_again(
    built: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Killed between the two, then the input is taken back: what the last noted run says is no longer there."""

    class Killed(Exception):
        pass

    save = Fingerprints.save

    def killed(self: Fingerprints, name: str, fingerprint: str, seconds: float) -> None:
        if name == stage:
            raise Killed
        save(self, name, fingerprint, seconds)

    with monkeypatch.context() as patch:
        patch.setattr(Fingerprints, "save", killed)
        factories.write(built / "graphs" / "x.json", factories.random_graph(1000))
        with pytest.raises(Killed):
            build(built)
    (built / "graphs" / "x.json").unlink()
    assert stage in ran(build(built))
    with open_atlas(built / "out" / "small.duckdb") as con:
        assert con.execute("SELECT count(*) FROM graphs").fetchall() == [(12,)]
