"""Growth of circuits along their strongest edges, upstream and downstream, as far as resamples confirm it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from atlas.circuits.cells import Cells
from atlas.stages.resamples import Floats, Ints, ranks

UPSTREAM, DOWNSTREAM = "upstream", "downstream"
_CANDIDATES = 32  # strongest edges of a neuron in each direction, of which growth chooses


@dataclass(frozen=True)
class Grown:
    """Neurons that were added to circuits.

    Attributes:
        circuit: Row of the circuit (n,).
        neuron: Packed neuron (n,).
        direction: `upstream` or `downstream`.
        step: How many edges away from the circuit it was found.
        share: Mean share of the input of the neurons it was found from that it gives; downstream, of their output that it takes (n,).
        confidence: Share of the resamples in which it is among the strongest (n,).
    """

    circuit: Ints
    neuron: Ints
    direction: str
    step: int
    share: Floats
    confidence: Floats


class Growth:
    """Edges in all groups and in every resample, along which circuits grow."""

    def __init__(self, edges: Cells, buckets: int, resamples: Floats) -> None:
        self._neurons = np.union1d(edges.first, edges.second)
        self._ends = {
            UPSTREAM: (np.searchsorted(self._neurons, edges.second), np.searchsorted(self._neurons, edges.first)),
            DOWNSTREAM: (np.searchsorted(self._neurons, edges.first), np.searchsorted(self._neurons, edges.second)),
        }
        weights = [edges.sums(row)[1] for row in [np.ones(buckets), *resamples]]
        self._kept: dict[str, Ints] = {}
        self._shares: dict[str, list[Floats]] = {}
        for direction, (near, _) in self._ends.items():
            order = np.lexsort((-weights[0], near))
            self._kept[direction] = kept = order[ranks(near[order]) < _CANDIDATES]
            self._shares[direction] = [_share(weight, near, len(self._neurons))[kept] for weight in weights]

    def rounds(self, circuit: Ints, neuron: Ints, count: int, least: float, steps: int) -> list[Grown]:
        """Grow circuits until no neuron is confirmed, or for a number of steps.

        A neuron is added where it is among the `count` strongest of its circuit and step, in all groups and in at least the
        share `least` of the resamples.

        Args:
            circuit: Row of the circuit of every member (n,).
            neuron: Packed neuron (n,).
            count: Number of neurons that are added per step and direction at most.
            least: Least confidence.
            steps: Number of steps at most.

        Returns:
            The neurons of every step and direction.
        """
        found: list[Grown] = []
        if not len(self._neurons):
            return found
        known = set(zip(circuit.tolist(), neuron.tolist(), strict=True))
        for direction in (UPSTREAM, DOWNSTREAM):
            frontier = circuit, neuron
            for step in range(1, steps + 1):
                grown = self._step(*frontier, direction, step, count, least, known)
                if not len(grown.circuit):
                    break
                known |= set(zip(grown.circuit.tolist(), grown.neuron.tolist(), strict=True))
                found.append(grown)
                frontier = grown.circuit, grown.neuron
        return found

    def _step(
        self,
        circuit: Ints,
        neuron: Ints,
        direction: str,
        step: int,
        count: int,
        least: float,
        known: set[tuple[int, int]],
    ) -> Grown:
        owner, edge = self._edges_of(circuit, neuron, direction)
        far = self._neurons[self._ends[direction][1][self._kept[direction][edge]]]
        is_new = np.array([pair not in known for pair in zip(owner.tolist(), far.tolist(), strict=True)], np.bool_)
        owner, edge, far = owner[is_new], edge[is_new], far[is_new]
        pairs, place = np.unique(np.stack([owner, far]), axis=1, return_inverse=True)
        place = place.reshape(-1)
        sizes = np.bincount(circuit)
        scores = [
            np.bincount(place, shares[edge], pairs.shape[1]) / sizes[pairs[0]] for shares in self._shares[direction]
        ]
        strongest = [_strongest(pairs[0], pairs[1], score, count) for score in scores]
        confidence = np.mean(strongest[1:], axis=0) if len(strongest) > 1 else np.zeros(pairs.shape[1])
        kept = strongest[0] & (confidence >= least)
        return Grown(pairs[0][kept], pairs[1][kept], direction, step, scores[0][kept], confidence[kept])

    def _edges_of(self, circuit: Ints, neuron: Ints, direction: str) -> tuple[Ints, Ints]:
        """Return the candidate edges of members: the circuit, and the place among the candidates."""
        near = self._ends[direction][0][self._kept[direction]]  # ascending
        row = np.searchsorted(self._neurons, neuron)
        is_known = (row < len(self._neurons)) & (self._neurons[np.minimum(row, len(self._neurons) - 1)] == neuron)
        row, circuit = row[is_known], circuit[is_known]
        first, last = np.searchsorted(near, row), np.searchsorted(near, row, side="right")
        lengths = last - first
        offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return np.repeat(circuit, lengths), np.repeat(first, lengths) + offsets


def _share(weight: Floats, near: Ints, count: int) -> Floats:
    """Return the share of every edge in all edges of its near end."""
    total = np.bincount(near, weight, count)[near]
    return np.divide(weight, total, out=np.zeros(len(weight)), where=total > 0)


def _strongest(circuit: Ints, neuron: Ints, score: Floats, count: int) -> np.ndarray:
    order = np.lexsort((neuron, -score, circuit))
    kept = np.zeros(len(order), np.bool_)
    kept[order] = ranks(circuit[order]) < count
    return kept & (score > 0)
