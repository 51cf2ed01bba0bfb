"""Sets of neurons against a slow evaluation of the same criteria, row by row."""

from __future__ import annotations

import itertools
import math
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import atlas
from atlas import Atlas, Neurons
from atlas.cli.main import main
from atlas.errors import IdError, InputError, QueryError, UsageError
from atlas.query.connection import rows_of
from atlas.query.criteria import as_set
from atlas.query.neuron_sets import (
    Everything,
    FieldTest,
    InCircuit,
    InGraphs,
    Inverse,
    Joined,
    Labelled,
    Listed,
    NeuronSet,
    Pathway,
    Similar,
    Steps,
    WithToken,
)
from atlas.query.saved_sets import saved_sets
from atlas.query.set_grammar import parse
from atlas.query.set_sql import ALIASES

Unit = tuple[int, int]


@pytest.fixture(scope="module")
def small(small_atlas: Path) -> Iterator[Atlas]:
    with atlas.open(small_atlas) as opened:
        yield opened


@pytest.fixture(scope="module")
def reference(small: Atlas) -> Reference:
    return Reference(small)


class Reference:
    """All rows of an atlas, and the plain meaning of every kind of set."""

    def __init__(self, opened: Atlas) -> None:
        def table(name: str) -> list[dict[str, Any]]:
            return rows_of(opened.sql(f"FROM {name}"))

        self.neurons = {(row["layer"], row["neuron"]): row for row in table("neurons")}
        self.edges = table("edges")
        self.labels, self.members = table("labels"), table("circuit_members")
        self.connections = table("connections")
        self.graphs, self.seen = {row["graph_id"]: row for row in table("graphs")}, table("neuron_graphs")
        self.tokens = {row["token_id"]: row["token"] for row in table("tokens")}
        self.spelled = {row["token_id"]: row["token"] for row in table("vocabulary")}
        self.ends = {"in": table("token_edges"), "out": table("logit_edges")}

    def of(self, one: NeuronSet) -> set[Unit]:
        found = getattr(self, f"_{type(one).__name__.lower()}")(one)
        return found & set(self.neurons)

    def _everything(self, _: Everything) -> set[Unit]:
        return set(self.neurons)

    def _joined(self, one: Joined) -> set[Unit]:
        sets = [self.of(inner) for inner in one.sets]
        return set.intersection(*sets) if one.how == "AND" else set.union(*sets)

    def _inverse(self, one: Inverse) -> set[Unit]:
        return set(self.neurons) - self.of(one.inner)

    def _listed(self, one: Listed) -> set[Unit]:
        return {tuple(neuron) for neuron in one.neurons}

    def _fieldtest(self, one: FieldTest) -> set[Unit]:
        return {unit for unit, row in self.neurons.items() if self._passes(row[ALIASES.get(one.field, one.field)], one)}

    @staticmethod
    def _passes(given: Any, one: FieldTest) -> bool:
        if given is None:
            return False
        value = one.value
        return {
            "=": lambda: given == value,
            "!=": lambda: given != value,
            "<": lambda: given < value,
            "<=": lambda: given <= value,
            ">": lambda: given > value,
            ">=": lambda: given >= value,
            "~": lambda: str(value).lower() in given.lower(),
            "^=": lambda: given.lower().startswith(str(value).lower()),
            "$=": lambda: given.lower().endswith(str(value).lower()),
            "in": lambda: given in value,
            "has": lambda: True,
        }[one.operator]()

    def _labelled(self, one: Labelled) -> set[Unit]:
        texts = defaultdict(str)
        for row in self.labels:
            text = " ".join(part for part in (row["text"], row["description"]) if part is not None).lower()
            if all(word.lower() in text for word in one.words.split()):
                texts[row["layer"], row["neuron"]] = text
        return set(texts)

    def _incircuit(self, one: InCircuit) -> set[Unit]:
        return {(row["layer"], row["neuron"]) for row in self.members if row["circuit_id"] == one.circuit}

    def _ingraphs(self, one: InGraphs) -> set[Unit]:
        if one.is_group:
            graphs = {number for number, row in self.graphs.items() if row["prompt_group"] == one.condition}
        else:
            graphs = {int(one.condition)}
        return {(row["layer"], row["neuron"]) for row in self.seen if row["graph_id"] in graphs}

    def _withtoken(self, one: WithToken) -> set[Unit]:
        tokens = {
            token
            for names in (self.tokens, self.spelled)
            for token, text in names.items()
            if text is not None and one.token in (text, text.strip(" "))
        }
        return {
            (row["layer"], row["neuron"])
            for row in self.ends[one.side]
            if row["token_id"] in tokens and (row["graph_count"] or row["count"]) >= one.min_graphs
        }

    def step(self, near: set[Unit], direction: str, one: Any) -> set[Unit]:
        totals: dict[Unit, float] = defaultdict(float)
        for row in self.edges:
            totals[row["tgt_layer"], row["tgt_neuron"]] += row["weight_abs_sum"]
        found = set()
        for row in self.edges:
            source, target = (row["src_layer"], row["src_neuron"]), (row["tgt_layer"], row["tgt_neuron"])
            near_end, far_end = (target, source) if direction == "upstream" else (source, target)
            sign = getattr(one, "sign", None)
            if (
                near_end in near
                and row["graph_count"] >= one.min_graphs
                and (sign is None or (row["mean_weight"] > 0 if sign == "+" else row["mean_weight"] < 0))
                and row["weight_abs_sum"] >= getattr(one, "share", 0) * totals[target]
            ):
                found.add(far_end)
        return found

    def _steps(self, one: Steps) -> set[Unit]:
        found: set[Unit] = set()
        near = self.of(one.inner)
        for _ in range(one.hops):
            near = self.step(near, one.direction, one)
            found |= near
        return found

    def _pathway(self, one: Pathway) -> set[Unit]:
        after, before = [self.of(one.source)], [self.of(one.target)]
        for _ in range(one.hops):
            after.append(after[-1] | self.step(after[-1], "downstream", one))
            before.append(before[-1] | self.step(before[-1], "upstream", one))
        return set().union(*(a & b for a, b in zip(after, reversed(before), strict=True)))


