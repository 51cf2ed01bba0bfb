"""Stage `clusters` of a recipe: one clustering, with its trust."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from atlas.errors import NothingToCluster, needs_extra
from atlas.options import ClusterOptions
from atlas.pipeline.fingerprints import Fingerprints, files_of
from atlas.runtime.progress import Progress
from atlas.stages import DATASETS, datasets_of, is_whole


def clustering_stage(
    options: ClusterOptions,
    stats: Path,
    work: Path,
    fingerprints: Fingerprints,
    stage: Callable[[str, str, bool, Callable[[], Any]], Any],
    progress: Progress,
) -> tuple[Path | None, str | None]:
    """Run a clustering that is out of date.

    Args:
        options: Options of the recipe.
        stats: Stats folder.
        work: Folder of the stages.
        fingerprints: Fingerprints of the recipe.
        stage: Runs a stage that is out of date.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        The clusters folder, or None and why there is none, as with few graphs.
    """
    with needs_extra("cluster"):
        from atlas.cluster import cluster

    name = f"clusters-{options.title}"
    folder = work / name
    groups = DATASETS["stats.edge_groups"].path(stats)
    inputs = [*files_of(stats / "edges", "edges"), *(files_of(groups, "groups") if groups.exists() else ())]
    # A folder of an earlier version of this package lacks columns.
    columns = [field.name for item in datasets_of("clusters") for field in item.schema]
    fingerprint = fingerprints.fingerprint(name, asdict(options) | {"columns": columns}, inputs)
    try:
        stage(
            name, fingerprint, is_whole(folder, "clusters"), lambda: cluster(stats, folder, options, progress=progress)
        )
    except NothingToCluster:
        threshold = f"no edge has {options.min_count} links or more, so there are no circuits"
        return None, f"{threshold}; lower the threshold with --set cluster.min_count=1"
    return folder, None
