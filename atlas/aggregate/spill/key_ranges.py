"""Ranges of keys, each small enough to reduce in memory."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atlas.graph import Ints
from atlas.ids import NEURON_BITS
from atlas.io.run_files import STEP

END = 1 << (2 * NEURON_BITS)


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Range of keys [low, high), and the number of its part."""

    number: int
    low: int
    high: int


def split(indexes: Sequence[tuple[Ints, int]], rows: int, *, step: int = STEP) -> list[KeyRange]:
    """Return ranges of keys with about `rows` rows each.

    `indexes` holds every `step`-th key of each run, and the weight of one of its rows. A range begins with the first
    key of a source if possible, so that all edges of a source are in one part.
    """
    keys = np.concatenate([np.zeros(0, np.int64), *(index.astype(np.int64) for index, _ in indexes)])
    weights = np.repeat([weight * step for _, weight in indexes], [len(index) for index, _ in indexes])
    order = np.argsort(keys, kind="stable")
    keys, total = keys[order], np.cumsum(weights[order])
    bounds, used = [0], 0
    while (place := int(np.searchsorted(total, used + rows, "right"))) < len(keys):
        key = int(keys[place])
        start = key >> NEURON_BITS << NEURON_BITS
        bound = start if start > bounds[-1] else key
        if bound <= bounds[-1]:
            # A single key exceeds the size of a range.
            place = int(np.searchsorted(keys, key, "right"))
            if place == len(keys):
                break
            bound = int(keys[place])
        bounds.append(bound)
        place = int(np.searchsorted(keys, bound, "left"))
        used = int(total[place - 1]) if place else 0
    bounds.append(END)
    return [KeyRange(number, low, high) for number, (low, high) in enumerate(itertools.pairwise(bounds))]
