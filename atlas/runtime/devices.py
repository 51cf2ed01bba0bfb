"""Choice of the device: `auto`, `cpu`, `cuda` or one GPU of several, `cuda:1`."""

from __future__ import annotations

import os
import re
from pathlib import Path

from atlas.errors import UsageError, needs_extra

_NAMES = re.compile(r"auto|cpu|cuda(:\d+)?")


def choose_device(name: str) -> str:
    """Return the device to use. `auto` becomes CUDA if there is a GPU; raises `UsageError` for a missing device."""
    if not _NAMES.fullmatch(name):
        raise UsageError(f"--device {name}: choose auto, cpu or cuda (cuda:1 is the second GPU)")
    if name == "cpu" or (name == "auto" and not _gpu_is_likely()):
        return "cpu"
    with needs_extra("aggregate"):
        import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda" if count else "cpu"
    if not count:
        raise UsageError(f"--device {name}: no CUDA device is available here; use --device auto or cpu")
    if ":" in name and int(name.partition(":")[2]) >= count:
        raise UsageError(f"--device {name}: there are {count} CUDA devices here, from cuda:0 to cuda:{count - 1}")
    return name


def _gpu_is_likely() -> bool:
    """Return True if a GPU is likely, so that it is worth a second to import torch and ask it."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg"))
