"""Files of tensors, read without running their code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.errors import InputError, needs_extra


def read_tensors(path: Path) -> Any:
    """Read tensors, numbers and texts from a .pt or .safetensors file. Anything else in it is refused, and no code runs.

    Args:
        path: The file.

    Returns:
        What the file holds; of .safetensors, tensors by name.

    Raises:
        InputError: The file cannot be read, or holds other objects.
        MissingExtra: torch or safetensors is not installed.
    """
    with needs_extra("trace"):
        import torch
        from safetensors.torch import load_file
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may raise anything in the libraries that read it
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{path} cannot be read as tensors alone: {said}") from error


def array(value: Any, path: Path, name: str, dimensions: int) -> NDArray[Any]:
    """Return a tensor as an array, bfloat16 and float16 as float32.

    Args:
        value: Tensor of a file.
        path: The file, for the message.
        name: Name of the tensor, for the message.
        dimensions: Number of dimensions that it must have.

    Returns:
        The array.

    Raises:
        InputError: It is no tensor, or has another number of dimensions.
    """
    if not hasattr(value, "detach"):
        raise InputError(f"{path}: {name} is {type(value).__name__}, not a tensor")
    if value.ndim != dimensions:
        raise InputError(f"{path}: {name} has {value.ndim} dimensions, not {dimensions}")
    plain = value.detach().float() if value.is_floating_point() else value.detach()
    return np.asarray(plain.numpy())
