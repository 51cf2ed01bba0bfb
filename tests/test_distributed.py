"""The engine on a Dask cluster of separate processes, one of which is killed; and on stores that are no local folder."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import factories
import numpy as np
import pytest
from test_aggregate import assert_equals_loop, bytes_of
from test_resume import assert_same_statistics, graphs

from atlas.aggregate.reduce.edges import reduce_links, reduce_partners
from atlas.aggregate.reduce.incidence_index import write_members
from atlas.aggregate.reduce.neurons import reduce_nodes
from atlas.errors import AtlasError, SpaceMismatch, UsageError
from atlas.graphs import read_graphs
from atlas.io import work_dir as store
from atlas.io.run_files import RunFile, RunWriter
from atlas.pipeline import aggregate_graphs

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes, as on two machines that share a folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0
        ) as cluster:
            yield cluster


def slowly(source: Any, limits: Any) -> Any:
    """Reads a file, and takes its time; the first worker that comes here kills itself, once."""
    time.sleep(0.02)
    flag = source.path.parent.parent / "killed"
    if "SUICIDE" in source.path.parent.name and source.name.endswith("7.json") and not flag.exists():
        flag.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    yield from read_graphs(source, limits)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::Warning")
def test_a_cluster_gives_the_bytes_of_one_machine(cluster: Any, tmp_path: Path) -> None:
    made = graphs(tmp_path / "g", 30, links=200)
    aggregate_graphs([tmp_path / "g"], tmp_path / "alone", threads=1)
    aggregate_graphs([tmp_path / "g"], tmp_path / "many", scheduler=cluster.scheduler_address)
    assert_equals_loop(tmp_path / "many", made)
    assert bytes_of(tmp_path / "alone") == bytes_of(tmp_path / "many")
    # A second run over the same folder of the same long-lived workers sees its own files.
    made += graphs(tmp_path / "g", 5, first=30)
    aggregate_graphs([tmp_path / "g"], tmp_path / "many", scheduler=cluster.scheduler_address)
    assert_equals_loop(tmp_path / "many", made)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::Warning")
def test_a_killed_worker_counts_nothing_twice(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from atlas.aggregate import plan

    monkeypatch.setattr(plan.Budget, "of", classmethod(lambda cls, memory, device="cpu": cls(400)))
    made = graphs(tmp_path / "SUICIDE", 40, links=200)
    aggregate_graphs([tmp_path / "SUICIDE"], tmp_path / "alone", threads=1)
    monkeypatch.setattr("atlas.graphs.read_graphs", slowly)
    # The workers have to find this module.
    with distributed.Client(cluster.scheduler_address) as client:
        client.run(_add_path, str(Path(__file__).parent))
        before = set(client.run(os.getpid).values())
        aggregate_graphs([tmp_path / "SUICIDE"], tmp_path / "many", scheduler=cluster.scheduler_address)
        assert (tmp_path / "killed").exists()
        assert set(client.run(os.getpid).values()) != before
    assert_equals_loop(tmp_path / "many", made)
    assert_same_statistics(tmp_path / "alone", tmp_path / "many")


def die_once(folder: str, phase: str) -> None:
    """Kill this process, the first time that it comes to a phase."""
    flag = Path(folder).parent / f"died in {phase}"
    with contextlib.suppress(FileExistsError):
        flag.touch(exist_ok=False)
        os.kill(os.getpid(), signal.SIGKILL)


def dying_nodes(state: Any, job: Any) -> list[str]:
    die_once(state.sources.store.url, "nodes")
    return reduce_nodes(state, job)


def dying_members(job: Any) -> None:
    die_once(job.store, "members")
    write_members(job)


def dying_links(state: Any, job: Any) -> list[str]:
    die_once(state.sources.store.url, "links")
    return reduce_links(state, job)


def dying_partners(state: Any, job: Any) -> list[str]:
    die_once(state.sources.store.url, "partners")
    return reduce_partners(state, job)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::Warning")
def test_a_worker_lost_in_each_phase_of_reducing_changes_no_byte(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs(tmp_path / "g", 30, links=200)
    aggregate_graphs([tmp_path / "g"], tmp_path / "alone", threads=1)
    monkeypatch.setattr("atlas.aggregate.reduce.phase.reduce_nodes", dying_nodes)
    monkeypatch.setattr("atlas.aggregate.reduce.incidence_index.write_members", dying_members)
    monkeypatch.setattr("atlas.aggregate.reduce.phase.reduce_links", dying_links)
    monkeypatch.setattr("atlas.aggregate.reduce.phase.reduce_partners", dying_partners)
    with distributed.Client(cluster.scheduler_address) as client:
        client.run(_add_path, str(Path(__file__).parent))
        # A worker that takes the place of another looks here, too.
        client.register_plugin(PathPlugin(str(Path(__file__).parent)))
        aggregate_graphs([tmp_path / "g"], tmp_path / "many", scheduler=cluster.scheduler_address)
    died = {path.name for path in tmp_path.glob("died in *")}
    assert died == {f"died in {phase}" for phase in ("nodes", "members", "links", "partners")}
    assert bytes_of(tmp_path / "alone") == bytes_of(tmp_path / "many")


class PathPlugin(distributed.WorkerPlugin):
    """Adds a folder of modules to every worker, also to those that start later."""

    def __init__(self, path: str) -> None:
        self.path = path

    def setup(self, worker: Any) -> None:
        _add_path(self.path)


def _add_path(path: str) -> None:
    import sys

    sys.path.insert(0, path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::Warning")
def test_errors_of_the_data_come_back_as_they_are(cluster: Any, tmp_path: Path) -> None:
    graphs(tmp_path / "g", 2)
    factories.write(tmp_path / "g" / "x.json", factories.ct_graph([factories.ct_feature(0, 1)], [], scan="other"))
    with pytest.raises(SpaceMismatch, match="two feature spaces do not mix"):
        aggregate_graphs([tmp_path / "g"], tmp_path / "stats", scheduler=cluster.scheduler_address)


@pytest.mark.filterwarnings("ignore::Warning")
def test_wrong_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs(tmp_path / "g", 1)
    with pytest.raises(UsageError, match="write local, or an address such as tcp://host:8786"):
        aggregate_graphs([tmp_path / "g"], tmp_path / "stats", scheduler="nonsense")
    monkeypatch.setattr("atlas.runtime.dask_executor.TIMEOUT", 1)
    with pytest.raises(AtlasError, match="no Dask scheduler answers at tcp://127.0.0.1:9"):
        aggregate_graphs([tmp_path / "g"], tmp_path / "stats", scheduler="tcp://127.0.0.1:9")


@pytest.mark.parametrize("url", ["file://{folder}/work", "memory://work"])
def test_work_on_an_fsspec_url(url: str, tmp_path: Path) -> None:
    made = graphs(tmp_path / "g", 6)
    aggregate_graphs([tmp_path / "g"], tmp_path / "plain", threads=1)
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1, work=url.format(folder=tmp_path))
    assert_equals_loop(tmp_path / "stats", made)
    assert bytes_of(tmp_path / "stats") == bytes_of(tmp_path / "plain")


@pytest.mark.parametrize("url", ["{folder}/work", "file://{folder}/work", "memory://store"])
def test_stores_hold_files_whole_or_not_at_all(url: str, tmp_path: Path) -> None:
    found = store.open_store(url.format(folder=tmp_path))
    assert found.names() == set()
    runs = RunWriter()
    runs.add("a", {"key": np.arange(5000), "value": np.arange(5000) / 2})
    runs.add_blob("b", b"bytes")
    runs.write(found, "x/one.runs")

    def fails(path: Path) -> None:
        path.write_bytes(b"half")
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        found.put_with("x/two.runs", fails)
    assert found.names() == {"x/one.runs"}
    file = RunFile(found, "x/one.runs")
    part = file.between("a", file.column("a", "index"), 1500, 1510)
    assert part["key"].tolist() == list(range(1500, 1510))
    assert part["value"].tolist() == [i / 2 for i in range(1500, 1510)]
    assert file.blob("b") == b"bytes"
    found.fetch("x/one.runs", tmp_path / "out" / "one.runs")
    assert (tmp_path / "out" / "one.runs").stat().st_size > 80_000
    found.remove()
    assert found.names() == set()


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import os, signal\nfrom atlas.runtime.executors import ProcessExecutor\n"
        "p = ProcessExecutor(2); print(*p.run(os.path.abspath, ['a', 'b']), flush=True)\n"
        "print(*[c.pid for c in p._children], p._host._process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    children = [int(pid) for pid in done.stdout.split("\n")[1].split()]
    assert len(children) == 3
    deadline = time.monotonic() + 10
    while any(_lives(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_lives(pid) for pid in children)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
