"""Search over labels: BM25F by hand, recall against ILIKE, words in any order, phrases, misspelled words."""

from __future__ import annotations

import math
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import atlas
from atlas import Atlas, Neurons
from atlas.database.scripts import script
from atlas.errors import UsageError
from atlas.query.connection import rows_of

Labels = list[tuple[str | None, str | None]]


def words_of(text: str | None) -> list[str]:
    plain = "".join(c for c in unicodedata.normalize("NFD", (text or "").lower()) if unicodedata.category(c) != "Mn")
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in plain)
    return kept.split()


def distance(first: str, second: str) -> int:
    """Damerau-Levenshtein distance: letters that are put in, left out, changed, or swapped with the next."""
    rows = [[max(i, j) if 0 in (i, j) else 0 for j in range(len(second) + 1)] for i in range(len(first) + 1)]
    for i, a in enumerate(first, 1):
        for j, b in enumerate(second, 1):
            rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (a != b))
            if i > 1 and j > 1 and first[i - 2] == b and a == second[j - 2]:
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


class Reference:
    """The formula of Robertson, Zaragoza and Taylor (2004), label by label."""

    def __init__(self, labels: Labels) -> None:
        self.texts = [words_of(text) for text, _ in labels]
        self.descriptions = [words_of(description) for _, description in labels]
        self.counts = Counter(
            word for text, more in zip(self.texts, self.descriptions, strict=True) for word in {*text, *more}
        )

    def meant(self, word: str) -> dict[str, float]:
        found = {
            term: 1.0 if term == word else 0.5 if term.startswith(word) else 0.25
            for term in self.counts
            if term.startswith(word) or (word in term and (len(word) > 2 or not word.isascii()))
        }
        near = [
            (distance(term, word), -self.counts[term], term)
            for term in self.counts
            if term[0] == word[0]
            and abs(len(term) - len(word)) <= len(word) // 4
            and distance(term, word) <= min(len(word) // 4, 2)
        ]
        return found or ({min(near)[2]: 0.25} if near else {})

    def scores(self, query: str) -> dict[int, float]:
        asked = {word: self.meant(word) for word in words_of(query)}
        text_mean = max(sum(map(len, self.texts)) / len(self.texts), 1)
        description_mean = max(sum(map(len, self.descriptions)) / len(self.texts), 1)
        found: dict[int, list[float]] = {}
        for number, (text, more) in enumerate(zip(self.texts, self.descriptions, strict=True)):
            for terms in asked.values():
                best = 0.0
                for term, closeness in terms.items():
                    frequency = 3 * text.count(term) / (0.25 + 0.75 * len(text) / text_mean)
                    frequency += more.count(term) / (0.25 + 0.75 * len(more) / description_mean)
                    count = self.counts[term]
                    idf = math.log(1 + (len(self.texts) - count + 0.5) / (count + 0.5))
                    best = max(best, closeness * idf * frequency / (1.2 + frequency))
                if best:
                    found.setdefault(number, []).append(best)
        most = max(map(len, found.values()), default=0)
        return {number: sum(parts) for number, parts in found.items() if len(parts) == most}


@pytest.fixture(scope="module")
def relabelled(small_atlas: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Labels], Atlas]:
    """Opens an atlas of which the first neurons have these labels, one each, and no others."""
    path = tmp_path_factory.mktemp("search") / "labels.duckdb"
    shutil.copy(small_atlas, path)
    with duckdb.connect(str(path)) as con:
        units = con.sql("SELECT layer, neuron FROM neurons ORDER BY ALL").fetchall()

    def run(labels: Labels) -> Atlas:
        assert len(labels) <= len(units)
        rows = [(number, *unit, *label) for number, (unit, label) in enumerate(zip(units, labels, strict=False))]
        with duckdb.connect(str(path)) as con:
            con.execute("DELETE FROM labels")
            con.executemany(
                "INSERT INTO labels (label_id, layer, neuron, rank, text, description, is_uninformative, in_atlas, is_of_atlas, file) VALUES (?, ?, ?, 1, ?, ?, false, true, true, 'x')",
                rows,
            )
            con.execute("ATTACH ':memory:' AS input")
            con.execute(script("load_terms"))
        return atlas.open(path)

    run.units = units  # type: ignore[attr-defined]
    return run


WORDS = (
    "capital",
    "Capital",
    "capitals",
    "of",
    "France",
    "city",
    "cité",
    "naïve",
    "北京",
    "x1",
    "in",
    "king",
    "[",
    "it's",
)
TEXTS = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)
LABELS = st.lists(st.tuples(TEXTS.filter(bool), st.none() | TEXTS), min_size=1, max_size=8)


