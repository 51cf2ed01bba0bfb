"""Circuit Atlas: many attribution graphs of a language model in, one DuckDB file out.

>>> import atlas
>>> with atlas.open("out/gemma.duckdb") as model:      # doctest: +SKIP
...     model.downstream("L12/N345").pl()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atlas._version import __version__
from atlas.errors import AtlasError
from atlas.ids import NeuronId

if TYPE_CHECKING:
    from os import PathLike

    from atlas.query.client import Atlas

__all__ = ["Atlas", "AtlasError", "NeuronId", "__version__", "open"]


def open(path: str | PathLike[str]) -> Atlas:
    """Open an atlas file read-only, with DuckDB's external access disabled.

    Raises `AtlasFileError` where the file is missing or is no atlas.
    """
    from atlas.query.client import Atlas

    return Atlas(path)


def __getattr__(name: str) -> Any:
    # `Atlas` pulls in DuckDB, so it is imported when it is first asked for.
    if name == "Atlas":
        from atlas.query.client import Atlas

        return Atlas
    raise AttributeError(f"module 'atlas' has no attribute {name!r}")
