"""SQL of sets of neurons: one common table expression per part, so that the SQL can be read, and pasted into the DuckDB shell."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from atlas.database.definitions import table_columns
from atlas.database.macros import filled_in
from atlas.database.scripts import quoted
from atlas.errors import UsageError
from atlas.query.catalogue import find_query
from atlas.query.neuron_sets import (
    UPSTREAM,
    Everything,
    FieldTest,
    InCircuit,
    InGraphs,
    Inverse,
    Joined,
    Labelled,
    Listed,
    NeuronSet,
    Pathway,
    Saved,
    Similar,
    Steps,
    Where,
    WithToken,
)

# Other names of the columns of `neurons`.
ALIASES = {
    "id": "neuron_id",
    "graphs": "graph_count",
    "groups": "group_count",
    "nodes": "node_count",
    "cluster": "cluster_path",
    "confidence": "cluster_confidence",
    "flow": "infomap_flow",
    "activation": "max_activation",
    "influence": "mean_influence",
    "template": "is_template",
    "source": "label_source",
    "kind": "label_kind",
    "inputs": "in_degree",
    "outputs": "out_degree",
}
# Fields that are no column: their SQL for the neuron `n`.
_COMPUTED = {
    "type": "(SELECT any_value(l.type) FROM labels AS l WHERE l.layer = n.layer AND l.neuron = n.neuron AND l.rank = 1)",
    "support": "(SELECT c.support FROM circuits AS c WHERE c.is_primary AND c.circuit_id = n.cluster_path)",
    "share": "(n.appearance_count / (SELECT count(*) FROM graphs))",
    "sign": "(SELECT CASE WHEN sum(e.weight_sum) < 0 THEN '-' ELSE '+' END FROM edges AS e WHERE e.src_layer = n.layer AND e.src_neuron = n.neuron)",
}


def field_names() -> list[str]:
    """Return the fields of an expression: the columns of `neurons`, their short names, and fields that are computed."""
    return sorted({*table_columns()["neurons"], *ALIASES, *_COMPUTED})


class SetSql:
    """Compiles sets of neurons to SQL of an atlas."""

    def __init__(
        self, columns: Mapping[str, str], saved: Callable[[str], NeuronSet], check_circuit: Callable[[str], None]
    ) -> None:
        """Compile for an atlas.

        Args:
            columns: Type of every column of `neurons`.
            saved: Returns the set that was saved under a name.
            check_circuit: Raises `UsageError` for a circuit that the atlas does not have.
        """
        self._columns, self._saved, self._check_circuit = columns, saved, check_circuit
        self._parts: dict[str, str] = {}
        self._names: dict[tuple[NeuronSet, str], str] = {}
        self._open: list[str] = []

    def select(self, given: NeuronSet) -> str:
        """Return the SQL of a set.

        Args:
            given: Set.

        Returns:
            One SELECT statement with the columns `layer` and `neuron`.

        Raises:
            UsageError: A field, a circuit or a saved set does not exist.
        """
        condition = self.condition(given)
        parts = ",\n".join(f"{name} AS (\n    {sql}\n)" for name, sql in self._parts.items())
        head = f"WITH {parts}\n" if parts else ""
        return f"{head}SELECT n.layer, n.neuron FROM neurons AS n WHERE {condition}"

    def condition(self, given: NeuronSet) -> str:
        """Return the SQL condition on the neuron `n` of a set."""
        if isinstance(given, Everything):
            return "true"
        if isinstance(given, Joined):
            return "(" + f" {given.how} ".join(self.condition(one) for one in given.sets) + ")"
        if isinstance(given, Inverse):
            return f"NOT coalesce({self.condition(given.inner)}, false)"
        if isinstance(given, FieldTest):
            return self._test(given)
        if isinstance(given, Labelled):
            return self._labelled(given)
        if isinstance(given, Where):
            return f"({_closed(given.sql)}\n) IS TRUE"
        if isinstance(given, InCircuit):
            self._check_circuit(given.circuit)
            return self._in(
                f"SELECT layer, neuron FROM circuit_members WHERE circuit_id = circuit_named({quoted(given.circuit)})"
            )
        return self._in(f"FROM {self._table(given)}")

    def _in(self, sql: str) -> str:
        return f"(n.layer, n.neuron) IN ({sql})"

    def _table(self, given: NeuronSet) -> str:
        """Return the name of the part with the neurons of a set."""
        known = self._names.get((given, "neurons"))
        return known or self._part(given, "neurons", self._rows(given))

    def _part(self, key: NeuronSet, what: str, sql: str) -> str:
        if (key, what) not in self._names:
            name = f"set_{len(self._parts) + 1}"
            self._parts[name], self._names[key, what] = sql, name
        return self._names[key, what]

    def _rows(self, given: NeuronSet) -> str:
        makers: dict[type[NeuronSet], Callable[[Any], str]] = {
            Listed: _listed,
            InGraphs: _in_graphs,
            WithToken: _with_token,
            Steps: self._steps,
            Pathway: self._pathway,
            Similar: self._similar,
            Saved: self._of_saved,
        }
        make = makers.get(type(given))
        if make is not None:
            return str(make(given))
        return f"SELECT n.layer, n.neuron FROM neurons AS n WHERE {self.condition(given)}"

    def _of_saved(self, given: Saved) -> str:
        if given.name in self._open:
            raise UsageError(f"the saved set {given.name!r} is part of itself")
        self._open.append(given.name)
        try:
            return f"SELECT layer, neuron FROM {self._table(self._saved(given.name))}"
        finally:
            self._open.pop()

    def _field(self, name: str) -> tuple[str, str]:
        """Return the SQL of a field, and its type."""
        key = name.lower()
        key = ALIASES.get(key, key)
        if key in _COMPUTED:
            return _COMPUTED[key], "DOUBLE" if key in ("support", "share") else "VARCHAR"
        if key not in self._columns:
            known = [*self._columns, *ALIASES, *_COMPUTED]
            near = get_close_matches(key, known, 3)
            hint = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(self._columns)}"
            raise UsageError(f"neurons have no field {name!r}; {hint}")
        return f"n.{key}", self._columns[key]

    def _test(self, test: FieldTest) -> str:
        sql, kind = self._field(test.field)
        is_text = kind == "VARCHAR"
        if test.operator == "has":
            return f"{sql} IS NOT NULL"
        if test.operator in ("~", "^=", "$=", "=~"):
            if not is_text:
                raise UsageError(f"{test.field} is no text; compare it with =, <, >, or in")
            value = quoted(str(test.value))
            how = {"~": "contains", "^=": "starts_with", "$=": "ends_with"}.get(test.operator)
            return f"{how}(lower({sql}), lower({value}))" if how else f"regexp_matches({sql}, {value})"
        if test.operator == "in":
            if isinstance(test.value, range) and test.value.step == 1 and test.value.start < test.value.stop:
                return f"{sql} BETWEEN {test.value[0]} AND {test.value[-1]}"
            return f"{sql} IN ({', '.join(_literal(one, kind, test.field) for one in test.value) or 'NULL'})"
        return f"{sql} {test.operator} {_literal(test.value, kind, test.field)}"

    def _labelled(self, given: Labelled) -> str:
        words = given.words.split() or [given.words]
        texts = "concat_ws(' ', l.text, l.description)"
        tests = " AND ".join(f"contains(lower({texts}), lower({quoted(word)}))" for word in words)
        return self._in(f"SELECT l.layer, l.neuron FROM labels AS l WHERE {tests}")

    def _steps(self, given: Steps) -> str:
        inner = f"SELECT layer, neuron FROM {self._table(given.inner)}"
        found = ""
        for hop in range(1, given.hops + 1):
            near = inner if hop == 1 else f"SELECT layer, neuron FROM {found}"
            before = f" UNION SELECT layer, neuron FROM {found}" if found else ""
            key = Steps(given.direction, given.inner, hop, given.min_graphs, given.share, given.sign)
            found = self._part(key, "reach", _one_step(given, near) + before)
        return f"SELECT layer, neuron FROM {found}"

    def _levels(self, given: Pathway, ends: NeuronSet, direction: str) -> list[str]:
        """Return the parts with the neurons at most 0, 1, ... edges away from a set."""
        found = [self._table(ends)]
        for hop in range(1, given.hops + 1):
            step = _one_step(Steps(direction, ends, 1, given.min_graphs), f"SELECT layer, neuron FROM {found[-1]}")
            key = Steps(direction, ends, hop, given.min_graphs)
            sql = f"{step} UNION SELECT layer, neuron FROM {found[-1]}"
            found.append(self._part(key, "within", sql))
        return found

    def _pathway(self, given: Pathway) -> str:
        after = self._levels(given, given.source, "downstream")
        before = self._levels(given, given.target, UPSTREAM)
        pairs = zip(after, reversed(before), strict=True)
        return " UNION ".join(
            f"(SELECT layer, neuron FROM {one} INTERSECT SELECT layer, neuron FROM {other})" for one, other in pairs
        )

    def _similar(self, given: Similar) -> str:
        sets = {"chosen": f"SELECT layer, neuron FROM {self._table(given.inner)}"}
        values = {"by": quoted(given.by), "limit": str(int(given.top))}
        return "\n".join(["SELECT layer, neuron FROM (", filled_in(find_query("similar_neurons"), sets, values), ")"])


def _one_step(given: Steps, near: str) -> str:
    """Return the SQL of the neurons one edge away from others."""
    me, other, table = ("tgt", "src", "edges_by_target") if given.direction == UPSTREAM else ("src", "tgt", "edges")
    tests = [f"coalesce(e.graph_count, e.count) >= {int(given.min_graphs)}"] if given.min_graphs > 1 else []
    if given.sign is not None:
        tests.append(f"e.mean_weight {'>' if given.sign == '+' else '<'} 0")
    if given.share:
        tests.append(
            f"e.weight_abs_sum >= {float(given.share)} * (SELECT i.input_abs_sum FROM neurons AS i WHERE i.layer = e.tgt_layer AND i.neuron = e.tgt_neuron)"
        )
    where = f" WHERE {' AND '.join(tests)}" if tests else ""
    return f"SELECT DISTINCT e.{other}_layer AS layer, e.{other}_neuron AS neuron FROM {table} AS e JOIN ({near}) AS s ON s.layer = e.{me}_layer AND s.neuron = e.{me}_neuron{where}"


def _listed(given: Listed) -> str:
    rows = ", ".join(f"({one.layer}, {one.neuron})" for one in dict.fromkeys(given.neurons))
    return (
        f"SELECT layer, neuron FROM (VALUES {rows}) AS listed(layer, neuron)"
        if rows
        else "SELECT layer, neuron FROM neurons WHERE false"
    )


def _in_graphs(given: InGraphs) -> str:
    if given.is_group:
        condition = f"prompt_group = {quoted(given.condition)}"
    elif given.condition.isdecimal():
        condition = f"graph_id = {given.condition}"
    else:
        condition = f"({_closed(given.condition)}\n) IS TRUE"
    return f"SELECT DISTINCT layer, neuron FROM neuron_graphs WHERE graph_id IN (SELECT graph_id FROM graphs WHERE {condition})"


def _closed(condition: str) -> str:
    """Return an SQL condition; raises `UsageError` where it would end the parentheses around it and go on outside."""
    depth = 0
    for sign in re.sub(r"'[^']*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/", "", condition, flags=re.DOTALL):
        depth += (sign == "(") - (sign == ")")
        if depth < 0:
            break
    if depth:
        raise UsageError(f"the parentheses of the condition {condition!r} do not match")
    return condition


def _with_token(given: WithToken) -> str:
    table = "token_edges" if given.side == "in" else "logit_edges"
    token = quoted(given.token)
    named = f"SELECT token_id FROM tokens WHERE token = {token} OR trim(token) = {token} UNION SELECT token_id FROM vocabulary WHERE token = {token} OR trim(token) = {token}"
    return f"SELECT DISTINCT layer, neuron FROM {table} WHERE token_id IN ({named}) AND coalesce(graph_count, count) >= {int(given.min_graphs)}"


def _literal(value: Any, kind: str, field: str) -> str:
    """Return a value as an SQL literal of the type of a field."""
    if kind == "VARCHAR":
        return quoted(str(value))
    if kind == "BOOLEAN" and str(value).lower() in ("true", "false"):
        return str(value).lower()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(
            f"{field} is compared with a number, not with {value!r}"
            if kind != "BOOLEAN"
            else f"{field} is true or false, not {value!r}"
        )
    return repr(value)
