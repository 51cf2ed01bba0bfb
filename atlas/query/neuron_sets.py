"""Sets of neurons: criteria that are joined by `&`, `|` and `~`, accepted wherever a query takes neurons.

A set is a description, not a list: it is compiled to SQL of one atlas when it is asked for (`atlas.query.set_sql`). The same sets can be written
as text (`atlas.query.set_grammar`) or made by `atlas.Neurons`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from atlas.ids import NeuronId

UPSTREAM, DOWNSTREAM = "upstream", "downstream"
INPUTS, OUTPUTS, BOTH = "inputs", "outputs", "both"
# What neurons can be similar by.
SIMILAR_BY = (INPUTS, OUTPUTS, BOTH, "graphs", "weights", "labels")
MOST_HOPS = 6


class NeuronSet:
    """Set of neurons of an atlas, described by criteria."""

    def __and__(self, other: NeuronSet) -> NeuronSet:
        return Joined("AND", (self, other))

    def __or__(self, other: NeuronSet) -> NeuronSet:
        return Joined("OR", (self, other))

    def __invert__(self) -> NeuronSet:
        return Inverse(self)

    def __bool__(self) -> bool:
        raise TypeError("join sets of neurons with &, | and ~, not with and, or and not")


@dataclass(frozen=True)
class Everything(NeuronSet):
    """All neurons."""


@dataclass(frozen=True)
class Joined(NeuronSet):
    """Neurons of all sets (`AND`), or of any (`OR`)."""

    how: str
    sets: tuple[NeuronSet, ...]


@dataclass(frozen=True)
class Inverse(NeuronSet):
    """Neurons that are not in a set."""

    inner: NeuronSet


@dataclass(frozen=True)
class FieldTest(NeuronSet):
    """Neurons whose field compares with a value: = != < <= > >= ~ (contains) ^= (starts) $= (ends) =~ (pattern) in has."""

    field: str
    operator: str
    value: Any = None


@dataclass(frozen=True)
class Listed(NeuronSet):
    """Given neurons."""

    neurons: tuple[NeuronId, ...]


@dataclass(frozen=True)
class Labelled(NeuronSet):
    """Neurons with a label or description that has all words, in any order."""

    words: str


@dataclass(frozen=True)
class Where(NeuronSet):
    """Neurons with an SQL condition on the table `neurons`."""

    sql: str


@dataclass(frozen=True)
class Steps(NeuronSet):
    """Neurons upstream or downstream of others, over so many edges at most.

    Attributes:
        direction: `upstream` or `downstream`.
        inner: The others, which are no part unless an edge leads to them.
        hops: Number of edges at most.
        min_graphs: Least number of graphs of every edge.
        share: Least share of an edge in all |weights| into its target.
        sign: `+` or `-`: the sign of the mean weight of every edge.
    """

    direction: str
    inner: NeuronSet
    hops: int = 1
    min_graphs: int = 1
    share: float = 0.0
    sign: str | None = None


@dataclass(frozen=True)
class Pathway(NeuronSet):
    """Neurons on any path between two sets, ends included, over so many edges at most."""

    source: NeuronSet
    target: NeuronSet
    hops: int = 3
    min_graphs: int = 1


@dataclass(frozen=True)
class Similar(NeuronSet):
    """Neurons with the most alike edges to any of a set: the largest cosines of their weights."""

    inner: NeuronSet
    by: str = BOTH
    top: int = 20


@dataclass(frozen=True)
class InCircuit(NeuronSet):
    """Members of a circuit: `12`, `12.3`, `leiden/12`, `input:276`."""

    circuit: str


@dataclass(frozen=True)
class InGraphs(NeuronSet):
    """Neurons of at least one of the graphs with a number, a group of prompts, or an SQL condition on `graphs`."""

    condition: str
    is_group: bool = False


@dataclass(frozen=True)
class WithToken(NeuronSet):
    """Neurons that an input token drives (`in`), or that drive an output token (`out`)."""

    side: str
    token: str
    min_graphs: int = 1


@dataclass(frozen=True)
class Saved(NeuronSet):
    """A set that was saved under a name beside the atlas."""

    name: str


def joined(how: str, sets: Sequence[NeuronSet]) -> NeuronSet:
    """Return the sets joined by `AND` or `OR`; one set alone is itself."""
    return sets[0] if len(sets) == 1 else Joined(how, tuple(sets))
