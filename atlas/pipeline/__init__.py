"""Library calls behind the commands: statistics, traces and whole recipes."""

from __future__ import annotations

from atlas.pipeline.aggregation import aggregate_graphs, find_inputs, merge_stats
from atlas.pipeline.collect_stages import is_store, read_explanations
from atlas.pipeline.dictionaries import probe_model, read_dictionary, train_sae
from atlas.pipeline.runner import PipelineResult, StageRun, run_recipe
from atlas.pipeline.tracing import collect_activations, project_model, trace_prompts
from atlas.runtime.memory import peak_memory_mb, peak_worker_mb

__all__ = [
    "PipelineResult",
    "StageRun",
    "aggregate_graphs",
    "collect_activations",
    "find_inputs",
    "is_store",
    "merge_stats",
    "peak_memory_mb",
    "peak_worker_mb",
    "probe_model",
    "project_model",
    "read_dictionary",
    "read_explanations",
    "run_recipe",
    "trace_prompts",
    "train_sae",
]
