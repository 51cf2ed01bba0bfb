"""Reading of observations page by page, for Parquet files as most programs write them: flat columns, plain or dictionary-encoded.

This takes half of Arrow's time. Anything else, such as nulls, nested columns, checksums, other encodings or damaged files, is
left to Arrow.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from atlas.aggregate.kernels import page_decoder

Columns = dict[str, NDArray[Any]]
_TYPES = {pa.int32(): np.int32, pa.int64(): np.int64, pa.float32(): np.float32, pa.float64(): np.float64}
_CODECS = ("UNCOMPRESSED", "SNAPPY", "ZSTD", "GZIP")


@dataclass(frozen=True, slots=True)
class PageReader:
    """Reader of some columns of one Parquet file."""

    path: Path
    metadata: pq.FileMetaData
    types: dict[str, Any]  # dtype by name

    @classmethod
    def opened(cls, path: Path, names: Sequence[str]) -> PageReader | None:
        """Return a reader of the columns `names`, or None if they are not flat columns of signed integers or floats."""
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            types = {name: _TYPES.get(schema.field(name).type) for name in names}
            if file.schema.names != schema.names or None in types.values():
                return None
            return cls(path, file.metadata, types)

    def read(self, row_group: int, found: Columns) -> bool:
        """Decode the first rows of a row group into arrays; return False if Arrow has to read them.

        Args:
            row_group: Number of the row group.
            found: Receives the values of its first n_rows rows: arrays (n_rows,) of the types of this reader, by name.
        """
        group = self.metadata.row_group(row_group)
        decoder = page_decoder(group.num_rows)
        if decoder is None:
            return False
        places = {self.metadata.schema.column(i).name: i for i in range(self.metadata.num_columns)}
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            for name, values in found.items():
                column = group.column(places[name])
                is_nullable = self.metadata.schema.column(places[name]).max_definition_level > 0
                if not _decoded(decoder, descriptor, column, values, is_nullable=is_nullable):
                    return False
        except (OSError, ValueError, pa.ArrowException):
            return False  # Arrow says what is wrong with the file
        finally:
            os.close(descriptor)
        return True


def _decoded(
    decoder: ModuleType, descriptor: int, column: pq.ColumnChunkMetaData, found: NDArray[Any], *, is_nullable: bool
) -> bool:
    """Decode the first values of a column chunk; return False if that is not possible here."""
    if column.compression not in _CODECS or column.num_values < len(found):
        return False
    codec = None if column.compression == "UNCOMPRESSED" else pa.Codec(column.compression.lower())
    for size in _sizes_to_read(column, len(found)):
        data = np.frombuffer(os.pread(descriptor, size, _start(column)), np.uint8)
        pages = decoder.page_headers(data, len(found), whole=len(found) == column.num_values)
        if pages is not None:
            break
    # A page that claims to be larger than its values is damaged; do not reserve memory for it.
    if pages is None or int(pages[:, decoder.SIZE].max()) > 16 * column.num_values + (1 << 20):
        return False
    dictionary, done = data[:0], 0
    for kind, size, packed_size, begin, rows, encoding, level_bytes, is_packed in pages.tolist():
        first = begin + level_bytes  # in the second version of the format, levels are not packed
        body = data[first : begin + packed_size]
        if codec is not None and is_packed:
            if _unpacked_size(column.compression, bytes(body[:18]), bytes(body[-4:])) != size - level_bytes:
                return False
            body = np.frombuffer(codec.decompress(body, size - level_bytes), np.uint8)
        if kind == decoder.DICTIONARY:
            dictionary = body
            continue
        mine = found[done : done + rows]
        at = decoder.behind_levels(body, 0, len(mine)) if is_nullable and kind == decoder.DATA else 0
        if at < 0 or not decoder.decode_page(body, at, rows, encoding, dictionary, mine):
            return False
        done += len(mine)
    return True


def _unpacked_size(compression: str, head: bytes, tail: bytes) -> int:
    """Return the size that compressed bytes state; -1 if they state none. Arrow's codecs return as many as they are asked for."""
    if compression == "SNAPPY":
        found = 0
        for place, byte in enumerate(head[:5]):
            found |= (byte & 127) << 7 * place
            if byte < 128:
                return found
        return -1
    if compression == "GZIP":
        return int.from_bytes(tail, "little")
    # Zstandard (RFC 8878): magic, descriptor, window (not of a single segment), dictionary, size of the content.
    if len(head) < 6:
        return -1
    single = head[4] >> 5 & 1
    size = (single, 2, 4, 8)[head[4] >> 6]
    start = 5 + (1 - single) + (0, 1, 2, 4)[head[4] & 3]
    return int.from_bytes(head[start : start + size], "little") + (256 if size == 2 else 0) if size else -1


def _start(column: pq.ColumnChunkMetaData) -> int:
    """Return the place of the first page."""
    return int(min(filter(None, (column.dictionary_page_offset, column.data_page_offset))))


def _sizes_to_read(column: pq.ColumnChunkMetaData, rows: int) -> list[int]:
    """Return how many bytes are likely to hold the first values, and how many hold all."""
    total = column.total_compressed_size
    if rows == column.num_values:
        return [total]
    first = column.data_page_offset - _start(column)
    return [min(total, first + 2 * (total - first) * rows // column.num_values + (1 << 17)), total]
