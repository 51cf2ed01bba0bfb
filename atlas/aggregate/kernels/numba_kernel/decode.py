"""Decoding of Parquet pages without nulls, compiled by numba.

The pages of one column chunk are found by `page_headers`. Values are decoded straight into their column: Arrow fills bitmaps
of nulls for columns that could hold some, and copies dictionaries' values twice. Every read is checked against the end of
the bytes, so that a damaged file gives an error code and is left to Arrow, which says what is wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int64, uint64
from numpy.typing import NDArray

from atlas.graph import Ints
from atlas.runtime.jit import I4, I8, U1, compiled_kernel, helper, in_, inlined, out

Bytes = NDArray[np.uint8]
# Columns of a page's row in the table of `page_headers`.
KIND, SIZE, PACKED_SIZE, START, ROWS, ENCODING, LEVEL_BYTES, IS_PACKED = range(8)
FACTS = 8
DATA, DICTIONARY, DATA_2 = 0, 2, 3  # kinds of pages
_PLAIN, _PLAIN_DICTIONARY, _RLE_DICTIONARY = 0, 2, 8
# Kinds of fields in Thrift's compact protocol, and the field of a header that describes a data page of version 2.
_TRUE, _FALSE, _I16, _I64, _BYTES, _STRUCT = 1, 2, 4, 6, 8, 12
_DATA_HEADER, _DATA_HEADER_2 = 5, 8
_CHECKSUM, _RLE = 4, 3  # field of the checksum, which Arrow tests; encoding of levels
_DEPTH = 8  # most structs within each other in a header


@helper
def _varint(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return the number in groups of seven bits at `at`, and the place behind it, or -1 for the place."""
    value, shift = int64(0), int64(0)
    while at < end and shift < 63:
        byte = int64(data[at])
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return int(value), at
        shift += 7
    return 0, -1


@helper
def _value(data: Bytes, at: int, end: int, kind: int) -> tuple[int, int]:
    """Return the value of a field of a kind, and the place behind it, or -1 for the place."""
    if kind == _TRUE or kind == _FALSE:
        return int(kind == _TRUE), at
    if kind >= _I16 and kind <= _I64:
        number, at = _varint(data, at, end)
        return (number >> 1) ^ -(number & 1), at
    if kind == _BYTES:
        length, at = _varint(data, at, end)
        return 0, at + length if at >= 0 and length <= end - at else -1
    return 0, at if kind == _STRUCT else -1  # no page header holds doubles, lists or maps


@helper
def _note(found: Ints, page: int, field: int, value: int) -> bool:
    """Note a field of the header, or of the struct `page` in it; return False if Arrow has to read the page."""
    if page == 0 and field == _CHECKSUM:
        return False
    if page == 0 and field >= 1 and field <= 3:
        found[field - 1] = value  # KIND, SIZE, PACKED_SIZE
    elif page != 0 and field == 1:
        found[ROWS] = value
    elif page == _DATA_HEADER_2:
        if field == 2:
            return value == 0
        if field == 4:
            found[ENCODING] = value
        elif field == 5 or field == 6:
            found[LEVEL_BYTES] += value
        elif field == 7:
            found[IS_PACKED] = value
    elif page != 0 and field == 2:
        found[ENCODING] = value
    elif page == _DATA_HEADER and field == 3:
        return value == _RLE
    return True


@helper
def _one_header(data: Bytes, at: int, end: int, last: Ints, inside: Ints, found: Ints) -> int:
    """Read one page header, a struct in Thrift's compact protocol; return the place behind it, or -1.

    `last` and `inside` (_DEPTH,) are scratch: the last field of each open struct, and the field that it stands in.
    """
    found[:] = 0
    found[IS_PACKED] = 1
    depth = 0
    last[0] = inside[0] = 0
    while at >= 0 and at < end:
        byte = int64(data[at])
        at += 1
        if byte == 0:
            if depth == 0:
                return at
            depth -= 1
            continue
        kind = byte & 15
        field = last[depth] + (byte >> 4)
        if byte >> 4 == 0:
            field, at = _value(data, at, end, _I16)
        last[depth] = field
        if at < 0:
            return -1
        value, at = _value(data, at, end, kind)
        if kind == _STRUCT:
            depth += 1
            if depth == _DEPTH:
                return -1
            last[depth], inside[depth] = 0, field
        elif depth < 2 and not _note(found, inside[depth], field, value):
            return -1
    return -1


