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
from atlas.io.parquet_pages import ColumnPages, Encoding, Page, delta_header, page_writer, varint
from atlas.stages import DATASETS

PAGE_ROWS = 1 << 16
# Columns of the key: number of lower bits, and mask.
_KEY = {
    "src_layer": (NEURON_BITS + INDEX_BITS, MAX_LAYER),
    "src_neuron": (NEURON_BITS, MAX_INDEX),
    "tgt_layer": (INDEX_BITS, MAX_LAYER),
    "tgt_neuron": (0, MAX_INDEX),
}
Encode = Callable[[Ints, int, int], tuple[NDArray[np.uint8], int, int]]


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
        encode: The compiled `packed_differences`.
    """
    schema = DATASETS["stats.edges"].schema
    columns: dict[str, Any] = stats.columns()
    columns |= {"group_count": group_count, "joint_graph_count": joint_graph_count, "method": method}
    with page_writer(path, schema) as writer:
        for start in range(0, len(stats), ROW_GROUP):
            mine = slice(start, min(start + ROW_GROUP, len(stats)))
            writer.write_row_group(mine.stop - start, _row_group(schema, columns, mine, encode))


def _row_group(schema: pa.Schema, columns: dict[str, Any], rows: slice, encode: Encode) -> Iterator[ColumnPages]:
    counted = rows.stop - rows.start
    sizes = [min(PAGE_ROWS, counted - start) for start in range(0, counted, PAGE_ROWS)]
    for item in schema:
        values = columns.get(item.name)
        if item.name in _KEY:
            yield _whole(columns["key"][rows], item, encode, *_KEY[item.name])
        elif values is None:
            yield _without_values(item, sizes)
        elif isinstance(values, str):
            yield _constant(values.encode(), item, sizes)
        elif item.type == pa.int64():
            yield _whole(values[rows], item, encode, 0, -1)
        else:
            yield _plain(values[rows], item)


def _levels(item: pa.Field, rows: int, present: int = 1) -> list[bytes]:
    """Return the levels of a page of a nullable column: one run that says whether its values are present."""
    run = varint(rows << 1) + bytes([present])
    return [struct.pack("<I", len(run)) + run] if item.nullable else []


def _whole(values: Ints, item: pa.Field, encode: Encode, shift: int, mask: int) -> ColumnPages:
    pages = []
    for start in range(0, len(values), PAGE_ROWS):
        mine = np.ascontiguousarray(values[start : start + PAGE_ROWS], np.int64)
        packed, smallest, largest = encode(mine, shift, mask)
        # Only bounds of the key help readers to skip rows.
        bounds = (struct.pack("<i", smallest), struct.pack("<i", largest)) if item.name in _KEY else None
        header = delta_header(len(mine), int(mine[0]) >> shift & mask)
        pages.append(Page(len(mine), [*_levels(item, len(mine)), header, packed], bounds))
    return ColumnPages(Encoding.DELTA_BINARY_PACKED, pages)


def _plain(values: Floats, item: pa.Field) -> ColumnPages:
    mine = (
        np.ascontiguousarray(values[start : start + PAGE_ROWS], np.float64)
        for start in range(0, len(values), PAGE_ROWS)
    )
    return ColumnPages(Encoding.PLAIN, [Page(len(some), [*_levels(item, len(some)), some]) for some in mine])


def _without_values(item: pa.Field, sizes: list[int]) -> ColumnPages:
    pages = [Page(size, [*_levels(item, size, 0), delta_header(0, 0)], null_count=size) for size in sizes]
    return ColumnPages(Encoding.DELTA_BINARY_PACKED, pages)


def _constant(value: bytes, item: pa.Field, sizes: list[int]) -> ColumnPages:
    """Return pages that name the first entry of a dictionary in each row, with 1 bit per index."""
    pages = [
        Page(size, [*_levels(item, size), b"\x01" + varint(size << 1) + b"\x00"], (value, value)) for size in sizes
    ]
    return ColumnPages(Encoding.RLE_DICTIONARY, pages, value)
