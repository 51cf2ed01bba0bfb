"""MLP weights of a model of the Llama family, read tensor by tensor from its safetensors files.

No model is built. Only the requested tensors are loaded: three matrices of a layer at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from atlas.errors import InputError, needs_extra
from atlas.io.files import read_json_object
from atlas.models.architectures import mlp_signature, require_supported

_INDEX = "model.safetensors.index.json"
# The norm of the MLP is before it (Llama, Mistral, Qwen) or after it (OLMo 2 and 3).
_NORM_BEFORE, _NORM_AFTER = "post_attention_layernorm", "post_feedforward_layernorm"


@dataclass(frozen=True)
class Shape:
    """Layers, neurons per layer and model width."""

    layers: int
    neurons: int
    width: int


class Weights:
    """Matrices of a model folder: config.json and *.safetensors, in one file or in shards.

    Raises `InputError` where the folder holds no supported model, or where a matrix is missing or of another shape.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        config = read_json_object(folder / "config.json", "a model's folder holds config.json and *.safetensors")
        text = config.get("text_config", config)
        try:
            self.shape = Shape(*(int(text[key]) for key in ("num_hidden_layers", "intermediate_size", "hidden_size")))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{folder / 'config.json'} does not say {error}") from error
        require_supported(text, str(folder))
        self._files = self._locate()

    def _locate(self) -> dict[str, Path]:
        """Return the file of every tensor."""
        with needs_extra("trace"):
            from safetensors import SafetensorError, safe_open
        index = self.folder / _INDEX
        if index.exists():
            named = read_json_object(index, "an index of shards").get("weight_map")
            if not isinstance(named, dict):
                raise InputError(f"{index} holds no weight_map")
            return {str(name): self.folder / str(file) for name, file in named.items()}
        found: dict[str, Path] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                with safe_open(path, "pt") as file:
                    found |= dict.fromkeys(file.keys(), path)
            except (SafetensorError, OSError) as error:
                raise InputError(f"{path} cannot be read: {error}") from error
        if not found:
            raise InputError(f"{self.folder} holds no *.safetensors")
        return found

    @cached_property
    def prefix(self) -> str:
        """Prefix of `layers.0...` in tensor names: `model.`, or a longer one in multimodal models."""
        ending = "layers.0.mlp.down_proj.weight"
        found = sorted((name for name in self._files if name.endswith(ending)), key=len)
        if not found:
            raise InputError(f"{self.folder} has no {ending}: wiring is defined for gated MLPs of the Llama family")
        return found[0].removesuffix(ending)

    def tensor(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Read one tensor in the type of the file.

        Args:
            name: Name of the tensor.
            shape: Expected shape.

        Returns:
            The tensor.
        """
        return self._read(name, shape, slice(None))

    def _read(self, name: str, shape: tuple[int, ...], rows: slice) -> Tensor:
        """Return some rows of a tensor; raises `InputError` where it is missing, damaged or of another shape."""
        from safetensors import SafetensorError, safe_open

        full = f"{self.prefix}{name}"
        path = self._files.get(full)
        if path is None:
            raise InputError(f"{self.folder} has no {full}")
        try:
            with safe_open(path, "pt") as file:
                given = file.get_slice(full)
                size = tuple(given.get_shape())
                found: Tensor = given[rows]
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path} cannot be read: {error}") from error
        if size != shape:
            raise InputError(f"{full} in {path} has the shape {size}; config.json asks for {shape}")
        return found

    def reads(self, layer: int, *, fold_norms: bool) -> tuple[Tensor, Tensor]:
        """Read up_proj and gate_proj of a layer.

        Args:
            layer: Number of the layer.
            fold_norms: Multiply by the gain of the norm before the MLP.

        Returns:
            Two tensors (neurons, width).
        """
        shape = (self.shape.neurons, self.shape.width)
        up, gate = (self.tensor(f"layers.{layer}.mlp.{name}_proj.weight", shape) for name in ("up", "gate"))
        if fold_norms and not self.norm_is_behind:
            gain = self.tensor(f"layers.{layer}.{_NORM_BEFORE}.weight", shape[1:]).float()
            up, gate = up.float() * gain, gate.float() * gain
        return up, gate

    def writes(self, layer: int, *, fold_norms: bool) -> Tensor:
        """Read down_proj of a layer, one row per neuron.

        Args:
            layer: Number of the layer.
            fold_norms: Multiply by the gain of the norm after the MLP.

        Returns:
            A tensor (neurons, width).
        """
        shape = (self.shape.width, self.shape.neurons)
        down = self.tensor(f"layers.{layer}.mlp.down_proj.weight", shape).T
        if fold_norms and self.norm_is_behind:
            down = down.float() * self.tensor(f"layers.{layer}.{_NORM_AFTER}.weight", shape[:1]).float()
        return down.contiguous()

    @cached_property
    def norm_is_behind(self) -> bool:
        """True if the norm of an MLP is behind it (OLMo 2 and 3)."""
        return f"{self.prefix}layers.0.{_NORM_AFTER}.weight" in self._files

    @cached_property
    def mlp_signature(self) -> str:
        """Hash of the signs of some MLP weights of every layer, as of a loaded model."""
        shape = (self.shape.width, self.shape.neurons)
        names = (f"layers.{layer}.mlp.down_proj.weight" for layer in range(self.shape.layers))
        return mlp_signature(self._read(name, shape, slice(1))[0] for name in names)

    def inputs(self) -> list[Path]:
        """List the files that decide the wiring.

        Returns:
            config.json and the weight files.
        """
        return sorted({self.folder / "config.json", *self._files.values()})


def on(device: str, value: Tensor) -> Tensor:
    """Return a matrix on the device; on a CPU in float32, which is fast and precise enough there."""
    return value.to(device) if device.startswith("cuda") else value.to(device, torch.float32)
