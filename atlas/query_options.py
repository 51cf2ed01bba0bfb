"""Options of `atlas query` -> parameters of a query, by what its SQL file declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from atlas.database import Parameter, Script
from atlas.errors import UsageError
from atlas.ids import NeuronId


def read_options(query: Script, arguments: Sequence[str]) -> dict[str, Any]:
    """`--layer 24 --min-graphs=3`, or `L24/N5326` in front -> {"layer": 24, ...}.

    Raises `UsageError` naming the wrong option and those there are, `IdError` for a wrong neuron.
    """
    known = {parameter.name: parameter for parameter in query.parameters}
    values: dict[str, Any] = {}
    rest = list(arguments)
    if rest and not rest[0].startswith("-") and {"layer", "neuron"} <= known.keys():
        values["layer"], values["neuron"] = NeuronId.parse(rest.pop(0))
    while rest:
        option, separator, value = rest.pop(0).partition("=")
        key = option.removeprefix("--").replace("-", "_")
        if not option.startswith("--") or key not in known:
            there = " ".join(map(spelled, known.values())) or "none"
            raise UsageError(f"query {query.name} has no option {option}; it has {there}")
        if not separator:
            if not rest:
                raise UsageError(f"option {option} needs a value ({known[key].type})")
            value = rest.pop(0)
        values[key] = _typed(value, known[key].type, option)
    return values


def spelled(parameter: Parameter) -> str:
    """How a parameter is written on the command line; in brackets where it may be left out."""
    text = f"--{parameter.name.replace('_', '-')} {parameter.type}"
    return text if parameter.required else f"[{text}]"


def _typed(value: str, kind: str, option: str) -> Any:
    try:
        if kind in ("INTEGER", "BIGINT"):
            return int(value)
        if kind == "BOOLEAN":
            return {"true": True, "false": False, "yes": True, "no": False}[value.lower()]
    except (ValueError, KeyError):
        raise UsageError(f"option {option}: {value!r} is no {kind}") from None
    return value
