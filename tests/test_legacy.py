"""Edge statistics, wiring caches, assignments and atlases of the earlier tool: exact where the file is, honest where it is not."""

from __future__ import annotations

import json
import math
from pathlib import Path

import duckdb
import legacy_makers
import pyarrow.parquet as pq
import pytest
from legacy_makers import Corpus

from atlas.database import Inputs, build_database
from atlas.errors import AtlasFileError, InputError, OutputError, UsageError
from atlas.labels import LabelFile, import_labels
from atlas.legacy import (
    import_assignments,
    import_checkpoint,
    import_edge_stats,
    import_older_atlas,
    import_projections,
    import_wiring_cache,
)
from atlas.storage import read_manifest

PAIR = ("src_layer", "src_neuron", "tgt_layer", "tgt_neuron")


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(graphs=30, layers=4, neurons=12, links=40)


def written(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value, indent=2))
    return path


def rows_of(folder: Path, name: str) -> list[dict]:
    path = folder / name if (folder / name).is_dir() else folder / f"{name}.parquet"
    return pq.read_table(path).to_pylist()


def by_pair(rows: list[dict]) -> dict:
    return {tuple(row[name] for name in PAIR): row for row in rows}


# Edge statistics


def test_profiles_give_links_and_means_and_nothing_made_up(corpus: Corpus, tmp_path: Path) -> None:
    path = written(tmp_path / "stats.json", legacy_makers.edge_stats(corpus, top=1000))
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
    value = legacy_makers.edge_stats(corpus, top=3)
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
    profiles = written(tmp_path / "stats.json", legacy_makers.edge_stats(corpus))
    import_edge_stats([profiles], tmp_path / "stats")
    total = len(corpus.files)
    for row in rows_of(tmp_path / "stats", "cooccurrence"):
        mine, other = (row["layer"], row["neuron"]), (row["other_layer"], row["other_neuron"])
        both = dict(legacy_makers.together(corpus, mine))[other]
        lift = both * total / (corpus.neurons[mine] * corpus.neurons[other])
        assert (row["both_graphs"], row["lift"]) == (both, pytest.approx(lift))
        assert row["pmi"] == pytest.approx(math.log(lift))
        assert (
            row["npmi"] is None
            if both == total
            else row["npmi"] == pytest.approx(math.log(lift) / -math.log(both / total))
        )
    # A file of its own, from neuron to list, says the same.
    value = legacy_makers.edge_stats(corpus)
    lists = {profile["neuron_id"]: profile.pop("top_cooccurring_neurons") for profile in value["profiles"]}
    apart = [written(tmp_path / "bare.json", value), written(tmp_path / "cooccurrence.json", lists)]
    import_edge_stats(apart, tmp_path / "apart")
    assert rows_of(tmp_path / "apart", "cooccurrence") == rows_of(tmp_path / "stats", "cooccurrence")


def test_appearances_above_the_number_of_graphs_are_nodes(corpus: Corpus, tmp_path: Path) -> None:
    value = legacy_makers.edge_stats(corpus, graphs=False)
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


def test_enriched_profiles_become_a_whole_atlas(corpus: Corpus, tmp_path: Path, atlas_command) -> None:
    path = written(tmp_path / "enriched.json", legacy_makers.edge_stats(corpus, enriched=True))
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
    listed = legacy_makers.wiring_cache(tmp_path / "cache", sign=sign)
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


def members_of(folder: Path) -> dict:
    return {
        (row["layer"], row["neuron"]): tuple(map(int, row["cluster_path"].split(".")))
        for row in rows_of(folder, "members")
    }


