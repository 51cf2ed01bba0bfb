"""Commands that query an atlas: `search`, `query`, `sql`, `schema`, `check`, `compare`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from atlas.cli.help_and_errors import Command, option
from atlas.cli.options import FILE, atlas_options, format_options
from atlas.errors import CheckError, InputError, UsageError
from atlas.io.text import visible

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from atlas.cli.terminal import Limits
    from atlas.query.client import Atlas


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
@option("--all", "everything", is_flag=True, heading="Output", help="Describe every table, view and macro in Markdown.")
def schema(file: Path, limits: Limits, name: str | None, everything: bool) -> None:
    """List tables, views and macros of an atlas; with NAME, the columns of one, or the SQL of a macro."""
    from atlas.cli.terminal import opened, show, table
    from atlas.database import macros

    with opened(file, limits) as atlas:
        if everything:
            from atlas.query.schema_text import schema_text

            click.echo(schema_text(atlas), nl=False)
            return
        if name is None:
            found = atlas.sql("SELECT name, kind, description FROM help")
            show(table(found.columns, found.fetchall()))
            return
        known = {macro.name: macro for macro in macros()}
        if name in known:
            click.echo(f"{known[name].doc}\n\n{known[name].sql.partition('CREATE MACRO ')[2].strip()}")
            return
        columns = atlas.columns_of(name).fetchall()
        if not columns:
            raise UsageError(f"{file} has no table or view {name}; list them with: atlas schema {file}")
        show(table(("column", "type", "meaning"), columns))


@click.command(cls=Command)
@atlas_options
@click.argument("text")
@option(
    "--in",
    "where",
    default="neurons",
    show_default=True,
    type=click.Choice(["neurons", "tokens", "circuits"]),
    help="Look in labels of neurons, in texts of tokens, or in names of circuits.",
)
@option("--within", metavar="SET", help="Only neurons of this set, as an expression of atlas find.")
@format_options
def search(
    file: Path,
    limits: Limits,
    text: str,
    where: str,
    within: str | None,
    fmt: str | None,
    limit: int | None,
    output: Path | None,
) -> None:
    """Find neurons by the words of their labels and descriptions, best first.

    Words of TEXT may come in any order, as beginnings or parts of words, or misspelled; text in double quotes is a phrase.
    """
    from atlas.cli.terminal import SHOWN_ROWS, opened, print_relation, say
    from atlas.query.parameters import neurons_of

    if not text.strip():
        raise UsageError("search: say what to look for; all labels are in the table labels")
    if within is not None and where != "neurons":
        raise UsageError(f"--within is a set of neurons, and there are none among {where}")
    with opened(file, limits) as atlas:
        most = limit or (None if fmt or output or limit == 0 else SHOWN_ROWS + 1)
        if where == "tokens":
            found = atlas.search_tokens(text, limit=most)
        elif where == "circuits":
            found = atlas.search_circuits(text, limit=most)
        else:
            found = atlas.search(text, within=None if within is None else neurons_of(within), limit=most)
            for note in _notes(atlas, text, found):
                say(note)
        print_relation(
            found,
            fmt,
            output,
            limit,
            empty=f"no label of {file} has these words: {text!r}"
            if where == "neurons"
            else f"no {where} of {file} for {text!r}",
        )


def _notes(atlas: Atlas, text: str, found: duckdb.DuckDBPyRelation) -> list[str]:
    """Return which words were taken for others, or are in no label, and where else the text is found."""
    asked = atlas.sql("SELECT terms_of($text)", {"text": text}).fetchall()[0][0]
    first = found.project("terms").limit(1).fetchall()
    taken = first[0][0] if first else []
    missing = [word for word in dict.fromkeys(asked) if not any(word in term for term in taken)]
    others = [term for term in taken if not any(word in term for word in asked)]
    notes = []
    if others:
        notes.append(
            f"no label has {', '.join(map(repr, missing))}; shown are labels with {', '.join(map(repr, others))}"
        )
    elif first and missing:
        notes.append(f"no label has all words; shown are labels without {', '.join(map(repr, missing))}")
    counts = {
        name: len(relation.fetchall())
        for name, relation in (
            ("tokens", atlas.search_tokens(text, limit=10)),
            ("circuits", atlas.search_circuits(text, limit=10)),
        )
    }
    also = [f"{count if count < 10 else '10 or more'} {name} (--in {name})" for name, count in counts.items() if count]
    return [*notes, *([f"also in {' and '.join(also)}"] if also else [])]


def _query_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Return the queries that a word may become, for completion in the shell."""
    from atlas.query.catalogue import catalogue

    return [name for name in catalogue() if name.startswith(incomplete)]


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

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the options of the query, beside those of the command."""
        from atlas.query.catalogue import catalogue

        found = super().shell_complete(ctx, incomplete)
        query = catalogue().get(str(ctx.params.get("name") or ""))
        if query is not None and incomplete.startswith("-"):
            options = [
                (f"--{one.name.replace('_', '-')}", one.doc)
                for one in query.parameters
                if one.name not in ("limit", "layer", "neuron")
            ]
            found += [CompletionItem(name, help=doc) for name, doc in options if name.startswith(incomplete)]
        return found


@click.command(cls=_QueryCommand, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@atlas_options
@click.argument("name", required=False, shell_complete=_query_names)
@format_options
@option(
    "--matrix",
    metavar="COLUMN",
    heading="Output",
    help="Print a row per source and a column per target, filled with this column.",
)
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
    matrix: str | None,
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
        found = (
            atlas.query(name, **parameters)
            if matrix is None
            else _as_relation(atlas.matrix(name, matrix, **parameters))
        )
        print_relation(found, fmt, output, limit, empty=f"no rows{unknown}")


def _as_relation(frame: pl.DataFrame) -> duckdb.DuckDBPyRelation:
    import duckdb

    return duckdb.connect().from_arrow(frame.to_arrow())


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
@atlas_options
def shell(file: Path, limits: Limits) -> None:
    """Ask an atlas at a prompt: SQL with completion of names, queries, sets and help."""
    from atlas.cli.shell import run_shell
    from atlas.cli.terminal import opened

    with opened(file, limits) as atlas:
        run_shell(atlas, Path.home() / ".atlas_history" if sys.stdin.isatty() else None)


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
