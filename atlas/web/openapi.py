"""Description of the server for programs: OpenAPI, made from the headers of the queries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from atlas._version import __version__
from atlas.database import Script
from atlas.query.catalogue import catalogue
from atlas.web.answers import MEDIA_TYPES
from atlas.web.calls import properties, required
from atlas.web.comparisons import TABLES

_ROWS = {
    "type": "object",
    "properties": {
        "columns": {"type": "array", "items": {"type": "string"}},
        "types": {"type": "array", "items": {"type": "string"}, "description": "types of DuckDB"},
        "rows": {"type": "array", "items": {"type": "array", "items": {}}},
        "truncated": {"type": "boolean", "description": "whether there are more rows"},
    },
    "required": ["columns", "types", "rows", "truncated"],
}
_NUMBER = {"type": "integer", "minimum": 0}
_REFUSALS = {
    "400": {"description": "a parameter is wrong, or the query takes too long"},
    "401": {"description": "the server has a token, and the request has not"},
    "403": {"description": "the request is of a page of another site"},
    "404": {"description": "there is no such query, atlas or unit"},
    "503": {"description": "a file cannot be read"},
}
_UNIT = {
    "name": "unit",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "number, or L2-F845",
}


def openapi(atlases: Sequence[str]) -> dict[str, Any]:
    """Describe every address of a server.

    Args:
        atlases: Names of the atlases that it serves.

    Returns:
        A document of OpenAPI 3.1.
    """
    common = [
        _parameter("atlas", {"type": "string", "enum": list(atlases)}, "which atlas; the first where left out"),
        _parameter("format", {"type": "string", "enum": list(MEDIA_TYPES)}, "form of the rows; json where left out"),
        _parameter("limit", _NUMBER, "rows at most"),
    ]
    paths = {f"/api/{query.name}": {"get": _query(query, common)} for query in catalogue().values()}
    statement = _parameter("sql", {"type": "string"}, "one SELECT statement", needed=True)
    paths["/sql"] = {"get": _sql([*common, statement]), "post": _posted(_sql([]), [*common, statement])}
    paths["/compare/{table}"] = {"get": _comparison(common)}
    paths |= _fixed(common[0])
    return {
        "openapi": "3.1.0",
        "info": {"title": "Circuit Atlas", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {"Rows": _ROWS},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        # A server on this machine alone has no token.
        "security": [{}, {"token": []}],
    }


def _query(query: Script, common: list[dict[str, Any]]) -> dict[str, Any]:
    needed = required(query)
    own = [
        _parameter(
            name,
            {key: value for key, value in schema.items() if key != "description"},
            schema["description"],
            needed=name in needed,
        )
        for name, schema in properties(query).items()
    ]
    return {
        "operationId": query.name,
        "summary": query.doc,
        "parameters": [*own, *common, _parameter("offset", _NUMBER, "rows to leave out first")],
        "responses": {"200": _rows(), **_REFUSALS},
    }


def _sql(parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "operationId": "sql",
        "summary": "Run one SELECT statement, read-only, with limits of rows, memory and time.",
        "parameters": parameters,
        "responses": {"200": _rows(), **_REFUSALS},
    }


def _posted(found: dict[str, Any], parameters: list[dict[str, Any]]) -> dict[str, Any]:
    """Return an operation whose parameters are the members of a JSON object, or whose body is the SQL itself."""
    schema = {
        "type": "object",
        "properties": {one["name"]: one["schema"] for one in parameters},
        "required": ["sql"],
    }
    content = {"application/json": {"schema": schema}, "text/plain": {"schema": {"type": "string"}}}
    return found | {"operationId": "post_sql", "requestBody": {"required": True, "content": content}}


def _comparison(common: list[dict[str, Any]]) -> dict[str, Any]:
    table = {"name": "table", "in": "path", "required": True, "schema": {"type": "string", "enum": list(TABLES)}}
    text = {"type": "string"}
    own = [
        table | {"description": "what was compared; neurons, edges or groups of neurons, the surest difference first"},
        _parameter("other", text, "atlas of side B; that of side A where left out"),
        _parameter("where_a", text, "graphs of side A: an SQL condition on the table graphs; all where left out"),
        _parameter("where_b", text, "graphs of side B; of one atlas all others where left out"),
        _parameter("comparison", text, "a comparison that is served, instead of all of these"),
    ]
    return {
        "operationId": "compare",
        "summary": "Compare two atlases, or two selections of graphs, with false discovery rates.",
        "parameters": [*own, *common, _parameter("offset", _NUMBER, "rows to leave out first")],
        "responses": {"200": _rows(), **_REFUSALS},
    }


def _fixed(atlas: dict[str, Any]) -> dict[str, Any]:
    arrow = {MEDIA_TYPES["arrow"]: {"schema": {"type": "string", "format": "binary"}}}
    json = {MEDIA_TYPES["json"]: {"schema": {"type": "object"}}}
    options = [
        _UNIT,
        _parameter("layer", _NUMBER, "layer of the unit; the only one where left out"),
        _parameter("limit", _NUMBER, "rows at most"),
        _parameter(
            "sample_frac", {"type": "number", "minimum": 0, "maximum": 1}, "share of the rows, the same one each time"
        ),
        _parameter("include_abilities", {"type": "boolean"}, "with the tokens of the context"),
        _parameter(
            "order", {"type": "string", "enum": ["context", "value"]}, "order of the rows; value has the largest first"
        ),
    ]
    graph = {"name": "graph", "in": "path", "required": True, "schema": {"type": "string"}}
    found = {
        "/graphs/{graph}/neuronpedia.json": (
            "A graph for the viewers of Neuronpedia and circuit-tracer.",
            [graph | {"description": "number, or the end of the name of its file"}, atlas],
            json,
        ),
        "/api": ("Lists atlases and queries.", [], json),
        "/health": ("Says whether activations can be read.", [], json),
        "/features": ("Lists the units with activations.", [], json),
        "/activations/{unit}": ("Activations of a unit.", options, json),
        "/activations/{unit}/arrow": ("Activations of a unit as an Arrow stream.", options, arrow),
        "/context/vocab": ("Numbers of tokens by text.", [], json),
        "/context/inv_vocab": ("Texts of tokens by number.", [], json),
    }
    return {
        path: {
            "get": {
                "operationId": re.sub(r"\W+", "_", path).strip("_"),
                "summary": summary,
                "parameters": parameters,
                "responses": {"200": {"description": "the answer", "content": content}, **_REFUSALS},
            }
        }
        for path, (summary, parameters, content) in found.items()
    }


def _rows() -> dict[str, Any]:
    schemas = {
        "json": {"$ref": "#/components/schemas/Rows"},
        "csv": {"type": "string"},
        "arrow": {"type": "string", "format": "binary"},
    }
    return {
        "description": "the rows",
        "content": {MEDIA_TYPES[form]: {"schema": schema} for form, schema in schemas.items()},
    }


def _parameter(name: str, schema: dict[str, Any], doc: str, *, needed: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": needed, "schema": schema, "description": doc}
