"""Comparisons against a slow, obvious twin: proportions, means, intervals, false discovery rates; and what may be compared."""

from __future__ import annotations

import math
import random
from pathlib import Path

import duckdb
import factories
import legacy_factories
import pytest
from conftest import stats_of
from legacy_factories import Corpus

from atlas.database import Inputs, build_database
from atlas.errors import AtlasFileError, InputError, OutputError, SpaceMismatch
from atlas.importers.edge_stats import import_edge_stats
from atlas.query.compare import compare


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Statistics of two corpora: in the second one, links are stronger and some neurons rarer."""
    folder = tmp_path_factory.mktemp("sides")
    found = []
    for name, seed, graphs in (("left", 0, 40), ("right", 500, 60)):
        rng = random.Random(seed)
        corpus = []
        cells = [(layer, index) for layer in range(3) for index in range(3)]
        for number in range(graphs):
            # Some neurons are in every graph, some hardly in any.
            here = [cell for cell in cells if rng.random() < (0.95, 0.6, 0.05)[cell[1]]] or cells[:1]
            pairs = [(a, b) for a in here for b in here if a[0] < b[0]]
            links = [
                factories.link(f"{a[0]}_{a[1]}_0", f"{b[0]}_{b[1]}_0", rng.gauss(0.3 if name == "left" else 0.8, 1))
                for a, b in (rng.choices(pairs, k=25) if pairs else [])
            ]
            nodes = [factories.ct_feature(*cell) for cell in here]
            corpus.append(factories.ct_graph(nodes, links, slug=f"{name}-{number}"))
        stats_of(folder / name, corpus)
        found.append(folder / name / "stats")
    return found[0], found[1]


def wilson(k: float, n: float, side: int) -> float:
    z = 1.959964
    return (k + z * z / 2 + side * z * math.sqrt(k * (n - k) / n + z * z / 4)) / (n + z * z)


def proportions(ka: float, na: float, kb: float, nb: float) -> dict:
    a, b, pooled = ka / na, kb / nb, (ka + kb) / (na + nb)
    error = math.sqrt(pooled * (1 - pooled) * (1 / na + 1 / nb))
    if min(na, nb) * min(pooled, 1 - pooled) < 5:
        error = 0.0  # too few to tell
    return {
        "difference": a - b,
        "difference_low": a - b - math.hypot(a - wilson(ka, na, -1), wilson(kb, nb, 1) - b),
        "difference_high": a - b + math.hypot(wilson(ka, na, 1) - a, b - wilson(kb, nb, -1)),
        "ratio": a / b if b else None,
        "p_value": math.erfc(abs(a - b) / error / math.sqrt(2)) if error else None,
    }


def student(t: float, df: float) -> float:
    """Two-sided p of Student's t, by Simpson's rule over the density."""
    steps, end = 4000, abs(t)
    scale = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(df * math.pi)
    total = sum(
        (1 if place in (0, steps) else 4 if place % 2 else 2) * (1 + (end * place / steps) ** 2 / df) ** (-(df + 1) / 2)
        for place in range(steps + 1)
    )
    return 1 - 2 * scale * total * end / steps / 3


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
    tested = 0
    for row in rows:
        a, b = left.get(tuple(row[n] for n in names)), right.get(tuple(row[n] for n in names))
        counts = [side["graph_count"] if side else 0 for side in (a, b)]
        assert (row["graphs_a"], row["graphs_b"]) == tuple(counts)
        twin = proportions(counts[0], 40, counts[1], 60)["p_value"]
        assert row["p_value"] == (None if twin is None else pytest.approx(twin, rel=1e-5, abs=1e-9))
        if not a or not b:
            assert row["mean_difference"] is row["mean_p_value"] is None
            continue
        means, errors = [], []
        for side in (a, b):
            mean = side["weight_sum"] / side["count"]
            means.append(mean)
            variance = max(side["weight_sq_sum"] / side["count"] - mean * mean, 0)
            errors.append((variance / max(side["count"] - 1, 1), side["count"]))
        assert row["mean_difference"] == pytest.approx(means[0] - means[1], rel=1e-5, abs=1e-5)
        if min(count for _, count in errors) < 10:
            assert row["mean_p_value"] is row["mean_low"] is None
            continue
        tested += 1
        error = math.sqrt(sum(variance for variance, _ in errors))
        df = error**4 / sum(variance**2 / (count - 1) for variance, count in errors)
        found_p = student((means[0] - means[1]) / error, df)
        assert row["mean_p_value"] == pytest.approx(found_p, rel=0.03, abs=1e-5)
        # The bounds are where p would be 5 %.
        half = (row["mean_high"] - row["mean_low"]) / 2 / error
        assert student(half, df) == pytest.approx(0.05, rel=0.01)
        assert (row["mean_high"] + row["mean_low"]) / 2 == pytest.approx(means[0] - means[1], abs=1e-5)
    assert tested > 5
    expected = benjamini_hochberg([row["mean_p_value"] for row in rows])
    assert [row["mean_q_value"] for row in rows] == [None if q is None else pytest.approx(q) for q in expected]


def test_nothing_differs_from_itself(sides: tuple[Path, Path], tmp_path: Path) -> None:
    found = compare(sides[0], sides[0], tmp_path / "c.duckdb")
    assert (found.different_neurons, found.different_edges, found.different_means) == (0, 0, 0)
    assert table(tmp_path / "c.duckdb", "SELECT DISTINCT difference, ratio FROM neurons") == [
        {"difference": 0.0, "ratio": 1.0}
    ]


def test_a_planted_difference_is_found_with_its_sign(tmp_path: Path) -> None:
    a, b = factories.ct_feature(1, 1), factories.ct_feature(2, 2)
    both = factories.ct_graph([a, b], [factories.link("1_1_0", "2_2_0", 1.0)])
    for name, share in (("left", 0.9), ("right", 0.2)):
        graphs = [
            both | {"metadata": both["metadata"] | {"slug": str(number)}}
            if number < share * 50
            else factories.ct_graph([a], [], slug=str(number))
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
        value = legacy_factories.edge_stats(Corpus(graphs=20, layers=4, neurons=8, seed=seed), top=top)
        (tmp_path / f"{name}.json").write_text(__import__("json").dumps(value))
        import_edge_stats([tmp_path / f"{name}.json"], tmp_path / name)
    found = compare(tmp_path / "left", tmp_path / "right", tmp_path / "c.duckdb")
    assert found.graphs == (20, 20)
    rows = table(tmp_path / "c.duckdb", "FROM edges")
    assert any(row["links_a"] is None for row in rows)
    assert all((row["links_a"] is None) == (row["mean_weight_a"] is None) for row in rows)
    assert {row["p_value"] for row in rows} == {row["mean_p_value"] for row in rows} == {None}
    assert any(row["link_ratio"] is not None for row in rows)
    assert any(row["p_value"] is not None for row in table(tmp_path / "c.duckdb", "FROM neurons"))


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
    stats_of(tmp_path / "other", [factories.relp_graph([factories.relp_node(1, 2)], [])])
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


def test_rare_neurons_of_a_small_corpus_are_not_called_different(tmp_path: Path) -> None:
    """One graph of a few against none of many is no discovery; it was, by the normal distribution."""
    one, other = factories.ct_feature(1, 1), factories.ct_feature(1, 2)
    left = [factories.ct_graph([one, other] if number < 2 else [one], [], slug=str(number)) for number in range(8)]
    stats_of(tmp_path / "left", left)
    stats_of(tmp_path / "right", [factories.ct_graph([one], [], slug=str(number)) for number in range(300)])
    compare(tmp_path / "left" / "stats", tmp_path / "right" / "stats", tmp_path / "c.duckdb")
    rows = table(tmp_path / "c.duckdb", "SELECT neuron, graphs_a, graphs_b, p_value FROM neurons ORDER BY neuron")
    assert [tuple(row.values()) for row in rows] == [(1, 8, 300, None), (2, 2, 0, None)]


def test_what_a_threshold_left_out_is_unknown_and_impossible_counts_are_too(tmp_path: Path) -> None:
    from atlas.importers.checkpoint import import_checkpoint

    path = Corpus(graphs=20, layers=4, neurons=8).write(tmp_path / "latest.dat")
    import_checkpoint(path, tmp_path / "whole")
    import_checkpoint(path, tmp_path / "cut", min_count=4)
    compare(tmp_path / "whole", tmp_path / "cut", tmp_path / "c.duckdb")
    rows = table(tmp_path / "c.duckdb", "FROM edges")
    assert {row["links_b"] for row in rows if row["links_a"] < 4} == {None}
    neurons = tmp_path / "whole" / "neurons" / "part-00000.parquet"
    with duckdb.connect() as con:
        con.execute(
            f"COPY (SELECT * REPLACE (graph_count * 100 AS graph_count) FROM '{neurons}') TO '{tmp_path}/more.parquet'"
        )
    (tmp_path / "more.parquet").rename(neurons)
    compare(tmp_path / "whole", tmp_path / "cut", tmp_path / "c.duckdb")
    found = table(tmp_path / "c.duckdb", "SELECT DISTINCT frequency_a, difference, p_value FROM neurons")
    assert found == [{"frequency_a": None, "difference": None, "p_value": None}]


def test_a_folder_with_signs_of_patterns_is_a_folder(sides: tuple[Path, Path], tmp_path: Path) -> None:
    import shutil

    shutil.copytree(sides[0], tmp_path / "s[1]*")
    assert compare(tmp_path / "s[1]*", sides[1], tmp_path / "c.duckdb").graphs == (40, 60)
