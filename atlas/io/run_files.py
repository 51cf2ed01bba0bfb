"""Spill files: sorted runs of columns, with random access to rows.

A file holds arrays one after the other, then a JSON directory, its length and a magic word. A run is a group of arrays
of one length. The first array is the key, in ascending order. Every `STEP`-th key is also in the run's `index`, so
that a range of keys is found with one small read.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.errors import StageError
from atlas.io.work_dir import Store

STEP = 1024
_MAGIC = b"ATLASRUN"
_TAIL = struct.Struct("<Q8s")
Array = NDArray[Any]
INDEX = "index"


@dataclass
class RunWriter:
    """Writer of the runs of one file."""

    _buffers: list[Any] = field(default_factory=list)
    _directory: dict[str, dict[str, Any]] = field(default_factory=dict)
    _offset: int = 0

    def add(self, name: str, columns: Mapping[str, Array]) -> None:
        """Add a run. Its first column is the sorted key."""
        arrays = {column: np.ascontiguousarray(values) for column, values in columns.items()}
        key = next(iter(arrays.values()))
        entry: dict[str, Any] = {"rows": len(key), "columns": {}}
        for column, values in {**arrays, INDEX: key[::STEP]}.items():
            entry["columns"][column] = [values.dtype.str, self._offset, len(values)]
            self._buffers.append(np.ascontiguousarray(values))
            self._offset += values.nbytes
        self._directory[name] = entry

    def add_blob(self, name: str, data: bytes | memoryview) -> None:
        """Add bytes under a name."""
        view = memoryview(data).cast("B")
        self._directory[name] = {"rows": 0, "columns": {"blob": ["|u1", self._offset, len(view)]}}
        self._buffers.append(view)
        self._offset += len(view)

    def write(self, store: Store, name: str, *, lasting: bool = True) -> None:
        """Write the file."""
        directory = json.dumps(self._directory).encode()
        tail = _TAIL.pack(len(directory), _MAGIC)
        store.put(name, [*(buffer for buffer in self._buffers if len(buffer)), directory, tail], lasting=lasting)


class RunFile:
    """One spill file, opened for reading."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name
        size = store.size(name)
        try:
            with store.reader(name) as read:
                tail = bytearray(_TAIL.size)
                read(size - _TAIL.size, memoryview(tail))
                length, magic = _TAIL.unpack(tail)
                if magic != _MAGIC:
                    raise ValueError("no spill file")
                directory = bytearray(length)
                read(size - _TAIL.size - length, memoryview(directory))
            self._directory: dict[str, dict[str, Any]] = json.loads(directory)
        except (OSError, ValueError, EOFError, struct.error) as error:
            raise StageError(f"{name} in {store.url} is damaged ({error}); run again with --fresh") from error

    def names(self, prefix: str = "") -> list[str]:
        """Return the names of the runs that start with `prefix`, in the order of writing."""
        return [name for name in self._directory if name.startswith(prefix)]

    def rows(self, name: str) -> int:
        """Return the number of rows of a run."""
        return int(self._directory[name]["rows"])

    def column(self, name: str, column: str) -> Array:
        """Read a whole column of a run."""
        return self.columns(name, [column])[column]

    def columns(self, name: str, columns: list[str], start: int = 0, stop: int | None = None) -> dict[str, Array]:
        """Read the rows `start` to `stop` of some columns of a run."""
        with self.store.reader(self.name) as read:
            return self._columns(read, name, columns, start, stop)

    def _columns(
        self, read: Callable[[int, memoryview], None], name: str, columns: list[str], start: int, stop: int | None
    ) -> dict[str, Array]:
        found = {}
        for column in columns:
            kind, offset, length = self._directory[name]["columns"][column]
            dtype = np.dtype(kind)
            last = length if stop is None else stop
            values = np.empty(max(last - start, 0), dtype)
            if len(values):
                read(offset + start * dtype.itemsize, memoryview(values.data).cast("B"))
            found[column] = values
        return found

    def blob(self, name: str) -> bytes:
        """Read the bytes that were added under a name."""
        return self.column(name, "blob").tobytes()

    def between(self, name: str, index: Array, low: int, high: int) -> dict[str, Array]:
        """Read the rows of a run with a key in [low, high); `index` is the run's column `index`."""
        entry = self._directory[name]
        first, *others = (column for column in entry["columns"] if column != INDEX)
        # Rows before the first index key that is not below `low` may already be in the range.
        start = max(int(np.searchsorted(index, low, "left")) - 1, 0) * STEP
        stop = min(int(np.searchsorted(index, high, "left")) * STEP, entry["rows"])
        if stop <= start:
            return {column: np.zeros(0, np.dtype(entry["columns"][column][0])) for column in (first, *others)}
        with self.store.reader(self.name) as read:
            key = self._columns(read, name, [first], start, stop)[first]
            low_row, high_row = np.searchsorted(key, [low, high], "left").tolist()
            found = {first: key[low_row:high_row]}
            return found | self._columns(read, name, others, start + low_row, start + high_row)

    def __iter__(self) -> Iterator[str]:
        return iter(self._directory)
