"""Command `atlas circuits`: circuits of tokens, from the statistics of single graphs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from atlas.cli.help_and_errors import Command, option
from atlas.cli.options import FILE
from atlas.errors import needs_extra
from atlas.options import CircuitOptions


@click.command(cls=Command)
@click.argument("stats", type=FILE)
@option("-o", "--output", type=FILE, required=True, help="Folder for the circuits (replaced if it holds some).")
@option(
    "--min-graphs",
    default=CircuitOptions.min_graphs,
    show_default=True,
    help="Only tokens that are an input or an output in at least this many graphs.",
)
@option(
    "--min-groups",
    default=CircuitOptions.min_groups,
    show_default=True,
    help="Only tokens of at least this many groups of prompts.",
)
@option("--size", type=int, help="Neurons that carry a token; chosen by replication where left out.")
@option(
    "--grow", default=CircuitOptions.grow, show_default=True, help="Neurons to add per step upstream and downstream."
)
@option("--steps", default=CircuitOptions.steps, show_default=True, help="Steps of growth at most.")
@option("--resamples", default=CircuitOptions.resamples, show_default=True, help="Bootstraps of the groups of prompts.")
@option(
    "--contrast",
    "contrasts",
    nargs=2,
    multiple=True,
    metavar="TOKEN TOKEN",
    help="Also the difference of two outputs; repeat.",
)
@option(
    "--around",
    multiple=True,
    metavar="NEURONS",
    help="Also the surroundings of neurons, such as 'L1/N45 L2/N3'; repeat.",
)
@option("--seed", default=CircuitOptions.seed, show_default=True, help="Seed of the resamples.")
def circuits(stats: Path, output: Path, **options: Any) -> None:
    """Find the neurons that carry each input and output token of STATS, and how surely they are found again."""
    from atlas.cli.summaries import print_circuits_summary
    from atlas.cli.terminal import progress, resource_usage, say

    with needs_extra("aggregate"):
        from atlas.circuits import anchored_circuits

    started = time.monotonic()
    with progress() as update:
        summary = anchored_circuits(stats, output, CircuitOptions(**options), progress=update)
    print_circuits_summary(summary)
    say(f"  {resource_usage(started)}; circuits in {output}")
