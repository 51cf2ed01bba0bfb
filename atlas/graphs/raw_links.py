"""Links as columns: the distinct ids, and the indices of the ids at both ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas.graph import Floats


@dataclass(frozen=True, slots=True)
class LinkColumns:
    """Columns of n links; `source` and `target` are indices into `ids`."""

    ids: list[str]
    source: NDArray[np.int32]  # shape (n,)
    target: NDArray[np.int32]
    weight: Floats

    def __len__(self) -> int:
        return len(self.weight)
