"""Legacy databases: DuckDB files and folders of Parquet files."""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from atlas.errors import AtlasFileError, InputError

_BATCH = 1 << 18  # rows
_TABLES = ("edges", "neurons", "neuron_graphs", "metadata")


class LegacyDatabase:
    """Tables of a legacy atlas (18 or 13 columns of neurons) or of an export of the legacy aggregator."""

    def __init__(self, path: Path, con: duckdb.DuckDBPyConnection) -> None:
        self.path, self._con = path, con
        sql = "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal ORDER BY table_oid, column_index"
        self.columns: dict[str, list[str]] = {}
        for table, column in con.execute(sql).fetchall():
            self.columns.setdefault(table, []).append(column)

    def batches(self, table: str, wanted: tuple[str, ...]) -> Iterator[Any]:
        """Yield record batches with those of the wanted columns that the table has."""
        found = [name for name in wanted if name in self.columns.get(table, ())]
        if found:
            names = ", ".join(f'"{name}"' for name in found)
            try:
                reader: pa.RecordBatchReader = self._con.sql(f'SELECT {names} FROM "{table}"').to_arrow_reader(_BATCH)
                yield from reader
            except (OSError, pa.ArrowException) as error:
                raise AtlasFileError(
                    "damaged", f"{self.path} is damaged: {' '.join(str(error).split())[:300]}"
                ) from error

    def metadata(self) -> dict[str, str]:
        """Return the keys and values of the table `metadata`."""
        if not {"key", "value"} <= set(self.columns.get("metadata", ())):
            return {}
        return {str(key): str(value) for key, value in self._con.execute("SELECT key, value FROM metadata").fetchall()}

    def answer(self, sql: str) -> Any:
        """Return the single value that `sql` selects."""
        return self._con.execute(sql).fetchall()[0][0]


@contextlib.contextmanager
def open_legacy(path: Path) -> Iterator[LegacyDatabase]:
    """Open a .duckdb file, or a folder with edges.parquet and neurons.parquet; raises `InputError`, `AtlasFileError`."""
    if not path.exists():
        raise InputError(f"{path} does not exist; give an atlas of the earlier tool")
    try:
        if path.is_dir():
            con = duckdb.connect()
            for name in _TABLES:
                file = path / f"{name}.parquet"
                if file.is_file():
                    quoted = glob.escape(str(file)).replace("'", "''")
                    con.execute(f"CREATE VIEW {name} AS FROM read_parquet('{quoted}')")
            con.execute("SET lock_configuration = true")
        else:
            con = duckdb.connect(str(path), read_only=True, config={"enable_external_access": False})
        with con:
            legacy = LegacyDatabase(path, con)
            version = legacy.metadata().get("atlas_schema")
            if version is not None:
                raise AtlasFileError(
                    "schema", f"{path} is an atlas of this tool (schema {version}); open it as it is, or build it again"
                )
            yield legacy
    except duckdb.Error as error:
        raise AtlasFileError("damaged", f"{path} cannot be read: {' '.join(str(error).split())[:300]}") from error
