"""Comparisons against a slow, obvious twin: proportions, means, intervals, false discovery rates; and what may be compared."""

from __future__ import annotations

import math
import random
from pathlib import Path

import duckdb
import legacy_makers
import makers
import pytest
from conftest import stats_of
from legacy_makers import Corpus

from atlas.compare import compare
from atlas.database import Inputs, build_database
from atlas.errors import AtlasFileError, InputError, OutputError, SpaceMismatch
from atlas.legacy import import_edge_stats


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Statistics of two corpora: in the second one, links are stronger and some neurons rarer."""
    folder = tmp_path_factory.mktemp("sides")
    found = []
    for name, seed, graphs in (("left", 0, 40), ("right", 500, 60)):
        rng = random.Random(seed)
        corpus = []
        for number in range(graphs):
            graph = makers.random_graph(seed + number, neurons=16, links=80)
            if name == "right":
                for link in graph["links"]:
                    link["weight"] = abs(link["weight"]) + rng.random()
            corpus.append(graph)
        stats_of(folder / name, corpus)
        found.append(folder / name / "stats")
    return found[0], found[1]


def wilson(k: float, n: float, side: int) -> float:
    z = 1.959964
    return (k + z * z / 2 + side * z * math.sqrt(k * (n - k) / n + z * z / 4)) / (n + z * z)


def proportions(ka: float, na: float, kb: float, nb: float) -> dict:
    a, b, pooled = ka / na, kb / nb, (ka + kb) / (na + nb)
    error = math.sqrt(pooled * (1 - pooled) * (1 / na + 1 / nb))
    return {
        "difference": a - b,
        "difference_low": a - b - math.hypot(a - wilson(ka, na, -1), wilson(kb, nb, 1) - b),
        "difference_high": a - b + math.hypot(wilson(ka, na, 1) - a, b - wilson(kb, nb, -1)),
        "ratio": a / b if b else None,
        "p_value": math.erfc(abs(a - b) / error / math.sqrt(2)) if error else None,
    }


def benjamini_hochberg(values: list[float | None]) -> list[float | None]:
    known = sorted((value, place) for place, value in enumerate(values) if value is not None)
    found: list[float | None] = [None] * len(values)
    least = 1.0
    for rank in range(len(known), 0, -1):
        value, place = known[rank - 1]
        ties = sum(other <= value for other, _ in known)
        least = min(least, value * len(known) / ties)
        found[place] = least
    return found


def table(path: Path, sql: str) -> list[dict]:
    with duckdb.connect(str(path), read_only=True) as con:
        return con.sql(sql).pl().to_dicts()


def stats_table(folder: Path, name: str) -> list[dict]:
    with duckdb.connect() as con:
        return con.sql(f"FROM read_parquet('{folder}/{name}/*.parquet')").pl().to_dicts()


def test_neurons_are_compared_by_the_graphs_they_are_in(sides: tuple[Path, Path], tmp_path: Path) -> None:
    found = compare(*sides, tmp_path / "c.duckdb")
    assert found.graphs == (40, 60)
    rows = table(tmp_path / "c.duckdb", "FROM neurons ORDER BY layer, neuron")
    counts = [{(r["layer"], r["neuron"]): r["graph_count"] for r in stats_table(side, "neurons")} for side in sides]
    assert [(r["layer"], r["neuron"]) for r in rows] == sorted(counts[0].keys() | counts[1].keys())
    for row in rows:
        key = (row["layer"], row["neuron"])
        a, b = (count.get(key, 0) for count in counts)
        assert (row["graphs_a"], row["graphs_b"]) == (a, b)
        for name, value in proportions(a, 40, b, 60).items():
            assert row[name] == (None if value is None else pytest.approx(value, rel=2e-6, abs=1e-6)), name
    expected = benjamini_hochberg([row["p_value"] for row in rows])
    assert [row["q_value"] for row in rows] == [None if q is None else pytest.approx(q) for q in expected]
    assert found.different_neurons == sum(q is not None and q < 0.05 for q in expected)


def test_edges_are_compared_by_graphs_and_by_means(sides: tuple[Path, Path], tmp_path: Path) -> None:
    found = compare(*sides, tmp_path / "c.duckdb")
    rows = table(tmp_path / "c.duckdb", "FROM edges ORDER BY src_layer, src_neuron, tgt_layer, tgt_neuron")
    names = ("src_layer", "src_neuron", "tgt_layer", "tgt_neuron")
    left, right = ({tuple(r[n] for n in names): r for r in stats_table(side, "edges")} for side in sides)
    assert len(rows) == len(left.keys() | right.keys()) == found.edges
    for row in rows:
        a, b = left.get(tuple(row[n] for n in names)), right.get(tuple(row[n] for n in names))
        counts = [side["graph_count"] if side else 0 for side in (a, b)]
        assert (row["graphs_a"], row["graphs_b"]) == tuple(counts)
        assert row["p_value"] == pytest.approx(proportions(counts[0], 40, counts[1], 60)["p_value"], rel=1e-5, abs=1e-9)
        if not a or not b:
            assert row["mean_difference"] is row["mean_p_value"] is None
            continue
        means, errors = [], []
        for side in (a, b):
            mean = side["weight_sum"] / side["count"]
            means.append(mean)
            variance = max(side["weight_sq_sum"] / side["count"] - mean * mean, 0)
            errors.append(variance / (side["count"] - 1) if side["count"] > 1 else None)
        assert row["mean_difference"] == pytest.approx(means[0] - means[1], rel=1e-5, abs=1e-5)
        if None in errors or not sum(errors):
            continue
        error = math.sqrt(sum(errors))
        assert row["mean_low"] == pytest.approx(means[0] - means[1] - 1.959964 * error, rel=1e-4, abs=1e-4)
        assert row["mean_high"] == pytest.approx(means[0] - means[1] + 1.959964 * error, rel=1e-4, abs=1e-4)
        assert row["mean_p_value"] == pytest.approx(
            math.erfc(abs(means[0] - means[1]) / error / math.sqrt(2)), rel=1e-4, abs=1e-300
        )
    expected = benjamini_hochberg([row["mean_p_value"] for row in rows])
    assert [row["mean_q_value"] for row in rows] == [None if q is None else pytest.approx(q) for q in expected]


def test_nothing_differs_from_itself(sides: tuple[Path, Path], tmp_path: Path) -> None:
    found = compare(sides[0], sides[0], tmp_path / "c.duckdb")
    assert (found.different_neurons, found.different_edges, found.different_means) == (0, 0, 0)
    assert table(tmp_path / "c.duckdb", "SELECT DISTINCT difference, ratio FROM neurons") == [
        {"difference": 0.0, "ratio": 1.0}
    ]


def test_a_planted_difference_is_found_with_its_sign(tmp_path: Path) -> None:
    a, b = makers.ct_feature(1, 1), makers.ct_feature(2, 2)
    both = makers.ct_graph([a, b], [makers.link("1_1_0", "2_2_0", 1.0)])
    for name, share in (("left", 0.9), ("right", 0.2)):
        graphs = [
            both | {"metadata": both["metadata"] | {"slug": str(number)}}
            if number < share * 50
            else makers.ct_graph([a], [], slug=str(number))
            for number in range(50)
        ]
        stats_of(tmp_path / name, graphs)
    found = compare(tmp_path / "left" / "stats", tmp_path / "right" / "stats", tmp_path / "c.duckdb")
    assert (found.different_neurons, found.different_edges) == (1, 1)
    row = table(tmp_path / "c.duckdb", "FROM different_neurons")[0]
    assert (row["layer"], row["neuron"], row["difference"]) == (2, 2, pytest.approx(0.7))
    assert row["difference_low"] > 0.5
    assert row["ratio"] == pytest.approx(4.5)
    assert table(tmp_path / "c.duckdb", "FROM different_edges")[0]["difference"] == pytest.approx(0.7)


def test_lists_of_strongest_partners_leave_the_others_unknown(tmp_path: Path) -> None:
    for name, seed, top in (("left", 1, 3), ("right", 2, 4)):
        value = legacy_makers.edge_stats(Corpus(graphs=20, layers=4, neurons=8, seed=seed), top=top)
        (tmp_path / f"{name}.json").write_text(__import__("json").dumps(value))
        import_edge_stats([tmp_path / f"{name}.json"], tmp_path / name)
    found = compare(tmp_path / "left", tmp_path / "right", tmp_path / "c.duckdb")
    assert found.graphs == (20, 20)
    rows = table(tmp_path / "c.duckdb", "FROM edges")
    assert any(row["links_a"] is None for row in rows)
    assert all((row["links_a"] is None) == (row["mean_weight_a"] is None) for row in rows)
    assert {row["p_value"] for row in rows} == {row["mean_p_value"] for row in rows} == {None}
    assert any(row["link_ratio"] is not None for row in rows)
    assert all(
        row["p_value"] is not None or row["graphs_a"] == row["graphs_b"]
        for row in table(tmp_path / "c.duckdb", "FROM neurons")
    )


def test_atlases_give_what_their_statistics_give(sides: tuple[Path, Path], tmp_path: Path, atlas_command) -> None:
    atlases = [build_database(tmp_path / f"{side.parent.name}.duckdb", Inputs(side)).path for side in sides]
    done = atlas_command("compare", *atlases, "-o", tmp_path / "out" / "c.duckdb", "--limit", "3")
    assert done.returncode == 0, done.stderr
    assert "40 and 60 graphs" in done.stderr
    compare(*sides, tmp_path / "plain.duckdb")
    sql = "SELECT layer, neuron, graphs_a, graphs_b, difference, q_value FROM neurons ORDER BY layer, neuron"
    assert table(tmp_path / "out" / "c.duckdb", sql) == table(tmp_path / "plain.duckdb", sql)
    with duckdb.connect(str(tmp_path / "out" / "c.duckdb"), read_only=True) as con:
        gaps = con.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND comment IS NULL AND table_name IN ('neurons', 'edges')"
        )
        # Keys and what a table above explains.
        assert {column for _, column in gaps.fetchall()} <= {
            "layer",
            "neuron",
            "src_layer",
            "src_neuron",
            "tgt_layer",
            "tgt_neuron",
            "frequency_a",
            "frequency_b",
            "difference",
            "difference_low",
            "difference_high",
            "ratio",
            "p_value",
        }
        assert dict(con.execute("SELECT key, value FROM metadata").fetchall())["graphs_b"] == "60"


def test_other_models_and_other_files_are_refused(sides: tuple[Path, Path], small_atlas: Path, tmp_path: Path) -> None:
    stats_of(tmp_path / "other", [makers.relp_graph([makers.relp_node(1, 2)], [])])
    with pytest.raises(SpaceMismatch, match=r"gemma-2-2b clt-hp feature.*llama-3.1-8b.* neuron; neurons of two"):
        compare(sides[0], tmp_path / "other" / "stats", tmp_path / "c.duckdb")
    with pytest.raises((InputError, AtlasFileError), match="does not exist"):
        compare(sides[0], tmp_path / "nowhere.duckdb", tmp_path / "c.duckdb")
    (tmp_path / "mine.duckdb").write_bytes(b"mine")
    before = small_atlas.read_bytes()
    for target in (tmp_path / "mine.duckdb", small_atlas):
        with pytest.raises(OutputError, match="exists and is no comparison"):
            compare(*sides, target)
    assert small_atlas.read_bytes() == before
    compare(*sides, tmp_path / "c.duckdb")
    compare(*sides, tmp_path / "c.duckdb")  # ours may be replaced
