"""Queries of an atlas by name, and parsers of the neurons and circuits in their arguments."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache

from atlas.database import Script, scripts
from atlas.errors import UsageError
from atlas.ids import NeuronId

Neuron = NeuronId | str | tuple[int, int]

# Names that are SQL keywords, which the macro of a query cannot have.
_ALIASES = {"between": "paths_between"}


@cache
def catalogue() -> Mapping[str, Script]:
    """Return all queries by name, each with its SQL, description and parameters."""
    return {script.name: script for script in scripts("queries")}


def find_query(name: str) -> Script:
    """Find a query by name.

    Args:
        name: Name of the query.

    Returns:
        The script.

    Raises:
        UsageError: The query does not exist. The message suggests a similar name, or lists all.
    """
    key = name.replace("-", "_")
    found = catalogue().get(_ALIASES.get(key, key))
    if found is None:
        near = get_close_matches(name, catalogue(), 1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(catalogue())}"
        raise UsageError(f"no query is called {name!r}{hint}")
    return found


def as_neuron(given: Neuron) -> NeuronId:
    """Parse a neuron.

    Args:
        given: `L24/N5326` in any spelling, or (24, 5326).

    Returns:
        Layer and neuron.

    Raises:
        IdError: `given` is not a valid neuron.
    """
    return NeuronId.parse(given) if isinstance(given, str) else NeuronId.checked(*given)


def as_cluster_path(given: str | int) -> str:
    """Return a cluster path as text. Raises `TypeError` for a float: 2.10 and 2.1 are one number but two circuits."""
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise TypeError(f"a cluster path is text, such as '12' or '2.10', not the {type(given).__name__} {given!r}")
    return str(given)
