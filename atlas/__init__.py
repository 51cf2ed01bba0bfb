"""Circuit Atlas: turn many attribution graphs of a language model into one DuckDB file.

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
    from atlas.query.criteria import Neurons

__all__ = ["Atlas", "AtlasError", "NeuronId", "Neurons", "__version__", "open"]


def open(path: str | PathLike[str]) -> Atlas:
    """Open an atlas file read-only, with DuckDB's external access disabled.

    Args:
        path: Atlas file.

    Returns:
        The open atlas.

    Raises:
        AtlasFileError: The file is missing or is not an atlas.
    """
    from atlas.query.client import Atlas

    return Atlas(path)


def __getattr__(name: str) -> Any:
    # `Atlas` pulls in DuckDB, so it is imported at first use.
    if name == "Atlas":
        from atlas.query.client import Atlas

        return Atlas
    if name == "Neurons":
        from atlas.query.criteria import Neurons

        return Neurons
    raise AttributeError(f"module 'atlas' has no attribute {name!r}")
