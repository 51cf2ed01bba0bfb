"""Networks of an atlas as objects of other libraries: the edges inside a set of neurons, or one graph."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from atlas.errors import UsageError
from atlas.io.graph_objects import as_anndata, as_networkx, as_pyg, as_rustworkx, places_of
from atlas.io.neuronpedia import neuronpedia_node
from atlas.query.attribution_graph import AttributionGraph, GraphNode
from atlas.query.connection import rows_of
from atlas.query.criteria import NeuronsLike
from atlas.query.set_queries import SetQueries

Row = dict[str, Any]
_NODE_FIELDS = ("layer", "neuron", "label", "graph_count", "group_count", "in_degree", "out_degree", "cluster_path")
_EDGE_FIELDS = ("mean_weight", "graph_count", "group_count", "count", "weight_sum", "weight_abs_sum", "target_share")


@dataclass(frozen=True)
class Network:
    """Nodes and directed edges, each a dictionary.

    Nodes have `id` and `kind`; edges have `source`, `target` and `weight`: the mean weight over all graphs, or in a network
    of one graph its weight there. Values that are not known are None.
    """

    name: str
    nodes: list[Row]
    edges: list[Row]

    def to_networkx(self) -> Any:
        """Convert to a `networkx.DiGraph`, or a `MultiDiGraph` where two edges join the same nodes.

        Returns:
            The graph; attributes that are not known are left out.
        """
        return as_networkx(self.name, self.nodes, self.edges, parallel=self.has_parallel_edges)

    def to_rustworkx(self) -> Any:
        """Convert to a `rustworkx.PyDiGraph`, with dictionaries as nodes and edges.

        Returns:
            The graph; node numbers are places in `nodes`.
        """
        return as_rustworkx(self.name, self.nodes, self.edges)

    def to_igraph(self) -> Any:
        """Convert to an `igraph.Graph`; needs the extra [cluster], since igraph is licensed under the GPL.

        Returns:
            A directed graph; vertices have `name`, edges have `weight`.
        """
        from atlas.cluster.igraph_objects import as_igraph

        return as_igraph(self.nodes, self.edges)

    def to_pyg(self) -> Any:
        """Convert to a `torch_geometric.data.Data`.

        Returns:
            `edge_index` (2, edges), `edge_weight` (edges), `layer` (nodes) with -1 where a node has none, and `node_id`, a list.
        """
        return as_pyg(self.nodes, self.edges)

    def to_anndata(self) -> Any:
        """Convert to an `anndata.AnnData`: nodes are observations, and edges a sparse matrix.

        Returns:
            `obs` has the attributes of nodes, `obsp["weight"]` and, of a set, `obsp["graph_count"]` have a row per source and a column per
            target. `X` has no columns.
        """
        return as_anndata(self.name, self.nodes, self.edges)

    @property
    def places(self) -> dict[str, int]:
        """Place of every node in `nodes`, by id."""
        return places_of(self.nodes)

    @property
    def has_parallel_edges(self) -> bool:
        """True where two edges join the same source and target, as edges of two methods do."""
        return len({(edge["source"], edge["target"]) for edge in self.edges}) < len(self.edges)


def network_of_set(
    atlas: SetQueries, chosen: NeuronsLike, *, min_graphs: int | None = None, name: str | None = None
) -> Network:
    """Return the network of a set of neurons and the edges among them.

    Args:
        atlas: An open atlas.
        chosen: Set of neurons.
        min_graphs: Minimum number of graphs of an edge.
        name: Name of the network; that of the atlas where None.

    Returns:
        Nodes are neurons, in the order of layer and index; edges strongest first.

    Raises:
        UsageError: The set is empty.
    """
    neurons = sorted(rows_of(atlas.find(chosen)), key=lambda row: (row["layer"], row["neuron"]))
    if not neurons:
        raise UsageError("no neuron is in the set, so there is no network to export")
    edges = rows_of(atlas.adjacency(chosen, chosen, min_graphs=min_graphs))
    return Network(
        name or atlas.path.stem,
        [{"id": row["neuron_id"], "kind": "neuron"} | {name: row[name] for name in _NODE_FIELDS} for row in neurons],
        [
            {"source": row["src_id"], "target": row["tgt_id"], "weight": row["mean_weight"]}
            | {name: row[name] for name in _EDGE_FIELDS if name != "mean_weight"}
            for row in edges
        ],
    )


def network_of_graph(graph: AttributionGraph) -> Network:
    """Return the network of one graph.

    Args:
        graph: Graph of an atlas.

    Returns:
        Nodes are those of the graph, named as circuit-tracer names them; edges are its links.
    """
    ids = [node["node_id"] for node in graph_nodes_of(graph)]
    nodes = [
        {"id": ids[node.node]}
        | {name: getattr(node, name) for name in GraphNode._fields if name != "node"}
        for node in graph.nodes
    ]  # fmt: skip
    edges = [{"source": ids[source], "target": ids[target], "weight": weight} for source, target, weight in graph.links]
    return Network(str(graph.facts["slug"] or graph.facts["path"]), nodes, edges)


def top_layer(graph: AttributionGraph) -> int:
    """Return the highest layer of a neuron of a graph; 0 where it has none."""
    return max((node.layer for node in graph.nodes if node.kind == "neuron" and node.layer is not None), default=0)


def graph_nodes_of(graph: AttributionGraph) -> list[Row]:
    """Return the nodes of a graph as circuit-tracer writes them.

    Args:
        graph: Graph of an atlas.

    Returns:
        One dictionary per node, in the order of the graph. Ids that several nodes have, as errors of different layers do whose layer
        an atlas does not keep, end in `#2`, `#3` and so on.
    """
    top = top_layer(graph)
    seen: Counter[str] = Counter()
    found = []
    for node in graph.nodes:
        row = neuronpedia_node(
            node.kind,
            layer=node.layer,
            key=node.neuron if node.kind == "neuron" else node.token_id,
            position=node.position,
            top_layer=top,
            text=node.token,
            clerp=node.name if node.label is None else f"{node.name}: {node.label}",
            activation=node.activation,
            influence=node.influence,
            probability=node.probability,
        )
        name = str(row["node_id"])
        seen[name] += 1
        if seen[name] > 1:
            row["node_id"] = row["jsNodeId"] = f"{name}#{seen[name]}"
        found.append(row)
    return found
