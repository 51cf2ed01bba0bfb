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

from atlas.errors import OutputError

ROW_GROUP = 1 << 18  # rows; what a reader of one part of a dataset has to decode at once


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
    """Choose the encoding of each kind of column, by measurement (tests/bench/RESULTS.md).

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
    if code in (errno.ENOENT, errno.ENOTDIR):
        return OutputError(
            f"{target} cannot be written: there is no folder {target.parent}; make it, or choose another -o"
        )
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


def recover_folder(target: Path) -> None:
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


def swap_folder(fresh: Path, target: Path) -> None:
    """Put a finished folder in the place of another, on the disk before its name."""
    for path in [*fresh.rglob("*"), fresh]:
        # Of a folder it is the names inside that reach the disk.
        if path.is_file() or path.is_dir():
            sync(path)
    old = target.parent / f".{target.name}.old"
    if target.exists():
        target.rename(old)
    rename(fresh, target)
    shutil.rmtree(old, ignore_errors=True)
