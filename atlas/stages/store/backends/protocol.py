"""Protocol of back ends of activations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Cells(NamedTuple):
    """Activations of one unit that are not 0, or above its threshold, in the order of contexts and positions."""

    context: NDArray[np.int64]
    position: NDArray[np.int32]  # -1 where a unit has one value per context
    value: NDArray[np.float32]


@dataclass(frozen=True)
class CellBatch:
    """Activations of all units in the contexts [first, last), in the order of contexts, positions, layers and units."""

    first: int
    last: int
    context: NDArray[np.int64]
    position: NDArray[np.int32]
    layer: NDArray[np.int32]
    unit: NDArray[np.int32]
    value: NDArray[np.float32]


class ActivationBackend(Protocol):
    """Activations of some layers on numbered contexts."""

    @property
    def is_available(self) -> bool:
        """True where the files are there and can be read."""

    @property
    def layers(self) -> Mapping[int, int]:
        """Number of units of every layer."""

    @property
    def context_count(self) -> int:
        """Number of contexts, also of those without an activation."""

    def load(self, unit: tuple[int, int]) -> Cells | None:
        """Return all activations of a unit.

        Args:
            unit: Layer and number.

        Returns:
            Its activations, empty where it is never active; None where the back end has no such unit.
        """

    def batches(self, size: int) -> Iterator[CellBatch]:
        """Yield all activations by contexts.

        Args:
            size: Number of contexts of a batch.

        Yields:
            The next batch; also one without activations.
        """


def empty_cells() -> Cells:
    """Return no activations."""
    return Cells(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))


def batch_of(first: int, last: int, columns: Mapping[str, NDArray[Any]]) -> CellBatch:
    """Return a batch of columns in any order.

    Args:
        first: First context.
        last: Context behind the last one.
        columns: `context`, `position`, `layer`, `unit` and `value`, each (n,).

    Returns:
        The batch, sorted.
    """
    order = np.lexsort((columns["unit"], columns["layer"], columns["position"], columns["context"]))
    kinds = {"context": np.int64, "position": np.int32, "layer": np.int32, "unit": np.int32, "value": np.float32}
    return CellBatch(first, last, **{name: columns[name][order].astype(kind) for name, kind in kinds.items()})
