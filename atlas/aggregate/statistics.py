"""Statistics per key, on the CPU: sort observations by key, reduce each run of equal keys.

An observation is `(key, graph, weight)`. The key is a packed pair (62 bits); `graph` is
`graph number << 1 | half`, where the half is the hash-half of the graph (split-half reliability).
Equal keys keep their order of arrival, so that sums are added in that order: the same observations in
the same order give the same bits. `compiled.py` is the same for many observations, `device.py` in torch.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from atlas.graph import Floats, Ints
from atlas.ids import INDEX_BITS, MAX_INDEX, NEURON_BITS

LOW = (1 << NEURON_BITS) - 1
COMPILE_FROM = 1 << 17  # rows; loading compiled kernels takes a fraction of a second
_WORD = 63  # bits of a packed (key, row number); signed, so that numpy and torch sort it alike


@dataclass(frozen=True, slots=True)
class KeyStats:
    """Statistics per key, sorted by key. All arrays have shape (n_keys,)."""

    key: Ints  # ascending, distinct
    count: Ints
    graph_count: Ints
    positive_count: Ints
    half_count: Ints  # links in graphs of the first hash-half
    weight_sum: Floats
    weight_abs_sum: Floats
    weight_sq_sum: Floats
    half_weight_sum: Floats  # sum over the first hash-half
    weight_min: Floats
    weight_max: Floats

    def __len__(self) -> int:
        return len(self.key)

    def columns(self) -> dict[str, NDArray[Any]]:
        """The arrays by name, the key first."""
        return {name: getattr(self, name) for name in COLUMNS}

    def slice(self, start: int, stop: int) -> KeyStats:
        """Some of the keys."""
        return KeyStats(*(values[start:stop] for values in self.columns().values()))


COLUMNS = tuple(field.name for field in fields(KeyStats))
FLOAT_COLUMNS = tuple(name for name in COLUMNS if name.startswith(("weight", "half_weight")))


def unfilled(keys: int) -> KeyStats:
    """Room for the statistics of `keys` keys."""
    columns: list[Any] = [np.empty(keys, np.float64 if name in FLOAT_COLUMNS else np.int64) for name in COLUMNS]
    return KeyStats(*columns)


EMPTY = unfilled(0)


@functools.lru_cache(maxsize=1)
def _numpy_sorts_slowly() -> bool:
    """Whether numpy's sort is the slow one here: its AVX-512 code takes five times its AVX2 code on Zen 4."""
    sample = np.random.default_rng(0).integers(0, 1 << 62, 1 << 15)
    best = 1.0
    for _ in range(3):
        started = time.perf_counter()
        np.sort(sample)
        best = min(best, time.perf_counter() - started)
    return best > 20e-9 * len(sample)


def sort_words(words: Ints) -> Ints:
    """The words in ascending order; `words` may be sorted in place."""
    if len(words) > 1 << 14 and _numpy_sorts_slowly():
        import polars as pl

        return pl.Series(words).sort(multithreaded=False).to_numpy()
    words.sort()
    return words


def _bits(largest: int) -> int:
    return int(largest).bit_length()


def _bit_packed(half: Ints) -> tuple[Ints, int]:
    """One half of a key in as few bits as its layers and indices need, in the same order."""
    base = int(half.min())
    span = _bits(int(half.max()) - base)
    index = half & MAX_INDEX
    width = _bits(int(index.max()))
    layers = _bits(int(half.max()) >> INDEX_BITS)
    if layers + width < span:
        return (half >> INDEX_BITS << width) | index, layers + width
    return half - base, span


def order_by_key(key: Ints) -> tuple[Ints, Ints]:
    """The rows (n,) in the order of their keys, equal keys as they came, and the start of each run of equals.

    One sort of packed words (key and row number in one integer) instead of an indirect sort; where the
    keys leave no bits for the row number, a stable argsort.
    """
    n = len(key)
    if not n:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    row_bits = _bits(n - 1)
    left, left_bits = _bit_packed(key >> NEURON_BITS)
    right, right_bits = _bit_packed(key & LOW)
    if left_bits + right_bits + row_bits > _WORD:
        rows: Ints = np.argsort(key, kind="stable")
        values = key[rows]
    else:
        left <<= right_bits
        left |= right
        left <<= row_bits
        left |= np.arange(n)
        words = sort_words(left)
        rows = words & ((1 << row_bits) - 1)
        values = words >> row_bits
    return rows, run_starts(values)


