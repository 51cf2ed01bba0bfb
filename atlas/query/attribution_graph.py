"""One graph of an atlas: its nodes and links, the influence of its nodes, and its strongest paths."""

from __future__ import annotations

import functools
import heapq
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from atlas.database import graphs_folder
from atlas.errors import InputError, UsageError
from atlas.ids import NeuronId
from atlas.query.connection import AtlasFile


class GraphNode(NamedTuple):
    """One node of a graph; values that its kind does not have are None."""

    node: int
    kind: str
    layer: int | None
    neuron: int | None
    token_id: int | None
    position: int | None
    activation: float | None
    influence: float | None
    probability: float | None
    token: str | None
    label: str | None
    cluster_path: str | None

    @property
    def name(self) -> str:
        """Name of the node, such as `L20/N15589`, `token ‘ Dallas’` or `logit ‘ Austin’`."""
        if self.layer is not None and self.neuron is not None:
            return str(NeuronId(self.layer, self.neuron))
        return f"{self.kind} ‘{self.token or self.token_id}’" if self.token_id is not None else self.kind


class GraphPath(NamedTuple):
    """A path through a graph: its nodes, the weights of its links, and its strength.

    The strength is the product of the shares of the links: |weight| over the sum of |weight| of all links into the
    same node. The strengths of all paths from tokens and errors to a node add up to 1.
    """

    nodes: tuple[GraphNode, ...]
    weights: tuple[float, ...]
    strength: float

    @property
    def sign(self) -> int:
        """Sign of the product of the weights: 1, -1, or 0."""
        return math.prod((weight > 0) - (weight < 0) for weight in self.weights)


@dataclass(frozen=True)
class AttributionGraph:
    """A graph of an atlas: row of the table `graphs`, nodes by number, and links (source, target, weight)."""

    facts: dict[str, Any]
    nodes: list[GraphNode]
    links: list[tuple[int, int, float]]

    @functools.cached_property
    def targets(self) -> list[GraphNode]:
        """Traced outputs, most probable first."""
        logits = [node for node in self.nodes if node.kind == "logit"]
        return sorted(logits, key=lambda node: (-(node.probability or 0.0), node.node))

    @functools.cached_property
    def order(self) -> list[int]:
        """Numbers of the nodes, every source before its targets.

        A graph of attributions has no cycles. Where a file has one, it is opened at the node with the fewest sources
        left, and links against the order are in no path; a link from a node to itself never is.
        """
        waiting = [0] * len(self.nodes)
        for source, target, _ in self.links:
            waiting[target] += source != target
        ready = [node.node for node in self.nodes if not waiting[node.node]]
        found: list[int] = []
        done = [False] * len(self.nodes)
        while len(found) < len(self.nodes):
            if not ready:
                ready.append(min((count, node) for node, count in enumerate(waiting) if not done[node])[1])
            node = ready.pop()
            if done[node]:
                continue
            done[node] = True
            found.append(node)
            for target, _, _ in self._out[node]:
                waiting[target] -= target != node
                if not waiting[target] and not done[target]:
                    ready.append(target)
        return found

    @functools.cached_property
    def _out(self) -> list[list[tuple[int, float, float]]]:
        """For every node its links out: target, weight, share of the target's absolute input."""
        total = [0.0] * len(self.nodes)
        for _, target, weight in self.links:
            total[target] += abs(weight)
        found: list[list[tuple[int, float, float]]] = [[] for _ in self.nodes]
        for source, target, weight in self.links:
            found[source].append((target, weight, abs(weight) / total[target] if total[target] else 0.0))
        return found

    @functools.cached_property
    def flows(self) -> list[float]:
        """For every node, the share of the targets that flows through it: the sum over its paths to them.

        Targets count by their probability. This is the influence of circuit-tracer (Ameisen et al., 2025), with the
        links that the graph kept.
        """
        weight = sum(node.probability or 0.0 for node in self.targets)
        found = [0.0] * len(self.nodes)
        for node in self.targets:
            found[node.node] = (node.probability or 0.0) / weight if weight else 1 / len(self.targets)
        rank = {node: place for place, node in enumerate(self.order)}
        for place in reversed(self.order):
            for target, _, share in self._out[place]:
                if rank[target] > rank[place]:
                    found[place] += share * found[target]
        return found

    def strongest_paths(self, sources: Collection[int], targets: Collection[int], *, limit: int = 5) -> list[GraphPath]:
        """Find the strongest paths from any of some nodes to any of some others.

        Args:
            sources: Numbers of the nodes that paths start at.
            targets: Numbers of the nodes that they end at.
            limit: Number of paths at most.

        Returns:
            Paths, strongest first. Two links between the same nodes are two paths.
        """
        best: dict[int, list[tuple[float, tuple[int, ...], tuple[float, ...]]]] = {
            node: [(1.0, (node,), ())] for node in sources
        }
        for place in self.order:
            for strength, nodes, weights in best.get(place, ()):
                for target, weight, share in self._out[place]:
                    if share and target not in nodes:
                        ways = best.setdefault(target, [])
                        ways.append((strength * share, (*nodes, target), (*weights, weight)))
                        if len(ways) > 4 * limit:
                            ways[:] = heapq.nlargest(limit, ways)
        ends = [way for node in targets for way in best.get(node, ()) if len(way[1]) > 1]
        return [
            GraphPath(tuple(self.nodes[node] for node in nodes), weights, strength)
            for strength, nodes, weights in heapq.nlargest(limit, ends)
        ]

    def find(self, text: str, kinds: Collection[str]) -> list[int]:
        """Find nodes by neuron id, or by a text that their label or token contains.

        Args:
            text: `L20/N15589`, or any text; case does not matter.
            kinds: Kinds of nodes to look among.

        Returns:
            Numbers of the nodes.

        Raises:
            UsageError: There is no such node.
        """
        matches = _matcher(text)
        found = [node.node for node in self.nodes if node.kind in kinds and matches(node)]
        if not found:
            raise UsageError(f"no {' or '.join(kinds)} of the graph is {text!r}, by id, label or token")
        return found


