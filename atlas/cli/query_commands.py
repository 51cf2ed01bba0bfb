"""Commands that query an atlas: `search`, `query`, `sql`, `schema`, `check`, `compare`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlas.cli.help_and_errors import Command, option
from atlas.cli.options import FILE, atlas_options, format_options
from atlas.errors import CheckError, InputError, UsageError
from atlas.io.text import visible

if TYPE_CHECKING:
    from atlas.cli.terminal import Limits


@click.command(cls=Command)
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


@click.command(cls=Command)
@atlas_options
@click.argument("name", required=False)
def schema(file: Path, limits: Limits, name: str | None) -> None:
    """List tables, views and macros of an atlas; with NAME, the columns of one, or the SQL of a macro."""
    from atlas.cli.terminal import opened, show, table
    from atlas.database import macros

    with opened(file, limits) as atlas:
        if name is None:
            found = atlas.sql("SELECT name, kind, description FROM help")
            show(table(found.columns, found.fetchall()))
            return
        known = {macro.name: macro for macro in macros()}
        if name in known:
            click.echo(f"{known[name].doc}\n\n{known[name].sql.partition('CREATE MACRO ')[2].strip()}")
            return
        columns = atlas.sql(
            "SELECT column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal AND table_name = $name ORDER BY column_index",
            {"name": name},
        ).fetchall()
        if not columns:
            raise UsageError(f"{file} has no table or view {name}; list them with: atlas schema {file}")
        show(table(("column", "type", "meaning"), columns))


@click.command(cls=Command)
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


class _QueryCommand(Command):
    """Command that takes the options that the file of a query declares, and shows the help of one query."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line; `FILE NAME --help` prints the parameters of the query NAME."""
        if {"-h", "--help"} & set(args):
            from atlas.query.catalogue import find_query
            from atlas.query.parameters import described

            words = [word for word in args if not word.startswith("-")]
            if len(words) > 1:
                click.echo(described(find_query(words[1])))
                ctx.exit()
        return super().parse_args(ctx, args)


@click.command(cls=_QueryCommand, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@atlas_options
@click.argument("name", required=False)
@format_options
@option("--show-sql", is_flag=True, help="Print the SQL of the query instead of running it.")
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
    from atlas.query.catalogue import catalogue, find_query
    from atlas.query.parameters import read_options, spelled, unknown_neurons

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
        unknown = "".join(f"; {neuron} is in no graph of {file}" for neuron in unknown_neurons(atlas, parameters))
        print_relation(atlas.query(name, **parameters), fmt, output, limit, empty=f"no rows{unknown}")


@click.command(cls=Command)
@atlas_options
@click.argument("text", required=False)
@option("-f", "--file", "script", type=FILE, heading="Output", help="Read the SQL from a file.")
@format_options
def sql(
    file: Path,
    limits: Limits,
    text: str | None,
    script: Path | None,
    fmt: str | None,
    limit: int | None,
    output: Path | None,
) -> None:
    """Run SQL TEXT on an atlas, read-only, with no access to other files; - reads it from the standard input."""
    from atlas.cli.terminal import opened, print_relation

    if (text is None) == (script is None):
        raise UsageError("sql: give the SQL as TEXT, as - from the standard input, or as a file with -f")
    if script is not None:
        text = _read(script)
    elif text == "-":
        text = sys.stdin.read()
    assert text is not None  # one of the two is given
    with opened(file, limits) as atlas:
        print_relation(atlas.sql(text), fmt, output, limit)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


@click.command(cls=Command)
@click.argument("left", type=FILE, metavar="A")
@click.argument("right", type=FILE, metavar="[B]", required=False)
@option(
    "--where-a",
    metavar="SQL",
    help="Graphs of side A: a condition on the table graphs of an atlas, such as \"corpus_source = 'imports'\".",
)
@option("--where-b", metavar="SQL", help="Graphs of side B; by default all other graphs of A.")
@option("-o", "--output", type=FILE, required=True, help="DuckDB file for the comparison.")
@option("--limit", default=10, show_default=True, type=click.IntRange(1, 10**9), help="Different neurons to print.")
@option("--memory", default="4GB", show_default=True, metavar="SIZE", help="Memory of DuckDB; beyond it, it spills.")
def compare(
    left: Path,
    right: Path | None,
    where_a: str | None,
    where_b: str | None,
    output: Path,
    limit: int,
    memory: str,
) -> None:
    """Compare two atlases or stats folders A and B, or two selections of graphs of A, per neuron and edge.

    The unit of replication is the group of prompts. The tables of the file hold differences, ratios, 95 % confidence
    intervals and false discovery rates.
    """
    from atlas.cli.summaries import print_comparison_summary
    from atlas.cli.terminal import resource_usage, say
    from atlas.query.compare import compare as run
    from atlas.runtime.memory import parse_bytes

    if "" in (where_a, where_b):
        raise UsageError("compare: a condition is empty; write it like --where-a \"corpus_source = 'imports'\"")
    if right is None and where_a is None:
        raise UsageError("compare: give a second atlas B, or select graphs of A with --where-a")
    started = time.monotonic()
    found = run(left, right or left, output, where_a=where_a, where_b=where_b, memory=parse_bytes(memory))
    print_comparison_summary(found, limit)
    say(f"  {resource_usage(started)}; FROM different_neurons and different_edges in {output}")
