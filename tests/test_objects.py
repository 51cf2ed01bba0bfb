"""Cards, matrices, several atlases at once, and an atlas whose file is replaced while it is open."""

from __future__ import annotations

import pickle
import shutil
import threading
from pathlib import Path

import duckdb
import pytest

import atlas
from atlas import AtlasError
from atlas.errors import AtlasFileError, InputError, QueryError, UsageError
from atlas.query.connection import rows_of


@pytest.fixture
def small(small_atlas: Path):
    with atlas.open(small_atlas) as opened:
        yield opened


def test_a_matrix_holds_every_edge_once(small) -> None:
    edges = rows_of(small.adjacency("layer = 0", "layer <= 2"))
    found = small.matrix("adjacency", "mean_weight", starts="layer = 0", ends="layer <= 2")
    cells = {
        (row["src_id"], name): row[name]
        for row in found.to_dicts()
        for name in found.columns[1:]
        if row[name] is not None
    }
    assert cells == {(row["src_id"], row["tgt_id"]): row["mean_weight"] for row in edges}
    order = [tuple(map(int, name[1:].split("/N"))) for name in found.columns[1:]]
    assert order == sorted(order)
    assert small.matrix("flow", "edge_count", by="layer").columns[0] == "src_group"
    for query, value, message in (
        ("neurons", "layer", "no source and target"),
        ("flow", "colour", "no column 'colour'"),
    ):
        with pytest.raises(UsageError, match=message):
            small.matrix(query, value, **({"by": "layer"} if query == "flow" else {}))


def test_cards_are_html_with_every_text_escaped(small_atlas: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    shutil.copy(small_atlas, path)
    with duckdb.connect(str(path)) as con:
        con.execute("UPDATE neurons SET label = '<script>alert(1)</script>&' || chr(7)")
    with atlas.open(path) as changed:
        for name in ("L1/N2", "1", "input:1"):
            try:
                card = changed.card(name)
            except InputError:
                assert name == "input:1"
                continue
            html = card._repr_html_()
            assert "<script>" not in html
            assert "&lt;script&gt;alert(1)" in html or name != "L1/N2"
            assert html.count("<table") == html.count("</table>") == 1 + len(card.tables)
            assert name in str(card)
        assert "<table" in changed._repr_html_()
        for wrong in ("L1/N99999", "no such circuit", "'; DROP TABLE neurons; --"):
            with pytest.raises(InputError):
                changed.card(wrong)


def test_several_atlases_side_by_side(small_atlas: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.duckdb"
    shutil.copy(small_atlas, other)
    with duckdb.connect(str(other)) as con:
        con.execute("UPDATE neurons SET label = 'changed' WHERE layer = 1 AND neuron = 2")
    with atlas.open(base=small_atlas, tuned=other) as both:
        assert list(both) == ["base", "tuned"]
        assert len(both) == 2
        assert (
            both.tuned.neuron("L1/N2").pl()["label"].to_list()
            == ["changed"]
            != both["base"].neuron("L1/N2").pl()["label"].to_list()
        )
        found = both.sql(
            "SELECT b.neuron_id FROM base.neurons AS b JOIN tuned.neurons AS t USING (layer, neuron) WHERE b.label <> t.label"
        )
        assert found.fetchall() == [("L1/N2",)]
        with pytest.raises(QueryError):
            both.sql("DROP TABLE base.neurons")
        with pytest.raises(QueryError):
            both.sql(f"SELECT * FROM read_text('{other}')")
        with pytest.raises(QueryError, match="a macro reads the atlas in use.* ask the object base"):
            both.sql("FROM base.upstream('L1/N2')")
        assert both.base.sql("FROM upstream('L1/N2')").fetchall()
        with pytest.raises(AttributeError, match="base, tuned"):
            _ = both.nothing
    with pytest.raises(AtlasFileError):
        atlas.open(base=small_atlas, tuned=tmp_path / "none.duckdb")
    with pytest.raises(AtlasFileError, match="a name of DuckDB itself"):
        atlas.open(main=small_atlas)
    with pytest.raises(UsageError, match="one path, or several"):
        atlas.open()
    with pytest.raises(UsageError, match="one path, or several"):
        atlas.open(small_atlas, base=other)


def test_a_replaced_file_is_seen(small_atlas: Path, tmp_path: Path) -> None:
    path, fresh = tmp_path / "a.duckdb", tmp_path / "b.duckdb"
    shutil.copy(small_atlas, path)
    with atlas.open(path) as opened:
        before = opened.neurons()
        first = before.fetchall()
        shutil.copy(small_atlas, fresh)
        with duckdb.connect(str(fresh)) as con:
            con.execute("UPDATE neurons SET label = 'new' WHERE layer = 1 AND neuron = 2")
        fresh.rename(path)
        assert opened.neuron("L1/N2").pl()["label"].to_list() == ["new"]
        assert opened.connection.execute("SELECT label FROM neurons WHERE layer = 1 AND neuron = 2").fetchall() == [
            ("new",)
        ]
        assert before.fetchall() == first
        path.unlink()
        assert opened.neuron("L1/N2").pl()["label"].to_list() == ["new"]


def test_threads_ask_while_the_file_is_replaced_and_copies_are_opened_again(small_atlas: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    shutil.copy(small_atlas, path)
    wrong: list[BaseException] = []
    with atlas.open(path) as opened:
        count = len(opened.find("layer = 1").fetchall())

        def ask() -> None:
            try:
                for _ in range(5):
                    assert len(opened.find("layer = 1").fetchall()) == count
            except (AtlasError, AssertionError, duckdb.Error) as error:
                wrong.append(error)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(3):
            shutil.copy(small_atlas, tmp_path / f"{number}.duckdb")
            (tmp_path / f"{number}.duckdb").rename(path)
        for thread in threads:
            thread.join()
        assert wrong == []
        with pickle.loads(pickle.dumps(opened)) as again:
            assert again.find("layer = 1").fetchall() == opened.find("layer = 1").fetchall()


def test_a_remote_file_without_the_extension_is_said() -> None:
    with duckdb.connect() as con:
        try:
            con.execute("LOAD httpfs")
        except duckdb.Error:
            with pytest.raises(
                AtlasFileError, match="https://example.org/a.duckdb is a remote file.*httpfs is not installed"
            ):
                atlas.open("https://example.org/a.duckdb")
            return
    pytest.skip("httpfs is installed here")
