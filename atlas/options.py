"""The options of every stage, once: recipes, the command line and the library share names and defaults."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClusterOptions:
    """[[cluster]]: one clustering; the first is the primary one unless [atlas] says otherwise.

    `seed` and `trials` make the result repeatable; more trials find better partitions.
    """

    name: str | None = None
    method: str = "infomap"
    weight: str = "mean_abs_weight_sq"
    min_count: int = 5
    seed: int = 42
    trials: int = 20
    two_level: bool = False

    @property
    def title(self) -> str:
        """Name of the clustering in the atlas: `name`, or the method."""
        return self.name or self.method


def out_of_bounds(key: str, value: int) -> str | None:
    """What is wrong with a count or seed, or None: every stage holds whole numbers from 1 to 2^31 - 1."""
    return None if 1 <= value < 2**31 else f"{key} must be from 1 to {2**31 - 1}, not {value}"
