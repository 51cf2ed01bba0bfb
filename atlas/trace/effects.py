"""Direct effect ratio: how much of what a neuron does to the prediction goes straight to the logits.

A vector V = down_proj[:, n] (activation fixed at 1) is added to what the layer puts out at the last token of a
prompt. Its direct effect is what it does to the logits with every later layer frozen,
logits(final_norm(h + V)) - logits; its total effect is that of a forward pass with V in place; the indirect
effect is their difference. On the token that the model predicts, ratio = |direct| / (|direct| + |indirect|),
and 0.5 where both are below 1e-8.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from atlas.schema import DATASETS
from atlas.trace.model import TracedModel

NEGLIGIBLE = 1e-8
LOGIT_ABOVE, ROUTING_BELOW = 0.7, 0.3


def direct_effect_ratios(
    model: TracedModel,
    prompts: Sequence[Sequence[int]],
    *,
    batch: int = 1024,
    progress: Callable[[int, int], None],
) -> np.ndarray:
    """Ratios (prompts, layers, neurons), float64, over prompts of two tokens or more.

    Only the last token is computed again, for `batch` neurons at a time; earlier tokens do not see it.
    """
    found = np.empty((len(prompts), len(model.blocks), model.neurons))
    for row, ids in enumerate(prompts):
        progress(row, len(prompts))
        found[row] = _ratios(model, list(ids), batch)
    return found


def effect_table(ratios: np.ndarray) -> pa.Table:
    """Mean, population standard deviation, extrema and type of every neuron's ratios."""
    prompts, layers, neurons = ratios.shape
    mean = ratios.mean(0).reshape(-1)
    kinds = np.select([mean > LOGIT_ABOVE, mean < ROUTING_BELOW], ["logit", "routing"], "mixed")
    return DATASETS["projections.direct_effects"].table(
        {
            "layer": np.repeat(np.arange(layers, dtype=np.int32), neurons),
            "neuron": np.tile(np.arange(neurons, dtype=np.int32), layers),
            "prompt_count": np.full(layers * neurons, prompts, np.int32),
            "ratio_mean": mean,
            "ratio_std": ratios.std(0).reshape(-1),
            "ratio_min": ratios.min(0).reshape(-1),
            "ratio_max": ratios.max(0).reshape(-1),
            "effect_type": pa.array(kinds.tolist()).dictionary_encode(),
        }
    )


def _ratios(model: TracedModel, ids: list[int], batch: int) -> np.ndarray:
    layers, neurons = len(model.blocks), model.neurons
    tokens = torch.tensor([ids], device=model.device)
    with torch.no_grad():
        past = model.model.model(input_ids=tokens[:, :-1], use_cache=True).past_key_values
        clean = _last_stream(model, tokens[:, -1:], copy.deepcopy(past))
        logits = model.unembedding.to(clean.dtype) @ _normed(model, clean)[0]
        predicted = int(logits.argmax())
        row = model.unembedding[predicted].to(clean.dtype)
        ratios = [
            _ratio(model, tokens[:, -1:], past, some, clean, row)
            for some in torch.arange(layers * neurons, device=model.device).split(batch)
        ]
    return torch.cat(ratios).reshape(layers, neurons).double().cpu().numpy()


def _ratio(model: TracedModel, token: Tensor, past: Any, some: Tensor, clean: Tensor, row: Tensor) -> Tensor:
    """Ratios of the neurons number `some` (layer x neurons + neuron)."""
    layer, unit = some // model.neurons, some % model.neurons
    added = torch.stack(
        [model.blocks[i].mlp.module.down_proj.weight[:, j] for i, j in zip(layer.tolist(), unit.tolist(), strict=True)]
    )
    kept = copy.deepcopy(past)
    kept.batch_repeat_interleave(len(some))
    with _adding(model, layer, added):
        moved = _last_stream(model, token.expand(len(some), 1), kept)
    logit = _normed(model, clean) @ row
    direct = _normed(model, clean + added.to(clean.dtype)) @ row - logit
    indirect = _normed(model, moved) @ row - logit - direct
    whole = direct.abs() + indirect.abs()
    ratio = direct.abs() / whole
    return torch.where((direct.abs() < NEGLIGIBLE) & (indirect.abs() < NEGLIGIBLE), torch.full_like(ratio, 0.5), ratio)


@contextmanager
def _adding(model: TracedModel, layer: Tensor, added: Tensor) -> Iterator[None]:
    """Add row i of `added` to what layer `layer[i]` puts out for prompt i."""

    def hook_of(number: int) -> Any:
        mine = (layer == number).to(added.dtype)[:, None] * added

        def hook(_: Any, __: Any, output: Any) -> Any:
            return output + mine[:, None].to(output.dtype)

        return hook

    hooks = [
        module.register_forward_hook(hook_of(number))
        for number, module in enumerate(model.model.model.layers)
        if bool((layer == number).any())
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _last_stream(model: TracedModel, token: Tensor, past: Any) -> Tensor:
    """The residual stream in front of the last norm at the last token, (B, d)."""
    seen: list[Tensor] = []
    hook = model.final_norm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    try:
        model.model.model(input_ids=token, past_key_values=past, use_cache=True)
    finally:
        hook.remove()
    stream = seen[0][:, -1]
    return stream if stream.dtype == torch.float64 else stream.float()


def _normed(model: TracedModel, stream: Tensor) -> Tensor:
    found: Tensor = model.final_norm(stream)
    return found.to(stream.dtype)
