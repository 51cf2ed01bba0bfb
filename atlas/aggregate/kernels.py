"""Chooses who reduces: numpy on the CPU, torch on a CUDA device."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from atlas.aggregate import statistics
from atlas.aggregate.statistics import KeyStats
from atlas.errors import UsageError, needs_extra

DEVICES = ("auto", "cpu", "cuda")


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


def choose_device(name: str) -> str:
    """`auto` is CUDA where there is a card; raises `UsageError` for `cuda` where there is none."""
    if name not in DEVICES:
        raise UsageError(f"--device {name}: choose {', '.join(DEVICES[:-1])} or {DEVICES[-1]}")
    if name == "cpu" or (name == "auto" and not _card_is_likely()):
        return "cpu"
    with needs_extra("aggregate"):
        import torch

    if torch.cuda.is_available():
        return "cuda"
    if name == "cuda":
        raise UsageError("--device cuda: no CUDA device is available here; use --device auto or cpu")
    return "cpu"


def _card_is_likely() -> bool:
    """Whether it is worth a second to import torch and ask it."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg"))


def choose_kernel(device: str) -> Kernel:
    """The kernel of a device that `choose_device` named; `torch:cpu` is the torch kernel without a card, for tests."""
    if device == "auto":
        device = choose_device(device)
    if device == "cpu":
        return CpuKernel()
    from atlas.aggregate.device import TorchKernel

    return TorchKernel(device.removeprefix("torch:"))
