"""One range of keys -> one Parquet part of a dataset, from the runs of all tasks and from earlier stats."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from atlas.aggregate import cooccurrence, nodes
from atlas.aggregate.cooccurrence import CooccurrenceOptions
from atlas.aggregate.kernels import Kernel, cpu_kernel
from atlas.aggregate.kernels.key_stats import KeyStats
from atlas.aggregate.key_ranges import KeyRange, split
from atlas.aggregate.link_tables import TABLES
from atlas.aggregate.previous_stats import KeyedDataset, dataset_of, link_table, statistics_between
from atlas.aggregate.run_files import INDEX, RunFile
from atlas.graph import Ints
from atlas.io.files import write_parquet
from atlas.io.work_dir import Store, open_store
from atlas.runtime.devices import choose_device

ORIGINS = "origins.json"
GRAPH_IDS = "graph_ids.runs"
# What one row weighs in memory beside a raw observation, while its range is reduced.
_SUM_WEIGHT = 4


@dataclass(frozen=True)
class Origin:
    """Where rows come from: the spill file of a task, or the folder of earlier stats."""

    number: int
    first: int  # number of its first graph, where the graphs of all origins are counted in one row
    runs: str | None = None
    folder: str | None = None


@dataclass(frozen=True)
class ReduceOptions:
    """What all reduce jobs of an aggregation share."""

    store: str
    method: str
    device: str = "cpu"
    cooccurrence: CooccurrenceOptions | None = None
    graph_total: int = 0
    stamp: str = ""  # of this run: a worker that outlives it must not remember its files


@dataclass(frozen=True)
class Job:
    """One part of one dataset."""

    dataset: str
    range: KeyRange
    options: ReduceOptions

    @property
    def name(self) -> str:
        """The part in the store."""
        return part_name(self.dataset, self.range.number)


def part_name(dataset: str, number: int) -> str:
    """The file of a part in the store; its presence says that it is done."""
    return f"parts/{dataset}/part-{number:05d}.parquet"


class Rows:
    """The rows of all origins of an aggregation, opened once per process."""

    def __init__(self, store: Store) -> None:
        self.store = store
        with store.local(ORIGINS) as path:
            self.origins = [Origin(**entry) for entry in json.loads(path.read_text())]
        self._runs: dict[str, RunFile] = {}
        self._indexes: dict[tuple[str, str], Ints] = {}
        self._earlier: dict[tuple[str, str], KeyedDataset] = {}
        self._ids = RunFile(store, GRAPH_IDS)

    def graph_ids(self, origin: Origin) -> Ints:
        """Final graph_id of every graph of an origin."""
        return self._ids.column(str(origin.number), "id").astype(np.int64)

    def runs(self, origin: Origin) -> RunFile | None:
        """The spill file of a task."""
        if origin.runs is None:
            return None
        if origin.runs not in self._runs:
            self._runs[origin.runs] = RunFile(self.store, origin.runs)
        return self._runs[origin.runs]

    def earlier(self, origin: Origin, dataset: str) -> KeyedDataset | None:
        """A dataset of earlier stats."""
        if origin.folder is None:
            return None
        if (origin.folder, dataset) not in self._earlier:
            self._earlier[origin.folder, dataset] = dataset_of(Path(origin.folder), dataset)
        return self._earlier[origin.folder, dataset]

    def index(self, file: RunFile, run: str) -> Ints:
        """Every so-many-th key of a run."""
        if (file.name, run) not in self._indexes:
            self._indexes[file.name, run] = file.column(run, INDEX).astype(np.int64)
        return self._indexes[file.name, run]

    def between(self, prefix: str, low: int, high: int) -> Iterator[tuple[Origin, dict[str, Any]]]:
        """The rows with a key in [low, high) of every run whose name starts so, in a fixed order."""
        for origin in self.origins:
            file = self.runs(origin)
            for run in file.names(prefix) if file is not None else ():
                assert file is not None
                found = file.between(run, self.index(file, run), low, high)
                if len(found["key"]):
                    yield origin, found


@functools.lru_cache(maxsize=2)
def opened(store_url: str, stamp: str) -> Rows:  # noqa: ARG001 (it only tells runs apart)
    """The rows behind a store, in the run of this stamp."""
    return Rows(open_store(store_url))


def ranges_of(rows: Rows, dataset: str, size: int) -> list[KeyRange]:
    """The ranges of a dataset's parts, each of about `size` rows."""
    prefix = "nodes." if dataset == "neurons" else f"{dataset}."
    indexes, coarse = [], []
    for origin in rows.origins:
        file = rows.runs(origin)
        for run in file.names(prefix) if file is not None else ():
            assert file is not None
            indexes.append((rows.index(file, run), _SUM_WEIGHT if ".sum." in run else 1))
        earlier = rows.earlier(origin, "neuron_graphs" if dataset == "neurons" else dataset)
        coarse += earlier.index() if earlier is not None else []
    for low, count in coarse:
        indexes.append((np.array([low], np.int64), -(-count * _SUM_WEIGHT // 1024)))
    return split(indexes, size)


def reduce_links(job: Job) -> list[str]:
    """Write one part of a link table; the files that it made."""
    rows, table = opened(job.options.store, job.options.stamp), link_table(job.dataset)
    parts = [found for _, found in _observations(rows, job)]
    sums = [stats for stats in _sums(rows, job) if len(stats)]
    kernel = _kernel(job.options.device, sum(len(part["key"]) for part in parts) + sum(map(len, sums)))
    if parts:
        key, graph, weight = (np.concatenate([part[name] for part in parts]) for name in _RAW)
        sums.insert(0, kernel.reduce(*kernel.sort(key, graph, weight))[0])
    stats = kernel.merge(sums)
    more: dict[str, Any] = {}
    if table.name == "edges":
        both, partners = _cooccurrence(job, stats)
        more = {"method": job.options.method, "joint_graph_count": both}
        rows.store.put_with(part_name("cooccurrence", job.range.number), lambda path: write_parquet(partners, path))
    arrow = table.arrow(stats, **more)
    rows.store.put_with(job.name, lambda path: write_parquet(arrow, path))
    return [job.name]


_RAW = ("key", "graph", "weight")


def _kernel(device: str, rows: int) -> Kernel:
    chosen = choose_device(device) if device == "auto" else device
    if chosen == "cpu":
        return cpu_kernel(rows)
    from atlas.aggregate.kernels.torch_kernel import torch_kernel

    return torch_kernel(chosen)


def _cooccurrence(job: Job, stats: KeyStats) -> tuple[pa.Array, pa.Table]:
    options = job.options
    if options.cooccurrence is None:
        return cooccurrence.nothing(len(stats))
    index = cooccurrence.cooccurrence_index(options.store, options.graph_total, options.stamp)
    return cooccurrence.evaluate(index, options.cooccurrence, stats.key, job.range.low, job.range.high)


def _observations(rows: Rows, job: Job) -> Iterator[tuple[Origin, dict[str, Any]]]:
    for origin, found in rows.between(f"{job.dataset}.raw.", job.range.low, job.range.high):
        # Graphs of different tasks are told apart by their number over all origins.
        graph = found["graph"].astype(np.uint32) + np.uint32(origin.first << 1)
        yield origin, {"key": found["key"], "graph": graph, "weight": found["weight"].astype(np.float64)}


def _sums(rows: Rows, job: Job) -> Iterator[Any]:
    for origin in rows.origins:
        earlier = rows.earlier(origin, job.dataset)
        if earlier is not None:
            yield statistics_between(earlier, job.range.low, job.range.high)
    for _, found in rows.between(f"{job.dataset}.sum.", job.range.low, job.range.high):
        yield KeyStats(**found)


def reduce_nodes(job: Job) -> list[str]:
    """Write one part of `neurons`, of `neuron_graphs` and of the postings; the parts that it made."""
    rows, low, high = opened(job.options.store, job.options.stamp), job.range.low, job.range.high
    parts: dict[str, list[Any]] = {name: [] for name in ("key", "graph", "position", "activation", "influence")}
    for origin, found in rows.between("nodes.", low, high):
        found["graph"] = rows.graph_ids(origin)[found["graph"]]
        for name, values in parts.items():
            values.append(found[name])
    tables = (
        [nodes.from_nodes({name: np.concatenate(values) for name, values in parts.items()})] if parts["key"] else []
    )
    tables += [table for origin in rows.origins if (table := _earlier_nodes(rows, origin, low, high)) is not None]
    merged = nodes.merge(tables)
    cooccurrence.write_postings(rows.store, job.range.number, merged.neurons, merged.incidences["graph"])
    incidences = nodes.neuron_graph_table(merged)
    neurons = nodes.neuron_table(merged)
    name = part_name("neuron_graphs", job.range.number)
    rows.store.put_with(name, lambda path: write_parquet(incidences, path))
    rows.store.put_with(job.name, lambda path: write_parquet(neurons, path))
    return [name, job.name]


def _earlier_nodes(rows: Rows, origin: Origin, low: int, high: int) -> nodes.NodeTables | None:
    neurons, incidences = rows.earlier(origin, "neurons"), rows.earlier(origin, "neuron_graphs")
    if neurons is None or incidences is None:
        return None
    key, table = neurons.between(low, high)
    if not len(key):
        return None
    return nodes.from_tables(table, incidences.between(low, high)[1], rows.graph_ids(origin))


def all_ranges(rows: Rows, size: int) -> dict[str, list[KeyRange]]:
    """The ranges of every dataset that is reduced by key."""
    names = ["neurons", *(table.name for table in TABLES)]
    return {name: ranges_of(rows, name, size) for name in names}
