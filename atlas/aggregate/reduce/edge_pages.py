"""Parts of `edges` written from sorted keys and their sums: integers packed by a compiled loop, weights as they are."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.aggregate.kernels.key_stats import KeyStats
from atlas.graph import Floats, Ints
from atlas.ids import INDEX_BITS, MAX_INDEX, MAX_LAYER, NEURON_BITS
from atlas.io.files import ROW_GROUP
from atlas.io.parquet_pages import ColumnPages, Encoding, Page, page_writer, varint
from atlas.stages import DATASETS

PAGE_ROWS = 1 << 16
# Columns of the key: number of lower bits, and mask.
_KEY = {
    "src_layer": (NEURON_BITS + INDEX_BITS, MAX_LAYER),
    "src_neuron": (NEURON_BITS, MAX_INDEX),
    "tgt_layer": (INDEX_BITS, MAX_LAYER),
    "tgt_neuron": (0, MAX_INDEX),
}
_NO_VALUES = varint(128) + varint(4) + varint(0) + varint(0)  # header of packed differences
Encode = Callable[..., tuple[NDArray[np.uint8], Ints, Ints, Ints]]


def write_edges(
    path: Path, stats: KeyStats, group_count: Ints, joint_graph_count: Ints | None, method: str, encode: Encode
) -> None:
    """Write one part of `edges`, with the values and the schema that `pyarrow` would write.

    Args:
        path: File to write.
        stats: Statistics of the edges, with ascending keys, (n_edges,).
        group_count: Groups of prompts of each edge, (n_edges,).
        joint_graph_count: Graphs with both ends of each edge, (n_edges,), or None if they were not counted.
        method: Method of the graphs.
        encode: The compiled `encoded_pages`.
    """
    schema = DATASETS["stats.edges"].schema
    columns: dict[str, Any] = stats.columns()
    columns |= {"group_count": group_count, "joint_graph_count": joint_graph_count, "method": method}
    with page_writer(path, schema) as writer:
        for start in range(0, len(stats), ROW_GROUP):
            mine = slice(start, min(start + ROW_GROUP, len(stats)))
            writer.write_row_group(mine.stop - start, _row_group(schema, columns, mine, encode))


def _row_group(
    schema: pa.Schema, columns: dict[str, Any], rows: slice, encode: Encode
) -> Iterator[ColumnPages]:
    counted = rows.stop - rows.start
    sizes = [min(PAGE_ROWS, counted - start) for start in range(0, counted, PAGE_ROWS)]
    for item in schema:
        values = columns.get(item.name)
        if item.name in _KEY:
            yield _whole(columns["key"][rows], item, encode, *_KEY[item.name])
        elif values is None:
            yield ColumnPages(Encoding.DELTA_BINARY_PACKED, [_without_values(size) for size in sizes])
        elif isinstance(values, str):
            yield _constant(values.encode(), sizes)
        elif item.type == pa.int64():
            yield _whole(values[rows], item, encode, 0, -1)
        else:
            yield _plain(values[rows], item, sizes)


def _levels(rows: int, present: int) -> bytes:
    """Return the levels of a page of a nullable column: one run that says whether its values are present."""
    run = varint(rows << 1) + bytes([present])
    return struct.pack("<I", len(run)) + run


def _whole(values: Ints, item: pa.Field, encode: Encode, shift: int, mask: int) -> ColumnPages:
    data, ends, low, high = encode(np.ascontiguousarray(values, np.int64), shift, mask, PAGE_ROWS, levels=item.nullable)
    pages, start, left = [], 0, len(values)
    for end, smallest, largest in zip(ends.tolist(), low.tolist(), high.tolist(), strict=True):
        # Only bounds of the key help readers to skip rows.
        bounds = (struct.pack("<i", smallest), struct.pack("<i", largest)) if item.name in _KEY else None
        pages.append(Page(min(PAGE_ROWS, left), [data[start:end]], bounds))
        start, left = end, left - PAGE_ROWS
    return ColumnPages(Encoding.DELTA_BINARY_PACKED, pages)


def _plain(values: Floats, item: pa.Field, sizes: list[int]) -> ColumnPages:
    levels = {size: [_levels(size, 1)] if item.nullable else [] for size in set(sizes)}
    starts, values = range(0, len(values), PAGE_ROWS), np.ascontiguousarray(values, np.float64)
    pages = [
        Page(size, [*levels[size], values[start : start + size]]) for start, size in zip(starts, sizes, strict=True)
    ]
    return ColumnPages(Encoding.PLAIN, pages)


def _without_values(size: int) -> Page:
    return Page(size, [_levels(size, 0), _NO_VALUES], null_count=size)


def _constant(value: bytes, sizes: list[int]) -> ColumnPages:
    """Return pages that name the first entry of a dictionary in each row, with 1 bit per index."""
    pages = [Page(size, [b"\x01" + varint(size << 1) + b"\x00"], (value, value)) for size in sizes]
    return ColumnPages(Encoding.RLE_DICTIONARY, pages, value)
