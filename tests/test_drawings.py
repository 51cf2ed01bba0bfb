"""Drawings: every neuron and edge once, rows by layer, files that programs read; cards that draw themselves."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import atlas
from atlas import Atlas
from atlas.errors import InputError, UsageError
from atlas.io.drawing import DOWN, UP, Curve, Dot
from atlas.query.drawings import Edge, bars, wiring


@pytest.fixture
def small(small_atlas: Path):
    with atlas.open(small_atlas) as opened:
        yield opened


LABELS = {"L0/N1": "first", "L0/N2": "second", "L2/N1": "<script>alert(1)</script>", "L2/N9": None}
EDGES = [Edge("L0/N1", "L2/N9", 2.0, 5), Edge("L0/N2", "L2/N1", -1.0), Edge("L2/N1", "L2/N9", 0.5)]


def test_a_drawing_has_every_neuron_and_edge_once_and_layers_from_the_bottom() -> None:
    drawing = wiring("a circuit", LABELS, EDGES, marked="L2/N9")
    dots = {item.title.split()[0]: item for item in drawing.items if isinstance(item, Dot)}
    curves = [item for item in drawing.items if isinstance(item, Curve)]
    assert set(dots) == set(LABELS)
    heights = {name: dot.at[1] for name, dot in dots.items()}
    assert heights["L0/N1"] == heights["L0/N2"] > heights["L2/N1"] == heights["L2/N9"]
    assert len({dot.at for dot in dots.values()}) == 4
    # Each where it is wired to: no line crosses another.
    assert (dots["L0/N1"].at[0] < dots["L0/N2"].at[0]) == (dots["L2/N9"].at[0] < dots["L2/N1"].at[0])
    found = {curve.title.split(":")[0]: curve for curve in curves}
    assert set(found) == {f"{edge.source} → {edge.target}" for edge in EDGES}
    assert found["L0/N2 → L2/N1"].colour == DOWN
    strongest = max(curves, key=lambda curve: curve.width)
    assert (strongest.colour, strongest.start, strongest.end) == (UP, dots["L0/N1"].at, dots["L2/N9"].at)
    assert "5 graphs" in strongest.title
    assert dots["L2/N9"].fill != dots["L0/N1"].fill
    assert wiring("a circuit", dict(reversed(LABELS.items())), EDGES[::-1], marked="L2/N9").svg() == drawing.svg()


def test_svg_is_xml_without_scripts() -> None:
    text = wiring('a "circuit" & more', LABELS, EDGES, address=lambda name: f"{name}.html?a=1&b=2").svg()
    root = ElementTree.fromstring(text)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} == {
        "svg",
        "title",
        "text",
        "path",
        "circle",
        "a",
    }
    assert any("<script>" in (element.text or "") for element in root.iter())
    assert "<script" not in text


def test_drawings_are_saved(tmp_path: Path) -> None:
    drawing = wiring("a circuit", LABELS, EDGES)
    drawing.save(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text() == drawing.svg()
    pytest.importorskip("matplotlib")
    for name, magic in (("a.png", b"\x89PNG"), ("a.pdf", b"%PDF")):
        drawing.save(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(magic)
        before = (tmp_path / name).read_bytes()
        drawing.save(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
    with pytest.raises(UsageError, match=r"a drawing is written as \.svg, \.png or \.pdf"):
        drawing.save(tmp_path / "a.gif")


def test_histograms() -> None:
    text = bars("sizes", [(-4.0, -2.0, 3), (-2.0, 0.0, 0), (0.0, 2.0, 30)]).svg()
    rectangles = [element.attrib for element in ElementTree.fromstring(text).iter() if element.tag.endswith("rect")]
    heights = [float(one["height"]) for one in rectangles[:3]]
    assert heights[2] > heights[0] > heights[1] == 0
    assert [one["fill"] for one in rectangles[:3]] == [DOWN, DOWN, UP]


def test_cards_draw_themselves(small: Atlas) -> None:
    neuron = small.card("L1/N2")
    shown = {item.title.split()[0] for item in neuron.draw().items if isinstance(item, Dot)}
    near = {row[0] for side in (small.upstream, small.downstream) for row in side("L1/N2", limit=12).fetchall()}
    assert shown == near | {"L1/N2"}
    assert "<svg" in neuron._repr_html_()
    (name,) = small.sql(
        "SELECT circuit_id FROM circuits WHERE kind = 'cluster' AND is_primary ORDER BY size DESC LIMIT 1"
    ).fetchall()[0]
    lines = [item for item in small.card(name).draw().items if isinstance(item, Curve)]
    assert len(lines) == len(small.circuit_edges(name, limit=400).fetchall())
    few = small.wiring(name, most=2)
    assert "the strongest 2 edges" in few.title
    assert sum(isinstance(item, Curve) for item in few.items) == 2
    alone = small.sql("SELECT neuron_id FROM neurons WHERE in_degree + out_degree = 0 LIMIT 1").fetchall()
    for (one,) in alone:
        with pytest.raises(InputError, match="no edges to draw"):
            small.card(one).draw()
    assert re.match("<svg", neuron.draw()._repr_svg_())
