"""Plan of an aggregation: detection of new, changed and missing files, and division of the new ones into tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from atlas.aggregate.edge_sample import threshold
from atlas.errors import SourceChanged
from atlas.graph import Source
from atlas.io.files import sha256_of
from atlas.io.work_dir import Store
from atlas.stages import DATASETS, require

PLAN = "plan.parquet"


def bookkeeping_name(number: int) -> str:
    """Return the name of a task's bookkeeping file. It is written last, so its presence marks the task as done."""
    return f"tasks/{number:06d}.parquet"


FORMAT = 1  # of the work folder
# With fewer links, early summing saves nothing. Without early summing, links are added strictly one by one.
COMBINE_LINKS = 8_000_000
_LINK_BYTES = 110  # bytes of JSON per link; 5,000 links take 580 KB
_PACKED = (".gz", ".zip")
_PACKED_FACTOR = 6


@dataclass(frozen=True)
class Budget:
    """Sizes of chunks and key ranges. They depend on `--memory` alone, so the number of threads changes no byte."""

    links: int  # links per chunk, and rows per key range
    base: int = 220_000_000  # bytes of a process after its imports
    row: int = 300  # bytes per link while it is sorted, reduced and written

    @classmethod
    def of(cls, memory: int, device: str = "cpu") -> Budget:
        """Return the budget for `memory` bytes in all processes together. A GPU gets as many rows as memory holds."""
        most, shares = (4_000_000, 5) if device == "cpu" else (250_000_000, 2)
        return cls(min(max((memory - cls.base) // (shares * cls.row), 50_000), most))

    def workers(self, memory: int, threads: int) -> int:
        """Return the number of worker processes that fit beside the coordinator, or 0 if none fits."""
        return max(min(threads, (memory - self.base) // (self.base + self.links * self.row)), 0)


@dataclass(frozen=True)
class SourceFile:
    """An input file with its current size and modification time."""

    source: Source
    size: int
    mtime_ns: int

    @property
    def unpacked(self) -> int:
        """Estimated unpacked size in bytes."""
        return self.size * (_PACKED_FACTOR if self.source.name.lower().endswith(_PACKED) else 1)


@dataclass(frozen=True)
class Plan:
    """Input files divided into tasks, and the settings that all tasks share."""

    tasks: tuple[tuple[SourceFile, ...], ...]
    model: str | None
    transcoder_set: str | None
    strict: bool
    grouped: bool
    keep_graphs: bool
    links: int  # links per chunk
    sample_below: int
    combine: bool


def stat_files(sources: Sequence[Source]) -> list[SourceFile]:
    """Return the sources with their size and modification time."""
    found = []
    for source in sources:
        try:
            stat = source.path.stat()
        except OSError:
            found.append(SourceFile(source, 0, 0))  # deleted since it was listed; reading it reports the error
        else:
            found.append(SourceFile(source, stat.st_size, stat.st_mtime_ns))
    return found


def expected_links(files: Sequence[SourceFile]) -> int:
    """Return the approximate number of links in files, by their sizes."""
    return sum(known.unpacked for known in files) // _LINK_BYTES


def make_plan(files: Sequence[SourceFile], budget: Budget, **options: Any) -> Plan:
    """Divide files, in order, into tasks of about one chunk each.

    Less data is divided into about 64 smaller tasks, each of at least 8 MB of unpacked text.
    """
    total = sum(known.unpacked for known in files)
    size = min(max(total // 64, 8_000_000), budget.links * _LINK_BYTES)
    tasks: list[list[SourceFile]] = []
    filled = size
    for known in files:
        if filled >= size:
            tasks.append([])
            filled = 0
        tasks[-1].append(known)
        filled += known.unpacked
    expected = total // _LINK_BYTES
    return Plan(
        tuple(map(tuple, tasks)),
        links=budget.links,
        sample_below=threshold(expected),
        combine=expected >= COMBINE_LINKS and not options["grouped"],
        **options,
    )


def save_plan(plan: Plan, store: Store) -> None:
    """Write the plan into the work folder."""
    rows = [(known, number) for number, task in enumerate(plan.tasks) for known in task]
    facts = {key: value for key, value in asdict(plan).items() if key != "tasks"} | {"format": FORMAT}
    table = pa.table(
        {
            "name": pa.array([known.source.name for known, _ in rows], pa.string()),
            "size": pa.array([known.size for known, _ in rows], pa.int64()),
            "mtime_ns": pa.array([known.mtime_ns for known, _ in rows], pa.int64()),
            "task": pa.array([number for _, number in rows], pa.int64()),
        }
    ).replace_schema_metadata({"plan": json.dumps(facts)})
    store.put_with(PLAN, lambda path: pq.write_table(table, path))


def load_plan(
    store: Store,
    files: Sequence[SourceFile],
    read: Callable[[int], dict[str, tuple[str | None, int]] | None],
    **options: Any,
) -> Plan | None:
    """Return the plan of an unfinished run with the same options, or None. New files are added as tasks.

    `read` returns the files of a finished task, each with its content hash and number of graphs; None for another task.
    Raises `SourceChanged` if a file with counted graphs has changed or is missing. Other files may change: their tasks
    are then run again.
    """
    if PLAN not in store.names():
        return None
    with store.local(PLAN) as path:
        table = pq.read_table(path)
    facts = json.loads(table.schema.metadata[b"plan"])
    if facts.pop("format") != FORMAT or any(facts[key] != value for key, value in options.items()):
        return None
    now = {known.source.name: known for known in files}
    bookkeeping: dict[int, dict[str, tuple[str | None, int]] | None] = {}
    again: set[int] = set()
    tasks: dict[int, list[SourceFile]] = {}
    for row in table.to_pylist():
        known = now.pop(row["name"], None)
        tasks.setdefault(row["task"], [])
        if row["task"] not in bookkeeping:
            bookkeeping[row["task"]] = read(row["task"])
        content_hash, graphs = (bookkeeping[row["task"]] or {}).get(row["name"], (None, 0))
        if graphs:
            refuse_changed(row["name"], known, row["size"], row["mtime_ns"], content_hash, "an unfinished run")
        elif bookkeeping[row["task"]] is not None and (
            known is None or (known.size, known.mtime_ns) != (row["size"], row["mtime_ns"])
        ):
            again.add(row["task"])
        if known is not None:
            tasks[row["task"]].append(known)
    for number in again:
        store.delete(bookkeeping_name(number))
    old = tuple(tuple(task) for _, task in sorted(tasks.items()))
    later = make_plan(list(now.values()), Budget(facts["links"]), **options).tasks
    return Plan(old + later, **facts)


def refuse_changed(
    name: str, known: SourceFile | None, size: int, mtime_ns: int, content_hash: str | None, what: str
) -> None:
    """Raise `SourceChanged` if a file is missing or its bytes have changed. Its modification time alone may change."""
    if known is None:
        raise SourceChanged(
            f"{name} was counted in {what} and is not among the files given now; "
            "give it too, or start over with --fresh"
        )
    if known.size == size and known.mtime_ns == mtime_ns:
        return
    if known.size == size and content_hash is not None and sha256_of(known.source.path) == content_hash:
        return
    raise SourceChanged(f"{name} has changed since {what} counted it; start over with --fresh")


def new_files(stats: Path, files: Sequence[SourceFile]) -> tuple[list[SourceFile], set[str]]:
    """Return the files that existing statistics lack, and the names of rejected files, which are read again.

    Raises `SourceChanged` if an aggregated file is missing or has changed.
    """
    table = pq.read_table(require(stats, DATASETS["stats.files"]))
    now: Mapping[str, SourceFile] = {known.source.name: known for known in files}
    held, retried = set(), set()
    for row in table.to_pylist():
        name = row["path"]
        if row["reject_count"] and not row["graph_count"]:
            retried.add(name)
            continue
        refuse_changed(name, now.get(name), row["size_bytes"], row["mtime_ns"], row["content_hash"], str(stats))
        held.add(name)
    return [known for known in files if known.source.name not in held], retried
