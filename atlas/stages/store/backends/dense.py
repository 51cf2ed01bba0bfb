"""Back ends of arrays of one value per sample: batches and a transposed array of Zarr (v2 and v3), and .npy files.

They hold one layer, which they do not name; it is 0 unless it is given.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.errors import InputError, needs_extra
from atlas.io.files import read_json_object
from atlas.stages.store.backends.protocol import CellBatch, Cells, batch_of, empty_cells

_BATCH = re.compile(r"batch_(\d+)\.zarr\Z")
_NEURON = re.compile(r"neuron_(\d+)\Z")
TRANSPOSED = "transposed_activations.zarr"


def open_zarr(path: Path) -> Any:
    """Open a two-dimensional Zarr array of numbers.

    Args:
        path: Folder of the array.

    Returns:
        The array; slices of it are read.

    Raises:
        InputError: It is no such array.
        MissingExtra: zarr is not installed.
    """
    with needs_extra("formats"):
        import zarr
    try:
        found = zarr.open_array(str(path), mode="r")
        is_fit = found.ndim == 2 and np.issubdtype(found.dtype, np.floating)
    except Exception as error:  # a damaged array may raise anything in the library
        raise InputError(f"{path} cannot be read as a Zarr array: {' '.join(str(error).split())[:200]}") from error
    if not is_fit:
        raise InputError(
            f"{path} is an array of {found.ndim} dimensions and type {found.dtype}, not a matrix of numbers"
        )
    return found


def _read(array: Any, path: Path, *index: Any) -> NDArray[np.float32]:
    try:
        return np.asarray(array[index]).astype(np.float32)
    except Exception as error:  # a missing or damaged chunk
        raise InputError(f"{path} is damaged: {' '.join(str(error).split())[:200]}") from error


def _whole(context: NDArray[Any], value: NDArray[Any]) -> Cells:
    kept = value != 0
    context = context[kept].astype(np.int64)
    return Cells(context, np.full(len(context), -1, np.int32), value[kept].astype(np.float32))


class OneLayer(ABC):
    """Units of one layer; `load` reads one of them."""

    def __init__(self, folder: Path, layer: int = 0) -> None:
        self.folder = Path(folder)
        self.layer = layer

    @property
    @abstractmethod
    def features(self) -> int:
        """Number of units."""

    @property
    def layers(self) -> Mapping[int, int]:
        """Number of units of the layer."""
        return {self.layer: self.features}

    def load(self, unit: tuple[int, int]) -> Cells | None:
        """Return all activations of a unit; None where there is no such unit.

        Args:
            unit: Layer and number.

        Returns:
            Its activations; None where there is no such unit.
        """
        layer, number = unit
        if layer != self.layer or not 0 <= number < self.features:
            return None
        return self._values(number)

    @abstractmethod
    def _values(self, number: int) -> Cells | None:
        """Return the activations of a unit below `features`."""


class BatchZarrBackend(OneLayer):
    """Folder activations/ with batch_0000.zarr, batch_0001.zarr, ... of (samples, features)."""

    @cached_property
    def _batches(self) -> list[tuple[Path, Any]]:
        folder = self.folder / "activations" if (self.folder / "activations").is_dir() else self.folder
        found = {int(match[1]): path for path in folder.glob("batch_*") if (match := _BATCH.match(path.name))}
        if sorted(found) != list(range(len(found))):
            missing = next(number for number in range(len(found)) if number not in found)
            raise InputError(f"{folder} lacks batch {missing}, so samples behind it have no number")
        batches = [(found[number], open_zarr(found[number])) for number in sorted(found)]
        widths = {array.shape[1] for _, array in batches}
        if len(widths) > 1:
            raise InputError(f"{folder}: batches have {sorted(widths)} features; all have the same number")
        return batches

    @property
    def is_available(self) -> bool:
        """True where there is a batch."""
        return bool(self._batches)

    @property
    def features(self) -> int:
        """Number of units."""
        return int(self._batches[0][1].shape[1])

    @property
    def sizes(self) -> list[int]:
        """Number of samples of every batch."""
        return [int(array.shape[0]) for _, array in self._batches]

    @property
    def context_count(self) -> int:
        """Number of samples."""
        return sum(self.sizes)

    def _values(self, number: int) -> Cells:
        value = np.concatenate([_read(array, path, slice(None), number) for path, array in self._batches])
        return _whole(np.arange(len(value)), value)

    def batches(self, size: int) -> Iterator[CellBatch]:
        """Yield all activations by samples; a batch does not go over the end of an array.

        Args:
            size: Number of contexts of a batch.

        Yields:
            The next batch.
        """
        start = 0
        for path, array in self._batches:
            for first in range(0, array.shape[0], size):
                last = min(first + size, array.shape[0])
                values = _read(array, path, slice(first, last))
                yield _dense_batch(values, start + first, self.layer)
            start += array.shape[0]


def _dense_batch(values: NDArray[np.float32], first: int, layer: int) -> CellBatch:
    row, unit = np.nonzero(values)
    columns: dict[str, NDArray[Any]] = {"context": row + first, "unit": unit, "value": values[row, unit]}
    columns |= {"position": np.full(len(row), -1), "layer": np.full(len(row), layer)}
    return batch_of(first, first + len(values), columns)


class TransposedZarrBackend(OneLayer):
    """One Zarr array (features, samples), in which a unit is a row."""

    @property
    def _path(self) -> Path:
        return self.folder if self.folder.name == TRANSPOSED else self.folder / TRANSPOSED

    @cached_property
    def _array(self) -> Any:
        return open_zarr(self._path)

    @property
    def is_available(self) -> bool:
        """True where the array is there."""
        return self._path.is_dir()

    @property
    def features(self) -> int:
        """Number of units."""
        return int(self._array.shape[0])

    @property
    def context_count(self) -> int:
        """Number of samples."""
        return int(self._array.shape[1])

    def _values(self, number: int) -> Cells:
        value = _read(self._array, self._path, number)
        return _whole(np.arange(len(value)), value)

    def batches(self, size: int) -> Iterator[CellBatch]:
        """Yield all activations by samples.

        Args:
            size: Number of contexts of a batch.

        Yields:
            The next batch.
        """
        for first in range(0, self.context_count, size):
            values = _read(self._array, self._path, slice(None), slice(first, min(first + size, self.context_count)))
            yield _dense_batch(values.T, first, self.layer)


class NpyBackend(OneLayer):
    """Folders neuron_0000/ with acts.npy and idxs.npy. Silent units have empty files; a unit without a folder is not known."""

    @property
    def _base(self) -> Path:
        inner = self.folder / "neuron_acts"
        return inner if inner.is_dir() else self.folder

    @cached_property
    def _folders(self) -> dict[int, Path]:
        found = self._base.glob("neuron_*") if self._base.is_dir() else []
        return {int(match[1]): path for path in sorted(found) if (match := _NEURON.match(path.name))}

    @property
    def is_available(self) -> bool:
        """True where there is a unit."""
        return bool(self._folders)

    @property
    def features(self) -> int:
        """Number of units: one more than the largest number."""
        return max(self._folders) + 1

    @cached_property
    def _stated(self) -> int | None:
        """Number of samples that metadata.json states."""
        place = next((path for path in (self._base, self.folder) if (path / "metadata.json").is_file()), None)
        facts = read_json_object(place / "metadata.json") if place is not None else {}
        counts = [facts.get("num_regular"), facts.get("num_null")]
        if not isinstance(counts[0], int):
            return None
        return counts[0] + (counts[1] if isinstance(counts[1], int) else 0)

    @cached_property
    def context_count(self) -> int:
        """Number of samples that metadata.json states, or one more than the largest sample of any unit."""
        if self._stated is not None:
            return self._stated
        held = (cells for cells in map(self._values, self._folders) if cells is not None and len(cells.context))
        return max((int(cells.context[-1]) + 1 for cells in held), default=0)

    @property
    def unknown_units(self) -> list[int]:
        """Units below the largest number that have no folder: it is not known whether they are ever active."""
        return sorted(set(range(self.features)) - self._folders.keys())

    def _values(self, number: int) -> Cells | None:
        if number not in self._folders:
            return None
        value, context = (_npy(self._folders[number] / name) for name in ("acts.npy", "idxs.npy"))
        if value.shape != context.shape or value.ndim != 1:
            raise InputError(f"{self._folders[number]}: acts.npy has the shape {value.shape}, idxs.npy {context.shape}")
        if len(context) and context.min() < 0:
            raise InputError(f"{self._folders[number]}: idxs.npy holds the sample {context.min()}")
        if self._stated is not None and len(context) and context.max() >= self._stated:
            raise InputError(
                f"{self._folders[number]}: idxs.npy holds the sample {context.max()}, and metadata.json states {self._stated:,} samples"
            )
        order = np.argsort(context, kind="stable")
        if len(order) and (np.diff(context[order]) == 0).any():
            raise InputError(f"{self._folders[number]}: idxs.npy holds a sample twice")
        return _whole(context[order], value[order]) if len(order) else empty_cells()

    def batches(self, size: int) -> Iterator[CellBatch]:
        """Yield all activations by samples; every unit is read once, and held.

        Args:
            size: Number of contexts of a batch.

        Yields:
            The next batch.
        """
        found = {number: self._values(number) for number in self._folders}
        units = np.concatenate(
            [np.full(len(c.value), number) for number, c in found.items() if c] or [np.zeros(0, int)]
        )
        context, value = (
            np.concatenate([getattr(cells, name) for cells in found.values() if cells] or [np.zeros(0, np.int64)])
            for name in ("context", "value")
        )
        order = np.argsort(context, kind="stable")
        context, units, value = context[order], units[order], value[order]
        for first in range(0, self.context_count, size):
            last = min(first + size, self.context_count)
            low, high = np.searchsorted(context, [first, last]).tolist()
            columns = {"context": context[low:high], "unit": units[low:high], "value": value[low:high]}
            columns |= {"position": np.full(high - low, -1), "layer": np.full(high - low, self.layer)}
            yield batch_of(first, last, columns)


def _npy(path: Path) -> NDArray[Any]:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path} cannot be read as an array of numbers: {' '.join(str(error).split())[:200]}"
        ) from error
