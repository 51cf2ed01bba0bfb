"""The model linearised by attribution rules: derivatives of the metric and of targets, layer by layer, without autograd.

Each function takes the gradient behind a part of the model and returns the gradient before it (a vector-Jacobian
product). `atlas.trace.rules` says which parts are constant. Gradients have shape (T, n, d): target, position, model
width; T is the batch of prompts in `neuron_gradients`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from atlas.models.cache import AttentionCache, Cache, LayerCache, NormCache
from atlas.models.model import Sublayer, TracedModel, weight_of
from atlas.trace.rules import Rules, gate_factor, up_factor


def vjp_norm(norm: Any, gradient: Tensor, cache: NormCache, *, live: bool) -> Tensor:
    """Return the gradient before a norm y = gain x scale, where scale = 1 / rms(x) is constant unless `live`.

    d scale / dx = -scale^3 x / d, so the live part is -x scale^3 mean(gain x gradient x).
    """
    inner = gradient * norm.weight.to(gradient.dtype)
    before: Tensor = inner * cache.scale
    if live:
        before = before - cache.value * cache.scale**3 * (inner * cache.value).mean(-1, keepdim=True)
    return before


def vjp_post_norm(part: Sublayer, gradient: Tensor, cache: NormCache, *, live: bool) -> Tensor:
    """Return the gradient at the output of a sublayer, from the gradient of the residual stream after it."""
    return gradient if part.norm_after is None else vjp_norm(part.norm_after, gradient, cache, live=live)


def vjp_pre_norm(part: Sublayer, gradient: Tensor, cache: NormCache, *, live: bool) -> Tensor:
    """Return the gradient of the residual stream before a sublayer, from the gradient at the sublayer's input."""
    return gradient if part.norm_before is None else vjp_norm(part.norm_before, gradient, cache, live=live)


def vjp_attention(model: TracedModel, number: int, layer: LayerCache, gradient: Tensor, rules: Rules) -> Tensor:
    """Return the gradient before the attention of a layer, from the gradient after it.

    `layer` holds one prompt per row of `gradient`, or one prompt for all rows.
    """
    part = model.blocks[number].attention
    attention, live = part.module, rules.live_norms
    rows, n, _ = gradient.shape
    after = vjp_post_norm(part, gradient, layer.attention_norm, live=live)
    heads = (after @ weight_of(attention.o_proj, gradient)).view(rows, n, model.heads, -1)
    read = _to_values(model, layer.attention.pattern, heads) @ weight_of(attention.v_proj, gradient)
    if rules.live_patterns:
        read = read + _through_pattern(model, attention, layer.attention, heads)
    return gradient + vjp_pre_norm(part, read, layer.attention_norm, live=live)


