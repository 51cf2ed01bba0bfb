"""Importer of stores of activations of other tools.

| files | layout |
|---|---|
| W&B | folder of {hook}.pt with nonzero_activations (N, W), data_indices (N,), neuron_indices (N,), and all_token_ids.pt with W token texts per window |
| delphi | folder latents/{module}/ with {first}_{last}.safetensors: locations (N, 3), activations (N,), tokens (S, n) |
| batch Zarr | activations/batch_0000.zarr (samples, features) with metadata/batch_0000.parquet |
| transposed Zarr | transposed_activations.zarr (features, samples) |
| .npy | neuron_0000/acts.npy and idxs.npy, with analysis_df_records.ipc |

None states the revision of the model, or the hash of the dictionary. A folder that this package exported holds contexts.parquet
and rows.parquet as well, and gives the same store again; one of several layers
holds a folder layer_00/, layer_01/, ... for each.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from atlas.errors import InputError
from atlas.importers.precomputed import compared
from atlas.importers.sample_contexts import FACTS, Contexts, exported, of_samples
from atlas.importers.summary import ImportSummary
from atlas.options import MEMORY, WHOLE
from atlas.stages.store.backends import (
    ActivationBackend,
    DelphiBackend,
    OneLayer,
    StoreBackend,
    WindowBackend,
    open_backend,
)
from atlas.stages.store.byte_tokens import decoded_vocabulary
from atlas.stages.store.cells import Context
from atlas.stages.store.collector import VOCABULARY, Collector
from atlas.stages.store.join import merge_stores
from atlas.stages.store.spaces import ActivationSpace

Progress = Callable[[str, int, int], None]
_CONTEXTS = 512  # at a time


@dataclass
class StoreImportSummary(ImportSummary):
    """Counts of an import of activations."""

    layers: int = 0
    units: int = 0
    contexts: int = 0
    activations: int = 0
    stated_units: bool = True
    repairs: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """Return what the files do not state, and what was repaired."""
        unstated = "the files do not state how many units there are: the largest number in them was taken (--units N)"
        return [*([] if self.stated_units else [unstated]), *self.repairs]


def import_activations(
    path: Path,
    out: Path,
    *,
    model: str | None = None,
    units: int | None = None,
    layer: int | None = None,
    value_kind: str | None = None,
    memory: int = MEMORY,
    progress: Progress = lambda *_: None,
) -> StoreImportSummary:
    """Import activations of another tool into a store.

    Args:
        path: Folder in one of the layouts above.
        out: Folder of the store, which is replaced.
        model: Name of the model, where the files state none.
        units: Number of units of every layer, where the files state none.
        layer: Layer, where the files name none; 0 where None.
        value_kind: What a value is, such as `code` or `gate`; the files do not say.
        memory: Bytes that sorting may take.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of what was read, and what was repaired.

    Raises:
        InputError: The folder holds no such files, or a damaged one.
        MissingExtra: torch, safetensors or zarr is not installed.
        OutputError: The folder cannot be written.
    """
    given: dict[str, Any] = {"model": model, "units": units, "value_kind": value_kind}
    given |= {"memory": memory, "progress": progress}
    folders = sorted(file.parent for file in path.glob(f"layer_*/{FACTS}"))
    if folders:
        return _layered(folders, out, **given)
    return _import_one(path, out, layer=layer, **given)


def _layered(folders: list[Path], out: Path, *, memory: int, progress: Progress, **given: Any) -> StoreImportSummary:
    """Import an export of several layers, a folder each, into one store."""
    with tempfile.TemporaryDirectory(dir=out.resolve().parent) as scratch:
        stores = [Path(scratch) / folder.name for folder in folders]
        found = [
            _import_one(folder, store, layer=None, memory=memory, progress=progress, **given)
            for folder, store in zip(folders, stores, strict=True)
        ]
        written = merge_stores(stores, out, memory=memory, progress=progress)
    summary = StoreImportSummary(len(found), sum(one.units for one in found), written.contexts, written.activations)
    summary.repairs = list(dict.fromkeys(line for one in found for line in one.repairs))
    return summary


def _import_one(
    path: Path,
    out: Path,
    *,
    model: str | None,
    units: int | None,
    layer: int | None,
    value_kind: str | None,
    memory: int,
    progress: Progress,
) -> StoreImportSummary:
    backend, found = _opened(path, units, layer)
    space = found.space or ActivationSpace(
        model or found.model,
        hook="imported",
        unit_type="feature",
        value_kind=value_kind,
        positions=WHOLE if found.is_whole else None,
    )
    stated = found.layers or {number: (count, 0.0) for number, count in backend.layers.items()}
    layers = {number: count for number, (count, _) in stated.items()}
    summary = StoreImportSummary(stated_units=units is not None or not isinstance(backend, WindowBackend))
    summary.repairs += found.repairs
    summary.layers, summary.units = len(layers), sum(layers.values())
    thresholds = {number: threshold for number, (_, threshold) in stated.items()}
    with Collector(
        out, space=space, layers=layers, thresholds=thresholds, memory=memory, fresh=True, progress=progress
    ) as collector:
        counts = _add_all(collector, backend, found, progress)
        unknown = list(getattr(backend, "unknown_units", ()))
        facts = {"unknown_units": {str(backend.layer): unknown}} if unknown and isinstance(backend, OneLayer) else {}
        written = collector.write(found.vocabulary, imported_from=path.name, **facts)
    if unknown:
        summary.repairs.append(
            f"{len(unknown):,} units below the largest number have no file: whether they are active is not known"
        )
    summary.contexts, summary.activations = written.contexts, written.activations
    tokens = Counter(token for context in found.contexts for token in set(context.token_ids)) if found.is_whole else {}
    summary.repairs += compared(path, counts, tokens)
    return summary


def _opened(path: Path, units: int | None, layer: int | None) -> tuple[ActivationBackend, Contexts]:
    """Return the back end of a folder, and its contexts."""
    backend = open_backend(path)
    if isinstance(backend, StoreBackend):
        raise InputError(f"{path} is a store of this package already; use it as it is")
    if isinstance(backend, WindowBackend | DelphiBackend):
        backend.units = units
    found = _contexts_of(path, backend)
    if isinstance(backend, OneLayer):
        backend.layer = next(iter(found.layers)) if found.layers else layer or 0
    return backend, found


def _add_all(collector: Collector, backend: ActivationBackend, found: Contexts, progress: Progress) -> Counter[int]:
    """Add all activations of a back end to a collector; return the number of activations of every unit."""
    counts: Counter[int] = Counter()
    for batch in backend.batches(_CONTEXTS):
        progress("reading activations", batch.first, backend.context_count)
        contexts, cells = found.placed(batch)
        collector.add_cells(cells, contexts)
        counts.update(dict(enumerate(np.bincount(batch.unit).tolist())))
    contexts, cells = found.rest()
    collector.add_cells(cells, contexts)
    return counts


def _contexts_of(path: Path, backend: ActivationBackend) -> Contexts:
    """Return the contexts of a back end, with the vocabulary and the model that the files state."""
    if (path / FACTS).is_file():
        return exported(path)
    if isinstance(backend, WindowBackend):
        return _of_windows(backend)
    if isinstance(backend, DelphiBackend):
        rows = backend.tokens.tolist()
        contexts = [Context(tuple(row), f"sequence {place}") for place, row in enumerate(rows)]
        return Contexts(contexts, VOCABULARY.empty(), backend.model_name)
    return of_samples(path, backend)


def _of_windows(backend: WindowBackend) -> Contexts:
    numbers: dict[str, int] = {}
    contexts = []
    for place, row in enumerate(backend.windows):
        ids = tuple(numbers.setdefault(token, len(numbers)) for token in row)
        contexts.append(Context(ids, f"window {place}"))
    words = {"token_id": list(numbers.values()), "token": decoded_vocabulary(numbers)}
    return Contexts(contexts, VOCABULARY.table({**words, "is_special": [None] * len(numbers)}), None)
