"""Scanner of the links of a graph file, from JSON text to arrays in one compiled pass without an object per link.

Four fifths of a graph file are links, `{"source": "4_17_3", "target": "9_2_5", "weight": 0.25}`. Read as objects, they
cost a structure, two texts and two lookups each. Here, every distinct id becomes one text. Links of any other form (an
escape in an id, another key, a number that is not JSON) are left to the caller, which reads them as objects. Numbers
are rounded like Python's `float`: by two fast methods that are provably exact (Clinger, "How to read floating point
numbers accurately", 1990; Lemire, "Number parsing at a gigabyte per second", 2021), or by `float` itself if neither
method decides.
"""

from __future__ import annotations

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from atlas.graphs.raw_links import LinkColumns
from atlas.runtime.jit import (
    F8,
    I4,
    I8,
    U1,
    U8,
    ByteArray,
    FloatArray,
    Int,
    Int32Array,
    IntArray,
    compiled_kernel,
    helper,
    in_,
    out,
    out_2d,
)

MAX_PROBES = 512  # more collisions are an attack; objects use Python's own hashes
MAX_ID = 256  # as `raw.MAX_ID`
_LEAST_LINK = 36  # bytes: {"source":"","target":"","weight":0}
_MOST_TEXT = 2**31 - 1  # bytes; positions are stored in 32 bits
_SMALLEST, _LARGEST = -348, 347  # powers of ten of the table
_EXACT_TENS = np.array([10.0**i for i in range(23)])
# Unsigned, like all positions and characters here: mixed with a signed number, numba would compute in floats.
_OPEN, _CLOSE, _START, _END, _COMMA, _QUOTE, _ESCAPE = (np.uint64(ord(sign)) for sign in '[]{},"\\')
_MINUS, _PLUS, _POINT, _E, _ZERO, _BLANK = (np.uint64(ord(sign)) for sign in "-+.e0 ")
_SMALL = np.uint64(32)  # the bit of lower-case letters
_PRINTABLE = np.uint64(ord("~") - ord(" "))
_NO, _ONE, _TEN = np.uint64(0), np.uint64(1), np.uint64(10)
_EXACT = np.uint64(1 << 53)
_MOST_DIGITS = np.uint64(19)
_MOST_ID = np.uint64(MAX_ID)
_SOURCE, _TARGET, _WEIGHT = (np.uint64(int.from_bytes(key, "big")) for key in (b'"source"', b'"target"', b'"weight"'))


def _powers_of_ten() -> NDArray[np.uint64]:
    """Return the first 128 bits of each 10^e, truncated, as (high, low) in row e - _SMALLEST."""
    table = np.empty((_LARGEST - _SMALLEST + 1, 2), np.uint64)
    for exponent in range(_SMALLEST, _LARGEST + 1):
        power = 10**exponent if exponent >= 0 else (1 << 1400) // 10**-exponent
        shift = power.bit_length() - 128
        bits = power >> shift if shift >= 0 else power << -shift
        table[exponent - _SMALLEST] = bits >> 64, bits & (1 << 64) - 1
    return table


_TENS = _powers_of_ten()


