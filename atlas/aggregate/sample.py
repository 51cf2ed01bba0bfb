"""A sample of the edges by hash-sixteenth of the graphs: how many graphs are enough.

An edge is in the sample by a hash of its key, so that every run, task and machine samples the same
edges, and samples of two stats merge. Its observations are summed in sixteen buckets by a hash of the
graph; two disjoint sets of 1, 2, 4 or 8 buckets are two corpora of a sixteenth to a half of the graphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.aggregate.statistics import LOW
from atlas.aggregate.tables import TABLES
from atlas.graph import Floats, Ints
from atlas.ids import NEURON_BITS
from atlas.schema import DATASETS

WHOLE = 1 << 32
# Observations that a sample may hold; ranks of a few hundred thousand edges are as good as of all.
SAMPLE_LINKS = 2_000_000
BUCKETS = 16


def threshold(expected_links: int) -> int:
    """The hash below which a key is sampled, of 2**32; all are where few links are expected."""
    return WHOLE if expected_links <= SAMPLE_LINKS else max(WHOLE * SAMPLE_LINKS // expected_links, 1)


def sampled(key: Ints, below: int) -> NDArray[np.bool_]:
    """Whether each key (n,) is in the sample."""
    if below >= WHOLE:
        return np.ones(len(key), bool)
    # The finaliser of splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
    mixed = key.astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(32) < np.uint64(below)


def sample_table(parts: Sequence[dict[str, NDArray[Any]]]) -> pa.Table:
    """The dataset from observations: `key`, `bucket`, `weight` and, where rows are sums already, `count`."""
    key: Ints = np.concatenate([np.zeros(0, np.int64), *(part["key"] for part in parts)])
    bucket: Ints = np.concatenate([np.zeros(0, np.int64), *(part["bucket"] for part in parts)])
    weight: Floats = np.concatenate([np.zeros(0), *(part["weight"] for part in parts)])
    ones = [np.ones(len(part["key"]), np.int64) if "count" not in part else part["count"] for part in parts]
    count: Ints = np.concatenate([np.zeros(0, np.int64), *ones])
    order = np.lexsort((bucket, key))
    key, bucket, weight, count = (values[order] for values in (key, bucket, weight, count))
    new = np.ones(len(key), bool)
    new[1:] = (key[1:] != key[:-1]) | (bucket[1:] != bucket[:-1])
    starts = np.flatnonzero(new)
    key = key[starts]
    columns: dict[str, Any] = dict(TABLES[0].key_columns(key))
    columns["bucket"] = bucket[starts]
    columns["count"] = np.add.reduceat(count, starts) if len(starts) else count
    columns["weight_sum"] = np.add.reduceat(weight, starts) if len(starts) else weight
    return DATASETS["stats.edge_samples"].table(columns)


def sample_columns(table: pa.Table, below: int) -> dict[str, NDArray[Any]]:
    """The inverse of `sample_table`, for merging; only the edges that a sample of threshold `below` holds."""
    names = ("src_layer", "src_neuron", "tgt_layer", "tgt_neuron")
    layer, neuron, other_layer, other = (table[name].to_numpy().astype(np.int64) for name in names)
    key = ((layer << 24 | neuron) << NEURON_BITS) | ((other_layer << 24 | other) & LOW)
    mine = sampled(key, below)
    found = {"key": key, "bucket": table["bucket"].to_numpy().astype(np.int64)}
    found |= {"weight": table["weight_sum"].to_numpy(), "count": table["count"].to_numpy()}
    return {name: values[mine] for name, values in found.items()}
