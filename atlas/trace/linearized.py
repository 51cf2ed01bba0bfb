"""Linearised model of RelP: each target as a linear function of the residual stream.

Attention patterns and the inverse root mean squares of norms are frozen. h = silu(g) * u is written as
silu(g)/2 * u + u sigmoid(g)/2 * g, with the factors of u and g frozen (half rule for the gate, identity rule
for the activation). Then every neuron and logit is linear in the embeddings and keeps its value.
Jafari et al., "RelP: Faithful and efficient circuit discovery via relevance patching", 2025; Arora et al.,
"Language model circuits are sparse in the neuron basis", 2025.

Gradients have shape (T, n, d): target, position, model width; T is the batch of prompts in `scores`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from atlas.models.model import Cache, LayerCache, Sublayer, TracedModel, activation, weight_of


def up_factor(layer: LayerCache) -> Tensor:
    """Return the frozen factor of `up` in a neuron, by the half rule: silu(gate) / 2, (B, n, m)."""
    return torch.nn.functional.silu(layer.gate) / 2


def gate_factor(layer: LayerCache) -> Tensor:
    """Return the frozen factor of `gate` in a neuron: up * sigmoid(gate) / 2, (B, n, m)."""
    return layer.up * torch.sigmoid(layer.gate) / 2


def vjp_post_norm(part: Sublayer, gradient: Tensor, scale: Tensor) -> Tensor:
    """Return the gradient at the output of a sublayer, from the gradient of the residual stream after it."""
    return gradient if part.norm_after is None else gradient * part.norm_after.weight.to(gradient.dtype) * scale


def vjp_pre_norm(part: Sublayer, gradient: Tensor, scale: Tensor) -> Tensor:
    """Return the gradient of the residual stream before a sublayer, from the gradient at the sublayer's input."""
    return gradient if part.norm_before is None else gradient * part.norm_before.weight.to(gradient.dtype) * scale


def vjp_attention(model: TracedModel, number: int, layer: LayerCache, gradient: Tensor) -> Tensor:
    """Return the gradient before the attention of a layer, from the gradient after it; patterns are frozen.

    `layer` holds one prompt per row of `gradient`, or one prompt for all rows.
    """
    part = model.blocks[number].attention
    attention = part.module
    rows, n, _ = gradient.shape
    written = vjp_post_norm(part, gradient, layer.attention_scale) @ weight_of(attention.o_proj, gradient)
    flat = _to_values(model, layer.attention, written.view(rows, n, model.heads, -1))
    return gradient + vjp_pre_norm(part, flat @ weight_of(attention.v_proj, gradient), layer.attention_scale)


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


def neuron_gradient(model: TracedModel, number: int, layer: LayerCache, gradient: Tensor) -> Tensor:
    """Return the gradient with respect to the neurons of a layer (B, n, m), from the gradient after its MLP."""
    part = model.blocks[number].mlp
    return vjp_post_norm(part, gradient, layer.mlp_scale) @ weight_of(part.module.down_proj, gradient)


def vjp_mlp(model: TracedModel, number: int, layer: LayerCache, gradient: Tensor, neurons: Tensor) -> Tensor:
    """Return the gradient before an MLP, from the gradient after it and the gradient of its neurons."""
    part = model.blocks[number].mlp
    read = (neurons * up_factor(layer)) @ weight_of(part.module.up_proj, gradient)
    read += (neurons * gate_factor(layer)) @ weight_of(part.module.gate_proj, gradient)
    return gradient + vjp_pre_norm(part, read, layer.mlp_scale)


def logit_gradient(model: TracedModel, cache: Cache, tokens: Tensor, prompt: Tensor) -> Tensor:
    """Return the gradient of logits at the last token with respect to the last residual stream there, (k, d)."""
    last = torch.tensor(cache.lengths, device=prompt.device)[prompt] - 1
    rows = model.unembedding[tokens].to(cache.final.dtype)
    gain: Tensor = model.final_norm.weight
    return rows * gain.to(rows.dtype) * cache.final_scale[prompt, last]


def scores(model: TracedModel, cache: Cache, metric: Tensor) -> list[Tensor]:
    """Return the RelP scores, activation x gradient of the metric, (B, n, m) for every layer.

    `metric` (B, d) is the gradient of the metric with respect to the residual stream at the last token.
    """
    batch, n, width = cache.final.shape
    gradient = metric.new_zeros(batch, n, width)
    gradient[torch.arange(batch), torch.tensor(cache.lengths) - 1] = metric
    found: list[Tensor] = []
    for number in reversed(range(len(cache.layers))):
        layer = cache.layers[number]
        neurons = neuron_gradient(model, number, layer, gradient)
        found.append(activation(layer) * neurons)
        gradient = vjp_mlp(model, number, layer, gradient, neurons)
        gradient = vjp_attention(model, number, layer, gradient)
    return found[::-1]


@dataclass(frozen=True)
class NodeIndex:
    """Kept neurons of one prompt, by (layer, position, neuron); all of shape (S,)."""

    layer: Tensor
    position: Tensor
    neuron: Tensor

    def __len__(self) -> int:
        return len(self.layer)


@dataclass(frozen=True)
class Effects:
    """Direct effects on T targets: the kept neurons by their rows, then the logits."""

    neurons: Tensor  # (T, S) source activation x derivative
    tokens: Tensor  # (T, n) the same of the embeddings
    error: Tensor  # (T,) the rest: effects of neurons that were not kept, and of biases


