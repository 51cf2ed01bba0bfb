"""The map: circuits that drive each other lie together, discs do not overlap, and the same atlas has the same map."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import numpy as np
import pytest

import atlas
from atlas.io.disc_layout import MOST_MOVED, place_discs


def distances(places: np.ndarray) -> np.ndarray:
    return np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))


@pytest.mark.parametrize("count", [1, 2, 30, pytest.param(MOST_MOVED + 50, marks=pytest.mark.slow)])
def test_discs_do_not_overlap_and_lie_the_same_each_time(count: int) -> None:
    random = np.random.default_rng(count)
    radii = np.sort(np.sqrt(random.integers(1, 400, count).astype(float)))[::-1]
    sources, targets = random.integers(0, count, (2, 4 * count))
    weights = random.random(4 * count)
    places = place_discs(radii, sources, targets, weights)
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()
    least = radii[:, None] + radii[None]
    assert (distances(places) >= (1 - 1e-9) * least)[~np.eye(count, dtype=bool)].all()
    assert (places == place_discs(radii, sources, targets, weights)).all()


def test_no_disc_has_no_place() -> None:
    assert place_discs(np.array([]), [], [], []).shape == (0, 2)


def test_discs_with_weight_between_them_lie_nearer() -> None:
    # Two families of ten, in alternating order of size.
    radii = np.linspace(10, 4, 20)
    pairs = [(one, other) for one in range(20) for other in range(20) if one % 2 == other % 2 and one != other]
    sources, targets = np.array(pairs).T
    found = distances(place_discs(radii, sources, targets, np.ones(len(pairs))))
    family = np.arange(20) % 2
    same = family[:, None] == family[None]
    apart = distances(place_discs(radii, [], [], []))
    ratio = found[same].sum() / found[~same].sum()
    assert ratio < 0.75 * apart[same].sum() / apart[~same].sum()


@pytest.mark.parametrize("weight", [5e-324, 1.0, 1e20])
def test_a_pair_does_not_drift_away_from_the_others(weight: float) -> None:
    radii = np.array([3.0, 2.0, 1.0])
    places = place_discs(radii, [0], [1], [weight])
    assert (np.hypot(*places.T) + radii).max() < 8
    random = np.random.default_rng(0)
    for _ in range(10):
        count, links = random.integers(2, 40), random.integers(0, 6)
        radii = np.sort(random.random(count) * 5 + 0.5)[::-1]
        places = place_discs(radii, *random.integers(0, count, (2, links)), random.random(links))
        extent = (np.hypot(*places.T) + radii).max()
        assert (radii**2).sum() > 0.3 * extent**2


def test_an_atlas_has_the_places_and_the_query_uses_them(small_atlas: Path, tmp_path: Path) -> None:
    with atlas.open(small_atlas) as opened:
        discs = {row[0]: row[1:] for row in opened.sql("SELECT top_cluster, x, y FROM map_discs").fetchall()}
        clusters = opened.sql("SELECT top_cluster FROM clusters WHERE level = 1").fetchall()
        assert set(discs) == {row[0] for row in clusters}
        sizes = dict(opened.sql("SELECT top_cluster, size FROM clusters WHERE level = 1").fetchall())
        rows = opened.constellation().to_arrow_table().to_pylist()
    extent = max(np.hypot(*place) + sizes[name] ** 0.5 for name, place in discs.items())
    for row in rows:
        if row["top_cluster"] is None:
            assert np.hypot(row["x"], row["y"]) >= extent
        else:
            x, y = discs[row["top_cluster"]]
            assert np.hypot(row["x"] - x, row["y"] - y) <= sizes[row["top_cluster"]] ** 0.5
    # An atlas of the schema before has none; its circuits lie as seeds of a sunflower.
    earlier = tmp_path / "earlier.duckdb"
    shutil.copy(small_atlas, earlier)
    with duckdb.connect(str(earlier)) as con:
        con.execute("DROP TABLE map_discs; UPDATE metadata SET value = '11' WHERE key = 'atlas_schema'")
    with atlas.open(earlier) as opened:
        before = opened.constellation().to_arrow_table().to_pylist()
    assert [row["neuron_id"] for row in before] == [row["neuron_id"] for row in rows]
    assert [row["x"] for row in before] != [row["x"] for row in rows]
