"""Top K connections of every neuron, by polarity, over all layer pairs: matrix products and a running top K.

For a target neuron N and a neuron m of a lower layer (down_proj column m)

    c_up = up_proj[N] . down_proj[:, m]        c_gate = gate_proj[N] . down_proj[:, m]

the target h = silu(gate) up changes by f_up c_up + f_gate c_gate, with f_up = silu(gate) and f_gate = up silu'(gate). Where the
regime (f_up, f_gate) of the target is known, the connection is excitatory or inhibitory by the sign of this derivative.
Where it is not, there are two regimes, up to sign: c_up + c_gate if gate and up agree in sign, c_up - c_gate if they do
not. Pairs of equal signs are then excitatory or inhibitory as published, for the first regime, and pairs of opposite
signs are mixed. Lists are ranked by |derivative| with the larger factor at 1, or by |c_up| + |c_gate|, the
larger of the two regimes, so that both kinds compare. Attention is left out. The products of a layer pair are computed in
tiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

POLARITIES = ("excitatory", "inhibitory", "mixed")
SIGNS = (1.0, -1.0)  # of the first two


@dataclass
class TopK:
    """Connections held for n neurons: arrays (3, n, K), by polarity, strongest first; strength 0 is an empty slot."""

    strength: Tensor  # float32
    partner: Tensor  # int64, layer x neurons + neuron
    up: Tensor  # float32
    gate: Tensor  # float32

    @classmethod
    def none(cls, count: int, most: int, device: str) -> TopK:
        """Return empty lists of `most` connections for `count` neurons."""
        shape = (len(POLARITIES), count, most)
        values = [torch.zeros(shape, device=device) for _ in range(3)]
        return cls(values[0], torch.full(shape, -1, device=device), *values[1:])

    def rows(self, some: slice) -> TopK:
        """Return the lists of some neurons, as views of these."""
        return TopK(*(value[:, some] for value in (self.strength, self.partner, self.up, self.gate)))

    def to(self, device: str) -> TopK:
        """Return the lists on a device."""
        return TopK(*(value.to(device) for value in (self.strength, self.partner, self.up, self.gate)))

    def offer(self, polarity: int, rows: slice, up: Tensor, gate: Tensor, strength: Tensor, partner: Tensor) -> None:
        """Merge candidates into the lists of some neurons.

        Candidates are arrays (r, c), except `partner` (c,), the neurons of the columns.
        """
        best, place = torch.topk(strength, min(self.strength.shape[2], strength.shape[1]), dim=1)
        given = (best, partner[place], up.gather(1, place), gate.gather(1, place))
        held = (self.strength, self.partner, self.up, self.gate)
        both = [torch.cat([kept[polarity, rows], new.to(kept.dtype)], 1) for kept, new in zip(held, given, strict=True)]
        # Stable: of equal strengths, the one already held is kept.
        order = torch.argsort(both[0], dim=1, descending=True, stable=True)[:, : self.strength.shape[2]]
        for kept, values in zip(held, both, strict=True):
            kept[polarity, rows] = values.gather(1, order)


@dataclass(frozen=True)
class Tile:
    """Products of some target neurons with all neurons of one lower layer."""

    rows: slice
    up: Tensor  # (r, m) float32
    gate: Tensor  # (r, m) float32

    regimes: Tensor | None  # (r, 2) factors of up and gate, the larger at 1; NaN where unknown

    def strengths(self) -> Iterator[tuple[int, Tensor]]:
        """Yield every polarity that a pair can have, with what its list is ranked by, (r, m); 0 for other pairs."""
        if self.regimes is None:
            yield from self._by_signs()
            return
        known = ~self.regimes.isnan().any(1, keepdim=True)
        derivative = self.regimes[:, :1] * self.up + self.regimes[:, 1:] * self.gate
        for polarity, strength in self._by_signs():
            if polarity < len(SIGNS):
                yield polarity, torch.where(known, (derivative * SIGNS[polarity]).clamp(min=0), strength)
            elif not known.all():
                yield polarity, torch.where(known, 0.0, strength)

    def _by_signs(self) -> Iterator[tuple[int, Tensor]]:
        for polarity, sign in enumerate(SIGNS):
            mine = (self.up * sign > 0) & (self.gate * sign > 0)
            yield polarity, torch.where(mine, (self.up + self.gate) * sign, 0.0)
        yield len(SIGNS), torch.where(self.up * self.gate < 0, self.up.abs() + self.gate.abs(), 0.0)


def tiles(reads: tuple[Tensor, Tensor], writes: Tensor, regimes: Tensor | None, most_rows: int) -> Iterator[Tile]:
    """Yield the products of a layer pair, `most_rows` target neurons at a time."""
    up, gate = reads
    for start in range(0, len(up), most_rows):
        rows = slice(start, min(start + most_rows, len(up)))
        of_rows = regimes[rows] if regimes is not None else None
        yield Tile(rows, product(up[rows], writes), product(gate[rows], writes), of_rows)


def product(one: Tensor, other: Tensor) -> Tensor:
    """Return one @ other.T, (r, m), summed in float32 for matrices of any type."""
    if one.dtype == torch.float32 or not one.is_cuda:
        return one.float() @ other.float().T
    return torch.mm(one, other.T, out_dtype=torch.float32)


def connect(
    reads: tuple[Tensor, Tensor],
    writes: Tensor,
    regimes: Tensor | None,
    layers: tuple[int, int],
    upstream: TopK,
    downstream: TopK,
    most_rows: int,
) -> None:
    """Offer all pairs of a (lower, upper) layer pair to the lists of both sides.

    `upstream` holds the lists of the targets (n = neurons of the upper layer), `downstream` those of the sources
    (n = neurons of the lower layer), and `regimes` (n, 2) those of the targets.
    """
    lower, upper = layers
    count = len(writes)
    sources = lower * count + torch.arange(count, device=writes.device)
    every = slice(0, count)
    for tile in tiles(reads, writes, regimes, most_rows):
        targets = upper * len(reads[0]) + torch.arange(tile.rows.start, tile.rows.stop, device=writes.device)
        for polarity, strength in tile.strengths():
            upstream.offer(polarity, tile.rows, tile.up, tile.gate, strength, sources)
            downstream.offer(polarity, every, tile.up.T, tile.gate.T, strength.T, targets)
