"""External sort of activations: sorted runs of tasks, and an earlier store, to parts sorted by unit within bounded memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from atlas.errors import StageError
from atlas.graph import Ints
from atlas.ids import INDEX_BITS, MAX_INDEX
from atlas.io.files import parquet_writer
from atlas.io.run_files import RunFile
from atlas.io.work_dir import Store
from atlas.stages import DATASETS, datasets_of, require
from atlas.stages.manifest import MANIFEST, read_manifest
from atlas.stages.store.pending import order_by_unit

CELLS = DATASETS["activations.activations"]
RUN, COUNTS = "activations", "unit_counts"
COUNTED = ("contexts", "tokens", "activations")  # of a manifest
# Bytes per row while a range is sorted: the columns of all runs, joined, their order, and the result.
ROW_BYTES = 60
ROW_GROUP = 1 << 17  # rows; the values of one unit are in few row groups, and a row group is read in milliseconds
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Source:
    """Sorted activations of one task, or of an earlier store: the units of a range can be read."""

    units: Ints  # packed, ascending
    counts: Ints  # activations of each of these units
    read: Callable[[int, int], Iterator[Columns]]  # activations of units in [low, high)


def require_whole(folder: Path) -> None:
    """Check that a store is complete.

    Args:
        folder: Folder of the store.

    Raises:
        StageError: A file is missing or damaged, or holds fewer rows than the manifest states.
    """
    counts = read_manifest(folder, "activations").get("counts")
    if not isinstance(counts, dict) or not all(isinstance(counts.get(name), int) for name in COUNTED):
        raise StageError(f"{folder / MANIFEST} lacks the counts of {', '.join(COUNTED)}; collect it again with --fresh")
    for dataset in datasets_of("activations"):
        if not dataset.optional:
            require(folder, dataset)
    found = sum(pq.read_metadata(path).num_rows for path in CELLS.path(folder).glob("*.parquet"))
    if found != counts["activations"]:
        raise StageError(
            f"{folder} holds {found:,} activations and states {counts['activations']:,}: a part is missing; collect it again with --fresh"
        )


def task_source(store: Store, name: str) -> Source:
    """Return the activations of a finished task."""
    file = RunFile(store, name)
    index = file.column(RUN, "index")

    def read(low: int, high: int) -> Iterator[Columns]:
        yield file.between(RUN, index, low, high)

    counts = file.columns(COUNTS, ["unit", "count"])
    return Source(counts["unit"].astype(np.int64), counts["count"], read)


def unit_counts(packed: NDArray[Any]) -> Columns:
    """Return the different units of ascending rows, and how many rows each has."""
    starts = np.flatnonzero(np.diff(packed, prepend=-1))
    return {"unit": packed[starts], "count": np.diff(starts, append=len(packed)).astype(np.int64)}


@dataclass(frozen=True)
class RowGroup:
    """Row group of a part of a store, with the first and last packed unit in it."""

    low: int
    high: int
    file: pq.ParquetFile
    number: int


def row_groups(folder: Path) -> list[RowGroup]:
    """Return the row groups of a store, in the order of units.

    Args:
        folder: Folder of the store.

    Returns:
        Row groups with rows.
    """
    found = []
    for path in sorted(CELLS.path(folder).glob("*.parquet")):
        file = pq.ParquetFile(path)
        for number in range(file.num_row_groups):
            meta = file.metadata.row_group(number)
            if meta.num_rows:
                found.append(RowGroup(_packed_bound(meta, "min"), _packed_bound(meta, "max"), file, number))
    return found


def store_source(folder: Path) -> Source:
    """Return the activations of an earlier store."""
    found = row_groups(folder)
    pieces = [_counts_of(group.file.read_row_group(group.number, columns=["layer", "unit"])) for group in found]
    joined = {
        name: np.concatenate([np.zeros(0, np.int64), *(piece[name] for piece in pieces)]) for name in ("unit", "count")
    }
    units, place = np.unique(joined["unit"], return_inverse=True)
    counts = np.bincount(place, joined["count"], len(units)).astype(np.int64)

    def read(low: int, high: int) -> Iterator[Columns]:
        for group in found:
            if group.low < high and group.high >= low:
                table = group.file.read_row_group(group.number)
                columns: Columns = {name: table[name].to_numpy() for name in table.column_names}
                key = columns.pop("layer").astype(np.int64) << INDEX_BITS | columns.pop("unit")
                inside = (key >= low) & (key < high)
                yield {"unit": key[inside], **{name: values[inside] for name, values in columns.items()}}

    return Source(units, counts, read)


def _counts_of(table: pa.Table) -> Columns:
    return unit_counts(table["layer"].to_numpy().astype(np.int64) << INDEX_BITS | table["unit"].to_numpy())


def _packed_bound(meta: pq.RowGroupMetaData, bound: str) -> int:
    """Return a bound of the packed units of a row group; a row group of two layers has all units of both."""
    layers, units = (meta.column(place).statistics for place in (0, 1))
    layer = int(getattr(layers, bound))
    if layers.min != layers.max:
        return layer << INDEX_BITS | (MAX_INDEX if bound == "max" else 0)
    return layer << INDEX_BITS | int(getattr(units, bound))


def ranges(sources: Sequence[Source], rows: int) -> list[tuple[int, int]]:
    """Return ranges [low, high) of packed units with about `rows` activations each; a unit is never divided."""
    units = np.concatenate([np.zeros(0, np.int64), *(source.units for source in sources)])
    units, place = np.unique(units, return_inverse=True)
    weights = np.concatenate([np.zeros(0, np.int64), *(source.counts for source in sources)])
    total = np.cumsum(np.bincount(place, weights, len(units)))
    # Bounds follow from the activations alone, so that kills and batches do not change the parts.
    part = ((total - 1) // max(1, rows)).astype(np.int64)
    bounds = units[1:][np.diff(part) > 0]
    ends = [0, *bounds.tolist(), 1 << 62]
    return list(itertools.pairwise(ends))


def merge_activations(
    folder: Path, sources: Sequence[Source], memory: int, progress: Callable[[str, int, int], None]
) -> int:
    """Write the dataset `activations` from sorted sources, whose contexts ascend from source to source.

    Args:
        folder: Folder of the stage.
        sources: Earlier store, then tasks in order.
        memory: Bytes for the activations of a range. A unit with more of them takes more.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Number of activations.
    """
    CELLS.path(folder).mkdir()
    parts = ranges(sources, memory // ROW_BYTES)
    total = 0
    for number, (low, high) in enumerate(parts):
        progress("sorting activations", number, len(parts))
        pieces = [piece for source in sources for piece in source.read(low, high)]
        table = _sorted(pieces)
        total += len(table)
        if len(table) or not number:
            with parquet_writer(CELLS.path(folder) / f"part-{number:05d}.parquet", CELLS.schema) as writer:
                writer.write_table(table, row_group_size=ROW_GROUP)
    progress("sorting activations", len(parts), len(parts))
    return total


def _sorted(pieces: list[Columns]) -> pa.Table:
    """Join pieces and sort them by unit. Stable: within a unit, contexts and positions are in order already."""
    if not pieces:
        return CELLS.empty()
    joined = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    order = order_by_unit(joined["unit"].astype(np.uint32))
    key = joined.pop("unit")[order].astype(np.int64)
    columns = {name: values[order] for name, values in joined.items()}
    columns["position"] = columns["position"].astype(np.int32)
    columns |= {"layer": (key >> INDEX_BITS).astype(np.int32), "unit": (key & MAX_INDEX).astype(np.int32)}
    return CELLS.table(columns)
