"""Anchored circuits: the neurons that carry a token, grown along strong edges, each with its trust."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from atlas.circuits.find import Found, find_circuits
from atlas.circuits.table import circuit_table, member_table, path_table
from atlas.io.files import write_parquet
from atlas.options import CircuitOptions, is_found_again
from atlas.stages import DATASETS
from atlas.stages.manifest import replaced_folder, write_manifest

__all__ = ["CircuitSummary", "anchored_circuits"]

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class CircuitSummary:
    """Counts of anchored circuits, by kind."""

    circuits: dict[str, int]
    replicated: dict[str, int]  # whose halves agree by 0.5 or more, at a false discovery rate below 0.05
    members: int
    groups: int  # of prompts; trust needs two or more


def anchored_circuits(
    stats: Path, out: Path, options: CircuitOptions | None = None, *, progress: Progress = lambda *_: None
) -> CircuitSummary:
    """Find the circuits of input and output tokens, and write them to a folder.

    Args:
        stats: Stats folder with single graphs and edges by group.
        out: Folder of the stage `circuits`, which is replaced.
        options: Thresholds, sizes, resamples and seed; the defaults where None.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of circuits.

    Raises:
        InputError: The folder holds no single graphs, or a contrast or a set names what is not there.
        OutputError: `out` cannot be written.
        StageError: The folder is no stats folder, or is damaged.
    """
    options = options or CircuitOptions()
    found: Found = find_circuits(stats, options, progress)
    circuits, members = circuit_table(found), member_table(found)
    progress("paths through circuits", 0, 0)
    paths = path_table(found, stats, options.paths)
    with replaced_folder(out, "circuits") as folder:
        write_parquet(circuits, DATASETS["circuits.circuits"].path(folder))
        write_parquet(members, DATASETS["circuits.circuit_members"].path(folder))
        write_parquet(paths, DATASETS["circuits.circuit_paths"].path(folder))
        write_manifest(folder, "circuits", options=vars(options), groups=found.groups)
    counts: dict[str, int] = {}
    replicated: dict[str, int] = {}
    for row in circuits.select(["kind", "half_agreement", "null_fdr"]).to_pylist():
        kind = row["kind"]
        counts[kind] = counts.get(kind, 0) + 1
        replicated[kind] = replicated.get(kind, 0) + is_found_again(row["half_agreement"], row["null_fdr"])
    return CircuitSummary(counts, replicated, len(members), found.groups)
