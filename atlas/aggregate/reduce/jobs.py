"""Jobs of the reduce phase, and the state that the jobs of one worker share."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from atlas.aggregate.reduce.cooccurrence import Plan
from atlas.aggregate.reduce.incidence_index import IncidenceIndex
from atlas.aggregate.spill.key_ranges import KeyRange
from atlas.aggregate.spill.sorted_sources import SortedSources
from atlas.io.work_dir import open_store


@dataclass(frozen=True)
class ReduceJob:
    """Job that writes one part of one dataset.

    Attributes:
        dataset: Name of the dataset.
        range: Keys of the part.
        device: `cpu`, `cuda`, or `auto` if the worker chooses.
        method: Method by which links were computed; a column of `edges`.
        cooccurrence: Number of co-occurring neurons to keep per neuron; 0 leaves co-occurrence out.
        grouped: Also count edges by group of prompts.
    """

    dataset: str
    range: KeyRange
    device: str
    method: str
    cooccurrence: int
    grouped: bool

    @property
    def name(self) -> str:
        """Name of the part in the store."""
        return part_name(self.dataset, self.range.number)


def part_name(dataset: str, number: int) -> str:
    """Return the name of a part in the store. Its presence marks the part as done."""
    return f"parts/{dataset}/part-{number:05d}.parquet"


class ReduceState:
    """Files that the jobs of one worker share. Made once per worker and dataset; files are opened at first use."""

    def __init__(self, store_url: str, graph_total: int, plan: Plan | None = None) -> None:
        self._store = open_store(store_url)
        self._graph_total = graph_total
        self._plan = plan

    @functools.cached_property
    def sources(self) -> SortedSources:
        """Sorted rows of all inputs."""
        return SortedSources(self._store)

    @functools.cached_property
    def incidences(self) -> IncidenceIndex:
        """Index of all neurons with their graphs."""
        return IncidenceIndex(self._store, self._graph_total)

    @property
    def plan(self) -> Plan:
        """Plan of co-occurrence, which is known after the nodes are reduced."""
        assert self._plan is not None
        return self._plan
