"""Peak memory of this process and of its workers."""

from __future__ import annotations

import resource
import sys


def peak_memory_mb() -> float:
    """Peak resident memory of this process so far, in MB."""
    return _peak_mb(resource.RUSAGE_SELF)


def peak_worker_mb() -> float:
    """Peak resident memory of the largest worker process that has ended, in MB; 0 without any."""
    return _peak_mb(resource.RUSAGE_CHILDREN)


def _peak_mb(whose: int) -> float:
    peak = resource.getrusage(whose).ru_maxrss
    return peak / 1e3 if sys.platform != "darwin" else peak / 1e6
