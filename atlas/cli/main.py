"""The `atlas` command: one command = open, one library call, print."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atlas._version import __version__
from atlas.cli.import_commands import IMPORTS
from atlas.cli.model_commands import project, trace, wire
from atlas.cli.options import FILE, atlas_options, engine_options, format_options
from atlas.cli.show_commands import circuit, info, neuron, tour
from atlas.errors import AtlasError, CheckError, UsageError, needs_extra
from atlas.io.paths import shell_quoted
from atlas.io.text import visible

if TYPE_CHECKING:
    from atlas.cli.terminal import Limits


class _Group(click.Group):
    """Turns errors into one line and exit code 1; only a mistake of this package shows a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("atlas: stopped; a command that writes goes on where it was when it is run again", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            # The reader of the pipe (head, less) has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except Exception as error:
            if not isinstance(error, (AtlasError, OSError, MemoryError, *_database_errors())):
                raise
            text = str(error) or "out of memory; close other programs, or give less to do at once (--memory, --threads)"
            click.echo(f"atlas: {visible(' '.join(text.split()))[:4000]}", err=True)
            ctx.exit(1)


def _database_errors() -> tuple[type[Exception], ...]:
    """DuckDB's errors, where DuckDB was loaded: a file can turn out to be damaged at any row."""
    duckdb = sys.modules.get("duckdb")
    return (duckdb.Error,) if duckdb is not None else ()


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="atlas")
def main() -> None:
    """Many attribution graphs of a language model in, one DuckDB circuit atlas out."""


@main.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "-o", "--output", type=FILE, required=True, help="Folder for the statistics; new files are added to what it holds."
)
@engine_options
@click.option("--fresh", is_flag=True, help="Start over, also where files that were counted have changed or are gone.")
@click.option("--model", help="The model that made the graphs, where their own `scan` names another or none.")
@click.option("--transcoder-set", help="The transcoder set, used where the graphs name none.")
@click.option(
    "--unit-type",
    default="neuron",
    show_default=True,
    type=click.Choice(["neuron", "feature"]),
    help="What observations in Parquet or Arrow files are of; graphs say it themselves.",
)
@click.option("--strict", is_flag=True, help="Stop at the first file that is no readable graph.")
@click.option("--scheduler", metavar="ADDRESS", help="Run on Dask: tcp://host:8786 of a scheduler, or local.")
@click.option("--work", metavar="URL", help="Folder or URL (s3://...) that all Dask workers share.")
def aggregate(paths: Sequence[str], output: Path, memory: str, **options: Any) -> None:
    """Aggregate attribution graphs, or observations in Parquet or Arrow files, into edge statistics.

    Files that STATS holds already are not read again; a run that was stopped goes on where it was.
    """
    from atlas.pipeline import aggregate_graphs

    _to_statistics(aggregate_graphs, paths, output, memory, options)


@main.command()
@click.argument("folders", nargs=-1, required=True, type=FILE, metavar="STATS...")
@click.option("-o", "--output", type=FILE, required=True, help="Folder for the statistics of all.")
@engine_options
@click.option("--skip-duplicates", is_flag=True, help="Leave out a folder all of whose graphs stand in the others.")
def merge(folders: Sequence[Path], output: Path, memory: str, **options: Any) -> None:
    """Merge statistics: the same as aggregating all their graphs together."""
    from atlas.pipeline import merge_stats

    _to_statistics(merge_stats, folders, output, memory, options)


def _to_statistics(run: Callable[..., Any], sources: Sequence[Any], output: Path, memory: str, options: Any) -> None:
    from atlas.cli.summaries import tell_summary
    from atlas.cli.terminal import cost, progress, say
    from atlas.runtime.memory import parse_bytes

    started = time.monotonic()
    with progress() as update:
        summary = run(sources, output, memory=parse_bytes(memory), progress=update, **options)
    tell_summary(summary)
    say(f"  {cost(started)}; statistics in {output}")


