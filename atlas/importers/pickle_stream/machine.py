"""Pickle virtual machine: runs the opcodes in `opcodes` until there is a reason to stop."""

from __future__ import annotations

import numpy as np

from atlas.importers.pickle_stream.opcodes import (
    ARENA,
    BAD_FRAME,
    BAD_NUMBER,
    BAD_OPCODE,
    BAD_STACK,
    BATCH,
    CHUNK,
    DICT,
    EMPTY,
    FLOAT,
    FRAME,
    GROW,
    INT,
    LEFT,
    LETTERS,
    LIST,
    MARK,
    MARKS,
    MAX_TEXT,
    MEMO,
    MISSING,
    MORE,
    OFFENDER,
    PENDING,
    POS,
    SET,
    STOP,
    STREAMED,
    TEXT,
    TOP,
    TUPLE,
    WANTED,
    WIDTHS,
    clean,
    extend,
    hand_out,
    memoize,
    push,
    recall,
    room,
    signed,
    to_arena,
    unsigned,
)
from atlas.runtime.jit import I8, U1, ByteArray, Int, IntArray, compiled_kernel, inlined, out, out_2d


@inlined
def _text_length(data: ByteArray, op: Int, at: Int) -> Int:
    """Return the number of bytes after the fixed part of an opcode: of a text, or of a long number."""
    if op == 0x8C or op == 0x8A:  # SHORT_BINUNICODE, LONG1
        return np.int64(data[at + 1])
    if op == 0x58:  # BINUNICODE
        return unsigned(data, at + 1, 4)
    if op == 0x8D:  # BINUNICODE8
        return unsigned(data, at + 1, 8)
    return 0


@inlined
def _scalar(
    data: ByteArray, op: Int, at: Int, length: Int, state: IntArray, stack: IntArray, letters: ByteArray
) -> Int:
    """Push a scalar; return 0, 1 for another opcode, or 2 where the number is too long."""
    if op == 0x47:  # BINFLOAT, big-endian
        bits = np.int64(0)
        for i in range(8):
            bits = bits << 8 | np.int64(data[at + 1 + i])
        push(state, stack, FLOAT, bits, 0)
    elif op == 0x4B:  # BININT1
        push(state, stack, INT, data[at + 1], 0)
    elif op == 0x4D:  # BININT2
        push(state, stack, INT, unsigned(data, at + 1, 2), 0)
    elif op == 0x4A:  # BININT
        push(state, stack, INT, signed(data, at + 1, 4), 0)
    elif op == 0x8C or op == 0x58 or op == 0x8D:
        start, begin = state[LETTERS], at + 1 + WIDTHS[op]
        for i in range(length):
            letters[start + i] = data[begin + i]
        state[LETTERS] = start + length
        push(state, stack, TEXT, start, length)
    elif op == 0x8A:  # LONG1
        if length > 8:
            return 2
        push(state, stack, INT, signed(data, at + 2, length), 0)
    elif op == 0x4E:  # NONE
        push(state, stack, EMPTY, 0, 0)
    elif op == 0x88 or op == 0x89:  # NEWTRUE, NEWFALSE
        push(state, stack, INT, np.int64(op == 0x88), 0)
    else:
        return 1
    return 0


@inlined
def _open_or_pack(op: Int, inner: Int, state: IntArray, stack: IntArray, arena: IntArray) -> Int:
    """Open an empty container or pack a tuple; return 0, 1 for another opcode, or 2 where the stack does not fit."""
    if op == 0x29:  # EMPTY_TUPLE
        push(state, stack, TUPLE, state[ARENA], 0)
    elif op == 0x5D:  # EMPTY_LIST
        push(state, stack, LIST, -1, -1)
    elif op == 0x7D:  # EMPTY_DICT
        push(state, stack, DICT, state[ARENA], state[LETTERS])
    elif op == 0x8F:  # EMPTY_SET
        push(state, stack, SET, state[ARENA], state[LETTERS])
    elif 0x85 <= op <= 0x87 or op == 0x74:  # TUPLE1 to TUPLE3, TUPLE
        count = op - 0x84 if op != 0x74 else state[TOP] - inner - 1
        if (op == 0x74 and inner < 0) or (op != 0x74 and state[TOP] - count <= inner):
            return 2
        start = to_arena(state, stack, arena, state[TOP] - count, count)
        if op == 0x74:
            state[TOP] = inner
            state[MARKS] -= 1
        push(state, stack, TUPLE, start, count)
    else:
        return 1
    return 0


@inlined
def _close(op: Int, inner: Int, outer: Int, state: IntArray, stack: IntArray, arena: IntArray) -> Int:
    """Put items into their container or hand them out.

    Returns -1 for another opcode, 0 to continue, else the reason to stop.
    """
    top = state[TOP]
    marked = inner - 1 > outer  # the container is below the innermost mark
    if op == 0x65:  # APPENDS
        if not marked or stack[inner - 1, 0] != LIST:
            return BAD_STACK
        if top - inner - 1 >= state[STREAMED]:
            return hand_out(state, CHUNK, inner - 1, inner + 1)
        extend(state, stack, arena, inner - 1, inner + 1)
        state[TOP] = inner
        state[MARKS] -= 1
    elif op == 0x61:  # APPEND
        if top - 2 <= inner or stack[top - 2, 0] != LIST:
            return BAD_STACK
        extend(state, stack, arena, top - 2, top - 1)
    elif op == 0x75:  # SETITEMS
        if not marked or stack[inner - 1, 0] != DICT or (top - inner - 1) % 2:
            return BAD_STACK
        return hand_out(state, BATCH, inner - 1, inner + 1)
    elif op == 0x73:  # SETITEM
        if top - 3 <= inner or stack[top - 3, 0] != DICT:
            return BAD_STACK
        return hand_out(state, BATCH, top - 3, top - 2)
    elif op == 0x90:  # ADDITEMS
        if not marked or stack[inner - 1, 0] != SET:
            return BAD_STACK
        return hand_out(state, BATCH, inner - 1, inner + 1)
    else:
        return -1
    return 0


