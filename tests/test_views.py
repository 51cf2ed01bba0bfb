"""Every view and macro against a slow, obvious twin in Python over the plain tables."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import duckdb
import pytest

from atlas.database import open_atlas, scripts
from atlas.options import is_found_again

Row = dict[str, Any]


@pytest.fixture
def con(small_atlas: Path) -> duckdb.DuckDBPyConnection:
    with open_atlas(small_atlas) as con:
        yield con


def rows(con: duckdb.DuckDBPyConnection, source: str) -> list[Row]:
    return con.sql(f"FROM {source}").pl().to_dicts()


@pytest.fixture
def neurons(con) -> dict[tuple[int, int], Row]:
    return {(row["layer"], row["neuron"]): row for row in rows(con, "neurons")}


@pytest.fixture
def edges(con) -> list[Row]:
    return rows(con, "edges")


def src(row: Row) -> tuple[int, int]:
    return row["src_layer"], row["src_neuron"]


def tgt(row: Row) -> tuple[int, int]:
    return row["tgt_layer"], row["tgt_neuron"]


def test_circuits(con, neurons) -> None:
    found = [row for row in rows(con, "circuits") if row["kind"] == "cluster" and row["is_primary"]]
    clusters = {row["cluster_path"]: row for row in rows(con, "clusters")}
    assert len(found) == len(clusters) > 1
    order = [(-row["size"], row["level"], row["cluster_path"]) for row in found]
    assert order == sorted(order)
    for row in found:
        parts = row["cluster_path"].split(".")
        members = [
            n for n in neurons.values() if n["cluster_path"] and n["cluster_path"].split(".")[: len(parts)] == parts
        ]
        labelled = sorted(
            (m for m in members if m["label"] is not None), key=lambda m: (-m["infomap_flow"], m["layer"], m["neuron"])
        )
        assert row["size"] == len(members) == clusters[row["cluster_path"]]["size"]
        assert (row["level"], row["parent_path"]) == (len(parts), ".".join(parts[:-1]) or None)
        assert row["labelled_count"] == len(labelled)
        assert (row["sample_labels"] or []) == list(dict.fromkeys(m["label"] for m in labelled))[:3]
        assert (row["layer_min"], row["layer_max"]) == (
            min(m["layer"] for m in members),
            max(m["layer"] for m in members),
        )


def test_every_circuit_has_the_members_of_its_clustering(con, neurons) -> None:
    """Clusters of every clustering at every level, under the name of the clustering where it is not the primary one."""
    expected: dict[str, set[tuple[int, int]]] = {}
    primary = {row["clustering"]: row["is_primary"] for row in rows(con, "clusterings")}
    overlapping = {row["clustering"] for row in rows(con, "clusterings") if row["is_overlapping"]}
    assert len(primary) == 2
    assert overlapping
    assert not any(primary[name] for name in overlapping)
    plain = [row for row in rows(con, "cluster_members") if row["clustering"] not in overlapping]
    for row in [*plain, *rows(con, "cluster_memberships")]:
        parts = row["cluster_path"].split(".")
        for level in range(1, len(parts) + 1):
            path = ".".join(parts[:level])
            circuit = path if primary[row["clustering"]] else f"{row['clustering']}/{path}"
            expected.setdefault(circuit, set()).add((row["layer"], row["neuron"]))
    for row in rows(con, "anchored_members"):
        expected.setdefault(row["circuit_id"], set()).add((row["layer"], row["neuron"]))
    found: dict[str, set[tuple[int, int]]] = {}
    for row in rows(con, "circuit_members"):
        found.setdefault(row["circuit_id"], set()).add((row["layer"], row["neuron"]))
        assert row["role"] in (None, "core", "contingent", "noise") or row["kind"] != "cluster"
    assert found == expected
    assert {row["circuit_id"] for row in rows(con, "circuits")} == set(expected)
    name = next(iter(primary))
    assert rows(con, f"circuit('{name}/1')") == rows(con, "circuit('1')") or not primary[name]


def test_terms_coherence_and_activity_of_circuits(con, neurons) -> None:
    members: dict[str, list[tuple[int, int]]] = {}
    for row in rows(con, "circuit_members"):
        members.setdefault(row["circuit_id"], []).append((row["layer"], row["neuron"]))
    words = {
        key: set(re.findall(r"\w{2,}", row["label"].lower()))
        for key, row in neurons.items()
        if row["label"] is not None
    }
    joining = {"and", "of", "on", "is", "it", "in", "the"}
    words = {key: found - joining for key, found in words.items()}
    graphs: dict[tuple[int, int], set[int]] = {}
    for row in rows(con, "neuron_graphs"):
        graphs.setdefault((row["layer"], row["neuron"]), set()).add(row["graph_id"])
    seen = 0
    for row in rows(con, "circuits"):
        # The rule stands in SQL and in the options.
        known = None if row["half_agreement"] is None else is_found_again(row["half_agreement"], row["null_fdr"])
        assert row["is_found_again"] == known
        labelled = [words[key] for key in members[row["circuit_id"]] if key in words]
        if len(labelled) > 1:
            pairs = [len(a & b) for number, a in enumerate(labelled) for b in labelled[number + 1 :]]
            assert row["label_coherence"] == pytest.approx(sum(pairs) / len(pairs))
        if row["kind"] == "cluster":
            counts = Counter(g for key in members[row["circuit_id"]] for g in graphs.get(key, ()))
            acts = sum(count >= max(2, row["size"] / 4) for count in counts.values())
            assert (row["graph_count"] or 0) == acts
            seen += acts > 0
    assert seen


def test_matches_of_clusterings(con) -> None:
    members: dict[tuple[str, str], set[tuple[int, int]]] = {}
    circuits = {row["circuit_id"]: row for row in rows(con, "circuits") if row["kind"] == "cluster"}
    for row in rows(con, "circuit_members"):
        if row["circuit_id"] in circuits:
            of = circuits[row["circuit_id"]]
            members.setdefault((of["clustering"], of["cluster_path"]), set()).add((row["layer"], row["neuron"]))
    found = {
        (row["clustering"], row["cluster_path"], row["other_clustering"]): row for row in rows(con, "cluster_matches")
    }
    assert found
    for (name, path), mine in members.items():
        others = {key: len(mine & theirs) / len(mine | theirs) for key, theirs in members.items() if key[0] != name}
        best = max(others.values())
        row = found.get((name, path, next(key[0] for key in others)))
        assert (row["jaccard"] if row else 0) == pytest.approx(best)
        if row:
            assert others[row["other_clustering"], row["other_path"]] == pytest.approx(best)


def test_partners_of_circuits(con, edges) -> None:
    members: dict[str, set[tuple[int, int]]] = {}
    for row in rows(con, "circuit_members"):
        members.setdefault(row["circuit_id"], set()).add((row["layer"], row["neuron"]))
    circuits = {row["circuit_id"]: row for row in rows(con, "circuits")}
    tops = {
        key for key, row in circuits.items() if row["kind"] == "cluster" and row["is_primary"] and row["level"] == 1
    }
    one = min(tops)
    found = {(row["direction"], row["circuit_id"]): row for row in rows(con, f"circuit_partners('{one}')")}
    expected: dict[tuple[str, str], float] = {}
    for row in edges:
        for other in tops - {one}:
            theirs = members[other] - members[one]
            strength = row["count"] * row["mean_abs_weight"]
            if src(row) in members[one] and tgt(row) in theirs:
                expected["drives", other] = expected.get(("drives", other), 0) + strength
            if tgt(row) in members[one] and src(row) in theirs:
                expected["driven by", other] = expected.get(("driven by", other), 0) + strength
    assert expected
    assert {key: row["weight_abs_sum"] for key, row in found.items()} == pytest.approx(expected)


def test_edge_details(con, neurons, edges) -> None:
    found = {(src(row), tgt(row)): row for row in rows(con, "edge_details")}
    assert len(found) == len(edges)
    for edge in edges:
        row = found[src(edge), tgt(edge)]
        source, target = neurons[src(edge)], neurons[tgt(edge)]
        assert row["frequency"] == pytest.approx(edge["graph_count"] / source["appearance_count"])
        assert row["frequency"] <= 1
        assert row["positive_share"] == pytest.approx(edge["positive_count"] / edge["count"])
        assert (row["src_label"], row["tgt_label"]) == (source["label"], target["label"])
        assert (row["src_cluster_path"], row["tgt_cluster_path"]) == (source["cluster_path"], target["cluster_path"])
        assert all(row[name] == edge[name] for name in ("count", "mean_weight", "weight_min", "weight_max", "method"))


def test_hubs(con, neurons) -> None:
    graphs = len(rows(con, "graphs"))
    found = rows(con, "hubs")
    assert [(-row["degree"], row["layer"], row["neuron"]) for row in found] == sorted(
        (-n["in_degree"] - n["out_degree"], *key) for key, n in neurons.items()
    )
    for row in found:
        neuron = neurons[row["layer"], row["neuron"]]
        assert row["graph_share"] == pytest.approx(neuron["appearance_count"] / graphs)
        assert (row["in_degree"], row["out_degree"], row["top_cluster"]) == (
            neuron["in_degree"],
            neuron["out_degree"],
            neuron["top_cluster"],
        )


@pytest.mark.parametrize("view", ["layer_flow", "circuit_flow"])
def test_flows(con, neurons, edges, view: str) -> None:
    expected: dict[tuple, list[float]] = defaultdict(lambda: [0, 0, 0.0, 0.0])
    for edge in edges:
        ends = (edge["src_layer"], edge["tgt_layer"])
        if view == "circuit_flow":
            ends = (neurons[src(edge)]["top_cluster"], neurons[tgt(edge)]["top_cluster"])
        if None in ends:
            continue
        total = expected[ends]
        total[0] += 1
        total[1] += edge["count"]
        total[2] += edge["weight_sum"]
        total[3] += edge["weight_abs_sum"]
    found = {tuple(row.values())[:2]: tuple(row.values())[2:] for row in rows(con, view)}
    assert list(found) == sorted(expected)
    for ends, total in expected.items():
        assert found[ends] == pytest.approx(tuple(total))


@pytest.mark.parametrize(("view", "table"), [("token_inputs", "token_edges"), ("logit_outputs", "logit_edges")])
def test_tokens(con, neurons, view: str, table: str) -> None:
    texts = {row["token_id"]: row["token"] for row in rows(con, "tokens")}
    found = {(row["layer"], row["neuron"], row["token_id"]): row for row in rows(con, view)}
    expected = rows(con, table)
    assert len(found) == len(expected) > 0
    for edge in expected:
        row = found[edge["layer"], edge["neuron"], edge["token_id"]]
        assert row["token"] == texts[edge["token_id"]]
        assert row["label"] == neurons[edge["layer"], edge["neuron"]]["label"]
        assert all(
            row[name] == edge[name]
            for name in (
                "count",
                "graph_count",
                "mean_weight",
                "mean_abs_weight",
                "std_weight",
                "weight_min",
                "weight_max",
            )
        )


def test_label_coverage(con, neurons) -> None:
    for row in rows(con, "label_coverage"):
        mine = [neuron for neuron in neurons.values() if neuron["layer"] == row["layer"]]
        labelled = sum(neuron["label"] is not None for neuron in mine)
        assert (row["neuron_count"], row["labelled_count"]) == (len(mine), labelled)
        assert row["labelled_share"] == pytest.approx(labelled / len(mine))


def test_unlabelled_neurons(con, neurons) -> None:
    found = [(row["layer"], row["neuron"]) for row in rows(con, "unlabelled_neurons")]
    bare = {key: n for key, n in neurons.items() if n["label"] is None}
    assert found == sorted(
        bare, key=lambda key: (-bare[key]["appearance_count"], -bare[key]["in_degree"] - bare[key]["out_degree"], *key)
    )
    assert found


def test_unmatched_labels(con, neurons) -> None:
    expected = [
        (row["layer"], row["neuron"], row["text"])
        for row in rows(con, "labels")
        if (row["layer"], row["neuron"]) not in neurons
    ]
    assert [(row["layer"], row["neuron"], row["text"]) for row in rows(con, "unmatched_labels")] == expected != []


def test_link_accounting(con) -> None:
    counts: Counter[tuple[bool, str]] = Counter()
    graphs: dict[tuple[bool, str], set[int]] = defaultdict(set)
    for row in rows(con, "link_counts"):
        if row["subject"] == "link":
            counts[row["kept"], row["reason"]] += row["count"]
            graphs[row["kept"], row["reason"]].add(row["graph_id"])
    found = rows(con, "link_accounting")
    assert {(row["kept"], row["reason"]): row["link_count"] for row in found} == counts
    assert {(row["kept"], row["reason"]): row["graph_count"] for row in found} == {
        key: len(value) for key, value in graphs.items()
    }
    assert sum(row["link_share"] for row in found) == pytest.approx(1, abs=1e-5)
    assert sum(counts.values()) == sum(row["link_count"] for row in rows(con, "graphs"))


def test_oddities_of_nodes_are_no_links(tmp_path: Path) -> None:
    import factories
    from conftest import stats_of

    from atlas.database import Inputs, build_database

    graph = factories.ct_graph(
        [factories.ct_feature(0, 1), factories.ct_feature(0, 1), factories.ct_feature(1, 1)],
        [factories.link("0_1_0", "1_1_0", 1)],
    )
    stats_of(tmp_path, [graph])
    with open_atlas(build_database(tmp_path / "a.duckdb", Inputs(tmp_path / "stats")).path) as con:
        assert [(row["reason"], row["link_count"]) for row in rows(con, "link_accounting")] == [("edges", 1)]
        assert ("node", "duplicate", 1) in [
            (row["subject"], row["reason"], row["count"]) for row in rows(con, "link_counts")
        ]


def strength(row: Row) -> tuple:
    return -row["mean_abs_weight"], row["layer"], row["neuron"]


@pytest.mark.parametrize("macro", ["upstream", "downstream"])
def test_neighbours_are_ordered_with_their_shares(con, neurons, edges, macro: str) -> None:
    for key in list(neurons)[:12]:
        mine, other = (tgt, src) if macro == "upstream" else (src, tgt)
        expected = [edge for edge in edges if mine(edge) == key]
        found = rows(con, f"{macro}({key[0]}, {key[1]})")
        assert len(found) == len(expected)
        assert [strength(row) for row in found] == sorted(strength(row) for row in found)
        by_key = {other(edge): edge for edge in expected}
        for row in found:
            edge = by_key[row["layer"], row["neuron"]]
            assert row["positive_share"] == pytest.approx(edge["positive_count"] / edge["count"])
            assert row["frequency"] == pytest.approx(edge["graph_count"] / neurons[src(edge)]["appearance_count"])
            assert row["label"] == neurons[row["layer"], row["neuron"]]["label"]


def test_paths_between_are_as_strong_as_their_weaker_edge(con, edges) -> None:
    by_pair = {(src(edge), tgt(edge)): edge for edge in edges}
    (start, end) = next(pair for pair in sorted(by_pair) if pair[0] != pair[1])
    found = rows(con, f"paths_between({start[0]}, {start[1]}, {end[0]}, {end[1]})")
    assert found[0]["hop_count"] == 1
    assert len(found) > 2
    for row in found[1:]:
        via = (row["via_layer"], row["via_neuron"])
        first, second = by_pair[start, via], by_pair[via, end]
        assert row["strength"] == min(first["mean_abs_weight"], second["mean_abs_weight"])
        assert row["graph_count"] == min(first["graph_count"], second["graph_count"])
        assert (row["first_weight"], row["second_weight"]) == (first["mean_weight"], second["mean_weight"])
    order = [(row["hop_count"], -row["strength"]) for row in found]
    assert order == sorted(order)


@pytest.mark.parametrize("macro", ["tokens_in", "logits_out"])
def test_tokens_of_a_neuron(con, macro: str) -> None:
    view = {"tokens_in": "token_inputs", "logits_out": "logit_outputs"}[macro]
    expected = sorted(
        (row for row in rows(con, view) if (row["layer"], row["neuron"]) == (1, 2)),
        key=lambda row: (-row["mean_abs_weight"], row["token_id"]),
    )
    found = rows(con, f"{macro}(1, 2)")
    assert (
        [(row["token_id"], row["token"], row["mean_weight"]) for row in found]
        == [(row["token_id"], row["token"], row["mean_weight"]) for row in expected]
        != []
    )


def test_graphs_of_a_neuron(con) -> None:
    mine = [row for row in rows(con, "neuron_graphs") if (row["layer"], row["neuron"]) == (1, 2)]
    found = rows(con, "graphs_of(1, 2)")
    assert [row["graph_id"] for row in found] == [
        row["graph_id"]
        for row in sorted(
            mine,
            key=lambda row: (
                -max(abs(row["activation_min"]), abs(row["activation_max"]))
                if row["activation_max"] is not None
                else 9e9,
                row["graph_id"],
            ),
        )
    ]


def spearman(pairs: list[tuple[float, float]]) -> float:
    """Rank correlation, ties sharing their average rank, from its definition."""

    def ranks(values: list[float]) -> list[float]:
        return [sum(other < value for other in values) + (values.count(value) + 1) / 2 for value in values]

    first, second = (ranks([pair[i] for pair in pairs]) for i in (0, 1))
    mean = (len(pairs) + 1) / 2
    above = sum((a - mean) * (b - mean) for a, b in zip(first, second, strict=True))
    return above / math.sqrt(sum((a - mean) ** 2 for a in first) * sum((b - mean) ** 2 for b in second))


def test_reliability_compares_disjoint_sets_of_graphs(con) -> None:
    graphs = [row["split_bucket"] for row in rows(con, "graphs")]
    cells = defaultdict(list)
    for row in rows(con, "edge_samples"):
        cells[src(row) + tgt(row)].append((row["bucket"], row["count"], row["mean_weight"]))
    # Few edges: the sample holds all of them.
    assert sorted(cells) == sorted(src(row) + tgt(row) for row in rows(con, "edges"))
    found = rows(con, "reliability")
    assert len(found) == 4
    for row, size in zip(found, (1, 2, 4, 8), strict=True):
        assert row["graph_count"] == sum(bucket < 2 * size for bucket in graphs) // 2
        means = {}
        for key, seen in cells.items():
            split_half = [[(n, w) for b, n, w in seen if b < 2 * size and b % 2 == half] for half in (0, 1)]
            means[key] = [
                sum(n * w for n, w in half) / sum(n for n, _ in half) if half else None for half in split_half
            ]
        seen = {key: pair for key, pair in means.items() if pair != [None, None]}
        both = [tuple(pair) for pair in seen.values() if None not in pair]
        assert (row["edge_count"], row["both_count"]) == (len(seen), len(both))
        assert row["both_share"] == pytest.approx(len(both) / len(seen))
        fixed = []
        for mine in cells.values():
            if {bucket % 2 for bucket, *_ in mine} == {0, 1}:
                fixed.append(tuple(sum(n * w for b, n, w in mine if b < 2 * size and b % 2 == half) for half in (0, 1)))
        assert row["fixed_count"] == len(fixed)
        assert row["fixed_rank_correlation"] == pytest.approx(spearman(fixed), abs=1e-6)
        if len(both) > 1:
            assert row["rank_correlation"] == pytest.approx(spearman(both), abs=1e-9)
        tops = [
            sorted((k for k in seen if seen[k][i] is not None), key=lambda k: (-abs(seen[k][i]), k))[: row["top_count"]]
            for i in (0, 1)
        ]
        shared = [key for key in tops[0] if key in tops[1]]
        assert row["top_overlap"] == pytest.approx(len(shared) / row["top_count"])


def test_edge_reliability_by_the_graphs_of_an_edge(con, edges) -> None:
    groups = defaultdict(list)
    for edge in edges:
        if edge["graph_count"] > 1 and 0 < edge["half_count"] < edge["count"]:
            rest = edge["mean_weight"] * edge["count"] - edge["half_mean_weight"] * edge["half_count"]
            groups[2 ** int(math.log2(edge["graph_count"]))].append(
                (edge["half_mean_weight"], rest / (edge["count"] - edge["half_count"]))
            )
    found = rows(con, "edge_reliability")
    assert [(row["min_graphs"], row["edge_count"]) for row in found] == sorted((k, len(v)) for k, v in groups.items())
    for row in found:
        pairs = groups[row["min_graphs"]]
        assert row["max_graphs"] == 2 * row["min_graphs"] - 1
        assert row["same_sign_share"] == pytest.approx(sum((a > 0) == (b > 0) for a, b in pairs) / len(pairs))
        if len(pairs) > 2:
            assert row["rank_correlation"] == pytest.approx(spearman(pairs), abs=1e-6)


def test_company_of_a_neuron(con, neurons) -> None:
    graphs = defaultdict(set)
    for row in rows(con, "neuron_graphs"):
        graphs[row["layer"], row["neuron"]].add(row["graph_id"])
    total = len(rows(con, "graphs"))
    found = rows(con, "cooccurring(1, 2)")
    assert len(found) == 20
    assert [row["npmi"] for row in found] == sorted((row["npmi"] for row in found), reverse=True)
    mine = graphs[1, 2]
    best = sorted(
        (key for key in graphs if key != (1, 2) and graphs[key] & mine),
        key=lambda key: (-len(graphs[key] & mine), len(graphs[key]), key),
    )
    assert {(row["layer"], row["neuron"]) for row in found} == set(best[:20])
    for row in found:
        other = graphs[row["layer"], row["neuron"]]
        lift = len(mine & other) * total / (len(mine) * len(other))
        assert best[row["rank"] - 1] == (row["layer"], row["neuron"])
        assert row["joint_graph_count"] == len(mine & other)
        assert row["share"] == pytest.approx(len(mine & other) / len(other))
        assert row["lift"] == pytest.approx(lift, rel=1e-6)
        assert row["pmi"] == pytest.approx(math.log(lift), abs=1e-6)
        assert row["npmi"] == pytest.approx(math.log(lift) / -math.log(len(mine & other) / total), abs=1e-6)


def test_edges_know_the_graphs_of_both_ends(con, edges) -> None:
    graphs = defaultdict(set)
    for row in rows(con, "neuron_graphs"):
        graphs[row["layer"], row["neuron"]].add(row["graph_id"])
    total = len(rows(con, "graphs"))
    for edge in edges:
        both, ends = graphs[src(edge)] & graphs[tgt(edge)], (graphs[src(edge)], graphs[tgt(edge)])
        assert edge["joint_graph_count"] == len(both)
        assert edge["conditional_frequency"] == pytest.approx(edge["graph_count"] / len(both), rel=1e-6)
        lift = len(both) * total / (len(ends[0]) * len(ends[1]))
        assert edge["lift"] == pytest.approx(lift, rel=1e-6)
        if len(both) < total:
            assert edge["npmi"] == pytest.approx(math.log(lift) / -math.log(len(both) / total), abs=1e-6)
        else:
            assert edge["npmi"] is None


def test_effect_types(con) -> None:
    by_layer = defaultdict(list)
    for row in rows(con, "direct_effects"):
        by_layer[row["layer"]].append(row)
    found = rows(con, "effect_types")
    assert [row["layer"] for row in found] == sorted(by_layer) == [0, 1, 2]
    for row in found:
        mine = by_layer[row["layer"]]
        kinds = Counter(one["effect_type"] for one in mine)
        assert row["neuron_count"] == len(mine) == 6
        assert [row[f"{kind}_count"] for kind in ("logit", "mixed", "routing")] == [
            kinds[kind] for kind in ("logit", "mixed", "routing")
        ]
        assert row["ratio_mean"] == pytest.approx(sum(one["ratio_mean"] for one in mine) / 6)
        ordered = sorted(one["ratio_mean"] for one in mine)
        assert row["ratio_median"] == pytest.approx((ordered[2] + ordered[3]) / 2)


def test_projection_and_exemplars_of(con) -> None:
    wanted = [row for row in rows(con, "projections") if (row["layer"], row["neuron"]) == (1, 2)]
    found = rows(con, "projection(1, 2)")
    order = [
        (row["projection_kind"] != "output", row["projection_kind"], row["direction"], row["rank"]) for row in found
    ]
    assert order == sorted(order)
    assert len(found) == len(wanted) == 12
    assert Counter(row["weight"] for row in found) == Counter(row["weight"] for row in wanted)
    exemplars = rows(con, "exemplars_of(1, 2)")
    assert [(row["activation"], row["token"], row["context"], row["rank"]) for row in exemplars] == [
        (3.0, "t7", "so", 1),
        (1.5, "t7", "so", 2),
    ]


def test_neurons_show_the_length_of_what_they_write(con, neurons) -> None:
    shown = [key for key, row in neurons.items() if row["output_norm"] is not None]
    assert shown
    assert all(layer < 3 and neuron < 6 for layer, neuron in shown)


def test_every_view_and_macro_is_tested_here() -> None:
    text = Path(__file__).read_text()
    for kind in ("views", "macros"):
        for script in scripts(kind):
            # circuit, circuit_edges and search have their reference_impl in test_queries.py, edge_evidence and
            # evidence_by_layers in test_evidence.py, label_interpretability, label_types, label_uniqueness and
            # low_output_high_input in test_published.py, prompt_groups in test_groups.py, graph_targets in test_graph_links.py, fidelity in test_ablations.py,
            # circuit_members, circuit_graphs and circuit_ends in test_circuits.py, and activity, circuit_tokens, activations_of, tokens_of, fires_on, examples_of, coactive, similar_to and feature_neurons_of in
            # test_activation_views.py, circuit_named and terms_of in test_macro_forms.py.
            assert script.name in text, script.name
