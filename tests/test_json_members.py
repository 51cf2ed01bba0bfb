"""Members of huge JSON files: the same as the whole file parsed, whatever the blocks it is read in."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.errors import InputError
from atlas.io import json_stream as json_members
from atlas.io.json_stream import members

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def plain(found: Any, into: tuple[str, ...]) -> list[tuple[Any, Any, Any]]:
    """The same of the whole file, parsed."""
    if isinstance(found, list):
        return [(None, None, value) for value in found]
    rows: list[tuple[Any, Any, Any]] = []
    for key, value in found.items():
        if key in into and isinstance(value, dict):
            rows += [(key, *item) for item in value.items()]
        elif key in into and isinstance(value, list):
            rows += [(key, None, item) for item in value]
        else:
            rows.append((None, key, value))
    return rows


@given(
    st.lists(values, max_size=5)
    | st.dictionaries(st.sampled_from(["rows", "neurons", "x", 'a"b', "\\", "é"]), values, max_size=5),
    st.integers(1, 60),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_members_are_those_of_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory, found: Any, chunk: int, indent: int | None, ascii_: bool
) -> None:
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(json.dumps(found, indent=indent, ensure_ascii=ascii_), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_members, "CHUNK", chunk)
        rows = [tuple(member) for member in members(path, ("rows", "neurons"))]
    assert rows == plain(found, ("rows", "neurons"))


def test_gzip_marks_and_pythons_own_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(b'\xef\xbb\xbf {"rows": [{"a": NaN}, -Infinity]}'))
    first, second = members(path, ["rows"])
    assert first.value["a"] != first.value["a"]
    assert second.value == float("-inf")


@pytest.mark.parametrize(
    ("data", "given", "said"),
    [
        (b"", 0, "holds no JSON object or array"),
        (b"3", 0, "holds no JSON object or array"),
        ("[1]".encode("utf-16"), 0, "UTF-16"),
        (b'{"rows": [1, 2, {"a"', 2, "ends in the middle; 2 members are whole"),
        (b'{"rows": [1, 2, "ab', 2, "ends in the middle; 2 members are whole"),
        (b'{"rows": [1, 2', 1, "ends in the middle; 1 members are whole"),
        (b'{"rows": [1, 2}', 2, "is no JSON after 2 members: '}' where a comma or ] should be"),
        (b'{"rows": [1, nothing at all, 3]}', 1, "is no JSON after 1 members: Expecting value"),
        (b'{"rows": [1, "\xff", 3]}', 0, "is no JSON after 0 members: it is not UTF-8"),
        (b'{"rows": ' + b"[" * 200_000, 0, "nested too deep"),
        (b'{"rows" [1]}', 0, "where a colon should be"),
        (b"{rows: [1]}", 0, "where a key should be"),
        (b"[1, 2,]", 2, "a comma before a closing bracket"),
        (b"[1] []", 1, "goes on behind its end"),
    ],
)
def test_what_is_no_such_file_is_said(tmp_path: Path, data: bytes, given: int, said: str) -> None:
    (tmp_path / "a.json").write_bytes(data)
    seen = []
    with pytest.raises(InputError, match=said):
        for member in members(tmp_path / "a.json", ["rows"]):
            seen.append(member)
    assert len(seen) == given


def test_a_bomb_is_refused_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_members, "MAX_MEMBER", 1 << 22)
    with gzip.open(tmp_path / "a.json.gz", "wb", compresslevel=1) as stream:
        stream.write(b'{"rows": ["')
        for _ in range(200):
            stream.write(b"x" * (1 << 20))
    tracemalloc.start()
    with pytest.raises(InputError, match="a member of more than 4 Mi characters"):
        list(members(tmp_path / "a.json.gz", ["rows"]))
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


@pytest.mark.slow
def test_memory_does_not_follow_the_file(tmp_path: Path) -> None:
    row = json.dumps({"layer": 1, "label": "some text that is as long as a label", "more": list(range(50))})
    with (tmp_path / "a.json").open("w") as stream:
        stream.write('{"profiles": [' + ",".join([row] * 20_000) + "]}")
    tracemalloc.start()
    count = sum(1 for _ in members(tmp_path / "a.json", ["profiles"]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 16 << 20
