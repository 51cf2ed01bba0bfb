"""Rows of a query as JSON, CSV or an Arrow stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import duckdb

from atlas.errors import UsageError
from atlas.query.export import csv_lines, json_safe

MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
}
# Bytes of rows that an answer holds in memory; a stream holds one batch.
MOST_BYTES = 64_000_000
_BATCH = 10_000


@dataclass(frozen=True)
class Rows:
    """Rows of a query in memory, and whether there are more."""

    columns: list[str]
    types: list[str]
    schema: Any  # of Arrow
    batches: list[Any]
    is_truncated: bool

    def as_json(self) -> bytes:
        """Return `columns`, `types`, `rows` and `truncated` as JSON. NaN and infinity become null."""
        rows = [
            [json_safe(value) for value in row]
            for batch in self.batches
            for row in zip(*map(_values, batch.columns), strict=True)
        ]
        found = {"columns": self.columns, "types": self.types, "rows": rows, "truncated": self.is_truncated}
        return json.dumps(found, ensure_ascii=False, default=str, allow_nan=False, separators=(",", ":")).encode()

    def pieces(self, form: str) -> Iterator[bytes]:
        """Yield the rows as `csv` or `arrow`."""
        return encoded(self.columns, self, form)

    def __iter__(self) -> Iterator[Any]:
        yield from self.batches


def fetched(relation: duckdb.DuckDBPyRelation, most: int) -> Rows:
    """Read the rows of a relation.

    Args:
        relation: Result of a query, with one row more than `most` where there are more.
        most: Rows to keep.

    Returns:
        The first rows: no more than `most`, nor than fit into `MOST_BYTES`.
    """
    reader = relation.to_arrow_reader(_BATCH)
    batches: list[Any] = []
    count = size = 0
    is_truncated = False
    for batch in reader:
        room = most - count
        if batch.nbytes > MOST_BYTES - size:
            # Rows are taken to be of one size.
            room = min(room, max(int((MOST_BYTES - size) * batch.num_rows / batch.nbytes), 0 if batches else 1))
        batches.append(batch.slice(0, room))
        count += batches[-1].num_rows
        size += batch.nbytes
        is_truncated = batch.num_rows > room
        if is_truncated:
            break
    return Rows(list(relation.columns), [str(kind) for kind in relation.types], reader.schema, batches, is_truncated)


def streamed(relation: duckdb.DuckDBPyRelation, form: str) -> Iterator[bytes]:
    """Read a relation as CSV or as an Arrow stream, one batch in memory at a time.

    Args:
        relation: Result of a query.
        form: `csv` or `arrow`.

    Yields:
        Pieces of the answer.
    """
    return encoded(relation.columns, relation.to_arrow_reader(_BATCH), form)


def encoded(columns: list[str], reader: Any, form: str) -> Iterator[bytes]:
    """Write batches of Arrow as CSV or as an Arrow stream.

    Args:
        columns: Names of the columns.
        reader: A reader of record batches, which has their schema.
        form: `csv` or `arrow`.

    Yields:
        Pieces of the answer.
    """
    if form == "csv":
        yield csv_lines([columns])
        for batch in reader:
            yield csv_lines(zip(*map(_values, batch.columns), strict=True))
        return
    import pyarrow as pa

    sink = _Pieces()
    with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
            yield sink.taken()
    yield sink.taken()


def _values(column: Any) -> list[Any]:
    """Return the values of a column; as texts where Python has none of the kind, such as infinite dates."""
    try:
        found: list[Any] = column.to_pylist()
    except (OverflowError, ValueError):
        import pyarrow as pa

        found = column.cast(pa.string()).to_pylist()
    return found


class _Pieces:
    """Sink of Arrow from which the bytes are taken as they come."""

    closed = False

    def __init__(self) -> None:
        self._held: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._held.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        return

    def taken(self) -> bytes:
        found, self._held = b"".join(self._held), []
        return found


def started(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Take the first piece of an answer now, so that what is wrong is known before the answer begins.

    Args:
        pieces: Pieces of an answer.

    Returns:
        The same pieces.
    """
    first = next(pieces, b"")
    return chain((first,), pieces)


def form_of(name: str, asked: str | None) -> tuple[str, str]:
    """Return a name without the ending of a form, and the form.

    Args:
        name: Last part of an address, such as `hubs.csv`.
        asked: Form that the address states as a parameter.

    Returns:
        The name, and `json`, `csv` or `arrow`.

    Raises:
        UsageError: The parameter is no form.
    """
    stem, point, ending = name.rpartition(".")
    if point and ending in MEDIA_TYPES:
        return stem, ending
    if asked is not None and asked not in MEDIA_TYPES:
        raise UsageError(f"format is one of {', '.join(MEDIA_TYPES)}, not {asked!r}")
    return name, asked or "json"
