"""Command `atlas diff`: what has changed between two versions of an atlas."""

from __future__ import annotations

from pathlib import Path

import click

from atlas.cli.help_and_errors import Command
from atlas.cli.options import FILE, page_options


@click.command(cls=Command)
@click.argument("old", type=FILE)
@click.argument("new", type=FILE)
@page_options
def diff(old: Path, new: Path, fmt: str | None, output: Path | None) -> None:
    """Say what has changed from the atlas OLD to the atlas NEW: neurons, edges, labels, clusters, columns and facts.

    Rows of one key are equal, or changed where their counts, means, labels or clusters differ. Whether differences are more than chance is
    the question of atlas compare.
    """
    from rich.console import Group

    from atlas.cli.page_output import print_page
    from atlas.cli.terminal import table
    from atlas.database import open_several
    from atlas.database.scripts import script

    with open_several({"old": old, "new": new}) as con:
        rows = con.execute(script("diff")).fetchall()
    counts = [row[1:6] for row in rows if row[0] < 6]
    facts = [(row[1].replace("_", " "), *row[6:]) for row in rows if row[0] == 6]
    same = all(not any(row[1:4]) for row in counts) and not facts
    parts = [
        table(
            ("rows", "new", "gone", "changed", "equal"),
            counts,
            title=f"{old} to {new}" + (": no difference" if same else ""),
        )
    ]
    if facts:
        parts.append(table(("fact", "old", "new"), facts, title="\nFacts"))
    print_page(Group(*parts), fmt, output)
