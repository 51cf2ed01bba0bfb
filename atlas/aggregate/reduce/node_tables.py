"""Conversion of nodes to the datasets `neurons` and `neuron_graphs`, one range of neurons at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.aggregate.kernels import sort_words
from atlas.aggregate.kernels.key_stats import expand_slices, run_starts, take
from atlas.aggregate.kernels.numpy_kernel import order_by_key, sums
from atlas.graph import Floats, Ints, pack_units
from atlas.ids import INDEX_BITS, MAX_INDEX
from atlas.stages import DATASETS

Array = NDArray[Any]
_ADDED = ("graph_count", "node_count", "activation_count", "influence_count")


@dataclass(frozen=True, slots=True)
class NodeTables:
    """Rows of `neurons` and of `neuron_graphs`, as arrays. Unknown values are NaN."""

    neurons: dict[str, Array]  # key (n_neurons,) ascending, and the columns of the dataset
    incidences: dict[str, Array]  # key (n_incidences,), graph, node_count, extrema of activation and influence
    positions: NDArray[np.int32]  # (n_nodes,), node_count of them per incidence


def from_nodes(columns: Mapping[str, Array]) -> NodeTables:
    """Return the tables of node rows: key, graph (final ids), position, activation and influence, each (n,).

    Rows of one neuron are expected in graph order, and rows of one (neuron, graph) in position order. Rows with graphs
    out of order are sorted.
    """
    order, starts = order_by_key(columns["key"].astype(np.int64), sort_words)
    key, graph = (take(columns[name], order) for name in ("key", "graph"))
    if _falls(graph, starts):
        # The graphs of the sources are interleaved: sort by graph and position as well.
        order = np.lexsort((columns["position"], columns["graph"], columns["key"]))
        key, graph = columns["key"][order], columns["graph"][order]
    position, activation, influence = (take(columns[name], order) for name in ("position", "activation", "influence"))
    new = np.ones(len(key), bool)
    new[1:] = (key[1:] != key[:-1]) | (graph[1:] != graph[:-1])
    cells = np.flatnonzero(new)
    incidences = {"key": key[cells], "graph": graph[cells], "node_count": np.diff(cells, append=len(key))}
    for name, values in (("activation", activation), ("influence", influence)):
        incidences |= _extrema(name, values, cells)
    neurons = {
        "key": key[starts],
        "graph_count": np.diff(np.searchsorted(cells, starts), append=len(cells)),
        "node_count": np.diff(starts, append=len(key)),
    }
    for name, values in (("activation", activation), ("influence", influence)):
        neurons |= _moments(name, values.astype(np.float64), starts)
    return NodeTables(neurons, incidences, position)


def _falls(graph: Array, starts: Ints) -> bool:
    falls = graph[1:] < graph[:-1]
    falls[starts[1:] - 1] = False
    return bool(falls.any())


def _extrema(name: str, values: Array, starts: Ints) -> dict[str, Array]:
    """Return minimum and maximum of the known values of each run."""
    if not _any_known(values):
        return dict.fromkeys((f"{name}_min", f"{name}_max"), np.full(len(starts), np.nan, values.dtype))
    return {f"{name}_min": _reduce(np.fmin, values, starts), f"{name}_max": _reduce(np.fmax, values, starts)}


def _any_known(values: Array) -> bool:
    """Return False if all values are NaN, as those of observations are."""
    return bool((values == values).any())


def _moments(name: str, values: Floats, starts: Ints) -> dict[str, Array]:
    """Return count, sums and extrema of the known values of each run."""
    spread = {"activation": "activation_sq_sum", "influence": "influence_abs_sum"}[name]
    if not _any_known(values):
        unknown: dict[str, Array] = dict.fromkeys((f"{name}_sum", spread), np.full(len(starts), np.nan))
        return {f"{name}_count": np.zeros(len(starts), np.int64), **unknown, **_extrema(name, values, starts)}
    known = ~np.isnan(values)
    zeroed = np.where(known, values, 0.0)
    run = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(values)))
    found: dict[str, Array] = {
        f"{name}_count": _reduce(np.add, known.astype(np.int64), starts),
        f"{name}_sum": sums(run, zeroed),
        spread: sums(run, zeroed * zeroed if name == "activation" else np.abs(zeroed)),
        **_extrema(name, values, starts),
    }
    for column in (f"{name}_sum", spread):
        found[column] = np.where(found[f"{name}_count"] > 0, found[column], np.nan)
    return found


def _reduce(how: np.ufunc, values: Array, starts: Ints) -> Array:
    return how.reduceat(values, starts) if len(starts) else values[:0]


def merge(parts: Sequence[NodeTables]) -> NodeTables:
    """Return the tables of the union of graphs. The parts must not share graphs, and must have final graph ids."""
    parts = [part for part in parts if len(part.neurons["key"])]
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return from_nodes({"key": np.zeros(0, np.uint32), "graph": np.zeros(0, np.int32), "position": np.zeros(0, np.int32), "activation": np.zeros(0), "influence": np.zeros(0)})  # fmt: skip
    return NodeTables(_merge_neurons(parts), *_merge_incidences(parts))


def _merge_neurons(parts: Sequence[NodeTables]) -> dict[str, Array]:
    columns = {name: np.concatenate([part.neurons[name] for part in parts]) for name in parts[0].neurons}
    order = np.argsort(columns["key"], kind="stable")
    starts = run_starts(columns["key"][order])
    merged = {"key": columns["key"][order][starts]}
    for name in columns.keys() - {"key"}:
        values = columns[name][order]
        if name in _ADDED:
            merged[name] = _reduce(np.add, values, starts)
        elif name.endswith("_sum"):
            known = _reduce(np.add, (~np.isnan(values)).astype(np.int64), starts) > 0
            merged[name] = np.where(known, _reduce(np.add, np.nan_to_num(values), starts), np.nan)
        else:
            merged[name] = _reduce(np.fmin if name.endswith("_min") else np.fmax, values, starts)
    return merged


def _merge_incidences(parts: Sequence[NodeTables]) -> tuple[dict[str, Array], NDArray[np.int32]]:
    columns = {name: np.concatenate([part.incidences[name] for part in parts]) for name in parts[0].incidences}
    positions = np.concatenate([part.positions for part in parts])
    order = np.lexsort((columns["graph"], columns["key"]))
    sizes = columns["node_count"]
    starts = np.cumsum(sizes) - sizes
    columns = {name: values[order] for name, values in columns.items()}
    return columns, positions[expand_slices(starts[order], columns["node_count"])]


def neuron_table(tables: NodeTables) -> pa.Table:
    """Return the dataset `neurons`."""
    dataset = DATASETS["stats.neurons"]
    return dataset.table(_with_layers(tables.neurons, dataset.schema))


def neuron_graph_table(tables: NodeTables) -> pa.Table:
    """Return the dataset `neuron_graphs`."""
    dataset = DATASETS["stats.neuron_graphs"]
    rows = tables.incidences
    columns = _with_layers(rows, dataset.schema)
    columns["graph_id"] = rows["graph"].astype(np.int32)
    columns["node_count"] = rows["node_count"].astype(np.int32)
    offsets = np.append(0, np.cumsum(rows["node_count"])).astype(np.int32)
    columns["positions"] = pa.ListArray.from_arrays(pa.array(offsets), pa.array(tables.positions))
    return dataset.table(columns)


def _with_layers(columns: Mapping[str, Array], schema: pa.Schema) -> dict[str, Any]:
    """Return columns for Arrow, with layer and neuron instead of the key, and null instead of NaN."""
    found: dict[str, Any] = {
        "layer": (columns["key"] >> INDEX_BITS).astype(np.int32),
        "neuron": (columns["key"] & MAX_INDEX).astype(np.int32),
    }
    for field in schema:
        if field.name in columns:
            values = columns[field.name]
            is_float = pa.types.is_floating(field.type)
            found[field.name] = pa.array(values.astype(np.float64), from_pandas=True) if is_float else values
    return found


def from_tables(neurons: pa.Table, incidences: pa.Table, graph_ids: Ints) -> NodeTables:
    """Return the arrays of both datasets, for merging; `graph_ids` maps their graph ids to the final ones."""
    lists = incidences["positions"].combine_chunks()
    positions = lists.flatten().to_numpy(zero_copy_only=False).astype(np.int32)
    rows = _arrays(incidences, ("node_count", "activation_min", "activation_max", "influence_min", "influence_max"))
    rows = {"key": _packed(incidences), "graph": graph_ids[incidences["graph_id"].to_numpy()], **rows}
    columns = [name for name in neurons.column_names if name not in ("layer", "neuron", "group_count")]
    return NodeTables({"key": _packed(neurons), **_arrays(neurons, columns)}, rows, positions)


def _packed(table: pa.Table) -> Ints:
    packed: Ints = pack_units(table["layer"].to_numpy(), table["neuron"].to_numpy())
    return packed


def _arrays(table: pa.Table, names: Sequence[str]) -> dict[str, Array]:
    found = {}
    for name in names:
        values = table[name].to_numpy(zero_copy_only=False)
        whole = name.endswith("_count")
        # An unknown count, in statistics of a user's own script, becomes 0.
        found[name] = np.nan_to_num(values).astype(np.int64) if whole else values.astype(np.float64)
    return found
