"""A full disk and a read-only disk, both real: small tmpfs mounts in a mount namespace of their own."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import factories
import pytest

pytestmark = pytest.mark.slow


def in_namespace(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["unshare", "--mount", "--map-root-user", "bash", "-c", script], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module", autouse=True)
def can_mount(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("probe")
    try:
        done = in_namespace(f"mount -t tmpfs -o size=1m none {folder}")
    except FileNotFoundError:
        pytest.skip("no unshare command here")
    if done.returncode:
        pytest.skip(f"no mount namespace here: {done.stderr.strip()}")


ATLAS = f"{shlex.quote(sys.executable)} -c 'from atlas.cli.main import main; main()'"


@pytest.fixture
def graphs(tmp_path: Path) -> Path:
    for seed in range(40):
        factories.write(tmp_path / "graphs" / f"{seed}.json", factories.random_graph(seed, neurons=400, links=3000))
    return tmp_path / "graphs"


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    return done.stderr.strip().splitlines()


def test_a_full_disk_while_aggregating(graphs: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = in_namespace(
        f"mount -t tmpfs -o size=64k none {disk}; {ATLAS} aggregate {graphs} -o {disk}/stats; echo code $?; ls -A {disk}"
    )
    assert "code 1" in done.stdout
    assert len(lines(done)) == 1
    assert "disk full while writing" in lines(done)[0]
    assert "free some space" in lines(done)[0]
    # What was done so far waits for the same command.
    assert done.stdout.split() == ["code", "1", ".stats.lock", ".stats.work"]


def test_a_full_disk_while_building_keeps_the_old_atlas(graphs: Path, tmp_path: Path, small_atlas: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        f'work = "{tmp_path}/work"\noutput = "{disk}/a.duckdb"\n[graphs]\npaths = "{graphs}"\n[[cluster]]\nmin_count = 1\ntrials = 1\n'
    )
    size = small_atlas.stat().st_size + (1 << 20)  # the old atlas fits, no second one beside it
    done = in_namespace(
        f"mount -t tmpfs -o size={size} none {disk}; cp {small_atlas} {disk}/a.duckdb; {ATLAS} build {recipe}; echo code $?; cmp {small_atlas} {disk}/a.duckdb && echo same; ls -A {disk}"
    )
    assert done.stdout.split() == ["code", "1", "same", ".a.duckdb.lock", "a.duckdb"]
    assert "disk full while writing" in lines(done)[-1]
    assert "Traceback" not in done.stderr
    # The stages are on another disk and finished: with space, only the atlas is left to do.
    again = in_namespace(f"{ATLAS} build {recipe}")
    assert again.returncode == 0, again.stderr
    assert [line.split()[0] for line in lines(again) if "up to date" in line] == [
        "stats",
        "clusters-infomap",
        "circuits",
        "labels",
    ]


@pytest.mark.parametrize(
    "command",
    [
        "aggregate GRAPHS -o DISK/stats",
        "build atlas --set graphs.paths=GRAPHS -o DISK/a.duckdb",
        "import labels CSV -o DISK/l",
    ],
)
def test_a_read_only_folder(graphs: Path, tmp_path: Path, command: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "l.csv").write_text("layer,neuron,label\n1,2,x\n")
    command = command.replace("GRAPHS", str(graphs)).replace("DISK", str(disk)).replace("CSV", f"{tmp_path}/l.csv")
    done = in_namespace(f"mount -t tmpfs -o ro none {disk}; {ATLAS} {command}")
    assert done.returncode == 1
    assert len(lines(done)) == 1, done.stderr
    assert "cannot be written (Read-only file system)" in lines(done)[0]
    assert "choose another -o" in lines(done)[0]
