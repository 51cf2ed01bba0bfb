"""Comparisons of served atlases, and of their graphs: made when they are asked for, in a process of their own."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from starlette.exceptions import HTTPException

from atlas.errors import AtlasError, OutputError, UsageError
from atlas.query.client import Atlas
from atlas.runtime.executors import ProcessExecutor
from atlas.web.comparison_job import ComparisonJob, Sides, make_comparison

TABLES = ("facts", "neurons", "edges", "enrichment")
# Comparisons that are kept, to be asked again.
_KEPT = 8
# Requests that wait for a comparison, with the one that is made; each takes a thread of the server.
_WAITING = 3
# A comparison reads all edges several times: it may take this many times the limit of a query.
_TIMES_OF_A_QUERY = 6


class Comparisons:
    """Comparisons by what they compare. A process of its own has its own memory, and ends with the time limit."""

    def __init__(self, timeout: float, memory: str) -> None:
        """Let a comparison take six times `timeout` seconds, and each open one `memory` of DuckDB."""
        self._limit, self._memory = _TIMES_OF_A_QUERY * timeout, memory
        self._folder: Path | None = None
        self._turn, self._waiting = threading.Lock(), threading.BoundedSemaphore(_WAITING)
        self._made: dict[str, Atlas] = {}
        self._process: ProcessExecutor | None = None
        self._is_stopped = False

    def of(self, sides: Sides) -> Atlas:
        """Return the comparison of two sides, made now where nobody has asked for it before.

        Args:
            sides: What is compared.

        Returns:
            The open file of the comparison.

        Raises:
            UsageError: The sides cannot be compared, or it takes too long.
            AtlasFileError: An atlas cannot be read.
            OutputError: The folder for temporary files cannot be written.
            HTTPException: 503: other comparisons are being made, or the server ends.
        """
        if sides.left == sides.right and not sides.where_a and not sides.where_b:
            raise UsageError(
                "an atlas does not differ from itself: name another with other=, or select graphs with where_a="
            )
        name = sides.name()
        if (known := self._made.get(name)) is not None:
            return known
        if not self._waiting.acquire(blocking=False):
            raise HTTPException(503, "other comparisons are being made; ask again later")
        try:
            with self._turn, self._translated():
                if name not in self._made:
                    self._made[name] = self._make(sides, self._room() / name)
                    for old in list(self._made)[:-_KEPT]:
                        # Answers that are being read keep the file.
                        shutil.rmtree(self._made.pop(old).path.parent, ignore_errors=True)
                return self._made[name]
        finally:
            self._waiting.release()

    def stop(self) -> None:
        """End the comparison that is being made, and make no other."""
        self._is_stopped = True
        if self._process is not None:
            self._process.stop()

    def close(self) -> None:
        """Stop, close and remove the files."""
        self.stop()
        with self._turn:
            for made in self._made.values():
                made.close()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"a comparison cannot be written: {error.filename}: {error.strerror or error}") from error

    def _room(self) -> Path:
        """Return the folder of comparisons; cleaners of temporary files may have removed it."""
        if self._folder is None or not self._folder.is_dir():
            self._folder = Path(tempfile.mkdtemp(prefix="atlas-comparisons-"))
        return self._folder

    def _make(self, sides: Sides, folder: Path) -> Atlas:
        folder.mkdir()
        out = folder / "comparison.duckdb"
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            process.stop()

        try:
            with ProcessExecutor(1) as process:
                self._process = process
                timer = threading.Timer(self._limit, expire)
                timer.start()
                try:
                    if self._is_stopped:
                        raise HTTPException(503, "the server ends")
                    list(process.run(make_comparison, [ComparisonJob(sides, out, self._limit)]))
                finally:
                    timer.cancel()
                    self._process = None
            return Atlas(out, memory=self._memory)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, AtlasError) and expired.is_set():
                raise UsageError(
                    f"the comparison takes longer than {self._limit:g} s; make it once with atlas compare A B -o FILE, and "
                    "serve FILE beside the atlases; or raise --timeout"
                ) from error
            if isinstance(error, AtlasError) and self._is_stopped:
                raise HTTPException(503, "the server ends") from error
            raise
