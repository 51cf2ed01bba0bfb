"""Progress of long work."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]  # what, done, of


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""
