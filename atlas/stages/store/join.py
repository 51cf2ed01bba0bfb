"""Merge of stores: more contexts of the same units, or more layers on the same contexts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from atlas.errors import SpaceMismatch, UsageError
from atlas.io.files import write_parquet
from atlas.options import MEMORY, WHOLE
from atlas.stages import DATASETS
from atlas.stages.manifest import read_manifest, replaced_folder, write_manifest
from atlas.stages.store.cells import CONTEXTS, StoreSummary, contexts_of, looked_at_cells
from atlas.stages.store.check import check_store
from atlas.stages.store.merge import Columns, Source, merge_activations, store_source
from atlas.stages.store.spaces import ActivationSpace

Progress = Callable[[str, int, int], None]
UNITS, VOCABULARY, VECTORS, STATED = (
    DATASETS[f"activations.{name}"] for name in ("units", "vocabulary", "vectors", "stated_stats")
)


@dataclass(frozen=True)
class _Store:
    """A store to be merged, and the numbers of its contexts in the result; -1 where an earlier store holds the context."""

    folder: Path
    numbers: NDArray[np.int64]


def merge_stores(
    folders: Sequence[Path], out: Path, *, memory: int = MEMORY, progress: Progress = lambda *_: None
) -> StoreSummary:
    """Merge stores into one.

    Stores of the same layers add their contexts: a context that several hold is counted once, with the activations of the first.
    Stores of different layers must hold the same contexts.

    Args:
        folders: Folders of the stores.
        out: Folder of the result, which is replaced.
        memory: Bytes that sorting may take.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of the result.

    Raises:
        OutputError: `out` holds something else.
        SpaceMismatch: Two stores are of different models, dictionaries or rules.
        StageError: A folder is no whole store, or contradicts itself.
        UsageError: Layers, thresholds and contexts do not fit together.
    """
    if len(folders) < 2:
        raise UsageError("two stores or more are merged")
    if out.resolve() in {folder.resolve() for folder in folders}:
        raise UsageError(f"{out} is one of the stores to be merged, and would be replaced; choose another -o")
    space = _common_space(folders)
    contexts, stores = _numbered(folders)
    units, joins_layers = _units(folders, stores)
    with replaced_folder(out, "activations") as folder:
        write_parquet(contexts, CONTEXTS.path(folder))
        write_parquet(_vocabulary(folders), VOCABULARY.path(folder))
        looked_at = _looked_at(contexts, space)
        table = [
            row | {"token_count": None if space.sampled else looked_at, "context_count": len(contexts)} for row in units
        ]
        write_parquet(pa.Table.from_pylist(table, schema=UNITS.schema), UNITS.path(folder))
        sources = [_source(store, drops=not joins_layers) for store in stores]
        count = merge_activations(folder, sources, memory // 2, progress)
        _write_vectors(folder, stores)
        _write_stated(folder, folders)
        counts = {"contexts": len(contexts), "tokens": looked_at, "activations": count}
        write_manifest(
            folder, "activations", space=space.as_dict(), counts=counts, merged_from=[path.name for path in folders]
        )
    return StoreSummary(len(contexts), looked_at, count, len(contexts), 0)


def _common_space(folders: Sequence[Path]) -> ActivationSpace:
    spaces = []
    for folder in folders:
        check_store(folder)
        spaces.append(ActivationSpace.of(read_manifest(folder, "activations")["space"]))
    for folder, space in zip(folders[1:], spaces[1:], strict=True):
        try:
            spaces[0].require(space, folder)
        except SpaceMismatch as error:
            raise SpaceMismatch(str(error).partition(";")[0] + f"; {folders[0]} is the first") from error
    return spaces[0]


def _numbered(folders: Sequence[Path]) -> tuple[pa.Table, list[_Store]]:
    """Return the contexts of all stores, each once, and their numbers by store."""
    known: dict[str, int] = {}
    tables, stores = [], []
    for folder in folders:
        table = pq.read_table(CONTEXTS.path(folder))
        hashes = table["content_hash"].to_pylist()
        is_new = np.array([content not in known for content in hashes], np.bool_)
        for content in hashes:
            known.setdefault(content, len(known))
        numbers = np.array([known[content] for content in hashes], np.int64)
        tables.append(table.filter(pa.array(is_new)))
        stores.append(_Store(folder, np.where(is_new, numbers, -1 - numbers)))
    joined = pa.concat_tables(tables).cast(CONTEXTS.schema).combine_chunks()
    place = CONTEXTS.schema.get_field_index("context_id")
    return joined.set_column(
        place, CONTEXTS.schema.field(place), pa.array(np.arange(len(joined), dtype=np.int32))
    ), stores


def _units(folders: Sequence[Path], stores: Sequence[_Store]) -> tuple[list[dict[str, Any]], bool]:
    """Return the layers of all stores, and whether they are different ones; raises `UsageError` where they do not fit."""
    tables = [pq.read_table(UNITS.path(folder)).to_pylist() for folder in folders]
    kept = [{row["layer"]: (row["unit_count"], row["threshold"]) for row in rows} for rows in tables]
    if all(layers == kept[0] for layers in kept):
        return tables[0], False
    numbers = [layer for layers in kept for layer in layers]
    if len(set(numbers)) < len(numbers):
        raise UsageError(
            f"{folders[0]} and the others hold other units or thresholds of one layer; collect them with the same --threshold"
        )
    if len({len(store.numbers) for store in stores}) > 1 or any((store.numbers >= 0).any() for store in stores[1:]):
        raise UsageError("stores of different layers must hold the same contexts; collect them from the same text")
    return sorted((row for rows in tables for row in rows), key=lambda row: row["layer"]), True


def _source(store: _Store, *, drops: bool) -> Source:
    """Return the activations of a store with the new numbers of contexts; those of known contexts are left out if `drops`."""
    found = store_source(store.folder)

    def read(low: int, high: int) -> Iterator[Columns]:
        for piece in found.read(low, high):
            number = store.numbers[piece["context_id"]]
            kept = number >= 0 if drops else np.ones(len(number), np.bool_)
            mine = {name: values[kept] for name, values in piece.items()}
            mine["context_id"] = _number(number[kept]).astype(np.int32)
            order = np.lexsort((mine["position"], mine["context_id"], mine["unit"]))
            yield {name: values[order] for name, values in mine.items()}

    return Source(found.units, found.counts, read)


def _number(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of contexts, also of those that an earlier store holds."""
    return np.where(numbers >= 0, numbers, -1 - numbers)


