"""Unit that a label row describes: layer, index, model and dictionary."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from atlas.ids import NeuronId, well_formed

INDEX_COLUMNS = ("neuron", "feature", "index", "neuron_idx", "feature_index")
ID_COLUMNS = ("neuron_id", "id")
# 4  L4  layer_4  blocks.3.mlp  model.layers.3.mlp.hook  6-res-jb (Neuronpedia: layer and dictionary)
_LAYER = re.compile(r"(?:L|layer[ _.-]?)?(\d{1,6})\Z", re.IGNORECASE)
_PATH = re.compile(r"(?:\w+\.)*(?:layers?|blocks|h)\.(\d{1,6})(?:\.[\w.]+)?\Z", re.IGNORECASE)
_DICTIONARY = re.compile(r"(\d{1,6})-([A-Za-z][\w.-]*)\Z")


class Unit(NamedTuple):
    """Unit that a label describes; model and dictionary are None where the row does not state them."""

    neuron: NeuronId
    model: str | None
    dictionary: str | None


def unit_of(row: Mapping[str, Any]) -> Unit | None:
    """Return the unit that a row names, or None where it names none. Raises `IdError` for an impossible unit."""
    layer, index = row.get("layer"), next((row[key] for key in INDEX_COLUMNS if row.get(key) is not None), None)
    dictionary = text_of(row.get("dictionary"))
    if layer is not None and index is not None:
        number, named = _layer_of(layer)
        if number is None:
            return None
        neuron = NeuronId.checked(number, whole(index))
        return Unit(neuron, text_of(row.get("subject_model")), dictionary or named)
    stated = next((row[key] for key in ID_COLUMNS if row.get(key) is not None), None)
    if stated is None:
        return None
    return Unit(NeuronId.parse(str(stated)), text_of(row.get("subject_model")), dictionary)


def _layer_of(value: object) -> tuple[int | None, str | None]:
    """Return the number of a layer, and the dictionary that follows it, if any."""
    if not isinstance(value, str):
        return whole(value), None
    text = value.strip()
    if found := _LAYER.match(text) or _PATH.match(text):
        return int(found[1]), None
    if found := _DICTIONARY.match(text):
        return int(found[1]), found[2]
    return whole(text), None


def whole(value: Any) -> int:
    """Return a whole number, also from 3.0 or "3". Raises `ValueError` for anything else, including true and "1_0"."""
    if isinstance(value, str):
        text = value.strip()
        if text.isascii() and text.isdigit():
            return int(text[:20])
        if "_" in text:
            raise ValueError(value)
        return whole(float(text))
    if isinstance(value, bool) or value != int(value):
        raise ValueError(value)
    return int(value)


def text_of(value: object) -> str | None:
    """Return the text of a scalar, or None for NaN (a missing value of data frames), bytes, containers and blanks."""
    if value is None or isinstance(value, dict | list | bytes) or value != value:
        return None
    return well_formed(str(value)).strip() or None


def first(row: Mapping[str, Any], keys: Sequence[str]) -> object:
    """Return the first value among the keys that is not None."""
    return next((row[key] for key in keys if row.get(key) is not None), None)
