"""Reader of SQL files and their header comments: description, example, parameters.

A header is the block of `--` lines at the top. Its sentences are the documentation of the view, macro,
check or query; `-- Example: ...` is SQL to paste; `-- $name TYPE [required] [of these, values] [from 1 to 6]: ...`
declares a parameter; `-- Macro: name(...)` makes a query a macro of the atlas, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from atlas.io import package_data as resources

_PARAMETER = re.compile(r"\$(\w+) (\w+)( required)?(?: of ([\w, ]+))?(?: from (\d+) to (\d+))?: (.+)")


@dataclass(frozen=True)
class Parameter:
    """A named parameter of a query."""

    name: str
    type: str
    required: bool
    doc: str
    choices: tuple[str, ...] = ()
    bounds: tuple[int, int] | None = None


@dataclass(frozen=True)
class Script:
    """One SQL file."""

    name: str
    sql: str
    doc: str
    example: str | None
    parameters: tuple[Parameter, ...]
    macro: str | None = None


def read_script(path: Path) -> Script:
    """Read one SQL file and its header."""
    sql = path.read_text(encoding="utf-8")
    sentences: list[str] = []
    parameters: list[Parameter] = []
    example = macro = None
    for line in sql.splitlines():
        if not line.startswith("--"):
            break
        text = line.removeprefix("--").strip()
        if text.startswith("Example:"):
            example = text.removeprefix("Example:").strip()
        elif text.startswith("Macro:"):
            macro = text.removeprefix("Macro:").strip()
        elif found := _PARAMETER.match(text):
            choices = tuple(found[4].split(", ")) if found[4] else ()
            bounds = (int(found[5]), int(found[6])) if found[5] else None
            parameters.append(Parameter(found[1], found[2], bool(found[3]), found[7], choices, bounds))
        elif text:
            sentences.append(text)
    return Script(path.stem, sql, " ".join(sentences), example, tuple(parameters), macro)


def scripts(kind: str) -> list[Script]:
    """Read the SQL files of one kind.

    Args:
        kind: `tables`, `views`, `macros` or `checks` of `sql/`, or `queries`.

    Returns:
        The scripts by file name; those of tables are numbered in the order of the atlas.
    """
    folder = resources.folder("queries") if kind == "queries" else resources.folder("sql") / kind
    return [read_script(path) for path in sorted(folder.glob("*.sql"))]


def quoted(text: str) -> str:
    """Return text as an SQL literal, for the few statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def script(name: str) -> str:
    """Return the text of `sql/NAME.sql`."""
    return (resources.folder("sql") / f"{name}.sql").read_text(encoding="utf-8")
