"""Exported networks, graphs, profiles and slim atlases: read back by other libraries and by this package, with equal ids and weights."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import networkx
import pytest
from click.testing import CliRunner

import atlas
from atlas import Atlas
from atlas.cli.main import main
from atlas.database import run_checks
from atlas.errors import UsageError
from atlas.graphs import Blob, parse_graph
from atlas.query.connection import rows_of
from atlas.query.graph_json import graph_json
from atlas.query.network import Network, network_of_graph, network_of_set
from atlas.query.network_files import WRITERS, write_network

HOSTILE = 'a "quoted" <b>&amp; ]]> \x01\x0b end\nline | ; --> `x` %s {} \ud83d\ude42'.encode(
    "utf-16", "surrogatepass"
).decode("utf-16")


@pytest.fixture(scope="module")
def small(small_atlas: Path) -> Iterator[Atlas]:
    with atlas.open(small_atlas) as opened:
        yield opened


@pytest.fixture(scope="module")
def network(small: Atlas) -> Network:
    found = network_of_set(small, "layer <= 1", min_graphs=2)
    assert len(found.nodes) > 5
    assert len(found.edges) > 10
    return found


@pytest.fixture(scope="module")
def hostile() -> Network:
    nodes = [{"id": f"L0/N{number}", "kind": "neuron", "label": HOSTILE, "layer": 0} for number in range(3)]
    edges = [
        {"source": "L0/N0", "target": "L0/N1", "weight": 0.5},
        {"source": "L0/N1", "target": "L0/N2", "weight": -1e-9},
        {"source": "L0/N0", "target": "L0/N1", "weight": 2.0},
    ]
    return Network(HOSTILE, nodes, edges)


def weights(network: Network) -> list[tuple[str, str, float]]:
    return sorted((edge["source"], edge["target"], edge["weight"]) for edge in network.edges)


def of_networkx(found: Any) -> list[tuple[str, str, float]]:
    return sorted((a, b, values["weight"]) for a, b, values in found.edges(data=True))


READERS = {
    "graphml": lambda path: networkx.read_graphml(path, force_multigraph=True),
    "gexf": networkx.read_gexf,
    "json": lambda path: networkx.node_link_graph(json.loads(path.read_text()), edges="edges"),
}


@pytest.mark.parametrize("form", sorted(READERS))
@pytest.mark.parametrize("which", ["network", "hostile"])
def test_networkx_reads_the_same_network(form: str, which: str, request: Any, tmp_path: Path) -> None:
    given: Network = request.getfixturevalue(which)
    write_network(given, tmp_path / "x", form)
    found = READERS[form](tmp_path / "x")
    assert set(found.nodes) == {node["id"] for node in given.nodes}
    assert of_networkx(found) == weights(given)
    for node in given.nodes:
        label = found.nodes[node["id"]].get("label")
        # GEXF has its own attribute of that name, for the id.
        if form != "gexf" and node["label"] is not None:
            assert label == (node["label"] if form == "json" else re.sub("[\x01\x0b]", "�", node["label"]))


def test_set_and_edges_are_those_of_the_atlas(small: Atlas, network: Network) -> None:
    expected = small.sql(
        "SELECT 'L' || src_layer || '/N' || src_neuron, 'L' || tgt_layer || '/N' || tgt_neuron, mean_weight FROM edges "
        "WHERE src_layer <= 1 AND tgt_layer <= 1 AND graph_count >= 2"
    ).fetchall()
    assert weights(network) == sorted(expected)
    assert [node["id"] for node in network.nodes] == [
        row[0] for row in small.sql("SELECT neuron_id FROM neurons WHERE layer <= 1 ORDER BY layer, neuron").fetchall()
    ]


def test_objects_of_other_libraries(network: Network) -> None:
    pytest.importorskip("igraph")
    expected = weights(network)
    as_igraph = network.to_igraph()
    names = as_igraph.vs["name"]
    assert sorted((names[edge.source], names[edge.target], edge["weight"]) for edge in as_igraph.es) == expected
    as_rustworkx = network.to_rustworkx()
    assert (
        sorted(
            (as_rustworkx[a]["id"], as_rustworkx[b]["id"], edge["weight"])
            for a, b, edge in as_rustworkx.weighted_edge_list()
        )
        == expected
    )
    assert of_networkx(network.to_networkx()) == expected
    assert network.to_igraph().is_directed()


def test_anndata(network: Network, tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata")
    write_network(network, tmp_path / "x.h5ad", "h5ad")
    found = anndata.read_h5ad(tmp_path / "x.h5ad")
    names = list(found.obs_names)
    matrix = found.obsp["weight"].tocoo()
    assert sorted((names[a], names[b], w) for a, b, w in zip(matrix.row, matrix.col, matrix.data, strict=True)) == [
        (a, b, pytest.approx(w)) for a, b, w in weights(network)
    ]
    assert list(found.obs["layer"]) == [node["layer"] for node in network.nodes]


def test_pytorch_geometric(network: Network) -> None:
    pytest.importorskip("torch_geometric")
    found = network.to_pyg()
    ends = found.edge_index.tolist()
    assert sorted(
        (found.node_id[a], found.node_id[b], pytest.approx(w))
        for a, b, w in zip(*ends, found.edge_weight.tolist(), strict=True)
    ) == weights(network)
    assert found.num_nodes == len(network.nodes)


def test_edge_list(network: Network, tmp_path: Path) -> None:
    write_network(network, tmp_path / "x.csv", "edges")
    with (tmp_path / "x.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted((row["source"], row["target"], float(row["weight"])) for row in rows) == weights(network)


def test_dot_and_mermaid_hold_every_edge(hostile: Network, tmp_path: Path) -> None:
    for form in ("dot", "mermaid"):
        write_network(hostile, tmp_path / form, form)
    dot = (tmp_path / "dot").read_text(encoding="utf-8")
    # One statement a line: a text that ended its quotes would break this.
    quoted = r'"(?:[^"\\]|\\.)*"'
    statements = [line for line in dot.split("\n")[:-1] if line.startswith('  "')]
    assert len(statements) == len(dot.split("\n")[:-1]) - 4 == 6
    for line in statements:
        assert re.fullmatch(rf"  {quoted}(?: -> {quoted})? \[(?:\w+=(?:{quoted}|\w+)(?:, )?)+\];", line), line
    assert sum(bool(re.match(rf"  {quoted} -> ", line)) for line in statements) == 3
    mermaid = (tmp_path / "mermaid").read_text(encoding="utf-8").split("\n")[:-1]
    assert mermaid[0] == "flowchart BT"
    for line in mermaid[1:]:
        assert re.fullmatch(
            r'  n\d+(\["[^"<>&|;`\n]*(?:#\d+;[^"<>&|;`\n]*)*"\]| (-->|-\.->)\|"[^"|]*"\| n\d+)', line
        ), line


def test_a_diagram_of_too_many_edges_is_refused(network: Network, tmp_path: Path) -> None:
    many = Network("x", network.nodes, network.edges * (501 // len(network.edges) + 1))
    for form in ("dot", "mermaid"):
        with pytest.raises(UsageError, match="at most 500"):
            write_network(many, tmp_path / "x", form)
    with pytest.raises(UsageError, match="not as png"):
        write_network(network, tmp_path / "x", "png")


def graph_of(opened: Atlas) -> int:
    return int(
        opened.sql("SELECT graph_id FROM graph_links GROUP BY ALL ORDER BY count(*) DESC, graph_id LIMIT 1").fetchall()[
            0
        ][0]
    )


def test_a_graph_is_read_back_with_equal_ids_and_weights(small: Atlas, tmp_path: Path) -> None:
    graph = small.graph(graph_of(small))
    found = graph_json(small, graph)
    (tmp_path / "graph.json").write_text(json.dumps(found))
    read = parse_graph(Blob("graph.json", (tmp_path / "graph.json").read_bytes()))
    assert read.info.space.model == dict(small.metadata().fetchall()).get("model")
    links = read.links
    got = sorted(zip(links.source.tolist(), links.target.tolist(), links.weight.tolist(), strict=True))
    assert got == sorted(graph.links)
    assert read.nodes.position.tolist() == [-1 if node.position is None else node.position for node in graph.nodes]
    assert {key for top in ("metadata", "qParams", "nodes", "links") for key in [top]} <= set(found)
    for node in found["nodes"]:
        assert {"node_id", "feature", "layer", "ctx_idx", "feature_type", "jsNodeId", "clerp"} <= set(node)


@pytest.mark.parametrize("clustering", [None, "infomap"])
def test_circuits_are_the_supernodes_of_a_graph(small: Atlas, clustering: str | None) -> None:
    graph = small.graph(graph_of(small))
    ids = [node["node_id"] for node in graph_json(small, graph)["nodes"]]
    name = clustering or small.sql("SELECT clustering FROM clusterings WHERE is_primary").fetchall()[0][0]
    member = {
        (row["layer"], row["neuron"]): row["cluster_path"]
        for row in rows_of(small.sql("FROM cluster_members WHERE clustering = $name", {"name": name}))
    }
    expected: dict[str, set[str]] = {}
    for node in graph.nodes:
        if node.kind == "neuron" and (node.layer, node.neuron) in member:
            expected.setdefault(member[node.layer, node.neuron], set()).add(ids[node.node])
    found = graph_json(small, graph, clustering=name)["qParams"]
    assert {group[0].partition(":")[0]: set(group[1:]) for group in found["supernodes"]} == {
        path: nodes for path, nodes in expected.items() if len(nodes) >= 2
    }
    assert found["supernodes"]
    grouped = [one for group in found["supernodes"] for one in group[1:]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) <= set(found["pinnedIds"]) <= set(ids)
    with pytest.raises(UsageError, match="no clustering 'none'"):
        graph_json(small, graph, clustering="none")


def test_the_network_of_a_graph_is_its_links(small: Atlas) -> None:
    graph = small.graph(graph_of(small))
    found = network_of_graph(graph)
    place = found.places
    assert sorted((place[e["source"]], place[e["target"]], e["weight"]) for e in found.edges) == sorted(graph.links)
    assert len(place) == len(graph.nodes)


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_profiles_are_imported_as_the_same_statistics(small: Atlas, small_atlas: Path, tmp_path: Path) -> None:
    print(run("export", "profiles", small_atlas, "-o", tmp_path / "p.json", "--top", 1000))
    run("import", "edge-stats", tmp_path / "p.json", "-o", tmp_path / "stats")
    with duckdb.connect() as con:
        found = con.sql(
            f"SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, count, weight_sum / count FROM '{tmp_path}/stats/edges/*.parquet' ORDER BY ALL"
        ).fetchall()
    expected = small.sql(
        "SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, count, mean_weight FROM edges ORDER BY ALL"
    ).fetchall()
    assert [row[:5] for row in found] == [row[:5] for row in expected]
    assert [row[5] for row in found] == pytest.approx([row[5] for row in expected], rel=1e-6)
    profiles = json.loads((tmp_path / "p.json").read_text())["profiles"]
    counts = [profile["appearance_count"] for profile in profiles]
    assert counts == sorted(counts, reverse=True)
    run("export", "profiles", small_atlas, "layer = 1", "-o", tmp_path / "q.json", "--top", 2)
    few = json.loads((tmp_path / "q.json").read_text())["profiles"]
    whole = {profile["neuron_id"]: profile for profile in profiles}
    assert {profile["layer"] for profile in few} == {1}
    for profile in few:
        for name in ("top_upstream_sources", "top_downstream_targets"):
            assert profile[name] == whole[profile["neuron_id"]][name][:2]


@pytest.mark.slow
def test_a_slim_atlas_keeps_the_strongest_edges(small: Atlas, small_atlas: Path, tmp_path: Path) -> None:
    before = small_atlas.read_bytes()
    out = tmp_path / "slim.duckdb"
    text = run("export", "slim", small_atlas, "layer <= 2", "-o", out, "--top", 2)
    assert "left out" in text
    assert small_atlas.read_bytes() == before
    kept = {tuple(row) for row in small.sql("SELECT layer, neuron FROM neurons WHERE layer <= 2").fetchall()}
    edges = [
        ((row["src_layer"], row["src_neuron"]), (row["tgt_layer"], row["tgt_neuron"]), row["mean_abs_weight"])
        for row in rows_of(small.sql("FROM edges"))
    ]
    inside = [edge for edge in edges if edge[0] in kept and edge[1] in kept]
    expected = set()
    for unit in kept:
        for mine in (0, 1):
            ranked = sorted((edge for edge in inside if edge[mine] == unit), key=lambda e: (-e[2], e[1 - mine]))
            expected |= {edge[:2] for edge in ranked[:2]}
    with atlas.open(out) as slim:
        for table in ("edges", "edges_by_target"):
            rows = rows_of(slim.sql(f"FROM {table}"))
            assert {((r["src_layer"], r["src_neuron"]), (r["tgt_layer"], r["tgt_neuron"])) for r in rows} == expected
        assert set(slim.sql("SELECT layer, neuron FROM neurons").fetchall()) == kept
        # Cosines of the kept edges: between their vectors and the lengths of those.
        norms = slim.sql("SELECT layer, neuron, output_weight_norm FROM neurons").fetchall()
        for layer, neuron, norm in norms:
            mine = [
                r["weight_sum"]
                for r in rows_of(slim.sql("FROM edges"))
                if (r["src_layer"], r["src_neuron"]) == (layer, neuron)
            ]
            assert norm == pytest.approx(sum(value * value for value in mine) ** 0.5, rel=1e-5)
        facts = dict(slim.metadata().fetchall())
        lost = json.loads(facts["slim_left_out"])
        for table, count in lost.items():
            difference = [opened.sql(f"SELECT count(*) FROM {table}").fetchall()[0][0] for opened in (small, slim)]
            assert difference[0] - difference[1] == count
        assert facts["slim_of"] == dict(small.metadata().fetchall())["atlas_id"] != facts["atlas_id"]
        assert facts["total_edges"] == str(len(expected))
        assert all(result.passed for result in run_checks(slim.connection))
        for name, example in slim.sql("SELECT name, example FROM help").fetchall():
            slim.sql(example.rstrip(";")).fetchall()
            assert name
        words = small.sql("SELECT label FROM neurons WHERE label IS NOT NULL AND layer <= 2 LIMIT 1").fetchall()[0][0]
        assert slim.search(words).fetchall()
    run("check", out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("slim", "{atlas}", "-o", "{atlas}"), "is the atlas itself"),
        (("slim", "{atlas}", "layer = 999", "-o", "{out}"), "no neuron is in"),
        (("graphml", "{atlas}", "layer = 999", "-o", "{out}"), "no neuron is in the set"),
        (("neuronpedia", "{atlas}", "-o", "{out}"), "name it with --graph"),
        (("neuronpedia", "{atlas}", "--graph", "no such", "-o", "{out}"), "has no graph 'no such'"),
        (("json", "{atlas}", "layer = 1", "--graph", "1", "-o", "{out}"), "leave out the set"),
        (("zarr", "{atlas}", "-o", "{out}"), "format of stores of activations"),
        (("graphml", "{folder}/none.duckdb", "-o", "{out}"), "does not exist"),
    ],
)
def test_wrong_exports_are_one_line_and_write_nothing(
    small_atlas: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    copy = tmp_path / "a.duckdb"
    shutil.copy(small_atlas, copy)
    names = {"atlas": copy, "out": tmp_path / "out", "folder": tmp_path}
    text = run("export", *(argument.format(**names) for argument in arguments), code=1)
    assert message in text
    assert len(text.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert copy.read_bytes() == small_atlas.read_bytes()


def test_every_form_is_written_by_the_command(small_atlas: Path, tmp_path: Path) -> None:
    for form in WRITERS:
        out = tmp_path / f"x.{form}"
        assert f"as {form}" in run("export", form, small_atlas, "layer = 1", "--min-graphs", 2, "-o", out)
        assert out.stat().st_size
        run("export", form, small_atlas, "--graph", "1", "-o", out) if form not in ("dot", "mermaid") else None
