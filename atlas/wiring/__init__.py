"""Wiring of a model: edges between its neurons, from the weights alone."""

from __future__ import annotations

from atlas.wiring.regimes import are_of
from atlas.wiring.run import WireSummary, wire
from atlas.wiring.weights import Weights

__all__ = ["Weights", "WireSummary", "are_of", "wire"]
