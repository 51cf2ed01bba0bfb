"""The wheel in an empty environment, from another directory: reading needs no torch, and everything ships."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

from atlas.database import scripts

pytestmark = pytest.mark.wheel


def run(*command: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment with the wheel and its core dependencies only."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    run(folder / "bin" / "python", "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel, cwd=folder)
    return folder / "bin"


def test_the_wheel_holds_sql_queries_and_recipes_and_nothing_else_at_the_top(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for folder, pattern in (("sql", "**/*.sql"), ("queries", "*.sql"), ("build", "*.toml")):
        for path in (ROOT / folder).glob(pattern):
            assert f"atlas/_shipped/{path.relative_to(ROOT)}" in names
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {"atlas"}
    assert "atlas/py.typed" in names


def test_an_atlas_is_asked_from_another_directory(installed: Path, small_atlas: Path, tmp_path: Path) -> None:
    assert "\nAsk:\n" in run(installed / "atlas", "--help", cwd=tmp_path).stdout
    out = run(
        installed / "atlas",
        "query",
        small_atlas,
        "upstream",
        "--layer",
        1,
        "--neuron",
        2,
        "--format",
        "csv",
        cwd=tmp_path,
    ).stdout
    assert out.startswith("neuron_id,layer,neuron,label")
    assert (
        f"all {len(scripts('checks'))} checks passed"
        in run(installed / "atlas", "check", small_atlas, cwd=tmp_path).stdout
    )
    run(installed / "atlas", "neuron", small_atlas, "L1/N2", cwd=tmp_path)
    modules = run(installed / "python", "-m", "pip", "list", "--format=freeze", cwd=tmp_path).stdout.lower()
    assert not any(f"{name}==" in modules for name in ("torch", "infomap", "msgspec"))


def test_a_missing_extra_is_one_line_that_says_what_to_install(
    installed: Path, small_atlas: Path, tmp_path: Path
) -> None:
    for command, extra in (
        (["aggregate", small_atlas.parent / "graphs", "-o", "x"], "aggregate"),
        (["cluster", small_atlas, "-o", "x"], "cluster"),
        (["build", "atlas", "--set", f"graphs.paths={small_atlas.parent}/graphs"], "aggregate"),
    ):
        told = run(installed / "atlas", *command, cwd=tmp_path, code=1).stderr
        assert told.count("\n") == 1, told
        assert f"pip install 'circuit-atlas[{extra}]'" in told


def test_labels_are_imported_without_any_extra(installed: Path, small_atlas: Path, tmp_path: Path) -> None:
    run(installed / "atlas", "import", "labels", small_atlas.parent / "labels.csv", "-o", "x", cwd=tmp_path)


def test_duckdb_1_2_opens_an_atlas_without_this_package(small_atlas: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "old", with_pip=True)
    python = tmp_path / "old" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "duckdb==1.2.2", cwd=tmp_path)
    code = (
        "import duckdb, sys; con = duckdb.connect(sys.argv[1], read_only=True); print(duckdb.__version__)\n"
        "for (example,) in con.sql('SELECT example FROM help').fetchall(): con.sql(example).fetchall()\n"
        'print(con.sql("SELECT count(*) FILTER (comment IS NULL) FROM duckdb_columns() WHERE NOT internal").fetchall())'
    )
    assert run(python, "-c", code, small_atlas, cwd=tmp_path).stdout.split() == ["1.2.2", "[(0,)]"]
