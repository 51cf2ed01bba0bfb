"""Reduce phase: divides the keys of every dataset into ranges, and reduces each range to one Parquet part."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from atlas.aggregate.context import Provenance, Run
from atlas.aggregate.inputs import Input, common_space, final_ids, group_graphs, identity_columns, signature
from atlas.aggregate.link_tables import TABLES
from atlas.aggregate.plan import Budget
from atlas.aggregate.prompt_groups import GraphGroups
from atlas.aggregate.reduce.cooccurrence import Plan
from atlas.aggregate.reduce.edges import reduce_links, reduce_partners
from atlas.aggregate.reduce.incidence_index import write_index
from atlas.aggregate.reduce.jobs import ReduceJob, ReduceState
from atlas.aggregate.reduce.neurons import reduce_nodes
from atlas.aggregate.spill.key_ranges import KeyRange
from atlas.aggregate.spill.sorted_sources import SortedSources, write_sources
from atlas.graph import Ints, Space
from atlas.io.files import translated_os_errors
from atlas.io.work_dir import Store

_RANGES = "ranges.json"
_LAYOUT = 3  # of the parts; those that another version has left unfinished are made again
NODE_DATASET = "neurons"
_PARTNERS = "cooccurrence"


@dataclass(frozen=True)
class ReducedParts:
    """Result of the reduce phase: ranges per dataset, with one part each in the work folder, and final graph ids."""

    space: Space
    graph_ids: list[Ints]  # of the graphs of every input
    groups: GraphGroups
    ranges: dict[str, list[KeyRange]]
    cooccurrence: Plan | None  # how co-occurring neurons were found; None if they are left out


def reduce_inputs(run: Run, inputs: Sequence[Input], provenance: Provenance) -> ReducedParts:
    """Reduce all inputs to the parts of `neurons`, `neuron_graphs`, `cooccurrence` and the link tables.

    Parts of a killed run are reused if they have the same graphs and options.

    Raises:
        NothingReadable: No input holds a graph.
        SpaceMismatch: Two inputs have different feature spaces.
    """
    space = common_space(run.store, inputs, provenance)
    ids = final_ids(*identity_columns(inputs))
    run.progress("grouping prompts", 0, 0)
    groups = group_graphs(inputs, run.options.groups)
    write_sources(run.store, [item.source for item in inputs], ids, groups)
    graph_total = sum(map(len, ids))
    made_with = [
        run.store.url,
        space.method,
        run.options.device,
        run.options.cooccurrence,
        graph_total,
        groups.digest(),
    ]
    ranges = _key_ranges(run, [signature(inputs, provenance), made_with])
    make_state = functools.partial(ReduceState, run.store.url, graph_total)
    plan: Plan | None = None

    def jobs(name: str) -> list[ReduceJob]:
        shared = (run.options.device, space.method, run.options.cooccurrence, groups.is_grouped)
        return [ReduceJob(name, part, *shared) for part in ranges[name]]

    # Sync parts to disk while the next ones are made, so that little is left to wait for at the end.
    with ThreadPoolExecutor(1) as disk:
        _run_jobs(run, reduce_nodes, jobs(NODE_DATASET), make_state, disk)
        if run.options.cooccurrence:
            run.progress("indexing neurons by graph", 0, 0)
            sizes = write_index(run.store, len(ranges[NODE_DATASET]), graph_total, run.workers)
            plan = Plan.of(sizes, _links(inputs), graph_total, run.options.cooccurrence)
            make_state = functools.partial(ReduceState, run.store.url, graph_total, plan)
        ranges[_PARTNERS] = plan.ranges if plan else [KeyRange(0, 0, 0)]
        for table in TABLES:
            what = plan.said("edges") if plan and table.name == "edges" else ""
            _run_jobs(run, reduce_links, jobs(table.name), make_state, disk, what)
        # Co-occurring neurons are found on the CPU, so that all workers can help even if links are reduced on a GPU.
        on_cpu = replace(run, options=replace(run.options, device="cpu"))
        _run_jobs(on_cpu, reduce_partners, jobs(_PARTNERS), make_state, disk, plan.said(_PARTNERS) if plan else "")
    return ReducedParts(space, ids, groups, ranges, plan)


def _links(inputs: Sequence[Input]) -> int:
    """Return the number of links of all graphs that are kept."""
    kept = [pc.sum(pc.subtract(item.graphs["link_count"], item.graphs["dropped_count"])).as_py() for item in inputs]
    return sum(count or 0 for count in kept)


def _key_ranges(run: Run, made_of: Sequence[Any]) -> dict[str, list[KeyRange]]:
    """Return the ranges of every dataset, and delete parts that were made from other graphs or options."""
    size = Budget.of(run.options.memory, run.options.device).links
    sources = SortedSources(run.store)
    # A row of a neuron takes as much memory as two links.
    ranges = {NODE_DATASET: sources.key_ranges(NODE_DATASET, size // 2)}
    ranges |= {table.name: sources.key_ranges(table.name, size) for table in TABLES}
    text = json.dumps([_LAYOUT, *made_of, {name: [asdict(part) for part in parts] for name, parts in ranges.items()}])
    if not _holds(run.store, text):
        run.store.put(_RANGES, [text.encode()], lasting=False)
    return ranges


def _holds(store: Store, text: str) -> bool:
    """Return True if the parts in the store belong to these ranges; delete them if they belong to others."""
    if _RANGES not in store.names():
        return False
    with store.local(_RANGES) as path:
        if path.read_text() == text:
            return True
    for name in store.names():
        if name.startswith(("parts/", "postings/", "members/", "index/")):
            store.delete(name)
    return False


def _run_jobs(
    run: Run,
    function: Callable[[ReduceState, ReduceJob], list[str]],
    jobs: Sequence[ReduceJob],
    make_state: Callable[[], ReduceState],
    disk: ThreadPoolExecutor,
    what: str = "",
) -> None:
    finished = run.store.names()
    missing = [job for job in jobs if job.name not in finished]
    done, what = len(jobs) - len(missing), what or f"parts of {jobs[0].dataset}"
    run.progress(what, done, len(jobs))
    synced: list[Future[None]] = []
    for names in run.near_device.run(function, missing, make_state):
        synced += [disk.submit(run.store.sync, name) for name in names]
        done += 1
        run.progress(what, done, len(jobs))
    for future in synced:
        # Linux reports a failed write-back only once, so the error must be raised here.
        with translated_os_errors(Path(run.store.url)):
            future.result()
