"""Statistics of graphs as they are made: the API of a tracer, or of anything else that has links in memory."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from atlas.aggregate import api
from atlas.aggregate.context import FEW_TASKS, JobContext, Provenance, Run, started_workers
from atlas.aggregate.edge_sample import WHOLE, threshold
from atlas.aggregate.finalize import Summary
from atlas.aggregate.inputs import read_inputs
from atlas.aggregate.map.chunk import Chunk
from atlas.aggregate.map.graph_tasks import (
    FinishedTask,
    finish_task,
    read_bookkeeping,
    read_finished_task,
    refuse_other_space,
    runs_name,
)
from atlas.aggregate.map.observation_files import COLUMNS, columns_of, graph_hash, observe
from atlas.aggregate.map.observation_tasks import GraphRefs, numbered, write_observed, write_reduced
from atlas.aggregate.plan import Budget, bookkeeping_name
from atlas.aggregate.spill.previous_stats import holds_stats, refuse_other_options
from atlas.aggregate.spill.run_files import RunFile
from atlas.errors import InputError, UsageError
from atlas.graph import MAX_WEIGHT, Graph, Ints, Reject, Space
from atlas.io.files import only_writer
from atlas.io.work_dir import open_store
from atlas.options import MEMORY, AggregateOptions
from atlas.runtime.devices import choose_device
from atlas.runtime.executors import Executor, InlineExecutor
from atlas.runtime.journal import Journal, claim
from atlas.runtime.progress import Progress, silent
from atlas.stages import DATASETS
from atlas.stages.manifest import MANIFEST, refuse_foreign_folder, replaced_folder


class Aggregator:
    """Takes observations batch by batch, or graphs one by one, and writes their statistics to a stats folder.

    Statistics that the folder holds are added to, unless `fresh`; then `made_with`, what decides the graphs, must
    be what they were made with (`SourceChanged`). What was added and flushed survives the
    process: an aggregator of the same folder knows by `hashes` which graphs it holds, and goes on. Use as a
    context manager, or call `write` at the end.

    >>> import pyarrow as pa, tempfile
    >>> links = {"graph_id": [0, 0, 1], "src_layer": [1, 1, 1], "src_neuron": [5, 5, 5],
    ...          "tgt_layer": [2, 2, 2], "tgt_neuron": [7, 7, 8], "weight": [0.5, -0.25, 1.0]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     aggregator = Aggregator(Path(folder) / "stats", space=Space("my-model", None, "neuron"))
    ...     aggregator.add(pa.table(links))
    ...     aggregator.write().edges
    2
    """

    def __init__(
        self,
        out: Path,
        *,
        space: Space,
        device: str = "auto",
        memory: int = MEMORY,
        threads: int | None = None,
        cooccurrence: int = AggregateOptions.cooccurrence,
        fresh: bool = False,
        inputs: Sequence[str] = ("added",),
        made_with: Mapping[str, Any] | None = None,
        progress: Progress = silent,
    ) -> None:
        self._out = out = Path(out)
        self._space = space
        self._inputs = list(inputs)
        self._made_with = dict(made_with or {}) | {"cooccurrence": cooccurrence}
        refuse_foreign_folder(out.resolve(), "stats")
        self._written = False
        # Two aggregators of one folder would overwrite each other's tasks.
        self._lock = ExitStack()
        self._lock.enter_context(only_writer(api.work_folder(out)))
        self._options = AggregateOptions(cooccurrence, choose_device(device), memory, threads)
        self._progress = progress
        self._store = open_store(api.work_folder(out))
        self._earlier = [out] if not fresh and holds_stats(out) else []
        self._checkpoint = self._claimed(fresh)
        self._context = JobContext(
            self._store.url, self._options.device, Budget.of(memory).links, sample_below=WHOLE, combine=True
        )
        self._begin()

    def _claimed(self, fresh: bool) -> Journal:
        """The work folder, emptied unless it holds what an unfinished run of the same kind left."""
        for folder in self._earlier:
            refuse_other_options(folder, self._made_with)
        if fresh:
            self._store.remove()
        claim(self._store, self._out / MANIFEST, json.dumps(["added", self._made_with], sort_keys=True))
        return Journal.opened(self._store)

    def _begin(self) -> None:
        self._links = 0  # that came so far; the more, the smaller the share of edges that is sampled
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._chunk = self._new_chunk()
        self._known: dict[int, str] = {}
        self._next = 0
        self._rejected: set[str] = set()
        self._told: set[str] = set()  # paths of the rejects of earlier stats
        self._paths: set[str] = set()  # of graphs that came; what was said against them earlier is forgotten
        self.hashes: set[str] = set()
        self._recall()

    def _new_chunk(self) -> Chunk:
        return Chunk(max_links=self._context.chunk_links, sample_below=threshold(self._links), combine=True)

    def _now(self) -> JobContext:
        return dataclasses.replace(self._context, sample_below=threshold(self._links))

    def _recall(self) -> None:
        for item in read_inputs(self._store, 0, self._earlier):
            refuse_other_space(self._space, "the aggregator", item.space, item.space_path)
            self.hashes.update(item.graphs["graph_hash"].to_pylist())
        for folder in self._earlier:
            self._told.update(
                pq.read_table(DATASETS["stats.rejects"].path(folder), columns=["path"])["path"].to_pylist()
            )
        finished = self._checkpoint.trusted
        while bookkeeping_name(self._next) in finished:
            done, graphs = read_finished_task(self._store.url, self._next, ["graph_hash", "link_count", "path"])
            refuse_other_space(self._space, str(self._out), done.space, done.space_path)
            self.hashes.update(graphs["graph_hash"].to_pylist())
            self._links += sum(graphs["link_count"].to_pylist())
            self._paths.update(graphs["path"].to_pylist())
            self._rejected.update(
                read_bookkeeping(RunFile(self._store, runs_name(self._next)), "rejects")["path"].to_pylist()
            )
            self._next += 1

    def add(
        self, batch: pa.Table | pa.RecordBatch | Mapping[str, Any], *, hashes: Mapping[int, str] | None = None
    ) -> None:
        """Take observations of whole graphs. A graph that is held already, by hash, is passed over.

        Args:
            batch: Columns graph_id, src_layer, src_neuron, tgt_layer, tgt_neuron and weight, all of one length (n_links,): an
                Arrow table or record batch, or a mapping of numpy arrays or torch tensors. Tensors on a CUDA device are
                reduced there.
            hashes: Content hashes (hexadecimal; of the prompt, say) by graph_id. The id stands for a graph without one.

        Raises:
            UsageError: A graph_id came in an earlier batch, or a column is missing.
            InputError: A graph_id is null or negative.
        """
        if self._written:
            raise UsageError("the statistics are written; make another Aggregator to add to them")
        given = dict(hashes or {})
        missing = [] if isinstance(batch, pa.RecordBatch) else [name for name in COLUMNS if name not in _names(batch)]
        if missing:
            raise UsageError(f"a batch needs the columns {', '.join(COLUMNS)}; it lacks {', '.join(missing)}")
        if isinstance(batch, Mapping) and hasattr(batch["weight"], "is_cuda"):
            self._add_tensors({name: batch[name].detach() for name in COLUMNS}, given)
            return
        # Looked at before its graphs are noted: a batch that is refused can come again, corrected.
        columns = columns_of(batch if isinstance(batch, pa.Table | pa.RecordBatch) else _table(batch))
        observe({name: values[:0] if name != "graph_id" else values for name, values in columns.items()})
        table = pa.table(columns)
        ids = np.unique(columns["graph_id"])
        new = self._take(ids, given)
        if len(new) < len(ids):
            table = table.filter(pa.array(np.isin(columns["graph_id"], new)))
        self._pending.append(table)
        self._pending_rows += len(table)
        self._links += len(table)
        if self._pending_rows >= self._context.chunk_links:
            self.flush()

    def _take(self, ids: Ints, hashes: Mapping[int, str]) -> Ints:
        """The ids of a batch that are not held yet; notes their hashes."""
        new = []
        for graph_id in ids.tolist():
            if graph_id in self._known:
                raise UsageError(f"graph_id {graph_id} came in an earlier batch; give all links of a graph at once")
            found = hashes.get(graph_id) or graph_hash("added", graph_id)
            self._known[graph_id] = found
            if found not in self.hashes:
                self.hashes.add(found)
                new.append(graph_id)
        return np.array(new, np.int64)

    def _graph_refs(self, ids: Ints) -> GraphRefs:
        names = ids.tolist()
        return GraphRefs("added", names, [self._known[name] for name in names])

    def _add_tensors(self, batch: Mapping[str, Any], hashes: Mapping[int, str]) -> None:
        from atlas.aggregate.kernels.torch_kernel import torch_kernel

        kernel = torch_kernel(f"torch:{batch['weight'].device}")
        links = kernel.observe(batch, MAX_WEIGHT)
        new = self._take(links.ids, hashes)
        if not len(new):
            return
        if len(new) < len(links.ids):
            batch = kernel.only(batch, new)
            links = kernel.observe(batch, MAX_WEIGHT)
        self._links += len(batch["weight"])
        write_reduced(self._next, links, kernel, self._graph_refs(links.ids), self._space, self._now())
        self._done()

    def _done(self) -> None:
        """The task with the next number is written."""
        self._checkpoint.note(runs_name(self._next), bookkeeping_name(self._next))
        self._next += 1

    def add_graph(self, graph: Graph) -> None:
        """Take one graph with its nodes. One that is held already, by content hash, is passed over.

        Args:
            graph: Nodes (n_nodes,) and links (n_links,) of one prompt.

        Raises:
            SpaceMismatch: It is of another feature space.
        """
        refuse_other_space(self._space, str(self._out), graph.info.space, graph.info.path)
        if graph.info.identity not in self.hashes:
            self.hashes.add(graph.info.identity)
            self._paths.add(graph.info.path)
            self._links += graph.link_total
            self._chunk.sample_below = threshold(self._links)
            self._chunk.add(graph)

    def reject(self, reject: Reject) -> None:
        """Note a graph that could not be made. It takes the place of an earlier note of that path.

        Args:
            reject: Path, reason and message.
        """
        if reject.path not in self._rejected:
            self._rejected.add(reject.path)
            self._chunk.bookkeeping.reject(reject)

    @property
    def is_new(self) -> bool:
        """True where there are graphs, or rejects beside earlier graphs, that the stats folder does not hold yet."""
        rejects = self._earlier and self._rejected - self._told
        return bool(self._next or self._pending_rows or self._chunk.holds_graphs or rejects)

    def flush(self) -> None:
        """Make sure that what was added survives this process."""
        if self._pending_rows:
            seen = observe(columns_of(pa.concat_tables(self._pending, promote_options="permissive")))
            ids, graph = numbered(seen.graph)
            write_observed(self._next, seen, graph, self._graph_refs(ids), self._space, self._now())
            self._pending, self._pending_rows = [], 0
            self._done()
        self._chunk.flush()
        if self._chunk.graphs or self._chunk.bookkeeping.rejects:
            done = FinishedTask(self._next, self._chunk.graphs, self._space, str(self._out))
            finish_task(self._store, self._chunk.runs, self._chunk.bookkeeping.tables(), done)
            self._chunk = self._new_chunk()
            self._done()

    def write(self) -> Summary:
        """Write the stats folder.

        Returns:
            The `Summary` of the folder.

        Raises:
            InputError: Nothing was added.
            OutputError: The folder cannot be written.
            UsageError: It is written already.
        """
        if self._written:
            raise UsageError("the statistics are written; make another Aggregator to add to them")
        self.flush()
        self._written = True
        if not self._next:
            self._close()
            raise InputError(f"nothing was added, so {self._out} was not written")
        provenance = Provenance(self._inputs, threshold(self._links), self._made_with)
        forget = {"rejects": self._rejected | self._paths, "files": set[str]()}
        with replaced_folder(self._out, "stats") as folder, self._workers() as workers:
            run = Run(self._store, workers, self._options, self._progress)
            inputs = read_inputs(self._store, self._next, self._earlier)
            summary = api.reduce_and_finalize(run, folder, inputs, provenance, forget=forget)
        self._close()
        return summary

    def _workers(self) -> AbstractContextManager[Executor]:
        """Worker processes where there are several tasks; a GPU, and few tasks, are used from here."""
        if self._options.device != "cpu" or self._next < 2:
            return nullcontext(InlineExecutor())
        return started_workers(self._next * FEW_TASKS, self._options)

    def close(self) -> None:
        """Let go of the folder; what was flushed stays for another aggregator."""
        if not self._written and not self._next:
            self._store.remove()
        self._lock.close()

    def _close(self) -> None:
        self._store.remove()
        self.close()

    def __enter__(self) -> Aggregator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None and not self._written:
            self.write()
        self.close()


def _names(batch: pa.Table | Mapping[str, Any]) -> Collection[str]:
    return batch.column_names if isinstance(batch, pa.Table) else batch


def _table(batch: Mapping[str, Any]) -> pa.Table:
    try:
        return pa.table({name: np.asarray(batch[name]) for name in COLUMNS})
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise UsageError(
            f"a batch needs columns of numbers of one length ({' '.join(str(error).split())[:200]})"
        ) from error
