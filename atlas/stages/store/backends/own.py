"""Back ends of this package: a store of Parquet files, and a table of DuckDB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from atlas.errors import InputError, StageError
from atlas.ids import INDEX_BITS
from atlas.stages import DATASETS
from atlas.stages.store.backends.protocol import CellBatch, Cells, batch_of, empty_cells
from atlas.stages.store.merge import RowGroup, require_whole, row_groups

_BATCH_ROWS = 1 << 20
_COLUMNS = "context_id, position, layer, unit, value"


class StoreBackend:
    """A store of this package. The values of a unit are read from the few row groups that hold them."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    @cached_property
    def is_available(self) -> bool:
        """True for a whole store."""
        try:
            require_whole(self.folder)
        except StageError:
            return False
        return True

    @cached_property
    def layers(self) -> Mapping[int, int]:
        """Number of units of every layer."""
        rows = pq.read_table(DATASETS["activations.units"].path(self.folder)).to_pylist()
        return {row["layer"]: row["unit_count"] for row in rows}

    @cached_property
    def context_count(self) -> int:
        """Number of contexts."""
        return int(pq.read_metadata(DATASETS["activations.contexts"].path(self.folder)).num_rows)

    @cached_property
    def _groups(self) -> list[RowGroup]:
        return row_groups(self.folder)

    def load(self, unit: tuple[int, int]) -> Cells | None:
        """Return all activations of a unit; None where the store has no such unit.

        Args:
            unit: Layer and number.

        Returns:
            Its activations; None where there is no such unit.
        """
        layer, number = unit
        if not 0 <= number < self.layers.get(layer, 0):
            return None
        key = layer << INDEX_BITS | number
        pieces = [_of_unit(group, layer, number) for group in self._groups if group.low <= key <= group.high]
        if not pieces:
            return empty_cells()
        return Cells(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))

    def batches(self, size: int) -> Iterator[CellBatch]:
        """Yield all activations by contexts; DuckDB sorts them, on disk where they are many.

        Args:
            size: Number of contexts of a batch.

        Yields:
            The next batch.
        """
        pattern = str(DATASETS["activations.activations"].path(self.folder) / "*.parquet")
        with duckdb.connect() as con:
            con.read_parquet(pattern).create_view("activations")
            yield from _sorted_batches(con.sql(_ordered("activations")), self.context_count, size)


def _of_unit(group: RowGroup, layer: int, number: int) -> Cells:
    """Return the activations of a unit in a row group, where its rows are one range."""
    table = group.file.read_row_group(group.number, columns=["layer", "unit"], use_threads=False)
    key = table["layer"].to_numpy().astype(np.int64) << INDEX_BITS | table["unit"].to_numpy()
    first, last = np.searchsorted(key, [layer << INDEX_BITS | number, (layer << INDEX_BITS | number) + 1]).tolist()
    names = ["context_id", "position", "value"]
    rest = group.file.read_row_group(group.number, columns=names, use_threads=False).slice(first, last - first)
    context, position, value = (rest[name].to_numpy() for name in names)
    return Cells(context.astype(np.int64), position, value)


def _ordered(source: str, where: str = "") -> str:
    return f"SELECT {_COLUMNS} FROM {source} {where} ORDER BY context_id, position, layer, unit"


def _sorted_batches(relation: duckdb.DuckDBPyRelation, count: int, size: int) -> Iterator[CellBatch]:
    """Cut rows in the order of contexts into batches of `size` contexts."""
    reader = relation.to_arrow_reader(_BATCH_ROWS)
    held: pa.Table = reader.schema.empty_table()
    is_last = False
    for first in range(0, count, size):
        last = min(first + size, count)
        while not is_last and (not len(held) or held["context_id"][-1].as_py() < last):
            try:
                held = pa.concat_tables([held, pa.Table.from_batches([reader.read_next_batch()])])
            except StopIteration:
                is_last = True
        place = int(np.searchsorted(held["context_id"].to_numpy(), last))
        rows, held = held.slice(0, place), held.slice(place)
        columns = {name.removesuffix("_id"): rows[name].to_numpy() for name in rows.column_names}
        yield batch_of(first, last, columns)


class DuckDBBackend:
    """The table `activations` of an atlas, or of any DuckDB file with such tables."""

    def __init__(self, path: Path, unit_type: str | None = None) -> None:
        self.path = Path(path)
        self._given = unit_type

    @cached_property
    def is_available(self) -> bool:
        """True for a DuckDB file with activations."""
        if not self.path.is_file() or self.path.suffix != ".duckdb":
            return False
        try:
            return bool(self._con.sql(f"SELECT count(*) > 0 FROM {self._table}").fetchall()[0][0])
        except duckdb.Error:
            return False

    @cached_property
    def _con(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect(str(self.path), read_only=True)

    @cached_property
    def _table(self) -> str:
        """Table of the activations, which may be in the file beside an atlas."""
        beside = self.path.with_name(f"{self.path.stem}.activations.duckdb")
        if not beside.is_file():
            return "activations"
        self._con.execute("ATTACH '{}' AS beside (READ_ONLY)".format(str(beside).replace("'", "''")))
        return "beside.main.activations"

    @cached_property
    def unit_type(self) -> str:
        """Type of the units: the given one, or that of the first store."""
        sql = "SELECT value FROM metadata WHERE key = 'activation_unit_type'"
        found = [(self._given,)] if self._given else self._con.sql(sql).fetchall()
        if not found:
            raise InputError(f"{self.path} does not say of which type its units are")
        return str(found[0][0])

    @cached_property
    def layers(self) -> Mapping[int, int]:
        """Number of units of every layer."""
        names = {name for (name,) in self._con.sql("SELECT table_name FROM duckdb_tables()").fetchall()}
        counted = "max(unit) + 1 FROM activation_stats WHERE unit_type = $1 GROUP BY layer"
        if "activation_stats" not in names:  # the file beside an atlas has their numbers alone
            counted = "unit_count FROM activation_units WHERE unit_type = $1"
        sql = f"SELECT layer, {counted} ORDER BY layer"
        return dict(self._con.execute(sql, [self.unit_type]).fetchall())

    @cached_property
    def context_count(self) -> int:
        """Number of contexts of all stores in the file."""
        return int(self._con.sql("SELECT count(*) FROM contexts").fetchall()[0][0])

    def load(self, unit: tuple[int, int]) -> Cells | None:
        """Return all activations of a unit; None where the file has no such unit.

        Args:
            unit: Layer and number.

        Returns:
            Its activations; None where there is no such unit.
        """
        layer, number = unit
        if not 0 <= number < self.layers.get(layer, 0):
            return None
        sql = (
            f"SELECT context_id, position, value FROM {self._table} WHERE unit_type = $1 AND layer = $2 AND unit = $3 "
            "ORDER BY context_id, position"
        )
        found = self._con.execute(sql, [self.unit_type, layer, number]).fetchnumpy()
        return Cells(found["context_id"].astype(np.int64), found["position"], found["value"])

    def batches(self, size: int) -> Iterator[CellBatch]:
        """Yield all activations by contexts.

        Args:
            size: Number of contexts of a batch.

        Yields:
            The next batch.
        """
        with self._con.cursor() as con:
            relation = con.sql(_ordered(self._table, "WHERE unit_type = $1"), params=[self.unit_type])
            yield from _sorted_batches(relation, self.context_count, size)
