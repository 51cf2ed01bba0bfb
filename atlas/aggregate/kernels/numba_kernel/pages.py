"""Encoding of integers for Parquet pages (DELTA_BINARY_PACKED), compiled by numba."""

from __future__ import annotations

import numpy as np
from numba import int64, uint8, uint64
from numpy.typing import NDArray

from atlas.graph import Ints
from atlas.runtime.jit import I8, U1, U8, compiled_kernel, in_, inlined, out

Bytes = NDArray[np.uint8]
_BLOCK, _MINIBLOCK = 128, 32
# Most bytes of a page beside its values: levels, header and padding of the last miniblock.
_EXTRA = 48 + 8 * _MINIBLOCK


@inlined
def _put_varint(data: Bytes, at: np.uint64, value: np.uint64) -> np.uint64:
    while value > uint64(127):
        data[at] = uint8(value & uint64(127) | uint64(128))
        value >>= uint64(7)
        at += uint64(1)
    data[at] = uint8(value)
    return at + uint64(1)


@inlined
def _put_word(data: Bytes, at: np.uint64, word: np.uint64) -> None:
    """Write the lower 32 bits of a word, the lowest byte first."""
    data[at] = uint8(word)
    data[at + uint64(1)] = uint8(word >> uint64(8))
    data[at + uint64(2)] = uint8(word >> uint64(16))
    data[at + uint64(3)] = uint8(word >> uint64(24))


@inlined
def _zigzag(value: np.int64) -> np.uint64:
    return uint64(value << int64(1)) ^ uint64(value >> int64(63))


@compiled_kernel(I8, in_(I8), U8, I8, I8, I8, out(I8), out(U1), out(I8), out(I8), out(I8), allocates=False)
def _encode(
    values: Ints, shift: int, mask: int, page_rows: int, levels: int, deltas: Ints, data: Bytes, ends: Ints,
    low: Ints, high: Ints,
) -> int:  # fmt: skip
    """Write pages of (values >> shift) & mask to `data`; return the number of bytes.

    ends, low and high receive the end, the minimum and the maximum of each page. With `levels`, each page begins with
    levels that say that no value is null. `deltas` is scratch of one block.
    """
    at = uint64(0)
    page = 0
    for start in range(0, len(values), page_rows):
        stop = min(start + page_rows, len(values))
        if levels:
            first = at + uint64(4)
            at = _put_varint(data, first, uint64(stop - start) << uint64(1))
            data[at] = uint8(1)
            at += uint64(1)
            _put_word(data, first - uint64(4), at - first)
        smallest = largest = (values[start] >> shift) & mask
        at = _put_varint(data, at, uint64(_BLOCK))
        at = _put_varint(data, at, uint64(_BLOCK // _MINIBLOCK))
        at = _put_varint(data, at, uint64(stop - start))
        at = _put_varint(data, at, _zigzag(smallest))
        for block in range(start + 1, stop, _BLOCK):
            rows = min(_BLOCK, stop - block)
            least = np.int64(0x7FFFFFFFFFFFFFFF)
            # Slices, because their indices are known to be positive, so that the loop is compiled to vectors.
            now, before = values[block : block + rows], values[block - 1 : block - 1 + rows]
            for i in range(rows):
                value = (now[i] >> shift) & mask
                delta = value - ((before[i] >> shift) & mask)
                deltas[i] = delta
                least = min(least, delta)
                smallest, largest = min(smallest, value), max(largest, value)
            at = _put_varint(data, at, _zigzag(least))
            widths = at
            at += uint64(_BLOCK // _MINIBLOCK)
            for mini in range(0, _BLOCK, _MINIBLOCK):
                count = min(_MINIBLOCK, rows - mini)
                mine = deltas[mini : mini + _MINIBLOCK]
                bits = uint64(0)
                for i in range(count):
                    mine[i] -= least
                    bits |= uint64(mine[i])
                width = uint64(0)
                while width < uint64(64) and bits >> width != uint64(0):
                    width += uint64(1)
                data[widths] = uint8(width)
                widths += uint64(1)
                if width == uint64(0):
                    continue
                end = at + uint64(_MINIBLOCK // 8) * width
                if width <= uint64(8):
                    # Eight values fit a word. What is written behind its used bytes is overwritten by what follows.
                    for i in range(count, _MINIBLOCK):
                        mine[i] = 0
                    for first in range(0, _MINIBLOCK, 8):
                        packed = uint64(0)
                        for i in range(8):
                            packed |= uint64(mine[first + i]) << (uint64(i) * width)
                        _put_word(data, at, packed)
                        _put_word(data, at + uint64(4), packed >> uint64(32))
                        at += width
                    continue
                word, used = uint64(0), uint64(0)
                # At most 32 bits of a value are added at once, so that they fit beside up to 31 that are not written.
                low_width = min(width, uint64(32))
                for i in range(count):
                    value_bits = uint64(mine[i])
                    word |= (value_bits & uint64(0xFFFFFFFF)) << used
                    used += low_width
                    if used >= uint64(32):
                        _put_word(data, at, word)
                        at += uint64(4)
                        word >>= uint64(32)
                        used -= uint64(32)
                    if width > uint64(32):
                        word |= (value_bits >> uint64(32)) << used
                        used += width - uint64(32)
                        if used >= uint64(32):
                            _put_word(data, at, word)
                            at += uint64(4)
                            word >>= uint64(32)
                            used -= uint64(32)
                while at < end:
                    _put_word(data, at, word)
                    at += uint64(4)
                    word = uint64(0)
        ends[page], low[page], high[page] = at, smallest, largest
        page += 1
    return int(at)


def encoded_pages(
    values: Ints, shift: int, mask: int, page_rows: int, *, levels: bool
) -> tuple[Bytes, Ints, Ints, Ints]:
    """Return (values >> shift) & mask as Parquet pages of `page_rows` rows, in the encoding DELTA_BINARY_PACKED.

    Args:
        values: Integers (n,), whose differences fit 64 bits.
        shift: Number of low bits to leave out.
        mask: Bits to keep after that; -1 for all.
        page_rows: Rows per page.
        levels: Begin each page with the levels of a nullable column without nulls.

    Returns:
        The bytes of all pages, and the end, the minimum and the maximum of each page, (n_pages,).
    """
    pages = -(-len(values) // page_rows)
    # Besides 8 bytes per value: 10 bytes of the smallest difference and 4 of widths per block.
    data = np.empty(len(values) * 8 + (len(values) // _BLOCK + pages) * 14 + pages * _EXTRA, np.uint8)
    ends, low, high = np.empty((3, pages), np.int64)
    size = _encode(values, shift, mask, page_rows, int(levels), np.empty(_BLOCK, np.int64), data, ends, low, high)
    return data[:size], ends, low, high
