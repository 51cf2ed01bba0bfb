"""The DuckDB file: schema, comments, help, examples, generated columns, checks, atomic replacement."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import factories
import polars as pl
import pytest
from conftest import ROOT

from atlas.database import Inputs, build_database, macros, open_atlas, scripts
from atlas.errors import AtlasFileError, CheckError, OutputError, StageError, UsageError
from atlas.labels import LabelFile, import_labels
from atlas.stages import DATASETS

CONTRACT = {
    "neurons": "layer neuron feature_id label description input_label output_label max_activation num_exemplars appearance_count "
    "output_norm cluster_path top_cluster sub_module subsub_module hierarchy_depth infomap_flow unit_type",
    "edges": "src_layer src_neuron tgt_layer tgt_neuron count weight_sum weight_abs_sum weight_sq_sum weight_min weight_max "
    "mean_weight mean_abs_weight graph_count positive_count std_weight method joint_graph_count conditional_frequency lift npmi "
    "half_count half_mean_weight",
    "clusters": "cluster_path level top_cluster sub_module subsub_module size layer_min layer_max median_layer",
    "metadata": "key value",
}
TABLES = (
    "neurons edges edges_by_target clusters metadata clusterings cluster_members clustering_clusters labels graphs neuron_graphs "
    "connections token_edges logit_edges token_logit_edges error_mass logit_error_mass cooccurrence edge_groups edge_strengths edge_samples graph_nodes graph_links projections direct_effects "
    "exemplars experiments reports report_examples tokens sources "
    "rejects link_counts help regimes anchored_circuits anchored_members circuit_effects ablated_nodes ablated_edges contexts activations activation_stats activation_histograms "
    "activation_tokens activation_examples coactivation vocabulary token_stats features feature_tokens feature_neurons "
    "similar_units reconstruction stated_stats cluster_memberships circuits circuit_members resolutions circuit_paths "
    "label_documents label_terms label_postings edges_inside card map_discs"
)


@pytest.fixture
def con(small_atlas: Path) -> duckdb.DuckDBPyConnection:
    with open_atlas(small_atlas) as con:
        yield con


def test_the_tables_and_columns_that_users_rely_on(con) -> None:
    found = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    assert found == set(TABLES.split())
    for table, columns in CONTRACT.items():
        names = [row[0] for row in con.execute(f"DESCRIBE {table}").fetchall()]
        assert set(columns.split()) <= set(names), table


def test_everything_carries_a_comment(con) -> None:
    gaps = con.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND coalesce(comment, '') = ''"
    ).fetchall()
    assert gaps == []
    for kind in ("tables", "views"):
        assert (
            con.execute(
                f"SELECT {kind[:-1]}_name FROM duckdb_{kind}() WHERE NOT internal AND coalesce(comment, '') = ''"
            ).fetchall()
            == []
        )
    stored = con.execute(
        "SELECT function_name, comment FROM duckdb_functions() WHERE NOT internal AND function_type LIKE '%macro%'"
    ).fetchall()
    assert {name for name, _ in stored} == {macro.name for macro in macros()}
    assert all(comment for _, comment in stored)


def test_help_lists_everything_and_its_examples_run(con) -> None:
    rows = con.execute("SELECT name, kind, description, example FROM help").fetchall()
    listed = {(name, kind) for name, kind, *_ in rows}
    assert listed == (
        {(name, "table") for name in TABLES.split()}
        | {(script.name, "view") for script in scripts("views")}
        | {(macro.name, "macro") for macro in macros()}
    )
    empty = {name for name, _, _, example in rows if not con.sql(example).fetchall()}
    # The small atlas rejects no file and compares no resolutions; its busiest neuron need not be one that has projections.
    assert empty <= {"rejects", "resolutions", "projection", "exemplars_of"}
    assert rows[0][0] == "help"


# DESIGN section 6 writes the third with LIMIT inside list(), which no version of DuckDB parses
# ("syntax error at or near LIMIT"); a slice says the same.
USER_SQL = [
    "SELECT layer, neuron, label FROM neurons WHERE top_cluster = 1 AND sub_module = 2;",
    "SELECT layer, neuron, label, top_cluster FROM neurons WHERE label ILIKE '%sure%';",
    "SELECT top_cluster, count(*) AS n, list(label ORDER BY max_activation DESC NULLS LAST)[1:3] FROM neurons "
    "WHERE top_cluster IS NOT NULL GROUP BY top_cluster ORDER BY n DESC LIMIT 20;",
    "SELECT e.src_layer, e.src_neuron, e.tgt_layer, e.tgt_neuron, e.mean_weight, n1.label AS src_label, n2.label AS tgt_label "
    "FROM edges e JOIN neurons n1 ON e.src_layer = n1.layer AND e.src_neuron = n1.neuron "
    "JOIN neurons n2 ON e.tgt_layer = n2.layer AND e.tgt_neuron = n2.neuron "
    "WHERE n1.top_cluster = 1 AND n2.top_cluster = 1 ORDER BY e.mean_abs_weight DESC;",
]


@pytest.mark.parametrize("sql", USER_SQL)
def test_the_sql_that_users_have_runs_without_this_package(small_atlas: Path, sql: str) -> None:
    with duckdb.connect(str(small_atlas), read_only=True) as plain:
        plain.sql(sql).fetchall()


def test_limit_inside_list_is_still_no_duckdb_sql(con) -> None:
    """When this fails, DuckDB has learned it, and the third query of DESIGN section 6 runs as written."""
    with pytest.raises(duckdb.ParserException):
        con.sql("SELECT list(label ORDER BY layer LIMIT 3) FROM neurons")


def test_views_work_under_any_alias_and_macros_after_use(small_atlas: Path) -> None:
    with duckdb.connect() as plain:
        plain.execute(f"ATTACH '{small_atlas}' AS other (READ_ONLY)")
        for view in scripts("views"):
            plain.sql(f"FROM other.{view.name}").fetchall()
        with pytest.raises(duckdb.Error):
            plain.sql("FROM other.downstream(1, 2)").fetchall()
        plain.execute("USE other")
        assert plain.sql("FROM downstream(1, 2)").fetchall()


def test_the_file_is_of_the_storage_version_that_older_duckdb_opens(con) -> None:
    tags = con.execute(
        "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = current_database()"
    ).fetchall()
    assert tags == [("v1.2.0+",)], tags


LINK_TABLES = (
    "edges",
    "edges_by_target",
    "token_edges",
    "logit_edges",
    "token_logit_edges",
    "error_mass",
    "logit_error_mass",
)


@pytest.mark.parametrize("table", LINK_TABLES)
def test_link_tables_equal_the_statistics_they_come_from(table: str, small_atlas: Path, con) -> None:
    dataset = DATASETS[f"stats.{table.replace('_by_target', '')}"]
    keys = dataset.schema.names[: dataset.schema.names.index("count")]
    path = dataset.path(small_atlas.parent / "stats")
    exact = pl.read_parquet(path / "*.parquet" if dataset.parted else path).sort(keys)
    found = con.sql(f"FROM {table} ORDER BY {', '.join(keys)}").pl()
    assert len(found) == len(exact) > 0
    for name in (*keys, "count", "graph_count", "positive_count"):
        assert found[name].to_list() == exact[name].to_list(), name
    count, mean = exact["count"], exact["weight_sum"] / exact["count"]
    expected = {
        "mean_weight": mean,
        "mean_abs_weight": exact["weight_abs_sum"] / count,
        "std_weight": (exact["weight_sq_sum"] / count - mean**2).clip(0).sqrt(),
        "weight_min": exact["weight_min"],
        "weight_max": exact["weight_max"],
        "weight_sum": exact["weight_sum"],
        "weight_abs_sum": exact["weight_abs_sum"],
        "weight_sq_sum": exact["weight_sq_sum"],
    }
    scale = exact["weight_abs_sum"] + exact["weight_sq_sum"]
    for name, values in expected.items():
        assert ((found[name].cast(pl.Float64) - values).abs() <= 1e-6 * scale).all(), name
    single = found.filter(pl.col("count") == 1)
    assert set(single["std_weight"]) <= {0.0}
    assert len(single) or "error" in table


def test_neurons_equal_the_statistics_they_come_from(small_atlas: Path, con) -> None:
    stats = small_atlas.parent / "stats"
    exact = pl.read_parquet(stats / "neurons" / "*.parquet")
    found = con.sql("FROM neurons ORDER BY layer, neuron").pl()
    n = exact["activation_count"]
    mean = exact["activation_sum"] / n
    expected = {
        "appearance_count": exact["graph_count"],
        "node_count": exact["node_count"],
        "min_activation": exact["activation_min"],
        "max_activation": exact["activation_max"],
        "mean_activation": mean,
        "std_activation": (exact["activation_sq_sum"] / n - mean**2).clip(0).sqrt(),
        "mean_influence": exact["influence_sum"] / exact["influence_count"],
        "min_influence": exact["influence_min"],
        "max_influence": exact["influence_max"],
    }
    for name, values in expected.items():
        assert ((found[name].cast(pl.Float64) - values).abs() <= 1e-5 * (1 + values.abs())).all(), name
    edges = pl.read_parquet(stats / "edges" / "*.parquet")
    for end, column in (("src", "out_degree"), ("tgt", "in_degree")):
        degree = {(a, b): n for a, b, n in edges.group_by(f"{end}_layer", f"{end}_neuron").len().rows()}
        assert found[column].to_list() == [degree.get(key, 0) for key in found.select("layer", "neuron").rows()]


def test_facts_of_a_label_are_those_of_the_label_shown(small_atlas: Path, tmp_path: Path) -> None:
    rows = ["1,2,best,high,3,9.5", "1,2,other,low,8,99.5", "1,3,bare,,,"]
    (tmp_path / "l.csv").write_text(
        "layer,neuron,label,confidence,num_exemplars,max_activation\n" + "\n".join(rows) + "\n"
    )
    import_labels([LabelFile(tmp_path / "l.csv")], tmp_path / "labels")
    built = build_database(tmp_path / "a.duckdb", Inputs(small_atlas.parent / "stats", labels=tmp_path / "labels"))
    with open_atlas(built.path) as con:
        assert con.execute(
            "SELECT label, num_exemplars, max_activation FROM neurons WHERE layer = 1 AND neuron = 2"
        ).fetchall() == [("best", 3, 9.5)]
        bare = con.execute(
            "SELECT label, num_exemplars, max_activation > 0 FROM neurons WHERE layer = 1 AND neuron = 3"
        ).fetchall()
        assert bare == [("bare", None, True)]


def test_the_best_label_of_each_kind(small_atlas: Path, tmp_path: Path) -> None:
    rows = [
        "1,2,in weak,input,low",
        "1,2,in strong,input,high",
        "1,2,out weak,output,low",
        "1,2,out strong,output,high",
    ]
    (tmp_path / "l.csv").write_text("layer,neuron,label,kind,confidence\n" + "\n".join(rows) + "\n")
    import_labels([LabelFile(tmp_path / "l.csv")], tmp_path / "labels")
    built = build_database(tmp_path / "a.duckdb", Inputs(small_atlas.parent / "stats", labels=tmp_path / "labels"))
    with open_atlas(built.path) as con:
        found = con.execute(
            "SELECT label, input_label, output_label FROM neurons WHERE layer = 1 AND neuron = 2"
        ).fetchall()
    assert found == [("out strong", "in strong", "out strong")]


def test_counts_in_metadata(con) -> None:
    facts = dict(con.execute("SELECT key, value FROM metadata").fetchall())
    for key, sql in {
        "links_in_files": "SELECT sum(link_count) FROM graphs",
        "links_kept": "SELECT sum(kept_count) FROM graphs",
        "links_dropped": "SELECT sum(dropped_count) FROM graphs",
        "labelled_neurons": "SELECT count(label) FROM neurons",
        "clustered_neurons": "SELECT count(cluster_path) FROM neurons",
        "num_layers": "SELECT max(layer) + 1 FROM neurons",
    }.items():
        assert con.execute(sql).fetchall() == [(int(facts[key]),)], key
    assert int(facts["links_kept"]) < int(facts["links_in_files"])
    assert float(facts["seconds_atlas"]) > 0
    assert "output" in facts["label_precedence"]


def test_edges_are_sorted_for_their_direction(con) -> None:
    by_source = con.sql("SELECT src_layer, src_neuron FROM edges").fetchall()
    by_target = con.sql("SELECT tgt_layer, tgt_neuron FROM edges_by_target").fetchall()
    assert by_source == sorted(by_source)
    assert by_target == sorted(by_target)


def test_labels_join_and_the_others_are_kept(con) -> None:
    row = con.execute(
        "SELECT label, output_label, input_label, label_kind, label_confidence, description FROM neurons WHERE layer = 1 AND neuron = 2"
    ).fetchall()
    assert row == [("100% sure_thing", "100% sure_thing", "digits", "output", "high", "It is sure")]
    assert con.execute("SELECT text, in_atlas FROM labels WHERE layer = 99").fetchall() == [("nowhere", False)]
    assert con.execute("SELECT text FROM unmatched_labels").fetchall() == [("nowhere",)]
    facts = dict(con.execute("SELECT key, value FROM metadata").fetchall())
    assert int(facts["labels_in_atlas"]) + int(facts["labels_not_in_atlas"]) == int(facts["total_labels"])
    label = con.execute("SELECT label FROM neurons WHERE layer = 2 AND neuron = 3").fetchall()
    assert label == [("label 3",)]  # the graphs' own label is shown instead of `uninterpretable`


def test_unknown_values_are_null(con) -> None:
    assert con.execute(
        "SELECT count(feature_id), count(output_norm) FILTER (neuron > 5), count(num_exemplars) FROM neurons"
    ).fetchall() == [(0, 0, 0)]


def test_sources_name_every_input_with_its_hash(con, small_atlas: Path) -> None:
    import hashlib

    rows = con.execute("SELECT path, role, size_bytes, content_hash FROM sources").fetchall()
    graph = small_atlas.parent / "graphs" / "graph_00003.json"
    assert (
        "graphs/graph_00003.json",
        "graph",
        graph.stat().st_size,
        hashlib.sha256(graph.read_bytes()).hexdigest(),
    ) in rows
    assert {role for _, role, *_ in rows} == {"graph", "labels"}


def test_only_frequent_edges(small_atlas: Path, tmp_path: Path) -> None:
    built = build_database(tmp_path / "a.duckdb", Inputs(small_atlas.parent / "stats", min_count=3))
    with open_atlas(built.path) as con:
        assert con.execute("SELECT min(count) FROM edges").fetchall() == [(3,)]
        assert con.execute("SELECT sum(in_degree) = (SELECT count(*) FROM edges) FROM neurons").fetchall() == [(True,)]


def test_an_atlas_without_clusters_labels_or_edges(aggregate_made, tmp_path: Path) -> None:
    stats = aggregate_made([factories.ct_graph([], [])])
    with open_atlas(build_database(tmp_path / "a.duckdb", Inputs(stats)).path) as con:
        for (example,) in con.execute("SELECT example FROM help").fetchall():
            con.sql(example).fetchall()


def test_two_clusterings_side_by_side(small_atlas: Path, tmp_path: Path) -> None:
    from atlas.cluster import ClusterOptions, cluster

    stats = small_atlas.parent / "stats"
    first = tmp_path / "one"
    cluster(stats, first, ClusterOptions(name="flat", two_level=True, min_count=2, trials=2))
    both = [small_atlas.parent / "clusters", first]
    built = build_database(tmp_path / "a.duckdb", Inputs(stats, both, primary="flat"))
    with open_atlas(built.path) as con:
        assert con.execute("SELECT clustering, is_primary FROM clusterings").fetchall() == [
            ("flat", True),
            ("infomap", False),
        ]
        assert con.execute("SELECT max(level) FROM clusters").fetchall() == [(1,)]
        assert con.execute("SELECT count(DISTINCT clustering) FROM clustering_clusters").fetchall() == [(2,)]
    with pytest.raises(UsageError, match="no clustering is called 'x'; there are infomap, flat"):
        build_database(tmp_path / "b.duckdb", Inputs(stats, both, primary="x"))
    with pytest.raises(UsageError, match="two clusterings are called 'flat'"):
        build_database(tmp_path / "b.duckdb", Inputs(stats, [first, first]))


def test_inputs_that_contradict_each_other_write_nothing(small_atlas: Path, tmp_path: Path) -> None:
    stats = tmp_path / "stats"
    shutil.copytree(small_atlas.parent / "stats", stats)
    import pyarrow.parquet as pq

    table = pq.read_table(stats / "neurons")
    pq.write_table(table.slice(2), stats / "neurons" / "part-00000.parquet")
    shutil.copy(small_atlas, tmp_path / "a.duckdb")
    old = small_atlas.read_bytes()
    with pytest.raises(CheckError, match="edges_have_neurons"):
        build_database(tmp_path / "a.duckdb", Inputs(stats))
    assert (tmp_path / "a.duckdb").read_bytes() == old
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.duckdb.lock", "a.duckdb", "stats"]


@pytest.mark.parametrize("hurt", ["remove", "truncate", "columns", "manifest"])
def test_a_damaged_stage_is_named(small_atlas: Path, tmp_path: Path, hurt: str) -> None:
    stats = tmp_path / "stats"
    shutil.copytree(small_atlas.parent / "stats", stats)
    path = stats / "tokens.parquet"
    if hurt == "remove":
        path.unlink()
    elif hurt == "truncate":
        path.write_bytes(path.read_bytes()[:50])
    elif hurt == "columns":
        pl.DataFrame({"token_id": [1]}).write_parquet(path)
    else:
        (stats / "manifest.json").write_text("{")
    with pytest.raises(StageError) as caught:
        build_database(tmp_path / "a.duckdb", Inputs(stats))
    assert ("manifest.json" if hurt == "manifest" else "tokens.parquet") in str(caught.value)
    assert not (tmp_path / "a.duckdb").exists()


def test_files_that_are_no_atlas(tmp_path: Path) -> None:
    with pytest.raises(AtlasFileError, match="does not exist; build it with"):
        open_atlas(tmp_path / "no.duckdb")
    with pytest.raises(AtlasFileError, match="L4/N45 does not exist; the atlas file comes first"):
        open_atlas(Path("L4/N45"))
    (tmp_path / "text.duckdb").write_text("no database " * 1000)
    with pytest.raises(AtlasFileError, match="is not a DuckDB file"):
        open_atlas(tmp_path / "text.duckdb")
    duckdb.connect(str(tmp_path / "empty.duckdb")).close()
    with pytest.raises(AtlasFileError, match="no atlas: it has no table neurons, edges, clusters, metadata"):
        open_atlas(tmp_path / "empty.duckdb")


def test_an_atlas_path_with_a_quote(small_atlas: Path, tmp_path: Path) -> None:
    folder = tmp_path / "it's"
    shutil.copytree(small_atlas.parent / "stats", folder / "stats")
    built = build_database(folder / "a'b.duckdb", Inputs(folder / "stats"))
    with open_atlas(built.path) as con:
        assert con.execute("SELECT count(*) > 0 FROM edges").fetchall() == [(True,)]


def test_every_sql_file_has_a_header() -> None:
    for kind in ("tables", "views", "macros", "checks", "queries"):
        for script in scripts(kind):
            assert script.doc.endswith((".", "name.")), script.name
            assert script.example or kind in ("tables", "checks", "queries"), script.name
    folders = {path.parent.name for path in (ROOT / "sql").rglob("*.sql")}
    assert folders == {
        "sql",
        "tables",
        "views",
        "macros",
        "checks",
        "circuits",
        "clusters",
        "exports",
        "serve",
        "measures",
        "resamples",
        "sweeps",
        "upgrades",
    }


def test_a_file_that_is_no_atlas_is_never_overwritten(small_atlas: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("name = 'x'")
    with duckdb.connect(str(tmp_path / "mine.duckdb")) as con:
        con.execute("CREATE TABLE precious AS FROM range(3)")
    (tmp_path / "folder").mkdir()
    for name in ("recipe.toml", "mine.duckdb", "folder"):
        with pytest.raises(OutputError, match="exists and is no atlas"):
            build_database(tmp_path / name, Inputs(small_atlas.parent / "stats"))
    assert (tmp_path / "recipe.toml").read_text() == "name = 'x'"
    with duckdb.connect(str(tmp_path / "mine.duckdb")) as con:
        assert con.execute("SELECT count(*) FROM precious").fetchall() == [(3,)]


def test_a_damaged_atlas_is_rebuilt(small_atlas: Path, tmp_path: Path) -> None:
    (tmp_path / "a.duckdb").write_bytes(small_atlas.read_bytes()[:5_000])
    build_database(tmp_path / "a.duckdb", Inputs(small_atlas.parent / "stats"))
    open_atlas(tmp_path / "a.duckdb").close()


def test_more_columns_than_declared_do_not_matter(small_atlas: Path, tmp_path: Path) -> None:
    shutil.copytree(small_atlas.parent / "stats", tmp_path / "stats")
    for name in ("edges/part-00000", "neurons/part-00000", "tokens"):
        path = tmp_path / "stats" / f"{name}.parquet"
        pl.read_parquet(path).with_columns(mine=pl.lit(1)).write_parquet(path)
    build_database(tmp_path / "a.duckdb", Inputs(tmp_path / "stats"))


def test_an_atlas_of_another_schema_is_named(small_atlas: Path, tmp_path: Path) -> None:
    for number, change in enumerate(
        (
            "UPDATE metadata SET value = '99' WHERE key = 'atlas_schema'",
            "DELETE FROM metadata WHERE key = 'atlas_schema'",
        )
    ):
        path = tmp_path / f"{number}.duckdb"
        shutil.copy(small_atlas, path)
        with duckdb.connect(str(path)) as con:
            con.execute(change)
        with pytest.raises(AtlasFileError, match="has atlas schema (99|none).* reads schema 12"):
            open_atlas(path)
        stats = Inputs(small_atlas.parent / "stats")
        if number == 0:
            build_database(path, stats)  # ours, of another version: it may be built again
            open_atlas(path).close()
        else:
            with pytest.raises(OutputError, match="is no atlas"):
                build_database(path, stats)


def test_what_a_killed_build_left_is_removed(small_atlas: Path, tmp_path: Path) -> None:
    (tmp_path / ".a.duckdb.new.tmp").mkdir()
    for name in (".a.duckdb.new", ".a.duckdb.new.wal", ".a.duckdb.new.tmp/spill"):
        (tmp_path / name).write_text("x")
    build_database(tmp_path / "a.duckdb", Inputs(small_atlas.parent / "stats"))
    assert {path.name for path in tmp_path.iterdir()} == {"a.duckdb", ".a.duckdb.lock"}


def test_statistics_that_nobody_stated_are_null(small_atlas: Path, tmp_path: Path) -> None:
    """Files of earlier tools know counts and means only; an atlas of them is sound all the same."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    stats = tmp_path / "stats"
    shutil.copytree(small_atlas.parent / "stats", stats)
    for name, dataset in DATASETS.items():
        if name in ("stats.neuron_graphs", "stats.link_counts", "stats.graphs"):
            path = dataset.path(stats)
            pq.write_table(dataset.empty(), path / "part-00000.parquet" if dataset.parted else path)
    path = stats / "edges" / "part-00000.parquet"
    edges = pq.read_table(path)
    unknown = "graph_count positive_count weight_abs_sum weight_sq_sum weight_min weight_max half_count half_weight_sum joint_graph_count"
    for name in unknown.split():
        place = edges.schema.get_field_index(name)
        edges = edges.set_column(place, edges.schema.field(name), pa.nulls(len(edges), edges.schema.field(name).type))
    pq.write_table(edges, path)
    built = build_database(tmp_path / "a.duckdb", Inputs(stats))
    with open_atlas(built.path) as con:
        assert con.execute(
            "SELECT count(graph_count), count(weight_min), count(mean_abs_weight), count(mean_weight) > 0 FROM edges"
        ).fetchall() == [(0, 0, 0, True)]
        for (example,) in con.execute("SELECT example FROM help").fetchall():
            con.sql(example).fetchall()
        assert con.execute("SELECT count(*) > 0, count(frequency) FROM edge_details").fetchall() == [(True, 0)]
