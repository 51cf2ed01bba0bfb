"""Manifest of a stage folder, and atomic replacement of stage folders."""

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


VERSION = 7  # of the datasets between the stages; increased when readers would notice a change


# Keys of the manifest that readers of a stage need. A user's own script must write them, too.
REQUIRED = {"stats": ("space", "method", "inputs"), "activations": ("space", "counts")}


def write_manifest(folder: Path, stage: str, **facts: object) -> None:
    """Write the manifest of a stage folder: the stage, the versions of datasets and package, and `facts`."""
    write_json({"stage": stage, "version": VERSION, "tool_version": __version__, **facts}, folder / MANIFEST)


def read_manifest(folder: Path, stage: str) -> dict[str, Any]:
    """Read the manifest of a stage folder; raises `StageError` if it is missing or of another stage."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StageError(f"{folder} is no {stage} folder: it has no {MANIFEST}") from None
    except NotADirectoryError:
        raise StageError(f"{folder} is a file; give the folder of the {stage} stage") from None
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
    """Raise `StageError` if the datasets beside a manifest have another version than this package reads."""
    if version is None:
        return  # from a user's own script, which is written for this version
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
    """Yield a new folder that replaces `target` if the block succeeds, and is removed if it fails.

    If the block writes nothing into the new folder, `target` stays as it is.

    Raises `OutputError` if `target` holds anything but this stage, so that a mistyped -o never removes other files.
    """
    # Keep a symbolic link, and replace the folder that it points to.
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
    """Raise `OutputError` if `target` is a file, or a folder that holds anything but this stage."""
    if target.is_file():
        raise OutputError(f"{target} is a file; -o names a folder for {stage}")
    if target.is_dir() and any(target.iterdir()) and not _is_ours(target, stage):
        raise OutputError(f"{target} is not empty and holds no {stage}; choose another -o")


def _is_ours(target: Path, stage: str) -> bool:
    """Return True for a folder of this stage.

    A manifest that a disk failure has damaged is accepted if all other files are Parquet.
    """
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
