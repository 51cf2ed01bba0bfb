"""Circuits of tokens: planted ones are found, noise is not, and every number against a slow count."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from atlas.circuits import anchored_circuits
from atlas.circuits.anchored import Anchors
from atlas.circuits.cells import Cells, read_observations
from atlas.circuits.find import merged
from atlas.cli.main import main
from atlas.errors import InputError, StageError, UsageError
from atlas.ids import NeuronId
from atlas.io.files import write_parquet
from atlas.options import CircuitOptions
from atlas.query.client import Atlas
from atlas.stages import DATASETS
from atlas.stages.manifest import write_manifest
from atlas.stages.resamples import false_discovery_rate

TOKENS, EACH, NEURONS = 8, 6, 200
Row = dict[str, Any]


def planted(token: int) -> list[int]:
    """Neurons of layer 1 that an input token drives; tokens 6 and 7 drive the same ones, in part."""
    return [min(token, 6) * EACH + number for number in range(EACH)]


def source_of(token: int) -> int:
    return 100 + min(token, 6)


def make(folder: Path, *, seed: int = 1, groups: int = 12, signal: bool = True, outputs: bool = True) -> Path:
    """Single graphs of eight tokens, two of them in each graph, with links at random beside the planted ones."""
    rng = np.random.default_rng(seed)
    graphs: list[Row] = []
    nodes: list[Row] = []
    links: list[Row] = []
    edges: dict[tuple[int, ...], list[float]] = defaultdict(list)
    for graph in range(groups * 4):
        group = graph % groups
        graphs.append({"graph_id": graph, "path": f"g{graph}", "group_id": group})
        tokens = rng.choice(TOKENS, 2, replace=False).tolist()
        chosen = {(0, source_of(token)) for token in tokens if signal}
        chosen |= {(1, neuron) for token in tokens for neuron in planted(token) if signal}
        chosen |= {(int(rng.integers(0, 3)), int(rng.integers(0, NEURONS))) for _ in range(25)}
        place = {neuron: number for number, neuron in enumerate(sorted(chosen))}
        for (layer, neuron), number in place.items():
            nodes.append({"graph_id": graph, "node": number, "kind": "neuron", "layer": layer, "neuron": neuron})
        for at, token in enumerate(tokens):
            nodes.append({"graph_id": graph, "node": 1000 + at, "kind": "token", "token_id": token, "position": at})
            nodes.append({"graph_id": graph, "node": 2000 + at, "kind": "logit", "token_id": 50 + token})
            for (layer, neuron), number in place.items():
                strong = signal and layer == 1 and neuron in planted(token)
                weight = float(rng.normal(3, 0.2)) if strong else float(rng.normal(0, 0.3))
                links.append({"graph_id": graph, "source": 1000 + at, "target": number, "weight": weight})
                if outputs:
                    links.append({"graph_id": graph, "source": number, "target": 2000 + at, "weight": -weight})
        for (layer, neuron), number in place.items():
            for (other_layer, other), target in place.items():
                if layer < other_layer:
                    planted_edge = (
                        signal
                        and layer == 0
                        and any(neuron == source_of(token) and other in planted(token) for token in tokens)
                    )
                    weight = 2.0 if planted_edge else float(rng.normal(0, 0.1))
                    links.append({"graph_id": graph, "source": number, "target": target, "weight": weight})
                    edges[layer, neuron, other_layer, other, group].append(weight)
    write(folder, graphs, nodes, links, edges)
    return folder


def write(folder: Path, graphs: list[Row], nodes: list[Row], links: list[Row], edges: Any) -> None:
    names = ("src_layer", "src_neuron", "tgt_layer", "tgt_neuron", "group_id")
    found = [
        dict(zip(names, key, strict=True))
        | {"count": len(weights), "graph_count": len(weights), "positive_count": sum(w > 0 for w in weights)}
        | {"weight_sum": sum(weights), "weight_abs_sum": sum(map(abs, weights)), "weight_sq_sum": 0.0}
        for key, weights in edges.items()
    ]
    tokens = [{"token_id": number, "token": f" t{number}"} for number in [*range(TOKENS), *range(50, 50 + TOKENS)]]
    for name, rows in (
        ("graphs", graphs),
        ("graph_nodes", nodes),
        ("graph_links", links),
        ("edge_groups", found),
        ("tokens", tokens),
    ):
        dataset = DATASETS[f"stats.{name}"]
        table = dataset.table({key: [row.get(key) for row in rows] for key in dataset.schema.names})
        path = dataset.path(folder)
        (path if dataset.parted else path.parent).mkdir(parents=True, exist_ok=True)
        write_parquet(table, path / "part-00000.parquet" if dataset.parted else path)
    write_manifest(folder, "stats", space={}, method="relp", inputs=[])


def found(folder: Path) -> tuple[dict[str, Row], dict[str, list[Row]]]:
    circuits = {row["circuit_id"]: row for row in pq.read_table(folder / "circuits.parquet").to_pylist()}
    members = defaultdict(list)
    for row in pq.read_table(folder / "circuit_members.parquet").to_pylist():
        members[row["circuit_id"]].append(row)
    return circuits, members


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("made") / "stats")


OPTIONS = CircuitOptions(min_graphs=4, min_groups=3, size=EACH)


def test_planted_circuits_are_found_again(made: Path, tmp_path: Path) -> None:
    summary = anchored_circuits(made, tmp_path / "out", OPTIONS)
    circuits, members = found(tmp_path / "out")
    # Tokens 6 and 7 drive the same neurons, so they have one circuit.
    assert summary.circuits == {"input": 7, "output": 7}
    assert summary.replicated == {"input": 7, "output": 7}
    assert sorted(map(tuple, (row["token_ids"] for row in circuits.values() if row["kind"] == "input"))) in (
        [(0,), (1,), (2,), (3,), (4,), (5,), (6, 7)],
        [(0,), (1,), (2,), (3,), (4,), (5,), (7, 6)],
    )
    for circuit, row in circuits.items():
        token = row["token_ids"][0] % 50
        mine = [(m["layer"], m["neuron"]) for m in members[circuit] if m["role"] == "anchored"]
        assert sorted(mine) == [(1, neuron) for neuron in planted(token)]
        assert row["anchored_count"] == EACH
        assert row["half_agreement"] > 0.9 > row["control_agreement"]
        assert row["support"] > 0.9
        assert row["null_p"] == pytest.approx(1 / 1001)
        assert row["sign_coherence"] == pytest.approx(1.0)
        # Growth finds the one source of all its neurons, surely.
        sources = [m for m in members[circuit] if m["role"] == "upstream" and m["confidence"] == 1.0]
        assert (0, source_of(token)) in [(m["layer"], m["neuron"]) for m in sources]
        assert next(m for m in members[circuit] if m["role"] == "upstream")["neuron"] == source_of(token)


@pytest.mark.parametrize("seed", range(3))
def test_noise_has_no_reliable_circuits(seed: int, tmp_path: Path) -> None:
    stats = make(tmp_path / "stats", seed=seed, signal=False)
    summary = anchored_circuits(stats, tmp_path / "out", CircuitOptions(min_graphs=4, min_groups=3))
    assert summary.circuits["input"] >= 6
    assert summary.replicated == dict.fromkeys(summary.circuits, 0)


def test_counts_and_scores_are_those_of_a_slow_count(made: Path) -> None:
    read = {
        name: pq.read_table(DATASETS[f"stats.{name}"].path(made)).to_pylist() for name in ("graph_nodes", "graph_links")
    }
    nodes = {(row["graph_id"], row["node"]): row for row in read["graph_nodes"]}
    weights: dict[tuple[int, int], float] = defaultdict(float)
    absolute: dict[tuple[int, int], float] = defaultdict(float)
    seen: dict[int, set[int]] = defaultdict(set)
    for row in read["graph_links"]:
        source, target = nodes[row["graph_id"], row["source"]], nodes[row["graph_id"], row["target"]]
        if source["kind"] == "token" and target["kind"] == "neuron":
            key = source["token_id"], NeuronId(target["layer"], target["neuron"]).packed
            weights[key] += row["weight"]
            absolute[key] += abs(row["weight"])
            seen[source["token_id"]].add(row["graph_id"])
    observed = read_observations(made)
    assert observed.bucket_count == 12
    assert {token: graphs for token, graphs, _ in observed.anchors["input"]} == {t: len(g) for t, g in seen.items()}
    cells = observed.cells["input"]
    signed, size = cells.sums(np.ones(12))
    keys = list(zip(cells.first.tolist(), cells.second.tolist(), strict=True))
    assert keys == sorted(weights)
    assert signed.tolist() == pytest.approx([weights[key] for key in keys])
    assert size.tolist() == pytest.approx([absolute[key] for key in keys])
    half = np.arange(12) < 6
    parts = [cells.sums(side.astype(float)) for side in (half, ~half)]
    assert (parts[0][0] + parts[1][0]).tolist() == pytest.approx(signed.tolist())
    anchors = Anchors.of(cells, [(token,) for token in range(TOKENS)])
    of_token: dict[int, float] = defaultdict(float)
    of_neuron: dict[int, float] = defaultdict(float)
    for (token, neuron), value in absolute.items():
        of_token[token] += value
        of_neuron[neuron] += value
    total = sum(absolute.values())
    expected = []
    for token, neuron in keys:
        ratio = (absolute[token, neuron] / of_neuron[neuron]) / (of_token[token] / total)
        expected.append(absolute[token, neuron] * max(math.log(ratio), 0.0))
    scores = anchors.scores(np.ones(12))
    assert scores.tolist() == pytest.approx(expected)
    chosen = anchors.best(scores, np.full(TOKENS, 5))
    for token in range(TOKENS):
        mine = sorted((key for key in keys if key[0] == token), key=lambda key: (-expected[keys.index(key)], key[1]))
        assert {keys[row] for row in np.flatnonzero(chosen) if keys[row][0] == token} == set(mine[:5])


def test_sets_are_compared_by_jaccard() -> None:
    columns = {"first": [0, 0, 0, 1, 1, 1], "second": [5, 6, 7, 5, 6, 9], "bucket": [0] * 6}
    arrays = {name: np.array(values) for name, values in columns.items()}
    cells = Cells.of({**arrays, "signed": np.ones(6), "absolute": np.ones(6)})
    anchors = Anchors.of(cells, [(0,), (1,)])
    one, other = np.array([1, 1, 0, 1, 1, 1], bool), np.array([0, 1, 1, 0, 0, 0], bool)
    assert anchors.jaccard(one, other).tolist() == [1 / 3, 0.0]
    assert anchors.jaccard(~one & ~one, one & ~one).tolist() == [0.0, 0.0]
    # {5, 6} of the first against {} of the second, {5, 6, 9} of the second against {6, 7} of the first
    assert anchors.against_others(one, other, np.array([1, 0])).tolist() == [0.0, 1 / 4]


def test_alike_tokens_are_put_together() -> None:
    sets = {0: {1, 2, 3, 4}, 1: {1, 2, 3, 5}, 2: {1, 2, 3, 4}, 3: {9}}
    rows = [(token, neuron) for token, neurons in sets.items() for neuron in sorted(neurons)]
    anchor, neuron = (np.array(column) for column in zip(*rows, strict=True))
    assert merged([70, 71, 72, 73], anchor, neuron, 0.6) == [(70, 71, 72), (73,)]
    assert merged([70, 71, 72, 73], anchor, neuron, 0.61) == [(70, 72), (71,), (73,)]


def test_outputs_that_the_same_neurons_push_apart_are_two_anchors(made: Path) -> None:
    neuron = np.array([2 * 7 + 1, 2 * 8 + 1, 2 * 7, 2 * 8])  # the same two, with the other sign
    assert merged([1, 2], np.array([0, 0, 1, 1]), neuron, 0.6) == [(1,), (2,)]


def test_a_merged_anchor_counts_each_graph_once(made: Path, tmp_path: Path) -> None:
    anchored_circuits(made, tmp_path / "out", OPTIONS)
    read = {name: pq.read_table(DATASETS[f"stats.{name}"].path(made)).to_pylist() for name in ("graphs", "graph_nodes")}
    group = {row["graph_id"]: row["group_id"] for row in read["graphs"]}
    for row in found(tmp_path / "out")[0].values():
        kind = "token" if row["kind"] == "input" else "logit"
        graphs = {n["graph_id"] for n in read["graph_nodes"] if n["kind"] == kind and n["token_id"] in row["token_ids"]}
        assert (row["graph_count"], row["group_count"]) == (len(graphs), len({group[graph] for graph in graphs}))


def test_a_contrast_compares_tokens_per_graph(tmp_path: Path) -> None:
    """Neurons 0 to 4 push both tokens alike, 10 to 14 the first, 20 to 24 the second, which is in few graphs."""
    graphs, nodes, links = [], [], []
    for graph in range(24):
        graphs.append({"graph_id": graph, "path": f"g{graph}", "group_id": graph % 12})
        for number, token in enumerate((50, 51) if graph % 4 == 0 else (50,)):
            nodes.append({"graph_id": graph, "node": 1000 + number, "kind": "logit", "token_id": token})
            pushed = [*range(5), *range(10 * (number + 1), 10 * (number + 1) + 5)]
            for neuron in pushed:
                links.append({"graph_id": graph, "source": neuron, "target": 1000 + number, "weight": 1.0})
        for neuron in [*range(5), *range(10, 15), *range(20, 25)]:
            nodes.append({"graph_id": graph, "node": neuron, "kind": "neuron", "layer": 0, "neuron": neuron})
    write(tmp_path / "stats", graphs, nodes, links, {})
    options = CircuitOptions(min_graphs=2, min_groups=2, size=10, contrasts=((" t50", " t51"),))
    anchored_circuits(tmp_path / "stats", tmp_path / "out", options)
    _, members = found(tmp_path / "out")
    assert {m["neuron"]: m["weight"] for m in members["contrast:50-51"]} == pytest.approx(
        dict.fromkeys(range(10, 15), 1.0) | dict.fromkeys(range(20, 25), -1.0)
    )


def test_too_few_anchors_are_no_control(made: Path, tmp_path: Path) -> None:
    anchored_circuits(made, tmp_path / "out", CircuitOptions(min_graphs=10**6, contrasts=((" t50", " t51"),)))
    (row,) = found(tmp_path / "out")[0].values()
    assert row["half_agreement"] is not None
    assert (row["control_agreement"], row["null_p"], row["null_fdr"]) == (None, None, None)


def test_false_discovery_rates() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.9])
    assert false_discovery_rate(p).tolist() == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.9])
    assert false_discovery_rate(np.zeros(0)).tolist() == []


def test_the_same_command_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        anchored_circuits(made, tmp_path / name, OPTIONS)
    for file in ("circuits.parquet", "circuit_members.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_with_one_group_nothing_is_known_about_replication(tmp_path: Path) -> None:
    stats = make(tmp_path / "stats", groups=1)
    anchored_circuits(stats, tmp_path / "out", CircuitOptions(min_graphs=1, min_groups=1, size=3))
    circuits, members = found(tmp_path / "out")
    assert circuits
    for name in ("support", "half_agreement", "control_agreement", "null_p", "null_fdr"):
        assert {row[name] for row in circuits.values()} == {None}
    assert {m["confidence"] for rows in members.values() for m in rows if m["role"] == "anchored"} == {None}
    assert {m["role"] for rows in members.values() for m in rows} == {"anchored"}


def test_rare_tokens_and_those_of_all_graphs_have_no_circuit(made: Path, tmp_path: Path) -> None:
    counts = {token: graphs for token, graphs, _ in read_observations(made).anchors["input"]}
    middle = sorted(counts.values())[3]
    anchored_circuits(made, tmp_path / "out", CircuitOptions(min_graphs=middle, min_groups=1, merge=1.0))
    kept = {row["token_ids"][0] for row in found(tmp_path / "out")[0].values() if row["kind"] == "input"}
    assert kept == {token for token, count in counts.items() if count >= middle}
    share = middle / 48
    options = CircuitOptions(min_graphs=1, min_groups=1, merge=1.0, max_graph_share=share)
    anchored_circuits(made, tmp_path / "out", options)
    kept = {row["token_ids"][0] for row in found(tmp_path / "out")[0].values() if row["kind"] == "input"}
    assert kept == {token for token, count in counts.items() if count <= middle}


def test_contrasts_cancel_what_two_tokens_share(made: Path, tmp_path: Path) -> None:
    options = CircuitOptions(
        min_graphs=4,
        min_groups=3,
        size=12,
        contrasts=((" t50", " t51"), (" t56", " t57")),
        around=("L1/N0, L1/N1 L1/N0",),
    )
    anchored_circuits(made, tmp_path / "out", options)
    circuits, members = found(tmp_path / "out")
    first = [(m["layer"], m["neuron"]) for m in members["contrast:50-51"] if m["role"] == "anchored"]
    assert set(first) == {(1, neuron) for token in (0, 1) for neuron in planted(token)}
    weights = {m["neuron"]: m["weight"] for m in members["contrast:50-51"] if m["role"] == "anchored"}
    assert all((weights[neuron] < 0) == (neuron in planted(0)) for neuron in weights)
    assert circuits["contrast:50-51"]["anchor"] == " t50 rather than  t51"
    around = members["set:1"]
    assert [(m["layer"], m["neuron"]) for m in around if m["role"] == "anchored"] == [(1, 0), (1, 1)]
    assert next(m for m in around if m["role"] == "upstream")["neuron"] == source_of(0)


def test_what_cannot_be_a_circuit_is_one_line(made: Path, tmp_path: Path) -> None:
    for options, said in (
        (CircuitOptions(contrasts=((" t50", " none"),)), "' none' is no traced output token"),
        (CircuitOptions(around=("L1/N0 L9/N9",)), "no edge has L9/N9"),
        (CircuitOptions(around=("nonsense",)), "circuits.around: 'nonsense' is no neuron id"),
    ):
        with pytest.raises((InputError, UsageError), match=said):
            anchored_circuits(made, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()
    for name, value in (("min_graphs", 0), ("size", 0), ("resamples", 1), ("merge", 0.0), ("max_graph_share", 2.0)):
        with pytest.raises(UsageError, match=f"circuits.{name}"):
            CircuitOptions(**{name: value})
    for name, value in (("contrasts", ((" a", " b"), (" a", " b"))), ("around", ("L1/N0", "L1/N0"))):
        with pytest.raises(UsageError, match=f"circuits.{name} names one thing twice"):
            CircuitOptions(**{name: value})
    with pytest.raises(StageError, match="is no stats folder"):
        anchored_circuits(tmp_path / "none", tmp_path / "out")
    stats = make(tmp_path / "stats")
    for part in DATASETS["stats.graph_links"].path(stats).glob("*"):
        part.unlink()
    DATASETS["stats.graph_links"].path(stats).rmdir()
    with pytest.raises(InputError, match="has no graph_links"):
        anchored_circuits(stats, tmp_path / "out")


def test_no_graphs_give_no_circuits(tmp_path: Path) -> None:
    write(tmp_path / "stats", [], [], [], {})
    summary = anchored_circuits(tmp_path / "stats", tmp_path / "out")
    assert (summary.circuits, summary.members, summary.groups) == ({}, 0, 0)
    assert found(tmp_path / "out") == ({}, {})


def test_the_atlas_holds_them(small_atlas: Path) -> None:
    with Atlas(small_atlas) as atlas:
        circuits = {row["circuit_id"]: row for row in atlas.sql("FROM circuits").pl().to_dicts()}
        members = atlas.sql("FROM circuit_members").pl().to_dicts()
        clusters = atlas.sql("FROM clusters").pl().to_dicts()
        labels = {(r["layer"], r["neuron"]): r["label"] for r in atlas.sql("FROM neurons").pl().to_dicts()}
        kinds = {row["kind"] for row in circuits.values()}
        assert kinds == {"cluster", "input", "output"}
        primary = {c for c, r in circuits.items() if r["kind"] == "cluster" and r["is_primary"]}
        assert {row["cluster_path"] for row in clusters} == primary
        edges = atlas.sql("FROM edges").pl().to_dicts()
        graphs = defaultdict(set)
        for row in atlas.sql("FROM neuron_graphs").pl().to_dicts():
            graphs[row["layer"], row["neuron"]].add(row["graph_id"])
        token_edges = atlas.sql("FROM token_edges").pl().to_dicts()
        for circuit, row in circuits.items():
            mine = [m for m in members if m["circuit_id"] == circuit]
            units = {(m["layer"], m["neuron"]) for m in mine}
            assert row["size"] == len(units) == len(mine)
            assert row["labelled_count"] == sum(labels[unit] is not None for unit in units)
            shown = {(r["layer"], r["neuron"]): r for r in atlas.circuit(circuit).pl().to_dicts()}
            assert shown.keys() == units
            inside = [
                e for e in edges if {(e["src_layer"], e["src_neuron"]), (e["tgt_layer"], e["tgt_neuron"])} <= units
            ]
            assert len(atlas.circuit_edges(circuit).fetchall()) == len(inside)
            core = {(m["layer"], m["neuron"]) for m in mine if m["step"] in (0, None)}
            counted: dict[int, int] = defaultdict(int)
            for unit in core:
                for graph in graphs[unit]:
                    counted[graph] += 1
            acts = atlas.circuit_graphs(circuit).pl().to_dicts()
            assert {r["graph_id"]: r["active_count"] for r in acts} == counted
            assert all(r["active_share"] == pytest.approx(r["active_count"] / len(core)) for r in acts)
            driven: dict[int, float] = defaultdict(float)
            for e in token_edges:
                if (e["layer"], e["neuron"]) in units:
                    driven[e["token_id"]] += e["count"] * e["mean_weight"]
            ends = [r for r in atlas.circuit_ends(circuit).pl().to_dicts() if r["side"] == "input"]
            counts = dict(atlas.sql("SELECT token_id, input_graph_count FROM tokens").fetchall())
            assert {r["token_id"]: r["weight"] for r in ends} == pytest.approx(
                {token: total / counts[token] for token, total in driven.items()}, rel=1e-4, abs=1e-5
            )


def test_the_page_and_the_query_of_a_token(small_atlas: Path) -> None:
    run = CliRunner().invoke
    with duckdb.connect(str(small_atlas), read_only=True) as con:
        circuit, anchor = con.execute(
            "SELECT circuit_id, anchor FROM anchored_circuits WHERE kind = 'input' LIMIT 1"
        ).fetchall()[0]
    page = run(main, ["circuit", str(small_atlas), circuit])
    assert page.exit_code == 0, page.output
    for part in (
        f"circuit {circuit}  of the input token",
        "trust",
        "two halves of the prompts agree by",
        "Members",
        "Graphs with its neurons",
    ):
        assert part in page.output
    assert run(main, ["circuit", str(small_atlas), anchor]).output.startswith(f"circuit {circuit} ")
    unknown = run(main, ["circuit", str(small_atlas), "input:999"])
    assert unknown.exit_code == 1
    assert "has no circuit input:999" in unknown.output
    listed = run(main, ["query", str(small_atlas), "circuits", "--kind", "input", "--format", "csv"])
    assert listed.exit_code == 0
    assert circuit in listed.output
