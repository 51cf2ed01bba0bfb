"""Source of an export: the contexts, tokens and activations of a store, and its statistics."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from atlas.errors import OutputError, UsageError
from atlas.io.files import only_writer, recover_folder, swap_folder, translated_os_errors, write_json, write_parquet
from atlas.options import WHOLE, ExportOptions
from atlas.stages import DATASETS, require
from atlas.stages.manifest import read_manifest
from atlas.stages.store.backends import StoreBackend
from atlas.stages.store.cells import Context, looked_at_cells
from atlas.stages.store.check import check_store
from atlas.stages.store.digest import require_measures_of
from atlas.stages.store.spaces import ActivationSpace

FACTS = "export.json"


@dataclass(frozen=True)
class ExportSource:
    """A store, and where it is known its statistics and the features of its dictionary."""

    store: Path
    options: ExportOptions
    measures: Path | None = None
    features: Path | None = None

    @cached_property
    def space(self) -> ActivationSpace:
        """Identity of the store."""
        check_store(self.store)
        return ActivationSpace.of(read_manifest(self.store, "activations")["space"])

    @cached_property
    def backend(self) -> StoreBackend:
        """Access to the activations."""
        return StoreBackend(self.store)

    @property
    def is_whole(self) -> bool:
        """True where a unit has one value per context."""
        return self.space.positions == WHOLE

    @cached_property
    def context_table(self) -> pa.Table:
        """Contexts, as the store holds them."""
        return pq.read_table(DATASETS["activations.contexts"].path(self.store))

    @cached_property
    def token_ids(self) -> list[list[int]]:
        """Token ids of every context."""
        found: list[list[int]] = self.context_table["token_ids"].to_pylist()
        return found

    @cached_property
    def vocabulary(self) -> pa.Table:
        """Texts of the tokens."""
        return pq.read_table(DATASETS["activations.vocabulary"].path(self.store))

    @cached_property
    def words(self) -> dict[int, str]:
        """Text of every token id."""
        return dict(zip(self.vocabulary["token_id"].to_pylist(), self.vocabulary["token"].to_pylist(), strict=True))

    def tokens_of(self, context: int) -> list[str]:
        """Return the texts of the tokens of a context; a token without a text is its number."""
        return [self.words.get(token, str(token)) for token in self.token_ids[context]]

    @cached_property
    def rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Context and position of every row of an array: a context, or a token that was looked at, in order."""
        count = len(self.token_ids)
        if self.is_whole:
            return np.arange(count), np.full(count, -1)
        contexts = [Context(tuple(ids)) for ids in self.token_ids]
        first, skipped = self.space.skips_first, self.space.skipped_tokens
        places = [
            np.nonzero(looked_at_cells([context], skips_first=first, skipped_tokens=skipped)[0])[0]
            for context in contexts
        ]
        return np.repeat(np.arange(count), [len(place) for place in places]), np.concatenate(
            [np.zeros(0, np.int64), *places]
        )

    def rows_of(self, context: NDArray[Any], position: NDArray[Any]) -> NDArray[np.int64]:
        """Return the rows of cells that were looked at.

        Args:
            context: (n,).
            position: (n,); -1 of whole contexts.

        Returns:
            Rows (n,).
        """
        contexts, positions = self.rows
        key = (contexts << 32) + positions
        found: NDArray[np.int64] = np.searchsorted(key, (context.astype(np.int64) << 32) + position)
        return found

    def statistics(self, name: str) -> pa.Table:
        """Return a dataset of the statistics; raises an error where they were not given, or are of another store."""
        if self.measures is None:
            raise UsageError(
                "this format holds statistics and examples; give them with --measures (atlas measure STORE -o ...)"
            )
        require_measures_of(self.measures, self.store)
        return pq.read_table(require(self.measures, DATASETS[f"measures.{name}"]))

    def write_contexts(self, folder: Path, form: str, *, rows_of: int | None = None) -> None:
        """Write what a format leaves out, so that an import gives the same store again.

        Args:
            folder: Folder of the export.
            form: Name of the format.
            rows_of: Layer of an array; the context and the position of every row are written, too.
        """
        write_parquet(self.context_table, folder / "contexts.parquet")
        write_parquet(self.vocabulary, folder / "vocabulary.parquet")
        if rows_of is not None:
            context, position = self.rows
            write_parquet(
                pa.table({"context_id": context.astype(np.int32), "position": position.astype(np.int32)}),
                folder / "rows.parquet",
            )
        units = pq.read_table(DATASETS["activations.units"].path(self.store)).to_pylist()
        facts = {"format": form, "dtype": self.options.dtype, "space": self.space.as_dict()}
        kept = {
            str(row["layer"]): [row["unit_count"], row["threshold"]] for row in units if rows_of in (None, row["layer"])
        }
        write_json(facts | {"layers": kept}, folder / FACTS)


@contextlib.contextmanager
def replaced_export(out: Path) -> Iterator[Path]:
    """Yield a new folder that replaces an earlier export if the block succeeds.

    Raises `OutputError` if `out` holds anything else, so that a mistyped -o never removes other files.
    """
    target = out.resolve()
    with only_writer(target):
        holds_other = target.is_file() or (target.is_dir() and any(target.iterdir()) and not (target / FACTS).exists())
        if holds_other:
            raise OutputError(f"{out} is not empty and holds no export; choose another -o")
        fresh = target.parent / f".{target.name}.new"
        with translated_os_errors(target):
            recover_folder(target)
            fresh.mkdir()
            try:
                yield fresh
                swap_folder(fresh, target)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
