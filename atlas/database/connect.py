"""Read-only connections to an atlas file, which cannot reach any other file.

The file is attached to a private in-memory database, and not opened as a database of its own. DuckDB keeps one
instance per path in a process. Such an instance would return the old atlas after the file was replaced, and would
refuse a second connection with other settings. `enable_external_access = false` alone still lets SQL write the
database's own path, its `.wal` and its `.tmp`, so the local file system is disabled as well.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import duckdb

from atlas.database.older import OLDEST, upgrade
from atlas.database.scripts import identifier, quoted
from atlas.errors import AtlasFileError

# Increased when a table or column changes its meaning. Earlier ones are read by `older`, from `OLDEST` on.
SCHEMA_VERSION = 12
TABLES = ("neurons", "edges", "clusters", "metadata")
DEFAULT_MEMORY = "4GB"
# Applied before user SQL runs. Nothing is spilled to disk, because the folder of an atlas may be read-only.
_SAFETY = (
    "SET temp_directory = ''",
    "SET enable_external_access = false",
    "SET disabled_filesystems = 'LocalFileSystem'",
    "SET lock_configuration = true",
)
# Names of DuckDB's own catalogs, and of the schema in which an atlas keeps its tables.
_TAKEN = {"memory", "temp", "system", "main", ""}
_MAGIC = slice(8, 12)
BESIDE_CATALOG = "activations_beside"


def open_atlas(
    path: str | PathLike[str], *, memory: str = DEFAULT_MEMORY, older: bool = False
) -> duckdb.DuckDBPyConnection:
    """Return a read-only connection to an atlas that reaches no other file.

    Args:
        path: The atlas file.
        memory: DuckDB's memory limit, such as `4GB`.
        older: Read an atlas of an earlier schema, too: what it lacks is computed in memory.

    Returns:
        A connection with the atlas as its current catalog, under the name that `catalog_name` returns.

    Raises:
        AtlasFileError: `path` is missing, is not a DuckDB file, is not an atlas, is damaged or has another schema.
    """
    file = Path(path)
    is_remote = "://" in str(path)
    if not is_remote:
        _require_database(file)
    con = duckdb.connect(":memory:", config={"memory_limit": memory})
    if is_remote:
        _load_remote_access(con, str(path))
    try:
        con.execute(f"ATTACH {quoted(str(path))} AS {identifier(catalog_name(file))} (TYPE duckdb, READ_ONLY)")
    except duckdb.Error as error:
        con.close()
        raise AtlasFileError("damaged", f"{file} cannot be opened: {_first_line(error)}") from error
    try:
        _attach_beside(con, file)
        use_catalog(con, file)
        if older and (given := _earlier_schema(con)) is not None:
            upgrade(con, str(path), catalog_name(file), given, SCHEMA_VERSION)
            use_catalog(con, file)
        else:
            _require_schema(con, file)
        for setting in _SAFETY:
            con.execute(setting)
    except duckdb.Error as error:
        con.close()
        raise AtlasFileError("damaged", f"{file} is damaged: {_first_line(error)}") from error
    except AtlasFileError:
        con.close()
        raise
    return con


def open_several(
    files: Mapping[str, str | PathLike[str]], *, memory: str = DEFAULT_MEMORY
) -> duckdb.DuckDBPyConnection:
    """Return a read-only connection to several atlases that reaches no other file.

    Args:
        files: Atlas files by the name of their catalog.
        memory: DuckDB's memory limit, such as `4GB`.

    Returns:
        A connection without a current atlas: tables are named with their catalog.

    Raises:
        AtlasFileError: A file is missing or is no atlas, or a name is one of DuckDB's own catalogs.
    """
    con = duckdb.connect(":memory:", config={"memory_limit": memory})
    for name, path in files.items():
        open_atlas(path, memory=memory).close()
        if name.lower() in _TAKEN:
            raise AtlasFileError("foreign", f"{name!r} is a name of DuckDB itself; give the atlas {path} another one")
        con.execute(f"ATTACH {quoted(str(path))} AS {identifier(name)} (TYPE duckdb, READ_ONLY)")
    for setting in _SAFETY:
        con.execute(setting)
    return con


def _load_remote_access(con: duckdb.DuckDBPyConnection, address: str) -> None:
    """Load DuckDB's extension for files of web servers. Raises `AtlasFileError` where it is not installed."""
    try:
        con.execute("LOAD httpfs")
    except duckdb.Error as error:
        con.close()
        raise AtlasFileError(
            "missing",
            f"{address} is a remote file, and DuckDB's extension httpfs is not installed; run INSTALL httpfs in DuckDB, or download the file",
        ) from error


def catalog_name(file: Path) -> str:
    """Return the catalog name of an atlas.

    Args:
        file: Atlas file.

    Returns:
        The stem of its file, as in the DuckDB shell.
    """
    return "atlas" if file.stem.lower() in _TAKEN else file.stem


