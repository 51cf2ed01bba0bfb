"""Ablations: what happens in the real model when a neuron or the effect of one neuron on another is taken away.

An effect is the value with the neuron less the value without it, where the neuron writes its baseline instead:

* of a node on the metric, with everything behind it computed again (total effect);
* of an edge on its target, with all other neurons held at their values, so that the source reaches the target through
  attention and the residual stream alone (direct effect). Attention patterns and norms are computed again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from atlas.graph import Floats
from atlas.models.cache import Baseline, Cache, activation
from atlas.models.model import TracedModel, Writer
from atlas.trace.effects import NodeIndex
from atlas.trace.metrics import Outputs


@dataclass(frozen=True)
class Ablator:
    """Ablations on one prompt, `rows` of them per forward pass."""

    model: TracedModel
    ids: tuple[int, ...]
    cache: Cache
    baseline: Baseline
    outputs: Outputs
    rows: int

    def active_cells(self, cells: NodeIndex) -> Floats:
        """Return the activations of cells, (k,)."""
        found: Floats = cells.of(self.cache.activations).double().cpu().numpy()
        return found

    def nodes(self, cells: NodeIndex) -> Tensor:
        """Return the effects of nodes on the metric, (k,)."""

        def of_piece(some: slice) -> Tensor:
            here = _some(cells, some)
            metric = self.outputs.metric(
                self._logits(len(here), lambda layer, active: self._without(layer, active, here))
            )
            return metric[0] - metric[1:]

        return self._joined(len(cells), of_piece)

    def edges(self, sources: NodeIndex, targets: NodeIndex) -> Tensor:
        """Return the effects of sources on target neurons, (k,)."""

        def of_piece(some: slice) -> Tensor:
            source, target = _some(sources, some), _some(targets, some)
            seen = self.cache.logits.new_zeros(2, len(source))

            def write(layer: int, active: Tensor) -> Tensor:
                rows = torch.nonzero(target.layer == layer).flatten()
                at = target.position[rows], target.neuron[rows]
                seen[0, rows], seen[1, rows] = active[(0, *at)].to(seen.dtype), active[(rows + 1, *at)].to(seen.dtype)
                return self._without(layer, self._held(layer, active), source)

            self._logits(len(source), write)
            return seen[0] - seen[1]

        return self._joined(len(sources), of_piece)

    def output_edges(self, sources: NodeIndex, outputs: Tensor) -> Tensor:
        """Return the effects of sources on the outputs number `outputs`, (k,)."""

        def of_piece(some: slice) -> Tensor:
            here, chosen = _some(sources, some), outputs[some]

            def write(layer: int, active: Tensor) -> Tensor:
                return self._without(layer, self._held(layer, active), here)

            values = self.outputs.values(self._logits(len(here), write))
            return values[0, chosen] - values[torch.arange(len(here)) + 1, chosen]

        return self._joined(len(sources), of_piece)

    def _joined(self, count: int, of_piece: Callable[[slice], Tensor]) -> Tensor:
        """Return the effects of `count` ablations, `rows` at a time."""
        pieces = [of_piece(slice(start, min(start + self.rows, count))) for start in range(0, count, self.rows)]
        return torch.cat([self.cache.logits.new_zeros(0), *pieces])

    def _logits(self, count: int, write: Writer) -> Tensor:
        """Return the logits of `count` ablated runs, after those of the run as it is, (1 + count, vocabulary)."""
        with self.model.writing(write):
            return self.model.last_logits([list(self.ids)] * (1 + count))

    def _held(self, layer: int, active: Tensor) -> Tensor:
        """Return the activations of the prompt for every row of `active`."""
        return activation(self.cache.layers[layer]).to(active.dtype).expand_as(active)

    def _without(self, layer: int, active: Tensor, cells: NodeIndex) -> Tensor:
        """Return activations where row 1 + i has the baseline at cell i."""
        rows = torch.nonzero(cells.layer == layer).flatten()
        if not len(rows):
            return active
        at = cells.position[rows], cells.neuron[rows]
        changed = active.clone()
        changed[(rows + 1, *at)] = self.baseline.at(cells.layer[rows], *at).to(active.dtype)
        return changed


def _some(cells: NodeIndex, some: slice) -> NodeIndex:
    return NodeIndex(cells.layer[some], cells.position[some], cells.neuron[some])
