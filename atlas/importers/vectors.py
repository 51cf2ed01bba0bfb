"""Importer of residual vectors.

| files | layout |
|---|---|
| shards | layer_00/, layer_01/, ... of shard_000.pt (rows, d), one row per prompt |
| SAELens cache | data-00000-of-00004.arrow with {hook} (positions, d) and token_ids, one row per sequence |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from atlas.errors import InputError
from atlas.importers.sample_contexts import content_identity
from atlas.importers.summary import ImportSummary
from atlas.io.files import read_json_object
from atlas.io.tensors import array, read_tensors
from atlas.options import ALL, LAST, MEMORY
from atlas.stages.store.backends.windows import layer_of
from atlas.stages.store.cells import UNKNOWN_TOKEN, Context
from atlas.stages.store.collector import Collector
from atlas.stages.store.spaces import ActivationSpace

Progress = Callable[[str, int, int], None]
_LAYER, _SHARD = re.compile(r"layer_(\d+)\Z"), re.compile(r"shard_(\d+)\.pt\Z")


@dataclass
class VectorImportSummary(ImportSummary):
    """Counts of an import of vectors."""

    layers: int = 0
    rows: int = 0
    stated: int | None = None  # number of rows that the metadata state
    shards: int = 0
    has_tokens: bool = True

    def notes(self) -> list[str]:
        """Return notes where the files hold another number of rows than they state, or no tokens."""
        if not self.has_tokens:
            return ["the files hold no token_ids: tokens are not known, and are -1"]
        if self.stated is None or self.stated == self.rows:
            return []
        return [
            f"metadata.json states {self.stated:,} rows; more are left over from an earlier run, fewer were cut off"
        ]


def import_vectors(
    path: Path,
    out: Path,
    *,
    model: str | None = None,
    memory: int = MEMORY,
    progress: Progress = lambda *_: None,
) -> VectorImportSummary:
    """Import residual vectors of the last token of prompts, by layer, into a store.

    Rows are numbered in the order of the shards. The files hold no tokens and no ids: contexts are empty, and the document of
    a context states split and row.

    Args:
        path: Folder in one of the layouts above.
        out: Folder of the store, which is replaced.
        model: Name of the model; that of the metadata where None.
        memory: Bytes that may be held.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of layers and rows.

    Raises:
        InputError: The folder holds no such files, a damaged one, or layers of different length.
        MissingExtra: torch is not installed.
        OutputError: The folder cannot be written.
    """
    if caches := sorted(path.glob("data-*.arrow")):
        return _import_cache(path, caches, out, model, memory, progress)
    layers = {int(match[1]): part for part in sorted(path.glob("layer_*")) if (match := _LAYER.match(part.name))}
    if not layers:
        raise InputError(f"{path} holds no layer_00/, layer_01/, ... of shards; give the folder of one split")
    stated = read_json_object(path / "metadata.json") if (path / "metadata.json").exists() else {}
    shards = {layer: _shards(folder) for layer, folder in layers.items()}
    counts = {len(files) for files in shards.values()}
    if len(counts) > 1:
        raise InputError(f"{path}: layers have {sorted(counts)} shards; all layers of a row stand in one shard")
    total = stated.get("total_examples")
    summary = VectorImportSummary(layers=len(layers), stated=total if isinstance(total, int) else None)
    name = model or stated.get("model_name")
    space = ActivationSpace(
        name if isinstance(name, str) else None,
        hook="resid",
        unit_type="dimension",
        positions=LAST,
        vector_layers=tuple(sorted(layers)),
    )
    identity = content_identity([shards[min(layers)][number] for number in range(len(shards[min(layers)]))])
    with Collector(out, space=space, layers={}, memory=memory, fresh=True, progress=progress) as collector:
        for number in range(counts.pop()):
            progress("reading shards", number, len(shards[min(layers)]))
            found = {
                layer: array(read_tensors(files[number]), files[number], "the shard", 2)
                for layer, files in shards.items()
            }
            rows = {len(values) for values in found.values()}
            if len(rows) > 1:
                raise InputError(f"{path}: shard {number} has {sorted(rows)} rows in different layers")
            size = rows.pop()
            # Rows have no text: their place in these very files tells them apart.
            first = summary.rows
            contexts = [
                Context((), f"{path.name} {first + row}", 0, path.name, f"{identity} {first + row}")
                for row in range(size)
            ]
            collector.add_rows(found, contexts)
            summary.rows += size
            summary.shards += 1
        collector.write(imported_from=path.name, positions="last", layers=sorted(layers))
    return summary


def _shards(folder: Path) -> list[Path]:
    """Return the shards of a layer in the order of their numbers, which file names do not have."""
    found = {int(match[1]): file for file in folder.iterdir() if (match := _SHARD.match(file.name))}
    if not found:
        raise InputError(f"{folder} holds no shard_000.pt")
    if sorted(found) != list(range(len(found))):
        missing = next(number for number in range(len(found)) if number not in found)
        raise InputError(f"{folder} lacks shard {missing:03d}")
    return [found[number] for number in sorted(found)]


def _import_cache(
    path: Path, files: list[Path], out: Path, model: str | None, memory: int, progress: Progress
) -> VectorImportSummary:
    """Import the activations of a model that SAELens cached, one row per sequence, in the order of the files."""
    summary = VectorImportSummary(layers=1)
    hook = layer = None
    collector: Collector | None = None
    try:
        for number, file in enumerate(files):
            progress("reading cache", number, len(files))
            for batch in _batches(file):
                names = [name for name in batch.schema.names if name != "token_ids"]
                if len(names) != 1 or (hook is not None and names != [hook]):
                    raise InputError(
                        f"{file} has the columns {', '.join(names)}; a cache has one hook, the same in all files"
                    )
                if collector is None:
                    hook, layer = names[0], layer_of(names[0])
                    space = ActivationSpace(
                        model, hook=hook, unit_type="dimension", positions=ALL, vector_layers=(layer,)
                    )
                    collector = Collector(out, space=space, layers={}, memory=memory, fresh=True, progress=progress)
                _add_sequences(collector, batch, names[0], layer_of(names[0]), summary)
            summary.shards += 1
        if collector is None or not summary.rows:
            raise InputError(f"{path} holds no sequence")
        collector.write(imported_from=path.name, positions="all", layers=[layer])
    finally:
        if collector is not None:
            collector.close()
    return summary


def _batches(file: Path) -> Iterator[pa.RecordBatch]:
    try:
        with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as reader:
            yield from reader
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file} cannot be read as a stream of Arrow: {' '.join(str(error).split())[:200]}") from error


def _add_sequences(
    collector: Collector, batch: pa.RecordBatch, hook: str, layer: int, summary: VectorImportSummary
) -> None:
    column = batch.column(hook)
    rows = (column.storage if isinstance(column, pa.ExtensionArray) else column).to_pylist()
    summary.has_tokens = "token_ids" in batch.schema.names
    tokens = (
        batch.column("token_ids").to_pylist() if summary.has_tokens else [[UNKNOWN_TOKEN] * len(row) for row in rows]
    )
    for row, ids in zip(rows, tokens, strict=True):
        values = np.array(row, np.float32)
        if values.ndim != 2 or len(values) != len(ids):
            raise InputError(f"sequence {summary.rows} has values of the shape {values.shape} and {len(ids)} tokens")
        collector.add_vectors({layer: values[None]}, [Context(tuple(ids), f"sequence {summary.rows}")])
        summary.rows += 1
