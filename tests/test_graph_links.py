"""Single graphs: kept with the statistics, embedded in an atlas or beside it, and shown."""

from __future__ import annotations

import itertools
import math
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

import atlas as package
from atlas.cli.main import main
from atlas.database import build_database, graphs_folder
from atlas.database.inputs import Inputs
from atlas.errors import InputError, UsageError
from atlas.pipeline import aggregate_graphs, merge_stats
from atlas.query.attribution_graph import AttributionGraph, GraphNode

KINDS = {"cross layer transcoder": "neuron", "embedding": "token", "logit": "logit"}


def corpus(folder: Path, seeds: range) -> list[Path]:
    for seed in seeds:
        factories.write(folder / f"{seed:03d}.json", factories.random_graph(seed, neurons=16, links=80))
    return sorted(folder.glob("*.json"))


def reference(path: Path) -> list[tuple[Any, ...]]:
    """Links of a file as (source id, target id, weight) of nodes that are used, sorted."""
    graph = reference_impl.load(path)
    known = {node["node_id"] for node in graph["nodes"]}
    return sorted(
        (link["source"], link["target"], float(pl.Series([link["weight"]], dtype=pl.Float32)[0]))
        for link in graph["links"]
        if link["source"] in known
        and link["target"] in known
        and kind_of(graph, link["source"]) != "logit"
        and kind_of(graph, link["target"]) in ("neuron", "logit")
    )


def kind_of(graph: dict[str, Any], node_id: str) -> str:
    found = next(node for node in graph["nodes"] if node["node_id"] == node_id)
    return KINDS.get(found["feature_type"], "error")


