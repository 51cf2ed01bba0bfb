"""Parsing of the options of `atlas query` into the parameters that the SQL file of a query declares."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atlas.database import Parameter, Script
from atlas.errors import InputError, UsageError
from atlas.ids import NeuronId, UnitId
from atlas.query.connection import NEURONS, AtlasFile
from atlas.query.criteria import as_set
from atlas.query.neuron_sets import Listed, NeuronSet


def read_options(query: Script, arguments: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of a query: `L24/N5326 --min-graphs=3` -> {"layer": 24, "neuron": 5326, "min_graphs": 3}.

    Neuron ids come first, in the order of the parameters, then required text such as the path of a circuit.

    Raises `UsageError` that names the wrong option and the known ones, `IdError` for a wrong neuron.
    """
    known = {parameter.name: parameter for parameter in query.parameters}
    rest = list(arguments)
    values = _taken_first(known, rest)
    while rest:
        option, separator, value = rest.pop(0).partition("=")
        key = option.removeprefix("--").replace("-", "_")
        if not option.startswith("--") or key not in known:
            what = "option" if option.startswith("-") else "argument"
            there = " ".join(map(spelled, known.values())) or "none"
            raise UsageError(f"query {query.name} takes no {what} {option}; its options are {there}")
        if not separator:
            if not rest:
                raise UsageError(f"option {option} needs a value ({known[key].type})")
            value = rest.pop(0)
        values[key] = _typed(value, known[key].type, option)
    return values


def _taken_first(known: Mapping[str, Parameter], rest: list[str]) -> dict[str, Any]:
    """Remove the arguments without an option's name from `rest`, and return their parameters."""
    values: dict[str, Any] = {}
    ends = [(name, f"{name.removesuffix('layer')}neuron") for name in known if name.endswith("layer")]
    for layer, neuron in ends:
        if rest and not rest[0].startswith("-") and neuron in known:
            values[layer], values[neuron] = NeuronId.parse(rest.pop(0))
    if "unit" in known and rest and not rest[0].startswith("-"):
        unit = UnitId.parse(rest.pop(0))
        values |= {name: value for name, value in unit._asdict().items() if name in known}
    texts = [name for name, parameter in known.items() if parameter.type in ("VARCHAR", NEURONS) and parameter.required]
    for name in texts:
        if rest and not rest[0].startswith("-"):
            values[name] = _typed(rest.pop(0), known[name].type, name)
    numbers = [name for name, one in known.items() if one.type == "INTEGER" and one.required and name not in values]
    for name in numbers:
        if rest and rest[0].isdecimal():
            values[name] = int(rest.pop(0))
    return values


def unknown_neurons(atlas: AtlasFile, values: Mapping[str, Any]) -> list[NeuronId]:
    """Return the neurons among the parameters of a query that are in no graph of the atlas."""
    ends = [(name, f"{name.removesuffix('layer')}neuron") for name in values if name.endswith("layer")]
    neurons = [NeuronId(values[layer], values[neuron]) for layer, neuron in ends if neuron in values]
    known = "SELECT 1 FROM neurons WHERE layer = $layer AND neuron = $neuron"
    return [neuron for neuron in neurons if not atlas.sql(known, neuron._asdict()).fetchall()]


def described(query: Script) -> str:
    """Return the help of one query: its description, its parameters and an example."""
    lines = [f"Usage: atlas query FILE {query.name} [OPTIONS]", "", f"  {query.doc}", "", "Options:"]
    width = max((len(spelled(parameter)) for parameter in query.parameters), default=0)
    lines += [f"  {spelled(parameter):{width}}  {parameter.doc}" for parameter in query.parameters]
    lines += ["  --format, --limit, -o, --timeout, --memory, --show-sql as of every query", "", "Example:"]
    return "\n".join([*lines, f"  atlas query FILE {query.name}{_example(query)}"])


def _example(query: Script) -> str:
    """Return example arguments for the required parameters of a query."""
    names = [parameter.name for parameter in query.parameters if parameter.required]
    ids = {"layer": "L24/N5326", "from_layer": "L24/N5326", "to_layer": "L30/N12", "graph_id": "22"}
    if "unit" in names:
        ids["layer"] = "L2/F10"
    words = [ids[name] for name in names if name in ids]
    words += [
        {"cluster_path": "12.3"}.get(name, "TEXT")
        for name in names
        if name not in ids and name != "unit" and "neuron" not in name
    ]
    return "".join(f" {word}" for word in words)


def spelled(parameter: Parameter) -> str:
    """Return a parameter as it is written on the command line, in brackets where it is optional."""
    text = f"--{parameter.name.replace('_', '-')} {'|'.join(parameter.choices) or parameter.type}"
    return text if parameter.required else f"[{text}]"


def neurons_of(text: str) -> NeuronSet:
    """Return a set of neurons as the command line gives it.

    Args:
        text: Expression, or `@FILE` with one id per line (its first word or cell), or `-` for the standard input.

    Returns:
        The set.

    Raises:
        IdError: An id is no neuron.
        InputError: The file cannot be read.
        UsageError: The expression is none.
    """
    if text != "-" and not text.startswith("@"):
        return as_set(text)
    try:
        lines = sys.stdin.readlines() if text == "-" else Path(text[1:]).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{text[1:]}: {getattr(error, 'strerror', None) or error}") from error
    words = [re.split(r"[\s,;|]", line.strip(), maxsplit=1)[0].strip('"') for line in lines if line.strip()]
    if words and not words[0][-1:].isdigit():
        words = words[1:]  # the head of a table
    return Listed(tuple(dict.fromkeys(NeuronId.parse(word) for word in words)))


def _typed(value: str, kind: str, option: str) -> object:
    try:
        if kind in ("INTEGER", "BIGINT"):
            return int(value)
        if kind == "DOUBLE":
            return float(value)
        if kind == "BOOLEAN":
            return {"true": True, "false": False, "yes": True, "no": False}[value.lower()]
        if kind == NEURONS:
            return neurons_of(value)
    except (ValueError, KeyError):
        raise UsageError(f"option {option}: {value!r} is no {kind}") from None
    return value
