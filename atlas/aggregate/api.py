"""Graph files -> a stats folder: what is new is read and added, what was stopped goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from atlas.aggregate import finalize as finish
from atlas.aggregate.engine import Aggregation, Facts, Options, Progress
from atlas.aggregate.finalize import Summary
from atlas.aggregate.graph_tasks import Reader, files_read
from atlas.aggregate.observation_plan import ObservedPlan
from atlas.aggregate.plan import (
    PLAN,
    Budget,
    Plan,
    SourceFile,
    bookkeeping_name,
    load_plan,
    make_plan,
    new_files,
    save_plan,
    stat_files,
)
from atlas.aggregate.previous_stats import holds_stats, refuse_other_options
from atlas.errors import InputError, NothingReadable, SourceChanged, SpaceMismatch
from atlas.graph import Source, Space
from atlas.io.files import write_parquet
from atlas.io.work_dir import Store, open_store
from atlas.runtime.devices import choose_device
from atlas.runtime.executors import Executor, InlineExecutor, ProcessExecutor, cpu_count
from atlas.runtime.journal import KEPT, Journal, claim
from atlas.stages import DATASETS, require
from atlas.stages.manifest import MANIFEST, read_manifest, replaced_folder

FEW_TASKS = 8


class _Unchanged(Exception):
    """There was nothing to add after all: the folder that is there stays."""


def work_folder(out: Path) -> Path:
    """Where an aggregation keeps what it has done so far."""
    out = out.resolve()
    return out.parent / f".{out.name}.work"


@dataclass(frozen=True)
class How:
    """How an aggregation runs: `inputs` go into the manifest, `work` and `scheduler` are for Dask."""

    inputs: Sequence[str]
    options: Options
    threads: int | None
    progress: Progress
    fresh: bool = False
    work: str | None = None
    scheduler: str | None = None

    def store(self, out: Path) -> Store:
        """The work folder of the stats folder `out`."""
        return open_store(self.work or work_folder(out))

    def settled(self) -> Options:
        """The options with the device settled; on a cluster each worker settles it."""
        if self.scheduler:
            return self.options
        return dataclasses.replace(self.options, device=choose_device(self.options.device))


def aggregate_files(sources: Sequence[Source], out: Path, reader: Reader, how: How, **reading: Any) -> Summary:
    """Aggregate graph files into the stats folder `out`; files that it holds already are not read again.

    `reading` are `model`, `transcoder_set` and `strict`. Raises `InputError` where a file that was counted
    has changed or is gone (unless `fresh`), `SpaceMismatch`, `OutputError`, `UsageError`.
    """
    files = stat_files(sources)
    made_with = _made_with(how.options, **reading)
    earlier, files, retried = _earlier(out, files, how.fresh, made_with)
    if earlier and not files:
        return _as_it_is(earlier[0], "nothing new: every file is counted already")
    store = how.store(out)
    options = how.settled()
    try:
        with replaced_folder(out, "stats") as folder:
            claim(store, out / MANIFEST, "fresh files" if how.fresh else "files")
            plan = _plan(store, files, options, reading, how.fresh)
            with _workers(len(plan.tasks), how) as workers:
                aggregation = Aggregation(store, workers, options, how.progress)
                aggregation.read(plan, reader, earlier)
                parts = aggregation.parts(len(plan.tasks), earlier)
                if earlier and not any(len(part.graphs) for part in parts if part.folder is None):
                    raise _Unchanged
                facts = Facts(how.inputs, plan.sample_below, made_with)
                try:
                    summary = aggregation.write(folder, parts, facts, forget={"rejects": retried, "files": retried})
                except NothingReadable as error:
                    told = out.resolve().with_name(f"{out.name}.rejects.parquet")
                    write_parquet(aggregation.rejects(parts), told)
                    raise NothingReadable(f"{error}; all of them are in {told.name} beside {out}") from error
    except _Unchanged:
        store.remove()
        return _as_it_is(earlier[0], "nothing new: what could not be read before cannot be read now")
    except (SpaceMismatch, NothingReadable):
        # Nothing that was read will serve another run.
        store.remove()
        raise
    store.remove()
    return summary


def _as_it_is(folder: Path, why: str) -> Summary:
    summary = finish.summarise(folder)
    summary.work = why
    return summary


def _earlier(
    out: Path, files: list[SourceFile], fresh: bool, options: dict[str, Any]
) -> tuple[list[Path], list[SourceFile], set[str]]:
    """Finished stats in `out` to add to, the files that they lack, and those of their rejects that are tried again."""
    if fresh or not holds_stats(out):
        return [], files, set()
    refuse_other_options(out, options)
    lacking, retried = new_files(out, files)
    return [out], lacking, retried


def _made_with(options: Options, **reading: Any) -> dict[str, Any]:
    """What decides the statistics, beside the files: it goes into the manifest, and increments must agree."""
    known = {key: value for key, value in reading.items() if key != "strict"}
    return known | {"cooccurrence": options.cooccurrence.top if options.cooccurrence else 0}


def _plan(store: Store, files: Sequence[SourceFile], options: Options, reading: dict[str, Any], fresh: bool) -> Plan:
    journal = Journal.opened(store)
    finished = journal.trusted
    plan = None
    try:
        read = functools.partial(_files_read, store, finished)
        plan = load_plan(store, files, read, **reading)
    except SourceChanged:
        if not fresh:
            raise
    if plan is None:
        for name in finished - KEPT:
            store.delete(name)
        plan = make_plan(files, Budget.of(options.memory), **reading)
    save_plan(plan, store)
    journal.note(PLAN)
    journal.flush()
    return plan


def _files_read(store: Store, finished: set[str], number: int) -> dict[str, tuple[str | None, int]] | None:
    return files_read(store, number) if bookkeeping_name(number) in finished else None


@contextlib.contextmanager
def _workers(tasks: int, how: How) -> Iterator[Executor]:
    """Who runs the tasks: a Dask cluster, worker processes, or this process where the work or the memory is small."""
    memory, threads = how.options.memory, how.threads
    if how.scheduler is not None:
        from atlas.runtime.dask_executor import dask_executor

        with dask_executor(how.scheduler, threads, memory) as workers:
            yield workers
        return
    count = min(Budget.of(memory).workers(memory, threads or cpu_count()), tasks)
    # One worker is worth its start where there is much to do: its allocator and numpy are tuned for large arrays.
    if count < 1 or (count == 1 and tasks < FEW_TASKS):
        yield InlineExecutor()
        return
    with ProcessExecutor(count) as processes:
        yield processes


def aggregate_observations(sources: Sequence[Source], out: Path, space: Space, how: How) -> Summary:
    """Aggregate Parquet or Arrow files of observations into the stats folder `out`.

    Raises as `aggregate_files` does, and `InputError` for a file without the columns of an observation.
    """
    files = stat_files(sources)
    made_with = _made_with(how.options, **space._asdict())
    earlier, files, _ = _earlier(out, files, how.fresh, made_with)
    if earlier and not files:
        return _as_it_is(earlier[0], "nothing new: every file is counted already")
    store = how.store(out)
    options = how.settled()
    with replaced_folder(out, "stats") as folder:
        observed = ObservedPlan.of(files, earlier, store, space, options)
        claim(store, out / MANIFEST, f"{'fresh ' if how.fresh else ''}observations {observed.signature()}")
        Journal.opened(store)
        with _workers(len(observed.pieces), how) as workers:
            aggregation = Aggregation(store, workers, options, how.progress)
            tasks = observed.run(aggregation, earlier)
            parts = aggregation.parts(tasks, earlier)
            observed.refuse_known_graphs(parts)
            facts = Facts(how.inputs, observed.options.sample_below, made_with)
            summary = aggregation.write(folder, parts, facts, files=observed.bookkeeping(parts))
    store.remove()
    return summary


def merge_stats(folders: Sequence[Path], out: Path, how: How, *, skip_duplicates: bool = False) -> Summary:
    """Merge stats folders into one: the statistics of all their graphs aggregated together.

    Raises `SpaceMismatch` where they are of different feature spaces, `InputError` where a graph stands
    in two of them; with `skip_duplicates` a folder all of whose graphs stand in earlier ones is left out.
    """
    chosen = _distinct(folders, skip_duplicates)
    inputs = [path for folder in chosen for path in read_manifest(folder, "stats")["inputs"]]
    store = how.store(out)
    options = how.settled()
    with replaced_folder(out, "stats") as folder:
        store.remove()
        with _workers(len(chosen) * FEW_TASKS, how) as workers:
            aggregation = Aggregation(store, workers, options, how.progress)
            parts = aggregation.parts(0, chosen)
            below = min(part.sample_below for part in parts)
            facts = Facts(list(dict.fromkeys(inputs)), below, _common_options(chosen) | _made_with(how.options))
            summary = aggregation.write(folder, parts, facts)
    store.remove()
    skipped = len(folders) - len(chosen)
    summary.new_graphs = summary.graphs
    summary.work = (
        f"left out {skipped} of {len(folders)} folders: all their graphs stand in the others" if skipped else ""
    )
    return summary


def _common_options(folders: Sequence[Path]) -> dict[str, Any]:
    """The options that all folders were made with alike."""
    first, *others = (read_manifest(folder, "stats").get("options", {}) for folder in folders)
    return {key: value for key, value in first.items() if all(other.get(key, ...) == value for other in others)}


def _distinct(folders: Sequence[Path], skip_duplicates: bool) -> list[Path]:
    """The folders, once no graph of one stands in another."""
    graphs: dict[Path, dict[str, str]] = {}
    for folder in folders:
        read_manifest(folder, "stats")
        table = pq.read_table(require(folder, DATASETS["stats.graphs"]), columns=["path", "graph_hash"])
        graphs[folder] = dict(zip(table["graph_hash"].to_pylist(), table["path"].to_pylist(), strict=True))
    seen: dict[str, str] = {}
    chosen = []
    # The larger first: a folder that is part of another is the one to leave out.
    for folder in sorted(graphs, key=lambda folder: -len(graphs[folder])) if skip_duplicates else folders:
        twice = [(path, seen[found]) for found, path in graphs[folder].items() if found in seen]
        if twice and not (skip_duplicates and len(twice) == len(graphs[folder])):
            raise InputError(_overlap(folder, twice, len(graphs[folder]), skip_duplicates))
        if not twice:
            chosen.append(folder)
        seen |= {found: f"{path} in {folder}" for found, path in graphs[folder].items()}
    return [folder for folder in folders if folder in chosen]


def _overlap(folder: Path, twice: Sequence[tuple[str, str]], graphs: int, skip_duplicates: bool) -> str:
    path, first = twice[0]
    what = f"{len(twice)} of {graphs} graphs of {folder} stand in the other folders too (first {path} = {first})"
    if skip_duplicates:
        return f"{what}; sums cannot be taken apart again, so aggregate the files of {folder} together with the others"
    return f"{what}; leave out a folder that is part of another (--skip-duplicates does), or aggregate their files together"
