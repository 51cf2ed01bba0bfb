"""Checks of an atlas: every file of sql/checks selects rows that must not exist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from atlas.database.scripts import scripts

SHOWN = 5
# Checks of sums over all rows, which a slim atlas does not hold.
_OF_WHOLE = frozenset(
    [
        "degrees_true",
        "links_in_tables",
        "clusters_sizes_true",
        "circuits_sizes_true",
        "anchored_circuits_true",
        "edges_add_up_by_group",
        "edges_inside_true",
    ]
)


@dataclass(frozen=True)
class CheckResult:
    """Result of one check: the number of rows that must not exist, and the first of them."""

    name: str
    doc: str
    row_count: int
    columns: list[str]
    rows: list[tuple[Any, ...]]
    problem: str | None = None

    @property
    def passed(self) -> bool:
        """True if the check could run and found no such row."""
        return self.row_count == 0 and self.problem is None

    def describe(self) -> str:
        """Describe the result in one line.

        Returns:
            Name of the check, number of rows, and the first row by column.
        """
        if self.problem is not None:
            return f"{self.name}: could not run: {self.problem}"
        shown = "; ".join(
            ", ".join(f"{column} {value}" for column, value in zip(self.columns, row, strict=True)) for row in self.rows
        )
        more = f"; and {self.row_count - len(self.rows)} more" if self.row_count > len(self.rows) else ""
        return f"{self.name}: {self.row_count} row{'s' if self.row_count != 1 else ''}: {shown}{more}"


def run_checks(con: duckdb.DuckDBPyConnection) -> Iterator[CheckResult]:
    """Run every check. A check that an old or damaged file cannot answer gives a result with a problem.

    Checks of sums over all rows are left out for a slim atlas, which does not hold them.

    Args:
        con: Connection to an atlas.

    Yields:
        One result per file of `sql/checks`, by name.
    """
    is_slim = bool(con.execute("FROM metadata WHERE key = 'slim'").fetchall())
    for check in scripts("checks"):
        if is_slim and check.name in _OF_WHOLE:
            continue
        try:
            cursor = con.execute(check.sql)
            columns = [column[0] for column in cursor.description or ()]
            rows = cursor.fetchmany(SHOWN)
            count = len(rows)
            while more := cursor.fetchmany(10_000):
                count += len(more)
        except duckdb.Error as error:
            problem = " ".join(str(error).split())[:300]
            yield CheckResult(check.name, check.doc, 0, [], [], problem)
        else:
            yield CheckResult(check.name, check.doc, count, columns, rows)
