"""Kernels: the arithmetic of an aggregation, with one protocol and three implementations.

`numpy_kernel` for few links, `numba_kernel` for many (one compiled pass each instead of ten), `torch_kernel` on a
GPU. The first two give the same bits; the third gives equal counts and extrema, and sums that agree to 1e-12.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from atlas.aggregate.kernels.key_stats import Endpoints, KeyStats, LinkCounts
from atlas.aggregate.kernels.numpy_kernel import NumpyKernel
from atlas.graph import Floats, Ints

# Rows from which compiled kernels are worth a load that takes a fraction of a second.
COMPILE_FROM = 1 << 17
# Words alone are sorted by numpy in less time than compiled kernels take to load, up to here.
LOAD_FROM = 1 << 22
# Of co-occurrence: neurons met, and rows.
COMPILE_WORK, COMPILE_ROWS = 1 << 24, 1 << 15
_COMPILED = "atlas.aggregate.kernels.numba_kernel"


class Kernel(Protocol):
    """Operations on links: `key` (n,) int64 is packed source << 31 | packed target, `graph` (n,) a graph number."""

    def pack(self, ends: Sequence[NDArray[np.int32]], weight: Floats) -> tuple[Ints, int]:
        """Return the keys of source layer, source, target layer, target; and how many rows do not count."""

    def sort(self, key: Ints, graph: NDArray[np.uint32], weight: Floats) -> tuple[Ints, NDArray[np.uint32], Floats]:
        """Return the three in the order of their keys; rows of equal keys stay in the order in which they came."""

    def reduce(
        self, key: Ints, graph: NDArray[np.uint32], weight: Floats, at_least: int = 1
    ) -> tuple[KeyStats, Ints, NDArray[np.uint32], Floats]:
        """Return the statistics of keys with at least so many rows, and the rows of the others; rows sorted by key.

        `graph` is `graph number << 1 | half`. Values are added one after the other, so that the same rows give the same bits.
        """

    def merge(self, parts: Sequence[KeyStats]) -> KeyStats:
        """Return the statistics of the union of links of parts that share no graph, added in the order of the parts."""

    def endpoints(self, key: Ints, graph: NDArray[np.uint32], graph_total: int) -> tuple[Endpoints, LinkCounts]:
        """Return the neurons of each graph, and its links, self-loops and links that do not go up a layer."""


def cpu_kernel(rows: int) -> Kernel:
    """Return the CPU kernel for so many rows: compiled where they are worth it and numba is installed."""
    return (_numba_kernel() or NumpyKernel()) if rows >= COMPILE_FROM else NumpyKernel()


@functools.cache
def _numba_kernel() -> Kernel | None:
    try:
        from atlas.aggregate.kernels.numba_kernel import NumbaKernel
    except ImportError:
        return None  # numpy gives the same, slower
    return NumbaKernel()


def sort_words(words: Ints) -> Ints:
    """Return words in ascending order, none of them negative; `words` may be sorted in place."""
    least = COMPILE_FROM if _COMPILED in sys.modules else LOAD_FROM
    if len(words) >= least and _numba_kernel() is not None:
        from atlas.aggregate.kernels.numba_kernel.sort import sort_words as radix_sort

        return radix_sort(words)
    words.sort()
    return words


def count_cooccurrence(
    first: int,
    graphs: NDArray[np.uint32],
    starts: Ints,
    low: int,
    high: int,
    members: NDArray[np.uint32],
    offsets: Ints,
    *rest: Any,
) -> None:
    """Count, for rows from neuron `first` on, the graphs that they share with neurons `low` to `high`.

    The arguments are those of `numba_kernel.cooccurrence.count_rows`. The work is a step for every neuron of every graph of
    every row; few rows with little work are counted in numpy, without loading numba.
    """
    mine = graphs.astype(np.int64)
    work = int((offsets[mine + 1] - offsets[mine]).sum())
    if (work < COMPILE_WORK and len(starts) < COMPILE_ROWS) or _numba_kernel() is None:
        from atlas.aggregate.kernels.numpy_kernel import count_rows
    else:
        from atlas.aggregate.kernels.numba_kernel.cooccurrence import count_rows
    count_rows(first, graphs, starts, low, high, members, offsets, *rest)
