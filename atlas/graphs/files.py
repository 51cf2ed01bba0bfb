"""Files, folders, globs and archives -> the bytes of one graph at a time, within bounds."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from atlas.errors import GraphError, InputError

# The largest real graphs are a few MB; a file beyond this is a mistake or an attack.
MAX_BYTES = 512 * 2**20
SUFFIXES = (".json", ".json.gz", ".jsonl", ".jsonl.gz", ".zip", ".pt")
# Written beside the graphs by corpus generation; they are no graphs and can be very large.
COMPANIONS = ("metadata.json", "neuron_index.json", "graph-metadata.json")
COMPANION_SUFFIXES = ("-clusters.json", "-analysis.json")


class Source(NamedTuple):
    """One file to read; `name` is its path as stored, the same on every machine."""

    name: str
    path: Path


class Blob(NamedTuple):
    """The bytes of one graph; `path` names the member inside an archive or the line of a .jsonl."""

    path: str
    data: bytes


class Reject(NamedTuple):
    """One file or archive member that was not read: the row of `rejects`."""

    path: str
    reason: str
    message: str
    size_bytes: int | None = None


def find_sources(paths: Sequence[Path | str]) -> list[Source]:
    """All graph files under `paths` (files, folders, globs), sorted by name.

    Raises `InputError` where a path names nothing.
    """
    sources: dict[Path, str] = {}
    for given in paths:
        for name, path in _expand(Path(given)):
            sources.setdefault(path.resolve(), name)
    if not sources:
        raise InputError(f"no graph files under {', '.join(map(str, paths))}; looked for *{', *'.join(SUFFIXES)}")
    counts: dict[str, int] = {}
    for name in sources.values():
        counts[name] = counts.get(name, 0) + 1
    # Two folders of the same name: only then is the full path needed to tell their files apart.
    named = [Source(name if counts[name] == 1 else path.as_posix(), path) for path, name in sources.items()]
    return sorted(named)


def _expand(given: Path) -> list[tuple[str, Path]]:
    if given.is_dir():
        root = given.resolve()
        return [
            (f"{root.name}/{path.relative_to(root).as_posix()}", path)
            for path in root.rglob("*")
            if path.name.endswith(SUFFIXES) and path.is_file()
        ]
    if given.exists():
        return [(given.name, given)]
    if has_magic(str(given)):
        found = [pair for match in sorted(glob(str(given), recursive=True)) for pair in _expand(Path(match))]  # noqa: PTH207 (absolute patterns)
        if found:
            return found
        raise InputError(f"no file matches {given}")
    raise InputError(f"{given} does not exist; give graph files, folders or globs")


def is_companion(name: str) -> bool:
    """Whether a file is known to lie beside graphs without being one."""
    last = name.rsplit("/", 1)[-1].removesuffix(".gz")
    return last in COMPANIONS or last.endswith(COMPANION_SUFFIXES)


def read_blobs(source: Source) -> Iterator[Blob | Reject]:
    """The graphs of one file, or one reject for each that cannot be had; never raises for a bad file."""
    if is_companion(source.name):
        yield Reject(source.name, "companion_file", "written beside graphs, holds none", _size(source.path))
        return
    try:
        if source.name.endswith(".zip"):
            yield from _zip_members(source)
        elif source.name.endswith((".jsonl", ".jsonl.gz")):
            yield from _lines(source)
        else:
            with _opened(source) as stream:
                yield Blob(source.name, _bounded(stream))
    except GraphError as error:
        yield Reject(source.name, error.reason, str(error), _size(source.path))
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        # zipfile says NotImplementedError for an unknown compression, RuntimeError for a password.
        yield Reject(source.name, "unreadable", _one_line(error), _size(source.path))


def _opened(source: Source) -> BinaryIO:
    if source.name.endswith(".gz"):
        return cast(BinaryIO, gzip.open(source.path, "rb"))
    return source.path.open("rb")


def _bounded(stream: BinaryIO) -> bytes:
    data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise GraphError("too_large", f"more than {MAX_BYTES // 2**20} MiB unpacked; no graph is that large")
    return data


def _lines(source: Source) -> Iterator[Blob | Reject]:
    with _opened(source) as stream:
        number = 0
        while line := stream.readline(MAX_BYTES + 1):
            number += 1
            if len(line) > MAX_BYTES:
                raise GraphError("too_large", f"line {number} has more than {MAX_BYTES // 2**20} MiB")
            if line.strip():
                yield Blob(f"{source.name}#{number}", line)


def _zip_members(source: Source) -> Iterator[Blob | Reject]:
    with zipfile.ZipFile(source.path) as archive:
        for member in sorted(archive.infolist(), key=lambda info: info.filename):
            name = f"{source.name}!{member.filename}"
            if member.is_dir() or not member.filename.endswith((".json", ".json.gz", ".pt")):
                continue
            if is_companion(member.filename):
                yield Reject(name, "companion_file", "written beside graphs, holds none", member.file_size)
                continue
            try:
                with archive.open(member) as stream:
                    unpacked = gzip.GzipFile(fileobj=stream) if name.endswith(".gz") else stream
                    yield Blob(name, _bounded(cast(BinaryIO, unpacked)))
            except GraphError as error:
                yield Reject(name, error.reason, str(error), member.file_size)
            except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
                yield Reject(name, "unreadable", _one_line(error), member.file_size)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
