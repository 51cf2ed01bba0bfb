"""Anchored circuits: the neurons that carry one input token, or one output token, and how surely they are found again.

A neuron belongs to an input token as much as the weight between them, times the logarithm of how much larger the token's share of the
neuron's input is than its share of all input. It belongs to an output token as much as the sum of its weights to it. Either rule was chosen
because more of its circuits are found again in other prompts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from atlas.circuits.cells import Cells
from atlas.stages.resamples import Bools, Floats, Ints, ranks

INPUT, OUTPUT = "input", "output"
SIZES = (5, 10, 20, 40)  # of which replication chooses


@dataclass(frozen=True)
class Anchors:
    """Pairs of an anchor and a neuron. An anchor is one token, or several with the same circuit.

    Attributes:
        cells: Weights of (token, neuron) by bucket.
        tokens: Tokens of every anchor.
        anchor: Row of the anchor of every pair (n_pairs,); -1 of other tokens.
        is_output: The tokens are outputs, or differences of two, to which weights of both signs add up.
    """

    cells: Cells
    tokens: list[tuple[int, ...]]
    anchor: Ints
    is_output: bool = False

    @classmethod
    def of(cls, cells: Cells, tokens: list[tuple[int, ...]], *, is_output: bool = False) -> Anchors:
        """Return the anchors of tokens; the weights of the tokens of one anchor are added up.

        Args:
            cells: Weights of (token, neuron) by bucket.
            tokens: Tokens of every anchor.
            is_output: The tokens are outputs.

        Returns:
            The anchors.
        """
        renamed = {token: group[0] for group in tokens for token in group}
        first = np.array([renamed.get(token, token) for token in cells.first.tolist()], np.int64)
        joined = cells
        if any(len(group) > 1 for group in tokens):
            columns = {"first": first[cells.pair], "second": cells.second[cells.pair], "bucket": cells.bucket}
            joined = Cells.of({**columns, "signed": cells.signed, "absolute": cells.absolute})
        rows = {group[0]: row for row, group in enumerate(tokens)}
        anchor = np.array([rows.get(token, -1) for token in joined.first.tolist()], np.int64)
        return cls(joined, tokens, anchor, is_output)

    def scores(self, weights: Floats) -> Floats:
        """Return how much each neuron belongs to each anchor in a resample, 0 or more (n_pairs,)."""
        signed, absolute = self.cells.sums(weights)
        return np.abs(signed) if self.is_output else _specific(self.cells, absolute)

    def best(self, scores: Floats, sizes: Ints) -> Bools:
        """Return True for the pairs with the largest scores of each anchor, as many as `sizes` (n_anchors,) says."""
        rows = np.flatnonzero((self.anchor >= 0) & (scores > 0))
        order = rows[np.lexsort((self.cells.second[rows], -scores[rows], self.anchor[rows]))]
        kept = np.zeros(len(scores), np.bool_)
        kept[order] = ranks(self.anchor[order]) < sizes[self.anchor[order]]
        return kept

    def jaccard(self, one: Bools, other: Bools) -> Floats:
        """Return the Jaccard index of two sets of every anchor (n_anchors,); 0 where both are empty."""
        both, either = (self.count(pairs) for pairs in (one & other, one | other))
        found: Floats = np.divide(both, either, out=np.zeros(len(both)), where=either > 0)
        return found

    def count(self, pairs: Bools) -> Ints:
        """Return the number of pairs of every anchor (n_anchors,)."""
        found: Ints = np.bincount(self.anchor[pairs & (self.anchor >= 0)], minlength=len(self.tokens))
        return found

    def against_others(self, one: Bools, other: Bools, others: Ints) -> Floats:
        """Return the Jaccard index of the set `one` of every anchor and the set `other` of another anchor, `others` (n_anchors,)."""
        place = self.cells.places[1]
        span = int(place.max(initial=0)) + 1
        mine, theirs = (self.anchor[pairs] * span + place[pairs] for pairs in (one, other))
        row, neuron = mine // span, mine % span
        both = np.bincount(row[np.isin(others[row] * span + neuron, theirs)], minlength=len(self.tokens))
        either = self.count(one) + self.count(other)[others] - both
        found: Floats = np.divide(both, either, out=np.zeros(len(both)), where=either > 0)
        return found


def _specific(cells: Cells, weight: Floats) -> Floats:
    """Return weight x log(share of the token in the neuron's weights / share of the token in all weights), 0 where negative."""
    token, neuron = cells.places
    of_token, of_neuron = np.bincount(token, weight), np.bincount(neuron, weight)
    expected = of_token[token] * of_neuron[neuron]
    ratio = np.divide(weight * weight.sum(), expected, out=np.ones(len(weight)), where=expected > 0)
    found: Floats = weight * np.log(np.maximum(ratio, 1.0))
    return found
