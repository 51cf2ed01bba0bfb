"""Writer of a clusters folder from a partition of neurons: the clustering, its members and its clusters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
from atlas.stages.other_schemas import CLUSTER_TRUST

ClusterPath = tuple[int, ...]
Neurons = NDArray[np.int64]


@dataclass(frozen=True)
class Clusters:
    """Clusters to write.

    Attributes:
        neurons: Packed neurons, ascending (n_neurons,).
        paths: Path of every neuron; empty where it is in no cluster.
        flows: Share of a random walk of every neuron; None of methods without one.
        names: Given names of clusters.
        trust: Columns of the dataset `clusters` that say how far to trust a cluster, one value per cluster in the order of the paths.
        confidence: How surely every neuron is in the clusters of its path, the top one first; None where it is not known.
        memberships: Columns `neuron` (packed), `path`, `weight` and `confidence` of clusters that overlap; None where they do not.
        left_out: Packed neurons with edges that are in no cluster, by reason.
        half_members: Columns `neuron` (packed) and `path` of what clusters are by one half of the groups; None where it is not known.
        half_groups: Whether each group of prompts is of the half that finds `half_members`; the others test.
        resolutions: Rows of the dataset `resolutions`.
    """

    neurons: Neurons
    paths: Sequence[ClusterPath]
    flows: Sequence[float | None]
    names: Mapping[ClusterPath, str | None] = field(default_factory=dict)
    trust: Mapping[str, Any] = field(default_factory=dict)
    confidence: Sequence[Sequence[float]] | None = None
    memberships: Mapping[str, Sequence[Any]] | None = None
    left_out: Mapping[str, Neurons] = field(default_factory=dict)
    half_members: Mapping[str, Sequence[Any]] | None = None
    half_groups: Mapping[int, bool] = field(default_factory=dict)
    resolutions: Sequence[Mapping[str, Any]] = ()


def write_clusters(
    out: Path, found: Clusters, clustering: Mapping[str, Any], manifest: Mapping[str, Any]
) -> dict[str, int]:
    """Write a clusters folder.

    Args:
        out: Folder, which is replaced.
        found: Clusters.
        clustering: Columns that only the method knows: name, method, options, seed, codelength, ...
        manifest: Further entries of the manifest.

    Returns:
        The counts of the manifest.

    Raises:
        OutputError: The folder cannot be written.
    """
    of_clusters = clusters(found)
    levels, sizes = of_clusters["level"].to_numpy(), of_clusters["size"].to_numpy()
    placed = sum(bool(path) for path in found.paths)
    counts = {
        "neuron_count": placed,
        "cluster_count": len(of_clusters),
        "top_cluster_count": int((levels == 1).sum()),
        "max_level": int(levels.max(initial=0)),
        "largest_top_cluster": int(sizes[levels == 1].max(initial=0)),
    }
    facts: dict[str, Any] = {
        "singleton_count": int((sizes == 1).sum()),
        "largest_share": counts["largest_top_cluster"] / placed if placed else None,
        "is_overlapping": found.memberships is not None,
    }
    dataset = DATASETS["clusters.clusterings"]
    row = {name: clustering.get(name, (counts | facts).get(name)) for name in dataset.schema.names}
    tables = {"clusterings": dataset.table({key: [value] for key, value in row.items()})}
    tables |= {"members": members(found), "clusters": of_clusters, "left_out": _left_out(found)}
    if found.memberships is not None:
        tables["memberships"] = _memberships(found.memberships)
    if found.half_members is not None:
        tables["half_members"] = _half_members(found.half_members)
        halves = {"group_id": list(found.half_groups), "finds": list(found.half_groups.values())}
        tables["half_groups"] = DATASETS["clusters.half_groups"].table(halves)
    if found.resolutions:
        profile = DATASETS["clusters.resolutions"]
        columns = {name: [row[name] for row in found.resolutions] for name in profile.schema.names}
        tables["resolutions"] = profile.table({name: _known_all(values) for name, values in columns.items()})
    with replaced_folder(out, "clusters") as folder:
        for name, table in tables.items():
            write_parquet(table, DATASETS[f"clusters.{name}"].path(folder))
        write_manifest(folder, "clusters", **counts, **manifest)
    return counts


def dotted(path: ClusterPath) -> str:
    """Return a path as text, such as `12.3` for `(12, 3)`."""
    return ".".join(map(str, path))


def _part(path: ClusterPath, level: int) -> int | None:
    return path[level - 1] if len(path) >= level else None


def _known(values: Any) -> pa.Array:
    """Return values with NULL for NaN."""
    return pa.array(np.asarray(values, np.float64), pa.float64(), from_pandas=True)


def _known_all(values: Sequence[Any]) -> list[Any]:
    """Return values with None for NaN."""
    return [None if isinstance(value, float) and np.isnan(value) else value for value in values]


def members(found: Clusters) -> pa.Table:
    """Return one row per neuron in a cluster, in the order of the neurons.

    Args:
        found: Clusters.

    Returns:
        Rows of the dataset `members`.
    """
    rows = [row for row, path in enumerate(found.paths) if path]
    neurons, paths = found.neurons[rows], [found.paths[row] for row in rows]
    return DATASETS["clusters.members"].table(
        {
            "layer": neurons >> INDEX_BITS,
            "neuron": neurons & MAX_INDEX,
            "cluster_path": [dotted(path) for path in paths],
            "top_cluster": [path[0] for path in paths],
            "sub_module": [_part(path, 2) for path in paths],
            "subsub_module": [_part(path, 3) for path in paths],
            "hierarchy_depth": [len(path) for path in paths],
            "flow": [found.flows[row] for row in rows],
            "confidence": [None if found.confidence is None else found.confidence[row][-1] for row in rows],
            "level_confidence": [None if found.confidence is None else list(found.confidence[row]) for row in rows],
        }
    )


def clusters(found: Clusters) -> pa.Table:
    """Return one row per cluster at every level, in the order of their paths. Every prefix of a path is a cluster.

    Args:
        found: Clusters.

    Returns:
        Rows of the dataset `clusters`.
    """
    layers: dict[ClusterPath, list[int]] = defaultdict(list)
    flow: dict[ClusterPath, float | None] = defaultdict(float)
    if found.memberships is None:
        every = zip(found.neurons.tolist(), found.paths, found.flows, strict=True)
    else:
        shared = found.memberships
        every = zip(shared["neuron"], shared["path"], [None] * len(shared["path"]), strict=True)
    for neuron, path, share in every:
        for level in range(1, len(path) + 1):
            layers[path[:level]].append(int(neuron) >> INDEX_BITS)
            before = flow[path[:level]]
            flow[path[:level]] = None if before is None or share is None else before + share
    ordered = sorted(layers)
    unknown = np.full(len(ordered), np.nan)
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
            "name": [found.names.get(path) for path in ordered],
            **{name: _known(found.trust.get(name, unknown)) for name in CLUSTER_TRUST},
        }
    )


def _memberships(shared: Mapping[str, Sequence[Any]]) -> pa.Table:
    surely = {"weight": _known(shared["weight"]), "confidence": _known(shared["confidence"])}
    return DATASETS["clusters.memberships"].table(_placed(shared) | surely)


def _half_members(of_half: Mapping[str, Sequence[Any]]) -> pa.Table:
    return DATASETS["clusters.half_members"].table(_placed(of_half))


def _placed(rows: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return the columns of the neuron and the cluster of rows with `neuron` (packed) and `path`."""
    neuron = np.asarray(rows["neuron"], np.int64)
    path = [dotted(one) for one in rows["path"]]
    return {"layer": neuron >> INDEX_BITS, "neuron": neuron & MAX_INDEX, "cluster_path": path}


def _left_out(found: Clusters) -> pa.Table:
    pairs = sorted((int(neuron), reason) for reason, neurons in found.left_out.items() for neuron in neurons)
    neuron = np.array([neuron for neuron, _ in pairs], np.int64)
    return DATASETS["clusters.left_out"].table(
        {"layer": neuron >> INDEX_BITS, "neuron": neuron & MAX_INDEX, "reason": [reason for _, reason in pairs]}
    )
