"""Weighted network to cluster, from the edges of a stats folder or an atlas."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
from numpy.typing import NDArray

from atlas.errors import AtlasFileError, InputError, NothingToCluster, UsageError
from atlas.ids import INDEX_BITS
from atlas.stages import DATASETS, require

# Names of the formulas from the statistics of an edge to its weight (never negative: flow has no sign).
WEIGHTS = ("mean_abs_weight_sq", "mean_abs_weight", "abs_weight_sum", "abs_mean_weight_sq", "abs_weight_graphs")
_COLUMNS = [
    "src_layer",
    "src_neuron",
    "tgt_layer",
    "tgt_neuron",
    "count",
    "graph_count",
    "group_count",
    "weight_sum",
    "weight_abs_sum",
]


@dataclass(frozen=True, slots=True)
class Network:
    """Directed weighted network over `neurons`; `source` and `target` are rows of that array."""

    neurons: NDArray[np.int64]  # (n_neurons,) packed, ascending
    source: NDArray[np.int64]  # (n_links,)
    target: NDArray[np.int64]  # (n_links,)
    weight: NDArray[np.float64]  # (n_links,), positive


def load_network(given: Path, *, weight: str, min_count: int, min_graphs: int = 1, min_groups: int = 1) -> Network:
    """Return the network of all edges with at least so many links, graphs and groups of prompts.

    Raises `UsageError` for an unknown weight and `InputError` where no edge is left.
    """
    if weight not in WEIGHTS:
        raise UsageError(f"unknown weight {weight!r}; choose {', '.join(WEIGHTS)}")
    edge_count = 0
    sources, targets, weights = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    least = {"count": min_count, "graph_count": min_graphs, "group_count": min_groups}
    # An edge of a file that states no number of graphs or groups is kept unless one is asked for.
    for batch in _batches(given, {name: value for name, value in least.items() if value > 1 or name == "count"}):
        edge_count += batch.num_rows
        chosen = _weights(batch, weight)
        keep = chosen > 0
        sources.append(_packed(batch, "src")[keep])
        targets.append(_packed(batch, "tgt")[keep])
        weights.append(chosen[keep])
    if not edge_count:
        raise NothingToCluster(
            f"no edge of {given} has at least {min_count} links{_asked(min_graphs, min_groups)}; lower the threshold "
            "(cluster --min-count, in a build --set cluster.min_count=1)"
        )
    source, target = np.concatenate(sources), np.concatenate(targets)
    if not len(source):
        raise NothingToCluster(
            f"all {edge_count} edges of {given} with at least {min_count} links have {weight} 0; nothing flows"
        )
    # Unique neurons of each end first: the ends of all edges in one array would be the largest array in memory.
    neurons = np.union1d(np.unique(source), np.unique(target))
    rows = np.searchsorted(neurons, source), np.searchsorted(neurons, target)
    return Network(neurons, *rows, np.concatenate(weights))


def _asked(graphs: int, groups: int) -> str:
    """Return the other thresholds in words."""
    told = [f"{count} {what}" for count, what in ((graphs, "graphs"), (groups, "groups of prompts")) if count > 1]
    return "".join(f" in {text}" for text in told)


def _weights(batch: pa.RecordBatch, weight: str) -> NDArray[np.float64]:
    column = "weight_sum" if weight == "abs_mean_weight_sq" else "weight_abs_sum"
    if batch[column].null_count:
        raise InputError(
            f"some edges have no {column}, which --weight {weight} needs: their file states less; choose --weight abs_mean_weight_sq (in a recipe --set cluster.weight=abs_mean_weight_sq)"
        )
    abs_sum: NDArray[np.float64] = abs(batch[column].to_numpy(zero_copy_only=False).astype(np.float64))
    if weight == "abs_weight_sum":
        return abs_sum
    mean: NDArray[np.float64] = abs_sum / batch["count"].to_numpy(zero_copy_only=False)
    if weight == "abs_weight_graphs":
        return mean * _graphs(batch)
    return mean if weight == "mean_abs_weight" else mean**2


def _graphs(batch: pa.RecordBatch) -> NDArray[np.float64]:
    if batch["graph_count"].null_count:
        raise InputError(
            "some edges have no graph_count, which --weight abs_weight_graphs needs; choose mean_abs_weight"
        )
    found: NDArray[np.float64] = batch["graph_count"].to_numpy(zero_copy_only=False).astype(np.float64)
    return found


def _projected_schema() -> pa.Schema:
    edges = DATASETS["stats.edges"].schema
    return pa.schema([edges.field(name) for name in _COLUMNS])


def _batches(given: Path, least: Mapping[str, int]) -> Iterator[pa.RecordBatch]:
    if given.is_dir():
        source = pads.dataset(require(given, DATASETS["stats.edges"]), format="parquet")
        wanted = [pads.field(name) >= value for name, value in least.items()]
        scan = source.to_batches(columns=_COLUMNS, filter=functools.reduce(operator.and_, wanted))
    else:
        scan = _atlas_batches(given, least)
    for batch in scan:
        yield batch.cast(_projected_schema())


def _atlas_batches(path: Path, least: Mapping[str, int]) -> Iterator[pa.RecordBatch]:
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a stats folder or an atlas file")
    try:
        with duckdb.connect(str(path), read_only=True, config={"enable_external_access": False}) as con:
            wanted = " AND ".join(f"{name} >= ${name}" for name in least)
            sql = f"SELECT {', '.join(_COLUMNS)} FROM edges WHERE {wanted}"
            reader: pa.RecordBatchReader = con.sql(sql, params=dict(least)).to_arrow_reader(1_000_000)
            yield from reader
    except duckdb.Error as error:
        raise AtlasFileError("foreign", f"{path} is no atlas: {' '.join(str(error).split())[:200]}") from error


def _packed(batch: pa.RecordBatch, end: str) -> NDArray[np.int64]:
    layer, neuron = (
        batch[f"{end}_{name}"].to_numpy(zero_copy_only=False).astype(np.int64) for name in ("layer", "neuron")
    )
    packed: NDArray[np.int64] = layer << INDEX_BITS | neuron
    return packed
