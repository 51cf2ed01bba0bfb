"""Journal of the finished tasks that can be trusted after a power failure.

A killed process loses none of its written files, but a machine that loses power may lose some. Waiting for the disk
after every task would halve the speed of fast tasks. The files of finished tasks are therefore synced to disk every
half minute. A run on another boot (or another machine) only trusts synced files; a run on the same boot trusts all.
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
    """Return the id of this boot of the machine, or an empty text if it has none."""
    with contextlib.suppress(OSError):
        return _BOOT.read_text().strip()
    return ""


def claim(store: Store, result: Path, purpose: str) -> None:
    """Empty the store, unless its files were made for this purpose and on top of the current file `result`.

    Otherwise, a run that died after it replaced its result, but before it removed its work, would be taken for an
    unfinished run, and its graphs would be counted twice.
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
    """Record of the files of one store that are known to be on disk."""

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
        """Remove files that may be incomplete from a store, and return its journal."""
        journal = cls(store)
        journal.drop_untrusted()
        return journal

    def drop_untrusted(self) -> None:
        """Remove the files that may not have reached the disk before the machine stopped, and record this boot."""
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
        """Record files that were just finished, and flush if the last flush is `SECONDS` ago."""
        self._waiting += names
        if time.monotonic() - self._since >= SECONDS:
            self.flush()

    def flush(self) -> None:
        """Sync the recorded files to disk."""
        for name in self._waiting:
            self._store.sync(name)
        self._safe += self._waiting
        self._waiting, self._since = [], time.monotonic()
        self._write()
