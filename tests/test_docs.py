"""What is documented exists, what exists is documented, and shown output is true output."""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import inspect
import math
import pkgutil
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from conftest import ROOT

import atlas
from atlas.cli.main import main
from atlas.database import scripts
from atlas.errors import RecipeError
from atlas.pipeline import run_recipe
from atlas.pipeline.recipe import load_recipe
from atlas.query.schema_text import schema_text

README = (ROOT / "README.md").read_text()
# Numbers that were printed with all their digits.
_NUMBER = re.compile(r"-?\d+\.\d{9,}(?:e-?\d+)?")


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
    for name in re.findall(r"`(atlas (?:(?:import|wandb) [a-z0-9-]+|[a-z-]+))", table):
        assert name in known, name


@pytest.mark.parametrize("kind", ["views", "macros", "queries"])
def test_every_view_macro_and_query_is_in_the_readme(kind: str) -> None:
    for script in scripts(kind):
        assert f"`{script.name}`" in README, script.name
        assert script.doc


def test_every_table_is_in_the_readme() -> None:
    names = re.findall(r"^CREATE TABLE (\w+)", "".join(item.sql for item in scripts("tables")), re.MULTILINE)
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


def test_recipes_in_the_documents_have_known_keys(tmp_path: Path) -> None:
    """A block may be a part of a recipe, but every key in it must be one."""
    documents = (ROOT / "README.md", ROOT / "build" / "README.md", *(ROOT / "docs").glob("*.md"))
    blocks = [block for path in documents for block in re.findall(r"```toml\n(.*?)```", path.read_text(), re.DOTALL)]
    assert blocks
    for number, block in enumerate(blocks):
        recipe = tmp_path / f"{number}.toml"
        recipe.write_text(block if re.search("^name = ", block, re.MULTILINE) else f'name = "x"\n{block}')
        with contextlib.suppress(RecipeError):
            load_recipe(recipe, [], {"DATA": "d", "GRAPHS": "g"})
            continue
        with pytest.raises(RecipeError) as caught:
            load_recipe(recipe, [], {"DATA": "d", "GRAPHS": "g"})
        assert "unknown key" not in str(caught.value)


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200, "move parts to docs/"


def built(name: str, folder: Path, **environment: str) -> Path:
    """A folder with the atlas of a recipe where the documents have it."""
    run_recipe(load_recipe(ROOT / "build" / f"{name}.toml", [f"output={folder}/out/{name}.duckdb"], environment))
    return folder


def true_session(document: str) -> int:
    """Runs the commands of a document and compares what they print; the number of commands."""
    blocks = re.findall(r"```console\n(.*?)```", document, re.DOTALL)
    for block in blocks:
        command, _, shown = block.partition("\n")
        result = CliRunner().invoke(main, shlex.split(command.removeprefix("$ atlas ")))
        # The last digits of a sum depend on the processor.
        assert _NUMBER.split(result.stdout) == _NUMBER.split(shown)
        numbers = zip(_NUMBER.findall(result.stdout), _NUMBER.findall(shown), strict=True)
        assert not [pair for pair in numbers if not math.isclose(float(pair[0]), float(pair[1]), rel_tol=1e-9)]
    return len(blocks)


