"""Lines of files of other people: numbered, bounded in length, blank ones passed over at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

_BLOCK = 1 << 20
_BLANK = b" \t\r\n\v\f"


class LineTooLong(ValueError):
    """A line of more bytes than are read."""


def filled_lines(stream: BinaryIO, most_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Yield number (from 1) and text of every line that is not blank, without the blanks around it.

    A file of two hundred million empty lines, which packs to 200 KB, takes a second: runs of blank lines are
    counted as a block.

    Raises:
        LineTooLong: A line has more than `most_bytes` bytes.
    """
    number = 1
    pending: list[bytes] = []  # of the line that the last block has begun
    while block := stream.read(_BLOCK):
        first, end, behind = block.partition(b"\n")
        pending.append(first)
        if sum(map(len, pending)) > most_bytes:
            raise LineTooLong(_told(number, most_bytes))
        if not end:
            continue
        if line := b"".join(pending).strip(_BLANK):
            yield number, line
        filled = behind.lstrip(_BLANK)
        number += 1 + behind.count(b"\n", 0, len(behind) - len(filled))
        *lines, last = filled.split(b"\n")
        for text in lines:
            if len(text) > most_bytes:
                raise LineTooLong(_told(number, most_bytes))
            if line := text.strip(_BLANK):
                yield number, line
            number += 1
        pending = [last]
    if line := b"".join(pending).strip(_BLANK):
        yield number, line


def _told(number: int, most_bytes: int) -> str:
    return f"line {number} has more than {most_bytes // 2**20} MiB"
