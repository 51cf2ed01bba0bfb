"""Clustering of edges, one module per method. No other package imports the GPL libraries."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from atlas.cluster.edges import WEIGHTS, load_network
from atlas.cluster.infomap_method import partition
from atlas.errors import UsageError
from atlas.options import ClusterOptions, out_of_bounds
from atlas.stages.clusters_writer import write_clusters

__all__ = ["METHODS", "WEIGHTS", "ClusterOptions", "Clustering", "cluster"]

METHODS = ("infomap",)


@dataclass(frozen=True)
class Clustering:
    """Result of a clustering; codelengths are bits per step, lower is better."""

    name: str
    neuron_count: int
    edge_count: int
    cluster_count: int
    top_cluster_count: int
    max_level: int
    largest_top_cluster: int
    codelength: float
    one_level_codelength: float


def cluster(given: Path, out: Path, options: ClusterOptions | None = None) -> Clustering:
    """Cluster the edges of a stats folder or an atlas and write a clusters folder.

    Args:
        given: Stats folder or atlas file.
        out: Clusters folder, which is replaced.
        options: Method, weight, threshold and seed; the defaults where None.

    Returns:
        The clustering: counts of neurons, edges and clusters, and the codelength.

    Raises:
        InputError: No edge reaches the threshold.
        MissingExtra: The library of the method is not installed.
        OutputError: `out` cannot be written.
        UsageError: An option has an invalid value.
    """
    chosen = _checked(options or ClusterOptions())
    network = load_network(given, weight=chosen.weight, min_count=chosen.min_count)
    found = partition(network, seed=chosen.seed, trials=chosen.trials, two_level=chosen.two_level)
    described = {key: value for key, value in asdict(chosen).items() if key != "name"}
    clustering = {
        "name": chosen.title,
        "method": chosen.method,
        "options": json.dumps(described, sort_keys=True),
        "seed": chosen.seed,
        "trial_count": chosen.trials,
        "edge_count": len(network.weight),
        "codelength": found.codelength,
        "one_level_codelength": found.one_level_codelength,
    }
    known: dict[str, Any] = {
        key: clustering[key] for key in ("name", "edge_count", "codelength", "one_level_codelength")
    }
    manifest = {**known, "options": asdict(chosen)}
    counts = write_clusters(out, network.neurons, found.paths, found.flows, clustering, manifest)
    found_counts: dict[str, Any] = {**known, **counts}
    return Clustering(**found_counts)


def _checked(options: ClusterOptions) -> ClusterOptions:
    """Return the options; raise `UsageError` that names an invalid one."""
    if options.method not in METHODS:
        raise UsageError(f"unknown clustering method {options.method!r}; there is {', '.join(METHODS)}")
    for key in ("min_count", "trials", "seed"):
        if problem := out_of_bounds(key, getattr(options, key)):
            raise UsageError(problem)
    return options
