"""Forms of macros: ids as text, `top` rows, paths of circuits under other names; and the sums that neurons keep of their edges."""

from __future__ import annotations

import math
import re
from pathlib import Path

import duckdb
import pytest

import atlas
from atlas.database import open_atlas, scripts
from atlas.query.connection import rows_of


@pytest.fixture
def con(small_atlas: Path):
    with open_atlas(small_atlas) as opened:
        yield opened


OF_NEURON = [item.name for item in scripts("macros") if re.search(r"\(of_layer, of_neuron(, top)?\)", item.sql)]
OF_UNIT = [item.name for item in scripts("macros") if "of_layer, of_unit" in item.sql]


@pytest.mark.parametrize("name", OF_NEURON)
@pytest.mark.parametrize("spelled", ["L1/N2", "l1/n2", " L1/N2 ", "1_2"])
def test_macros_of_a_neuron_take_its_id(con: duckdb.DuckDBPyConnection, name: str, spelled: str) -> None:
    assert con.sql(f"FROM {name}($id)", params={"id": spelled}).fetchall() == con.sql(f"FROM {name}(1, 2)").fetchall()


@pytest.mark.parametrize("name", OF_UNIT)
def test_macros_of_a_unit_take_its_id(con: duckdb.DuckDBPyConnection, name: str) -> None:
    for spelled, kind in (("L1/N2", "neuron"), ("L1/F2", "feature")):
        form = f"FROM {name}(1, 2)" if name == "feature_neurons_of" else f"FROM {name}(1, 2, of_type := '{kind}')"
        assert con.sql(f"FROM {name}('{spelled}')").fetchall() == con.sql(form).fetchall()


def test_there_are_macros_of_both_kinds() -> None:
    assert {"upstream", "tokens_in"} <= set(OF_NEURON)
    assert {"coactive", "feature_neurons_of"} <= set(OF_UNIT)


def test_paths_between_takes_two_ids(con: duckdb.DuckDBPyConnection) -> None:
    ends = con.sql("SELECT src_layer, src_neuron, tgt_layer, tgt_neuron FROM edges LIMIT 1").fetchall()[0]
    names = (f"L{ends[0]}/N{ends[1]}", f"L{ends[2]}/N{ends[3]}")
    assert con.execute("FROM paths_between(?, ?)", names).fetchall() == con.execute("FROM paths_between(?, ?, ?, ?)", ends).fetchall()  # fmt: skip


@pytest.mark.parametrize("wrong", ["capital", "L1", "", "L1/N2; DROP TABLE edges", "L1/N99999999999999"])
def test_a_wrong_id_is_named(con: duckdb.DuckDBPyConnection, wrong: str) -> None:
    with pytest.raises(duckdb.Error, match="L24/N5326|99999999999999"):
        con.sql("FROM upstream($id)", params={"id": wrong}).fetchall()


@pytest.mark.parametrize("name", ["upstream", "downstream"])
def test_top_is_the_first_rows(con: duckdb.DuckDBPyConnection, name: str) -> None:
    everything = con.sql(f"FROM {name}(1, 2)").fetchall()
    assert len(everything) > 2
    for top in (0, 1, 2, 1000):
        assert con.sql(f"FROM {name}(1, 2, {top})").fetchall() == everything[:top]
    assert con.sql(f"FROM {name}(1, 2, NULL)").fetchall() == everything


def test_circuit_named(con: duckdb.DuckDBPyConnection) -> None:
    (primary,) = con.sql("SELECT clustering FROM clusterings WHERE is_primary").fetchall()[0]
    for given, expected in ((f"{primary}/1", "1"), ("1", "1"), ("other/1", "other/1"), ("input:7", "input:7")):
        assert con.execute("SELECT circuit_named(?)", [given]).fetchall() == [(expected,)]


def test_terms_of(con: duckdb.DuckDBPyConnection) -> None:
    words = con.sql("SELECT terms_of('Côte d’Ivoire: 2nd, re-read 北京')").fetchall()[0][0]
    assert words == ["cote", "d", "ivoire", "2nd", "re", "read", "北京"]


def test_sums_of_neurons_equal_their_edges(con: duckdb.DuckDBPyConnection) -> None:
    edges = rows_of(con.sql("SELECT *, mean_abs_weight FROM edges"))
    for row in rows_of(con.sql("FROM neurons")):
        for side, end in (("input", "tgt"), ("output", "src")):
            mine = [e for e in edges if (e[f"{end}_layer"], e[f"{end}_neuron"]) == (row["layer"], row["neuron"])]
            assert row[f"{side}_abs_sum"] == pytest.approx(
                sum(e["mean_abs_weight"] * e["count"] for e in mine), rel=1e-5
            )
            norm = math.sqrt(sum((e["mean_weight"] * e["count"]) ** 2 for e in mine))
            assert row[f"{side}_weight_norm"] == pytest.approx(norm, rel=1e-5)


def test_shares_of_the_input_add_up(con: duckdb.DuckDBPyConnection) -> None:
    shares = [row["target_share"] for row in rows_of(con.sql("FROM upstream('L1/N2')"))]
    assert sum(shares) == pytest.approx(1, rel=1e-5)
    for row in rows_of(con.sql("FROM downstream('L1/N2')")):
        back = con.execute(
            "SELECT target_share FROM upstream(?, ?) WHERE layer = 1 AND neuron = 2", [row["layer"], row["neuron"]]
        )
        assert back.fetchall() == [(row["target_share"],)]


@pytest.mark.parametrize(
    ("call", "query", "given"),
    [
        ("similar_neurons('L1/N2')", "similar_neurons", {"chosen": "L1/N2"}),
        ("similar_neurons('L1/N2', by := 'graphs', top := 3)", "similar_neurons", {"chosen": "L1/N2", "by": "graphs", "limit": 3}),
        ("strongest_paths('L0/N1', 'L2/N3')", "strongest_paths", {"starts": "L0/N1", "ends": "L2/N3"}),
        (
            "strongest_paths('L0/N1', 'L2/N3', max_hops := 2, by := 'bottleneck', min_graphs := 2, top := 4)",
            "strongest_paths",
            {"starts": "L0/N1", "ends": "L2/N3", "max_hops": 2, "by": "bottleneck", "min_graphs": 2, "limit": 4},
        ),
        ("reach('L1/N2', direction := 'upstream', max_hops := 1)", "reach", {"chosen": "L1/N2", "direction": "upstream", "max_hops": 1}),
    ],
)  # fmt: skip
def test_queries_of_sets_are_macros_of_one_neuron(small_atlas: Path, call: str, query: str, given: dict) -> None:
    with atlas.open(small_atlas) as opened:
        expected = opened.query(query, **given).fetchall()
        assert expected
        assert opened.sql(f"FROM {call}").fetchall() == expected
