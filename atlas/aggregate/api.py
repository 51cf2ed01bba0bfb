"""The four phases of an aggregation: plan, map, reduce, finalize; for graph files, for observations, and for merges.

plan      files -> tasks                                find the new files, divide them into tasks
map       tasks -> sorted runs + bookkeeping            one spill file and one Parquet file per task
reduce    runs, earlier statistics -> parts             one Parquet part per range of keys and dataset
finalize  bookkeeping, parts -> the stats folder        small datasets, manifest, swap
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from atlas.aggregate import finalize
from atlas.aggregate.context import FEW_TASKS, Provenance, Run, started_workers
from atlas.aggregate.finalize import Summary, summarise
from atlas.aggregate.graph_parts import holds_graphs
from atlas.aggregate.inputs import Input, read_inputs, read_rejects
from atlas.aggregate.map.graph_tasks import GraphReading, files_read
from atlas.aggregate.map.observation_plan import ObservedPlan, row_groups, task_count
from atlas.aggregate.map.phase import map_graphs
from atlas.aggregate.plan import (
    PLAN,
    Budget,
    Plan,
    SourceFile,
    bookkeeping_name,
    expected_links,
    load_plan,
    make_plan,
    new_files,
    save_plan,
    stat_files,
)
from atlas.aggregate.prompt_groups import read_group_file
from atlas.aggregate.reduce.phase import reduce_inputs
from atlas.aggregate.spill.previous_stats import holds_stats, refuse_other_options
from atlas.errors import InputError, NothingReadable, SourceChanged, SpaceMismatch, UsageError
from atlas.graph import Source, Space
from atlas.io.files import sha256_of, write_parquet
from atlas.io.work_dir import Store, open_store
from atlas.options import AUTO, GROUP_LINKS, MEANS, NONE, AggregateOptions
from atlas.runtime.devices import choose_device
from atlas.runtime.journal import KEPT, Journal, claim
from atlas.runtime.progress import Progress, silent
from atlas.stages import DATASETS, require
from atlas.stages.manifest import MANIFEST, read_manifest, replaced_folder


def work_folder(out: Path) -> Path:
    """Return the work folder of an aggregation into the stats folder `out`, which holds its finished tasks."""
    out = out.resolve()
    return out.parent / f".{out.name}.work"


def _opened_store(out: Path, options: AggregateOptions) -> Store:
    return open_store(options.work or work_folder(out))


def _with_device(options: AggregateOptions) -> AggregateOptions:
    """Return the options with a concrete device. On a cluster, each worker chooses its own device."""
    return options if options.scheduler else dataclasses.replace(options, device=choose_device(options.device))


def aggregate_files(
    sources: Sequence[Source],
    out: Path,
    reading: GraphReading,
    options: AggregateOptions,
    *,
    inputs: Sequence[str],
    fresh: bool = False,
    progress: Progress = silent,
) -> Summary:
    """Aggregate graph files into the stats folder `out`. Files that it already contains are not read again.

    Args:
        sources: Graph files, in the order of aggregation.
        out: Stats folder. New graphs are added to statistics that it already holds.
        reading: Options for reading the files.
        options: Statistics to keep, device, memory and workers.
        inputs: Paths to record in the manifest.
        fresh: Ignore existing statistics and start over.
        progress: Called with the name of the counted items, the number done and the total.

    Returns:
        Counts of the stats folder.

    Raises:
        InputError: A file that was aggregated before has changed or is missing (unless `fresh`).
        NothingReadable: No file is a readable graph. All reasons are written to OUT.rejects.parquet.
        SpaceMismatch: The files have different feature spaces.
        OutputError: A folder cannot be written.
        UsageError: The device does not exist.
    """
    files = stat_files(sources)
    held, expected = [out] if not fresh and holds_stats(out) else [], expected_links(files)
    options = _with_graph_links(_with_groups(options, held, expected), held, expected)
    made_with = _made_with(options, model=reading.model, transcoder_set=reading.transcoder_set)
    earlier, files, retried = _earlier(out, files, fresh, made_with)
    if earlier and not files:
        return _as_it_is(earlier[0], "nothing new: every file is counted already")
    store, options = _opened_store(out, options), _with_device(options)
    try:
        with replaced_folder(out, "stats") as folder:
            claim(store, out / MANIFEST, "fresh files" if fresh else "files")
            plan = _plan(store, files, options, reading, fresh)
            with started_workers(len(plan.tasks), options) as workers:
                run = Run(store, workers, options, progress)
                mapped = map_graphs(run, plan, reading, earlier)
                if earlier and not any(len(item.graphs) for item in mapped if item.folder is None):
                    summary = _as_it_is(earlier[0], "nothing new: what could not be read before cannot be read now")
                else:
                    provenance = Provenance(inputs, plan.sample_below, made_with)
                    forget = {"rejects": retried, "files": retried}
                    summary = reduce_and_finalize(run, folder, mapped, provenance, forget=forget)
    except NothingReadable as error:
        told = out.resolve().with_name(f"{out.name}.rejects.parquet")
        write_parquet(read_rejects(store, mapped), told)
        # The work folder is of no use to another run.
        store.remove()
        raise NothingReadable(f"{error}; all of them are in {told.name} beside {out}") from error
    except SpaceMismatch:
        store.remove()
        raise
    store.remove()
    return summary


def reduce_and_finalize(
    run: Run,
    folder: Path,
    inputs: Sequence[Input],
    provenance: Provenance,
    *,
    forget: dict[str, set[str]] | None = None,
    files: pa.Table | None = None,
) -> Summary:
    """Run the last two phases; see `reduce_inputs` and `finalize.write_stats`."""
    parts = reduce_inputs(run, inputs, provenance)
    return finalize.write_stats(run, folder, inputs, parts, provenance, forget=forget, files=files)


def _as_it_is(folder: Path, why: str) -> Summary:
    summary = summarise(folder)
    summary.work = why
    return summary


def _earlier(
    out: Path, files: list[SourceFile], fresh: bool, options: dict[str, Any]
) -> tuple[list[Path], list[SourceFile], set[str]]:
    """Return the existing statistics in `out`, the files to read, and the paths of rejected files to read again.

    The list of existing statistics is empty with `fresh`, or if `out` holds none.
    """
    if fresh or not holds_stats(out):
        return [], files, set()
    refuse_other_options(out, options)
    lacking, retried = new_files(out, files)
    return [out], lacking, retried


def _made_with(options: AggregateOptions, **reading: Any) -> dict[str, Any]:
    """Return the options that decide the statistics. The manifest records them, and increments must use the same."""
    groups = options.groups
    if groups not in (AUTO, NONE):
        path = Path(groups)
        read_group_file(path)  # says what is wrong with it, before any graph is read
        groups = f"file {sha256_of(path)[:16]}"
    return reading | {"cooccurrence": options.cooccurrence, "groups": groups}


def _with_groups(options: AggregateOptions, earlier: Sequence[Path], expected: int) -> AggregateOptions:
    """Return the options with a decision on `groups`: as in earlier statistics, else by the expected links."""
    if options.groups != AUTO:
        return options
    held = {DATASETS["stats.edge_groups"].path(folder).exists() for folder in earlier}
    if len(held) == 2:
        raise InputError(
            f"some of {', '.join(map(str, earlier))} count edges by group of prompts, and some do not; merge them with "
            "--groups none, which takes every graph as a group of its own"
        )
    is_grouped = held == {True} if held else expected <= GROUP_LINKS
    return dataclasses.replace(options, groups=AUTO if is_grouped else NONE)


def _with_graph_links(options: AggregateOptions, earlier: Sequence[Path], expected: int) -> AggregateOptions:
    """Set `graph_links`: as in earlier statistics, otherwise by the number of links."""
    if options.graph_links != AUTO:
        return options
    keeps = all(map(holds_graphs, earlier)) if earlier else expected <= GROUP_LINKS
    return dataclasses.replace(options, graph_links=AUTO if keeps else NONE)


def _plan(
    store: Store, files: Sequence[SourceFile], options: AggregateOptions, reading: GraphReading, fresh: bool
) -> Plan:
    journal = Journal.opened(store)
    finished = journal.trusted
    plan = None
    made_with = {name: getattr(reading, name) for name in ("model", "transcoder_set", "strict")}
    made_with |= {"grouped": options.groups != NONE, "keep_graphs": options.graph_links != NONE}
    try:
        read = functools.partial(_files_read, store, finished)
        plan = load_plan(store, files, read, **made_with)
    except SourceChanged:
        if not fresh:
            raise
    if plan is None:
        for name in finished - KEPT:
            store.delete(name)
        plan = make_plan(files, Budget.of(options.memory), **made_with)
    save_plan(plan, store)
    journal.note(PLAN)
    journal.flush()
    return plan


def _files_read(store: Store, finished: set[str], number: int) -> dict[str, tuple[str | None, int]] | None:
    return files_read(store, number) if bookkeeping_name(number) in finished else None


def aggregate_observations(
    sources: Sequence[Source],
    out: Path,
    space: Space,
    options: AggregateOptions,
    *,
    inputs: Sequence[str],
    fresh: bool = False,
    progress: Progress = silent,
) -> Summary:
    """Aggregate Parquet or Arrow files of observations of one feature space into the stats folder `out`.

    Args:
        sources: Files of observations, in the order of aggregation.
        out: Stats folder. New graphs are added to statistics that it already holds.
        space: Model, set of transcoders and type of unit.
        options: Statistics to keep, device, memory and workers.
        inputs: Paths to record in the manifest.
        fresh: Ignore existing statistics and start over.
        progress: As in `aggregate_files`.

    Returns:
        Counts of the stats folder.

    Raises:
        InputError: A file lacks a column, is a copy of another, has changed or is missing, or repeats a graph_id.
        OutputError: A folder cannot be written.
        UsageError: The device does not exist.
    """
    if options.groups not in (AUTO, NONE):
        raise UsageError("groups are stated for graph files; observations have no prompts, so every graph is one group")
    files, options = stat_files(sources), dataclasses.replace(options, groups=NONE, graph_links=NONE)
    made_with = _made_with(options, **space._asdict())
    earlier, files, _ = _earlier(out, files, fresh, made_with)
    if earlier and not files:
        return _as_it_is(earlier[0], "nothing new: every file is counted already")
    store, options = _opened_store(out, options), _with_device(options)
    with replaced_folder(out, "stats") as folder:
        groups = row_groups(files)
        if not groups and not earlier:
            raise NothingReadable(f"{', '.join(known.source.name for known in files)[:300]}: no file has a row")
        # Workers load their code while this process hashes the files.
        with started_workers(task_count(groups, options), options) as workers:
            plan = ObservedPlan.of(files, groups, earlier, store, space, options)
            claim(store, out / MANIFEST, f"{'fresh ' if fresh else ''}observations {plan.signature()}")
            Journal.opened(store)
            run = Run(store, workers, options, progress)
            mapped = plan.map(run, earlier)
            plan.refuse_changes(mapped, store)
            plan.refuse_nothing(mapped, store)
            plan.refuse_known_graphs(mapped)
            provenance = Provenance(inputs, plan.context.sample_below, made_with)
            summary = reduce_and_finalize(run, folder, mapped, provenance, files=plan.bookkeeping(mapped))
    store.remove()
    return summary


def merge_stats(
    folders: Sequence[Path],
    out: Path,
    options: AggregateOptions,
    *,
    skip_duplicates: bool = False,
    progress: Progress = silent,
) -> Summary:
    """Merge stats folders into one folder, with the statistics of all their graphs together.

    Args:
        folders: Stats folders.
        out: Stats folder to write.
        options: Statistics to keep, device, memory and workers.
        skip_duplicates: Skip folders that only hold graphs of the other folders.
        progress: As in `aggregate_files`.

    Returns:
        Counts of the merged statistics.

    Raises:
        SpaceMismatch: The folders have different feature spaces.
        InputError: A graph is in two of the folders.
    """
    chosen = _distinct(folders, skip_duplicates)
    paths = [path for folder in chosen for path in read_manifest(folder, "stats")["inputs"]]
    options = _with_graph_links(_with_groups(options, chosen, 0), chosen, 0)
    store, options = _opened_store(out, options), _with_device(options)
    with replaced_folder(out, "stats") as folder:
        store.remove()
        with started_workers(len(chosen) * FEW_TASKS, options) as workers:
            run = Run(store, workers, options, progress)
            inputs = read_inputs(store, 0, chosen)
            _require_one_trace(chosen)
            made_with = _common_options(chosen) | _made_with(options)
            below = min(item.sample_below for item in inputs)
            summary = reduce_and_finalize(run, folder, inputs, Provenance(list(dict.fromkeys(paths)), below, made_with))
    store.remove()
    skipped = len(folders) - len(chosen)
    summary.new_graphs = summary.graphs
    if skipped:
        summary.work = f"left out {skipped} of {len(folders)} folders: all their graphs stand in the others"
    return summary


def _common_options(folders: Sequence[Path]) -> dict[str, Any]:
    """Return the options that have the same value in all folders."""
    first, *others = (read_manifest(folder, "stats").get("options", {}) for folder in folders)
    return {key: value for key, value in first.items() if all(other.get(key, ...) == value for other in others)}


# Options of a trace that decide a graph, beside its feature space.
_TRACE_OPTIONS = ("traced_model", "tau", "tau_of", "top_logits", "max_nodes", "steps", MEANS)


def _require_one_trace(folders: Sequence[Path]) -> None:
    """Raise `SpaceMismatch` if two folders were traced with different models or options."""
    traced = [(folder, read_manifest(folder, "stats").get("options", {})) for folder in folders]
    traced = [(folder, options) for folder, options in traced if "traced_model" in options]
    for folder, options in traced[1:]:
        for key in _TRACE_OPTIONS:
            first, other = traced[0][1].get(key), options.get(key)
            if first != other:
                raise SpaceMismatch(
                    f"two traces do not mix: {key} is {first!r} in {traced[0][0]} and {other!r} in {folder}; merge folders of one model and the same options"
                )


def _distinct(folders: Sequence[Path], skip_duplicates: bool) -> list[Path]:
    """Return the folders to merge; raise `InputError` if two of them share graphs.

    With `skip_duplicates`, folders that only hold graphs of the other folders are left out.
    """
    graphs: dict[Path, dict[str, str]] = {}
    for folder in folders:
        read_manifest(folder, "stats")
        table = pq.read_table(require(folder, DATASETS["stats.graphs"]), columns=["path", "graph_hash"])
        graphs[folder] = dict(zip(table["graph_hash"].to_pylist(), table["path"].to_pylist(), strict=True))
    seen: dict[str, str] = {}
    chosen = []
    # Visit larger folders first, so that a folder that is part of another is the one to be left out.
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
