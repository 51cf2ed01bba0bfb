"""Kernel compiled by numba, for many links: one pass per operation, where numpy needs ten.

The results are bit-identical to those of numpy, because values are added one by one in row order. numpy allocates the
outputs and the kernels fill them, because numpy requests huge pages and numba's own arrays do not. Weights contain no
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
    """Implementation of `Kernel` in compiled loops."""

    def pack(self, ends: Sequence[NDArray[np.int32]], weight: Floats) -> tuple[Ints, int]:
        """Return the keys, and the number of invalid rows."""
        layer, neuron, other_layer, other = (np.ascontiguousarray(values) for values in ends)
        return links.pack(layer, neuron, other_layer, other, weight)

    def sort(self, key: Ints, graph: NDArray[np.uint32], weight: Floats) -> tuple[Ints, NDArray[np.uint32], Floats]:
        """Return the rows sorted by key."""
        return sort_rows(key, graph.astype(np.uint32, copy=False), weight)

    def reduce(
        self, key: Ints, graph: NDArray[np.uint32], weight: Floats, at_least: int = 1
    ) -> tuple[KeyStats, Ints, NDArray[np.uint32], Floats]:
        """Return the statistics of frequent keys, and the rows of the other keys."""
        return split_frequent(key, graph, weight, at_least)

    def merge(self, parts: Sequence[KeyStats]) -> KeyStats:
        """Return the statistics of the union of all parts."""
        return numpy_kernel.merge(parts, merge_two, sort_words)

    def endpoints(self, key: Ints, graph: NDArray[np.uint32], graph_total: int) -> tuple[Endpoints, LinkCounts]:
        """Return the neurons and the link counts of each graph."""
        found = links.ends(key, graph, graph_total)
        if found is not None:
            neuron, owner, counts = found
            return Endpoints(neuron, owner), LinkCounts(*counts)
        # Sort instead if the graphs do not ascend or the range of neurons is too wide.
        ends = numpy_kernel.endpoints(key, graph, graph_total, sort_words)
        return ends, LinkCounts(*links.count_links(key, graph, graph_total))
