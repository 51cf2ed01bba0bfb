"""Comparisons of served atlases, and of their graphs: made when they are asked for, in a process of their own."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException

from atlas.errors import UsageError
from atlas.query.client import Atlas

TABLES = ("facts", "neurons", "edges", "enrichment")
# Comparisons that are kept, to be asked again.
_KEPT = 8
# Of DuckDB, in the process that compares; windows over all edges do not spill well with less.
_MEMORY = "2GB"


@dataclass(frozen=True)
class Sides:
    """Two atlases, each with an SQL condition on its graphs; with all of them where it is empty."""

    left: Path
    right: Path
    where_a: str = ""
    where_b: str = ""

    def name(self) -> str:
        """Return a name of these conditions on these versions of the files."""
        parts = [self.where_a, self.where_b]
        for path in (self.left, self.right):
            stat = path.stat()
            parts += [str(path.resolve()), str(stat.st_ino), str(stat.st_mtime_ns), str(stat.st_size)]
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:24]

    def arguments(self, out: Path) -> list[str]:
        """Return the arguments of `atlas compare`."""
        conditions = [
            f"{option}={text}" for option, text in (("--where-a", self.where_a), ("--where-b", self.where_b)) if text
        ]
        same = not self.where_b and self.left == self.right
        files = [str(self.left)] if same else [str(self.left), str(self.right)]
        return ["compare", *files, *conditions, "-o", str(out)]


class Comparisons:
    """Comparisons by what they compare. A process of its own has its own memory, and ends with the time limit."""

    def __init__(self, timeout: float) -> None:
        """Let a comparison take `timeout` seconds."""
        self._timeout = timeout
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._turn = threading.Lock()
        self._made: dict[str, Atlas] = {}

    def of(self, sides: Sides) -> Atlas:
        """Return the comparison of two sides, made now where nobody has asked for it before.

        Args:
            sides: What is compared.

        Returns:
            The open file of the comparison.

        Raises:
            UsageError: The sides cannot be compared, or it takes too long.
            HTTPException: 503: another comparison is being made.
        """
        if "\0" in sides.where_a + sides.where_b:
            raise UsageError("a condition has a NUL character")
        name = sides.name()
        if not self._turn.acquire(timeout=self._timeout):
            raise HTTPException(503, "another comparison is being made; ask again later")
        try:
            if name not in self._made:
                self._folder = self._folder or tempfile.TemporaryDirectory(prefix="atlas-comparisons-")
                self._made[name] = self._make(sides, Path(self._folder.name) / name)
                for old in list(self._made)[:-_KEPT]:
                    # Answers that are being read keep the file.
                    shutil.rmtree(self._made.pop(old).path.parent)
            return self._made[name]
        finally:
            self._turn.release()

    def close(self) -> None:
        """Close and remove the files."""
        for made in self._made.values():
            made.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _make(self, sides: Sides, folder: Path) -> Atlas:
        out = folder / "comparison.duckdb"
        command = [sys.executable, "-m", "atlas", *sides.arguments(out), f"--memory={_MEMORY}"]
        folder.mkdir()
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=self._timeout, check=False)
        except subprocess.TimeoutExpired as error:
            shutil.rmtree(folder)
            raise UsageError(
                f"the comparison takes longer than {self._timeout:g} s; make it once with atlas compare A B -o FILE, "
                "and serve FILE beside the atlases; or raise --timeout"
            ) from error
        if done.returncode:
            shutil.rmtree(folder)
            said = done.stderr.strip().splitlines() or ["the comparison failed"]
            raise UsageError(said[-1].removeprefix("atlas: "))
        return Atlas(out)
