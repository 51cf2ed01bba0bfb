"""Aggregation of graphs to edge statistics, in four phases: plan, map, reduce, finalize.

Plan divides the input files into tasks. Map converts the files of each task to sorted runs. Reduce merges the runs,
one range of keys at a time. Finalize writes the stats folder.

`api` calls the phases. Every finished file is kept in a work folder under its final name. A run that was killed
continues with the missing files, and writes the same bytes as a run without interruption.
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
