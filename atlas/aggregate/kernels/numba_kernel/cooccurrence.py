"""Kernel of co-occurrence, compiled by numba. It computes the matrix row by row, in one reused table of counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from atlas.graph import Ints
from atlas.runtime.jit import I8, NONE, U4, compiled_kernel, in_, out, out_2d


@compiled_kernel(
    NONE,
    *(I8, in_(U4), in_(I8), I8, I8, in_(U4), in_(I8), in_(I8), in_(I8), out(I8), in_(I8), I8, I8, I8),
    out_2d(I8),
)
def count_rows(
    first: int, graphs: NDArray[np.uint32], starts: Ints, low: int, high: int, members: NDArray[np.uint32], offsets: Ints,
    edges: Ints, target: Ints, both: Ints, graph_count: Ints, other_bits: int, graph_bits: int, total: int, best: Ints,
) -> None:  # fmt: skip
    """Count the graphs that each row shares with the neurons from `low` to `high` (exclusive).

    Row r is neuron `first` + r. Its graphs are graphs[starts[r]:starts[r + 1]]. The neurons of a graph, minus `low`,
    are members[offsets[graph]:offsets[graph + 1]]. The edges of row r are at edges[r]:edges[r + 1] in target (neurons)
    and both (counts). best (n_rows, top) receives the highest scores of each row, as `Score` in
    `reduce.cooccurrence` defines them.
    """
    counts = np.zeros(high - low, np.int64)
    touched = np.empty(high - low, np.int64)
    top = best.shape[1]
    for row in range(len(starts) - 1):
        used = 0
        for i in range(starts[row], starts[row + 1]):
            graph = graphs[i]
            for j in range(offsets[graph], offsets[graph + 1]):
                other = members[j]
                if counts[other] == 0:
                    touched[used] = other
                    used += 1
                counts[other] += 1
        for edge in range(edges[row], edges[row + 1]):
            if low <= target[edge] < high:
                both[edge] = counts[target[edge] - low]
        worst = 0
        for place in range(1, top):
            if best[row, place] < best[row, worst]:
                worst = place
        for i in range(used):
            other = touched[i] + low
            count = counts[touched[i]]
            counts[touched[i]] = 0
            if top == 0 or other == first + row:
                continue
            score = (count << graph_bits | (total - graph_count[other])) << other_bits
            score |= (np.int64(1) << other_bits) - 1 - other
            if score > best[row, worst]:
                best[row, worst] = score
                for place in range(top):
                    if best[row, place] < best[row, worst]:
                        worst = place
