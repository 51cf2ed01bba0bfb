"""A model and prompts -> attribution graphs by relevance patching (RelP), and what its weights say by themselves."""

from __future__ import annotations

import os

# Before torch is loaded: its threads otherwise wait for each other by spinning, and where a core is shared with
# another process, small products take ten times as long (measured; 1.1 times with this on an idle machine).
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from atlas.trace.corpora import CorpusOptions, read_prompts
from atlas.trace.files import FORMATS, graph_json, write_graph
from atlas.trace.load import card_of, load_model
from atlas.trace.model import TracedModel
from atlas.trace.project import ProjectOptions, ProjectSummary, project
from atlas.trace.run import Saving, TraceSummary, trace_to_files, trace_to_sink
from atlas.trace.tracer import Prompt, Traced, TraceOptions, Tracer

__all__ = [
    "FORMATS",
    "CorpusOptions",
    "ProjectOptions",
    "ProjectSummary",
    "Prompt",
    "Saving",
    "TraceOptions",
    "TraceSummary",
    "Traced",
    "TracedModel",
    "Tracer",
    "card_of",
    "graph_json",
    "load_model",
    "project",
    "read_prompts",
    "trace_to_files",
    "trace_to_sink",
    "write_graph",
]
