"""Sets of neurons saved under a name, in a small file beside the atlas, which itself is never written."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from pathlib import Path

from atlas.errors import InputError, UsageError
from atlas.io.files import replaced_file
from atlas.query.set_grammar import parse

_NAME = re.compile(r"\w[\w.-]{0,63}\Z")


def sets_file(atlas: Path) -> Path:
    """Return the file of the saved sets of an atlas, whether it exists or not."""
    return atlas.with_name(f"{atlas.stem}.sets.json")


def saved_sets(atlas: Path) -> dict[str, str]:
    """Return the expressions of all saved sets of an atlas by name.

    Args:
        atlas: Atlas file.

    Returns:
        Expressions, by name.

    Raises:
        InputError: The file of the sets is damaged.
    """
    path = sets_file(atlas)
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise InputError(f"{path} is no file of saved sets: it must map names to expressions")
    return dict(sorted(found.items()))


def saved_set(atlas: Path, name: str) -> str:
    """Return the expression of a saved set. Raises `UsageError` for an unknown name, with the nearest ones."""
    known = saved_sets(atlas)
    if name not in known:
        near = get_close_matches(name, known, 3)
        hint = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(known) or 'none'}"
        raise UsageError(f"no set is saved as {name!r} beside {atlas}; {hint}")
    return known[name]


def save_set(atlas: Path, name: str, expression: str | None) -> None:
    """Save a set under a name, or remove it.

    Args:
        atlas: Atlas file.
        name: Name: letters, digits, `_`, `.` and `-`.
        expression: Expression of the set, which replaces one of the same name; None removes it.

    Raises:
        OutputError: The file cannot be written.
        UsageError: The name or the expression is none, or there is no set to remove.
    """
    if not _NAME.match(name):
        raise UsageError(f"{name!r} is no name of a set; use letters, digits, _, . and -, at most 64")
    known = saved_sets(atlas)
    if expression is None:
        saved_set(atlas, name)
        del known[name]
    else:
        parse(expression)
        known[name] = expression
    with replaced_file(sets_file(atlas)) as fresh:
        fresh.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
