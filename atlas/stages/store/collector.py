"""Collector of activations into a store: contexts, kept activations sorted by unit, and what they were looked for on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from atlas.errors import InputError, UsageError
from atlas.graph import Ints
from atlas.io.files import only_writer, write_parquet
from atlas.io.run_files import RunFile, RunWriter
from atlas.io.work_dir import LocalStore
from atlas.options import MEMORY, WHOLE
from atlas.runtime.journal import Journal, claim
from atlas.runtime.progress import Progress, silent
from atlas.stages import DATASETS
from atlas.stages.manifest import MANIFEST, read_manifest, refuse_foreign_folder, replaced_folder, write_manifest
from atlas.stages.store.cells import (
    CONTEXTS,
    Context,
    StoreSummary,
    context_table,
    dense_rows,
    kept_cells,
    looked_at_cells,
)
from atlas.stages.store.merge import (
    COUNTS,
    RUN,
    merge_activations,
    require_whole,
    store_source,
    task_source,
    unit_counts,
)
from atlas.stages.store.pending import Pending, check_cells, check_layers, finite, place_vectors
from atlas.stages.store.spaces import ActivationSpace

UNITS, VOCABULARY, STATED = (DATASETS[f"activations.{name}"] for name in ("units", "vocabulary", "stated_stats"))


class Collector:
    """Collector of the activations of any model into a store.

    Unless `fresh`, new contexts are added to the store that the folder already holds. `layers` maps every layer to its
    number of units; `thresholds` to the size above which |activation| is kept. Flushed contexts survive the process:
    a new collector of the same folder goes on behind them. Use it as a context manager, or call `write` at the end.

    >>> import tempfile
    >>> values = np.zeros((1, 4, 3), np.float32)
    >>> values[0, 2, 1] = 1.5
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     collector = Collector(Path(folder) / "store", space=ActivationSpace("my-model"), layers={0: 3})
    ...     collector.add({0: values}, [Context((5, 6, 7, 8))])
    ...     collector.write().activations
    1
    """

    def __init__(
        self,
        out: Path,
        *,
        space: ActivationSpace,
        layers: Mapping[int, int],
        thresholds: Mapping[int, float] | None = None,
        memory: int = MEMORY,
        fresh: bool = False,
        progress: Progress = silent,
    ) -> None:
        self._out = out = Path(out)
        self.space = space
        self._layers = dict(layers)
        self._thresholds = {layer: float((thresholds or {}).get(layer, 0.0)) for layer in layers}
        check_layers(self._layers, self._thresholds)
        self._memory = memory
        self._progress = progress
        self._written = False
        refuse_foreign_folder(out.resolve(), "activations")
        whole = out.resolve()
        self._store = LocalStore(whole.with_name(f".{whole.name}.collecting"))
        self._lock = ExitStack()
        self._lock.enter_context(only_writer(self._store.folder))
        self._earlier = out if not fresh and (out / MANIFEST).exists() else None
        if self._earlier:
            require_whole(out)
            space.require(ActivationSpace.of(read_manifest(out, "activations")["space"]), out)
            self._require_layers(out)
        if fresh:
            self._store.remove()
        purpose = json.dumps([space.as_dict(), sorted(self._layers.items()), sorted(self._thresholds.items())])
        claim(self._store, out / MANIFEST, purpose)
        self._journal = Journal.opened(self._store)
        self._begin()

    def _require_layers(self, out: Path) -> None:
        rows = pq.read_table(UNITS.path(out)).to_pylist()
        held = {row["layer"]: (row["unit_count"], row["threshold"]) for row in rows}
        mine = {layer: (count, self._thresholds[layer]) for layer, count in self._layers.items()}
        if held != mine:
            raise UsageError(f"{out} holds other layers, units or thresholds; choose another -o, or --fresh")

    def _begin(self) -> None:
        self.summary = StoreSummary()
        self.hashes: set[str] = set()
        self._tables: list[pa.Table] = []
        if self._earlier:
            table = pq.read_table(CONTEXTS.path(self._earlier))
            self._tables.append(table)
            self.hashes.update(table["content_hash"].to_pylist())
            self.summary.tokens = int(read_manifest(self._earlier, "activations")["counts"]["tokens"])
        self._next = 0
        while self._name(self._next) in self._journal.trusted:
            file = RunFile(self._store, self._name(self._next))
            table = pa.ipc.open_stream(file.blob("contexts")).read_all()
            self._tables.append(table)
            self.hashes.update(table["content_hash"].to_pylist())
            self.summary.tokens += json.loads(file.blob("facts"))["tokens"]
            self._next += 1
        self._count = sum(map(len, self._tables))
        self.summary.known_contexts = self._count
        self._pending = Pending()
        self._rows: list[Context] = []
        self._pending_tokens = 0

    @staticmethod
    def _name(number: int) -> str:
        return f"tasks/{number:06d}.runs"

    def holds(self, context: Context) -> bool:
        """Return True if the store holds a context already.

        Args:
            context: Window of tokens.

        Returns:
            Whether an earlier call or run added it.
        """
        return context.content_hash in self.hashes

    def add(self, activations: Mapping[int, Any], contexts: Sequence[Context]) -> None:
        """Add the activations of whole contexts. A context that the store holds already is skipped.

        Args:
            activations: By layer, an array or tensor (contexts, positions, units). Positions behind the end of a
                context are padding.
            contexts: The contexts, one per row.

        Raises:
            UsageError: A layer or a shape is not that of the collector, or the store is written.
            InputError: An activation is NaN or infinite.
        """
        if self._written:
            raise UsageError("the store is written; make another Collector to add to it")
        if set(activations) != set(self._layers):
            raise UsageError(f"activations of the layers {sorted(self._layers)} are needed, not {sorted(activations)}")
        new = [row for row, context in enumerate(contexts) if not self.holds(context)]
        looked_at = self._mask(contexts, new)
        # Everything is checked before anything is recorded, so that a refused batch can be corrected and added again.
        found = {
            layer: self._cells_of(layer, values, contexts, new, looked_at) for layer, values in activations.items()
        }
        numbers = self._number(contexts, new, looked_at)
        for layer, (row, position, unit, value) in found.items():
            self._pending.keep_cells(layer, unit, numbers[row], position, value)
        self._flush_if_full()

    def add_cells(self, cells: Mapping[str, NDArray[Any]], contexts: Sequence[Context]) -> None:
        """Add single activations of whole contexts, such as those of a sparse file. Other cells count as 0.

        Args:
            cells: Arrays (n_cells,) `layer`, `context` (row of `contexts`), `position`, `unit` and `value`. Cells that are not
                looked at, or not above the threshold, are left out. Where a unit has one value per context (`whole`),
                every position is 0, and is stored as -1.
            contexts: The contexts. One that the store holds already is skipped.

        Raises:
            UsageError: The store is written.
            InputError: A cell is outside of its context or of the units of its layer, or its value is NaN or infinite.
        """
        if self._written:
            raise UsageError("the store is written; make another Collector to add to it")
        new = [row for row, context in enumerate(contexts) if not self.holds(context)]
        layer, unit, position, value = (np.asarray(cells[name]) for name in ("layer", "unit", "position", "value"))
        is_whole = self.space.positions == WHOLE
        lengths = np.array([1 if is_whole else len(context.token_ids) for context in contexts], np.int64)
        check_cells(np.asarray(cells["context"]), layer, unit, position, value, lengths, self._layers)
        looked_at = self._mask(contexts, new)
        numbers = self._number(contexts, new, looked_at)
        row_of = np.full(len(contexts), -1)
        row_of[new] = np.arange(len(new))
        row = row_of[np.asarray(cells["context"])]
        thresholds = np.zeros(max(self._layers, default=0) + 1)
        thresholds[list(self._thresholds)] = list(self._thresholds.values())
        kept = row >= 0
        kept[kept] = looked_at[row[kept], position[kept]]
        kept &= np.abs(value) > thresholds[layer]
        place = np.full(int(kept.sum()), -1) if is_whole else position[kept]
        self._pending.keep_cells(layer[kept], unit[kept], numbers[row[kept]], place, value[kept])
        self._flush_if_full()

    def add_rows(self, vectors: Mapping[int, Any], contexts: Sequence[Context]) -> None:
        """Add one dense vector per context, of a position that is not known; it is stored as -1.

        Args:
            vectors: By layer, an array or tensor (contexts, d).
            contexts: The contexts, one per row.

        Raises:
            InputError: A vector holds NaN or infinity.
        """
        if self._written:
            raise UsageError("the store is written; make another Collector to add to it")
        new = [row for row, context in enumerate(contexts) if not self.holds(context)]
        found = {layer: finite(layer, dense_rows(values, new)) for layer, values in vectors.items()}
        numbers = self._number(contexts, new, np.ones(len(new), np.bool_))
        for layer, rows in found.items():
            self._pending.keep_vectors(layer, rows, numbers, np.full(len(new), -1))
        self._flush_if_full()

    def add_vectors(self, vectors: Mapping[int, Any], contexts: Sequence[Context], *, last: bool = False) -> None:
        """Add dense vectors, such as those of a residual stream, of whole contexts.

        Args:
            vectors: By layer, an array or tensor (contexts, positions, d).
            contexts: The contexts, one per row.
            last: Keep the vector of the last token of each context alone.

        Raises:
            UsageError: The store is written.
            InputError: A vector holds NaN or infinity.
        """
        if self._written:
            raise UsageError("the store is written; make another Collector to add to it")
        new = [row for row, context in enumerate(contexts) if not self.holds(context)]
        looked_at = self._mask(contexts, new)
        if last:
            ends = [len(contexts[row].token_ids) - 1 for row in new]
            looked_at = looked_at & (np.arange(looked_at.shape[1]) == np.array(ends, np.int64)[:, None])
        row, position = np.nonzero(looked_at)
        found = {layer: finite(layer, dense_rows(values, new)[row, position]) for layer, values in vectors.items()}
        numbers = self._number(contexts, new, looked_at)
        for layer, rows in found.items():
            self._pending.keep_vectors(layer, rows, numbers[row], position)
        self._flush_if_full()

    def _mask(self, contexts: Sequence[Context], rows: Sequence[int]) -> NDArray[np.bool_]:
        """Return True for the cells (rows, longest context) that are looked at."""
        if self.space.positions == WHOLE:
            return np.ones((len(rows), 1), np.bool_)
        chosen = [contexts[row] for row in rows]
        return looked_at_cells(chosen, skips_first=self.space.skips_first, skipped_tokens=self.space.skipped_tokens)

    def _number(self, contexts: Sequence[Context], rows: Sequence[int], looked_at: NDArray[np.bool_]) -> Ints:
        """Record new contexts, and their tokens that are looked at, and return their numbers."""
        first, chosen = self._count, [contexts[row] for row in rows]
        hashes = {context.content_hash for context in chosen}
        if len(hashes) < len(chosen):
            raise UsageError("a batch holds one context twice; give each of them once")
        self.hashes |= hashes
        self._rows += chosen
        self._count += len(chosen)
        self.summary.new_contexts += len(rows)
        self._pending_tokens += int(looked_at.sum())
        return np.arange(first, self._count)

    def _cells_of(
        self, layer: int, values: Any, contexts: Sequence[Context], rows: Sequence[int], looked_at: NDArray[np.bool_]
    ) -> tuple[Ints, Ints, Ints, NDArray[Any]]:
        """Return row, position, unit and value of the kept cells of a layer, checked."""
        expected = self._layers[layer]
        fits = values.ndim == 3 and values.shape[0] == len(contexts) and values.shape[2] == expected
        if not fits or values.shape[1] < looked_at.shape[1]:
            raise UsageError(
                f"activations of layer {layer} have the shape {tuple(values.shape)}; needed are {len(contexts)} contexts x positions x {expected}"
            )
        row, position, unit, value = kept_cells(values, list(rows), looked_at, self._thresholds[layer])
        with np.errstate(over="ignore"):
            value = value.astype(np.float32)
        if not np.isfinite(value).all():
            raise InputError(f"layer {layer} has an activation that is NaN, infinite or beyond 32 bits")
        return row, position, unit, value

    def _flush_if_full(self) -> None:
        """Flush where pending activations take their share of the memory; only between batches of whole contexts."""
        if self._pending.nbytes > self._memory // 2:
            self.flush()

    def flush(self) -> None:
        """Write all pending contexts and activations to the work folder, so that they survive this process."""
        if not self._rows:
            return
        name = self._name(self._next)
        vectors = self._pending.vectors()
        if vectors is not None:
            self._store.put_with(f"{name}.parquet", lambda path: write_parquet(vectors, path))
            self._journal.note(f"{name}.parquet")
        ordered = self._pending.cells()
        writer = RunWriter()
        writer.add(RUN, ordered)
        writer.add(COUNTS, unit_counts(ordered["unit"].astype(np.int64)))
        table = context_table(self._rows, self._count - len(self._rows))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        writer.add_blob("contexts", sink.getvalue())
        writer.add_blob("facts", json.dumps({"tokens": self._pending_tokens}).encode())
        writer.write(self._store, name, lasting=False)
        self._journal.note(name)
        self.summary.tokens += self._pending_tokens
        self._tables.append(table)
        self._pending, self._rows, self._pending_tokens = Pending(), [], 0
        self._next += 1

    def write(
        self, vocabulary: pa.Table | None = None, *, stated: pa.Table | None = None, **facts: Any
    ) -> StoreSummary:
        """Write the store.

        Args:
            vocabulary: Rows of the dataset `vocabulary`; those of an earlier store where None.
            stated: Rows of the dataset `stated_stats`, of files of another tool.
            **facts: Further entries of the manifest.

        Returns:
            Counts of the store.

        Raises:
            InputError: Nothing was added.
            OutputError: The folder cannot be written.
        """
        self.flush()
        self._written = True
        if not self._count:
            self.close()
            raise InputError(f"no context was added, so {self._out} was not written")
        if not self._next:
            self.close()
            self.summary.contexts = self._count
            self.summary.activations = int(read_manifest(self._out, "activations")["counts"]["activations"])
            return self.summary
        sources = [store_source(self._earlier)] if self._earlier else []
        sources += [task_source(self._store, self._name(number)) for number in range(self._next)]
        if vocabulary is None:
            earlier = VOCABULARY.path(self._earlier) if self._earlier else None
            vocabulary = pq.read_table(earlier) if earlier else VOCABULARY.empty()
        with replaced_folder(self._out, "activations") as folder:
            write_parquet(pa.concat_tables(self._tables).cast(CONTEXTS.schema).combine_chunks(), CONTEXTS.path(folder))
            write_parquet(vocabulary, VOCABULARY.path(folder))
            write_parquet(self._unit_table(), UNITS.path(folder))
            if stated is not None:
                write_parquet(stated, STATED.path(folder))
            self.summary.activations = merge_activations(folder, sources, self._memory // 2, self._progress)
            place_vectors(folder, self._earlier, self._store, [self._name(number) for number in range(self._next)])
            self.summary.contexts = self._count
            counts = {"contexts": self._count, "tokens": self.summary.tokens, "activations": self.summary.activations}
            write_manifest(folder, "activations", space=self.space.as_dict(), counts=counts, **facts)
        self.close()
        self._store.remove()
        return self.summary

    def _unit_table(self) -> pa.Table:
        layers = sorted(self._layers)
        return UNITS.table(
            {
                "layer": np.array(layers, np.int32),
                "unit_count": np.array([self._layers[layer] for layer in layers], np.int32),
                "threshold": [self._thresholds[layer] for layer in layers],
                "token_count": [None if self.space.sampled else self.summary.tokens] * len(layers),
                "context_count": np.full(len(layers), self._count, np.int64),
            }
        )

    def close(self) -> None:
        """Release the folder. Flushed contexts stay, and the next collector of the folder goes on behind them."""
        self._lock.close()

    def __enter__(self) -> Collector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and not self._written:
                self.write()
        finally:
            self.close()
