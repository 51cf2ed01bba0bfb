"""Folders of reports: the layout that users have, rows of the library, hostile texts, and an index that filters."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

import atlas
from atlas.cli.main import main
from atlas.errors import InputError
from atlas.ids import NeuronId
from atlas.web.reports import labelled_neurons, write_reports

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Tags(HTMLParser):
    """Tags and attributes of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.links, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attributes if name.startswith("on")]
        self.links += [value for name, value in attributes if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_the_layout_and_the_index(small_atlas: Path, tmp_path: Path) -> None:
    out = tmp_path / "reports"
    result = run("report", small_atlas, "L1/N2", "L0/N3", "--circuit", "1", "-o", out)
    assert result.exit_code == 0, result.stderr
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {
        "index.html", "index.json", "circuits.json",
        *(f"{folder}/{name}.{folder}" for folder in ("html", "json") for name in ("L1_N2", "L0_N3", "circuit_1")),
    }  # fmt: skip
    listed = json.loads((out / "index.json").read_text())
    assert [one["neuron_id"] for one in listed] == ["L0/N3", "L1/N2"]
    assert set(listed[0]) == {"neuron_id", "layer", "neuron_idx", "filename", "title", "summary", "func_type"}
    assert all((out / "html" / one["filename"]).exists() for one in listed)
    assert json.loads((out / "circuits.json").read_text())[0]["circuit_id"] == "1"
    # Reports of earlier runs stay.
    assert run("report", small_atlas, "L2/N1", "-o", out).exit_code == 0
    assert [one["neuron_id"] for one in json.loads((out / "index.json").read_text())] == ["L0/N3", "L1/N2", "L2/N1"]
    index = Tags((out / "index.html").read_text())
    assert {"html/L0_N3.html", "html/L1_N2.html", "html/L2_N1.html", "html/circuit_1.html"} == set(index.links)


def test_a_report_has_the_rows_of_the_library(small_atlas: Path, tmp_path: Path) -> None:
    with atlas.open(small_atlas) as small:
        write_reports(small, tmp_path, neurons=[NeuronId(1, 2)], circuits=["1"])
        facts = json.loads((tmp_path / "json" / "L1_N2.json").read_text())
        assert [row["neuron_id"] for row in facts["upstream"]] == [
            row[0] for row in small.upstream("L1/N2", limit=20).fetchall()
        ]
        assert [row["text"] for row in facts["labels"]] == small.labels("L1/N2").pl()["text"].to_list()
        assert facts["examples"]
        page = Tags((tmp_path / "html" / "L1_N2.html").read_text())
        for row in (*facts["upstream"], *facts["downstream"]):
            assert row["neuron_id"] in page.text
        assert "script" not in page.tags
        circuit = Tags((tmp_path / "html" / "circuit_1.html").read_text())
        members = small.circuit_neurons("1").fetchall()
        assert all(row[0] in circuit.text for row in members)
        assert "path" in circuit.tags
        assert len(labelled_neurons(small)) == small.sql("SELECT count(label) FROM neurons").fetchall()[0][0] > 3


@pytest.mark.slow
def test_every_labelled_neuron_and_sets(small_atlas: Path, tmp_path: Path) -> None:
    assert run("report", small_atlas, "--all-labelled", "-o", tmp_path / "a").exit_code == 0
    with atlas.open(small_atlas) as small:
        wanted = [str(neuron) for neuron in labelled_neurons(small)]
        layer = [row[0] for row in small.find("layer = 2").fetchall()]
    assert [one["neuron_id"] for one in json.loads((tmp_path / "a" / "index.json").read_text())] == wanted
    assert run("report", small_atlas, "--within", "layer = 2", "-o", tmp_path / "b").exit_code == 0
    assert {one["neuron_id"] for one in json.loads((tmp_path / "b" / "index.json").read_text())} == set(layer)


def test_what_cannot_be_reported(small_atlas: Path, tmp_path: Path) -> None:
    for arguments, words in (
        (["L99/N1", "-o", tmp_path / "x"], "L99/N1 is in no graph"),
        (["--circuit", "none", "-o", tmp_path / "x"], "has no circuit 'none'"),
        (["L1/N2", "--circuit", "1"], "pages need a folder: -o DIR"),
        (["L1/N2", "--circuit", "1", "-o", tmp_path / "x.md"], "pages need a folder"),
        ([], "name units such as L24/N5326"),
    ):
        result = run("report", small_atlas, *arguments)
        assert result.exit_code in (1, 2)
        assert words in result.stderr
    (tmp_path / "x" / "json" / "L0_N0.json").write_text("{")
    with atlas.open(small_atlas) as small, pytest.raises(InputError, match="is no report"):
        write_reports(small, tmp_path / "x", neurons=[NeuronId(1, 2)])


@pytest.fixture
def hostile(small_atlas: Path, tmp_path: Path) -> Path:
    path = tmp_path / "hostile.duckdb"
    shutil.copy(small_atlas, path)
    text = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>\u202e"
    with duckdb.connect(str(path)) as con:
        for table, columns in {
            "neurons": ("label", "description"),
            "labels": ("text", "source"),
            "tokens": ("token",),
            "graphs": ("prompt",),
        }.items():
            for column in columns:
                con.execute(f"UPDATE {table} SET {column} = $text", {"text": text})
        con.execute(
            "INSERT INTO reports BY NAME SELECT 1 AS layer, 2 AS neuron, 'dashboard' AS kind, $text AS title, $text AS summary, 'semantic' AS function_type, "
            "[$text] AS findings, true AS in_atlas, 'a.json' AS file",
            {"text": text},
        )
        con.execute(
            "INSERT INTO report_examples BY NAME SELECT 1 AS layer, 2 AS neuron, 'activating' AS kind, 1 AS rank, $text AS prompt, 'a.json' AS file",
            {"text": text},
        )
    return path


def test_hostile_texts_are_texts(hostile: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("report", hostile, "L1/N2", "--circuit", "1", "-o", out).exit_code == 0
    for path in (out / "html").iterdir():
        page = Tags(path.read_text())
        assert not {"script", "img", "iframe"} & set(page.tags)
        assert "\u202e" not in page.text
        assert "window.hacked" in page.text
    index = Tags((out / "index.html").read_text())
    assert index.tags.count("script") == 1
    assert "img" not in index.tags
    assert json.loads((out / "index.json").read_text())[0]["func_type"] == "semantic"
    page = (out / "html" / "L1_N2.html").read_text()
    assert re.search("Dashboard, a claim", page)
    assert "Prompts that activate it" in page


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_index_filters_in_a_browser(hostile: Path, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    from axe_playwright_python.sync_playwright import Axe

    out = tmp_path / "out"
    assert run("report", hostile, "L1/N2", "L0/N3", "L2/N1", "--circuit", "1", "-o", out).exit_code == 0
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page, faults = browser.new_page(), []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: faults.append(request.url) if not request.url.startswith("file:") else None)
        page.goto((out / "index.html").as_uri())
        assert page.inner_text("#count") == "4 of 4"
        page.select_option("#layer", "1")
        assert page.inner_text("#count") == "1 of 4"
        assert page.locator("tbody tr:visible").count() == 1
        page.select_option("#layer", "")
        page.select_option("#type", "circuit")
        assert page.inner_text("#count") == "1 of 4"
        page.click("tbody tr:visible a")
        assert page.inner_text("h1").startswith("Circuit 1")
        assert page.evaluate("window.hacked") is None
        serious = [
            one["id"] for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")
        ]
        assert serious == []
        assert faults == []
        browser.close()
