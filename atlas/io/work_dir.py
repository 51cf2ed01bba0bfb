"""Work folder of an aggregation: a local folder, or any fsspec URL that all workers can reach.

Files are written atomically, so that the presence of a file marks its work as done. Two workers may write the same
file, if one of them was believed dead; both write the same bytes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from atlas.errors import needs_extra
from atlas.io.files import rename, sync, translated_os_errors

Buffer = Any  # bytes, memoryview or a contiguous array


def open_store(url: str | Path) -> LocalStore | RemoteStore:
    """Return the store at a folder or URL; raises `MissingExtra` for a URL without fsspec."""
    text = str(url)
    if "://" in text:
        return RemoteStore(text)
    return LocalStore(Path(text))


class LocalStore:
    """Files below a local (or shared) folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = str(folder)

    def put(self, name: str, buffers: Iterable[Buffer], *, lasting: bool = True) -> None:
        """Write one file; with `lasting`, its bytes are on disk before its name appears."""

        def write(path: Path) -> None:
            with path.open("wb", buffering=0) as stream:
                for buffer in buffers:
                    view = memoryview(buffer).cast("B")
                    while len(view):
                        view = view[stream.write(view) :]
                if lasting:
                    os.fsync(stream.fileno())

        self.put_with(name, write, lasting=lasting)

    def put_with(self, name: str, write: Callable[[Path], None], *, lasting: bool = False) -> None:
        """Let `write` make a file under another name, then rename it; with `lasting`, the new name is on disk."""
        target = self.folder / name
        fresh = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        with translated_os_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                write(fresh)
                if lasting:
                    rename(fresh, target)
                else:
                    fresh.replace(target)
            finally:
                fresh.unlink(missing_ok=True)

    @contextlib.contextmanager
    def reader(self, name: str) -> Iterator[Callable[[int, memoryview], None]]:
        """Yield a function that fills a buffer from an offset of the file."""
        descriptor = os.open(self.folder / name, os.O_RDONLY)

        def read(offset: int, view: memoryview) -> None:
            while len(view):
                got = os.preadv(descriptor, [view], offset)
                if not got:
                    raise EOFError(f"{self.folder / name} is shorter than it was")
                offset, view = offset + got, view[got:]

        try:
            yield read
        finally:
            os.close(descriptor)

    def size(self, name: str) -> int:
        """Return the size of a file in bytes."""
        return (self.folder / name).stat().st_size

    def local(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """Return a context manager with the local path of the file."""
        return contextlib.nullcontext(self.folder / name)

    def names(self) -> set[str]:
        """Return the names of all finished files."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix() for path in found if not path.name.startswith(".")}

    def fetch(self, name: str, target: Path) -> None:
        """Move one file out of the store."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            (self.folder / name).replace(target)
        except OSError:
            shutil.copyfile(self.folder / name, target)

    def sync(self, name: str) -> None:
        """Wait until a file and its name are on disk."""
        with contextlib.suppress(FileNotFoundError):
            sync(self.folder / name)
            sync((self.folder / name).parent)

    def delete(self, name: str) -> None:
        """Remove one file."""
        (self.folder / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the store with all its files."""
        shutil.rmtree(self.folder, ignore_errors=True)


class RemoteStore:
    """Files below an fsspec URL, such as s3://bucket/folder. A file appears when it is closed."""

    def __init__(self, url: str) -> None:
        with needs_extra("distributed"):
            import fsspec

        self.url = url
        self._files, self._root = fsspec.core.url_to_fs(url)

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def put(self, name: str, buffers: Iterable[Buffer], *, lasting: bool = True) -> None:  # noqa: ARG002 (what is closed is kept)
        """Write one file."""
        path = self._path(name)
        with translated_os_errors(Path(self.url) / name):
            self._files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            with self._files.transaction, self._files.open(path, "wb") as stream:
                for buffer in buffers:
                    stream.write(memoryview(buffer).cast("B"))

    def put_with(self, name: str, write: Callable[[Path], None]) -> None:
        """Let `write` make a local file, then upload it."""
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            write(path)
            with path.open("rb") as stream:
                self.put(name, iter(lambda: stream.read(1 << 22), b""))

    @contextlib.contextmanager
    def reader(self, name: str) -> Iterator[Callable[[int, memoryview], None]]:
        """Yield a function that fills a buffer from an offset of the file."""

        def read(offset: int, view: memoryview) -> None:
            if len(view):
                view[:] = self._files.cat_file(self._path(name), start=offset, end=offset + len(view))

        yield read

    def size(self, name: str) -> int:
        """Return the size of a file in bytes."""
        return int(self._files.size(self._path(name)))

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """Yield the path of a local copy of the file, which is removed after the block."""
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            self._files.get_file(self._path(name), str(path))
            yield path

    def names(self) -> set[str]:
        """Return the names of all finished files."""
        self._files.invalidate_cache()
        if not self._files.exists(self._root):
            return set()
        found = self._files.find(self._root)
        start = len(self._root.rstrip("/")) + 1
        return {path[start:] for path in found if not path.rsplit("/", 1)[-1].startswith(".")}

    def fetch(self, name: str, target: Path) -> None:
        """Download one file."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._files.get_file(self._path(name), str(target))

    def sync(self, name: str) -> None:
        """Do nothing, because closed files are kept."""

    def delete(self, name: str) -> None:
        """Remove one file."""
        self._files.rm_file(self._path(name))

    def remove(self) -> None:
        """Remove the store with all its files."""
        if self._files.exists(self._root):
            self._files.rm(self._root, recursive=True)


Store = LocalStore | RemoteStore
