"""The kernels of `statistics` compiled by numba: one pass each instead of ten, for many observations.

They give the bits that numpy gives: single-threaded, without fastmath, one value added after the other in
the order of the rows. Outputs are allocated by numpy and filled by kernels: numpy asks for huge pages,
numba's own arrays do not. Keys and their halves are as in `ids`; weights hold no negative zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit, types, uint64
from numpy.typing import NDArray

from atlas.aggregate.statistics import COLUMNS, FLOAT_COLUMNS, LOW, KeyStats, split_plainly
from atlas.graph import Floats, Ints
from atlas.ids import INDEX_BITS, MAX_INDEX, NEURON_BITS

Words = NDArray[np.uint64]
Graphs = NDArray[np.uint32]

DIGIT = 13  # most bits of one pass of the radix sort, of few rows
FEW = 1 << 21
DENSE_BITS = 23  # neurons of at most so many bits have a slot each in `ends`
_MAX_WEIGHT = 1e30  # as `observations.MAX_WEIGHT`; a kernel sees constants of its own module alone
STAMPS = 1 << 26  # graph numbers that have a slot each where the graphs of a key are mixed up

_F = TypeVar("_F", bound=Callable[..., Any])


def _in(kind: Any) -> Any:
    """A contiguous input array; Arrow's columns are read-only."""
    return types.Array(kind, 1, "C", readonly=True)


def _out(kind: Any) -> Any:
    return types.Array(kind, 1, "C")


def _compiled(result: Any, *arguments: Any) -> Callable[[_F], _F]:
    """Compile now, or load from the cache next to this file."""
    return cast("Callable[[_F], _F]", njit(result(*arguments), nogil=True, cache=True))


_I8, _U8, _U4, _F8, _I4 = types.int64, types.uint64, types.uint32, types.float64, types.int32
_NONE = types.void


class Squeeze(NamedTuple):
    """How a half of a key becomes few bits: x = half - base; (x >> 24) << width | x & MAX_INDEX."""

    base: int
    width: int
    bits: int


@_compiled(_NONE, _in(_I8), _out(_I8))
def _survey(key: Ints, found: Ints) -> None:
    """Smallest and largest source and target, and the or of their indices -> found (6,)."""
    left_low = right_low = np.int64(LOW)
    left_high = right_high = left_or = right_or = np.int64(0)
    for i in range(len(key)):
        left, right = key[i] >> NEURON_BITS, key[i] & LOW
        left_low, left_high = min(left_low, left), max(left_high, left)
        right_low, right_high = min(right_low, right), max(right_high, right)
        left_or |= left
        right_or |= right
    found[0], found[1], found[2] = left_low, left_high, left_or & MAX_INDEX
    found[3], found[4], found[5] = right_low, right_high, right_or & MAX_INDEX


def _squeeze(low: int, high: int, index_or: int) -> Squeeze:
    width = index_or.bit_length()
    base = low >> INDEX_BITS << INDEX_BITS
    layers = (high - base >> INDEX_BITS).bit_length()
    span = (high - low).bit_length()
    return Squeeze(base, width, layers + width) if layers + width < span else Squeeze(low, INDEX_BITS, span)


def squeezes(key: Ints) -> tuple[Squeeze, Squeeze]:
    """The squeezes of both halves; key (n,) with n > 0."""
    found = np.empty(6, np.int64)
    _survey(key, found)
    values = found.tolist()
    return _squeeze(*values[:3]), _squeeze(*values[3:])


@_compiled(_NONE, _in(_I8), _I8, _I8, _I8, _I8, _I8, _I8, _out(_I8))
def _pack_words(
    key: Ints, lbase: int, lwidth: int, rbase: int, rwidth: int, rbits: int, row_bits: int, words: Ints
) -> None:
    """words[i] = squeezed key << row_bits | i (without the row where row_bits is 0)."""
    shift = lwidth + rbits
    if row_bits:
        for i in range(len(key)):
            left, right = (key[i] >> NEURON_BITS) - lbase, (key[i] & LOW) - rbase
            word = (
                (left >> INDEX_BITS << shift)
                | ((left & MAX_INDEX) << rbits)
                | (right >> INDEX_BITS << rwidth)
                | (right & MAX_INDEX)
            )
            words[i] = word << row_bits | i
    else:
        for i in range(len(key)):
            left, right = (key[i] >> NEURON_BITS) - lbase, (key[i] & LOW) - rbase
            words[i] = (
                (left >> INDEX_BITS << shift)
                | ((left & MAX_INDEX) << rbits)
                | (right >> INDEX_BITS << rwidth)
                | (right & MAX_INDEX)
            )


