"""Files of traced graphs: the RelP dialects raw and viewer, and the JSON of circuit-tracer and Neuronpedia."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from atlas._version import __version__
from atlas.graph import Graph, NodeKind
from atlas.ids import INDEX_BITS, MAX_INDEX
from atlas.io.neuronpedia import neuronpedia_node, token_fields
from atlas.trace.tracer import Traced

FORMATS = ("relp", "viewer", "neuronpedia")
_HEAD = re.compile(r'\{"metadata": \{"trace_hash": "([0-9a-f]{64})", "trace_form": "(\w+)"')


def graph_json(traced: Traced, form: str) -> dict[str, Any]:
    """Convert a graph to one JSON object.

    Args:
        traced: Graph with its prompt.
        form: `relp`, `viewer` or `neuronpedia`.

    Returns:
        The object, in the format of the tool of that name.
    """
    graph = traced.graph
    nodes = list(_NODES[form](graph))
    ids = [node["node_id"] for node in nodes]
    links = graph.links
    found: dict[str, Any] = {
        "metadata": _metadata(traced, form),
        "qParams": {} if form == "relp" else {"pinnedIds": [], "supernodes": [], "linkType": "both"},
        "nodes": nodes,
        "links": [
            {"source": ids[source], "target": ids[target], "weight": weight}
            for source, target, weight in zip(
                links.source.tolist(), links.target.tolist(), links.weight.tolist(), strict=True
            )
        ],
    }
    found["nodes_exceeded"] = graph.info.nodes_exceeded
    if form == "viewer":
        found["features"] = _features(nodes)
    return found


def write_graph(traced: Traced, path: Path, form: str) -> None:
    """Write a graph to a file atomically.

    Args:
        traced: Graph with its prompt.
        path: File, which is replaced.
        form: `relp`, `viewer` or `neuronpedia`.
    """
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(graph_json(traced, form), ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    part.replace(path)


def written_as(path: Path) -> tuple[str, str] | None:
    """Return the format and the trace hash of a graph file, or None where it states none."""
    try:
        with path.open(encoding="utf-8") as stream:
            head = stream.read(1 << 10)
    except (OSError, UnicodeDecodeError):
        return None
    # `_metadata` writes these keys first, so the rest of a large file is not read.
    found = _HEAD.match(head)
    return (found[2], found[1]) if found else None


def _metadata(traced: Traced, form: str) -> dict[str, Any]:
    info, options = traced.graph.info, traced.options
    return {
        "trace_hash": info.content_hash,
        "trace_form": form,
        "slug": f"relp-{info.slug}" if form != "neuronpedia" else info.slug,
        "scan": info.space.model,
        "unit_type": info.space.unit_type,
        "link_weight": info.space.link_weight,
        "rules": info.space.rules,
        "baseline": info.space.baseline,
        "metric": info.space.metric,
        "prompt_tokens": info.prompt_tokens,
        "prompt": info.prompt,
        "node_threshold": options.threshold,
        "node_threshold_of": options.tau_of,
        "target_position": len(traced.ids) - 1,
        "source": info.corpus_source,
        "prompt_group": info.prompt_group,
        "corpus_index": info.corpus_index,
        "info": {"generator": {"name": "circuit-atlas", "version": __version__}},
        "generation_settings": {
            "max_n_logits": options.top_logits,
            "max_nodes": options.max_nodes,
            "node_threshold": options.threshold,
            "metric_value": traced.metric,
            "target_position": len(traced.ids) - 1,
            "nodes_exceeded": info.nodes_exceeded,
        },
        "schema_version": 1,
        "num_nodes": len(traced.graph.nodes.kind),
        "num_edges": len(traced.graph.links.weight),
    }


def _rows(graph: Graph) -> Iterator[tuple[NodeKind, int, int, float | None, float | None, float | None, str | None]]:
    """Yield (kind, key, position, activation, influence, probability, text) of every node."""
    nodes = graph.nodes

    def known(values: np.ndarray) -> list[float | None]:
        return [None if np.isnan(value) else value for value in values.tolist()]

    yield from zip(
        [NodeKind(kind) for kind in nodes.kind.tolist()],
        nodes.key.tolist(),
        nodes.position.tolist(),
        known(nodes.activation),
        known(nodes.influence),
        known(nodes.probability),
        nodes.text,
        strict=True,
    )


def _relp(graph: Graph) -> Iterator[dict[str, Any]]:
    for kind, key, position, activation, influence, probability, text in _rows(graph):
        layer: int | str
        if kind is NodeKind.NEURON:
            layer, feature = key >> INDEX_BITS, key & MAX_INDEX
            name, clerp = f"{layer}_{feature}_{position}", f"L{layer}/N{feature}"
            feature_type = "mlp_neuron"
        elif kind is NodeKind.TOKEN:
            layer, feature, feature_type = "embedding", key, "embedding"
            name, clerp = f"E_{key}_{position}", f"Token: {text}"
        elif kind is NodeKind.LOGIT:
            layer, feature, feature_type = "logit", key, "logit"
            name, clerp = f"L_{key}_{position}", f"Logit: {text} (p={probability:.4f})"
        else:
            layer, feature, feature_type = 0, -1, "error"
            name, clerp = f"0_-1_{position}", "what the kept neurons leave unexplained"
        yield {
            "node_id": name,
            "feature": feature,
            "layer": layer,
            "ctx_idx": position,
            "feature_type": feature_type,
            "jsNodeId": name,
            "clerp": clerp,
            "influence": influence,
            "activation": activation,
        } | token_fields(text, probability)


def _viewer(graph: Graph) -> Iterator[dict[str, Any]]:
    top = max((key >> INDEX_BITS for kind, key, *_ in _rows(graph) if kind is NodeKind.NEURON), default=0)
    for node in _relp(graph):
        logit = node["feature_type"] == "logit"
        layer = {"embedding": "E", "logit": str(top + 1)}.get(node["layer"], str(node["layer"]))
        yield node | {"layer": layer, "isLogit": logit, "clerp": node["clerp"].removeprefix("Logit: ")}


def _neuronpedia(graph: Graph) -> Iterator[dict[str, Any]]:
    top = max((key >> INDEX_BITS for kind, key, *_ in _rows(graph) if kind is NodeKind.NEURON), default=0)
    for kind, key, position, activation, influence, probability, text in _rows(graph):
        is_neuron = kind is NodeKind.NEURON
        layer = key >> INDEX_BITS if is_neuron else None
        yield neuronpedia_node(
            kind.name.lower(),
            layer=layer,
            key=key & MAX_INDEX if is_neuron else key,
            position=position,
            top_layer=top,
            text=text,
            clerp=f"L{layer}/N{key & MAX_INDEX}" if is_neuron else "",
            activation=activation,
            influence=influence,
            probability=probability,
        )


def _features(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for node in nodes:
        name = f"{node['layer']}_{node['feature']}"
        found.setdefault(
            name,
            {
                "featureId": name,
                "featureIndex": node["feature"],
                "layer": node["layer"],
                "clerp": node["clerp"],
                "feature_type": node["feature_type"],
            },
        )
    return list(found.values())


_NODES = {"relp": _relp, "viewer": _viewer, "neuronpedia": _neuronpedia}
