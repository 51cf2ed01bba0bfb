"""Writer of a clusters folder from a partition of neurons: the clustering, its members and its clusters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.ids import INDEX_BITS, MAX_INDEX
from atlas.io.files import write_parquet
from atlas.stages import DATASETS
from atlas.stages.manifest import replaced_folder, write_manifest

ClusterPath = tuple[int, ...]


def write_clusters(
    out: Path,
    neurons: NDArray[np.int64],
    paths: Sequence[ClusterPath],
    flows: Sequence[float | None],
    clustering: Mapping[str, Any],
    manifest: Mapping[str, Any],
    *,
    names: Mapping[ClusterPath, str | None] | None = None,
) -> dict[str, int]:
    """Write the clusters folder of packed `neurons` (ascending) and their paths; return the counts of its manifest.

    `clustering` holds the columns that only the method knows: name, method, options, seed, codelength, ...
    Raises `OutputError` if the folder cannot be written.
    """
    of_clusters = clusters(neurons, paths, flows, names or {})
    levels, sizes = of_clusters["level"].to_numpy(), of_clusters["size"].to_numpy()
    counts = {
        "neuron_count": len(neurons),
        "cluster_count": len(of_clusters),
        "top_cluster_count": int((levels == 1).sum()),
        "max_level": int(levels.max(initial=0)),
        "largest_top_cluster": int(sizes[levels == 1].max(initial=0)),
    }
    dataset = DATASETS["clusters.clusterings"]
    row = {name: clustering.get(name, counts.get(name)) for name in dataset.schema.names}
    with replaced_folder(out, "clusters") as folder:
        write_parquet(dataset.table({key: [value] for key, value in row.items()}), dataset.path(folder))
        for name, table in (("members", members(neurons, paths, flows)), ("clusters", of_clusters)):
            write_parquet(table, DATASETS[f"clusters.{name}"].path(folder))
        write_manifest(folder, "clusters", **counts, **manifest)
    return counts


def dotted(path: ClusterPath) -> str:
    """Return a path as text, such as `12.3` for `(12, 3)`."""
    return ".".join(map(str, path))


def _part(path: ClusterPath, level: int) -> int | None:
    return path[level - 1] if len(path) >= level else None


def members(neurons: NDArray[np.int64], paths: Sequence[ClusterPath], flows: Sequence[float | None]) -> pa.Table:
    """Return one row per neuron, in the order of `neurons` (ascending)."""
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


def clusters(
    neurons: NDArray[np.int64],
    paths: Sequence[ClusterPath],
    flows: Sequence[float | None],
    names: Mapping[ClusterPath, str | None],
) -> pa.Table:
    """Return one row per cluster at every level, in the order of their paths. Every prefix of a path is a cluster."""
    layers: dict[ClusterPath, list[int]] = defaultdict(list)
    flow: dict[ClusterPath, float | None] = defaultdict(float)
    for neuron, path, share in zip(neurons, paths, flows, strict=True):
        for level in range(1, len(path) + 1):
            layers[path[:level]].append(int(neuron) >> INDEX_BITS)
            before = flow[path[:level]]
            flow[path[:level]] = None if before is None or share is None else before + share
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
            "name": [names.get(path) for path in ordered],
        }
    )
