"""Groups of prompts: how graphs are grouped, and edges by group against a slow, obvious reference."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import duckdb
import factories
import polars as pl
import pytest
import reference_impl
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas.aggregate.prompt_groups import (
    GRAPH,
    LEAST_SOURCES,
    NEAR_DUPLICATE,
    SIMILARITY,
    SOURCE,
    STATED,
    assign_groups,
    bucket_of_group,
    near_duplicates,
    read_group_file,
    shape_of,
    similarity,
)
from atlas.cli.main import main
from atlas.database import build_database, run_checks
from atlas.database.inputs import Inputs
from atlas.errors import InputError, SourceChanged
from atlas.pipeline import aggregate_graphs, merge_stats, run_recipe
from atlas.pipeline.recipe import load_recipe

TEMPLATE = "The saying goes: {} is to {} as {} is to"
WORDS = [factories.words_of(seed, 3) for seed in range(20)]


def partition(numbers: Any) -> set[frozenset[int]]:
    found: dict[Any, set[int]] = defaultdict(set)
    for place, number in enumerate(numbers):
        found[number].add(place)
    return {frozenset(members) for members in found.values()}


def test_prompts_of_one_template_are_one_group() -> None:
    prompts = [TEMPLATE.format(*words) for words in WORDS]
    others = [" ".join(factories.words_of(seed, 12)) for seed in range(100, 110)]
    groups = partition(near_duplicates([*prompts, *others]).tolist())
    assert groups == {frozenset(range(20)), *(frozenset({place}) for place in range(20, 30))}


def test_special_tokens_case_and_numbers_are_no_difference() -> None:
    one, other = shape_of("<bos>In 1984 the Cat"), shape_of("<|begin_of_text|>in 7 THE cat")
    assert similarity(one, other) == 1.0
    assert similarity(shape_of("a b"), shape_of("c d")) == 0.0
    # {a, b, c} and {ab, bc} against {a, b, d} and {ab, bd}: 3 shared of 7.
    assert similarity(shape_of("a b c"), shape_of("a b d")) == pytest.approx(3 / 7)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=0, max_size=8), max_size=12), st.randoms())
def test_groups_are_joined_by_likeness_alone_and_in_any_order(texts: list[list[str]], rng: random.Random) -> None:
    prompts = [" ".join(words) for words in texts]
    found = partition(near_duplicates(prompts).tolist())
    # Reference: components over all pairs. MinHash may miss a pair, but never joins two that no chain joins.
    parent = list(range(len(prompts)))
    for i, j in itertools.combinations(range(len(prompts)), 2):
        if similarity(shape_of(prompts[i]), shape_of(prompts[j])) >= SIMILARITY:
            old, new = parent[j], parent[i]
            parent = [new if mark == old else mark for mark in parent]
    whole = partition(parent)
    assert all(any(group <= component for component in whole) for group in found)
    for i, j in itertools.combinations(range(len(prompts)), 2):
        if prompts[i].strip() and prompts[i] == prompts[j]:
            assert any({i, j} <= group for group in found)
    order = rng.sample(range(len(prompts)), len(prompts))
    again = partition(near_duplicates([prompts[place] for place in order]).tolist())
    assert {frozenset(order[place] for place in group) for group in again} == found


def test_more_prompts_never_part_a_group() -> None:
    rng = random.Random(2)
    prompts = [" ".join(rng.choices("abcdefghijklmnop", k=7)) for _ in range(120)]
    few = partition(near_duplicates(prompts[:60]).tolist())
    many = partition(near_duplicates(prompts).tolist())
    assert all(any(group <= larger for larger in many) for group in few)


def test_a_stated_group_is_before_a_source_and_a_source_before_likeness() -> None:
    hashes = [f"{place:02x}" * 32 for place in range(LEAST_SOURCES + 2)]
    sources = [None, *(f"s{place}" for place in range(LEAST_SOURCES)), "s0"]
    stated = ["mine", *[None] * (LEAST_SOURCES + 1)]
    prompts = [TEMPLATE.format(*WORDS[place]) for place in range(len(hashes))]
    found = assign_groups(stated, sources, prompts, hashes)
    assert found.rules == [STATED, *[SOURCE] * (LEAST_SOURCES + 1)]
    assert found.names[0] == "mine"
    assert found.names[1] == found.names[-1] == "s0"
    # Few sources name corpora, not groups of prompts.
    found = assign_groups(stated, ["web"] * len(hashes), prompts, hashes)
    assert found.rules == [STATED, *[NEAR_DUPLICATE] * (LEAST_SOURCES + 1)]
    assert len(set(found.names[1:])) == 1
    found = assign_groups([None] * 2, [None] * 2, [None, ""], hashes[:2])
    assert found.rules == [GRAPH, GRAPH]
    assert len(set(found.names)) == 2


def test_a_graph_alone_is_in_the_bucket_of_its_hash() -> None:
    assert [bucket_of_group(f"graph:{digit}{'0' * 15}") for digit in "0f8"] == [0, 15, 8]
    assert bucket_of_group("near:a123") == 10
    assert {bucket_of_group(f"template {place}") for place in range(400)} == set(range(16))
    assert bucket_of_group("near:by") == bucket_of_group("near:by")  # a stated name that looks like ours


# Edges by group


def corpus(folder: Path, seeds: range, *, group: Any) -> list[Path]:
    """Graphs whose files state a group."""
    for seed in seeds:
        graph = factories.random_graph(seed, neurons=14, links=90)
        graph["metadata"]["prompt_group"] = group(seed)
        factories.write(folder / f"{seed:03d}.json", graph)
    return sorted(folder.glob("*.json"))


def reference(paths: list[Path]) -> dict[tuple[Any, ...], list[Any]]:
    """count, graphs, positive, sums by edge and group, link by link."""
    rows: dict[tuple[Any, ...], list[Any]] = {}
    for path in paths:
        graph = reference_impl.load(path)
        kinds = {node["node_id"]: node for node in graph["nodes"]}
        for link in graph["links"]:
            ends = [kinds.get(link[name]) for name in ("source", "target")]
            if any(end is None or end["feature_type"] != "cross layer transcoder" for end in ends):
                continue
            pair = [value for end in ends for value in (int(end["layer"]), feature_of(end))]
            row = rows.setdefault((*pair, graph["metadata"]["prompt_group"]), [0, set(), 0, 0.0, 0.0, 0.0])
            weight = link["weight"]
            row[0] += 1
            row[1].add(path.name)
            row[2] += weight > 0
            row[3] += weight
            row[4] += abs(weight)
            row[5] += weight * weight
    return rows


def feature_of(node: dict[str, Any]) -> int:
    return int(node["node_id"].split("_")[1])


def by_group(stats: Path) -> dict[tuple[Any, ...], list[Any]]:
    names = dict(pl.read_parquet(stats / "graphs.parquet").select("group_id", "prompt_group").iter_rows())
    rows = pl.read_parquet(stats / "edge_groups" / "*.parquet").rows()
    return {(*row[:4], names[row[4]]): list(row[5:]) for row in rows}


def assert_groups_true(stats: Path, paths: list[Path]) -> None:
    expected, found = reference(paths), by_group(stats)
    assert found.keys() == expected.keys()
    for key, (count, graphs, positive, *values) in expected.items():
        assert found[key][:3] == [count, len(graphs), positive]
        assert found[key][3:] == pytest.approx(values, rel=1e-12, abs=1e-12)
    groups: dict[Any, list[tuple[str, int, float]]] = defaultdict(list)
    for key, row in expected.items():
        groups[key[:4]].append((key[4], row[0], row[3]))
    edges = pl.read_parquet(stats / "edges" / "*.parquet")
    assert edges["count"].sum() == sum(row[0] for row in expected.values())
    for row in edges.iter_rows(named=True):
        mine = groups[tuple(row[name] for name in ("src_layer", "src_neuron", "tgt_layer", "tgt_neuron"))]
        first = [part for part in mine if bucket_of_group(part[0]) % 2 == 0]
        assert row["group_count"] == len(mine)
        assert row["half_count"] == sum(part[1] for part in first)
        assert row["half_weight_sum"] == pytest.approx(sum(part[2] for part in first), rel=1e-12, abs=1e-9)
    samples = pl.read_parquet(stats / "edge_samples.parquet")
    assert samples["count"].sum() == edges["count"].sum()  # all edges of a small corpus are in the sample
    seen: dict[tuple[int, int], set[str]] = defaultdict(set)
    names = dict(pl.read_parquet(stats / "graphs.parquet").select("graph_id", "prompt_group").iter_rows())
    for layer, neuron, graph, *_ in pl.read_parquet(stats / "neuron_graphs" / "*.parquet").iter_rows():
        seen[layer, neuron].add(names[graph])
    for row in pl.read_parquet(stats / "neurons" / "*.parquet").iter_rows(named=True):
        assert row["group_count"] == len(seen[row["layer"], row["neuron"]])


@pytest.mark.parametrize("device", ["cpu", "torch:cpu"])
def test_edges_by_group_equal_the_reference(tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = corpus(tmp_path / "g", range(30), group=lambda seed: f"template {seed % 7}")
    if device != "cpu":
        # The kernel of a GPU, run on the CPU.
        from atlas.aggregate.kernels.torch_kernel import torch_kernel
        from atlas.aggregate.reduce import edges

        monkeypatch.setattr(edges, "_kernel", lambda *_: torch_kernel(device))
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    assert_groups_true(tmp_path / "stats", paths)


def test_increments_and_merges_give_the_edges_of_all_at_once(tmp_path: Path) -> None:
    def group(seed: int) -> str:
        return f"template {seed % 5}"

    paths = corpus(tmp_path / "g", range(24), group=group)
    corpus(tmp_path / "a", range(10), group=group)
    corpus(tmp_path / "b", range(10, 24), group=group)
    aggregate_graphs([tmp_path / "a"], tmp_path / "stats", threads=1)
    aggregate_graphs([tmp_path / "a", tmp_path / "b"], tmp_path / "stats", threads=1)
    assert_groups_true(tmp_path / "stats", paths)
    aggregate_graphs([tmp_path / "b"], tmp_path / "other", threads=1)
    aggregate_graphs([tmp_path / "a"], tmp_path / "one", threads=1)
    merge_stats([tmp_path / "other", tmp_path / "one"], tmp_path / "merged", threads=1)
    assert_groups_true(tmp_path / "merged", paths)


def test_new_graphs_join_earlier_groups_that_they_bridge(tmp_path: Path) -> None:
    """Two prompts that are not alike become one group with a third that is like both."""
    texts = ["a b c d e f", "g h i j k l", "a b c d e f g h i j k l"]
    for place, text in enumerate(texts):
        graph = factories.random_graph(place)
        graph["metadata"]["prompt"] = text
        factories.write(tmp_path / ("late" if place == 2 else "g") / f"{place}.json", graph)
    assert aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1).groups == 2
    assert aggregate_graphs([tmp_path / "g", tmp_path / "late"], tmp_path / "stats", threads=1).groups == 1
    aggregate_graphs([tmp_path / "g", tmp_path / "late"], tmp_path / "whole", threads=1)
    for name in ("edge_groups", "edges", "neurons"):
        one, other = (
            pl.read_parquet(tmp_path / stats / name / "*.parquet").drop("method", strict=False).to_numpy()
            for stats in ("stats", "whole")
        )
        assert one == pytest.approx(other, rel=1e-12, abs=1e-12, nan_ok=True)


def test_without_groups_every_graph_is_one(tmp_path: Path) -> None:
    corpus(tmp_path / "g", range(8), group=lambda _: "same")
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1, groups="none")
    assert not (tmp_path / "stats" / "edge_groups").exists()
    edges = pl.read_parquet(tmp_path / "stats" / "edges" / "*.parquet")
    assert (edges["group_count"] == edges["graph_count"]).all()
    assert pl.read_parquet(tmp_path / "stats" / "graphs.parquet")["group_rule"].unique().to_list() == [GRAPH]
    # What was made without groups goes on without them, and cannot be merged with what has them.
    corpus(tmp_path / "h", range(8, 12), group=lambda _: "same")
    aggregate_graphs([tmp_path / "g", tmp_path / "h"], tmp_path / "stats", threads=1)
    assert not (tmp_path / "stats" / "edge_groups").exists()
    corpus(tmp_path / "i", range(12, 14), group=lambda _: "same")
    aggregate_graphs([tmp_path / "i"], tmp_path / "other", threads=1)
    with pytest.raises(InputError, match="--groups none"):
        merge_stats([tmp_path / "stats", tmp_path / "other"], tmp_path / "m", threads=1)
    merge_stats([tmp_path / "stats", tmp_path / "other"], tmp_path / "m", threads=1, groups="none")


def test_a_file_states_groups_by_path_name_or_slug(tmp_path: Path) -> None:
    for seed in range(6):
        factories.write(tmp_path / "g" / f"{seed}.json", factories.random_graph(seed))
    table = pl.DataFrame({"graph": ["g/0.json", "1.json", "random-2"], "prompt_group": ["x", "x", "y"]})
    table.write_csv(tmp_path / "groups.csv")
    table.write_ndjson(tmp_path / "groups.jsonl")
    table.write_parquet(tmp_path / "groups.parquet")
    for ending in ("csv", "jsonl", "parquet"):
        assert read_group_file(tmp_path / f"groups.{ending}") == {"g/0.json": "x", "1.json": "x", "random-2": "y"}
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1, groups=str(tmp_path / "groups.csv"))
    graphs = pl.read_parquet(tmp_path / "stats" / "graphs.parquet")
    assert graphs["prompt_group"].to_list()[:3] == ["x", "x", "y"]
    assert graphs["group_rule"].cast(pl.String).to_list() == [STATED] * 3 + [NEAR_DUPLICATE] * 3


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("groups.txt", "x", "give a .csv, .jsonl or .parquet file"),
        ("groups.csv", "a,b\n1,2\n", "needs the columns graph and prompt_group"),
        ("groups.csv", "graph,prompt_group\nelsewhere,x\n", "names none of the graphs"),
        ("groups.jsonl", "{", "states no groups"),
        (None, "", "states no groups"),
    ],
)
def test_a_file_of_groups_that_cannot_be(tmp_path: Path, name: str | None, text: str, said: str) -> None:
    factories.write(tmp_path / "g" / "0.json", factories.random_graph(0))
    if name:
        (tmp_path / name).write_text(text)
    command = ["aggregate", tmp_path / "g", "-o", tmp_path / "s", "--groups", tmp_path / (name or "none.csv")]
    result = CliRunner().invoke(main, [str(word) for word in command])
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_group_that_was_parted_is_refused(tmp_path: Path) -> None:
    for seed in range(3):
        factories.write(tmp_path / "g" / f"{seed}.json", factories.random_graph(seed))
    groups = tmp_path / "groups.csv"
    groups.write_text("graph,prompt_group\n0.json,x\n1.json,x\n")
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1, groups=str(groups))
    factories.write(tmp_path / "g" / "3.json", factories.random_graph(3))
    groups.write_text("graph,prompt_group\n0.json,x\n1.json,y\n")
    with pytest.raises(SourceChanged, match="was made with groups 'file .*; start over with --fresh"):
        aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1, groups=str(groups))
    # The sources of a corpus group its prompts only when there are enough of them.
    for seed in range(LEAST_SOURCES):
        graph = factories.random_graph(seed)
        graph["metadata"] |= {"source": f"s{min(seed, LEAST_SOURCES - 2)}", "prompt": "one text for all of them"}
        factories.write(tmp_path / "h" / f"{seed}.json", graph)
    aggregate_graphs([tmp_path / "h"], tmp_path / "sources", threads=1)
    graph["metadata"]["source"] = "another"
    factories.write(tmp_path / "h" / "9.json", graph | {"metadata": graph["metadata"] | {"slug": "9"}})
    with pytest.raises(SourceChanged, match="in different groups now; aggregate the files of all graphs together"):
        aggregate_graphs([tmp_path / "h"], tmp_path / "sources", threads=1)


@pytest.mark.slow
def test_a_recipe_with_a_file_of_groups_follows_it(tmp_path: Path) -> None:
    for seed in range(4):
        factories.write(tmp_path / "g" / f"{seed}.json", factories.random_graph(seed))
    groups = tmp_path / "groups.csv"
    (tmp_path / "r.toml").write_text(
        '[graphs]\npaths = ["${HERE}/g"]\n[aggregate]\ngroups = "${HERE}/groups.csv"\n[[cluster]]\nmin_count = 1\ntrials = 1\n'
    )
    for names in ("xxyz", "xyyz"):
        groups.write_text("graph,prompt_group\n" + "".join(f"{seed}.json,{name}\n" for seed, name in enumerate(names)))
        run_recipe(load_recipe(tmp_path / "r.toml", output=tmp_path / "r.duckdb"), recipe_path=tmp_path / "r.toml")
        with duckdb.connect(str(tmp_path / "r.duckdb"), read_only=True) as con:
            assert con.execute("SELECT string_agg(prompt_group, '' ORDER BY graph_id) FROM graphs").fetchall() == [
                (names,)
            ]
            assert str(tmp_path) not in str(con.execute("FROM metadata").fetchall())


def test_an_atlas_says_how_many_groups_its_prompts_are(tmp_path: Path) -> None:
    corpus(tmp_path / "g", range(10), group=lambda seed: "one" if seed < 8 else f"other {seed}")
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    build_database(tmp_path / "a.duckdb", Inputs(tmp_path / "stats"))
    with duckdb.connect(str(tmp_path / "a.duckdb"), read_only=True) as con:
        groups = con.execute("SELECT prompt_group, graph_count, group_rule FROM prompt_groups").fetchall()
        assert groups == [("one", 8, STATED), ("other 8", 1, STATED), ("other 9", 1, STATED)]
        facts = dict(con.execute("FROM metadata").fetchall())
        # (8 + 1 + 1)^2 / (64 + 1 + 1)
        assert (facts["total_groups"], facts["effective_groups"], facts["largest_group_graphs"]) == ("3", "1.5", "8")
        assert all(result.passed for result in run_checks(con))
        assert con.execute("SELECT max(group_count) FROM edges").fetchall() == [(2,)]
        assert con.execute("SELECT count(*) FROM edge_groups").fetchall() == [(int(facts["edge_groups_rows"]),)]
    result = CliRunner().invoke(main, ["info", str(tmp_path / "a.duckdb")])
    assert "10 graphs are 3 groups of prompts, as good as 1.5 of equal size. One group holds 8 of them" in result.stdout
    result = CliRunner().invoke(main, ["tour", str(tmp_path / "a.duckdb")])
    assert "One group holds 8 of them" in result.stdout


def test_checks_find_edges_that_do_not_add_up(tmp_path: Path) -> None:
    corpus(tmp_path / "g", range(4), group=lambda seed: f"{seed % 2}")
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    build_database(tmp_path / "a.duckdb", Inputs(tmp_path / "stats"))
    with duckdb.connect(str(tmp_path / "a.duckdb")) as con:
        con.execute("UPDATE edge_groups SET count = count + 1 WHERE group_id = 0")
        assert [result.name for result in run_checks(con) if not result.passed] == ["edges_add_up_by_group"]


@pytest.mark.slow
def test_constants_of_the_prompts_are_marked(tmp_path: Path) -> None:
    """Neurons at the first position, and neurons that most graphs of every large group contain."""
    for number in range(17):
        always, bos, rare = factories.ct_feature(1, 1, 2), factories.ct_feature(0, 5, 0), factories.ct_feature(2, 2, 1)
        nodes = [always] if number % 6 else []  # in 14 of 17
        nodes += [bos] if number < 9 else []
        nodes += [rare, factories.ct_feature(2, 2, 0)] if number in (3, 16) else []
        group = "a" if number < 8 else "b" if number < 14 else f"single {number}"
        graph = factories.ct_graph(nodes, [], slug=f"{number}", prompt_group=group)
        factories.write(tmp_path / "g" / f"{number:02d}.json", graph)
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    build_database(tmp_path / "a.duckdb", Inputs(tmp_path / "stats"))
    with duckdb.connect(str(tmp_path / "a.duckdb"), read_only=True) as con:
        found = {
            row[:2]: row[2:]
            for row in con.execute("SELECT layer, neuron, bos_share, is_template FROM neurons").fetchall()
        }
    # In a: graphs 0 to 7 without 0 and 6, 6 of 8, below 80 %.
    assert found == {(1, 1): (0.0, False), (0, 5): (1.0, False), (2, 2): (0.5, False)}
    for number in (0, 6):
        graph = factories.ct_graph(
            [factories.ct_feature(1, 1, 2), *([factories.ct_feature(0, 5, 0)])], [], slug=f"{number}", prompt_group="a"
        )
        factories.write(tmp_path / "g" / f"{number:02d}.json", graph)
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1, fresh=True)
    build_database(tmp_path / "a.duckdb", Inputs(tmp_path / "stats"))
    with duckdb.connect(str(tmp_path / "a.duckdb"), read_only=True) as con:
        # Now in 8 of 8 of a and 5 of 6 of b.
        rows = con.execute("SELECT layer, neuron FROM neurons WHERE is_template").fetchall()
    assert rows == [(1, 1)]
    command = ["query", str(tmp_path / "a.duckdb"), "neurons", "--template", "false", "--format", "csv"]
    assert len(CliRunner().invoke(main, command).stdout.splitlines()) == 3


def test_a_phrase_that_all_prompts_share_does_not_join_them() -> None:
    """Many prompts with one preamble are compared all at once; the others pair by pair, with the same result."""
    preamble = "you are a helpful assistant and answer in one word"
    prompts = [f"{preamble} {' '.join(factories.words_of(seed, 25))}" for seed in range(120)]
    prompts += [f"{preamble} {' '.join(factories.words_of(7, 25)[:-1])} again"]  # one of them, nearly
    assert partition(near_duplicates(prompts).tolist()) == {
        frozenset({7, 120}),
        *(frozenset({place}) for place in range(120) if place != 7),
    }


def test_groups_of_a_file_are_text(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text("graph,prompt_group\n007,1.10\n7,01\nx,topic\n")
    assert read_group_file(path) == {"007": "1.10", "7": "01", "x": "topic"}
    path.write_text("graph,prompt_group\nx,a\nx,b\n")
    with pytest.raises(InputError, match="states two groups of x: 'a' and 'b'"):
        read_group_file(path)


def test_a_file_of_groups_serves_increments_that_it_does_not_name(tmp_path: Path) -> None:
    for seed in range(3):
        factories.write(tmp_path / "g" / f"{seed}.json", factories.random_graph(seed))
    groups = tmp_path / "groups.csv"
    groups.write_text("graph,prompt_group\n0.json,x\n1.json,x\n")
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1, groups=str(groups))
    factories.write(tmp_path / "g" / "3.json", factories.random_graph(3))
    assert aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1, groups=str(groups)).groups == 3


def test_a_group_may_be_a_number(tmp_path: Path) -> None:
    corpus(tmp_path / "g", range(3), group=lambda seed: seed % 2)
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    assert pl.read_parquet(tmp_path / "stats" / "graphs.parquet")["prompt_group"].to_list() == ["0", "1", "0"]
