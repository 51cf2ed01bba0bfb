"""Clusters: real modules only, the same for a seed, and as good as Infomap says."""

from __future__ import annotations

from pathlib import Path

import factories
import polars as pl
import pytest

from atlas.cluster import ClusterOptions, cluster
from atlas.cluster.network import load_network
from atlas.errors import AtlasFileError, InputError, OutputError, StageError, UsageError

# How far to trust clusters is tested in test_cluster_trust.py.
FAST = ClusterOptions(min_count=1, trials=3, trust=False)


def planted(groups: int, size: int) -> dict:
    """Cliques of features, strongly linked inside, weakly linked in a ring."""
    nodes = [factories.ct_feature(group % 3, 100 * group + i) for group in range(groups) for i in range(size)]
    ids = [node["node_id"] for node in nodes]
    links = []
    for group in range(groups):
        mine = ids[group * size : (group + 1) * size]
        links += [factories.link(a, b, 5.0) for a in mine for b in mine if a != b]
        links.append(factories.link(mine[0], ids[(group + 1) * size % len(ids)], 0.3))
    return factories.ct_graph(nodes, links)


@pytest.fixture
def stats(aggregate_made) -> Path:
    return aggregate_made([planted(4, 6)])


def members(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "members.parquet")


def test_planted_groups_are_found(stats: Path, tmp_path: Path) -> None:
    found = cluster(stats, tmp_path / "c", FAST)
    groups = members(tmp_path / "c").with_columns(group=pl.col("neuron") // 100)
    by_cluster = groups.group_by("top_cluster").agg(pl.col("group").n_unique(), pl.len())
    assert (found.top_cluster_count, found.neuron_count) == (4, 24)
    assert by_cluster["group"].to_list() == [1] * 4
    assert by_cluster["len"].to_list() == [6] * 4


def test_a_leafs_rank_is_no_module(stats: Path, tmp_path: Path) -> None:
    """WRONG once: Infomap's path ends in the rank of the node, so the clusters table had a row per neuron."""
    found = cluster(stats, tmp_path / "c", FAST)
    table = members(tmp_path / "c")
    assert found.max_level == 1
    assert found.cluster_count == 4
    assert set(table["cluster_path"]) == {"1", "2", "3", "4"}
    assert table["hierarchy_depth"].unique().to_list() == [1]
    assert table["sub_module"].null_count() == len(table)


def test_every_prefix_of_a_path_is_a_cluster_with_its_members(aggregate_made, tmp_path: Path) -> None:
    stats = aggregate_made([planted(30, 5)])
    cluster(stats, tmp_path / "c", FAST)
    expected: dict[str, list[int]] = {}
    flow: dict[str, float] = {}
    for row in members(tmp_path / "c").to_dicts():
        parts = row["cluster_path"].split(".")
        assert row["hierarchy_depth"] == len(parts)
        assert [row["top_cluster"], row["sub_module"], row["subsub_module"]] == [
            int(parts[i]) if i < len(parts) else None for i in range(3)
        ]
        for length in range(1, len(parts) + 1):
            path = ".".join(parts[:length])
            expected.setdefault(path, []).append(row["layer"])
            flow[path] = flow.get(path, 0.0) + row["flow"]
    found = {row["cluster_path"]: row for row in pl.read_parquet(tmp_path / "c" / "clusters.parquet").to_dicts()}
    assert found.keys() == expected.keys()
    for path, layers in expected.items():
        row = found[path]
        assert (row["size"], row["layer_min"], row["layer_max"]) == (len(layers), min(layers), max(layers))
        assert row["median_layer"] == pl.Series(layers).median()
        assert row["flow"] == pytest.approx(flow[path])
        assert row["parent_path"] == (path.rpartition(".")[0] or None)
    assert sum(row["flow"] for row in found.values() if row["level"] == 1) == pytest.approx(1)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(real_graphs: list[Path], tmp_path: Path) -> None:
    from atlas.pipeline import aggregate_graphs

    aggregate_graphs(real_graphs, tmp_path / "stats")
    found = [
        cluster(tmp_path / "stats", tmp_path / name, ClusterOptions(seed=seed, trials=2, trust=False))
        for name, seed in (("a", 7), ("b", 7), ("c", 8))
    ]
    for name in ("members.parquet", "clusters.parquet", "clusterings.parquet", "manifest.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert found[0] == found[1]
    assert found[0].codelength < found[0].one_level_codelength
    assert (tmp_path / "a" / "members.parquet").read_bytes() != (tmp_path / "c" / "members.parquet").read_bytes()


def test_the_stored_codelength_is_that_of_the_stored_partition(stats: Path, tmp_path: Path) -> None:
    """Two independent evaluations: the map equation of the two-level partition, computed here.

    L = H of module exits and, per module, H of its visits and its exit (Rosvall & Bergstrom 2008).
    In `planted` every node has two-way links, so the visit rates are the stored flows.
    """
    import math

    found = cluster(stats, tmp_path / "c", ClusterOptions(min_count=1, trials=3, two_level=True, trust=False))
    network = load_network(stats, ClusterOptions(weight="mean_abs_weight_sq", min_count=1))
    table = members(tmp_path / "c")
    flow, module = table["flow"].to_list(), table["cluster_path"].to_list()
    out = [0.0] * len(flow)
    for source, weight in zip(network.source, network.weight, strict=True):
        out[source] += weight
    exits: dict[str, float] = dict.fromkeys(module, 0.0)
    for source, target, weight in zip(network.source, network.target, network.weight, strict=True):
        if module[source] != module[target]:
            exits[module[source]] += flow[source] * weight / out[source]
    plogp = lambda value: value * math.log2(value) if value > 0 else 0.0
    total = sum(exits.values())
    length = plogp(total) - 2 * sum(map(plogp, exits.values())) - sum(map(plogp, flow))
    length += sum(plogp(exits[name] + sum(f for f, m in zip(flow, module, strict=True) if m == name)) for name in exits)
    # Infomap's directed flow teleports with 15 % to nodes by their links; recorded flow differs by less than this.
    assert found.codelength == pytest.approx(length, rel=2e-3)


@pytest.mark.parametrize("weight", ["mean_abs_weight_sq", "mean_abs_weight", "abs_weight_sum"])
def test_weights(weight: str, aggregate_made) -> None:
    nodes = [factories.ct_feature(0, 1), factories.ct_feature(1, 2)]
    stats = aggregate_made([factories.ct_graph(nodes, [factories.link("0_1_0", "1_2_0", w) for w in (3.0, -1.0)])])
    network = load_network(stats, ClusterOptions(weight=weight, min_count=1))
    assert network.weight.tolist() == [
        {"mean_abs_weight_sq": 4.0, "mean_abs_weight": 2.0, "abs_weight_sum": 4.0}[weight]
    ]


def test_the_count_threshold(aggregate_made, tmp_path: Path) -> None:
    nodes = [factories.ct_feature(0, 1), factories.ct_feature(1, 2), factories.ct_feature(2, 3)]
    links = [factories.link("0_1_0", "1_2_0", 1.0)] * 5 + [factories.link("1_2_0", "2_3_0", 1.0)] * 4
    stats = aggregate_made([factories.ct_graph(nodes, links)])
    assert cluster(stats, tmp_path / "c", ClusterOptions(min_count=5, trust=False)).neuron_count == 2
    with pytest.raises(InputError, match="no edge of .* has at least 6 links; lower the threshold"):
        cluster(stats, tmp_path / "c", ClusterOptions(min_count=6))


def test_edges_of_weight_zero_are_no_links(aggregate_made, tmp_path: Path) -> None:
    nodes = [factories.ct_feature(0, 1), factories.ct_feature(1, 2)]
    stats = aggregate_made([factories.ct_graph(nodes, [factories.link("0_1_0", "1_2_0", 0.0)])])
    with pytest.raises(InputError):
        cluster(stats, tmp_path / "c", FAST)


def test_options_reach_infomap(aggregate_made, tmp_path: Path) -> None:
    stats = aggregate_made([planted(30, 5)])
    assert cluster(stats, tmp_path / "many", FAST).max_level > 1
    assert (
        cluster(stats, tmp_path / "two", ClusterOptions(min_count=1, trials=3, two_level=True, trust=False)).max_level
        == 1
    )
    lengths = [
        cluster(
            stats, tmp_path / f"t{trials}", ClusterOptions(min_count=1, trials=trials, seed=3, trust=False)
        ).codelength
        for trials in (1, 20)
    ]
    assert lengths[1] <= lengths[0] + 1e-9


def test_an_atlas_gives_the_network_of_its_stats(small_atlas: Path) -> None:
    for count in (1, 2, 3):
        first = load_network(small_atlas.parent / "stats", ClusterOptions(weight="abs_weight_sum", min_count=count))
        second = load_network(small_atlas, ClusterOptions(weight="abs_weight_sum", min_count=count))
        assert first.neurons.tolist() == second.neurons.tolist()
        assert sorted(zip(first.source, first.target, strict=True)) == sorted(
            zip(second.source, second.target, strict=True)
        )
        assert sum(first.weight) == pytest.approx(sum(second.weight), rel=1e-5)


def test_an_atlas_can_be_clustered_again(small_atlas: Path, tmp_path: Path) -> None:
    found = cluster(small_atlas, tmp_path / "c", ClusterOptions(min_count=2, trials=3, name="again", trust=False))
    assert found.name == "again"
    assert found.neuron_count == len(members(tmp_path / "c"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (ClusterOptions(method="kmeans"), "unknown clustering method 'kmeans'"),
        (ClusterOptions(weight="w"), "unknown weight 'w'; choose mean_abs_weight_sq"),
        (ClusterOptions(min_count=0), "min_count must be from 1"),
        (ClusterOptions(trials=0), "trials must be from 1"),
    ],
)
def test_wrong_options(stats: Path, tmp_path: Path, options: ClusterOptions, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        cluster(stats, tmp_path / "c", options)


def test_wrong_inputs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        cluster(tmp_path / "no", tmp_path / "c")
    (tmp_path / "text").write_text("no database")
    with pytest.raises(AtlasFileError, match="is no atlas"):
        cluster(tmp_path / "text", tmp_path / "c")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StageError):
        cluster(tmp_path / "empty", tmp_path / "c")


def test_stats_are_not_overwritten_by_clusters(stats: Path) -> None:
    with pytest.raises(OutputError, match="holds no clusters"):
        cluster(stats, stats, FAST)


LEIDEN = ClusterOptions(method="leiden", min_count=1, trials=3, trust=False)


def modularity(stats: Path, paths: dict[tuple[int, int], str], resolution: float, weight: str) -> float:
    """Directed modularity x total weight, edge by edge (Leicht & Newman 2008)."""
    network = load_network(stats, ClusterOptions(weight=weight, min_count=1))
    names = [paths[int(packed) >> 24, int(packed) & (1 << 24) - 1] for packed in network.neurons]
    edges = list(zip(network.source.tolist(), network.target.tolist(), network.weight.tolist(), strict=True))
    total = sum(w for _, _, w in edges)
    inside = sum(w for a, b, w in edges if names[a] == names[b])
    out = {name: sum(w for a, _, w in edges if names[a] == name) for name in set(names)}
    into = {name: sum(w for _, b, w in edges if names[b] == name) for name in set(names)}
    return inside - resolution * sum(out[name] * into[name] for name in out) / total


def paths_of(folder: Path) -> dict[tuple[int, int], str]:
    return {(row["layer"], row["neuron"]): row["cluster_path"] for row in members(folder).to_dicts()}


@pytest.mark.parametrize("resolution", [1.0, 0.3])
def test_leiden_finds_planted_groups_with_the_quality_that_it_states(
    stats: Path, tmp_path: Path, resolution: float
) -> None:
    pytest.importorskip("leidenalg")
    options = ClusterOptions(
        method="leiden", min_count=1, trials=3, resolution=resolution, weight="mean_abs_weight", trust=False
    )
    found = cluster(stats, tmp_path / "c", options)
    groups = members(tmp_path / "c").with_columns(group=pl.col("neuron") // 100)
    assert groups.group_by("top_cluster").agg(pl.col("group").n_unique())["group"].to_list() == [1] * 4
    assert found.quality == pytest.approx(modularity(stats, paths_of(tmp_path / "c"), resolution, "mean_abs_weight"))
    assert (found.codelength, found.one_level_codelength) == (None, None)
    assert set(members(tmp_path / "c")["flow"].to_list()) == {None}


def undirected_quality(network, names: list[str], objective: str, resolution: float) -> float:
    """Modularity x total weight without directions (Newman 2006), or the constant Potts quality (Traag et al. 2011)."""
    edges = list(zip(network.source.tolist(), network.target.tolist(), network.weight.tolist(), strict=True))
    inside = sum(w for a, b, w in edges if names[a] == names[b])
    total = sum(w for _, _, w in edges)
    if objective == "cpm":
        return inside - resolution * sum(names.count(name) ** 2 for name in set(names)) / 2
    strength = {name: sum((names[a] == name) * w + (names[b] == name) * w for a, b, w in edges) for name in set(names)}
    return inside - resolution * sum(value**2 for value in strength.values()) / (4 * total)


@pytest.mark.parametrize("objective", ["undirected", "cpm"])
def test_leiden_without_directions_states_the_quality_of_what_it_finds(
    stats: Path, tmp_path: Path, objective: str
) -> None:
    pytest.importorskip("igraph")
    options = ClusterOptions(
        method="leiden",
        objective=objective,
        min_count=1,
        trials=3,
        resolution=0.3,
        weight="mean_abs_weight",
        trust=False,
    )
    found = cluster(stats, tmp_path / "c", options)
    cluster(stats, tmp_path / "again", options)
    assert members(tmp_path / "c").equals(members(tmp_path / "again"))
    network = load_network(stats, options)
    paths = paths_of(tmp_path / "c")
    names = [paths[int(packed) >> 24, int(packed) & (1 << 24) - 1] for packed in network.neurons]
    assert found.top_cluster_count > 1
    assert found.quality == pytest.approx(undirected_quality(network, names, objective, 0.3))


def test_leiden_is_the_same_for_a_seed_and_no_worse_with_more_trials(aggregate_made, tmp_path: Path) -> None:
    pytest.importorskip("leidenalg")
    stats = aggregate_made([factories.random_graph(seed, neurons=40, links=300) for seed in range(4)])
    for name in ("a", "b"):
        cluster(stats, tmp_path / name, LEIDEN)
    assert members(tmp_path / "a").equals(members(tmp_path / "b"))
    one = cluster(stats, tmp_path / "one", ClusterOptions(method="leiden", min_count=1, trials=1, trust=False))
    many = cluster(stats, tmp_path / "many", ClusterOptions(method="leiden", min_count=1, trials=12, trust=False))
    assert many.quality >= one.quality


def test_large_clusters_are_divided_again(aggregate_made, tmp_path: Path) -> None:
    pytest.importorskip("leidenalg")
    stats = aggregate_made([factories.random_graph(seed, neurons=60, links=400) for seed in range(3)])
    whole = cluster(stats, tmp_path / "whole", LEIDEN)
    found = cluster(
        stats, tmp_path / "c", ClusterOptions(method="leiden", min_count=1, trials=3, max_size=3, trust=False)
    )
    assert whole.max_level == 1
    assert found.max_level > 1
    outer, inner = paths_of(tmp_path / "whole"), paths_of(tmp_path / "c")
    assert {neuron: path.split(".")[0] for neuron, path in inner.items()} == outer


def test_edges_of_few_graphs_or_groups_are_left_out(small_atlas: Path) -> None:
    stats = small_atlas.parent / "stats"
    rows = pl.read_parquet(stats / "edges" / "*.parquet")
    for name, column in (("min_graphs", "graph_count"), ("min_groups", "group_count")):
        least = int(rows[column].max())
        network = load_network(stats, ClusterOptions(weight="mean_abs_weight", min_count=1, **{name: least}))
        kept = rows.filter(pl.col(column) >= least, pl.col("weight_abs_sum") > 0).height
        assert least > 1
        assert 0 < len(network.weight) == kept < rows.height
    with pytest.raises(InputError, match="at least 1 links in 99 graphs"):
        load_network(stats, ClusterOptions(weight="mean_abs_weight", min_count=1, min_graphs=99))
    network = load_network(stats, ClusterOptions(weight="abs_weight_graphs", min_count=1, min_groups=1))
    kept = rows.filter(pl.col("weight_abs_sum") > 0)
    expected = kept["weight_abs_sum"] / kept["count"] * kept["graph_count"]
    assert sorted(network.weight.tolist()) == pytest.approx(sorted(expected.to_list()))


def test_leiden_of_one_edge_and_of_parts_that_do_not_touch(aggregate_made, tmp_path: Path) -> None:
    pytest.importorskip("leidenalg")
    nodes = [factories.ct_feature(0, number) for number in range(4)]
    ids = [node["node_id"] for node in nodes]
    graph = factories.ct_graph(nodes, [factories.link(ids[0], ids[1], -1.0), factories.link(ids[2], ids[3], 2.0)])
    found = cluster(aggregate_made([graph]), tmp_path / "c", LEIDEN)
    assert (found.top_cluster_count, found.neuron_count, found.largest_top_cluster) == (2, 4, 2)
    for options, said in (
        ({"objective": "surprise"}, "unknown objective"),
        ({"resolution": 0.0}, "resolution must be above 0"),
        ({"max_size": -1}, "max_size must be"),
        ({"min_groups": 0}, "min_groups must be from 1"),
    ):
        with pytest.raises(UsageError, match=said):
            cluster(tmp_path / "no", tmp_path / "d", ClusterOptions(method="leiden", **options))
