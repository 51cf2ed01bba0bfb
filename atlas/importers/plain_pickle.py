"""Pickles of plain values: numbers, texts, lists, tuples and dictionaries. Anything else in them is refused, and no code runs."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from atlas.errors import InputError


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise InputError(
            f"it holds an object of {module}.{name}, not plain numbers and texts; save it as Parquet or JSON"
        )


def read_plain(path: Path) -> Any:
    """Read a pickle of plain values.

    Args:
        path: The file.

    Returns:
        The value.

    Raises:
        InputError: The file is damaged, or holds an object, such as a table of pandas.
    """
    try:
        with path.open("rb") as stream:
            return _Plain(stream).load()
    except InputError as error:
        raise InputError(f"{path} is refused: {error}") from error
    except Exception as error:  # a damaged pickle may raise anything
        raise InputError(f"{path} cannot be read as a pickle: {' '.join(str(error).split())[:200]}") from error
