"""Dialects of graph files: detection, feature space, and the meaning of a node type."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from atlas.errors import GraphError
from atlas.graph import NodeKind, Space
from atlas.graphs import circuit_tracer, relp
from atlas.graphs.raw import RawGraph, RawMetadata


class Dialect(NamedTuple):
    """A format of graph files."""

    name: str
    kinds: Mapping[str, NodeKind]
    space: Callable[[RawMetadata], Space]
    neuron_text: Callable[[str], str | None]


RELP_RAW = Dialect("relp-raw", relp.KINDS, relp.space, relp.neuron_text)
RELP_VIEWER = RELP_RAW._replace(name="relp-viewer")
CIRCUIT_TRACER = Dialect("circuit-tracer", circuit_tracer.KINDS, circuit_tracer.space, circuit_tracer.neuron_text)

_NEURON_TYPES = {key for key, kind in relp.KINDS.items() if kind is NodeKind.NEURON}
_FEATURE_TYPES = {key for key, kind in circuit_tracer.KINDS.items() if kind is NodeKind.NEURON}
_PROBABILITY = re.compile(r"\s?\(?p=([0-9.eE+-]{1,30})\)?\s?\Z")
_PREFIX = re.compile(r"(?:Logit|Answer|Token|Output|output|Emb):? ?")


def detect(raw: RawGraph) -> Dialect:
    """Return the dialect of a graph, by its node types first and its ids last.

    Raises `GraphError` if a graph mixes neurons and transcoder features, or if nothing marks it as an attribution
    graph.
    """
    types = {node.feature_type for node in raw.nodes if node.feature_type}
    has_neurons, has_features = bool(types & _NEURON_TYPES), bool(types & _FEATURE_TYPES)
    if has_neurons and has_features:
        raise GraphError("mixed_units", "neurons and transcoder features in one graph")
    slug = (raw.metadata.slug if raw.metadata else None) or ""
    if not (has_neurons or has_features) and not _says_so(raw):
        # Any program may write {"nodes": [], "links": []}; it must not become a feature space of its own.
        raise GraphError("not_a_graph", "neither metadata nor any node says that this is an attribution graph")
    if has_neurons or (not has_features and (slug.startswith("relp-") or _relp_ids(raw))):
        return RELP_VIEWER if any(node.isLogit is not None for node in raw.nodes) else RELP_RAW
    return CIRCUIT_TRACER


def _says_so(raw: RawGraph) -> bool:
    """Return True if the metadata name a graph, or a node has a type or an id of any dialect."""
    if raw.metadata is not None and (raw.metadata.scan or raw.metadata.slug):
        return True
    known = {*relp.KINDS, *circuit_tracer.KINDS}
    return any(node.feature_type in known or node.node_id.startswith(("E_", "L_")) for node in raw.nodes)


def _relp_ids(raw: RawGraph) -> bool:
    """Return True for ids of RelP, which writes logits as `L_token_position`; circuit-tracer never does."""
    return any(node.node_id.startswith("L_") or node.isLogit is not None for node in raw.nodes)


def token_text(clerp: str | None) -> tuple[str | None, float | None]:
    """Return token text and probability from a display label, because RelP files have no numeric field.

    >>> token_text('Output " rain" (p=0.281)')
    (' rain', 0.281)
    >>> token_text("Logit: Paris (p=0.9492)")
    ('Paris', 0.9492)
    >>> token_text("Answer: Paris p=0.95")
    ('Paris', 0.95)
    """
    if not clerp:
        return None, None
    # Search only the end, so that a label of a million blanks does not take quadratic time.
    found = _PROBABILITY.search(clerp, max(0, len(clerp) - 40))
    text, number = (clerp[: found.start()], found[1]) if found else (clerp, None)
    text = text[prefix.end() :] if (prefix := _PREFIX.match(text)) and prefix.end() < len(text) else text
    if len(text) > 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    try:
        return text or None, float(number) if number else None
    except ValueError:
        return text or None, None
