"""Writer of the stats folder of a wiring run, from the lists of both directions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from atlas.graph import Space
from atlas.stages.connections_writer import METHOD, Connections
from atlas.stages.stats_writer import StatsWriter
from atlas.wiring.state import State
from atlas.wiring.top_k import TopK
from atlas.wiring.weights import Shape, Weights

_BATCH = 4096  # neurons at a time


def write_stats(
    folder: Path, state: State, weights: Weights, name: str, options: Mapping[str, Any], memory: int
) -> tuple[int, int, int]:
    """Write the stats folder of the lists in `state`, within `memory` bytes.

    Returns the numbers of connections, and of those listed downstream and upstream.
    """
    shape = weights.shape
    writer = StatsWriter(folder)
    try:
        with Connections(state.path("joined.duckdb"), memory) as lists:
            for upper in range(1, shape.layers):
                _add(lists, "upstream", state.upstream(upper), upper * shape.neurons, shape)
            downstream = state.downstream()
            if downstream is not None:
                _add(lists, "downstream", downstream, 0, shape)
            counts = lists.write(writer)
        _add_neurons(writer, shape)
        facts = {"neurons": shape.layers * shape.neurons, "edges": counts[0]}
        inputs = [path.name for path in weights.inputs()]
        writer.finish(Space(name, None, "neuron", METHOD), METHOD, inputs, options=options, counts=facts)
    finally:
        writer.close()
    return counts


def _add(lists: Connections, direction: str, found: TopK, first: int, shape: Shape) -> None:
    """Add the lists of the neurons from number `first` on."""
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
        columns = {
            "src_layer": source // shape.neurons,
            "src_neuron": source % shape.neurons,
            "tgt_layer": target // shape.neurons,
            "tgt_neuron": target % shape.neurons,
            "c_up": c_up,
            "c_gate": c_gate,
            # Lists hold no pairs of mixed sign, so both products have the same sign and the strength is their sum.
            "strength": c_up + c_gate,
            "confidence": np.minimum(abs(c_up), abs(c_gate)) / np.maximum(abs(c_up), abs(c_gate)),
            "rank": rank + 1,
        }
        lists.add(direction, columns)


def _add_neurons(writer: StatsWriter, shape: Shape) -> None:
    """Add every neuron of the model, with counts of 0."""
    index = np.arange(shape.neurons, dtype=np.int32)
    for layer in range(shape.layers):
        zeros = dict.fromkeys(("graph_count", "node_count", "activation_count", "influence_count"), 0)
        writer.add("neurons", {"layer": layer, "neuron": index, **zeros})
