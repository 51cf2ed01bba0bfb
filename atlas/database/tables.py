"""Sources of the catalog `input`: Parquet datasets and Arrow tables."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from atlas.database.scripts import quoted
from atlas.stages import Dataset


def rows_of(dataset: Dataset, path: Path) -> str:
    """Return the SELECT of the declared columns of a dataset. A user's own script may have written more columns."""
    pattern = str(path / "*.parquet") if path.is_dir() else str(path)
    # A view cannot have parameters, so the path is quoted here.
    return f"SELECT {', '.join(dataset.schema.names)} FROM read_parquet({quoted(pattern)})"


def arrow_table(con: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    """Create a table of the catalog `input`."""
    con.register("incoming", table)
    con.execute(f"CREATE TABLE input.{name} AS FROM incoming")
    con.unregister("incoming")
