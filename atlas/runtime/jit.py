"""Declaration of numba kernels: types of arrays, and compilation from an explicit signature, kept on the disk."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

# Of kernels, for readers and mypy: numba takes the types of its signatures, and any integer is int64 there.
Int: TypeAlias = int | np.signedinteger
IntArray: TypeAlias = NDArray[np.int64]
Int32Array: TypeAlias = NDArray[np.int32]
ByteArray: TypeAlias = NDArray[np.uint8]
FloatArray: TypeAlias = NDArray[np.float64]

_F = TypeVar("_F", bound=Callable[..., Any])
I8, U8, U4, F8, I4, U1 = types.int64, types.uint64, types.uint32, types.float64, types.int32, types.uint8
NONE = types.void


def in_(kind: Any) -> Any:
    """A contiguous input array; Arrow's columns are read-only."""
    return types.Array(kind, 1, "C", readonly=True)


def out(kind: Any) -> Any:
    """A contiguous output array."""
    return types.Array(kind, 1, "C")


def out_2d(kind: Any) -> Any:
    """A contiguous output matrix."""
    return types.Array(kind, 2, "C")


def compiled_kernel(result: Any, *arguments: Any, allocates: bool = True) -> Callable[[_F], _F]:
    """Compile now, or load from the cache: without the GIL, without fastmath, in one thread.

    A kernel that makes no array says so: then references to its arrays are not counted, which can be most of the time.
    """
    options: Any = {} if allocates else {"_nrt": False}

    def decorate(function: _F) -> _F:
        signature = result(*arguments)
        # numba looks whether the file of a kernel has changed, not whether what it puts in from other files has.
        function.__qualname__ += f"-{_state_of(Path(function.__code__.co_filename).parent)}"
        try:
            return cast(_F, njit(signature, nogil=True, cache=True, **options)(function))
        except RuntimeError:
            # No folder for the cache can be written: compiled anew in every process.
            return cast(_F, njit(signature, nogil=True, **options)(function))

    return decorate


def inlined(function: _F) -> _F:
    """A part of a kernel: put into each that calls it. A call would count references of every array it passes."""
    return cast(_F, njit(inline="always")(function))


@functools.cache
def _state_of(folder: Path) -> str:
    """A hash of all that kernels of a folder are made from."""
    sources = sorted(folder.glob("*.py")) + sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
