"""Tiny random models of every architecture, and the linearised model by autograd: the twin of `atlas.trace.linearized`.

The twin changes the modules of `transformers` themselves (by the rules: norms with a detached scale, detached queries
and keys, the gate; neurons cut off from what is behind them) and asks autograd, one target at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
import transformers

from atlas.models.model import TracedModel
from atlas.trace.rules import RULES, Rules

VOCABULARY = 50
ARCHITECTURES = ["llama", "llama-tied", "llama-biases", "mistral", "qwen2", "qwen3", "olmo2", "olmo3"]


class Letters:
    """A tokenizer of one token per id."""

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [f"t{token}" for token in ids]

    def decode(self, ids: list[int]) -> str:
        return "".join(f" t{token}" for token in ids)


def tiny(architecture: str, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> TracedModel:
    """A random model of 3 layers, width 16 and 12 neurons per layer, with norms that do something."""
    name, _, variant = architecture.partition("-")
    shape: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "intermediate_size": 12,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "head_dim": 4,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "tie_word_embeddings": variant == "tied",
    }
    if variant == "biases":
        shape |= {"attention_bias": True, "mlp_bias": True}
    if name in ("mistral", "olmo3"):
        shape |= {"sliding_window": 4}
    kind = {"qwen2": "Qwen2", "qwen3": "Qwen3", "olmo2": "Olmo2", "olmo3": "Olmo3"}.get(name, name.capitalize())
    torch.manual_seed(seed)
    config = getattr(transformers, f"{kind}Config")(**shape)
    config._attn_implementation = "eager"
    model = getattr(transformers, f"{kind}ForCausalLM")(config).to(dtype)
    with torch.no_grad():
        for key, value in model.named_parameters():
            # Drawn in float64 whatever the model's precision, so that all precisions are of one model.
            drawn = torch.randn(value.shape, dtype=torch.float64)
            value.copy_(drawn * (0.3 if value.ndim > 1 else 0.2) + ("norm" in key))
    return TracedModel(model, Letters(), f"tiny-{architecture}")


@contextmanager
def linearised(
    model: TracedModel, *, cut: bool, rules: Rules = RULES["relp"]
) -> Iterator[dict[int, tuple[torch.Tensor, torch.Tensor]]]:
    """Run the model of `transformers` by attribution rules; gives (neurons, what is written) by layer.

    With `cut` what a neuron writes does not depend on what it read: effects are direct.
    """
    found: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    undo = []

    def replace(module: Any, forward: Any) -> None:
        before = module.__dict__.get("forward")
        module.forward = MethodType(forward, module)
        undo.append((module, before))

    def norm(self: Any, value: torch.Tensor) -> torch.Tensor:
        scale = torch.rsqrt(value.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * value * scale.detach()

    def detached(self: Any, value: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(value, self.weight, self.bias).detach()

    for layer, module in enumerate(model.model.model.layers):

        def mlp(self: Any, value: torch.Tensor, layer: int = layer) -> torch.Tensor:
            gate, up = self.gate_proj(value), self.up_proj(value)
            silu, share = gate * torch.sigmoid(gate), torch.sigmoid(gate)
            neurons = up * silu.detach() / 2 + gate * (up * share).detach() / 2 if rules.half_rule else up * silu
            written = neurons.detach().requires_grad_() if cut else neurons
            if not cut and not written.requires_grad:
                written.requires_grad_()
            found[layer] = neurons, written
            return self.down_proj(written)

        replace(module.mlp, mlp)
        if not rules.live_patterns:
            replace(module.self_attn.q_proj, detached)
            replace(module.self_attn.k_proj, detached)
    for module in model.model.modules():
        if type(module).__name__.endswith("RMSNorm") and not rules.live_norms:
            replace(module, norm)
    try:
        yield found
    finally:
        for module, before in reversed(undo):
            if before is None:
                del module.forward
            else:
                module.forward = before
