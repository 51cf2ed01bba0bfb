"""Readers of the edges of a stats folder or an atlas: all of them, by bucket of groups, or those of selected graphs."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from numpy.typing import NDArray

from atlas.cluster.edges import STATISTICS, Edges
from atlas.errors import NothingToCluster
from atlas.ids import INDEX_BITS
from atlas.options import ClusterOptions
from atlas.options.clusters import GRAPH_FACTORS, least_count
from atlas.stages import DATASETS, require
from atlas.stages.resamples import Floats, Ints, attach_atlas, opened_by_bucket, script

# Columns of the dataset `edges`, and what they are called here.
_COLUMNS = dict(zip(("count", "graph_count", "group_count", "weight_sum", "weight_abs_sum"), STATISTICS, strict=True))
_ENDS = ["src_layer", "src_neuron", "tgt_layer", "tgt_neuron"]


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
    if options.graphs is not None:
        selected = read_resamples(given, options)
        if selected is None:
            raise NothingToCluster(f"no edge of the graphs with {options.graphs} reaches the thresholds")
        return selected
    facts = _facts(given)
    least = {
        "count": options.min_count,
        "graph_count": options.min_graphs,
        "group_count": options.groups_needed(facts.groups),
    }
    # An edge of a file that states no number of graphs or groups is kept unless one is asked for.
    asked = {name: value for name, value in least.items() if value > 1 or name == "count"}
    sources, targets = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    columns: dict[str, list[Floats]] = {name: [np.zeros(0)] for name in STATISTICS}
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


def read_resamples(given: Path, options: ClusterOptions) -> Edges | None:
    """Read the edges of a stats folder or an atlas by bucket of groups, of the selected graphs if `options.graphs` selects some.

    Args:
        given: Stats folder or atlas file.
        options: Thresholds; edges that reach half of each are read.

    Returns:
        The edges; None where the groups of prompts are not told apart, or no edge is left.

    Raises:
        InputError: The method, or the selection, needs the links of single graphs, and they are not there.
        UsageError: The selection is no SQL condition.
    """
    is_selected, needs_graphs = options.graphs is not None, options.method == GRAPH_FACTORS
    names = ["neuron_graphs"]
    names += ["graph_nodes", "graph_links"] if is_selected or needs_graphs else []
    if not is_selected:
        if given.is_dir() and not DATASETS["stats.edge_groups"].path(given).exists():
            return None
        if not given.is_dir() and not _has_groups(given):
            return None
        names.append("edge_groups")
    with opened_by_bucket(given, names, where=options.graphs) as con:
        con.execute(
            script("clusters", "selected" if is_selected else "stats_groups" if given.is_dir() else "atlas_groups")
        )
        return _by_bucket(con, options, needs_graphs=needs_graphs)


def _has_groups(path: Path) -> bool:
    with _opened(path) as con:
        return bool(con.sql("FROM edge_groups LIMIT 1").fetchall() and con.sql("FROM neuron_graphs LIMIT 1").fetchall())


def _by_bucket(con: duckdb.DuckDBPyConnection, options: ClusterOptions, *, needs_graphs: bool) -> Edges | None:
    totals = con.sql("SELECT bucket, count(*) FROM graph_buckets GROUP BY bucket ORDER BY bucket").fetchall()
    groups = con.sql("SELECT count(*) FROM group_buckets").fetchall()[0][0]
    number = sum(count for _, count in totals)
    for name, least in (("min_count", least_count(options, number)), ("min_graphs", options.min_graphs)):
        con.execute(f"SET VARIABLE {name} = $1", [least])
    con.execute("SET VARIABLE min_groups = $1", [options.groups_needed(groups)])
    found = {name: np.asarray(column) for name, column in con.sql(script("clusters", "edges")).fetchnumpy().items()}
    if not len(found["source"]):
        return None
    seen = con.sql(script("clusters", "presence")).fetchnumpy()
    graphs = np.zeros(totals[-1][0] + 1)
    graphs[[bucket for bucket, _ in totals]] = [count for _, count in totals]
    unit, row = np.unique(seen["unit"], return_inverse=True)
    presence = np.zeros((len(unit), len(graphs)))
    presence[row, seen["bucket"]] = seen["graphs"]
    is_new = np.ones(len(found["source"]), np.bool_)
    is_new[1:] = (np.diff(found["source"]) != 0) | (np.diff(found["target"]) != 0)
    starts = np.flatnonzero(is_new)
    cells = {name: found[name] for name in STATISTICS}
    facts = _Facts(graphs, int(groups), unit.astype(np.int64), presence)
    edges = _edges(
        found["source"][starts], found["target"][starts], starts, found["bucket"].astype(np.int64), cells, facts
    )
    of_groups = con.sql("FROM group_buckets ORDER BY group_id").fetchnumpy()
    ids, bucket = (of_groups[name].astype(np.int64) for name in ("group_id", "bucket"))
    edges = replace(edges, group_ids=ids, group_bucket=bucket)
    return _with_graphs(con, edges) if needs_graphs else edges


def _with_graphs(con: duckdb.DuckDBPyConnection, edges: Edges) -> Edges:
    """Return the edges with the share of every neuron in every graph."""
    seen = con.sql(script("clusters", "graph_shares")).fetchnumpy()
    unit = seen["unit"].astype(np.int64)
    kept = np.isin(unit, edges.neurons)
    graph, first, number = np.unique(seen["graph_id"][kept], return_index=True, return_inverse=True)
    return replace(
        edges,
        node_neuron=np.searchsorted(edges.neurons, unit[kept]),
        node_graph=number.astype(np.int64),
        node_share=seen["share"][kept].astype(np.float64),
        graph_bucket=seen["bucket"][kept][first].astype(np.int64) if len(graph) else np.zeros(0, np.int64),
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


@contextmanager
def _opened(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection with an atlas as its catalog."""
    with duckdb.connect() as con:
        attach_atlas(con, path)
        con.execute("USE given_atlas")
        yield con


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
