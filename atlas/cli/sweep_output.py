"""Rows and pictures of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa

from atlas.cli.terminal import say, show, shown, table
from atlas.io.files import replaced_file, translated_os_errors
from atlas.io.pictures import draw_groups, draw_heat


def print_sweep(found: pa.Table, output: Path | None) -> None:
    """Print the groups of a sweep, or write them to a CSV file."""
    rows = pl.DataFrame(pl.from_arrow(found))
    if output is not None:
        with translated_os_errors(output), replaced_file(output) as path:
            rows.write_csv(path)
        say(f"  {len(rows):,} groups in {output}")
        return
    heads = ("group", "rows", "active", "", "mean", "95 %", "difference", "95 %")
    cells = []
    for row in rows.to_dicts():
        group = shown(_named(row["first_group"]))
        group += f" × {row['second_group']}" if row["second_group"] is not None else ""
        cells.append(
            (
                group,
                f"{row['row_count']:,}",
                f"{row['active_share']:.1%}",
                f"{row['active_share_low']:.1%} to {row['active_share_high']:.1%}",
                shown(row["mean"]),
                _span(row["mean_low"], row["mean_high"]),
                shown(row["difference"]),
                _span(row["difference_low"], row["difference_high"]),
            )
        )
    show(table(heads, cells))


def _named(group: str | None) -> str:
    """Return the name of a group; a space at its edge is made visible."""
    if group is None:
        return "(none)"
    return group if group == group.strip() and group else f"‘{group}’"


def _span(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.3g} to {high:.3g}"


def draw(found: pa.Table, path: Path, title: str, names: Sequence[str] = ()) -> None:
    """Draw the groups of a sweep: means with bounds, or a heat map of two families."""
    rows = found.to_pylist()
    if rows and rows[0]["second_group"] is not None:
        first, second = (sorted({int(row[name]) for row in rows}) for name in ("first_group", "second_group"))
        means = {(int(row["first_group"]), int(row["second_group"])): row["mean"] for row in rows}
        values = [[means.get((one, other)) for other in second] for one in first]
        labels = (f"number of {names[0]}", f"number of {names[1]}")
        draw_heat(path, list(map(str, first)), list(map(str, second)), values, title=title, labels=labels)
    else:
        draw_groups(
            path,
            [_named(row["first_group"]) for row in rows],
            [row["mean"] for row in rows],
            [(row["mean_low"], row["mean_high"]) for row in rows],
            [row["row_count"] for row in rows],
            title=title,
            ylabel="mean activation",
        )
    say(f"  picture in {path}")
