"""Location of the shipped folders sql/, queries/ and build/, in a wheel or in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
FOLDERS = ("sql", "queries", "build")


def folder(name: str) -> Path:
    """Return the folder `sql`, `queries` or `build` that ships with this package."""
    if name not in FOLDERS:
        raise ValueError(f"no shipped folder {name!r}; there are {', '.join(FOLDERS)}")
    shipped = _PACKAGE / "_shipped" / name
    return shipped if shipped.is_dir() else _PACKAGE.parent / name


def names(name: str, suffix: str) -> list[str]:
    """Return the sorted stems of the files with `suffix` in a shipped folder."""
    return sorted(path.stem for path in folder(name).glob(f"*{suffix}"))
