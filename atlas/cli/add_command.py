"""Command `atlas add`: a clustering or labels into an atlas that is there."""

from __future__ import annotations

import time
from pathlib import Path

import click

from atlas.cli.help_and_errors import Command, option
from atlas.cli.options import FILE


@click.command(cls=Command)
@click.argument("file", type=FILE)
@click.argument("folder", type=FILE)
@option("-o", "--output", type=FILE, help="Atlas file to write; FILE itself where left out.")
@option("--primary", is_flag=True, help="Show this clustering in neurons, clusters and edges.")
def add(file: Path, folder: Path, output: Path | None, primary: bool) -> None:
    """Add the clustering or labels of FOLDER to the atlas FILE, without building the rest again."""
    from atlas.cli.terminal import progress, resource_usage, say
    from atlas.database.add import add_stage

    started = time.monotonic()
    with progress() as update:
        line = add_stage(file, folder, out=output, primary=primary, report=lambda step: update(step, 0, 0))
    say(f"  {line}")
    say(f"  {resource_usage(started)}; atlas: {output or file}")
