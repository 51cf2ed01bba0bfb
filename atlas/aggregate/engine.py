"""The engine: plan, read in worker processes, reduce range by range, and put a whole stats folder in place.

    files -> tasks -> sorted runs + bookkeeping      (one spill file and one Parquet file per task)
    runs, earlier stats -> ranges -> parts     (one Parquet file per range and dataset)
    bookkeeping -> the small datasets, the manifest

Everything that is finished stands in a work folder under its final name, so a run that was killed goes on
with what is missing, and ends with the bytes of an undisturbed one.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from atlas.aggregate import cooccurrence, reduce
from atlas.aggregate import finalize as finish
from atlas.aggregate.cooccurrence import CooccurrenceOptions
from atlas.aggregate.duplicates import copies
from atlas.aggregate.edge_sample import sample_rows
from atlas.aggregate.finalize import BookkeepingMerger, Summary
from atlas.aggregate.graph_tasks import (
    FinishedTask,
    Reader,
    Task,
    TaskOptions,
    read_bookkeeping,
    read_finished_task,
    refuse_other_space,
    run_task,
    runs_name,
)
from atlas.aggregate.key_ranges import KeyRange
from atlas.aggregate.link_tables import TABLES
from atlas.aggregate.plan import Budget, Plan, bookkeeping_name
from atlas.aggregate.reduce import Job, Origin, ReduceOptions
from atlas.aggregate.run_files import RunFile, RunWriter
from atlas.errors import NothingReadable
from atlas.graph import LINK_TABLES, Ints, Space
from atlas.io.files import translated_os_errors
from atlas.io.work_dir import Store
from atlas.options import MEMORY
from atlas.runtime.executors import Call, Executor, InlineExecutor
from atlas.runtime.journal import Journal
from atlas.stages import DATASETS
from atlas.stages.manifest import read_manifest, write_manifest

Progress = Callable[[str, int, int], None]  # what, done, of
_RANGES = "ranges.json"
_FIRST, _MOST_NAMES = 3, 64  # rejects in a message; names of a transcoder set
_IDENTITY = ["path", "content_hash"]
_PLACE = ["file", "member", "graph_hash"]


@dataclass(frozen=True)
class Options:
    """How an aggregation runs, beside what it reads."""

    memory: int = MEMORY
    device: str = "cpu"
    cooccurrence: CooccurrenceOptions | None = field(default_factory=CooccurrenceOptions)


@dataclass(frozen=True)
class Facts:
    """What the manifest says of a run, beside its counts."""

    inputs: Sequence[str]
    sample_below: int
    made_with: Mapping[str, Any]


@dataclass
class Part:
    """One origin with its graphs: a task of this run, or earlier stats."""

    origin: Origin
    graphs: pa.Table  # path, content_hash, file and member
    space: Space | None
    space_path: str
    folder: Path | None = None
    sample_below: int = 0
    set_names: tuple[str, ...] = ()


class Aggregation:
    """Tasks and earlier stats -> a stats folder."""

    def __init__(self, store: Store, workers: Executor, options: Options, progress: Progress) -> None:
        self.store = store
        self.workers = workers
        self.options = options
        self.progress = progress

    def read(self, plan: Plan, reader: Reader, earlier: Sequence[Path] = ()) -> None:
        """Run the tasks of a plan that are not done yet; graphs that stand twice are read again without the later copy.

        Raises `SpaceMismatch` as soon as two tasks, or a task and earlier stats, are of different feature spaces.
        """
        shared = TaskOptions(
            self.store.url,
            reader,
            plan.model,
            plan.transcoder_set,
            plan.strict,
            plan.links,
            plan.sample_below,
            plan.combine,
        )
        tasks = [
            Task(number, tuple(known.source for known in files), shared) for number, files in enumerate(plan.tasks)
        ]
        sizes = {task.number: len(task.sources) for task in tasks}
        self.run(run_task, tasks, sizes, "graph files", earlier)
        skips: dict[int, dict[str, str]] = {}
        while twice := copies(self.store, len(tasks), earlier):
            # A task that leaves one copy out may meet the next one: what it leaves out adds up.
            for number, skip in twice.items():
                skips.setdefault(number, {}).update(skip)
            again = [replace(tasks[number], skip=skips[number]) for number in twice]
            self.run(run_task, again, sizes, "graph files", earlier, again=True)

    def run(
        self,
        function: Call,
        tasks: Sequence[Any],
        sizes: Mapping[int, int],
        what: str,
        earlier: Sequence[Path] = (),
        *,
        again: bool = False,
        on_device: bool = False,
    ) -> None:
        """Run the numbered tasks that are not done yet, each of `sizes[number]` things that are counted as `what`."""
        journal = Journal.opened(self.store)
        finished = set() if again else journal.trusted
        missing = [task for task in tasks if bookkeeping_name(task.number) not in finished]
        known = _first_space(earlier)
        for task in tasks:
            if task not in missing:
                known = _same_space(known, read_finished_task(self.store.url, task.number, [])[0])
        total = sum(sizes[task.number] for task in tasks)
        done = total - sum(sizes[task.number] for task in missing)
        self.progress(what, done, total)
        for result in (self._near_device() if on_device else self.workers).run(function, missing):
            known = _same_space(known, result)
            journal.note(runs_name(result.number), bookkeeping_name(result.number))
            done += sizes[result.number]
            self.progress(what, done, total)

    def _near_device(self) -> Executor:
        """Who reduces: the workers, or this process where it holds a GPU of its own."""
        return self.workers if self.options.device in ("cpu", "auto") else InlineExecutor()

    def parts(self, tasks: int, earlier: Sequence[Path]) -> list[Part]:
        """The origins in their order: earlier stats first, then the tasks."""
        found: list[Part] = []
        first = 0
        for folder in earlier:
            manifest = read_manifest(folder, "stats")
            graphs = pq.read_table(DATASETS["stats.graphs"].path(folder), columns=_IDENTITY + _PLACE)
            origin = Origin(len(found), first, folder=str(folder.resolve()))
            space = Space(**manifest["space"])
            found.append(
                Part(
                    origin,
                    graphs,
                    space,
                    str(folder),
                    folder,
                    int(manifest.get("sample_below", 0)),
                    tuple(manifest.get("set_names", ())),
                )
            )
            first += len(graphs)
        for number in range(tasks):
            done, graphs = read_finished_task(self.store.url, number, _IDENTITY + _PLACE)
            origin = Origin(len(found), first, runs=runs_name(number))
            found.append(Part(origin, graphs, done.space, done.space_path, set_names=done.set_names))
            first += len(graphs)
        return found

    def write(
        self,
        folder: Path,
        parts: Sequence[Part],
        facts: Facts,
        *,
        forget: Mapping[str, set[str]] | None = None,
        files: pa.Table | None = None,
    ) -> Summary:
        """Write all datasets and the manifest into an empty folder.

        `forget` are paths of earlier rows of `rejects` and `files` that were read anew, `files` rows that no
        task wrote. Raises `NothingReadable` where there is no graph at all, `SpaceMismatch` where spaces differ.
        """
        space = _space_of(parts)
        if space is None:
            raise NothingReadable(self._nothing_readable(parts, facts))
        columns = [[part.graphs[name].to_pylist() for part in parts] for name in _IDENTITY]
        ids = finish.final_ids(*columns)
        self._write_origins(parts, ids)
        # Parts go to the disk while the next ones are made; the end then has little to wait for.
        with ThreadPoolExecutor(1) as disk:
            ranges = self._reduce(space, sum(map(len, ids)), _identity(columns, facts), disk)
        below = min([facts.sample_below, *(part.sample_below for part in parts if part.folder)])
        self._write_bookkeeping(folder, parts, ids, forget or {}, files)
        self._write_samples(folder, parts, below)
        self._fetch(folder, ranges)
        summary = finish.summarise(folder)
        summary.new_graphs = sum(len(part.graphs) for part in parts if part.folder is None)
        write_manifest(
            folder,
            "stats",
            **_facts_of(space, facts, summary, below),
            set_names=sorted({name for part in parts for name in part.set_names})[:_MOST_NAMES],
        )
        return summary

    def rejects(self, parts: Sequence[Part]) -> pa.Table:
        """The rejects of the tasks of this run."""
        bookkeeping = [
            read_bookkeeping(RunFile(self.store, part.origin.runs), "rejects") for part in parts if part.origin.runs
        ]
        return pa.concat_tables([DATASETS["stats.rejects"].empty(), *bookkeeping])

    def _nothing_readable(self, parts: Sequence[Part], facts: Facts) -> str:
        """Why there is nothing to aggregate: the reasons with their counts, and the first files with what is wrong in them."""
        rejects = self.rejects(parts).select(["path", "reason", "message"]).to_pylist()
        reasons = Counter(row["reason"] for row in rejects)
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "no files"
        first = "; ".join(f"{row['path']}: {row['message']}" for row in rejects[:_FIRST])
        more = f"; and {len(rejects) - _FIRST:,} more" if len(rejects) > _FIRST else ""
        return f"none of the files is a readable graph ({told}) under {', '.join(facts.inputs)[:300]}: {first}{more}"

    def _write_origins(self, parts: Sequence[Part], ids: Sequence[Ints]) -> None:
        runs = RunWriter()
        for part, found in zip(parts, ids, strict=True):
            runs.add(str(part.origin.number), {"id": found.astype(np.int32)})
        runs.write(self.store, reduce.GRAPH_IDS, lasting=False)
        text = json.dumps([asdict(part.origin) for part in parts])
        self.store.put(reduce.ORIGINS, [text.encode()], lasting=False)

    def _reduce(
        self, space: Space, graph_total: int, identity: str, disk: ThreadPoolExecutor
    ) -> dict[str, list[KeyRange]]:
        """Write the parts of every dataset that is reduced by key; their ranges."""
        stamp = uuid.uuid4().hex
        options = ReduceOptions(
            self.store.url, space.method, self.options.device, self.options.cooccurrence, graph_total, stamp
        )
        ranges = self._ranges(options, identity)
        self._jobs(reduce.reduce_nodes, "neurons", ranges["neurons"], options, disk)
        if options.cooccurrence is not None:
            blocks = cooccurrence.block_jobs(self.store.url, len(ranges["neurons"]), graph_total)
            for _ in self.workers.run(cooccurrence.write_members, blocks):
                pass
        for table in TABLES:
            self._jobs(reduce.reduce_links, table.name, ranges[table.name], options, disk)
        return ranges

    def _fetch(self, folder: Path, ranges: Mapping[str, Sequence[KeyRange]]) -> None:
        """Move the parts to where they belong; last of all, so that a run that dies before keeps them."""
        shared = {"neuron_graphs": "neurons", "cooccurrence": "edges"}
        for name in (*ranges, *shared):
            target = DATASETS[f"stats.{name}"].path(folder)
            for part in ranges[shared.get(name, name)]:
                source = reduce.part_name(name, part.number)
                self.store.fetch(source, target / Path(source).name)

    def _ranges(self, options: ReduceOptions, identity: str) -> dict[str, list[KeyRange]]:
        """The ranges of every dataset; the parts of a run that was killed stay where they are of the same graphs and options."""
        size = Budget.of(self.options.memory, self.options.device).links
        found = reduce.all_ranges(reduce.opened(self.store.url, options.stamp), size)
        lasting = asdict(replace(options, stamp=""))
        text = json.dumps(
            [identity, lasting, {name: [asdict(part) for part in ranges] for name, ranges in found.items()}]
        )
        if _RANGES in self.store.names():
            with self.store.local(_RANGES) as path:
                if path.read_text() == text:
                    return found
            for name in self.store.names():
                if name.startswith(("parts/", "postings/", "members/")):
                    self.store.delete(name)
        self.store.put(_RANGES, [text.encode()], lasting=False)
        return found

    def _jobs(
        self,
        function: Callable[[Job], Any],
        dataset: str,
        ranges: Sequence[KeyRange],
        options: ReduceOptions,
        disk: ThreadPoolExecutor,
    ) -> None:
        finished = self.store.names()
        jobs = [Job(dataset, part, options) for part in ranges]
        missing = [job for job in jobs if job.name not in finished]
        done = len(jobs) - len(missing)
        self.progress(f"parts of {dataset}", done, len(jobs))
        synced: list[Future[None]] = []
        for result in self._near_device().run(function, missing):
            synced += [disk.submit(self.store.sync, name) for name in result]
            done += 1
            self.progress(f"parts of {dataset}", done, len(jobs))
        for future in synced:
            # Linux reports a failed write-back once: nobody else would learn of it.
            with translated_os_errors(Path(self.store.url)):
                future.result()

    def _write_bookkeeping(
        self,
        folder: Path,
        parts: Sequence[Part],
        ids: Sequence[Ints],
        forget: Mapping[str, set[str]],
        files: pa.Table | None,
    ) -> None:
        with BookkeepingMerger(folder, folder / ".duckdb", max(self.options.memory // 4_000_000, 100)) as merger:
            for name in finish.BOOKKEEPING:
                more = [files] if files is not None and name == "files" else []
                merger.write(name, itertools.chain(self._book(name, parts, ids, forget), more))

    def _write_samples(self, folder: Path, parts: Sequence[Part], below: int) -> None:
        raw = [RunFile(self.store, part.origin.runs) for part in parts if part.origin.runs]
        cells = [
            # Early runs may have sampled more than is kept now that all links are counted.
            sample_rows(file.columns(run, ["key", "bucket", "count", "weight_sum"]), below)
            for file in raw
            for run in file.names("sample.")
        ]
        folders = [part.folder for part in parts if part.folder]
        earlier = [pq.read_table(DATASETS["stats.edge_samples"].path(folder)) for folder in folders]
        finish.write_samples(folder, cells, earlier, below)

    def _book(
        self, name: str, parts: Sequence[Part], ids: Sequence[Ints], forget: Mapping[str, set[str]]
    ) -> Iterator[pa.Table]:
        for part, found in zip(parts, ids, strict=True):
            if part.folder is not None:
                table = pq.read_table(DATASETS[f"stats.{name}"].path(part.folder))
            elif name == "graphs":
                table = read_finished_task(self.store.url, int(Path(str(part.origin.runs)).stem))[1]
            else:
                assert part.origin.runs is not None
                table = read_bookkeeping(RunFile(self.store, part.origin.runs), name)
            if name in ("graphs", "link_counts"):
                table = finish.with_ids(table, found)
            if part.folder is not None and name in forget:
                files = table["file" if name == "rejects" else "path"].to_pylist()
                stays = [file not in forget[name] for file in files]
                table = table.filter(pa.array(stays, pa.bool_()))
            yield table


def _identity(columns: Sequence[Any], facts: Facts) -> str:
    """One hash of the graphs behind a run, and of what decides their statistics."""
    text = json.dumps([columns, facts.sample_below, dict(facts.made_with)])
    return hashlib.sha256(text.encode()).hexdigest()


def _facts_of(space: Space, facts: Facts, summary: Summary, sample_below: int) -> dict[str, Any]:
    return {
        "space": space._asdict(),
        "method": space.method,
        "inputs": list(facts.inputs),
        "options": dict(facts.made_with),
        "sample_below": sample_below,
        "counts": finish.counts_of(summary, list(LINK_TABLES.values())),
    }


def _first_space(earlier: Sequence[Path]) -> tuple[Space | None, str]:
    for folder in earlier:
        return Space(**read_manifest(folder, "stats")["space"]), str(folder)
    return None, ""


def _same_space(known: tuple[Space | None, str], done: FinishedTask) -> tuple[Space | None, str]:
    refuse_other_space(*known, done.space, done.space_path)
    return known if known[0] is not None else (done.space, done.space_path)


def _space_of(parts: Sequence[Part]) -> Space | None:
    known: tuple[Space | None, str] = (None, "")
    for part in parts:
        refuse_other_space(*known, part.space, part.space_path)
        if known[0] is None:
            known = (part.space, part.space_path)
    return known[0]
