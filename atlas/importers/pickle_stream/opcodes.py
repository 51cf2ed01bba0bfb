"""Opcodes of plain containers in a pickle, run by compiled code. Nothing in the file is ever called or imported.

The machine is a stack machine, as `pickletools` describes it. It holds no dictionaries and no sets: their items are
handed out batch by batch and discarded, so memory does not grow with the file. The memo keeps texts up to a bound and
only counts all other entries. Where a pickle refers to another entry (a pair of text and number may be shared), a first
pass over the file collects the numbers of such entries, and a second pass keeps them.
"""

from __future__ import annotations

import numpy as np

from atlas.runtime.jit import I8, U1, ByteArray, Int, IntArray, compiled_kernel, inlined, out, out_2d

# Tags of the rows (tag, a, b) of the stack.
EMPTY, INT, FLOAT, TEXT, KEPT, TUPLE, LIST, DICT, SET, MARK, UNKNOWN = range(11)
# a, b by tag: nothing | value | bits of a double | start and length in `letters` | number of a kept text | start and
# length in the arena | first and last chunk in the arena, -1 for none | arena and letters in use before it (DICT, SET,
# MARK) | number in the memo. A chunk is a row (length, next chunk), followed by its items.

# Reasons to stop.
MORE, BATCH, CHUNK, STOP, GROW, MISSING, BAD_OPCODE, BAD_STACK, BAD_FRAME, BAD_NUMBER = range(10)

# Indices into `state`. STREAMED: so many or more items of a list at once are handed out; lists may be very long.
(POS, TOP, ARENA, LETTERS, MEMO, FRAME, PENDING, OWNER, FIRST, OFFENDER, TEXTS, TEXT_BYTES, SHORT, PAIRS, FILLED,
 WANTED, COLLECT, FOUND, MARKS, LEFT, STREAMED, STATE_SIZE) = range(22)  # fmt: skip

# Arrays that `GROW` may ask for.
STACK_, ARENA_, LETTERS_, MARKS_, MEMO_, TEXTS_, ENDS_, PAIRS_, FOUND_ = range(9)

MAX_TEXT = 1 << 20  # bytes
MAX_KEPT = 1 << 22  # texts that the memo keeps by default
MAX_KEPT_BYTES = 1 << 28
_LAYER_TEXT, _LAYER_TEXTS = 4, 1 << 16  # spellings of layers are always kept

# Number of bytes after an opcode; -1 for an opcode that is refused.
WIDTHS = np.full(256, -1, np.int64)
WIDTHS[np.frombuffer(b"N\x88\x89()]}ats\x85\x86\x87eu\x8f\x90\x94.", np.uint8)] = 0
WIDTHS[np.frombuffer(b"K\x80hq\x8a\x8c", np.uint8)] = 1
WIDTHS[ord("M")] = 2
WIDTHS[np.frombuffer(b"JXjr", np.uint8)] = 4
WIDTHS[np.frombuffer(b"G\x95\x8d", np.uint8)] = 8


@inlined
def slot_of(table: IntArray, key: Int) -> Int:
    """Return the row of `key` in an open-addressing table by its first column, or the free row (-1) for it."""
    mask = len(table) - 1
    mixed = key * -7046029254386353131
    at = (mixed ^ mixed >> 32) & mask
    while table[at, 0] != -1 and table[at, 0] != key:
        at = (at + 1) & mask
    return int(at)


@compiled_kernel(I8, out_2d(I8), out_2d(I8))
def move_rows(table: IntArray, larger: IntArray) -> Int:
    """Copy every row of an open-addressing table to a larger one."""
    for i in range(len(table)):
        if table[i, 0] != -1:
            slot = slot_of(larger, table[i, 0])
            for j in range(3):
                larger[slot, j] = table[i, j]
    return 0


@inlined
def unsigned(data: ByteArray, at: Int, size: Int) -> Int:
    value = np.int64(0)
    for i in range(size):
        value |= np.int64(data[at + i]) << (8 * i)
    return int(value)


@inlined
def signed(data: ByteArray, at: Int, size: Int) -> Int:
    value = np.int64(unsigned(data, at, size))
    if 0 < size < 8 and data[at + size - 1] & 0x80:
        value -= np.int64(1) << (8 * size)
    return int(value)


@inlined
def push(state: IntArray, stack: IntArray, tag: Int, a: Int, b: Int) -> Int:
    top = state[TOP]
    stack[top, 0], stack[top, 1], stack[top, 2] = tag, a, b
    state[TOP] = top + 1
    return 0


@inlined
def to_arena(state: IntArray, stack: IntArray, arena: IntArray, first: Int, count: Int) -> Int:
    """Move the top `count` rows of the stack to the arena; return their first row there."""
    start = state[ARENA]
    for i in range(count):
        for j in range(3):
            arena[start + i, j] = stack[first + i, j]
    state[ARENA] = start + count
    state[TOP] = first
    return int(start)


@inlined
def extend(state: IntArray, stack: IntArray, arena: IntArray, owner: Int, first: Int) -> Int:
    """Add the rows from `first` on as a chunk to the list at `owner`."""
    count = state[TOP] - first
    head = state[ARENA]
    arena[head, 0], arena[head, 1], arena[head, 2] = count, -1, 0
    state[ARENA] = head + 1
    to_arena(state, stack, arena, first, count)
    if stack[owner, 1] < 0:
        stack[owner, 1] = head
    else:
        arena[stack[owner, 2], 1] = head
    stack[owner, 2] = head
    return 0


