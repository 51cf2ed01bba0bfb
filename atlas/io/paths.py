"""Conversion of paths: from the form that users type, and to the form that files record."""

from __future__ import annotations

import glob
import os
import re
import shlex
from pathlib import Path

from atlas.errors import InputError

# Also https:/host: pathlib drops the second slash.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def local_path(given: str | os.PathLike[str]) -> Path:
    """Return a path with `~` expanded; raises `InputError` for an address and for standard input."""
    text = os.fspath(given)
    if _ADDRESS.match(text) and not os.path.lexists(text):
        raise InputError(f"{text}: addresses are not fetched; download it and give the file or folder")
    if text == "-":
        raise InputError("- (standard input): cannot read from a pipe; write the data to a file and give its name")
    return Path(os.path.expanduser(text)) if text.startswith("~") else Path(text)  # noqa: PTH111 (keeps a name it does not know)


def matching(pattern: str) -> list[Path]:
    """Return the sorted paths that match a pattern. The leading part that exists is taken literally."""
    parts = Path(pattern).parts
    literal = Path()
    for place, part in enumerate(parts):
        if not os.path.lexists(literal / part):
            rest = Path(*parts[place:])
            break
        literal /= part
    else:
        return [literal]
    found = glob.glob(os.path.join(glob.escape(str(literal)), str(rest)), recursive=True)  # noqa: PTH118, PTH207 (a pattern)
    return [Path(path) for path in sorted(found)]


def recorded(path: str | os.PathLike[str], base: Path | None = None) -> str:
    """Return a path in the form for files that are shared: relative to `base`, or only its last part.

    An absolute path would reveal the names of home folders and users.

    Args:
        path: Path as the user typed it.
        base: Folder that the result is relative to; the working folder if None.
    """
    given = Path(path)
    if not given.is_absolute():
        return given.as_posix() if ".." not in given.parts else given.name
    for folder in (base, Path.cwd()):
        if folder is not None and given.is_relative_to(folder):
            return given.relative_to(folder).as_posix()
    return given.name


def shell_quoted(path: str | os.PathLike[str]) -> str:
    """Return a path quoted for a shell."""
    return shlex.quote(os.fspath(path))
