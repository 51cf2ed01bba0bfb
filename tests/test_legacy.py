"""Edge statistics, wiring caches and assignments of the earlier tool: exact where the file is, honest where it is not."""

from __future__ import annotations

import json
import math
from pathlib import Path

import duckdb
import legacy_factories
import pytest
from legacy_factories import Corpus, by_pair, members_of, rows_of, written

from atlas.database import Inputs, build_database
from atlas.errors import InputError, UsageError
from atlas.importers.checkpoint import import_checkpoint
from atlas.importers.cluster_assignments import import_assignments
from atlas.importers.edge_stats import import_edge_stats
from atlas.importers.wiring_cache import import_wiring_cache
from atlas.stages.manifest import read_manifest


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(graphs=30, layers=4, neurons=12, links=40)


# Edge statistics


def test_profiles_give_links_and_means_and_nothing_made_up(corpus: Corpus, tmp_path: Path) -> None:
    path = written(tmp_path / "stats.json", legacy_factories.edge_stats(corpus, top=1000))
    summary = import_edge_stats([path], tmp_path / "stats")
    edges = by_pair(rows_of(tmp_path / "stats", "edges"))
    assert edges.keys() == corpus.edges.keys()
    for key, row in edges.items():
        assert row["count"] == corpus.edges[key][0]
        assert row["weight_sum"] == pytest.approx(corpus.edges[key][1], rel=1e-12)
        assert {
            row[name]
            for name in ("graph_count", "positive_count", "weight_abs_sum", "weight_sq_sum", "weight_min", "weight_max")
        } == {None}
    manifest = read_manifest(tmp_path / "stats", "stats")
    assert manifest["stat_quality"] == "mean_only"
    assert manifest["space"]["model"] == "llama-3.1-8b"
    assert manifest["options"]["stated"]["total_graphs"] == 30
    assert not summary.malformed.total()
    neurons = {(row["layer"], row["neuron"]): row["graph_count"] for row in rows_of(tmp_path / "stats", "neurons")}
    assert neurons == corpus.neurons
    tokens = rows_of(tmp_path / "stats", "token_edges")
    assert len(tokens) == len(corpus.neurons)
    assert {(row["token_id"], row["count"], row["weight_sum"]) for row in tokens} == {(791, 2, 0.5)}
    logits = rows_of(tmp_path / "stats", "logit_edges")
    assert {(row["layer"], row["neuron"], row["token_id"], row["weight_sum"]) for row in logits} == {
        (*key, key[1], -1.5) for key in corpus.neurons
    }


def test_cut_lists_count_less_and_the_larger_count_is_taken(corpus: Corpus, tmp_path: Path) -> None:
    value = legacy_factories.edge_stats(corpus, top=3)
    listed: dict = {}
    for profile in value["profiles"]:
        here = (profile["layer"], profile["neuron"])
        for item in profile["top_upstream_sources"]:
            if item["source"][0] != "E":
                key = (*map(int, item["source"].split("_")), *here)
                listed[key] = max(listed.get(key, 0), item["count"])
        for item in profile["top_downstream_targets"]:
            if item["target"][0] != "L":
                item["count"] += 2  # as if the source's list had been merged from more parts
                key = (*here, *map(int, item["target"].split("_")))
                listed[key] = max(listed.get(key, 0), item["count"])
    import_edge_stats([written(tmp_path / "stats.json", value)], tmp_path / "stats")
    assert {key: row["count"] for key, row in by_pair(rows_of(tmp_path / "stats", "edges")).items()} == listed


def test_cooccurrence_is_counted_against_chance(corpus: Corpus, tmp_path: Path) -> None:
    profiles = written(tmp_path / "stats.json", legacy_factories.edge_stats(corpus))
    import_edge_stats([profiles], tmp_path / "stats")
    total = len(corpus.files)
    for row in rows_of(tmp_path / "stats", "cooccurrence"):
        mine, other = (row["layer"], row["neuron"]), (row["other_layer"], row["other_neuron"])
        both = dict(legacy_factories.together(corpus, mine))[other]
        lift = both * total / (corpus.neurons[mine] * corpus.neurons[other])
        assert (row["joint_graph_count"], row["lift"]) == (both, pytest.approx(lift))
        assert row["pmi"] == pytest.approx(math.log(lift))
        assert (
            row["npmi"] is None
            if both == total
            else row["npmi"] == pytest.approx(math.log(lift) / -math.log(both / total))
        )
    # A file of its own, from neuron to list, says the same.
    value = legacy_factories.edge_stats(corpus)
    lists = {profile["neuron_id"]: profile.pop("top_cooccurring_neurons") for profile in value["profiles"]}
    apart = [written(tmp_path / "bare.json", value), written(tmp_path / "cooccurrence.json", lists)]
    import_edge_stats(apart, tmp_path / "apart")
    assert rows_of(tmp_path / "apart", "cooccurrence") == rows_of(tmp_path / "stats", "cooccurrence")


