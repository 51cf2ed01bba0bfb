"""Radix sort of observations by key, as packed words (key and row number in one integer)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from atlas.aggregate.kernels.key_stats import LOW
from atlas.graph import Floats, Ints
from atlas.ids import INDEX_BITS, MAX_INDEX, NEURON_BITS
from atlas.runtime.jit import F8, I8, NONE, U4, U8, compiled_kernel, in_, out

Words = NDArray[np.uint64]
Graphs = NDArray[np.uint32]
DIGIT = 13  # most bits per pass of the radix sort, for few rows
FEW = 1 << 21


class BitPacking(NamedTuple):
    """Packing of half a key into few bits: x = half - base; (x >> 24) << width | x & MAX_INDEX."""

    base: int
    width: int
    bits: int


@compiled_kernel(NONE, in_(I8), out(I8))
def key_bounds(key: Ints, found: Ints) -> None:
    """Write to `found` (6,) minimum, maximum and bitwise or of the indices, of sources and then of targets."""
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


def bit_packing(low: int, high: int, index_or: int) -> BitPacking:
    """Return the packing of units from `low` to `high`; `index_or` is the bitwise or of their indices."""
    width = index_or.bit_length()
    base = low >> INDEX_BITS << INDEX_BITS
    layers = (high - base >> INDEX_BITS).bit_length()
    span = (high - low).bit_length()
    return BitPacking(base, width, layers + width) if layers + width < span else BitPacking(low, INDEX_BITS, span)


def bit_packings(key: Ints) -> tuple[BitPacking, BitPacking]:
    """Return the packings of both halves of keys (n,), with n > 0."""
    found = np.empty(6, np.int64)
    key_bounds(key, found)
    values = found.tolist()
    return bit_packing(*values[:3]), bit_packing(*values[3:])


@compiled_kernel(NONE, in_(I8), I8, I8, I8, I8, I8, I8, out(I8))
def _pack_words(
    key: Ints, lbase: int, lwidth: int, rbase: int, rwidth: int, rbits: int, row_bits: int, words: Ints
) -> None:
    """Write words[i] = packed key << row_bits | i, or the packed key alone if row_bits is 0."""
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


@compiled_kernel(NONE, in_(U8), U8, U8, out(U4), out(U4))
def _digits(words: Words, shift: int, mask: int, place: Graphs, other: Graphs) -> None:
    """Write the first position of each digit of one pass to place (mask + 1,); `other` is scratch of the same size."""
    place[:] = 0
    other[:] = 0
    # Two tables, because equal digits often follow each other, and their increments would wait for each other.
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


@compiled_kernel(NONE, in_(U8), U8, U8, out(U4), out(U8))
def _scatter(words: Words, shift: int, mask: int, place: Graphs, target: Words) -> None:
    """Move words to the positions of their digits, in one stable pass."""
    for i in range(len(words)):
        word = words[i]
        d = (word >> shift) & mask
        target[place[d]] = word
        place[d] += 1


@compiled_kernel(NONE, in_(U8), in_(U4), U8, U8, out(U4), out(U8), out(U4))
def _scatter_rows(
    words: Words, rows: Graphs, shift: int, mask: int, place: Graphs, target: Words, target_rows: Graphs
) -> None:
    """Move words and their row numbers in one stable pass, for words without room for the row number."""
    for i in range(len(words)):
        word = words[i]
        d = (word >> shift) & mask
        at = place[d]
        target[at] = word
        target_rows[at] = rows[i]
        place[d] += 1


# One loop per column: gathering several columns in one loop takes three times as long, because they evict each other
# from the caches.
@compiled_kernel(NONE, in_(U8), U8, in_(U4), out(U4))
def _gather_graph(words: Words, mask: int, graph: Graphs, out: Graphs) -> None:
    """Write out[i] = graph[words[i] & mask]."""
    for i in range(len(words)):
        out[i] = graph[words[i] & mask]


@compiled_kernel(NONE, in_(U8), U8, in_(F8), out(F8))
def _gather_weight(words: Words, mask: int, weight: Floats, out: Floats) -> None:
    """Write out[i] = weight[words[i] & mask]."""
    for i in range(len(words)):
        out[i] = weight[words[i] & mask]


@compiled_kernel(NONE, out(I8), I8, I8, I8, I8, I8, I8)
def _unpack_words(words: Ints, lbase: int, lwidth: int, rbase: int, rwidth: int, rbits: int, row_bits: int) -> None:
    """Undo `_pack_words` in place."""
    lmask, rmask = (np.int64(1) << lwidth) - 1, (np.int64(1) << rwidth) - 1
    low = (np.int64(1) << rbits) - 1
    for i in range(len(words)):
        word = words[i] >> row_bits
        left, right = word >> rbits, word & low
        left = ((left >> lwidth << INDEX_BITS) | (left & lmask)) + lbase
        right = ((right >> rwidth << INDEX_BITS) | (right & rmask)) + rbase
        words[i] = left << NEURON_BITS | right


def _passes(bits: int, most: int) -> tuple[int, int]:
    """Return the number of passes of a radix sort over `bits` bits, and the bits per pass."""
    passes = max(-(-bits // most), 1)
    return passes, max(-(-bits // passes), 1)


def sort_rows(key: Ints, graph: Graphs, weight: Floats) -> tuple[Ints, Graphs, Floats]:
    """Return the three arrays (n,) sorted by key, with a stable radix sort of packed words."""
    n = len(key)
    if not n:
        return np.empty(0, np.int64), np.empty(0, np.uint32), np.empty(0)
    left, right = bit_packings(key)
    bits = left.bits + right.bits
    row_bits = (n - 1).bit_length()
    passes, digit = _passes(bits, DIGIT if n <= FEW else DIGIT - 3)
    mask, fits = (1 << digit) - 1, bits + row_bits <= 63
    squeezed = left.base, left.width, right.base, right.width, right.bits
    first = row_bits if fits else 0
    words, other, graph_out = np.empty(n, np.uint64), np.empty(n, np.uint64), np.empty(n, np.uint32)
    place, scratch = np.empty(1 << digit, np.uint32), np.empty(1 << digit, np.uint32)
    _pack_words(key, *squeezed, first, words.view(np.int64))
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
    _unpack_words(key_out, *squeezed, first)
    return key_out, graph_out, weight_out


def sort_words(words: Ints) -> Ints:
    """Return non-negative words (n,) in ascending order, with a radix sort of the bits that they use."""
    n = len(words)
    passes, digit = _passes(int(words.max(initial=0)).bit_length(), DIGIT if n <= FEW else DIGIT - 3)
    mask = (1 << digit) - 1
    place, scratch = np.empty(1 << digit, np.uint32), np.empty(1 << digit, np.uint32)
    ordered, other = np.ascontiguousarray(words).view(np.uint64), np.empty(n, np.uint64)
    for i in range(passes):
        _digits(ordered, i * digit, mask, place, scratch)
        _scatter(ordered, i * digit, mask, place, other)
        ordered, other = other, ordered
    return ordered.view(np.int64)
