"""Reduction of one range of keys of a link table: sorts its links, adds them up, merges them with earlier sums."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from atlas.aggregate.kernels import Kernel, cpu_kernel, page_encoder
from atlas.aggregate.kernels.key_stats import KeyStats
from atlas.aggregate.link_tables import TABLES
from atlas.aggregate.reduce import cooccurrence, edge_groups
from atlas.aggregate.reduce.edge_pages import write_edges
from atlas.aggregate.reduce.jobs import ReduceJob, ReduceState, part_name
from atlas.aggregate.spill.previous_stats import link_table, statistics_between
from atlas.graph import Ints
from atlas.io.files import write_parquet
from atlas.runtime.devices import choose_device
from atlas.stages import DATASETS

_LINK = ("key", "graph", "weight")


def reduce_links(state: ReduceState, job: ReduceJob) -> list[str]:
    """Write one part of a link table, and for `edges` one of `edge_groups`; return the name of the former."""
    table, store = link_table(job.dataset), state.sources.store
    parts = list(_links(state, job))
    sums = [stats for stats in _sums(state, job) if len(stats)]
    kernel = _kernel(job.device, sum(len(part["key"]) for part in parts) + sum(map(len, sums)))
    by_group = list(_earlier_groups(state, job)) if job.grouped and table.name == "edges" else []
    if parts:
        rows = kernel.sort(*(np.concatenate([part[name] for part in parts]) for name in _LINK))
        sums.insert(0, kernel.reduce(*rows)[0])
        if job.grouped and table.name == "edges":
            by_group.insert(0, edge_groups.of_links(kernel, *rows, state.sources.groups))
    stats = kernel.merge(sums)
    if table.name == "edges":
        _write_edges(state, job, stats, by_group)
    else:
        arrow = table.arrow(stats)
        store.put_with(job.name, lambda path: write_parquet(arrow, path))
    return [job.name]


def _write_edges(
    state: ReduceState, job: ReduceJob, stats: KeyStats, by_group: Sequence[edge_groups.EdgeGroups]
) -> None:
    store, group_count = state.sources.store, stats.graph_count
    joint: Ints | None = None
    if job.cooccurrence:
        joint = cooccurrence.joint_counts(state.incidences, state.plan, stats.key, stats.graph_count)
    if job.grouped:
        merged = edge_groups.merge([edge_groups.EMPTY, *by_group])
        stats, group_count = edge_groups.with_halves(stats, merged, state.sources.buckets)
        grouped = merged.table()
        store.put_with(part_name("edge_groups", job.range.number), lambda path: write_parquet(grouped, path))
    encode = page_encoder(len(stats))
    if encode is not None:
        store.put_with(job.name, lambda path: write_edges(path, stats, group_count, joint, job.method, encode))
        return
    both = pa.nulls(len(stats), pa.int64()) if joint is None else joint
    arrow = TABLES[0].arrow(stats, method=job.method, joint_graph_count=both, group_count=group_count)
    store.put_with(job.name, lambda path: write_parquet(arrow, path))


def _earlier_groups(state: ReduceState, job: ReduceJob) -> Iterator[edge_groups.EdgeGroups]:
    for source in state.sources.sources:
        previous = state.sources.previous(source, "edge_groups")
        if previous is not None:
            rows = previous.between(job.range.low, job.range.high)
            yield edge_groups.of_table(*rows, state.sources.renumbered(source))


def _kernel(device: str, rows: int) -> Kernel:
    chosen = choose_device(device) if device == "auto" else device
    if chosen == "cpu":
        return cpu_kernel(rows)
    from atlas.aggregate.kernels.torch_kernel import torch_kernel

    return torch_kernel(chosen)


def reduce_partners(state: ReduceState, job: ReduceJob) -> list[str]:
    """Write one part of `cooccurrence`; return its name."""
    partners = DATASETS["stats.cooccurrence"].empty()
    if job.cooccurrence:
        partners = cooccurrence.top_partners(state.incidences, state.plan, job.range, job.cooccurrence)
    state.sources.store.put_with(job.name, lambda path: write_parquet(partners, path))
    return [job.name]


def _links(state: ReduceState, job: ReduceJob) -> Iterator[dict[str, Any]]:
    for source, found in state.sources.rows(f"{job.dataset}.raw.", job.range):
        # Number the graphs over all sources, to distinguish graphs of different tasks.
        graph = found["graph"].astype(np.uint32) + np.uint32(source.first << 1)
        yield {"key": found["key"], "graph": graph, "weight": found["weight"].astype(np.float64)}


def _sums(state: ReduceState, job: ReduceJob) -> Iterator[KeyStats]:
    for source in state.sources.sources:
        previous = state.sources.previous(source, job.dataset)
        if previous is not None:
            yield statistics_between(previous, job.range.low, job.range.high)
    for _, found in state.sources.rows(f"{job.dataset}.sum.", job.range):
        yield KeyStats(**found)
