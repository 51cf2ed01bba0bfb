"""The work of the package as library calls: statistics, traces, and whole recipes."""

from __future__ import annotations

from atlas.pipeline.graphs import aggregate_graphs, find_inputs, merge_stats
from atlas.pipeline.memory import peak_memory_mb, peak_worker_mb
from atlas.pipeline.recipe_run import PipelineResult, StageRun, run_recipe
from atlas.pipeline.traces import project_model, trace_prompts

__all__ = [
    "PipelineResult",
    "StageRun",
    "aggregate_graphs",
    "find_inputs",
    "merge_stats",
    "peak_memory_mb",
    "peak_worker_mb",
    "project_model",
    "run_recipe",
    "trace_prompts",
]
