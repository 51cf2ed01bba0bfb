"""Stage `circuits` of a recipe: circuits of tokens, where the statistics hold single graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from atlas.options import CircuitOptions, part_of
from atlas.pipeline.fingerprints import Fingerprints, files_of
from atlas.pipeline.sections import CircuitsSection, VerifySection
from atlas.pipeline.trace_stages import TracedStages
from atlas.runtime.progress import Progress
from atlas.stages import DATASETS, is_whole


def anchored_stage(
    section: CircuitsSection,
    stats: Path,
    folder: Path,
    fingerprints: Fingerprints,
    stage: Callable[[str, str, bool, Callable[[], Any]], Any],
    progress: Progress,
) -> Path | None:
    """Run the stage and return its folder.

    Args:
        section: Options of the recipe.
        stats: Stats folder.
        folder: Folder of the stage.
        fingerprints: Fingerprints of the recipe.
        stage: Runs a stage that is out of date.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        The folder; None where the recipe wants none, or the statistics hold no single graphs.
    """
    names = ("graphs", "graph_nodes", "graph_links", "edge_groups", "tokens")
    paths = [DATASETS[f"stats.{name}"].path(stats) for name in names]
    if not section.anchored or not all(path.exists() for path in paths):
        return None
    from atlas.circuits import anchored_circuits

    inputs = [file for name, path in zip(names, paths, strict=True) for file in _files(name, path)]
    fingerprint = fingerprints.fingerprint("circuits", asdict(section), inputs)
    options = part_of(section, CircuitOptions)
    stage(
        "circuits",
        fingerprint,
        is_whole(folder, "circuits"),
        lambda: anchored_circuits(stats, folder, options, progress=progress),
    )
    return folder


def verify_stage(
    section: VerifySection,
    stats: Path,
    circuits: Sequence[Path],
    folder: Path,
    traced: TracedStages | None,
    fingerprints: Fingerprints,
    stage: Callable[[str, str, bool, Callable[[], Any]], Any],
) -> Path | None:
    """Run the stage that cuts circuits from the model and return its folder.

    Args:
        section: Options of the recipe.
        stats: Stats folder.
        circuits: Folders of anchored circuits and of clusterings.
        folder: Folder of the stage.
        traced: The model and its prompts, if the recipe traces.
        fingerprints: Fingerprints of the recipe.
        stage: Runs a stage that is out of date.

    Returns:
        The folder; None where there is no model or no circuit, or none are to be cut.
    """
    if not section.most or not circuits or traced is None:
        return None
    inputs = [
        *(file for folder in circuits for file in files_of(folder, folder.name)),
        *traced.inputs(),
        ("graphs", DATASETS["stats.graphs"].path(stats)),
    ]
    fingerprint = fingerprints.fingerprint("verify", asdict(section) | {"trace": traced.described()}, inputs)
    stage("verify", fingerprint, is_whole(folder, "verify"), lambda: traced.verify(stats, circuits, folder, section))
    return folder


def _files(name: str, path: Path) -> list[tuple[str, Path]]:
    return files_of(path, name) if path.is_dir() else [(name, path)]
