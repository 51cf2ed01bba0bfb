"""Result of a clustering method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Partition(NamedTuple):
    """One module path per neuron of the network, and what the method knows of it."""

    paths: list[tuple[int, ...]]
    flows: Sequence[float | None]  # shares of a random walk; None of methods without one
    codelength: float | None = None  # bits per step, lower is better
    one_level_codelength: float | None = None  # bits per step with everything in one module
    quality: float | None = None  # by the method, higher is better
