"""The queries of an atlas by name, and how neurons and circuits are named in them."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache

from atlas.database import Script, scripts
from atlas.errors import UsageError
from atlas.ids import NeuronId

Neuron = NeuronId | str | tuple[int, int]

# Names that are SQL keywords, which the macro behind the query cannot have.
_ALIASES = {"between": "paths_between"}


@cache
def catalogue() -> Mapping[str, Script]:
    """All queries by name: text, description, parameters."""
    return {script.name: script for script in scripts("queries")}


def find_query(name: str) -> Script:
    """Find a query by name.

    Args:
        name: Name of the query.

    Returns:
        The script.

    Raises:
        UsageError: There is no such query; the message lists all.
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
        IdError: It names no neuron.
    """
    return NeuronId.parse(given) if isinstance(given, str) else NeuronId.checked(*given)


def as_cluster_path(given: str | int) -> str:
    """Return a cluster path as text; raises `TypeError` for a float: 2.10 and 2.1 are one number and two circuits."""
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise TypeError(f"a cluster path is text, such as '12' or '2.10', not the {type(given).__name__} {given!r}")
    return str(given)