@pytest.mark.parametrize("form", ["qwen", "clusterer", "bare", "llama"])
@pytest.mark.parametrize("leaf_ranks", [True, False])
def test_assignments_of_every_form_give_the_real_modules(tmp_path: Path, form: str, leaf_ranks: bool) -> None:
    value, paths = legacy_makers.assignments(NEURONS, form=form, leaf_ranks=leaf_ranks)
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
    value, paths = legacy_makers.assignments(NEURONS, leaf_ranks=True)
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
    value, _ = legacy_makers.assignments([*corpus.neurons, (99, 1), (99, 2)])
    import_assignments(written(tmp_path / "a.json", value), tmp_path / "clusters")
    atlas = build_database(tmp_path / "a.duckdb", Inputs(tmp_path / "stats", [tmp_path / "clusters"])).path
    assert atlas_command("check", atlas).returncode == 0
    with duckdb.connect(str(atlas), read_only=True) as con:
        facts = dict(con.execute("SELECT key, value FROM metadata").fetchall())
    assert (facts["clustered_neurons"], facts["clustered_not_in_atlas"]) == (str(len(corpus.neurons)), "2")


# Earlier atlases


@pytest.mark.parametrize("columns", [18, 13])
def test_an_earlier_atlas_is_rebuilt(corpus: Corpus, tmp_path: Path, columns: int, atlas_command) -> None:
    path = legacy_makers.older_atlas(tmp_path / "older.duckdb", corpus, columns=columns)
    for kind, folder in (
        ("older-atlas", "stats"),
        ("labels", "labels"),
        ("assignments", "clusters"),
        *([("projections", "projections")] if columns == 18 else []),
    ):
        done = atlas_command("import", kind, path, "-o", tmp_path / folder)
        assert done.returncode == 0, done.stderr
    edges = by_pair(rows_of(tmp_path / "stats", "edges"))
    for key, values in corpus.edges.items():
        row = edges[key]
        assert [
            row[name] for name in ("count", "weight_sum", "weight_abs_sum", "weight_sq_sum", "weight_min", "weight_max")
        ] == pytest.approx(values, rel=1e-5)
    assert read_manifest(tmp_path / "stats", "stats")["stat_quality"] == "rounded"
    neurons = {(row["layer"], row["neuron"]): row["graph_count"] for row in rows_of(tmp_path / "stats", "neurons")}
    assert neurons == (corpus.neurons if columns == 18 else dict.fromkeys(corpus.neurons))
    # Every path was one of its own: Infomap's leaf ranks.
    assert {len(found) for found in members_of(tmp_path / "clusters").values()} == {1}
    projections = tmp_path / "projections" if columns == 18 else None
    atlas = build_database(
        tmp_path / "new.duckdb", Inputs(tmp_path / "stats", [tmp_path / "clusters"], tmp_path / "labels", projections)
    ).path
    assert atlas_command("check", atlas).returncode == 0
    with duckdb.connect(str(atlas), read_only=True) as con:
        row = con.execute(
            "SELECT label, input_label, num_exemplars, top_cluster, output_norm FROM neurons ORDER BY layer, neuron LIMIT 1"
        ).fetchall()[0]
    assert row == ("label 0", "input 0" if columns == 18 else None, 4, 1, 2.5 if columns == 18 else None)


def test_made_up_extremes_of_an_earlier_atlas_are_not_taken_over(corpus: Corpus, tmp_path: Path) -> None:
    path = legacy_makers.older_atlas(tmp_path / "older.duckdb", corpus, mean_only=True)
    summary = import_older_atlas(path, tmp_path / "stats")
    assert summary.quality == "mean_only"
    for key, row in by_pair(rows_of(tmp_path / "stats", "edges")).items():
        assert row["weight_sum"] == pytest.approx(corpus.edges[key][1], rel=1e-5)
        assert {row[name] for name in ("weight_abs_sum", "weight_sq_sum", "weight_min", "weight_max")} == {None}


def test_edges_by_weights_of_an_earlier_atlas_take_their_mean(corpus: Corpus, tmp_path: Path) -> None:
    path = legacy_makers.older_atlas(tmp_path / "older.duckdb", corpus, weights=True)
    summary = import_older_atlas(path, tmp_path / "stats")
    assert summary.method == "weight_graph"
    for key, row in by_pair(rows_of(tmp_path / "stats", "edges")).items():
        assert row["weight_sum"] == pytest.approx(corpus.edges[key][1] / corpus.edges[key][0], rel=1e-5)