@inlined
def _memo(
    data: ByteArray, op: Int, at: Int, width: Int, inner: Int, state: IntArray, stack: IntArray, arena: IntArray, letters: ByteArray, memo: IntArray,
    texts: ByteArray, ends: IntArray, pairs: IntArray, wanted: IntArray, found: IntArray,
) -> Int:  # fmt: skip
    """Write to the memo or read from it; return -1 for another opcode, 0 to continue, else the reason to stop."""
    if op == 0x94 or op == 0x71 or op == 0x72:  # MEMOIZE, BINPUT, LONG_BINPUT
        if state[TOP] - 1 <= inner:
            return BAD_STACK
        number = state[MEMO] if op == 0x94 else unsigned(data, at + 1, width)
        if stack[state[TOP] - 1, 0] == TEXT or state[WANTED]:
            full = memoize(state, stack, arena, letters, memo, texts, ends, pairs, wanted, number)
            if full >= 0:
                state[OFFENDER] = full
                return GROW
        state[MEMO] += 1
    elif op == 0x68 or op == 0x6A:  # BINGET, LONG_BINGET
        number = unsigned(data, at + 1, width)
        if number >= state[MEMO]:
            return BAD_STACK
        if recall(state, stack, arena, memo, pairs, found, number):
            return MISSING
    else:
        return -1
    return 0


@inlined
def _control(
    data: ByteArray, op: Int, at: Int, size: Int, total: Int, state: IntArray, stack: IntArray, marks: IntArray
) -> Int:
    """Handle marks, frames, version and end; return -1 for another opcode, 0 to continue, else the reason to stop."""
    if op == 0x28:  # MARK
        marks[state[MARKS]] = state[TOP]
        state[MARKS] += 1
        push(state, stack, MARK, state[ARENA], state[LETTERS])
    elif op == 0x95:  # FRAME
        frame = unsigned(data, at + 1, 8)
        if state[FRAME] > 0 or not 0 <= frame <= state[LEFT] + size - at - total:
            return BAD_FRAME
        state[FRAME] = frame + total
    elif op == 0x80:  # PROTO
        if data[at + 1] > 5:
            return BAD_NUMBER
    elif op == 0x2E:  # STOP
        if state[TOP] != 1 or state[MARKS] or state[FRAME] > total:
            return BAD_STACK
        return STOP
    else:
        return -1
    return 0


@inlined
def _build(
    data: ByteArray,
    op: Int,
    at: Int,
    length: Int,
    inner: Int,
    state: IntArray,
    stack: IntArray,
    arena: IntArray,
    letters: ByteArray,
    marks: IntArray,
) -> Int:
    """Run an opcode that makes values; return 0 to continue, else the reason to stop."""
    done = _scalar(data, op, at, length, state, stack, letters)
    if done == 1:
        done = _open_or_pack(op, inner, state, stack, arena)
    if done == 2:
        return BAD_NUMBER if op == 0x8A else BAD_STACK
    if done == 0:
        return 0
    outer = marks[state[MARKS] - 2] if state[MARKS] > 1 else np.int64(-1)
    return _close(op, inner, outer, state, stack, arena)


@compiled_kernel(
    I8, out(U1), I8, out(I8), out_2d(I8), out_2d(I8), out(U1), out(I8), out_2d(I8), out(U1), out(I8), out_2d(I8),
    out_2d(I8), out_2d(I8), allocates=False,
)  # fmt: skip
def run(
    data: ByteArray, size: Int, state: IntArray, stack: IntArray, arena: IntArray, letters: ByteArray, marks: IntArray, memo: IntArray, texts: ByteArray, ends: IntArray,
    pairs: IntArray, wanted: IntArray, found: IntArray,
) -> Int:  # fmt: skip
    """Run the opcodes in the first `size` bytes of `data`; return the reason to stop. A further call continues."""
    if state[PENDING]:
        clean(state, stack)
    while True:
        at = state[POS]
        if at >= size:
            return MORE
        op = np.int64(data[at])
        width = WIDTHS[op]
        if width < 0:
            return BAD_OPCODE
        if at + 1 + width > size:
            return MORE
        length = _text_length(data, op, at)
        if not 0 <= length <= MAX_TEXT:
            return BAD_NUMBER
        total = 1 + width + length
        if at + total > size:
            return MORE
        inner = marks[state[MARKS] - 1] if state[MARKS] else np.int64(-1)
        full = room(state, op, length, stack, arena, letters, marks, found, inner)
        if full >= 0:
            state[OFFENDER] = full
            return GROW
        why = _memo(data, op, at, width, inner, state, stack, arena, letters, memo, texts, ends, pairs, wanted, found)
        if why < 0:
            why = _control(data, op, at, size, total, state, stack, marks)
        if why < 0:
            why = _build(data, op, at, length, inner, state, stack, arena, letters, marks)
        if why >= GROW:
            return why
        if state[FRAME] > 0:
            state[FRAME] -= total
            if state[FRAME] < 0:
                return BAD_FRAME
        state[POS] = at + total
        if why:
            return why