@pytest.mark.slow
@given(labels=LABELS, query=st.lists(st.sampled_from([*WORDS, "capitla", "frnace", "cap", "ing"]), min_size=1, max_size=3).map(" ".join))  # fmt: skip
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_scores_equal_the_formula(relabelled: Any, labels: Labels, query: str) -> None:
    with relabelled(labels) as opened:
        found = {
            relabelled.units.index((row["layer"], row["neuron"])): row["score"] for row in rows_of(opened.search(query))
        }
        limited = opened.search(query, limit=2).fetchall()
        everything = opened.search(query).fetchall()
    expected = Reference(labels).scores(query)
    if words_of(query):
        assert found == pytest.approx(expected, rel=1e-9)
    assert limited == everything[:2]


@pytest.mark.slow
@given(labels=LABELS, data=st.data())
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_ilike_finds_is_found(relabelled: Any, labels: Labels, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([part for pair in labels for part in pair if part]))
    start = data.draw(st.integers(0, len(text) - 1))
    query = text[start : start + data.draw(st.integers(1, 12))]
    assume(query.strip())
    with relabelled(labels) as opened:
        found = {tuple(row[1:3]) for row in opened.search(query).fetchall()}
        expected = opened.sql(
            "SELECT layer, neuron FROM labels WHERE contains(lower(text), lower($q)) OR contains(lower(description), lower($q))",
            {"q": query},
        ).fetchall()
    # One or two letters are looked for as words and beginnings alone.
    if all(len(word) > 2 or not word.isascii() for word in words_of(query)):
        assert found >= set(expected)


def test_words_in_any_order_phrases_and_misspelled_words(relabelled: Any) -> None:
    labels: Labels = [
        ("capital of France", None),
        ("the France of capital letters", "of no city"),
        ("capital", "a city of France"),
        ("river", "flows through a capital of France"),
        ("[", "opening bracket"),
    ]
    with relabelled(labels) as opened:

        def texts(query: str, **options: Any) -> list[str]:
            return [row["text"] for row in rows_of(opened.search(query, **options))]

        assert texts("france CAPITAL") == texts("capital france")
        assert texts("france capital")[0] == "capital of France"
        assert set(texts("france capital")) == {text for text, _ in labels[:4]}
        assert texts('"capital of France"') == ["capital of France", "river"]
        assert texts('"of no" capital') == ["the France of capital letters"]
        assert rows_of(opened.search("captial"))[0]["terms"] == ["capital"]
        assert texts("captial") == texts("capital")
        assert texts("xyzzy") == []
        assert texts("capital xyzzy") == texts("capital")
        assert texts("[") == ["["]
        assert texts("opening") == ["["]
        layer = relabelled.units[0][0]
        within = [row[0] for row in opened.find(Neurons(layer=layer)).fetchall()]
        assert [
            row["neuron_id"] for row in rows_of(opened.search("capital", within=Neurons(layer=layer), limit=1))
        ] == [row["neuron_id"] for row in rows_of(opened.search("capital")) if row["neuron_id"] in within][:1]


def test_uninformative_and_foreign_labels_are_not_found(small_atlas: Path, tmp_path: Path) -> None:
    shutil.copy(small_atlas, tmp_path / "a.duckdb")
    with duckdb.connect(str(tmp_path / "a.duckdb")) as con:
        con.execute("UPDATE labels SET text = 'zebra', is_uninformative = true WHERE label_id = 0")
        con.execute("UPDATE labels SET text = 'zebra', in_atlas = false WHERE label_id = 1")
        con.execute("ATTACH ':memory:' AS input")
        con.execute(script("load_terms"))
    with atlas.open(tmp_path / "a.duckdb") as opened:
        assert opened.search("zebra").fetchall() == []


@pytest.mark.parametrize(
    "query", ["'; DROP TABLE labels; --", "%", "_", '"', '""', '"unclosed', "a" * 10_000, "\\", "$1", "🙂", "", " "]
)
def test_hostile_words_change_nothing(small_atlas: Path, query: str) -> None:
    with atlas.open(small_atlas) as opened:
        before = opened.sql("SELECT count(*) FROM labels").fetchall()
        if query.strip():
            opened.search(query, limit=3).fetchall()
        else:
            with pytest.raises(UsageError, match="say what to look for"):
                opened.search(query)
        assert opened.sql("SELECT count(*) FROM labels").fetchall() == before
