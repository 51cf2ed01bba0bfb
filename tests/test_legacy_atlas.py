"""Atlases and projections of the earlier tool, rebuilt."""

from __future__ import annotations

from pathlib import Path

import duckdb
import legacy_factories
import pytest
from legacy_factories import PAIR, Corpus, by_pair, members_of, rows_of, written

from atlas.database import Inputs, build_database
from atlas.errors import AtlasFileError, InputError, OutputError
from atlas.importers.checkpoint import import_checkpoint
from atlas.importers.legacy_atlas import import_legacy_atlas
from atlas.importers.projections import import_projections
from atlas.labels import LabelFile, import_labels
from atlas.stages.manifest import read_manifest


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(graphs=30, layers=4, neurons=12, links=40)


# Earlier atlases


@pytest.mark.slow
@pytest.mark.parametrize("columns", [18, 13])
def test_an_earlier_atlas_is_rebuilt(corpus: Corpus, tmp_path: Path, columns: int, atlas_command) -> None:
    path = legacy_factories.older_atlas(tmp_path / "older.duckdb", corpus, columns=columns)
    for kind, folder in (
        ("legacy-atlas", "stats"),
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
    path = legacy_factories.older_atlas(tmp_path / "older.duckdb", corpus, mean_only=True)
    summary = import_legacy_atlas(path, tmp_path / "stats")
    assert summary.quality == "mean_only"
    for key, row in by_pair(rows_of(tmp_path / "stats", "edges")).items():
        assert row["weight_sum"] == pytest.approx(corpus.edges[key][1], rel=1e-5)
        assert {row[name] for name in ("weight_abs_sum", "weight_sq_sum", "weight_min", "weight_max")} == {None}


def test_edges_by_weights_of_an_earlier_atlas_take_their_mean(corpus: Corpus, tmp_path: Path) -> None:
    path = legacy_factories.older_atlas(tmp_path / "older.duckdb", corpus, weights=True)
    summary = import_legacy_atlas(path, tmp_path / "stats")
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
        summary = import_legacy_atlas(given, tmp_path / "stats")
        assert summary.quality == "exact"
        assert by_pair(rows_of(tmp_path / "stats", "edges")) == by_pair(rows_of(source, "edges"))
    import_legacy_atlas(tmp_path / "export.duckdb", tmp_path / "stats")
    names = ("layer", "neuron", "graph_id")
    assert {tuple(r[n] for n in names) for r in rows_of(tmp_path / "stats", "neuron_graphs")} == {
        tuple(r[n] for n in names) for r in rows_of(source, "neuron_graphs")
    }


def test_what_is_no_earlier_atlas_is_refused(small_atlas: Path, tmp_path: Path) -> None:
    with pytest.raises(AtlasFileError, match="is an atlas of this tool"):
        import_legacy_atlas(small_atlas, tmp_path / "stats")
    with pytest.raises(InputError, match="does not exist"):
        import_legacy_atlas(tmp_path / "nowhere.duckdb", tmp_path / "stats")
    (tmp_path / "bad.duckdb").write_bytes(b"no database" * 1000)
    with pytest.raises(AtlasFileError, match="cannot be read"):
        import_legacy_atlas(tmp_path / "bad.duckdb", tmp_path / "stats")
    with duckdb.connect(str(tmp_path / "other.duckdb")) as con:
        con.execute("CREATE TABLE neurons (layer INTEGER)")
    with pytest.raises(InputError, match="is no atlas of the earlier tool"):
        import_legacy_atlas(tmp_path / "other.duckdb", tmp_path / "stats")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty"):
        import_legacy_atlas(tmp_path / "other.duckdb", tmp_path / "mine")


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
    legacy_factories.wiring_cache(tmp_path / "cache", layers=2, width=3)
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
