"""The bookkeeping of all tasks and of earlier stats -> the small datasets, sorted and merged out of core."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from atlas.aggregate.edge_sample import sample_columns, sample_table
from atlas.graph import Ints
from atlas.io.files import parquet_writer, write_parquet
from atlas.stages import DATASETS, Dataset

# How the rows of all origins become the rows of the dataset.
_MERGES = {
    "graphs": "FROM rows ORDER BY graph_id",
    "link_counts": "FROM rows ORDER BY graph_id, subject, kept DESC, reason",
    "rejects": "FROM rows ORDER BY path, reason, message",
    "files": "FROM rows ORDER BY path",
    "tokens": "SELECT token_id, min(token) AS token, sum(input_graph_count)::BIGINT AS input_graph_count, sum(output_graph_count)::BIGINT AS output_graph_count, max(probability_max) AS probability_max FROM rows GROUP BY token_id ORDER BY token_id",
    "graph_labels": "SELECT layer, neuron, text, sum(graph_count)::BIGINT AS graph_count FROM rows GROUP BY layer, neuron, text ORDER BY layer, neuron, graph_count DESC, text",
}
BOOKKEEPING = tuple(_MERGES)
_INSERT_BYTES = 16_000_000


@dataclass
class Summary:
    """What an aggregation read, kept and dropped."""

    graphs: int = 0
    links: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    node_oddities: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    neurons: int = 0
    edges: int = 0
    new_graphs: int = 0  # of the graphs, those that this run read
    work: str = ""  # what the run did, in words, where it was not simply all of it


class BookkeepingMerger:
    """Merges the bookkeeping of many origins with DuckDB, which spills what does not fit."""

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
        """Write one dataset from the tables of all origins."""
        dataset = DATASETS[f"stats.{name}"]
        self._con.register("incoming", dataset.empty())
        self._con.execute("CREATE OR REPLACE TABLE rows AS FROM incoming")
        waiting: list[pa.Table] = []
        for table in tables:
            waiting.append(table)
            # Statement by statement, a thousand small tables would take longer than what is in them.
            if sum(part.nbytes for part in waiting) > _INSERT_BYTES:
                self._insert(waiting)
        self._insert(waiting)
        result: Any = self._con.sql(_MERGES[name]).to_arrow_reader(50_000)
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


def final_ids(paths: Sequence[Sequence[str]], hashes: Sequence[Sequence[str | None]]) -> list[Ints]:
    """For the graphs of every origin their final graph_id: the rank of the path, lines of a file by number."""
    flat = [
        (*_natural(path), content_hash or "", origin, row)
        for origin, (names, found) in enumerate(zip(paths, hashes, strict=True))
        for row, (path, content_hash) in enumerate(zip(names, found, strict=True))
    ]
    flat.sort()
    ids = [np.zeros(len(names), np.int64) for names in paths]
    for rank, (*_, origin, row) in enumerate(flat):
        ids[origin][row] = rank
    return ids


def _natural(path: str) -> tuple[str, int, str]:
    name, mark, line = path.rpartition("#")
    return (name, int(line), path) if mark and line.isascii() and line.isdigit() else (path, 0, path)


def with_ids(table: pa.Table, ids: Ints) -> pa.Table:
    """A table whose graph_id counted within its origin, with final ids."""
    place = table.column_names.index("graph_id")
    final = pa.array(ids[table["graph_id"].to_numpy()].astype(np.int32))
    return table.set_column(place, table.schema.field(place), final)


def write_samples(folder: Path, cells: Sequence[dict[str, Any]], earlier: Sequence[pa.Table], below: int) -> None:
    """Write the dataset `edge_samples` from sampled cells and from earlier samples, of edges with a hash below `below`."""
    parts = [*cells, *(sample_columns(table) for table in earlier)]
    dataset = DATASETS["stats.edge_samples"]
    write_parquet(sample_table(parts, below), dataset.path(folder))


def summarise(folder: Path) -> Summary:
    """The summary of a stats folder, from its own datasets."""
    summary = Summary()
    graphs = pq.read_table(DATASETS["stats.graphs"].path(folder), columns=["link_count"])
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
    """The counts of the manifest."""
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
