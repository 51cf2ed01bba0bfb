"""The nodes and links of single graphs, with final graph ids: what an aggregate was made of, to look at again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from atlas.aggregate.inputs import Input
from atlas.aggregate.kernels.key_stats import run_starts
from atlas.graph import Ints, NodeKind
from atlas.ids import INDEX_BITS, MAX_INDEX
from atlas.io.files import parquet_writer
from atlas.io.run_files import RunFile
from atlas.io.work_dir import Store
from atlas.stages import DATASETS, Dataset

NODES, LINKS = DATASETS["stats.graph_nodes"], DATASETS["stats.graph_links"]
_KINDS = [kind.name.lower() for kind in NodeKind]
_RUN_COLUMNS = {
    "graph_nodes": ("key", "kind", "unit", "position", "activation", "influence", "score_gradient", "probability"),
    "graph_links": ("key", "source", "target", "weight"),
}
_WHOLE = ("graph_id", "node", "source", "target")
Columns = dict[str, NDArray[Any]]


def write_graphs(store: Store, folder: Path, inputs: Sequence[Input], graph_ids: Sequence[Ints]) -> None:
    """Write the nodes and links of the graphs of all inputs that hold them, one part per input.

    Args:
        store: Work folder with the spill files.
        folder: Stats folder.
        inputs: Earlier statistics and finished tasks.
        graph_ids: Final graph_id of the graphs of every input.

    Raises:
        OutputError: The folder cannot be written.
    """
    for dataset in (NODES, LINKS):
        dataset.path(folder).mkdir()
        for item, ids in zip(inputs, graph_ids, strict=True):
            tables = _earlier(item.folder, dataset, ids) if item.folder else _from_runs(store, item, dataset, ids)
            path = dataset.path(folder) / f"part-{item.source.number:05d}.parquet"
            with parquet_writer(path, dataset.schema) as writer:
                for table in tables:
                    writer.write_table(table)


def holds_graphs(folder: Path) -> bool:
    """Return True if a stats folder holds the links of its graphs."""
    return LINKS.path(folder).exists()


def _earlier(folder: Path, dataset: Dataset, ids: Ints) -> Iterator[pa.Table]:
    """Yield the rows of an earlier stats folder with their new graph ids."""
    for part in sorted(dataset.path(folder).glob("*.parquet")):
        with pq.ParquetFile(part) as file:
            for number in range(file.num_row_groups):
                table = file.read_row_group(number, columns=dataset.schema.names)
                final = ids[table["graph_id"].to_numpy()].astype(np.int32)
                yield table.set_column(0, dataset.schema.field(0), pa.array(final)).cast(dataset.schema)


def _from_runs(store: Store, item: Input, dataset: Dataset, ids: Ints) -> Iterator[pa.Table]:
    """Yield the rows of a finished task, sorted by final graph id."""
    file = RunFile(store, str(item.source.runs))
    for name in file.names(f"{dataset.name}."):
        columns = file.columns(name, list(_RUN_COLUMNS[dataset.name]))
        graph = columns.pop("key")
        if dataset is NODES:
            starts = run_starts(graph)
            columns["node"] = np.arange(len(graph)) - np.repeat(starts, np.diff(starts, append=len(graph)))
        order = np.argsort(ids[graph], kind="stable")
        columns = {key: values[order] for key, values in columns.items()} | {"graph_id": ids[graph[order]]}
        found = {key: values.astype(np.int32) if key in _WHOLE else values for key, values in columns.items()}
        yield dataset.table(_node_columns(found) if dataset is NODES else found)


def _node_columns(columns: Columns) -> dict[str, Any]:
    """Return the columns of `graph_nodes`: units as layer and neuron, or as token; unknown values are null."""
    kind, unit = columns["kind"], columns["unit"]
    is_neuron, is_token = kind == NodeKind.NEURON, (kind == NodeKind.TOKEN) | (kind == NodeKind.LOGIT)
    values = {"layer": unit >> INDEX_BITS, "neuron": unit & MAX_INDEX}
    found: dict[str, Any] = {name: pa.array(value.astype(np.int32), mask=~is_neuron) for name, value in values.items()}
    found["token_id"] = pa.array(unit.astype(np.int64), mask=~is_token)
    found["kind"] = pa.DictionaryArray.from_arrays(pa.array(kind.astype(np.int32)), pa.array(_KINDS))
    found["position"] = pa.array(columns["position"], mask=columns["position"] < 0)
    for name in ("activation", "influence", "score_gradient", "probability"):
        found[name] = pa.array(columns[name], mask=np.isnan(columns[name]))
    return found | {name: columns[name] for name in ("graph_id", "node")}
