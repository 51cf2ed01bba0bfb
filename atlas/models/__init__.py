"""A causal language model: its weights, its tokens, the prompts that it runs on."""

from __future__ import annotations

import os

# Threads of torch spin while they wait. Where they share a core with others that made tracing ten times slower.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from atlas.models.load import card_of, enough_memory, load_model
from atlas.models.model import TracedModel
from atlas.models.prompts import CorpusOptions, Prompt, read_prompts

__all__ = ["CorpusOptions", "Prompt", "TracedModel", "card_of", "enough_memory", "load_model", "read_prompts"]