def read_vectors(model: TracedModel, number: int, layer: LayerCache, cells: NodeIndex, rows: Tensor) -> Tensor:
    """Return the gradient of kept neurons of one layer with respect to the residual stream before its MLP, (k, d)."""
    part = model.blocks[number].mlp
    at, unit = cells.position[rows], cells.neuron[rows]
    up, gate = up_factor(layer)[0, at, unit, None], gate_factor(layer)[0, at, unit, None]
    read = up * part.module.up_proj.weight[unit].to(up.dtype) + gate * part.module.gate_proj.weight[unit].to(up.dtype)
    return vjp_pre_norm(part, read, layer.mlp_scale[0, at])


def write_vectors(model: TracedModel, number: int, layer: LayerCache, cells: NodeIndex, rows: Tensor) -> Tensor:
    """Return the contributions of kept neurons of one layer to the residual stream at their positions, (k, d)."""
    part = model.blocks[number].mlp
    at, unit = cells.position[rows], cells.neuron[rows]
    columns = part.module.down_proj.weight[:, unit].T.to(layer.gate.dtype)
    written = vjp_post_norm(part, columns, layer.mlp_scale[0, at])
    return written * activation(layer)[0, at, unit, None]


def _constants(model: TracedModel, number: int, layer: LayerCache) -> Tensor:
    """Return the contribution of attention biases to the residual stream, (n, d); rows of a pattern sum to one."""
    part = model.blocks[number].attention
    attention = part.module
    written = layer.gate.new_zeros(model.width)
    if attention.v_proj.bias is not None:
        value = attention.v_proj.bias.to(written.dtype).view(model.heads // model.groups, 1, -1)
        written = written + weight_of(attention.o_proj, written) @ value.expand(-1, model.groups, -1).reshape(-1)
    if attention.o_proj.bias is not None:
        written = written + attention.o_proj.bias.to(written.dtype)
    return vjp_post_norm(part, written.expand(layer.gate.shape[1], -1), layer.attention_scale[0])


def _own_bias(model: TracedModel, number: int, layer: LayerCache, cells: NodeIndex, rows: Tensor) -> Tensor:
    """Return the part of an activation that is due to the biases of its own gate and up, (k,)."""
    mlp = model.blocks[number].mlp.module
    at, unit = cells.position[rows], cells.neuron[rows]
    found = layer.gate.new_zeros(len(rows))
    for linear, factor in ((mlp.up_proj, up_factor), (mlp.gate_proj, gate_factor)):
        if linear.bias is not None:
            found = found + linear.bias[unit].to(found.dtype) * factor(layer)[0, at, unit]
    return found


def direct_effects(model: TracedModel, cache: Cache, cells: NodeIndex, logits: Tensor, *, batch: int) -> Effects:
    """Return the direct effects of all kept neurons and embeddings on all kept neurons and on the tokens `logits`.

    Each backward pass handles `batch` targets. It goes through attention and the residual stream alone; MLPs stop
    the gradient. Targets are ordered from the last layer down, and a pass adds each target when it reaches its layer.
    """
    order = torch.argsort(cells.layer, descending=True, stable=True)
    total = len(order) + len(logits)
    like = cache.final
    effects = Effects(like.new_zeros(total, len(cells)), like.new_zeros(total, like.shape[1]), like.new_zeros(total))
    # Logits come first: they are above every layer.
    for start in range(0, total, batch):
        _some_effects(model, cache, cells, logits, order, range(start, min(start + batch, total)), effects)
    return effects


def _some_effects(
    model: TracedModel, cache: Cache, cells: NodeIndex, logits: Tensor, order: Tensor, some: range, effects: Effects
) -> None:
    """Compute the effects on the targets number `some`: first logits, then neurons from the last layer down."""
    n, count = cache.final.shape[1], len(logits)
    chosen = logits[some.start : some.stop]
    gradient = cache.final.new_zeros(len(chosen), n, model.width)
    gradient[:, -1] = logit_gradient(model, cache, chosen, torch.zeros_like(chosen))
    rows = len(cells) + torch.arange(some.start, some.start + len(chosen), device=order.device)
    waiting = order[max(0, some.start - count) : max(0, some.stop - count)]
    error = gradient.new_zeros(len(rows))
    for number in reversed(range(len(cache.layers))):
        layer = cache.layers[number]
        sources = torch.nonzero(cells.layer == number).flatten()
        if len(rows):
            written = write_vectors(model, number, layer, cells, sources)
            at = cells.position[sources]
            effects.neurons[rows[:, None], sources] = torch.einsum("tsd,sd->ts", gradient[:, at], written)
            left = layer.mlp_out[0].index_add(0, at, -written)
            error += torch.einsum("tnd,nd->t", gradient, left)
        mine = waiting[cells.layer[waiting] == number]
        if len(mine):
            fresh = gradient.new_zeros(len(mine), n, model.width)
            fresh[torch.arange(len(mine)), cells.position[mine]] = read_vectors(model, number, layer, cells, mine)
            gradient, rows = torch.cat([gradient, fresh]), torch.cat([rows, mine])
            error = torch.cat([error, _own_bias(model, number, layer, cells, mine)])
        if len(rows):
            error += torch.einsum("tnd,nd->t", gradient, _constants(model, number, layer))
            gradient = vjp_attention(model, number, layer, gradient)
    effects.tokens[rows] = torch.einsum("tnd,nd->tn", gradient, cache.embedding[0])
    effects.error[rows] = error