@pytest.mark.slow
def test_the_session_of_the_readme_is_true(whole_demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(whole_demo)
    assert true_session(README) == 2


@pytest.mark.slow
def test_the_tour_of_gemma_is_true(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(built("gemma-2-2b-clt-hp", tmp_path, DATA=str(data)))
    assert true_session((ROOT / "docs" / "gemma-2-2b.md").read_text()) == 3


def test_python_and_sql_of_the_readme_run(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo)
    (python,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(python.replace(".df()", ".pl()"), "README", "exec"), {})  # pandas is not installed here
    (sql,) = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)
    with atlas.open("out/demo.duckdb") as opened:
        for statement in re.sub(r"--.*", "", sql).split(";"):
            if statement.strip():
                opened.sql(statement).fetchall()


def test_python_of_the_tracing_document_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.chdir(ROOT)
    (python,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "trace.md").read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    exec(compile(python, "docs/trace.md", "exec"), found)
    assert len(found["traced"].graph.links.weight) > 1000


MODULES = [module.name for module in pkgutil.walk_packages(atlas.__path__, "atlas.") if module.name != "atlas.__main__"]


def test_every_module_says_what_it_is_and_its_examples_are_true() -> None:
    wrong = []
    for name in MODULES:
        module = importlib.import_module(name)
        if not module.__doc__ or doctest.testmod(module).failed:
            wrong.append(name)
    assert wrong == []


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
            if path.is_file() and not {"__pycache__", "node_modules"} & set(path.parts):
                assert b"/work/" not in path.read_bytes(), path


def test_every_constraint_has_its_hashes() -> None:
    pinned = re.findall(r"^([\w.-]+==[\w.]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    hashed = re.findall(r"^([\w.-]+==[\w.]+) \\\n    --hash=sha256:[0-9a-f]{64}", (ROOT / ".ci" / "requirements.txt").read_text(), re.MULTILINE)  # fmt: skip
    pinned = [name for name in pinned if not name.startswith("torch==")]  # its build depends on the machine
    assert sorted(name.lower().replace("_", "-") for name in pinned) == sorted(name.lower().replace("_", "-") for name in hashed)  # fmt: skip


def exported() -> Iterator[tuple[str, Any]]:
    """Every function, and every public method of every class, that some `__all__` names."""
    seen: set[int] = set()
    for module in map(importlib.import_module, MODULES):
        for name in getattr(module, "__all__", ()):
            item = getattr(module, name)
            if id(item) in seen or not (inspect.isfunction(item) or inspect.isclass(item)):
                continue
            seen.add(id(item))
            if inspect.isfunction(item):
                yield f"{item.__module__}.{name}", item
            else:
                methods = ((key, value) for key, value in vars(item).items() if not key.startswith("_"))
                yield from (
                    (f"{item.__module__}.{name}.{key}", value) for key, value in methods if inspect.isfunction(value)
                )


def test_exported_functions_state_arguments_and_results() -> None:
    """Docstrings have `Args` where there are arguments, and `Returns` or `Yields` where something comes back."""
    wrong = []
    for name, function in exported():
        text, signature = inspect.getdoc(function) or "", inspect.signature(function)
        names = [parameter.lstrip("*") for parameter in signature.parameters if parameter not in ("self", "cls")]
        described = re.findall(
            r"^    \**(\w+)(?:, \w+)*: ", text.partition("Args:")[2].partition("\n\n")[0], re.MULTILINE
        )
        if described != names:
            wrong.append(f"{name}: Args {described}, not {names}")
        if signature.return_annotation != "None" and not re.search("^(Returns|Yields):$", text, re.MULTILINE):
            wrong.append(f"{name}: no Returns")
    assert wrong == []


def test_no_docstring_begins_with_a_question_word() -> None:
    """Functions say what they do, with a verb first; classes and modules name what they are."""
    wrong = []
    for path in (ROOT / "atlas").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
                text = ast.get_docstring(node) or ""
                if re.match(r"(What|Who|Whether|How|Where|Which)\b", text):
                    wrong.append(f"{path.relative_to(ROOT)}: {text.splitlines()[0]}")
    assert wrong == []


# Plain English that needs no entry in the glossary.
PLAIN = """by of in out between up central high low details examples evidence coverage accounting hubs busiest metadata samples
search missing unusual uniqueness interpretability unlabelled unmatched cooccurring help source"""


def test_names_of_tables_and_queries_are_in_the_glossary() -> None:
    """Every word in the name of a table, view, macro, query, command or stage is in the glossary, or plain English."""
    glossary = (ROOT / "docs" / "glossary.md").read_text()
    known = set(re.findall(r"[a-z]+", glossary.lower())) | set(PLAIN.split()) | {"cooccurrence"}
    tables = re.findall(r"CREATE TABLE (\w+)", "".join(item.sql for item in scripts("tables")))
    folders = ("sql/views", "sql/macros", "queries")
    names = [*tables, *(path.stem for folder in folders for path in (ROOT / folder).glob("*.sql"))]
    assert len(names) > 60
    words = {word for name in names for word in name.split("_")}
    assert sorted(word for word in words if not {word, word.removesuffix("s"), word + "s"} & known) == []


def test_the_glossary_is_sorted_and_each_word_has_one_row() -> None:
    rows = re.findall(r"^\| ([^|]+?) \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)[2:]
    assert rows == sorted(set(rows), key=str.casefold)
    assert len(rows) > 30


def test_the_reference_of_the_schema_is_that_of_an_atlas(small_atlas: Path) -> None:
    with atlas.open(small_atlas) as small:
        expected = schema_text(small)
    found = (ROOT / "docs" / "schema.md").read_text(encoding="utf-8")
    assert found == expected, "docs/schema.md is out of date: atlas schema FILE --all > docs/schema.md"


@pytest.mark.slow
@pytest.mark.parametrize(("document", "sessions"), [("cookbook", 22), ("index", 4)])
def test_the_cookbook_and_the_tour_are_true(
    document: str, sessions: int, whole_demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(whole_demo)
    text = (ROOT / "docs" / f"{document}.md").read_text(encoding="utf-8")
    assert true_session(text) == sessions
    for name in re.findall(r"\(\.\./queries/(\w+)\.sql\)", text):
        assert (ROOT / "queries" / f"{name}.sql").is_file(), name
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, f"docs/{document}.md", "exec"), found)
    # What stands in the text between quotation marks is Python, too.
    for call in re.findall(r"`(model\.\w+\([^`]*\))`", text):
        if "chosen" not in call and "..." not in call and "(a, b)" not in call:
            eval(compile(call, call, "eval"), found)
    if "model" in found:
        found["model"].close()


def test_the_cookbook_has_every_question() -> None:
    text = (ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\d+)\.", text, re.MULTILINE) == [str(number) for number in range(1, 26)]
