"""Tasks over graph files. Each writes one spill file and one Parquet file of bookkeeping, atomically."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from atlas.aggregate.bookkeeping import Bookkeeping
from atlas.aggregate.context import JobContext
from atlas.aggregate.map.chunk import Chunk
from atlas.aggregate.plan import bookkeeping_name, stat_files
from atlas.errors import InputError, SpaceMismatch
from atlas.graph import Graph, Reject, Source, Space
from atlas.io.files import sha256_of
from atlas.io.run_files import RunFile, RunWriter
from atlas.io.work_dir import Store, open_store

# Bookkeeping tables in the spill file. The table `graphs` is a file of its own, which marks a task as done.
BOOKKEEPING = ("link_counts", "rejects", "tokens", "graph_labels", "files", "regimes", "ablated_nodes", "ablated_edges")
Reader = Callable[[Source], Iterator[Graph | Reject]]


@dataclass(frozen=True)
class GraphReading:
    """Options of reading graph files.

    Attributes:
        read: Function that yields the graphs and rejects of a file.
        model: Name of the model; replaces the name in the files.
        transcoder_set: Name of the transcoder set, for files that name none.
        strict: Raise `InputError` for a file that is not a readable graph.
    """

    read: Reader
    model: str | None = None
    transcoder_set: str | None = None
    strict: bool = False


@dataclass(frozen=True)
class Task:
    """Files that are read together. `skip` maps the paths of duplicate graphs to the paths of their first copies."""

    number: int
    sources: tuple[Source, ...]
    reading: GraphReading
    context: JobContext
    skip: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FinishedTask:
    """Result of a task, for the coordinator."""

    number: int
    files: int
    space: Space | None
    space_path: str
    set_names: tuple[str, ...] = ()


def runs_name(number: int) -> str:
    """Return the name of the spill file of a task."""
    return f"tasks/{number:06d}.runs"


def run_task(task: Task) -> FinishedTask:
    """Read the files of a task and write its runs and bookkeeping.

    Raises:
        SpaceMismatch: Two graphs have different feature spaces.
        InputError: A file is not a readable graph, with `strict`.
        OutputError: The store cannot be written.
    """
    context = task.context
    chunk = Chunk(
        max_links=context.chunk_links,
        sample_below=context.sample_below,
        combine=context.combine,
        keep_graphs=context.keep_graphs,
    )
    hashes: dict[str, str] = {}
    with _no_collector():
        for source in task.sources:
            _read_file(source, task, chunk, hashes)
        chunk.flush()
    bookkeeping = chunk.bookkeeping
    done = FinishedTask(
        task.number, len(task.sources), bookkeeping.space, bookkeeping.space_path, tuple(sorted(bookkeeping.set_names))
    )
    finish_task(open_store(context.store), chunk.runs, chunk.bookkeeping.tables(), done)
    return done


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """Disable the cyclic garbage collector: graphs hold no cycles, and it would scan their many objects repeatedly."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def finish_task(store: Store, runs: RunWriter, bookkeeping: Mapping[str, pa.Table], done: FinishedTask) -> None:
    """Write the runs of a task and then its bookkeeping, which marks the task as done."""
    for name in BOOKKEEPING:
        runs.add_blob(name, _to_bytes(bookkeeping[name]))
    runs.write(store, runs_name(done.number), lasting=False)
    facts = {"files": done.files, "space": done.space, "space_path": done.space_path, "set_names": done.set_names}
    graphs = bookkeeping["graphs"].replace_schema_metadata({"atlas": json.dumps(facts)})
    store.put_with(bookkeeping_name(done.number), lambda path: pq.write_table(graphs, path, compression="zstd"))


def _read_file(source: Source, task: Task, chunk: Chunk, hashes: dict[str, str]) -> None:
    reading, bookkeeping = task.reading, chunk.bookkeeping
    [known] = stat_files([source])
    graph_count = reject_count = 0
    file_hash = None
    for item in reading.read(source):
        found = _checked(item, source.name, task, bookkeeping, hashes)
        if isinstance(found, Reject):
            _refuse(found, reading)
            bookkeeping.reject(found)
            reject_count += 1
            continue
        chunk.add(found)
        graph_count += 1
        if found.info.path == source.name and found.info.size_bytes == known.size:
            file_hash = found.info.file_hash or found.info.content_hash  # the file holds this graph alone, unpacked
    bookkeeping.file(
        path=source.name,
        size_bytes=known.size,
        mtime_ns=known.mtime_ns,
        content_hash=file_hash or (sha256_of(source.path) if graph_count else None),
        graph_count=graph_count,
        reject_count=reject_count,
    )


def _checked(
    item: Graph | Reject, file: str, task: Task, bookkeeping: Bookkeeping, hashes: dict[str, str]
) -> Graph | Reject:
    """Return the graph with its final feature space, or a reject if the graph is a duplicate."""
    if isinstance(item, Reject):
        return item._replace(file=file)
    info, reading = item.info, task.reading
    space = info.space._replace(
        model=reading.model or info.space.model,
        transcoder_set=info.space.transcoder_set or reading.transcoder_set,
    )
    refuse_other_space(bookkeeping.space, bookkeeping.space_path, space, info.path)
    if bookkeeping.space is None:
        bookkeeping.space, bookkeeping.space_path = space, info.path
    first = task.skip.get(info.path) or hashes.get(info.identity)
    if first is not None:
        return Reject(info.path, "duplicate", f"the same graph as {first}", info.size_bytes, file)
    hashes[info.identity] = info.path
    return dataclasses.replace(item, info=dataclasses.replace(info, space=space, file=file))


def refuse_other_space(known: Space | None, known_path: str, space: Space | None, path: str) -> None:
    """Raise `SpaceMismatch` if both spaces are known and differ."""
    if known is not None and space is not None and known != space:
        raise SpaceMismatch(
            f"two feature spaces do not mix: {known} (in {known_path}) and {space} (in {path}); aggregate them apart"
        )


def _refuse(reject: Reject, reading: GraphReading) -> None:
    if reading.strict and reject.reason not in ("companion_file", "duplicate"):
        raise InputError(
            f"{reject.path} is no readable graph ({reject.reason}: {reject.message}); leave out --strict to go on past it"
        )


def _to_bytes(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def read_bookkeeping(runs: RunFile, name: str) -> pa.Table:
    """Read one bookkeeping table from a task's spill file."""
    return pa.ipc.open_stream(runs.blob(name)).read_all()


def read_finished_task(store_url: str, number: int, columns: list[str] | None = None) -> tuple[FinishedTask, pa.Table]:
    """Read a finished task and its rows of `graphs`, with graph_id numbered within the task."""
    with open_store(store_url).local(bookkeeping_name(number)) as path, pq.ParquetFile(path) as file:
        # `pq.read_table` plans a dataset of files, which takes longer than reading one of a few thousand rows.
        graphs = file.read(columns=columns, use_threads=False)
    facts: dict[str, Any] = json.loads(graphs.schema.metadata[b"atlas"])
    space = Space(*facts["space"]) if facts["space"] else None
    done = FinishedTask(number, facts["files"], space, facts["space_path"], tuple(facts["set_names"]))
    return done, graphs.replace_schema_metadata(None)


def files_read(store: Store, number: int) -> dict[str, tuple[str | None, int]]:
    """Return content hash and number of graphs of each file of a finished task."""
    rows = read_bookkeeping(RunFile(store, runs_name(number)), "files").to_pylist()
    return {row["path"]: (row["content_hash"], row["graph_count"]) for row in rows}
