"""Import of checkpoints of the legacy aggregator to a stats folder, exact and as a stream.

Version 2 is five pickles in one file: a header, edges, neurons, processed files, the graphs of each neuron. Versions 0
and 1 are one pickled dictionary with these as members; version 1 has texts as keys. Versions 0 and 2 spell layers as
numbers or as texts ("L24").
"""

from __future__ import annotations

import time
from pathlib import Path

from atlas.errors import InputError, UsageError
from atlas.graph import Space
from atlas.importers.checkpoint_tables import CheckpointSummary, CheckpointTables
from atlas.importers.pickle_stream.stream import read_containers
from atlas.importers.values import Progress
from atlas.stages.manifest import replaced_folder
from atlas.stages.stats_writer import StatsWriter


def import_checkpoint(
    given: Path, out: Path, *, model: str | None = None, min_count: int = 1, progress: Progress = lambda *_: None
) -> CheckpointSummary:
    """Write the statistics of a checkpoint, or of the newest in a folder, to the stats folder `out`.

    Counts, sums, minima and maxima equal those of the file to the bit. The number of graphs of an edge is NULL, since a
    checkpoint does not hold it. `min_count` leaves out edges of fewer links. Raises `InputError` (not a checkpoint,
    a pickle that needs more than plain containers, cut off), `UsageError`, `OutputError`; then nothing is written.
    """
    if min_count < 1:
        raise UsageError(f"--min-count must be 1 or more, not {min_count}")
    path = find_checkpoint(given)
    started = time.monotonic()
    with replaced_folder(out, "stats") as folder:
        writer = StatsWriter(folder)
        sink = CheckpointTables(path, writer, min_count)
        try:
            parts = read_containers(path, sink, progress)
            summary = sink.finish(parts)
            counts = {"graphs": summary.graphs, "neurons": summary.neurons, "edges": summary.edges}
            space = Space(model or "unknown", None, "neuron", "attribution_flow")
            writer.finish(space, "relp", [path.name], options={"min_count": min_count}, counts=counts)
        finally:
            writer.close()
    summary.size_bytes, summary.seconds = path.stat().st_size, time.monotonic() - started
    return summary


def find_checkpoint(given: Path) -> Path:
    """Return a file, or `latest.dat` or else the newest checkpoint_*.dat of a folder. Raises `InputError`."""
    if given.is_file():
        return given
    found = sorted(given.glob("checkpoint_*.dat"), key=lambda path: path.stat().st_mtime) if given.is_dir() else []
    for path in (given / "latest.dat", *reversed(found)):
        if path.is_file():
            return path
    what = "is a folder without latest.dat or checkpoint_*.dat" if given.is_dir() else "does not exist"
    raise InputError(f"{given} {what}; give a checkpoint of the earlier aggregator")
