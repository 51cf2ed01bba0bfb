"""Co-occurrence in numpy, for few neurons: the same counts and scores as the compiled kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from atlas.aggregate.kernels.key_stats import expand_slices
from atlas.graph import Ints

# The most frequent neurons, which are always intersected with a frequent one.
HOT = 64


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
    graphs: Any, starts: Ints, stops: Ints, members: Any, offsets: Ints, bitmaps: Any, words: int,
    visits: int, whole: int, limit: int, least: int,
    counts: Any, touched: Any, marks: Any, flags: Any, candidates: Any, best: Any,  # noqa: ARG001
) -> None:  # fmt: skip
    """Compute what `numba_kernel.partners.top_partners` does, neuron by neuron.

    All ways of finding partners but that from a sample are exact, so they are one here.
    """
    sizes, top, most = stops - starts, best.shape[1], candidates.shape[1]
    for place, row in enumerate(rows.tolist()):
        mine = graphs[starts[row] : stops[row]].astype(np.int64)
        if len(mine) < least:
            continue
        score = _scores(row, mine, members, offsets)
        score = _highest(score[score >> 32 >= least], top)
        is_exact = len(mine) <= limit
        if not is_exact and len(mine) <= whole:
            is_exact = len(score) == top and int(score.min()) >> 32 == len(mine)
        elif not is_exact:
            affordable = 6 * limit * visits
            is_exact = _is_by_rank(row, mine, graphs, starts, sizes, len(bitmaps), words, affordable, least, top)
        if not is_exact:
            taken = mine[(2 * np.arange(limit) + 1) * len(mine) // (2 * limit)]
            chosen = (_highest(_scores(row, taken, members, offsets), most) & 0xFFFF_FFFF).tolist()
            shared = [_shared(mine, graphs[starts[one] : stops[one]]) << 32 | one for one in chosen]
            score = np.array(shared, np.int64)
            score = _highest(score[score >> 32 >= least], top)
        best[place, : len(score)] = score


def _is_by_rank(
    row: int, mine: Ints, graphs: Any, starts: Ints, sizes: Ints, bits: int, words: int, affordable: int, least: int, top: int
) -> bool:  # fmt: skip
    """Return whether the compiled kernel intersects a neuron with the most frequent ones."""
    hot = min(HOT, len(sizes))
    if hot * words > bits:
        return False
    joint = sorted(
        (_shared(mine, graphs[starts[i] : starts[i] + sizes[i]]) for i in range(hot) if i != row), reverse=True
    )
    floor = max(least, joint[top - 1]) if len(joint) >= top else least
    able = int((sizes >= floor).sum())
    return able <= hot or (able * words <= bits and (able - HOT) * (words + 10) <= affordable)


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
