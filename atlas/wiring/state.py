"""What an unfinished run has found: the upstream lists of each finished layer, and the downstream lists up to one."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from atlas.wiring.top_k import TopK

_CLAIM, _DOWNSTREAM = "claim.json", "downstream"
_NAMES = ("strength", "partner", "up", "gate")


class State:
    """A work folder; what was found with other options or other weights (`claim`) is thrown away."""

    def __init__(self, folder: Path, claim: str, *, fresh: bool) -> None:
        self._folder = folder
        path = folder / _CLAIM
        if fresh or not path.is_file() or path.read_text(encoding="utf-8") != claim:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            path.write_text(claim, encoding="utf-8")

    @property
    def done(self) -> int:
        """The highest layer whose connections to all lower ones are found; 0 at first, as layer 0 has none."""
        found = [int(path.stem.rpartition("-")[2]) for path in self._folder.glob(f"{_DOWNSTREAM}-*.safetensors")]
        return max(found, default=0)

    def downstream(self) -> TopK | None:
        """The downstream lists of all neurons, up to layer `done`."""
        return self._load(f"{_DOWNSTREAM}-{self.done}") if self.done else None

    def save_downstream(self, layer: int, lists: TopK) -> None:
        """Note that all layers up to this one are done."""
        earlier = self.done
        self._save(f"{_DOWNSTREAM}-{layer}", lists)
        if earlier and earlier != layer:
            (self._folder / f"{_DOWNSTREAM}-{earlier}.safetensors").unlink(missing_ok=True)

    def upstream(self, layer: int) -> TopK:
        """The upstream lists of a layer's neurons."""
        return self._load(f"upstream-{layer}")

    def save_upstream(self, layer: int, lists: TopK) -> None:
        """Keep the upstream lists of a layer's neurons."""
        self._save(f"upstream-{layer}", lists)

    def remove(self) -> None:
        """The work is done."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def path(self, name: str) -> Path:
        """A file of the work folder."""
        return self._folder / name

    def _save(self, name: str, lists: TopK) -> None:
        from safetensors.torch import save_file

        part = self._folder / f".{name}.part"
        save_file({key: getattr(lists, key).cpu().contiguous() for key in _NAMES}, part)
        part.replace(self._folder / f"{name}.safetensors")

    def _load(self, name: str) -> TopK:
        from safetensors.torch import load_file

        found: dict[str, torch.Tensor] = load_file(self._folder / f"{name}.safetensors")
        return TopK(*(found[key] for key in _NAMES))
