"""Edges against their targets and sources, link by link: shares, derivatives, positions, association."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import duckdb
import factories
import pytest

import atlas as package
from atlas.database import build_database
from atlas.database.inputs import Inputs
from atlas.database.scripts import script
from atlas.pipeline import aggregate_graphs

EDGE = ("src_layer", "src_neuron", "tgt_layer", "tgt_neuron")


def rows_of(path: Path, sql: str) -> list[dict[str, Any]]:
    with duckdb.connect(str(path), read_only=True) as con:
        return con.sql(sql).pl().to_dicts()


@pytest.mark.parametrize("strong", [0.05, 0.6])
def test_edge_strengths_equal_the_reference(tmp_path: Path, strong: float) -> None:
    for seed in range(18):
        graph = factories.random_graph(seed, neurons=14, links=90)
        graph["metadata"]["prompt_group"] = f"t{seed % 5}"
        factories.write(tmp_path / "g" / f"{seed:03d}.json", graph)
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    out = build_database(tmp_path / "a.duckdb", Inputs(tmp_path / "stats", strong_share=strong)).path
    links: dict[Any, list[tuple[Any, ...]]] = defaultdict(list)
    members: dict[Any, set[tuple[int, str]]] = defaultdict(set)
    with package.open(out) as atlas:
        for number in range(18):
            graph = atlas.graph(number)
            group = graph.facts["prompt_group"]
            neurons = {node.node: node for node in graph.nodes if node.kind == "neuron"}
            for node in neurons.values():
                members[node.layer, node.neuron].add((number, group))
            for source, target, weight in graph.links:
                if source in neurons and target in neurons:
                    s, t = neurons[source], neurons[target]
                    links[s.layer, s.neuron, t.layer, t.neuron].append((number, group, weight, s, t))
    found = rows_of(out, "FROM edge_strengths")
    assert {tuple(row[name] for name in EDGE) for row in found} == links.keys()
    seen_null = seen_strong = False
    for row in found:
        key = tuple(row[name] for name in EDGE)
        mine = links[key]
        shares = [(n, g, w / t.activation) for n, g, w, _, t in mine if t.activation]
        derivatives = [w / s.activation for _, _, w, s, _ in mine if s.activation]
        strong_links = [(n, g) for n, g, share in shares if abs(share) >= strong]
        assert (row["share_count"], row["derivative_count"]) == (len(shares), len(derivatives))
        if shares:
            assert row["mean_share"] == pytest.approx(sum(share for *_, share in shares) / len(shares), rel=1e-5)
            counts = (len(strong_links), len({n for n, _ in strong_links}), len({g for _, g in strong_links}))
            assert (row["strong_count"], row["strong_graph_count"], row["strong_group_count"]) == counts
            seen_strong |= 0 < counts[0] < len(shares)
        else:
            seen_null = True
            assert row["mean_share"] is row["strong_count"] is row["strong_group_count"] is None
        if derivatives:
            mean = sum(derivatives) / len(derivatives)
            deviation = math.sqrt(sum((value - mean) ** 2 for value in derivatives) / len(derivatives))
            assert row["mean_derivative"] == pytest.approx(mean, rel=1e-5)
            assert row["std_derivative"] == pytest.approx(deviation, rel=1e-4, abs=1e-4 * abs(mean))
            positive = sum(value > 0 for value in derivatives)
            expected = max(positive, len(derivatives) - positive) / len(derivatives)
            assert row["same_sign_share"] == pytest.approx(expected)
        else:
            assert row["mean_derivative"] is row["same_sign_share"] is None
        assert row["position_count"] == len(mine)
        assert row["same_position_count"] == sum(s.position == t.position for *_, s, t in mine)
        ends = members[key[:2]], members[key[2:]]
        joint = {group for _, group in ends[0] & ends[1]}
        a, b = (len({group for _, group in end}) for end in ends)
        assert row["joint_group_count"] == len(joint)
        assert row["shrunk_lift"] == pytest.approx((len(joint) + 1) / (a * b / 5 + 1), rel=1e-6)
        ways = sum(math.comb(b, j) * math.comb(5 - b, a - j) for j in range(len(joint), a + 1))
        assert row["association_p"] == pytest.approx(ways / math.comb(5, a))
    assert seen_null
    assert seen_strong
    for row in rows_of(out, "SELECT mean_weight_all, weight_sum, joint_graph_count FROM edges"):
        assert row["mean_weight_all"] == pytest.approx(row["weight_sum"] / row["joint_graph_count"], rel=1e-5)


def test_flows_are_no_shares_and_a_threshold_of_edges_holds(tmp_path: Path) -> None:
    for seed in range(6):
        graph = factories.random_graph(seed, neurons=14, links=90)
        graph["metadata"]["link_weight"] = "attribution_flow"
        factories.write(tmp_path / "g" / f"{seed}.json", graph)
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    out = build_database(tmp_path / "a.duckdb", Inputs(tmp_path / "stats", min_count=2)).path
    [row] = rows_of(
        out, "SELECT max(share_count) AS shares, count(mean_share) AS means, count(*) AS n FROM edge_strengths"
    )
    assert (row["shares"], row["means"]) == (0, 0)
    assert row["n"] == rows_of(out, "SELECT count(*) AS n FROM edges")[0]["n"] > 10


def test_without_the_links_of_graphs_there_are_no_strengths(tmp_path: Path) -> None:
    for seed in range(3):
        factories.write(tmp_path / "g" / f"{seed}.json", factories.random_graph(seed))
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1, graph_links="none")
    out = build_database(tmp_path / "a.duckdb", Inputs(tmp_path / "stats")).path
    assert rows_of(out, "FROM edge_strengths") == []
    details = rows_of(out, "SELECT count(*) AS n, count(mean_share) AS shares FROM edge_details")
    assert details == [{"n": rows_of(out, "SELECT count(*) AS n FROM edges")[0]["n"], "shares": 0}]


def test_the_g_test_is_near_the_exact_one() -> None:
    n = 400
    with duckdb.connect() as con:
        con.execute(script("probabilities"))
        found = con.execute(
            f"SELECT a, b, j, association_p_of(j, a, b, {n}) FROM range(40, 61, 4) AS x(a), range(52, 61, 4) AS y(b), "
            "range(0, 41) AS z(j)"
        ).fetchall()
    assert len(found) == 6 * 3 * 41
    for a, b, j, value in found:
        ways = sum(math.comb(b, x) * math.comb(n - b, a - x) for x in range(j, min(a, b) + 1)) / math.comb(n, a)
        assert abs(value - ways) < 0.15
        if ways < 0.01:
            assert value <= ways


@pytest.mark.slow
def test_links_that_are_pruned_are_told_from_those_that_are_not(tmp_path: Path) -> None:
    """Where any two nodes that are present are linked, an edge is a co-occurrence."""
    nodes = [factories.ct_feature(layer, index) for layer in range(2) for index in range(3)]
    for name, share in (("full", 1.0), ("pruned", 0.5)):
        for number in range(8):
            pairs = [(i, j) for i in range(3) for j in range(3) if share == 1.0 or (i + j + number) % 2]
            links = [factories.link(f"0_{i}_0", f"1_{j}_0", 1.0) for i, j in pairs]
            graph = factories.ct_graph(nodes, links, slug=f"{number}", prompt=" ".join(factories.words_of(number)))
            factories.write(tmp_path / name / f"{number}.json", graph)
        aggregate_graphs([tmp_path / name], tmp_path / f"{name}-stats", threads=1)
        out = build_database(tmp_path / f"{name}.duckdb", Inputs(tmp_path / f"{name}-stats")).path
        [row] = rows_of(out, "SELECT value FROM metadata WHERE key = 'links_pruned'")
        assert row["value"] == str(name == "pruned").lower()


def test_associations_of_shuffled_presence_are_calibrated(tmp_path: Path) -> None:
    """Neurons that are in groups at random: few small p-values, as a one-sided test of few groups gives."""
    import random

    rng = random.Random(4)
    for number in range(40):
        nodes = [factories.ct_feature(layer, index) for layer in range(2) for index in range(12) if rng.random() < 0.5]
        names = [node["node_id"] for node in nodes]
        links = [factories.link(a, b, 1.0) for a in names for b in names if a[0] == "0" and b[0] == "1"]
        graph = factories.ct_graph(nodes, links, slug=f"{number}", prompt_group=f"{number}")
        factories.write(tmp_path / "g" / f"{number:02d}.json", graph)
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    out = build_database(tmp_path / "a.duckdb", Inputs(tmp_path / "stats")).path
    values = [row["association_p"] for row in rows_of(out, "SELECT association_p FROM edge_strengths")]
    assert len(values) == 144
    for level in (0.05, 0.2, 0.5):
        share = sum(value <= level for value in values) / len(values)
        assert share <= level + 3 * math.sqrt(level * (1 - level) / len(values))
