"""Graphs to edge statistics in four phases: plan the tasks, map files to sorted runs, reduce ranges of keys, finalize.

`api` calls the phases. Everything that is finished stands in a work folder under its final name, so that a run that
was killed goes on with what is missing, and ends with the bytes of an undisturbed one.
"""

from __future__ import annotations

from atlas.aggregate.aggregator import Aggregator
from atlas.aggregate.api import aggregate_files, aggregate_observations, merge_stats
from atlas.aggregate.finalize import Summary
from atlas.aggregate.map.graph_tasks import GraphReading
from atlas.aggregate.map.observation_files import SUFFIXES, is_observations

__all__ = [
    "SUFFIXES",
    "Aggregator",
    "GraphReading",
    "Summary",
    "aggregate_files",
    "aggregate_observations",
    "is_observations",
    "merge_stats",
]
