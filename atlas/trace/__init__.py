"""Attribution graphs of prompts by relevance patching (RelP)."""

from __future__ import annotations

from atlas.trace.baseline import baseline_of, mean_baseline
from atlas.trace.graph_files import FORMATS, graph_json, write_graph
from atlas.trace.run import SaveGraphs, TraceSummary, trace_to_files, trace_to_sink
from atlas.trace.tracer import Traced, Tracer

__all__ = [
    "FORMATS",
    "SaveGraphs",
    "TraceSummary",
    "Traced",
    "Tracer",
    "baseline_of",
    "graph_json",
    "mean_baseline",
    "trace_to_files",
    "trace_to_sink",
    "write_graph",
]
