"""Vocabulary sizes of models. A larger token number was made up by a tool for one graph.

circuit-tracer numbers targets that are not tokens ("cats minus dogs") from the vocabulary size upwards. The same
number means another target in the next graph, so statistics over graphs must not combine them.
"""

from __future__ import annotations

import re

# Rows of the embedding matrix (`vocab_size` of the model's configuration), by the beginning of the model's name.
_SIZES = (
    (r"gemma-?2\b|gemma-2-", 256_000),
    (r"gemma-?3-(?:270m|1b)|gemma-3-(?:270m|1b)", 262_144),
    (r"gemma-?3|gemma-3", 262_208),
    (r"llama-?3|llama-3", 128_256),
    (r"llama-?2|llama-2", 32_000),
    (r"qwen-?2\.5-(?:0\.5b|1\.5b|3b)", 151_936),
    (r"qwen-?2\.5", 152_064),
    (r"qwen-?3", 151_936),
    (r"olmo-?[23]|olmo-[23]", 100_352),
    (r"gpt-?2|gpt2", 50_257),
    (r"pythia", 50_304),
)
_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), size) for pattern, size in _SIZES)


def vocabulary_of(model: str | None) -> int | None:
    """Return the vocabulary size of a model by its name (`google/gemma-2-2b`, `gemma-2-2b`), or None if unknown."""
    if not model:
        return None
    name = model[:200].rsplit("/", 1)[-1]
    return next((size for pattern, size in _PATTERNS if pattern.match(name)), None)
