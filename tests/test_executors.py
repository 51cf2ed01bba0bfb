"""Executors: what the calls of one run share, and from where worker processes take their code."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from atlas.errors import AtlasError
from atlas.runtime.executors import InlineExecutor, ProcessExecutor


def count_line(path: Path) -> list[int]:
    """Make a state, and note that it was made."""
    with path.open("a") as stream:
        stream.write(f"{os.getpid()}\n")
    return [0]


def add(state: list[int], item: int) -> tuple[int, int]:
    state[0] += item
    return os.getpid(), state[0]


@pytest.mark.parametrize("processes", [0, 2])
def test_calls_of_one_run_in_one_worker_share_a_state(processes: int, tmp_path: Path) -> None:
    executor = ProcessExecutor(processes) if processes else InlineExecutor()
    with executor:
        for number in range(2):
            made = tmp_path / f"made-{number}"
            totals: dict[int, int] = {}
            for process, total in executor.run(add, [1] * 20, functools.partial(count_line, made)):
                totals[process] = max(totals.get(process, 0), total)
            # Every call counted once, in the state of its worker, and nothing of the run before.
            assert sum(totals.values()) == 20
            assert sorted(made.read_text().split()) == sorted(map(str, totals))


def test_workers_do_not_import_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a folder called `atlas` where the command was typed was taken for this package."""
    (tmp_path / "atlas").mkdir()
    (tmp_path / "atlas" / "__init__.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    with ProcessExecutor(1) as executor:
        assert list(executor.run(os.path.basename, ["a/b"])) == ["b"]


def loaded(name: str) -> bool:
    return name in sys.modules


def end(how: int) -> None:
    print("what a library prints is no answer", flush=True)
    if how < 0:
        os.kill(os.getpid(), -how)
    if how > 0:
        os._exit(how)


def fail(_: int) -> None:
    raise ValueError("not this one")


def parent(end_of_pipe: tuple[Path, str]) -> tuple[int, int]:
    path, mode = end_of_pipe
    # Each end of a named pipe waits for the other, so that no worker takes both.
    with path.open(mode):
        return os.getpid(), os.getppid()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="modules are imported before the fork on Linux only")
def test_workers_are_forked_from_a_host_that_has_imported(tmp_path: Path) -> None:
    with ProcessExecutor(2, ["json.tool", "no.such.module"]) as executor:
        assert all(executor.run(loaded, ["json.tool"] * 4))
        assert not any(executor.run(loaded, ["xml.dom.minidom"] * 4))
        os.mkfifo(tmp_path / "pipe")
        pids, hosts = zip(*executor.run(parent, [(tmp_path / "pipe", mode) for mode in "rw"]), strict=True)
        assert len(set(pids)) == 2
        assert len(set(hosts)) == 1


def test_what_libraries_print_at_the_end_of_a_host_is_not_seen() -> None:
    """DuckDB's binding once told of objects that a frozen collector had left."""
    code = (
        "import os\nfrom atlas.runtime.executors import ProcessExecutor\n"
        "with ProcessExecutor(2, ['duckdb']) as p: print(*p.run(os.path.basename, ['a/b']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("b\n", "")


@pytest.mark.parametrize(
    ("how", "match"),
    [
        (3, "ended with code 3;"),
        (-signal.SIGTERM, "killed by signal 15;"),
        (-signal.SIGKILL, "lower --threads or --memory"),
    ],
)
def test_the_end_of_a_worker_is_told(how: int, match: str) -> None:
    with ProcessExecutor(2) as executor:
        assert list(executor.run(end, [0, 0])) == [None, None]
        with pytest.raises(AtlasError, match=match):
            list(executor.run(end, [0, how, 0]))


def test_an_error_of_a_call_is_raised_and_workers_go_on() -> None:
    with ProcessExecutor(2) as executor:
        with pytest.raises(ValueError, match="not this one"):
            list(executor.run(fail, [1, 2]))
        assert list(executor.run(os.path.basename, ["a/b"])) == ["b"]


@pytest.mark.parametrize("forked", [False, True])
def test_a_host_that_is_killed_ends_the_run(forked: bool) -> None:
    with ProcessExecutor(1) as executor:
        if forked:
            list(executor.run(os.path.basename, ["a/b"]))
        # Its group: the host and what it has forked.
        os.killpg(executor._host._process.pid, signal.SIGKILL)
        with pytest.raises(AtlasError, match="a worker process was killed by signal 9"):
            list(executor.run(os.path.basename, ["a/b"]))


@pytest.mark.parametrize("forked", [False, True])
def test_stopping_leaves_no_process_and_no_pipe(forked: bool) -> None:
    descriptors = Path("/proc/self/fd")
    before = sorted(descriptors.iterdir())
    with ProcessExecutor(3) as executor:
        host = executor._host._process.pid
        if forked:
            list(executor.run(os.path.basename, ["a/b"] * 3))
    with pytest.raises(ProcessLookupError):  # not even as zombies
        os.killpg(host, 0)
    executor.stop()
    assert sorted(descriptors.iterdir()) == before


def test_stopping_while_the_host_forks_does_not_wait() -> None:
    """SIGTERM between two forks once left workers that waited for the parent, and the parent waited for them."""
    for _ in range(20):
        executor = ProcessExecutor(3)
        thread = threading.Thread(target=quietly, args=(executor,))
        thread.start()
        host = executor._host._process.pid
        executor.stop()
        thread.join()
        with pytest.raises(ProcessLookupError):
            os.killpg(host, 0)


def quietly(executor: ProcessExecutor) -> None:
    with contextlib.suppress(AtlasError, ValueError, OSError):
        list(executor.run(os.path.basename, ["a/b"] * 3))


def test_a_closed_standard_input_does_not_matter() -> None:
    code = "import os\nfrom atlas.runtime.executors import ProcessExecutor\nwith ProcessExecutor(2) as p: print(*p.run(os.path.basename, ['a/b']))"
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" -c "$1" <&-', sys.executable, code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "b\n", "")


def test_a_host_ends_with_a_parent_that_needs_no_worker() -> None:
    code = (
        "import os\nfrom atlas.runtime.executors import ProcessExecutor\n"
        "p = ProcessExecutor(2); print(p._host._process.pid, flush=True); os._exit(0)"
    )
    # The host has the pipe of the errors, too: it has ended when that pipe has.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) > 0
    assert done.stderr == ""
