"""One list of supported architectures for every command that reads a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atlas.errors import InputError
from atlas.models.architectures import FAMILY, require_supported

pytest.importorskip("torch")


@pytest.mark.parametrize("kind", FAMILY)
def test_supported_architectures_pass(kind: str) -> None:
    require_supported({"model_type": kind, "hidden_act": "silu"}, "m")
    require_supported({"model_type": kind}, "m")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (
            {"model_type": "gemma2", "hidden_activation": "gelu_pytorch_tanh"},
            "m is a gemma2 model; supported models are llama",
        ),
        ({"model_type": "cohere", "hidden_act": "silu"}, "m is a cohere model"),
        ({"model_type": "olmo", "hidden_act": "silu"}, "m is a olmo model"),
        ({"model_type": "helium"}, "m is a helium model"),
        ({"model_type": "exaone4"}, "m is a exaone4 model"),
        ({"hidden_act": "silu"}, "states no model_type"),
        ({"model_type": "llama", "hidden_act": "gelu"}, "the activation gelu"),
        ({"model_type": "llama", "hidden_activation": "relu"}, "the activation relu"),
    ],
)
def test_other_architectures_are_refused_by_every_command(config: dict[str, Any], told: str, tmp_path: Path) -> None:
    from atlas.models import load_model
    from atlas.wiring import Weights

    with pytest.raises(InputError, match=told):
        require_supported(config, "m")
    sizes = {"num_hidden_layers": 2, "intermediate_size": 4, "hidden_size": 4, "vocab_size": 8}
    (tmp_path / "config.json").write_text(json.dumps(config | sizes))
    for read in (Weights, load_model):
        with pytest.raises(InputError):
            read(tmp_path)
