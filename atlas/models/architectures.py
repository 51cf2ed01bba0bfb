"""Supported model architectures: one list for tracing, projections and wiring."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from atlas.errors import InputError

# Gated MLP with SiLU, RMSNorm with a plain gain, rotary positions, grouped-query attention.
FAMILY = ("llama", "mistral", "qwen2", "qwen3", "olmo2", "olmo3")
_ACTIVATIONS = ("silu", "swish")
# The key of the activation depends on the architecture.
_ACTIVATION_KEYS = ("hidden_act", "hidden_activation")


def require_supported(config: Mapping[str, Any], what: str) -> None:
    """Raise `InputError` unless a configuration is of a supported architecture with SiLU activation.

    Args:
        config: Content of `config.json`; of a multimodal model, its text part.
        what: Name of the model in the error message.
    """
    kind = config.get("model_type")
    if kind not in FAMILY:
        named = f"is a {kind} model" if kind else "has a config.json that states no model_type"
        raise InputError(f"{what} {named}; supported models are {', '.join(FAMILY)}")
    for key in _ACTIVATION_KEYS:
        if config.get(key) not in (None, *_ACTIVATIONS):
            raise InputError(f"{what} has the activation {config[key]}; supported is SiLU")


def mlp_signature(rows: Iterable[Tensor]) -> str:
    """Return a hash of the signs of one row of weights per layer, which is the same in every floating-point type.

    Args:
        rows: The first row of down_proj of every layer, (m,), so that little of a file is read.

    Returns:
        SHA-256 in hexadecimal. Files and a loaded model have the same one.
    """
    digest = hashlib.sha256()
    for row in rows:
        digest.update((row > 0).cpu().numpy().tobytes())
    return digest.hexdigest()
