"""Journal of the finished tasks that can be trusted after a power cut: those that were on the disk, or all where nothing was cut.

A killed process loses nothing that it wrote, a machine that lost its power does. Waiting for the disk after
every task would halve the speed of the fast ones, so the files of finished tasks are brought to the disk
every half minute, and a run that finds itself on another boot (or another machine) trusts only those.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from pathlib import Path

from atlas.io.work_dir import Store

NAME = "checkpoint.json"
CLAIM = "claim.json"
KEPT = {NAME, CLAIM}
SECONDS = 30.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Return the id of this boot of the machine; empty where it has none."""
    with contextlib.suppress(OSError):
        return _BOOT.read_text().strip()
    return ""


def claim(store: Store, result: Path, purpose: str) -> None:
    """Empty the store, unless what it holds was made for this purpose, on top of what the file `result` says now.

    A run that died between putting its result in place and removing its work would otherwise be taken for
    an unfinished one, and count what it counted again.
    """
    base = hashlib.sha256(result.read_bytes()).hexdigest() if result.is_file() else ""
    state = json.dumps({"purpose": purpose, "base": base})
    if CLAIM in store.names():
        with store.local(CLAIM) as path:
            if path.read_text() == state:
                return
    store.remove()
    store.put(CLAIM, [state.encode()])


class Journal:
    """The files of one store that are known to be on the disk."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[str] = []
        self._since = time.monotonic()
        self._boot, self._safe = self._read()
        finished = store.names()
        self.trusted: set[str] = finished if self._boot == boot_id() else finished & {CLAIM, *self._safe}
        self._untrusted = finished - self.trusted - KEPT

    @classmethod
    def opened(cls, store: Store) -> Journal:
        """Return the journal of a store from which files that may not be whole have been removed."""
        journal = cls(store)
        journal.drop_untrusted()
        return journal

    def drop_untrusted(self) -> None:
        """Remove the files that may not have reached the disk before the machine stopped, and note this boot."""
        for name in self._untrusted:
            self._store.delete(name)
        self._untrusted = set()
        if self._boot != boot_id():
            self._write()

    def _read(self) -> tuple[str | None, list[str]]:
        if NAME not in self._store.names():
            return None, []
        with self._store.local(NAME) as path:
            found = json.loads(path.read_text())
        return str(found["boot"]), list(found["safe"])

    def _write(self) -> None:
        self._store.put(NAME, [json.dumps({"boot": boot_id(), "safe": self._safe}).encode()])

    def note(self, *names: str) -> None:
        """Files that were just finished."""
        self._waiting += names
        if time.monotonic() - self._since >= SECONDS:
            self.flush()

    def flush(self) -> None:
        """Bring to the disk what was noted."""
        for name in self._waiting:
            self._store.sync(name)
        self._safe += self._waiting
        self._waiting, self._since = [], time.monotonic()
        self._write()
