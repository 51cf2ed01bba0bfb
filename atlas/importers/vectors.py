"""Importer of residual vectors: folders layer_ii/ of shards shard_sss.pt, one row per prompt."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from atlas.errors import InputError
from atlas.importers.summary import ImportSummary
from atlas.io.files import read_json_object
from atlas.io.tensors import array, read_tensors
from atlas.options import MEMORY
from atlas.stages.store.cells import Context
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

    def notes(self) -> list[str]:
        """Return a note where the files hold another number of rows than they state."""
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
        path: Folder with layer_00/, layer_01/, ... and metadata.json.
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
    space = ActivationSpace(name if isinstance(name, str) else None, hook="resid", unit_type="dimension")
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
            contexts = [Context((), f"{path.name} {summary.rows + row}", 0, path.name) for row in range(size)]
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
