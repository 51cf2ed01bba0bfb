"""Random samples of the nodes and edges of a graph, which are cut in the real model."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray

from atlas.graph import Ablated, Floats, Ints, Tracing
from atlas.trace.ablations import Ablator
from atlas.trace.effects import NodeIndex


def ablate_sample(
    ablator: Ablator, tracing: Tracing, cells: NodeIndex, effects: Floats, expected: float, content_hash: str
) -> Tracing:
    """Ablate a random sample of nodes, of edges between neurons, and of edges to outputs.

    Args:
        ablator: The prompt.
        tracing: Facts about the graph.
        cells: Kept neurons (S,).
        effects: Predicted direct effects: kept neurons, then outputs, by kept neurons and other sources.
        expected: Number of each kind; a fraction is the probability of one more.
        content_hash: Hash of the graph, which seeds the sample: the same graph has the same sample in every run.

    Returns:
        The facts with the measured effects.
    """
    rng = np.random.default_rng(int(content_hash[:16], 16))
    kept, tokens = len(cells), len(ablator.ids)
    between, out = (np.argwhere(part) for part in (effects[:kept, :kept], effects[kept:, :kept]))
    chosen = _chosen(rng, kept, expected)
    edges = between[_chosen(rng, len(between), expected)]
    outputs = out[_chosen(rng, len(out), expected)]
    active = ablator.active_cells(cells)
    measured = [
        ablator.edges(_of(cells, edges[:, 1]), _of(cells, edges[:, 0])),
        ablator.output_edges(_of(cells, outputs[:, 1]), torch.from_numpy(outputs[:, 0])),
    ]
    values = ablator.outputs.values(ablator.cache.logits[0]).double().cpu().numpy()
    ablated = Ablated(
        node=chosen,
        node_effect=ablator.nodes(_of(cells, chosen)).double().cpu().numpy(),
        source=np.concatenate([edges[:, 1], outputs[:, 1]]),
        # Outputs stand behind the neurons and the tokens in the nodes of a graph.
        target=np.concatenate([edges[:, 0], outputs[:, 0] + kept + tokens]),
        predicted=np.concatenate([effects[edges[:, 0], edges[:, 1]], effects[outputs[:, 0] + kept, outputs[:, 1]]]),
        edge_effect=torch.cat(measured).double().cpu().numpy(),
        target_value=np.concatenate([active[edges[:, 0]], values[outputs[:, 0]]]),
    )
    return dataclasses.replace(tracing, ablated=ablated)


def _chosen(rng: np.random.Generator, count: int, expected: float) -> Ints:
    """Return a sorted sample of the numbers below `count`."""
    size = min(int(expected + rng.random()), count)
    found: NDArray[np.int64] = np.sort(rng.choice(count, size, replace=False)) if size else np.zeros(0, np.int64)
    return found.astype(np.int64)


def _of(cells: NodeIndex, rows: Ints) -> NodeIndex:
    some = torch.from_numpy(rows).to(cells.layer.device)
    return NodeIndex(cells.layer[some], cells.position[some], cells.neuron[some])
