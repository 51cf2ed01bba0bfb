"""Graph files -> a stats folder: what is new is read and added, what was stopped goes on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from atlas.aggregate import finish
from atlas.aggregate.engine import Aggregation, Options, Progress
from atlas.aggregate.finish import Summary
from atlas.aggregate.kernels import choose_device
from atlas.aggregate.plan import Budget, Known, Plan, load_plan, look, make_plan, new_files, save_plan
from atlas.aggregate.store import Store, open_store
from atlas.aggregate.tasks import Reader, books_name
from atlas.aggregate.workers import Inline, Processes, Workers
from atlas.errors import InputError, SpaceMismatch, StageError
from atlas.graph import Source
from atlas.schema import datasets_of, require
from atlas.storage import read_manifest, replaced_folder


class _Unchanged(Exception):
    """There was nothing to add after all: the folder that is there stays."""


def work_folder(out: Path) -> Path:
    """Where an aggregation keeps what it has done so far."""
    out = out.resolve()
    return out.parent / f".{out.name}.work"


def cpu_count() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def aggregate_files(
    sources: Sequence[Source],
    out: Path,
    reader: Reader,
    *,
    inputs: Sequence[str],
    options: Options,
    threads: int | None,
    fresh: bool,
    work: str | None = None,
    scheduler: str | None = None,
    progress: Progress,
    **reading: Any,
) -> Summary:
    """Aggregate graph files into the stats folder `out`; files that it holds already are not read again.

    `reading` are `model`, `transcoder_set` and `strict`. Raises `InputError` where a file that was counted
    has changed or is gone (unless `fresh`), `SpaceMismatch`, `OutputError`, `UsageError`.
    """
    files = look(sources)
    earlier, files, retried = _earlier(out, files, fresh)
    if earlier and not files:
        return _as_it_is(earlier[0], "nothing new: every file is counted already")
    store = open_store(work or work_folder(out))
    options = _with_device(options)
    try:
        with replaced_folder(out, "stats") as folder:
            if fresh:
                store.remove()
            plan = _plan(store, files, options, reading)
            with _workers(plan, options, threads, scheduler) as workers:
                aggregation = Aggregation(store, workers, options, progress)
                aggregation.read(plan, reader, earlier)
                parts = aggregation.parts(len(plan.tasks), earlier)
                if earlier and not any(len(part.graphs) for part in parts if part.folder is None):
                    raise _Unchanged
                summary = aggregation.write(
                    folder, parts, inputs=inputs, sample_below=plan.sample_below, forget={"rejects": retried, "files": retried}
                )
    except _Unchanged:
        store.remove()
        return _as_it_is(earlier[0], "nothing new: what could not be read before cannot be read now")
    except (SpaceMismatch, InputError) as error:
        if isinstance(error, SpaceMismatch) or "none of the files" in str(error):
            store.remove()
        raise
    store.remove()
    return summary


def _with_device(options: Options) -> Options:
    import dataclasses

    return dataclasses.replace(options, device=choose_device(options.device))


def _as_it_is(folder: Path, why: str) -> Summary:
    summary = finish.summarise(folder)
    summary.work = why
    return summary


def _earlier(out: Path, files: list[Known], fresh: bool) -> tuple[list[Path], list[Known], set[str]]:
    """Finished stats in `out` to add to, the files that they lack, and those of their rejects that are tried again."""
    if fresh or not is_whole(out):
        return [], files, set()
    lacking, retried = new_files(out, files)
    return [out], lacking, retried


def is_whole(folder: Path) -> bool:
    """Whether a stats folder is there with all its datasets."""
    try:
        read_manifest(folder, "stats")
        for dataset in datasets_of("stats"):
            require(folder, dataset)
    except StageError:
        return False
    return True


def _plan(store: Store, files: Sequence[Known], options: Options, reading: dict[str, Any]) -> Plan:
    finished = store.names()
    plan = load_plan(store, files, lambda number: books_name(number) in finished, **reading)
    if plan is None:
        store.remove()
        plan = make_plan(files, Budget.of(options.memory), **reading)
    save_plan(plan, store)
    return plan


@contextlib.contextmanager
def _workers(plan: Plan, options: Options, threads: int | None, scheduler: str | None) -> Iterator[Workers]:
    """Who runs the tasks: a Dask cluster, worker processes, or this process where the work or the memory is small."""
    if scheduler is not None:
        from atlas.aggregate.distributed import cluster_workers

        with cluster_workers(scheduler, threads) as workers:
            yield workers
        return
    count = min(Budget.of(options.memory).workers(options.memory, threads or cpu_count()), len(plan.tasks))
    if count < 2 or options.device != "cpu":
        yield Inline()
        return
    with Processes(count) as processes:
        yield processes


