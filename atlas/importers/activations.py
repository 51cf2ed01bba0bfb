"""Importer of stores of activations: W&B artefacts of window rows, and latent caches of delphi.

| files | layout |
|---|---|
| W&B | folder of {hook}.pt with nonzero_activations (N, W), data_indices (N,), neuron_indices (N,), and all_token_ids.pt with W token texts per window |
| delphi | folder latents/{module}/ with {first}_{last}.safetensors: locations (N, 3), activations (N,), tokens (S, n) |

A W&B file holds a window of one unit as a row, in which most cells are 0, and drops rows whose sum is 0. A delphi file
numbers latents from its first one. Neither states the revision of the model, or the hash of the dictionary.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.errors import InputError, needs_extra
from atlas.graph import Ints
from atlas.importers.activation_files import array, decoded, layer_of, read_json, read_tensors
from atlas.importers.summary import ImportSummary
from atlas.options import MEMORY
from atlas.stages.store.cells import Context
from atlas.stages.store.collector import VOCABULARY, Collector
from atlas.stages.store.spaces import ActivationSpace

Progress = Callable[[str, int, int], None]
Cells = dict[str, NDArray[Any]]
_TOKENS = "all_token_ids.pt"
_SPLIT_FILE = re.compile(r"(\d+)_(\d+)\.safetensors\Z")
_CONTEXTS = 512  # at a time


@dataclass
class StoreImportSummary(ImportSummary):
    """Counts of an import of activations."""

    layers: int = 0
    units: int = 0
    contexts: int = 0
    activations: int = 0
    stated_units: bool = True

    def notes(self) -> list[str]:
        """Return a note where the number of units is not stated."""
        if self.stated_units:
            return []
        return ["the files do not state how many units there are: the largest number in them was taken (--units N)"]


@dataclass(frozen=True)
class _Layer:
    """Activations of one layer, sorted by context."""

    layer: int
    units: int
    context: Ints
    unit: NDArray[Any]
    position: NDArray[Any]
    value: NDArray[Any]


def import_activations(
    path: Path,
    out: Path,
    *,
    model: str | None = None,
    units: int | None = None,
    value_kind: str | None = None,
    memory: int = MEMORY,
    progress: Progress = lambda *_: None,
) -> StoreImportSummary:
    """Import activations of another tool into a store.

    Args:
        path: Folder of W&B layer files, or of a delphi run.
        out: Folder of the store, which is replaced.
        model: Name of the model, where the files state none.
        units: Number of units of every layer, where the files state none.
        value_kind: What a value is, such as `code` or `gate`; the files do not say.
        memory: Bytes that sorting may take.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of what was read.

    Raises:
        InputError: The folder holds no such files, or a damaged one.
        MissingExtra: torch or safetensors is not installed.
        OutputError: The folder cannot be written.
    """
    if (path / "latents").is_dir():
        layers, contexts, stated, words = _delphi(path, units)
        name = model or stated
    else:
        layers, contexts, words = _wandb(path, units)
        name = model
    summary = StoreImportSummary(stated_units=units is not None or (path / "latents").is_dir())
    space = ActivationSpace(name, hook="imported", unit_type="feature", value_kind=value_kind)
    counts = {one.layer: one.units for one in layers}
    with Collector(out, space=space, layers=counts, memory=memory, fresh=True, progress=progress) as collector:
        for first in range(0, len(contexts), _CONTEXTS):
            progress("reading activations", first, len(contexts))
            some = contexts[first : first + _CONTEXTS]
            collector.add_cells(_between(layers, first, first + len(some)), some)
        found = collector.write(words, imported_from=path.name)
    summary.layers, summary.units = len(layers), sum(counts.values())
    summary.contexts, summary.activations = found.contexts, found.activations
    return summary


def _between(layers: list[_Layer], first: int, last: int) -> Cells:
    """Return the cells of all layers in the contexts [first, last), which are numbered from `first`."""
    pieces: dict[str, list[NDArray[Any]]] = {name: [] for name in ("layer", "context", "position", "unit", "value")}
    for one in layers:
        low, high = np.searchsorted(one.context, [first, last]).tolist()
        pieces["layer"].append(np.full(high - low, one.layer))
        pieces["context"].append(one.context[low:high] - first)
        for name in ("position", "unit", "value"):
            pieces[name].append(getattr(one, name)[low:high])
    return {name: np.concatenate(found) for name, found in pieces.items()}


def _named(layers: list[_Layer], path: Path) -> list[_Layer]:
    """Return layers in order; raises `InputError` where two files are of one layer, or none is there."""
    numbers = [one.layer for one in layers]
    if len(set(numbers)) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        raise InputError(f"{path} holds two files of layer {twice}, of different hooks; import them apart")
    return sorted(layers, key=lambda one: one.layer)


def _wandb(path: Path, units: int | None) -> tuple[list[_Layer], list[Context], pa.Table]:
    folder = path / "activation_data" if (path / "activation_data").is_dir() else path
    files = sorted(file for file in folder.glob("*.pt") if file.name != _TOKENS)
    if not files:
        raise InputError(f"{path} holds no activations: neither latents/ of delphi nor layer files {{hook}}.pt")
    places = [place / _TOKENS for place in (folder, path, folder.parent) if (place / _TOKENS).is_file()]
    if not places:
        raise InputError(
            f"{path} has no {_TOKENS}, so its windows have no text; it stands beside the layer files or above them"
        )
    windows = read_tensors(places[0])
    if not isinstance(windows, list) or not all(isinstance(row, list) for row in windows):
        raise InputError(f"{places[0]} holds no list of windows")
    numbers: dict[str, int] = {}
    contexts = []
    for place, row in enumerate(windows):
        ids = tuple(numbers.setdefault(str(token), len(numbers)) for token in row)
        contexts.append(Context(ids, f"window {place}"))
    layers = [_wandb_layer(file, len(contexts), units) for file in files]
    words = VOCABULARY.table(
        {
            "token_id": list(numbers.values()),
            "token": [decoded(token) for token in numbers],
            "is_special": [None] * len(numbers),
        }
    )
    return _named(layers, path), contexts, words


def _wandb_layer(file: Path, windows: int, units: int | None) -> _Layer:
    found = read_tensors(file)
    if not isinstance(found, dict) or not {"nonzero_activations", "data_indices", "neuron_indices"} <= found.keys():
        raise InputError(f"{file} lacks nonzero_activations, data_indices or neuron_indices")
    values = array(found["nonzero_activations"], file, "nonzero_activations", 2)
    window, unit = (array(found[name], file, name, 1) for name in ("data_indices", "neuron_indices"))
    if not len(values) == len(window) == len(unit):
        raise InputError(f"{file}: {len(values)} rows, {len(window)} data_indices and {len(unit)} neuron_indices")
    if len(window) and not (window.min() >= 0 and window.max() < windows):
        raise InputError(f"{file}: window {window.max()} is none of the {windows} of {_TOKENS}")
    order = np.lexsort((unit, window))
    row, position = np.nonzero(values[order])
    # `/` and `.` of the hook are both spelled `--`.
    layer = layer_of(file.stem.replace("--", "."))
    count = max(units or 0, int(unit.max(initial=-1)) + 1)
    return _Layer(layer, count, window[order][row], unit[order][row], position, values[order][row, position])


def _delphi(path: Path, units: int | None) -> tuple[list[_Layer], list[Context], str | None, pa.Table]:
    with needs_extra("trace"):
        from safetensors.numpy import load_file
    layers, tokens, model = [], None, None
    for module in sorted(part for part in (path / "latents").iterdir() if part.is_dir()):
        config = read_json(module / "config.json")
        model = model or config.get("model_name")
        pieces, width = [], units or 0
        for file, first, last in _splits(module):
            try:
                found = load_file(file)
                place, value = found["locations"].astype(np.int64), found["activations"].astype(np.float32)
            except Exception as error:  # a damaged file may raise anything in the library
                raise InputError(f"{file} cannot be read as a split of delphi: {error}") from error
            if place.ndim != 2 or place.shape[1] != 3 or len(place) != len(value):
                raise InputError(f"{file}: locations have the shape {place.shape} and activations {value.shape}")
            pieces.append((place[:, 0], place[:, 1], place[:, 2] + first, value))
            width = max(width, last + 1)
            tokens = found.get("tokens", tokens)
        joined = [np.concatenate(parts) for parts in zip(*pieces, strict=True)]
        order = np.lexsort((joined[2], joined[1], joined[0]))
        context, position, unit, value = (part[order] for part in joined)
        layers.append(_Layer(layer_of(module.name), width, context, unit, position, value))
    if tokens is None or not layers:
        raise InputError(f"{path} holds no tokens of its latents, so its contexts have no text; cache them with tokens")
    contexts = [Context(tuple(row), f"sequence {place}") for place, row in enumerate(tokens.tolist())]
    return _named(layers, path), contexts, model, VOCABULARY.empty()


def _splits(module: Path) -> Iterator[tuple[Path, int, int]]:
    """Yield the files of a module with their first and last latent; raises `InputError` where there is none."""
    found = [(file, match) for file in sorted(module.iterdir()) if (match := _SPLIT_FILE.match(file.name))]
    if not found:
        raise InputError(f"{module} holds no splits such as 0_8191.safetensors")
    for file, match in found:
        yield file, int(match[1]), int(match[2])
