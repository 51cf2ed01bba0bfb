"""One comparison as a job of a worker process."""

from __future__ import annotations

import hashlib
import signal
from dataclasses import dataclass
from pathlib import Path

import duckdb

from atlas.database import one_line
from atlas.errors import AtlasFileError, QueryError
from atlas.query.compare import compare

# Of DuckDB; windows over all edges do not spill well with less.
_MEMORY = 2_000_000_000


@dataclass(frozen=True)
class Sides:
    """Two atlases, each with an SQL condition on its graphs; with all of them where it is empty."""

    left: Path
    right: Path
    where_a: str = ""
    where_b: str = ""

    def name(self) -> str:
        """Return a name of these conditions on these versions of the files. Raises `AtlasFileError`."""
        parts = [self.where_a, self.where_b]
        for path in (self.left, self.right):
            try:
                stat = path.stat()
            except OSError as error:
                raise AtlasFileError("missing", f"{path} cannot be read: {error.strerror or error}") from error
            parts += [str(path.resolve()), str(stat.st_ino), str(stat.st_mtime_ns), str(stat.st_size)]
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:24]


@dataclass(frozen=True)
class ComparisonJob:
    """A comparison, the file that it is written to, and its time limit in seconds."""

    sides: Sides
    out: Path
    limit: float


def make_comparison(job: ComparisonJob) -> None:
    """Write a comparison. The process ends itself soon after the limit, also where nobody is left to end it."""
    signal.alarm(int(job.limit) + 5)
    sides = job.sides
    try:
        compare(
            sides.left,
            sides.right,
            job.out,
            where_a=sides.where_a or None,
            where_b=sides.where_b or None,
            memory=_MEMORY,
        )
    except duckdb.Error as error:
        raise QueryError(f"the comparison failed: {one_line(error)}") from error