def test_exports_of_the_aggregator_are_read(corpus: Corpus, tmp_path: Path) -> None:
    import_checkpoint(corpus.write(tmp_path / "latest.dat"), tmp_path / "from_checkpoint")
    source = tmp_path / "from_checkpoint"
    with duckdb.connect(str(tmp_path / "export.duckdb")) as con:
        sums = "weight_sum, weight_abs_sum, weight_sq_sum, weight_min, weight_max"
        con.execute(
            f"CREATE TABLE edges AS SELECT {', '.join(PAIR)}, count::INTEGER AS count, {sums} FROM '{source}/edges/*.parquet'"
        )
        con.execute(f"CREATE TABLE neurons AS SELECT layer, neuron, graph_count FROM '{source}/neurons/*.parquet'")
        con.execute(
            f"CREATE TABLE neuron_graphs AS SELECT layer, neuron, path AS graph_file, coalesce(corpus_index, -1)::INTEGER AS corpus_index FROM '{source}/neuron_graphs/*.parquet' JOIN '{source}/graphs.parquet' USING (graph_id)"
        )
        folder = tmp_path / "parquet"
        folder.mkdir()
        for name in ("edges", "neurons"):
            con.execute(f"COPY {name} TO '{folder}/{name}.parquet'")
    for given in (tmp_path / "export.duckdb", folder):
        summary = import_older_atlas(given, tmp_path / "stats")
        assert summary.quality == "exact"
        assert by_pair(rows_of(tmp_path / "stats", "edges")) == by_pair(rows_of(source, "edges"))
    import_older_atlas(tmp_path / "export.duckdb", tmp_path / "stats")
    names = ("layer", "neuron", "graph_id")
    assert {tuple(r[n] for n in names) for r in rows_of(tmp_path / "stats", "neuron_graphs")} == {
        tuple(r[n] for n in names) for r in rows_of(source, "neuron_graphs")
    }


def test_what_is_no_earlier_atlas_is_refused(small_atlas: Path, tmp_path: Path) -> None:
    with pytest.raises(AtlasFileError, match="is an atlas of this tool"):
        import_older_atlas(small_atlas, tmp_path / "stats")
    with pytest.raises(InputError, match="does not exist"):
        import_older_atlas(tmp_path / "nowhere.duckdb", tmp_path / "stats")
    (tmp_path / "bad.duckdb").write_bytes(b"no database" * 1000)
    with pytest.raises(AtlasFileError, match="cannot be read"):
        import_older_atlas(tmp_path / "bad.duckdb", tmp_path / "stats")
    with duckdb.connect(str(tmp_path / "other.duckdb")) as con:
        con.execute("CREATE TABLE neurons (layer INTEGER)")
    with pytest.raises(InputError, match="is no atlas of the earlier tool"):
        import_older_atlas(tmp_path / "other.duckdb", tmp_path / "stats")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty"):
        import_older_atlas(tmp_path / "other.duckdb", tmp_path / "mine")


# Projections


def test_both_input_projections_are_told_apart(tmp_path: Path) -> None:
    item = {"token": " a", "token_id": 1, "weight": 0.5}
    value = {
        "L0/N1": {
            "input_projection": {"activates": [item]},
            "output_projection": {
                "promotes": [{"token": "x", "token_id": 2, "logit_contribution": 1.0}],
                "suppresses": [{"token": "y", "weight": 0.5}, {"token": "z", "weight": 0.75}],
                "output_norm": 3.5,
            },
        },
        "L0/N2": {"input_projection": {"activates": [item], "suppresses": [item], "input_norm": 2.0}},
        "L0/N3": {"error": "out of memory"},
        "L0/N4": {"output_projection": {"promoted": [5, {"token": "x"}]}},
    }
    summary = import_projections([written(tmp_path / "projections_task_0.json", value)], tmp_path / "p")
    rows = {
        (r["neuron"], r["projection_kind"], r["direction"], r["rank"]): (r["token"], r["token_id"], r["weight"])
        for r in rows_of(tmp_path / "p", "projections")
    }
    assert rows == {
        (1, "input_up", "activates", 1): (" a", 1, 0.5),
        (1, "output", "promotes", 1): ("x", 2, 1.0),
        (1, "output", "suppresses", 1): ("z", None, -0.75),
        (1, "output", "suppresses", 2): ("y", None, -0.5),
        (2, "input_gated", "activates", 1): (" a", 1, 0.5),
        (2, "input_gated", "suppresses", 1): (" a", 1, -0.5),
    }
    assert (summary.errors, summary.norms, summary.malformed["bad_token"]) == (1, 1, 2)


