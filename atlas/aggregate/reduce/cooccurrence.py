"""Co-occurrence: the number of graphs that hold both ends of an edge, and the top co-occurring neurons of a neuron.

    both(s, t) = |graphs(s) & graphs(t)|        lift = both * n / (graphs(s) * graphs(t))
    pmi = ln(lift)                              npmi = pmi / -ln(both / n)     (Bouma, "Normalized (pointwise)
                                                mutual information in collocation extraction", 2009)

Counts of edges are always exact. Top partners are exact where counting all pairs of neurons in all graphs costs little beside
the aggregation itself; otherwise those of frequent neurons are chosen from a sample of their graphs, and their counts are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from atlas.aggregate.kernels import cooccurrence_kernel
from atlas.aggregate.kernels.key_stats import LOW
from atlas.aggregate.reduce.incidence_index import IncidenceIndex, Sizes
from atlas.aggregate.spill.key_ranges import KeyRange
from atlas.graph import Ints
from atlas.ids import INDEX_BITS, MAX_INDEX, NEURON_BITS
from atlas.stages import DATASETS

# Shared graphs of a partner, at least: neurons that share one graph may share only its prompt.
MIN_JOINT = 2
# Candidates per partner that is kept, where they are chosen from a sample of graphs.
_CANDIDATES = 4
# Visits of a member that are always affordable, and those per link.
_FREE_STEPS, _STEPS_PER_LINK = 1_000_000_000, 64
_LEAST_GRAPHS = 16
_STEP_SECONDS = 3e-9  # of one core
# Of one job: visits, and neurons.
_JOB_STEPS, _JOB_ROWS = 400_000_000, 100_000


@dataclass(frozen=True)
class Plan:
    """Way in which the top partners of all neurons are found. It follows from the graphs alone, not from the machine.

    Attributes:
        whole: Neurons in at most this many graphs have enough partners in all of these, as a rule.
        limit: Graphs of any other neuron that are looked at for its partners, at most; None for all.
        steps: Visits of a member of a graph, predicted.
        most_steps: Visits at which the counts of edges are made, at most.
        visits: Members that are visited for each graph of a neuron, on average.
        ranges: Ranges of numbers of neurons, one job each.
    """

    whole: int
    limit: int | None
    steps: int
    most_steps: int
    visits: int
    ranges: list[KeyRange]

    @classmethod
    def of(cls, sizes: Sizes, links: int, graph_total: int, top: int) -> Plan:
        """Return the plan for incidences of these sizes, a number of links, and `top` partners of each neuron."""
        counts = np.where(sizes.graph_counts >= MIN_JOINT, sizes.graph_counts, 0)
        whole = _whole(sizes.graph_counts / max(graph_total, 1), top)
        # Intersecting the members of some graphs takes as long as counting those of one.
        looked_at = np.where(counts <= whole, np.minimum(counts, 1), counts)
        affordable = max(_FREE_STEPS, _STEPS_PER_LINK * links)
        limit: int | None = None
        if int(looked_at.sum()) * sizes.visits > affordable:
            limit = 1 << max(int(counts.max(initial=1)).bit_length(), 1)
            while limit > _LEAST_GRAPHS and int(np.minimum(looked_at, limit).sum()) * sizes.visits > affordable:
                limit //= 2
            looked_at = np.minimum(looked_at, limit)
        total = np.cumsum(looked_at * sizes.visits)
        bounds = [0]
        while bounds[-1] < len(counts):
            used = int(total[bounds[-1] - 1]) if bounds[-1] else 0
            stop = int(np.searchsorted(total, used + _JOB_STEPS, "right"))
            bounds.append(min(max(stop, bounds[-1] + 1), bounds[-1] + _JOB_ROWS, len(counts)))
        pairs = zip(bounds, bounds[1:] or [0], strict=False)
        ranges = [KeyRange(number, low, high) for number, (low, high) in enumerate(pairs)]
        return cls(whole, limit, int(total[-1]) if len(total) else 0, sizes.steps, sizes.visits, ranges)

    def said(self, dataset: str) -> str:
        """Say what co-occurrence costs in the parts of a dataset, before they begin."""
        if dataset == "edges":
            return f"parts of edges (graphs of both ends: at most {self._seconds(self.most_steps)} s of one core)"
        how = "all graphs" if self.limit is None else f"{self.limit:,} graphs of each"
        return f"parts of cooccurrence ({how}: about {self._seconds(self.steps)} s of one core)"

    @staticmethod
    def _seconds(steps: int) -> str:
        return f"{max(round(steps * _STEP_SECONDS), 1):,}"

    def facts(self) -> Mapping[str, Any]:
        """Return the entries of the manifest."""
        method = "exact" if self.limit is None else f"candidates from {self.limit} graphs of a neuron, exact counts"
        return {
            "method": method,
            "graphs_per_neuron": self.limit,
            "min_joint_graph_count": MIN_JOINT,
            "steps": self.steps,
        }


def _whole(frequencies: NDArray[np.float64], top: int) -> int:
    """Return the largest power of two of graphs that, drawn at random, half as many neurons again as `top` are all in; 0 if none is."""
    graphs, powers = 1, frequencies
    while graphs < 1 << 20 and (powers := powers * powers).sum() > 1.5 * top + 1:
        graphs *= 2
    return graphs if graphs > 1 else 0


def joint_counts(index: IncidenceIndex, plan: Plan, key: Ints, linked: Ints) -> Ints:
    """Return `joint_graph_count` of the edges of a range.

    Args:
        index: Graphs of all neurons.
        plan: How partners are found.
        key: Packed edges (n_edges,), ascending.
        linked: Number of graphs that link the ends of each edge.

    Returns:
        Numbers of graphs that hold both ends, (n_edges,).
    """
    source, target = index.rank_of(key >> NEURON_BITS), index.rank_of(key & LOW)
    both = np.zeros(len(key), np.int64)
    count, _ = cooccurrence_kernel(len(key) * _STEPS_PER_LINK, len(index.key))
    count(source, target, linked, *index.arrays, plan.visits, *index.scratch(), both)
    index.release()
    return both


def top_partners(index: IncidenceIndex, plan: Plan, part: KeyRange, top: int) -> pa.Table:
    """Return the rows of `cooccurrence` of a range of neurons.

    Args:
        index: Graphs of all neurons.
        plan: How partners are found.
        part: Numbers of the neurons.
        top: Partners of each neuron.

    Returns:
        Rows in the order of neuron and rank.
    """
    best = np.full((part.high - part.low, top), -1, np.int64)
    candidates = np.full((1, _CANDIDATES * top), -1, np.int64)
    _, find = cooccurrence_kernel(plan.steps, len(index.key))
    limit = plan.limit or max(index.graph_total, 1)
    rows = index.rank[part.low : part.high]
    # Neurons with the same first graph one after the other: the kernel holds its members.
    graphs, starts = index.arrays[:2]
    order = np.argsort(graphs[starts[rows]], kind="stable") if len(graphs) else np.arange(len(rows))
    counts, marks = index.scratch()
    touched, flags = np.zeros(len(index.key) + 1, np.uint32), np.zeros(len(index.key) // 64 + 1, np.uint64)
    sizes = plan.visits, plan.whole, limit, MIN_JOINT
    find(rows[order], *index.arrays, *sizes, counts, touched, marks, flags, candidates, best)
    index.release()
    best[order] = -np.sort(-best, axis=1)
    row, rank = np.nonzero(best >= 0)
    found = best[row, rank]
    return _table(index, row + part.low, rank + 1, index.number[found & 0xFFFF_FFFF], found >> 32)


def _table(index: IncidenceIndex, number: Ints, rank: Ints, other: Ints, both: Ints) -> pa.Table:
    n = max(index.graph_total, 1)
    lift = both * (n / (index.graph_count[number].astype(np.float64) * index.graph_count[other]))
    pmi, share = _ln(lift), -_ln(both / n)
    npmi = np.divide(pmi, share, out=np.full(len(pmi), np.nan), where=share > 0)
    key, partner = index.key[number], index.key[other]
    return DATASETS["stats.cooccurrence"].table(
        {
            "layer": key >> INDEX_BITS,
            "neuron": key & MAX_INDEX,
            "rank": rank,
            "other_layer": partner >> INDEX_BITS,
            "other_neuron": partner & MAX_INDEX,
            "joint_graph_count": both,
            "lift": lift,
            "pmi": pmi,
            "npmi": pa.array(npmi, from_pandas=True),
        }
    )


def _ln(values: NDArray[np.float64]) -> NDArray[np.float64]:
    # Not np.log: its last bit depends on the processor's instructions, and on which of them are disabled.
    found: NDArray[np.float64] = pc.ln(pa.array(values)).to_numpy(zero_copy_only=False)
    return found
