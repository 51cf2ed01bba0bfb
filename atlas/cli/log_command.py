"""Command `atlas log`: the runs that an atlas was made by, as the log of experiments that one keeps by hand otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atlas.cli.help_and_errors import Command
from atlas.cli.options import atlas_options, page_options

if TYPE_CHECKING:
    from atlas.cli.terminal import Limits


@click.command("log", cls=Command)
@atlas_options
@click.option("--parameters", is_flag=True, help="With the parameters of every run.")
@page_options
def log(file: Path, limits: Limits, parameters: bool, fmt: str | None, output: Path | None) -> None:
    """Show the runs that an atlas was made by: when, what, how long, and what came out."""
    from atlas.cli.page_output import print_page
    from atlas.cli.terminal import opened, table
    from atlas.query.connection import rows_of

    with opened(file, limits) as atlas:
        rows = rows_of(atlas.experiments())
    cells = [
        (
            row["run"],
            row["finished"].isoformat(" ", "minutes") if row["finished"] else None,
            f"atlas {row['command']}",
            row["name"],
            row["seconds"],
            _short(row["figures"]),
            *((_short(row["parameters"]),) if parameters else ()),
        )
        for row in rows
    ]
    columns = (
        "run",
        "finished (UTC)",
        "command",
        "name",
        "seconds",
        "figures",
        *(("parameters",) if parameters else ()),
    )
    print_page(table(columns, cells, title=f"{file}: {len(rows)} runs"), fmt, output)


def _short(text: str) -> str:
    """Return an object of JSON as names and values; what is not known, and objects inside, are left out."""
    return ", ".join(
        f"{name.replace('_', ' ')} {_value(value)}" for name, value in json.loads(text).items() if _is_plain(value)
    )


def _is_plain(value: Any) -> bool:
    return value is not None and value != [] and not isinstance(value, dict)


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return " ".join(map(str, value[:5]))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
