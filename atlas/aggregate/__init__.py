"""Observations -> edge statistics: runs, ranges, kernels, and the engine that survives being killed."""

from __future__ import annotations

from atlas.aggregate.aggregator import Aggregator
from atlas.aggregate.engine import Options
from atlas.aggregate.finish import Summary
from atlas.aggregate.observations import SUFFIXES, is_observations
from atlas.aggregate.run import How, aggregate_files, aggregate_observations, merge_stats
from atlas.aggregate.together import Together

__all__ = [
    "SUFFIXES",
    "Aggregator",
    "How",
    "Options",
    "Summary",
    "Together",
    "aggregate_files",
    "aggregate_observations",
    "is_observations",
    "merge_stats",
]
