"""Limits of the size of a graph, by the memory that there is."""

from __future__ import annotations

from typing import NamedTuple

from atlas.errors import GraphError

_MIB = 2**20


class ReadLimits(NamedTuple):
    """Bounds on what one graph may make us allocate, in bytes of its unpacked text.

    The largest real graphs have a few MB; a file beyond the bounds is a mistake or an attack.
    """

    file_bytes: int = 512 * _MIB
    # A file that is not clean is read piece by piece, in some thirty times its size of memory.
    tolerant_bytes: int = 128 * _MIB

    @classmethod
    def of(cls, memory: int) -> ReadLimits:
        """Return the bounds that keep one reader within `memory` bytes."""
        return cls(min(cls().file_bytes, memory // 8), min(cls().tolerant_bytes, memory // 64))

    def require(self, size: int, what: str = "the file") -> None:
        """Refuse what is larger than a graph may be.

        Args:
            size: Bytes.
            what: What has that size, for the message.

        Raises:
            GraphError: It is larger than `file_bytes`.
        """
        if size > self.file_bytes:
            raise GraphError("too_large", self.told(what))

    def told(self, what: str) -> str:
        """Return the message about something that is too large.

        Args:
            what: What is too large.

        Returns:
            One sentence that names the limit and how to raise it.
        """
        return (
            f"{what} has more than {self.file_bytes // _MIB} MiB unpacked; for a real graph of that size raise --memory"
        )
