"""Criteria of sets of neurons in Python: `atlas.Neurons(layer=range(10, 20), label="capital")`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from atlas.errors import UsageError
from atlas.query.catalogue import Neuron, as_neuron
from atlas.query.neuron_sets import (
    DOWNSTREAM,
    UPSTREAM,
    Everything,
    FieldTest,
    InCircuit,
    Labelled,
    Listed,
    NeuronSet,
    Steps,
    Where,
    joined,
)
from atlas.query.set_grammar import parse


def Neurons(  # noqa: N802 (reads as a criteria object, like NeuronCriteria of neuprint)
    *,
    layer: int | Iterable[int] | None = None,
    label: str | Iterable[str] | None = None,
    circuit: str | int | None = None,
    min_graphs: int | None = None,
    min_groups: int | None = None,
    type: str | None = None,
    ids: Iterable[Neuron] | None = None,
    upstream_of: NeuronsLike | None = None,
    downstream_of: NeuronsLike | None = None,
    where: str | None = None,
) -> NeuronSet:
    """Return the neurons with all of some criteria; all neurons without any.

    Args:
        layer: A layer, or several, such as `range(10, 20)`.
        label: Words of a label; of several texts, any.
        circuit: Circuit whose members they are, such as `"12.3"` or `"input:276"`.
        min_graphs: Least number of graphs.
        min_groups: Least number of groups of prompts.
        type: Type of a label, such as `"lexical"`.
        ids: Given neurons.
        upstream_of: Neurons that they drive directly.
        downstream_of: Neurons that drive them directly.
        where: SQL condition on the table `neurons`.

    Returns:
        The set.

    Raises:
        IdError: An id is no neuron.
        UsageError: A criterion is of a wrong type.
    """
    made: list[NeuronSet | None] = [
        None if layer is None else _of_layers(layer),
        None if label is None else _of_labels((label,) if isinstance(label, str) else tuple(label)),
        None if circuit is None else InCircuit(str(circuit)),
        None if min_graphs is None else FieldTest("graph_count", ">=", min_graphs),
        None if min_groups is None else FieldTest("group_count", ">=", min_groups),
        None if type is None else FieldTest("type", "=", type),
        None if ids is None else Listed(tuple(as_neuron(one) for one in ids)),
        None if upstream_of is None else Steps(UPSTREAM, as_set(upstream_of)),
        None if downstream_of is None else Steps(DOWNSTREAM, as_set(downstream_of)),
        None if where is None else Where(where),
    ]
    found = [one for one in made if one is not None]
    return joined("AND", found) if found else Everything()


def _of_layers(layer: int | Iterable[int]) -> NeuronSet:
    return FieldTest("layer", "=", layer) if isinstance(layer, int) else FieldTest("layer", "in", tuple(layer))


def _of_labels(texts: tuple[str, ...]) -> NeuronSet:
    return joined("OR", [Labelled(text) for text in texts])


NeuronsLike = NeuronSet | Neuron | Sequence[Neuron]


def as_set(given: NeuronsLike) -> NeuronSet:
    """Return neurons in any form as a set.

    Args:
        given: A set, an expression such as `label ~ capital && layer >= 10`, a neuron (`L24/N5326`, (24, 5326)), or several neurons.

    Returns:
        The set.

    Raises:
        IdError: A neuron is none.
        UsageError: An expression is none.
    """
    if isinstance(given, NeuronSet):
        return given
    if isinstance(given, str):
        return parse(given)
    if isinstance(given, tuple) and len(given) == 2 and all(isinstance(part, int) for part in given):
        return Listed((as_neuron(cast(Neuron, given)),))
    if isinstance(given, Iterable):
        return Listed(tuple(as_neuron(one) for one in cast(Iterable[Neuron], given)))
    raise UsageError(
        f"{given!r} is no set of neurons; give atlas.Neurons(...), an expression, or ids such as L24/N5326"
    )
