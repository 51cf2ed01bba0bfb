"""Writing of Parquet files from pages that are already encoded, without copies of the values.

`pyarrow` encodes and copies each column several times; the parts of `edges`, with a page of 65,536 rows, are
written in a third of its time. The layout is that of https://parquet.apache.org/docs/file-format: pages, then bounds and
offsets of the pages, then the footer in Thrift's compact protocol.
"""

from __future__ import annotations

import base64
import contextlib
import enum
import functools
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

_MAGIC = b"PAR1"
_CREATED_BY = "circuit-atlas version 0.1.0"  # of the layout; readers know writers by this form
Buffer = Any  # bytes, or a contiguous array


class Encoding(enum.IntEnum):
    """Encodings of pages, as numbered by the format."""

    PLAIN = 0
    RLE = 3
    DELTA_BINARY_PACKED = 5
    RLE_DICTIONARY = 8


class _Type(enum.IntEnum):
    INT32 = 1
    INT64 = 2
    DOUBLE = 5
    BYTE_ARRAY = 6


class _Page(enum.IntEnum):
    DATA = 0
    DICTIONARY = 2


_TEXT = (pa.string(), pa.dictionary(pa.int32(), pa.string()))
_TYPES = {pa.int32(): _Type.INT32, pa.int64(): _Type.INT64, pa.float64(): _Type.DOUBLE}
_TYPES |= dict.fromkeys(_TEXT, _Type.BYTE_ARRAY)
_REQUIRED, _OPTIONAL = 0, 1
_UTF8 = 0  # converted type
_UNCOMPRESSED = 0


@dataclass(frozen=True, slots=True)
class Page:
    """One encoded page: the levels of its nulls (of nullable columns) and its values, in buffers."""

    rows: int
    buffers: Sequence[Buffer]
    bounds: tuple[bytes, bytes] | None = None  # smallest and largest value, as plain bytes
    null_count: int = 0


@dataclass(frozen=True, slots=True)
class ColumnPages:
    """The pages of one column of a row group. `dictionary` holds the one value of a column with one value."""

    encoding: Encoding
    pages: Sequence[Page]
    dictionary: bytes | None = None


@dataclass(slots=True)
class _Chunk:
    """Facts about one column of one row group, for the footer."""

    start: int
    encoding: Encoding
    has_dictionary: bool
    bounds: list[tuple[bytes, bytes]] = field(default_factory=list)  # of all pages, or of none
    null_counts: list[int] = field(default_factory=list)
    places: list[tuple[int, int, int]] = field(default_factory=list)  # offset, size and first row of each page
    size: int = 0
    offset_index: tuple[int, int] = (0, 0)
    column_index: tuple[int, int] = (0, 0)


class PageWriter:
    """Writer of one Parquet file, row group by row group."""

    def __init__(self, stream: BinaryIO, schema: pa.Schema) -> None:
        self._stream = stream
        self._schema = schema
        self._at = 0
        self._groups: list[tuple[int, list[_Chunk]]] = []
        self._write(_MAGIC)

    def _write(self, buffer: Buffer) -> int:
        size = memoryview(buffer).nbytes
        self._stream.write(buffer)
        self._at += size
        return size

    def write_row_group(self, rows: int, columns: Iterator[ColumnPages]) -> None:
        """Write one row group. Columns come in the order of the schema; each may reuse the memory of the one before."""
        self._groups.append((rows, [self._chunk(column) for column in columns]))

    def _chunk(self, column: ColumnPages) -> _Chunk:
        chunk = _Chunk(self._at, column.encoding, column.dictionary is not None)
        if column.dictionary is not None:
            value = struct.pack("<I", len(column.dictionary)) + column.dictionary
            header = {1: _Page.DICTIONARY, 2: len(value), 3: len(value), 7: {1: 1, 2: Encoding.PLAIN}}
            self._write(thrift(header) + value)
        row = 0
        for page in column.pages:
            size = sum(memoryview(buffer).nbytes for buffer in page.buffers)
            start = self._at
            for buffer in (_data_header(size, page.rows, column.encoding), *page.buffers):
                self._write(buffer)
            chunk.places.append((start, self._at - start, row))
            chunk.null_counts.append(page.null_count)
            chunk.bounds += [page.bounds] if page.bounds is not None else []
            row += page.rows
        chunk.size = self._at - chunk.start
        return chunk

    def close(self) -> None:
        """Write the index of pages and the footer."""
        chunks = [chunk for _, found in self._groups for chunk in found]
        for chunk in chunks:
            if chunk.bounds:
                chunk.column_index = (self._at, self._write(thrift(_column_index(chunk))))
        for chunk in chunks:
            places = [{1: Long(offset), 2: size, 3: Long(row)} for offset, size, row in chunk.places]
            chunk.offset_index = (self._at, self._write(thrift({1: places})))
        footer = self._footer()
        self._write(footer + struct.pack("<I", len(footer)) + _MAGIC)

    def _footer(self) -> bytes:
        root: dict[int, Any] = {4: b"schema", 5: len(self._schema)}
        arrow = base64.b64encode(self._schema.serialize().to_pybytes())
        return thrift(
            {
                1: 2,
                2: [root, *map(_element, self._schema)],
                3: Long(sum(rows for rows, _ in self._groups)),
                4: [self._row_group(number, *group) for number, group in enumerate(self._groups)],
                5: [{1: b"ARROW:schema", 2: arrow}],
                6: _CREATED_BY.encode(),
                7: [{1: {}} for _ in self._schema],
            }
        )

    def _row_group(self, number: int, rows: int, chunks: Sequence[_Chunk]) -> dict[int, Any]:
        size = sum(chunk.size for chunk in chunks)
        columns = [_column(item, chunk, rows) for item, chunk in zip(self._schema, chunks, strict=True)]
        return {1: columns, 2: Long(size), 3: Long(rows), 5: Long(chunks[0].start), 6: Long(size), 7: Short(number)}


