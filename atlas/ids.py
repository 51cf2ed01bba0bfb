"""Neuron ids: conversion between the spellings of earlier tools, (layer, neuron) and packed int64.

A packed neuron is `layer << 24 | neuron`: 7 bits of layer, 24 bits of index. A pair of packed
neurons is one non-negative int64 (62 bits), which is what the aggregation kernel sorts.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from atlas.errors import IdError

LAYER_BITS = 7
INDEX_BITS = 24
NEURON_BITS = LAYER_BITS + INDEX_BITS
MAX_LAYER = 2**LAYER_BITS - 1
MAX_INDEX = 2**INDEX_BITS - 1

# L24/N5326  L24_N5326  L24N5326  L24/5326  L24|5326  L24_5326  24/5326  24_5326, and with a position 24_5326_7
_NEURON = re.compile(r"(?:[Ll](\d+)[_/|]?[Nn](\d+)|[Ll]?(\d+)[_/|](\d+)(?:_\d+)?)\Z", re.ASCII)
# E_128000_0  E_128000  EMB/128000  /  L_3681_4  L_3681  LOGIT/3681
_TOKEN = re.compile(r"(?:(E|EMB)|(?:L|LOGIT))[_/](\d+)(?:_(\d+))?\Z", re.ASCII)


class NeuronId(NamedTuple):
    """A unit of the model at (layer, neuron), without a position.

    >>> NeuronId.parse("L24/N5326")
    NeuronId(layer=24, neuron=5326)
    >>> str(NeuronId.parse("24_5326_7"))
    'L24/N5326'
    """

    layer: int
    neuron: int

    @classmethod
    def parse(cls, text: str) -> NeuronId:
        """Parse any spelling of a neuron; raises `IdError` with the text and the expected forms."""
        found = _NEURON.match(text)
        if found is None:
            hint = " (that is a token, not a neuron)" if _TOKEN.match(text) else ""
            raise IdError(f"{text[:80]!r} is no neuron id{hint}; write it like L24/N5326, L24/5326 or 24_5326_7")
        layer, neuron = (int(group.lstrip("0")[:12] or 0) for group in found.groups() if group is not None)
        return cls.checked(layer, neuron, text[:80])

    @classmethod
    def checked(cls, layer: int, neuron: int, given: object = None) -> NeuronId:
        """Return the id if both numbers fit the packed key; raises `IdError` otherwise."""
        if not (0 <= layer <= MAX_LAYER and 0 <= neuron <= MAX_INDEX):
            shown = f"{given!r}: " if given is not None else ""
            raise IdError(
                f"{shown}layer {layer}, neuron {neuron} is out of range; "
                f"layers go from 0 to {MAX_LAYER}, neurons from 0 to {MAX_INDEX}"
            )
        return cls(layer, neuron)

    @classmethod
    def unpack(cls, packed: int) -> NeuronId:
        """Return the id of a packed neuron; raises `IdError` if the number is out of range."""
        if not 0 <= packed < 1 << NEURON_BITS:
            raise IdError(f"{packed} is no packed neuron; it has {NEURON_BITS} bits")
        return cls(packed >> INDEX_BITS, packed & MAX_INDEX)

    @classmethod
    def from_feature_id(cls, feature_id: int, neurons_per_layer: int) -> NeuronId:
        """Return the id for `feature_id = layer * neurons_per_layer + neuron`, as in the Qwen label files."""
        if neurons_per_layer < 1:
            raise IdError(f"neurons_per_layer must be at least 1, not {neurons_per_layer}")
        return cls.checked(*divmod(feature_id, neurons_per_layer), given=feature_id)

    @property
    def packed(self) -> int:
        """Packed neuron, `layer << 24 | neuron`."""
        return self.layer << INDEX_BITS | self.neuron

    def __str__(self) -> str:
        return f"L{self.layer}/N{self.neuron}"


_FEATURE = re.compile(r"[Ll](\d+)[_/|]?[Ff](\d+)\Z", re.ASCII)
NEURON, FEATURE = "neuron", "feature"


class UnitId(NamedTuple):
    """A neuron, or a feature of the dictionary behind a layer.

    >>> str(UnitId.parse("L2/F10")), UnitId.parse("L24/N5326").unit_type
    ('L2/F10', 'neuron')
    """

    unit_type: str
    layer: int
    unit: int

    @classmethod
    def parse(cls, text: str) -> UnitId:
        """Parse `L2/F10` (a feature) or any spelling of a neuron; raises `IdError`."""
        found = _FEATURE.match(text)
        if found is None:
            return cls(NEURON, *NeuronId.parse(text))
        layer, unit = (int(group[:12]) for group in found.groups())
        return cls(FEATURE, *NeuronId.checked(layer, unit, text[:80]))

    def __str__(self) -> str:
        return f"L{self.layer}/{'F' if self.unit_type == FEATURE else 'N'}{self.unit}"


class TokenId(NamedTuple):
    """A vocabulary entry as the input (`embedding`) or output (`logit`) of a graph."""

    role: str
    token_id: int


def parse_node(text: str) -> NeuronId | TokenId:
    """Parse an id of a token (`E_791_2`, `L_3681_4`, `EMB/791`, `LOGIT/3681`) or of a neuron; raises `IdError`.

    Use it only for ids without any other sign of their kind. Inside a graph, the node table decides.
    """
    found = _TOKEN.match(text)
    if found is None:
        return NeuronId.parse(text)
    return TokenId("embedding" if found[1] else "logit", int(found[2]))


def parse_pair(text: str) -> tuple[NeuronId, NeuronId]:
    """Parse an edge key of old checkpoints, `L24|5326|L25|99`; raises `IdError`."""
    parts = text.split("|")
    if len(parts) != 4:
        raise IdError(f"{text!r} is no edge key; write it like L24|5326|L25|99")
    return NeuronId.parse("|".join(parts[:2])), NeuronId.parse("|".join(parts[2:]))


def well_formed(text: str) -> str:
    """Return text with lone surrogates replaced. JSON, pickles and file names can hold them, UTF-8 cannot.

    >>> well_formed("a\\ud800b")
    'a?b'
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
