"""Commands `atlas wandb push` and `atlas wandb pull`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from atlas.cli.help_and_errors import Command, Group
from atlas.cli.options import FILE, size
from atlas.options import MEMORY


@click.group("wandb", cls=Group)
def wandb_() -> None:
    """Push stores of activations to Weights & Biases, and pull them."""


@wandb_.command(cls=Command)
@click.argument("store", type=FILE)
@click.option("--project", required=True, help="Project of the new run.")
@click.option("--entity", help="Owner of the project; your default one.")
@click.option("--name", help="Name of the run; the name of the folder by default.")
@click.option("--chunked", is_flag=True, help="One artefact per layer.")
@click.option(
    "--dtype",
    default="float16",
    show_default=True,
    type=click.Choice(["float16", "float32"]),
    help="Type of the values.",
)
@click.option("--offline", is_flag=True, help="Keep the run here, for wandb sync.")
def push(store: Path, project: str, **options: Any) -> None:
    """Log STORE as artefacts of a new run."""
    from atlas.cli.terminal import progress, resource_usage, say
    from atlas.pipeline.wandb_runs import push_activations

    started = time.monotonic()
    with progress() as update:
        names = push_activations(store, project, progress=update, **options)
    say(f"  {len(names)} artefacts: {', '.join(names)}")
    say(f"  {resource_usage(started)}" + ("; send them with wandb sync" if options["offline"] else ""))


@wandb_.command(cls=Command)
@click.argument("source", metavar="ENTITY/PROJECT/RUN")
@click.option("-o", "--output", type=FILE, required=True, help="Folder for the store (replaced if it holds one).")
@click.option("--model", help="What the store calls the model.")
@click.option("--units", type=click.IntRange(1), help="Units of every layer, which the files do not state.")
@click.option("--value-kind", help="What a value is, such as code or gate; the files do not say.")
@click.option("--memory", default=size(MEMORY), show_default=True, metavar="SIZE", help="Memory for sorting.")
def pull(source: str, output: Path, memory: str, **options: Any) -> None:
    """Import the activations of a run, or of one artefact (ENTITY/PROJECT/ARTEFACT:VERSION)."""
    from atlas.cli.summaries import print_imported_summary
    from atlas.cli.terminal import progress, resource_usage, say
    from atlas.pipeline.wandb_runs import pull_activations
    from atlas.runtime.memory import parse_bytes

    started = time.monotonic()
    with progress() as update:
        summary = pull_activations(source, output, memory=parse_bytes(memory), progress=update, **options)
    print_imported_summary(summary)
    say(f"  {resource_usage(started)}; store in {output}")
