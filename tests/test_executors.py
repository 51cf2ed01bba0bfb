"""Executors: what the calls of one run share, and from where worker processes take their code."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

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
