"""A partition of neurons -> the members and clusters datasets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.ids import INDEX_BITS, MAX_INDEX
from atlas.schema import DATASETS

Path = tuple[int, ...]


def dotted(path: Path) -> str:
    """`(12, 3)` -> `12.3`."""
    return ".".join(map(str, path))


def _part(path: Path, level: int) -> int | None:
    return path[level - 1] if len(path) >= level else None


def members(neurons: NDArray[np.int64], paths: Sequence[Path], flows: Sequence[float]) -> pa.Table:
    """One row per neuron, in the order of `neurons` (ascending)."""
    return DATASETS["clusters.members"].table(
        {
            "layer": neurons >> INDEX_BITS,
            "neuron": neurons & MAX_INDEX,
            "cluster_path": [dotted(path) for path in paths],
            "top_cluster": [path[0] for path in paths],
            "sub_module": [_part(path, 2) for path in paths],
            "subsub_module": [_part(path, 3) for path in paths],
            "hierarchy_depth": [len(path) for path in paths],
            "flow": flows,
        }
    )


def clusters(neurons: NDArray[np.int64], paths: Sequence[Path], flows: Sequence[float]) -> pa.Table:
    """One row per cluster at every level, in the order of their paths; every prefix of a path is a cluster."""
    layers: dict[Path, list[int]] = defaultdict(list)
    flow: dict[Path, float] = defaultdict(float)
    for neuron, path, share in zip(neurons, paths, flows, strict=True):
        for level in range(1, len(path) + 1):
            layers[path[:level]].append(int(neuron) >> INDEX_BITS)
            flow[path[:level]] += share
    ordered = sorted(layers)
    return DATASETS["clusters.clusters"].table(
        {
            "cluster_path": [dotted(path) for path in ordered],
            "level": [len(path) for path in ordered],
            "top_cluster": [path[0] for path in ordered],
            "sub_module": [_part(path, 2) for path in ordered],
            "subsub_module": [_part(path, 3) for path in ordered],
            "parent_path": [dotted(path[:-1]) if len(path) > 1 else None for path in ordered],
            "size": [len(layers[path]) for path in ordered],
            "layer_min": [min(layers[path]) for path in ordered],
            "layer_max": [max(layers[path]) for path in ordered],
            "median_layer": [float(median(layers[path])) for path in ordered],
            "flow": [flow[path] for path in ordered],
        }
    )
