"""Distributed tracing on a Dask cluster: one process per GPU traces a shard, and the statistics are merged."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from atlas.aggregate import Aggregator
from atlas.aggregate.api import work_folder
from atlas.errors import InputError
from atlas.models import gpu_of
from atlas.options import PromptOptions, ShardedPromptOptions, TraceOptions
from atlas.pipeline.aggregation import merge_stats
from atlas.pipeline.models import load
from atlas.runtime.dask_executor import dask_executor
from atlas.runtime.progress import Progress
from atlas.stages import DATASETS, is_whole
from atlas.trace import Tracer, TraceSummary, baseline_of, trace_to_sink

if TYPE_CHECKING:
    from atlas.aggregate import Summary


@dataclass(frozen=True)
class Shard:
    """Shard of the prompts, traced by one worker into its own stats folder."""

    number: int
    of: int
    model: str
    prompts: Path
    out: Path  # stats folder that all shards are merged into
    options: TraceOptions
    corpus: PromptOptions
    name: str | None
    device: str
    dtype: str | None
    batch: int | None
    cooccurrence: int
    groups: str
    graph_links: str
    memory: int

    @property
    def folder(self) -> Path:
        """Stats folder of the shard, on a path that all workers share."""
        return shards_folder(self.out) / f"{self.number:04d}-of-{self.of:04d}"


def shards_folder(out: Path) -> Path:
    """Return the folder of the shards of a trace until they are merged."""
    folder = work_folder(out)
    return folder.with_name(folder.name.removesuffix(".work") + ".shards")


def trace_on_cluster(
    shared: Shard,
    out: Path,
    scheduler: str,
    shards: int | None,
    memory: int,
    threads: int | None,
    *,
    fresh: bool,
    progress: Progress,
) -> tuple[TraceSummary, Summary | None]:
    """Trace the shards on the cluster, then merge them, with the statistics in `out` unless `fresh`.

    The same command does not trace a finished shard again. A shard whose worker was lost resumes on another worker
    from its last flush.
    """
    total = TraceSummary()
    if fresh:
        shutil.rmtree(shards_folder(out), ignore_errors=True)
    # No memory limit by Dask: a model needs memory in addition to `memory`.
    with dask_executor(scheduler, threads, None) as workers:
        count = shards or max(1, workers.count)
        earlier = [out] if not fresh and is_whole(out, "stats") else []
        each = memory // max(1, workers.count) if scheduler == "local" else memory
        shared = dataclasses.replace(shared, out=out.resolve(), of=count, memory=each)
        parts = [dataclasses.replace(shared, number=number) for number in range(count)]
        tasks = [(part, bool(earlier)) for part in parts]
        progress("tracing parts", 0, count)
        for done, summary in enumerate(workers.run(trace_shard, tasks), 1):
            _add(total, summary)
            progress("tracing parts", done, count)
    folders = [part.folder for part in parts if is_whole(part.folder, "stats")]
    if not folders and not earlier:
        why = ", ".join(f"{reason}: {number}" for reason, number in total.rejects.items())
        raise InputError(f"none of the prompts of {shared.prompts} gave a graph ({why})")
    merged = None
    if folders:
        merged = merge_stats(
            [*earlier, *folders],
            out,
            memory=memory,
            threads=threads,
            cooccurrence=shared.cooccurrence,
            groups=shared.groups,
            graph_links=shared.graph_links,
            progress=progress,
        )
    shutil.rmtree(shards_folder(out), ignore_errors=True)
    return total, merged


def _add(total: TraceSummary, part: TraceSummary) -> None:
    for name in ("graphs", "known", "exceeded", "nodes", "links"):
        setattr(total, name, getattr(total, name) + getattr(part, name))
    total.rejects += part.rejects
    total.seconds = max(total.seconds, part.seconds)


def trace_shard(task: tuple[Shard, bool]) -> TraceSummary:
    """Trace one shard on this worker; prompts that the target holds already are skipped."""
    shard, has_earlier = task
    loaded = load(shard.model, name=shard.name, device=gpu_of(shard.number, shard.device), dtype=shard.dtype)
    tracer = Tracer(loaded, shard.options, baseline=baseline_of(loaded, shard.options, shard.prompts, shard.corpus))
    corpus = ShardedPromptOptions(**dataclasses.asdict(shard.corpus), shard=(shard.number, shard.of))
    shard.folder.parent.mkdir(parents=True, exist_ok=True)
    sink = Aggregator(
        shard.folder,
        space=tracer.space,
        device=loaded.device.type,
        inputs=[shard.prompts.name],
        made_with=tracer.made_with,
        memory=shard.memory,
        threads=1,
        cooccurrence=0,
        groups=shard.groups,
        graph_links=shard.graph_links,
    )
    held = _held(shard.out) if has_earlier else set()
    sink.hashes |= held
    try:
        summary = trace_to_sink(
            tracer,
            shard.prompts,
            corpus,
            sink,
            batch=shard.batch or loaded.usual_batch,
            required=False,
            progress=lambda *_: None,
        )
        if sink.is_new:
            sink.write()
    finally:
        sink.close()
    return summary


def _held(out: Path) -> set[str]:
    return set(pq.read_table(DATASETS["stats.graphs"].path(out), columns=["content_hash"])["content_hash"].to_pylist())
