"""Causal language models: weights, tokens and prompts."""

from __future__ import annotations

import os

# Threads of PyTorch spin while they wait. On shared cores this made tracing ten times slower.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from atlas.models.load import enough_memory, gpu_of, load_model
from atlas.models.model import TracedModel
from atlas.models.prompts import Prompt, read_prompts

__all__ = ["Prompt", "TracedModel", "enough_memory", "gpu_of", "load_model", "read_prompts"]
