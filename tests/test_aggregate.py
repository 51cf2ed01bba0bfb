"""Graphs to statistics, against the reference_impl, over the zoo and the real graphs."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import factories
import polars as pl
import pyarrow.parquet as pq
import pytest
import reference_impl

from atlas.errors import InputError, OutputError, SpaceMismatch
from atlas.graph import Space
from atlas.pipeline import aggregate_graphs
from atlas.stages import DATASETS, datasets_of, require

EXACT = ["count", "graph_count", "positive_count", "weight_min", "weight_max"]
SUMS = {"weight_sum": "weight_abs_sum", "weight_abs_sum": "weight_abs_sum", "weight_sq_sum": "weight_sq_sum"}
TABLES = tuple(reference_impl.TABLES.values())


def keys_of(table: str) -> list[str]:
    names = DATASETS[f"stats.{table}"].schema.names
    return names[: names.index("count")]


def rows(stats: Path, table: str) -> list[dict]:
    return pl.read_parquet(
        DATASETS[f"stats.{table}"].path(stats) / "*.parquet"
        if DATASETS[f"stats.{table}"].parted
        else DATASETS[f"stats.{table}"].path(stats)
    ).to_dicts()


def assert_equals_loop(stats: Path, graphs: list[dict]) -> None:
    expected = reference_impl.loop(graphs)
    for table in TABLES:
        found = {tuple(row[key] for key in keys_of(table)): row for row in rows(stats, table)}
        assert list(found) == sorted(expected[table]), table
        for key, want in expected[table].items():
            assert [found[key][name] for name in EXACT] == [want[name] for name in EXACT], (table, key)
            for name, scale in SUMS.items():
                assert abs(found[key][name] - want[name]) <= 1e-12 * want[scale] + 1e-300, (table, key, name)


def assert_equals_polars(stats: Path, graphs: list[dict]) -> None:
    for table in TABLES:
        expected = reference_impl.polars(graphs, table)
        found = pl.DataFrame(rows(stats, table), infer_schema_length=None)
        assert len(found) == len(expected), table
        for name in EXACT if len(expected) else []:
            assert found[name].to_list() == expected[name].to_list(), (table, name)
        for name, scale in SUMS.items() if len(expected) else []:
            assert ((found[name] - expected[name]).abs() <= 1e-12 * expected[scale] + 1e-300).all(), (table, name)


@pytest.mark.parametrize("name", factories.zoo())
def test_the_zoo_equals_both_twins(name: str, aggregate_made) -> None:
    graphs = factories.zoo()[name]
    stats = aggregate_made(graphs)
    assert_equals_loop(stats, graphs)
    assert_equals_polars(stats, graphs)
    for dataset in datasets_of("stats"):
        if not dataset.optional:
            require(stats, dataset)


@pytest.mark.slow
def test_the_real_graphs_equal_both_twins(real_graphs: list[Path], tmp_path: Path) -> None:
    summary = aggregate_graphs(real_graphs, tmp_path / "stats")
    graphs = [reference_impl.load(path) for path in real_graphs]
    assert_equals_loop(tmp_path / "stats", graphs)
    assert_equals_polars(tmp_path / "stats", graphs)
    # 65 files, 418,452 links in them, of which 131,030 join two features (counted by the plain loop)
    assert (summary.graphs, summary.links, summary.kept["edges"]) == (65, 418_452, 131_030)
    assert summary.kept.total() + summary.dropped.total() == summary.links
    assert (summary.neurons, summary.edges) == (8_305, 58_957)


# SHA-256 (first 16 digits) of the columns that the first, all-in-memory aggregation (version 0.1.0, torch) wrote
# of the 65 real graphs: every engine since gives these bits.
FIRST = {
    "edges": "88e6e472a4cfbfb8",
    "token_edges": "5087ac89097b5317",
    "logit_edges": "74ce2f4fc13e1927",
    "token_logit_edges": "b148d2766389b4c1",
    "error_mass": "320b6f5d006aea1d",
    "logit_error_mass": "71bce6d5fef75bc7",
    "neurons": "f189088b2e79c8a5",
}


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_the_real_graphs_have_the_bits_of_the_first_aggregation(
    threads: int, real_graphs: list[Path], tmp_path: Path
) -> None:
    aggregate_graphs(real_graphs, tmp_path / "stats", threads=threads)
    known = {*EXACT, *SUMS}
    for table, expected in FIRST.items():
        frame = pl.read_parquet(DATASETS[f"stats.{table}"].path(tmp_path / "stats") / "*.parquet")
        keys = ("layer", "neuron", "token_id")
        names = (
            [n for n in frame.columns if n != "group_count"]
            if table == "neurons"
            else [n for n in frame.columns if n in known or n.endswith(keys)]
        )
        digest = hashlib.sha256()
        for name in names:
            digest.update(frame[name].fill_null(0).to_numpy().tobytes())
        assert digest.hexdigest()[:16] == expected, table


@pytest.mark.parametrize("name", ["random", "positions", "duplicate links", "two graphs"])
def test_neurons_equal_a_plain_loop(name: str, aggregate_made) -> None:
    graphs = factories.zoo()[name]
    expected = reference_impl.neurons(graphs)
    found = {(row["layer"], row["neuron"]): row for row in rows(aggregate_made(graphs), "neurons")}
    assert sorted(found) == list(found) == sorted(expected)
    for key, want in expected.items():
        for column, value in want.items():
            if column.endswith("_sum") and value is not None:
                assert found[key][column] == pytest.approx(value, rel=1e-12, abs=1e-12)
            else:
                assert found[key][column] == value, (key, column)


def test_neuron_graphs_hold_positions_and_extremes(aggregate_made) -> None:
    nodes = [
        factories.ct_feature(1, 5, 2, activation=1.0, influence=0.2),
        factories.ct_feature(1, 5, 0, activation=3.0, influence=0.9),
        factories.ct_feature(1, 5, 1, activation=None, influence=None),
        factories.ct_feature(2, 6, 1, activation=None, influence=None),
    ]
    first, second = rows(aggregate_made([factories.ct_graph(nodes, [])]), "neuron_graphs")
    assert first == {
        "layer": 1,
        "neuron": 5,
        "graph_id": 0,
        "node_count": 3,
        "positions": [0, 1, 2],
        "activation_min": 1.0,
        "activation_max": 3.0,
        "influence_min": 0.2,
        "influence_max": 0.9,
    }
    # Never a made-up number: nothing known is null.
    assert (second["activation_max"], second["influence_min"], second["positions"]) == (None, None, [1])


def test_worked_fixture_of_the_earlier_tool(aggregate_made) -> None:
    """FORMATS section 10: 5/100 -> 10/200 in two graphs with 2.0 and 4.0, 10/200 -> 15/300 with -1.5."""
    a, b, c = factories.relp_node(5, 100), factories.relp_node(10, 200), factories.relp_node(15, 300)
    graphs = [
        factories.relp_graph(
            [a, b, factories.relp_token(1, 0)],
            [factories.link("5_100_0", "10_200_0", 2.0), factories.link("E_1_0", "5_100_0", 1.0)],
        ),
        factories.relp_graph(
            [a, b, c], [factories.link("5_100_0", "10_200_0", 4.0), factories.link("10_200_0", "15_300_0", -1.5)]
        ),
    ]
    stats = aggregate_made(graphs)
    first, second = rows(stats, "edges")
    assert (first["count"], first["weight_sum"], first["weight_abs_sum"], first["weight_min"], first["weight_max"]) == (
        2,
        6.0,
        6.0,
        2.0,
        4.0,
    )
    assert (second["count"], second["weight_sum"], second["method"]) == (1, -1.5, "relp")
    counts = {(row["layer"], row["neuron"]): row["graph_count"] for row in rows(stats, "neurons")}
    assert counts == {(5, 100): 2, (10, 200): 2, (15, 300): 1}


def test_raw_and_viewer_files_of_one_corpus_aggregate_together(tmp_path: Path) -> None:
    graph = factories.relp_graph(
        [factories.relp_node(5, 1), factories.relp_node(6, 2)], [factories.link("5_1_0", "6_2_0", 1.0)]
    )
    factories.write(tmp_path / "g" / "a.json", graph)
    other = factories.relp_graph(
        [factories.relp_node(5, 1), factories.relp_node(6, 2)], [factories.link("5_1_0", "6_2_0", 2.0)]
    )
    factories.write(tmp_path / "g" / "b.json", factories.to_viewer(other))
    factories.write(tmp_path / "g" / "c.json", factories.to_viewer(graph))
    summary = aggregate_graphs([tmp_path / "g"], tmp_path / "stats")
    assert (summary.graphs, summary.rejects) == (2, {"duplicate": 1})  # a and c are one graph in two forms


def test_graphs_that_exceeded_their_nodes_have_neurons_without_edges(aggregate_made) -> None:
    graph = factories.relp_graph(
        [factories.relp_node(5, 1), factories.relp_logit(9, 2)], [factories.link("5_1_0", "L_9_2", 0.5)]
    )
    stats = aggregate_made([graph | {"nodes_exceeded": True}])
    assert rows(stats, "graphs")[0]["nodes_exceeded"] is True
    assert len(rows(stats, "neurons")) == len(rows(stats, "logit_edges")) == 1
    assert rows(stats, "edges") == []


def test_link_counts_account_for_every_link(aggregate_made) -> None:
    graphs = [factories.random_graph(seed, links=200) for seed in range(5)]
    stats = aggregate_made(graphs)
    by_graph: Counter[tuple[int, bool]] = Counter()
    for row in rows(stats, "link_counts"):
        assert row["subject"] == "link"
        by_graph[row["graph_id"], row["kept"]] += row["count"]
    for row in rows(stats, "graphs"):
        assert row["link_count"] == row["kept_count"] + row["dropped_count"] == 200
        assert by_graph[row["graph_id"], True] == row["kept_count"]
        assert by_graph[row["graph_id"], False] == row["dropped_count"]
        assert row["dropped_count"] > 0


def test_self_loops_and_backward_links_are_kept_and_counted(aggregate_made) -> None:
    nodes = [factories.ct_feature(1, 1), factories.ct_feature(2, 2)]
    links = [
        factories.link("1_1_0", "1_1_0", 1),
        factories.link("2_2_0", "1_1_0", 1),
        factories.link("1_1_0", "2_2_0", 1),
    ]
    stats = aggregate_made([factories.ct_graph(nodes, links)])
    (graph,) = rows(stats, "graphs")
    assert (graph["self_loop_count"], graph["backward_count"], graph["kept_count"]) == (1, 2, 3)
    assert len(rows(stats, "edges")) == 3


def test_two_feature_spaces_are_refused_by_name(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SpaceMismatch) as caught:
        aggregate_graphs(
            [data / "graphs" / "gemma-2-2b_clt-hp", data / "graphs" / "gemma-2-2b_plt"], tmp_path / "stats"
        )
    message = str(caught.value)
    assert "mntss/clt-gemma-2-2b-2.5M" in message
    assert "gemmascope-transcoder-16k" in message
    assert not (tmp_path / "stats").exists()


@pytest.mark.parametrize("other", [{"scan": "gemma-2-9b"}, {"info": {"transcoder_set": "plt"}}, {"info": None}])
def test_a_graph_of_another_space_is_refused(tmp_path: Path, other: dict) -> None:
    factories.write(tmp_path / "g" / "a.json", factories.ct_graph([factories.ct_feature(0, 1)], []))
    factories.write(tmp_path / "g" / "b.json", factories.ct_graph([factories.ct_feature(0, 2)], [], **other))
    with pytest.raises(SpaceMismatch, match=r"gemma-2-2b / clt-hp / feature \(in g/a.json\) and .* \(in g/b.json\)"):
        aggregate_graphs([tmp_path / "g"], tmp_path / "stats")


def test_model_replaces_and_transcoder_set_fills_what_the_files_say(aggregate_made) -> None:
    stats = aggregate_made(
        [factories.ct_graph([factories.ct_feature(0, 1)], [], info=None)], model="mine", transcoder_set="set"
    )
    space = Space(**json.loads((stats / "manifest.json").read_text())["space"])
    assert space == Space("mine", "set", "feature")
    named = aggregate_made([factories.ct_graph([factories.ct_feature(0, 1)], [])], transcoder_set="other", fresh=True)
    assert json.loads((named / "manifest.json").read_text())["space"]["transcoder_set"] == "clt-hp"


def bytes_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    graphs = [factories.random_graph(seed) for seed in range(10)]
    for number, graph in enumerate(graphs):
        factories.write(tmp_path / "g" / f"{number}.json", graph)
    for name in ("a", "b"):
        aggregate_graphs([tmp_path / "g"], tmp_path / name)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


def test_a_bad_file_changes_no_total(tmp_path: Path) -> None:
    graphs = [factories.random_graph(seed) for seed in range(4)]
    for number, graph in enumerate(graphs):
        factories.write(tmp_path / "g" / f"{number}.json", graph)
    aggregate_graphs([tmp_path / "g"], tmp_path / "clean")
    whole = (tmp_path / "g" / "1.json").read_bytes()
    (tmp_path / "g" / "1b.json").write_bytes(whole[:-5])
    (tmp_path / "g" / "1c.json").write_bytes(b"")
    summary = aggregate_graphs([tmp_path / "g"], tmp_path / "dirty")
    assert summary.rejects == {"bad_json": 1, "empty_file": 1}
    clean, dirty = bytes_of(tmp_path / "clean"), bytes_of(tmp_path / "dirty")
    differing = {name for name in clean if clean[name] != dirty[name]}
    assert differing == {"rejects.parquet", "files.parquet", "manifest.json"}
    assert [(row["path"], row["reason"]) for row in rows(tmp_path / "dirty", "rejects")] == [
        ("g/1b.json", "bad_json"),
        ("g/1c.json", "empty_file"),
    ]


def test_a_copy_of_a_graph_counts_once_and_is_a_reject(tmp_path: Path) -> None:
    graph = factories.random_graph(1)
    factories.write(tmp_path / "g" / "a.json", graph)
    factories.write(tmp_path / "g" / "b.json.gz", graph)
    summary = aggregate_graphs([tmp_path / "g"], tmp_path / "stats")
    assert (summary.graphs, summary.rejects) == (1, {"duplicate": 1})
    assert "g/a.json" in rows(tmp_path / "stats", "rejects")[0]["message"]


def test_a_copy_on_another_line_counts_once(tmp_path: Path) -> None:
    text = json.dumps(factories.random_graph(1))
    (tmp_path / "a.jsonl").write_text(f"{text}\n  {text}\r\n{text}")
    summary = aggregate_graphs([tmp_path / "a.jsonl"], tmp_path / "stats")
    assert (summary.graphs, summary.rejects) == (1, {"duplicate": 2})


def test_strict_stops_at_the_first_unreadable_file_but_not_at_companions(tmp_path: Path) -> None:
    factories.write(tmp_path / "g" / "a.json", factories.random_graph(1))
    (tmp_path / "g" / "metadata.json").write_text("{}")
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", strict=True)
    (tmp_path / "g" / "b.json").write_text("{")
    with pytest.raises(InputError, match=r"g/b.json is no readable graph \(bad_json"):
        aggregate_graphs([tmp_path / "g"], tmp_path / "stats", strict=True)


def test_no_readable_graph_at_all_is_an_error_that_counts_the_reasons(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match="1 bad_json"):
        aggregate_graphs([tmp_path / "a.json"], tmp_path / "stats")
    assert not (tmp_path / "stats").exists()


def test_foreign_folders_are_never_replaced(tmp_path: Path) -> None:
    factories.write(tmp_path / "g" / "a.json", factories.random_graph(1))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="is not empty and holds no stats"):
        aggregate_graphs([tmp_path / "g"], tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_tokens_and_labels_of_the_graphs(aggregate_made) -> None:
    nodes = [
        factories.ct_feature(1, 1, clerp="plural nouns"),
        factories.ct_token(2, 0),
        factories.ct_logit(27, 9, 2),
        factories.ct_logit(27, 2, 2, clerp=""),
    ]
    other = [
        factories.ct_feature(1, 1, clerp="plurals"),
        factories.ct_feature(1, 1, 1, clerp="plurals"),
        factories.ct_logit(27, 9, 2, token_prob=0.9),
    ]
    stats = aggregate_made(
        [factories.ct_graph(nodes, []), factories.ct_graph(other, []), factories.ct_graph(other[:1], [])]
    )
    assert rows(stats, "tokens") == [
        {"token_id": 2, "token": "<bos>", "input_graph_count": 1, "output_graph_count": 1, "probability_max": 0.281},
        {"token_id": 9, "token": " rain", "input_graph_count": 0, "output_graph_count": 2, "probability_max": 0.9},
    ]
    assert [(row["text"], row["graph_count"]) for row in rows(stats, "graph_labels")] == [
        ("plurals", 2),
        ("plural nouns", 1),
    ]


def test_a_token_at_two_positions_is_in_one_graph_and_the_largest_probability_stays(aggregate_made) -> None:
    logits = [factories.ct_logit(27, 9, 2, token_prob=p) for p in (0.9,)]
    first = factories.ct_graph([factories.ct_token(2, 0), factories.ct_token(2, 1), *logits], [])
    second = factories.ct_graph([factories.ct_logit(27, 9, 2, token_prob=0.1)], [])
    found = rows(aggregate_made([first, second]), "tokens")
    assert [
        (row["token_id"], row["input_graph_count"], row["output_graph_count"], row["probability_max"]) for row in found
    ] == [(2, 1, 0, None), (9, 0, 2, 0.9)]


def test_influence_sums_keep_sign_and_size_apart(aggregate_made) -> None:
    nodes = [factories.ct_feature(1, 1, position, influence=value) for position, value in enumerate((0.5, -0.25))]
    (row,) = rows(aggregate_made([factories.ct_graph(nodes, [])]), "neurons")
    assert (row["influence_sum"], row["influence_abs_sum"], row["influence_min"], row["influence_max"]) == (
        0.25,
        0.75,
        -0.25,
        0.5,
    )


def test_every_dataset_has_the_declared_schema(aggregate_made) -> None:
    stats = aggregate_made([factories.random_graph(1)])
    for dataset in datasets_of("stats"):
        path = dataset.path(stats)
        assert path.exists() == (not dataset.optional or dataset.name != "connections")
        if not path.exists():
            continue
        found = pq.read_schema(path / "part-00000.parquet" if dataset.parted else path)
        assert found.equals(dataset.schema), dataset.name
