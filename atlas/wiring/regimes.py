"""Regimes of traced neurons: how a neuron changes with its up and its gate where it is a node of a graph."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import torch
from torch import Tensor

from atlas.errors import InputError
from atlas.stages import DATASETS, require
from atlas.stages.manifest import read_manifest
from atlas.wiring.weights import Weights

REGIMES = DATASETS["stats.regimes"]


def are_of(stats: Path, weights: Weights) -> bool:
    """Return True if the statistics are of a trace of the model with these weights.

    Args:
        stats: Stats folder of a trace.
        weights: Weights of a model.

    Returns:
        Whether the signs of a row of MLP weights of every layer are equal.
    """
    return bool(read_manifest(stats, "stats").get("options", {}).get("traced_mlps") == weights.mlp_signature)


def read_regimes(stats: Path, weights: Weights) -> Tensor:
    """Read the mean factors of up and gate of every neuron.

    Args:
        stats: Stats folder of a trace.
        weights: Weights of the model.

    Returns:
        Factors (layers, neurons, 2), float32; NaN for neurons that are in no graph.

    Raises:
        InputError: The folder holds no regimes, or those of another model.
        StageError: The folder holds no statistics.
    """
    shape = weights.shape
    read_manifest(stats, "stats")
    if not REGIMES.path(stats).exists():
        raise InputError(f"{stats} states no regimes; they are known for graphs that atlas trace has made")
    table = pq.read_table(require(stats, REGIMES))
    if not len(table):
        raise InputError(f"{stats} states no regimes; they are known for graphs that atlas trace has made")
    columns = {name: torch.from_numpy(table[name].to_numpy().copy()) for name in table.column_names}
    layer, neuron = columns["layer"].long(), columns["neuron"].long()
    if not are_of(stats, weights):
        raise InputError(
            f"{stats} was traced from another model than {weights.folder}; give the statistics of this one"
        )
    found = torch.full((shape.layers, shape.neurons, 2), torch.nan)
    sums = torch.stack([columns["up_factor_sum"], columns["gate_factor_sum"]], 1)
    found[layer, neuron] = (sums / columns["node_count"][:, None]).float()
    return found


def comparable(factors: Tensor) -> Tensor:
    """Return factors (..., 2) with the larger one at 1, so that lists with known and unknown regimes compare."""
    return factors / factors.abs().amax(-1, keepdim=True).clamp(min=1e-30)
