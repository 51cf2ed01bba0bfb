"""Check of a store: what its files hold against what it states. A store may come from anybody's script."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from atlas.errors import StageError
from atlas.options import WHOLE
from atlas.stages import DATASETS
from atlas.stages.manifest import read_manifest
from atlas.stages.store.cells import CONTEXTS, UNKNOWN_TOKEN
from atlas.stages.store.merge import CELLS, require_whole
from atlas.stages.store.spaces import ActivationSpace

UNITS = DATASETS["activations.units"]
_ROWS = 1 << 20  # rows that are checked at a time


@dataclass(frozen=True)
class _Stated:
    """Contexts, layers and the rule of looked-at tokens, with which the cells of a store must agree."""

    space: ActivationSpace
    starts: NDArray[np.int64]  # of the tokens of each context, and the end (n + 1,)
    tokens: NDArray[np.int32]
    units: NDArray[np.int64]  # number of units by layer; 0 where there is no such layer
    thresholds: NDArray[np.float64]  # by layer

    @cached_property
    def is_looked_at(self) -> NDArray[np.bool_]:
        """True for the tokens that were looked at, of all contexts in a row."""
        mask = ~np.isin(self.tokens, self.space.skipped_tokens)
        if self.space.skips_first:
            first = self.starts[:-1]
            mask[first[first < self.starts[1:]]] = False
        return mask


def check_store(folder: Path) -> None:
    """Check that contexts, layers and activations of a store agree with each other and with what it states.

    Activations are read in pieces, so memory does not grow with their number.

    Args:
        folder: Folder of the store.

    Raises:
        StageError: A file is missing or damaged, or something does not agree; the message states the first fault.
    """
    require_whole(folder)
    manifest = read_manifest(folder, "activations")
    stated = _stated(folder, ActivationSpace.of(manifest["space"]))
    last: tuple[int, ...] = ()
    for batch in _batches(folder):
        last = _check_cells(folder, batch, stated, last)


def _fault(folder: Path, what: str) -> StageError:
    return StageError(f"{folder} contradicts itself: {what}; collect or import it again")


def _stated(folder: Path, space: ActivationSpace) -> _Stated:
    """Read contexts and layers; raises `StageError` where they contradict each other."""
    contexts = pq.read_table(CONTEXTS.path(folder), columns=["context_id", "token_ids", "content_hash"])
    contexts = contexts.combine_chunks()
    ids, lists = contexts["context_id"].to_numpy(), contexts["token_ids"].combine_chunks()
    if not np.array_equal(ids, np.arange(len(contexts))):
        raise _fault(folder, "context_id does not count from 0 to the last context, in order")
    if lists.null_count or lists.flatten().null_count:
        raise _fault(folder, "a context has no token_ids")
    hashes = contexts["content_hash"]
    if hashes.null_count or len(hashes.unique()) < len(contexts):
        raise _fault(folder, "two contexts have one content_hash, or one has none")
    tokens = lists.flatten().to_numpy().astype(np.int32)
    if (tokens < UNKNOWN_TOKEN).any():
        raise _fault(folder, f"a token id is {tokens.min()}")
    lengths = lists.value_lengths().to_numpy().astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    units = pq.read_table(UNITS.path(folder)).to_pylist()
    layers = [row["layer"] for row in units]
    if len(set(layers)) < len(layers) or any(row["layer"] < 0 or row["unit_count"] < 1 for row in units):
        raise _fault(folder, "units.parquet states a layer twice, or one without units")
    size = max(layers, default=0) + 1
    counts, thresholds = np.zeros(size, np.int64), np.zeros(size)
    counts[layers], thresholds[layers] = [row["unit_count"] for row in units], [row["threshold"] for row in units]
    stated = _Stated(space, starts, tokens, counts, thresholds)
    looked_at = len(contexts) if space.positions == WHOLE else int(stated.is_looked_at.sum())
    for row in units:
        if row["context_count"] != len(contexts) or row["token_count"] not in (None, looked_at):
            raise _fault(
                folder,
                f"units.parquet states {row['token_count']} tokens and {row['context_count']} contexts of layer {row['layer']}; "
                f"there are {looked_at} and {len(contexts)}",
            )
    return stated


def _batches(folder: Path) -> Any:
    for path in sorted(CELLS.path(folder).glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(_ROWS, columns=CELLS.schema.names)


def _check_cells(folder: Path, batch: pa.RecordBatch, stated: _Stated, last: tuple[int, ...]) -> tuple[int, ...]:
    """Check a piece of the activations, whose rows follow the cell `last`, and return its last cell."""
    if not len(batch):
        return last
    if any(column.null_count for column in batch.columns):
        raise _fault(folder, "an activation has a NULL")
    cells = {name: batch[name].to_numpy() for name in batch.schema.names}
    layer, unit, context, position, value = (
        cells[name] for name in ("layer", "unit", "context_id", "position", "value")
    )
    known = (layer >= 0) & (layer < len(stated.units))
    known[known] = stated.units[layer[known]] > 0
    _require(folder, cells, known, "a layer that units.parquet lacks")
    _require(folder, cells, (unit >= 0) & (unit < stated.units[layer]), "a unit behind the last one of its layer")
    _require(folder, cells, (context >= 0) & (context < len(stated.starts) - 1), "a context that is not there")
    _require(folder, cells, np.isfinite(value), "a value that is NaN or infinite")
    _require(
        folder, cells, np.abs(value) > stated.thresholds[layer].astype(np.float32), "a value at most the threshold"
    )
    if stated.space.positions == WHOLE:
        _require(folder, cells, position == -1, "a position, where a unit has one value per context")
    else:
        inside = (position >= 0) & (position < np.diff(stated.starts)[context])
        _require(folder, cells, inside, "a position outside of its context")
        seen = stated.is_looked_at[stated.starts[context] + position]
        _require(folder, cells, seen, "a token that was not looked at")
    return _require_order(folder, cells, last)


def _require(folder: Path, cells: dict[str, NDArray[Any]], holds: NDArray[np.bool_], what: str) -> None:
    if not holds.all():
        row = int(np.argmin(holds))
        shown = ", ".join(f"{name} {values[row]}" for name, values in cells.items())
        raise _fault(folder, f"an activation has {what} ({shown})")


def _require_order(folder: Path, cells: dict[str, NDArray[Any]], last: tuple[int, ...]) -> tuple[int, ...]:
    """Raise `StageError` unless cells ascend by layer, unit, context and position; return the last one."""
    keys = [cells[name] for name in ("layer", "unit", "context_id", "position")]
    rises = np.zeros(len(keys[0]) - 1, np.bool_)
    for key in reversed(keys):
        rises = (key[1:] > key[:-1]) | ((key[1:] == key[:-1]) & rises)
    if not rises.all() or (last and not tuple(int(key[0]) for key in keys) > last):
        raise _fault(
            folder, "its activations are not sorted by layer, unit, context and position, or one is there twice"
        )
    return tuple(int(key[-1]) for key in keys)
