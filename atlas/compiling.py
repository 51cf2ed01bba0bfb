"""How a numba kernel is declared: types of arrays, and compilation from an explicit signature, kept on the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit, types

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


def compiled_kernel(result: Any, *arguments: Any) -> Callable[[_F], _F]:
    """Compile now, or load from the cache: without the GIL, without fastmath, in one thread."""

    def decorate(function: _F) -> _F:
        signature = result(*arguments)
        try:
            return cast(_F, njit(signature, nogil=True, cache=True)(function))
        except RuntimeError:
            # No folder for the cache can be written: compiled anew in every process.
            return cast(_F, njit(signature, nogil=True)(function))

    return decorate
