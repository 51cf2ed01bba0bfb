"""Aggregation of graphs to edge statistics, in four phases: plan, map, reduce, finalize.

Plan divides the input files into tasks. Map converts the files of each task to sorted runs. Reduce merges the runs,
one range of keys at a time. Finalize writes the stats folder.

`api` calls the phases. Every finished file is kept in a work folder under its final name. A run that was killed
continues with the missing files, and writes the same bytes as a run without interruption.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
_MODULES = {
    "aggregator": ("Aggregator",),
    "api": ("aggregate_files", "aggregate_observations", "merge_stats"),
    "finalize": ("Summary",),
    "map.graph_tasks": ("GraphReading",),
    "map.observation_files": ("SUFFIXES", "is_observations"),
}


def __getattr__(name: str) -> Any:
    # Workers import one phase, and not the others with DuckDB.
    for module, names in _MODULES.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
