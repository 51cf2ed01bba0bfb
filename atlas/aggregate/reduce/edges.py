"""Reduce one range of keys of a link table: sort its links, add them up, merge them with earlier sums."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from atlas.aggregate.kernels import Kernel, cpu_kernel
from atlas.aggregate.kernels.key_stats import KeyStats
from atlas.aggregate.reduce import cooccurrence
from atlas.aggregate.reduce.jobs import ReduceJob, ReduceState, part_name
from atlas.aggregate.spill.previous_stats import link_table, statistics_between
from atlas.io.files import write_parquet
from atlas.runtime.devices import choose_device

_LINK = ("key", "graph", "weight")


def reduce_links(state: ReduceState, job: ReduceJob) -> list[str]:
    """Write one part of a link table, and of `cooccurrence` with `edges`; return the names of the parts."""
    table, store = link_table(job.dataset), state.sources.store
    parts = list(_links(state, job))
    sums = [stats for stats in _sums(state, job) if len(stats)]
    kernel = _kernel(job.device, sum(len(part["key"]) for part in parts) + sum(map(len, sums)))
    if parts:
        key, graph, weight = (np.concatenate([part[name] for part in parts]) for name in _LINK)
        sums.insert(0, kernel.reduce(*kernel.sort(key, graph, weight))[0])
    stats = kernel.merge(sums)
    columns: dict[str, Any] = {}
    if table.name == "edges":
        both, partners = _cooccurrence(state, job, stats)
        columns = {"method": job.method, "joint_graph_count": both}
        store.put_with(part_name("cooccurrence", job.range.number), lambda path: write_parquet(partners, path))
    arrow = table.arrow(stats, **columns)
    store.put_with(job.name, lambda path: write_parquet(arrow, path))
    return [job.name]


def _kernel(device: str, rows: int) -> Kernel:
    chosen = choose_device(device) if device == "auto" else device
    if chosen == "cpu":
        return cpu_kernel(rows)
    from atlas.aggregate.kernels.torch_kernel import torch_kernel

    return torch_kernel(chosen)


def _cooccurrence(state: ReduceState, job: ReduceJob, stats: KeyStats) -> tuple[pa.Array, pa.Table]:
    if not job.cooccurrence:
        return cooccurrence.nothing(len(stats))
    return cooccurrence.evaluate(state.cooccurrence, job.cooccurrence, stats.key, job.range.low, job.range.high)


def _links(state: ReduceState, job: ReduceJob) -> Iterator[dict[str, Any]]:
    for source, found in state.sources.rows(f"{job.dataset}.raw.", job.range):
        # Graphs of different tasks are told apart by their number over all sources.
        graph = found["graph"].astype(np.uint32) + np.uint32(source.first << 1)
        yield {"key": found["key"], "graph": graph, "weight": found["weight"].astype(np.float64)}


def _sums(state: ReduceState, job: ReduceJob) -> Iterator[KeyStats]:
    for source in state.sources.sources:
        previous = state.sources.previous(source, job.dataset)
        if previous is not None:
            yield statistics_between(previous, job.range.low, job.range.high)
    for _, found in state.sources.rows(f"{job.dataset}.sum.", job.range):
        yield KeyStats(**found)
