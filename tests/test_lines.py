"""Lines of hostile files: numbered, bounded, blank ones passed over at once."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.io import lines
from atlas.io.lines import LineTooLong, filled_lines

PIECES = st.sampled_from([b"\n", b"x", b" ", b"yy\n", b"\r\n", b"\n\n\n", b"\t", b"z" * 5])


@given(st.lists(PIECES, max_size=60), st.sampled_from([1, 2, 3, 7, 1 << 20]))
def test_lines_are_those_of_the_plain_way(pieces: list[bytes], block: int) -> None:
    data = b"".join(pieces)
    before = lines._BLOCK
    lines._BLOCK = block
    try:
        found = list(filled_lines(io.BytesIO(data), 1000))
    finally:
        lines._BLOCK = before
    assert found == [(number, line.strip()) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]


def test_a_long_line_is_refused_by_its_number() -> None:
    with pytest.raises(LineTooLong, match="line 3 has more than 2 MiB"):
        list(filled_lines(io.BytesIO(b"a\n\n" + b"x" * (3 << 20)), 2 << 20))


def test_two_hundred_million_empty_lines_are_soon_read(tmp_path: Path) -> None:
    from atlas.graph import Source
    from atlas.graphs import read_graphs

    path = tmp_path / "empty.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for _ in range(200):
            stream.write(b"\n" * 1_000_000)
        stream.write(b"{}")
    # As objects of their own these lines would take minutes.
    (found,) = read_graphs(Source("empty.jsonl.gz", path))
    assert (found.path, found.reason) == ("empty.jsonl.gz#200000001", "not_a_graph")
