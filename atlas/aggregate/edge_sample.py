"""Sample of the edges by hash-sixteenth of the graphs, to measure reliability against the number of graphs.

A hash of the key decides if an edge is in the sample. Every run, task and machine therefore samples the same edges,
and the samples of two stats folders can be merged. The observations of an edge are summed in sixteen buckets, by a
hash of the graph. Two disjoint sets of 1, 2, 4 or 8 buckets act as two corpora of a sixteenth to a half of the graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.aggregate.kernels import compiled_sample
from atlas.aggregate.kernels.key_stats import expand_slices, run_starts
from atlas.aggregate.link_tables import TABLES
from atlas.graph import Floats, Ints, pack_pairs
from atlas.stages import DATASETS

WHOLE = 1 << 32
# Approximate number of observations in a sample. The ranks of a hundred thousand edges are as good as those of all.
SAMPLE_LINKS = 500_000
BUCKETS = 16
_CELLS = ("key", "bucket", "count", "weight_sum")
EDGE = ("src_layer", "src_neuron", "tgt_layer", "tgt_neuron")


def threshold(expected_links: int) -> int:
    """Return the 32-bit hash below which a key is sampled. All keys are sampled if few links are expected."""
    return WHOLE if expected_links <= SAMPLE_LINKS else max(WHOLE * SAMPLE_LINKS // expected_links, 1)


def sampled(key: Ints, below: int) -> NDArray[np.bool_]:
    """Return True for each key (n,) that is in the sample."""
    if below >= WHOLE:
        return np.ones(len(key), bool)
    # The finaliser of splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
    mixed = key.astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(32) < np.uint64(below)


def sample_of(
    key: Ints, graph: NDArray[np.uint32], weight: Floats, buckets: NDArray[np.uint32], first: int, below: int
) -> dict[str, NDArray[Any]]:
    """Return the sampled edges of sorted observations, summed by bucket.

    Args:
        key: Packed edges, ascending, (n,).
        graph: `graph number << 1 | half` of each observation, (n,).
        weight: Weights, (n,).
        buckets: Hash-sixteenth of each graph, (n_graphs,).
        first: Number of the first of these graphs.
        below: Edges with a hash below this are sampled.

    Returns:
        The columns key, bucket, count and weight_sum, each (n_cells,).
    """
    if below < WHOLE and (compiled := compiled_sample(len(key))) is not None:
        return dict(zip(_CELLS, compiled(key, graph, weight, buckets, first, below, BUCKETS), strict=True))
    starts = run_starts(key)
    lengths = np.diff(starts, append=len(key))
    chosen = np.flatnonzero(sampled(key[starts], below))
    starts, lengths = starts[chosen], lengths[chosen]
    return sample_cells(key[starts], starts, lengths, weight, lambda mine: buckets[(graph[mine] >> 1) - first])


def sample_cells(
    key: Ints, starts: Ints, lengths: Ints, weight: Floats, bucket: Callable[[Ints], NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Return the sampled edges of sorted observations, summed by bucket.

    key (n_runs,) holds the keys of the sampled runs; starts and lengths locate their observations in weight (n,). `bucket`
    returns the hash-sixteenth of rows. The result has the columns key, bucket, count and weight_sum, each (n_cells,).
    """
    rows = expand_slices(starts, lengths)
    cell = np.repeat(np.arange(len(key)), lengths) * BUCKETS + bucket(rows)
    counts = np.bincount(cell, minlength=len(key) * BUCKETS)
    sums = np.bincount(cell, weights=weight[rows], minlength=len(counts))
    used = np.flatnonzero(counts)
    columns: dict[str, NDArray[Any]] = {
        "key": key[used // BUCKETS],
        "bucket": (used % BUCKETS).astype(np.uint8),
    }
    return columns | {"count": counts[used], "weight_sum": sums[used]}


def sample_rows(cells: dict[str, NDArray[Any]], below: int) -> dict[str, NDArray[Any]]:
    """Return the cells of edges with a hash below `below`, with all columns (n_cells,)."""
    mine = sampled(cells["key"], below)
    return {name: values[mine] for name, values in cells.items()}


def sample_table(parts: Sequence[dict[str, NDArray[Any]]], below: int) -> pa.Table:
    """Return the dataset of cells with the columns `key`, `bucket`, `count` and `weight_sum`, each (n,).

    Only edges with a hash below `below` are kept, and cells of the same edge and bucket are added up.
    """
    key: Ints = np.concatenate([np.zeros(0, np.int64), *(part["key"] for part in parts)])
    bucket: Ints = np.concatenate([np.zeros(0, np.int64), *(part["bucket"] for part in parts)])
    count: Ints = np.concatenate([np.zeros(0, np.int64), *(part["count"] for part in parts)])
    weight: Floats = np.concatenate([np.zeros(0), *(part["weight_sum"] for part in parts)])
    mine = np.flatnonzero(sampled(key, below))
    order = mine[np.lexsort((bucket[mine], key[mine]))]
    key, bucket, weight, count = key[order], bucket[order], weight[order], count[order]
    new = np.ones(len(key), bool)
    new[1:] = (key[1:] != key[:-1]) | (bucket[1:] != bucket[:-1])
    starts = np.flatnonzero(new)
    key = key[starts]
    columns: dict[str, Any] = dict(TABLES[0].key_columns(key))
    columns["bucket"] = bucket[starts]
    columns["count"] = np.add.reduceat(count, starts) if len(starts) else count
    columns["weight_sum"] = np.add.reduceat(weight, starts) if len(starts) else weight
    return DATASETS["stats.edge_samples"].table(columns)


def sample_columns(table: pa.Table) -> dict[str, NDArray[Any]]:
    """Return the cells of a sample table, for merging. This is the inverse of `sample_table`."""
    key = pack_pairs(*(table[name].to_numpy() for name in EDGE))
    found = {"key": key, "bucket": table["bucket"].to_numpy().astype(np.int64)}
    return found | {name: table[name].to_numpy() for name in ("count", "weight_sum")}
