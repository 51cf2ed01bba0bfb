"""Edges of a stats folder or an atlas -> the weighted network that is clustered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
from numpy.typing import NDArray

from atlas.errors import AtlasFileError, InputError, UsageError
from atlas.ids import INDEX_BITS
from atlas.schema import DATASETS, require

# How an edge's statistics become the weight of a link (never negative: flow has no sign).
WEIGHTS = ("mean_abs_weight_sq", "mean_abs_weight", "abs_weight_sum")
_COLUMNS = ["src_layer", "src_neuron", "tgt_layer", "tgt_neuron", "count", "weight_abs_sum"]


@dataclass(frozen=True, slots=True)
class Network:
    """A directed weighted network over `neurons`; links are rows of that array."""

    neurons: NDArray[np.int64]  # (n_neurons,) packed, ascending
    source: NDArray[np.int64]  # (n_links,)
    target: NDArray[np.int64]  # (n_links,)
    weight: NDArray[np.float64]  # (n_links,), positive


def load_network(given: Path, *, weight: str, min_count: int) -> Network:
    """The network of all edges with at least `min_count` links.

    Raises `UsageError` for an unknown weight and `InputError` where no edge is left.
    """
    if weight not in WEIGHTS:
        raise UsageError(f"unknown weight {weight!r}; choose {', '.join(WEIGHTS)}")
    table = pa.Table.from_batches(_batches(given, min_count), _projected_schema())
    count = table["count"].to_numpy().astype(np.float64)
    abs_sum = table["weight_abs_sum"].to_numpy().astype(np.float64)
    values = {
        "abs_weight_sum": abs_sum,
        "mean_abs_weight": abs_sum / count,
        "mean_abs_weight_sq": (abs_sum / count) ** 2,
    }
    chosen = values[weight]
    keep = chosen > 0
    source, target = _packed(table, "src")[keep], _packed(table, "tgt")[keep]
    if not len(table):
        raise InputError(f"no edge of {given} has at least {min_count} links; lower --min-count")
    if not len(source):
        raise InputError(
            f"all {len(table)} edges of {given} with at least {min_count} links have {weight} 0; nothing flows"
        )
    neurons, rows = np.unique(np.concatenate([source, target]), return_inverse=True)
    return Network(neurons, rows[: len(source)], rows[len(source) :], chosen[keep])


def _projected_schema() -> pa.Schema:
    edges = DATASETS["stats.edges"].schema
    return pa.schema([edges.field(name) for name in _COLUMNS])


def _batches(given: Path, min_count: int) -> Iterator[pa.RecordBatch]:
    if given.is_dir():
        source = pads.dataset(require(given, DATASETS["stats.edges"]), format="parquet")
        scan = source.to_batches(columns=_COLUMNS, filter=pads.field("count") >= min_count)
    else:
        scan = _atlas_batches(given, min_count)
    for batch in scan:
        yield batch.cast(_projected_schema()) if batch.num_rows else batch.slice(0, 0).cast(_projected_schema())


def _atlas_batches(path: Path, min_count: int) -> Iterator[pa.RecordBatch]:
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a stats folder or an atlas file")
    try:
        with duckdb.connect(str(path), read_only=True) as con:
            sql = f"SELECT {', '.join(_COLUMNS)} FROM edges WHERE count >= $min_count"
            reader: Any = con.sql(sql, params={"min_count": min_count}).to_arrow_reader(1_000_000)
            yield from reader
    except duckdb.Error as error:
        raise AtlasFileError(f"{path} is no atlas: {' '.join(str(error).split())[:200]}") from error


def _packed(table: pa.Table, end: str) -> NDArray[np.int64]:
    layer, neuron = (table[f"{end}_{name}"].to_numpy().astype(np.int64) for name in ("layer", "neuron"))
    packed: NDArray[np.int64] = layer << INDEX_BITS | neuron
    return packed
