"""Direct effect ratio: the share of a neuron's effect on the prediction that goes directly to the logits.

The vector V = down_proj[:, n] (activation fixed at 1) is added to the output of the layer at the last token of a
prompt. Its direct effect is the change of the logits with every later layer frozen,
logits(final_norm(h + V)) - logits. Its total effect is the change in a forward pass with V added. The indirect
effect is their difference. On the token that the model predicts, ratio = |direct| / (|direct| + |indirect|),
or 0.5 where both are below 1e-8.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from atlas.models.cache import inverse_rms, wide
from atlas.models.model import TracedModel, weight_of
from atlas.stages import DATASETS

NEGLIGIBLE = 1e-8
LOGIT_ABOVE, ROUTING_BELOW = 0.7, 0.3


def direct_effect_ratios(
    model: TracedModel,
    prompts: Sequence[Sequence[int]],
    *,
    memory: int = 1 << 28,
    progress: Callable[[int, int], None],
) -> np.ndarray:
    """Return the ratios (prompts, layers, neurons), float64, over prompts of two tokens or more.

    Prompts on which the model computes NaN or infinity are left out. Only the last token is recomputed, since earlier
    tokens do not attend to it: in float32 or float64, for as many neurons at once as fit into `memory` (bytes).
    """
    found = [np.empty((0, len(model.blocks), model.neurons))]
    with torch.no_grad():
        for row, ids in enumerate(prompts):
            progress(row, len(prompts))
            last = _LastToken(model, list(ids))
            if last.is_finite:
                rows = [_ratios(model, last, number, memory) for number in range(len(model.blocks))]
                found.append(torch.stack(rows)[None].double().cpu().numpy())
    return np.concatenate(found)


def effect_table(ratios: np.ndarray) -> pa.Table:
    """Return mean, population standard deviation, extrema and type of ratios by neuron; no rows without prompts."""
    prompts, layers, neurons = ratios.shape
    if not prompts:
        return DATASETS["projections.direct_effects"].empty()
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


def _ratios(model: TracedModel, last: _LastToken, number: int, memory: int) -> Tensor:
    """Return the ratios of the neurons of one layer, (m,)."""
    columns = model.blocks[number].mlp.module.down_proj.weight.T
    found = []
    for vectors in columns.split(max(1, memory // last.row_bytes)):
        # The clean token is part of the batch, so it is rounded in the same way.
        start = last.outputs[number] + torch.cat([torch.zeros_like(vectors[:1]), vectors]).to(last.dtype)
        direct = last.predicted(last.outputs[-1] + start - last.outputs[number])
        total = last.predicted(last.above(number, start))
        direct, total = direct[1:] - direct[0], total[1:] - total[0]
        indirect = total - direct
        ratio = direct.abs() / (direct.abs() + indirect.abs())
        small = (direct.abs() < NEGLIGIBLE) & (indirect.abs() < NEGLIGIBLE)
        found.append(torch.where(small, torch.full_like(ratio, 0.5), ratio))
    return torch.cat(found)


class _LastToken:
    """Last token of a prompt, whose residual stream can be run through the upper layers again.

    Streams have shape (B, d); keys and values of earlier positions are computed once and shared by all.
    """

    def __init__(self, model: TracedModel, ids: list[int]) -> None:
        self._model = model
        tokens = torch.tensor([ids], device=model.device)
        past = model.model.model(input_ids=tokens[:, :-1], use_cache=True).past_key_values
        self._past = [(wide(layer.keys[0]), wide(layer.values[0])) for layer in past.layers]
        self._rotary = _rotary_of(model, tokens[:, -1:], past)
        stream = wide(model.embedding[tokens[0, -1:]])
        self.dtype = stream.dtype
        self.outputs: list[Tensor] = []  # (1, d) after each layer
        for number in range(len(model.blocks)):
            stream = self._layer(number, stream)
            self.outputs.append(stream)
        logits = self._normed(stream) @ weight_of(model.model.get_output_embeddings(), stream).T
        self.is_finite = bool(torch.isfinite(logits).all())
        self._row = model.unembedding[int(logits.argmax())].to(stream.dtype)

    @property
    def row_bytes(self) -> int:
        """Estimated bytes of one row of a batch while a layer runs."""
        model = self._model
        scores = max(keys.shape[1] for keys, _ in self._past) * model.heads * 2
        return (4 * model.neurons + 10 * model.width + scores) * self.outputs[0].element_size()

    def above(self, number: int, stream: Tensor) -> Tensor:
        """Return the streams before the last norm, from those after layer `number`."""
        for layer in range(number + 1, len(self.outputs)):
            stream = self._layer(layer, stream)
        return stream

    def predicted(self, stream: Tensor) -> Tensor:
        """Return the logit of the token that the model predicts, (B,), from streams before the last norm."""
        return self._normed(stream) @ self._row

    def _normed(self, stream: Tensor) -> Tensor:
        return _norm(self._model.final_norm, stream)

    def _layer(self, number: int, stream: Tensor) -> Tensor:
        block = self._model.blocks[number]
        for part, run in ((block.attention, self._attended), (block.mlp, _mlp)):
            given = stream if part.norm_before is None else _norm(part.norm_before, stream)
            written = run(part.module, given, *self._past[number])
            stream = stream + (written if part.norm_after is None else _norm(part.norm_after, written))
        return stream

    def _attended(self, module: Any, given: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        rows, groups = len(given), self._model.groups
        query, key = (self._placed(module, name, given) for name in ("q", "k"))
        value = _linear(module.v_proj, given).view(rows, -1, 1, keys.shape[-1])
        query = query.view(rows, len(keys), groups, -1)  # by key-value head
        before = torch.einsum("bkgd,knd->bkgn", query, keys)
        own = torch.einsum("bkgd,bkd->bkg", query, key)[..., None]
        pattern = torch.softmax(torch.cat([before, own], -1) * module.scaling, -1)
        mixed = torch.einsum("bkgn,knd->bkgd", pattern[..., :-1], values) + pattern[..., -1:] * value
        return _linear(module.o_proj, mixed.reshape(rows, -1))

    def _placed(self, module: Any, name: str, given: Tensor) -> Tensor:
        """Return queries or keys by head (B, heads, head width), rotated, and normed where the model norms them."""
        found = _linear(getattr(module, f"{name}_proj"), given)
        norm = getattr(module, f"{name}_norm", None)
        if norm is not None and norm.weight.shape[0] == found.shape[1]:
            found = _norm(norm, found)
        found = found.view(len(given), -1, module.head_dim)
        if norm is not None and norm.weight.shape[0] != found.shape[1] * found.shape[2]:
            found = _norm(norm, found)
        cos, sin = (wide(value).view(-1) for value in self._rotary[module.layer_idx])
        first, second = found.chunk(2, -1)
        return found * cos + torch.cat([-second, first], -1) * sin


def _mlp(module: Any, given: Tensor, *_: Tensor) -> Tensor:
    gate = torch.nn.functional.silu(_linear(module.gate_proj, given))
    return _linear(module.down_proj, gate * _linear(module.up_proj, given))


def _linear(linear: Any, given: Tensor) -> Tensor:
    found = given @ weight_of(linear, given).T
    return found if linear.bias is None else found + linear.bias.to(found.dtype)


def _norm(norm: Any, value: Tensor) -> Tensor:
    weight: Tensor = norm.weight
    return weight.to(value.dtype) * value * inverse_rms(value, norm)


def _rotary_of(model: TracedModel, token: Tensor, past: Any) -> dict[int, tuple[Tensor, Tensor]]:
    """Return cosine and sine of the last position, by layer, as `transformers` computes them."""
    found: dict[int, tuple[Tensor, Tensor]] = {}

    def keep(module: Any, _: object, named: dict[str, Any]) -> None:
        found[module.layer_idx] = named["position_embeddings"]

    hooks = [block.attention.module.register_forward_pre_hook(keep, with_kwargs=True) for block in model.blocks]
    try:
        model.model.model(input_ids=token, past_key_values=copy.deepcopy(past), use_cache=True)
    finally:
        for hook in hooks:
            hook.remove()
    return found
