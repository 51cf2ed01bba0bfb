"""`atlas import KIND`: files of other tools as stage folders."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click

from atlas.command_options import FILE
from atlas.errors import needs_extra

_STATS = click.option(
    "-o", "--output", type=FILE, required=True, help="Folder for the statistics (replaced if it holds some)."
)
_MODEL = click.option("--model", help="What the statistics call the model, where the file does not say.")


@click.command("checkpoint")
@click.argument("checkpoint", type=FILE)
@_STATS
@_MODEL
@click.option("--min-count", default=1, show_default=True, help="Leave out edges of fewer links.")
def import_checkpoint(checkpoint: Path, output: Path, model: str | None, min_count: int) -> None:
    """Import a CHECKPOINT of the earlier aggregator (or the newest in a folder), of any version and size.

    It is read as a stream of plain numbers; code in it is refused, not run.
    """
    from atlas.telling import tell_checkpoint
    from atlas.terminal import cost, progress, say

    with needs_extra("aggregate"):
        from atlas.legacy import import_checkpoint as run

    started = time.monotonic()
    with progress() as update:
        summary = run(checkpoint, output, model=model, min_count=min_count, progress=update)
    tell_checkpoint(summary)
    say(f"  {cost(started)}; statistics in {output}")


@click.command("labels")
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option("-o", "--output", type=FILE, required=True, help="Folder for the labels (replaced if it holds some).")
@click.option("--source", help="Source of labels whose rows name none; the file's name where left out.")
@click.option("--kind", help="Kind of labels whose rows name none: output, input, activation+ or activation-.")
@click.option("--model", help="Model behind labels whose rows name none.")
@click.option("--precedence", multiple=True, metavar="SOURCE", help="Sources, the one to show first; repeat.")
def import_labels(
    files: Sequence[Path],
    output: Path,
    source: str | None,
    kind: str | None,
    model: str | None,
    precedence: Sequence[str],
) -> None:
    """Import labels: .jsonl, .json, .csv, .tsv, .parquet, or a stats folder for the labels that the graphs carry.

    Label files of other tools are known by their keys (docs/labels.md)."""
    from atlas.labels import LabelFile, Precedence
    from atlas.labels import import_labels as run
    from atlas.telling import tell_labels
    from atlas.terminal import say

    results = run([LabelFile(path, source, kind, model) for path in files], output, Precedence(sources=precedence))
    tell_labels(results)
    say(f"  labels in {output}")


@click.command("llama2c")
@click.argument("weights", type=FILE)
@click.argument("tokenizer", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="Folder for the model.")
def import_llama2c(weights: Path, tokenizer: Path, output: Path) -> None:
    """Convert a llama2.c model (WEIGHTS .bin, TOKENIZER .bin) to a folder that `atlas trace` loads."""
    from atlas.terminal import say

    with needs_extra("trace"):
        from atlas.trace.llama2c import convert
    shape = convert(weights, tokenizer, output)
    say(f"  {shape}; model in {output}")


IMPORTS = (import_checkpoint, import_labels, import_llama2c)
