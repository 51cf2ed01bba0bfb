"""Commands `atlas find` and `atlas set`: sets of neurons, found and saved."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlas.cli.help_and_errors import Command, option
from atlas.cli.options import atlas_options, format_options
from atlas.errors import UsageError

if TYPE_CHECKING:
    from atlas.cli.terminal import Limits


def _words(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Return what the last word of an expression may become: a field or a function, for completion in the shell."""
    from atlas.query.set_grammar import FUNCTIONS
    from atlas.query.set_sql import field_names

    last = re.split(r"\W", incomplete)[-1]
    head = incomplete.removesuffix(last)
    return [head + word for word in (*field_names(), *(f"{name}(" for name in FUNCTIONS)) if word.startswith(last)]


@click.command(cls=Command)
@atlas_options
@click.argument("expression", shell_complete=_words)
@format_options
@option("--show-sql", is_flag=True, help="Print the SQL of the set instead of running it.")
@option("--save", metavar="NAME", help="Save the set under a name beside the atlas, for set(NAME).")
def find(
    file: Path,
    limits: Limits,
    expression: str,
    fmt: str | None,
    limit: int | None,
    output: Path | None,
    show_sql: bool,
    save: str | None,
) -> None:
    """Find the neurons of a set, most frequent first.

    EXPRESSION is such as "label ~ capital && layer >= 10 && upstream(L20/N44686, hops=2) && !circuit(1.1)", or @FILE with ids, or - for ids of
    the standard input. docs/queries.md has the grammar.
    """
    from atlas.cli.terminal import opened, print_relation, say
    from atlas.query.parameters import neurons_of
    from atlas.query.saved_sets import save_set

    with opened(file, limits) as atlas:
        chosen = neurons_of(expression)
        if show_sql:
            click.echo(atlas.set_sql(chosen))
            return
        print_relation(atlas.find(chosen), fmt, output, limit, empty="no neuron is in the set")
        if save is not None:
            if expression == "-" or expression.startswith("@"):
                expression = " || ".join(map(str, getattr(chosen, "neurons", ()))) or "!all()"
            save_set(file, save, expression)
            say(f"  saved as {save}; use it as set({save})")


@click.command("set", cls=Command)
@atlas_options
@click.argument("name", required=False)
@click.argument("expression", required=False)
@option("--remove", is_flag=True, help="Remove the set NAME.")
def set_(file: Path, limits: Limits, name: str | None, expression: str | None, remove: bool) -> None:
    """Save a set of neurons as NAME beside an atlas; without EXPRESSION show it, without NAME list all."""
    from atlas.cli.terminal import opened, say, show, table
    from atlas.query.saved_sets import save_set, saved_set, saved_sets

    if remove and (name is None or expression is not None):
        raise UsageError("set: --remove takes the name of a set, and no expression")
    with opened(file, limits) as atlas:
        if name is None:
            found = saved_sets(file)
            show(table(("set", "expression"), list(found.items())) if found else f"no set is saved beside {file}")
        elif remove:
            save_set(file, name, None)
            say(f"  removed {name}")
        elif expression is not None:
            atlas.set_sql(expression)
            save_set(file, name, expression)
            say(f"  saved {name}; use it as set({name})")
        else:
            click.echo(saved_set(file, name))
