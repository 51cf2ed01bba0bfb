"""Sorted rows of an aggregation by range of keys: spill files of its tasks, and datasets of earlier statistics."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.aggregate.prompt_groups import GraphGroups
from atlas.aggregate.spill.key_ranges import KeyRange, split
from atlas.aggregate.spill.previous_stats import KeyedDataset, dataset_of
from atlas.graph import Ints
from atlas.io.run_files import INDEX, RunFile, RunWriter
from atlas.io.work_dir import Store

_SOURCES = "origins.json"
_GRAPH_IDS = "graph_ids.runs"
# Memory of one row of statistics in units of a raw link, while its range is reduced.
_SUM_WEIGHT = 4


@dataclass(frozen=True)
class SortedSource:
    """Place of sorted rows: the spill file of a task, or the folder of earlier statistics.

    `first` is the number of its first graph, in one numbering over the graphs of all sources.
    """

    number: int
    first: int
    runs: str | None = None
    folder: str | None = None


def write_sources(
    store: Store, sources: Sequence[SortedSource], graph_ids: Sequence[Ints], groups: GraphGroups
) -> None:
    """Write the sources, and the final ids and groups of their graphs, for the workers that reduce them."""
    runs = RunWriter()
    for source, ids, numbers in zip(sources, graph_ids, groups.numbers, strict=True):
        runs.add(str(source.number), {"id": ids.astype(np.int32), "group": numbers.astype(np.int32)})
        if (renumbered := groups.renumbered[source.number]) is not None:
            runs.add(f"{source.number}.renumbered", {"group": renumbered.astype(np.int32)})
    runs.add("buckets", {"bucket": groups.buckets})
    runs.write(store, _GRAPH_IDS, lasting=False)
    text = json.dumps([asdict(source) for source in sources])
    store.put(_SOURCES, [text.encode()], lasting=False)


class SortedSources:
    """All sorted sources of an aggregation. Files are opened once, when they are first read."""

    def __init__(self, store: Store) -> None:
        self.store = store
        with store.local(_SOURCES) as path:
            self.sources = [SortedSource(**entry) for entry in json.loads(path.read_text())]
        self._runs: dict[str, RunFile] = {}
        self._indexes: dict[tuple[str, str], Ints] = {}
        self._previous: dict[tuple[str, str], KeyedDataset] = {}
        self._ids = RunFile(store, _GRAPH_IDS)

    def graph_ids(self, source: SortedSource) -> Ints:
        """Return the final graph_id of every graph of a source."""
        return self._ids.column(str(source.number), "id").astype(np.int64)

    @functools.cached_property
    def groups(self) -> Ints:
        """Group of every graph, in the numbering over the graphs of all sources."""
        return np.concatenate([self._ids.column(str(item.number), "group") for item in self.sources]).astype(np.int64)

    @functools.cached_property
    def groups_by_id(self) -> Ints:
        """Group of every graph by its final graph_id."""
        found = np.empty(len(self.groups), np.int64)
        found[np.concatenate([self.graph_ids(item) for item in self.sources])] = self.groups
        return found

    @functools.cached_property
    def buckets(self) -> NDArray[np.uint8]:
        """Sixteenth of the corpus that each group is in."""
        return self._ids.column("buckets", "bucket")

    def renumbered(self, source: SortedSource) -> Ints:
        """Return the new number of each group of earlier statistics, indexed by its old number."""
        return self._ids.column(f"{source.number}.renumbered", "group").astype(np.int64)

    def _run_names(self, source: SortedSource, prefix: str) -> Iterator[tuple[RunFile, str]]:
        if source.runs is None:
            return
        if source.runs not in self._runs:
            self._runs[source.runs] = RunFile(self.store, source.runs)
        file = self._runs[source.runs]
        for run in file.names(prefix):
            yield file, run

    def previous(self, source: SortedSource, dataset: str) -> KeyedDataset | None:
        """Return a dataset of earlier statistics, or None if the source is a task."""
        if source.folder is None:
            return None
        if (source.folder, dataset) not in self._previous:
            self._previous[source.folder, dataset] = dataset_of(Path(source.folder), dataset)
        return self._previous[source.folder, dataset]

    def _index(self, file: RunFile, run: str) -> Ints:
        """Return the index of a run, which holds every `STEP`-th key."""
        if (file.name, run) not in self._indexes:
            self._indexes[file.name, run] = file.column(run, INDEX).astype(np.int64)
        return self._indexes[file.name, run]

    def rows(self, prefix: str, part: KeyRange) -> Iterator[tuple[SortedSource, dict[str, Any]]]:
        """Yield the rows in a range of keys, in a fixed order, of every run with a name that starts with `prefix`."""
        for source in self.sources:
            for file, run in self._run_names(source, prefix):
                found = file.between(run, self._index(file, run), part.low, part.high)
                if len(found["key"]):
                    yield source, found

    def key_ranges(self, dataset: str, size: int) -> list[KeyRange]:
        """Return the ranges of a dataset's parts, each of about `size` rows."""
        prefix = "nodes." if dataset == "neurons" else f"{dataset}."
        indexes, coarse = [], []
        for source in self.sources:
            for file, run in self._run_names(source, prefix):
                indexes.append((self._index(file, run), _SUM_WEIGHT if ".sum." in run else 1))
            previous = self.previous(source, "neuron_graphs" if dataset == "neurons" else dataset)
            coarse += previous.index() if previous is not None else []
        for low, count in coarse:
            indexes.append((np.array([low], np.int64), -(-count * _SUM_WEIGHT // 1024)))
        return split(indexes, size)
