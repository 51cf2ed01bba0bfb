"""Baselines: zero, or the mean of every neuron and embedding over prompts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import torch

from atlas.models.cache import Baseline
from atlas.models.model import TracedModel
from atlas.models.prompts import Prompt, read_prompts
from atlas.options import MEAN, PromptOptions, TraceOptions

MEAN_PROMPTS = 200  # over which means are taken, the first of a corpus


def zero_baseline(model: TracedModel) -> Baseline:
    """Return zeros: a neuron that is not there writes nothing."""
    like = torch.zeros((), device=model.device, dtype=torch.promote_types(model.model.dtype, torch.float32))
    return Baseline(like.new_zeros(len(model.blocks), 2, model.neurons), like.new_zeros(2, model.width))


def mean_baseline(model: TracedModel, prompts: Iterable[tuple[int, ...]]) -> Baseline:
    """Compute means over prompts, at the first position and over all others.

    Args:
        model: The model.
        prompts: Token ids of each prompt.

    Returns:
        Means of every neuron and of the embeddings. Without any prompt, or prompts of one token, zeros.
    """
    zero = zero_baseline(model)
    neurons, tokens = zero.neurons.double(), zero.tokens.double()
    counts = torch.zeros(2, dtype=torch.float64, device=model.device)
    for ids in prompts:
        cache = model.forward([list(ids)])
        active = cache.activations.double()
        embedding = cache.embedding[0].double()
        neurons += torch.stack([active[:, 0], active[:, 1:].sum(1)], 1)
        tokens += torch.stack([embedding[0], embedding[1:].sum(0)])
        counts += torch.tensor([1, len(ids) - 1], device=model.device)
    share = 1 / counts.clamp(min=1)[:, None]
    return Baseline((neurons * share).to(zero.neurons.dtype), (tokens * share).to(zero.tokens.dtype))


def baseline_of(model: TracedModel, options: TraceOptions, prompts: Path, corpus: PromptOptions) -> Baseline | None:
    """Compute the baseline that the options ask for, from the first prompts of a corpus.

    Args:
        model: The model.
        options: Options of the trace.
        prompts: File of the corpus.
        corpus: Options that select its prompts, over all shards.

    Returns:
        Means over the first 200 prompts, or None where the baseline is zero.

    Raises:
        InputError: The prompts cannot be read.
    """
    if options.compared_with != MEAN:
        return None
    found = (item.ids for item in read_prompts(prompts, model, corpus) if isinstance(item, Prompt))
    with torch.no_grad():
        return mean_baseline(model, itertools.islice(found, MEAN_PROMPTS))
