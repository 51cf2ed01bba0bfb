"""Kernels: the arithmetic of an aggregation, with one protocol and three implementations.

`numpy_kernel` is for few links, `numba_kernel` for many links (one compiled pass per operation, where numpy needs
ten), and `torch_kernel` for a GPU. The first two give bit-identical results. The third gives equal counts and extrema,
and sums that agree to 1e-12.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from atlas.aggregate.kernels.key_stats import LOW, Endpoints, KeyStats, LinkCounts, run_starts, take
from atlas.aggregate.kernels.numpy_kernel import NumpyKernel
from atlas.graph import Floats, Ints
from atlas.ids import INDEX_BITS, MAX_INDEX, NEURON_BITS

# Number of rows from which compiled kernels repay their load time, a fraction of a second.
COMPILE_FROM = 1 << 17
# Number of rows from which even one operation repays their load time.
LOAD_FROM = 1 << 22
# Thresholds of compiled co-occurrence: number of visited neurons, and number of rows.
COMPILE_WORK, COMPILE_ROWS = 1 << 24, 1 << 15
_COMPILED = "atlas.aggregate.kernels.numba_kernel"


class Kernel(Protocol):
    """Protocol of operations on links.

    `key` (n,) int64 is packed source << 31 | packed target, and `graph` (n,) is a graph number.
    """

    def pack(self, ends: Sequence[NDArray[np.int32]], weight: Floats) -> tuple[Ints, int]:
        """Return the keys of (source layer, source, target layer, target), and the number of invalid rows."""

    def sort(self, key: Ints, graph: NDArray[np.uint32], weight: Floats) -> tuple[Ints, NDArray[np.uint32], Floats]:
        """Return the three arrays sorted by key. The sort is stable."""

    def reduce(
        self, key: Ints, graph: NDArray[np.uint32], weight: Floats, at_least: int = 1
    ) -> tuple[KeyStats, Ints, NDArray[np.uint32], Floats]:
        """Return the statistics of keys with at least `at_least` rows, and the rows of the other keys.

        Rows are sorted by key, and `graph` is `graph number << 1 | half`. Values are added one by one, so that the
        same rows give the same bits.
        """

    def merge(self, parts: Sequence[KeyStats]) -> KeyStats:
        """Return the statistics of the union of the parts, added in their order. The parts must not share graphs."""

    def endpoints(self, key: Ints, graph: NDArray[np.uint32], graph_total: int) -> tuple[Endpoints, LinkCounts]:
        """Return the neurons of each graph, and the numbers of its links, self-loops and backward links."""


def cpu_kernel(rows: int) -> Kernel:
    """Return the CPU kernel for a number of rows: the compiled one for many rows if numba is installed, else numpy."""
    return (_numba_kernel() or NumpyKernel()) if rows >= COMPILE_FROM else NumpyKernel()


@functools.cache
def _numba_kernel() -> Kernel | None:
    try:
        from atlas.aggregate.kernels.numba_kernel import NumbaKernel
    except ImportError:
        return None  # numpy gives the same results, more slowly
    return NumbaKernel()


def _is_compiled(rows: int) -> bool:
    """Return True if compiled kernels take less time than numpy for one operation on a number of rows."""
    least = COMPILE_FROM if _COMPILED in sys.modules else LOAD_FROM
    return rows >= least and _numba_kernel() is not None


def sort_words(words: Ints) -> Ints:
    """Return non-negative words in ascending order; `words` may be sorted in place."""
    if _is_compiled(len(words)):
        from atlas.aggregate.kernels.numba_kernel.sort import sort_words as radix_sort

        return radix_sort(words)
    words.sort()
    return words


def compiled_sample(rows: int) -> Callable[..., tuple[NDArray[Any], ...]] | None:
    """Return the compiled `sampled_cells`, or None for few rows."""
    if not _is_compiled(rows):
        return None
    from atlas.aggregate.kernels.numba_kernel.links import sampled_cells

    return sampled_cells


def numbered(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.uint32]]:
    """Return the distinct values in ascending order, and the index of each row's value; both are those of `np.unique`."""
    if values.dtype in (np.int32, np.int64) and _is_compiled(len(values)):
        from atlas.aggregate.kernels.numba_kernel.links import numbered_runs

        if (found := numbered_runs(np.ascontiguousarray(values))) is not None:
            return found
    elif len(values) and not (values[1:] < values[:-1]).any():
        starts = run_starts(values)
        sizes = np.diff(starts, append=len(values))
        return values[starts], np.repeat(np.arange(len(starts), dtype=np.uint32), sizes)
    distinct, numbers = np.unique(values, return_inverse=True)
    return distinct, numbers.astype(np.uint32)


def gather_words(table: NDArray[np.uint32], rows: NDArray[Any], first: int) -> NDArray[np.uint32]:
    """Return table[rows - first] of graph numbers (n,) from `first` on."""
    if rows.dtype == np.uint32 and _is_compiled(len(rows)):
        from atlas.aggregate.kernels.numba_kernel.links import gathered

        return gathered(table, rows, first)
    return take(table, rows - first)


def unpack_pairs(key: Ints) -> tuple[NDArray[np.int32], ...]:
    """Return source layer, source, target layer and target of packed pairs of neurons, each (n,)."""
    if _is_compiled(len(key)):
        from atlas.aggregate.kernels.numba_kernel.links import unpacked

        return unpacked(key)
    halves = key >> NEURON_BITS, key & LOW
    return tuple(part.astype(np.int32) for half in halves for part in (half >> INDEX_BITS, half & MAX_INDEX))


def page_decoder(rows: int) -> ModuleType | None:
    """Return the module of compiled decoding of pages, or None for few rows."""
    if not _is_compiled(rows):
        return None
    from atlas.aggregate.kernels.numba_kernel import decode

    return decode


def page_encoder(rows: int) -> Callable[[Ints, int, int], tuple[NDArray[np.uint8], int, int]] | None:
    """Return the compiled `packed_differences`, or None for few rows.

    Only the number of rows decides, and whether numba is installed: Arrow writes other bytes, and a repeated command must
    write the same.
    """
    if rows < COMPILE_FROM or _numba_kernel() is None:
        return None
    from atlas.aggregate.kernels.numba_kernel.pages import packed_differences

    return packed_differences


def cooccurrence_kernel(work: int, neurons: int) -> tuple[Any, Any]:
    """Return the functions `joint_counts` and `top_partners`, which give the same results in numpy and compiled.

    Args:
        work: Number of visits of a neuron in a graph.
        neurons: Number of neurons, each of which numpy needs some microseconds for.
    """
    is_little = work < COMPILE_WORK and neurons < COMPILE_ROWS and _COMPILED not in sys.modules
    if is_little or _numba_kernel() is None:
        from atlas.aggregate.kernels import numpy_cooccurrence

        return numpy_cooccurrence.joint_counts, numpy_cooccurrence.top_partners
    from atlas.aggregate.kernels.numba_kernel.cooccurrence import joint_counts
    from atlas.aggregate.kernels.numba_kernel.partners import top_partners

    return joint_counts, top_partners
