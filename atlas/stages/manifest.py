"""The manifest of a stage folder, and stage folders that are replaced whole."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from atlas._version import __version__
from atlas.errors import NewerVersion, OutputError, StageError
from atlas.io.files import only_writer, recover_folder, swap_folder, translated_os_errors, write_json

MANIFEST = "manifest.json"


VERSION = 5  # of the datasets between the stages; raised when readers would notice a change


# What readers of a stage take from its manifest; a user's own script must write it too.
REQUIRED = {"stats": ("space", "method", "inputs")}


def write_manifest(folder: Path, stage: str, **facts: object) -> None:
    """Write the manifest of a stage folder: the stage, the versions of its datasets and of this package, and `facts`."""
    write_json({"stage": stage, "version": VERSION, "tool_version": __version__, **facts}, folder / MANIFEST)


def read_manifest(folder: Path, stage: str) -> dict[str, Any]:
    """The manifest of a stage folder; raises `StageError` where it is missing or of another stage."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StageError(f"{folder} is no {stage} folder: it has no {MANIFEST}") from None
    except (OSError, ValueError) as error:
        raise StageError(f"{path} cannot be read ({error}); run the {stage} stage again") from error
    found = manifest.get("stage") if isinstance(manifest, dict) else None
    if found != stage:
        raise StageError(f"{folder} holds stage {found!r}, not {stage!r}")
    _require_version(path, manifest.get("version"), stage)
    missing = [key for key in REQUIRED.get(stage, ()) if key not in manifest]
    if missing:
        raise StageError(f"{path} lacks {', '.join(missing)}; run the {stage} stage again")
    return dict(manifest)


def _require_version(path: Path, version: object, stage: str) -> None:
    """Raise `StageError` where the datasets beside a manifest are of another version than this package reads."""
    if version is None:
        return  # a script of the user's own, which knows no other version than this one
    if type(version) is int and version > VERSION:
        raise NewerVersion(
            f"{path.parent} was written by a newer version of circuit-atlas (version {version} of the {stage} stage, "
            f"this one reads {VERSION}); update circuit-atlas, or choose another folder"
        )
    if version != VERSION:
        raise StageError(
            f"{path.parent} is of version {version}, this one reads {VERSION}; run the {stage} stage again"
        )


@contextlib.contextmanager
def replaced_folder(target: Path, stage: str) -> Iterator[Path]:
    """A new folder that takes the place of `target` when the block ends well, and vanishes when it does not.

    A block that writes nothing into it leaves `target` as it is.

    Raises `OutputError` where `target` holds something else than this stage, so that a mistyped -o
    never removes somebody's files.
    """
    # A link stays a link: what it points to is replaced.
    target = target.resolve()
    with only_writer(target):
        refuse_foreign_folder(target, stage)
        fresh = target.parent / f".{target.name}.new"
        with translated_os_errors(target):
            recover_folder(target)
            fresh.mkdir()
        try:
            with translated_os_errors(target):
                yield fresh
                if any(fresh.iterdir()):
                    swap_folder(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def refuse_foreign_folder(target: Path, stage: str) -> None:
    """Raise `OutputError` where `target` is a file, or a folder that holds something else than this stage."""
    if target.is_file():
        raise OutputError(f"{target} is a file; -o names a folder for {stage}")
    if target.is_dir() and any(target.iterdir()) and not _is_ours(target, stage):
        raise OutputError(f"{target} is not empty and holds no {stage}; choose another -o")


def _is_ours(target: Path, stage: str) -> bool:
    """A folder of this stage, also one whose manifest a dying disk has cut: then nothing but Parquet lies beside it."""
    try:
        read_manifest(target, stage)
    except StageError:
        files = {path.suffix for path in target.rglob("*") if path.is_file() and path.name != MANIFEST}
        return files == {".parquet"} and (target / MANIFEST).is_file() and not _other_stage(target, stage)
    return True


def _other_stage(target: Path, stage: str) -> bool:
    try:
        found = json.loads((target / MANIFEST).read_bytes())
    except ValueError:
        return False
    return not isinstance(found, dict) or found.get("stage") != stage
