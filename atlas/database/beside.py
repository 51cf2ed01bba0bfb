"""Second DuckDB file beside an atlas: its activations, where they are too many for the atlas itself.

    ATTACH 'model.activations.duckdb' AS raw (READ_ONLY);
    USE raw;
    FROM activations_of(1, 45);

The file holds its own contexts and vocabulary, so it can be read alone. The Python client and the command attach it by themselves.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from atlas.database.connect import activations_file
from atlas.database.scripts import quoted, scripts
from atlas.errors import OutputError
from atlas.io.files import rename, sync

# DuckDB 1.2 and later open the file.
STORAGE_VERSION = "v1.2.0"
# Rows. This number leaves little of a column's last block unused, which saves 9 % of a large file
# (tests/bench/RESULTS.md).
ROW_GROUP_SIZE = 147_456
_SORTED = {
    "contexts": "context_id",
    "activations": "unit_type, layer, unit, context_id, position",
    "vocabulary": "token_id",
}


def attach_new(con: duckdb.DuckDBPyConnection, file: Path, name: str, *, in_parts: bool = False) -> None:
    """Attach a new file under a name, in the storage format of an atlas; `in_parts` for reading over a network."""
    rows, block = (16_384, 32_768) if in_parts else (ROW_GROUP_SIZE, 262_144)
    con.execute(
        f"ATTACH {quoted(str(file))} AS {name} (STORAGE_VERSION '{STORAGE_VERSION}', ROW_GROUP_SIZE {rows}, BLOCK_SIZE {block})"
    )


def write_beside(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Write the activations, contexts and vocabulary of the catalog `input` to a file of their own.

    Args:
        con: Connection with the catalog `input`.
        file: The new file.
    """
    attach_new(con, file, "beside")
    con.execute("USE beside")
    for item in scripts("tables"):
        name = item.name[3:]
        if name in _SORTED or name == "metadata":
            con.execute(item.sql)
            con.execute(f"COMMENT ON TABLE {name} IS {quoted(item.doc)}")
    for name, order in _SORTED.items():
        con.execute(f"INSERT INTO {name} BY NAME FROM input.{name} ORDER BY {order}")
    con.execute(
        "CREATE TABLE activation_units AS SELECT unit_type, layer, max(unit) + 1 AS unit_count FROM input.activation_stats GROUP BY ALL ORDER BY ALL"
    )
    con.execute("COMMENT ON TABLE activation_units IS 'Number of units of every layer.'")
    con.execute(
        "INSERT INTO metadata SELECT key, value FROM input.metadata WHERE key LIKE 'activation%' OR key = 'atlas_id'"
    )
    (macro,) = (item for item in scripts("macros") if item.name == "activations_of")
    con.execute(macro.sql)
    con.execute(f"COMMENT ON MACRO TABLE activations_of IS {quoted(macro.doc)}")
    con.execute("USE memory")
    con.execute("DETACH beside")


def refuse_foreign_beside(out: Path) -> None:
    """Refuse to replace a file beside the atlas that is no file of activations.

    Args:
        out: Atlas file to be written.

    Raises:
        OutputError: The place of the activations holds something else.
    """
    target = activations_file(out)
    if not target.exists():
        return
    try:
        with duckdb.connect() as con:
            con.execute(f"ATTACH {quoted(str(target))} AS other (TYPE duckdb, READ_ONLY)")
            names = {
                name
                for (name,) in con.execute(
                    "SELECT table_name FROM duckdb_tables() WHERE database_name = 'other'"
                ).fetchall()
            }
    except duckdb.Error:
        names = set()
    if names != {*_SORTED, "metadata", "activation_units"}:
        raise OutputError(
            f"{target} is in the place of the activations of {out.name} and holds something else; choose another -o, or move it"
        )


def place_beside(fresh: Path, out: Path) -> None:
    """Put the file of activations beside the atlas, or remove what an earlier atlas had there.

    Args:
        fresh: New atlas file, beside which the new file of activations is, if there is one.
        out: Atlas file that it replaces.
    """
    written, target = activations_file(fresh), activations_file(out)
    if written.exists():
        sync(written)
        rename(written, target)
    else:
        target.unlink(missing_ok=True)
