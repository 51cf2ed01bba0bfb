"""Values of other people's JSON: a number, a text, or None where it is neither."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from atlas.errors import IdError
from atlas.graph import MAX_WEIGHT
from atlas.ids import NeuronId, well_formed

Where = tuple[int, ...]
Progress = Callable[[str, int, int], None]  # step, done, total


def number(value: Any) -> float | None:
    """A finite number, also one that is written as text."""
    if value is None or isinstance(value, bool | list | dict):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and abs(found) <= MAX_WEIGHT else None


def whole(value: object) -> int | None:
    """A whole number, also 3.0 and "3"."""
    found = number(value)
    return int(found) if found is not None and found == int(found) and abs(found) < 2**53 else None


def small(value: object) -> int | None:
    """A whole number of 32 bits."""
    found = whole(value)
    return found if found is not None and abs(found) < 2**31 else None


def text(value: object) -> str | None:
    """A text that says something."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    return well_formed(str(value)).strip() or None


def texts(value: object) -> list[str] | None:
    """The texts of a list; of other things as JSON."""
    if not isinstance(value, list):
        return None
    return [text(item) or as_json(item) for item in value]


def as_json(value: object) -> str:
    """A value as JSON text."""
    return well_formed(json.dumps(value, ensure_ascii=False))


def neuron_of(item: Mapping[str, Any]) -> NeuronId:
    """The neuron that an object is about: by layer and neuron (or neuron_idx, index), or by neuron_id; raises `IdError`."""
    layer = whole(item.get("layer"))
    index = next((whole(item[key]) for key in ("neuron", "neuron_idx", "index") if item.get(key) is not None), None)
    if layer is not None and index is not None:
        return NeuronId.checked(layer, index)
    spelled = item.get("neuron_id")
    if not isinstance(spelled, str):
        raise IdError(f"{str(item)[:80]!r} names no neuron")
    return NeuronId.parse(spelled)
