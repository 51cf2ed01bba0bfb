"""Options that several commands share."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from atlas.cli.help_and_errors import option
from atlas.io.paths import local_path
from atlas.options import MEMORY, AggregateOptions


class _File(click.Path):
    """Path with `~` expanded; an address or `-` is an error that says so."""

    def convert(self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Convert an argument to a local path."""
        return local_path(os.fsdecode(super().convert(value, param, ctx)))


_F = TypeVar("_F", bound=Callable[..., object])
FILE = _File(path_type=Path)


def size(value: int) -> str:
    """Return a number of bytes as the command line spells it, such as `2GB`."""
    return f"{value // 10**9}GB"


def several(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a decorator that adds options in the order in which they are given."""

    def decorate(function: _F) -> _F:
        for added in reversed(options):
            function = added(function)
        return function

    return decorate


device_option = option("--device", default="auto", show_default=True, heading="Resources", help="auto, cpu or cuda.")
# Options and resources of an aggregation.
engine_options = several(
    option(
        "--cooccurrence",
        default=AggregateOptions.cooccurrence,
        show_default=True,
        type=click.IntRange(0, 1023),
        heading="Statistics",
        help="Co-occurring neurons to keep of each neuron; 0 leaves co-occurrence out.",
    ),
    option(
        "--groups",
        default=AggregateOptions.groups,
        show_default=True,
        metavar="auto|none|FILE",
        heading="Statistics",
        help="Groups of prompts, the unit of replication: found by template and near-duplicates, none, or stated by a "
        "FILE with the columns graph and prompt_group.",
    ),
    option(
        "--graph-links",
        default=AggregateOptions.graph_links,
        show_default=True,
        type=click.Choice(["auto", "none"]),
        heading="Statistics",
        help="Keep the nodes and links of every graph, to look at it again.",
    ),
    device_option,
    option(
        "--memory",
        default=size(MEMORY),
        show_default=True,
        metavar="SIZE",
        heading="Resources",
        help="Memory of all processes together; a model that is traced comes on top.",
    ),
    option(
        "--threads",
        type=click.IntRange(1, 1023),
        heading="Resources",
        help="Worker processes; by default one per core, as memory allows.",
    ),
)


def atlas_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the argument of the atlas file and the limits of its queries to a command."""

    @functools.wraps(function)
    def command(*arguments: object, timeout: float | None, memory: str, **options: object) -> None:
        from atlas.cli.terminal import Limits

        return function(*arguments, limits=Limits(timeout, memory), **options)

    for added in (
        option(
            "--memory",
            default="4GB",
            show_default=True,
            metavar="SIZE",
            heading="Limits",
            help="Memory that DuckDB may use for a query.",
        ),
        option(
            "--timeout",
            heading="Limits",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="Stop after this time; without it only Ctrl-C does.",
        ),
    ):
        command = added(command)
    return click.argument("file", type=FILE)(command)


def format_options(function: _F) -> _F:
    """Add the options of the format and the output file."""
    function = option("-o", "--output", heading="Output", type=FILE, help="Write to a file instead of stdout.")(
        function
    )
    function = option(
        "--limit",
        heading="Output",
        type=click.IntRange(min=0),
        help="Rows at most; 0 for all. Without it 40 of a table on the terminal, all in other forms.",
    )(function)
    formats = click.Choice(["table", "csv", "json", "markdown", "parquet", "arrow"])
    return option(
        "--format",
        "fmt",
        heading="Output",
        type=formats,
        help="Form of the result; by default that of the ending of -o.",
    )(function)


def page_options(function: _F) -> _F:
    """Add the options of the format and the output file of a page."""
    function = option(
        "-o", "--output", heading="Output", type=FILE, help="Write the page to a file instead of stdout."
    )(function)
    return option(
        "--format",
        "fmt",
        heading="Output",
        type=click.Choice(["text", "markdown", "json", "csv"]),
        help="Form of the page; by default that of the ending of -o.",
    )(function)
