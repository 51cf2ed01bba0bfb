"""Encoding of integers for Parquet pages (DELTA_BINARY_PACKED), compiled by numba."""

from __future__ import annotations

import numpy as np
from numba import int64, uint8, uint64
from numpy.typing import NDArray

from atlas.graph import Ints
from atlas.runtime.jit import I8, U1, U8, compiled_kernel, in_, inlined, out

Bytes = NDArray[np.uint8]
BLOCK, MINIBLOCKS = 128, 4  # values per block, and parts of a block with a width of their own
_PART = BLOCK // MINIBLOCKS
_SLACK = 8 * _PART  # bytes for the padding of the last miniblock


@inlined
def _put_word(data: Bytes, at: np.uint64, word: np.uint64) -> None:
    """Write the lower 32 bits of a word, the lowest byte first."""
    data[at] = uint8(word)
    data[at + uint64(1)] = uint8(word >> uint64(8))
    data[at + uint64(2)] = uint8(word >> uint64(16))
    data[at + uint64(3)] = uint8(word >> uint64(24))


@inlined
def _put_least(data: Bytes, at: np.uint64, value: np.int64) -> np.uint64:
    """Write a signed number as a zigzag varint; return the place behind it."""
    left = uint64(value << int64(1)) ^ uint64(value >> int64(63))
    while left > uint64(127):
        data[at] = uint8(left & uint64(127) | uint64(128))
        left >>= uint64(7)
        at += uint64(1)
    data[at] = uint8(left)
    return at + uint64(1)


@inlined
def _put_narrow(values: Ints, width: np.uint64, data: Bytes, at: np.uint64) -> None:
    """Pack values of at most eight bits. Eight fit one word; the next one overwrites its unused bytes."""
    for first in range(0, _PART, 8):
        word = uint64(0)
        for i in range(8):
            word |= uint64(values[first + i]) << (uint64(i) * width)
        _put_word(data, at, word)
        _put_word(data, at + uint64(4), word >> uint64(32))
        at += width


@inlined
def _put_wide(values: Ints, width: np.uint64, data: Bytes, at: np.uint64) -> None:
    """Pack values of any width."""
    word, used = uint64(0), uint64(0)
    for i in range(_PART):
        left, bits = uint64(values[i]), width
        while bits > uint64(0):
            # At most 32 bits are added at once, so that they fit beside up to 31 that are not written yet.
            some = min(bits, uint64(32))
            word |= (left & uint64(0xFFFFFFFF)) << used
            used += some
            if used >= uint64(32):
                _put_word(data, at, word)
                at += uint64(4)
                word >>= uint64(32)
                used -= uint64(32)
            left >>= some
            bits -= some


@compiled_kernel(I8, in_(I8), U8, I8, out(I8), out(U1), out(I8), allocates=False)
def _pack_blocks(values: Ints, shift: int, mask: int, deltas: Ints, data: Bytes, bounds: Ints) -> int:
    """Write the blocks of (values >> shift) & mask to `data`, and its minimum and maximum to `bounds`; return the size.

    `deltas` (BLOCK,) is scratch.
    """
    at = uint64(0)
    smallest = largest = (values[0] >> shift) & mask
    for block in range(1, len(values), BLOCK):
        rows = min(BLOCK, len(values) - block)
        least = np.int64(0x7FFFFFFFFFFFFFFF)
        # Slices, because their indices are known to be positive, so that the loop is compiled to vectors.
        now, before = values[block : block + rows], values[block - 1 : block - 1 + rows]
        for i in range(rows):
            value = (now[i] >> shift) & mask
            delta = value - ((before[i] >> shift) & mask)
            deltas[i] = delta
            least = min(least, delta)
            smallest, largest = min(smallest, value), max(largest, value)
        deltas[rows:] = least
        at = _put_least(data, at, least)
        widths = at
        at += uint64(MINIBLOCKS)
        for part in range(MINIBLOCKS):
            mine = deltas[part * _PART : (part + 1) * _PART]
            bits, width = uint64(0), uint64(0)
            for i in range(_PART):
                mine[i] -= least
                bits |= uint64(mine[i])
            while width < uint64(64) and bits >> width != uint64(0):
                width += uint64(1)
            data[widths + uint64(part)] = uint8(width)
            if width > uint64(8):
                _put_wide(mine, width, data, at)
            elif width > uint64(0):
                _put_narrow(mine, width, data, at)
            at += uint64(_PART // 8) * width
    bounds[0], bounds[1] = smallest, largest
    return int(at)


def packed_differences(values: Ints, shift: int, mask: int) -> tuple[Bytes, int, int]:
    """Return the blocks of (values >> shift) & mask in the encoding DELTA_BINARY_PACKED, without its header.

    Args:
        values: Integers (n,), with n > 0, whose differences fit 64 bits.
        shift: Number of low bits to leave out.
        mask: Bits to keep after that; -1 for all.

    Returns:
        The bytes of the blocks, the minimum and the maximum.
    """
    # Besides 8 bytes per value: 10 bytes of the smallest difference and 4 of widths per block.
    data = np.empty(len(values) * 8 + (len(values) // BLOCK + 1) * 14 + _SLACK, np.uint8)
    bounds = np.empty(2, np.int64)
    size = _pack_blocks(values, shift, mask, np.empty(BLOCK, np.int64), data, bounds)
    return data[:size], int(bounds[0]), int(bounds[1])