def run_starts(values: NDArray[Any]) -> Ints:
    """Where each run of equal values begins in a sorted array."""
    new = np.empty(len(values), dtype=bool)
    new[:1] = True
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return np.flatnonzero(new)


def take(values: NDArray[Any], rows: Ints) -> NDArray[Any]:
    """values[rows], without the check of every row that numpy makes by default."""
    return values.take(rows, mode="clip")


def ranges(starts: Ints, sizes: Ints) -> Ints:
    """The row numbers start, start + 1, ... of several ranges, one after the other."""
    total = int(sizes.sum())
    shift = starts - (np.cumsum(sizes) - sizes)
    rows: Ints = np.repeat(shift, sizes) + np.arange(total)
    return rows


def compiled(rows: int) -> Any:
    """The compiled kernels, where there are enough rows to be worth it and numba is there; otherwise None."""
    return _compiled_kernels() if rows >= COMPILE_FROM else None


@functools.lru_cache(maxsize=1)
def _compiled_kernels() -> Any:
    try:
        from atlas.aggregate import compiled as kernels
    except ImportError:
        # Without numba, numpy gives the same, slower.
        return None
    return kernels


def reduce_observations(key: Ints, graph: NDArray[Any], weight: Floats) -> KeyStats:
    """Statistics of observations; key (n,) int64, graph (n,) unsigned, weight (n,) float64.

    A weight of NaN is an error of the caller: readers drop such links before. The graphs of one key may
    come in any order.
    """
    return split_frequent(*sort_observations(key, graph, weight), 1)[0]


def sort_observations(key: Ints, graph: NDArray[Any], weight: Floats) -> tuple[Ints, NDArray[Any], Floats]:
    """The observations in the order of their keys, equal keys as they came."""
    kernels = compiled(len(key))
    if kernels is not None:
        found: tuple[Ints, NDArray[Any], Floats] = kernels.sort_rows(key, graph.astype(np.uint32, copy=False), weight)
        return found
    rows, _ = order_by_key(key)
    return take(key, rows), take(graph, rows), take(weight, rows)


def split_frequent(
    key: Ints, graph: NDArray[Any], weight: Floats, at_least: int
) -> tuple[KeyStats, Ints, NDArray[Any], Floats]:
    """Statistics of the keys with at least `at_least` observations, and the observations of the others, in order.

    key, graph, weight (n,) are in the order of the keys.
    """
    kernels = compiled(len(key))
    found: tuple[KeyStats, Ints, NDArray[Any], Floats] = (kernels.split_frequent if kernels else split_plainly)(
        key, graph, weight, at_least
    )
    return found


def split_plainly(
    key: Ints, graph: NDArray[Any], weight: Floats, at_least: int
) -> tuple[KeyStats, Ints, NDArray[Any], Floats]:
    """`split_frequent` in numpy."""
    starts = run_starts(key)
    lengths = np.diff(starts, append=len(key))
    frequent = lengths >= at_least
    if frequent.all():
        return reduce_sorted(key[starts], starts, graph, weight), key[:0], graph[:0], weight[:0]
    mine = np.repeat(frequent, lengths)
    sizes = lengths[frequent]
    stats = reduce_sorted(key[starts[frequent]], np.cumsum(sizes) - sizes, graph[mine], weight[mine])
    np.logical_not(mine, out=mine)
    return stats, key[mine], graph[mine], weight[mine]


def reduce_sorted(key: Ints, starts: Ints, graph: NDArray[Any], weight: Floats) -> KeyStats:
    """Statistics of observations in the order of their keys: key (n_keys,) distinct, starts (n_keys,) of their runs."""
    lengths = np.diff(starts, append=len(weight))
    first_weight, first_graph = take(weight, starts), take(graph, starts)
    in_half = (first_graph & 1) == 0
    found: dict[str, Any] = {
        "count": lengths,
        "graph_count": np.ones(len(key), np.int64),
        "positive_count": (first_weight > 0).astype(np.int64),
        "half_count": in_half.astype(np.int64),
        "weight_sum": first_weight,
        "weight_abs_sum": np.abs(first_weight),
        "weight_sq_sum": first_weight * first_weight,
        "half_weight_sum": first_weight * in_half,
        "weight_min": first_weight.copy(),
        "weight_max": first_weight.copy(),
    }
    # Most keys of a large corpus are seen once; only the others are reduced.
    several = lengths > 1
    if several.any():
        mine = np.repeat(several, lengths)
        sizes = lengths[several]
        for name, values in _segments(graph[mine], weight[mine], sizes).items():
            found[name][several] = values
    return KeyStats(key, **found)


