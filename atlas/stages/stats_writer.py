"""Writer of a stats folder from columns that arrive in pieces. Values that a source does not know are null."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from atlas.graph import Space
from atlas.io.files import ROW_GROUP, parquet_writer, write_parquet
from atlas.stages import DATASETS, datasets_of
from atlas.stages.manifest import write_manifest

# Quality of statistics: all exact, all rounded to 32-bit numbers, or only the number of links and the mean.
EXACT, ROUNDED, MEAN_ONLY = "exact", "rounded", "mean_only"


class StatsWriter:
    """Writer of the datasets of a stats folder. `finish` also writes the datasets without rows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, tuple[contextlib.ExitStack, pq.ParquetWriter]] = {}
        self._waiting: dict[str, list[pa.Table]] = {}
        self.counts: dict[str, int] = {}

    def path(self, name: str) -> Path:
        """Return the file of a dataset."""
        dataset = DATASETS[f"stats.{name}"]
        path = dataset.path(self._folder)
        return path / "part-00000.parquet" if dataset.parted else path

    def add(self, name: str, columns: Mapping[str, Any]) -> None:
        """Add rows. A column is an array, a list, or one value for all rows; missing columns become null."""
        schema = DATASETS[f"stats.{name}"].schema
        rows = next((len(values) for values in columns.values() if not _is_scalar(values)), 0)
        table = pa.table({field.name: _column(columns.get(field.name), rows, field) for field in schema}, schema=schema)
        waiting = self._waiting.setdefault(name, [])
        waiting.append(table)
        self.counts[name] = self.counts.get(name, 0) + rows
        if sum(map(len, waiting)) >= ROW_GROUP:
            self._flush(name)

    def forget(self, name: str) -> None:
        """Remove all rows of a dataset."""
        self._waiting.pop(name, None)
        self.counts.pop(name, None)
        if name in self._open:
            self._open.pop(name)[0].close()
            self.path(name).unlink()

    def rewrite(self, name: str, change: Callable[[pa.RecordBatch], Mapping[str, Any]]) -> None:
        """Rewrite a dataset; `change` returns the columns to replace in each batch."""
        self._flush(name)
        self._open.pop(name)[0].close()
        path = self.path(name)
        old = path.with_name(f"old-{path.name}")
        path.rename(old)
        self.counts.pop(name)
        with pq.ParquetFile(old) as file:
            for batch in file.iter_batches():
                self.add(name, {key: batch[key] for key in batch.schema.names} | dict(change(batch)))
        old.unlink()

    def finish(
        self,
        space: Space,
        method: str,
        inputs: Sequence[str],
        *,
        options: Mapping[str, Any],
        counts: Mapping[str, int],
        quality: str = EXACT,
        graphs_stated: int | None = None,
    ) -> None:
        """Write the pending rows, the empty datasets, and the manifest.

        `graphs_stated` is the number of graphs, for a source that counts graphs but does not name them.
        """
        for name in list(self._waiting):
            self._flush(name)
        self.close()
        for dataset in datasets_of("stats"):
            if not dataset.optional and not self.path(dataset.name).exists():
                write_parquet(dataset.empty(), self.path(dataset.name))
        stated = {} if graphs_stated is None else {"graphs_stated": graphs_stated}
        write_manifest(
            self._folder,
            "stats",
            space=space._asdict(),
            method=method,
            inputs=list(inputs),
            options=dict(options),
            sample_below=0,
            counts=dict(counts),
            stat_quality=quality,
            **stated,
        )

    def close(self) -> None:
        """Close the files."""
        for stack, _ in self._open.values():
            stack.close()
        self._open.clear()

    def _flush(self, name: str) -> None:
        tables = self._waiting.pop(name, None) or [DATASETS[f"stats.{name}"].empty()]
        if name not in self._open:
            stack = contextlib.ExitStack()
            self._open[name] = stack, stack.enter_context(parquet_writer(self.path(name), tables[0].schema))
        self._open[name][1].write_table(pa.concat_tables(tables), row_group_size=ROW_GROUP)


def _is_scalar(values: object) -> bool:
    return values is None or isinstance(values, str | int | float | bool)


def _column(values: object, rows: int, field: pa.Field) -> Any:
    if values is None:
        return pa.nulls(rows, field.type)
    if not _is_scalar(values):
        return values
    if pa.types.is_dictionary(field.type):
        # One dictionary entry for all rows, instead of one text per row.
        return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows), pa.array([values]))
    return pa.repeat(pa.scalar(values, field.type), rows)
