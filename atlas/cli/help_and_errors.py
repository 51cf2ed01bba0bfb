"""Command groups and commands with help under headings, and the one place that turns errors into messages."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, TypeVar

import click

from atlas.cli.examples import EXAMPLES
from atlas.errors import AtlasError
from atlas.io.text import visible

_F = TypeVar("_F", bound=Callable[..., object])
# Sections of `atlas --help`, in order.
SECTIONS = {
    "Make": (
        "aggregate",
        "merge",
        "trace",
        "wire",
        "project",
        "train-sae",
        "collect",
        "measure",
        "features",
        "label",
        "score",
        "cluster",
        "circuits",
        "verify",
        "import",
        "build",
        "add",
    ),
    "Ask": (
        "info",
        "neuron",
        "feature",
        "circuit",
        "graphs",
        "graph",
        "token",
        "search",
        "find",
        "set",
        "query",
        "sql",
        "shell",
        "schema",
        "check",
        "compare",
        "diff",
        "sweep",
        "probe",
    ),
    "Show": ("report", "export", "mcp", "wandb", "tour"),
}
_OTHER = "Options"


class Option(click.Option):
    """Option that is listed under a heading in the help of its command."""

    def __init__(self, names: Sequence[str], *, heading: str = _OTHER, **attributes: Any) -> None:
        super().__init__(names, **attributes)
        self.heading = heading


def option(*names: str, heading: str = _OTHER, **attributes: Any) -> Callable[[_F], _F]:
    """Return a decorator that adds an option under a heading."""
    return click.option(*names, cls=Option, heading=heading, **attributes)


class Command(click.Command):
    """Command whose help lists its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, those without a heading last."""
        headings: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                headings.setdefault(getattr(parameter, "heading", _OTHER), []).append(record)
        general = headings.pop(_OTHER, [])
        for heading, records in [*headings.items(), (_OTHER, general)]:
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples of the command."""
        words = ctx.command_path.split()[1:]
        if examples := EXAMPLES.get(" ".join(words)):
            with formatter.section("Examples"):
                for example in examples:
                    formatter.write(f"  atlas {example}\n")


class Group(click.Group):
    """Group of commands under headings. Errors become one line and an exit code; only bugs show a traceback."""

    command_class = Command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands with the first sentence of their help, under the headings of `SECTIONS`."""
        left = dict(self.commands)
        sections = [(title, [name for name in names if name in left]) for title, names in SECTIONS.items()]
        listed = {name for _, names in sections for name in names}
        sections.append(("Commands", sorted(set(left) - listed)))
        for title, names in sections:
            if names:
                with formatter.section(title):
                    formatter.write_dl(_short_helps(left[name] for name in names))

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Parse the options before the command."""
        try:
            return super().make_context(*arguments, **options)
        except click.UsageError as error:
            _end_with_one_line(error)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and turn an error into one line and an exit code."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            _end_with_one_line(error)
        except KeyboardInterrupt:
            click.echo("atlas: stopped; a command that writes goes on where it was when it is run again", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            # The reader of the pipe (head, less) has closed it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except Exception as error:
            if not isinstance(error, (AtlasError, OSError, MemoryError, *_database_errors())):
                raise
            text = str(error) or "out of memory; close other programs, or give less to do at once (--memory, --threads)"
            click.echo(f"atlas: {visible(' '.join(text.split()))[:4000]}", err=True)
            ctx.exit(1)


def _end_with_one_line(error: click.UsageError) -> NoReturn:
    """Print a usage error as one line, where click prints four, and exit with its code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError) or error.ctx is None:
        raise error
    click.echo(f"atlas: {visible(error.format_message())} (help: {error.ctx.command_path} --help)", err=True)
    raise click.exceptions.Exit(error.exit_code)


def _short_helps(commands: Iterable[click.Command]) -> list[tuple[str, str]]:
    """Return the name and the whole first paragraph of the help of each command."""
    return [
        (str(command.name), (command.help or "").split("\n\n")[0].replace("\n", " ").strip()) for command in commands
    ]


def _database_errors() -> tuple[type[Exception], ...]:
    """Return DuckDB's errors if DuckDB is loaded, since any row of a file may turn out to be damaged."""
    duckdb = sys.modules.get("duckdb")
    return (duckdb.Error,) if duckdb is not None else ()
