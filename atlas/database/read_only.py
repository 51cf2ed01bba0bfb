"""Check that SQL only reads, with DuckDB's own parser."""

from __future__ import annotations

import re

import duckdb

from atlas.errors import QueryError

# Everything before the statement that EXPLAIN explains. DuckDB treats comments as white space.
_SPACE = r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)"
_EXPLAIN = re.compile(
    rf"{_SPACE}*EXPLAIN\b(?:{_SPACE}*\((?:ANALYZE|FORMAT|,|\w|\s)*\)(?={_SPACE}*\w))?(?:{_SPACE}+ANALYZE\b)?",
    re.IGNORECASE | re.DOTALL,
)
_HINTS = {
    "MULTI": "PIVOT must name its values: PIVOT ... ON column IN (...)",
    "PRAGMA": "use the table functions instead: FROM duckdb_tables(), FROM duckdb_columns()",
    "SET": "the configuration is locked",
    "COPY": "write results with atlas sql FILE SQL -o RESULT, in Python with the methods of the relation",
}


def require_reading(text: str) -> None:
    """Raise an error for SQL that does more than read.

    DuckDB treats DESCRIBE, SUMMARIZE, SHOW, FROM and VALUES as SELECT statements.

    Args:
        text: SQL to check.

    Raises:
        QueryError: `text` is not one SELECT statement, or EXPLAIN of one.
    """
    kind = statement_type(text)
    explained = _EXPLAIN.match(text) if kind == "EXPLAIN" else None
    if explained is not None:
        kind = statement_type(text[explained.end() :])
    if kind != "SELECT":
        hint = _HINTS.get(kind, "use SELECT, FROM, DESCRIBE, SUMMARIZE or EXPLAIN of one of them")
        raise QueryError(f"an atlas is read-only and takes no {kind.replace('_', ' ')} statement; {hint}")


def statement_type(text: str) -> str:
    """Return the type of the one statement in `text`, as `duckdb.StatementType` names it; raises `QueryError`."""
    try:
        statements = duckdb.extract_statements(text)
    except duckdb.Error as error:
        raise QueryError(one_line(error)) from error
    if not statements:
        raise QueryError("there is no SQL to run; write it like: SELECT * FROM neurons LIMIT 5")
    if len(statements) > 1:
        raise QueryError("one statement at a time: the results of the others would not be seen")
    try:
        return str(statements[0].type.name)
    except ValueError:  # a type that DuckDB's Python module has no name for
        return "such"


def one_line(error: Exception) -> str:
    """Return the message of a DuckDB error on one line.

    Args:
        error: Error that DuckDB raised.

    Returns:
        The first paragraph, without line breaks.
    """
    return " ".join(str(error).split("\n\n")[0].split())
