"""Exports of a store of activations to the files of other tools; `atlas import` reads most of them back, exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from atlas.activations.exports import arrays, documents, tensor_files
from atlas.activations.exports.source import ExportSource, replaced_export
from atlas.errors import UsageError
from atlas.options import EXPORTS, ExportOptions
from atlas.runtime.progress import Progress, silent

__all__ = ["FORMATS", "ExportSummary", "export_store"]
Exporter = Callable[[ExportSource, Path, Progress], int]
_EXPORTERS: tuple[Exporter, ...] = (
    arrays.export_zarr,
    arrays.export_transposed,
    arrays.export_npy,
    tensor_files.export_wandb,
    tensor_files.export_delphi,
    tensor_files.export_shards,
    documents.export_samples,
    documents.export_neuronpedia,
    documents.export_arrow,
)
FORMATS: dict[str, Exporter] = dict(zip(EXPORTS, _EXPORTERS, strict=True))


@dataclass(frozen=True)
class ExportSummary:
    """Result of an export: its format, contexts, and the activations, vectors or examples that were written."""

    form: str
    contexts: int
    rows: int


def export_store(
    store: Path,
    out: Path,
    form: str,
    options: ExportOptions | None = None,
    *,
    measures: Path | None = None,
    features: Path | None = None,
    progress: Progress = silent,
) -> ExportSummary:
    """Write a store of activations in the format of another tool.

    Args:
        store: Folder of the store.
        out: Folder of the export; an earlier export is replaced.
        form: `zarr`, `zarr-transposed`, `npy`, `wandb`, `delphi`, `shards`, `samples`, `neuronpedia` or `arrow`.
        options: Type of values and sizes of files; the defaults where None.
        measures: Statistics of the store, for samples and neuronpedia.
        features: Features of its dictionary, for the logits of neuronpedia.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of what was written.

    Raises:
        MissingExtra: zarr, torch or safetensors is not installed.
        OutputError: `out` holds something else, or cannot be written.
        StageError: `store` is none, or is damaged.
        UsageError: The format does not fit the store.
    """
    if form not in FORMATS:
        raise UsageError(f"format {form!r} is none; there are {', '.join(FORMATS)}")
    source = ExportSource(Path(store), options or ExportOptions(), measures, features)
    source.space.as_dict()  # a damaged store is refused before anything is written
    with replaced_export(Path(out)) as folder:
        rows = FORMATS[form](source, folder, progress)
    return ExportSummary(form, len(source.token_ids), rows)
