"""Writers of the rows of a relation as Parquet, Arrow, JSON, CSV or Markdown, some thousands in memory at a time."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import duckdb


class Stream(Protocol):
    """Text stream to write to."""

    def write(self, text: str, /) -> int:
        """Write text; return the number of characters."""


def stream_rows(relation: duckdb.DuckDBPyRelation) -> Iterator[tuple[Any, ...]]:
    """Read a relation, with some thousands of rows in memory at a time.

    Args:
        relation: Result of a query.

    Yields:
        Every row.
    """
    for batch in relation.to_arrow_reader(10_000):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def write_parquet(relation: duckdb.DuckDBPyRelation, path: Path) -> int:
    """Write the rows to a Parquet file; return their number."""
    import pyarrow.parquet as pq

    count = 0
    reader = relation.to_arrow_reader(100_000)
    with pq.ParquetWriter(path, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def write_arrow(relation: duckdb.DuckDBPyRelation, path: Path) -> int:
    """Write the rows to an Arrow IPC file (Feather version 2); return their number."""
    import pyarrow as pa

    count = 0
    reader = relation.to_arrow_reader(100_000)
    with pa.OSFile(str(path), "wb") as stream, pa.ipc.new_file(stream, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def write_markdown(relation: duckdb.DuckDBPyRelation, stream: Stream) -> int:
    """Write the rows as a table of Markdown; return their number. Bars and line breaks in texts are escaped."""
    stream.write(f"| {' | '.join(map(_markdown, relation.columns))} |\n|{' --- |' * len(relation.columns)}\n")
    count = 0
    for row in stream_rows(relation):
        stream.write(f"| {' | '.join(_markdown(value) for value in row)} |\n")
        count += 1
    return count


def _markdown(value: object) -> str:
    text = "" if value is None else str(_csv_value(value))
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\r", "").replace("\n", "<br>")


def write_json_rows(relation: duckdb.DuckDBPyRelation, stream: Stream) -> int:
    """Write the rows as a JSON array, an object per line; return their number. NaN and infinity become null."""
    names, count = _distinct(list(relation.columns)), 0
    for row in stream_rows(relation):
        record = {name: json_safe(value) for name, value in zip(names, row, strict=True)}
        text = _escaped(json.dumps(record, ensure_ascii=False, default=str, allow_nan=False))
        stream.write(("[\n" if count == 0 else ",\n") + text)
        count += 1
    stream.write("\n]\n" if count else "[]\n")
    return count


def _escaped(text: str) -> str:
    """Return JSON text with unprintable characters written as JSON escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def write_csv(relation: duckdb.DuckDBPyRelation, stream: Stream) -> int:
    """Write a header and the rows as CSV, lists as JSON; return the number of rows."""
    writer, count = csv.writer(stream, lineterminator="\n"), 0
    writer.writerow(relation.columns)
    for row in stream_rows(relation):
        writer.writerow([_csv_value(value) for value in row])
        count += 1
    return count


def csv_lines(rows: Iterable[Iterable[object]]) -> bytes:
    """Return rows as lines of CSV, lists as JSON."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([_csv_value(value) for value in row] for row in rows)
    return stream.getvalue().encode()


def _distinct(columns: list[str]) -> list[str]:
    """Return column names with `_1`, `_2` appended to repeated ones, since a JSON object holds a name once."""
    names: list[str] = []
    for column in columns:
        name, number = column, 0
        while name in names:
            number += 1
            name = f"{column}_{number}"
        names.append(name)
    return names


def json_safe(value: object) -> object:
    """Replace NaN and infinity by None, since JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        # Sums of whole numbers in DuckDB are wider than those of Arrow.
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list | tuple):
        return [json_safe(item) for item in value]
    if isinstance(value, dict):
        return {str(key): json_safe(item) for key, item in value.items()}
    return value


def _csv_value(value: object) -> object:
    return json.dumps(json_safe(value), ensure_ascii=False, default=str) if isinstance(value, list | dict) else value
