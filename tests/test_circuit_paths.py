"""Paths through anchored circuits against all paths of small circuits, and their graphs against single links."""

from __future__ import annotations

import itertools
from collections import defaultdict
from pathlib import Path

import factories
import polars as pl
import pytest
from click.testing import CliRunner
from conftest import stats_of

from atlas import Atlas
from atlas.circuits import anchored_circuits
from atlas.cli.main import main
from atlas.ids import INDEX_BITS
from atlas.options import CircuitOptions

Item = tuple[str, int]


@pytest.fixture(scope="module")
def stats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Graphs of few neurons and many links, so that single graphs have whole paths."""
    folder = tmp_path_factory.mktemp("dense")
    stats_of(folder, [factories.random_graph(seed, neurons=14, links=240) for seed in range(10)])
    return folder / "stats"


@pytest.fixture(scope="module")
def folder(stats: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Circuits of tokens, of a contrast, and of a set."""
    out = tmp_path_factory.mktemp("paths") / "circuits"
    nodes = pl.read_parquet(stats / "graph_nodes" / "*.parquet").filter(pl.col("kind") == "logit")
    outputs = set(nodes["token_id"])
    # A text names the last token that has it.
    rows = pl.read_parquet(stats / "tokens.parquet").drop_nulls("token").to_dicts()
    named = {row["token"]: row["token_id"] for row in rows}
    one, other = sorted(text for text, token in named.items() if token in outputs)[:2]
    options = CircuitOptions(
        min_graphs=2,
        min_groups=2,
        size=3,
        grow=3,
        resamples=4,
        least_confidence=0.2,
        contrasts=((one, other),),
        around=("L1/N2",),
        paths=4,
    )
    anchored_circuits(stats, out, options)
    return out


def single_links(stats: Path) -> list[tuple[int, Item, Item, float]]:
    """Graph, source, target and weight of every link between tokens, neurons and outputs."""
    item: dict[tuple[int, int], Item] = {}
    for row in pl.read_parquet(stats / "graph_nodes" / "*.parquet").to_dicts():
        if row["kind"] == "neuron":
            item[row["graph_id"], row["node"]] = ("neuron", row["layer"] << INDEX_BITS | row["neuron"])
        elif row["kind"] in ("token", "logit") and row["token_id"] is not None:
            item[row["graph_id"], row["node"]] = (row["kind"], row["token_id"])
    links = pl.read_parquet(stats / "graph_links" / "*.parquet").to_dicts()
    ends = [(row["graph_id"], row["source"], row["target"], row["weight"]) for row in links]
    return [(g, item[g, s], item[g, t], w) for g, s, t, w in ends if (g, s) in item and (g, t) in item]


def steps(stats: Path) -> tuple[dict[tuple[Item, Item], float], dict[tuple[Item, Item], set[int]]]:
    """Share of every step, with its sign, and the graphs that have it."""
    signed: dict[tuple[Item, Item], float] = defaultdict(float)
    absolute: dict[tuple[Item, Item], float] = defaultdict(float)
    graphs: dict[tuple[Item, Item], set[int]] = defaultdict(set)
    for graph, source, target, weight in single_links(stats):
        graphs[source, target].add(graph)
        if (source[0], target[0]) in (("token", "neuron"), ("neuron", "neuron"), ("neuron", "logit")):
            signed[source, target] += weight
            absolute[source, target] += abs(weight)
    into: dict[Item, float] = defaultdict(float)
    for (_, target), value in absolute.items():
        into[target] += value
    share = {pair: value / into[pair[1]] * (-1 if signed[pair] < 0 else 1) for pair, value in absolute.items() if value}
    return share, graphs


def all_paths(share: dict[tuple[Item, Item], float], members: set[int]) -> list[tuple[float, list[Item]]]:
    """Every path from a token over members, upwards by layer, to an output."""
    after: dict[Item, list[Item]] = defaultdict(list)
    for source, target in share:
        after[source].append(target)
    found = []

    def walk(path: list[Item], strength: float) -> None:
        for target in after[path[-1]]:
            value = strength * share[path[-1], target]
            if target[0] == "logit" and path[-1][0] == "neuron":
                found.append((value, [*path, target]))
            is_up = path[-1][0] == "token" or target[1] >> INDEX_BITS > path[-1][1] >> INDEX_BITS
            if target[0] == "neuron" and target[1] in members and is_up:
                walk([*path, target], value)

    for token in {source for source, _ in share if source[0] == "token"}:
        walk([token], 1.0)
    return found


