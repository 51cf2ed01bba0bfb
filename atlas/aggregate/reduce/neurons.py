"""Reduction of one range of neurons to a part of `neurons`, of `neuron_graphs`, and of co-occurrence postings."""

from __future__ import annotations

from typing import Any

import numpy as np

from atlas.aggregate.kernels import sort_words
from atlas.aggregate.kernels.key_stats import run_starts
from atlas.aggregate.reduce import incidence_index, node_tables
from atlas.aggregate.reduce.jobs import ReduceJob, ReduceState, part_name
from atlas.aggregate.spill.key_ranges import KeyRange
from atlas.aggregate.spill.sorted_sources import SortedSource, SortedSources
from atlas.graph import Ints
from atlas.ids import NEURON_BITS
from atlas.io.files import write_parquet


def reduce_nodes(state: ReduceState, job: ReduceJob) -> list[str]:
    """Write one part of `neurons`, of `neuron_graphs` and of the postings; return the names of the parts."""
    sources, store = state.sources, state.sources.store
    parts: dict[str, list[Any]] = {name: [] for name in ("key", "graph", "position", "activation", "influence")}
    for source, found in sources.rows("nodes.", job.range):
        found["graph"] = sources.graph_ids(source)[found["graph"]]
        for name, values in parts.items():
            values.append(found[name])
    columns = {name: np.concatenate(values) for name, values in parts.items() if values}
    tables = [node_tables.from_nodes(columns)] if columns else []
    tables += [table for item in sources.sources if (table := _previous_nodes(sources, item, job.range)) is not None]
    merged = node_tables.merge(tables)
    merged.neurons["group_count"] = _group_counts(merged, sources.groups_by_id)
    incidence_index.write_postings(store, job.range.number, merged.neurons, merged.incidences["graph"])
    incidences = node_tables.neuron_graph_table(merged)
    neurons = node_tables.neuron_table(merged)
    name = part_name("neuron_graphs", job.range.number)
    store.put_with(name, lambda path: write_parquet(incidences, path))
    store.put_with(job.name, lambda path: write_parquet(neurons, path))
    return [name, job.name]


def _group_counts(tables: node_tables.NodeTables, groups: Ints) -> Ints:
    """Return the number of groups of each neuron, (n_neurons,)."""
    counts = tables.neurons["graph_count"]
    if groups.max(initial=-1) + 1 == len(groups):
        return counts  # each graph is a group of its own
    neuron = np.repeat(np.arange(len(counts)), counts)
    found = sort_words(neuron << NEURON_BITS | groups[tables.incidences["graph"]])
    return np.bincount(found[run_starts(found)] >> NEURON_BITS, minlength=len(counts))


def _previous_nodes(sources: SortedSources, source: SortedSource, part: KeyRange) -> node_tables.NodeTables | None:
    neurons, incidences = (sources.previous(source, name) for name in ("neurons", "neuron_graphs"))
    if neurons is None or incidences is None:
        return None
    key, table = neurons.between(part.low, part.high)
    if not len(key):
        return None
    return node_tables.from_tables(table, incidences.between(part.low, part.high)[1], sources.graph_ids(source))
