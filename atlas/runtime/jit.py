"""Declaration of numba kernels: array types, and compilation from an explicit signature, cached on disk."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

# Types for readers and mypy. numba uses the types of its signatures, in which any integer is int64.
Int: TypeAlias = int | np.signedinteger
IntArray: TypeAlias = NDArray[np.int64]
Int32Array: TypeAlias = NDArray[np.int32]
ByteArray: TypeAlias = NDArray[np.uint8]
FloatArray: TypeAlias = NDArray[np.float64]

_F = TypeVar("_F", bound=Callable[..., Any])
I8, U8, U4, F8, I4, U1 = types.int64, types.uint64, types.uint32, types.float64, types.int32, types.uint8
NONE = types.void


def in_(kind: Any) -> Any:
    """Return the type of a contiguous input array, which is read-only like Arrow's columns."""
    return types.Array(kind, 1, "C", readonly=True)


def out(kind: Any) -> Any:
    """Return the type of a contiguous output array."""
    return types.Array(kind, 1, "C")


def out_2d(kind: Any) -> Any:
    """Return the type of a contiguous output matrix."""
    return types.Array(kind, 2, "C")


def compiled_kernel(result: Any, *arguments: Any, allocates: bool = True) -> Callable[[_F], _F]:
    """Return a decorator that compiles a kernel now, or loads it from the cache.

    Kernels run without the GIL, without fastmath, in one thread. Set `allocates=False` for a kernel that makes no
    array: numba then does not count references to its arrays, which can take most of the time.
    """
    options: Any = {} if allocates else {"_nrt": False}

    def decorate(function: _F) -> _F:
        signature = result(*arguments)
        # numba only checks if the file of a kernel has changed, not if code that it inlines from other files has.
        function.__qualname__ += f"-{_state_of(Path(function.__code__.co_filename).parent)}"
        try:
            return cast(_F, njit(signature, nogil=True, cache=True, **options)(function))
        except RuntimeError:
            # No cache folder is writable, so every process compiles again.
            return cast(_F, njit(signature, nogil=True, **options)(function))

    return decorate


def helper(function: _F) -> _F:
    """Compile a function that kernels call, with their first call."""
    try:
        return cast(_F, njit(nogil=True, cache=True)(function))
    except RuntimeError:
        return cast(_F, njit(nogil=True)(function))  # no cache folder is writable


def inlined(function: _F) -> _F:
    """Inline a function into the kernels that call it. A call would count references to every array that it passes."""
    return cast(_F, njit(inline="always")(function))


@functools.cache
def _state_of(folder: Path) -> str:
    """Return a hash of all source files that the kernels of a folder depend on."""
    sources = sorted(folder.glob("*.py")) + sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
