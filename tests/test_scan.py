"""The compiled scan of links against msgspec and Python's float: the same links, the same bits, or none at all."""

from __future__ import annotations

import json
import math
import random
import struct
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import pytest
from factories import link, relp_graph, relp_node, relp_token
from hypothesis import given
from hypothesis import strategies as st

from atlas.graph import Graph
from atlas.graphs import Blob, parse_graph, raw
from atlas.graphs.raw import RawLink
from atlas.graphs.scan import scan_links

as_objects = msgspec.json.Decoder(list[RawLink]).decode


def weights_of(numbers: list[str]) -> np.ndarray[Any, Any] | None:
    text = ",".join(f'{{"source":"a","target":"b","weight":{number}}}' for number in numbers)
    found = scan_links(memoryview(f"[{text}]".encode()))
    return None if found is None else found.weight


def assert_same_links(text: str) -> None:
    """What is scanned is what msgspec reads; what msgspec refuses is not scanned."""
    try:
        expected = as_objects(text.encode())
    except msgspec.ValidationError:
        assert scan_links(memoryview(text.encode())) is None
        return
    found = scan_links(memoryview(text.encode()))
    if found is not None:
        assert [found.ids[row] for row in found.source] == [link.source for link in expected]
        assert [found.ids[row] for row in found.target] == [link.target for link in expected]
        assert found.weight.tobytes() == np.array([link.weight for link in expected], float).tobytes()
        assert len(set(found.ids)) == len(found.ids)


def bits(value: int) -> float:
    return struct.unpack("d", struct.pack("Q", value))[0]


def halfway(value: float) -> str:
    """20 digits of the number between a double and the next: the hardest to round."""
    middle = (Fraction(value) + Fraction(math.nextafter(value, math.inf))) / 2
    power = math.floor(math.log10(value))
    return f"{int(middle / Fraction(10) ** (power - 18))}e{power - 18}"


def hard_numbers(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    found = ["0", "-0", "-0.0", "0e5", "0.000000000000000000000000001", "1E+3", "9007199254740993", "5e-324", "1e308"]
    for _ in range(count):
        value = abs(bits(rng.getrandbits(63)))
        if not 1e-300 < value < 1e300:
            continue
        found += [repr(value), f"-{value!r}", halfway(value)]
        found.append(f"{rng.gauss(0, 1):.{rng.randrange(1, 30)}f}")
        found.append(f"{rng.randrange(10 ** rng.randrange(1, 25))}e{rng.randrange(-340, 280)}")
    return found


@pytest.mark.parametrize("seed", range(4))
def test_weights_are_rounded_as_python_rounds_them(seed: int) -> None:
    numbers = hard_numbers(seed, 3_000)
    found = weights_of(numbers)
    assert found is not None
    assert found.tobytes() == np.array([float(number) for number in numbers]).tobytes()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_any_float_survives(values: list[float]) -> None:
    found = weights_of([repr(value) for value in values])
    assert found is not None
    assert found.tobytes() == np.array(values).tobytes()


PLAIN = '{"source":"1_2_3","target":"4_5_6","weight":0.5}'
ODD = [
    "[]",
    " [ ] ",
    "{}",
    "null",
    '"[]"',
    "[1]",
    "[[]]",
    "[{}]",
    '[{"source":"a","target":"b"}]',
    '[{"source":"a","target":"b","weight":null}]',
    '[{"source":"a","target":"b","weight":"1"}]',
    '[{"source":"a","target":"b","weight":true}]',
    '[{"source":1,"target":"b","weight":1}]',
    '[{"source":"a\\u0041","target":"b","weight":1}]',
    '[{"source":"é","target":"b","weight":1}]',
    '[{"source":"","target":"","weight":1}]',
    '[{"source":"a","source":"c","target":"b","weight":1}]',
    '[{"source":"a","target":"b","weight":1,"more":[{"weight":2}]}]',
    '[{"weight":1,"target":"b","source":"a"}]',
    '[{"weight" : 1 , "target"\n:\t"b" ,\r"source": "a" } ]',
    '[{"source":"a","target":"b","weight":1e400}]',
    f'[{{"source":"{"x" * 256}","target":"b","weight":1}}]',
    f'[{{"source":"{"x" * 257}","target":"b","weight":1}}]',
    f"[{PLAIN}, 7]",
    f"[{PLAIN}, {PLAIN}]",
]


@pytest.mark.parametrize("text", ODD)
def test_odd_forms(text: str) -> None:
    assert_same_links(text)


@pytest.mark.parametrize("text", [f"[{PLAIN}]", ODD[0], ODD[15], ODD[18], ODD[19], ODD[21]])
def test_plain_forms_are_scanned(text: str) -> None:
    assert scan_links(memoryview(text.encode())) is not None


@given(st.data())
def test_mutated_text_that_is_json(data: st.DataObject) -> None:
    text = list(f"[{PLAIN}, {PLAIN}]")
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place : place + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([*'[]{},:"\\-+.eE019 \n', "null", "weight", ""])
        )
    mutated = "".join(text)
    try:
        msgspec.json.decode(mutated)
    except msgspec.DecodeError:
        return  # the caller has had the text checked before it is scanned
    assert_same_links(mutated)


def test_many_ids() -> None:
    count = 40_000
    links = [link(f"{n}_1_1", f"{n}_2_1", 1.0) for n in range(count)]
    found = scan_links(memoryview(json.dumps(links).encode()))
    assert found is not None
    assert len(found.ids) == 2 * count


def graph_text() -> bytes:
    nodes = [relp_node(layer, layer * 7, 1) for layer in range(5)] + [relp_token(5, 0)]
    ids = [node["node_id"] for node in nodes]
    links = [link(ids[a % 6], ids[b % 5], a - b / 3) for a in range(30) for b in range(30)]
    links += [link("no_such_node", ids[0], 1.0)]
    return json.dumps(relp_graph(nodes, links)).encode()


def test_a_graph_is_the_same_by_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    scanned = parse_graph(Blob("g.json", graph_text()))
    monkeypatch.setattr(raw, "_scan", lambda data: None)
    read = parse_graph(Blob("g.json", graph_text()))
    assert_same_graph(scanned, read)
    assert scanned.dropped_links == {"missing_node": 1}


def assert_same_graph(one: Graph, other: Graph) -> None:
    assert one.dropped_links == other.dropped_links
    assert one.link_total == other.link_total
    for name in ("source", "target", "weight"):
        assert getattr(one.links, name).tobytes() == getattr(other.links, name).tobytes()


def test_the_scan_is_used_once_numba_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert raw._scan(graph_text()) is not None
    monkeypatch.delitem(raw.sys.modules, "numba")
    assert raw._scan(graph_text()) is None
