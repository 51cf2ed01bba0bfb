"""Graph files, observations and other statistics -> a stats folder."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlas.errors import InputError, NothingFound, needs_extra
from atlas.io.paths import local_path, recorded
from atlas.options import MEMORY, AggregateOptions
from atlas.runtime.progress import Progress, silent

if TYPE_CHECKING:
    from atlas.aggregate import Summary
    from atlas.graph import Source


def find_inputs(paths: Sequence[str | Path]) -> tuple[list[Source], bool]:
    """The files under `paths`, and whether they hold observations (Parquet, Arrow) rather than graphs.

    A folder with graph files is a folder of graphs, whatever else lies in it. Raises `InputError`
    where there is nothing, or where both kinds are named.
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
    scheduler: str | None = None,
    work: str | None = None,
    progress: Progress = silent,
) -> Summary:
    """Read graph files (or observations in Parquet or Arrow) and write their statistics to the folder `out`.

    Files that `out` holds already are not read again; a run that was stopped goes on where it was; `fresh`
    starts over. `memory` (bytes) bounds all processes together, `threads` is the number of worker
    processes (one per core where None), `scheduler` a Dask scheduler (`local` or an address) that runs the
    tasks instead, with `work` as the folder or URL that its workers share; none of them changes a count.
    `model` replaces what the files say (RelP files name the wrong model), `transcoder_set` is used where
    they say none, `unit_type` says what observations are of. `cooccurrence` is the number of co-occurring
    neurons kept of each; 0 leaves co-occurrence out.

    Raises `InputError` (also for a counted file that has changed or is gone, unless `fresh`, and with
    `strict` for any file that cannot be read), `SpaceMismatch`, `OutputError`, `UsageError`, `MissingExtra`.
    """
    with needs_extra("aggregate"):
        from atlas.aggregate import GraphReading, aggregate_files, aggregate_observations
        from atlas.graph import Space
        from atlas.graphs import ReadLimits, read_graphs

    found, observed = find_inputs(paths)
    options = AggregateOptions(cooccurrence, device, memory, threads, scheduler, work)
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
    skip_duplicates: bool = False,
    progress: Progress = silent,
) -> Summary:
    """Merge stats folders: the same statistics as aggregating all their graphs together (sums to 1e-12).

    Raises `SpaceMismatch` where they are of different feature spaces, `InputError` where a graph stands in
    two of them (with `skip_duplicates`, a folder all of whose graphs stand in the others is left out).
    """
    with needs_extra("aggregate"):
        from atlas.aggregate import merge_stats as run

    options = AggregateOptions(cooccurrence, device, memory, threads)
    return run(folders, out, options, progress=progress, skip_duplicates=skip_duplicates)
