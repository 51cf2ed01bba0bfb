"""Library calls that write a stats folder from graph files, observations or other stats folders."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlas.errors import InputError, NothingFound, needs_extra
from atlas.io.paths import local_path, recorded
from atlas.options import AUTO, MEMORY, AggregateOptions
from atlas.runtime.progress import Progress, silent

if TYPE_CHECKING:
    from atlas.aggregate import Summary
    from atlas.graph import Source


def find_inputs(paths: Sequence[str | Path]) -> tuple[list[Source], bool]:
    """Find the files under paths, and their kind. A folder that holds graph files is a folder of graphs.

    Args:
        paths: Files, folders and globs.

    Returns:
        The files, and True where they hold observations (Parquet, Arrow) instead of graphs.

    Raises:
        InputError: No file is found, or the paths name both kinds.
    """
    with needs_extra("aggregate"):
        from atlas.aggregate import SUFFIXES, is_observations
        from atlas.graphs import find_sources

    named = [path for path in paths if is_observations(str(path)) and not local_path(path).is_dir()]
    if named and len(named) < len(paths):
        raise InputError(f"{named[0]} holds observations, other paths graphs; aggregate them apart, then atlas merge")
    if named:
        return find_sources(paths, SUFFIXES), True
    try:
        return find_sources(paths), False
    except NothingFound as error:
        try:
            return find_sources(paths, SUFFIXES), True
        except NothingFound:
            raise error from None


def aggregate_graphs(
    paths: Sequence[str | Path],
    out: Path,
    *,
    device: str = "auto",
    memory: int = MEMORY,
    threads: int | None = None,
    fresh: bool = False,
    model: str | None = None,
    transcoder_set: str | None = None,
    unit_type: str = "neuron",
    strict: bool = False,
    cooccurrence: int = AggregateOptions.cooccurrence,
    groups: str = AUTO,
    graph_links: str = AUTO,
    scheduler: str | None = None,
    work: str | None = None,
    progress: Progress = silent,
) -> Summary:
    """Aggregate graph files, or observations in Parquet or Arrow, into statistics.

    Files that `out` holds already are not read again. A stopped run resumes where it was.

    Args:
        paths: Files, folders and globs.
        out: Stats folder; new files are added to the statistics that it holds.
        device: `auto`, `cpu` or `cuda`.
        memory: Bytes that all processes may take together.
        threads: Number of worker processes; one per core where None.
        fresh: Discard earlier results and start over.
        model: Name of the model; it overrides the files, since RelP files may name the wrong one.
        transcoder_set: Transcoder set, where the files name none.
        unit_type: Type of the units of observations, `neuron` or `feature`.
        strict: Raise an error for a file that is not a readable graph, instead of counting it.
        cooccurrence: Co-occurring neurons to keep of each neuron; 0 leaves co-occurrence out.
        groups: `auto` groups graphs by their prompts and counts edges by group, `none` takes every graph as a group of its
            own; or a file that states groups.
        graph_links: `auto` keeps the nodes and links of every graph, up to 100 million links; `none` keeps none.
        scheduler: Dask scheduler that runs the tasks: `local` or an address.
        work: Folder or URL that the workers of the scheduler share.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of graphs, links kept and dropped, neurons, edges and rejects. Device, memory, threads and scheduler change
        none of them.

    Raises:
        InputError: A counted file has changed or is gone (unless `fresh`), or with `strict` a file cannot be read.
        MissingExtra: A library is not installed.
        OutputError: A folder cannot be written.
        SpaceMismatch: Graphs are of different feature spaces.
        UsageError: An option has an invalid value.
    """
    with needs_extra("aggregate"):
        from atlas.aggregate import GraphReading, aggregate_files, aggregate_observations
        from atlas.graph import Space
        from atlas.graphs import ReadLimits, read_graphs

    found, observed = find_inputs(paths)
    options = AggregateOptions(cooccurrence, groups, graph_links, device, memory, threads, scheduler, work)
    shared: dict[str, Any] = {"inputs": [recorded(path) for path in paths], "fresh": fresh, "progress": progress}
    if observed:
        return aggregate_observations(found, out, Space(model, transcoder_set, unit_type), options, **shared)
    reader = functools.partial(read_graphs, limits=ReadLimits.of(memory))
    reading = GraphReading(reader, model, transcoder_set, strict)
    return aggregate_files(found, out, reading, options, **shared)


def merge_stats(
    folders: Sequence[Path],
    out: Path,
    *,
    device: str = "auto",
    memory: int = MEMORY,
    threads: int | None = None,
    cooccurrence: int = AggregateOptions.cooccurrence,
    groups: str = AUTO,
    graph_links: str = AUTO,
    skip_duplicates: bool = False,
    progress: Progress = silent,
) -> Summary:
    """Merge stats folders. The statistics equal an aggregation of all their graphs; sums agree to 1e-12.

    Args:
        folders: Stats folders.
        out: Stats folder, which is replaced.
        device: `auto`, `cpu` or `cuda`.
        memory: Bytes that all processes may take together.
        threads: Number of worker processes; one per core where None.
        cooccurrence: Co-occurring neurons to keep of each neuron; 0 leaves co-occurrence out.
        groups: `auto` groups graphs by their prompts and counts edges by group, `none` takes every graph as a group of its
            own; or a file that states groups.
        graph_links: `auto` keeps the nodes and links of every graph, up to 100 million links; `none` keeps none.
        skip_duplicates: Leave out a folder all of whose graphs are in the others.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of the merged statistics.

    Raises:
        InputError: A graph is in two of the folders.
        SpaceMismatch: The folders are of different feature spaces.
    """
    with needs_extra("aggregate"):
        from atlas.aggregate import merge_stats as run

    options = AggregateOptions(cooccurrence, groups, graph_links, device, memory, threads)
    return run(folders, out, options, progress=progress, skip_duplicates=skip_duplicates)
