"""Chooses who reduces: numpy on the CPU, torch on a CUDA device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from atlas.aggregate import statistics
from atlas.aggregate.statistics import KeyStats
from atlas.runtime.devices import choose_device


class Kernel(Protocol):
    """Reduces observations, and merges statistics."""

    def reduce(self, key: Any, graph: Any, weight: Any) -> KeyStats:
        """Statistics of observations; key (n,) int64, graph (n,) `number << 1 | half`, weight (n,) float64."""

    def merge(self, parts: Sequence[KeyStats]) -> KeyStats:
        """Statistics of the union of observations of parts that share no graphs."""


class CpuKernel:
    """numpy."""

    def reduce(self, key: Any, graph: Any, weight: Any) -> KeyStats:
        """Statistics of observations."""
        return statistics.reduce_observations(key, graph, weight)

    def merge(self, parts: Sequence[KeyStats]) -> KeyStats:
        """Statistics of the union."""
        return statistics.merge(parts)


def choose_kernel(device: str) -> Kernel:
    """The kernel of a device that `choose_device` named; `torch:cpu` is the torch kernel without a GPU, for tests."""
    if device == "auto":
        device = choose_device(device)
    if device == "cpu":
        return CpuKernel()
    from atlas.aggregate.device import TorchKernel

    return TorchKernel(device.removeprefix("torch:"))
