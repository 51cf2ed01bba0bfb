"""float64 throughout: norms, rotary positions and softmax of a model, which `transformers` computes in float32."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor

FLOAT64_ATTENTION = "atlas_float64"


def compute_in_float64(model: Any) -> None:
    """Make a float64 model of the Llama family compute every step in float64.

    `transformers` casts to float32 inside RMSNorm, rotary positions and the softmax of eager attention. The results
    are then rounded differently by processors with wider vectors.

    Args:
        model: Model of `transformers`, whose modules are changed.
    """
    for module in model.modules():
        kind = type(module).__name__
        if kind.endswith("RMSNorm"):
            module.forward = MethodType(_norm, module)
        elif kind.endswith("RotaryEmbedding"):
            # Dynamic kinds update their frequencies by the length of the text, so the own method still runs.
            module.forward = MethodType(_rotary(module.forward), module)
    _use_attention(model)


def _norm(self: Any, value: Tensor) -> Tensor:
    scale = torch.rsqrt(value.square().mean(-1, keepdim=True) + self.variance_epsilon)
    normed: Tensor = self.weight * (value * scale)
    return normed


def _rotary(original: Any) -> Any:
    def forward(self: Any, value: Tensor, position_ids: Tensor, *layer_type: str) -> tuple[Tensor, Tensor]:
        original(value, position_ids, *layer_type)
        prefix = "".join(f"{name}_" for name in layer_type)
        angle = position_ids[..., None].double() * _frequencies(self, prefix, *layer_type)
        angle = torch.cat((angle, angle), dim=-1)
        scaling = getattr(self, f"{prefix}attention_scaling")
        return angle.cos() * scaling, angle.sin() * scaling

    return forward


def _frequencies(rotary: Any, prefix: str, *layer_type: str) -> Tensor:
    """Return the frequencies of a rotary embedding; the usual ones anew, since float32 powers differ by processor."""
    held: Tensor = getattr(rotary, f"{prefix}inv_freq").double()
    kind, given = rotary.rope_type, rotary.config.rope_parameters
    if layer_type:
        kind, given = kind[layer_type[0]], given[layer_type[0]]
    if kind != "default":
        return held
    share = torch.arange(len(held), dtype=torch.float64, device=held.device) / len(held)
    found: Tensor = 1.0 / given["rope_theta"] ** share
    return found


def _use_attention(model: Any) -> None:
    """Register eager attention with a float64 softmax, and choose it for this model alone."""
    import transformers
    from transformers.masking_utils import eager_mask

    transformers.AttentionInterface.register(FLOAT64_ATTENTION, _attend)
    transformers.AttentionMaskInterface.register(FLOAT64_ATTENTION, eager_mask)
    model.config._attn_implementation = FLOAT64_ATTENTION


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float, **_: object
) -> tuple[Tensor, Tensor]:
    key, value = (part.repeat_interleave(module.num_key_value_groups, 1) for part in (key, value))
    scores = query @ key.transpose(2, 3) * scaling
    pattern = torch.softmax(scores if mask is None else scores + mask, dim=-1)
    return (pattern @ value).transpose(1, 2).contiguous(), pattern
