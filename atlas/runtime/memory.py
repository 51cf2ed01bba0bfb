"""Memory sizes: parsing, and the peak of this process and of its workers."""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from pathlib import Path

from atlas.errors import UsageError


def peak_memory_mb() -> float:
    """Return the peak resident memory of this process so far.

    Returns:
        Megabytes.
    """
    with contextlib.suppress(OSError, ValueError, StopIteration):
        # On Linux, ru_maxrss also counts the program that has started this one.
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1.024e-3
    return _peak_mb(resource.RUSAGE_SELF)


def peak_worker_mb() -> float:
    """Return the peak resident memory of the largest worker process that has ended.

    Returns:
        Megabytes; 0 if no worker has ended.
    """
    return _peak_mb(resource.RUSAGE_CHILDREN)


def _peak_mb(whose: int) -> float:
    peak = resource.getrusage(whose).ru_maxrss
    return peak / 1e3 if sys.platform != "darwin" else peak / 1e6


def parse_bytes(text: str) -> int:
    """Return a size such as 2GB, 512 MiB or 1500000000 in bytes; raises `UsageError` for other text.

    >>> parse_bytes("2GB")
    2000000000
    """
    found = re.match(r"(\d{1,15}(?:\.\d{1,9})?) ?(?:([KMGT])(i?)B?|B?)\Z", text.strip(), re.IGNORECASE)
    if found is None:
        raise UsageError(f"{text!r} is no size; write it like 2GB or 512MB")
    base = 1024 if found[3] else 1000
    return int(float(found[1]) * base ** ("KMGT".index(found[2].upper()) + 1 if found[2] else 0))
