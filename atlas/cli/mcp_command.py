"""Command `atlas mcp`: an atlas as tools for language models."""

from __future__ import annotations

from pathlib import Path

import click

from atlas.cli.help_and_errors import Command, option
from atlas.cli.options import FILE
from atlas.errors import needs_extra


@click.command(cls=Command)
@click.argument("file", type=FILE)
@option(
    "--timeout",
    heading="Limits",
    default=30.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Stop a query after this time.",
)
@option("--memory", heading="Limits", default="2GB", show_default=True, metavar="SIZE", help="Memory of DuckDB.")
def mcp(file: Path, timeout: float, memory: str) -> None:
    """Serve an atlas to a language model as tools of the Model Context Protocol, read-only, on standard input and output.

    Its tools are the queries, sql and columns. Clients start the command by themselves: {"command": "atlas", "args": ["mcp", "model.duckdb"]}.
    """
    from atlas.query.client import Atlas
    from atlas.runtime.memory import parse_bytes

    with needs_extra("mcp"):
        from atlas.web.mcp_server import run_stdio

    with Atlas(file, memory=f"{max(parse_bytes(memory) // 10**6, 1)}MB") as atlas:
        run_stdio(atlas, timeout=timeout)
