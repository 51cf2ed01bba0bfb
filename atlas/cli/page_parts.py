"""Parts that pages share: names, shares, titles with counts, and bars with a sign."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import duckdb

from atlas.cli.terminal import bar, terminal_width
from atlas.ids import NeuronId

Row = dict[str, Any]


def signed_bars(rows: Sequence[Row], strength: str = "mean_abs_weight") -> tuple[str, list[str]]:
    """Return the header and the cells of a column of signed bars, one per row.

    The length of a bar is the mean absolute weight, by which rows are sorted; its side is the sign of the mean.
    ± marks an edge of both signs, whose mean weight is smaller.
    """
    width = 10 if terminal_width() >= 100 else 4
    lengths = [row["mean_weight"] if row[strength] is None else row[strength] for row in rows]
    signed = [
        None if length is None else math.copysign(length, row["mean_weight"] or 0.0)
        for length, row in zip(lengths, rows, strict=True)
    ]
    largest = max((abs(length) for length in signed if length is not None), default=0.0)
    cells = [
        f"{bar(length, largest, width)}{'±' if _is_mixed(row, strength) else ' '}"
        for length, row in zip(signed, rows, strict=True)
    ]
    return f"{'−':{width}}0{'+':>{width}} ", cells


def _is_mixed(row: Row, strength: str) -> bool:
    """Return True where links of both signs matter: |mean weight| is below 0.9 of the strength."""
    mean, strong = row["mean_weight"], row[strength]
    return mean is not None and strong is not None and abs(mean) < 0.9 * strong


def row_count(relation: duckdb.DuckDBPyRelation) -> int:
    """Count rows without fetching them, since a hub has very many neighbours."""
    return int(relation.aggregate("count(*)").fetchall()[0][0])


def titled(title: str, total: int, limit: int) -> str:
    return f"\n{title}: {limit} of {total:,}" if total > limit else f"\n{title}: {total}"


def percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.0%}"


def neuron_name(row: Row, end: str = "") -> str:
    return str(NeuronId(row[f"{end}layer"], row[f"{end}neuron"]))
