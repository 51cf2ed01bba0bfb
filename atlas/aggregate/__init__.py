"""Observations -> edge statistics: runs, ranges, kernels, and the engine that survives being killed."""

from __future__ import annotations

from atlas.aggregate.engine import Options
from atlas.aggregate.finish import Summary
from atlas.aggregate.run import aggregate_files

__all__ = ["Options", "Summary", "aggregate_files"]
