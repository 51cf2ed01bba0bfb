"""Facts that a tracer adds to its graphs, as tables: regimes of neurons, and effects of ablations in the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.graph import Ablated, Floats, Graph, Ints, NodeKind, Tracing
from atlas.ids import INDEX_BITS, MAX_INDEX
from atlas.stages import DATASETS

_NAMES = ("regimes", "ablated_nodes", "ablated_edges")
_SUMS = ("up_factor", "gate_factor", "both_positive", "up_negative", "gate_negative", "both_negative")


class TracedFacts:
    """Collector of the facts of traced graphs; graphs from files have none."""

    def __init__(self) -> None:
        self._keys: list[Ints] = []
        self._values: list[Floats] = []
        self._nodes: list[pa.Table] = []
        self._edges: list[pa.Table] = []

    def add(self, number: int, graph: Graph) -> None:
        """Add a graph, which is numbered within its task."""
        if graph.tracing is None:
            return
        self._add_regimes(graph, graph.tracing)
        if graph.tracing.ablated is not None:
            self._nodes.append(_node_table(number, graph, graph.tracing, graph.tracing.ablated))
            self._edges.append(_edge_table(number, graph, graph.tracing.ablated))

    def _add_regimes(self, graph: Graph, tracing: Tracing) -> None:
        rows = np.flatnonzero(graph.nodes.kind == NodeKind.NEURON)
        gate, up = tracing.gate[rows], tracing.up[rows]
        # Two exponentials of negative numbers: no overflow.
        share = np.where(gate >= 0, 1 / (1 + np.exp(-abs(gate))), np.exp(-abs(gate)) / (1 + np.exp(-abs(gate))))
        factors = [gate * share, up * share * (1 + gate * (1 - share))]
        signs = [(gate > 0) & (up > 0), (gate > 0) & (up <= 0), (gate <= 0) & (up > 0), (gate <= 0) & (up <= 0)]
        self._keys.append(graph.nodes.key[rows])
        self._values.append(np.stack([*factors, *signs]).astype(np.float64))

    def tables(self) -> dict[str, pa.Table]:
        """Return the facts as tables with the declared schemas."""
        empty = {name: DATASETS[f"stats.{name}"].empty() for name in _NAMES}
        found = {"regimes": self._regimes()} if self._keys else {}
        if self._nodes:
            found |= {"ablated_nodes": pa.concat_tables(self._nodes), "ablated_edges": pa.concat_tables(self._edges)}
        return empty | found

    def _regimes(self) -> pa.Table:
        keys, place, counts = np.unique(np.concatenate(self._keys), return_inverse=True, return_counts=True)
        values = np.concatenate(self._values, axis=1)
        sums = [np.bincount(place, row, len(keys)) for row in values]
        columns: dict[str, NDArray[Any]] = {"layer": keys >> INDEX_BITS, "neuron": keys & MAX_INDEX}
        columns["node_count"] = counts
        for name, total in zip(_SUMS, sums, strict=True):
            is_factor = name.endswith("factor")
            columns[f"{name}_sum" if is_factor else f"{name}_count"] = total if is_factor else total.astype(np.int64)
        return DATASETS["stats.regimes"].table(_narrow(columns))


def _node_table(number: int, graph: Graph, tracing: Tracing, ablated: Ablated) -> pa.Table:
    rows, nodes = ablated.node, graph.nodes
    columns = {
        "graph_id": np.full(len(rows), number),
        **_unit(nodes.key[rows], ""),
        "position": nodes.position[rows],
        "score": nodes.influence[rows],
        "score_gradient": tracing.score_gradient[rows],
        "score_sum": np.full(len(rows), tracing.score_sum),
        "effect": ablated.node_effect,
    }
    return DATASETS["stats.ablated_nodes"].table(_narrow(columns))


def _edge_table(number: int, graph: Graph, ablated: Ablated) -> pa.Table:
    nodes = graph.nodes
    is_token = nodes.kind[ablated.target] == NodeKind.LOGIT
    target = nodes.key[ablated.target]
    columns: dict[str, Any] = {
        "graph_id": np.full(len(target), number),
        **_unit(nodes.key[ablated.source], "src_"),
        "src_position": nodes.position[ablated.source],
        "tgt_position": nodes.position[ablated.target],
        "predicted": ablated.predicted,
        "effect": ablated.edge_effect,
        "target_value": ablated.target_value,
    }
    columns = _narrow(columns)
    for name, values in _unit(target, "tgt_").items():
        columns[name] = pa.array(values.astype(np.int32), mask=is_token)
    columns["tgt_token_id"] = pa.array(target, pa.int64(), mask=~is_token)
    return DATASETS["stats.ablated_edges"].table(columns)


def _unit(key: Ints, prefix: str) -> dict[str, Ints]:
    return {f"{prefix}layer": key >> INDEX_BITS, f"{prefix}neuron": key & MAX_INDEX}


def _narrow(columns: dict[str, Any]) -> dict[str, Any]:
    """Return columns with whole numbers as the schemas hold them: counts are int64, all others int32."""
    return {
        name: values.astype(np.int32) if values.dtype.kind == "i" and not name.endswith("_count") else values
        for name, values in columns.items()
    }