def use_catalog(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Make the atlas the current catalog of a connection. A new cursor starts without it.

    Args:
        con: Connection to which the file is attached.
        file: Atlas file.
    """
    con.execute(f"USE {identifier(catalog_name(file))}.main")
    if con.execute("SELECT 1 FROM duckdb_databases() WHERE database_name = $1", [BESIDE_CATALOG]).fetchall():
        # A temporary view comes before the table of the atlas, which is empty then, also inside of macros.
        con.execute(f"CREATE OR REPLACE TEMP VIEW activations AS FROM {BESIDE_CATALOG}.main.activations")


def _attach_beside(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Attach the file of activations beside an atlas, if it was built with this atlas."""
    beside = activations_file(file)
    if not beside.is_file():
        return
    con.execute(f"ATTACH {quoted(str(beside))} AS {BESIDE_CATALOG} (TYPE duckdb, READ_ONLY)")
    ids = [
        con.execute(f"SELECT value FROM {catalog}.main.metadata WHERE key = 'atlas_id'").fetchall()
        for catalog in (BESIDE_CATALOG, identifier(catalog_name(file)))
    ]
    if ids[0] != ids[1]:
        con.execute(f"DETACH {BESIDE_CATALOG}")


def _require_database(file: Path) -> None:
    """Raise `AtlasFileError` unless `file` starts like a DuckDB file."""
    if not os.path.isfile(file):  # noqa: PTH113 (Path.is_file raises for a name that is too long)
        if os.path.isdir(file):  # noqa: PTH112
            raise AtlasFileError("missing", f"{file} is a folder; give the atlas file, which ends in .duckdb")
        if os.path.exists(file):  # noqa: PTH110
            raise AtlasFileError("foreign", f"{file} is a pipe or device; give the atlas file, which ends in .duckdb")
        how = f"build it with: atlas build RECIPE -o {file}"
        if not file.suffix:
            how = "the atlas file comes first, then what is asked"
        raise AtlasFileError("missing", f"{file} does not exist; {how}")
    try:
        with file.open("rb") as stream:
            head = stream.read(_MAGIC.stop)
    except OSError as error:
        raise AtlasFileError("damaged", f"{file} cannot be read: {error.strerror}") from error
    if head[_MAGIC] != b"DUCK":
        raise AtlasFileError("foreign", f"{file} is not a DuckDB file; give an atlas that `atlas build` wrote")


def is_duckdb_file(file: Path) -> bool:
    """Return True if a file starts like a DuckDB database.

    Args:
        file: Path; only regular files are opened.

    Returns:
        True for a database of any version.
    """
    try:
        _require_database(file)
    except AtlasFileError:
        return False
    return True


def is_comparison(con: duckdb.DuckDBPyConnection) -> bool:
    """Return True if the current catalog is a file of `atlas compare`.

    Args:
        con: Connection whose current catalog has a table `metadata`.

    Returns:
        True for a comparison, False for an atlas.
    """
    return bool(con.execute("FROM metadata WHERE key = 'comparison_of'").fetchall())


def _earlier_schema(con: duckdb.DuckDBPyConnection) -> int | None:
    """Return the schema of the atlas in use where it is an earlier one that can be read, else None."""
    tables = {
        row[0]
        for row in con.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database()"
        ).fetchall()
    }
    if not set(TABLES) <= tables:
        return None
    found = con.execute("SELECT try_cast(value AS INTEGER) FROM metadata WHERE key = 'atlas_schema'").fetchall()
    given = found[0][0] if found else None
    return given if given is not None and OLDEST <= given < SCHEMA_VERSION else None


def _require_schema(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    tables = con.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = current_database()").fetchall()
    if ("metadata",) in tables and is_comparison(con):
        return  # what `atlas compare` wrote: SQL works on it, too
    missing = [name for name in TABLES if (name,) not in tables]
    if missing:
        raise AtlasFileError("foreign", f"{file} is a DuckDB file but no atlas: it has no table {', '.join(missing)}")
    version = con.execute("SELECT value FROM metadata WHERE key = 'atlas_schema'").fetchall()
    if version != [(str(SCHEMA_VERSION),)]:
        given = version[0][0] if version else "none, as earlier tools wrote"
        newer = bool(version) and str(given).isdecimal() and int(str(given)[:9]) > SCHEMA_VERSION
        todo = "update circuit-atlas" if newer else "build it again"
        raise AtlasFileError(
            "schema" if version else "foreign",
            f"{file} has atlas schema {given}; this version reads schema {SCHEMA_VERSION}: {todo}",
        )


def _first_line(error: duckdb.Error) -> str:
    return str(error).strip().splitlines()[0][:300]


def graphs_folder(atlas: Path) -> Path:
    """Return the folder with the nodes and links of graphs, where they are beside an atlas.

    Args:
        atlas: Atlas file.

    Returns:
        The folder, whether it exists or not.
    """
    return atlas.with_name(f"{atlas.name}.graphs")


def activations_file(atlas: Path) -> Path:
    """Return the DuckDB file with the activations, where they are beside an atlas.

    Args:
        atlas: Atlas file.

    Returns:
        The file, whether it exists or not.
    """
    return atlas.with_name(f"{atlas.stem}.activations.duckdb")
