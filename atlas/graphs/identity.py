"""Resolution of nodes to units, by the id of a node and the keys that repeat its parts.

Tools write ids in several ways: `3_700_2` is layer, index, position in circuit-tracer; `2_3_700` is position, layer,
index in other tools; `3_cro_700_2` has the kind in the middle. The keys `layer`, `ctx_idx` and `feature` state the same
facts. An id is read in the one way that contradicts none of these keys. If there is no such way, or more than one, the
node is left out and counted, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from atlas.graphs.raw import RawNode

_NUMBERS = re.compile(r"\d{1,12}", re.ASCII)
_STANDARD = re.compile(r"(\d{1,12})_(\d{1,12})(?:_(\d{1,12}))?\Z", re.ASCII)
_KIND_IN_THE_MIDDLE = re.compile(r"(\d{1,12})_[A-Za-z]\w*?_(\d{1,12})(?:_(\d{1,12}))?\Z", re.ASCII)
_MOST_NUMBERS = 8  # most numbers of an id that are searched


def feature_unit(node: RawNode) -> tuple[int, int] | None:
    """Return (layer, index) of a neuron or feature, or None if the id cannot be read or contradicts the keys."""
    layer = whole(node.layer)
    standard = _STANDARD.match(node.node_id)
    if standard is not None and layer in (None, int(standard[1])):
        return int(standard[1]), int(standard[2])
    if node.layer is not None and layer is None and standard is not None:
        return int(standard[1]), int(standard[2])  # the key holds no number ("embedding"): nothing to compare with
    found = {unit for unit in _readings(node, layer) if _agrees(unit, node, layer)}
    return found.pop() if len(found) == 1 else None


def _readings(node: RawNode, layer: int | None) -> Iterator[tuple[int, int]]:
    """Yield every (layer, index) that the id may mean."""
    named = _KIND_IN_THE_MIDDLE.match(node.node_id)
    if named is not None:
        yield int(named[1]), int(named[2])
        return
    if layer is None:
        return  # without the key `layer`, another order of numbers is a guess
    numbers = [int(number) for number in _NUMBERS.findall(node.node_id)[:_MOST_NUMBERS]]
    position = node.ctx_idx if node.ctx_idx is not None else node.position
    if len(numbers) == 3 and numbers[0] == position:
        yield numbers[1], numbers[2]
    elif len(numbers) >= 2 and not _STANDARD.match(node.node_id) and layer in numbers:
        index = whole(node.feature)
        if index is not None and index in numbers:
            yield layer, index


def _agrees(unit: tuple[int, int], node: RawNode, layer: int | None) -> bool:
    """Return True if the keys `layer` and `feature` do not contradict the unit."""
    if layer is not None and layer != unit[0]:
        return False
    feature = whole(node.feature)
    return feature is None or feature < 0 or feature in _encodings(*unit)


def _encodings(layer: int, index: int) -> tuple[int, int, int]:
    """Return possible values of the key `feature`: index, Cantor pairing of layer and index, or both in decimal."""
    total = layer + index
    return index, total * (total + 1) // 2 + index, layer * 100_000 + index


def whole(value: float | str | None) -> int | None:
    """Return a value as an integer, also from text, or None for anything but a whole number."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) <= 12 else None
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else None
    return value