def units(opened: Atlas, chosen: Any) -> set[Unit]:
    return set(opened.sql(opened.set_sql(chosen)).fetchall())


ids = st.tuples(st.integers(0, 4), st.integers(0, 5)).map(lambda one: f"L{one[0]}/N{one[1]}")
leaves = st.one_of(
    st.tuples(st.sampled_from(["layer", "graph_count", "in_degree"]), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), st.integers(0, 30)).map(
        lambda one: f"{one[0]} {one[1]} {one[2]}"
    ),
    st.tuples(st.sampled_from(["label", "cluster_path"]), st.sampled_from(["~", "^=", "$="]), st.sampled_from(["1", "la", "'100% sure'", "x_"])).map(" ".join),
    st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda one: f"layer in {one[0]}..{one[0] + one[1]}"),
    st.sampled_from(["has(label)", "!has(cluster_path)", "'sure thing'", "digits", "circuit(1)", "circuit(output:20)", "all()"]),
    st.sampled_from(["graph(3)", "token_in(' b')", "token_out(rain, min_graphs=2)", "layer !in (1, 2)", "label !~ label"]),
    ids,
)  # fmt: skip
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||", "and", "OR"]), inner).map(lambda one: f"({' '.join(one)})"),
        inner.map(lambda one: f"!({one})"),
        st.tuples(st.sampled_from(["upstream", "downstream"]), inner, st.integers(1, 3), st.integers(1, 3)).map(
            lambda one: f"{one[0]}({one[1]}, hops={one[2]}, min_graphs={one[3]})"
        ),
        st.tuples(inner, st.sampled_from(["+", "-"]), st.sampled_from(["0.1", "0.5"])).map(
            lambda one: f"upstream({one[0]}, sign={one[1]}, share={one[2]})"
        ),
        st.tuples(inner, inner, st.integers(1, 3)).map(lambda one: f"pathway({one[0]}, {one[1]}, hops={one[2]})"),
    ),
    max_leaves=5,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=expressions)
