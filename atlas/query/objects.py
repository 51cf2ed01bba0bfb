"""Results of an atlas as objects: networks of other libraries, and matrices."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from atlas.errors import UsageError
from atlas.query.criteria import NeuronsLike
from atlas.query.network import Network, network_of_set
from atlas.query.set_queries import SetQueries

if TYPE_CHECKING:
    import polars as pl

# Columns that name the rows and columns of a matrix, the first pair that a query has.
_ENDS = (("src_id", "tgt_id"), ("src_group", "tgt_group"), ("src_layer", "tgt_layer"))


class Objects(SetQueries):
    """Methods of `Atlas` that return objects instead of relations."""

    def network(self, chosen: NeuronsLike, *, min_graphs: int | None = None) -> Network:
        """Return a set of neurons and the edges among them, for networkx, igraph, rustworkx, PyTorch Geometric and AnnData.

        Args:
            chosen: Set of neurons.
            min_graphs: Minimum number of graphs of an edge.

        Returns:
            The network, with `to_networkx()` and so on.

        Raises:
            UsageError: The set is empty.
        """
        return network_of_set(self, chosen, min_graphs=min_graphs)

    def matrix(self, query: str, value: str, **parameters: Any) -> pl.DataFrame:
        """Return the result of a query of edges as a matrix.

        Args:
            query: Query with a source and a target: `adjacency`, `path_lengths`, `flow`, `grow`, `pathways`, `circuit_edges` and so on.
            value: Column that fills the matrix.
            **parameters: Parameters of the query.

        Returns:
            A row per source, whose name is the first column, and a column per target; None where there is no edge.

        Raises:
            UsageError: The query has no such column, or no source and target.
        """

        found = self.query(query, **parameters)
        columns = list(found.columns)
        ends = next((pair for pair in _ENDS if set(pair) <= set(columns)), None)
        if ends is None:
            raise UsageError(
                f"query {query} has no source and target, so it is no matrix; its columns are {', '.join(columns)}"
            )
        if value not in columns or value in ends:
            rest = ", ".join(name for name in columns if name not in ends)
            raise UsageError(f"query {query} has no column {value!r} to fill a matrix with; it has {rest}")
        rows: pl.DataFrame = found.project(f'{ends[0]}, {ends[1]}, "{value}"').pl()
        wide = rows.pivot(on=ends[1], index=ends[0], values=value, aggregate_function="first")
        order = sorted(range(len(wide)), key=lambda place: _natural(wide[ends[0]][place]))
        return wide.select(ends[0], *sorted(wide.columns[1:], key=_natural))[order]


def _natural(name: object) -> list[tuple[int, str]]:
    """Return the order in which people count: L2/N9 comes before L10/N1, and the layers 2 before 10."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", str(name))]
