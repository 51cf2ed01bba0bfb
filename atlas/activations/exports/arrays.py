"""Exports of one value per row: batches of Zarr, a transposed array of Zarr, and .npy files per unit.

A row is a context of one value per unit, or a token that was looked at. The formats hold one layer; of a store with several, each
is in a folder layer_00/, layer_01/, ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.activations.exports.source import ExportSource
from atlas.errors import UsageError, needs_extra
from atlas.io.files import write_json, write_parquet
from atlas.stages.store.backends import CellBatch
from atlas.stages.store.backends.dense import TRANSPOSED

Progress = Callable[[str, int, int], None]
_CHUNK = 1000  # rows of a chunk of a batch
_WIDE_CHUNK = 10_000  # samples of a chunk of the transposed array


def export_zarr(source: ExportSource, folder: Path, progress: Progress) -> int:
    """Write activations/batch_0000.zarr, ... (rows, features), and metadata/batch_0000.parquet."""
    total = 0
    for layer, units, place in _layers(source, folder):
        (place / "activations").mkdir(parents=True)
        (place / "metadata").mkdir()
        stats = []
        for number, (first, values) in enumerate(_dense(source, layer, units, progress)):
            path = place / "activations" / f"batch_{number:04d}.zarr"
            facts = {"batch_index": number, "n_samples": len(values), "n_features": units}
            _create(path, values.shape, (min(_CHUNK, max(len(values), 1)), units), source, facts)[:] = values
            write_parquet(
                _metadata(source, number, first, len(values)), place / "metadata" / f"batch_{number:04d}.parquet"
            )
            stats.append({"n_samples": len(values), "n_features": units})
            total += int(np.count_nonzero(values))
        summary: dict[str, Any] = {
            "n_batches": len(stats),
            "total_samples": sum(item["n_samples"] for item in stats),
            "n_features": units,
        }
        summary |= {
            "batch_size": source.options.batch_rows,
            "chunk_size": _CHUNK,
            "compression": "zstd",
            "compression_level": 3,
        }
        write_json(summary | {"batch_stats": stats}, place / "conversion_metadata.json")
        source.write_contexts(place, "zarr", rows_of=layer)
    return total


def export_transposed(source: ExportSource, folder: Path, progress: Progress) -> int:
    """Write transposed_activations.zarr (features, rows)."""
    total, count = 0, len(source.rows[0])
    for layer, units, place in _layers(source, folder):
        place.mkdir(parents=True, exist_ok=True)
        array = _create(place / TRANSPOSED, (units, count), (1, min(_WIDE_CHUNK, max(count, 1))), source, {})
        for unit in range(units):
            row, value = _of_unit(source, layer, unit)
            if len(row):
                values = np.zeros(count, np.float32)
                values[row] = value
                array[unit] = values
            total += len(row)
            progress("writing units", unit + 1, units)
        shape = {"n_features": units, "n_samples": count, "shape": [units, count]}
        write_json(shape | {"format": "transposed", "source_batches": 1}, place / "transposed_metadata.json")
        write_parquet(_records(source), place / "records.parquet")
        source.write_contexts(place, "zarr-transposed", rows_of=layer)
    return total


def export_npy(source: ExportSource, folder: Path, progress: Progress) -> int:
    """Write neuron_acts/neuron_0000/acts.npy and idxs.npy, ..., and the samples as an Arrow file."""
    total = 0
    kind = np.float16 if source.options.dtype == "float16" else np.float32
    for layer, units, place in _layers(source, folder):
        base = place / "neuron_acts"
        for unit in range(units):
            row, value = _of_unit(source, layer, unit)
            target = base / f"neuron_{unit:04d}"
            target.mkdir(parents=True)
            np.save(target / "acts.npy", value.astype(kind))
            np.save(target / "idxs.npy", row)
            total += len(row)
            progress("writing units", unit + 1, units)
        records = _records(source)
        with (
            pa.OSFile(str(base / "analysis_df_records.ipc"), "wb") as sink,
            pa.ipc.new_file(sink, records.schema) as writer,
        ):
            writer.write_table(records)
        write_json({"num_regular": len(records), "num_null": 0}, base / "metadata.json")
        source.write_contexts(place, "npy", rows_of=layer)
    return total


def _layers(source: ExportSource, folder: Path) -> Iterator[tuple[int, int, Path]]:
    """Yield every layer with its number of units and its folder."""
    layers = source.backend.layers
    if source.options.dtype == "bfloat16":
        raise UsageError("these arrays have no bfloat16; use --dtype float32 or float16")
    if not layers:
        raise UsageError(f"{source.store} holds vectors and no activations of units; export them as shards")
    for layer, units in layers.items():
        yield layer, units, folder if len(layers) == 1 else folder / f"layer_{layer:02d}"
    if len(layers) > 1:
        source.write_contexts(folder, "layers")


def _create(
    path: Path, shape: tuple[int, ...], chunks: tuple[int, ...], source: ExportSource, facts: dict[str, Any]
) -> Any:
    with needs_extra("formats"):
        import zarr
        from zarr.codecs import ZstdCodec
    return zarr.create_array(
        store=str(path),
        shape=shape,
        chunks=chunks,
        dtype=source.options.dtype,
        compressors=ZstdCodec(level=3),
        attributes=facts,
        fill_value=0.0,
    )


def _of_unit(source: ExportSource, layer: int, unit: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    cells = source.backend.load((layer, unit))
    assert cells is not None  # the layer has the unit
    return source.rows_of(cells.context, cells.position), cells.value


def _dense(
    source: ExportSource, layer: int, units: int, progress: Progress
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the first row and the values (rows, units) of every batch."""
    count, size = len(source.rows[0]), source.options.batch_rows
    contexts = max(1, size * source.backend.context_count // max(count, 1))
    held: list[CellBatch] = []
    ends = np.searchsorted(source.rows[0], np.arange(source.backend.context_count + 1))
    first = 0
    for batch in source.backend.batches(contexts):
        held.append(batch)
        while first < count and (ends[batch.last] >= first + size or batch.last == source.backend.context_count):
            last = min(first + size, count)
            yield first, _filled(source, held, layer, units, first, last)
            first = last
            held = held[-1:]
            progress("writing rows", last, count)


def _filled(
    source: ExportSource, batches: list[CellBatch], layer: int, units: int, first: int, last: int
) -> NDArray[np.float32]:
    values = np.zeros((last - first, units), np.float32)
    for batch in batches:
        row = source.rows_of(batch.context, batch.position)
        mine = (batch.layer == layer) & (row >= first) & (row < last)
        values[row[mine] - first, batch.unit[mine]] = batch.value[mine]
    return values


def _metadata(source: ExportSource, number: int, first: int, count: int) -> pa.Table:
    """Return the metadata of the rows of a batch, under the names that readers of the format know."""
    table = _records(source, first, count).rename_columns(["ability_tokens", "weapon_id_token", "is_null_token"])
    columns = {"batch_id": np.full(count, number), "sample_id": np.arange(count)}
    columns |= {name: table[name] for name in table.column_names}
    names = pa.nulls(count, pa.string())
    return pa.table(columns | {"weapon_name": names, "global_index": np.arange(first, first + count)})


def _records(source: ExportSource, first: int = 0, count: int | None = None) -> pa.Table:
    """Return the tokens of some rows: all of a whole context, else the one token."""
    last = None if count is None else first + count
    contexts, positions = (values[first:last] for values in source.rows)
    if source.is_whole:
        tokens = [source.token_ids[context] for context in contexts.tolist()]
    else:
        places = zip(contexts.tolist(), positions.tolist(), strict=True)
        tokens = [[source.token_ids[context][position]] for context, position in places]
    return pa.table(
        {
            "ability_input_tokens": pa.array(tokens, pa.list_(pa.int64())),
            "weapon_id_token": pa.nulls(len(tokens), pa.int64()),
            "is_null_token": pa.array([False] * len(tokens)),
        }
    )
