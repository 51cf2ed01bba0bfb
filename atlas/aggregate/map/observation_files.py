"""Observations in Parquet or Arrow files: division of rows into tasks, and conversion of rows to keys.

Rows are `(graph_id, src_layer, src_neuron, tgt_layer, tgt_neuron, weight)`. If graph ids ascend over the row groups of
a dataset (in any order within a row group), tasks are cut between graphs. If the rows of a graph are spread over the
dataset, all rows are first sorted by graph.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from atlas.aggregate.kernels import cpu_kernel, page_decoder
from atlas.aggregate.kernels.key_stats import LinkBatch
from atlas.aggregate.map.observation_pages import Columns, PageReader
from atlas.errors import InputError
from atlas.graph import MAX_WEIGHT, pack_pairs
from atlas.ids import MAX_INDEX, MAX_LAYER

COLUMNS = ("graph_id", "src_layer", "src_neuron", "tgt_layer", "tgt_neuron", "weight")
SUFFIXES = (".parquet", ".arrow", ".feather", ".ipc")
_IPC = SUFFIXES[1:]


@dataclass(frozen=True, slots=True)
class Group:
    """One row group of one file, with the bounds of its graph ids."""

    file: int
    number: int
    rows: int
    first: int
    last: int


def is_observations(name: str) -> bool:
    """Return True if a file holds observations, by the suffix of its name.

    Args:
        name: Name or path of a file.

    Returns:
        True for .parquet, .arrow, .feather and .ipc.
    """
    return name.lower().endswith(SUFFIXES)


def groups_of(number: int, path: Path) -> list[Group]:
    """Return the row groups (record batches) of one file; raises `InputError` if columns are missing."""
    try:
        if _is_ipc(path):
            return _ipc_groups(number, path)
        with pq.ParquetFile(path) as file:
            _require(path, file.schema_arrow.names)
            # Text sorts differently from the numbers in it, so only bounds of integers are used.
            ordered = pa.types.is_integer(file.schema_arrow.field("graph_id").type)
            # Nested columns have several places in the Parquet schema, and may hold another graph_id.
            paths = [file.schema.column(i).path for i in range(len(file.schema.names))]
            found = []
            for row_group in range(file.metadata.num_row_groups):
                meta = file.metadata.row_group(row_group)
                stats = meta.column(paths.index("graph_id")).statistics if ordered else None
                if stats is not None and stats.has_min_max:
                    bounds = int(stats.min), int(stats.max)
                else:
                    bounds = _bounds(file.read_row_group(row_group, columns=["graph_id"])["graph_id"])
                found.append(Group(number, row_group, meta.num_rows, *bounds))
            return found
    except (OSError, pa.ArrowException, TypeError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read as observations: {' '.join(str(error).split())[:200]}") from error


def _ipc_groups(number: int, path: Path) -> list[Group]:
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
        _require(path, file.schema.names)
        batches = (file.get_batch(i) for i in range(file.num_record_batches))
        return [
            Group(number, i, batch.num_rows, *_bounds(pa.chunked_array([batch["graph_id"]])))
            for i, batch in enumerate(batches)
        ]


def _bounds(ids: pa.ChunkedArray) -> tuple[int, int]:
    known = _numbers(ids, "graph_id").drop_null().to_numpy()
    return (int(known.min()), int(known.max())) if len(known) else (0, 0)


def _require(path: Path, names: Sequence[str]) -> None:
    missing = [name for name in COLUMNS if name not in names]
    twice = [name for name in COLUMNS if list(names).count(name) > 1]
    if twice:
        raise InputError(f"{path} has two columns called {twice[0]}")
    if missing:
        raise InputError(
            f"{path} holds no observations: it lacks {', '.join(missing)}; it has {', '.join(names)[:200]}"
        )


def is_in_order(groups: Sequence[Group]) -> bool:
    """Return True if graph ids ascend over the row groups, so that only neighbouring row groups share a graph."""
    filled = [group for group in groups if group.rows]
    return all(before.last <= after.first for before, after in itertools.pairwise(filled))


def cut(groups: Sequence[Group], rows: int) -> list[tuple[Group, ...]]:
    """Divide row groups into consecutive pieces of about `rows` rows each."""
    tasks: list[list[Group]] = []
    filled = rows
    for group in groups:
        if filled >= rows or filled + group.rows > 2 * rows:
            tasks.append([])
            filled = 0
        tasks[-1].append(group)
        filled += group.rows
    return [tuple(task) for task in tasks]


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Translate read errors into `InputError`, which names the file."""
    try:
        yield
    except InputError as error:
        raise (error if str(path) in str(error) else InputError(f"{path}: {error}")) from error
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as observations: {' '.join(str(error).split())[:200]}") from error


