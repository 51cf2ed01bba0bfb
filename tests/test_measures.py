"""Statistics of a store against slow, obvious definitions over a dictionary of cells."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from atlas.activations import measures
from atlas.activations.measures import measure
from atlas.errors import InputError, OutputError, SpaceMismatch, StageError, UsageError
from atlas.options import MeasureOptions
from atlas.stages.store.cells import Context
from atlas.stages.store.collector import VOCABULARY, Collector
from atlas.stages.store.spaces import ActivationSpace

LAYERS = {0: 6, 2: 9}
SPACE = ActivationSpace("m", skips_first=True, skipped_tokens=(3,))


def make_store(folder: Path, seed: int = 0, memory: int = 10**9) -> None:
    """Contexts of repeated phrases, so that tokens tell something and windows repeat; one unit never fires."""
    rng = np.random.default_rng(seed)
    phrases = [rng.integers(1, 15, 4).tolist() for _ in range(6)]
    with Collector(folder, space=SPACE, layers=LAYERS, thresholds={0: 0.8, 2: 1.2}, memory=memory) as collector:
        for number in range(60):
            tokens = [token for place in rng.integers(0, 6, 3) for token in phrases[place]][: int(rng.integers(3, 13))]
            values = {
                layer: rng.normal(0, 1, (1, len(tokens), units)).astype(np.float32) for layer, units in LAYERS.items()
            }
            for layer in LAYERS:
                values[layer][0, :, 1] = np.where(np.array(tokens) == phrases[0][0], 2.5, 0.0)
                values[layer][0, :, 4] = 0.0
                values[layer][0, :, 5] += 3.0 * (number % 3 == 0)
            collector.add(values, [Context(tuple(tokens), f"doc-{number}")])


class Slow:
    """Every cell that was looked at, one at a time."""

    def __init__(self, store: Path) -> None:
        self.contexts = [row["token_ids"] for row in pq.read_table(store / "contexts.parquet").to_pylist()]
        self.units = {row["layer"]: row for row in pq.read_table(store / "units.parquet").to_pylist()}
        self.cells: dict[tuple[int, int], dict[tuple[int, int], float]] = defaultdict(dict)
        for part in sorted((store / "activations").glob("*")):
            for row in pq.read_table(part).to_pylist():
                self.cells[row["layer"], row["unit"]][row["context_id"], row["position"]] = row["value"]
        self.looked_at = [
            (context, at) for context, ids in enumerate(self.contexts) for at in range(1, len(ids)) if ids[at] != 3
        ]

    def token(self, relation: str, context: int, at: int) -> int | None:
        ids = self.contexts[context]
        place = at + {"same": 0, "previous": -1, "next": 1}[relation]
        return ids[place] if 0 <= place < len(ids) else None


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("measures")
    make_store(folder / "store")
    measure(folder / "store", folder / "measures")
    return folder / "store", folder / "measures"


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(folder / f"{name}.parquet").to_pylist()


def test_density_and_distribution(made: tuple[Path, Path]) -> None:
    slow = Slow(made[0])
    found = {(row["layer"], row["unit"]): row for row in rows(made[1], "activation_stats")}
    assert found.keys() == {(layer, unit) for layer, units in LAYERS.items() for unit in range(units)}
    assert len(slow.looked_at) == slow.units[0]["token_count"]
    for key, row in found.items():
        cells = slow.cells[key]
        values, n = sorted(cells.values()), len(slow.looked_at)
        assert (row["active_count"], row["token_count"]) == (len(values), n)
        assert row["threshold"] == {0: 0.8, 2: 1.2}[key[0]]
        assert row["active_context_count"] == len({context for context, _ in cells})
        assert row["positive_count"] == sum(value > 0 for value in values)
        share = len(values) / n
        assert row["density"] == pytest.approx(share)
        middle = share + 1.96**2 / (2 * n)
        half = 1.96 * math.sqrt(share * (1 - share) / n + 1.96**2 / (4 * n * n))
        bounds = [(middle + side * half) / (1 + 1.96**2 / n) for side in (-1, 1)]
        assert (row["density_low"], row["density_high"]) == pytest.approx(bounds, abs=1e-4)
        assert (row["is_dead"], row["is_dense"]) == (not values, share > 0.1)
        assert row["mean_all"] == pytest.approx(math.fsum(values) / n)
        assert row["mean_sq_all"] == pytest.approx(math.fsum(value * value for value in values) / n)
        if not values:
            assert row["mean_active"] is row["max_active"] is row["quantiles"] is None
            continue
        assert row["mean_active"] == pytest.approx(statistics.fmean(values))
        assert row["std_active"] == pytest.approx(statistics.stdev(values) if len(values) > 1 else None)
        assert (row["min_active"], row["max_active"]) == (values[0], values[-1])
        expected = [
            values[max(math.ceil(q * len(values)) - 1, 0)] for q in (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
        ]
        assert row["quantiles"] == pytest.approx(expected)
    assert {row["is_dead"] for row in found.values()} == {True, False}


def test_histograms_hold_every_activation(made: tuple[Path, Path]) -> None:
    slow = Slow(made[0])
    found: dict[tuple[int, int], Counter[tuple[int, int]]] = defaultdict(Counter)
    for row in rows(made[1], "activation_histograms"):
        found[row["layer"], row["unit"]][row["sign"], row["bin"]] = row["count"]
        inside = [
            v for v in slow.cells[row["layer"], row["unit"]].values() if row["low"] <= row["sign"] * v < row["high"]
        ]
        assert len(inside) == row["count"]
    for key, cells in slow.cells.items():
        zeros = len(slow.looked_at) - len(cells)
        assert sum(found[key].values()) + zeros == len(slow.looked_at)


def test_tokens_that_a_unit_fires_on(made: tuple[Path, Path]) -> None:
    slow = Slow(made[0])
    found = defaultdict(list)
    for row in rows(made[1], "activation_tokens"):
        found[row["layer"], row["unit"], row["relation"]].append(row)
    for relation in ("same", "previous", "next"):
        totals = Counter(slow.token(relation, *cell) for cell in slow.looked_at)
        for key, cells in slow.cells.items():
            counts: Counter[int] = Counter()
            mass: Counter[int] = Counter()
            for cell, value in cells.items():
                token = slow.token(relation, *cell)
                if token is not None:
                    counts[token] += 1
                    mass[token] += abs(value)  # type: ignore[assignment]
            mine = found[*key, relation]
            assert [row["rank"] for row in mine] == list(range(1, len(mine) + 1))
            order = sorted(mass, key=lambda token: (-mass[token], token))
            assert [row["token_id"] for row in mine] == order[:20]
            for row in mine:
                token = row["token_id"]
                assert (row["active_count"], row["token_count"]) == (counts[token], totals[token])
                assert row["recall"] == pytest.approx(counts[token] / sum(counts.values()))
                assert row["precision"] == pytest.approx(counts[token] / totals[token])
                share, n = counts[token] / totals[token], totals[token]
                middle = share + 1.96**2 / (2 * n)
                half = 1.96 * math.sqrt(share * (1 - share) / n + 1.96**2 / (4 * n * n))
                bounds = [(middle + side * half) / (1 + 1.96**2 / n) for side in (-1, 1)]
                assert 0 <= row["precision_low"] <= row["precision_high"] <= 1
                assert (row["precision_low"], row["precision_high"]) == pytest.approx(bounds, abs=1e-4)
                assert row["lift"] == pytest.approx(counts[token] / totals[token] / (len(cells) / len(slow.looked_at)))
                assert row["mass_share"] == pytest.approx(mass[token] / sum(mass.values()))
    alone = found[0, 1, "same"]
    assert len(alone) == 1
    assert alone[0]["precision"] == 1.0


def test_token_statistics_over_contexts_and_of_units(made: tuple[Path, Path]) -> None:
    slow = Slow(made[0])
    places = Counter(slow.token("same", *cell) for cell in slow.looked_at)
    held = Counter(
        token
        for context, ids in enumerate(slow.contexts)
        for token in {slow.token("same", *cell) for cell in slow.looked_at if cell[0] == context}
    )
    idf = {token: math.log((1 + len(slow.contexts)) / (1 + count)) for token, count in held.items()}
    found = {row["token_id"]: row for row in rows(made[1], "token_stats")}
    assert found.keys() == places.keys()
    for token, row in found.items():
        assert (row["token_count"], row["context_count"]) == (places[token], held[token])
        assert row["idf"] == pytest.approx(idf[token])
    for row in rows(made[1], "activation_tokens"):
        expected = row["mass_share"] * idf[row["token_id"]] if row["relation"] == "same" else None
        assert row["tfidf"] == (expected if expected is None else pytest.approx(expected))
    stats = {(row["layer"], row["unit"]): row for row in rows(made[1], "activation_stats")}
    for key, cells in slow.cells.items():
        counts = Counter(slow.token("same", *cell) for cell in cells)
        entropy = -sum(n / len(cells) * math.log2(n / len(cells)) for n in counts.values())
        assert stats[key]["token_entropy"] == pytest.approx(entropy, abs=1e-9)
        assert stats[key]["is_single_token"] == (key[1] == 1)


def test_examples_without_activation_are_no_active_ones(made: tuple[Path, Path]) -> None:
    slow = Slow(made[0])
    first = {
        (row["layer"], row["unit"]): row["token_id"]
        for row in rows(made[1], "activation_tokens")
        if (row["relation"], row["rank"]) == ("same", 1)
    }
    found = defaultdict(list)
    for row in rows(made[1], "activation_examples"):
        if row["stratum"] in ("inactive", "same token"):
            assert row["value"] is row["weight"] is None
            found[row["layer"], row["unit"], row["stratum"]].append((row["context_id"], row["position"]))
    for key, cells in slow.cells.items():
        active = {context for context, _ in cells}
        silent, same = found[*key, "inactive"], found[*key, "same token"]
        assert set(silent + same) <= set(slow.looked_at) - cells.keys()
        assert not {context for context, _ in silent} & active
        assert len(silent) == len(set(silent)) == min(3, len(slow.contexts) - len(active))
        assert {slow.token("same", *cell) for cell in same} <= {first[key]}
        possible = {c for c, at in slow.looked_at if slow.token("same", c, at) == first[key] and (c, at) not in cells}
        # One place of a context is a candidate, and may be an active one.
        assert len(same) <= min(3, len(possible))
    assert sum(len(places) for key, places in found.items() if key[2] == "same token") > 20


def test_peaks_on_special_tokens_stand_apart(tmp_path: Path) -> None:
    space = ActivationSpace("m")
    words = VOCABULARY.table(
        {"token_id": range(5), "token": list("abcde"), "is_special": [False, False, False, True, None]}
    )
    values = np.zeros((4, 3, 1), np.float32)
    values[0, 0], values[1, 1], values[2, 1], values[3, 2] = 9.0, 8.0, 2.0, 1.0
    with Collector(tmp_path / "store", space=space, layers={0: 1}) as collector:
        ids = [(1, 2, 4), (2, 3, 4), (4, 2, 1), (4, 1, 2)]
        collector.add({0: values}, [Context(tokens, str(number)) for number, tokens in enumerate(ids)])
        collector.write(words)
    measure(tmp_path / "store", tmp_path / "measures")
    found = [
        (row["stratum"], row["context_id"], row["value"]) for row in rows(tmp_path / "measures", "activation_examples")
    ]
    assert [row for row in found if row[0] == "special"] == [("special", 0, 9.0), ("special", 1, 8.0)]
    assert [row for row in found if row[0] == "top"] == [("top", 2, 2.0), ("top", 3, 1.0)]
    assert {row[1] for row in found if row[0].startswith("quarter")} == {2, 3}


def test_a_store_beside_must_hold_the_same_contexts(made: tuple[Path, Path], tmp_path: Path) -> None:
    for name, space, message in (
        (
            "other",
            ActivationSpace("m", unit_type="feature", skips_first=True, skipped_tokens=(3,)),
            "lacks 60 contexts",
        ),
        ("rule", ActivationSpace("m", unit_type="feature"), "looked at other tokens"),
        ("same", SPACE, "both hold units of type neuron"),
    ):
        with Collector(tmp_path / name, space=space, layers={0: 1}) as collector:
            collector.add({0: np.ones((1, 3, 1))}, [Context((1, 2, 4), "x")])
        with pytest.raises(SpaceMismatch, match=message):
            measure(made[0], tmp_path / "out", beside=tmp_path / name)


def runs(tokens: Any, at: int) -> set[tuple[int, ...]]:
    """The runs of three tokens among the ten up to a place."""
    words = tuple(tokens[max(at - 9, 0) : at + 1])
    return {words[start : start + 3] for start in range(len(words) - 2)} or {words}


def test_examples_are_the_strongest_contexts_and_some_of_each_quarter(made: tuple[Path, Path]) -> None:
    slow = Slow(made[0])
    stats = {(row["layer"], row["unit"]): row for row in rows(made[1], "activation_stats")}
    found = defaultdict(list)
    for row in rows(made[1], "activation_examples"):
        found[row["layer"], row["unit"], row["stratum"]].append(row)
    for key, cells in slow.cells.items():
        peaks: dict[int, tuple[float, int, float]] = {}
        for (context, at), value in sorted(cells.items()):
            if context not in peaks or abs(value) > peaks[context][0]:
                peaks[context] = abs(value), at, value
        order = sorted(peaks, key=lambda context: (-peaks[context][0], context))
        kept, seen = [], set()
        for context in order:
            at = peaks[context][1]
            shingle = tuple(slow.contexts[context][max(at - 5, 0) : at + 1])
            if shingle not in seen:
                kept.append(context)
                seen.add(shingle)
        assert stats[key]["duplicate_context_count"] == len(order) - len(kept)
        top = found[*key, "top"]
        best: list[int] = []
        for place, context in enumerate(kept[:30]):
            mine = runs(slow.contexts[context], peaks[context][1])
            others = [runs(slow.contexts[other], peaks[other][1]) for other in kept[:place]]
            if len(best) < 10 and all(len(mine & other) < 0.6 * len(mine | other) for other in others):
                best.append(context)
        assert [(row["context_id"], row["position"], row["value"]) for row in top] == [
            (context, peaks[context][1], peaks[context][2]) for context in best
        ]
        assert [row["rank"] for row in top] == list(range(1, len(best) + 1))
        sizes = [len(kept) // 4 + (place < len(kept) % 4) for place in range(4)]
        first = 0
        for quarter, size in enumerate(sizes, 1):
            drawn = found[*key, f"quarter {quarter}"]
            members = kept[first : first + size]
            assert len({row["context_id"] for row in drawn}) == len(drawn) == min(3, size)
            assert {row["context_id"] for row in drawn} <= set(members)
            assert all(row["weight"] == pytest.approx(size / len(drawn)) for row in drawn)
            first += size


def test_strong_contexts_that_nearly_repeat_a_stronger_one_are_no_top_examples(tmp_path: Path) -> None:
    repeated = tuple(range(10, 22))
    near = (*repeated[:11], 50)  # 7 of 9 different runs of three are the same
    part = (5, 6, 7, 8, 9, 40, 41, *repeated[7:])  # 3 of 13
    values = np.zeros((4, 12, 1), np.float32)
    values[:, 11, 0] = [9, 8, 7, 6]
    with Collector(tmp_path / "store", space=ActivationSpace("m"), layers={0: 1}) as collector:
        given = [repeated, near, part, tuple(range(30, 42))]
        collector.add({0: values}, [Context(tokens, str(number)) for number, tokens in enumerate(given)])
        collector.write(VOCABULARY.empty())
    measure(tmp_path / "store", tmp_path / "measures")
    found = rows(tmp_path / "measures", "activation_examples")
    top = [(row["rank"], row["context_id"], row["position"], row["value"]) for row in found if row["stratum"] == "top"]
    assert top == [(1, 0, 11, 9.0), (2, 2, 11, 7.0), (3, 3, 11, 6.0)]


def test_coactive_units_are_active_on_the_same_tokens(made: tuple[Path, Path]) -> None:
    slow = Slow(made[0])
    found = defaultdict(list)
    for row in rows(made[1], "coactivation"):
        found[row["layer"], row["unit"]].append(row)
    for key, cells in slow.cells.items():
        expected = []
        for other, theirs in slow.cells.items():
            joint = cells.keys() & theirs.keys()
            if other == key or len(joint) < 5:
                continue
            product = sum(cells[cell] * theirs[cell] for cell in joint)
            norm = math.sqrt(sum(v * v for v in cells.values()) * sum(v * v for v in theirs.values()))
            jaccard = len(joint) / (len(cells) + len(theirs) - len(joint))
            pmi = math.log2(len(slow.looked_at) * len(joint) / (len(cells) * len(theirs)))
            n, a, b = len(slow.looked_at), np.zeros(len(slow.looked_at)), np.zeros(len(slow.looked_at))
            for place, cell in enumerate(slow.looked_at):
                a[place], b[place] = cells.get(cell, 0), theirs.get(cell, 0)
            npmi = pmi / -math.log2(len(joint) / n)
            expected.append((-jaccard, *other, len(joint), product / norm, pmi, float(np.corrcoef(a, b)[0, 1]), npmi))
        mine = found[key]
        assert len(mine) == min(10, len(expected))
        for row, (negative, layer, unit, joint, cosine, pmi, pearson, npmi) in zip(
            mine, sorted(expected), strict=False
        ):
            assert (row["other_layer"], row["other_unit"], row["joint_count"]) == (layer, unit, joint)
            assert (row["jaccard"], row["cosine"], row["pmi"]) == pytest.approx((-negative, cosine, pmi))
            assert (row["pearson"], row["npmi"]) == pytest.approx((pearson, npmi))
            assert 0 <= row["association_p"] <= 1
    assert sum(map(len, found.values())) > 20


def test_statistics_do_not_depend_on_parts_and_memory(made: tuple[Path, Path], tmp_path: Path) -> None:
    make_store(tmp_path / "store", memory=1)
    assert len(list((tmp_path / "store" / "activations").glob("*"))) > 5
    measure(tmp_path / "store", tmp_path / "measures", memory=1)
    for name in measures.RESULTS:
        cut, whole = rows(tmp_path / "measures", name), rows(made[1], name)
        assert len(cut) == len(whole)
        for one, other in zip(cut, whole, strict=True):
            # The order of additions may differ, and nothing else.
            assert all(
                one[key] == pytest.approx(other[key], rel=1e-12)
                if isinstance(one[key], float)
                else one[key] == other[key]
                for key in one
            )


def test_too_many_pairs_are_left_out_and_said(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measures, "COACTIVE_PAIRS", 10)
    assert measure(made[0], tmp_path / "measures").coactive is None
    assert not (tmp_path / "measures" / "coactivation.parquet").exists()
    assert json.loads((tmp_path / "measures" / "manifest.json").read_text())["coactivation"] is False


def test_a_store_that_lost_a_part_is_not_measured(tmp_path: Path) -> None:
    make_store(tmp_path / "store", memory=1)
    sorted((tmp_path / "store" / "activations").glob("*"))[0].unlink()
    with pytest.raises(StageError, match="a part is missing"):
        measure(tmp_path / "store", tmp_path / "out")


def test_a_store_of_vectors_has_nothing_to_measure(tmp_path: Path) -> None:
    space = ActivationSpace("m", hook="resid", unit_type="dimension")
    with Collector(tmp_path / "store", space=space, layers={}) as collector:
        collector.add_vectors({0: np.ones((1, 3, 2))}, [Context((1, 2, 3))])
    with pytest.raises(InputError, match="holds vectors and no activations"):
        measure(tmp_path / "store", tmp_path / "out")


def test_what_is_no_store_is_said(made: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no activations folder"):
        measure(tmp_path, tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(OutputError, match="holds no measures"):
        measure(made[0], tmp_path / "mine")
    assert MeasureOptions().top_tokens == 20


@pytest.mark.slow
def test_a_wide_dictionary_is_measured(tmp_path: Path) -> None:
    with Collector(tmp_path / "store", space=ActivationSpace("m"), layers={0: 2**18, 90: 2**18}) as collector:
        cells = {
            "layer": [0, 90],
            "context": [0, 0],
            "position": [1, 1],
            "unit": [200_000, 2**18 - 1],
            "value": [1.0, 2.0],
        }
        collector.add_cells({name: np.array(values) for name, values in cells.items()}, [Context((1, 2), "x")])
    measure(tmp_path / "store", tmp_path / "measures")
    found = rows(tmp_path / "measures", "activation_stats")
    assert len(found) == 2**19
    assert [(row["layer"], row["unit"]) for row in found if row["active_count"]] == [(0, 200_000), (90, 2**18 - 1)]


@pytest.mark.parametrize("space", [ActivationSpace("m", sampled=True), ActivationSpace("m", top_per_context=1)])
def test_where_silence_is_not_known_nothing_follows_from_it(tmp_path: Path, space: ActivationSpace) -> None:
    with Collector(tmp_path / "store", space=space, layers={0: 3}) as collector:
        for number in range(8):
            values = np.zeros((1, 3, 3), np.float32)
            values[0, 1, number % 2] = 1 + number
            collector.add({0: values}, [Context((5, 6, number), str(number))])
    measure(tmp_path / "store", tmp_path / "measures")
    unknown = (
        "token_count",
        "density",
        "density_low",
        "density_high",
        "is_dense",
        "mean_all",
        "mean_sq_all",
        "is_single_token",
    )
    for row in rows(tmp_path / "measures", "activation_stats"):
        assert [row[name] for name in unknown] == [None] * len(unknown)
        assert not row["is_dead"]
    assert {row["stratum"] for row in rows(tmp_path / "measures", "activation_examples")} <= {
        "top", "special", "quarter 1", "quarter 2", "quarter 3", "quarter 4",
    }  # fmt: skip
    for row in rows(tmp_path / "measures", "activation_tokens"):
        assert row["precision"] is row["precision_low"] is row["lift"] is row["tfidf"] is None
    from atlas.activations.sweeps import sweep
    from atlas.errors import UsageError

    with pytest.raises(UsageError, match="not known where a unit is silent"):
        sweep(tmp_path / "store", (0, 1), attribute="document")


@pytest.mark.parametrize(
    ("name", "value"), [("seed", -1), ("seed", 1 << 64), ("top_tokens", 1 << 40), ("top_examples", 0)]
)
def test_numbers_that_sql_cannot_count_with_are_refused(name: str, value: int) -> None:
    with pytest.raises(UsageError):
        MeasureOptions(**{name: value})
