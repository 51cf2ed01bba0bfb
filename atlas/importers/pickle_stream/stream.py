"""Streaming reader of consecutive pickles of plain containers: batches of items, bounded memory, no code is run."""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from atlas.errors import InputError
from atlas.importers.pickle_stream import opcodes as op
from atlas.importers.pickle_stream.machine import run
from atlas.importers.values import Progress

CHUNK = 1 << 23  # bytes read at once
_ROWS = 1 << 16
# Maximum number of rows of each array of the machine; 1.5 GB in total.
_MOST = {"stack": 1 << 22, "arena": 1 << 24, "letters": 1 << 28, "memo": 1 << 25, "texts": 1 << 29, "ends": 1 << 23,
         "pairs": 1 << 23, "found": 1 << 23}  # fmt: skip
_MOST_NESTED = 64
_MOST_PICKLES = 6
_STREAMED = 512
_NAMES = {ord(code.code): code.name for code in pickletools.opcodes}


class PickleBatch(NamedTuple):
    """Items of one container, as rows (tag, a, b) of `opcodes`; valid until the next batch."""

    section: str | None  # key of the container in the one around it; None for the outermost
    is_set: bool
    owner: int  # row of the stack with the container; its key is one row below
    is_list: bool
    first: int  # first row of the stack with an item; in a dictionary keys and values alternate
    rows: int
    stack: NDArray[np.int64]
    arena: NDArray[np.int64]
    letters: NDArray[np.uint8]
    texts: NDArray[np.uint8]
    ends: NDArray[np.int64]

    def value(self, row: int) -> object:
        """Return the number, text or None in a row of the stack; `...` for a container."""
        tag, a, b = (int(number) for number in self.stack[row])
        if tag == op.INT:
            return a
        if tag == op.FLOAT:
            return float(np.int64(a).view(np.float64))
        if tag == op.EMPTY:
            return None
        return self.text(tag, a, b) if tag in (op.TEXT, op.KEPT) else ...

    def listed(self, row: int) -> Iterator[str | None]:
        """Yield the texts of a list on the stack; None for an item that is not a text."""
        tag, chunk, _ = (int(number) for number in self.stack[row])
        while tag == op.LIST and chunk >= 0:
            length, following, _ = (int(number) for number in self.arena[chunk])
            for place in range(chunk + 1, chunk + 1 + length):
                kind, a, b = (int(number) for number in self.arena[place])
                yield self.text(kind, a, b) if kind in (op.TEXT, op.KEPT) else None
            chunk = following

    def text(self, tag: int, a: int, b: int) -> str:
        """Return the text of a row."""
        letters = self.letters[a : a + b] if tag == op.TEXT else self.texts[self.ends[a] : self.ends[a + 1]]
        try:
            # Python pickles lone surrogates unchanged.
            return letters.tobytes().decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return letters.tobytes().decode("utf-8", "replace")


class Sink(Protocol):
    """Receiver of the items of a file."""

    def begin(self, part: int) -> None:
        """Begin pickle number `part`, counted from 0; if it begins again, discard its earlier items."""

    def take(self, part: int, items: PickleBatch) -> None:
        """Take a batch of items of a dictionary, a set or a long list; batches come in the order of the file."""

    def taken(self) -> str:
        """Describe the complete items so far, for an error message."""


def read_containers(path: Path, sink: Sink, progress: Progress = lambda *_: None) -> int:
    """Pass the items of all pickles of a file to `sink`; return the number of pickles.

    Raises `InputError` for an opcode that plain containers do not need (it is never run), for a frame of wrong
    length, and where the file ends before its pickles do.
    """
    size = path.stat().st_size
    part, offset = 0, 0
    with path.open("rb") as stream:
        while offset < size:
            if part == _MOST_PICKLES:
                raise InputError(f"{path} holds more than {_MOST_PICKLES} pickles; a checkpoint has five at most")
            report = _reporter(progress, size)
            sink.begin(part)
            end = _Part(path, stream, size, part, sink).read(offset, report)
            if end is None:
                # The memo is bounded, and the pickle refers to an entry that it dropped: find all such entries first.
                search = _Part(path, stream, size, part, None)
                search.read(offset, report)
                sink.begin(part)
                end = _Part(path, stream, size, part, sink, wanted=search.found).read(offset, report)
                assert end is not None
            offset, part = end, part + 1
    if not part:
        raise InputError(f"{path} is empty; it holds no pickle")
    return part


def _reporter(progress: Progress, size: int) -> Callable[[int], None]:
    return lambda offset: progress("reading the checkpoint", offset >> 20, max(size >> 20, 1))


def _table(rows: int) -> NDArray[np.int64]:
    return np.full((rows, 3), -1, np.int64)


