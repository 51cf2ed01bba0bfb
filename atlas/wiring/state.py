"""State of an unfinished run: the upstream lists of each finished layer, and the downstream lists up to one.

The files are in a store with a journal, as those of an aggregation are.
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
    """A work folder; what was found with other options or other weights (`purpose`), or for another `result`, is thrown away."""

    def __init__(self, folder: Path, result: Path, purpose: str, *, fresh: bool) -> None:
        self._store = LocalStore(folder)
        if fresh:
            self._store.remove()
        claim(self._store, result, purpose)
        self._journal = Journal.opened(self._store)

    @property
    def done(self) -> int:
        """The highest layer whose connections to all lower ones are found; 0 at first, as layer 0 has none."""
        found = [name for name in self._store.names() if name.startswith(f"{_DOWNSTREAM}-")]
        return max((int(name.removesuffix(_SUFFIX).rpartition("-")[2]) for name in found), default=0)

    def downstream(self) -> TopK | None:
        """The downstream lists of all neurons, up to layer `done`."""
        return self._load(f"{_DOWNSTREAM}-{self.done}") if self.done else None

    def save_downstream(self, layer: int, lists: TopK) -> None:
        """Note that all layers up to this one are done."""
        earlier = self.done
        self._save(f"{_DOWNSTREAM}-{layer}", lists)
        if earlier and earlier != layer:
            # The later file is on the disk before the earlier one goes.
            self._journal.flush()
            self._store.delete(f"{_DOWNSTREAM}-{earlier}{_SUFFIX}")

    def upstream(self, layer: int) -> TopK:
        """The upstream lists of a layer's neurons."""
        return self._load(f"upstream-{layer}")

    def save_upstream(self, layer: int, lists: TopK) -> None:
        """Keep the upstream lists of a layer's neurons."""
        self._save(f"upstream-{layer}", lists)

    def remove(self) -> None:
        """The work is done."""
        self._store.remove()

    def path(self, name: str) -> Path:
        """A file of the work folder."""
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
