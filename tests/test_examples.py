"""Examples in the help: every command has one, and each is a command line that its parser takes."""

from __future__ import annotations

import shlex

import click
import pytest
from click.testing import CliRunner

from atlas.cli.examples import EXAMPLES
from atlas.cli.main import main


def leaves(group: click.Group, words: tuple[str, ...] = ()) -> list[str]:
    found = []
    for name, command in group.commands.items():
        found += leaves(command, (*words, name)) if isinstance(command, click.Group) else [" ".join((*words, name))]
    return found


def test_every_command_has_an_example_in_its_help() -> None:
    assert set(EXAMPLES) == set(leaves(main))
    for name, examples in EXAMPLES.items():
        text = CliRunner().invoke(main, [*name.split(), "--help"]).output
        for example in examples:
            assert f"  atlas {example}\n" in text, name


@pytest.mark.parametrize("example", [example for examples in EXAMPLES.values() for example in examples])
def test_an_example_is_parsed(example: str) -> None:
    words = shlex.split(example)
    command: click.Command = main
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    command.make_context("x", words)
