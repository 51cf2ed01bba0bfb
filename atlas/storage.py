"""Files written whole or not at all: locks, atomic replacement, hashes, Parquet and JSON."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from atlas._version import __version__
from atlas.errors import NewerVersion, OutputError, StageError

MANIFEST = "manifest.json"
VERSION = 5  # of the datasets between the stages; raised when readers would notice a change
ROW_GROUP = 1 << 18  # rows; what a reader of one part of a dataset has to decode at once
# What readers of a stage take from its manifest; a user's own script must write it too.
REQUIRED = {"stats": ("space", "method", "inputs")}


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def opened(path: Path) -> BinaryIO:
    """A file to read, unpacked where its name ends in .gz."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write one Parquet file; the same table gives the same bytes."""
    with parquet_writer(path, table.schema) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP)


@contextlib.contextmanager
def parquet_writer(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A writer of one Parquet file, for tables that come piece by piece."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, schema, write_page_index=True, **_encodings(schema)) as writer:
        yield writer


def _encodings(schema: pa.Schema) -> dict[str, Any]:
    """How each kind of column is stored, by measurement (tests/bench/RESULTS.md).

    Whole numbers are sorted or small: as packed differences they are a tenth of their size, in half the
    time that zstd takes for it. Weights do not compress. Text repeats.
    """
    kinds = {_leaf(field): _value_type(field.type) for field in schema}
    text = [name for name, kind in kinds.items() if not pa.types.is_primitive(kind)]
    whole = [name for name, kind in kinds.items() if pa.types.is_integer(kind)]
    return {
        "compression": {name: "zstd" if name in text else "none" for name in kinds},
        "use_dictionary": text,
        "column_encoding": dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
        # Bounds of weights skip no rows of any reader, and take as long as writing them.
        "write_statistics": [name for name, kind in kinds.items() if not pa.types.is_floating(kind)],
    }


def _leaf(field: pa.Field) -> str:
    return f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_list(kind) else kind


def write_json(value: object, path: Path) -> None:
    """Write one JSON file with sorted keys, so that equal values are equal bytes."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8", errors="replace")


def write_manifest(folder: Path, stage: str, **facts: Any) -> None:
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
def translated_os_errors(target: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write into one line that says what to do."""
    try:
        yield
    except OSError as error:
        raise write_error(target, error) from error


def write_error(target: Path, error: BaseException) -> OutputError:
    """The `OutputError` for a failed write of `target`."""
    text = str(error)
    code = getattr(error, "errno", None)
    if code in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text or "disk full" in text.lower():
        return OutputError(f"disk full while writing {target}; free some space or choose another -o, then run it again")
    if code in (errno.EACCES, errno.EPERM, errno.EROFS) or "Read-only file system" in text:
        return OutputError(f"{target} cannot be written ({os.strerror(code or errno.EROFS)}); choose another -o")
    return OutputError(f"{target} cannot be written: {' '.join(text.split())}")


@contextlib.contextmanager
def only_writer(target: Path) -> Iterator[None]:
    """Hold the lock beside `target`; raises `OutputError` where another process holds it."""
    with translated_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = (target.parent / f".{target.name}.lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"{target} is being written by another process; wait for it, or choose another -o"
            ) from None
        yield


@contextlib.contextmanager
def replaced_file(target: Path) -> Iterator[Path]:
    """A new file that takes the place of `target` when the block ends well, and vanishes when it does not.

    A pipe or device is written directly. Raises `OutputError` where the disk is full or cannot be written.
    """
    if target.exists() and not target.is_file():
        with translated_os_errors(target):
            yield target
        return
    target = target.resolve()  # a link stays a link
    fresh = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        with translated_os_errors(target):
            yield fresh
            sync(fresh)
            rename(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)


@contextlib.contextmanager
def replaced_folder(target: Path, stage: str) -> Iterator[Path]:
    """A new folder that takes the place of `target` when the block ends well, and vanishes when it does not.

    Raises `OutputError` where `target` holds something else than this stage, so that a mistyped -o
    never removes somebody's files.
    """
    # A link stays a link: what it points to is replaced.
    target = target.resolve()
    with only_writer(target):
        refuse_foreign_folder(target, stage)
        fresh = target.parent / f".{target.name}.new"
        with translated_os_errors(target):
            _recover(target)
            fresh.mkdir()
        try:
            with translated_os_errors(target):
                yield fresh
                _swap(fresh, target)
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


def _recover(target: Path) -> None:
    """Remove what a killed run left; where it died between the two renames, the old folder comes back."""
    old = target.parent / f".{target.name}.old"
    if old.is_dir() and not target.exists():
        old.rename(target)
    for rest in (old, target.parent / f".{target.name}.new"):
        if rest.is_dir() and not rest.is_symlink():
            shutil.rmtree(rest)
        else:
            rest.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file is on the disk, so that a rename never shows an empty one after a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename(source: Path, target: Path) -> None:
    """Rename a file or folder over `target`, and wait until the directory entry is on the disk.

    Without the second step the old name may come back after a power cut.
    """
    source.replace(target)
    sync(target.parent)


def _swap(fresh: Path, target: Path) -> None:
    for path in [*fresh.rglob("*"), fresh]:
        # Of a folder it is the names inside that reach the disk.
        if path.is_file() or path.is_dir():
            sync(path)
    old = target.parent / f".{target.name}.old"
    if target.exists():
        target.rename(old)
    rename(fresh, target)
    shutil.rmtree(old, ignore_errors=True)