def test_appearances_above_the_number_of_graphs_are_nodes(corpus: Corpus, tmp_path: Path) -> None:
    value = legacy_factories.edge_stats(corpus, graphs=False)
    summary = import_edge_stats([written(tmp_path / "stats.json", value)], tmp_path / "stats")
    assert not summary.counts_graphs
    neurons = rows_of(tmp_path / "stats", "neurons")
    assert {row["graph_count"] for row in neurons} == {None}
    assert {(row["layer"], row["neuron"]): row["node_count"] for row in neurons} == {
        key: 7 * count for key, count in corpus.neurons.items()
    }
    assert {row["lift"] for row in rows_of(tmp_path / "stats", "cooccurrence")} == {None}


def test_bad_items_of_profiles_are_counted(tmp_path: Path) -> None:
    sources = [
        {"source": "1_2", "count": 2, "avg_weight": 0.5},
        {"source": "L_5", "count": 2, "avg_weight": 0.5},
        {"source": "x", "count": 2, "avg_weight": 0.5},
        {"source": "1_3", "count": 0, "avg_weight": 0.5},
        {"source": "1_4", "count": 2, "avg_weight": None},
        {"count": 2},
        7,
    ]
    value = {
        "profiles": [
            {
                "layer": 3,
                "neuron": 4,
                "top_upstream_sources": sources,
                "top_cooccurring_neurons": [{"neuron_id": "L3/N4", "count": 3}],
            },
            {"layer": 3},
            5,
        ]
    }
    summary = import_edge_stats([written(tmp_path / "stats.json", value)], tmp_path / "stats", model="mine")
    assert summary.malformed == {
        "token_at_the_wrong_end": 1,
        "bad_partner": 1,
        "no_statistics": 2,
        "no_partner": 2,
        "bad_cooccurrence": 1,
        "bad_neuron": 1,
        "no_profile": 1,
    }
    assert summary.edges == 1
    assert [(row["layer"], row["neuron"], row["graph_count"]) for row in rows_of(tmp_path / "stats", "neurons")] == [
        (1, 2, None),
        (3, 4, None),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "holds no edge statistics"),
        ('{"profiles": [', "ends in the middle"),
        ("[1, 2]", "holds no edge"),
        ('{"a": ' * 100_000, "nested too deep|ends"),
    ],
)
def test_what_is_no_edge_statistics_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "stats.json").write_text(content)
    with pytest.raises(InputError, match=said):
        import_edge_stats([tmp_path / "stats.json"], tmp_path / "stats")
    assert not (tmp_path / "stats").exists()


@pytest.mark.slow
def test_enriched_profiles_become_a_whole_atlas(corpus: Corpus, tmp_path: Path, atlas_command) -> None:
    path = written(tmp_path / "enriched.json", legacy_factories.edge_stats(corpus, enriched=True))
    for kind, folder in (("edge-stats", "stats"), ("labels", "labels"), ("projections", "projections")):
        done = atlas_command("import", kind, path, "-o", tmp_path / folder)
        assert done.returncode == 0, done.stderr
    inputs = Inputs(tmp_path / "stats", [], tmp_path / "labels", tmp_path / "projections")
    atlas = build_database(tmp_path / "a.duckdb", inputs).path
    assert atlas_command("check", atlas).returncode == 0
    with duckdb.connect(str(atlas), read_only=True) as con:
        assert con.execute(
            "SELECT DISTINCT stat_quality, std_weight, weight_min, mean_abs_weight FROM edges"
        ).fetchall() == [("mean_only", None, None, None)]
        label, description = con.execute(
            "SELECT label, description FROM neurons WHERE layer = 0 AND neuron = 0"
        ).fetchall()[0]
        assert (label, description) == ("numbers like 0", None)  # the other polarity is a label of its own
        kinds = con.execute("SELECT DISTINCT projection_kind, direction FROM projections ORDER BY ALL").fetchall()
        assert kinds == [
            ("input_up", "activates"),
            ("output", "promotes"),
            ("output", "suppresses"),
            ("output_token", "promotes"),
        ]
        assert con.execute(
            "SELECT DISTINCT round(ratio_mean::DOUBLE, 3), prompt_count, effect_type FROM direct_effects"
        ).fetchall() == [(0.8, 50, "logit")]
        assert con.execute("SELECT count(*) FROM help").fetchall()[0][0] > 40
        for name, example in con.execute("SELECT name, example FROM help").fetchall():
            con.execute(example).fetchall(), name
    assert "mean_only" in atlas_command("import", "edge-stats", path, "-o", tmp_path / "stats").stderr
    for command in (("neuron", atlas, "L0/N0"), ("info", atlas), ("query", atlas, "upstream", "L3/N0")):
        done = atlas_command(*command)
        assert done.returncode == 0, done.stderr


