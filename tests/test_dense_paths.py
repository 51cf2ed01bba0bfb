"""Strongest paths of a network in which far more paths lead to every neuron than are wanted, against all paths; as query and as macro."""

from __future__ import annotations

import itertools
import random
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

import atlas

LAYERS, WIDTH = 5, 6


@pytest.fixture(scope="module")
def dense(small_atlas: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas in which every neuron drives every one of a higher layer, with random weights of both signs."""
    path = tmp_path_factory.mktemp("dense") / "dense.duckdb"
    shutil.copy(small_atlas, path)
    draw = random.Random(5)
    rows = [
        (a, b, c, d, draw.randint(1, 9), draw.choice((-1, 1)) * draw.random() ** 3)
        for a in range(LAYERS)
        for c in range(a + 1, LAYERS)
        for b in range(WIDTH)
        for d in range(WIDTH)
    ]
    with duckdb.connect(str(path)) as con:
        con.execute(
            "CREATE TEMP TABLE given (src_layer INT, src_neuron INT, tgt_layer INT, tgt_neuron INT, count INT, mean_weight FLOAT)"
        )
        con.executemany("INSERT INTO given VALUES (?, ?, ?, ?, ?, ?)", rows)
        for table in ("edges", "edges_by_target"):
            con.execute(f"DELETE FROM {table}")
            con.execute(
                f"INSERT INTO {table} BY NAME SELECT *, count AS graph_count, 0 AS sign_cancellation, false AS in_circuit, 'relp' AS method, 'exact' AS stat_quality FROM given"
            )
        con.execute("DELETE FROM neurons")
        con.execute(
            f"INSERT INTO neurons BY NAME SELECT layer::INT AS layer, neuron::INT AS neuron, 'neuron' AS unit_type, 0 AS in_degree, 0 AS out_degree, coalesce((SELECT sum(weight_abs_sum) FROM edges WHERE tgt_layer = layer AND tgt_neuron = neuron), 0) AS input_abs_sum FROM range({LAYERS}) AS l(layer), range({WIDTH}) AS n(neuron)"
        )
        for table, columns in (
            ("token_edges", "7 AS token_id, 0 AS layer, neuron"),
            ("logit_edges", f"8 AS token_id, {LAYERS - 1} AS layer, neuron"),
        ):
            con.execute(f"DELETE FROM {table}")
            con.execute(
                f"INSERT INTO {table} BY NAME SELECT {columns}, 3 AS count, 2 AS graph_count, 0.1 * (neuron + 1) AS mean_weight, 0.1 * (neuron + 1) AS mean_abs_weight, 'exact' AS stat_quality FROM range({WIDTH}) AS n(neuron)"
            )
        con.execute("DELETE FROM tokens")
        con.execute(
            "INSERT INTO tokens (token_id, token, input_graph_count, output_graph_count) VALUES (7, 'in', 2, 0), (8, 'out', 0, 2), (9, 'other', 1, 1)"
        )
        con.execute("DELETE FROM vocabulary")
    return path


def all_paths(opened: Any, least: int) -> dict[tuple[str, ...], list[float]]:
    """Every path of at most four edges with the shares of its edges."""
    total = {
        (layer, neuron): value
        for layer, neuron, value in opened.sql("SELECT layer, neuron, input_abs_sum FROM neurons").fetchall()
    }
    share = {}
    for a, b, c, d, strength, count in opened.sql(
        "SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, weight_abs_sum, graph_count FROM edges"
    ).fetchall():
        if count >= least:
            share[(a, b), (c, d)] = strength / total[c, d]
    paths: dict[tuple[tuple[int, int], ...], list[float]] = {pair: [value] for pair, value in share.items()}
    longer = dict(paths)
    for _ in range(3):
        longer = {
            (*path, end): [*shares, share[path[-1], end]]
            for path, shares in longer.items()
            for layer in range(path[-1][0] + 1, LAYERS)
            for end in [(layer, number) for number in range(WIDTH)]
            if (path[-1], end) in share
        }
        paths |= longer
    return {tuple(f"L{layer}/N{neuron}" for layer, neuron in path): shares for path, shares in paths.items()}


@pytest.mark.parametrize(
    ("by", "hops", "limit", "least"), list(itertools.product(("product", "bottleneck"), (2, 3, 4), (1, 3, 20), (1, 4)))
)
def test_the_strongest_of_very_many_paths(dense: Path, by: str, hops: int, limit: int, least: int) -> None:
    with atlas.open(dense) as opened:
        paths = all_paths(opened, least)
        for start, end in (("L0/N0", "L4/N5"), ("L0/N3", "L4/N1")):
            strengths = []
            for path, shares in paths.items():
                if path[0] == start and path[-1] == end and len(shares) <= hops:
                    product = 1.0
                    for value in shares:
                        product *= value
                    strengths.append(min(shares) if by == "bottleneck" else product)
            expected = sorted(strengths, reverse=True)[:limit]
            rows = opened.strongest_paths(start, end, by=by, max_hops=hops, limit=limit, min_graphs=least).fetchall()
            assert [abs(row[3]) for row in rows] == pytest.approx(expected, rel=1e-5)
            macro = opened.sql(
                f"FROM strongest_paths('{start}', '{end}', max_hops := {hops}, by := '{by}', min_graphs := {least}, top := {limit})"
            )
            assert macro.fetchall() == rows


@pytest.mark.parametrize(("most", "limit"), [(1, 2), (2, 3), (3, 5), (4, 5)])
def test_the_strongest_paths_of_tokens(dense: Path, most: int, limit: int) -> None:
    with atlas.open(dense) as opened:
        total = {
            f"L{layer}/N{neuron}": value
            for layer, neuron, value in opened.sql("SELECT layer, neuron, input_abs_sum FROM neurons").fetchall()
        }
        first = {
            f"L0/N{neuron}": weight * 3
            for neuron, weight in opened.sql("SELECT neuron, mean_abs_weight FROM token_edges").fetchall()
        }
        last = {
            f"L{LAYERS - 1}/N{neuron}": weight * 3
            for neuron, weight in opened.sql("SELECT neuron, mean_abs_weight FROM logit_edges").fetchall()
        }
        strengths = []
        for path, shares in all_paths(opened, 1).items():
            if path[0] in first and path[-1] in last and len(path) <= most:
                value = last[path[-1]] / sum(last.values())
                for share in shares:
                    value *= share
                # A neuron of the first layer has no other input than the token.
                strengths.append(value * first[path[0]] / (total[path[0]] + first[path[0]]))
        expected = sorted(strengths, reverse=True)[:limit]
        rows = opened.token_paths("in", "out", max_neurons=most, limit=limit).fetchall()
        assert [abs(row[5]) for row in rows] == pytest.approx(expected, rel=1e-5)
        assert opened.sql(f"FROM token_paths('in', 'out', max_neurons := {most}, top := {limit})").fetchall() == rows
        for ends in (("other", "out"), ("in", "other"), ("nothing", "out"), ("in", "nothing")):
            assert (
                opened.token_paths(*ends).fetchall()
                == opened.sql(f"FROM token_paths('{ends[0]}', '{ends[1]}')").fetchall()
                == []
            )
