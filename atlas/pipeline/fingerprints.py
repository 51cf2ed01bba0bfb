"""Fingerprints of the last run of each stage, so that only stages that are out of date run again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atlas._version import __version__
from atlas.errors import InputError
from atlas.io.files import sha256_of, write_json
from atlas.stages.manifest import VERSION


class Fingerprints:
    """Fingerprints of the last run of each stage; a stage whose inputs and parameters hash the same is up to date."""

    def __init__(self, work: Path) -> None:
        self._folder = work / ".fingerprints"
        self._hashes_path = self._folder / "hashes.json"
        self._hashes: dict[str, list[Any]] = self._read(self._hashes_path)

    @staticmethod
    def _read(path: Path) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            value = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(value, dict):
                return value
        return {}

    def content_hash(self, path: Path, *, missing_ok: bool = False) -> str:
        """Return the SHA-256 of a file, which is read again only where its size or modification time changed.

        Raises `InputError` where it cannot be read; with `missing_ok`, returns `unreadable` instead.
        """
        try:
            stat = path.stat()
            # The key is a hash: the folder may be shared, and paths hold names of users.
            key = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()
            known = self._hashes.get(key)
            if not isinstance(known, list) or len(known) != 3 or known[:2] != [stat.st_size, stat.st_mtime_ns]:
                self._hashes[key] = known = [stat.st_size, stat.st_mtime_ns, sha256_of(path)]
        except OSError as error:
            if not missing_ok:
                raise InputError(f"{path} cannot be read: {error.strerror}") from error
            return "unreadable"
        return str(known[2])

    def fingerprint(
        self, stage: str, parameters: Any, inputs: Sequence[tuple[str, Path]], *, missing_ok: bool = False
    ) -> str:
        """Return one hash of everything that the result of a stage depends on."""
        facts = {
            "stage": stage,
            "tool": __version__,
            "schema": VERSION,
            "parameters": parameters,
            "inputs": [[name, self.content_hash(path, missing_ok=missing_ok)] for name, path in inputs],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def last(self, stage: str) -> dict[str, Any]:
        """Return the fingerprint and the seconds of the last run of a stage; empty where they are unknown."""
        return self._read(self._folder / f"{stage}.json")

    def forget(self, stage: str) -> None:
        """Delete the fingerprint of a stage before it runs, since the run may be killed."""
        (self._folder / f"{stage}.json").unlink(missing_ok=True)

    def save(self, stage: str, fingerprint: str, seconds: float) -> None:
        """Save the fingerprint and the seconds of a run."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_json({"fingerprint": fingerprint, "seconds": seconds}, self._folder / f"{stage}.json")
        write_json(self._hashes, self._hashes_path)


# Resources of the work. They change no row, so changing them rebuilds nothing.
_RESOURCES = {"aggregate": ("device", "memory", "threads"), "atlas": ("memory",), "trace": ("batch",)}
_PLACES = ("output", "work")


def deciding(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a recipe that decide the content of an atlas."""
    chosen = {key: value for key, value in recipe.items() if key not in _PLACES}
    for section, names in _RESOURCES.items():
        if isinstance(chosen.get(section), dict):
            chosen[section] = {key: value for key, value in chosen[section].items() if key not in names}
    return chosen


def files_of(folder: Path, name: str) -> list[tuple[str, Path]]:
    """Return every file of a stage's folder, so that a stage replaced by a user's script is noticed."""
    return [(f"{name}/{path.relative_to(folder)}", path) for path in sorted(folder.rglob("*")) if path.is_file()]
