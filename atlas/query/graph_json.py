"""One graph of an atlas as a file of circuit-tracer and Neuronpedia, in which circuits group the nodes as supernodes."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from atlas._version import __version__
from atlas.query.attribution_graph import AttributionGraph
from atlas.query.connection import AtlasFile
from atlas.query.network import graph_nodes_of


def graph_json(
    atlas: AtlasFile, graph: AttributionGraph, *, clustering: str | None = None, least: int = 2
) -> dict[str, Any]:
    """Convert a graph to the JSON of circuit-tracer, with circuits that were found over many graphs as supernodes.

    Args:
        atlas: Atlas of the graph.
        graph: The graph.
        clustering: Clustering whose clusters group the nodes; the primary one where None.
        least: Number of nodes that a supernode needs.

    Returns:
        An object with `metadata`, `qParams` (`supernodes`, `pinnedIds`), `nodes` and `links`. Each supernode is the name of a circuit and ids
        of nodes; a node is in one, that of its deepest cluster. Pinned are the outputs, and the nodes of supernodes.

    Raises:
        UsageError: There is no such clustering.
    """
    nodes = graph_nodes_of(graph)
    ids = [node["node_id"] for node in nodes]
    supernodes = _supernodes(atlas, graph, ids, clustering, least)
    outputs = [ids[node.node] for node in graph.targets]
    facts = dict(atlas.sql("SELECT key, value FROM metadata").fetchall())
    return {
        "metadata": _metadata(graph, facts),
        "qParams": {
            "supernodes": supernodes,
            "pinnedIds": list(dict.fromkeys([*outputs, *(name for group in supernodes for name in group[1:])])),
            "linkType": "both",
        },
        "nodes": nodes,
        "links": [
            {"source": ids[source], "target": ids[target], "weight": weight} for source, target, weight in graph.links
        ],
    }


def _metadata(graph: AttributionGraph, facts: dict[str, str]) -> dict[str, Any]:
    row = graph.facts
    named = {key: facts[key] for key in ("unit_type", "link_weight", "rules", "baseline", "metric") if key in facts}
    return {
        "slug": row["slug"] or f"graph-{row['graph_id']}",
        "scan": facts.get("model"),
        "prompt_tokens": row["prompt_tokens"] or [],
        "prompt": row["prompt"] or "",
        "source": row["corpus_source"],
        "prompt_group": row["prompt_group"],
        "corpus_index": row["corpus_index"],
        "schema_version": 1,
        "info": {
            "generator": {"name": "circuit-atlas", "version": __version__},
            "transcoder_set": facts.get("transcoder_set"),
        },
    } | named


def _supernodes(
    atlas: AtlasFile, graph: AttributionGraph, ids: list[str], clustering: str | None, least: int
) -> list[list[str]]:
    """Return the circuits with enough nodes in the graph, largest first: a name, then ids of nodes."""
    sql = (
        "SELECT m.layer, m.neuron, m.cluster_path, c.name FROM cluster_members AS m "
        "LEFT JOIN (SELECT clustering, cluster_path, coalesce(anchor, terms) AS name FROM circuits) AS c USING (clustering, cluster_path) "
        "WHERE m.clustering = coalesce($clustering, (SELECT clustering FROM clusterings WHERE is_primary))"
    )
    if clustering is not None:
        atlas.require_clustering(clustering)
    member = {
        (layer, neuron): (path, name)
        for layer, neuron, path, name in atlas.sql(sql, {"clustering": clustering}).fetchall()
    }
    groups: dict[str, list[str]] = defaultdict(list)
    names: dict[str, str] = {}
    for node in graph.nodes:
        found = member.get((node.layer, node.neuron)) if node.kind == "neuron" else None
        if found is not None:
            path, name = found
            groups[path].append(ids[node.node])
            names[path] = f"{path}: {name}" if name else path
    kept = sorted((path for path in groups if len(groups[path]) >= least), key=lambda path: (-len(groups[path]), path))
    return [[names[path], *groups[path]] for path in kept]