# Wiring caches


@pytest.mark.parametrize("sign", [1, -1])
def test_wiring_caches_keep_both_lists_and_no_pair_twice(tmp_path: Path, sign: int, atlas_command) -> None:
    listed = legacy_factories.wiring_cache(tmp_path / "cache", sign=sign)
    summary = import_wiring_cache([tmp_path / "cache"], tmp_path / "stats", model="olmo")
    rows = {
        ((r["src_layer"], r["src_neuron"]), (r["tgt_layer"], r["tgt_neuron"])): r
        for r in rows_of(tmp_path / "stats", "connections")
    }
    assert rows.keys() == {pair for _, *pair in listed for pair in [tuple(pair)]}
    for pair, row in rows.items():
        down, up = listed.get(("downstream", *pair)), listed.get(("upstream", *pair))
        assert row["downstream_rank"] == (down[2] if down else None)
        assert row["upstream_rank"] == (up[2] if up else None)
        c_up, c_gate, _ = down or up
        assert (row["c_up"], row["c_gate"], row["strength"]) == pytest.approx((c_up, c_gate, c_up + c_gate), rel=1e-6)
        assert row["polarity"] == ("excitatory" if c_up > 0 else "inhibitory")
    edges = by_pair(rows_of(tmp_path / "stats", "edges"))
    assert len(edges) == len(rows) == summary.connections
    assert all(edges[(*pair[0], *pair[1])]["weight_sum"] == row["strength"] for pair, row in rows.items())
    assert summary.listed == len(listed)
    assert len(rows_of(tmp_path / "stats", "neurons")) == 60
    atlas = build_database(tmp_path / "a.duckdb", Inputs(tmp_path / "stats")).path
    assert atlas_command("check", atlas).returncode == 0
    with duckdb.connect(str(atlas), read_only=True) as con:
        assert {name for (name,) in con.execute("SELECT DISTINCT listed_by FROM connections").fetchall()} == {
            "source",
            "target",
            "both",
        }


def test_caches_without_products_keep_the_strength_of_the_file(tmp_path: Path) -> None:
    entry = {
        "downstream": {
            "excitatory": [{"layer": 1, "neuron": 2, "effective_strength": 0.5}],
            "inhibitory": [{"neuron_id": "L2/N3", "effective_strength": 0.25, "polarity_confidence": 0.75}],
        }
    }
    bad = {
        "upstream": {
            "excitatory": [
                {"layer": 5, "neuron": 1, "effective_strength": 1},
                {"layer": 0},
                3,
                {"layer": 0, "neuron": 1},
                {"layer": 0, "neuron": 2, "c_up": 1, "c_gate": -1},
            ]
        }
    }
    written(tmp_path / "layer_0.json", {"7": entry})
    written(tmp_path / "layer_3.json", {"1": bad, "x": bad})
    summary = import_wiring_cache([tmp_path / "layer_0.json", tmp_path / "layer_3.json"], tmp_path / "stats")
    found = {
        (r["tgt_layer"], r["tgt_neuron"]): (r["strength"], r["polarity"], r["confidence"], r["c_up"])
        for r in rows_of(tmp_path / "stats", "connections")
    }
    assert found == {(1, 2): (0.5, "excitatory", None, None), (2, 3): (-0.25, "inhibitory", 0.75, None)}
    assert summary.malformed == {
        "not_to_a_higher_layer": 1,
        "bad_neuron": 2,
        "no_connection": 1,
        "no_strength": 1,
        "mixed_signs": 1,
    }
    build_database(tmp_path / "a.duckdb", Inputs(tmp_path / "stats"))


def test_wrong_wiring_caches_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no layer_N.json"):
        import_wiring_cache([tmp_path], tmp_path / "stats")
    written(tmp_path / "other.json", {})
    with pytest.raises(InputError, match="other.json is no file of a wiring cache"):
        import_wiring_cache([tmp_path / "other.json"], tmp_path / "stats")
    written(tmp_path / "layer_0.json", {"1": {}})
    with pytest.raises(InputError, match="list no connection"):
        import_wiring_cache([tmp_path / "layer_0.json"], tmp_path / "stats")
    with pytest.raises(InputError, match="are both of layer 0"):
        import_wiring_cache([tmp_path / "layer_0.json", tmp_path / "layer_0.json"], tmp_path / "stats")