def graphs_of(path: list[Item], graphs: dict[tuple[Item, Item], set[int]]) -> set[int]:
    """Graphs that have all steps of a path."""
    return set.intersection(*(graphs[pair] for pair in itertools.pairwise(path)))


def test_paths_are_the_strongest_of_all(stats: Path, folder: Path) -> None:
    share, graphs = steps(stats)
    table = pl.read_parquet(folder / "circuit_paths.parquet")
    members = pl.read_parquet(folder / "circuit_members.parquet").to_dicts()
    seen = set()
    for circuit in pl.read_parquet(folder / "circuits.parquet").to_dicts():
        mine = [row for row in members if row["circuit_id"] == circuit["circuit_id"]]
        units = {row["layer"] << INDEX_BITS | row["neuron"] for row in mine}
        anchored = {row["layer"] << INDEX_BITS | row["neuron"] for row in mine if row["role"] == "anchored"}
        tokens = set(circuit["token_ids"])
        expected = [
            (strength, path)
            for strength, path in all_paths(share, units)
            if any(item in anchored for kind, item in path if kind == "neuron")
            and (circuit["kind"] != "input" or path[0][1] in tokens)
            and (circuit["kind"] not in ("output", "contrast") or path[-1][1] in tokens)
        ]
        expected.sort(key=lambda one: -abs(one[0]))
        # Of the strongest ones, those whose links a graph has.
        candidates = [(value, path) for value, path in expected[:240] if graphs_of(path, graphs)][:4]
        rows = table.filter(pl.col("circuit_id") == circuit["circuit_id"]).sort("rank").to_dicts()
        assert [row["strength"] for row in rows] == pytest.approx([one for one, _ in candidates], rel=1e-6)
        for row in rows:
            neurons = [
                layer << INDEX_BITS | neuron for layer, neuron in zip(row["layers"], row["neurons"], strict=True)
            ]
            path = [("token", row["token_id"]), *(("neuron", one) for one in neurons), ("logit", row["output_id"])]
            assert row["strength"] == pytest.approx(next(one for one, other in expected if other == path))
            assert row["graph_count"] == len(graphs_of(path, graphs)) > 0
            assert row["group_count"] <= row["graph_count"]
        seen.add((circuit["kind"], bool(rows)))
    assert {("input", True), ("output", True), ("contrast", True), ("set", True)} <= seen


def test_paths_are_in_the_atlas_and_on_the_page(small_atlas: Path) -> None:
    with Atlas(small_atlas) as atlas:
        rows = atlas.sql("SELECT DISTINCT circuit_id FROM circuit_paths ORDER BY ALL").fetchall()
        circuit = rows[0][0]
        paths = atlas.circuit_paths(circuit).to_arrow_table().to_pylist()
        assert len(paths) <= 5
        stated = (
            atlas.sql(f"FROM circuit_paths WHERE circuit_id = '{circuit}' AND rank = 1").to_arrow_table().to_pylist()
        )
        text = {row["token_id"]: row["token"] for row in atlas.sql("FROM tokens").to_arrow_table().to_pylist()}
        assert paths[0]["token"] == text.get(stated[0]["token_id"])
        most = max(row["graph_count"] for row in paths)
        assert atlas.circuit_paths(circuit, min_graphs=most + 1).fetchall() == []
    parquet = pl.read_parquet(small_atlas.parent / "circuits" / "circuit_paths.parquet")
    first = parquet.filter((pl.col("circuit_id") == circuit) & (pl.col("rank") == 1)).to_dicts()[0]
    names = [f"L{layer}/N{neuron}" for layer, neuron in zip(first["layers"], first["neurons"], strict=True)]
    assert paths[0]["neurons"].split() == names == stated[0]["neuron_ids"]
    page = CliRunner().invoke(main, ["circuit", str(small_atlas), circuit])
    assert page.exit_code == 0, page.output
    assert "graphs with all of it" in page.output
    assert " → ".join(names) in page.output.replace("\n", "")


def test_no_paths_where_none_are_wanted(stats: Path, tmp_path: Path) -> None:
    anchored_circuits(stats, tmp_path / "c", CircuitOptions(min_graphs=2, min_groups=2, size=3, paths=0))
    assert len(pl.read_parquet(tmp_path / "c" / "circuit_paths.parquet")) == 0
