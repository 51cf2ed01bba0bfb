"""Back ends of windows of tokens: .pt files of W&B artefacts, and latent caches of delphi. A layer is held in memory.

A W&B file holds a window of one unit as a row, in which most cells are 0, and drops rows whose sum is 0. A delphi file
numbers latents from its first one.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.errors import InputError
from atlas.io.files import read_json_object
from atlas.io.tensors import array, read_tensors
from atlas.stages.store.backends.protocol import CellBatch, Cells, batch_of, empty_cells

TOKENS = "all_token_ids.pt"
_SPLIT_FILE = re.compile(r"(\d+)_(\d+)\.safetensors\Z")
_LAYER = re.compile(r"(?:blocks|layers|layer|h)[._-]+(\d+)(?=\D|\Z)")


def layer_of(name: str) -> int:
    """Return the layer that the name of a hook or file states; raises `InputError` where it states none."""
    found = _LAYER.search(name)
    if found is None:
        raise InputError(f"{name} names no layer; it is called like blocks.8.mlp.hook_post or layers.8.mlp")
    return int(found[1])


@dataclass(frozen=True)
class LayerCells:
    """Activations of one layer, sorted by context."""

    layer: int
    units: int
    context: NDArray[Any]
    unit: NDArray[Any]
    position: NDArray[Any]
    value: NDArray[Any]

    @cached_property
    def by_unit(self) -> NDArray[Any]:
        """Order of the activations by unit, context and position."""
        return np.lexsort((self.position, self.context, self.unit))

    def of_unit(self, number: int) -> Cells:
        """Return the activations of a unit."""
        units = self.unit[self.by_unit]
        first, last = np.searchsorted(units, [number, number + 1]).tolist()
        rows = self.by_unit[first:last]
        return Cells(
            self.context[rows].astype(np.int64),
            self.position[rows].astype(np.int32),
            self.value[rows].astype(np.float32),
        )


class _Windows(ABC):
    """Back end of layers that are held in memory."""

    def __init__(self, folder: Path, units: int | None = None) -> None:
        self.folder = Path(folder)
        self.units = units  # of every layer, where the files state fewer

    @property
    @abstractmethod
    def is_available(self) -> bool:
        """True where there are layer files."""

    @property
    @abstractmethod
    def held(self) -> list[LayerCells]:
        """Layers in order."""

    @property
    @abstractmethod
    def context_count(self) -> int:
        """Number of windows."""

    @property
    def layers(self) -> Mapping[int, int]:
        """Number of units of every layer."""
        return {one.layer: one.units for one in self.held}

    def load(self, unit: tuple[int, int]) -> Cells | None:
        """Return all activations of a unit; None where the files have no such unit.

        Args:
            unit: Layer and number.

        Returns:
            Its activations; None where there is no such unit.
        """
        layer, number = unit
        found = next((one for one in self.held if one.layer == layer), None)
        if found is None or not 0 <= number < found.units:
            return None
        return found.of_unit(number) if len(found.unit) else empty_cells()

    def batches(self, size: int) -> Iterator[CellBatch]:
        """Yield all activations by windows.

        Args:
            size: Number of contexts of a batch.

        Yields:
            The next batch.
        """
        for first in range(0, self.context_count, size):
            last = min(first + size, self.context_count)
            pieces: dict[str, list[NDArray[Any]]] = {
                name: [] for name in ("layer", "context", "position", "unit", "value")
            }
            for one in self.held:
                low, high = np.searchsorted(one.context, [first, last]).tolist()
                pieces["layer"].append(np.full(high - low, one.layer))
                for name in ("context", "position", "unit", "value"):
                    pieces[name].append(getattr(one, name)[low:high])
            yield batch_of(first, last, {name: np.concatenate(found) for name, found in pieces.items()})


def _in_order(layers: list[LayerCells], path: Path) -> list[LayerCells]:
    """Return layers in order; raises `InputError` where two files are of one layer."""
    numbers = [one.layer for one in layers]
    if len(set(numbers)) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        raise InputError(f"{path} holds two files of layer {twice}, of different hooks; import them apart")
    return sorted(layers, key=lambda one: one.layer)


class WindowBackend(_Windows):
    """Folder of {hook}.pt with nonzero_activations (N, W), data_indices (N,), neuron_indices (N,), and all_token_ids.pt."""

    @property
    def _inner(self) -> Path:
        inner = self.folder / "activation_data"
        return inner if inner.is_dir() else self.folder

    @cached_property
    def _files(self) -> list[Path]:
        return sorted(file for file in self._inner.glob("*.pt") if file.name != TOKENS)

    @property
    def is_available(self) -> bool:
        """True where there are layer files."""
        return bool(self._files)

    @property
    def _token_file(self) -> Path | None:
        places = (self._inner, self.folder, self._inner.parent)
        return next((place / TOKENS for place in places if (place / TOKENS).is_file()), None)

    @cached_property
    def windows(self) -> list[list[str]]:
        """Texts of the tokens of every window."""
        path = self._token_file
        if path is None:
            raise InputError(
                f"{self.folder} has no {TOKENS}, so its windows have no text; it stands beside the layer files or above them"
            )
        found = read_tensors(path)
        if not isinstance(found, list) or not all(isinstance(row, list) for row in found):
            raise InputError(f"{path} holds no list of windows")
        return [[str(token) for token in row] for row in found]

    @property
    def context_count(self) -> int:
        """Number of windows."""
        return len(self.windows)

    @cached_property
    def held(self) -> list[LayerCells]:
        """Layers in order."""
        return _in_order([self._layer(file) for file in self._files], self.folder)

    def _layer(self, file: Path) -> LayerCells:
        found = read_tensors(file)
        if not isinstance(found, dict) or not {"nonzero_activations", "data_indices", "neuron_indices"} <= found.keys():
            raise InputError(f"{file} lacks nonzero_activations, data_indices or neuron_indices")
        values = array(found["nonzero_activations"], file, "nonzero_activations", 2)
        window, unit = (array(found[name], file, name, 1) for name in ("data_indices", "neuron_indices"))
        if not len(values) == len(window) == len(unit):
            raise InputError(f"{file}: {len(values)} rows, {len(window)} data_indices and {len(unit)} neuron_indices")
        if len(window) and not (window.min() >= 0 and window.max() < self.context_count):
            raise InputError(f"{file}: window {window.max()} is none of the {self.context_count} of {TOKENS}")
        order = np.lexsort((unit, window))
        row, position = np.nonzero(values[order])
        count = max(self.units or 0, int(unit.max(initial=-1)) + 1)
        # `/` and `.` of the hook are both spelled `--`.
        layer = layer_of(file.stem.replace("--", "."))
        return LayerCells(layer, count, window[order][row], unit[order][row], position, values[order][row, position])


class DelphiBackend(_Windows):
    """Folder latents/{module}/ with {first}_{last}.safetensors: locations (N, 3), activations (N,), tokens (S, n)."""

    @property
    def _modules(self) -> list[Path]:
        folder = self.folder / "latents"
        return sorted(part for part in folder.iterdir() if part.is_dir()) if folder.is_dir() else []

    @property
    def is_available(self) -> bool:
        """True where there are modules."""
        return bool(self._modules)

    @cached_property
    def model_name(self) -> str | None:
        """Model that a configuration states."""
        stated = [read_json_object(path) for part in self._modules if (path := part / "config.json").is_file()]
        return next((str(facts["model_name"]) for facts in stated if facts.get("model_name")), None)

    @cached_property
    def _read(self) -> tuple[list[LayerCells], NDArray[Any]]:
        layers, tokens = [], None
        for module in self._modules:
            pieces, width = [], self.units or 0
            for file, first, last in _splits(module):
                found = read_tensors(file)
                place, value = _split(found, file)
                pieces.append((place[:, 0], place[:, 1], place[:, 2] + first, value))
                width = max(width, last + 1)
                if tokens is None and "tokens" in found:
                    tokens = array(found["tokens"], file, "tokens", 2)
            joined = [np.concatenate(parts) for parts in zip(*pieces, strict=True)]
            if tokens is not None and len(joined[0]) and joined[0].max() >= len(tokens):
                raise InputError(
                    f"{module} has an activation in sequence {joined[0].max()}; its tokens are of {len(tokens):,}"
                )
            order = np.lexsort((joined[2], joined[1], joined[0]))
            context, position, unit, value = (part[order] for part in joined)
            layers.append(LayerCells(layer_of(module.name), width, context, unit, position, value))
        if tokens is None:
            raise InputError(
                f"{self.folder} holds no tokens of its latents, so its contexts have no text; cache them with tokens"
            )
        return _in_order(layers, self.folder), tokens

    @property
    def held(self) -> list[LayerCells]:
        """Layers in order."""
        return self._read[0]

    @property
    def tokens(self) -> NDArray[Any]:
        """Token ids of every sequence (S, n)."""
        return self._read[1]

    @property
    def context_count(self) -> int:
        """Number of sequences."""
        return len(self.tokens)


def _split(found: Any, file: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return locations (N, 3) and activations (N,) of a split."""
    if not isinstance(found, dict) or not {"locations", "activations"} <= found.keys():
        raise InputError(f"{file} cannot be read as a split of delphi: it lacks locations or activations")
    place, value = (
        array(found["locations"].long(), file, "locations", 2),
        array(found["activations"], file, "activations", 1),
    )
    if place.shape[1] != 3 or len(place) != len(value):
        raise InputError(f"{file}: locations have the shape {place.shape} and activations {value.shape}")
    return place, value


def _splits(module: Path) -> Iterator[tuple[Path, int, int]]:
    """Yield the files of a module with their first and last latent; raises `InputError` where there is none."""
    found = [(file, match) for file in sorted(module.iterdir()) if (match := _SPLIT_FILE.match(file.name))]
    if not found:
        raise InputError(f"{module} holds no splits such as 0_8191.safetensors")
    for file, match in found:
        yield file, int(match[1]), int(match[2])