def _segments(graph: NDArray[Any], weight: Floats, sizes: Ints) -> dict[str, NDArray[Any]]:
    """Statistics of consecutive runs of `sizes` (n_runs,) observations."""
    starts = np.cumsum(sizes) - sizes
    run = np.repeat(np.arange(len(sizes)), sizes)
    in_half = (graph & 1) == 0
    return {
        "graph_count": _distinct(graph >> 1, starts, sizes),
        "positive_count": _true_counts(weight > 0, starts, sizes),
        "half_count": _true_counts(in_half, starts, sizes),
        "weight_sum": sums(run, weight),
        "weight_abs_sum": sums(run, np.abs(weight)),
        "weight_sq_sum": sums(run, weight * weight),
        "half_weight_sum": sums(run, weight * in_half),
        "weight_min": np.minimum.reduceat(weight, starts),
        "weight_max": np.maximum.reduceat(weight, starts),
    }


def sums(run: Ints, values: Floats) -> Floats:
    """Sums of `values` (n,) by `run` (n,), ascending from 0, each added one value after the other.

    Not `np.add.reduceat`: that adds long runs in pairs, and its bits would differ from one value at a time.
    """
    totals: Any = np.bincount(run, weights=values)
    return cast(Floats, totals)


def _true_counts(flags: NDArray[np.bool_], starts: Ints, sizes: Ints) -> Ints:
    """How many flags of each run are true, as differences of one running total."""
    total = np.cumsum(flags, dtype=np.int64)
    last: Ints = total[starts + sizes - 1]
    last[1:] -= last[:-1].copy()
    return last


def _distinct(graph: NDArray[Any], starts: Ints, sizes: Ints) -> Ints:
    """Distinct graphs of each run; graphs mostly arrive one after the other."""
    new = np.empty(len(graph), dtype=bool)
    new[:1] = True
    np.not_equal(graph[1:], graph[:-1], out=new[1:])
    falls = graph[1:] < graph[:-1]
    new[starts] = True
    falls[starts[1:] - 1] = False
    if falls.any():
        # Some run meets a graph again: sort the graphs inside every run and look once more.
        run = np.repeat(np.arange(len(starts)), sizes)
        order = np.lexsort((graph, run))
        graph = graph[order]
        np.not_equal(graph[1:], graph[:-1], out=new[1:])
        new[starts] = True
    return _true_counts(new, starts, sizes)


def merge(parts: Sequence[KeyStats]) -> KeyStats:
    """Statistics of the union of observations; the parts must not share graphs.

    Sums are added in the order of `parts`, so that the same parts give the same bits.
    """
    parts = [part for part in parts if len(part)]
    if len(parts) < 2:
        return parts[0] if parts else EMPTY
    if len(parts) > 2:
        # Mostly one large part and many small ones: the small ones first, then one pass over the large one.
        return _merge_two(parts[0], _merge_many(parts[1:]))
    return _merge_two(*parts)


def _how(name: str) -> np.ufunc:
    return {"weight_min": np.minimum, "weight_max": np.maximum}.get(name, np.add)


def _merge_many(parts: Sequence[KeyStats]) -> KeyStats:
    key = np.concatenate([part.key for part in parts])
    rows, starts = order_by_key(key)
    merged: dict[str, Any] = {"key": take(key, rows[starts])}
    for name in COLUMNS[1:]:
        values = take(np.concatenate([getattr(part, name) for part in parts]), rows)
        merged[name] = _how(name).reduceat(values, starts)
    return KeyStats(**merged)


def _merge_two(large: KeyStats, small: KeyStats) -> KeyStats:
    """Statistics of two parts, without sorting: every key of `small` is looked up in `large`."""
    kernels = compiled(len(large) + len(small))
    if kernels is not None:
        union: KeyStats = kernels.merge_two(large, small)
        return union
    place = np.searchsorted(large.key, small.key)
    known = large.key[np.minimum(place, len(large) - 1)] == small.key
    new = np.flatnonzero(~known)
    mine, there = np.flatnonzero(known), place[known]
    # Where the rows of either part go in the union.
    target = place[new] + np.arange(len(new))
    stay = np.ones(len(large) + len(new), bool)
    stay[target] = False
    merged: dict[str, Any] = {}
    for name, values in large.columns().items():
        found = getattr(small, name)
        joined = np.empty(len(stay), values.dtype)
        joined[target] = found[new]
        if name != "key":
            values = values.copy()
            values[there] = _how(name)(values[there], found[mine])
        joined[stay] = values
        merged[name] = joined
    return KeyStats(**merged)