def test_expressions_mean_what_they_say(small: Atlas, reference: Reference, text: str) -> None:
    assert units(small, text) == reference.of(parse(text))


def test_criteria_in_python_are_the_same_sets(small: Atlas) -> None:
    pairs = [
        (Neurons(layer=range(1, 3), min_graphs=5), "layer in 1..2 && graphs >= 5"),
        (Neurons(label=["digits", "label 4"]), "digits || 'label 4'"),
        (Neurons(circuit=1) & ~Neurons(layer=0), "circuit(1) && !(layer = 0)"),
        (Neurons(upstream_of="L2/N3") | Neurons(downstream_of=[(1, 2)]), "^^ L2/N3 || !^ L1/N2"),
        (Neurons(ids=["L1/N2", (2, 3)]), "L1/N2 or L2/N3"),
        (Neurons(where="in_degree > 3 -- many"), "inputs > 3"),
        (Neurons(type="semantic"), "type == semantic"),
        (Neurons(), "all()"),
        (Neurons(min_groups=2), "groups >= 2"),
        (parse("L1/N2 -> L3/N1"), "pathway(L1/N2, L3/N1)"),
        (parse("label >> label && layer << (1, 2) && $$ label && !$ description"), "label ~ label && layer in (1,2) && has(label) && !has(description)"),
        (parse("~u L1/N2 || ~d L1/N2 || ~c L1/N2"), "similar(L1/N2, by=inputs) || similar(L1/N2, by=outputs) || similar(L1/N2)"),
    ]  # fmt: skip
    for given_set, text in pairs:
        assert units(small, given_set) == units(small, text), text
    with pytest.raises(TypeError, match="&, | and ~"):
        bool(Neurons(layer=1) and Neurons(layer=2))
    assert as_set((1, 2)) == as_set("L1/N2") == as_set(["1_2"])


def test_computed_fields(small: Atlas, reference: Reference) -> None:
    graphs = len(reference.graphs)
    often = {unit for unit, row in reference.neurons.items() if row["graph_count"] / graphs >= 0.3}
    assert units(small, "share >= 0.3") == often
    support = dict(small.sql("SELECT circuit_id, support FROM circuits WHERE is_primary").fetchall())
    sure = {unit for unit, row in reference.neurons.items() if (support.get(row["cluster_path"]) or 0) > 0.3}
    assert units(small, "support > 0.3") == sure
    out: dict[Unit, float] = defaultdict(float)
    for row in reference.edges:
        out[row["src_layer"], row["src_neuron"]] += row["weight_sum"]
    assert units(small, "sign = -") == {unit for unit, weight in out.items() if weight < 0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "all neurons are all()"),
        ("layer >= ", "expected a value at character 10"),
        ("(layer = 1", "expected ')'"),
        ("layer = 1 layer = 2", "expected &&, || or the end"),
        ("layr = 1", "did you mean layer"),
        ("upsteam(L1/N2)", "did you mean upstream"),
        ("upstream(L1/N2, hops=99)", "hops must be a whole number from 1 to 6"),
        ("upstream(L1/N2, top=3)", "upstream has no option top"),
        ("similar(L1/N2, by=name)", "by must be one of inputs, outputs, both"),
        ("upstream(L1/N2, share=7)", "share must be from 0 to 1"),
        ("pathway(L1/N2)", "pathway takes 2 arguments, not 1"),
        ("layer ~ 3", "layer is no text"),
        ("layer > abc", "compared with a number"),
        ("is_template = maybe", "is true or false"),
        ("label ~ 'x'; DROP TABLE neurons", "is not understood"),
        ("set(nothing)", "no set is saved as 'nothing'"),
        ("(" * 500 + "all()" + ")" * 500, "nested more than 60 deep"),
        ("graph('1) IS TRUE); DROP TABLE neurons; --')", "the parentheses of the condition"),
        ("graph('1) OR (true')", "the parentheses of the condition"),
        ("graph('no_such_column = 1')", "is no SQL of this atlas"),
        ("circuit(nothing)", "has no circuit 'nothing'; there are"),
    ],
)
def test_wrong_expressions_are_one_line(small_atlas: Path, text: str, said: str) -> None:
    done = CliRunner().invoke(main, ["find", str(small_atlas), text])
    assert done.exit_code == 1
    assert said in done.output
    assert len(done.output.strip().splitlines()) == 1


