"""Co-occurrence in numpy, for few neurons: the same counts and scores as the compiled kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from atlas.aggregate.kernels.key_stats import expand_slices
from atlas.graph import Ints


def joint_counts(
    source: Ints, target: Ints, linked: Ints,  # noqa: ARG001 (of the compiled kernel)
    graphs: Any, starts: Ints, stops: Ints, members: Any, offsets: Ints, bitmaps: Any, words: int,  # noqa: ARG001
    visits: int, counts: Any, marks: Any, both: Ints,  # noqa: ARG001
) -> None:  # fmt: skip
    """Compute what `numba_kernel.cooccurrence.joint_counts` does, as one search of all pairs of neuron and graph."""
    sizes = stops - starts
    rank = np.repeat(np.arange(len(starts)), sizes)
    # Sorted, because ranks ascend and the graphs of a neuron do.
    known = rank << 32 | graphs[expand_slices(starts, sizes)].astype(np.int64)
    is_rarer = sizes[source] <= sizes[target]
    rarer, other = np.where(is_rarer, source, target), np.where(is_rarer, target, source)
    edge = np.repeat(np.arange(len(source)), sizes[rarer])
    asked = other[edge] << 32 | graphs[expand_slices(starts[rarer], sizes[rarer])].astype(np.int64)
    place = np.minimum(np.searchsorted(known, asked), max(len(known) - 1, 0))
    both[:] = np.bincount(edge[known[place] == asked], minlength=len(source)) if len(known) else 0


def top_partners(
    rows: Ints,
    graphs: Any, starts: Ints, stops: Ints, members: Any, offsets: Ints, bitmaps: Any, words: int,  # noqa: ARG001
    whole: int, limit: int, least: int, counts: Any, touched: Any, marks: Any, flags: Any, candidates: Any, best: Any,  # noqa: ARG001
) -> None:  # fmt: skip
    """Compute what `numba_kernel.cooccurrence.top_partners` does, neuron by neuron."""
    for place, row in enumerate(rows.tolist()):
        mine = graphs[starts[row] : stops[row]].astype(np.int64)
        if len(mine) < least:
            continue
        taken, is_sampled = mine, len(mine) > limit
        if is_sampled and len(mine) <= whole:
            score = _scores(row, mine, members, offsets)
            score = _highest(score[score >> 32 == len(mine)], best.shape[1])
            if len(score) == best.shape[1]:
                best[place] = score
                continue
        if is_sampled:
            taken = mine[(2 * np.arange(limit) + 1) * len(mine) // (2 * limit)]
        score = _scores(row, taken, members, offsets)
        if is_sampled:
            chosen = _highest(score, candidates.shape[1]) & 0xFFFF_FFFF
            score = np.array(
                [_shared(mine, graphs[starts[one] : stops[one]]) << 32 | one for one in chosen.tolist()], np.int64
            )
        score = _highest(score[score >> 32 >= least], best.shape[1])
        best[place, : len(score)] = score


def _scores(row: int, graphs: Ints, members: Any, offsets: Ints) -> Ints:
    """Return graphs << 32 | partner for every partner in some graphs of a neuron."""
    found = np.bincount(members[expand_slices(offsets[graphs], offsets[graphs + 1] - offsets[graphs])])
    others = np.flatnonzero(found)
    others = others[others != row]
    scores: Ints = found[others] << 32 | others
    return scores


def _highest(scores: Ints, most: int) -> Ints:
    return np.partition(scores, len(scores) - most)[-most:] if len(scores) > most else scores


def _shared(one: Ints, other: Any) -> int:
    return len(np.intersect1d(one, other, assume_unique=True))
