"""Finalize phase: merges the bookkeeping of all inputs, moves the parts to the stats folder, writes the manifest."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from atlas.aggregate.context import Provenance, Run
from atlas.aggregate.edge_sample import EDGE, sample_columns, sample_rows, sample_table
from atlas.aggregate.graph_parts import holds_graphs, write_graphs
from atlas.aggregate.inputs import Input, bookkeeping_tables, spill_files
from atlas.aggregate.reduce.jobs import part_name
from atlas.aggregate.reduce.phase import NODE_DATASET, ReducedParts
from atlas.graph import LINK_TABLES, Ints, pack_pairs
from atlas.io.files import parquet_writer, write_parquet
from atlas.options import NONE
from atlas.stages import DATASETS, Dataset
from atlas.stages.manifest import write_manifest

# SQL that merges the rows of all inputs to the rows of the dataset.
_MERGES = {
    "graphs": "FROM rows ORDER BY graph_id",
    "link_counts": "FROM rows ORDER BY graph_id, subject, kept DESC, reason",
    "rejects": "FROM rows ORDER BY path, reason, message",
    "files": "FROM rows ORDER BY path",
    "tokens": "SELECT token_id, min(token) AS token, sum(input_graph_count)::BIGINT AS input_graph_count, sum(output_graph_count)::BIGINT AS output_graph_count, max(probability_max) AS probability_max FROM rows GROUP BY token_id ORDER BY token_id",
    "ablated_nodes": "FROM rows ORDER BY graph_id, layer, neuron, position",
    "ablated_edges": "FROM rows ORDER BY graph_id, src_layer, src_neuron, src_position, tgt_layer, tgt_neuron, tgt_token_id, tgt_position",
    "regimes": "SELECT layer, neuron, sum(node_count)::BIGINT AS node_count, sum(up_factor_sum) AS up_factor_sum, sum(gate_factor_sum) AS gate_factor_sum, sum(both_positive_count)::BIGINT AS both_positive_count, sum(up_negative_count)::BIGINT AS up_negative_count, sum(gate_negative_count)::BIGINT AS gate_negative_count, sum(both_negative_count)::BIGINT AS both_negative_count FROM rows GROUP BY layer, neuron ORDER BY layer, neuron",
    "graph_labels": "SELECT layer, neuron, text, sum(graph_count)::BIGINT AS graph_count FROM rows GROUP BY layer, neuron, text ORDER BY layer, neuron, graph_count DESC, text",
}
BOOKKEEPING = tuple(_MERGES)
_INSERT_BYTES = 16_000_000
_MOST_NAMES = 64  # most names of a transcoder set in the manifest


@dataclass
class Summary:
    """Counts of an aggregation: graphs and links, kept and dropped, with reasons."""

    graphs: int = 0
    groups: int = 0  # of prompts
    links: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    node_oddities: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    neurons: int = 0
    edges: int = 0
    new_graphs: int = 0  # graphs that this run has read
    work: str = ""  # description of the work, if the run skipped some of it


class BookkeepingMerger:
    """Merger of the bookkeeping of many inputs, in DuckDB, which spills to disk if memory is short."""

    def __init__(self, folder: Path, scratch: Path, memory_mb: int) -> None:
        self._folder = folder
        self._con = duckdb.connect(
            config={"threads": 1, "memory_limit": f"{memory_mb}MB", "temp_directory": str(scratch)}
        )

    def __enter__(self) -> BookkeepingMerger:
        return self

    def __exit__(self, *_: object) -> None:
        self._con.close()

    def write(self, name: str, tables: Iterable[pa.Table]) -> None:
        """Write one dataset from the tables of all inputs."""
        dataset = DATASETS[f"stats.{name}"]
        self._con.register("incoming", dataset.empty())
        self._con.execute("CREATE OR REPLACE TABLE rows AS FROM incoming")
        waiting: list[pa.Table] = []
        held = 0
        for table in tables:
            waiting.append(table)
            held += table.nbytes
            # Insert many small tables at once: one statement per table would take longer than the insertion of rows.
            if held > _INSERT_BYTES:
                self._insert(waiting)
                held = 0
        self._insert(waiting)
        result: pa.RecordBatchReader = self._con.sql(_MERGES[name]).to_arrow_reader(50_000)
        write_batches(dataset, self._folder, result)
        self._con.execute("DROP TABLE rows")

    def _insert(self, waiting: list[pa.Table]) -> None:
        if waiting:
            self._con.register("incoming", pa.concat_tables(waiting))
            self._con.execute("INSERT INTO rows FROM incoming")
            self._con.unregister("incoming")
            waiting.clear()


def write_batches(dataset: Dataset, folder: Path, batches: Iterable[pa.RecordBatch]) -> None:
    """Write one Parquet file from record batches, cast to the dataset's schema."""
    with parquet_writer(dataset.path(folder), dataset.schema) as writer:
        for batch in batches:
            writer.write_table(pa.Table.from_batches([batch]).select(dataset.schema.names).cast(dataset.schema))