@compiled_kernel(I8, in_(U1), I8, I8, out(I8), out(I8), out(I8), out(I8))
def _page_headers(data: Bytes, rows: int, whole: int, table: Ints, found: Ints, last: Ints, inside: Ints) -> int:
    """Write one row of facts per page to `table` until it has `rows` values; return the number of pages, or -1."""
    at, pages, seen = 0, 0, 0
    while seen < rows:
        if (pages + 1) * FACTS > len(table):
            return -1
        at = _one_header(data, at, len(data), last, inside, found)
        size, unpacked, count = found[PACKED_SIZE], found[SIZE], found[ROWS]
        if at < 0 or size < 0 or unpacked < 0 or count < 0 or size > len(data) - at:
            return -1
        found[START] = at
        at += size
        if found[KIND] == DATA or found[KIND] == DATA_2:
            if found[LEVEL_BYTES] < 0 or found[LEVEL_BYTES] > size or count == 0:
                return -1
            seen += count
        elif found[KIND] != DICTIONARY:
            return -1
        for i in range(FACTS):
            table[pages * FACTS + i] = found[i]
        pages += 1
    # A damaged header can end early, and be followed by others that are made of values.
    return -1 if whole and (seen != rows or at != len(data)) else pages


def page_headers(data: Bytes, rows: int, *, whole: bool = False) -> Ints | None:
    """Return the facts about the first pages of a column chunk, (n_pages, 8), or None if they cannot be decoded here.

    Args:
        data: Bytes of the column chunk, or the first of them.
        rows: Number of values that the pages must hold.
        whole: `data` is the whole chunk and holds `rows` values.
    """
    # A page takes more than 16 bytes, but usually holds thousands of values.
    table = np.empty(FACTS * min(len(data) // 16 + 1, rows // 64 + 64), np.int64)
    count = _page_headers(
        data, rows, int(whole), table, *(np.zeros(size, np.int64) for size in (FACTS, _DEPTH, _DEPTH))
    )
    return None if count < 0 else table[: count * FACTS].reshape(-1, FACTS)


@compiled_kernel(I8, in_(U1), I8, I8)
def behind_levels(data: Bytes, at: int, rows: int) -> int:
    """Return the place behind the levels of a page in the first version of the format, or -1 if a value is null."""
    end = len(data)
    if end - at < 4:
        return -1
    length = int64(data[at]) | int64(data[at + 1]) << 8 | int64(data[at + 2]) << 16 | int64(data[at + 3]) << 24
    at += 4
    if length > end - at:
        return -1
    end = at + length
    seen = int64(0)
    while seen < rows:
        header, at = _varint(data, at, end)
        if at < 0 or at >= end:
            return -1
        count = header >> 1
        if header & 1:
            if count > end - at:
                return -1
            for i in range(count):
                left = rows - seen - 8 * i  # values of this group; later bits are padding
                wanted = 255 if left >= 8 else (1 << (left if left > 0 else 0)) - 1
                if int64(data[at]) & wanted != wanted:
                    return -1
                at += 1
            seen += 8 * count
        else:
            if data[at] != 1:
                return -1
            at += 1
            seen += count
    return int(end)


@inlined
def _word(data: Bytes, at: np.uint64) -> np.uint64:
    """Return the eight bytes at `at` as a number."""
    word: np.uint64 = (
        uint64(data[at])
        | uint64(data[at + uint64(1)]) << uint64(8)
        | uint64(data[at + uint64(2)]) << uint64(16)
        | uint64(data[at + uint64(3)]) << uint64(24)
        | uint64(data[at + uint64(4)]) << uint64(32)
        | uint64(data[at + uint64(5)]) << uint64(40)
        | uint64(data[at + uint64(6)]) << uint64(48)
        | uint64(data[at + uint64(7)]) << uint64(56)
    )
    return word


@inlined
def _last_word(data: Bytes, at: np.uint64) -> np.uint64:
    """Return the bytes from `at` on as a number; those behind the end are zero."""
    word: np.uint64 = uint64(0)
    for i in range(8):
        if at + uint64(i) < uint64(len(data)):
            word |= uint64(data[at + uint64(i)]) << uint64(8 * i)
    return word


@inlined
def _unpack(data: Bytes, at: int, width: np.uint64, dictionary: NDArray[Any], found: NDArray[Any]) -> np.uint64:
    """Write dictionary[index] for packed indices of `width` bits each; return the largest index."""
    mask, known = (uint64(1) << width) - uint64(1), uint64(len(dictionary))
    first, bit, largest = uint64(at), uint64(0), uint64(0)
    # For these, eight bytes can be read at once.
    room = 8 * (len(data) - at - 8)
    whole = min(len(found), room // (int64(width) + int64(width == uint64(0)))) if room > 0 else 0
    for i in range(whole):
        index = (_word(data, first + (bit >> uint64(3))) >> (bit & uint64(7))) & mask
        bit += width
        largest = max(largest, index)
        # An index that is too large reads the first value here; the caller then rejects the page.
        found[i] = dictionary[index if index < known else uint64(0)]
    for i in range(whole, len(found)):
        index = (_last_word(data, first + (bit >> uint64(3))) >> (bit & uint64(7))) & mask
        bit += width
        largest = max(largest, index)
        found[i] = dictionary[index if index < known else uint64(0)]
    return largest


def _decode(data: Bytes, at: int, dictionary: NDArray[Any], found: NDArray[Any]) -> int:
    """Write dictionary[index] for each index of a page; return 0, or -1 if the page is damaged.

    Args:
        data: Unpacked bytes of the page.
        at: Place of its indices: their width in bits, then runs of one index and groups of packed ones.
        dictionary: Values of the dictionary page.
        found: Receives the values.
    """
    rows, end, known = len(found), len(data), uint64(len(dictionary))
    if at >= end or known == uint64(0) or data[at] > 32:
        return -1
    width = uint64(data[at])
    at += 1
    done = 0
    while done < rows:
        header, at = _varint(data, at, end)
        runs = header >> 1
        packed = header & 1
        # A group is eight indices; a run is one index in whole bytes.
        if packed and runs > end:
            return -1
        size = runs * int64(width) if packed else (int64(width) + 7) >> 3
        count = min(runs << 3 if packed else runs, rows - done)
        if at < 0 or count <= 0 or size < 0 or size > end - at:
            return -1
        if packed:
            if _unpack(data, at, width, dictionary, found[done : done + count]) >= known:
                return -1
        else:
            index = _last_word(data, uint64(at)) & ((uint64(1) << uint64(8 * size)) - uint64(1))
            if index >= known:
                return -1
            found[done : done + count] = dictionary[index]
        at += size
        done += count
    return 0


_decode_4 = compiled_kernel(I8, in_(U1), I8, in_(I4), out(I4))(_decode)
_decode_8 = compiled_kernel(I8, in_(U1), I8, in_(I8), out(I8))(_decode)


def decode_page(body: Bytes, at: int, rows: int, encoding: int, dictionary: Bytes, found: NDArray[Any]) -> bool:
    """Write the first values of a page without nulls to `found`; return False if that is not possible here.

    Args:
        body: Unpacked bytes of the page.
        at: Place of its values.
        rows: Their number.
        encoding: Their encoding, as numbered by the format.
        dictionary: Bytes of the dictionary page, if there is one.
        found: Receives the first of them, 4 or 8 bytes each.
    """
    size = found.itemsize
    if encoding == _PLAIN:
        if len(body) - at != rows * size:
            return False
        found[:] = np.frombuffer(body, found.dtype, len(found), at)
        return True
    if encoding not in (_RLE_DICTIONARY, _PLAIN_DICTIONARY):
        return False
    # Values are copied, so their type does not matter, only its size.
    decode, kind = (_decode_4, np.int32) if size == 4 else (_decode_8, np.int64)
    known = np.frombuffer(dictionary, kind, len(dictionary) // size)
    return decode(body, at, known, found.view(kind)) == 0
