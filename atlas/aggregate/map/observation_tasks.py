"""Tasks over observations. They convert rows of whole graphs to the same runs and bookkeeping as graph files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.aggregate.bookkeeping import COUNTED, reject_table
from atlas.aggregate.context import JobContext
from atlas.aggregate.edge_sample import sample_cells
from atlas.aggregate.kernels import cpu_kernel, numbered
from atlas.aggregate.kernels.key_stats import Endpoints, LinkBatch, LinkCounts
from atlas.aggregate.kernels.numpy_kernel import order_by_key
from atlas.aggregate.map.chunk import SplitHalf, bucket_of, write_observations, write_statistics
from atlas.aggregate.map.graph_tasks import FinishedTask, finish_task
from atlas.aggregate.map.observation_files import Group, graph_hash, observe, read_graph, read_group, read_groups
from atlas.aggregate.spill.key_ranges import KeyRange, split
from atlas.aggregate.traced_facts import TracedFacts
from atlas.graph import Ints, Source, Space
from atlas.io.run_files import INDEX, RunFile, RunWriter
from atlas.io.work_dir import Store, open_store
from atlas.stages import DATASETS

if TYPE_CHECKING:
    from atlas.aggregate.kernels.torch_kernel import DeviceLinks, TorchKernel

DIALECT = "observations"
Array = NDArray[Any]


@dataclass(frozen=True)
class ObservationFiles:
    """Files of a dataset of observations, with their content hashes and their feature space."""

    sources: tuple[Source, ...]
    identities: tuple[str, ...]
    space: Space


@dataclass(frozen=True)
class GroupTask:
    """Task over row groups of a dataset of observations.

    If graph ids ascend over the row groups, tasks are cut between graphs. `tail` then holds later row groups with the
    rest of the last graph, and rows of the graph `not_mine` belong to the previous task. If graphs are interleaved, the
    rows are first sorted by graph (`run_shuffle`).
    """

    number: int
    groups: tuple[Group, ...]
    files: ObservationFiles
    context: JobContext
    tail: tuple[Group, ...] = ()
    not_mine: int | None = None


@dataclass(frozen=True)
class ShuffledTask:
    """Task over the graphs of a range of ids, after the shuffle."""

    number: int
    range: KeyRange
    shuffles: int
    files: ObservationFiles
    context: JobContext


def group_tasks(
    groups: Sequence[Group], pieces: Sequence[Sequence[Group]], files: ObservationFiles, context: JobContext
) -> list[GroupTask]:
    """Return tasks over row groups with ascending graph ids."""
    tasks, done = [], 0
    for number, piece in enumerate(pieces):
        done += len(piece)
        last = max(group.last for group in piece)
        tail = []
        for group in groups[done:]:
            if group.first > last:
                break
            tail.append(group)
        before = pieces[number - 1][-1].last if number else None
        not_mine = before if before is not None and piece[0].first == before else None
        tasks.append(GroupTask(number, tuple(piece), files, context, tuple(tail), not_mine))
    return tasks


def shuffle_name(number: int) -> str:
    """Return the name of the rows of a shuffle task in the store, which are sorted by graph."""
    return f"shuffle/{number:06d}.runs"


def run_shuffle(task: GroupTask) -> int:
    """Sort the rows of some row groups by graph, and return the number of row groups."""
    runs = RunWriter()
    parts = (
        columns for group in task.groups for columns in read_group(_path(task, group), group, task.context.chunk_links)
    )
    for number, columns in enumerate(parts):
        graph = columns["graph_id"].astype(np.int64)
        rows = np.argsort(graph, kind="stable")
        # A key has 62 bits, and an id of a graph 63. Graphs of one key stay together.
        runs.add(
            f"rows.{number}", {"key": graph[rows] >> 1, **{name: values[rows] for name, values in columns.items()}}
        )
    runs.write(open_store(task.context.store), shuffle_name(task.number))
    return len(task.groups)


def _path(task: GroupTask, group: Group) -> Path:
    return task.files.sources[group.file].path


def run_groups(task: GroupTask) -> FinishedTask:
    """Write the runs and bookkeeping of the graphs of some row groups."""
    last = max(group.last for group in task.groups)
    tail = [rows for group in task.tail for rows in read_graph(_path(task, group), group, last)]
    columns = read_groups([(_path(task, group), group) for group in task.groups], tail)
    if task.not_mine is not None:
        columns = _without(columns, task.not_mine)
    # A graph is recorded under the file in which its task begins.
    return write_task(task, observe(columns), task.groups[0].file)


def _without(columns: dict[str, Array], graph_id: int) -> dict[str, Array]:
    """Return the rows of all graphs but one. No rows are copied if that graph comes first."""
    mine = columns["graph_id"] != graph_id
    first = int(np.argmax(mine)) if len(mine) else 0
    rows = slice(first, None) if mine[first:].all() else mine
    return {name: values[rows] for name, values in columns.items()}


def run_shuffled(task: ShuffledTask) -> FinishedTask:
    """Write the runs and bookkeeping of the graphs of a range of ids."""
    store = open_store(task.context.store)
    parts: list[dict[str, Array]] = []
    for number in range(task.shuffles):
        file = RunFile(store, shuffle_name(number))
        for run in file.names("rows."):
            parts.append(file.between(run, file.column(run, INDEX), task.range.low, task.range.high))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name != "key"}
    return write_task(task, observe(columns), 0)


def write_task(task: GroupTask | ShuffledTask, seen: LinkBatch, file: int) -> FinishedTask:
    """Write the runs and bookkeeping of whole graphs."""
    name, identity = task.files.sources[file].name, task.files.identities[file]
    ids, graph = numbered(seen.graph)
    hashes = [graph_hash(identity, graph_id) for graph_id in ids.tolist()]
    bookkeeping = GraphRefs(name, ids.tolist(), hashes)
    return write_observed(task.number, seen, graph, bookkeeping, task.files.space, task.context)


@dataclass(frozen=True)
class GraphRefs:
    """References to graphs in a file of observations: ids and hashes, both (n_graphs,)."""

    file: str
    ids: list[int]
    hashes: list[str]

    @property
    def paths(self) -> list[str]:
        """Paths of the graphs, `file#id`."""
        return [f"{self.file}#{graph_id}" for graph_id in self.ids]


def write_observed(
    number: int, seen: LinkBatch, graph: Array, bookkeeping: GraphRefs, space: Space, context: JobContext
) -> FinishedTask:
    """Write one task. graph (n_rows,) holds indices of the graphs in `bookkeeping`."""
    if context.device != "cpu":
        from atlas.aggregate.kernels.torch_kernel import torch_kernel

        kernel = torch_kernel(context.device)
        reduced = kernel.observe_keys(seen, graph, len(bookkeeping.ids))
        return write_reduced(number, reduced, kernel, bookkeeping, space, context)
    kept, key, weight, counts = _kept(seen, graph, len(bookkeeping.ids))
    split_half = SplitHalf(np.array([bucket_of(found) for found in bookkeeping.hashes], np.uint32))
    runs = RunWriter()
    if len(key):
        found = LinkBatch(kept, key, weight)
        write_observations(runs, "edges", 0, found, split_half, context.sample_below, combine=context.combine)
    ends, links = cpu_kernel(len(key)).endpoints(key, kept.astype(np.uint32, copy=False), len(bookkeeping.ids))
    return _finish(number, runs, ends, replace(links, dropped=counts), bookkeeping, space, context)


def write_reduced(
    number: int, links: DeviceLinks, kernel: TorchKernel, bookkeeping: GraphRefs, space: Space, context: JobContext
) -> FinishedTask:
    """Write one task from links on a device, which are reduced on that device."""
    split_half = SplitHalf(np.array([bucket_of(found) for found in bookkeeping.hashes], np.uint32))
    runs = RunWriter()
    write_statistics(
        runs,
        "edges",
        0,
        kernel.statistics(links.key, kernel.graph_and_half(links.graph, split_half.buckets), links.weight),
    )
    # The sample is small, so its rows are copied from the device.
    key, graph, weight = kernel.sampled(links, context.sample_below)
    rows, starts = order_by_key(key)
    lengths = np.diff(starts, append=len(key))
    cells = sample_cells(
        key[rows[starts]], starts, lengths, weight[rows], lambda mine: split_half.buckets[graph[rows[mine]]]
    )
    runs.add("sample.0", cells)
    return _finish(number, runs, links.ends, links.counts, bookkeeping, space, context)


def _finish(
    number: int,
    runs: RunWriter,
    ends: Endpoints,
    links: LinkCounts,
    bookkeeping: GraphRefs,
    space: Space,
    context: JobContext,
) -> FinishedTask:
    """Write the nodes and the bookkeeping of a task."""
    neuron, owner = ends.neuron, ends.graph
    rows = neuron
    columns = {"key": neuron.astype(np.uint32), "graph": owner.astype(np.uint32)}
    columns["position"] = np.full(len(rows), -1, np.int32)
    for name in ("activation", "influence"):
        columns[name] = np.full(len(rows), np.nan, np.float32)
    runs.add("nodes.0", columns)
    tables = _tables_of(bookkeeping, links, np.bincount(owner, minlength=len(bookkeeping.ids)))
    done = FinishedTask(number, len(bookkeeping.ids), space, bookkeeping.paths[0] if bookkeeping.ids else "")
    finish_task(open_store(context.store), runs, tables, done)
    return done


def _kept(seen: LinkBatch, graph: Array, graphs: int) -> tuple[Array, Ints, Any, dict[str, Ints]]:
    """Return graph, key and weight of the valid rows, and the number of dropped rows of each graph by reason."""
    counts = {reason: np.bincount(graph[mask], minlength=graphs) for reason, mask in seen.dropped.items()}
    if not counts:
        return graph, seen.key, seen.weight, counts
    mine = ~np.logical_or.reduce(list(seen.dropped.values()))
    return graph[mine], seen.key[mine], seen.weight[mine], counts


def _tables_of(bookkeeping: GraphRefs, links: LinkCounts, neuron_counts: Ints) -> dict[str, pa.Table]:
    """Return the bookkeeping tables of a task."""
    n = len(bookkeeping.ids)
    lost = sum(links.dropped.values(), np.zeros(n, np.int64))
    schema = DATASETS["stats.graphs"].schema
    columns: dict[str, Any] = {field.name: pa.nulls(n, field.type) for field in schema if field.nullable}
    columns |= {
        "graph_id": np.arange(n),
        "path": bookkeeping.paths,
        "content_hash": bookkeeping.hashes,
        "graph_hash": bookkeeping.hashes,
        "dialect": [DIALECT] * n,
    }
    columns |= {"file": [bookkeeping.file] * n, "member": [str(graph_id) for graph_id in bookkeeping.ids]}
    columns |= {"node_count": neuron_counts, "neuron_count": neuron_counts, "link_count": links.kept + lost}
    columns |= {"kept_count": links.kept, "dropped_count": lost}
    columns |= {"self_loop_count": links.self_loops, "backward_count": links.backward}
    counted = [("edges", True, links.kept), *((why, False, count) for why, count in sorted(links.dropped.items()))]
    rows = [
        (i, COUNTED[0], is_kept, why, int(count[i])) for i in range(n) for why, is_kept, count in counted if count[i]
    ]
    counts = DATASETS["stats.link_counts"].schema
    tables = {name: DATASETS[f"stats.{name}"].empty() for name in ("tokens", "graph_labels", "files")}
    tables |= TracedFacts().tables()
    tables["graphs"] = pa.table(
        {field.name: pa.array(columns[field.name], field.type) for field in schema}, schema=schema
    )
    columns = dict(zip(counts.names, list(zip(*rows, strict=True)) or [()] * len(counts), strict=True))
    return tables | {"link_counts": pa.table(columns, schema=counts), "rejects": reject_table([])}


def shuffle_ranges(store: Store, tasks: int, rows: int) -> list[KeyRange]:
    """Return ranges of graph ids of about `rows` rows each, after the shuffle."""
    files = [RunFile(store, shuffle_name(number)) for number in range(tasks)]
    indexes = [(file.column(run, INDEX), 1) for file in files for run in file.names("rows.")]
    return split(indexes, rows)