def _matcher(text: str) -> Callable[[GraphNode], bool]:
    try:
        neuron = NeuronId.parse(text)
    except UsageError:
        wanted = text.casefold()
        return lambda node: wanted in (node.label or node.token or "").casefold()
    return lambda node: (node.layer, node.neuron) == neuron


def load_graph(atlas: AtlasFile, name: str) -> AttributionGraph:
    """Load one graph of an atlas.

    Args:
        atlas: An open atlas.
        name: Number of the graph, or a part of its path, slug or prompt that no other graph has.

    Returns:
        The graph with its nodes and links.

    Raises:
        InputError: There is no such graph, several graphs have that name, or the atlas holds no links of graphs.
    """
    facts = _facts(atlas, name)
    place = dict(atlas.sql("FROM metadata").fetchall()).get("graph_links", "none")
    if place == "none":
        raise InputError(
            f"{atlas.path} holds no links of single graphs; aggregate with --graph-links auto, and build with "
            "--set atlas.graph_links=auto"
        )
    graph_id = {"graph_id": facts["graph_id"]}
    if place == "embed":
        nodes = atlas.query("graph_nodes", **graph_id).project("* EXCLUDE neuron_id").fetchall()
        links = atlas.query("graph_links", **graph_id).fetchall()
        return AttributionGraph(facts, [GraphNode._make(row) for row in nodes], links)
    return AttributionGraph(facts, *_beside(atlas, facts["graph_id"]))


def _beside(atlas: AtlasFile, graph_id: int) -> tuple[list[GraphNode], list[tuple[int, int, float]]]:
    """Read the nodes and links of a graph from the folder beside the atlas."""
    folder = graphs_folder(atlas.path)
    try:
        nodes, links = (
            pq.read_table(folder / name, filters=[("graph_id", "=", graph_id)])
            for name in ("graph_nodes", "graph_links")
        )
    except OSError as error:
        raise InputError(f"{folder} belongs to {atlas.path} and cannot be read; copy it beside the atlas") from error
    neurons = {
        (layer, neuron): (label, path)
        for layer, neuron, label, path in atlas.sql(
            "SELECT layer, neuron, label, cluster_path FROM neurons SEMI JOIN (FROM neuron_graphs WHERE graph_id = $graph_id) USING (layer, neuron)",
            {"graph_id": graph_id},
        ).fetchall()
    }
    tokens = dict(atlas.sql("SELECT token_id, token FROM tokens").fetchall())
    columns = GraphNode._fields[:9]
    found = [
        GraphNode._make(
            [
                *(row[name] for name in columns),
                tokens.get(row["token_id"]),
                *neurons.get((row["layer"], row["neuron"]), (None, None)),
            ]
        )
        for row in sorted(nodes.to_pylist(), key=lambda row: row["node"])
    ]
    return found, list(zip(*(links[name].to_pylist() for name in ("source", "target", "weight")), strict=True))


def _facts(atlas: AtlasFile, name: str) -> dict[str, Any]:
    """Return the row of `graphs` that a name means."""
    for condition in (
        "graph_id::VARCHAR = $name",
        "path = $name OR slug = $name",
        "contains(path, $name) OR contains(slug, $name)",
        "contains(lower(prompt), lower($name))",
    ):
        found = atlas.sql(f"FROM graphs WHERE {condition} ORDER BY graph_id LIMIT 4", {"name": name})
        rows = found.fetchall()
        if len(rows) == 1:
            return dict(zip(found.columns, rows[0], strict=True))
        if rows:
            several = ", ".join(f"{row[0]} ({row[1]})" for row in rows[:3])
            more = " and others" if len(rows) > 3 else ""
            raise InputError(f"{name!r} could be graph {several}{more}; give a number, or more of the name")
    raise InputError(f"{atlas.path} has no graph {name!r}; list them with: atlas graphs {atlas.path}")
