"""Statistics of edges, by bucket of groups of prompts where they are known, from a stats folder or an atlas."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from numpy.typing import NDArray

from atlas.errors import AtlasFileError, InputError, NothingToCluster
from atlas.ids import INDEX_BITS
from atlas.options import ClusterOptions
from atlas.stages import DATASETS, require
from atlas.stages.resamples import Floats, Ints, opened_by_bucket, script

# Columns of the dataset `edges`, and what they are called here.
_COLUMNS = {
    "count": "count",
    "graph_count": "graphs",
    "group_count": "groups",
    "weight_sum": "signed",
    "weight_abs_sum": "absolute",
}
_STATISTICS = tuple(_COLUMNS.values())
_ENDS = ["src_layer", "src_neuron", "tgt_layer", "tgt_neuron"]


@dataclass(frozen=True, slots=True)
class Sums:
    """Statistics of every edge in a resample, each (n_edges,); NaN where the file does not state it."""

    count: Floats
    graphs: Floats
    groups: Floats
    signed: Floats
    absolute: Floats

    def of(self, rows: Ints) -> Sums:
        """Return the statistics of some edges."""
        return Sums(*(getattr(self, name)[rows] for name in _STATISTICS))


@dataclass(frozen=True, slots=True)
class Edges:
    """Statistics of edges by bucket. Where groups are not told apart, there is one bucket.

    Attributes:
        neurons: Packed neurons with an edge, ascending (n_neurons,).
        source: Row of the source in `neurons` (n_edges,).
        target: Row of the target (n_edges,).
        starts: Place of the first cell of every edge (n_edges,).
        bucket: Bucket of every cell (n_cells,).
        count: Number of links of every cell (n_cells,), as the next ones.
        graphs: Number of graphs with the edge.
        groups: Number of groups of prompts with the edge.
        signed: Sum of the weights.
        absolute: Sum of the |weights|.
        presence: Number of graphs with every neuron (n_neurons, n_buckets); NaN where it is not known.
        graph_totals: Number of graphs of every bucket (n_buckets,); NaN where it is not known.
        group_total: Number of groups of prompts.
    """

    neurons: Ints
    source: Ints
    target: Ints
    starts: Ints
    bucket: Ints
    count: Floats
    graphs: Floats
    groups: Floats
    signed: Floats
    absolute: Floats
    presence: Floats
    graph_totals: Floats
    group_total: int

    @property
    def buckets(self) -> int:
        """Number of buckets."""
        return len(self.graph_totals)

    @property
    def layers(self) -> Ints:
        """Layer of every neuron (n_neurons,)."""
        found: Ints = self.neurons >> INDEX_BITS
        return found

    def sums(self, weights: Floats) -> Sums:
        """Return the statistics in a resample, in which each bucket counts as often as `weights` (n_buckets,) says."""
        if len(self.starts) == len(self.bucket) and (weights == 1).all():
            return Sums(*(getattr(self, name) for name in _STATISTICS))
        times = weights[self.bucket]
        return Sums(*(np.add.reduceat(getattr(self, name) * times, self.starts) for name in _STATISTICS))

    def save(self, folder: Path) -> None:
        """Write all arrays to a folder, from which worker processes map them."""
        for item in fields(self):
            np.save(folder / f"{item.name}.npy", np.asarray(getattr(self, item.name)))

    @classmethod
    def load(cls, folder: Path) -> Edges:
        """Map the arrays of a folder."""
        arrays = {item.name: np.load(folder / f"{item.name}.npy", mmap_mode="r") for item in fields(cls)}
        return cls(**arrays | {"group_total": int(arrays["group_total"])})


def read_edges(given: Path, options: ClusterOptions) -> Edges:
    """Read the edges of a stats folder or an atlas, with one bucket.

    Args:
        given: Stats folder or atlas file.
        options: Thresholds, below which edges are not read.

    Returns:
        The edges.

    Raises:
        InputError: `given` does not exist, or is no atlas.
        NothingToCluster: No edge reaches the thresholds.
    """
    facts = _facts(given)
    least = {
        "count": options.min_count,
        "graph_count": options.min_graphs,
        "group_count": options.groups_needed(facts.groups),
    }
    # An edge of a file that states no number of graphs or groups is kept unless one is asked for.
    asked = {name: value for name, value in least.items() if value > 1 or name == "count"}
    sources, targets = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    columns: dict[str, list[Floats]] = {name: [np.zeros(0)] for name in _STATISTICS}
    for batch in _batches(given, asked):
        sources.append(_packed(batch, "src"))
        targets.append(_packed(batch, "tgt"))
        for column, name in _COLUMNS.items():
            columns[name].append(batch[column].to_numpy(zero_copy_only=False).astype(np.float64))
    source, target = np.concatenate(sources), np.concatenate(targets)
    if not len(source):
        told = "".join(f" in {least[name]} {what}" for name, what in _TOLD.items() if least[name] > 1)
        raise NothingToCluster(
            f"no edge of {given} has at least {options.min_count} links{told}; lower the threshold "
            "(--min-count, --min-graphs, --min-groups; in a build --set cluster.min_count=1)"
        )
    cells = {name: np.concatenate(parts) for name, parts in columns.items()}
    every = np.arange(len(source))
    return _edges(source, target, every, np.zeros(len(source), np.int64), cells, facts)


_TOLD = {"graph_count": "graphs", "group_count": "groups of prompts"}


class _Facts(NamedTuple):
    """Graphs of a source: their number by bucket, that of their groups, and the graphs of every neuron."""

    graphs: Floats  # (n_buckets,)
    groups: int
    unit: Ints  # packed neuron, ascending (n,)
    presence: Floats  # (n, n_buckets)


def _edges(source: Ints, target: Ints, starts: Ints, bucket: Ints, cells: Mapping[str, Any], facts: _Facts) -> Edges:
    # Unique neurons of each end first: the ends of all edges in one array would be the largest array in memory.
    neurons = np.union1d(np.unique(source), np.unique(target))
    rows = np.searchsorted(neurons, source), np.searchsorted(neurons, target)
    presence = np.full((len(neurons), len(facts.graphs)), np.nan)
    if len(facts.unit):
        place = np.minimum(np.searchsorted(facts.unit, neurons), len(facts.unit) - 1)
        is_known = facts.unit[place] == neurons
        presence[is_known] = facts.presence[place[is_known]]
    return Edges(
        neurons, *rows, starts, bucket, **cells, presence=presence, graph_totals=facts.graphs, group_total=facts.groups
    )


def read_resamples(stats: Path, options: ClusterOptions) -> Edges | None:
    """Read the edges of a stats folder by bucket of groups.

    Args:
        stats: Stats folder.
        options: Thresholds; edges that reach half of each are read.

    Returns:
        The edges; None where the groups of prompts are not told apart, or there is only one.
    """
    if not stats.is_dir() or not DATASETS["stats.edge_groups"].path(stats).exists():
        return None
    with opened_by_bucket(stats, ("edge_groups", "neuron_graphs")) as con:
        totals = con.sql("SELECT bucket, count(*) FROM graph_buckets GROUP BY bucket ORDER BY bucket").fetchall()
        groups = con.sql("SELECT count(*) FROM group_buckets").fetchall()[0][0]
        if groups < 2:
            return None
        for name in ("min_count", "min_graphs"):
            con.execute(f"SET VARIABLE {name} = $1", [getattr(options, name)])
        con.execute("SET VARIABLE min_groups = $1", [options.groups_needed(groups)])
        found = {name: np.asarray(column) for name, column in con.sql(script("clusters", "edges")).fetchnumpy().items()}
        seen = con.sql(script("clusters", "presence")).fetchnumpy()
    if not len(found["source"]):
        return None
    graphs = np.zeros(totals[-1][0] + 1)
    graphs[[bucket for bucket, _ in totals]] = [count for _, count in totals]
    unit, row = np.unique(seen["unit"], return_inverse=True)
    presence = np.zeros((len(unit), len(graphs)))
    presence[row, seen["bucket"]] = seen["graphs"]
    is_new = np.ones(len(found["source"]), np.bool_)
    is_new[1:] = (np.diff(found["source"]) != 0) | (np.diff(found["target"]) != 0)
    starts = np.flatnonzero(is_new)
    cells = {name: found[name] for name in _STATISTICS}
    facts = _Facts(graphs, int(groups), unit.astype(np.int64), presence)
    return _edges(
        found["source"][starts], found["target"][starts], starts, found["bucket"].astype(np.int64), cells, facts
    )


def _facts(given: Path) -> _Facts:
    if given.is_dir():
        neurons = pq.read_table(require(given, DATASETS["stats.neurons"]), columns=["layer", "neuron", "graph_count"])
        graphs = pq.read_table(require(given, DATASETS["stats.graphs"]), columns=["group_id"])["group_id"]
        number, groups = len(graphs), len(graphs.drop_null().unique())
    else:
        with _opened(given) as con:
            neurons = con.sql("SELECT layer, neuron, graph_count FROM neurons").to_arrow_table()
            number, groups = con.sql("SELECT count(*), count(DISTINCT group_id) FROM graphs").fetchall()[0]
    layer, neuron = (neurons[name].to_numpy().astype(np.int64) for name in ("layer", "neuron"))
    unit = layer << INDEX_BITS | neuron
    order = np.argsort(unit, kind="stable")
    presence = neurons["graph_count"].to_numpy().astype(np.float64)[order, None]
    return _Facts(np.array([number or np.nan], np.float64), groups, unit[order], presence)


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a stats folder or an atlas file")
    try:
        con = duckdb.connect(str(path), read_only=True, config={"enable_external_access": False})
        con.execute("FROM edges LIMIT 0")
        return con
    except duckdb.Error as error:
        raise AtlasFileError("foreign", f"{path} is no atlas: {' '.join(str(error).split())[:200]}") from error


def _batches(given: Path, least: Mapping[str, int]) -> Iterator[pa.RecordBatch]:
    columns = [*_ENDS, *_COLUMNS]
    if given.is_dir():
        source = pads.dataset(require(given, DATASETS["stats.edges"]), format="parquet")
        wanted = [pads.field(name) >= value for name, value in least.items()]
        scan = source.to_batches(columns=columns, filter=functools.reduce(operator.and_, wanted))
    else:
        scan = _atlas_batches(given, columns, least)
    edges = DATASETS["stats.edges"].schema
    projected = pa.schema([edges.field(name) for name in columns])
    for batch in scan:
        yield batch.cast(projected)


def _atlas_batches(path: Path, columns: list[str], least: Mapping[str, int]) -> Iterator[pa.RecordBatch]:
    with _opened(path) as con:
        wanted = " AND ".join(f"{name} >= ${name}" for name in least)
        sql = f"SELECT {', '.join(columns)} FROM edges WHERE {wanted}"
        reader: pa.RecordBatchReader = con.sql(sql, params=dict(least)).to_arrow_reader(1_000_000)
        yield from reader


def _packed(batch: pa.RecordBatch, end: str) -> NDArray[np.int64]:
    layer, neuron = (
        batch[f"{end}_{name}"].to_numpy(zero_copy_only=False).astype(np.int64) for name in ("layer", "neuron")
    )
    packed: NDArray[np.int64] = layer << INDEX_BITS | neuron
    return packed
