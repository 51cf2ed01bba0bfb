"""Clustering of edges, one module per method. No other package imports the GPL libraries."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from atlas.cluster.edges import WEIGHTS, Network, load_network
from atlas.cluster.leiden_method import OBJECTIVES
from atlas.cluster.partition import Partition
from atlas.errors import UsageError
from atlas.options import ClusterOptions, out_of_bounds
from atlas.stages.clusters_writer import write_clusters

__all__ = ["METHODS", "WEIGHTS", "ClusterOptions", "Clustering", "cluster"]

INFOMAP, LEIDEN = "infomap", "leiden"
METHODS = (INFOMAP, LEIDEN)


@dataclass(frozen=True)
class Clustering:
    """Result of a clustering; codelengths (Infomap) are bits per step, lower is better; of quality (Leiden), more is."""

    name: str
    neuron_count: int
    edge_count: int
    cluster_count: int
    top_cluster_count: int
    max_level: int
    largest_top_cluster: int
    codelength: float | None
    one_level_codelength: float | None
    quality: float | None


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
    least = {name: getattr(chosen, name) for name in ("min_count", "min_graphs", "min_groups")}
    network = load_network(given, weight=chosen.weight, **least)
    found = _partition(network, chosen)
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
        "quality": found.quality,
    }
    names = ("name", "edge_count", "codelength", "one_level_codelength", "quality")
    known: dict[str, Any] = {key: clustering[key] for key in names}
    manifest = {**known, "options": asdict(chosen)}
    counts = write_clusters(out, network.neurons, found.paths, found.flows, clustering, manifest)
    found_counts: dict[str, Any] = {**known, **counts}
    return Clustering(**found_counts)


def _partition(network: Network, options: ClusterOptions) -> Partition:
    """Run the method; each is loaded alone, because each needs its own library."""
    if options.method == LEIDEN:
        from atlas.cluster import leiden_method

        return leiden_method.partition(
            network,
            objective=options.objective,
            resolution=options.resolution,
            max_size=options.max_size,
            seed=options.seed,
            trials=options.trials,
        )
    from atlas.cluster import infomap_method

    return infomap_method.partition(network, seed=options.seed, trials=options.trials, two_level=options.two_level)


def _checked(options: ClusterOptions) -> ClusterOptions:
    """Return the options; raise `UsageError` that names an invalid one."""
    if options.method not in METHODS:
        raise UsageError(f"unknown clustering method {options.method!r}; there is {', '.join(METHODS)}")
    if options.objective not in OBJECTIVES:
        raise UsageError(f"unknown objective {options.objective!r}; there are {', '.join(OBJECTIVES)}")
    if not 0 < options.resolution < float("inf"):
        raise UsageError(f"resolution must be above 0, not {options.resolution}")
    if options.max_size < 0:
        raise UsageError(f"max_size must be 0 (no bound) or more, not {options.max_size}")
    for key in ("min_count", "min_graphs", "min_groups", "trials", "seed"):
        if problem := out_of_bounds(key, getattr(options, key)):
            raise UsageError(problem)
    return options
