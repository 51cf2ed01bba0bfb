"""Hostile arguments of every query: they change nothing, and what is wrong with them is said in one line."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

import atlas
from atlas.errors import AtlasError
from atlas.query.catalogue import catalogue

TEXTS = (
    "'",
    '"',
    "'; DROP TABLE edges; --",
    "%",
    "_",
    "\\",
    "$limit",
    "neurons",
    "metadata; SELECT 1",
    "🙂\u202e",
    "\x00",
    "a" * 5_000,
    "1e308",
    "-1",
    "",
)
SETS = ("'; DROP TABLE edges; --", "layer = 1; SELECT 1", "where('1=1) OR (SELECT 1')", "(" * 500 + "all()" + ")" * 500, "!" * 500 + "all()", "layer in 1..99999999999999999999", "graphs >= 'x'", "edges.count > 1", "set(../../etc/passwd)", "circuit('; --')", "graph(\"1=1; DROP TABLE edges\")", "L99999999999/N1", "\x00", "🙂", "all() && " * 200 + "all()", "")  # fmt: skip
NUMBERS = (-1, 0, 2**31 - 1, 2**63 - 1, -(2**63), 10**30)


@pytest.fixture(scope="module")
def small(small_atlas: Path):
    before = hashlib.sha256(small_atlas.read_bytes()).hexdigest()
    with atlas.open(small_atlas) as opened:
        yield opened
    assert hashlib.sha256(small_atlas.read_bytes()).hexdigest() == before


def asked(opened: Any, name: str, **given: Any) -> None:
    """Ask; an error must be one of ours, in one line."""
    try:
        opened.query(name, **given).limit(5).fetchall()
    except AtlasError as error:
        text = str(error)
        assert text.strip()
        assert len(text.splitlines()) == 1
        assert "Traceback" not in text


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(catalogue()))
def test_hostile_values_of_every_parameter(name: str, small: Any) -> None:
    query = catalogue()[name]
    plain = {"INTEGER": 1, "BIGINT": 1, "VARCHAR": "1", "BOOLEAN": True, "DOUBLE": 0.5, "NEURONS": "layer = 1"}
    needed = {one.name: one.choices[0] if one.choices else plain[one.type] for one in query.parameters if one.required}
    hostile: dict[str, tuple[Any, ...]] = {
        "VARCHAR": TEXTS[:8],
        "NEURONS": SETS[:3],
        "INTEGER": NUMBERS,
        "BIGINT": NUMBERS,
        "DOUBLE": (-1.0, 1e308, float("nan"), float("inf")),
    }
    for one in query.parameters:
        for value in hostile.get(one.type, ()):
            asked(small, name, **needed | {one.name: value})


@pytest.mark.parametrize("text", SETS)
def test_hostile_sets(text: str, small: Any) -> None:
    asked(small, "find", chosen=text)
    asked(small, "strongest_paths", starts=text, ends="layer = 1")


@pytest.mark.parametrize("text", TEXTS)
def test_hostile_texts(text: str, small: Any) -> None:
    for name, key in (
        ("search", "words"),
        ("search_tokens", "words"),
        ("search_circuits", "words"),
        ("token", "token"),
        ("circuit", "cluster_path"),
        ("graph_sets", "graphs"),
    ):
        asked(small, name, **{key: text} | ({"others": text} if name == "graph_sets" else {}))
    with pytest.raises(AtlasError):
        small.query(f"no {text}")
    with pytest.raises(AtlasError):
        small.query("neurons", **{"limit": 1, text or "x": 1})
