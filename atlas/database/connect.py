"""Opens an atlas file read-only, with everything outside the file out of reach."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path

import duckdb

from atlas.errors import AtlasFileError

# Raised when a table or column changes its meaning; readers of this version know it.
SCHEMA_VERSION = "4"
TABLES = ("neurons", "edges", "clusters", "metadata")


def open_atlas(path: str | PathLike[str]) -> duckdb.DuckDBPyConnection:
    """A read-only connection without external access; raises `AtlasFileError` where `path` is no atlas."""
    file = Path(path)
    if not os.path.isfile(file):  # noqa: PTH113 (Path.is_file raises for a name that is too long)
        if os.path.isdir(file):  # noqa: PTH112
            raise AtlasFileError("missing", f"{file} is a folder; give the atlas file, which ends in .duckdb")
        raise AtlasFileError(
            "missing",
            f"{file} does not exist; build it with: atlas build RECIPE -o {file} (the atlas file comes first, then what is asked)",
        )
    try:
        con = duckdb.connect(str(file), read_only=True, config={"enable_external_access": False})
    except duckdb.Error as error:
        raise AtlasFileError("damaged", f"{file} cannot be opened: {_first_line(error)}") from error
    try:
        found = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        missing = [name for name in TABLES if name not in found]
        if missing:
            raise AtlasFileError(
                "foreign", f"{file} is a DuckDB file but no atlas: it has no table {', '.join(missing)}"
            )
        version = con.execute("SELECT value FROM metadata WHERE key = 'atlas_schema'").fetchall()
        if version != [(SCHEMA_VERSION,)]:
            given = version[0][0] if version else "none, as earlier tools wrote"
            raise AtlasFileError(
                "schema" if version else "foreign",
                f"{file} has atlas schema {given}; this version reads schema {SCHEMA_VERSION}: build it again",
            )
    except duckdb.Error as error:
        con.close()
        raise AtlasFileError("damaged", f"{file} is damaged: {_first_line(error)}") from error
    except AtlasFileError:
        con.close()
        raise
    return con


def _first_line(error: duckdb.Error) -> str:
    return str(error).strip().splitlines()[0][:300]
