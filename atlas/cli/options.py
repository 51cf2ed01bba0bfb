"""Options that several commands share."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import click

from atlas.io.paths import local_path


class _File(click.Path):
    """A path, with `~` expanded; an address or `-` is an error that says so."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        return local_path(os.fsdecode(super().convert(value, param, ctx)))


FILE = _File(path_type=Path)


def engine_options(function: Any) -> Any:
    """Where and with how much an aggregation runs."""
    function = click.option(
        "--together",
        default=20,
        show_default=True,
        type=click.IntRange(0, 1023),
        help="Co-occurring neurons to keep of each neuron; 0 leaves co-occurrence out.",
    )(function)
    function = click.option(
        "--threads", type=click.IntRange(1, 1023), help="Worker processes; by default one per core, as memory allows."
    )(function)
    function = click.option(
        "--memory",
        default="2GB",
        show_default=True,
        metavar="SIZE",
        help="Memory of all processes together; a model that is traced comes on top.",
    )(function)
    return click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")(function)


def atlas_options(function: Any) -> Any:
    """The atlas file that is asked, and the bounds of its queries."""

    @functools.wraps(function)
    def command(*arguments: Any, timeout: float | None, memory: str, **options: Any) -> Any:
        from atlas.cli.terminal import Limits

        return function(*arguments, limits=Limits(timeout, memory), **options)

    for option in (
        click.option(
            "--memory", default="4GB", show_default=True, metavar="SIZE", help="Memory that DuckDB may use for a query."
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="Stop after this time; without it only Ctrl-C does.",
        ),
    ):
        command = option(command)
    return click.argument("file", type=FILE)(command)


def format_options(function: Any) -> Any:
    """How rows are printed, and where to."""
    function = click.option("-o", "--output", type=FILE, help="Write to a file instead of stdout.")(function)
    function = click.option(
        "--limit",
        type=click.IntRange(min=0),
        help="Rows at most; 0 for all. Without it 40 of a table on the terminal, all in other forms.",
    )(function)
    formats = click.Choice(["table", "csv", "json", "parquet"])
    return click.option(
        "--format", "fmt", type=formats, help="Form of the result; by default that of the ending of -o."
    )(function)