def read_group(path: Path, group: Group, rows: int) -> Iterator[Columns]:
    """Yield the columns of one row group, in pieces of at most `rows` rows if it is much larger; raises `InputError`."""
    if group.rows <= 2 * rows or _is_ipc(path):
        yield read_groups([(path, group)])
        return
    with _reading(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        for batch in file.iter_batches(rows, [group.number], columns=list(COLUMNS), use_threads=False):
            yield columns_of(batch)


def read_groups(groups: Sequence[tuple[Path, Group]], tail: Sequence[Columns] = ()) -> Columns:
    """Return the columns of row groups, and then of `tail`; raises `InputError`.

    Args:
        groups: Row groups, with the paths of their files.
        tail: Columns of further rows.
    """
    found = _decoded(groups, tail)
    if found is None:
        parts = [*(_read_with_arrow(path, group) for path, group in groups), *tail]
        found = {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}
    return found


def _decoded(groups: Sequence[tuple[Path, Group]], tail: Sequence[Columns]) -> Columns | None:
    """Return the columns of `read_groups` without Arrow; None for files that only Arrow can read."""
    readers: dict[Path, PageReader] = {}
    for path, group in groups:
        reader = readers.get(path) or _page_reader(path, group)
        if reader is None:
            return None
        readers[path] = reader
    types = next(iter(readers.values())).types
    if any(types != other for other in (*(reader.types for reader in readers.values()), *map(_types, tail))):
        return None
    ends = np.cumsum([0, *(group.rows for _, group in groups), *(len(part["weight"]) for part in tail)]).tolist()
    found = {name: np.empty(ends[-1], kind) for name, kind in types.items()}
    places = [{name: values[start:end] for name, values in found.items()} for start, end in itertools.pairwise(ends)]
    for (path, group), mine in zip(groups, places, strict=False):
        if not readers[path].read(group.number, mine):
            return None
    for part, mine in zip(tail, places[len(groups) :], strict=True):
        for name, values in mine.items():
            values[:] = part[name]
    return found


def _page_reader(path: Path, group: Group) -> PageReader | None:
    """Return a reader of a file; None if the row group has few rows, which Arrow reads in one step, or only Arrow can."""
    if _is_ipc(path) or page_decoder(group.rows) is None:
        return None
    with _reading(path):
        return PageReader.opened(path, COLUMNS)


def _types(columns: Columns) -> dict[str, Any]:
    return {name: columns[name].dtype for name in COLUMNS}


def _is_ipc(path: Path) -> bool:
    return path.name.lower().endswith(_IPC)


def _read_with_arrow(path: Path, group: Group) -> Columns:
    with _reading(path):
        if _is_ipc(path):
            with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
                return columns_of(file.get_batch(group.number))
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return columns_of(file.read_row_group(group.number, columns=list(COLUMNS), use_threads=False))


def read_graph(path: Path, group: Group, graph_id: int) -> Iterator[Columns]:
    """Yield the rows of one graph in a row group, reading little of the rest; raises `InputError`."""
    if _is_ipc(path):
        columns = _read_with_arrow(path, group)
        yield {name: values[columns["graph_id"] == graph_id] for name, values in columns.items()}
        return
    if (found := _decoded_graph(path, group, graph_id)) is not None:
        yield found
        return
    with _reading(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        ids = file.read_row_group(group.number, columns=["graph_id"], use_threads=False)["graph_id"]
        mine = np.flatnonzero(_numbers(ids, "graph_id").to_numpy() == graph_id)
        left = int(mine[-1]) + 1 if len(mine) else 0
        for batch in (
            file.iter_batches(1 << 14, [group.number], columns=list(COLUMNS), use_threads=False) if left else ()
        ):
            table = _clean(batch)
            yield columns_of(table.filter(pc.equal(table["graph_id"], graph_id)))
            left -= len(table)
            if left <= 0:
                return


def _decoded_graph(path: Path, group: Group, graph_id: int) -> Columns | None:
    """Return the rows of `read_graph` without Arrow; None for files that only Arrow can read."""
    reader, rows = _page_reader(path, group), group.rows
    for names in (COLUMNS[:1], COLUMNS):
        found = {name: np.empty(rows, reader.types[name]) for name in names} if reader else {}
        if reader is None or (rows and not reader.read(group.number, found)):
            return None
        mine = found["graph_id"] == graph_id
        # Graphs ascend over the row groups, so that the rest of one stands in the first rows of the next.
        rows = int(np.flatnonzero(mine).max(initial=-1)) + 1
    return {name: values[mine] for name, values in found.items()}


def _clean(table: pa.Table | pa.RecordBatch) -> pa.Table:
    return pa.table({name: _numbers(table[name], name) for name in COLUMNS})


def columns_of(table: pa.Table | pa.RecordBatch) -> Columns:
    """Return the columns of an Arrow table or batch as arrays. A null weight becomes NaN, a null layer or neuron -1.

    Raises `InputError` if a graph_id is null, or a column does not hold numbers.
    """
    found = {}
    for name in COLUMNS:
        column = _numbers(table[name], name)
        if column.null_count:
            if name == "graph_id":
                raise InputError(f"graph_id is null in {column.null_count} observations; every link needs its graph")
            column = column.fill_null(float("nan") if name == "weight" else -1)
        found[name] = (
            column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False)
        )
    return found


def _numbers(column: pa.Array | pa.ChunkedArray, name: str) -> pa.Array | pa.ChunkedArray:
    """Return a column as signed integers, or as floats for the weight."""
    fine = pa.types.is_floating if name == "weight" else pa.types.is_signed_integer
    if fine(column.type):
        return column
    try:
        return column.cast(pa.float64() if name == "weight" else pa.int64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        wanted = "numbers" if name == "weight" else "whole numbers"
        raise InputError(
            f"the column {name} of the observations holds {column.type}, not {wanted}: {' '.join(str(error).split())[:100]}"
        ) from error


def observe(columns: Columns) -> LinkBatch:
    """Return graphs, keys and weights of rows, with a mask of the invalid rows for each reason."""
    weight = np.ascontiguousarray(columns["weight"], np.float64)
    graph = columns["graph_id"]
    if len(graph) and graph.min() < 0:
        raise InputError(f"graph_id {graph.min()} is negative; number the graphs from 0")
    ends = [columns[name] for name in COLUMNS[1:5]]
    if all(values.dtype == np.int32 for values in ends):
        key, bad = cpu_kernel(len(weight)).pack(ends, weight)
        if not bad:
            return LinkBatch(graph, key, weight)
    dropped: dict[str, NDArray[np.bool_]] = {}
    with np.errstate(invalid="ignore"):
        usable = np.abs(weight) <= MAX_WEIGHT
    if not usable.all():
        finite = np.isfinite(weight)
        dropped = {"non_finite_weight": ~finite, "huge_weight": finite & ~usable}
    in_range = np.ones(0, bool)
    for name in COLUMNS[1:5]:
        values, largest = columns[name], MAX_LAYER if name.endswith("layer") else MAX_INDEX
        if len(values) and (values.min() < 0 or values.max() > largest):
            in_range = in_range if len(in_range) else usable.copy()
            in_range &= (values >= 0) & (values <= largest)
    if len(in_range):
        dropped["out_of_range"] = usable & ~in_range
    return LinkBatch(graph, pack_pairs(*ends), weight, dropped)


def graph_hash(identity: str, graph_id: int) -> str:
    """Return the content hash of a graph in a dataset: a hash of the dataset's identity and the graph's id."""
    return hashlib.sha256(f"{identity}#{graph_id}".encode()).hexdigest()
