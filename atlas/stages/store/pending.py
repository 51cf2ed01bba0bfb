"""Activations and vectors of a store that are not written yet."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.errors import InputError, UsageError
from atlas.graph import Ints
from atlas.ids import INDEX_BITS, MAX_INDEX, MAX_LAYER
from atlas.io.work_dir import LocalStore
from atlas.stages import DATASETS

VECTORS = DATASETS["activations.vectors"]
_KINDS = {"unit": np.uint32, "context_id": np.int32, "position": np.int32, "value": np.float32}
_BYTES = 3 * 16  # of a kept activation: its columns, joined, and sorted


class Pending:
    """Kept activations and vectors, in pieces, until they are flushed."""

    def __init__(self) -> None:
        self._cells: list[dict[str, NDArray[Any]]] = []
        self._vectors: list[pa.Table] = []
        self.nbytes = 0  # that a flush takes

    def keep_cells(
        self, layer: Any, unit: NDArray[Any], context: Ints, position: NDArray[Any], value: NDArray[Any]
    ) -> None:
        """Hold kept activations (n,) of one batch; `layer` is an array or one number.

        Contexts must ascend from batch to batch: within a unit, cells stay in the order in which they were given.
        """
        if len(context) > 1:
            place = (context.astype(np.int64) << 32) + position
            if (np.diff(place) < 0).any():
                order = np.argsort(place, kind="stable")
                layer = np.broadcast_to(layer, len(context))[order]
                unit, context, position, value = unit[order], context[order], position[order], value[order]
        packed = np.asarray(layer).astype(np.int64) << INDEX_BITS | unit
        given = {"unit": packed, "context_id": context, "position": position, "value": value}
        self._cells.append({name: given[name].astype(kind) for name, kind in _KINDS.items()})
        self.nbytes += len(value) * _BYTES

    def keep_vectors(self, layer: int, values: NDArray[np.float32], context: Ints, position: NDArray[Any]) -> None:
        """Hold vectors (n, d)."""
        columns = {"layer": np.full(len(values), layer, np.int32), "context_id": context.astype(np.int32)}
        columns["position"] = position.astype(np.int32)
        offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
        vector = pa.ListArray.from_arrays(offsets, pa.array(values.ravel()))
        self._vectors.append(VECTORS.table({**columns, "vector": vector}))
        self.nbytes += 3 * values.nbytes

    def cells(self) -> dict[str, NDArray[Any]]:
        """Return all kept activations, sorted by unit, context and position."""
        empty = {name: np.zeros(0, kind) for name, kind in _KINDS.items()}
        joined = {name: np.concatenate([empty[name], *(piece[name] for piece in self._cells)]) for name in _KINDS}
        order = order_by_unit(joined["unit"])
        return {name: values[order] for name, values in joined.items()}

    def vectors(self) -> pa.Table | None:
        """Return all vectors, sorted by layer, context and position; None where there are none."""
        if not self._vectors:
            return None
        return pa.concat_tables(self._vectors).sort_by([(name, "ascending") for name in VECTORS.schema.names[:3]])


def finite(layer: int, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors (n, d); raises `InputError` for NaN and infinity."""
    if not np.isfinite(values).all():
        raise InputError(f"layer {layer} has a vector with NaN or infinity")
    return values


def check_layers(layers: Mapping[int, int], thresholds: Mapping[int, float]) -> None:
    """Raise `UsageError` for layers, numbers of units or thresholds that a store cannot hold."""
    for layer, count in layers.items():
        if not 0 <= layer <= MAX_LAYER or not 1 <= count <= MAX_INDEX + 1:
            raise UsageError(
                f"layer {layer} of {count} units cannot be stored; layers go from 0 to {MAX_LAYER}, units to {MAX_INDEX + 1}"
            )
        if not 0 <= thresholds[layer] < np.inf:
            raise UsageError(f"the threshold of layer {layer} is {thresholds[layer]}; it must be 0 or more")


def order_by_unit(unit: NDArray[np.uint32]) -> Ints:
    """Return the stable order of packed units; numpy sorts 16 bits at a time in linear time."""
    low = np.argsort(unit.astype(np.uint16), kind="stable")
    high = (unit >> 16).astype(np.uint16)
    found: Ints = low[np.argsort(high[low], kind="stable")] if high.any() else low
    return found


def check_cells(
    context: NDArray[Any],
    layer: NDArray[Any],
    unit: NDArray[Any],
    position: NDArray[Any],
    value: NDArray[Any],
    lengths: Ints,
    layers: Mapping[int, int],
) -> None:
    """Raise `InputError` for a cell outside of its context or of the units of its layer, or of no finite value.

    `lengths` (n_contexts,) are numbers of tokens, `layers` numbers of units by layer.
    """
    units = np.zeros(max(layers, default=0) + 1, np.int64)
    units[list(layers)] = list(layers.values())
    if len(context) and not (context.min() >= 0 and context.max() < len(lengths)):
        raise InputError(f"a cell is in context {context.max()}; there are {len(lengths)}")
    if not set(np.unique(layer).tolist()) <= layers.keys():
        raise InputError(
            f"a cell is in layer {sorted(set(np.unique(layer).tolist()) - layers.keys())[0]}; there are {sorted(layers)}"
        )
    for name, given, most in (("unit", unit, units[layer]), ("position", position, lengths[context])):
        wrong = np.flatnonzero((given < 0) | (given >= most))
        if len(wrong):
            row = int(wrong[0])
            raise InputError(f"a cell has {name} {given[row]} of layer {layer[row]}; it must be below {most[row]}")
    if not np.isfinite(value).all():
        raise InputError("an activation is NaN or infinite")


def place_vectors(folder: Path, earlier: Path | None, store: LocalStore, names: Sequence[str]) -> None:
    """Copy the vectors of an earlier store into a new one, and move those of its tasks behind them.

    Args:
        folder: Folder of the new store.
        earlier: Folder of the earlier store, if there is one.
        store: Work folder of the tasks.
        names: Names of the tasks, in order.
    """
    parts = sorted(VECTORS.path(earlier).glob("*.parquet")) if earlier else []
    there = set(store.names())
    mine = [f"{name}.parquet" for name in names if f"{name}.parquet" in there]
    if parts or mine:
        VECTORS.path(folder).mkdir()
    for number, path in enumerate(parts):
        shutil.copyfile(path, VECTORS.path(folder) / f"part-{number:05d}.parquet")
    for number, name in enumerate(mine, len(parts)):
        store.fetch(name, VECTORS.path(folder) / f"part-{number:05d}.parquet")
