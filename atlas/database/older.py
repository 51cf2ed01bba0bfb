"""Atlases of an earlier schema, read as if they had the present one.

The file stays as it is. A catalog in memory has a view of each of its tables, what it lacks, computed from what it has, and
the views and macros of this version.
"""

from __future__ import annotations

import duckdb

from atlas.database.definitions import example_names
from atlas.database.macros import is_of_table, macro_sql, macros
from atlas.database.scripts import identifier, quoted, script, scripts

# The earliest schema that can be read.
OLDEST = 9
BEFORE = "before"


def upgrade(con: duckdb.DuckDBPyConnection, file: str, name: str, given: int, wanted: int) -> None:
    """Put a catalog in memory in the place of an attached atlas of an earlier schema.

    Args:
        con: Connection to which the file is attached, without being in use.
        file: Path of the file.
        name: Name of its catalog, which the new one takes over.
        given: Schema of the file.
        wanted: Schema of this version.
    """
    con.execute("USE memory.main")
    con.execute(f"DETACH {identifier(name)}")
    con.execute(f"ATTACH {quoted(file)} AS {BEFORE} (TYPE duckdb, READ_ONLY)")
    con.execute(f"ATTACH ':memory:' AS {identifier(name)}")
    con.execute(f"USE {identifier(name)}.main")
    tables = con.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = $1", [BEFORE]).fetchall()
    for (table,) in tables:
        # Macros read the rows of neurons by rowid, which only a table has.
        kind = "TABLE" if table == "neurons" else "VIEW"
        con.execute(f"CREATE {kind} {identifier(table)} AS FROM {BEFORE}.{identifier(table)}")
    known = macros()
    for item in known:
        if not is_of_table(item):
            con.execute(item.sql)
    for version in range(given, wanted):
        con.execute(script(f"upgrades/{version:02}"))
    for view in scripts("views"):
        con.execute(view.sql)
    identity = con.execute("SELECT value FROM metadata WHERE key = 'atlas_id'").fetchall()[0][0]
    for item in filter(is_of_table, known):
        con.execute(macro_sql(item, identity))
    names = example_names(con)
    con.execute("CREATE OR REPLACE TABLE listed AS FROM help")
    con.execute("DROP VIEW help")
    con.execute("ALTER TABLE listed RENAME TO help")
    listed = {row[0] for row in con.execute("SELECT name FROM help").fetchall()}
    rows = [
        (item.name, "macro", item.doc, (item.example or "").format_map(names))
        for item in known
        if item.name not in listed
    ]
    if rows:
        con.executemany("INSERT INTO help VALUES (?, ?, ?, ?)", rows)
