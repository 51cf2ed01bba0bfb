"""Command `atlas circuits`: circuits of tokens, from the statistics of single graphs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from atlas.cli.help_and_errors import Command, option
from atlas.cli.options import FILE, device_option
from atlas.errors import needs_extra
from atlas.options import CircuitOptions, VerifyOptions


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
@option("--paths", default=CircuitOptions.paths, show_default=True, help="Paths to keep of each circuit.")
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


@click.command(cls=Command)
@click.argument("stats", type=FILE)
@click.argument("circuits", type=FILE, nargs=-1, required=True)
@option("--model", required=True, help="The model that was traced: a folder, or a name on the hub.")
@option("--prompts", type=FILE, required=True, help="The prompts that were traced.")
@option("-o", "--output", type=FILE, required=True, help="Folder for the effects (replaced if it holds some).")
@option(
    "--most",
    default=VerifyOptions.most,
    show_default=True,
    help="Circuits to cut at most, the surest of each kind first.",
)
@option(
    "--held-out",
    "number",
    default=VerifyOptions.prompts,
    show_default=True,
    help="Prompts on topic, and others.",
)
@option("--controls", default=VerifyOptions.controls, show_default=True, help="Random sets to cut beside each circuit.")
@option("--seed", default=VerifyOptions.seed, show_default=True, help="Seed of the halves, prompts and controls.")
@device_option
def verify(
    stats: Path,
    circuits: tuple[Path, ...],
    model: str,
    prompts: Path,
    output: Path,
    device: str,
    number: int,
    **options: Any,
) -> None:
    """Cut the CIRCUITS of STATS from the model on held-out prompts: what do its predictions lose?

    CIRCUITS are folders of atlas circuits and of atlas cluster. Those that are found again are cut.
    """
    from atlas.cli.summaries import print_effects_summary
    from atlas.cli.terminal import progress, resource_usage, say

    with needs_extra("trace"):
        from atlas.circuits.effects import circuit_effects
        from atlas.models import load_model

    started = time.monotonic()
    with progress() as update:
        update("loading the model", 0, 0)
        loaded = load_model(model, device=device)
        chosen = VerifyOptions(prompts=number, **options)
        summary = circuit_effects(stats, circuits, loaded, prompts, output, chosen, progress=update)
    print_effects_summary(summary)
    say(f"  {resource_usage(started)}; effects in {output}")
