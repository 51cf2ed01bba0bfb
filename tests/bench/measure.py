"""Runs one contender in processes of its own: seconds from start to end, and peak memory of all its processes together."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any


def _children(pid: int) -> list[int]:
    found, waiting = [], [pid]
    while waiting:
        here = waiting.pop()
        found.append(here)
        for task in Path(f"/proc/{here}/task").glob("*/children"):
            try:
                waiting += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def _resident_mb(pid: int) -> float:
    total = 0
    for one in _children(pid):
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * 4096
        except (OSError, IndexError):
            continue
    return total / 1e6


def run(command: list[str], **options: Any) -> tuple[dict[str, Any], float, float]:
    """The last line that the command prints (JSON), its seconds, and the peak of resident memory in MB, sampled."""
    started = time.perf_counter()
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True, **options) as process:
        peak, done = 0.0, threading.Event()

        def sample() -> None:
            nonlocal peak
            while not done.wait(0.02):
                peak = max(peak, _resident_mb(process.pid))

        sampler = threading.Thread(target=sample)
        sampler.start()
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
        code = process.wait()
        seconds = time.perf_counter() - started
        done.set()
        sampler.join()
    if code:
        raise SystemExit(f"{' '.join(command)} ended with code {code}")
    return json.loads(lines[-1]), seconds, peak


def cores() -> str:
    """The processor, in words."""
    import os

    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return f"{names[0] if names else 'unknown processor'}, {len(os.sched_getaffinity(0))} cores"
