"""Ranges of keys, each small enough to reduce in memory; and the rows of a range from every source."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atlas.aggregate.spill.run_files import STEP
from atlas.graph import Ints
from atlas.ids import NEURON_BITS

END = 1 << (2 * NEURON_BITS)


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys in [low, high), and the number of the part that they become."""

    number: int
    low: int
    high: int


def split(indexes: Sequence[tuple[Ints, int]], rows: int, *, step: int = STEP) -> list[KeyRange]:
    """Ranges of about `rows` rows each; `indexes` are every `step`-th key of each run, and what one of its rows weighs.

    A range begins with the first key of a source where that is possible, so that the edges of one
    source stand in one part.
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
            # One key alone weighs more than a range.
            place = int(np.searchsorted(keys, key, "right"))
            if place == len(keys):
                break
            bound = int(keys[place])
        bounds.append(bound)
        place = int(np.searchsorted(keys, bound, "left"))
        used = int(total[place - 1]) if place else 0
    bounds.append(END)
    return [KeyRange(number, low, high) for number, (low, high) in enumerate(itertools.pairwise(bounds))]
