"""Streaming reader of one huge JSON object or array. It holds one member at a time in memory, not the whole file."""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from atlas.errors import InputError
from atlas.io.files import opened

CHUNK = 1 << 20  # bytes read at once
MAX_MEMBER = 1 << 26  # characters; a member is held whole
_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
# Longest token that the end of a block may cut: a literal such as -Infinity, an escape such as \ud83d\ude00.
_LONGEST_SIGN = 12
_FOREIGN_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CLOSING = {"{": "}", "[": "]"}


class Member(NamedTuple):
    """One member; `container` is the key of the object or array that holds it, None at the top level."""

    container: str | None
    key: str | None  # None in an array
    value: Any


def members(path: Path, into: Collection[str] = ()) -> Iterator[Member]:
    """Yield the members of the object or array in a .json or .json.gz file.

    Instead of the members named in `into`, their own members are yielded one by one. Python's own NaN and Infinity are
    accepted. Raises `InputError` if the file is not JSON of that form, is cut off (after the members before the cut),
    or holds a member of more than 64 million characters.
    """
    try:
        with opened(path) as stream:
            yield from _Reader(path, stream).members(into)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error


class _Reader:
    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path = path
        self._stream = stream
        self._letters = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._ended = False
        self._given = 0

    def members(self, into: Collection[str]) -> Iterator[Member]:
        """Yield the members of the top level, and of the named members."""
        head = self._stream.read(2)
        if head in _FOREIGN_MARKS:
            raise InputError(f"{self._path} is UTF-16; write it as UTF-8")
        self._text = self._decoded(head)
        if self._sign() not in _CLOSING:
            raise InputError(f"{self._path} holds no JSON object or array")
        yield from self._inside(None, into)
        if self._sign():
            raise InputError(f"{self._path} goes on behind its end, after {self._given:,} members")

    def _inside(self, container: str | None, into: Collection[str]) -> Iterator[Member]:
        """Yield the members of the object or array at the current position."""
        opening = self._sign()
        self._at += 1
        while self._sign() != _CLOSING[opening]:
            key = self._key() if opening == "{" else None
            if key in into and self._sign() in _CLOSING:
                yield from self._inside(key, ())
            else:
                value = self._value()
                self._given += 1
                yield Member(container, key, value)
            if self._sign() == ",":
                self._at += 1
                if self._sign() == _CLOSING[opening]:
                    raise self._no_json("a comma before a closing bracket")
            elif self._sign() != _CLOSING[opening]:
                raise (
                    self._no_json(f"{self._sign()!r} where a comma or {_CLOSING[opening]} should be")
                    if self._sign()
                    else self._cut()
                )
        self._at += 1

    def _key(self) -> str:
        if self._sign() != '"':
            raise self._no_json(f"{self._sign()!r} where a key should be") if self._sign() else self._cut()
        key: str = self._value()
        if self._sign() != ":":
            raise self._no_json(f"{self._sign()!r} where a colon should be") if self._sign() else self._cut()
        self._at += 1
        return key

    def _sign(self) -> str:
        """Skip blanks, and return the next character, or an empty text at the end of the file."""
        while True:
            found = _BLANK.match(self._text, self._at)
            assert found is not None  # the pattern also matches an empty text
            self._at = found.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _value(self) -> Any:
        """Return the value at the current position, reading more of the file until the value is complete."""
        self._sign()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except RecursionError as error:
                raise self._no_json("it is nested too deep") from error
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - _LONGEST_SIGN
                if not cut:
                    raise self._no_json(error.msg) from error
                if not self._more():
                    raise self._cut() from error
                continue
            except ValueError as error:
                # Python refuses a number of more than 4,300 digits.
                raise self._no_json(str(error).split(";")[0]) from error
            # A number may continue in the unread text, such as 1.5e+3 after 1, and a closing bracket must follow.
            margin = 3 if isinstance(value, int | float) else 1
            if end + margin <= len(self._text):
                self._at = end
                return value
            length = end - self._at
            if not self._more():
                if self._at + length == len(self._text):
                    raise self._cut()
                self._at += length
                return value

    def _more(self) -> bool:
        """Read another block, and discard processed text; return False at the end of the file."""
        if self._ended:
            return False
        held = len(self._text) - self._at
        if held > MAX_MEMBER:
            raise InputError(f"{self._path} has a member of more than {MAX_MEMBER // 2**20} Mi characters")
        # Double the block each time, so that a long member is not parsed again for every block.
        block = self._stream.read(max(CHUNK, held))
        self._ended = not block
        self._text = self._text[self._at :] + self._decoded(block)
        self._at = 0
        return not self._ended

    def _decoded(self, block: bytes) -> str:
        try:
            return self._letters.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise self._no_json(f"it is not UTF-8: {error.reason}") from error

    def _no_json(self, why: str) -> InputError:
        return InputError(f"{self._path} is no JSON after {self._given:,} members: {why}")

    def _cut(self) -> InputError:
        return InputError(f"{self._path} ends in the middle; {self._given:,} members are whole")
