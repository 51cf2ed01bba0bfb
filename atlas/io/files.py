"""Atomic writing of files: locks, replacement, hashes, Parquet and JSON."""

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

from atlas.errors import InputError, OutputError

ROW_GROUP = 1 << 18  # rows that a reader of a part of a dataset must decode at once


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def opened(path: Path) -> BinaryIO:
    """Open a file for reading, unpacked if its name ends in .gz."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write one Parquet file; the same table gives the same bytes."""
    with parquet_writer(path, table.schema) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP)


@contextlib.contextmanager
def parquet_writer(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Yield a writer of one Parquet file, for tables that arrive in pieces."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, schema, write_page_index=True, **_encodings(schema)) as writer:
        yield writer


def _encodings(schema: pa.Schema) -> dict[str, Any]:
    """Choose the encoding of each kind of column, by measurement (tests/bench/RESULTS.md).

    Integers are sorted or small: packed differences reduce them to a tenth of their size, in half the time of zstd.
    Weights do not compress. Text repeats.
    """
    kinds = {_leaf(field): _value_type(field.type) for field in schema}
    text = [name for name, kind in kinds.items() if not pa.types.is_primitive(kind)]
    whole = [name for name, kind in kinds.items() if pa.types.is_integer(kind)]
    return {
        "compression": {name: "zstd" if name in text else "none" for name in kinds},
        "use_dictionary": text,
        "column_encoding": dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
        # Bounds of weights and of counts help no reader to skip rows, and take as long as writing them.
        "write_statistics": [
            name for name, kind in kinds.items() if not pa.types.is_floating(kind) and not name.endswith("count")
        ],
    }


def _leaf(field: pa.Field) -> str:
    return f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_list(kind) else kind


def read_json_object(path: Path, what: str = "a JSON object") -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: The file.
        what: What the file should be, for the message.

    Returns:
        Values by key.

    Raises:
        InputError: The file is missing, is no JSON, or holds no object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {what}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} holds no object; {what}")
    return found


def write_json(value: object, path: Path) -> None:
    """Write one JSON file with sorted keys, so that equal values give equal bytes."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8", errors="replace")


@contextlib.contextmanager
def translated_os_errors(target: Path) -> Iterator[None]:
    """Translate an operating system's refusal to write into an `OutputError` of one line that says what to do."""
    try:
        yield
    except OSError as error:
        raise write_error(target, error) from error


def write_error(target: Path, error: BaseException) -> OutputError:
    """Return the `OutputError` for a failed write of `target`."""
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
    """Hold the lock beside `target`; raises `OutputError` if another process holds it."""
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
    """Yield a new file that replaces `target` if the block succeeds, and is removed if it fails.

    A pipe or device is written directly. Raises `OutputError` if the disk is full or cannot be written.
    """
    if target.exists() and not target.is_file():
        with translated_os_errors(target):
            yield target
        return
    target = target.resolve()  # keep a symbolic link, and replace its target
    fresh = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        with translated_os_errors(target):
            yield fresh
            sync(fresh)
            rename(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)


def recover_folder(target: Path) -> None:
    """Remove the files of a killed run. If it died between the two renames, restore the old folder."""
    old = target.parent / f".{target.name}.old"
    if old.is_dir() and not target.exists():
        old.rename(target)
    for rest in (old, target.parent / f".{target.name}.new"):
        if rest.is_dir() and not rest.is_symlink():
            shutil.rmtree(rest)
        else:
            rest.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file is on disk, so that a rename never leaves an empty file after a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename(source: Path, target: Path) -> None:
    """Rename a file or folder over `target`, and wait until the directory entry is on disk.

    Without the second step, the old name may come back after a power failure.
    """
    source.replace(target)
    sync(target.parent)


def swap_folder(fresh: Path, target: Path) -> None:
    """Replace a folder by a finished one, after all its files are on disk."""
    for path in [*fresh.rglob("*"), fresh]:
        # Syncing a folder writes the names in it to disk.
        if path.is_file() or path.is_dir():
            sync(path)
    old = target.parent / f".{target.name}.old"
    if target.exists():
        target.rename(old)
    rename(fresh, target)
    shutil.rmtree(old, ignore_errors=True)
