"""Reader of the rows of an earlier stats folder, one range of keys at a time, for increments and merges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from atlas.aggregate.kernels.key_stats import COLUMNS, EMPTY, FLOAT_COLUMNS, KeyStats
from atlas.aggregate.link_tables import TABLES, LinkTable
from atlas.errors import NewerVersion, SourceChanged, StageError
from atlas.graph import Ints
from atlas.ids import INDEX_BITS, MAX_INDEX, NEURON_BITS
from atlas.stages import DATASETS, Dataset, is_whole, require
from atlas.stages.manifest import read_manifest


@dataclass(frozen=True, slots=True)
class _Group:
    """One row group, and bounds of the keys in it."""

    path: Path
    number: int
    rows: int
    low: int
    high: int


class KeyedDataset:
    """Parquet dataset with one key per row: a pair, a token and a neuron, or a neuron alone."""

    def __init__(self, folder: Path, dataset: Dataset) -> None:
        self.dataset = dataset
        path = require(folder, dataset)
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        self._groups = [group for file in files for group in _groups(file, _halves(dataset))]

    def index(self) -> list[tuple[int, int]]:
        """Return the lowest key and the number of rows of every row group."""
        return [(group.low, group.rows) for group in self._groups]

    def between(self, low: int, high: int) -> tuple[Ints, pa.Table]:
        """Return the keys (n,) in [low, high), and their rows."""
        keys, tables = [np.zeros(0, np.int64)], [self.dataset.empty()]
        by_file: dict[Path, list[int]] = {}
        for group in self._groups:
            if group.low < high and group.high >= low:
                by_file.setdefault(group.path, []).append(group.number)
        for path, numbers in by_file.items():
            with pq.ParquetFile(path) as file:
                table = file.read_row_groups(numbers, columns=self.dataset.schema.names, use_threads=False)
            key = _key(table, self.dataset)
            mine = (key >= low) & (key < high)
            keys.append(key[mine])
            tables.append(table.filter(pa.array(mine)).select(self.dataset.schema.names).cast(self.dataset.schema))
        return np.concatenate(keys), pa.concat_tables(tables)


def _halves(dataset: Dataset) -> list[list[str]]:
    """Return the columns of the left and right half of a dataset's key, or of one half if the key is a single unit."""
    name = "edges" if dataset.name == "edge_groups" else dataset.name
    table = next((table for table in TABLES if table.name == name), None)
    if table is None:
        return [["layer", "neuron"]]
    names = list(table.key_columns(np.zeros(1, np.int64)))
    if table.keyed_by_target:
        return [names]
    middle = 2 if names[0].endswith("layer") else 1
    return [names[:middle], names[middle:]]


def _key(table: pa.Table, dataset: Dataset) -> Ints:
    key = np.zeros(len(table), np.int64)
    for half in _halves(dataset):
        parts = [table[name].to_numpy().astype(np.int64) for name in half]
        unit = parts[0] << INDEX_BITS | parts[1] if len(parts) == 2 else parts[0]
        key = key << NEURON_BITS | unit
    return key


def _groups(path: Path, halves: Sequence[Sequence[str]]) -> list[_Group]:
    found = []
    with pq.ParquetFile(path) as file:
        columns = {name: number for number, name in enumerate(file.schema_arrow.names)}
        for number in range(file.metadata.num_row_groups):
            group = file.metadata.row_group(number)
            bounds = [_bounds(group, [columns[name] for name in half]) for half in halves] if columns else []
            low = high = 0
            exact = True
            for least, most in bounds:
                # The second half narrows the bounds only if the first half has a single value.
                low = low << NEURON_BITS | (least if exact else 0)
                high = high << NEURON_BITS | (most if exact else (1 << NEURON_BITS) - 1)
                exact = exact and least == most
            found.append(_Group(path, number, group.num_rows, low, high))
    return found


def _bounds(group: pq.RowGroupMetaData, places: Sequence[int]) -> tuple[int, int]:
    """Return the bounds of the units of a row group by its statistics, or of all units if it has no statistics."""
    ranges = []
    for place in places:
        stats = group.column(place).statistics
        if stats is None or not stats.has_min_max:
            return 0, (1 << NEURON_BITS) - 1
        ranges.append((int(stats.min), int(stats.max)))
    if len(ranges) == 1:
        return ranges[0]
    (low_layer, high_layer), (low, high) = ranges
    if low_layer != high_layer:
        low, high = 0, MAX_INDEX
    return low_layer << INDEX_BITS | low, high_layer << INDEX_BITS | high


def statistics_between(source: KeyedDataset, low: int, high: int) -> KeyStats:
    """Return the statistics of an earlier run in a range of keys. Unknown statistics count as 0."""
    key, table = source.between(low, high)
    if not len(key):
        return EMPTY
    columns: dict[str, Any] = {"key": key}
    for name in COLUMNS[1:]:
        dtype = np.float64 if name in FLOAT_COLUMNS else np.int64
        values = table[name].to_numpy(zero_copy_only=False) if name in table.column_names else np.zeros(len(key))
        columns[name] = np.nan_to_num(values).astype(dtype)
    return KeyStats(**columns)


def dataset_of(folder: Path, name: str) -> KeyedDataset:
    """Return a keyed dataset of a stats folder."""
    return KeyedDataset(folder, DATASETS[f"stats.{name}"])


def link_table(name: str) -> LinkTable:
    """Return the link table with this name."""
    return next(table for table in TABLES if table.name == name)


def holds_stats(out: Path) -> bool:
    """Return True if `out` holds complete statistics of this version.

    Raises `NewerVersion` if a newer version wrote them.
    """
    try:
        read_manifest(out, "stats")
    except NewerVersion:
        raise
    except StageError:
        return False
    return is_whole(out, "stats")


def refuse_other_options(out: Path, options: Mapping[str, Any]) -> None:
    """Raise `SourceChanged` if the statistics in `out` were made with other values of these options."""
    made_with = read_manifest(out, "stats").get("options", {})
    for key, value in options.items():
        if key in made_with and made_with[key] != value:
            raise SourceChanged(
                f"{out} was made with {key} {made_with[key]!r}, not {value!r}; start over with --fresh, or choose another -o"
            )
