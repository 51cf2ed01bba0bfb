"""Queries of an atlas as tools of the Model Context Protocol: names, JSON schemas, and calls with limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import duckdb

from atlas.database import Script
from atlas.errors import UsageError
from atlas.query.catalogue import catalogue
from atlas.query.client import Atlas
from atlas.web.calls import SET, ask, properties, required

# A language model reads every row.
DEFAULT_ROWS, MOST_ROWS = 50, 1_000
_LIMIT = {
    "type": "integer",
    "minimum": 1,
    "maximum": MOST_ROWS,
    "description": f"rows at most; {DEFAULT_ROWS} where left out",
}
_EXTRA = {
    "sql": (
        "Run one SELECT statement of DuckDB on the atlas, read-only. FROM help lists tables, views and macros with examples.",
        "sql",
        "the statement",
    ),
    "columns": ("List the columns of a table or view, with their meaning.", "name", "name of the table or view"),
    "set_sql": ("Return the SQL of a set of neurons.", "chosen", SET),
}


def tools() -> list[dict[str, Any]]:
    """Describe every tool.

    Returns:
        `name`, `description` and `input_schema` of each, queries first.
    """
    found = [
        {"name": name, "description": query.doc, "input_schema": _schema(query)} for name, query in catalogue().items()
    ]
    for name, (doc, argument, about) in _EXTRA.items():
        properties: dict[str, Any] = {argument: {"type": "string", "description": about}}
        if name == "sql":
            properties["limit"] = _LIMIT
        schema = {"type": "object", "properties": properties, "required": [argument], "additionalProperties": False}
        found.append({"name": name, "description": doc, "input_schema": schema})
    return found


def _schema(query: Script) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**properties(query), "limit": _LIMIT},
        "required": required(query),
        "additionalProperties": False,
    }


def call(atlas: Atlas, name: str, arguments: Mapping[str, Any], *, timeout: float = 30.0) -> str:
    """Run a tool.

    Args:
        atlas: An open atlas.
        name: Name of the tool.
        arguments: Values by name, as its schema says.
        timeout: Seconds after which the query is stopped.

    Returns:
        JSON: `columns`, `rows`, and `truncated`, which says whether there are more rows; or `sql`.

    Raises:
        AtlasError: The tool or an argument is wrong, or the query takes too long.
    """
    given = dict(arguments)
    limit = given.pop("limit", None)
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MOST_ROWS):
        raise UsageError(f"limit is 1 to {MOST_ROWS}, not {limit!r}")
    if name == "set_sql":
        return json.dumps({"sql": atlas.set_sql(_text(given, "chosen"))})
    with atlas.limited(timeout) as limited:
        return _rows(_relation(limited, name, given, (limit or DEFAULT_ROWS) + 1), limit or DEFAULT_ROWS)


def _relation(atlas: Atlas, name: str, given: dict[str, Any], most: int) -> duckdb.DuckDBPyRelation:
    if name == "sql":
        return atlas.sql(_text(given, "sql")).limit(most)
    if name == "columns":
        return atlas.columns_of(_text(given, "name"))
    query = catalogue().get(name)
    if query is None:
        raise UsageError(f"no tool is called {name!r}")
    return ask(atlas, query, given, most)


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or set(given) != {name}:
        raise UsageError(f"the tool takes {name} as text, and nothing else")
    return value


def _rows(relation: duckdb.DuckDBPyRelation, limit: int) -> str:
    rows = relation.fetchall()
    found = {
        "columns": list(relation.columns),
        "rows": [list(row) for row in rows[:limit]],
        "truncated": len(rows) > limit,
    }
    return json.dumps(found, ensure_ascii=False, default=str)
