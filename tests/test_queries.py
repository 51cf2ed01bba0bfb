"""Questions to an atlas: the right rows, in order, against hand-made SQL on the statistics."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import duckdb
import polars as pl
import pytest

import atlas
from atlas import Atlas, NeuronId
from atlas.database import scripts
from atlas.errors import AtlasFileError, IdError, QueryError, UsageError
from atlas.query.activation_queries import ActivationQueries
from atlas.query.catalogue import catalogue
from atlas.query.circuit_queries import CircuitQueries
from atlas.query.graph_queries import GraphQueries
from atlas.query.network_queries import NetworkQueries
from atlas.query.set_queries import SetQueries
from atlas.query.token_queries import TokenQueries


@pytest.fixture
def small(small_atlas: Path):
    with atlas.open(small_atlas) as opened:
        yield opened


@pytest.fixture
def edges(small_atlas: Path) -> pl.DataFrame:
    return pl.read_parquet(small_atlas.parent / "stats" / "edges" / "*.parquet").with_columns(
        strength=pl.col("weight_abs_sum") / pl.col("count")
    )


NEURON = (1, 2)


@pytest.mark.parametrize("direction", ["upstream", "downstream"])
def test_neighbours_equal_the_statistics(small: Atlas, edges: pl.DataFrame, direction: str) -> None:
    me, other = ("tgt", "src") if direction == "upstream" else ("src", "tgt")
    mine = edges.filter(pl.col(f"{me}_layer") == NEURON[0], pl.col(f"{me}_neuron") == NEURON[1])
    expected = mine.sort("strength", descending=True)
    found = getattr(small, direction)(NEURON).pl()
    assert set(found.select("layer", "neuron", "count", "graph_count").rows()) == set(
        expected.select(f"{other}_layer", f"{other}_neuron", "count", "graph_count").rows()
    )
    assert found["mean_abs_weight"].to_list() == sorted(found["mean_abs_weight"].to_list(), reverse=True)
    assert ((found["frequency"] > 0) & (found["frequency"] <= 1)).all()
    assert getattr(small, direction)(NEURON, limit=2).pl().rows() == found.rows()[:2]
    few = getattr(small, direction)(NEURON, min_graphs=3).pl()
    assert few.rows() == found.filter(pl.col("graph_count") >= 3).rows()


def test_frequency_is_the_share_of_the_sources_graphs(small: Atlas) -> None:
    graphs = dict(small.sql("SELECT (layer, neuron), graph_count FROM neurons").fetchall())
    for row in small.upstream(NEURON).pl().to_dicts():
        assert row["frequency"] == pytest.approx(row["graph_count"] / graphs[row["layer"], row["neuron"]])
    for row in small.downstream(NEURON).pl().to_dicts():
        assert row["frequency"] == pytest.approx(row["graph_count"] / graphs[NEURON])


def test_between_is_the_direct_edge_and_all_two_step_paths(small: Atlas, edges: pl.DataFrame) -> None:
    rows = edges.select("src_layer", "src_neuron", "tgt_layer", "tgt_neuron").rows()
    pairs = {((a, b), (c, d)) for a, b, c, d in rows}
    start, end = next((s, t) for s, t in sorted(pairs) if s != t)
    found = small.paths_between(start, end).pl()
    via = {(row["via_layer"], row["via_neuron"]) for row in found.to_dicts() if row["hop_count"] == 2}
    assert via == {
        middle for source, middle in pairs if source == start and (middle, end) in pairs and middle not in (start, end)
    }
    assert found.filter(pl.col("hop_count") == 1).height == 1


def test_circuits_members_and_edges(small: Atlas) -> None:
    circuits = small.circuits().pl()
    assert circuits["size"].to_list() == sorted(circuits["size"].to_list(), reverse=True)
    expected = small.sql("SELECT src_layer, src_neuron, tgt_layer, tgt_neuron FROM edges").fetchall()
    for path, size in circuits.select("circuit_id", "size").rows():
        members = {tuple(row) for row in small.circuit(path).pl().select("layer", "neuron").rows()}
        assert len(members) == size
        inside = small.circuit_edges(path).pl()
        assert len(inside) == sum((a, b) in members and (c, d) in members for a, b, c, d in expected)
    assert small.circuit("12345").fetchall() == []


def test_circuits_by_level_parent_and_size(small: Atlas) -> None:
    everything = small.circuits().pl()
    assert small.circuits(level=1).pl().rows() == everything.filter(pl.col("level") == 1).rows()
    assert (
        small.circuits(min_size=2, max_size=5).pl().rows() == everything.filter(pl.col("size").is_between(2, 5)).rows()
    )
    assert small.circuits(path="1").pl().rows() == everything.filter(pl.col("circuit_id") == "1").rows() != []
    kinds = small.circuits(kind="input").pl()
    assert kinds.rows() == everything.filter(pl.col("kind") == "input").rows() != []
    least = everything["half_agreement"].drop_nulls().median()
    sure = small.circuits(min_agreement=least).pl()
    assert sure.rows() == everything.filter(pl.col("half_agreement") >= least).rows() != []
    inside = small.circuits(parent=1).pl()
    assert inside.rows() == everything.filter(pl.col("cluster_path").str.starts_with("1."), pl.col("level") == 2).rows()


def test_a_cluster_path_is_no_prefix_of_its_neighbour(small_atlas: Path, tmp_path: Path) -> None:
    """Circuit 1 must not take in circuit 12."""
    import shutil

    shutil.copy(small_atlas, tmp_path / "a.duckdb")
    with duckdb.connect(str(tmp_path / "a.duckdb")) as con:
        con.execute("UPDATE neurons SET cluster_path = CASE WHEN neuron < 3 THEN '1.2' ELSE '12' END")
        con.execute(
            "CREATE OR REPLACE TABLE circuit_members AS SELECT unnest(CASE WHEN neuron < 3 THEN ['1', '1.2'] ELSE ['12'] END) AS circuit_id, "
            "layer, neuron, NULL AS role, 0.5 AS confidence FROM neurons"
        )
    with atlas.open(tmp_path / "a.duckdb") as changed:
        assert set(changed.circuit(1).pl()["cluster_path"]) == {"1.2"}
        assert set(changed.circuit("1.2").pl()["neuron"]) <= {0, 1, 2}


@pytest.mark.parametrize("words", ["100% sure_thing", "100%", "e_th", "SURE", "sure_thing"])
def test_search_finds_labels_literally(small: Atlas, words: str) -> None:
    assert small.search(words).pl().select("layer", "neuron", "text").rows() == [(1, 2, "100% sure_thing")]


@pytest.mark.parametrize("words", ["%_", "uninterpretable", "nowhere"])
def test_wildcards_mean_nothing_and_last_is_not_found(small: Atlas, words: str) -> None:
    assert small.search(words).fetchall() == []


def test_neurons_filters(small: Atlas) -> None:
    everything = small.neurons().pl()
    assert set(small.neurons(layer=1).pl()["neuron"]) == set(everything.filter(pl.col("layer") == 1)["neuron"])
    assert small.neurons(labelled=False).pl()["label"].null_count() == len(small.neurons(labelled=False).pl()) > 0
    assert len(small.neurons(labelled=True).pl()) + len(small.neurons(labelled=False).pl()) == len(everything)
    assert everything["graph_count"].to_list() == sorted(everything["graph_count"].to_list(), reverse=True)


def test_one_neuron_in_every_spelling(small: Atlas) -> None:
    rows = [small.neuron(given).fetchall() for given in ("L1/N2", "1_2_7", (1, 2), NeuronId(1, 2))]
    assert rows[0]
    assert all(row == rows[0] for row in rows)
    with pytest.raises(IdError):
        small.neuron("one")
    with pytest.raises(IdError):
        small.upstream((200, 1))


def test_graphs_of_a_neuron_show_its_tokens(small: Atlas) -> None:
    rows = small.graphs_of(NEURON).pl().to_dicts()
    assert len(rows) == small.neuron(NEURON).pl()["graph_count"][0]
    for row in rows:
        assert row["tokens"] == [["<bos>", " a", " b"][position] for position in row["positions"]]


def test_relations_go_on_in_every_library(small: Atlas) -> None:
    relation = small.upstream(NEURON)
    assert relation.pl().height == relation.to_arrow_table().num_rows == len(relation.fetchall())
    assert relation.filter("count > 1").order("count").fetchall() is not None


def test_sql_is_read_only_and_reaches_no_other_file(small: Atlas, tmp_path: Path) -> None:
    assert small.sql("SELECT $a + 1 AS b", {"a": 1}).fetchall() == [(2,)]
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    for text in (
        f"FROM read_csv('{secret}')",
        f"FROM '{secret}'",
        f"COPY neurons TO '{tmp_path}/out.csv'",
        f"ATTACH '{tmp_path}/other.duckdb'",
        f"EXPORT DATABASE '{tmp_path}/x'",
        "DELETE FROM edges",
        "DROP TABLE edges",
        "CREATE TABLE x (a INTEGER)",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "LOAD httpfs",
        "nonsense",
        "SELECT * FROM neurons WHERE layer = $missing",
    ):
        with pytest.raises(QueryError) as caught:
            small.sql(text).fetchall()
        assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.csv"]


def test_queries_by_name(small: Atlas) -> None:
    assert small.query("circuit", cluster_path="1").fetchall() == small.circuit("1").fetchall()
    with pytest.raises(
        UsageError,
        match="no query is called 'x'; there are activation_histogram, activations, adjacency, busiest_circuits",
    ):
        small.query("x")
    with pytest.raises(UsageError, match="query circuit has no parameter path; it has cluster_path, clustering, limit"):
        small.query("circuit", path="1")
    with pytest.raises(UsageError, match="query upstream needs layer, neuron"):
        small.query("upstream")


def test_parameters_cannot_inject(small: Atlas) -> None:
    assert small.query("search", words="'; DROP TABLE edges; --").fetchall() == []
    assert small.circuit("1' OR '1'='1").fetchall() == []


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_a_query_declares_its_parameters_orders_its_rows_and_has_a_method(name: str, small: Atlas) -> None:
    script = catalogue()[name]
    statement = duckdb.extract_statements(script.sql)[0]
    # Sets of neurons are temporary tables, not values.
    values = {parameter.name for parameter in script.parameters if parameter.type != "NEURONS"}
    optional = {parameter.name for parameter in script.parameters if not parameter.required}
    assert values <= set(statement.named_parameters) <= values | optional
    assert re.search(r"^ORDER BY ", script.sql, re.MULTILINE)
    method = getattr(Atlas, name)
    assert method.__doc__
    arguments = set(inspect.signature(method).parameters) - {"self", "neuron", "source", "target", "unit", "feature"}
    parameters = {parameter.name for parameter in script.parameters} - {"layer", "neuron", "unit", "unit_type"}
    assert {a for a in arguments if a != "layer"} == {p for p in parameters if not p.startswith(("from_", "to_"))}


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_the_columns_of_a_query_are_in_its_docstring(name: str, small: Atlas) -> None:
    script = catalogue()[name]
    values = {"INTEGER": 1, "BIGINT": 1, "VARCHAR": "1", "BOOLEAN": True, "DOUBLE": 0.5, "NEURONS": "layer = 1"}
    given = {one.name: one.choices[0] if one.choices else values[one.type] for one in script.parameters}
    relation = small.query(name, **given | ({"clustering": "nmf"} if "clustering" in given else {}))
    doc = inspect.getdoc(getattr(Atlas, name))
    if like := re.search(r"columns of `(\w+)`", doc):
        doc = inspect.getdoc(getattr(Atlas, like[1]))
    listed = re.sub(r"\([^)]*\)", "", " ".join(doc.split()).partition("Returns: ")[2])
    assert re.findall(r"\w+", listed.rstrip(".")) == relation.columns


def test_closing_and_repr(small_atlas: Path) -> None:
    opened = Atlas(small_atlas)
    assert str(small_atlas) in repr(opened)
    opened.close()
    with pytest.raises(QueryError):
        opened.sql("SELECT 1")
    with pytest.raises(AtlasFileError):
        atlas.open(small_atlas.parent / "none.duckdb")


def test_methods_and_queries_are_the_same_list() -> None:
    methods = {
        **vars(Atlas),
        **vars(GraphQueries),
        **vars(ActivationQueries),
        **vars(CircuitQueries),
        **vars(SetQueries),
        **vars(NetworkQueries),
        **vars(TokenQueries),
    }
    public = {name for name, item in methods.items() if not name.startswith("_") and callable(item)}
    assert public - {"graph"} == set(catalogue()) == {script.name for script in scripts("queries")}


def with_paths(small: Atlas) -> str:
    counts = small.sql("SELECT circuit_id, count(*) FROM circuit_paths GROUP BY ALL ORDER BY count(*) DESC, circuit_id")
    return counts.fetchall()[0][0]


@pytest.mark.parametrize(
    "name", sorted(name for name, script in catalogue().items() if "limit" in {p.name for p in script.parameters})
)
def test_a_limit_keeps_the_first_rows(name: str, small: Atlas) -> None:
    given = {
        "layer": 1,
        "neuron": 2,
        "unit": 2,
        "cluster_path": "1",
        # Clusters have no paths, and not every circuit of a token has several.
        "circuit": with_paths(small) if name == "circuit_paths" else "1",
        "words": "t" if name == "search_tokens" else "label",
        "by": "layer",
        "output": "t2",
        "graphs": "1, 2",
        "others": "3",
        "from_layer": 1,
        "from_neuron": 2,
        "to_layer": 0,
        "to_neuron": 4,
        "graph_id": 3,
        "token": "t1",
        "chosen": "layer = 1",
        "starts": "layer <= 1",
        "first": 3,
        "second": 4,
        "ends": "layer >= 2",
    }
    if name == "edge_graphs":
        ends = "src_layer AS from_layer, src_neuron AS from_neuron, tgt_layer AS to_layer, tgt_neuron AS to_neuron"
        given |= small.sql(f"SELECT {ends} FROM edges ORDER BY graph_count DESC LIMIT 1").pl().to_dicts()[0]
    wanted = {p.name: given[p.name] for p in catalogue()[name].parameters if p.required}
    everything = small.query(name, **wanted).fetchall()
    assert len(everything) > 1
    assert small.query(name, **wanted, limit=1).fetchall() == everything[:1]
    assert small.query(name, **wanted, limit=0).fetchall() == []


def test_an_edge_and_its_graphs_equal_the_statistics(small: Atlas, edges: pl.DataFrame) -> None:
    ends = ["src_layer", "src_neuron", "tgt_layer", "tgt_neuron"]
    for row in edges.sort("graph_count", *ends, descending=True).head(5).to_dicts():
        source, target = (row["src_layer"], row["src_neuron"]), (row["tgt_layer"], row["tgt_neuron"])
        (found,) = small.edge(source, target).pl().to_dicts()
        assert [found[name] for name in ("count", "graph_count")] == [row[name] for name in ("count", "graph_count")]
        assert found["weight_min"] == pytest.approx(row["weight_min"], rel=1e-6)
        graphs = small.edge_graphs(source, target).pl()
        assert graphs["graph_id"].n_unique() == len(graphs) == row["graph_count"]
        assert graphs["link_count"].sum() == row["count"]
        assert graphs["weight"].sum() == pytest.approx(row["weight_sum"], rel=1e-5)
    assert small.edge((0, 0), (99, 1)).fetchall() == []


def test_a_neuron_has_one_place_on_the_map_and_circuits_lie_apart(small: Atlas) -> None:
    whole = {row["neuron_id"]: row for row in small.constellation().to_arrow_table().to_pylist()}
    assert len(whole) == small.sql("SELECT count(*) FROM neurons").fetchall()[0][0]
    assert len({(row["x"], row["y"]) for row in whole.values()}) == len(whole)
    for row in small.constellation(limit=5).to_arrow_table().to_pylist():
        assert row == whole[row["neuron_id"]]
    middles = {}
    for row in whole.values():
        if row["top_cluster"] is not None:
            middles.setdefault(row["top_cluster"], []).append(complex(row["x"], row["y"]))
    places = [sum(members) / len(members) for members in middles.values()]
    assert len(places) > 1
    assert all(abs(one - other) > 0.5 for at, one in enumerate(places) for other in places[:at])


def test_circuits_of_a_neuron_are_those_that_list_it(small: Atlas) -> None:
    for layer, neuron in small.sql(
        "SELECT DISTINCT layer, neuron FROM circuit_members ORDER BY ALL LIMIT 6"
    ).fetchall():
        found = {row[0] for row in small.circuits_of((layer, neuron)).fetchall()}
        listed = small.sql(
            "SELECT circuit_id FROM circuit_members WHERE layer = $a AND neuron = $b", {"a": layer, "b": neuron}
        )
        assert found == {row[0] for row in listed.fetchall()}


def test_labels_of_a_neuron_come_best_first_and_uninformative_ones_last(small: Atlas) -> None:
    assert small.labels((1, 2)).pl()["rank"].to_list() == list(range(1, 1 + len(small.labels((1, 2)).fetchall())))
    last = small.labels((2, 3)).pl()
    assert last["is_uninformative"].to_list() == sorted(last["is_uninformative"].to_list())
    assert last["is_uninformative"].to_list()[-1] is True
    assert last["rank"].to_list()[-1] is None