@pytest.mark.parametrize("text", ["it's", '100% _"x"', "a;b--", "\\", "日本 '", "$1 $x", "{x}"])
def test_hostile_texts_are_texts(small: Atlas, text: str) -> None:
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    for wrong in (f"label ~ {quoted}", quoted, f"token_in({quoted})", f"group({quoted})"):
        assert units(small, wrong) == set()
    with pytest.raises(UsageError, match="has no circuit"):
        units(small, f"circuit({quoted})")
    with pytest.raises((QueryError, UsageError)):
        small.find(Neurons(where="1=1; DROP TABLE neurons")).fetchall()


def test_saved_sets(small_atlas: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a.duckdb"
    shutil.copy(small_atlas, copy)

    def run(*words: str, code: int = 0, text: str | None = None) -> str:
        done = CliRunner().invoke(main, [words[0], str(copy), *words[1:]], input=text)
        assert done.exit_code == code, done.output
        return done.output

    assert "no set is saved" in run("set")
    before = copy.read_bytes()
    run("set", "mine", "layer = 1 && graphs >= 3")
    run("set", "other", "set(mine) || L2/N3")
    run("find", "-", "--save", "given", text="neuron_id,label\nL1/N2,x\nL2/N3,y\n")
    assert saved_sets(copy) == {
        "given": "L1/N2 || L2/N3",
        "mine": "layer = 1 && graphs >= 3",
        "other": "set(mine) || L2/N3",
    }
    assert copy.read_bytes() == before
    with atlas.open(copy) as opened:
        assert units(opened, "set(other)") == units(opened, "layer = 1 && graphs >= 3 || L2/N3")
        assert units(opened, "set(given)") == {(1, 2), (2, 3)}
    assert run("set", "mine").strip() == "layer = 1 && graphs >= 3"
    run("set", "mine", "set(other)")
    assert "part of itself" in run("find", "set(mine)", code=1)
    assert "did you mean other" in run("set", "othr", code=1)
    assert "is no name of a set" in run("set", "a/b", "all()", code=1)
    assert "did you mean layer" in run("set", "x", "layr = 1", code=1)
    run("set", "other", "--remove")
    assert "other" not in saved_sets(copy)
    (tmp_path / "a.sets.json").write_text("[1]")
    with pytest.raises(InputError, match="no file of saved sets"):
        saved_sets(copy)


def test_ids_come_through_files(small_atlas: Path, tmp_path: Path) -> None:
    file = tmp_path / "ids.csv"
    file.write_text('"neuron_id","label"\n"L1/N2","a, b"\n"L1/N2","again"\n')
    done = CliRunner().invoke(main, ["find", str(small_atlas), f"@{file}", "--format", "csv"])
    assert done.output.splitlines()[1].startswith("L1/N2,1,2,")
    assert len(done.output.splitlines()) == 2
    file.write_text("neuron\nnonsense\n")
    wrong = CliRunner().invoke(main, ["find", str(small_atlas), f"@{file}"])
    assert "is no neuron id" in wrong.output
    missing = CliRunner().invoke(main, ["find", str(small_atlas), "@none.csv"])
    assert missing.exit_code == 1
    assert "none.csv" in missing.output
    with pytest.raises(IdError):
        as_set(["L1/X2"])


def vectors(reference: Reference, by: str) -> dict[Unit, dict[Any, float]]:
    """What every neuron is compared by, with weights."""
    found: dict[Unit, dict[Any, float]] = defaultdict(dict)
    if by in ("inputs", "outputs"):
        mine, other = ("src", "tgt") if by == "outputs" else ("tgt", "src")
        for row in reference.edges:
            far = (row[f"{other}_layer"], row[f"{other}_neuron"])
            found[row[f"{mine}_layer"], row[f"{mine}_neuron"]][far] = row["weight_sum"]
    elif by == "graphs":
        for row in reference.seen:
            found[row["layer"], row["neuron"]][row["graph_id"]] = 1.0
    elif by == "weights":
        for row in reference.connections:
            found[row["src_layer"], row["src_neuron"]][row["tgt_layer"], row["tgt_neuron"]] = row["strength"]
    else:
        shown = [row for row in reference.labels if row["in_atlas"] and not row["is_uninformative"]]
        words = [set(re.findall(r"[^\W_]+", f"{row['text']} {row['description'] or ''}".lower())) for row in shown]
        counts = Counter(word for some in words for word in some)
        for row in shown:
            for word in re.findall(r"[^\W_]+", row["text"].lower()):
                found[row["layer"], row["neuron"]][word] = math.log(len(shown) / counts[word])
    return found


def cosines(reference: Reference, me: Unit, by: str) -> dict[Unit, float]:
    """Cosine of the vectors of every neuron and one."""
    known = vectors(reference, by)
    one = known.get(me, {})
    found = {}
    for unit, vector in known.items():
        norms = math.sqrt(sum(w * w for w in vector.values()) * sum(w * w for w in one.values()))
        if unit != me and norms and set(one) & set(vector):
            found[unit] = sum(one[key] * vector[key] for key in set(one) & set(vector)) / norms
    return found


@pytest.mark.parametrize("by", ["inputs", "outputs", "both", "graphs", "weights", "labels"])
def test_similarity_is_the_cosine(small: Atlas, reference: Reference, by: str) -> None:
    compared = 0
    for me in ((1, 2), (2, 3), (0, 1)):
        expected: dict[Unit, float] = defaultdict(float)
        for side in ("inputs", "outputs") if by == "both" else (by,):
            for unit, value in cosines(reference, me, side).items():
                if unit in reference.neurons:
                    expected[unit] += value / (2 if by == "both" else 1)
        rows = rows_of(small.similar_neurons(me, by=by, limit=1000))
        assert {row["neuron_id"]: row["cosine"] for row in rows} == pytest.approx(
            {f"L{layer}/N{neuron}": value for (layer, neuron), value in expected.items()}, abs=1e-6
        )
        assert [row["cosine"] for row in rows] == sorted((row["cosine"] for row in rows), reverse=True)
        assert rows_of(small.similar_neurons(me, by=by)) == rows[:20]
        best = [(row["layer"], row["neuron"]) for row in rows[:4]]
        assert units(small, Similar(as_set(me), by, 4)) == set(best)
        degree = {unit: row["in_degree"] + row["out_degree"] for unit, row in reference.neurons.items()}
        for row in rows:
            unit = (row["layer"], row["neuron"])
            alike = [
                other
                for other in reference.neurons
                if other[0] == unit[0]
                and other not in (unit, me)
                and degree[unit] <= 2 * degree[other] <= 4 * degree[unit]
            ]
            values = {(r["layer"], r["neuron"]): r["cosine"] for r in rows}
            as_similar = sum(values.get(other, -math.inf) >= row["cosine"] for other in alike)
            assert row["control_share"] == (as_similar / len(alike) if alike else None)
        compared += len(rows)
    assert compared


def test_adjacency_is_the_edges_between(small: Atlas, reference: Reference) -> None:
    starts, ends = parse("layer = 0 || layer = 1"), parse("graphs >= 5")
    sources, targets = reference.of(starts), reference.of(ends)
    totals: dict[Unit, float] = defaultdict(float)
    for row in reference.edges:
        totals[row["tgt_layer"], row["tgt_neuron"]] += row["weight_abs_sum"]
    expected = {
        (f"L{row['src_layer']}/N{row['src_neuron']}", f"L{row['tgt_layer']}/N{row['tgt_neuron']}"): row["weight_abs_sum"] / totals[row["tgt_layer"], row["tgt_neuron"]]
        for row in reference.edges
        if (row["src_layer"], row["src_neuron"]) in sources and (row["tgt_layer"], row["tgt_neuron"]) in targets and row["graph_count"] >= 2
    }  # fmt: skip
    rows = rows_of(small.adjacency(starts, ends, min_graphs=2))
    assert len(expected) > 3
    assert {(row["src_id"], row["tgt_id"]): row["target_share"] for row in rows} == pytest.approx(expected)
    assert [row["weight_abs_sum"] for row in rows] == sorted((row["weight_abs_sum"] for row in rows), reverse=True)


def test_common_partners_are_counted(small: Atlas, reference: Reference) -> None:
    chosen = parse("layer = 1")
    mine = reference.of(chosen)
    counts: dict[tuple[str, Unit], int] = defaultdict(int)
    for row in reference.edges:
        source, target = (row["src_layer"], row["src_neuron"]), (row["tgt_layer"], row["tgt_neuron"])
        counts["outputs", target] += source in mine
        counts["inputs", source] += target in mine
    expected = {(way, f"L{unit[0]}/N{unit[1]}"): count for (way, unit), count in counts.items() if count >= 3}
    rows = rows_of(small.common_partners(chosen, min_partners=3))
    assert {(row["direction"], row["neuron_id"]): row["partner_count"] for row in rows} == expected
    assert all(row["partner_share"] == row["partner_count"] / len(mine) for row in rows)
    only = rows_of(small.common_partners(chosen, min_partners=3, direction="inputs"))
    assert [row for row in rows if row["direction"] == "inputs"] == only


@pytest.mark.parametrize(("by", "hops"), [("product", 3), ("bottleneck", 3), (None, 2)])
def test_paths_are_the_strongest_of_all(small: Atlas, reference: Reference, by: str | None, hops: int) -> None:
    totals: dict[Unit, float] = defaultdict(float)
    after: dict[Unit, list[tuple[Unit, float, int]]] = defaultdict(list)
    for row in reference.edges:
        totals[row["tgt_layer"], row["tgt_neuron"]] += row["weight_abs_sum"]
    for row in reference.edges:
        target = (row["tgt_layer"], row["tgt_neuron"])
        share = row["weight_abs_sum"] / totals[target]
        after[row["src_layer"], row["src_neuron"]].append((target, share, -1 if row["weight_sum"] < 0 else 1))
    starts, ends = reference.of(parse("layer = 0")), reference.of(parse("layer = 3 && graphs >= 3"))
    found: list[float] = []

    def walk(path: list[Unit], strength: float, sign: int) -> None:
        for target, share, mark in after[path[-1]]:
            if target in path:
                continue
            value = min(strength, share) if by == "bottleneck" else strength * share
            if target in ends:
                found.append(sign * mark * value)
            if len(path) < hops:
                walk([*path, target], value, sign * mark)

    for start in starts:
        walk([start], 1.0, 1)
    rows = rows_of(small.strongest_paths("layer = 0", "layer = 3 && graphs >= 3", max_hops=hops, by=by, limit=7))
    assert len(found) > 20
    expected = sorted((abs(value) for value in found), reverse=True)[:7]
    assert [abs(row["strength"]) for row in rows] == pytest.approx(expected)
    for row in rows:
        path = [tuple(map(int, one[1:].split("/N"))) for one in row["path"]]
        assert path[0] in starts
        assert path[-1] in ends
        assert len(path) == row["hop_count"] + 1
        steps = {(a, b) for a, b in itertools.pairwise(path)}
        assert row["graph_count"] == sum(steps <= links for links in links_by_graph(small).values())


def links_by_graph(opened: Atlas) -> dict[int, set[tuple[Unit, Unit]]]:
    """Pairs of neurons with a link in every graph."""
    node = {
        (row["graph_id"], row["node"]): (row["layer"], row["neuron"])
        for row in rows_of(opened.sql("FROM graph_nodes"))
        if row["kind"] == "neuron"
    }
    found: dict[int, set[tuple[Unit, Unit]]] = defaultdict(set)
    for row in rows_of(opened.sql("FROM graph_links")):
        ends = (row["graph_id"], row["source"]), (row["graph_id"], row["target"])
        if all(end in node for end in ends):
            found[row["graph_id"]].add((node[ends[0]], node[ends[1]]))
    return found


def distances(reference: Reference, starts: set[Unit], *, upstream: bool, hops: int, least: int) -> dict[Unit, int]:
    """Fewest edges to every neuron, breadth first."""
    after: dict[Unit, set[Unit]] = defaultdict(set)
    for row in reference.edges:
        ends = (row["src_layer"], row["src_neuron"]), (row["tgt_layer"], row["tgt_neuron"])
        if row["graph_count"] >= least:
            after[ends[upstream]].add(ends[not upstream])
    found = dict.fromkeys(starts, 0)
    near = starts
    for hop in range(1, hops + 1):
        near = {unit for one in near for unit in after[one]} - set(found)
        found |= dict.fromkeys(near, hop)
    return found


@pytest.mark.parametrize("direction", ["downstream", "upstream"])
def test_reach_is_breadth_first(small: Atlas, reference: Reference, direction: str) -> None:
    starts = reference.of(parse("layer = 1 && graphs >= 8"))
    is_upstream = direction == "upstream"
    expected = distances(reference, starts, upstream=is_upstream, hops=2, least=2)
    rows = rows_of(small.reach("layer = 1 && graphs >= 8", direction=direction, max_hops=2, min_graphs=2))
    names = {f"L{layer}/N{neuron}": hop for (layer, neuron), hop in expected.items() if hop}
    assert {row["neuron_id"]: row["hop_count"] for row in rows} == names
    assert len(names) > 2


def test_path_lengths_are_breadth_first(small: Atlas, reference: Reference) -> None:
    chosen = reference.of(parse("graphs >= 10"))
    expected = {}
    for start in chosen:
        for unit, hop in distances(reference, {start}, upstream=False, hops=3, least=1).items():
            if hop and unit in chosen:
                expected[f"L{start[0]}/N{start[1]}", f"L{unit[0]}/N{unit[1]}"] = hop
    rows = rows_of(small.path_lengths("graphs >= 10", max_hops=3))
    assert {(row["src_id"], row["tgt_id"]): row["hop_count"] for row in rows} == expected
    assert len(expected) > 5


def test_neurons_of_two_graphs(small: Atlas, reference: Reference) -> None:
    of = {
        graph: {(row["layer"], row["neuron"]) for row in reference.seen if row["graph_id"] == graph} for graph in (3, 4)
    }
    rows = rows_of(small.shared_neurons(3, 4))
    for name, graph in (("in_first", 3), ("in_second", 4)):
        mine = {f"L{layer}/N{neuron}" for layer, neuron in of[graph]}
        assert {row["neuron_id"] for row in rows if row[name]} == mine
    both = [row["in_first"] and row["in_second"] for row in rows]
    assert both == sorted(both, reverse=True)
    assert len(rows) == len(of[3] | of[4])
