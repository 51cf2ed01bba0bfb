"""Clusters of some of the graphs, of the matrix of neurons and graphs, and at several resolutions."""

from __future__ import annotations

import shutil
import sys
from collections import defaultdict
from pathlib import Path

import factories
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from polars.testing import assert_frame_equal

from atlas.cli.main import main
from atlas.cluster import ClusterOptions, cluster
from atlas.cluster.nested_blocks import paths_of
from atlas.cluster.network import load_network
from atlas.cluster.read_edges import read_edges, read_resamples
from atlas.database import open_atlas
from atlas.errors import InputError, NothingToCluster, UsageError

ALL = {"min_count": 1, "min_groups": 1, "weight": "abs_weight_sum"}


def sums_of(stats: Path, chosen: set[int]) -> dict[tuple[int, int], tuple[int, float]]:
    """Number and |weight| of the links between neurons of some graphs, link by link."""
    nodes = {
        (row["graph_id"], row["node"]): row["layer"] << 24 | row["neuron"]
        for row in pl.read_parquet(stats / "graph_nodes" / "*.parquet").to_dicts()
        if row["kind"] == "neuron"
    }
    found: dict[tuple[int, int], tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for row in pl.read_parquet(stats / "graph_links" / "*.parquet").to_dicts():
        ends = (row["graph_id"], row["source"]), (row["graph_id"], row["target"])
        if row["graph_id"] in chosen and all(end in nodes for end in ends):
            count, weight = found[nodes[ends[0]], nodes[ends[1]]]
            found[nodes[ends[0]], nodes[ends[1]]] = count + 1, weight + abs(row["weight"])
    return dict(found)


def weights_of(given: Path, **options: object) -> dict[tuple[int, int], float]:
    network = load_network(given, ClusterOptions(**ALL | options))
    ends = zip(network.neurons[network.source].tolist(), network.neurons[network.target].tolist(), strict=True)
    return dict(zip(ends, network.weight.tolist(), strict=True))


@pytest.mark.parametrize("where", ["graph_id = 7", "graph_id IN (3, 4) -- two", "true"])
def test_selected_graphs_give_the_network_of_their_links(small_atlas: Path, where: str) -> None:
    stats = small_atlas.parent / "stats"
    chosen = {7} if "7" in where else {3, 4} if "IN" in where else set(range(30))
    expected = {ends: weight for ends, (_, weight) in sums_of(stats, chosen).items() if weight > 0}
    for given in (stats, small_atlas):
        found = weights_of(given, graphs=where)
        assert found == pytest.approx(expected, rel=1e-6)
    assert len(expected) > 5


def test_one_graph_has_edges_of_one_link_and_no_trust(small_atlas: Path, tmp_path: Path) -> None:
    options = ClusterOptions(graphs="graph_id = 7", trials=2, weight="mean_abs_weight")
    found = cluster(small_atlas.parent / "stats", tmp_path / "c", options)
    assert found.edge_count == len(weights_of(small_atlas.parent / "stats", graphs="graph_id = 7"))
    assert found.tested_count is None
    row = pl.read_parquet(tmp_path / "c" / "clusterings.parquet").to_dicts()[0]
    assert '"graphs": "graph_id = 7"' in row["options"]


def test_all_graphs_selected_are_as_trusted_as_all_graphs(small_atlas: Path, tmp_path: Path) -> None:
    stats = small_atlas.parent / "stats"
    quick = {"min_count": 2, "min_groups": 1, "seeds": 2, "resamples": 3, "splits": 2, "draws": 100, "trials": 2}
    tables, left = [], []
    for name, options in (("all", {}), ("selected", {"graphs": "graph_id >= 0"})):
        cluster(stats, tmp_path / name, ClusterOptions(**quick | options))
        tables.append(pl.read_parquet(tmp_path / name / "clusters.parquet"))
        left.append(pl.read_parquet(tmp_path / name / "left_out.parquet").rows())
    assert tables[0]["half_agreement"].drop_nulls().len() > 0
    assert_frame_equal(*tables)
    assert left[0] == left[1]


def test_an_atlas_knows_the_trust_of_its_stats(small_atlas: Path) -> None:
    options = ClusterOptions(min_count=2)
    one, other = (read_resamples(given, options) for given in (small_atlas.parent / "stats", small_atlas))
    assert one is not None
    assert other is not None
    assert one.neurons.tolist() == other.neurons.tolist()
    assert one.bucket.tolist() == other.bucket.tolist()
    np.testing.assert_allclose(one.absolute, other.absolute, rtol=1e-5)


@pytest.mark.parametrize(
    ("where", "kind", "match"),
    [
        ("graph_id = ", UsageError, "is no SQL condition"),
        ("no_column > 1", UsageError, "is no SQL condition"),
        ("graph_id = 12345", InputError, "no graph of"),
    ],
)
def test_bad_selections_say_what_is_wrong(small_atlas: Path, where: str, kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        read_edges(small_atlas.parent / "stats", ClusterOptions(graphs=where))


def test_selections_that_leave_no_edge(aggregate_made, tmp_path: Path) -> None:
    a, b = factories.ct_feature(1, 1), factories.ct_feature(2, 2)
    linked = factories.ct_graph([a, b], [factories.link("1_1_0", "2_2_0", 1.0)])
    stats = aggregate_made([linked, factories.ct_graph([a, b], [])])
    with pytest.raises(NothingToCluster, match="graph_id = 1"):
        cluster(stats, tmp_path / "c", ClusterOptions(graphs="graph_id = 1"))
    done = CliRunner().invoke(main, ["cluster", str(stats), "-o", str(tmp_path / "c"), "--graphs", "graph_id = 0"])
    assert done.exit_code == 0, done.output
    assert "1 edges" in done.output


def topics(seed: int) -> list[dict]:
    """Twenty graphs, each of one of two topics, whose four neurons act together; and neurons of all graphs."""
    rng = np.random.default_rng(seed)
    graphs = []
    for number in range(20):
        mine = [factories.ct_feature(layer, 10 * (number % 2) + layer) for layer in range(4)]
        usual = [factories.ct_feature(layer, 100 + layer) for layer in range(3)]
        ids = [node["node_id"] for node in mine + usual]
        links = [
            factories.link(one, other, float(rng.uniform(1, 2)))
            for one in ids
            for other in ids
            if int(one[0]) < int(other[0])
        ]
        prompt = " ".join(factories.words_of(number))
        graphs.append(factories.ct_graph(mine + usual, links, slug=f"g{number}", prompt=prompt))
    return graphs


def test_factors_of_graphs_are_the_topics(aggregate_made, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    stats = aggregate_made(topics(1))
    options = ClusterOptions(method="graph-nmf", clusters=3, min_count=1, trust=False, min_size=3)
    cluster(stats, tmp_path / "c", options)
    table = pl.read_parquet(tmp_path / "c" / "memberships.parquet")
    sets = [set(part["neuron"]) for part in table.partition_by("cluster_path")]
    for topic in (0, 10):
        assert any({topic + layer for layer in range(4)} <= one and 10 - topic not in one for one in sets)
    cluster(stats, tmp_path / "again", options)
    assert table.equals(pl.read_parquet(tmp_path / "again" / "memberships.parquet"))


def test_shares_of_a_graph_are_its_links_and_add_up(small_atlas: Path) -> None:
    edges = read_resamples(small_atlas.parent / "stats", ClusterOptions(method="graph-nmf", min_count=1, min_groups=1))
    assert edges is not None
    links = pl.read_parquet(small_atlas.parent / "stats" / "graph_links" / "*.parquet").to_dicts()
    nodes = {
        (row["graph_id"], row["node"]): row["layer"] << 24 | row["neuron"]
        for row in pl.read_parquet(small_atlas.parent / "stats" / "graph_nodes" / "*.parquet").to_dicts()
        if row["kind"] == "neuron"
    }
    touched: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for row in links:
        for end in (row["source"], row["target"]):
            if (row["graph_id"], end) in nodes:
                touched[row["graph_id"]][nodes[row["graph_id"], end]] += abs(row["weight"])
    graphs = sorted(touched)
    assert len(edges.graph_bucket) == len(graphs)
    for neuron, graph, share in zip(edges.node_neuron, edges.node_graph, edges.node_share, strict=True):
        mine = touched[graphs[graph]]
        assert share == pytest.approx(mine[int(edges.neurons[neuron])] / sum(mine.values()), rel=1e-9)


def test_factors_of_graphs_need_single_graphs(tmp_path: Path, aggregate_made) -> None:
    stats = aggregate_made([factories.random_graph(seed) for seed in range(4)], graph_links="none")
    with pytest.raises(InputError, match="graph-links auto"):
        cluster(stats, tmp_path / "c", ClusterOptions(method="graph-nmf", min_count=1))


QUICK = {"min_count": 2, "min_groups": 1, "trials": 2, "weight": "mean_abs_weight", "method": "leiden"}


def test_resolutions_are_those_of_single_runs_and_the_best_is_taken(small_atlas: Path, tmp_path: Path) -> None:
    pytest.importorskip("leidenalg")
    stats = small_atlas.parent / "stats"
    given = (0.3, 1.0, 4.0)
    found = cluster(stats, tmp_path / "c", ClusterOptions(**QUICK, resolutions=given, trust=False))
    rows = pl.read_parquet(tmp_path / "c" / "resolutions.parquet").to_dicts()
    assert [row["resolution"] for row in rows] == list(given)
    for row in rows:
        alone = cluster(stats, tmp_path / "one", ClusterOptions(**QUICK, resolution=row["resolution"], trust=False))
        clustering = pl.read_parquet(tmp_path / "one" / "clusterings.parquet").to_dicts()[0]
        assert row["gain"] == pytest.approx(clustering["gain"])
        assert row["cluster_count"] == alone.cluster_count
        assert row["largest_share"] == pytest.approx(alone.largest_top_cluster / alone.neuron_count)
        assert -1 <= row["half_ami"] <= 1
    best = max(rows, key=lambda row: (row["stable_count"], row["half_ami"]))
    assert [row["is_chosen"] for row in rows] == [row is best for row in rows]
    stated = pl.read_parquet(tmp_path / "c" / "clusterings.parquet")["options"][0]
    assert f'"resolution": {best["resolution"]}' in stated
    alone = cluster(stats, tmp_path / "one", ClusterOptions(**QUICK, resolution=best["resolution"], trust=False))
    assert found.cluster_count == alone.cluster_count


def test_resolutions_are_in_the_atlas(small_atlas: Path, tmp_path: Path) -> None:
    pytest.importorskip("leidenalg")
    copy = tmp_path / "a.duckdb"
    shutil.copy(small_atlas, copy)
    command = ["cluster", str(small_atlas.parent / "stats"), "-o", str(tmp_path / "c"), "--min-count", "2"]
    command += ["--min-groups", "1", "--method", "leiden", "--trials", "2", "--resolutions", "0.3, 4", "--no-trust"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert "resolution 0.3: " in done.output
    assert done.output.count("; chosen") == 1
    assert CliRunner().invoke(main, ["add", str(copy), str(tmp_path / "c")]).exit_code == 0
    with open_atlas(copy) as con:
        rows = con.sql("SELECT clustering, resolution FROM resolutions ORDER BY ALL").fetchall()
    assert rows == [("leiden", 0.3), ("leiden", 4.0)]
    wrong = CliRunner().invoke(main, [*command[:-3], "--resolutions", "a,b"])
    assert wrong.exit_code == 2
    assert "is no list of numbers" in wrong.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "infomap"}, "infomap has none"),
        ({"resolutions": (1.0, 1.0)}, "one value twice"),
        ({"resolutions": (0.0,)}, "resolutions must be above 0"),
    ],
)
def test_wrong_resolutions(options: dict, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        cluster(tmp_path, tmp_path / "c", ClusterOptions(**{"method": "leiden", "resolutions": (1.0,)} | options))


def test_one_group_compares_no_resolutions(aggregate_made, tmp_path: Path) -> None:
    stats = aggregate_made([factories.random_graph(1, neurons=30, links=200)])
    options = ClusterOptions(method="leiden", min_count=1, trials=1, resolutions=(0.5, 2.0))
    with pytest.raises(InputError, match="needs two groups of prompts"):
        cluster(stats, tmp_path / "c", options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"resolution": 3.0}, "not both"),
        ({"resolutions": (), "signs": "layers", "objective": "undirected"}, "takes objective"),
        ({"resolutions": (), "method": "graph-nmf", "min_size": 9, "max_size": 5}, "no circuit fits"),
        ({"resolutions": (), "method": "spectral", "clusters": 100_000}, "clusters must be from 2 to 1000"),
    ],
)
def test_options_that_contradict_each_other(options: dict, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        cluster(tmp_path, tmp_path / "c", ClusterOptions(**{"method": "leiden", "resolutions": (1.0,)} | options))


def test_a_given_threshold_is_kept_in_a_selection(small_atlas: Path) -> None:
    with pytest.raises(NothingToCluster):
        load_network(small_atlas.parent / "stats", ClusterOptions(graphs="graph_id = 7", min_count=100))


def test_paths_of_nested_blocks_are_numbered_by_size() -> None:
    # Blocks 0, 1 and 2 of neurons; 1 and 2 are one block of blocks; then all are one.
    levels = [np.array([0, 0, 1, 2, 2, 1, 1]), np.array([1, 0, 0]), np.array([0, 0]), np.array([0])]
    assert paths_of(levels) == [(2, 1), (2, 1), (1, 1), (1, 2), (1, 2), (1, 1), (1, 1)]
    assert paths_of([np.array([5, 5, 9])]) == [(1,), (1,), (2,)]
    assert paths_of([np.array([0, 0]), np.array([0])]) == [(1,), (1,)]


def test_nested_blocks_say_what_they_need(small_atlas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graph_tool", None)
    options = ClusterOptions(method="nested-block-model", min_count=2, trust=False)
    with pytest.raises(UsageError, match="needs graph-tool, which pip does not install"):
        cluster(small_atlas.parent / "stats", tmp_path / "c", options)


def test_options_that_a_method_does_not_use_are_refused(small_atlas: Path, tmp_path: Path) -> None:
    command = ["cluster", str(small_atlas.parent / "stats"), "-o", str(tmp_path / "c"), "--min-count", "2"]
    for options, said in (
        (["--resolution", "2"], "infomap does not use resolution"),
        (["--method", "leiden", "--markov-time", "2", "--two-level"], "leiden does not use two-level, markov-time"),
        (["--method", "spectral", "--max-size", "9"], "spectral does not use max-size"),
    ):
        done = CliRunner().invoke(main, [*command, *options])
        assert done.exit_code == 1
        assert said in done.output
