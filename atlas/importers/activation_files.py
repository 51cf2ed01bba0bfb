"""Files of activations of other tools, read without running their code: tensors, and lists of texts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from atlas.errors import InputError, needs_extra

_LAYER = re.compile(r"(?:blocks|layers|layer|h)[._-]+(\d+)(?=\D|\Z)")


def layer_of(name: str) -> int:
    """Return the layer that the name of a hook or file states; raises `InputError` where it states none."""
    found = _LAYER.search(name)
    if found is None:
        raise InputError(f"{name} names no layer; it is called like blocks.8.mlp.hook_post or layers.8.mlp")
    return int(found[1])


def read_tensors(path: Path) -> Any:
    """Read a .pt file of tensors, numbers and texts. Anything else in it is refused, and no code runs."""
    with needs_extra("trace"):
        import torch
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may raise anything
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{path} cannot be read as tensors alone: {said}") from error


def array(value: Any, path: Path, name: str, dimensions: int) -> NDArray[Any]:
    """Return a tensor as an array, bfloat16 and float16 as float32; raises `InputError` for another shape."""
    if not hasattr(value, "detach"):
        raise InputError(f"{path}: {name} is {type(value).__name__}, not a tensor")
    if value.ndim != dimensions:
        raise InputError(f"{path}: {name} has {value.ndim} dimensions, not {dimensions}")
    plain = value.detach().float() if value.is_floating_point() else value.detach()
    found: NDArray[Any] = plain.numpy()
    return found


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty where the file does not exist. Raises `InputError` where it is none."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} holds no object")
    return found


def byte_table() -> dict[str, int]:
    """Return the byte of every character by which byte-level vocabularies spell it (GPT-2)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}


_BYTES = byte_table()


def decoded(token: str) -> str:
    r"""Return the text of a token that is spelled as in a byte-level vocabulary; other tokens as they are.

    >>> decoded("Ġself"), decoded("âĢĻs"), decoded("中")
    (' self', '’s', '中')
    """
    if any(character not in _BYTES for character in token):
        return token.replace("▁", " ")
    return bytes(_BYTES[character] for character in token).decode("utf-8", errors="replace")
