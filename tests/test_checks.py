"""Checks of an atlas: they pass on a fresh one, and each of their conditions is seen to fail on a damaged one."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

from atlas.database import open_atlas, run_checks, scripts


def test_all_checks_pass_on_a_fresh_atlas(small_atlas: Path) -> None:
    with open_atlas(small_atlas) as con:
        results = list(run_checks(con))
    assert [result.name for result in results] == [script.name for script in scripts("checks")]
    assert all(result.passed for result in results), [result.describe() for result in results]


DAMAGE = {
    "DELETE FROM neurons WHERE layer = (SELECT max(src_layer) FROM edges) AND neuron = (SELECT max(src_neuron) FROM edges WHERE src_layer = (SELECT max(src_layer) FROM edges))": "edges_have_neurons",
    "UPDATE edges SET weight_min = weight_max + 1 WHERE src_layer = 1 AND src_neuron = 2": "edges_weights_ordered",
    "UPDATE edges SET mean_weight = weight_max * 2 + 1 WHERE src_layer = 1 AND src_neuron = 2": "edges_weights_ordered",
    "UPDATE edges SET graph_count = count + 1 WHERE src_layer = 1 AND src_neuron = 2": "edges_counts_possible",
    "UPDATE edges SET mean_weight = weight_min * 2 - 1 WHERE src_layer = 1 AND src_neuron = 2": "edges_weights_ordered",
    "UPDATE edges SET positive_count = count + 1 WHERE src_layer = 1 AND src_neuron = 2": "edges_counts_possible",
    "UPDATE neurons SET appearance_count = 0 WHERE layer = 1 AND neuron = 2": "edges_counts_possible",
    "UPDATE edges SET count = 0 WHERE src_layer = 1 AND src_neuron = 2": "edges_counts_possible",
    "UPDATE edges SET positive_count = -1 WHERE src_layer = 1 AND src_neuron = 2": "edges_counts_possible",
    "UPDATE edges SET group_count = graph_count + 1 WHERE src_layer = 1 AND src_neuron = 2": "edges_counts_possible",
    "UPDATE edge_groups SET count = count + 1 WHERE src_layer = 1 AND src_neuron = 2": "edges_add_up_by_group",
    "DELETE FROM edge_groups WHERE src_layer = 1 AND src_neuron = 2": "edges_add_up_by_group",
    "UPDATE edge_groups SET graph_count = graph_count + 1 WHERE src_layer = 1": "edges_add_up_by_group",
    "UPDATE edges SET group_count = 1 WHERE group_count = 2": "edges_add_up_by_group",
    "DELETE FROM edges_by_target WHERE src_layer = 1 AND src_neuron = 2": "edges_twins_equal",
    "UPDATE edges_by_target SET std_weight = std_weight + 1 WHERE src_layer = 1 AND src_neuron = 2": "edges_twins_equal",
    "INSERT INTO edges BY NAME SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, count, graph_count, positive_count, mean_weight, sign_cancellation, std_weight, weight_min, weight_max, in_circuit, method, stat_quality FROM edges WHERE src_layer = 1 LIMIT 1": "edges_distinct",
    "UPDATE edges SET in_circuit = NOT in_circuit WHERE src_layer = 1 AND src_neuron = 2": "edges_twins_equal",
    "DELETE FROM edges_inside WHERE src_layer = 1": "edges_inside_true",
    "UPDATE edges_inside SET top_cluster = top_cluster + 1": "edges_inside_true",
    "UPDATE neurons SET in_degree = in_degree + 1 WHERE layer = 1 AND neuron = 2": "degrees_true",
    "UPDATE neurons SET out_degree = out_degree + 1 WHERE layer = 1 AND neuron = 2": "degrees_true",
    "UPDATE clusters SET size = size + 1 WHERE cluster_path = '1'": "clusters_sizes_true",
    "DELETE FROM clusters WHERE cluster_path = '1'": "clusters_sizes_true",
    "UPDATE circuits SET size = size + 1 WHERE circuit_id = '1'": "circuits_sizes_true",
    "INSERT INTO circuit_members SELECT * FROM circuit_members LIMIT 1": "circuits_sizes_true",
    "UPDATE circuit_members SET neuron = neuron + 1, circuit_id = 'x' WHERE circuit_id = '1'": "circuits_sizes_true",
    "UPDATE anchored_circuits SET size = size + 1 WHERE kind = 'input'": "anchored_circuits_true",
    "INSERT INTO anchored_members SELECT * FROM anchored_members LIMIT 1": "anchored_circuits_true",
    "UPDATE anchored_members SET neuron = 77777 WHERE rank = 1": "anchored_circuits_true",
    "DELETE FROM anchored_circuits WHERE kind = 'output'": "anchored_circuits_true",
    "UPDATE circuit_effects SET circuit_id = 'input:77777' WHERE effect = 0.5": "anchored_circuits_true",
    "UPDATE clusters SET parent_path = '77' WHERE level = 1": "clusters_nested",
    "INSERT INTO clusters BY NAME SELECT '1.9.1' AS cluster_path, 3 AS level, 1 AS top_cluster, '1' AS parent_path, 1 AS size, 0 AS layer_min, 0 AS layer_max, 0 AS median_layer": "clusters_nested",
    "INSERT INTO clusters BY NAME SELECT '1.9' AS cluster_path, 2 AS level, 1 AS top_cluster, '88' AS parent_path, 1 AS size, 0 AS layer_min, 0 AS layer_max, 0 AS median_layer": "clusters_nested",
    "UPDATE neurons SET cluster_path = '77' WHERE layer = 1 AND neuron = 2": "neurons_in_their_cluster",
    "UPDATE neurons SET label = 'other' WHERE layer = 1 AND neuron = 2": "neurons_labelled_truly",
    "UPDATE neurons SET appearance_count = 1000 WHERE layer = 1 AND neuron = 2": "neurons_in_their_graphs",
    "UPDATE neurons SET node_count = node_count + 1 WHERE layer = 1 AND neuron = 2": "neurons_in_their_graphs",
    "UPDATE graphs SET dropped_count = dropped_count + 1 WHERE graph_id = 3": "links_accounted",
    "UPDATE graphs SET link_count = link_count + 1, kept_count = kept_count + 1 WHERE graph_id = 3": "links_accounted",
    "UPDATE graphs SET link_count = link_count + 1, dropped_count = dropped_count + 1 WHERE graph_id = 3": "links_accounted",
    "UPDATE token_edges SET count = count + 1 WHERE layer = 1 AND neuron = 2": "links_in_tables",
    "DELETE FROM logit_error_mass": "links_in_tables",
    "UPDATE edges SET count = count + 1, graph_count = graph_count WHERE src_layer = 1 AND src_neuron = 2": "links_in_tables",
    "DELETE FROM neuron_graphs WHERE layer = 1 AND neuron = 2": "neurons_in_their_graphs",
    "UPDATE graphs SET kept_count = kept_count - 1 WHERE graph_id = 3": "links_accounted",
    "DELETE FROM link_counts WHERE graph_id = 3": "links_accounted",
    "UPDATE metadata SET value = '7' WHERE key = 'total_edges'": "metadata_counts_true",
    "DELETE FROM metadata WHERE key = 'total_graphs'": "metadata_counts_true",
    "DELETE FROM tokens WHERE token_id = (SELECT max(token_id) FROM token_edges)": "tokens_known",
    "UPDATE projections SET weight = weight + 100 WHERE layer = 1 AND neuron = 2 AND rank = 2": "projections_ordered",
    "UPDATE connections SET strength = strength * 2 WHERE rowid = 3": "connections_true",
    "UPDATE connections SET polarity = 'excitatory' WHERE strength < 0": "connections_true",
    "UPDATE connections SET confidence = 1.5 WHERE rowid = 0": "connections_true",
    "INSERT INTO connections BY NAME SELECT * EXCLUDE (listed_by, agreeing, opposing) FROM connections LIMIT 1": "connections_true",
    "UPDATE connections SET tgt_layer = src_layer WHERE rowid = 0": "connections_true",
    "UPDATE connections SET upstream_rank = NULL, downstream_rank = NULL WHERE rowid = 0": "connections_true",
    "UPDATE activation_histograms SET count = count + 1 WHERE layer = 1 AND unit = 2": "histograms_add_up",
    "UPDATE direct_effects SET ratio_max = 1.5 WHERE layer = 1 AND neuron = 2": "projections_ordered",
}


@pytest.mark.parametrize(
    ("damage", "check"), DAMAGE.items(), ids=[f"{check}-{place}" for place, check in enumerate(DAMAGE.values())]
)
def test_damage_is_found_and_the_rows_are_named(small_atlas: Path, tmp_path: Path, damage: str, check: str) -> None:
    shutil.copy(small_atlas, tmp_path / "a.duckdb")
    with duckdb.connect(str(tmp_path / "a.duckdb")) as plain:
        assert plain.execute(damage).fetchall()[0][0] > 0, "the damage hit no row"
    with open_atlas(tmp_path / "a.duckdb") as con:
        failed = {result.name: result for result in run_checks(con) if not result.passed}
    assert check in failed
    assert failed[check].rows
    text = failed[check].describe()
    assert all(column in text for column in failed[check].columns)


def test_every_check_is_seen_to_fail() -> None:
    assert set(DAMAGE.values()) == {script.name for script in scripts("checks")}


def test_a_check_that_cannot_run_is_a_failure(small_atlas: Path, tmp_path: Path) -> None:
    shutil.copy(small_atlas, tmp_path / "a.duckdb")
    with duckdb.connect(str(tmp_path / "a.duckdb")) as plain:
        plain.execute("DROP TABLE link_counts CASCADE")
    with open_atlas(tmp_path / "a.duckdb") as con:
        failed = [result.describe() for result in run_checks(con) if not result.passed]
    assert any("links_accounted: could not run" in text for text in failed)
