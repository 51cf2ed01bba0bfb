"""List of atlases and queries that pages work with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atlas._version import __version__
from atlas.query.catalogue import catalogue
from atlas.query.client import Atlas
from atlas.web.calls import properties, required


def listing(atlases: Mapping[str, Atlas], comparisons: Mapping[str, str | None] | None = None) -> dict[str, Any]:
    """Describe atlases and queries.

    Args:
        atlases: Open atlases by name.
        comparisons: Comparisons that are served beside them, with the atlas that their neurons are of.

    Returns:
        `atlases` with their files, `comparisons`, `queries` with their parameters and SQL, and the `version` of this package.
    """
    queries = [
        {
            "name": query.name,
            "doc": query.doc,
            "parameters": properties(query),
            "required": required(query),
            "sql": query.sql,
        }
        for query in catalogue().values()
    ]
    found = [{"name": name, "file": atlas.path.name} for name, atlas in atlases.items()]
    compared = [{"name": name, "atlas": atlas} for name, atlas in (comparisons or {}).items()]
    return {"atlases": found, "comparisons": compared, "queries": queries, "version": __version__}
