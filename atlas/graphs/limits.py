"""Limits on the size of a graph, which depend on the available memory."""

from __future__ import annotations

from typing import NamedTuple

from atlas.errors import GraphError

_MIB = 2**20


class ReadLimits(NamedTuple):
    """Bounds on the memory for one graph, in bytes of its unpacked text.

    The largest real graphs have a few MB. A file above the bounds is a mistake or an attack.
    """

    file_bytes: int = 512 * _MIB
    # A file that is not clean is read piece by piece, which takes about thirty times its size in memory.
    tolerant_bytes: int = 128 * _MIB

    @classmethod
    def of(cls, memory: int) -> ReadLimits:
        """Return the bounds that keep one reader within `memory` bytes."""
        return cls(min(cls().file_bytes, memory // 8), min(cls().tolerant_bytes, memory // 64))

    def require(self, size: int, what: str = "the file") -> None:
        """Raise an error if a size is above the limit.

        Args:
            size: Size in bytes.
            what: Item of that size, for the message.

        Raises:
            GraphError: The size is above `file_bytes`.
        """
        if size > self.file_bytes:
            raise GraphError("too_large", self.told(what))

    def told(self, what: str) -> str:
        """Return the error message for an item that is too large.

        Args:
            what: Item that is too large.

        Returns:
            One sentence that names the limit and how to raise it.
        """
        return (
            f"{what} has more than {self.file_bytes // _MIB} MiB unpacked; for a real graph of that size raise --memory"
        )
