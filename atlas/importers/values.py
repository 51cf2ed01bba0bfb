"""Values in JSON files of other tools: a number, a text, or None for a value that is neither."""

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
    """Return a finite number, also from text; None for anything else."""
    if value is None or isinstance(value, bool | list | dict):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and abs(found) <= MAX_WEIGHT else None


def whole(value: object) -> int | None:
    """Return a whole number, also from 3.0 and "3"; None for anything else."""
    found = number(value)
    return int(found) if found is not None and found == int(found) and abs(found) < 2**53 else None


def small(value: object) -> int | None:
    """Return a whole number of 32 bits; None for anything else."""
    found = whole(value)
    return found if found is not None and abs(found) < 2**31 else None


def text(value: object) -> str | None:
    """Return a nonempty text, also from a number; None for anything else."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    return well_formed(str(value)).strip() or None


def texts(value: object) -> list[str] | None:
    """Return the items of a list as texts, containers as JSON; None where `value` is not a list."""
    if not isinstance(value, list):
        return None
    return [text(item) or as_json(item) for item in value]


def as_json(value: object) -> str:
    """Return a value as JSON text."""
    return well_formed(json.dumps(value, ensure_ascii=False))


def neuron_of(item: Mapping[str, Any]) -> NeuronId:
    """Return the neuron of an object, by layer and neuron (or neuron_idx, index), or by neuron_id. Raises `IdError`."""
    layer = whole(item.get("layer"))
    index = next((whole(item[key]) for key in ("neuron", "neuron_idx", "index") if item.get(key) is not None), None)
    if layer is not None and index is not None:
        return NeuronId.checked(layer, index)
    spelled = item.get("neuron_id")
    if not isinstance(spelled, str):
        raise IdError(f"{str(item)[:80]!r} names no neuron")
    return NeuronId.parse(spelled)
