"""Networks as objects of igraph, which is licensed under the GPL and so imported only here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def as_igraph(nodes: Sequence[dict[str, Any]], edges: Sequence[dict[str, Any]]) -> Any:
    """Convert nodes and edges to an `igraph.Graph`.

    Args:
        nodes: Dictionaries with `id`.
        edges: Dictionaries with `source`, `target` and `weight`.

    Returns:
        A directed graph; vertices have `name` and the other values of their nodes, edges those of theirs.
    """
    import igraph

    place = {node["id"]: number for number, node in enumerate(nodes)}
    found = igraph.Graph(
        n=len(nodes), edges=[(place[edge["source"]], place[edge["target"]]) for edge in edges], directed=True
    )
    found.vs["name"] = [node["id"] for node in nodes]
    for key in {key for node in nodes for key in node} - {"id"}:
        found.vs[key] = [node.get(key) for node in nodes]
    for key in {key for edge in edges for key in edge} - {"source", "target"}:
        found.es[key] = [edge.get(key) for edge in edges]
    return found
