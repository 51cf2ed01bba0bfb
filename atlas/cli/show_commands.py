"""Commands that print pages of an atlas: `info`, `neuron`, `circuit`, `tour`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlas.cli.help_and_errors import Command
from atlas.cli.options import atlas_options, page_options

if TYPE_CHECKING:
    from atlas.cli.terminal import Limits


@click.command(cls=Command)
@atlas_options
@click.option("--reliability", is_flag=True, help="How well edge weights repeat, against the number of graphs.")
@page_options
def info(file: Path, limits: Limits, reliability: bool, fmt: str | None, output: Path | None) -> None:
    """Summarize an atlas: model, counts, links kept and dropped, circuits."""
    from atlas.cli.page_output import print_page
    from atlas.cli.pages import info_page, reliability_page
    from atlas.cli.terminal import opened

    with opened(file, limits) as atlas:
        print_page(reliability_page(atlas) if reliability else info_page(atlas), fmt, output)


@click.command(cls=Command)
@atlas_options
@click.argument("neuron")
@click.option("--limit", default=10, show_default=True, help="Neighbours, tokens and graphs to show of each.")
@click.option(
    "--min-graphs", default=1, show_default=True, help="Only neighbours whose edge is in at least this many graphs."
)
@page_options
def neuron(
    file: Path, limits: Limits, neuron: str, limit: int, min_graphs: int, fmt: str | None, output: Path | None
) -> None:
    """Show the page of one NEURON (L24/N5326): labels, cluster, neighbours, tokens, graphs."""
    from atlas.cli.page_output import print_page
    from atlas.cli.pages import neuron_page
    from atlas.cli.terminal import opened
    from atlas.ids import NeuronId

    with opened(file, limits) as atlas:
        print_page(neuron_page(atlas, NeuronId.parse(neuron), limit=limit, min_graphs=min_graphs), fmt, output)


@click.command(cls=Command)
@atlas_options
@click.argument("feature")
@click.option("--limit", default=5, show_default=True, help="Tokens and neurons to show of each kind.")
@page_options
def feature(file: Path, limits: Limits, feature: str, limit: int, fmt: str | None, output: Path | None) -> None:
    """Show the page of one FEATURE (L2/F10) of a sparse autoencoder: where it is active, what it promotes, its neurons and circuits."""
    from atlas.cli.feature_page import feature_page
    from atlas.cli.page_output import print_page
    from atlas.cli.terminal import opened
    from atlas.errors import IdError
    from atlas.ids import FEATURE, UnitId

    unit = UnitId.parse(feature)
    if unit.unit_type != FEATURE:
        raise IdError(f"{feature!r} is a neuron; write a feature like L2/F10, or use atlas neuron")
    with opened(file, limits) as atlas:
        print_page(feature_page(atlas, unit, limit=limit), fmt, output)


@click.command(cls=Command)
@atlas_options
@click.argument("cluster_path", metavar="CIRCUIT")
@click.option(
    "--limit",
    default=15,
    show_default=True,
    type=click.IntRange(1, 10**9),
    help="Members, edges and circuits inside to show of each.",
)
@click.option("--clustering", help="Clustering that the path is of; the primary one where left out.")
@page_options
def circuit(
    file: Path,
    limits: Limits,
    cluster_path: str,
    limit: int,
    clustering: str | None,
    fmt: str | None,
    output: Path | None,
) -> None:
    """Show the page of one CIRCUIT: a cluster (12 or 12.3), or the circuit of a token (input:276, or its text): trust, members, wiring."""
    from atlas.cli.circuit_page import circuit_page
    from atlas.cli.page_output import print_page
    from atlas.cli.terminal import opened

    with opened(file, limits) as atlas:
        print_page(circuit_page(atlas, cluster_path, clustering=clustering, limit=limit), fmt, output)


@click.command(cls=Command)
@atlas_options
@click.option("--limit", default=40, show_default=True, type=click.IntRange(1, 10**9), help="Graphs to list.")
@page_options
def graphs(file: Path, limits: Limits, limit: int, fmt: str | None, output: Path | None) -> None:
    """List the graphs of an atlas, with prompt, group and size."""
    from atlas.cli.page_output import print_page
    from atlas.cli.terminal import opened, table

    with opened(file, limits) as atlas:
        found = atlas.graphs(limit=limit).project("graph_id, prompt, prompt_group, neuron_count, link_count, path")
        title = f"Graphs (one of them: atlas graph {file} NUMBER)"
        print_page(table(found.columns, found.fetchall(), title=title), fmt, output)


@click.command(cls=Command)
@atlas_options
@click.argument("token")
@click.option("--to", "goal", metavar="OUTPUT", help="Also show the strongest paths to this output token.")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 10**9), help="Rows of each table.")
@page_options
def token(
    file: Path, limits: Limits, token: str, goal: str | None, limit: int, fmt: str | None, output: Path | None
) -> None:
    """Show the page of one TOKEN by its text: the neurons that it drives, those that drive it, its circuits."""
    from atlas.cli.page_output import print_page
    from atlas.cli.terminal import opened
    from atlas.cli.token_page import token_page

    with opened(file, limits) as atlas:
        print_page(token_page(atlas, token, output=goal, limit=limit), fmt, output)


@click.command(cls=Command)
@atlas_options
@click.argument("name")
@click.option("--from", "start", metavar="NEURON|TEXT", help="Start of the paths; by default the tokens of the prompt.")
@click.option("--to", "end", metavar="NEURON|TEXT", help="End of the paths; by default the most probable target.")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 10**9), help="Rows of each table.")
@page_options
def graph(
    file: Path,
    limits: Limits,
    name: str,
    start: str | None,
    end: str | None,
    limit: int,
    fmt: str | None,
    output: Path | None,
) -> None:
    """Show one graph by NAME (number, or part of path, slug or prompt): targets, paths, what is unusual in it."""
    from atlas.cli.graph_page import graph_page
    from atlas.cli.page_output import print_page
    from atlas.cli.terminal import opened

    with opened(file, limits) as atlas:
        print_page(graph_page(atlas, name, start=start, end=end, limit=limit), fmt, output)


@click.command("tour", cls=Command)
@atlas_options
@page_options
def tour(file: Path, limits: Limits, fmt: str | None, output: Path | None) -> None:
    """Take a first look at an atlas: a summary, one circuit, one neuron, and what to try next."""
    from atlas.cli.page_output import print_page
    from atlas.cli.terminal import opened
    from atlas.cli.tour import tour as page

    with opened(file, limits) as atlas:
        print_page(page(atlas), fmt, output)
