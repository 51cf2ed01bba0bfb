"""Errors that this package raises on purpose.

    AtlasError
    ├── UsageError          an invalid value or option
    │   ├── IdError         text that is not a neuron id
    │   └── RecipeError     a wrong key or value in a recipe
    ├── InputError          a file that is missing, of another kind or damaged
    │   ├── NothingFound    paths without any file of the requested kind
    │   ├── NothingReadable files without any readable graph
    │   ├── NothingToCluster  statistics without an edge that reaches the threshold
    │   ├── GraphError      one attribution graph that cannot be read (it goes to `rejects`)
    │   ├── SpaceMismatch   graphs of two feature spaces in one aggregation
    │   ├── SourceChanged   a counted file that has changed or is missing, or other options than before
    │   ├── LabelFileError  a label file with the wrong columns
    │   ├── StageError      a stats/, clusters/ or labels/ folder that is missing or damaged
    │   │   └── NewerVersion  one that a newer version of this package wrote
    │   └── AtlasFileError  a DuckDB file that is missing or is not an atlas
    ├── OutputError         an output that cannot be written (read-only, disk full, in use)
    ├── CheckError          an atlas whose rows contradict each other
    ├── QueryError          SQL that DuckDB refuses; its text is kept
    └── MissingExtra        an optional dependency that this command needs

A message is one line: what is wrong, what was given, what to do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class AtlasError(Exception):
    """Base class of all errors that this package raises on purpose. The message is written for users."""


class UsageError(AtlasError, ValueError):
    """An invalid value or option."""


class IdError(UsageError):
    """Text that is not a neuron id."""


class RecipeError(UsageError):
    """A wrong key or value in a recipe."""


class InputError(AtlasError):
    """A file that is missing, of another kind or damaged."""


class NothingFound(InputError):
    """Paths without any file of the requested kind."""


class NothingReadable(InputError):
    """Files without any readable graph."""


class NothingToCluster(InputError):
    """Statistics without an edge that reaches the threshold, or without any flow."""


class GraphError(InputError):
    """One attribution graph that cannot be read.

    `reason` is a short fixed word (`bad_json`, `not_a_graph`, ...) that is counted in `rejects`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Pickle the arguments, so that the error travels between processes."""
        return type(self), (self.reason, str(self))


class SpaceMismatch(InputError):
    """Graphs of two feature spaces in one aggregation."""


class SourceChanged(InputError):
    """A counted file that has changed or is missing, or other options than before; only a fresh start helps."""


class LabelFileError(InputError):
    """A label file with the wrong columns."""


class StageError(InputError):
    """A stage folder (stats, clusters, labels) that is missing or damaged."""


class NewerVersion(StageError):
    """A stage folder that a newer version of this package wrote."""


class AtlasFileError(InputError):
    """A DuckDB file that is missing or is not an atlas.

    `reason` is `missing`, `foreign`, `damaged` or `schema` (an atlas of another version of this tool).
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Pickle the arguments, so that the error travels between processes."""
        return type(self), (self.reason, str(self))


class OutputError(AtlasError):
    """An output that cannot be written."""


class CheckError(AtlasError):
    """An atlas with rows that contradict each other."""


class QueryError(AtlasError):
    """SQL that DuckDB refuses."""


class MissingExtra(AtlasError):
    """An optional dependency that is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed: pip install 'circuit-atlas[{extra}]'")
        self._arguments = (module, extra)

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Pickle the arguments, so that the error travels between processes."""
        return type(self), self._arguments


@contextlib.contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Translate the missing module of an import inside the block into a `MissingExtra` of `extra`."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "atlas":
            raise
        raise MissingExtra(error.name, extra) from error
