"""Circuit Atlas: turn many attribution graphs of a language model into one DuckDB file.

>>> import atlas
>>> with atlas.open("out/gemma.duckdb") as model:      # doctest: +SKIP
...     model.downstream("L12/N345").pl()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from atlas._version import __version__
from atlas.errors import AtlasError, UsageError
from atlas.ids import NeuronId

if TYPE_CHECKING:
    from os import PathLike

    from atlas.query.client import Atlas
    from atlas.query.criteria import Neurons
    from atlas.query.many import Atlases

__all__ = ["Atlas", "AtlasError", "NeuronId", "Neurons", "__version__", "open"]


@overload
def open(path: str | PathLike[str], /) -> Atlas: ...
@overload
def open(**files: str | PathLike[str]) -> Atlases: ...
def open(path: str | PathLike[str] | None = None, /, **files: str | PathLike[str]) -> Atlas | Atlases:
    """Open an atlas file read-only, with DuckDB's external access disabled; or several, by name.

    Args:
        path: Atlas file.
        **files: Atlas files by name, such as `base="base.duckdb", tuned="tuned.duckdb"`, instead of `path`.

    Returns:
        The open atlas; of several, an object that has them as attributes and runs SQL over all of them.

    Raises:
        AtlasFileError: A file is missing or is not an atlas.
        UsageError: Neither a path nor names are given, or both.
    """
    if (path is None) == (not files):
        raise UsageError("open takes one path, or several by name, such as base='base.duckdb', tuned='tuned.duckdb'")
    if path is None:
        from atlas.query.many import Atlases

        return Atlases(files)
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