def _looked_at(contexts: pa.Table, space: ActivationSpace) -> int:
    """Return the number of cells that were looked at."""
    if space.positions == WHOLE:
        return len(contexts)
    rule = (space.skips_first, space.skipped_tokens)
    return sum(
        int(looked_at_cells([context], skips_first=rule[0], skipped_tokens=rule[1]).sum())
        for context in contexts_of(contexts)
    )


def _vocabulary(folders: Sequence[Path]) -> pa.Table:
    """Return the tokens of all stores; raises `SpaceMismatch` where a token has two texts."""
    found: dict[int, dict[str, Any]] = {}
    for folder in folders:
        for row in pq.read_table(VOCABULARY.path(folder)).to_pylist():
            other = found.setdefault(row["token_id"], row)
            if other["token"] != row["token"]:
                raise SpaceMismatch(
                    f"token {row['token_id']} is {row['token']!r} in {folder} and {other['token']!r} in another store: "
                    "their numbers are of different vocabularies"
                )
    return pa.Table.from_pylist([found[token] for token in sorted(found)], schema=VOCABULARY.schema)


def _write_vectors(folder: Path, stores: Sequence[_Store]) -> None:
    number = 0
    for store in stores:
        for path in sorted(VECTORS.path(store.folder).glob("*.parquet")):
            VECTORS.path(folder).mkdir(exist_ok=True)
            table = pq.read_table(path)
            numbers = store.numbers[table["context_id"].to_numpy()]
            table = table.filter(pa.array(numbers >= 0))
            column = pa.array(numbers[numbers >= 0].astype(np.int32))
            table = table.set_column(
                table.schema.get_field_index("context_id"), VECTORS.schema.field("context_id"), column
            )
            write_parquet(table.cast(VECTORS.schema), VECTORS.path(folder) / f"part-{number:05d}.parquet")
            number += 1


def _write_stated(folder: Path, folders: Sequence[Path]) -> None:
    found = [pq.read_table(STATED.path(path)) for path in folders if STATED.path(path).exists()]
    if found:
        write_parquet(pa.concat_tables(found).cast(STATED.schema).combine_chunks(), STATED.path(folder))
