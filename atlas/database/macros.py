"""Macros of an atlas as they are stored: with forms that take ids as text, and tied to their own atlas."""

from __future__ import annotations

import re
from collections.abc import Mapping

from atlas.database.scripts import Script, quoted, scripts

_HEAD = re.compile(r"CREATE MACRO (\w+)\((.*?)\) AS TABLE\n", re.DOTALL)
# Ends that are given by two numbers, or by one id.
_ENDS = (("of_layer", "of_neuron", "id"), ("of_layer", "of_unit", "id"), ("from_layer", "from_neuron", "from_id"), ("to_layer", "to_neuron", "to_id"))  # fmt: skip
# Sets of a query, and the ids that stand for them in its macro.
_SETS = {"chosen": "id", "starts": "from_id", "ends": "to_id"}
_ID = r"^\s*[Ll]?(\d+)[^\d]+(\d+)\s*$"


def macros() -> list[Script]:
    """Read the macros of an atlas.

    Returns:
        The files of `sql/macros`, and queries that are macros, too, by name.
    """
    found = scripts("macros") + [_from_query(query) for query in scripts("queries") if query.macro]
    return sorted(found, key=lambda macro: macro.name)


def _from_query(query: Script) -> Script:
    """Return the macro of a query: its sets are one neuron each, and its parameters have the defaults of its header."""
    name, _, given = (query.macro or "").removesuffix(")").partition("(")
    pairs = [part.strip().partition(" := ") for part in given.split(",")]
    parameters = ", ".join(f'"{key}" := {default}' if default else f'"{key}"' for key, _, default in pairs)
    keys = [key for key, *_ in pairs]
    wrong = _refusals(query)
    sets = {
        chosen: f"SELECT {f'CASE {wrong} ELSE {_part(key, 1)} END' if wrong else _part(key, 1)} AS layer, {_part(key, 2)} AS neuron"
        for chosen, key in _SETS.items()
        if key in keys
    }
    values = {one.name: f'"{"top" if one.name == "limit" else one.name}"' for one in query.parameters}
    lines = [f"CREATE MACRO {name}({parameters}) AS TABLE", filled_in(query, sets, values) + ";", ""]
    return Script(name, "\n".join(lines), query.doc, query.example, ())


def _refusals(query: Script) -> str:
    """Return the cases of an expression in which a parameter has a value that it does not take."""
    cases = []
    for one in query.parameters:
        if one.choices:
            listed = ", ".join(map(quoted, one.choices))
            cases.append(
                f"WHEN \"{one.name}\" NOT IN ({listed}) THEN error('{one.name} is one of {', '.join(one.choices)}')"
            )
        elif one.bounds is not None:
            least, most = one.bounds
            cases.append(
                f"WHEN \"{one.name}\" NOT BETWEEN {least} AND {most} THEN error('{one.name} is {least} to {most}')"
            )
    return " ".join(cases)


def filled_in(query: Script, sets: Mapping[str, str], values: Mapping[str, str]) -> str:
    """Return the SQL of a query that begins with WITH, with its sets and parameters written into it.

    Args:
        query: File of `queries/`.
        sets: SQL of its sets of neurons, by name.
        values: SQL of its other parameters, by name.

    Returns:
        One SELECT statement without comments at its head.
    """
    lines = query.sql.splitlines()
    body = "\n".join(lines[next(number for number, line in enumerate(lines) if not line.startswith("--")) :])
    parts = "".join(f"{name} AS (\n    {sql}\n),\n" for name, sql in sets.items())
    body = re.sub(r"^WITH( RECURSIVE)?\s", lambda found: f"{found[0].rstrip()}\n{parts}", body)
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], body).rstrip()


def is_of_table(macro: Script) -> bool:
    """Return True for a macro that returns rows, False for one that returns a value."""
    return _HEAD.search(macro.sql) is not None


def macro_sql(macro: Script, identity: str) -> str:
    """Return the SQL that creates a table macro with all of its forms.

    A macro of a neuron takes its layer and index, or its id as text. One whose last parameter is `top` can be
    called without it, for all rows.

    Args:
        macro: File of `sql/macros`.
        identity: `atlas_id` of the atlas.

    Returns:
        One statement.
    """
    head = _HEAD.search(macro.sql)
    assert head is not None  # a file of sql/macros
    name, parameters = head[1], [part.strip() for part in head[2].split(",")]
    body = macro.sql[head.end() :]
    forms = [(parameters, body)]
    if parameters[-1] == "top":
        forms.append((parameters[:-1], _replaced(body, {"top": "NULL"})))
    if (with_ids := _with_ids(parameters, body)) is not None:
        forms.append(with_ids)
    stored = ",\n".join(f"({', '.join(given)}) AS TABLE (\n{_tied_to(text, identity)}\n)" for given, text in forms)
    return "\n".join([f"CREATE MACRO {name}", stored + ";"])


def _with_ids(parameters: list[str], body: str) -> tuple[list[str], str] | None:
    """Return the form of a macro that takes ids, or None where it takes no neuron."""
    found: list[str] = []
    values: dict[str, str] = {}
    for layer, index, name in _ENDS:
        if layer in parameters and index in parameters:
            found.append(name)
            values |= {layer: _part(name, 1), index: _part(name, 2)}
            if "of_type := NULL" in parameters:
                values["of_type"] = f"CASE WHEN contains(lower({name}), 'f') THEN 'feature' ELSE 'neuron' END"
    # The id stands for two numbers; with `top` its form would have as many parameters as the one without.
    more = {"top": "NULL"} if "top" in parameters else {}
    return (found, _replaced(body, values | more)) if found else None


def _part(name: str, number: int) -> str:
    wrong = f"error('write a neuron like L24/N5326, not ' || {name})"
    return f"CASE WHEN regexp_matches({name}, {quoted(_ID)}) THEN regexp_extract({name}, {quoted(_ID)}, {number})::INTEGER ELSE {wrong} END"


def _replaced(body: str, values: dict[str, str]) -> str:
    """Replace parameters by SQL, but not inside of texts and comments."""
    pattern = re.compile(r"'[^']*'|--[^\n]*|\b(" + "|".join(values) + r")\b")
    return pattern.sub(lambda found: f"({values[found[1]]})" if found[1] else found[0], body)


def _tied_to(body: str, identity: str) -> str:
    """Return the body of a table macro that fails if its tables resolve to those of another atlas.

    DuckDB looks up the tables of a macro in the current catalog, not in the macro's own. With two atlases attached,
    `gemma.circuit('1')` would return a circuit of the atlas in use. The body must end in an ORDER BY over its own
    columns, so that a LIMIT after the macro still applies to sorted rows.
    """
    rows, _, order = body.rstrip().rstrip(";").rpartition("\nORDER BY ")
    message = f"this macro is of another atlas than the one in use; USE that one first (atlas_id {identity})"
    own = f"(SELECT value FROM metadata WHERE key = 'atlas_id') = {quoted(identity)}"
    only = f"WHERE CASE WHEN {own} THEN true ELSE error({quoted(message)}) END"
    return "\n".join(["SELECT * FROM (", rows, ")", only, f"ORDER BY {order}"])
