"""Command `atlas serve`: atlases over HTTP, with the explorer."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from atlas.cli.help_and_errors import Command, option
from atlas.cli.options import FILE
from atlas.errors import needs_extra


@click.command(cls=Command)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
@option(
    "--activations",
    heading="What is served",
    type=FILE,
    metavar="STORE",
    help="Store of activations for /activations; those of the first atlas where left out.",
)
@option(
    "--host", heading="Address", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all."
)
@option(
    "--port",
    heading="Address",
    default=8765,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port; 0 for any free one.",
)
@option(
    "--page",
    heading="Address",
    metavar="PAGE",
    help="Open this page in a browser, such as neuron/L24/N5326 or circuit/12.3.",
)
@option("--open", "opens", heading="Address", is_flag=True, help="Open the first page in a browser.")
@option(
    "--token",
    heading="Guards",
    help="What a request must bring, as Authorization: Bearer or in the address once. Beyond this machine one is made where none is given.",
)
@option(
    "--cors",
    heading="Guards",
    multiple=True,
    metavar="ORIGIN",
    help="Site whose pages may read the answers, such as https://example.org.",
)
@option(
    "--timeout",
    heading="Limits",
    default=20.0,
    show_default=True,
    type=click.FloatRange(min=0, max=86_400, min_open=True),
    metavar="SECONDS",
    help="Stop a query after this time.",
)
@option(
    "--memory",
    heading="Limits",
    default="700MB",
    show_default=True,
    metavar="SIZE",
    help="Memory of DuckDB for each atlas.",
)
def serve(
    files: tuple[Path, ...],
    activations: Path | None,
    host: str,
    port: int,
    page: str | None,
    opens: bool,
    token: str | None,
    cors: tuple[str, ...],
    timeout: float,
    memory: str,
) -> None:
    """Serve atlases over HTTP: the explorer, every query as JSON, CSV and Arrow, SQL with limits, and activations.

    FILE is an atlas, or a comparison that atlas compare has made of served ones.
    Read-only, and on this machine alone where nothing else is said. Ctrl-C stops it.
    """
    from atlas.cli.terminal import say

    with needs_extra("serve"):
        from atlas.web.running import listening, open_all, run

    atlases = open_all(files, memory)
    with listening(host, port) as sockets:
        server = run(atlases, sockets, host=host, token=token, origins=cors, timeout=timeout, activations=activations)
        say(f"{', '.join(atlases)}: {server.address}    Ctrl-C stops")
        if opens or page is not None:
            webbrowser.open(server.address + (f"#/{page}" if page else ""))
        server.wait()