@_compiled(_NONE, _in(_U8), _U8, _U8, _out(_U4), _out(_U4))
def _digits(words: Words, shift: int, mask: int, place: Graphs, other: Graphs) -> None:
    """Where each digit of one pass begins -> place (mask + 1,); `other` is scratch of the same size."""
    place[:] = 0
    other[:] = 0
    # Two tables, as equal digits come one after the other and would wait for each other.
    half = len(words) >> 1
    for i in range(half):
        place[(words[i] >> shift) & mask] += 1
        other[(words[i + half] >> shift) & mask] += 1
    for i in range(half << 1, len(words)):
        place[(words[i] >> shift) & mask] += 1
    total = uint64(0)
    for d in range(len(place)):
        count = place[d] + other[d]
        place[d] = total
        total += count


@_compiled(_NONE, _in(_U8), _U8, _U8, _out(_U4), _out(_U8))
def _scatter(words: Words, shift: int, mask: int, place: Graphs, target: Words) -> None:
    """One stable pass: words into the places of their digits."""
    for i in range(len(words)):
        word = words[i]
        d = (word >> shift) & mask
        target[place[d]] = word
        place[d] += 1


@_compiled(_NONE, _in(_U8), _in(_U4), _U8, _U8, _out(_U4), _out(_U8), _out(_U4))
def _scatter_rows(
    words: Words, rows: Graphs, shift: int, mask: int, place: Graphs, target: Words, target_rows: Graphs
) -> None:
    """One stable pass over words and their rows, for words that leave no bits for the row."""
    for i in range(len(words)):
        word = words[i]
        d = (word >> shift) & mask
        at = place[d]
        target[at] = word
        target_rows[at] = rows[i]
        place[d] += 1


# One loop per column: gathering several in one loop takes three times as long, as they crowd each other out of the caches.
@_compiled(_NONE, _in(_U8), _U8, _in(_U4), _out(_U4))
def _gather_graph(words: Words, mask: int, graph: Graphs, out: Graphs) -> None:
    """out[i] = graph[words[i] & mask]"""
    for i in range(len(words)):
        out[i] = graph[words[i] & mask]


@_compiled(_NONE, _in(_U8), _U8, _in(_F8), _out(_F8))
def _gather_weight(words: Words, mask: int, weight: Floats, out: Floats) -> None:
    """out[i] = weight[words[i] & mask]"""
    for i in range(len(words)):
        out[i] = weight[words[i] & mask]


@_compiled(_NONE, _out(_I8), _I8, _I8, _I8, _I8, _I8, _I8)
def _unpack_words(words: Ints, lbase: int, lwidth: int, rbase: int, rwidth: int, rbits: int, row_bits: int) -> None:
    """The inverse of `_pack_words`, in place."""
    lmask, rmask = (np.int64(1) << lwidth) - 1, (np.int64(1) << rwidth) - 1
    low = (np.int64(1) << rbits) - 1
    for i in range(len(words)):
        word = words[i] >> row_bits
        left, right = word >> rbits, word & low
        left = ((left >> lwidth << INDEX_BITS) | (left & lmask)) + lbase
        right = ((right >> rwidth << INDEX_BITS) | (right & rmask)) + rbase
        words[i] = left << NEURON_BITS | right


