"""The kernels of `statistics` compiled by numba: one pass each instead of ten, for many observations.

They give the bits that numpy gives: one value is added after the other, in the order of the rows. Outputs
are allocated by numpy and filled by kernels: numpy asks for huge pages, numba's own arrays do not. Weights
hold no negative zero. `rows` is the kernel of co-occurrence.
"""

from __future__ import annotations

from atlas.aggregate.compiled.links import count_links, ends, pack
from atlas.aggregate.compiled.reduce import merge_two, split_frequent
from atlas.aggregate.compiled.sort import sort_rows

__all__ = ["count_links", "ends", "merge_two", "pack", "sort_rows", "split_frequent"]
