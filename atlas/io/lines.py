"""Reader of the numbered lines of untrusted files, with a bound on their length and fast skipping of blank lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

_BLOCK = 1 << 20
_BLANK = b" \t\r\n\v\f"


class LineTooLong(ValueError):
    """A line with more bytes than the limit."""


def filled_lines(stream: BinaryIO, most_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Yield number (from 1) and text, without surrounding blanks, of every line that is not blank.

    Runs of blank lines are counted as a block, so that a file of two hundred million empty lines, which packs to
    200 KB, takes a second.

    Raises:
        LineTooLong: A line has more than `most_bytes` bytes.
    """
    number = 1
    pending: list[bytes] = []  # pieces of the line that began in an earlier block
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
