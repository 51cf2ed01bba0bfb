"""Commands that make statistics, clusters and atlases: `aggregate`, `merge`, `build`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from atlas.cli.help_and_errors import Command, option
from atlas.cli.options import FILE, engine_options
from atlas.errors import needs_extra
from atlas.io.package_data import names
from atlas.io.paths import shell_quoted


@click.command(cls=Command)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@option(
    "-o", "--output", type=FILE, required=True, help="Folder for the statistics; new files are added to what it holds."
)
@engine_options
@option(
    "--fresh",
    is_flag=True,
    heading="Input",
    help="Start over, also where files that were counted have changed or are gone.",
)
@option(
    "--model", heading="Input", help="The model that made the graphs, where their own `scan` names another or none."
)
@option("--transcoder-set", heading="Input", help="The transcoder set, used where the graphs name none.")
@option(
    "--unit-type",
    heading="Input",
    default="neuron",
    show_default=True,
    type=click.Choice(["neuron", "feature"]),
    help="What observations in Parquet or Arrow files are of; graphs say it themselves.",
)
@option("--strict", is_flag=True, heading="Input", help="Stop at the first file that is no readable graph.")
@option(
    "--scheduler", heading="Resources", metavar="ADDRESS", help="Run on Dask: tcp://host:8786 of a scheduler, or local."
)
@option("--work", heading="Resources", metavar="URL", help="Folder or URL (s3://...) that all Dask workers share.")
def aggregate(paths: Sequence[str], output: Path, memory: str, **options: Any) -> None:
    """Aggregate attribution graphs, or observations in Parquet or Arrow files, into edge statistics.

    Files that STATS holds already are not read again; a run that was stopped goes on where it was.
    """
    from atlas.pipeline import aggregate_graphs

    _to_statistics(aggregate_graphs, paths, output, memory, options)


@click.command(cls=Command)
@click.argument("folders", nargs=-1, required=True, type=FILE, metavar="FOLDER...")
@option("-o", "--output", type=FILE, required=True, help="Folder for the statistics of all.")
@engine_options
@option("--skip-duplicates", is_flag=True, help="Leave out a folder all of whose graphs stand in the others.")
def merge(folders: Sequence[Path], output: Path, memory: str, **options: Any) -> None:
    """Merge statistics: the same as aggregating all their graphs together. Or merge stores of activations."""
    from atlas.pipeline import is_store, merge_stats

    if any(map(is_store, folders)):
        _merge_stores(folders, output, memory)
        return
    _to_statistics(merge_stats, folders, output, memory, options)


def _merge_stores(folders: Sequence[Path], output: Path, memory: str) -> None:
    from atlas.cli.terminal import progress, resource_usage, say
    from atlas.runtime.memory import parse_bytes

    with needs_extra("aggregate"):
        from atlas.stages.store.join import merge_stores

    started = time.monotonic()
    with progress() as update:
        summary = merge_stores(folders, output, memory=parse_bytes(memory), progress=update)
    say(f"  {summary.contexts:,} contexts, {summary.tokens:,} tokens looked at, {summary.activations:,} activations")
    say(f"  {resource_usage(started)}; store in {output}")


def _to_statistics(
    run: Callable[..., Any], sources: Sequence[Any], output: Path, memory: str, options: dict[str, Any]
) -> None:
    from atlas.cli.summaries import print_aggregate_summary
    from atlas.cli.terminal import progress, resource_usage, say
    from atlas.runtime.memory import parse_bytes

    started = time.monotonic()
    with progress() as update:
        summary = run(sources, output, memory=parse_bytes(memory), progress=update, **options)
    print_aggregate_summary(summary)
    say(f"  {resource_usage(started)}; statistics in {output}")


def _recipes(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Return the shipped recipes that a word may become, then files, for completion in the shell."""
    found = [CompletionItem(name) for name in names("build", ".toml") if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


@click.command(cls=Command)
@click.argument("recipe", shell_complete=_recipes)
@option("-o", "--output", type=FILE, help="The atlas file; the recipe's `output` where left out.")
@option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the recipe, such as cluster.min_count=3; repeat.",
)
def build(recipe: str, output: Path | None, settings: Sequence[str]) -> None:
    """Build an atlas from RECIPE (a .toml file, or the name of one that ships); only what is out of date runs."""
    from atlas.cli.summaries import print_atlas_summary, print_stage_summary
    from atlas.cli.terminal import command_name, progress, resource_usage, say
    from atlas.pipeline import run_recipe
    from atlas.pipeline.recipe import find_recipe, load_recipe

    started = time.monotonic()
    path = find_recipe(recipe)
    loaded = load_recipe(path, settings, output=output)
    with progress() as update:
        result = run_recipe(loaded, recipe_path=path, progress=update)
    for stage in result.stages:
        say(f"{stage.name:20} {f'{stage.seconds:.1f} s' if stage.ran else 'up to date'}")
        if stage.ran:
            print_stage_summary(stage)
    if result.build is not None:
        print_atlas_summary(result.build.counts)
        say(f"  {resource_usage(started)}, {result.build.size_bytes / 1e6:.1f} MB")
    say(f"atlas: {result.path}    next: {command_name()} info {shell_quoted(result.path)}")
