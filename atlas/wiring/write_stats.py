"""Writer of the stats folder of a wiring run, from the lists of both directions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from atlas.graph import Ints, Space
from atlas.stages.connections_writer import METHOD, Connections
from atlas.stages.stats_writer import StatsWriter
from atlas.wiring.state import State
from atlas.wiring.top_k import POLARITIES, TopK
from atlas.wiring.weights import Shape, Weights

_BATCH = 4096  # neurons at a time


def write_stats(
    folder: Path,
    state: State,
    weights: Weights,
    factors: Tensor | None,
    name: str,
    options: Mapping[str, Any],
    memory: int,
) -> tuple[int, int, int]:
    """Write the stats folder of the lists in `state`, within `memory` bytes. `factors` are the regimes of targets.

    Returns the numbers of connections, and of those listed downstream and upstream.
    """
    shape = weights.shape
    writer = StatsWriter(folder)
    try:
        with Connections(state.path("joined.duckdb"), memory) as lists:
            known = factors.flatten(0, 1).numpy() if factors is not None else None
            for upper in range(1, shape.layers):
                _add(lists, "upstream", state.upstream(upper), upper * shape.neurons, shape, known)
            downstream = state.downstream()
            if downstream is not None:
                _add(lists, "downstream", downstream, 0, shape, known)
            counts = lists.write(writer)
        _add_neurons(writer, shape)
        facts = {"neurons": shape.layers * shape.neurons, "edges": writer.counts.get("edges", 0)}
        inputs = [path.name for path in weights.inputs()]
        writer.finish(Space(name, None, "neuron", METHOD), METHOD, inputs, options=options, counts=facts)
    finally:
        writer.close()
    return counts


def _add(
    lists: Connections, direction: str, found: TopK, first: int, shape: Shape, factors: NDArray[np.float32] | None
) -> None:
    """Add the lists of the neurons from number `first` on; `factors` (all neurons, 2) are NaN where unknown."""
    for start in range(0, found.strength.shape[1], _BATCH):
        some = found.rows(slice(start, start + _BATCH))
        strength, partner, up, gate = (
            getattr(some, key).cpu().numpy() for key in ("strength", "partner", "up", "gate")
        )
        polarity, row, rank = np.nonzero(strength > 0)
        mine = first + start + row
        other = partner[polarity, row, rank]
        source, target = (other, mine) if direction == "upstream" else (mine, other)
        c_up, c_gate = up[polarity, row, rank], gate[polarity, row, rank]
        mixed, least = c_up * c_gate < 0, np.minimum(abs(c_up), abs(c_gate))
        columns = {
            "src_layer": source // shape.neurons,
            "src_neuron": source % shape.neurons,
            "tgt_layer": target // shape.neurons,
            "tgt_neuron": target % shape.neurons,
            "c_up": c_up,
            "c_gate": c_gate,
            "strength": pa.array(c_up + c_gate, mask=mixed),
            "derivative": _derivative(c_up, c_gate, target, factors),
            "polarity": np.array(POLARITIES, object)[polarity],
            "confidence": pa.array(least / np.maximum(abs(c_up), abs(c_gate)), mask=mixed),
            "rank": rank + 1,
        }
        lists.add(direction, columns)


def _derivative(
    c_up: NDArray[np.float32], c_gate: NDArray[np.float32], target: Ints, factors: NDArray[np.float32] | None
) -> pa.Array:
    """Return f_up c_up + f_gate c_gate, null where the regime of the target is unknown."""
    if factors is None:
        return pa.nulls(len(target), pa.float32())
    found = factors[target, 0] * c_up + factors[target, 1] * c_gate
    return pa.array(found, mask=np.isnan(found))


def _add_neurons(writer: StatsWriter, shape: Shape) -> None:
    """Add every neuron of the model, with counts of 0."""
    index = np.arange(shape.neurons, dtype=np.int32)
    for layer in range(shape.layers):
        zeros = dict.fromkeys(("graph_count", "node_count", "activation_count", "influence_count"), 0)
        writer.add("neurons", {"layer": layer, "neuron": index, **zeros})
