"""Questions about the network and about tokens, against plain loops over the rows of the atlas."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

import atlas
from atlas import Atlas
from atlas.errors import QueryError, UsageError
from atlas.query.connection import rows_of

Unit = tuple[int, int]


@pytest.fixture(scope="module")
def small(small_atlas: Path) -> Iterator[Atlas]:
    with atlas.open(small_atlas) as opened:
        yield opened


class Plain:
    """All rows that the questions are about, in Python."""

    def __init__(self, opened: Atlas) -> None:
        def table(name: str) -> list[dict[str, Any]]:
            return rows_of(opened.sql(f"FROM {name}"))

        self.neurons = {(row["layer"], row["neuron"]): row for row in table("neurons")}
        self.edges = {self.ends(row): row for row in table("edges")}
        self.tokens = {row["token_id"]: row for row in table("tokens")}
        self.spelled = {row["token_id"]: row["token"] for row in table("vocabulary")}
        self.token_edges, self.logit_edges = table("token_edges"), table("logit_edges")
        self.graphs, self.seen = table("graphs"), table("neuron_graphs")
        self.labels, self.circuits = table("labels"), table("circuits")
        self.nodes, self.links = table("graph_nodes"), table("graph_links")
        assert len(self.edges) == len(table("edges"))

    @staticmethod
    def ends(row: dict[str, Any]) -> tuple[Unit, Unit]:
        return (row["src_layer"], row["src_neuron"]), (row["tgt_layer"], row["tgt_neuron"])

    def share(self, pair: tuple[Unit, Unit]) -> float:
        total = sum(row["weight_abs_sum"] for (_, target), row in self.edges.items() if target == pair[1])
        return self.edges[pair]["weight_abs_sum"] / total

    def often(self, least: int) -> dict[tuple[Unit, Unit], dict[str, Any]]:
        return {pair: row for pair, row in self.edges.items() if row["graph_count"] >= least}

    def token_ids(self, text: str) -> set[int]:
        return {
            number
            for number, row in self.tokens.items()
            if text in {spelling.strip(" ") if trim else spelling for spelling in (row["token"], self.spelled.get(number)) if spelling for trim in (False, True)}
        }  # fmt: skip


@pytest.fixture(scope="module")
def plain(small: Atlas) -> Plain:
    return Plain(small)


def named(unit: Unit) -> str:
    return f"L{unit[0]}/N{unit[1]}"


def hops(pairs: set[tuple[Unit, Unit]], starts: set[Unit], most: int) -> dict[Unit, int]:
    found = dict.fromkeys(starts, 0)
    for step in range(1, most + 1):
        found |= {b: step for a, b in pairs if a in found and found[a] == step - 1 and b not in found}
    return found


@pytest.mark.parametrize("least", [1, 4])
def test_triangles(small: Atlas, plain: Plain, least: int) -> None:
    edges = plain.often(least)
    expected = {}
    for (a, b), first in edges.items():
        for (other, c), second in edges.items():
            if other == b and (a, c) in edges and len({a, b, c}) == 3:
                third = edges[a, c]
                signs = [row["mean_weight"] > 0 for row in (first, second, third)]
                expected[named(a), named(b), named(c)] = (
                    min(row["mean_abs_weight"] for row in (first, second, third)),
                    min(row["graph_count"] for row in (first, second, third)),
                    "coherent" if (signs[0] == signs[1]) == signs[2] else "incoherent",
                )
    rows = rows_of(small.triangles(min_graphs=least))
    assert expected
    assert {(r["a_id"], r["b_id"], r["c_id"]): (r["strength"], r["graph_count"], r["sign"]) for r in rows} == expected
    assert [row["strength"] for row in rows] == sorted((row["strength"] for row in rows), reverse=True)
    some = rows_of(small.triangles(first="layer = 0", third="layer = 2", sign="coherent", min_graphs=least))
    assert some == [
        row for row in rows if row["a_id"][1] == "0" and row["c_id"][1] == "2" and row["sign"] == "coherent"
    ]


@pytest.mark.parametrize(("least", "within"), [(1, None), (3, None), (1, "neuron < 4")])
def test_motifs_and_what_random_partners_give(small: Atlas, plain: Plain, least: int, within: str | None) -> None:
    pairs = {
        (a, b)
        for a, b in plain.often(least)
        if a[0] < b[0] and (within is None or (a[1] < 4 and b[1] < 4))
    }  # fmt: skip
    units = {unit for pair in pairs for unit in pair}
    counts = Counter()
    for middle in itertools.combinations(sorted(units), 3):
        joined = {pair for pair in pairs if set(pair) <= set(middle)}
        if len(joined) == 3:
            counts["triangle"] += 1
        elif len(joined) == 2:
            (a, b), (c, d) = joined
            counts["fan-out" if a == c else "fan-in" if b == d else "chain"] += 1
    out, into, cells = Counter(), Counter(), Counter()
    for a, b in pairs:
        out[a, b[0]] += 1
        into[b, a[0]] += 1
        cells[a[0], b[0]] += 1
    chance = {
        (a, b): out[a, b[0]] * into[b, a[0]] / cells[a[0], b[0]]
        for a in units
        for b in units
        if a[0] < b[0] and cells[a[0], b[0]]
    }
    expected = sum(
        chance[a, b] * chance.get((b, c), 0) * chance.get((a, c), 0) for a, b in chance for c in units if c[0] > b[0]
    )
    rows = {row["motif"]: row for row in rows_of(small.motifs(within=within, min_graphs=least))}
    assert {name: row["motif_count"] for name, row in rows.items()} == {
        name: counts[name] for name in ("triangle", "chain", "fan-in", "fan-out")
    }
    assert rows["triangle"]["expected_count"] == pytest.approx(expected)
    assert rows["chain"]["expected_count"] == pytest.approx(counts["chain"] + counts["triangle"] - expected)
    too_many = sum(max(value - 1, 0) for value in chance.values()) / len(pairs)
    assert rows["triangle"]["saturated_share"] == pytest.approx(too_many)


@pytest.mark.parametrize(("most", "least"), [(1, 1), (2, 1), (3, 2)])
def test_pathways_are_the_edges_between(small: Atlas, plain: Plain, most: int, least: int) -> None:
    pairs = set(plain.often(least))
    starts, ends = {(0, 0), (0, 1)}, {unit for unit in plain.neurons if unit[0] == 2 and unit[1] < 3}
    ahead = hops(pairs, starts, most)
    back = hops({(b, a) for a, b in pairs}, ends, most)
    expected = {
        (named(a), named(b)): (ahead[a], back[b])
        for a, b in pairs
        if a in ahead and b in back and ahead[a] + 1 + back[b] <= most
    }
    rows = rows_of(small.pathways(["L0/N0", "L0/N1"], "layer = 2 && neuron < 3", max_hops=most, min_graphs=least))
    assert expected
    assert {(r["src_id"], r["tgt_id"]): (r["hops_from_start"], r["hops_to_end"]) for r in rows} == expected
    for row in rows[:20]:
        pair = tuple(tuple(map(int, name[1:].split("/N"))) for name in (row["src_id"], row["tgt_id"]))
        assert row["target_share"] == pytest.approx(plain.share(pair), rel=1e-5)


@pytest.mark.parametrize(("far", "least"), [(0, 1), (1, 3), (2, 4)])
def test_grow(small: Atlas, plain: Plain, far: int, least: int) -> None:
    pairs = set(plain.often(least))
    near = hops(pairs | {(b, a) for a, b in pairs}, {(1, 2), (2, 3)}, far)
    expected = {(named(a), named(b)): (near[a], near[b]) for a, b in pairs if a in near and b in near}
    rows = rows_of(small.grow(["L1/N2", "L2/N3"], hops=far, min_graphs=least))
    assert {(r["src_id"], r["tgt_id"]): (r["src_hops"], r["tgt_hops"]) for r in rows} == expected
    assert [max(r["src_hops"], r["tgt_hops"]) for r in rows] == sorted(max(pair) for pair in expected.values())


def test_hubs_and_recurring_edges(small: Atlas, plain: Plain) -> None:
    degrees = Counter(unit for pair in plain.edges for unit in pair)
    rows = rows_of(small.hubs())
    assert {row["neuron_id"]: row["degree"] for row in rows} == {named(unit): degrees[unit] for unit in plain.neurons}
    assert [row["degree"] for row in rows] == sorted((row["degree"] for row in rows), reverse=True)
    total = len(plain.graphs)
    assert {row["neuron_id"] for row in rows_of(small.hubs(min_share=0.8))} == {
        named(unit) for unit, row in plain.neurons.items() if row["graph_count"] >= 0.8 * total
    }
    found = rows_of(small.recurring_edges(within="layer <= 1", min_share=0.1))
    assert {(row["src_id"], row["tgt_id"]): row["graph_share"] for row in found} == {
        (named(a), named(b)): row["graph_count"] / total
        for (a, b), row in plain.edges.items()
        if a[0] <= 1 and b[0] <= 1 and row["graph_count"] >= 0.1 * total
    }
    assert found


@pytest.mark.parametrize("by", ["layer", "circuit", "kind", "source", "type"])
def test_flow(small: Atlas, plain: Plain, by: str) -> None:
    types = {(row["layer"], row["neuron"]): row["type"] for row in plain.labels if row["rank"] == 1 and row["in_atlas"]}
    group = {
        "layer": lambda unit: str(unit[0]),
        "circuit": lambda unit: None if (top := plain.neurons[unit]["top_cluster"]) is None else str(top),
        "kind": lambda unit: plain.neurons[unit]["label_kind"],
        "source": lambda unit: plain.neurons[unit]["label_source"],
        "type": types.get,
    }[by]
    expected: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0, 0.0, 0.0])
    for (a, b), row in plain.often(2).items():
        if group(a) is not None and group(b) is not None:
            values = (1, row["count"], row["weight_sum"], row["weight_abs_sum"])
            expected[group(a), group(b)] = [x + y for x, y in zip(expected[group(a), group(b)], values, strict=True)]
    rows = rows_of(small.flow(by, min_graphs=2))
    assert {(r["src_group"], r["tgt_group"]) for r in rows} == set(expected)
    for row in rows:
        found = [row[name] for name in ("edge_count", "link_count", "weight_sum", "weight_abs_sum")]
        assert found == pytest.approx(expected[row["src_group"], row["tgt_group"]])


def test_profile_is_the_strongest_of_both_directions(small: Atlas, plain: Plain) -> None:
    rows = rows_of(small.profile("layer = 1", top=3, min_graphs=2))
    for unit in [unit for unit in plain.neurons if unit[0] == 1]:
        for direction, mine in (("input", 1), ("output", 0)):
            partners = sorted(
                (
                    (-row["mean_abs_weight"], pair[1 - mine])
                    for pair, row in plain.often(2).items()
                    if pair[mine] == unit
                )
            )[:3]
            found = [row for row in rows if (row["neuron_id"], row["direction"]) == (named(unit), direction)]
            assert [(row["rank"], row["other_id"]) for row in found] == [
                (rank, named(other)) for rank, (_, other) in enumerate(partners, 1)
            ]
    assert rows


def test_label_stats(small: Atlas, plain: Plain) -> None:
    groups: dict[tuple[Any, Any], list[dict[str, Any]]] = defaultdict(list)
    for row in plain.labels:
        if row["is_of_atlas"]:
            groups[row["source"], row["kind"]].append(row)
    rows = rows_of(small.label_stats())
    assert {(row["source"], row["kind"]) for row in rows} == set(groups)
    for row in rows:
        mine = groups[row["source"], row["kind"]]
        assert row["label_count"] == len(mine)
        assert row["neuron_count"] == len({(one["layer"], one["neuron"]) for one in mine})
        assert row["distinct_count"] == len({one["text"].lower() for one in mine if one["text"] is not None})
        assert row["uninformative_count"] == sum(one["is_uninformative"] for one in mine)
        assert row["median_length"] == statistics.median(len(one["text"]) for one in mine if one["text"] is not None)


@pytest.mark.parametrize("text", ["t1", " t1", "nothing"])
def test_tokens_and_their_neurons(small: Atlas, plain: Plain, text: str) -> None:
    numbers = plain.token_ids(text)
    rows = {row["token_id"]: row for row in rows_of(small.token(text))}
    assert set(rows) == numbers
    for number, row in rows.items():
        assert row["driven_count"] == sum(edge["token_id"] == number for edge in plain.token_edges)
        assert row["driving_count"] == sum(edge["token_id"] == number for edge in plain.logit_edges)
    found = rows_of(small.token_neurons(text))
    for side, edges in (("in", plain.token_edges), ("out", plain.logit_edges)):
        mine = [edge for edge in edges if edge["token_id"] in numbers]
        totals: dict[Any, float] = defaultdict(float)
        for edge in edges:
            totals[edge["token_id"] if side == "out" else (edge["layer"], edge["neuron"])] += edge["weight_abs_sum"]
        expected = [
            edge["weight_abs_sum"] / totals[edge["token_id"] if side == "out" else (edge["layer"], edge["neuron"])]
            for edge in mine
        ]
        assert sorted(row["share"] for row in found if row["side"] == side) == pytest.approx(sorted(expected))


@pytest.mark.parametrize(("most", "least"), [(1, 1), (2, 1), (3, 1), (4, 2)])
def test_paths_from_token_to_output(small: Atlas, plain: Plain, most: int, least: int) -> None:
    totals: dict[Unit, float] = defaultdict(float)
    for (_, target), row in plain.edges.items():
        totals[target] += row["weight_abs_sum"]
    for row in plain.token_edges:
        totals[row["layer"], row["neuron"]] += row["weight_abs_sum"]
    starts = plain.token_ids("t1")
    ends = plain.token_ids("t2")
    into: dict[int, float] = defaultdict(float)
    for row in plain.logit_edges:
        into[row["token_id"]] += row["weight_abs_sum"]
    expected = []
    walks = [
        ((row["token_id"],), [(row["layer"], row["neuron"])], row["weight_abs_sum"] / totals[row["layer"], row["neuron"]], 1 if row["weight_sum"] >= 0 else -1)
        for row in plain.token_edges
        if row["token_id"] in starts and row["graph_count"] >= least
    ]  # fmt: skip
    edges = plain.often(least)
    for _ in range(most):
        for head, units, strength, sign in walks:
            for row in plain.logit_edges:
                if (
                    row["token_id"] in ends
                    and (row["layer"], row["neuron"]) == units[-1]
                    and row["graph_count"] >= least
                ):
                    whole = strength * row["weight_abs_sum"] / into[row["token_id"]]
                    way = 1 if row["weight_sum"] >= 0 else -1
                    expected.append((whole, sign * way, head[0], tuple(map(named, units)), row["token_id"]))
        walks = [
            (
                head,
                [*units, b],
                strength * row["weight_abs_sum"] / totals[b],
                sign * (1 if row["weight_sum"] >= 0 else -1),
            )
            for head, units, strength, sign in walks
            for (a, b), row in edges.items()
            if a == units[-1] and b not in units
        ]
    rows = rows_of(small.token_paths("t1", "t2", max_neurons=most, min_graphs=least, limit=30))
    best = sorted(expected, key=lambda path: -path[0])[:30]
    assert best
    assert [row["strength"] for row in rows] == pytest.approx(
        [sign * strength for strength, sign, *_ in best], rel=1e-5
    )
    known = {(number, path, end): strength * sign for strength, sign, number, path, end in expected}
    for row in rows:
        found = [value for (_, path, _), value in known.items() if path == tuple(row["path"])]
        assert any(value == pytest.approx(row["strength"], rel=1e-5) for value in found)
        assert row["graph_count"] == whole_graphs(plain, starts, row["path"], ends)


def whole_graphs(plain: Plain, starts: set[int], path: list[str], ends: set[int]) -> int:
    """Graphs with links token -> first neuron -> ... -> output. Of one spelling in this atlas there is one token."""
    assert len(starts) == len(ends) == 1
    count = 0
    for graph in {row["graph_id"] for row in plain.nodes}:
        names = {}
        for row in plain.nodes:
            if row["graph_id"] == graph:
                names[row["node"]] = (
                    named((row["layer"], row["neuron"])) if row["kind"] == "neuron" else (row["kind"], row["token_id"])
                )
        links = {(names[row["source"]], names[row["target"]]) for row in plain.links if row["graph_id"] == graph}
        steps = [("token", *starts), *path, ("logit", *ends)]
        count += set(itertools.pairwise(steps)) <= links
    return count


def test_search_for_tokens_and_circuits(small: Atlas, plain: Plain) -> None:
    rows = rows_of(small.search_tokens("T1"))
    spelled = {number: plain.spelled.get(number) or row["token"] for number, row in plain.tokens.items()}
    assert {row["token_id"] for row in rows} == {
        number for number, text in spelled.items() if text and "t1" in text.lower()
    }
    assert [row["match_rank"] for row in rows] == sorted(row["match_rank"] for row in rows)
    word = next(row["sample_labels"][0] for row in plain.circuits if row["sample_labels"]).lower().split()[0]
    found = {row["circuit_id"] for row in rows_of(small.search_circuits(word.upper()))}
    assert found == {
        row["circuit_id"]
        for row in plain.circuits
        if word in " ".join([row["anchor"] or "", row["terms"] or "", *(row["sample_labels"] or [])]).lower()
    }
    assert found
    assert small.search_circuits("  ").fetchall() == []


def test_sets_of_graphs(small: Atlas, plain: Plain) -> None:
    group = next(row["prompt_group"] for row in plain.graphs if row["prompt_group"])
    sides = ({row["graph_id"] for row in plain.graphs if row["prompt_group"] == group}, {1, 3, 5})
    expected = {}
    for unit in plain.neurons:
        mine = {row["graph_id"] for row in plain.seen if (row["layer"], row["neuron"]) == unit}
        if mine & (sides[0] | sides[1]):
            expected[named(unit)] = len(mine & sides[0]) / len(sides[0]) - len(mine & sides[1]) / 3
    rows = rows_of(small.graph_sets(group, "1, 3,5"))
    assert {row["neuron_id"]: row["difference"] for row in rows} == pytest.approx(expected)
    assert [abs(row["difference"]) for row in rows] == sorted((abs(row["difference"]) for row in rows), reverse=True)


def test_graphs_that_do_not_exist_are_said(small: Atlas) -> None:
    for given in ("nothing", "1-5", "", "99999"):
        with pytest.raises(UsageError, match="no group of prompts"):
            small.graph_sets("1", given)
    for ask in (
        lambda: small.shared_neurons(1, 99999),
        lambda: small.graph_nodes(99999),
        lambda: small.unusual_edges(-1),
    ):
        with pytest.raises(UsageError, match="has no graph"):
            ask()
    for limit in (-1, 2**63, 1.5):
        with pytest.raises(UsageError, match="limit is a number of rows"):
            small.upstream("L1/N2", limit=limit)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("strongest_paths('L0/N1', 'L1/N2', by := 'Bottleneck')", "by is one of product, bottleneck"),
        ("strongest_paths('L0/N1', 'L1/N2', max_hops := 7)", "max_hops is 1 to 6"),
        ("similar_neurons('L0/N1', by := 'output')", "by is one of inputs, outputs"),
        ("reach('L0/N1', direction := 'up')", "direction is one of downstream, upstream"),
    ],
)
def test_macros_refuse_values_that_the_query_refuses(small: Atlas, call: str, message: str) -> None:
    with pytest.raises((duckdb.Error, QueryError), match=message):
        small.sql(f"FROM {call}").fetchall()