def _passes(bits: int, most: int) -> tuple[int, int]:
    """Passes of a radix sort over `bits` bits, and bits of each."""
    passes = max(-(-bits // most), 1)
    return passes, max(-(-bits // passes), 1)


def sort_rows(key: Ints, graph: Graphs, weight: Floats) -> tuple[Ints, Graphs, Floats]:
    """The three arrays (n,) in the order of their keys, equal keys as they came: a radix sort of packed words."""
    n = len(key)
    if not n:
        return np.empty(0, np.int64), np.empty(0, np.uint32), np.empty(0)
    left, right = squeezes(key)
    bits = left.bits + right.bits
    row_bits = (n - 1).bit_length()
    passes, digit = _passes(bits, DIGIT if n <= FEW else DIGIT - 3)
    mask, fits = (1 << digit) - 1, bits + row_bits <= 63
    squeeze = left.base, left.width, right.base, right.width, right.bits
    first = row_bits if fits else 0
    words, other, graph_out = np.empty(n, np.uint64), np.empty(n, np.uint64), np.empty(n, np.uint32)
    place, scratch = np.empty(1 << digit, np.uint32), np.empty(1 << digit, np.uint32)
    _pack_words(key, *squeeze, first, words.view(np.int64))
    if fits:
        for i in range(passes):
            _digits(words, first + i * digit, mask, place, scratch)
            _scatter(words, first + i * digit, mask, place, other)
            words, other = other, words
        rows, row_mask = words, (1 << row_bits) - 1
    else:
        order, other_order = np.arange(n, dtype=np.uint32), np.empty(n, np.uint32)
        for i in range(passes):
            _digits(words, i * digit, mask, place, scratch)
            _scatter_rows(words, order, i * digit, mask, place, other, other_order)
            words, other, order, other_order = other, words, other_order, order
        rows, row_mask = order.astype(np.uint64), LOW
    weight_out, key_out = other.view(np.float64), words.view(np.int64)
    _gather_graph(rows, row_mask, graph, graph_out)
    _gather_weight(rows, row_mask, weight, weight_out)
    _unpack_words(key_out, *squeeze, first)
    return key_out, graph_out, weight_out


@_compiled(_NONE, _in(_I8), _I8, _out(_I8))
def _count_runs(key: Ints, at_least: int, found: Ints) -> None:
    """Keys, keys with `at_least` rows, and their rows -> found (3,)."""
    keys = often = rows = np.int64(0)
    n = len(key)
    if at_least <= 1:
        for i in range(1, n):
            keys += key[i] != key[i - 1]
        keys += n > 0
        often, rows = keys, np.int64(n)
    else:
        start = 0
        for i in range(1, n + 1):
            if i == n or key[i] != key[i - 1]:
                keys += 1
                if i - start >= at_least:
                    often += 1
                    rows += i - start
                start = i
    found[0], found[1], found[2] = keys, often, rows


_STATS = (*(_out(_I8) for _ in range(5)), *(_out(_F8) for _ in range(6)))


@_compiled(_I8, _in(_I8), _in(_U4), _in(_F8), _I8, *_STATS, _out(_I8), _out(_U4), _out(_F8))
def _split(
    key: Ints, graph: Graphs, weight: Floats, at_least: int,
    key_out: Ints, count: Ints, graph_count: Ints, positive_count: Ints, half_count: Ints,
    weight_sum: Floats, weight_abs_sum: Floats, weight_sq_sum: Floats, half_weight_sum: Floats,
    weight_min: Floats, weight_max: Floats,
    key_rest: Ints, graph_rest: Graphs, weight_rest: Floats,
) -> int:  # fmt: skip
    """Runs of at least `at_least` rows -> statistics, other rows -> copies; how often a graph came after a higher one."""
    n = len(key)
    falls = np.int64(0)
    at = rest = start = uint64(0)
    end = uint64(n)
    while start < end:
        mine = key[start]
        stop = start + uint64(1)
        while stop < end and key[stop] == mine:
            stop += uint64(1)
        size = stop - start
        if size < uint64(at_least):
            for i in range(start, stop):
                key_rest[rest] = mine
                graph_rest[rest] = graph[i]
                weight_rest[rest] = weight[i]
                rest += uint64(1)
        else:
            value = weight[start]
            marked = graph[start]
            half = np.float64(1.0) if marked & 1 == 0 else np.float64(0.0)
            # One row: its value itself, as -0.0 + 0.0 is 0.0.
            total, absolute, square, of_half = value, abs(value), value * value, value * half
            low = high = value
            positive = np.int64(value > 0.0)
            halves = np.int64(marked & 1 == 0)
            graphs = np.int64(1)
            if size > uint64(1):
                total, of_half = total + 0.0, of_half + 0.0
                last = marked >> 1
                for i in range(start + uint64(1), stop):
                    value = weight[i]
                    marked = graph[i]
                    half = np.float64(1.0) if marked & 1 == 0 else np.float64(0.0)
                    total += value
                    absolute += abs(value)
                    square += value * value
                    of_half += value * half
                    if value <= low:
                        low = value
                    if value >= high:
                        high = value
                    positive += np.int64(value > 0.0)
                    halves += np.int64(marked & 1 == 0)
                    number = marked >> 1
                    graphs += np.int64(number != last)
                    falls += np.int64(number < last)
                    last = number
            key_out[at] = mine
            count[at] = size
            graph_count[at] = graphs
            positive_count[at] = positive
            half_count[at] = halves
            weight_sum[at] = total
            weight_abs_sum[at] = absolute
            weight_sq_sum[at] = square
            half_weight_sum[at] = of_half
            weight_min[at] = low
            weight_max[at] = high
            at += uint64(1)
        start = stop
    return int(falls)


@_compiled(_NONE, _in(_I8), _in(_U4), _I8, _I8, _out(_U4), _out(_I8))
def _distinct(key: Ints, graph: Graphs, at_least: int, lowest: int, stamp: Graphs, graph_count: Ints) -> None:
    """Distinct graphs of each run of at least `at_least` rows, in any order; stamp (graph numbers,) zeroed."""
    n = len(key)
    start, at = 0, 0
    while start < n:
        stop = start + 1
        while stop < n and key[stop] == key[start]:
            stop += 1
        if stop - start >= at_least:
            graphs = np.int64(0)
            for i in range(start, stop):
                number = uint64(np.int64(graph[i] >> 1) - lowest)
                if stamp[number] != at + 1:
                    stamp[number] = at + 1
                    graphs += 1
            graph_count[at] = graphs
            at += 1
        start = stop


def split_often(key: Ints, graph: Graphs, weight: Floats, at_least: int) -> tuple[KeyStats, Ints, Graphs, Floats]:
    """Statistics of the keys with at least `at_least` rows, and the rows of the others; rows sorted by key."""
    n = len(key)
    found = np.empty(3, np.int64)
    _count_runs(key, at_least, found)
    _, often, rows = found.tolist()
    stats = KeyStats(*(np.empty(often, np.float64 if name in FLOAT_COLUMNS else np.int64) for name in COLUMNS))
    rest = np.empty(n - rows, np.int64), np.empty(n - rows, np.uint32), np.empty(n - rows)
    outputs: tuple[Any, ...] = (*stats.columns().values(), *rest)
    if _split(key, graph, weight, at_least, *outputs):
        # Some key meets a lower graph after a higher one: count its graphs by stamps, one per graph number.
        lowest = int(graph.min()) >> 1
        slots = (int(graph.max()) >> 1) - lowest + 1
        if slots > STAMPS:
            return split_plainly(key, graph, weight, at_least)
        _distinct(key, graph, at_least, lowest, np.zeros(slots, np.uint32), stats.graph_count)
    return stats, *rest


_READ = (*(_in(_I8) for _ in range(5)), *(_in(_F8) for _ in range(6)))


@_compiled(_I8, *_READ, *_READ, *_STATS)
def _merge(
    key: Ints, count: Ints, graph_count: Ints, positive_count: Ints, half_count: Ints,
    weight_sum: Floats, weight_abs_sum: Floats, weight_sq_sum: Floats, half_weight_sum: Floats,
    weight_min: Floats, weight_max: Floats,
    key_2: Ints, count_2: Ints, graph_count_2: Ints, positive_count_2: Ints, half_count_2: Ints,
    weight_sum_2: Floats, weight_abs_sum_2: Floats, weight_sq_sum_2: Floats, half_weight_sum_2: Floats,
    weight_min_2: Floats, weight_max_2: Floats,
    key_out: Ints, count_out: Ints, graph_count_out: Ints, positive_count_out: Ints, half_count_out: Ints,
    weight_sum_out: Floats, weight_abs_sum_out: Floats, weight_sq_sum_out: Floats, half_weight_sum_out: Floats,
    weight_min_out: Floats, weight_max_out: Floats,
) -> int:  # fmt: skip
    """Two sorted statistics side by side -> their union; how many keys it has."""
    i = j = at = 0
    n, m = len(key), len(key_2)
    while i < n or j < m:
        first = i < n and (j == m or key[i] <= key_2[j])
        second = j < m and (i == n or key_2[j] <= key[i])
        if first:
            key_out[at] = key[i]
            count_out[at] = count[i]
            graph_count_out[at] = graph_count[i]
            positive_count_out[at] = positive_count[i]
            half_count_out[at] = half_count[i]
            weight_sum_out[at] = weight_sum[i]
            weight_abs_sum_out[at] = weight_abs_sum[i]
            weight_sq_sum_out[at] = weight_sq_sum[i]
            half_weight_sum_out[at] = half_weight_sum[i]
            weight_min_out[at] = weight_min[i]
            weight_max_out[at] = weight_max[i]
            i += 1
        if first and second:
            count_out[at] += count_2[j]
            graph_count_out[at] += graph_count_2[j]
            positive_count_out[at] += positive_count_2[j]
            half_count_out[at] += half_count_2[j]
            weight_sum_out[at] += weight_sum_2[j]
            weight_abs_sum_out[at] += weight_abs_sum_2[j]
            weight_sq_sum_out[at] += weight_sq_sum_2[j]
            half_weight_sum_out[at] += half_weight_sum_2[j]
            weight_min_out[at] = min(weight_min_out[at], weight_min_2[j])
            weight_max_out[at] = max(weight_max_out[at], weight_max_2[j])
            j += 1
        elif second:
            key_out[at] = key_2[j]
            count_out[at] = count_2[j]
            graph_count_out[at] = graph_count_2[j]
            positive_count_out[at] = positive_count_2[j]
            half_count_out[at] = half_count_2[j]
            weight_sum_out[at] = weight_sum_2[j]
            weight_abs_sum_out[at] = weight_abs_sum_2[j]
            weight_sq_sum_out[at] = weight_sq_sum_2[j]
            half_weight_sum_out[at] = half_weight_sum_2[j]
            weight_min_out[at] = weight_min_2[j]
            weight_max_out[at] = weight_max_2[j]
            j += 1
        at += 1
    return at


def merge_two(large: KeyStats, small: KeyStats) -> KeyStats:
    """Statistics of the union of two parts."""
    rows = len(large) + len(small)
    out = KeyStats(*(np.empty(rows, np.float64 if name in FLOAT_COLUMNS else np.int64) for name in COLUMNS))
    merge: Any = _merge
    columns = (np.ascontiguousarray(values) for part in (large, small) for values in part.columns().values())
    return out.slice(0, merge(*columns, *out.columns().values()))


@_compiled(_I8, _in(_I4), _in(_I4), _in(_I4), _in(_I4), _in(_F8), _out(_I8))
def _pack(source_layer: Any, source: Any, target_layer: Any, target: Any, weight: Floats, key: Ints) -> int:
    """Keys of rows; how many rows are out of range, huge or not finite."""
    bad = np.int64(0)
    for i in range(len(key)):
        a, b = np.int64(source_layer[i]), np.int64(source[i])
        c, d = np.int64(target_layer[i]), np.int64(target[i])
        # One negative or one bit too high shows in the or; NaN compares false.
        wrong = (((a | c) >> 7) | ((b | d) >> INDEX_BITS)) != 0
        bad += np.int64(wrong | (not abs(weight[i]) <= _MAX_WEIGHT))
        key[i] = a << 55 | b << NEURON_BITS | c << INDEX_BITS | d
    return int(bad)


def pack(source_layer: Any, source: Any, target_layer: Any, target: Any, weight: Floats) -> tuple[Ints, int]:
    """Keys (n,) of int32 columns, and how many rows do not count (the caller then looks closely, as `observe` does)."""
    key = np.empty(len(weight), np.int64)
    return key, _pack(source_layer, source, target_layer, target, weight, key)


@_compiled(_I8, _in(_I8), _in(_U4), _U8, _U8, _out(_U4), _out(_U4), _out(_U4), _out(_U4))
def _find_ends(
    key: Ints, graph: Graphs, base: int, width: int, stamp: Graphs, place: Graphs, neurons: Graphs, graphs: Graphs
) -> int:
    """Distinct (neuron, graph) in the order of the graphs; how many, or -1 where graphs do not ascend."""
    at = uint64(0)
    last = np.uint32(0)
    for i in range(len(key)):
        number = graph[i]
        if number < last:
            return -1
        last = number
        pair = uint64(key[i])
        left, right = (pair >> uint64(NEURON_BITS)) - base, (pair & uint64(LOW)) - base
        left = (left >> uint64(INDEX_BITS) << width) | (left & uint64(MAX_INDEX))
        right = (right >> uint64(INDEX_BITS) << width) | (right & uint64(MAX_INDEX))
        if stamp[left] != number + 1:
            stamp[left] = number + 1
            place[left] += 1
            neurons[at] = left
            graphs[at] = number
            at += uint64(1)
        if stamp[right] != number + 1:
            stamp[right] = number + 1
            place[right] += 1
            neurons[at] = right
            graphs[at] = number
            at += uint64(1)
    total = uint64(0)
    for i in range(len(place)):
        count = place[i]
        place[i] = total
        total += count
    return int(at)


@_compiled(_NONE, _in(_U4), _in(_U4), _U8, _U8, _out(_U4), _out(_U4), _out(_U4))
def _place_ends(
    neurons: Graphs, graphs: Graphs, base: int, width: int, place: Graphs, neuron_out: Graphs, graph_out: Graphs
) -> None:
    """Pairs into the places of their neurons; they come by graph, so that each neuron's graphs ascend."""
    mask = (uint64(1) << width) - uint64(1)
    for i in range(len(neurons)):
        local = uint64(neurons[i])
        at = place[local]
        place[local] += 1
        neuron_out[at] = ((local >> width << uint64(INDEX_BITS)) | (local & mask)) + base
        graph_out[at] = graphs[i]


def ends(key: Ints, graph: Graphs) -> tuple[Graphs, Graphs] | None:
    """Both ends of all rows as distinct (neuron, graph), sorted.

    None where the graphs do not ascend or the neurons are spread too far: sort them instead.
    """
    n = len(key)
    if not n:
        return np.empty(0, np.uint32), np.empty(0, np.uint32)
    found = np.empty(6, np.int64)
    _survey(key, found)
    low, high, index, low2, high2, index2 = found.tolist()
    squeeze = _squeeze(min(low, low2), max(high, high2), index | index2)
    if squeeze.bits > DENSE_BITS:
        return None
    stamp, place = np.zeros(1 << squeeze.bits, np.uint32), np.zeros(1 << squeeze.bits, np.uint32)
    neurons, owners = np.empty(2 * n, np.uint32), np.empty(2 * n, np.uint32)
    count = _find_ends(key, graph, squeeze.base, squeeze.width, stamp, place, neurons, owners)
    if count < 0:
        return None
    neuron_out, graph_out = np.empty(count, np.uint32), np.empty(count, np.uint32)
    _place_ends(neurons[:count], owners[:count], squeeze.base, squeeze.width, place, neuron_out, graph_out)
    return neuron_out, graph_out


@_compiled(_NONE, _in(_I8), _in(_U4), _out(_I8), _out(_I8), _out(_I8))
def _count_links(key: Ints, graph: Graphs, links: Ints, loops: Ints, backward: Ints) -> None:
    for i in range(len(key)):
        pair, number = key[i], graph[i]
        source, target = pair >> NEURON_BITS, pair & LOW
        links[number] += 1
        loops[number] += np.int64(source == target)
        backward[number] += np.int64(source >> INDEX_BITS >= target >> INDEX_BITS)


def count_links(key: Ints, graph: Graphs, graphs: int) -> tuple[Ints, Ints, Ints]:
    """Per graph (graphs,) its links, those from a neuron to itself, and those that do not go up a layer."""
    found = np.zeros(graphs, np.int64), np.zeros(graphs, np.int64), np.zeros(graphs, np.int64)
    _count_links(key, graph, *found)
    return found