@functools.lru_cache(1024)  # all pages of weights are alike
def _data_header(size: int, rows: int, encoding: Encoding) -> bytes:
    levels = {3: Encoding.RLE, 4: Encoding.RLE}
    return thrift({1: _Page.DATA, 2: size, 3: size, 5: {1: rows, 2: encoding, **levels}})


@contextlib.contextmanager
def page_writer(path: Path, schema: pa.Schema) -> Iterator[PageWriter]:
    """Yield a writer of one Parquet file of int32, int64, float64 and text columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        writer = PageWriter(stream, schema)
        yield writer
        writer.close()


def _element(item: pa.Field) -> dict[int, Any]:
    found = {1: _TYPES[item.type], 3: _OPTIONAL if item.nullable else _REQUIRED, 4: item.name.encode()}
    return found | ({6: _UTF8, 10: {1: {}}} if item.type in _TEXT else {})


def _column(item: pa.Field, chunk: _Chunk, rows: int) -> dict[int, Any]:
    encodings = {Encoding.RLE, chunk.encoding} | ({Encoding.PLAIN} if chunk.has_dictionary else set())
    facts = {
        1: _TYPES[item.type],
        2: sorted(encodings),
        3: [item.name.encode()],
        4: _UNCOMPRESSED,
        5: Long(rows),
        6: Long(chunk.size),
        7: Long(chunk.size),
        9: Long(chunk.places[0][0]),
    }
    if chunk.has_dictionary:
        facts[11] = Long(chunk.start)
    if chunk.bounds:
        facts[12] = _statistics(item, chunk)
    found = {2: Long(0), 3: facts, 4: Long(chunk.offset_index[0]), 5: chunk.offset_index[1]}
    if chunk.column_index[1]:
        found |= {6: Long(chunk.column_index[0]), 7: chunk.column_index[1]}
    return found


def _column_index(chunk: _Chunk) -> dict[int, Any]:
    low, high = zip(*chunk.bounds, strict=True)
    unordered = 0
    no_null_pages = [False] * len(chunk.bounds)
    return {1: no_null_pages, 2: list(low), 3: list(high), 4: unordered, 5: list(map(Long, chunk.null_counts))}


def _statistics(item: pa.Field, chunk: _Chunk) -> dict[int, Any]:
    low, high = zip(*chunk.bounds, strict=True)
    kind = {pa.int32(): "<i", pa.int64(): "<q", pa.float64(): "<d"}.get(item.type)

    def value(data: bytes) -> Any:
        return data if kind is None else struct.unpack(kind, data)[0]

    return {3: Long(sum(chunk.null_counts)), 5: max(high, key=value), 6: min(low, key=value)}


def delta_header(rows: int, first: int) -> bytes:
    """Return the header of values in the encoding DELTA_BINARY_PACKED, in blocks of 128 values with four widths each."""
    return varint(128) + varint(4) + varint(rows) + varint(first << 1)


class Long(int):
    """An i64 field. Plain integers are i32 fields."""


class Short(int):
    """An i16 field."""


_KINDS: Mapping[type, int] = {Short: 4, Long: 6, bytes: 8, list: 9, dict: 12}
_I32, _TRUE, _FALSE = 5, 1, 2


def varint(value: int) -> bytes:
    """Return a non-negative integer in groups of seven bits, the lowest first."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def thrift(fields: Mapping[int, Any]) -> bytes:
    """Return a struct in Thrift's compact protocol.

    Args:
        fields: Values by field number, ascending: integers, bytes, lists of one type, or structs as mappings.

    Returns:
        The encoded struct. Its fields are delta-coded field numbers with types; its integers are zigzag varints.
    """
    found, last = bytearray(), 0
    for number, value in fields.items():
        found.append((number - last) << 4 | _kind(value))
        found += _value(value)
        last = number
    found.append(0)
    return bytes(found)


def _kind(value: Any) -> int:
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    return _KINDS.get(type(value), _I32)


def _value(value: Any) -> bytes:
    if isinstance(value, bool):
        return b""
    if isinstance(value, int):
        return varint(value << 1 if value >= 0 else (-value << 1) - 1)
    if isinstance(value, bytes):
        return varint(len(value)) + value
    if isinstance(value, dict):
        return thrift(value)
    kind = _kind(value[0]) if value else _I32
    if kind == _FALSE:
        kind = _TRUE  # the type of all lists of bools; some readers know no other
    size = bytes([len(value) << 4 | kind]) if len(value) < 15 else bytes([0xF0 | kind]) + varint(len(value))
    if kind == _TRUE:
        return size + bytes(_TRUE if item else _FALSE for item in value)
    return size + b"".join(map(_value, value))
