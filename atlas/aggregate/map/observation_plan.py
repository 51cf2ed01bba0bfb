"""Plan of a dataset of observations: division into tasks, which run directly or after a shuffle by graph."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from atlas.aggregate.context import JobContext, Run
from atlas.aggregate.edge_sample import threshold
from atlas.aggregate.inputs import Input, bookkeeping_tables, read_inputs
from atlas.aggregate.map.observation_files import Group, cut, groups_of, is_in_order
from atlas.aggregate.map.observation_tasks import (
    GroupTask,
    ObservationFiles,
    ShuffledTask,
    group_tasks,
    run_groups,
    run_shuffle,
    run_shuffled,
    shuffle_name,
    shuffle_ranges,
)
from atlas.aggregate.map.phase import run_tasks
from atlas.aggregate.plan import COMBINE_LINKS, Budget, SourceFile, stat_files
from atlas.errors import InputError, NothingReadable, SourceChanged
from atlas.graph import Space
from atlas.io.files import sha256_of
from atlas.io.work_dir import Store
from atlas.options import AggregateOptions
from atlas.stages import DATASETS

_LAYOUT = 2  # of the files of tasks; those that another version has left are made again


def _refuse_copies(files: Sequence[tuple[SourceFile, str]], earlier: Sequence[Path]) -> None:
    seen: dict[str, str] = {}
    for folder in earlier:
        table = pq.read_table(DATASETS["stats.files"].path(folder), columns=["content_hash", "path"])
        seen |= dict(zip(table["content_hash"].to_pylist(), table["path"].to_pylist(), strict=True))
    for known, identity in files:
        if first := seen.get(identity):
            raise InputError(
                f"{known.source.name} is a copy of {first}; its observations would count twice: remove one"
            )
        seen[identity] = known.source.name


def row_groups(files: Sequence[SourceFile]) -> list[Group]:
    """Return the row groups of files that have rows; raises `InputError` if a file holds no observations."""
    found = [group for number, known in enumerate(files) for group in groups_of(number, known.source.path)]
    for group in found:
        if group.first < 0:
            name = files[group.file].source.name
            raise InputError(f"{name}: graph_id {group.first} is negative; number the graphs from 0")
    # Skip empty row groups, because their bounds have no meaning.
    return [group for group in found if group.rows]


def task_count(groups: Sequence[Group], options: AggregateOptions) -> int:
    """Return the number of tasks for row groups."""
    return len(cut(groups, _task_rows(options)))


def _task_rows(options: AggregateOptions) -> int:
    return Budget.of(options.memory, options.device).links


@dataclass(frozen=True)
class ObservedPlan:
    """Row groups divided into pieces, and the settings that all tasks share."""

    files: tuple[SourceFile, ...]
    groups: tuple[Group, ...]
    pieces: tuple[tuple[Group, ...], ...]
    observed: ObservationFiles
    context: JobContext

    @classmethod
    def of(
        cls,
        files: Sequence[SourceFile],
        groups: Sequence[Group],
        earlier: Sequence[Path],
        store: Store,
        space: Space,
        options: AggregateOptions,
    ) -> ObservedPlan:
        """Return the plan for files and their row groups; raises `InputError` if a file is a copy of another."""
        with ThreadPoolExecutor() as pool:
            identities = tuple(pool.map(sha256_of, [known.source.path for known in files]))
        filled = {group.file for group in groups}
        _refuse_copies([(known, identities[i]) for i, known in enumerate(files) if i in filled], earlier)
        rows = _task_rows(options)
        total = sum(group.rows for group in groups)
        observed = ObservationFiles(tuple(known.source for known in files), identities, space)
        context = JobContext(store.url, options.device, rows, threshold(total), total >= COMBINE_LINKS)
        return cls(tuple(files), tuple(groups), tuple(cut(groups, rows)), observed, context)

    def signature(self) -> str:
        """Return a hash of everything that decides the content of each numbered task."""
        names = [source.name for source in self.observed.sources]
        pieces = [[asdict(group) for group in piece] for piece in self.pieces]
        facts = [_LAYOUT, self.observed.identities, names, self.observed.space, pieces]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def map(self, run: Run, earlier: Sequence[Path]) -> list[Input]:
        """Run the tasks, and return the inputs of the reduce phase."""
        large = any(group.rows > 2 * self.context.chunk_links for group in self.groups)
        if not is_in_order(self.groups) or large:
            return read_inputs(run.store, self._shuffle(run, earlier), earlier)
        tasks = group_tasks(self.groups, self.pieces, self.observed, self.context)
        sizes = {task.number: sum(group.rows for group in task.groups) for task in tasks}
        run_tasks(run, run_groups, tasks, sizes, "observations", earlier, on_device=True)
        return read_inputs(run.store, len(tasks), earlier)

    def _shuffle(self, run: Run, earlier: Sequence[Path]) -> int:
        """Sort all rows by graph, run the tasks over ranges of graphs, and return the number of tasks."""
        shared, finished = (self.observed, self.context), run.store.names()
        shuffles = [GroupTask(number, piece, *shared) for number, piece in enumerate(self.pieces)]
        missing = [task for task in shuffles if shuffle_name(task.number) not in finished]
        done, total = len(self.groups) - sum(len(task.groups) for task in missing), len(self.groups)
        run.progress("row groups sorted by graph", done, total)
        for count in run.workers.run(run_shuffle, missing):
            done += count
            run.progress("row groups sorted by graph", done, total)
        ranges = shuffle_ranges(run.store, len(shuffles), self.context.chunk_links)
        tasks = [ShuffledTask(part.number, part, len(shuffles), *shared) for part in ranges]
        sizes = dict.fromkeys(range(len(tasks)), 1)
        run_tasks(run, run_shuffled, tasks, sizes, "ranges of graphs", earlier, on_device=True)
        return len(tasks)

    def refuse_changes(self, inputs: Sequence[Input], store: Store) -> None:
        """Raise `SourceChanged` if a file has changed since it was listed, and forget what was read of it."""
        expected = sum(group.rows for group in self.groups)
        read = sum(pc.sum(item.graphs["link_count"]).as_py() or 0 for item in inputs if item.folder is None)
        changed = [
            now.source.name
            for known, now in zip(self.files, stat_files([known.source for known in self.files]), strict=True)
            if (known.size, known.mtime_ns) != (now.size, now.mtime_ns)
        ]
        if changed or read != expected:
            store.remove()
        if changed:
            raise SourceChanged(f"{changed[0]} changed while it was read; repeat the command when it is complete")
        if read != expected:
            raise SourceChanged(
                f"the files hold {expected:,} observations, but {read:,} were read; if none has changed, report this as a fault"
            )

    def refuse_nothing(self, inputs: Sequence[Input], store: Store) -> None:
        """Raise `NothingReadable` if all observations are dropped."""
        links, dropped = (
            sum(pc.sum(item.graphs[name]).as_py() or 0 for item in inputs) for name in ("link_count", "dropped_count")
        )
        if not links or links > dropped:
            return
        reasons: Counter[str] = Counter()
        for _, table in bookkeeping_tables(store, "link_counts", inputs):
            for reason, count in zip(table["reason"].to_pylist(), table["count"].to_pylist(), strict=True):
                reasons[reason] += count
        told = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
        store.remove()  # of no use to another run
        raise NothingReadable(f"none of the {links:,} observations can be counted: {told}")

    def refuse_known_graphs(self, inputs: Sequence[Input]) -> None:
        """Raise `InputError` if a graph_id is in earlier statistics: all links of a graph must come together."""
        held: dict[str | None, str] = {}
        for item in inputs:
            names = item.graphs["member"].to_pylist(), item.graphs["path"].to_pylist()
            for graph_id, path in zip(*names, strict=True):
                if item.folder is not None:
                    held[graph_id] = path
                elif first := held.get(graph_id):
                    raise InputError(
                        f"{path} and {first}, which is counted already, have one graph_id; links of a graph must come "
                        "together: start over with --fresh, or aggregate apart and merge where they are two graphs"
                    )

    def bookkeeping(self, inputs: Sequence[Input]) -> pa.Table:
        """Return the rows of `files`, each with the number of graphs that begin in it."""
        counts: Counter[str] = Counter()
        for item in inputs:
            if item.folder is None:
                counts.update(item.graphs["file"].to_pylist())
        return DATASETS["stats.files"].table(
            {
                "path": [known.source.name for known in self.files],
                "size_bytes": [known.size for known in self.files],
                "mtime_ns": [known.mtime_ns for known in self.files],
                "content_hash": list(self.observed.identities),
                "graph_count": [counts[known.source.name] for known in self.files],
                "reject_count": [0] * len(self.files),
            }
        )
