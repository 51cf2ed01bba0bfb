"""Compiled conversion of the entries of checkpoint dictionaries to columns.

A neuron is a pair of numbers (5, 100), of text and number ("L5", 100), or one text "L5|100" or "L5_100"; an edge is four
of these numbers, or "L5|100|L10|200". A layer "E" or "L" is the embedding or the logits.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from atlas.ids import LAYER_BITS, MAX_INDEX, MAX_LAYER
from atlas.importers.pickle_stream.opcodes import FLOAT, INT, KEPT, LIST, TEXT, TUPLE
from atlas.runtime.jit import (
    F8,
    I4,
    I8,
    U1,
    ByteArray,
    FloatArray,
    Int,
    Int32Array,
    IntArray,
    compiled_kernel,
    out,
    out_2d,
)

_kernel = partial(compiled_kernel, allocates=False)

# Classes of entries; counts are in this order.
VALID, SKIPPED, MALFORMED = 0, 1, 2
MAX_LINKS = 1 << 40  # of one edge; their sum fits 64 bits
_NO, _TOKEN = -2, -1  # instead of a layer or an index: an invalid one; E or L


@_kernel(I8, out(U1), I8, I8, I8)
def _number(letters: ByteArray, start: Int, end: Int, is_layer: Int) -> Int:
    """Parse a number. A layer may have the prefix L, or be E or L alone; an index may have the prefix N."""
    if is_layer and end > start and (letters[start] == 76 or letters[start] == 69):
        if end == start + 1:
            return _TOKEN
        if letters[start] == 69:
            return _NO
        start += 1
    elif not is_layer and end > start and letters[start] == 78:
        start += 1
    if not 0 < end - start <= 12:
        return _NO
    value = np.int64(0)
    for i in range(start, end):
        digit = np.int64(letters[i]) - 48
        if not 0 <= digit <= 9:
            return _NO
        value = value * 10 + digit
    return int(value)


@_kernel(I8, out_2d(I8), I8, out(U1), out(U1), out(I8), I8)
def _part(rows: IntArray, at: Int, letters: ByteArray, texts: ByteArray, ends: IntArray, is_layer: Int) -> Int:
    """Return the layer or index in one row, `_NO` or `_TOKEN`."""
    tag, a, b = rows[at, 0], rows[at, 1], rows[at, 2]
    if tag == INT:
        return a if a >= 0 else _NO
    if tag == TEXT:
        return _number(letters, a, a + b, is_layer)
    if tag == KEPT:
        return _number(texts, ends[a], ends[a + 1], is_layer)
    return _NO


@_kernel(I8, out(U1), I8, I8, I8, out(I8))
def _split(letters: ByteArray, start: Int, end: Int, count: Int, found: IntArray) -> Int:
    """Write the numbers of a text key to `found`; return 1 where it has another form, else 0."""
    part, begin = np.int64(0), start
    for i in range(start, end + 1):
        if i == end or letters[i] == 124 or letters[i] == 95:  # | or _
            if part == count:
                return 1
            found[part] = _number(letters, begin, i, np.int64(part % 2 == 0))
            part += 1
            begin = i + 1
    return np.int64(part != count)


@_kernel(I8, out_2d(I8), I8, out_2d(I8), out(U1), out(U1), out(I8), I8, out(I8))
def _key(
    rows: IntArray,
    at: Int,
    arena: IntArray,
    letters: ByteArray,
    texts: ByteArray,
    ends: IntArray,
    count: Int,
    found: IntArray,
) -> Int:
    """Write the numbers of a key to `found`; return VALID, SKIPPED (a token) or MALFORMED."""
    tag, a, b = rows[at, 0], rows[at, 1], rows[at, 2]
    wrong: Int = np.int64(0)
    if tag == TUPLE and b == count:
        for i in range(count):
            found[i] = _part(arena, a + i, letters, texts, ends, np.int64(i % 2 == 0))
    elif tag == TEXT:
        wrong = _split(letters, a, a + b, count, found)
    elif tag == KEPT:
        wrong = _split(texts, ends[a], ends[a + 1], count, found)
    else:
        return MALFORMED
    if wrong:
        return MALFORMED
    is_token = np.int64(0)
    for i in range(count):
        is_token |= np.int64(i % 2 == 0 and found[i] == _TOKEN)
    if is_token:
        return SKIPPED
    for i in range(count):
        if not 0 <= found[i] <= (MAX_INDEX if i % 2 else MAX_LAYER):
            return MALFORMED
    return VALID


@_kernel(I8, out_2d(I8), I8, out_2d(F8), out_2d(I8), I8, I8)
def _write_double(rows: IntArray, at: Int, values: FloatArray, bits: IntArray, i: Int, j: Int) -> Int:
    """Write a number as a double to `values`, whose bits are `bits`; return 1 where it is not a finite number."""
    if rows[at, 0] == INT:
        values[i, j] = rows[at, 1]
    elif rows[at, 0] == FLOAT:
        bits[i, j] = rows[at, 1]
    else:
        return 1
    return int(not np.isfinite(values[i, j]))


@_kernel(I8, out(U1), I8, I8)
def _mark(bits: ByteArray, layer: Int, index: Int) -> Int:
    place = index << LAYER_BITS | layer  # real models touch only the first pages
    bits[place >> 3] |= np.uint8(1 << (place & 7))
    return 0


@_kernel(
    I8,
    out_2d(I8),
    I8,
    I8,
    out_2d(I8),
    out(U1),
    out(U1),
    out(I8),
    out_2d(I4),
    out(I8),
    out_2d(F8),
    out_2d(I8),
    out(U1),
    out(I8),
    out(I8),
    I8,
)
def edges(
    stack: IntArray, first: Int, rows: Int, arena: IntArray, letters: ByteArray, texts: ByteArray, ends: IntArray, ids: Int32Array, counts: IntArray, sums: FloatArray,
    bits: IntArray, seen: ByteArray, tally: IntArray, found: IntArray, at: Int,
) -> Int:  # fmt: skip
    """Write edges from row `at` on and return the row after the last; mark both ends of each edge in `seen`.

    Outputs are `ids` (4, n), `counts` (n,), and `sums` (5, n) with its `bits`.
    """
    for row in range(first, first + rows, 2):
        kind = _key(stack, row, arena, letters, texts, ends, 4, found)
        tag, start, length = stack[row + 1, 0], stack[row + 1, 1], stack[row + 1, 2]
        if tag == LIST and start >= 0:
            # A list of one chunk, whose head holds the length.
            length = arena[start, 0] if arena[start, 1] < 0 else -1
            start += 1
        elif tag != TUPLE:
            length = -1
        if kind == VALID and (length != 6 or arena[start, 0] != INT or not 1 <= arena[start, 1] <= MAX_LINKS):
            kind = MALFORMED
        if kind == VALID:
            for i in range(5):
                if _write_double(arena, start + 1 + i, sums, bits, i, at):
                    kind = MALFORMED
        tally[kind] += 1
        if kind == VALID:
            for i in range(4):
                ids[i, at] = found[i]
            _mark(seen, found[0], found[1])
            _mark(seen, found[2], found[3])
            counts[at] = arena[start, 1]
            at += 1
    return at


@_kernel(
    I8, out_2d(I8), I8, I8, out_2d(I8), out(U1), out(U1), out(I8), out_2d(I4), out(I8), out(U1), out(I8), out(I8), I8
)
def neurons(
    stack: IntArray, first: Int, rows: Int, arena: IntArray, letters: ByteArray, texts: ByteArray, ends: IntArray, ids: Int32Array, counts: IntArray, seen: ByteArray,
    tally: IntArray, found: IntArray, at: Int,
) -> Int:  # fmt: skip
    """Write neurons and their numbers of graphs, `ids` (2, n) and `counts` (n,), from row `at` on.

    Returns the row after the last.
    """
    for row in range(first, first + rows, 2):
        kind = _key(stack, row, arena, letters, texts, ends, 2, found)
        if kind == VALID and (stack[row + 1, 0] != INT or stack[row + 1, 1] < 0):
            kind = MALFORMED
        tally[kind] += 1
        if kind == VALID:
            ids[0, at], ids[1, at], counts[at] = found[0], found[1], stack[row + 1, 1]
            _mark(seen, found[0], found[1])
            at += 1
    return at


@_kernel(I8, out_2d(I8), I8, out_2d(I8), out_2d(I8), I8)
def _graph(rows: IntArray, at: Int, arena: IntArray, graphs: IntArray, to: Int) -> Int:
    """Write (tag, a, b of the file's name, corpus index or -1) of one appearance; return 1 where it is malformed."""
    tag, a, b = rows[at, 0], rows[at, 1], rows[at, 2]
    graphs[to, 3] = -1
    if tag == TUPLE or (tag == LIST and a >= 0):
        start = a if tag == TUPLE else a + 1
        if (b if tag == TUPLE else arena[a, 0]) != 2:
            return 1
        if arena[start + 1, 0] == INT:
            graphs[to, 3] = arena[start + 1, 1]
        tag, a, b = arena[start, 0], arena[start, 1], arena[start, 2]
    if tag != TEXT and tag != KEPT:
        return 1
    graphs[to, 0], graphs[to, 1], graphs[to, 2] = tag, a, b
    return 0


@_kernel(I8, out_2d(I8), I8, I8, I8, out_2d(I8), out(U1), out(U1), out(I8), out_2d(I4), out_2d(I8), out(I8), out(I8))
def appearances(
    stack: IntArray, key: Int, first: Int, rows: Int, arena: IntArray, letters: ByteArray, texts: ByteArray, ends: IntArray, ids: Int32Array, graphs: IntArray,
    tally: IntArray, found: IntArray,
) -> Int:  # fmt: skip
    """Write appearances of neurons in graphs, `ids` (2, n) and `graphs` (n, 4).

    Returns their number, or -1 where the arrays are too small. With `key` >= 0 the rows are items of one long list,
    whose key is in row `key`; otherwise keys and lists alternate.
    """
    at = 0
    for row in range(first, first + rows, 1 if key >= 0 else 2):
        kind = _key(stack, key if key >= 0 else row, arena, letters, texts, ends, 2, found)
        chunk = np.int64(-1)
        if key < 0 and stack[row + 1, 0] == LIST:
            chunk = stack[row + 1, 1]
        elif key < 0 and kind == VALID:
            kind = MALFORMED
        if kind != VALID:
            tally[kind] += 1
            continue
        source, here, left = stack, np.int64(row), np.int64(1)
        if key < 0:
            source, here, left = arena, chunk + 1, arena[chunk, 0] if chunk >= 0 else np.int64(0)
        while left:
            if at >= len(graphs):
                return -1
            wrong = _graph(source, here, arena, graphs, at)
            tally[MALFORMED if wrong else VALID] += 1
            if not wrong:
                ids[0, at], ids[1, at] = found[0], found[1]
                at += 1
            left -= 1
            here += 1
            if not left and key < 0 and arena[chunk, 1] >= 0:
                chunk = arena[chunk, 1]
                here, left = chunk + 1, arena[chunk, 0]
    return at
