"""Projections of the weights of a neuron: tokens that it promotes, and tokens that drive it.

    output       unembedding . down_proj[:, n]                       promotes, suppresses
    input_up     embedding . up_proj[n]                              activates, suppresses
    input_gated  silu(embedding . gate_proj[n]) (embedding . up_proj[n])   activates, suppresses

Both definitions of an input projection were published under one name; here each has its own name. Norms are
not folded in, as in the published tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from atlas.models.model import TracedModel
from atlas.stages import DATASETS

KINDS = {
    "output": ("promotes", "suppresses"),
    "input_up": ("activates", "suppresses"),
    "input_gated": ("activates", "suppresses"),
}


def projections(
    model: TracedModel, *, top: int = 20, memory: int = 1 << 28
) -> Iterator[tuple[int, pa.Table, pa.Table]]:
    """Yield (layer, rows of `projections`, rows of `neuron_norms`) for each layer and batch of neurons.

    `top` is the number of tokens of each kind and direction. `memory` (bytes) bounds the products (neurons, vocabulary)
    held at once.
    """
    texts = np.array(model.token_texts(list(range(model.vocabulary))), dtype=object)
    # The product, its gate, and the buffers of topk.
    step = max(1, memory // (model.vocabulary * 4 * 4))
    top = min(top, model.vocabulary)
    for layer, block in enumerate(model.blocks):
        mlp = block.mlp.module
        for start in range(0, model.neurons, step):
            some = slice(start, min(start + step, model.neurons))
            down, up, gate = (
                _wide(weight[some]) for weight in (mlp.down_proj.weight.T, mlp.up_proj.weight, mlp.gate_proj.weight)
            )
            neurons = np.arange(some.start, some.stop)
            tables = [
                _rows(layer, neurons, kind, product, top, texts) for kind, product in _products(model, down, up, gate)
            ]
            yield layer, pa.concat_tables(tables), _norms(layer, neurons, down, up, gate)


def _wide(weight: Tensor) -> Tensor:
    return weight if weight.dtype == torch.float64 else weight.float()


def _products(model: TracedModel, down: Tensor, up: Tensor, gate: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield the kind and the product (neurons, vocabulary) of each projection of some neurons."""
    with torch.no_grad():
        yield "output", down @ _wide(model.unembedding).T
        embedding = _wide(model.embedding)
        lifted = up @ embedding.T
        yield "input_up", lifted
        yield "input_gated", torch.nn.functional.silu(gate @ embedding.T) * lifted


def _rows(layer: int, neurons: np.ndarray, kind: str, product: Tensor, top: int, texts: np.ndarray) -> pa.Table:
    found = [torch.topk(product, top, largest=largest) for largest in (True, False)]
    tokens = torch.stack([one.indices for one in found], 1).cpu().numpy()
    weights = torch.stack([one.values for one in found], 1).double().cpu().numpy()
    count = len(neurons)
    return DATASETS["projections.projections"].table(
        {
            "layer": np.full(tokens.size, layer, np.int32),
            "neuron": np.repeat(neurons, 2 * top).astype(np.int32),
            "projection_kind": pa.array([kind] * tokens.size).dictionary_encode(),
            "direction": pa.array(np.tile(np.repeat(KINDS[kind], top), count)).dictionary_encode(),
            "rank": np.tile(np.arange(1, top + 1, dtype=np.int32), 2 * count),
            "token_id": tokens.reshape(-1).astype(np.int64),
            "token": pa.array(texts[tokens.reshape(-1)], pa.string()),
            "weight": weights.reshape(-1),
        }
    )


def _norms(layer: int, neurons: np.ndarray, down: Tensor, up: Tensor, gate: Tensor) -> pa.Table:
    columns: dict[str, Any] = {"layer": np.full(len(neurons), layer, np.int32), "neuron": neurons.astype(np.int32)}
    for name, weight in (("output_norm", down), ("up_norm", up), ("gate_norm", gate)):
        columns[name] = weight.norm(dim=1).double().cpu().numpy()
    return DATASETS["projections.neuron_norms"].table(columns)