def _to_values(model: TracedModel, pattern: Tensor, written: Tensor) -> Tensor:
    """Return the gradient of values (rows, n, key-value heads x head width), from that of the heads (rows, n, H, w)."""
    rows, n, heads, _ = written.shape
    back = pattern.transpose(-1, -2)
    if len(back) == 1:
        # One pattern for all rows: one product with the rows side by side, without a copy of the pattern per row.
        beside = written.permute(2, 1, 0, 3).reshape(heads, n, -1)
        values = (back[0] @ beside).view(heads // model.groups, model.groups, n, rows, -1).sum(1)
        return values.permute(2, 1, 0, 3).reshape(rows, n, -1)
    values = (back @ written.transpose(1, 2)).view(rows, heads // model.groups, model.groups, n, -1).sum(2)
    return values.transpose(1, 2).reshape(rows, n, -1)


def _through_pattern(model: TracedModel, attention: Any, cache: AttentionCache, written: Tensor) -> Tensor:
    """Return the gradient at the input of an attention through its queries and keys, (rows, n, d).

    pattern = softmax(query . key x scaling), so with G the gradient of the pattern, that of the products is
    pattern x (G - sum over keys of pattern x G).
    """
    rows, n, heads, width = written.shape

    def per_head(value: Tensor) -> Tensor:
        return value.view(len(value), n, -1, width).transpose(1, 2)

    def repeated(value: Tensor) -> Tensor:
        return value.repeat_interleave(model.groups, 1)

    query = _rotated(per_head(cache.query), cache)
    key, value = repeated(_rotated(per_head(cache.key), cache)), repeated(per_head(cache.value))
    weights = written.transpose(1, 2) @ value.transpose(2, 3)
    products = cache.pattern * (weights - (cache.pattern * weights).sum(-1, keepdim=True)) * attention.scaling
    of_query = _unrotated(products @ key, cache)
    of_key = _unrotated(products.transpose(2, 3) @ query, cache)
    of_key = of_key.view(rows, heads // model.groups, model.groups, n, width).sum(2)
    found = []
    for name, gradient, norm in (("q", of_query, cache.query_norm), ("k", of_key, cache.key_norm)):
        gradient = gradient.transpose(1, 2)
        if norm is not None:
            gradient = gradient.reshape(rows, *norm.value.shape[1:])
            gradient = vjp_norm(getattr(attention, f"{name}_norm"), gradient, norm, live=True)
        found.append(gradient.reshape(rows, n, -1) @ weight_of(getattr(attention, f"{name}_proj"), gradient))
    return found[0] + found[1]


def _rotated(value: Tensor, cache: AttentionCache) -> Tensor:
    """Return queries or keys (B, H, n, w) turned by their positions, as `transformers` turns them."""
    low, high = value.chunk(2, -1)
    return value * cache.cos[:, None] + torch.cat((-high, low), -1) * cache.sin[:, None]


def _unrotated(gradient: Tensor, cache: AttentionCache) -> Tensor:
    """Return the gradient before a rotation, from the gradient after it."""
    low, high = (gradient * cache.sin[:, None]).chunk(2, -1)
    return gradient * cache.cos[:, None] + torch.cat((high, -low), -1)


def neuron_gradient(model: TracedModel, number: int, layer: LayerCache, gradient: Tensor, rules: Rules) -> Tensor:
    """Return the gradient with respect to the neurons of a layer (B, n, m), from the gradient after its MLP."""
    part = model.blocks[number].mlp
    after = vjp_post_norm(part, gradient, layer.mlp_norm, live=rules.live_norms)
    return after @ weight_of(part.module.down_proj, gradient)


def vjp_mlp(
    model: TracedModel, number: int, layer: LayerCache, gradient: Tensor, neurons: Tensor, rules: Rules
) -> Tensor:
    """Return the gradient before an MLP, from the gradient after it and the gradient of its neurons."""
    part = model.blocks[number].mlp
    read = (neurons * up_factor(layer, rules)) @ weight_of(part.module.up_proj, gradient)
    read += (neurons * gate_factor(layer, rules)) @ weight_of(part.module.gate_proj, gradient)
    return gradient + vjp_pre_norm(part, read, layer.mlp_norm, live=rules.live_norms)


def at_last_token(model: TracedModel, cache: Cache, gradient: Tensor, prompt: Tensor, rules: Rules) -> Tensor:
    """Return the gradient of the last residual stream at the last token of prompts, (k, d).

    `gradient` (k, d) is the gradient after the last norm, of the prompts number `prompt` (k,).
    """
    last = torch.tensor(cache.lengths, device=prompt.device)[prompt] - 1
    final = NormCache(cache.final.value[prompt, last], cache.final.scale[prompt, last])
    return vjp_norm(model.final_norm, gradient, final, live=rules.live_norms)


def neuron_gradients(model: TracedModel, cache: Cache, metric: Tensor, rules: Rules) -> Iterator[tuple[int, Tensor]]:
    """Yield the number of every layer, from the last one down, and the gradient of its neurons, (B, n, m).

    `metric` (B, d) is the gradient of the metric with respect to the residual stream at the last token.
    """
    batch, n, width = cache.final.value.shape
    gradient = metric.new_zeros(batch, n, width)
    gradient[torch.arange(batch), torch.tensor(cache.lengths) - 1] = metric
    for number in reversed(range(len(cache.layers))):
        layer = cache.layers[number]
        neurons = neuron_gradient(model, number, layer, gradient, rules)
        yield number, neurons
        gradient = vjp_mlp(model, number, layer, gradient, neurons, rules)
        gradient = vjp_attention(model, number, layer, gradient, rules)
