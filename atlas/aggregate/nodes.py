"""Node observations -> `neurons`, `neuron_graphs`, `tokens` and `graph_labels`."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from atlas.aggregate.kernel import KeyStats, reduce_observations
from atlas.graph import Floats, Graph, Ints, NodeKind
from atlas.ids import INDEX_BITS, MAX_INDEX
from atlas.schema import DATASETS


class NodeCollector:
    """Collects the nodes of graphs, added in the order of their graph_id."""

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {
            name: [] for name in ("key", "graph", "position", "activation", "influence")
        }
        self._token_texts: dict[int, str] = {}
        self._token_counts: dict[NodeKind, Counter[int]] = {NodeKind.TOKEN: Counter(), NodeKind.LOGIT: Counter()}
        self._probability_max: dict[int, float] = {}
        self._labels: Counter[tuple[int, str]] = Counter()

    def add(self, graph_id: int, graph: Graph) -> None:
        """Take the nodes of one graph."""
        nodes = graph.nodes
        rows = np.flatnonzero(nodes.kind == NodeKind.NEURON)
        for name, values in (
            ("key", nodes.key[rows]),
            ("graph", np.full(len(rows), graph_id, dtype=np.int64)),
            ("position", nodes.position[rows]),
            ("activation", nodes.activation[rows]),
            ("influence", nodes.influence[rows]),
        ):
            self._columns[name].append(values)
        self._labels.update({(int(nodes.key[row]), text) for row in rows if (text := nodes.text[row]) is not None})
        for kind, counts in self._token_counts.items():
            self._add_tokens(graph, kind, counts)

    def _add_tokens(self, graph: Graph, kind: NodeKind, counts: Counter[int]) -> None:
        nodes = graph.nodes
        rows = np.flatnonzero(nodes.kind == kind)
        counts.update({int(token) for token in nodes.key[rows]})
        for row in rows:
            token, text, probability = int(nodes.key[row]), nodes.text[row], float(nodes.probability[row])
            if text is not None:
                # The first graph that spells a token names it: prompts spell it the same everywhere.
                self._token_texts.setdefault(token, text)
            if probability == probability:
                self._probability_max[token] = max(probability, self._probability_max.get(token, 0.0))

    def tables(self) -> dict[str, pa.Table]:
        """The node datasets, each sorted by its key."""
        empty = {
            "key": np.int64,
            "graph": np.int64,
            "position": np.int32,
            "activation": np.float64,
            "influence": np.float64,
        }
        columns = {name: np.concatenate([np.zeros(0, empty[name]), *chunks]) for name, chunks in self._columns.items()}
        order = np.lexsort((columns["position"], columns["graph"], columns["key"]))
        columns = {name: values[order] for name, values in columns.items()}
        return {
            "neurons": _neurons(columns),
            "neuron_graphs": _neuron_graphs(columns),
            "tokens": self._tokens(),
            "graph_labels": self._graph_labels(),
        }

    def _tokens(self) -> pa.Table:
        inputs, outputs = self._token_counts[NodeKind.TOKEN], self._token_counts[NodeKind.LOGIT]
        ids = sorted(inputs.keys() | outputs.keys())
        return DATASETS["stats.tokens"].table(
            {
                "token_id": ids,
                "token": [self._token_texts.get(token) for token in ids],
                "input_graph_count": [inputs[token] for token in ids],
                "output_graph_count": [outputs[token] for token in ids],
                "probability_max": [self._probability_max.get(token) for token in ids],
            }
        )

    def _graph_labels(self) -> pa.Table:
        rows = sorted(self._labels.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
        return DATASETS["stats.graph_labels"].table(
            {
                "layer": [key >> INDEX_BITS for (key, _), _ in rows],
                "neuron": [key & MAX_INDEX for (key, _), _ in rows],
                "text": [text for (_, text), _ in rows],
                "graph_count": [count for _, count in rows],
            }
        )


def _reduce(key: Ints, graph: Ints, value: Floats) -> KeyStats:
    return reduce_observations(torch.from_numpy(key), torch.from_numpy(graph), torch.from_numpy(value))


def _known(columns: dict[str, Any], name: str) -> KeyStats:
    """Statistics over the nodes whose value the files state."""
    known = ~np.isnan(columns[name])
    return _reduce(columns["key"][known], columns["graph"][known], columns[name][known])


def _neurons(columns: dict[str, Any]) -> pa.Table:
    every = _reduce(columns["key"], columns["graph"], np.zeros(len(columns["key"])))
    keys = every.key.numpy()
    table: dict[str, Any] = {
        "layer": keys >> INDEX_BITS,
        "neuron": keys & MAX_INDEX,
        "graph_count": every.graph_count.numpy(),
        "node_count": every.count.numpy(),
    }
    activation, influence = _known(columns, "activation"), _known(columns, "influence")
    for prefix, stats, names in (
        ("activation", activation, {"sum": "weight_sum", "sq_sum": "weight_sq_sum"}),
        ("influence", influence, {"sum": "weight_sum", "abs_sum": "weight_abs_sum"}),
    ):
        place = np.searchsorted(keys, stats.key.numpy())
        table[f"{prefix}_count"] = _spread(stats.count.numpy(), place, len(keys), 0)
        for name, attribute in {**names, "min": "weight_min", "max": "weight_max"}.items():
            table[f"{prefix}_{name}"] = _spread(getattr(stats, attribute).numpy(), place, len(keys), None)
    return DATASETS["stats.neurons"].table(table)


def _spread(values: Any, place: Ints, length: int, default: int | None) -> pa.Array:
    """Values at their places among `length` rows; the others are `default`, or null."""
    spread = np.zeros(length, dtype=values.dtype)
    spread[place] = values
    unknown = np.ones(length, dtype=bool)
    unknown[place] = False
    return pa.array(spread, mask=None if default is not None else unknown)


def _neuron_graphs(columns: dict[str, Any]) -> pa.Table:
    """One row per (neuron, graph); columns arrive sorted by neuron, graph, position."""
    key, graph = columns["key"], columns["graph"]
    first = np.ones(len(key), dtype=bool)
    first[1:] = (key[1:] != key[:-1]) | (graph[1:] != graph[:-1])
    starts = np.flatnonzero(first)
    offsets = np.append(starts, len(key)).astype(np.int32)
    return DATASETS["stats.neuron_graphs"].table(
        {
            "layer": key[starts] >> INDEX_BITS,
            "neuron": key[starts] & MAX_INDEX,
            "graph_id": graph[starts].astype(np.int32),
            "node_count": np.diff(offsets),
            "positions": pa.ListArray.from_arrays(pa.array(offsets), pa.array(columns["position"])),
            "activation_max": _extreme(np.fmax, columns["activation"], starts),
            "influence_min": _extreme(np.fmin, columns["influence"], starts),
            "influence_max": _extreme(np.fmax, columns["influence"], starts),
        }
    )


def _extreme(how: np.ufunc, values: Floats, starts: Ints) -> pa.Array:
    """Smallest or largest known value of each run; null where none is known."""
    if not len(starts):
        return pa.array([], pa.float64())
    return pa.array(how.reduceat(values, starts), from_pandas=True)
