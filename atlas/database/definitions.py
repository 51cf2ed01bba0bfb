"""Definitions of an atlas: its tables, views and macros with their comments, and the table `help`."""

from __future__ import annotations

import re

import duckdb

from atlas.database.macros import is_of_table, macro_sql, macros
from atlas.database.scripts import Script, quoted, script, scripts

# The entries that most users need. The shell only shows the first and the last rows of a long result.
_FIRST_HELP = [
    "help",
    "card",
    "neurons",
    "edges",
    "clusters",
    "circuits",
    "hubs",
    "upstream",
    "downstream",
    "strongest_paths",
    "circuit",
    "circuit_edges",
    "circuit_members",
    "clusterings",
    "search",
    "similar_neurons",
    "labels",
    "graphs",
    "graphs_of",
    "tokens_in",
    "logits_out",
    "cooccurring",
    "edge_details",
    "metadata",
]
_COLUMN = re.compile(r"^    (\w+) (?!KEY\b)[A-Z].*?,?$", re.MULTILINE)


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Create the tables of an atlas in the current catalog, and the macros that loading them uses."""
    # One commit for all definitions: separate commits would wait for the disk about seven hundred times.
    con.execute("BEGIN")
    for item in scripts("tables"):
        con.execute(item.sql)
        con.execute(f"COMMENT ON TABLE {item.name[3:]} IS {quoted(item.doc)}")
    for item in macros():
        if not is_of_table(item):
            con.execute(item.sql)
    con.execute("COMMIT")


def table_columns(*, computed: bool = True) -> dict[str, list[str]]:
    """Return the columns of every table; without those that are computed from others where `computed` is false."""
    found = {}
    for item in scripts("tables"):
        body = item.sql.partition("CREATE TABLE")[2].partition("\n);")[0]
        found[item.name[3:]] = [
            row[1] for row in _COLUMN.finditer(body) if computed or "GENERATED ALWAYS" not in row[0]
        ]
    return found


def create_views(con: duckdb.DuckDBPyConnection) -> None:
    """Create the views and macros of an atlas in the current catalog, comments of its columns, and the rows of `help`."""
    views, known = scripts("views"), macros()
    con.execute("BEGIN")
    for item in views:
        con.execute(item.sql)
    identity = con.execute("SELECT value FROM metadata WHERE key = 'atlas_id'").fetchall()[0][0]
    for item in filter(is_of_table, known):
        con.execute(macro_sql(item, identity))
    _comment(con, views, known)
    _fill_help(con, views, known)
    con.execute("COMMIT")


def _comment(con: duckdb.DuckDBPyConnection, views: list[Script], known: list[Script]) -> None:
    """Add the comments of views and macros from their headers, and comments of columns that have none.

    Such a column gets the comment of the first column of that name in `sql/tables`: one word has one meaning.
    """
    lines = [f"COMMENT ON VIEW {item.name} IS {quoted(item.doc)};" for item in views]
    for item in known:
        table = " TABLE" if is_of_table(item) else ""
        lines.append(f'COMMENT ON MACRO{table} "{item.name}" IS {quoted(item.doc)};')
    columns = con.execute(script("columns")).fetchall()
    words: dict[str, str] = {}
    for _, column, comment in columns:
        if comment is not None:
            words.setdefault(column, comment)
    for table, column, comment in columns:
        if comment is None:
            lines.append(f'COMMENT ON COLUMN "{table}"."{column}" IS {quoted(words[column])};')
    con.execute("\n".join(lines))


def _fill_help(con: duckdb.DuckDBPyConnection, views: list[Script], known: list[Script]) -> None:
    """Fill the table `help` with every table, view and macro, and with examples that use names of this atlas."""
    found = example_names(con)
    tables = con.execute(
        "SELECT table_name, comment FROM duckdb_tables() WHERE database_name = current_database() ORDER BY table_oid"
    )
    rows = [("help", "table", "This list.", "FROM help;")]
    scripted = [("macro", item) for item in known] + [("view", item) for item in views]
    rows += [(item.name, kind, item.doc, (item.example or "").format_map(found)) for kind, item in scripted]
    rows += [(name, "table", comment, f"FROM {name} LIMIT 5;") for name, comment in tables.fetchall() if name != "help"]
    place = {name: number for number, name in enumerate(_FIRST_HELP)}
    rows.sort(key=lambda row: place.get(row[0], len(place)))
    con.executemany("INSERT INTO help VALUES (?, ?, ?, ?)", rows)


def example_names(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return names that exist in the atlas in use, for the examples of `help`."""
    names = con.execute(script("examples"))
    columns = [column[0] for column in names.description or ()]
    return {column: str(value).replace("'", "''") for column, value in zip(columns, names.fetchall()[0], strict=True)}
