"""Aggregation of graphs in memory: the API for tracers and other programs that produce links."""

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
from atlas.aggregate.kernels import numbered
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
from atlas.aggregate.map.observation_tasks import GraphRefs, write_observed, write_reduced
from atlas.aggregate.plan import Budget, bookkeeping_name
from atlas.aggregate.spill.previous_stats import holds_stats, refuse_other_options
from atlas.errors import InputError, UsageError
from atlas.graph import MAX_WEIGHT, Graph, Ints, Reject, Space
from atlas.io.files import only_writer
from atlas.io.run_files import RunFile
from atlas.io.work_dir import open_store
from atlas.options import MEMORY, NONE, AggregateOptions
from atlas.runtime.devices import choose_device
from atlas.runtime.executors import Executor, InlineExecutor
from atlas.runtime.journal import Journal, claim
from atlas.runtime.progress import Progress, silent
from atlas.stages import DATASETS
from atlas.stages.manifest import MANIFEST, refuse_foreign_folder, replaced_folder


class Aggregator:
    """Aggregator of observations (batch by batch) or of graphs (one by one) into a stats folder.

    Unless `fresh`, new graphs are added to the statistics that the folder already holds. The options in `made_with`,
    which decide the graphs, must then equal those of the existing statistics; otherwise `SourceChanged` is raised.
    With `groups="auto"`, graphs are grouped by their prompts, and edges are also counted by group. By default, each
    graph is a group of its own. With `graph_links="auto"`, the nodes and links of every added graph are kept.

    Flushed graphs survive the process: a new aggregator of the same folder loads their hashes into `hashes` and
    continues. Use it as a context manager, or call `write` at the end.

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
        groups: str = NONE,
        graph_links: str = NONE,
        fresh: bool = False,
        inputs: Sequence[str] = ("added",),
        made_with: Mapping[str, Any] | None = None,
        progress: Progress = silent,
    ) -> None:
        self._out = out = Path(out)
        self._space = space
        self._inputs = list(inputs)
        self._made_with = dict(made_with or {}) | {"cooccurrence": cooccurrence, "groups": groups}
        refuse_foreign_folder(out.resolve(), "stats")
        self._written = False
        # Two aggregators of one folder would overwrite each other's tasks.
        self._lock = ExitStack()
        self._lock.enter_context(only_writer(api.work_folder(out)))
        self._options = AggregateOptions(
            cooccurrence, groups, graph_links, device=choose_device(device), memory=memory, threads=threads
        )
        self._progress = progress
        self._store = open_store(api.work_folder(out))
        self._earlier = [out] if not fresh and holds_stats(out) else []
        self._checkpoint = self._claimed(fresh)
        self._context = JobContext(
            self._store.url,
            self._options.device,
            Budget.of(memory).links,
            sample_below=WHOLE,
            combine=groups == NONE,
            keep_graphs=graph_links != NONE,
        )
        self._begin()

    def _claimed(self, fresh: bool) -> Journal:
        """Claim the work folder and return its journal.

        The folder is emptied, unless it holds the files of an unfinished run with the same options.
        """
        for folder in self._earlier:
            refuse_other_options(folder, self._made_with)
        if fresh:
            self._store.remove()
        claim(self._store, self._out / MANIFEST, json.dumps(["added", self._made_with], sort_keys=True))
        return Journal.opened(self._store)

    def _begin(self) -> None:
        self._links = 0  # links added so far; the more links, the smaller the sampled share of edges
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._chunk = self._new_chunk()
        self._known: dict[int, str] = {}
        self._next = 0
        self._rejected: set[str] = set()
        self._told: set[str] = set()  # paths of the rejects in earlier statistics
        self._paths: set[str] = set()  # paths of added graphs; their earlier rejects are removed
        self.hashes: set[str] = set()
        self._recall()

    def _new_chunk(self) -> Chunk:
        context = self._now()
        return Chunk(
            max_links=context.chunk_links,
            sample_below=context.sample_below,
            combine=context.combine,
            keep_graphs=context.keep_graphs,
        )

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
        """Add the observations of whole graphs. A graph with a known hash is skipped.

        Args:
            batch: Columns graph_id, src_layer, src_neuron, tgt_layer, tgt_neuron and weight, each of shape (n_links,).
                An Arrow table or record batch, or a mapping of numpy arrays or torch tensors. Tensors on a CUDA device
                are reduced on that device.
            hashes: Content hashes by graph_id, in hexadecimal, for example of the prompt. A graph without a hash is
                identified by its graph_id.

        Raises:
            UsageError: A graph_id was in an earlier batch, a column is missing, the aggregator groups prompts, or the
                statistics are already written.
            InputError: A graph_id is null or negative.
        """
        if self._written:
            raise UsageError("the statistics are written; make another Aggregator to add to them")
        if self._options.groups != NONE:
            raise UsageError("an aggregator that groups prompts takes graphs, not batches; make it with groups='none'")
        given = dict(hashes or {})
        missing = [] if isinstance(batch, pa.RecordBatch) else [name for name in COLUMNS if name not in _names(batch)]
        if missing:
            raise UsageError(f"a batch needs the columns {', '.join(COLUMNS)}; it lacks {', '.join(missing)}")
        if isinstance(batch, Mapping) and hasattr(batch["weight"], "is_cuda"):
            self._add_tensors({name: batch[name].detach() for name in COLUMNS}, given)
            return
        # Validate the batch before recording its graphs, so that a refused batch can be corrected and added again.
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
        """Record the hashes of a batch, and return the ids of the graphs that are not held yet."""
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
        """Record that the task with the next number is written."""
        self._checkpoint.note(runs_name(self._next), bookkeeping_name(self._next))
        self._next += 1

    def add_graph(self, graph: Graph) -> None:
        """Add one graph with its nodes. A graph with a known hash is skipped.

        Args:
            graph: Nodes (n_nodes,) and links (n_links,) of one prompt.

        Raises:
            SpaceMismatch: The graph has another feature space.
        """
        refuse_other_space(self._space, str(self._out), graph.info.space, graph.info.path)
        if graph.info.identity not in self.hashes:
            self.hashes.add(graph.info.identity)
            self._paths.add(graph.info.path)
            self._links += graph.link_total
            self._chunk.sample_below = threshold(self._links)
            self._chunk.add(graph)

    def reject(self, reject: Reject) -> None:
        """Record a graph that could not be made. It replaces a reject of the same path in earlier statistics.

        Args:
            reject: Path, reason and message.
        """
        if reject.path not in self._rejected:
            self._rejected.add(reject.path)
            self._chunk.bookkeeping.reject(reject)

    @property
    def is_new(self) -> bool:
        """True if there are new graphs, or new rejects to add to earlier statistics."""
        rejects = self._earlier and self._rejected - self._told
        return bool(self._next or self._pending_rows or self._chunk.holds_graphs or rejects)

    def flush(self) -> None:
        """Write all pending graphs to the work folder, so that they survive this process."""
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
            UsageError: The statistics are already written.
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
        """Return worker processes for two or more tasks on the CPU. Otherwise, this process does the work itself."""
        if self._options.device != "cpu" or self._next < 2:
            return nullcontext(InlineExecutor())
        return started_workers(self._next * FEW_TASKS, self._options)

    def close(self) -> None:
        """Release the lock of the folder. Flushed graphs stay there for another aggregator."""
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