def kept(stats: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Links of the stats by path, their ends as the id in the file."""
    nodes = pl.read_parquet(stats / "graph_nodes" / "*.parquet")
    links = pl.read_parquet(stats / "graph_links" / "*.parquet")
    paths = dict(pl.read_parquet(stats / "graphs.parquet").select("graph_id", "path").iter_rows())
    names: dict[tuple[int, int], str] = {}
    for row in nodes.iter_rows(named=True):
        file = reference_impl.load(stats.parent / paths[row["graph_id"]])
        node = file["nodes"][row["node"]]  # the nodes of these files are distinct, so their order stays
        assert KINDS.get(node["feature_type"], "error") == row["kind"]
        assert row["position"] == node["ctx_idx"]
        if row["kind"] == "neuron":
            assert (row["layer"], row["neuron"]) == tuple(int(part) for part in node["node_id"].split("_")[:2])
            for name in ("activation", "influence"):
                value = node[name]
                assert row[name] == (None if value is None else pytest.approx(value, rel=1e-6))
        names[row["graph_id"], row["node"]] = node["node_id"]
    found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for graph, source, target, weight in links.iter_rows():
        found[paths[graph]].append((names[graph, source], names[graph, target], weight))
    return {path: sorted(rows) for path, rows in found.items()}


def test_the_links_of_every_graph_are_those_of_its_file(tmp_path: Path) -> None:
    paths = corpus(tmp_path / "g", range(12))
    summary = aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    found = kept(tmp_path / "stats")
    assert {path: found[f"g/{path.name}"] for path in paths} == {path: reference(path) for path in paths}
    assert sum(map(len, found.values())) == summary.kept.total()


@pytest.mark.slow
def test_increments_and_merges_keep_all_graphs_with_their_new_numbers(tmp_path: Path) -> None:
    corpus(tmp_path / "b", range(5, 9))
    aggregate_graphs([tmp_path / "b"], tmp_path / "stats", threads=1)
    corpus(tmp_path / "a", range(5))
    aggregate_graphs([tmp_path / "a", tmp_path / "b"], tmp_path / "stats", threads=1)
    expected = {f"{path.parent.name}/{path.name}": reference(path) for path in sorted(tmp_path.glob("?/*.json"))}
    assert kept(tmp_path / "stats") == expected
    for name in "ab":
        aggregate_graphs([tmp_path / name], tmp_path / f"of_{name}", threads=1)
    merge_stats([tmp_path / "of_b", tmp_path / "of_a"], tmp_path / "merged", threads=1)
    assert kept(tmp_path / "merged") == expected
    # The graphs of one side alone would be a part that looks like the whole.
    aggregate_graphs([tmp_path / "a"], tmp_path / "bare", threads=1, graph_links="none")
    assert not (tmp_path / "bare" / "graph_links").exists()
    merge_stats([tmp_path / "of_b", tmp_path / "bare"], tmp_path / "half", threads=1)
    assert not (tmp_path / "half" / "graph_links").exists()


def built(folder: Path, where: str, **options: Any) -> Path:
    out = folder / f"{where}.duckdb"
    build_database(out, Inputs(folder / "stats", graph_links=where, **options))
    return out


@pytest.mark.slow
def test_a_graph_embedded_and_beside_is_the_same(tmp_path: Path) -> None:
    corpus(tmp_path / "g", range(6))
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    embedded, beside, none = (built(tmp_path, where) for where in ("embed", "beside", "none"))
    assert not graphs_folder(embedded).exists()
    assert graphs_folder(beside).is_dir()
    with package.open(embedded) as one, package.open(beside) as other:
        for number in range(6):
            left, right = one.graph(number), other.graph(str(number))
            assert left.nodes == right.nodes
            assert sorted(left.links) == sorted(right.links)
        assert other.sql("SELECT count(*) FROM graph_links").fetchall() == [(0,)]
        assert one.sql("SELECT count(*) FROM graph_targets").fetchall() == [(12,)]
    with package.open(none) as atlas, pytest.raises(InputError, match="holds no links of single graphs"):
        atlas.graph(0)
    # What an earlier atlas had beside it does not stay beside the next.
    build_database(beside, Inputs(tmp_path / "stats", graph_links="embed"))
    assert not graphs_folder(beside).exists()
    with package.open(beside) as atlas:
        assert atlas.graph(0).links


def test_a_graph_is_named_by_number_path_slug_or_prompt(tmp_path: Path) -> None:
    corpus(tmp_path / "g", range(3))
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    with package.open(built(tmp_path, "embed")) as atlas:
        word = factories.words_of(2)[1]
        for name in ("2", "g/002.json", "random-2", "002", word.upper()):
            assert atlas.graph(name).facts["graph_id"] == 2
        with pytest.raises(InputError, match=r"'random' could be graph 0 \(g/000.json\), 1"):
            atlas.graph("random")
        with pytest.raises(InputError, match="list them with: atlas graphs"):
            atlas.graph("nothing")
        graph = atlas.graph(0)
        token = next(node for node in graph.nodes if node.kind == "token")
        assert token.node in graph.find(token.token, ("token",))
        neuron = next(node for node in graph.nodes if node.kind == "neuron")
        assert neuron.node in graph.find(neuron.name, ("neuron",))
        with pytest.raises(UsageError, match="no logit of the graph is 'L99/N1'"):
            graph.find("L99/N1", ("logit",))


# Paths and flows against all paths


def made(seed: int) -> AttributionGraph:
    """A random graph without cycles: 3 tokens, 6 neurons, 2 logits."""
    rng = random.Random(seed)
    kinds = ["token"] * 3 + ["neuron"] * 6 + ["logit"] * 2
    nodes = [
        GraphNode(n, kind, 1, n, n, 0, None, None, rng.random() if kind == "logit" else None, str(n), None, None)
        for n, kind in enumerate(kinds)
    ]
    pairs = [(a, b) for a, b in itertools.combinations(range(11), 2) if b > 2 and kinds[a] != "logit"]
    links = [(a, b, rng.choice([-1, 1]) * rng.random()) for a, b in pairs if rng.random() < 0.5]
    names = rng.sample(range(11), 11)  # the order of the numbers says nothing
    nodes = sorted((node._replace(node=names[node.node]) for node in nodes), key=lambda node: node.node)
    return AttributionGraph({}, nodes, [(names[a], names[b], weight) for a, b, weight in links])


def all_paths(graph: AttributionGraph, source: int, target: int) -> list[tuple[tuple[int, ...], float]]:
    total: dict[int, float] = defaultdict(float)
    for _, end, weight in graph.links:
        total[end] += abs(weight)
    if source == target:
        return [((target,), 1.0)]
    found = []
    for start, end, weight in graph.links:
        if start == source:
            share = abs(weight) / total[end]
            found += [((source, *rest), share * strength) for rest, strength in all_paths(graph, end, target)]
    return found


@pytest.mark.parametrize("seed", range(8))
def test_strongest_paths_and_flows_are_those_of_all_paths(seed: int) -> None:
    graph = made(seed)
    tokens = [node.node for node in graph.nodes if node.kind == "token"]
    logits = [node.node for node in graph.nodes if node.kind == "logit"]
    every = [path for source in tokens for target in logits for path in all_paths(graph, source, target)]
    expected = sorted(every, key=lambda path: -path[1])[:5]
    found = graph.strongest_paths(tokens, logits, limit=5)
    assert [tuple(node.node for node in path.nodes) for path in found] == [nodes for nodes, _ in expected]
    assert [path.strength for path in found] == pytest.approx([strength for _, strength in expected])
    weights = {(a, b): weight for a, b, weight in graph.links}
    for path in found:
        ends = itertools.pairwise(node.node for node in path.nodes)
        assert list(path.weights) == [weights[pair] for pair in ends]
    mass = sum(graph.nodes[node].probability for node in logits)
    for node in graph.nodes:
        flow = sum(
            strength * graph.nodes[target].probability / mass
            for target in logits
            for _, strength in all_paths(graph, node.node, target)
        )
        assert graph.flows[node.node] == pytest.approx(flow)


def test_a_cycle_and_a_self_loop_end() -> None:
    node = GraphNode(0, "token", None, None, 1, 0, None, None, None, "a", None, None)
    nodes = [node, *(node._replace(node=n, kind="neuron") for n in (1, 2)), node._replace(node=3, kind="logit")]
    links = [(0, 1, 1.0), (1, 2, 1.0), (2, 1, 1.0), (1, 1, 1.0), (2, 3, 1.0)]
    graph = AttributionGraph({}, nodes, links)
    [path] = graph.strongest_paths([0], [3])
    assert [node.node for node in path.nodes] == [0, 1, 2, 3]
    assert sorted(graph.order) == [0, 1, 2, 3]
    # A self-loop alone leaves the order of all other nodes; nodes may be numbered against it.
    nodes = [node._replace(node=n, kind=kind) for n, kind in enumerate(("logit", "neuron", "neuron", "token"))]
    graph = AttributionGraph({}, nodes, [(3, 2, 1.0), (2, 2, 1.0), (2, 1, 1.0), (1, 0, 1.0)])
    assert graph.order == [3, 2, 1, 0]
    [path] = graph.strongest_paths([3], [0])
    assert path.strength == 0.5
    assert graph.flows[3] == 0.5


# Unusual


def test_what_is_unusual_equals_the_reference(tmp_path: Path) -> None:
    paths = corpus(tmp_path / "g", range(14))
    groups = {path.name: f"t{place % 5}" for place, path in enumerate(paths)}
    table = pl.DataFrame({"graph": list(groups), "prompt_group": list(groups.values())})
    table.write_csv(tmp_path / "groups.csv")
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1, groups=str(tmp_path / "groups.csv"))
    with package.open(built(tmp_path, "embed")) as atlas:
        neurons: dict[Any, set[int]] = defaultdict(set)
        edges: dict[Any, set[int]] = defaultdict(set)
        for number, name in enumerate(groups):
            graph = atlas.graph(number)
            assert graph.facts["path"] == f"g/{name}"
            units = {node.node: (node.layer, node.neuron) for node in graph.nodes if node.kind == "neuron"}
            for unit in units.values():
                neurons[unit].add(number)
            for source, target, _ in graph.links:
                if source in units and target in units:
                    edges[units[source], units[target]].add(number)
        group = [groups[name] for name in groups]
        for number in (0, 7):
            others = {place for place in range(14) if group[place] != group[number]}

            def count(graphs: set[int], others: set[int] = others) -> int:
                return len({group[place] for place in graphs & others})

            found = {row[1:3]: row[1:] for row in atlas.unusual_neurons(number).fetchall()}
            assert found.keys() == {unit for unit, graphs in neurons.items() if number in graphs}
            for unit, row in found.items():
                assert row[4:6] == (count(neurons[unit]), 4)
                assert row[6] == pytest.approx(-math.log2((count(neurons[unit]) + 1) / 5), abs=1e-6)
            found = {(row[2:4], row[5:7]): row[2:] for row in atlas.unusual_edges(number).fetchall()}
            assert found.keys() == {edge for edge, graphs in edges.items() if number in graphs}
            for (source, target), row in found.items():
                linked, joint = count(edges[source, target]), count(neurons[source] & neurons[target])
                assert row[7:9] == (linked, joint)
                assert row[9] == pytest.approx(-math.log2((linked + 1) / (joint + 1)), abs=1e-6)
            missing = {row[1:3]: row[5] for row in atlas.missing_neurons(number).fetchall()}
            assert missing == {
                unit: count(graphs) for unit, graphs in neurons.items() if number not in graphs and count(graphs) >= 2
            }


@pytest.mark.slow
def test_the_pages_of_graphs(tmp_path: Path) -> None:
    corpus(tmp_path / "g", range(4))
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    out = built(tmp_path, "embed")

    def run(*words: object, code: int = 0) -> str:
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exit_code == code, result.output
        return result.stdout if not code else result.stderr

    listed = run("graphs", out)
    assert factories.words_of(3)[0] in listed
    page = run("graph", out, "random-1")
    for title in ("Prompt by tokens", "Targets", "Strongest paths", "Circuits present", "Unusual neurons"):
        assert title in page
    with package.open(out) as atlas:
        graph = atlas.graph(1)
        source, target = (next(n for n in graph.nodes if n.kind == kind) for kind in ("token", "logit"))
    assert f"from {source.token} to {target.token}" in run(
        "graph", out, "1", "--from", source.token, "--to", target.token
    )
    assert "no neuron or token of the graph is 'L77/N1'" in run("graph", out, "1", "--from", "L77/N1", code=1)
    one = tmp_path / "one.duckdb"
    aggregate_graphs([tmp_path / "g" / "000.json"], tmp_path / "alone", threads=1)
    build_database(one, Inputs(tmp_path / "alone"))
    assert "nothing to compare with" in run("graph", one, "0")


def test_a_folder_beside_that_is_gone_is_named(tmp_path: Path) -> None:
    corpus(tmp_path / "g", range(2))
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    out = built(tmp_path, "beside")
    out.rename(tmp_path / "moved.duckdb")
    with (
        package.open(tmp_path / "moved.duckdb") as atlas,
        pytest.raises(InputError, match=r"moved.duckdb.graphs belongs to .* copy it beside the atlas"),
    ):
        atlas.graph(0)


def test_a_large_corpus_goes_beside_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from atlas.database import inputs

    corpus(tmp_path / "g", range(2))
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    monkeypatch.setattr(inputs, "EMBEDDED_ROWS", 10)
    out = built(tmp_path, "auto")
    with duckdb.connect(str(out), read_only=True) as con:
        assert con.execute("SELECT value FROM metadata WHERE key = 'graph_links'").fetchall() == [("beside",)]
        assert con.execute("SELECT count(*) FROM edge_groups").fetchall() == [(0,)]
