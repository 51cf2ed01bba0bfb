"""Settings that the phases of an aggregation share: `Run` in the coordinator, `JobContext` in the workers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from atlas.aggregate.plan import Budget
from atlas.io.work_dir import Store
from atlas.options import AggregateOptions
from atlas.runtime.executors import Executor, InlineExecutor, ProcessExecutor, cpu_count
from atlas.runtime.progress import Progress

FEW_TASKS = 8
# Modules that workers need. The host imports them once.
_CALLS = tuple(
    f"atlas.aggregate.{name}" for name in ("map.graph_tasks", "map.observation_tasks", "reduce.edges", "reduce.neurons")
)
_KERNELS = "atlas.aggregate.kernels.numba_kernel"
_COMPILED = (_KERNELS, f"{_KERNELS}.decode", f"{_KERNELS}.pages")
_COOCCURRENCE = (f"{_KERNELS}.cooccurrence", f"{_KERNELS}.partners")


@dataclass(frozen=True)
class JobContext:
    """Settings that all jobs of an aggregation share. They follow from the options and are sent to the workers.

    Attributes:
        store: URL of the work folder.
        device: `cpu`, `cuda`, or `auto` if each worker chooses.
        chunk_links: Number of links that are sorted at once.
        sample_below: Edges with a 32-bit hash below this are sampled.
        keep_graphs: Keep the nodes and links of every graph, too.
        combine: Write a frequent key as one row of statistics instead of one row per link.
    """

    store: str
    device: str
    chunk_links: int
    sample_below: int
    combine: bool
    keep_graphs: bool = False


@dataclass(frozen=True)
class Provenance:
    """Entries of the manifest beside the counts: inputs, sampling and the options that decide the statistics."""

    inputs: Sequence[str]
    sample_below: int
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One aggregation: work folder, workers, options with a concrete device, and progress callback."""

    store: Store
    workers: Executor
    options: AggregateOptions
    progress: Progress

    @property
    def near_device(self) -> Executor:
        """Executor of work on the device: the workers, or this process alone if it uses a GPU."""
        return self.workers if self.options.device in ("cpu", "auto") else InlineExecutor()


@contextlib.contextmanager
def started_workers(tasks: int, options: AggregateOptions) -> Iterator[Executor]:
    """Start and yield a Dask cluster or worker processes; yield this process alone if work or memory is small."""
    memory, threads = options.memory, options.threads
    if options.scheduler is not None:
        from atlas.runtime.dask_executor import dask_executor

        with dask_executor(options.scheduler, threads, memory) as workers:
            yield workers
        return
    count = min(Budget.of(memory).workers(memory, threads or cpu_count()), tasks)
    # With many tasks, even one worker repays its start, because its allocator and numpy are tuned for large arrays.
    if count < 1 or (count == 1 and tasks < FEW_TASKS):
        yield InlineExecutor()
        return
    modules = [*_CALLS, *(_COMPILED if options.device in ("cpu", "auto") else ())]
    modules += _COOCCURRENCE if options.cooccurrence else ()
    with ProcessExecutor(count, modules) as processes:
        # Arrow imports pandas, if it is installed, for its first list: let that happen while the workers import.
        first = threading.Thread(target=pa.array, args=([0],))
        first.start()
        try:
            yield processes
        finally:
            first.join()
