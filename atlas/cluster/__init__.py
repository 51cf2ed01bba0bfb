"""Edges -> clusters: one module per method. The only place that imports the GPL libraries."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from atlas import __version__
from atlas.cluster import tables
from atlas.cluster.edges import WEIGHTS, load_network
from atlas.cluster.infomap_method import partition
from atlas.errors import UsageError
from atlas.recipe import ClusterOptions, out_of_bounds
from atlas.schema import DATASETS, VERSION
from atlas.storage import MANIFEST, replaced_folder, write_json, write_parquet

__all__ = ["METHODS", "WEIGHTS", "ClusterOptions", "Clustering", "cluster"]

METHODS = ("infomap",)


@dataclass(frozen=True)
class Clustering:
    """What a clustering found; codelengths are bits per step, lower is better."""

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

    Raises `UsageError`, `InputError` (nothing to cluster), `OutputError`, `MissingExtra`.
    """
    chosen = _checked(options or ClusterOptions())
    network = load_network(given, weight=chosen.weight, min_count=chosen.min_count)
    found = partition(network, seed=chosen.seed, trials=chosen.trials, two_level=chosen.two_level)
    members = tables.members(network.neurons, found.paths, found.flows)
    clusters = tables.clusters(network.neurons, found.paths, found.flows)
    top_sizes = [
        size
        for size, level in zip(clusters["size"].to_pylist(), clusters["level"].to_pylist(), strict=True)
        if level == 1
    ]
    result = Clustering(
        name=chosen.title,
        neuron_count=len(network.neurons),
        edge_count=len(network.weight),
        cluster_count=len(clusters),
        top_cluster_count=len(top_sizes),
        max_level=max(map(len, found.paths)),
        largest_top_cluster=max(top_sizes),
        codelength=found.codelength,
        one_level_codelength=found.one_level_codelength,
    )
    row = {field: getattr(result, field, None) for field in DATASETS["clusters.clusterings"].schema.names} | {
        "method": chosen.method,
        "options": json.dumps({key: value for key, value in asdict(chosen).items() if key != "name"}, sort_keys=True),
        "seed": chosen.seed,
        "trial_count": chosen.trials,
    }
    with replaced_folder(out, "clusters") as folder:
        clustering = DATASETS["clusters.clusterings"].table({key: [value] for key, value in row.items()})
        for name, table in (("clusterings", clustering), ("members", members), ("clusters", clusters)):
            write_parquet(table, DATASETS[f"clusters.{name}"].path(folder))
        manifest = {
            "stage": "clusters",
            "version": VERSION,
            "tool_version": __version__,
            **asdict(result),
            "options": asdict(chosen),
        }
        write_json(manifest, folder / MANIFEST)
    return result


def _checked(options: ClusterOptions) -> ClusterOptions:
    """The options; raises `UsageError` naming the wrong one."""
    if options.method not in METHODS:
        raise UsageError(f"unknown clustering method {options.method!r}; there is {', '.join(METHODS)}")
    for key in ("min_count", "trials", "seed"):
        if problem := out_of_bounds(key, getattr(options, key)):
            raise UsageError(problem)
    return options
