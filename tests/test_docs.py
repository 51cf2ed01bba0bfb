"""What is documented exists, what exists is documented, and shown output is true output."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from conftest import ROOT

import atlas
from atlas.cli import main
from atlas.database import scripts
from atlas.pipeline import run_recipe
from atlas.recipe import load_recipe

README = (ROOT / "README.md").read_text()


def commands(group: click.Group, prefix: str = "atlas") -> dict[str, click.Command]:
    found = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, f"{prefix} {name}")
        else:
            found[f"{prefix} {name}"] = command
    return found


def test_every_command_is_in_the_readme_and_every_command_in_the_readme_exists() -> None:
    known = commands(main)
    for name, command in known.items():
        assert name in README, name
        assert command.help, name
        assert all(
            option.help for option in command.params if isinstance(option, click.Option) and option.name != "fmt"
        ), name
    table = README.partition("## Commands")[2]
    for name in re.findall(r"`(atlas [a-z]+(?: labels)?)", table):
        assert name in known, name


@pytest.mark.parametrize("kind", ["views", "macros", "queries"])
def test_every_view_macro_and_query_is_in_the_readme(kind: str) -> None:
    for script in scripts(kind):
        assert f"`{script.name}`" in README, script.name
        assert script.doc


def test_every_table_is_in_the_readme() -> None:
    names = re.findall(r"^CREATE TABLE (\w+)", (ROOT / "sql" / "schema.sql").read_text(), re.MULTILINE)
    assert len(names) > 15
    for name in names:
        assert f"`{name}`" in README, name


def test_make_targets_in_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    recipes = {path.stem for path in (ROOT / "build").glob("*.toml")}
    for target in re.findall(r"^\s+make ([\w.-]+)|`make ([\w.-]+)", README, re.MULTILINE):
        name = target[0] or target[1]
        assert name in recipes or re.search(rf"^{re.escape(name)}:", makefile, re.MULTILINE), name


def test_links_in_the_documents_lead_somewhere() -> None:
    for document in (ROOT / "README.md", ROOT / "build" / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            assert link.startswith("http") or (document.parent / link).exists(), link


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200, "move parts to docs/"


@pytest.fixture(scope="module")
def real_atlas(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    recipe = load_recipe(
        ROOT / "build" / "gemma-2-2b-clt-hp.toml",
        [f"output={folder}/out/gemma-2-2b-clt-hp.duckdb"],
        {"DATA": str(data)},
    )
    run_recipe(recipe)
    return folder


def test_the_session_of_the_readme_is_true(real_atlas: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(real_atlas)
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        command, _, shown = block.partition("\n")
        result = CliRunner().invoke(main, shlex.split(command.removeprefix("$ atlas ")))
        assert result.stdout == shown


def test_python_and_sql_of_the_readme_run(real_atlas: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(real_atlas)
    (python,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(python.replace(".df()", ".pl()"), "README", "exec"), {})  # pandas is not installed here
    (sql,) = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)
    with atlas.open("out/gemma-2-2b-clt-hp.duckdb") as opened:
        for statement in re.sub(r"--.*", "", sql).split(";"):
            if statement.strip():
                opened.sql(statement).fetchall()


MODULES = [module.name for module in pkgutil.walk_packages(atlas.__path__, "atlas.")]


@pytest.mark.parametrize("name", MODULES)
def test_every_public_thing_has_a_docstring_and_its_examples_are_true(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, name
    for key, item in vars(module).items():
        if key.startswith("_") or getattr(item, "__module__", None) != name:
            continue
        if inspect.isclass(item) or inspect.isfunction(item):
            assert item.__doc__, f"{name}.{key}"
        if inspect.isclass(item):
            for method, function in vars(item).items():
                if (
                    inspect.isfunction(function)
                    and not method.startswith("_")
                    and "<lambda>" not in function.__qualname__
                ):
                    assert function.__doc__ or method in ("invoke",), f"{name}.{key}.{method}"
    assert doctest.testmod(module).failed == 0


def test_public_names_are_one_list() -> None:
    for name in atlas.__all__:
        assert getattr(atlas, name) is not None
    with pytest.raises(AttributeError):
        atlas.nothing  # noqa: B018


def test_the_errors_are_drawn_on_top_of_their_module() -> None:
    from atlas import errors

    for name, item in vars(errors).items():
        if inspect.isclass(item) and issubclass(item, errors.AtlasError):
            assert name in errors.__doc__, name


def test_nothing_names_a_machine() -> None:
    """No path of the machine it was written on may ship."""
    for folder in ("atlas", "build", "sql", "queries", ".ci"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert b"/work/" not in path.read_bytes(), path