@main.command()
@click.argument("source", type=FILE, metavar="STATS|ATLAS")
@click.option("-o", "--output", type=FILE, required=True, help="Folder for the clustering (replaced if it holds one).")
@click.option("--method", default="infomap", show_default=True, help="Clustering method.")
@click.option(
    "--weight",
    default="mean_abs_weight_sq",
    show_default=True,
    help="mean_abs_weight_sq, mean_abs_weight, abs_weight_sum, or abs_mean_weight_sq where means are all there is.",
)
@click.option("--min-count", default=5, show_default=True, help="Only edges with at least this many links.")
@click.option("--seed", default=42, show_default=True, help="Random seed; the same seed gives the same clusters.")
@click.option("--trials", default=20, show_default=True, help="Independent trials; the best is kept.")
@click.option("--two-level", is_flag=True, help="One level of clusters instead of a hierarchy.")
@click.option("--name", help="Name of the clustering in the atlas; the method where left out.")
def cluster(source: Path, output: Path, **options: Any) -> None:
    """Cluster the edges of a stats folder or an atlas into circuits."""
    from atlas.cli.terminal import cost, say

    with needs_extra("cluster"):
        from atlas.cluster import ClusterOptions
        from atlas.cluster import cluster as run

    started = time.monotonic()
    found = run(source, output, ClusterOptions(**options))
    say(
        f"{found.name}: {found.neuron_count:,} neurons and {found.edge_count:,} edges in {found.top_cluster_count:,} top clusters, "
        f"{found.cluster_count:,} clusters on {found.max_level} levels; largest {found.largest_top_cluster:,}"
    )
    say(f"  codelength {found.codelength:.4f} bits, {found.one_level_codelength:.4f} without clusters")
    say(f"  {cost(started)}; clusters in {output}")


@main.group("import", cls=_Group)
def import_() -> None:
    """Import files of other tools into stage folders."""


@main.command()
@click.argument("recipe")
@click.option("-o", "--output", type=FILE, help="The atlas file; the recipe's `output` where left out.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the recipe, such as cluster.min_count=3; repeat.",
)
def build(recipe: str, output: Path | None, settings: Sequence[str]) -> None:
    """Build an atlas from RECIPE (a .toml file, or the name of one that ships); only what is out of date runs."""
    from atlas.cli.summaries import tell_atlas, tell_stage
    from atlas.cli.terminal import cost, program, progress, say
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
            tell_stage(stage)
    if result.build is not None:
        tell_atlas(result.build.counts)
        say(f"  {cost(started)}, {result.build.size_bytes / 1e6:.1f} MB")
    say(f"atlas: {result.path}    next: {program()} info {shell_quoted(result.path)}")


@main.command()
@click.argument("left", type=FILE, metavar="A")
@click.argument("right", type=FILE, metavar="B")
@click.option("-o", "--output", type=FILE, required=True, help="DuckDB file for the comparison.")
@click.option("--limit", default=10, show_default=True, help="Different neurons to print.")
@click.option(
    "--memory", default="4GB", show_default=True, metavar="SIZE", help="Memory of DuckDB; beyond it, it spills."
)
def compare(left: Path, right: Path, output: Path, limit: int, memory: str) -> None:
    """Compare two atlases or stats folders A and B (a domain and a baseline) per neuron and edge.

    Difference, ratio, 95 % confidence interval and false discovery rate stand in the tables of the file.
    """
    from atlas.cli.summaries import tell_comparison
    from atlas.cli.terminal import cost, say
    from atlas.query.compare import compare as run
    from atlas.runtime.memory import parse_bytes

    started = time.monotonic()
    tell_comparison(run(left, right, output, memory=parse_bytes(memory)), limit)
    say(f"  {cost(started)}; FROM different_neurons and different_edges in {output}")


for _command in (trace, project, wire, info, neuron, circuit, tour):
    main.add_command(_command)
for _command in IMPORTS:
    import_.add_command(_command)


