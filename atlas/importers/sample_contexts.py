"""Contexts of imported activations: windows, samples with their tokens, and the rows of a folder that this package exported."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from atlas.errors import InputError
from atlas.options import WHOLE
from atlas.stages.store.backends import ActivationBackend, BatchZarrBackend, CellBatch
from atlas.stages.store.cells import Context, contexts_of
from atlas.stages.store.collector import VOCABULARY
from atlas.stages.store.spaces import ActivationSpace

Given = tuple[list[Context], dict[str, NDArray[Any]]]
_TOKEN_COLUMNS = ("ability_tokens", "ability_input_tokens")
FACTS = "export.json"  # of a folder that this package exported
_NAMES = ("layer", "context", "position", "unit", "value")


def _none() -> dict[str, NDArray[Any]]:
    return {name: np.zeros(0, np.int64) for name in _NAMES}


@dataclass
class Contexts:
    """Contexts in the order of a back end.

    `rows` (n_rows, 2) are the context and the position of every row of an array that this package exported; without it, a row is a
    context.
    """

    contexts: list[Context]
    vocabulary: pa.Table
    model: str | None
    is_whole: bool = False
    repairs: list[str] = field(default_factory=list)
    rows: NDArray[np.int64] | None = None
    space: ActivationSpace | None = None  # of an export of this package, with
    layers: dict[int, tuple[int, float]] | None = None  # its units and thresholds by layer
    given: int = 0  # contexts that were handed out
    _carried: dict[str, NDArray[Any]] = field(default_factory=_none)

    def placed(self, batch: CellBatch) -> Given:
        """Return the contexts of a batch, and its cells in them.

        Args:
            batch: Next activations of the back end.

        Returns:
            Contexts that were not handed out yet, and columns for `Collector.add_cells`.
        """
        columns: dict[str, NDArray[Any]] = {name: getattr(batch, name) for name in _NAMES}
        last = batch.last
        if self.rows is not None:
            columns["context"], columns["position"] = self.rows[batch.context].T
            # The last context may go on in the next batch.
            last = int(self.rows[batch.last, 0]) if batch.last < len(self.rows) else len(self.contexts)
            columns = {name: np.concatenate([self._carried[name], values]) for name, values in columns.items()}
            waiting = columns["context"] >= last
            self._carried = {name: values[waiting] for name, values in columns.items()}
            columns = {name: values[~waiting] for name, values in columns.items()}
        elif self.is_whole:
            columns["position"] = np.zeros(len(batch.unit), np.int64)
        first, self.given = self.given, last
        columns["context"] = columns["context"] - first
        return self.contexts[first:last], columns

    def rest(self) -> Given:
        """Return the contexts behind the last row, without cells."""
        first, self.given = self.given, len(self.contexts)
        return self.contexts[first:], _none()


def exported(path: Path) -> Contexts:
    """Return the contexts of a folder that this package exported.

    Args:
        path: Folder with contexts.parquet, vocabulary.parquet and rows.parquet.

    Returns:
        The contexts, and the place of every row.

    Raises:
        InputError: A file is missing or damaged.
    """
    try:
        contexts = contexts_of(pq.read_table(path / "contexts.parquet"))
        words = pq.read_table(path / "vocabulary.parquet").select(VOCABULARY.schema.names).cast(VOCABULARY.schema)
        facts = json.loads((path / FACTS).read_text(encoding="utf-8"))
        space = ActivationSpace.of(facts["space"])
        layers = {int(layer): (int(count), float(threshold)) for layer, (count, threshold) in facts["layers"].items()}
        rows = None
        if (path / "rows.parquet").is_file() and space.positions != WHOLE:
            places = pq.read_table(path / "rows.parquet", columns=["context_id", "position"])
            rows = np.stack([places[name].to_numpy().astype(np.int64) for name in ("context_id", "position")], 1)
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} lacks a file of its export, or holds a damaged one: {error}") from error
    return Contexts(contexts, words, space.model, space.positions == WHOLE, rows=rows, space=space, layers=layers)


def of_samples(path: Path, backend: ActivationBackend) -> Contexts:
    """Return the contexts of samples that are sets of tokens, from the metadata beside the arrays.

    Args:
        path: Folder of the back end.
        backend: Back end of one value per sample.

    Returns:
        One context per sample; without tokens where there are no metadata.

    Raises:
        InputError: The metadata are damaged, or are of another number of samples.
    """
    found = _metadata(path, backend)
    if found is None:
        identity = content_identity(sorted(file for file in path.rglob("*") if file.is_file()))
        count = backend.context_count
        contexts = [Context((), f"sample {number}", identity=f"{identity} {number}") for number in range(count)]
        return Contexts(
            contexts, VOCABULARY.empty(), None, is_whole=True, repairs=["the files hold no tokens of the samples"]
        )
    rows, repairs = found
    if len(rows) != backend.context_count:
        raise InputError(
            f"{path}: the metadata are of {len(rows):,} samples, the activations of {backend.context_count:,}"
        )
    contexts = [_sample(number, row) for number, row in enumerate(rows)]
    return Contexts(contexts, VOCABULARY.empty(), None, is_whole=True, repairs=repairs)


def content_identity(files: Sequence[Path]) -> str:
    """Return a hash of files by their names, sizes and first 64 KiB, which tells contexts without a text apart.

    Args:
        files: The files, in order.

    Returns:
        The hash.
    """
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        with file.open("rb") as stream:
            digest.update(f"{file.name}\0{file.stat().st_size}\0".encode("utf-8", "replace") + stream.read(1 << 16))
    return digest.hexdigest()


def _sample(number: int, row: dict[str, Any]) -> Context:
    tokens = next((row[name] for name in _TOKEN_COLUMNS if row.get(name) is not None), ())
    left_out = {*_TOKEN_COLUMNS, "batch_id", "sample_id", "global_index"}
    facts = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in row.items()
        if name not in left_out and value not in (None, "") and not isinstance(value, list | dict)
    }
    return Context(
        tuple(int(token) for token in tokens), f"sample {number}", 0, attributes=tuple(sorted(facts.items()))
    )


def _metadata(path: Path, backend: ActivationBackend) -> tuple[list[dict[str, Any]], list[str]] | None:
    """Return the rows of the metadata of all samples, and what was repaired; None where there are none."""
    places = (path, path.parent, path.parent / "activations_efficient")
    folder = next((place / "metadata" for place in places if (place / "metadata").is_dir()), None)
    records = next(
        (file for place in (path, path / "neuron_acts") if (file := place / "analysis_df_records.ipc").is_file()), None
    )
    try:
        if folder is not None:
            tables = [
                pq.read_table(file).to_pylist() for file in sorted(folder.glob("batch_*.parquet"), key=_batch_number)
            ]
            sizes = backend.sizes if isinstance(backend, BatchZarrBackend) else [len(rows) for rows in tables]
            if [len(rows) for rows in tables] != sizes:
                raise InputError(f"{folder}: batches have {[len(rows) for rows in tables]} rows, the arrays {sizes}")
            joined = [row for rows in tables for row in rows]
            return joined, _index_repairs(joined)
        if records is not None:
            with pa.ipc.open_file(pa.memory_map(str(records))) as reader:
                return reader.read_all().to_pylist(), []
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{folder or records} cannot be read: {error}") from error
    return None


def _batch_number(file: Path) -> int:
    number = file.stem.rpartition("_")[2]
    if not number.isdecimal():
        raise InputError(f"{file} is not called by the number of its batch, such as batch_0000.parquet")
    return int(number)


def _index_repairs(rows: list[dict[str, Any]]) -> list[str]:
    """Say where the stored number of a sample is not its place; the place is used."""
    stated = [row.get("global_index") for row in rows]
    wrong = sum(index is not None and index != place for place, index in enumerate(stated))
    twice = len(stated) - len(set(stated)) if None not in stated else 0
    if not wrong:
        return []
    return [
        f"global_index is not the place of {wrong:,} samples, and {twice:,} of them occur twice: samples were numbered in order"
    ]