def with_ids(table: pa.Table, ids: Ints) -> pa.Table:
    """Return a table with final graph ids instead of ids that are numbered within an input."""
    place = table.column_names.index("graph_id")
    final = pa.array(ids[table["graph_id"].to_numpy()].astype(np.int32))
    return table.set_column(place, table.schema.field(place), final)


def write_stats(
    run: Run,
    folder: Path,
    inputs: Sequence[Input],
    parts: ReducedParts,
    provenance: Provenance,
    *,
    forget: Mapping[str, set[str]] | None = None,
    files: pa.Table | None = None,
) -> Summary:
    """Write all datasets and the manifest into an empty folder.

    Args:
        run: The aggregation.
        folder: Empty folder.
        inputs: Inputs of the reduce phase.
        parts: Results of the reduce phase. The parts leave the work folder last, so that an interrupted run keeps them.
        provenance: Entries of the manifest beside the counts.
        forget: Paths to remove from earlier rows of `rejects` and `files`, because they were read again; by dataset.
        files: Rows of `files` that no task wrote.

    Returns:
        Counts of the stats folder.
    """
    below = min([provenance.sample_below, *(item.sample_below for item in inputs if item.folder)])
    scratch, memory_mb = folder / ".duckdb", max(run.options.memory // 4_000_000, 100)
    with BookkeepingMerger(folder, scratch, memory_mb) as merger:
        for name in BOOKKEEPING:
            more = [files] if files is not None and name == "files" else []
            tables = _final_tables(run, name, inputs, parts, (forget or {}).get(name, set()))
            merger.write(name, itertools.chain(tables, more))
    _write_samples(run, folder, inputs, parts, below)
    if run.options.graph_links != NONE and all(holds_graphs(item.folder) for item in inputs if item.folder):
        run.progress("writing graphs", 0, 0)
        write_graphs(run.store, folder, inputs, parts.graph_ids)
    _fetch(run, folder, parts)
    summary = summarise(folder)
    summary.new_graphs = sum(len(item.graphs) for item in inputs if item.folder is None)
    write_manifest(
        folder,
        "stats",
        space=parts.space._asdict(),
        method=parts.space.method,
        inputs=list(provenance.inputs),
        options=dict(provenance.options),
        sample_below=below,
        cooccurrence=parts.cooccurrence.facts() if parts.cooccurrence else None,
        counts=counts_of(summary, list(LINK_TABLES.values())),
        set_names=sorted({name for item in inputs for name in item.set_names})[:_MOST_NAMES],
    )
    return summary


def _final_tables(
    run: Run, name: str, inputs: Sequence[Input], parts: ReducedParts, forget: set[str]
) -> Iterator[pa.Table]:
    """Yield one bookkeeping table per input, with final graph ids and without rows of files that were read again."""
    tables = bookkeeping_tables(run.store, name, inputs)
    for (item, table), ids in zip(tables, parts.graph_ids, strict=True):
        if "graph_id" in table.column_names:
            table = with_ids(table, ids)
        if name == "graphs":
            table = parts.groups.filled(table, item.source.number)
        if item.folder is not None and forget:
            paths = table["file" if name == "rejects" else "path"].to_pylist()
            table = table.filter(pa.array([path not in forget for path in paths], pa.bool_()))
        yield table


def _write_samples(run: Run, folder: Path, inputs: Sequence[Input], parts: ReducedParts, below: int) -> None:
    """Write `edge_samples` of edges with a hash below `below`, from edges by group or from sampled cells."""
    dataset = DATASETS["stats.edge_samples"]
    if parts.groups.is_grouped:
        write_parquet(sample_table(list(_group_cells(run, parts, below)), below), dataset.path(folder))
        return
    cells = [
        # Early runs may have sampled more edges than the threshold for all links keeps.
        sample_rows(file.columns(name, ["key", "bucket", "count", "weight_sum"]), below)
        for file in spill_files(run.store, inputs)
        for name in file.names("sample.")
    ]
    previous = [pq.read_table(dataset.path(item.folder)) for item in inputs if item.folder]
    samples = sample_table([*cells, *(sample_columns(table) for table in previous)], below)
    write_parquet(samples, dataset.path(folder))


def _group_cells(run: Run, parts: ReducedParts, below: int) -> Iterator[dict[str, Any]]:
    """Yield the sampled edges of every part by sixteenth of the groups."""
    for part in parts.ranges["edges"]:
        with run.store.local(part_name("edge_groups", part.number)) as path:
            table = pq.read_table(path)
        key = pack_pairs(*(table[name].to_numpy() for name in EDGE))
        cells = {"key": key, "bucket": parts.groups.buckets[table["group_id"].to_numpy()].astype(np.int64)}
        cells |= {name: table[name].to_numpy() for name in ("count", "weight_sum")}
        yield sample_rows(cells, below)


def _fetch(run: Run, folder: Path, parts: ReducedParts) -> None:
    """Move the parts from the work folder to the stats folder."""
    shared = {"neuron_graphs": NODE_DATASET}
    if parts.groups.is_grouped:
        shared["edge_groups"] = "edges"
    for name in (*parts.ranges, *shared):
        target = DATASETS[f"stats.{name}"].path(folder)
        for part in parts.ranges[shared.get(name, name)]:
            source = part_name(name, part.number)
            run.store.fetch(source, target / Path(source).name)


def summarise(folder: Path) -> Summary:
    """Return the summary of a stats folder, computed from its datasets."""
    summary = Summary()
    graphs = pq.read_table(DATASETS["stats.graphs"].path(folder), columns=["link_count", "group_id"])
    summary.groups = len(pc.unique(graphs["group_id"].drop_null()))
    summary.graphs, summary.links = len(graphs), int(np.sum(graphs["link_count"].to_numpy(), dtype=np.int64))
    counters = {("link", True): summary.kept, ("link", False): summary.dropped, ("node", False): summary.node_oddities}
    for batch in _batches(folder, "link_counts"):
        grouped = pa.table(batch).group_by(["subject", "kept", "reason"]).aggregate([("count", "sum")])
        for row in grouped.to_pylist():
            counters[row["subject"], row["kept"]][row["reason"]] += row["count_sum"]
    for batch in _batches(folder, "rejects"):
        summary.rejects.update(batch["reason"].to_pylist())
    summary.neurons, summary.edges = (_rows(DATASETS[f"stats.{name}"].path(folder)) for name in ("neurons", "edges"))
    return summary


def _batches(folder: Path, name: str) -> Iterator[pa.RecordBatch]:
    with contextlib.closing(pq.ParquetFile(DATASETS[f"stats.{name}"].path(folder))) as file:
        yield from file.iter_batches()


def _rows(path: Path) -> int:
    return sum(pq.read_metadata(part).num_rows for part in path.glob("*.parquet"))


def counts_of(summary: Summary, tables: Sequence[str]) -> Mapping[str, Any]:
    """Return the counts of the manifest."""
    return {
        "graphs": summary.graphs,
        "neurons": summary.neurons,
        "edges": summary.edges,
        "links": summary.links,
        "links_kept": {name: summary.kept[name] for name in tables},
        "links_dropped": dict(summary.dropped),
        "node_oddities": dict(summary.node_oddities),
        "rejects": dict(summary.rejects),
    }