def test_ratios_stand_in_batches_in_profiles_or_alone(tmp_path: Path) -> None:
    batch = {
        "results": {
            "L1/N1": {"mean": 0.2, "std": 0.1, "min": 0.0, "max": 0.4, "n_prompts": 9},
            "L1/N2": 0.9,
            "L1/N3": {"mean": 7},
        },
        "metadata": {"n_neurons": 3},
    }
    profiles = {
        "profiles": [
            {"layer": 1, "neuron": 1, "direct_effect_ratio": 0.5},
            {"layer": 1, "neuron": 4, "direct_effect_ratio": {"mean": 0.5, "effect_type": "mixed"}},
        ]
    }
    paths = [written(tmp_path / "batch.json", batch), written(tmp_path / "profiles.json", profiles)]
    summary = import_projections(paths, tmp_path / "p")
    rows = {
        r["neuron"]: (r["ratio_mean"], r["effect_type"], r["prompt_count"], r["ratio_max"])
        for r in rows_of(tmp_path / "p", "direct_effects")
    }
    assert rows == {1: (0.2, "routing", 9, 0.4), 4: (0.5, "mixed", None, None)}
    assert (summary.repeated, summary.malformed["bad_ratio"]) == (1, 1)
    with pytest.raises(InputError, match="holds no projections"):
        import_projections([written(tmp_path / "none.json", {"a": 1})], tmp_path / "p")


def test_caches_and_databases_have_projections_too(tmp_path: Path) -> None:
    legacy_makers.wiring_cache(tmp_path / "cache", layers=2, width=3)
    database = {
        "neurons": {
            "L5/N6": {
                "direct_logit_effects": {"promotes": [{"token": "a", "token_id": 4, "weight": 2.0}]},
                "output_norm": 1.25,
            }
        },
        "metadata": {},
    }
    paths = [*sorted((tmp_path / "cache").iterdir()), written(tmp_path / "function_db.json", database)]
    summary = import_projections(paths, tmp_path / "p")
    assert (summary.neurons, summary.projections, summary.norms) == (7, 7, 1)


def test_real_dashboards_are_read(data: Path, tmp_path: Path) -> None:
    path = data / "activations" / "saedashboard" / "test_simple" / "batch-0.json"
    summary = import_projections([path], tmp_path / "p")
    assert (summary.neurons, summary.projections) == (2, 40)
    first = rows_of(tmp_path / "p", "projections")[0]
    assert (first["layer"], first["neuron"], first["token"], first["direction"]) == (0, 0, " Brigade", "promotes")
    import_labels([LabelFile(path)], tmp_path / "labels")
    assert rows_of(tmp_path / "labels", "labels")[0]["text"] == "‘ Brigade’ ‘ brigade’ ‘ Brig’"


# Hostile files: each importer of JSON says what is wrong in one line, in bounded memory, and writes nothing.

IMPORTERS = {
    "edge-stats": (import_edge_stats, "stats.json", True),
    "wiring-cache": (import_wiring_cache, "layer_0.json", True),
    "assignments": (import_assignments, "assignments.json", False),
    "projections": (import_projections, "projections.json", True),
}
HOSTILE = {
    "nothing": (b"", "no JSON|holds no"),
    "a number": (b"7", "no JSON object"),
    "cut": (b'{"profiles": [{"layer": 1, "neuron": 2', "ends in the middle"),
    "deep": (b'{"a": ' + b"[" * 500_000, "nested too deep|ends in the middle"),
    "wide numbers": (b'{"a": 1' + b"0" * 100_000 + b"}", "holds no|no JSON|list no|assigns no"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "UTF-16"),
    "Latin-1": ('{"é": 1}'.encode("latin-1"), "not UTF-8"),
    "binary": (bytes(range(256)) * 100, "no JSON|not UTF-8"),
    "no neurons": (b'{"a": {"b": 1}, "profiles": [], "assignments": {}}', "holds no|list no|assigns no"),
}


