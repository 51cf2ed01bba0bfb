"""Direct effects of the kept neurons and embeddings of one prompt on its kept neurons and outputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from atlas.models.cache import Cache, LayerCache, NormCache
from atlas.models.model import TracedModel, weight_of
from atlas.trace.linearized import at_last_token, vjp_attention, vjp_post_norm, vjp_pre_norm
from atlas.trace.rules import Rules, gate_factor, up_factor


@dataclass(frozen=True)
class NodeIndex:
    """Kept neurons of one prompt, by (layer, position, neuron); all of shape (S,)."""

    layer: Tensor
    position: Tensor
    neuron: Tensor

    def __len__(self) -> int:
        return len(self.layer)

    def of(self, values: Tensor) -> Tensor:
        """Return the values of the kept neurons, (S,), of an array (layers, n, m)."""
        return values[self.layer, self.position, self.neuron]


@dataclass(frozen=True)
class Sources:
    """Sources of direct effects, as differences from their baseline."""

    cells: NodeIndex
    values: Tensor  # (S,) activations less baseline
    tokens: Tensor  # (n, d) embeddings less baseline


@dataclass(frozen=True)
class Effects:
    """Direct effects on T targets: the kept neurons by their rows, then the outputs."""

    neurons: Tensor  # (T, S) source x derivative
    tokens: Tensor  # (T, n) the same of the embeddings
    error: Tensor  # (T,) under linear rules, the effects of all else: neurons that were not kept, baselines and biases

    def times(self, share: float) -> Effects:
        """Return the effects multiplied by a number."""
        return Effects(self.neurons * share, self.tokens * share, self.error * share)

    def plus(self, other: Effects) -> Effects:
        """Return the sums of these effects and others."""
        return Effects(self.neurons + other.neurons, self.tokens + other.tokens, self.error + other.error)


def direct_effects(
    model: TracedModel, cache: Cache, sources: Sources, outputs: Tensor, rules: Rules, *, batch: int
) -> Effects:
    """Return the direct effects of all sources on all kept neurons and on outputs.

    `outputs` (k, d) holds the gradients of the outputs after the last norm. Each backward pass handles `batch` targets. It
    goes through attention and the residual stream alone; MLPs stop the gradient. Targets are ordered from the last
    layer down, and a pass adds each target when it reaches its layer.
    """
    order = torch.argsort(sources.cells.layer, descending=True, stable=True)
    total = len(order) + len(outputs)
    like = cache.final.value
    effects = Effects(
        like.new_zeros(total, len(sources.cells)), like.new_zeros(total, like.shape[1]), like.new_zeros(total)
    )
    # Outputs come first: they are above every layer.
    for start in range(0, total, batch):
        _some_effects(model, cache, sources, outputs, rules, order, range(start, min(start + batch, total)), effects)
    return effects


def _some_effects(
    model: TracedModel,
    cache: Cache,
    sources: Sources,
    outputs: Tensor,
    rules: Rules,
    order: Tensor,
    some: range,
    effects: Effects,
) -> None:
    """Compute the effects on the targets number `some`: first outputs, then neurons from the last layer down."""
    cells, n, count = sources.cells, cache.final.value.shape[1], len(outputs)
    chosen = outputs[some.start : some.stop]
    gradient = cache.final.value.new_zeros(len(chosen), n, model.width)
    first_prompt = torch.zeros(len(chosen), dtype=torch.long, device=order.device)
    gradient[:, -1] = at_last_token(model, cache, chosen, first_prompt, rules)
    rows = len(cells) + torch.arange(some.start, some.start + len(chosen), device=order.device)
    waiting = order[max(0, some.start - count) : max(0, some.stop - count)]
    error = gradient.new_zeros(len(rows))
    for number in reversed(range(len(cache.layers))):
        layer = cache.layers[number]
        mine = torch.nonzero(cells.layer == number).flatten()
        if len(rows):
            found = _effects_of(model, number, layer, sources, mine, gradient, rules)
            effects.neurons[rows[:, None], mine] = found
            error += torch.einsum("tnd,nd->t", gradient, layer.mlp_out[0]) - found.sum(1)
        mine = waiting[cells.layer[waiting] == number]
        if len(mine):
            fresh = gradient.new_zeros(len(mine), n, model.width)
            fresh[torch.arange(len(mine)), cells.position[mine]] = read_vectors(
                model, number, layer, cells, mine, rules
            )
            gradient, rows = torch.cat([gradient, fresh]), torch.cat([rows, mine])
            error = torch.cat([error, _own_bias(model, number, layer, cells, mine, rules)])
        if len(rows):
            error += torch.einsum("tnd,nd->t", gradient, _constants(model, number, layer))
            gradient = vjp_attention(model, number, layer, gradient, rules)
    effects.tokens[rows] = torch.einsum("tnd,nd->tn", gradient, sources.tokens)
    error += torch.einsum("tnd,nd->t", gradient, cache.embedding[0] - sources.tokens)
    effects.error[rows] = error


def _effects_of(
    model: TracedModel,
    number: int,
    layer: LayerCache,
    sources: Sources,
    mine: Tensor,
    gradient: Tensor,
    rules: Rules,
) -> Tensor:
    """Return the effects of the kept neurons `mine` of a layer, (T, k), from the gradient after its MLP."""
    part, cells = model.blocks[number].mlp, sources.cells
    at, unit = cells.position[mine], cells.neuron[mine]
    here = NormCache(layer.mlp_norm.value[:, at], layer.mlp_norm.scale[:, at])
    after = vjp_post_norm(part, gradient[:, at], here, live=rules.live_norms)
    written = part.module.down_proj.weight[:, unit].T.to(after.dtype) * sources.values[mine, None]
    return torch.einsum("tsd,sd->ts", after, written)


def read_vectors(
    model: TracedModel, number: int, layer: LayerCache, cells: NodeIndex, rows: Tensor, rules: Rules
) -> Tensor:
    """Return the gradient of kept neurons of one layer with respect to the residual stream before its MLP, (k, d)."""
    part = model.blocks[number].mlp
    at, unit = cells.position[rows], cells.neuron[rows]
    up, gate = up_factor(layer, rules)[0, at, unit, None], gate_factor(layer, rules)[0, at, unit, None]
    read = up * part.module.up_proj.weight[unit].to(up.dtype) + gate * part.module.gate_proj.weight[unit].to(up.dtype)
    here = NormCache(layer.mlp_norm.value[0, at], layer.mlp_norm.scale[0, at])
    return vjp_pre_norm(part, read, here, live=rules.live_norms)


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
    # With constant norms, a contribution is scaled as a gradient is.
    here = NormCache(layer.attention_norm.value[0], layer.attention_norm.scale[0])
    return vjp_post_norm(part, written.expand(layer.gate.shape[1], -1), here, live=False)


def _own_bias(
    model: TracedModel, number: int, layer: LayerCache, cells: NodeIndex, rows: Tensor, rules: Rules
) -> Tensor:
    """Return the part of an activation that is due to the biases of its own gate and up, (k,)."""
    mlp = model.blocks[number].mlp.module
    at, unit = cells.position[rows], cells.neuron[rows]
    found = layer.gate.new_zeros(len(rows))
    for linear, factor in ((mlp.up_proj, up_factor), (mlp.gate_proj, gate_factor)):
        if linear.bias is not None:
            found = found + linear.bias[unit].to(found.dtype) * factor(layer, rules)[0, at, unit]
    return found