@helper
def _product(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Return the 128 bits of a product of 64-bit words, as (high, low)."""
    mask, half = uint64(0xFFFFFFFF), uint64(32)
    a0, a1, b0, b1 = a & mask, a >> half, b & mask, b >> half
    middle = a1 * b0 + (a0 * b0 >> half)
    other = (middle & mask) + a0 * b1
    return a1 * b1 + (middle >> half) + (other >> half), a * b


@helper
def _nearest(digits: np.uint64, exponent: Int) -> np.uint64:
    """Return the bits of the double nearest to digits * 10^exponent, 0 if 128 bits cannot tell (Lemire, section 5)."""
    nothing, one, tail = uint64(0), uint64(1), uint64(0x1FF)
    if digits == nothing or exponent < _SMALLEST or exponent > _LARGEST:
        return nothing
    word, zeros = digits, 0
    for step in (32, 16, 8, 4, 2, 1):
        if word >> uint64(64 - step) == nothing:
            word, zeros = word << uint64(step), zeros + step
    high, low = _product(word, _TENS[exponent - _SMALLEST, 0])
    if high & tail == tail and low + word < word:
        more, rest = _product(word, _TENS[exponent - _SMALLEST, 1])
        merged = low + more
        high += np.uint64(merged < low)
        if high & tail == tail and merged + one == nothing and rest + word < word:
            return nothing
        low = merged
    top = high >> uint64(63)
    mantissa = high >> (top + uint64(9))
    if low == nothing and high & tail == nothing and mantissa & uint64(3) == one:
        return nothing  # exactly between two doubles
    mantissa = (mantissa + (mantissa & one)) >> one
    power = (217706 * exponent >> 16) + 64 + 1023 - zeros - 1 + np.int64(top)
    if mantissa >> uint64(53):
        mantissa, power = mantissa >> one, power + 1
    if power < 1 or power >= 0x7FF:
        return nothing
    return uint64(power) << uint64(52) | mantissa & uint64((1 << 52) - 1)


@helper
def _blank(text: ByteArray, at: np.uint64) -> np.uint64:
    # In valid JSON, only white space is at or below the space character between values.
    while text[at] <= _BLANK:
        at += _ONE
    return at


@helper
def _digits(text: ByteArray, at: np.uint64, digits: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Read the digits from `at` on, appended to the value `digits`; return (end, value)."""
    digit = uint64(text[at]) - _ZERO
    while digit < _TEN:
        digits = digits * _TEN + digit
        at += _ONE
        digit = uint64(text[at]) - _ZERO
    return at, digits


@helper
def _number(text: ByteArray, start: np.uint64) -> tuple[np.uint64, np.uint64, np.int64, bool | np.bool]:
    """Read the number without sign at `start`; return (end, digits, exponent, True if the digits fit into a word)."""
    at, digits = _digits(text, start, uint64(0))
    length, exponent = at - start, np.int64(0)
    if text[at] == _POINT:
        at += _ONE
        point = at
        while digits == uint64(0) and text[at] == _ZERO:
            at += _ONE
        first = at
        length = length if digits != uint64(0) else uint64(0)  # zeros in front do not count
        at, digits = _digits(text, first, digits)
        length += at - first
        exponent = -np.int64(at - point)
    if text[at] | _SMALL == _E:
        at += _ONE
        minus = text[at] == _MINUS
        at += uint64(minus or text[at] == _PLUS)
        first = at
        at, stated = _digits(text, first, uint64(0))
        power = np.int64(stated) if at - first < _TEN else np.int64(100_000)
        exponent += -power if minus else power
    return at, digits, exponent, length <= _MOST_DIGITS


@helper
def _weigh(
    text: ByteArray, start: np.uint64, values: FloatArray, bits: NDArray[np.uint64], row: np.uint64
) -> tuple[np.uint64, bool]:
    """Store the number at `start`; return (end, True if its value is decided). The end is `start` without a number."""
    sign = uint64(text[start] == _MINUS)
    first = start + sign
    at, digits, exponent, fits = _number(text, first)
    if uint64(text[first]) - _ZERO >= _TEN:
        return start, False
    found = uint64(0)
    if fits and digits <= _EXACT and -22 <= exponent <= 22:
        value = np.float64(digits)
        values[row] = value * _EXACT_TENS[exponent] if exponent >= 0 else value / _EXACT_TENS[-exponent]
        bits[row] |= sign << uint64(63)
        return at, True
    if fits:
        found = _nearest(digits, exponent)
        bits[row] = found | sign << uint64(63)
    return at, found != uint64(0)


@helper
def _number_of(
    text: ByteArray, start: np.uint64, slots: Int32Array, ids: Int32Array, known: np.uint64
) -> tuple[np.uint64, np.uint64]:
    """Return (end, number) of the id at `start`. A new id gets the number `known`. The end is 0 for another form."""
    word, at = uint64(14695981039346656037), start
    last = min(uint64(len(text)), start + _MOST_ID)
    letter = uint64(text[at])
    while letter != _QUOTE:
        if letter - _BLANK > _PRINTABLE or letter == _ESCAPE or at == last:
            return _NO, known
        word = (word ^ letter) * uint64(1099511628211)
        at += _ONE
        letter = uint64(text[at])
    mask = uint64(len(slots) - 1)
    slot = (word ^ word >> uint64(29)) & mask
    for _ in range(MAX_PROBES):
        number = uint64(slots[slot])
        if number == uint64(0):
            slots[slot] = known + _ONE
            ids[known, 0], ids[known, 1] = start, at
            return at, known
        number -= _ONE
        first = uint64(ids[number, 0])
        if uint64(ids[number, 1]) - first == at - start:
            i = _NO
            while i < at - start and text[first + i] == text[start + i]:
                i += _ONE
            if i == at - start:
                return at, number
        slot = (slot + _ONE) & mask
    return _NO, known


@helper
def _key(text: ByteArray, at: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Return (start of the value, key) for `"source":` (0), `"target":` (1), `"weight":` (2) or another (3) at `at`."""
    word = _NO
    if at + uint64(9) < uint64(len(text)):
        for i in range(uint64(8)):
            word = word << uint64(8) | uint64(text[at + i])
    which = uint64(3)
    if word == _SOURCE:
        which = uint64(0)
    elif word == _TARGET:
        which = uint64(1)
    elif word == _WEIGHT:
        which = uint64(2)
    else:
        return at, which
    return _blank(text, _blank(text, at + uint64(8)) + _ONE), which


@helper
def _link(
    text: ByteArray,
    at: np.uint64,
    row: np.uint64,
    table: tuple[Int32Array, Int32Array, Int32Array],
    columns: tuple[Int32Array, FloatArray, NDArray[np.uint64]],
    counts: IntArray,
) -> np.uint64:
    """Read the object at `at` as link `row`; return the position after it, or 0 for another form."""
    slots, ids, hard = table
    ends, values, bits = columns
    seen, sign = _NO, _START
    while seen != uint64(7):
        if text[at] != sign:
            return _NO
        at, which = _key(text, _blank(text, at + _ONE))
        if which == uint64(3) or seen >> which & _ONE:
            return _NO
        seen, sign = seen | _ONE << which, _COMMA
        start = at
        if which == uint64(2):
            at, decided = _weigh(text, start, values, bits, row)
            if at == start:
                return _NO
            if not decided:
                if counts[1] == len(hard):
                    return _NO
                hard[counts[1], 0], hard[counts[1], 1], hard[counts[1], 2] = row, start, at
                counts[1] += 1
        else:
            if text[at] != _QUOTE:
                return _NO
            known = uint64(counts[0])
            at, number = _number_of(text, start + _ONE, slots, ids, known)
            if at == _NO:
                return _NO
            counts[0] += np.int64(number == known)
            ends[which, row] = number
            at += _ONE
        at = _blank(text, at)
    return at + _ONE if text[at] == _END else _NO


@compiled_kernel(I8, in_(U1), out(I4), out_2d(I4), out_2d(I4), out_2d(I4), out(F8), out(U8), out(I8))
def _scan(
    text: ByteArray,
    slots: Int32Array,
    ids: Int32Array,
    hard: Int32Array,
    ends: Int32Array,
    values: FloatArray,
    bits: NDArray[np.uint64],
    counts: IntArray,
) -> int:
    """Fill `ends` (2, n) and `values` (n,); return the number of links, or -1 for another form.

    `bits` shares the memory of `values`. `ids` (m, 2) receives start and end of each distinct id, `hard` (k, 3)
    receives link, start and end of each weight that is left to Python, and `counts` receives m and k. Positions are
    unsigned, because numba checks if signed indices count from the end.
    """
    n = uint64(len(text))
    # The text is valid JSON, so the closing bracket ends every loop below.
    if n < uint64(2) or text[0] != _OPEN or text[n - _ONE] != _CLOSE:
        return -1
    at, row = _blank(text, _ONE), _NO
    if text[at] == _CLOSE:
        return 0
    while row < uint64(len(values)):
        at = _link(text, at, row, (slots, ids, hard), (ends, values, bits), counts)
        if at == _NO:
            return -1
        row += _ONE
        at = _blank(text, at)
        if text[at] == _CLOSE:
            return int(row) if at == n - _ONE else -1
        if text[at] != _COMMA:
            return -1
        at = _blank(text, at + _ONE)
    return -1


def scan_links(text: memoryview) -> LinkColumns | None:
    """Return the links of a JSON array that is known to be valid, or None if it is not an array of plain links."""
    room = len(text) // _LEAST_LINK + 1
    if len(text) > _MOST_TEXT:
        return None
    slots = np.zeros(1 << (2 * room).bit_length(), np.int32)
    ids, hard = np.empty((2 * room, 2), np.int32), np.empty((room, 3), np.int32)
    ends, values, counts = np.empty((2, room), np.int32), np.empty(room), np.zeros(2, np.int64)
    found = _scan(np.frombuffer(text, np.uint8), slots, ids, hard, ends, values, values.view(np.uint64), counts)
    if found < 0:
        return None
    for row, start, end in hard[: counts[1]].tolist():
        values[row] = float(text[start:end].tobytes())
        if not np.isfinite(values[row]):
            return None  # 1e400: msgspec refuses it, and the tolerant reader counts it as dropped
    whole = bytes(text)
    texts = [whole[start:end].decode("ascii") for start, end in ids[: counts[0]].tolist()]
    return LinkColumns(texts, ends[0, :found], ends[1, :found], values[:found])
