"""Queries of an atlas as calls from outside: JSON schemas of their parameters, values from texts, one relation back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from atlas.database import Parameter, Script
from atlas.errors import UsageError
from atlas.ids import NeuronId, UnitId
from atlas.query.client import Atlas
from atlas.query.connection import NEURONS

SET = 'an expression such as "label ~ capital && layer >= 10", or ids such as L24/N5326, or a list of ids'
_TYPES = {"INTEGER": "integer", "BIGINT": "integer", "DOUBLE": "number", "BOOLEAN": "boolean", "VARCHAR": "string"}
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def properties(query: Script) -> dict[str, dict[str, Any]]:
    """Describe the parameters of a query, but for its limit.

    Args:
        query: One file of `queries/`.

    Returns:
        JSON schemas by name. A neuron is one id instead of layer and index.
    """
    found: dict[str, dict[str, Any]] = {}
    known = {one.name for one in query.parameters}
    for one in query.parameters:
        end = one.name.removesuffix("layer")
        index = "unit" if "unit" in known else f"{end}neuron"
        if one.name.endswith("layer") and one.required and index in known:
            more = ", or L2/F10 of a feature" if index == "unit" else ""
            name = index if index == "unit" else f"{end}neuron"
            found[name] = {"type": "string", "description": f"id, such as L24/N5326{more}"}
        elif (
            one.name not in found
            and one.name not in ("limit", "unit", "unit_type")
            and not (one.name.endswith("neuron") and one.required)
        ):
            found[one.name] = _property(one)
    return found


def required(query: Script) -> list[str]:
    """Return the names in `properties` of a query that every call must state."""
    needed = {one.name for one in query.parameters if one.required}
    return [name for name in properties(query) if name in needed]


def _property(one: Parameter) -> dict[str, Any]:
    if one.type == NEURONS:
        return {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            "description": f"{one.doc}: {SET}",
        }
    found: dict[str, Any] = {"type": _TYPES[one.type], "description": one.doc}
    if one.choices:
        found["enum"] = list(one.choices)
    if one.bounds is not None:
        found |= {"minimum": one.bounds[0], "maximum": one.bounds[1]}
    return found


def values_of(query: Script, texts: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Read the parameters of an address.

    Args:
        query: One file of `queries/`.
        texts: Names and texts; a set of neurons may come several times, one id each.

    Returns:
        Values by name, as `ask` takes them. Empty texts of optional parameters are left out.

    Raises:
        UsageError: A text is no number or no truth value, or a parameter comes twice.
    """
    known = properties(query)
    needed = required(query)
    values: dict[str, Any] = {}
    for name, text in texts:
        if not text and name not in needed:
            continue
        schema = known.get(name, {})
        if name not in values:
            values[name] = _typed(name, text, schema.get("type"))
        elif "anyOf" in schema:
            values[name] = [*(values[name] if isinstance(values[name], list) else [values[name]]), text]
        else:
            raise UsageError(f"{name} is given twice")
    return values


def _typed(name: str, text: str, kind: object) -> Any:
    try:
        if kind == "integer":
            return int(text)
        if kind == "number":
            return float(text)
        if kind == "boolean":
            return _TRUTH[text.lower()]
    except (ValueError, KeyError):
        raise UsageError(f"{name} is of type {kind}, not {text!r}") from None
    return text


def whole_number(texts: Mapping[str, str], name: str) -> int | None:
    """Return a parameter of an address as a whole number; None where it is left out. Raises `UsageError`."""
    text = texts.get(name)
    if not text:
        return None
    if not text.isdecimal() or len(text) > 12:
        raise UsageError(f"{name} is a whole number, not {text[:40]!r}")
    return int(text)


def ask(atlas: Atlas, query: Script, given: Mapping[str, Any], most: int | None) -> duckdb.DuckDBPyRelation:
    """Run a query.

    Args:
        atlas: An open atlas.
        query: One file of `queries/`.
        given: Values by name, as `properties` describes them.
        most: Number of rows at most; None for all.

    Returns:
        A relation with the columns of the query.

    Raises:
        UsageError: A parameter is wrong or missing.
    """
    known = {one.name for one in query.parameters}
    described = properties(query)
    if missing := [name for name in required(query) if given.get(name) is None]:
        raise UsageError(
            f"query {query.name} needs " + ", ".join(f"{name} ({described[name]['description']})" for name in missing)
        )
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key == "unit" and "unit" in known:
            unit = UnitId.parse(str(value))._asdict()
            values |= {name: one for name, one in unit.items() if name in known}
        elif key.endswith("neuron") and f"{key.removesuffix('neuron')}layer" in known:
            end = key.removesuffix("neuron")
            found = NeuronId.parse(str(value))
            values |= {f"{end}layer": found.layer, f"{end}neuron": found.neuron}
        else:
            values[key] = value
    if "limit" in known:
        values["limit"] = most
    relation = atlas.query(query.name, **values)
    return relation if most is None else relation.limit(most)
