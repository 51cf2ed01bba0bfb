"""The kernel compiled by numba: one pass each instead of ten, for many links.

It gives the bits that numpy gives: one value is added after the other, in the order of the rows. Outputs are
allocated by numpy and filled by kernels: numpy asks for huge pages, numba's own arrays do not. Weights hold no
negative zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from atlas.aggregate.kernels import numpy_kernel
from atlas.aggregate.kernels.key_stats import Endpoints, KeyStats, LinkCounts
from atlas.aggregate.kernels.numba_kernel import links
from atlas.aggregate.kernels.numba_kernel.reduce import merge_two, split_frequent
from atlas.aggregate.kernels.numba_kernel.sort import sort_rows, sort_words
from atlas.graph import Floats, Ints


class NumbaKernel:
    """Implements `Kernel` in compiled loops."""

    def pack(self, ends: Sequence[NDArray[np.int32]], weight: Floats) -> tuple[Ints, int]:
        """Return keys, and how many rows do not count."""
        layer, neuron, other_layer, other = (np.ascontiguousarray(values) for values in ends)
        return links.pack(layer, neuron, other_layer, other, weight)

    def sort(self, key: Ints, graph: NDArray[np.uint32], weight: Floats) -> tuple[Ints, NDArray[np.uint32], Floats]:
        """Return the rows in the order of their keys."""
        return sort_rows(key, graph.astype(np.uint32, copy=False), weight)

    def reduce(
        self, key: Ints, graph: NDArray[np.uint32], weight: Floats, at_least: int = 1
    ) -> tuple[KeyStats, Ints, NDArray[np.uint32], Floats]:
        """Return statistics of frequent keys, and the rows of the others."""
        return split_frequent(key, graph, weight, at_least)

    def merge(self, parts: Sequence[KeyStats]) -> KeyStats:
        """Return the statistics of the union."""
        return numpy_kernel.merge(parts, merge_two, sort_words)

    def endpoints(self, key: Ints, graph: NDArray[np.uint32], graph_total: int) -> tuple[Endpoints, LinkCounts]:
        """Return the neurons of each graph, and counts of its links."""
        found = links.ends(key, graph)
        # Graphs that do not ascend, or neurons that are spread too far, are sorted instead.
        ends = Endpoints(*found) if found is not None else numpy_kernel.endpoints(key, graph, graph_total, sort_words)
        return ends, LinkCounts(*links.count_links(key, graph, graph_total))