# Assignments

NEURONS = [(layer, neuron) for layer in range(3) for neuron in range(20)]


@pytest.mark.parametrize("form", ["qwen", "clusterer", "bare", "llama"])
@pytest.mark.parametrize("leaf_ranks", [True, False])
def test_assignments_of_every_form_give_the_real_modules(tmp_path: Path, form: str, leaf_ranks: bool) -> None:
    value, paths = legacy_factories.assignments(NEURONS, form=form, leaf_ranks=leaf_ranks)
    summary = import_assignments(written(tmp_path / "assignments.json", value), tmp_path / "clusters")
    assert summary.stripped == (leaf_ranks and form != "llama")
    assert members_of(tmp_path / "clusters") == paths
    prefixes = {path[:level] for path in paths.values() for level in range(1, len(path) + 1)}
    assert summary.clusters == len(prefixes)
    clustering = rows_of(tmp_path / "clusters", "clusterings")[0]
    assert clustering["codelength"] == (7.5 if form in ("qwen", "clusterer") else None)
    assert json.loads(clustering["options"])["leaf_ranks_stripped"] == summary.stripped
    flows = {row["flow"] for row in rows_of(tmp_path / "clusters", "clusters") if row["level"] == 1}
    assert flows == {None} if form == "llama" else sum(flows) <= 1.0001


def test_leaf_ranks_can_be_kept_or_stripped_on_demand(tmp_path: Path) -> None:
    value, paths = legacy_factories.assignments(NEURONS, leaf_ranks=True)
    path = written(tmp_path / "assignments.json", value)
    import_assignments(path, tmp_path / "clusters", leaf_ranks="keep", name="mine", method="leiden")
    assert {len(found) for found in members_of(tmp_path / "clusters").values()} == {3, 4}
    assert rows_of(tmp_path / "clusters", "clusterings")[0]["name"] == "mine"
    import_assignments(path, tmp_path / "clusters", leaf_ranks="strip")
    assert members_of(tmp_path / "clusters") == paths
    with pytest.raises(UsageError, match="--leaf-ranks must be"):
        import_assignments(path, tmp_path / "clusters", leaf_ranks="maybe")


def test_bad_assignments_are_counted_and_unassigned_neurons_left_out(tmp_path: Path) -> None:
    value = {
        "assignments": {
            "L1/2": {"path": "1.1"}, "L1/3": {"path": "1.1"}, "L1/4": {"top": -1, "path": None}, "L1/5": {"path": "a.b"}, "L1/6": {"path": "1." * 99 + "1"},
            "nobody": {"path": "1"}, "L1/7": {"top": 2, "sub": 4}, "L1/8": -1, "L1/9": "1", "L1/10": {"path": "1.99999999999"},
        }
    }  # fmt: skip
    summary = import_assignments(written(tmp_path / "a.json", value), tmp_path / "clusters")
    assert members_of(tmp_path / "clusters") == {(1, 2): (1, 1), (1, 3): (1, 1), (1, 7): (2, 4), (1, 9): (1,)}
    assert (summary.unassigned, dict(summary.malformed)) == (2, {"bad_path": 3, "bad_neuron": 1})
    with pytest.raises(InputError, match="assigns no neuron to a cluster"):
        import_assignments(written(tmp_path / "b.json", {"assignments": {}}), tmp_path / "clusters")
    with pytest.raises(InputError, match="does not exist"):
        import_assignments(tmp_path / "nowhere.json", tmp_path / "clusters")


def test_assigned_neurons_that_no_graph_holds_are_counted_in_the_atlas(
    corpus: Corpus, tmp_path: Path, atlas_command
) -> None:
    import_checkpoint(corpus.write(tmp_path / "latest.dat"), tmp_path / "stats")
    value, _ = legacy_factories.assignments([*corpus.neurons, (99, 1), (99, 2)])
    import_assignments(written(tmp_path / "a.json", value), tmp_path / "clusters")
    atlas = build_database(tmp_path / "a.duckdb", Inputs(tmp_path / "stats", [tmp_path / "clusters"])).path
    assert atlas_command("check", atlas).returncode == 0
    with duckdb.connect(str(atlas), read_only=True) as con:
        facts = dict(con.execute("SELECT key, value FROM metadata").fetchall())
    assert (facts["clustered_neurons"], facts["clustered_not_in_atlas"]) == (str(len(corpus.neurons)), "2")
