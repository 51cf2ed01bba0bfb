"""Queries of an atlas as tools of the Model Context Protocol: names, JSON schemas, and calls with limits."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

import duckdb

from atlas.database import Parameter, Script
from atlas.errors import QueryError, UsageError
from atlas.ids import NeuronId, UnitId
from atlas.query.catalogue import catalogue
from atlas.query.client import Atlas
from atlas.query.connection import NEURONS

# A language model reads every row.
DEFAULT_ROWS, MOST_ROWS = 50, 1_000
_TYPES = {"INTEGER": "integer", "BIGINT": "integer", "DOUBLE": "number", "BOOLEAN": "boolean", "VARCHAR": "string"}
_SET = 'an expression such as "label ~ capital && layer >= 10", or ids such as L24/N5326, or a list of ids'
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
    "set_sql": ("Return the SQL of a set of neurons.", "chosen", _SET),
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
    """Return the JSON schema of the parameters of a query; a neuron is one id instead of layer and index."""
    properties: dict[str, Any] = {}
    required = []
    known = {one.name for one in query.parameters}
    for one in query.parameters:
        end = one.name.removesuffix("layer")
        index = "unit" if "unit" in known else f"{end}neuron"
        if one.name.endswith("layer") and one.required and index in known:
            name = f"{end}{'unit' if index == 'unit' else 'neuron'}"
            properties[name] = {
                "type": "string",
                "description": "id, such as L24/N5326" + (", or L2/F10 of a feature" if index == "unit" else ""),
            }
            required.append(name)
        elif (
            one.name not in properties
            and one.name != "limit"
            and not (one.name.endswith("neuron") and one.required)
            and one.name not in ("unit", "unit_type")
        ):
            properties[one.name] = _property(one)
            required += [one.name] if one.required else []
    properties["limit"] = _LIMIT
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _property(one: Parameter) -> dict[str, Any]:
    if one.type == NEURONS:
        return {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            "description": f"{one.doc}: {_SET}",
        }
    found: dict[str, Any] = {"type": _TYPES[one.type], "description": one.doc}
    if one.choices:
        found["enum"] = list(one.choices)
    if one.bounds is not None:
        found |= {"minimum": one.bounds[0], "maximum": one.bounds[1]}
    return found


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
    timer = threading.Timer(timeout, atlas.interrupt)
    timer.start()
    try:
        return _rows(_relation(atlas, name, given, (limit or DEFAULT_ROWS) + 1), limit or DEFAULT_ROWS)
    except duckdb.InterruptException as error:
        raise QueryError(
            f"the query took longer than {timeout:g} s and was stopped; ask for less, such as fewer hops or more graphs"
        ) from error
    except duckdb.Error as error:
        raise QueryError(" ".join(str(error).split())[:400]) from error
    finally:
        timer.cancel()


def _relation(atlas: Atlas, name: str, given: dict[str, Any], most: int) -> duckdb.DuckDBPyRelation:
    if name == "sql":
        return atlas.sql(_text(given, "sql")).limit(most)
    if name == "columns":
        return atlas.columns_of(_text(given, "name"))
    query = catalogue().get(name)
    if query is None:
        raise UsageError(f"no tool is called {name!r}")
    known = {one.name for one in query.parameters}
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key == "unit" and "unit" in known:
            values |= _unit(str(value), known)
        elif key.endswith("neuron") and f"{key.removesuffix('neuron')}layer" in known:
            values |= _neuron(str(value), key.removesuffix("neuron"))
        else:
            values[key] = value
    if "limit" in known:
        values["limit"] = most
    return atlas.query(name, **values).limit(most)


def _neuron(value: str, end: str) -> dict[str, int]:
    found = NeuronId.parse(value)
    return {f"{end}layer": found.layer, f"{end}neuron": found.neuron}


def _unit(value: str, known: set[str]) -> dict[str, Any]:
    return {name: one for name, one in UnitId.parse(value)._asdict().items() if name in known}


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
