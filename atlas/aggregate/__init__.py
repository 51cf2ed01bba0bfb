"""Observations -> edge statistics: runs, ranges, kernels, and the engine that survives being killed."""

from __future__ import annotations

from atlas.aggregate.aggregator import Aggregator
from atlas.aggregate.api import How, aggregate_files, aggregate_observations, merge_stats
from atlas.aggregate.cooccurrence import CooccurrenceOptions
from atlas.aggregate.engine import Options
from atlas.aggregate.finalize import Summary
from atlas.aggregate.observation_files import SUFFIXES, is_observations

__all__ = [
    "SUFFIXES",
    "Aggregator",
    "CooccurrenceOptions",
    "How",
    "Options",
    "Summary",
    "aggregate_files",
    "aggregate_observations",
    "is_observations",
    "merge_stats",
]