@inlined
def _wanted(state: IntArray, wanted: IntArray, number: Int, allowed: Int) -> Int:
    """Return 1 where the memo keeps the entry of this number, else 0."""
    if allowed:
        return 1
    if not state[WANTED]:
        return 0
    return int(wanted[slot_of(wanted, number), 0] == number)


@inlined
def _remember(state: IntArray, memo: IntArray, number: Int, tag: Int, a: Int) -> Int:
    slot = slot_of(memo, number)
    state[FILLED] += np.int64(memo[slot, 0] == -1)
    memo[slot, 0], memo[slot, 1], memo[slot, 2] = number, tag, a
    return 0


@compiled_kernel(I8, out(I8), out_2d(I8), out_2d(I8), out(U1), out_2d(I8), out(U1), out(I8), out_2d(I8), out_2d(I8), I8)
def memoize(
    state: IntArray,
    stack: IntArray,
    arena: IntArray,
    letters: ByteArray,
    memo: IntArray,
    texts: ByteArray,
    ends: IntArray,
    pairs: IntArray,
    wanted: IntArray,
    number: Int,
) -> Int:
    """Keep the top of the stack under a number, where it is a text or a pair with a text and the bounds allow it.

    Returns -1, or the array that must grow first.
    """
    top = state[TOP] - 1
    tag, a, b = stack[top, 0], stack[top, 1], stack[top, 2]
    if 2 * state[FILLED] + 2 > len(memo):
        return MEMO_
    if tag == TEXT:
        is_layer = b <= _LAYER_TEXT and state[SHORT] < _LAYER_TEXTS
        room = state[TEXTS] < MAX_KEPT and state[TEXT_BYTES] + b <= MAX_KEPT_BYTES
        if not _wanted(state, wanted, number, np.int64(is_layer or room)):
            return -1
        if state[TEXTS] + 2 > len(ends):
            return ENDS_
        if state[TEXT_BYTES] + b > len(texts):
            return TEXTS_
        start = state[TEXT_BYTES]
        for i in range(b):
            texts[start + i] = letters[a + i]
        state[TEXT_BYTES] = start + b
        state[SHORT] += np.int64(is_layer)
        kept = state[TEXTS]
        state[TEXTS] = kept + 1
        ends[kept + 1] = start + b
        stack[top, 0], stack[top, 1], stack[top, 2] = KEPT, kept, 0
        _remember(state, memo, number, KEPT, kept)
    elif tag == TUPLE and b == 2:
        left, right = arena[a, 0], arena[a + 1, 0]
        plain = (left == KEPT or left == INT) and (right == KEPT or right == INT) and left + right != INT + INT
        if not plain or not _wanted(state, wanted, number, 0):
            return -1
        if state[PAIRS] + 1 > len(pairs):
            return PAIRS_
        for i in range(2):
            pairs[state[PAIRS], 2 * i], pairs[state[PAIRS], 2 * i + 1] = arena[a + i, 0], arena[a + i, 1]
        _remember(state, memo, number, TUPLE, state[PAIRS])
        state[PAIRS] += 1
    return -1


@inlined
def recall(
    state: IntArray, stack: IntArray, arena: IntArray, memo: IntArray, pairs: IntArray, found: IntArray, number: Int
) -> Int:
    """Push the entry of the memo under a number; return 1 where there is none, else 0."""
    slot = slot_of(memo, number)
    if memo[slot, 0] == number:
        kept = memo[slot, 2]
        if memo[slot, 1] == KEPT:
            push(state, stack, KEPT, kept, 0)
            return 0
        start = state[ARENA]
        for i in range(2):
            arena[start + i, 0], arena[start + i, 1], arena[start + i, 2] = (
                pairs[kept, 2 * i],
                pairs[kept, 2 * i + 1],
                0,
            )
        state[ARENA] = start + 2
        push(state, stack, TUPLE, start, 2)
        return 0
    if not state[COLLECT]:
        return 1
    place = slot_of(found, number)
    state[FOUND] += np.int64(found[place, 0] == -1)
    found[place, 0] = number
    push(state, stack, UNKNOWN, number, 0)
    return 0


@inlined
def clean(state: IntArray, stack: IntArray) -> Int:
    """Discard the items that were handed out, with the parts of `arena` and `letters` that they used."""
    owner, first = state[OWNER], state[FIRST]
    since = first - 1 if stack[first - 1, 0] == MARK else owner
    state[MARKS] -= np.int64(stack[first - 1, 0] == MARK)
    state[ARENA], state[LETTERS] = stack[since, 1], stack[since, 2]
    state[TOP] = owner + 1
    state[PENDING] = 0
    return 0


@inlined
def hand_out(state: IntArray, why: Int, owner: Int, first: Int) -> Int:
    state[OWNER], state[FIRST], state[PENDING] = owner, first, 1
    return why


@inlined
def room(
    state: IntArray,
    op: Int,
    length: Int,
    stack: IntArray,
    arena: IntArray,
    letters: ByteArray,
    marks: IntArray,
    found: IntArray,
    innermost: Int,
) -> Int:
    """Return -1 where every array has room for this opcode, else the array that must grow."""
    if state[TOP] + 2 > len(stack):
        return STACK_
    if state[MARKS] + 1 > len(marks):
        return MARKS_
    if state[LETTERS] + length > len(letters):
        return LETTERS_
    if 2 * state[FOUND] + 2 > len(found):
        return FOUND_
    many = op == 0x74 or op == 0x65  # TUPLE, APPENDS
    if state[ARENA] + 4 + (state[TOP] - innermost if many else 0) > len(arena):
        return ARENA_
    return -1
