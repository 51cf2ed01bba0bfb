"""State of an unfinished wiring run: the upstream lists of each finished layer, and the latest downstream lists.

The files are in a store with a journal, as in an aggregation.
"""

from __future__ import annotations

from pathlib import Path

import torch

from atlas.io.work_dir import LocalStore
from atlas.runtime.journal import Journal, claim
from atlas.wiring.top_k import TopK

_DOWNSTREAM, _SUFFIX = "downstream", ".safetensors"
_NAMES = ("strength", "partner", "up", "gate")


class State:
    """Work folder of a wiring run.

    Files that were made with other options or weights (`purpose`), or before `result` changed, are deleted.
    """

    def __init__(self, folder: Path, result: Path, purpose: str, *, fresh: bool) -> None:
        self._store = LocalStore(folder)
        if fresh:
            self._store.remove()
        claim(self._store, result, purpose)
        self._journal = Journal.opened(self._store)

    @property
    def done(self) -> int:
        """Highest layer that is connected to all lower layers; 0 at first, since layer 0 has none below it."""
        found = [name for name in self._store.names() if name.startswith(f"{_DOWNSTREAM}-")]
        return max((int(name.removesuffix(_SUFFIX).rpartition("-")[2]) for name in found), default=0)

    def downstream(self) -> TopK | None:
        """Return the downstream lists of all neurons, up to layer `done`; None where no layer is done."""
        return self._load(f"{_DOWNSTREAM}-{self.done}") if self.done else None

    def save_downstream(self, layer: int, lists: TopK) -> None:
        """Save the downstream lists of all neurons; all layers up to this one are then done."""
        earlier = self.done
        self._save(f"{_DOWNSTREAM}-{layer}", lists)
        if earlier and earlier != layer:
            # The new file must be on disk before the old one is deleted.
            self._journal.flush()
            self._store.delete(f"{_DOWNSTREAM}-{earlier}{_SUFFIX}")

    def upstream(self, layer: int) -> TopK:
        """Return the upstream lists of the neurons of a layer."""
        return self._load(f"upstream-{layer}")

    def save_upstream(self, layer: int, lists: TopK) -> None:
        """Save the upstream lists of the neurons of a layer."""
        self._save(f"upstream-{layer}", lists)

    def remove(self) -> None:
        """Delete the work folder."""
        self._store.remove()

    def path(self, name: str) -> Path:
        """Return the path of a file in the work folder."""
        return self._store.folder / name

    def _save(self, name: str, lists: TopK) -> None:
        from safetensors.torch import save_file

        columns = {key: getattr(lists, key).cpu().contiguous() for key in _NAMES}
        self._store.put_with(name + _SUFFIX, lambda path: save_file(columns, path))
        self._journal.note(name + _SUFFIX)

    def _load(self, name: str) -> TopK:
        from safetensors.torch import load_file

        found: dict[str, torch.Tensor] = load_file(self.path(name + _SUFFIX))
        return TopK(*(found[key] for key in _NAMES))
