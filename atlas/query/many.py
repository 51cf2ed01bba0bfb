"""Several atlases side by side: each with all queries, and SQL over all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from os import PathLike
from types import TracebackType
from typing import Any, Self

import duckdb

from atlas.database import DEFAULT_MEMORY, one_line, open_several, require_reading
from atlas.errors import QueryError
from atlas.query.client import Atlas


class Atlases(Mapping[str, Atlas]):
    """Open atlases by name, as attributes and as a mapping: `both.base`, `both["tuned"]`."""

    def __init__(self, files: Mapping[str, str | PathLike[str]], *, memory: str = DEFAULT_MEMORY) -> None:
        """Open the atlases at the paths of `files`; `memory` is DuckDB's limit for each. Raises `AtlasFileError`."""
        self._atlases = {name: Atlas(path, memory=memory) for name, path in files.items()}
        self._con = open_several(files, memory=memory)

    def sql(self, text: str, parameters: Mapping[str, Any] | None = None) -> duckdb.DuckDBPyRelation:
        """Run read-only SQL on all atlases; tables are written as `name.neurons`.

        Args:
            text: One SELECT statement. Parameters are written as `$name`.
            parameters: Values by name.

        Returns:
            A relation with the columns of the SQL.

        Raises:
            QueryError: The SQL is another kind of statement, or DuckDB rejects it.
        """
        require_reading(text)
        try:
            return self._con.cursor().sql(text, params=dict(parameters) if parameters else None)
        except duckdb.Error as error:
            said = one_line(error)
            if (macro := re.search(rf"\b({'|'.join(map(re.escape, self._atlases))})\.(\w+)\(", text)) is not None:
                said += f"; a macro reads the atlas in use, and here none is: ask the object {macro[1]} with its method or its own sql"
            raise QueryError(said) from error

    def __getitem__(self, name: str) -> Atlas:
        return self._atlases[name]

    def __getattr__(self, name: str) -> Atlas:
        try:
            return self.__dict__["_atlases"][name]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(
                f"no atlas is called {name!r}; there are {', '.join(self.__dict__.get('_atlases', ()))}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._atlases)

    def __len__(self) -> int:
        return len(self._atlases)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Atlases({', '.join(f'{name}={str(one.path)!r}' for name, one in self._atlases.items())})"

    def close(self) -> None:
        """Close all files."""
        for one in self._atlases.values():
            one.close()
        self._con.close()
