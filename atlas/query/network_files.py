"""Files of networks: GraphML, GEXF, JSON (node-link), DOT, Mermaid, a CSV edge list and AnnData."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from atlas.errors import UsageError
from atlas.query.network import Network

# A larger diagram is unreadable, and renderers refuse it.
MOST_DRAWN = 500
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_network(network: Network, path: Path, form: str) -> None:
    """Write a network to a file.

    Args:
        network: Nodes and edges.
        path: File, which is replaced.
        form: `graphml`, `gexf`, `json`, `dot`, `mermaid`, `edges` (CSV) or `h5ad`.

    Raises:
        UsageError: There is no such form, or a diagram would have more than 500 edges.
    """
    if form not in WRITERS:
        raise UsageError(f"a network is written as {', '.join(WRITERS)}, not as {form}")
    WRITERS[form](network, path)


def _graphml(network: Network, path: Path) -> None:
    import networkx

    networkx.write_graphml(_for_xml(network).to_networkx(), path, named_key_ids=True)


def _gexf(network: Network, path: Path) -> None:
    import networkx

    networkx.write_gexf(_for_xml(network).to_networkx(), path)


def _for_xml(network: Network) -> Network:
    """Return a network with texts that XML can hold, and labels as viewers look for them."""

    def plain(value: Any) -> Any:
        if isinstance(value, str):
            return _NOT_XML.sub("�", value)
        return None if isinstance(value, float) and not math.isfinite(value) else value

    nodes = [{key: plain(value) for key, value in node.items()} for node in network.nodes]
    edges = [{key: plain(value) for key, value in edge.items()} for edge in network.edges]
    return Network(_NOT_XML.sub("�", network.name), nodes, edges)


def _json(network: Network, path: Path) -> None:
    """Write node-link JSON, which `networkx.node_link_graph` and d3 read."""
    found = {
        "directed": True,
        "multigraph": network.has_parallel_edges,
        "graph": {"name": network.name},
        "nodes": network.nodes,
        "edges": network.edges,
    }
    path.write_text(json.dumps(found, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


def _edges(network: Network, path: Path) -> None:
    columns = list(dict.fromkeys(key for edge in network.edges for key in edge)) or ["source", "target", "weight"]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(network.edges)


def _dot(network: Network, path: Path) -> None:
    _require_drawable(network)
    lines = [f"digraph {_quoted(network.name)} {{", "  rankdir=BT;", "  node [shape=box];"]
    lines += [f"  {_quoted(node['id'])} [label={_quoted(_caption(node))}];" for node in network.nodes]
    for edge in network.edges:
        style = f"label={_quoted(_weight(edge))}, weight={_quoted(repr(edge['weight']))}, color={'firebrick' if edge['weight'] < 0 else 'steelblue'}"
        lines.append(f"  {_quoted(edge['source'])} -> {_quoted(edge['target'])} [{style}];")
    path.write_text("\n".join([*lines, "}", ""]), encoding="utf-8")


def _quoted(text: str) -> str:
    plain = _NOT_XML.sub("�", text).replace("\r", "")
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _mermaid(network: Network, path: Path) -> None:
    _require_drawable(network)
    place = network.places
    lines = ["flowchart BT"]
    lines += [f'  n{place[node["id"]]}["{_entities(_caption(node))}"]' for node in network.nodes]
    for edge in network.edges:
        arrow = "-.->" if edge["weight"] < 0 else "-->"
        lines.append(f'  n{place[edge["source"]]} {arrow}|"{_entities(_weight(edge))}"| n{place[edge["target"]]}')
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def _entities(text: str) -> str:
    """Return text for a label of Mermaid, in which only letters, digits and spaces are safe."""
    return "".join(c if c.isalnum() or c in " ./-:,()" else f"#{ord(c)};" for c in text)


def _caption(node: dict[str, Any]) -> str:
    text = node.get("label") or node.get("token")
    return f"{node['id']}: {text}" if text else str(node["id"])


def _weight(edge: dict[str, Any]) -> str:
    return f"{edge['weight']:.3g}"


def _require_drawable(network: Network) -> None:
    if len(network.edges) > MOST_DRAWN:
        raise UsageError(
            f"{network.name} has {len(network.edges):,} edges, and a diagram at most {MOST_DRAWN}; ask for fewer with --min-graphs, "
            "or use graphml, gexf or json"
        )


def _h5ad(network: Network, path: Path) -> None:
    network.to_anndata().write_h5ad(path)


WRITERS: dict[str, Callable[[Network, Path], None]] = {
    "graphml": _graphml,
    "gexf": _gexf,
    "json": _json,
    "dot": _dot,
    "mermaid": _mermaid,
    "edges": _edges,
    "h5ad": _h5ad,
}
