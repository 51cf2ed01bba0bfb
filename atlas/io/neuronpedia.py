"""Nodes as circuit-tracer and Neuronpedia write them in graph files."""

from __future__ import annotations

from typing import Any

ERROR_TYPE = "mlp reconstruction error"
# The type that viewers draw as a unit of the model.
UNIT_TYPE = "cross layer transcoder"


def cantor(layer: int, index: int) -> int:
    """Return the Cantor pairing of layer and index, by which circuit-tracer numbers features."""
    return (layer + index) * (layer + index + 1) // 2 + index


def neuronpedia_node(
    kind: str,
    *,
    layer: int | None,
    key: int | None,
    position: int | None,
    top_layer: int,
    text: str | None = None,
    clerp: str = "",
    activation: float | None = None,
    influence: float | None = None,
    probability: float | None = None,
) -> dict[str, Any]:
    """Return one node of a graph file of circuit-tracer.

    Args:
        kind: `neuron`, `token`, `logit` or `error`.
        layer: Layer of a neuron, or of an error where it is known.
        key: Index of a neuron within its layer, or id of a token.
        position: Position in the prompt, from 0.
        top_layer: Highest layer of a neuron of the graph; outputs are one above.
        text: Text of a token.
        clerp: What the viewer shows of a neuron.
        activation: Activation of a neuron.
        influence: Influence of the node.
        probability: Probability of an output.

    Returns:
        The node, with `node_id`.
    """
    place = 0 if position is None else position
    if kind == "neuron":
        assert layer is not None
        assert key is not None
        shown, feature, feature_type = str(layer), cantor(layer, key), UNIT_TYPE
        name = f"{layer}_{key}_{place}"
    elif kind == "token":
        shown, feature, feature_type = "E", place, "embedding"
        name, clerp = f"E_{key}_{place}", f'Emb: "{text}"'
    elif kind == "logit":
        shown, feature, feature_type = str(top_layer + 1), key or 0, "logit"
        name, clerp = f"{shown}_{key}_{place}", f'Output "{text}" (p={probability or 0.0:.4f})'
    else:
        shown, feature, feature_type = str(layer or 0), -1, ERROR_TYPE
        name = f"{layer or 0}_-1_{place}"
    found = {
        "node_id": name,
        "feature": feature,
        "layer": shown,
        "ctx_idx": place,
        "feature_type": feature_type,
        "token_prob": 0.0,
        "is_target_logit": kind == "logit",
        "run_idx": 0,
        "reverse_ctx_idx": 0,
        "jsNodeId": name,
        "clerp": clerp,
        "influence": influence,
        "activation": activation,
    }
    return found | token_fields(text, probability)


def token_fields(text: str | None, probability: float | None) -> dict[str, Any]:
    """Return the text of a token and the exact probability of an output, which `clerp` only rounds.

    Args:
        text: Text of a token, or None.
        probability: Probability of an output, or None.

    Returns:
        Those that are known, under `token` and `token_prob`.
    """
    named = {} if text is None else {"token": text}
    return named if probability is None else named | {"token_prob": probability}