@main.command()
@atlas_options
def check(file: Path, limits: Limits) -> None:
    """Check an atlas for rows that contradict each other."""
    from atlas.cli.terminal import opened, show
    from atlas.database import run_checks

    with opened(file, limits) as atlas:
        results = list(run_checks(atlas.connection))
    lines = [f"ok    {item.name}: {item.doc}" if item.passed else f"FAIL  {item.describe()}" for item in results]
    show(*map(visible, ["Looked for rows that must not exist:", *lines]))
    failed = [result.name for result in results if not result.passed]
    if failed:
        raise CheckError(
            f"{file}: {len(failed)} of {len(results)} checks failed: {', '.join(failed)}; rebuild the atlas"
        )
    click.echo(f"{file}: all {len(results)} checks passed")


@main.command()
@atlas_options
@click.argument("name", required=False)
def schema(file: Path, limits: Limits, name: str | None) -> None:
    """Tables, views and macros of an atlas; with NAME, the columns of one, or the SQL of a macro."""
    from atlas.cli.terminal import opened, show, table
    from atlas.database import scripts

    with opened(file, limits) as atlas:
        if name is None:
            found = atlas.sql("SELECT name, kind, description FROM help")
            show(table(found.columns, found.fetchall()))
            return
        macros = {script.name: script for script in scripts("macros")}
        if name in macros:
            click.echo(f"{macros[name].doc}\n\n{macros[name].sql.partition('AS TABLE')[2].strip()}")
            return
        columns = atlas.sql(
            "SELECT column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal AND table_name = $name ORDER BY column_index",
            {"name": name},
        ).fetchall()
        if not columns:
            raise UsageError(f"{file} has no table or view {name}; list them with: atlas schema {file}")
        show(table(("column", "type", "meaning"), columns))


@main.command()
@atlas_options
@click.argument("text")
@format_options
def search(file: Path, limits: Limits, text: str, fmt: str | None, limit: int | None, output: Path | None) -> None:
    """Find neurons by label TEXT, best match first."""
    from atlas.cli.terminal import opened, print_relation

    if not text.strip():
        raise UsageError("search: say what to look for; all labels are in the table labels")
    with opened(file, limits) as atlas:
        print_relation(atlas.search(text), fmt, output, limit, empty=f"no label of {file} contains {text!r}")


class _QueryCommand(click.Command):
    """Takes options that the query's file declares, and shows the help of one query."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line; `FILE NAME --help` prints the parameters of the query NAME."""
        if {"-h", "--help"} & set(args):
            from atlas.query.client import find_query
            from atlas.query.parameters import described

            words = [word for word in args if not word.startswith("-")]
            if len(words) > 1:
                click.echo(described(find_query(words[1])))
                ctx.exit()
        return super().parse_args(ctx, args)


@main.command(cls=_QueryCommand, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@atlas_options
@click.argument("name", required=False)
@format_options
@click.option("--show-sql", is_flag=True, help="Print the SQL of the query instead of running it.")
@click.pass_context
def query(
    ctx: click.Context,
    file: Path,
    limits: Limits,
    name: str | None,
    fmt: str | None,
    limit: int | None,
    output: Path | None,
    show_sql: bool,
) -> None:
    """Run a query by NAME with its parameters (L24/N5326, or --layer 24); without NAME, list them all."""
    from atlas.cli.terminal import opened, print_relation, show, table
    from atlas.query.client import catalogue, find_query
    from atlas.query.parameters import read_options, spelled

    if name is None:
        listed = [(item.name, " ".join(spelled(p) for p in item.parameters), item.doc) for item in catalogue().values()]
        show(table(("query", "options", "answers"), listed))
        return
    if show_sql:
        click.echo(find_query(name).sql, nl=False)
        return
    parameters = read_options(find_query(name), ctx.args)
    if limit and "limit" in {parameter.name for parameter in find_query(name).parameters}:
        parameters["limit"] = limit  # fewer rows to compute, not only to print
    with opened(file, limits) as atlas:
        print_relation(atlas.query(name, **parameters), fmt, output, limit)


@main.command()
@atlas_options
@click.argument("text")
@format_options
def sql(file: Path, limits: Limits, text: str, fmt: str | None, limit: int | None, output: Path | None) -> None:
    """Run SQL TEXT on an atlas, read-only, with no access to other files."""
    from atlas.cli.terminal import opened, print_relation

    with opened(file, limits) as atlas:
        print_relation(atlas.sql(text), fmt, output, limit)
