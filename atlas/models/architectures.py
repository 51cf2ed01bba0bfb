"""The model architectures whose mathematics is built in: one list for tracing, projecting and wiring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atlas.errors import InputError

# Gated MLP with SiLU, RMSNorm with a plain gain, rotary positions, grouped-query attention.
FAMILY = ("llama", "mistral", "qwen2", "qwen3", "olmo2", "olmo3")
_ACTIVATIONS = ("silu", "swish")
# Architectures name their activation under either key.
_ACTIVATION_KEYS = ("hidden_act", "hidden_activation")


def require_supported(config: Mapping[str, Any], what: str) -> None:
    """Raise `InputError` unless a model's configuration is of a supported architecture with the activation SiLU.

    Args:
        config: The content of `config.json`, of the text part where the model also sees pictures.
        what: How to call the model in the message.
    """
    kind = config.get("model_type")
    if kind not in FAMILY:
        named = f"is a {kind} model" if kind else "has a config.json that states no model_type"
        raise InputError(f"{what} {named}; supported models are {', '.join(FAMILY)}")
    for key in _ACTIVATION_KEYS:
        if config.get(key) not in (None, *_ACTIVATIONS):
            raise InputError(f"{what} has the activation {config[key]}; supported is SiLU")
