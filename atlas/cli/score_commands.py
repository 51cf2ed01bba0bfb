"""Command `atlas score`: how well explanations tell where units are active."""

from __future__ import annotations

import time
from pathlib import Path

import click

from atlas.cli.help_and_errors import Command
from atlas.cli.options import FILE
from atlas.errors import needs_extra
from atlas.options import SCORE_TASKS, ScoreOptions


@click.command(cls=Command)
@click.argument("store", type=FILE)
@click.argument("labels", type=FILE)
@click.option(
    "-o", "--output", type=FILE, required=True, help="Folder for scores and answers (replaced if it holds some)."
)
@click.option(
    "--judge", required=True, metavar="COMMAND", help="Reads questions as JSON lines, writes one answer per line."
)
@click.option(
    "--task", "tasks", multiple=True, type=click.Choice(SCORE_TASKS), help="What is asked; all by default; repeat."
)
@click.option(
    "--examples", default=ScoreOptions.examples, show_default=True, help="Active contexts, and as many inactive ones."
)
@click.option(
    "--seed", default=ScoreOptions.seed, show_default=True, help="Seed of the drawn contexts and the bootstrap."
)
def score(
    store: Path, labels: Path, output: Path, judge: str, tasks: tuple[str, ...], examples: int, seed: int
) -> None:
    """Score the explanations of LABELS on the half of the documents of STORE that they were not made from.

    A question is {"task", "explanation", "tokens", "marked"}; an answer a probability, a list of activations, or null.
    """
    from atlas.cli.terminal import progress, resource_usage, say

    with needs_extra("trace"):
        from atlas.activations import score_explanations
        from atlas.activations.judges import CommandJudge
        from atlas.pipeline import read_explanations

    started = time.monotonic()
    options = ScoreOptions(tasks=tasks or SCORE_TASKS, examples=examples, seed=seed)
    with progress() as update:
        summary = score_explanations(
            store, read_explanations(labels, store), CommandJudge(judge), output, options, progress=update
        )
    say(f"  {summary.units:,} units, {summary.questions:,} answers, {summary.failures:,} failures")
    if summary.detection is not None:
        beside = f", of another unit's explanation {summary.baseline:.3f}" if summary.baseline is not None else ""
        say(f"  balanced accuracy of detection: median {summary.detection:.3f}{beside} (0.5 is chance)")
    say(f"  {resource_usage(started)}; scores in {output}")
