"""Page of one graph: prompt, targets, strongest paths, circuits, and what is unusual in it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.text import Text

from atlas.cli.terminal import bar, table
from atlas.errors import UsageError
from atlas.io.text import visible
from atlas.query.attribution_graph import AttributionGraph, GraphNode, GraphPath
from atlas.query.client import Atlas
from atlas.query.connection import rows_of

_LABEL = 40  # characters of a label in a table


def graph_page(atlas: Atlas, name: str, *, start: str | None = None, end: str | None = None, limit: int = 10) -> Group:
    """Return the page of a graph.

    Args:
        atlas: An open atlas.
        name: Number, path, slug or part of the prompt of the graph.
        start: Neuron or text that the paths start at; the tokens of the prompt if None.
        end: Neuron or text that the paths end at; the most probable target if None.
        limit: Rows of each table.
    """
    graph = atlas.graph(name)
    parts: list[Any] = [_head(graph), _prompt(graph)]
    targets = [(node.name, node.probability, graph.flows[node.node]) for node in graph.targets[:limit]]
    parts.append(table(("target", "probability", "share"), targets, title="\nTargets"))
    parts += [_paths(graph, start, end, limit), _circuits(graph, limit)]
    parts += _unusual(atlas, graph, limit)
    return Group(*parts)


def _head(graph: AttributionGraph) -> Text:
    facts = graph.facts
    lines = [
        f"graph {facts['graph_id']}  {facts['slug'] or facts['path']}",
        f"  file       {facts['path']}",
        f"  group      {facts['prompt_group']} ({facts['group_rule']})",
        f"  size       {len(graph.nodes):,} nodes, {facts['neuron_count']:,} neurons, {len(graph.links):,} links",
    ]
    return Text("\n".join(map(visible, lines)), style="")


def _prompt(graph: AttributionGraph) -> Text:
    """Return the prompt by tokens, with the position and the number of neurons at each."""
    nodes = Counter(node.position for node in graph.nodes if node.kind == "neuron")
    tokens = graph.facts["prompt_tokens"] or []
    lines = [f"  {place:>3}  {visible(token)}  ({nodes[place]})" for place, token in enumerate(tokens)]
    title = "\nPrompt by tokens (nodes of neurons at each position)"
    return Text("\n".join([title, *lines]) if lines else f"\nPrompt\n  {visible(graph.facts['prompt'] or '')}")


def _paths(graph: AttributionGraph, start: str | None, end: str | None, limit: int) -> Text:
    kinds = ("neuron", "token")
    sources = graph.find(start, kinds) if start else [node.node for node in graph.nodes if node.kind == "token"]
    targets = _ends(graph, end) if end else [node.node for node in graph.targets[:1]]
    found = graph.strongest_paths(sources, targets, limit=min(limit, 5))
    if not targets:
        return Text("\nStrongest paths: the graph has no traced outputs.")
    title = f"\nStrongest paths from {start or 'the tokens'} to {end or ', '.join(graph.nodes[node].name for node in targets)}"
    lines = [f"  {path.strength:.2%}  {_path(path)}" for path in found]
    return Text("\n".join([title, *(lines or ["  none"])]))


def _ends(graph: AttributionGraph, text: str) -> list[int]:
    """Return the nodes that paths end at: targets with the text, or if there are none, neurons."""
    try:
        return graph.find(text, ("logit",))
    except UsageError:
        return graph.find(text, ("logit", "neuron"))


def _path(path: GraphPath) -> str:
    """Return a path in one line: nodes with labels, and the weight of each link between them."""
    words = [_named(path.nodes[0])]
    for weight, node in zip(path.weights, path.nodes[1:], strict=True):
        words += [f"─{weight:+.3g}→", _named(node)]
    return visible(" ".join(words)) + ("  (suppresses)" if path.sign < 0 else "")


def _named(node: GraphNode) -> str:
    label = f" ({_short(node.label)})" if node.label else ""
    position = f"@{node.position}" if node.position is not None and node.kind in ("neuron", "token") else ""
    return f"{node.name}{position}{label}"


def _short(text: str | None) -> str:
    return "" if text is None else text if len(text) <= _LABEL else f"{text[: _LABEL - 1]}…"


def _circuits(graph: AttributionGraph, limit: int) -> Any:
    """Return the circuits present: neurons of each, and the share of the targets that flows through their nodes."""
    members: dict[str, set[tuple[int, int]]] = defaultdict(set)
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    shares: Counter[str] = Counter()
    for node in graph.nodes:
        if node.cluster_path and node.layer is not None and node.neuron is not None:
            top = node.cluster_path.split(".")[0]
            members[top].add((node.layer, node.neuron))
            shares[top] += graph.flows[node.node]  # type: ignore[assignment]
            if node.label:
                labels[top][node.label] += 1
    rows = [
        (top, len(members[top]), share, " | ".join(_short(label) for label, _ in labels[top].most_common(3)))
        for top, share in shares.most_common(limit)
    ]
    title = "\nCircuits present"
    return table(("circuit", "neurons", "share", "labels"), rows, title=title)


def _unusual(atlas: Atlas, graph: AttributionGraph, limit: int) -> list[Any]:
    number = graph.facts["graph_id"]
    flows: dict[tuple[int, int], float] = defaultdict(float)
    for node in graph.nodes:
        if node.layer is not None and node.neuron is not None:
            flows[node.layer, node.neuron] += graph.flows[node.node]
    neurons = rows_of(atlas.unusual_neurons(number))
    groups = neurons[0]["other_groups"] if neurons else 0
    if not groups:
        return [Text("\nUnusual: nothing to compare with; all graphs of the atlas are of one group of prompts.")]
    neurons.sort(key=lambda row: (-row["surprise"], -flows[row["layer"], row["neuron"]]))
    largest = max((flows[row["layer"], row["neuron"]] for row in neurons[:limit]), default=0.0)
    cells = [
        (
            f"L{row['layer']}/N{row['neuron']}",
            _short(row["label"]),
            f"{row['other_group_count']} of {groups}",
            row["surprise"],
            flows[row["layer"], row["neuron"]],
            bar(flows[row["layer"], row["neuron"]], largest, 6),
        )
        for row in neurons[:limit]
    ]
    heads = ("neuron", "label", "in other groups", "surprise", "share", "")
    note = Text(
        "\n  share: of the targets, through the node. surprise: -log2 of (groups + 1) / (other groups of prompts + 1)"
    )
    parts = [table(heads, cells, title="\nUnusual neurons"), note]
    return [*parts, *_unusual_edges(atlas, number, limit), *_missing(atlas, number, limit)]


def _unusual_edges(atlas: Atlas, number: int, limit: int) -> list[Any]:
    edges = [row for row in rows_of(atlas.unusual_edges(number, limit=limit)) if row["surprise"] > 0]
    if not edges and not atlas.sql("FROM graph_links LIMIT 1").fetchall():
        return [Text("\nUnusual edges: the links are beside the atlas; build it with --set atlas.graph_links=embed.")]
    if not edges:
        return []
    cells = [
        (
            f"L{row['src_layer']}/N{row['src_neuron']}",
            f"L{row['tgt_layer']}/N{row['tgt_neuron']}",
            _pair(row["src_label"], row["tgt_label"]),
            row["weight"],
            f"{row['other_group_count']} of {row['joint_group_count']}",
            row["surprise"],
        )
        for row in edges
    ]
    heads = ("from", "to", "labels", "weight", "linked in groups", "surprise")
    return [table(heads, cells, title="\nUnusual edges, where both ends are")]


def _pair(source: str | None, target: str | None) -> str:
    return " → ".join((_short(source) or "?", _short(target) or "?")) if source or target else ""


def _missing(atlas: Atlas, number: int, limit: int) -> Sequence[Any]:
    found = rows_of(atlas.missing_neurons(number, limit=limit))
    cells = [
        (
            f"L{row['layer']}/N{row['neuron']}",
            _short(row["label"]),
            f"{row['other_group_count']} of {row['other_groups']}",
        )
        for row in found
    ]
    if not cells:
        return []
    return [
        table(
            ("neuron", "label", "in other groups"),
            cells,
            title="\nMissing here, common elsewhere",
        )
    ]
