"""Model weights -> weight-based edges: what every neuron could do to every other, by the weights alone."""

from __future__ import annotations

from atlas.wiring.run import WireSummary, wire
from atlas.wiring.weights import Weights

__all__ = ["Weights", "WireSummary", "wire"]
