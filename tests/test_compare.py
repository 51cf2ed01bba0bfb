"""Comparisons against a slow, obvious twin: proportions, means, intervals, false discovery rates; and what may be compared."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import Counter, defaultdict
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
            prompt = " ".join(factories.words_of(seed + number))
            corpus.append(factories.ct_graph(nodes, links, slug=f"{name}-{number}", prompt=prompt))
        stats_of(folder / name, corpus, groups="none")
        found.append(folder / name / "stats")
    return found[0], found[1]


def grouped(sizes_a: dict[str, int], sizes_b: dict[str, int], counts: dict[str, tuple[int, int]]) -> dict:
    """Test the frequency of a unit that has counts[group] = (graphs of A, graphs of B) with groups as draws."""
    names = sorted(sizes_a.keys() | sizes_b.keys())
    n_a, n_b = sum(sizes_a.values()), sum(sizes_b.values())
    rows = [(sizes_a.get(g, 0), sizes_b.get(g, 0), *counts.get(g, (0, 0))) for g in names]
    p_a, p_b = sum(row[2] for row in rows) / n_a, sum(row[3] for row in rows) / n_b
    m, shared = len(names), sizes_a.keys() & sizes_b.keys()
    present = [sum(row[side] > 0 for row in rows) for side in (2, 3)]
    sides = [sum(row[side] > 0 for row in rows) for side in (0, 1)]
    found: dict = {
        "difference": p_a - p_b,
        "groups_a": present[0],
        "groups_b": present[1],
        "test": None,
        "p_value": None,
    }
    if not shared and m <= 12:
        at_least = total = 0
        for chosen in itertools.combinations(range(m), sides[0]):
            mine = [rows[place] for place in chosen]
            others = [row for place, row in enumerate(rows) if place not in chosen]
            one, other = (sum(r[2] + r[3] for r in part) / sum(r[0] + r[1] for r in part) for part in (mine, others))
            total += 1
            at_least += abs(one - other) >= abs(p_a - p_b) - 1e-12
        return found | {"test": "permutation", "p_value": at_least / total}
    if shared:
        variance = m / (m - 1) * sum(((k - n * p_a) / n_a - (j - o * p_b) / n_b) ** 2 for n, o, k, j in rows)
        pooled = (p_a * n_a + p_b * n_b) / (n_a + n_b)
        if m <= 12 or variance < 1e-18 or min(n_a, n_b) * min(pooled, 1 - pooled) < 5:
            return found
    else:
        spread = sum((k / n - p_a) ** 2 for n, _, k, _ in rows if n) + sum(
            (j / o - p_b) ** 2 for _, o, _, j in rows if o
        )
        shares = sum((n / n_a) ** 2 + (o / n_b) ** 2 for n, o, _, _ in rows)
        variance = spread / (m - 2) * shares
        if sum(present) < 5 or variance < 1e-18:
            table = [math.comb(sides[0], x) * math.comb(sides[1], sum(present) - x) for x in range(sum(present) + 1)]
            seen = table[present[0]]
            return found | {"test": "exact", "p_value": sum(x for x in table if x <= seen * (1 + 1e-7)) / sum(table)}
    error = math.sqrt(variance)
    return found | {"test": "cluster", "p_value": student((p_a - p_b) / error, m - 2), "error": error}


def assert_grouped(row: dict, expected: dict, df: int) -> None:
    assert (row["test"], row["groups_a"], row["groups_b"]) == tuple(
        expected[n] for n in ("test", "groups_a", "groups_b")
    )
    assert row["difference"] == pytest.approx(expected["difference"], abs=1e-6)
    if expected["p_value"] is None:
        assert row["p_value"] is None
        return
    assert row["p_value"] == pytest.approx(expected["p_value"], rel=1e-5, abs=1e-9)
    if expected["test"] == "cluster":
        ends = [row[f"difference_{name}"] for name in ("low", "high")]
        assert -1 <= ends[0] <= ends[1] <= 1
        for end in ends:
            if abs(end) < 1:
                assert student((end - row["difference"]) / expected["error"], df) == pytest.approx(0.05, rel=0.02)
    else:
        assert row["difference_low"] is row["difference_high"] is None


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


def groups_of(side: Path) -> tuple[dict[int, str], dict[str, int]]:
    """Group of every graph of a stats folder, and the graphs of every group."""
    with duckdb.connect() as con:
        found = dict(con.execute(f"SELECT graph_id, prompt_group FROM '{side}/graphs.parquet'").fetchall())
    return found, Counter(found.values())


def assert_neurons_true(sides: tuple[Path, Path], out: Path) -> set[str]:
    """Check every row of `neurons` against the reference; return the tests that were used."""
    found = compare(*sides, out)
    rows = table(out, "FROM neurons ORDER BY layer, neuron")
    known = [groups_of(side) for side in sides]
    counts: dict = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for place, side in enumerate(sides):
        for r in stats_table(side, "neuron_graphs"):
            counts[r["layer"], r["neuron"]][known[place][0][r["graph_id"]]][place] += 1
    assert [(r["layer"], r["neuron"]) for r in rows] == sorted(counts)
    sizes = [dict(sizes) for _, sizes in known]
    m = len(sizes[0].keys() | sizes[1].keys())
    assert found.groups == (len(sizes[0]), len(sizes[1]))
    assert found.shared_groups == len(sizes[0].keys() & sizes[1].keys())
    for row in rows:
        mine = {group: tuple(pair) for group, pair in counts[row["layer"], row["neuron"]].items()}
        assert (row["graphs_a"], row["graphs_b"]) == tuple(sum(pair[side] for pair in mine.values()) for side in (0, 1))
        assert_grouped(row, grouped(*sizes, mine), m - 2)
    expected = benjamini_hochberg([row["p_value"] for row in rows])
    assert [row["q_value"] for row in rows] == [None if q is None else pytest.approx(q) for q in expected]
    assert found.different_neurons == sum(q is not None and q < 0.05 for q in expected)
    return {str(row["test"]) for row in rows}


def test_neurons_of_graphs_that_are_groups_of_their_own(sides: tuple[Path, Path], tmp_path: Path) -> None:
    assert assert_neurons_true(sides, tmp_path / "c.duckdb") == {"cluster", "exact"}


def in_groups(folder: Path, groups: list[str], seed: int, share: float) -> Path:
    """Statistics of a graph per entry of `groups`; a neuron is in the graphs of some groups, and in some of those."""
    rng = random.Random(seed)
    taste: dict[str, dict[tuple[int, int], float]] = {}
    corpus = []
    for number, group in enumerate(groups):
        cells = [(layer, index) for layer in range(2) for index in range(7)]
        likes = random.Random(f"{group} {share}")
        taste.setdefault(group, {cell: likes.random() * (likes.random() < share * cell[1] / 3) for cell in cells})
        here = [cell for cell in cells if rng.random() < taste[group][cell]] or cells[:1]
        pairs = [(a, b) for a in here for b in here if a[0] < b[0]]
        shift = likes.gauss(0, 1)
        links = [
            factories.link(f"{a[0]}_{a[1]}_0", f"{b[0]}_{b[1]}_0", rng.gauss(shift, 0.5))
            for a, b in (rng.choices(pairs, k=20) if pairs else [])
        ]
        nodes = [factories.ct_feature(*cell) for cell in here]
        corpus.append(factories.ct_graph(nodes, links, slug=f"{seed}-{number}", prompt_group=group))
    stats_of(folder, corpus)
    return folder / "stats"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("left", "right", "tests"),
    [
        ([f"a{n % 9}" for n in range(60)], [f"b{n % 11}" for n in range(50)], {"cluster", "exact"}),
        ([f"a{n % 3}" for n in range(30)], [f"b{n % 4}" for n in range(30)], {"permutation"}),
        ([f"a{n % 20}" for n in range(60)], [f"a{n % 24}" for n in range(60)], {"cluster"}),
        ([f"a{n % 4}" for n in range(20)], [f"a{n % 5}" for n in range(20)], {"None"}),
        ([f"a{n * n % 17}" for n in range(90)], [f"b{n}" for n in range(40)], {"cluster"}),
    ],
    ids=["apart", "few", "shared", "few shared", "singles"],
)
def test_neurons_and_edges_are_compared_by_groups(
    tmp_path: Path, left: list[str], right: list[str], tests: set[str]
) -> None:
    sides = in_groups(tmp_path / "l", left, 1, 1.0), in_groups(tmp_path / "r", right, 2, 2.0)
    assert assert_neurons_true(sides, tmp_path / "c.duckdb") == tests
    assert_edges_true(sides, tmp_path / "c.duckdb")


def assert_edges_true(sides: tuple[Path, Path], out: Path) -> None:
    """Check every row of `edges`, frequencies and means, against the reference."""
    known = [groups_of(side) for side in sides]
    sizes = [dict(sizes) for _, sizes in known]
    names = ("src_layer", "src_neuron", "tgt_layer", "tgt_neuron")
    counts: dict = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    sums: dict = defaultdict(lambda: defaultdict(lambda: [0, 0.0, 0, 0.0]))
    for place, side in enumerate(sides):
        numbers = {}
        with duckdb.connect() as con:
            numbers = dict(
                con.execute(f"SELECT DISTINCT group_id, prompt_group FROM '{side}/graphs.parquet'").fetchall()
            )
        for r in stats_table(side, "edge_groups"):
            key, group = tuple(r[n] for n in names), numbers[r["group_id"]]
            counts[key][group][place] += r["graph_count"]
            sums[key][group][2 * place] += r["count"]
            sums[key][group][2 * place + 1] += r["weight_sum"]
    m = len(sizes[0].keys() | sizes[1].keys())
    tested = 0
    rows = table(out, "FROM edges")
    assert {tuple(row[n] for n in names) for row in rows} == counts.keys()
    for row in rows:
        key = tuple(row[n] for n in names)
        assert_grouped(row, grouped(*sizes, {group: tuple(pair) for group, pair in counts[key].items()}), m - 2)
        parts = list(sums[key].values())
        if min(sum(part[0] > 0 for part in parts), sum(part[2] > 0 for part in parts)) < 5:
            assert row["mean_p_value"] is None
            continue
        tested += 1
        c_a, s_a, c_b, s_b = (sum(part[i] for part in parts) for i in range(4))
        mean_a, mean_b = s_a / c_a, s_b / c_b
        residuals = [(sa - mean_a * ca) / c_a - (sb - mean_b * cb) / c_b for ca, sa, cb, sb in parts]
        variance, df = sum(u * u for u in residuals) * len(parts) / (len(parts) - 1), len(parts) - 2
        if not sizes[0].keys() & sizes[1].keys():
            spreads = []
            for count, mean, first in ((c_a, mean_a, 0), (c_b, mean_b, 2)):
                mine = [(part[first + 1] - mean * part[first]) / count for part in parts if part[first]]
                spreads.append((sum(u * u for u in mine) * len(mine) / (len(mine) - 1), len(mine) - 1))
            variance = sum(v for v, _ in spreads)
            df = math.floor(variance**2 / sum(v * v / freedom for v, freedom in spreads))
        error = math.sqrt(variance)
        assert row["mean_difference"] == pytest.approx(mean_a - mean_b, rel=1e-5, abs=1e-5)
        expected = student((mean_a - mean_b) / error, df)
        assert row["mean_p_value"] == pytest.approx(expected, rel=1e-4, abs=1e-8)
    assert tested > 3 or m < 16


def test_the_p_value_of_student() -> None:
    from atlas.database.scripts import script

    with duckdb.connect() as con:
        con.execute(script("probabilities"))
        for df in (*range(1, 12), 30, 31, 100, 200, 201, 1000):
            values = [(t, df) for t in (0.0, 0.3, -1.1, 2.5, 4.0)]
            rows = ", ".join(f"({t}::DOUBLE, {df})" for t, df in values)
            found = con.execute(f"SELECT t, student_p(t, df) FROM (VALUES {rows}) AS v(t, df)").fetchall()
            for t, p in found:
                assert p == pytest.approx(student(t, df), rel=1e-6 if df <= 200 else 0.02, abs=1e-9), (t, df)


def student_tail(t: float, df: float) -> float:
    """Two-sided p of Student's t far out, by Simpson's rule over the density at 1 / u."""
    steps = 20_000
    scale = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(df * math.pi)

    def density(u: float) -> float:
        return scale * (1 + 1 / (u * u * df)) ** (-(df + 1) / 2) / (u * u) if u else 0.0

    weights = (1 if place in (0, steps) else 4 if place % 2 else 2 for place in range(steps + 1))
    return 2 * sum(w * density(place / steps / t) for place, w in enumerate(weights)) / steps / t / 3


def test_tiny_p_values_are_no_rounding_errors() -> None:
    from atlas.database.scripts import script

    with duckdb.connect() as con:
        con.execute(script("probabilities"))
        values = [(t, df) for df in (2, 3, 7, 30, 31, 120) for t in (6.0, 12.0, 25.0)]
        rows = ", ".join(f"({t}::DOUBLE, {df})" for t, df in values)
        found = con.execute(f"SELECT t, df, student_p(t, df) FROM (VALUES {rows}) AS v(t, df)").fetchall()
    for t, df, p in found:
        assert p == pytest.approx(student_tail(t, df), rel=1e-5), (t, df)
    assert min(p for *_, p in found) < 1e-45


def test_exact_tests_count_tables() -> None:
    from atlas.database.scripts import script

    with duckdb.connect() as con:
        con.execute(script("probabilities"))
        for g_a, g_b in ((3, 8), (8, 3), (5, 5)):
            n = g_a + g_b
            found = con.execute(
                f"SELECT a, b, fisher_p(a, {g_a}, b, {g_b}), enriched_p(a, {g_a}, a + b, {n}) "
                f"FROM range({g_a + 1}) AS x(a), range({g_b + 1}) AS y(b)"
            ).fetchall()
            assert len(found) == (g_a + 1) * (g_b + 1)
            for f_a, f_b, exact, tail in found:
                marked = f_a + f_b
                tables = [math.comb(g_a, x) * math.comb(g_b, marked - x) for x in range(marked + 1)]
                expected = sum(x for x in tables if x <= tables[f_a] * (1 + 1e-7)) / math.comb(n, marked)
                assert exact == pytest.approx(expected)
                ways = sum(
                    math.comb(marked, x) * math.comb(n - marked, g_a - x) for x in range(f_a, min(marked, g_a) + 1)
                )
                assert tail == pytest.approx(ways / math.comb(n, g_a))


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
        assert row["test"] in (None, "independent")
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
        stats_of(tmp_path / name, graphs, groups="none")
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


@pytest.mark.slow
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


def test_rare_neurons_of_a_small_corpus_get_an_exact_test(tmp_path: Path) -> None:
    """Two graphs of a few against none of many are judged by an exact test, not by the normal distribution."""
    one, other = factories.ct_feature(1, 1), factories.ct_feature(1, 2)
    left = [factories.ct_graph([one, other] if number < 2 else [one], [], slug=str(number)) for number in range(8)]
    stats_of(tmp_path / "left", left, groups="none")
    many = [factories.ct_graph([one], [], slug=f"right-{number}") for number in range(300)]
    stats_of(tmp_path / "right", many, groups="none")
    compare(tmp_path / "left" / "stats", tmp_path / "right" / "stats", tmp_path / "c.duckdb")
    rows = table(tmp_path / "c.duckdb", "SELECT neuron, graphs_a, graphs_b, p_value FROM neurons ORDER BY neuron")
    # Exact: both of the two graphs with it among the 8 of 308.
    assert [tuple(row.values()) for row in rows] == [
        (1, 8, 300, 1.0),
        (2, 2, 0, pytest.approx(math.comb(8, 2) / math.comb(308, 2))),
    ]


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


@pytest.mark.slow
def test_a_selection_of_graphs_gives_what_its_own_statistics_give(tmp_path: Path) -> None:
    """Whole groups come from edge_groups, parts of groups from the links of graphs."""
    stats = in_groups(tmp_path / "all", [f"g{n % 15}" for n in range(45)], 3, 1.5)
    whole = build_database(tmp_path / "whole.duckdb", Inputs(stats)).path
    bare = build_database(tmp_path / "bare.duckdb", Inputs(stats, graph_links="none")).path
    files = sorted((tmp_path / "all" / "graphs").glob("*.json"))
    for name, where, mine in (
        ("groups", "prompt_group IN ('g1', 'g3', 'g4', 'g8', 'g9')", lambda n: n % 15 in (1, 3, 4, 8, 9)),
        ("parts", "graph_id % 2 = 0", lambda n: n % 2 == 0),
    ):
        for side, keep in (("a", True), ("b", False)):
            corpus = [json.loads(path.read_text()) for n, path in enumerate(files) if mine(n) is keep]
            stats_of(tmp_path / name / side, corpus)
        compare(tmp_path / name / "a" / "stats", tmp_path / name / "b" / "stats", tmp_path / "apart.duckdb")
        compare(whole, whole, tmp_path / "c.duckdb", where_a=where, where_b=f"NOT ({where})")
        columns = (
            "graphs_a, graphs_b, groups_a, groups_b, round(difference, 5), test, round(p_value, 7), round(q_value, 7)"
        )
        for sql in (
            f"SELECT layer, neuron, {columns} FROM neurons ORDER BY ALL",
            f"SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, links_a, links_b, {columns}, round(mean_difference, 4), "
            "round(mean_p_value, 5) FROM edges ORDER BY ALL",
            "SELECT name, graphs_a, graphs_b FROM groups ORDER BY ALL",
        ):
            assert table(tmp_path / "c.duckdb", sql) == table(tmp_path / "apart.duckdb", sql)
        if name == "groups":
            compare(bare, bare, tmp_path / "bare_c.duckdb", where_a=where, where_b=f"NOT ({where})")
            sql = f"SELECT layer, neuron, {columns} FROM neurons ORDER BY ALL"
            assert table(tmp_path / "bare_c.duckdb", sql) == table(tmp_path / "c.duckdb", sql)
        else:
            with pytest.raises(InputError, match="parts groups of prompts"):
                compare(bare, bare, tmp_path / "bare_c.duckdb", where_a=where, where_b=f"NOT ({where})")


@pytest.mark.slow
def test_the_command_compares_selections(tmp_path: Path, atlas_command) -> None:
    stats = in_groups(tmp_path / "all", [f"g{n % 16}" for n in range(64)], 3, 1.5)
    file = build_database(tmp_path / "a.duckdb", Inputs(stats)).path
    where = "prompt_group < 'g13'"
    done = atlas_command("compare", file, "--where-a", where, "-o", tmp_path / "c.duckdb")
    assert done.returncode == 0, done.stderr
    assert "20 and 44 graphs in 5 and 11 groups of prompts; " in done.stderr
    assert "power: with so few groups, differences of frequency below 76% are mostly missed" in done.stderr
    done = atlas_command(
        "sql", tmp_path / "c.duckdb", "SELECT value FROM metadata WHERE key = 'where_b'", "--format", "csv"
    )
    assert done.stdout == f"value\nNOT ({where})\n"
    for wrong, said in (
        (("--where-a", "nothing = 1"), "is no SQL condition on the table graphs"),
        (("--where-a", "true); DROP TABLE graphs; --"), "is no SQL condition"),
        (("--where-a", "graph_id < 0"), "no graph of"),
        (("--where-a", ""), "a condition is empty"),
        (("--where-a", "true"), "none is left for side B"),
        ((tmp_path / "c.duckdb", "--where-a", "true"), "is a comparison, not an atlas"),
        ((), "give a second atlas B, or select graphs"),
        ((stats, "--where-b", "true"), "is a stats folder; graphs are selected from an atlas"),
    ):
        done = atlas_command("compare", file, *wrong, "-o", tmp_path / "d.duckdb")
        assert (done.returncode, said in done.stderr) == (1, True), done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "d.duckdb").exists()


def test_what_differs_is_summed_up_by_layer_circuit_and_label(tmp_path: Path) -> None:
    """Neurons of one layer differ, those of another do not."""
    for side, present in (("left", 1), ("right", 0)):
        graphs = []
        for number in range(40):
            nodes = [factories.ct_feature(3, index) for index in range(5)]
            nodes += [factories.ct_feature(1, index) for index in range(5) if present or number % 20 == index]
            graphs.append(factories.ct_graph(nodes, [], slug=f"{side}{number}", prompt_group=f"{side}{number % 10}"))
        stats_of(tmp_path / side, graphs)
    found = compare(tmp_path / "left" / "stats", tmp_path / "right" / "stats", tmp_path / "c.duckdb")
    assert found.different_neurons == 5
    first = table(tmp_path / "c.duckdb", "FROM enrichment")[0]
    assert (first["kind"], first["name"], first["neuron_count"], first["different_count"]) == ("layer", "1", 5, 5)
    assert first["expected_count"] == 2.5
    assert first["p_value"] == pytest.approx(1 / math.comb(10, 5))
    assert first["q_value"] == pytest.approx(2 / math.comb(10, 5))


@pytest.mark.slow
def test_weights_that_do_not_vary_are_not_tested(tmp_path: Path) -> None:
    """A difference at the rounding of a mean is no difference, however small its error."""
    for side in ("left", "right"):
        graphs = []
        for number in range(24):
            nodes = [factories.ct_feature(layer, index) for layer in range(2) for index in range(4)]
            links = [factories.link(f"0_{i}_0", f"1_{j}_0", 0.1 * (1 + i) / 3) for i in range(4) for j in range(4)]
            graphs.append(factories.ct_graph(nodes, links, slug=f"{side}{number}", prompt_group=f"{side}{number % 12}"))
        stats_of(tmp_path / side, graphs)
    atlas = build_database(tmp_path / "left.duckdb", Inputs(tmp_path / "left" / "stats")).path
    for one, other in (
        (tmp_path / "left" / "stats", tmp_path / "right" / "stats"),
        (atlas, tmp_path / "left" / "stats"),
    ):
        found = compare(one, other, tmp_path / "c.duckdb")
        assert (found.different_means, found.tested_means) == (0, 0)


def test_templates_of_two_corpora_are_one_group(tmp_path: Path) -> None:
    """Near-duplicates are found over both sides: their names come from each corpus alone."""
    for side, first in (("left", 0), ("right", 100)):
        graphs = []
        for number in range(24):
            words = factories.words_of(first + number, 3)
            template = (
                "The saying of {} goes: {} is to water as {} is to"
                if number % 2
                else "Fact: the capital of {} is not {} but {} of course"
            )
            nodes = [factories.ct_feature(1, number % 2)]
            graphs.append(factories.ct_graph(nodes, [], slug=f"{side}{number}", prompt=template.format(*words)))
        stats_of(tmp_path / side, graphs)
    found = compare(tmp_path / "left" / "stats", tmp_path / "right" / "stats", tmp_path / "c.duckdb")
    assert (found.groups, found.shared_groups) == ((2, 2), 2)