@pytest.mark.parametrize("kind", IMPORTERS)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_json_is_refused_by_every_importer(tmp_path: Path, kind: str, name: str) -> None:
    run, file, many = IMPORTERS[kind]
    content, said = HOSTILE[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        run([tmp_path / file] if many else tmp_path / file, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_gzip_bombs_are_refused_in_bounded_memory(tmp_path: Path) -> None:
    """130 MB of one text in 130 kB; a member may have half of that, and the process that reads it less than 1 GB."""
    import subprocess
    import sys
    import zlib

    packer = zlib.compressobj(9, wbits=31)
    data = (
        packer.compress(b'{"profiles": ["')
        + b"".join(packer.compress(b"a" * (1 << 20)) for _ in range(130))
        + packer.flush()
    )
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom atlas import legacy\nfrom atlas.errors import InputError\n"
        "limit = 6 << 30\nresource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "try:\n    getattr(legacy, sys.argv[1])([Path(sys.argv[2])], Path(sys.argv[3]))\n"
        "except InputError as error:\n    print(error)\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    for importer, name in (
        ("import_edge_stats", "stats.json.gz"),
        ("import_wiring_cache", "layer_0.json.gz"),
        ("import_projections", "p.json.gz"),
    ):
        (tmp_path / name).write_bytes(data)
        done = subprocess.run(
            [sys.executable, "-c", code, importer, tmp_path / name, tmp_path / "out"],
            capture_output=True,
            text=True,
            check=True,
        )
        said, peak = done.stdout.splitlines()
        assert "Mi letters" in said
        assert int(peak) < 1_000_000  # KiB


# Found by reading: each of these once gave a wrong number or a traceback.


def test_file_names_of_an_export_are_no_sql(corpus: Corpus, tmp_path: Path) -> None:
    import_checkpoint(corpus.write(tmp_path / "latest.dat"), tmp_path / "stats")
    folder = tmp_path / "export"
    folder.mkdir()
    for name in ("edges", "neurons"):
        (tmp_path / "stats" / name / "part-00000.parquet").rename(folder / f"{name}.parquet")
    (folder / 'x" AS SELECT 1; CREATE VIEW "y.parquet').write_bytes((folder / "neurons.parquet").read_bytes())
    assert import_older_atlas(folder, tmp_path / "again").edges == len(corpus.edges)


def test_an_earlier_atlas_without_edges_keeps_its_neurons(corpus: Corpus, tmp_path: Path) -> None:
    path = legacy_makers.older_atlas(tmp_path / "older.duckdb", corpus)
    with duckdb.connect(str(path)) as con:
        con.execute("DELETE FROM edges")
        con.execute("UPDATE neurons SET appearance_count = 60 WHERE layer = 0 AND neuron = 0")
    summary = import_older_atlas(path, tmp_path / "stats")
    assert (summary.edges, summary.neurons, summary.counts_graphs) == (0, len(corpus.neurons), False)
    assert {row["graph_count"] for row in rows_of(tmp_path / "stats", "neurons")} == {None}


def test_a_weight_without_sums_states_nothing_else(corpus: Corpus, tmp_path: Path) -> None:
    path = legacy_makers.older_atlas(tmp_path / "older.duckdb", corpus)
    with duckdb.connect(str(path)) as con:
        con.execute("DELETE FROM edges")
        con.execute(
            "INSERT INTO edges VALUES (0, 0, 1, 1, 1, 0, 0, 0, 0, 0, -0.5, 0.5), (0, 0, 1, 2, 1, NULL, NULL, NULL, NULL, NULL, 0.25, 0.25), (0, 0, 1, 3, 2, 0, 2, 2, -1, 1, NULL, NULL)"
        )
    import_older_atlas(path, tmp_path / "stats")
    found = {
        key[3]: (row["weight_sum"], row["weight_abs_sum"], row["weight_max"])
        for key, row in by_pair(rows_of(tmp_path / "stats", "edges")).items()
    }
    assert found == {1: (-0.5, None, None), 2: (0.25, None, None), 3: (0.0, 2.0, 1.0)}


def test_an_earlier_atlas_without_clusters_is_rebuilt_without(corpus: Corpus, tmp_path: Path, atlas_command) -> None:
    import os

    path = legacy_makers.older_atlas(tmp_path / "older.duckdb", corpus)
    with duckdb.connect(str(path)) as con:
        con.execute("UPDATE neurons SET cluster_path = NULL")
    done = atlas_command("build", "older-atlas", "-o", tmp_path / "new.duckdb", env=os.environ | {"DATA": str(path)})
    assert done.returncode == 0, done.stderr
    assert "min_count" not in done.stderr
    for command in ("info", "tour"):
        done = atlas_command(command, tmp_path / "new.duckdb")
        assert done.returncode == 0, done.stderr
        assert " 0 graphs" not in done.stdout


def test_prompts_of_both_kinds_are_the_graphs(tmp_path: Path) -> None:
    value = {
        "metadata": {"num_domain_prompts": 10, "num_baseline_prompts": 10},
        "profiles": [
            {"layer": 1, "neuron": 2, "appearance_count": 15},
            {"layer": 1, "neuron": 3, "appearance_count": 0},
        ],
    }
    summary = import_edge_stats([written(tmp_path / "s.json", value)], tmp_path / "stats")
    assert (summary.total_graphs, summary.counts_graphs) == (20, True)
    assert [row["graph_count"] for row in rows_of(tmp_path / "stats", "neurons")] == [15, None]


def test_numbers_beyond_every_column_are_no_traceback(tmp_path: Path) -> None:
    big = 2**40
    stats = {
        "profiles": [
            {
                "layer": 1,
                "neuron": 2,
                "top_downstream_targets": [{"target": f"L_{10**20}", "count": 1, "avg_weight": 1.0}],
            }
        ]
    }
    assert import_edge_stats([written(tmp_path / "s.json", stats)], tmp_path / "stats").malformed == {"bad_partner": 1}
    found = import_assignments(
        written(tmp_path / "a.json", {"neuron_assignments": {"L0/N0": 10 * 2**31, "L0/N1": 7.0, "L0/N2": "3"}}),
        tmp_path / "c",
    )
    assert (found.neurons, found.malformed) == (2, {"bad_path": 1})
    value = {
        "L0/N1": {
            "output_projection": {"promotes": [{"token": "\ud83d", "weight": 1.0}]},
            "direct_effect_ratio": {"mean": 0.5, "n_prompts": big},
        }
    }
    assert import_projections([written(tmp_path / "p.json", value)], tmp_path / "p").projections == 1


def test_lists_of_tiny_and_absent_products_and_backups_are_read(tmp_path: Path) -> None:
    items = [
        {"layer": 1, "neuron": 1, "effective_strength": 1e-60},
        {"layer": 1, "neuron": 2, "c_up": 0.5, "c_gate": 0.0, "effective_strength": 0.5},
    ]
    written(tmp_path / "layer_0.json", {"0": {"downstream": {"excitatory": items}}})
    (tmp_path / "layer_0.json.bak").write_text("old")
    summary = import_wiring_cache([tmp_path], tmp_path / "stats")
    assert (summary.connections, summary.malformed) == (1, {"no_strength": 1})


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        ({"modelId": "gpt2", "index": "1", "description": "x"}, None),
        ({"layer": 1, "neuron": 2, "input_label": "reads"}, [("reads", "input")]),
        ({"layer": 1, "neuron": 2, "output_label": "says", "output_type": "lexical"}, [("says", "output")]),
    ],
)
def test_rows_with_some_keys_alone(tmp_path: Path, row: dict, labels: list | None) -> None:
    (tmp_path / "labels.jsonl").write_text(
        json.dumps(row) + "\n" + json.dumps({"layer": 9, "neuron": 9, "label": "plain"}) + "\n"
    )
    result = import_labels([LabelFile(tmp_path / "labels.jsonl")], tmp_path / "labels")[0]
    assert result.malformed.total() == (labels is None)
    found = [(r["text"], r["kind"]) for r in rows_of(tmp_path / "labels", "labels") if r["layer"] == 1]
    assert found == (labels or [])