class _Part:
    """Reader of one pickle."""

    def __init__(
        self,
        path: Path,
        stream: BinaryIO,
        size: int,
        part: int,
        sink: Sink | None,
        wanted: NDArray[np.int64] | None = None,
    ) -> None:
        self._path, self._stream, self._size, self._part, self._sink = path, stream, size, part, sink
        self.found = _table(1024)
        self._searched = wanted is not None
        self._state = np.zeros(op.STATE_SIZE, np.int64)
        self._state[op.STREAMED] = _STREAMED
        self._state[op.WANTED] = wanted is not None
        self._state[op.COLLECT] = sink is None
        self._wanted = wanted if wanted is not None else _table(1)
        self._stack = np.zeros((_ROWS, 3), np.int64)
        self._arena = np.zeros((_ROWS, 3), np.int64)
        self._letters = np.zeros(_ROWS, np.uint8)
        self._marks = np.zeros(_MOST_NESTED, np.int64)
        self._memo = _table(1024)
        self._texts = np.zeros(_ROWS, np.uint8)
        self._ends = np.zeros(_ROWS, np.int64)
        self._pairs = np.zeros((1024, 4), np.int64)
        self._data = np.zeros(CHUNK + 2 * op.MAX_TEXT, np.uint8)
        self._offset = 0  # of the first byte in `data`

    def read(self, offset: int, report: Callable[[int], None]) -> int | None:
        """Read the pickle at `offset`; return the offset of the next one, or None where the memo lacks an entry."""
        state = self._state
        self._stream.seek(offset)
        self._offset, held = offset, 0
        state[op.LEFT] = self._size - offset
        while True:
            why = self._run(held)
            if why == op.MORE:
                held = self._more(held)
                report(self._offset)
            elif why in (op.BATCH, op.CHUNK):
                if self._sink is not None:
                    self._sink.take(self._part, self._items(why))
            elif why == op.GROW:
                self._grow(int(state[op.OFFENDER]))
            elif why == op.STOP:
                return self._offset + int(state[op.POS])
            elif why == op.MISSING and not self._searched:
                return None
            else:
                raise self._refused(why)

    def _run(self, held: int) -> int:
        return int(
            run(
                self._data, held, self._state, self._stack, self._arena, self._letters, self._marks, self._memo,
                self._texts, self._ends, self._pairs, self._wanted, self.found,
            )
        )  # fmt: skip

    def _more(self, held: int) -> int:
        """Read more bytes; return the number of bytes in `data`."""
        state = self._state
        at = int(state[op.POS])
        rest = held - at
        self._data[:rest] = self._data[at:held]
        self._offset += at
        state[op.POS] = 0
        read = self._stream.readinto(self._data[rest : rest + CHUNK])  # type: ignore[attr-defined]
        state[op.LEFT] -= read
        if not read:
            raise self._cut()
        return int(rest + read)

    def _items(self, why: int) -> PickleBatch:
        state, stack = self._state, self._stack
        owner, first = int(state[op.OWNER]), int(state[op.FIRST])
        tag = int(stack[owner, 0])
        items = PickleBatch(
            None, tag == op.SET, owner, why == op.CHUNK, first, int(state[op.TOP]) - first, stack, self._arena,
            self._letters, self._texts, self._ends,
        )  # fmt: skip
        # A long list is a value: its section is that of the dictionary around it.
        holder = self._holder(owner) if tag == op.LIST else owner
        section = items.value(holder - 1) if holder > 0 else None
        return items._replace(section=section if isinstance(section, str) else None)

    def _holder(self, row: int) -> int:
        """Return the row of the dictionary that will hold the list at `row` as a value, or -1 where there is none."""
        if row >= 2 and self._stack[row - 2, 0] == op.DICT:
            return row - 2
        below = [int(mark) for mark in self._marks[: self._state[op.MARKS]] if mark < row]
        return below[-1] - 1 if below else -1

    def _grow(self, which: int) -> None:
        """Double the size of one array of the machine."""
        name = ("stack", "arena", "letters", "marks", "memo", "texts", "ends", "pairs", "found")[which]
        if which == op.MARKS_:
            raise self._error(f"containers are nested more than {_MOST_NESTED} deep")
        attribute = f"_{name}" if which != op.FOUND_ else name
        array = getattr(self, attribute)
        if 2 * len(array) > _MOST[name]:
            raise self._error("one value is larger than anything in a checkpoint")
        if which in (op.MEMO_, op.FOUND_):
            larger = _table(2 * len(array))
            op.move_rows(array, larger)
        else:
            larger = np.zeros((2 * len(array), *array.shape[1:]), array.dtype)
            larger[: len(array)] = array
        setattr(self, attribute, larger)

    def _cut(self) -> InputError:
        whole = self._sink.taken() if self._sink else ""
        return InputError(
            f"{self._path} ends in the middle of pickle {self._part + 1}, at byte {self._size:,}: {whole}"
        )

    def _error(self, what: str) -> InputError:
        at = self._offset + int(self._state[op.POS])
        return InputError(f"{self._path} is no checkpoint: at byte {at:,} (pickle {self._part + 1}) {what}")

    def _refused(self, why: int) -> InputError:
        code = int(self._data[self._state[op.POS]])
        name = _NAMES.get(code, f"0x{code:02x}")
        if why == op.BAD_OPCODE:
            return self._error(
                f"stands the opcode {name}, which plain dictionaries, lists and numbers do not need; it was not run"
            )
        words = {
            op.BAD_FRAME: "a frame is not as long as it says",
            op.BAD_NUMBER: f"{name} holds a number or text that is too long",
            op.MISSING: f"{name} refers back to what is no text and no pair; containers in a checkpoint are trees",
            op.BAD_STACK: f"{name} finds other things on the stack than it needs",
        }
        return self._error(words[why])
