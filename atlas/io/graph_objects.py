"""Networks as objects of networkx, rustworkx, PyTorch Geometric and AnnData.

Nodes are dictionaries with `id`, edges dictionaries with `source`, `target` and `weight`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]


def places_of(nodes: Sequence[Row]) -> dict[str, int]:
    """Return the place of every node, by id."""
    return {node["id"]: place for place, node in enumerate(nodes)}


def as_networkx(name: str, nodes: Sequence[Row], edges: Sequence[Row], *, parallel: bool) -> Any:
    """Return a `DiGraph`, or with parallel edges a `MultiDiGraph`; values that are None are left out."""
    import networkx

    found = networkx.MultiDiGraph(name=name) if parallel else networkx.DiGraph(name=name)
    for node in nodes:
        found.add_node(node["id"], **_known(node, "id"))
    for edge in edges:
        found.add_edge(edge["source"], edge["target"], **_known(edge, "source", "target"))
    return found


def as_rustworkx(name: str, nodes: Sequence[Row], edges: Sequence[Row]) -> Any:
    """Return a `PyDiGraph` with the dictionaries as nodes and edges."""
    import rustworkx

    found = rustworkx.PyDiGraph(attrs={"name": name})
    found.add_nodes_from(list(nodes))
    place = places_of(nodes)
    found.add_edges_from([(place[edge["source"]], place[edge["target"]], edge) for edge in edges])
    return found


def as_pyg(nodes: Sequence[Row], edges: Sequence[Row]) -> Any:
    """Return a `Data` with `edge_index` (2, edges), `edge_weight` (edges), `layer` (nodes; -1 where there is none) and `node_id`."""
    import torch
    from torch_geometric.data import Data

    place = places_of(nodes)
    ends = [[place[edge[end]] for edge in edges] for end in ("source", "target")]
    layers = [-1 if node.get("layer") is None else node["layer"] for node in nodes]
    return Data(
        edge_index=torch.tensor(ends, dtype=torch.long).reshape(2, -1),
        edge_weight=torch.tensor([edge["weight"] for edge in edges], dtype=torch.float32),
        layer=torch.tensor(layers, dtype=torch.long),
        node_id=[node["id"] for node in nodes],
        num_nodes=len(nodes),
    )


def as_anndata(name: str, nodes: Sequence[Row], edges: Sequence[Row]) -> Any:
    """Return an `AnnData` whose observations are nodes; `obsp` has a row per source and a column per target."""
    import anndata
    import numpy as np
    import pandas as pd
    from scipy.sparse import coo_array, csr_matrix

    place, size = places_of(nodes), len(nodes)
    rows, columns = ([place[edge[end]] for edge in edges] for end in ("source", "target"))
    table = pd.DataFrame([{key: value for key, value in node.items() if key != "id"} for node in nodes])
    table.index = pd.Index([node["id"] for node in nodes], dtype=str)
    found = anndata.AnnData(X=np.zeros((size, 0), np.float32), obs=table)
    for column in ("weight", "graph_count"):
        if all(edge.get(column) is not None for edge in edges):
            values = [float(edge[column]) for edge in edges]
            found.obsp[column] = csr_matrix(coo_array((values, (rows, columns)), shape=(size, size)))
    found.uns["name"] = name
    return found


def _known(row: Row, *without: str) -> Row:
    return {key: value for key, value in row.items() if value is not None and key not in without}
