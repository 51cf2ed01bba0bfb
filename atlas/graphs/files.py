"""Search of graph files in folders, globs and archives, and bounded reading of the bytes of one graph at a time."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from glob import has_magic
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn, cast

from atlas.errors import GraphError, InputError, NothingFound
from atlas.graph import Reject, Source
from atlas.graphs.limits import ReadLimits
from atlas.ids import well_formed
from atlas.io.lines import LineTooLong, filled_lines
from atlas.io.paths import local_path, matching

_PLAIN = (".json", ".json.gz", ".jsonl", ".jsonl.gz", ".pt")
SUFFIXES = (*_PLAIN, ".zip")
# Written beside the graphs by corpus generation. They are not graphs, and can be very large.
COMPANIONS = ("metadata.json", "neuron_index.json", "graph-metadata.json")
# Results of single-prompt analysis, which count as companions if they hold no graph.
COMPANION_SUFFIXES = ("-clusters.json", "-analysis.json")
_NOT_HAD = (
    OSError,
    EOFError,
    ValueError,
    IndexError,
    RuntimeError,  # zipfile: a password, or a compression that it does not know
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)


class Blob(NamedTuple):
    """The bytes of one graph; `path` names the member inside an archive or the line of a .jsonl."""

    path: str
    data: bytes


def find_sources(paths: Sequence[Path | str], suffixes: Sequence[str] = SUFFIXES) -> list[Source]:
    """Find all graph files under paths. Hidden folders, and folders that this package wrote, are skipped.

    Args:
        paths: Files, folders and globs.
        suffixes: Suffixes of the names of graph files.

    Returns:
        The files, sorted by name.

    Raises:
        InputError: A path does not exist, or a folder cannot be listed.
    """
    found = sorted(
        (well_formed(name), path) for given in paths for name, path in _expand(local_path(given), tuple(suffixes))
    )
    sources: dict[Path, str] = {}
    for name, path in found:
        sources.setdefault(path.resolve(), name)
    if not sources:
        raise NothingFound(f"no graph files under {', '.join(map(str, paths))}; looked for *{', *'.join(suffixes)}")
    counts = Counter(sources.values())
    # The full path is needed only if two folders of the same name hold files of the same name.
    named = [(name if counts[name] == 1 else well_formed(path.as_posix()), path) for path, name in sources.items()]
    return sorted(Source(name, path) for name, path in named)


def _expand(given: Path, suffixes: tuple[str, ...]) -> list[tuple[str, Path]]:
    try:
        if given.is_dir():
            root = given.resolve()
            return [(f"{root.name}/{path.relative_to(root).as_posix()}", path) for path in _walk(root, suffixes)]
        if given.is_file():
            return [(given.name, given)]
        if given.exists():
            raise InputError(f"{given} is a pipe or device, which cannot be read twice; write it to a file first")
    except (OSError, ValueError) as error:
        raise InputError(f"{str(given)[:200]} cannot be read: {error}") from error
    if has_magic(str(given)):
        found = [pair for match in matching(str(given)) for pair in _expand(match, suffixes)]
        if found:
            return found
        raise InputError(f"no file matches {given}")
    raise InputError(f"{given} does not exist; give graph files, folders or globs")


def _walk(root: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    def refuse(error: OSError) -> NoReturn:
        raise InputError(f"the folder {error.filename} cannot be listed: {error.strerror}")

    for folder, folders, names in os.walk(root, onerror=refuse):
        here = Path(folder)
        folders[:] = [name for name in folders if not name.startswith(".") and not _is_stage(here / name)]
        yield from (here / name for name in names if _is_named(name, suffixes) and (here / name).is_file())


def _is_named(name: str, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    return name.lower().endswith(suffixes) and not name.startswith(".")


def _is_stage(folder: Path) -> bool:
    """Return True if this package wrote the folder, because its outputs may be among the graphs."""
    manifest = folder / "manifest.json"
    try:
        if manifest.stat().st_size > 2**20:
            return False
        value = json.loads(manifest.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(value, dict) and {"stage", "tool_version"} <= value.keys()


def is_companion(name: str, *, holds_no_graph: bool = False) -> bool:
    """Return True for files that accompany graphs but are not graphs."""
    last = name.rsplit("/", 1)[-1].removesuffix(".gz")
    return last in COMPANIONS or (holds_no_graph and last.endswith(COMPANION_SUFFIXES))


def companion(name: str, size: int | None) -> Reject:
    """Return the reject of a file that accompanies graphs."""
    return Reject(name, "companion_file", "written beside graphs, holds none", size)


def read_blobs(source: Source, limits: ReadLimits) -> Iterator[Blob | Reject]:
    """Yield the graphs of one file, or a reject for each that cannot be read. A bad file never raises an error."""
    if is_companion(source.name):
        yield companion(source.name, _size(source.path))
        return
    try:
        with source.path.open("rb") as stream:
            if source.name.lower().endswith(".zip"):
                yield from _zip_members(source.name, stream, limits)
            else:
                yield from _plain(source.name, stream, limits)
    except GraphError as error:
        yield Reject(source.name, error.reason, str(error), _size(source.path))
    except _NOT_HAD as error:
        yield Reject(source.name, "unreadable", _one_line(error), _size(source.path))


def _plain(name: str, raw: BinaryIO, limits: ReadLimits) -> Iterator[Blob]:
    """Yield the graphs of one .json, .jsonl or .pt stream. Gzip is detected by its first bytes, not by the name."""
    packed = cast(io.BufferedReader, raw).peek(2)[:2] == b"\x1f\x8b"
    stream = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
    if ".jsonl" in name.lower()[-9:]:
        yield from _lines(name, stream, limits)
        return
    if packed:
        limits.require(_stated_size(raw))
    yield Blob(name, _bounded(stream, limits) if packed else _whole(raw, limits))


def _stated_size(raw: BinaryIO) -> int:
    """Return the unpacked size that the last four bytes of a gzip file state, or 0 if the stream cannot seek."""
    if not raw.seekable():
        return 0
    place = raw.tell()
    raw.seek(-4, os.SEEK_END)
    (size,) = struct.unpack("<I", raw.read(4))
    raw.seek(place)
    return int(size)


def _whole(raw: BinaryIO, limits: ReadLimits) -> bytes:
    """Read a file that is not packed, by its size, so that it needs no buffer of the largest size."""
    try:
        size = os.fstat(raw.fileno()).st_size
    except (AttributeError, OSError):
        size = 0  # a member of an archive
    # Read one byte more than the size, to detect a file that grows meanwhile, which is then read to its end.
    data = raw.read(min(size, limits.file_bytes) + 1) if size else b""
    return data if size and len(data) <= size else data + _bounded(raw, limits, len(data))


def _bounded(stream: BinaryIO, limits: ReadLimits, read: int = 0) -> bytes:
    """Read the rest of a stream after its first `read` bytes; raises `GraphError` if the stream is too large."""
    data = stream.read(max(limits.file_bytes - read, 0) + 1)
    limits.require(read + len(data))
    return data


def _lines(name: str, stream: BinaryIO, limits: ReadLimits) -> Iterator[Blob]:
    try:
        for number, line in filled_lines(stream, limits.file_bytes):
            # Without its line end, so that the same graph has the same hash on any line.
            yield Blob(f"{name}#{number}", line)
    except LineTooLong as error:
        raise GraphError("too_large", str(error)) from error


def _zip_members(name: str, stream: BinaryIO, limits: ReadLimits) -> Iterator[Blob | Reject]:
    with zipfile.ZipFile(stream) as archive:
        members = [member for member in archive.infolist() if not member.is_dir() and _is_named(member.filename)]
        last = {member.filename: member for member in members}
        for member in sorted(members, key=lambda info: (info.filename, info.header_offset)):
            path = well_formed(f"{name}!{member.filename}")
            if last[member.filename] is not member:
                yield Reject(
                    path, "duplicate_member", "the archive holds a later member of this name", member.file_size
                )
            elif is_companion(member.filename):
                yield companion(path, member.file_size)
            elif not member.filename.lower().endswith(_PLAIN):
                yield Reject(path, "nested_archive", "an archive inside an archive is not read", member.file_size)
            else:
                yield from _zip_member(archive, member, path, limits)


def _zip_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: str, limits: ReadLimits
) -> Iterator[Blob | Reject]:
    try:
        if ".jsonl" not in member.filename.lower()[-9:]:
            limits.require(member.file_size)
        with archive.open(member) as unpacked:
            yield from _plain(path, cast(BinaryIO, unpacked), limits)
    except GraphError as error:
        yield Reject(path, error.reason, str(error), member.file_size)
    except _NOT_HAD as error:
        yield Reject(path, "unreadable", _one_line(error), member.file_size)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _one_line(error: BaseException) -> str:
    return well_formed(" ".join(str(error).split()))[:300] or type(error).__name__
