"""The explorer in a real browser: every page on the demo, nothing from elsewhere, no errors, accessible, hostile texts harmless."""

from __future__ import annotations

import contextlib
import csv
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from conftest import ROOT, make_small_atlas

import atlas
from atlas.pipeline import run_recipe
from atlas.pipeline.recipe import load_recipe

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("uvicorn")
from serving import serving  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        # Without a sandbox, which a container does not allow.
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def demo_address(demo: Path) -> Iterator[str]:
    with serving(demo / "out" / "demo.duckdb") as address:
        yield address


class Visit:
    """A page of the explorer, and what went wrong on it."""

    def __init__(self, browser: Any, base: str, width: int = 1280) -> None:
        self.base, self.faults, self.hosts = base, [], set()
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.page.set_default_timeout(60_000)
        self.page.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("requestfailed", lambda request: self.faults.append(f"failed: {request.url}"))
        self.page.on("request", lambda request: self.hosts.add(re.sub(r"^(\w+://[^/]*).*", r"\1", request.url)))

    def open(self, page: str) -> Any:
        """Open a page and wait until all of it is there."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.base}/#/{page}")
        return self.ready()

    def ready(self) -> Any:
        self.page.wait_for_selector("main")
        self.page.wait_for_load_state("networkidle")
        self.page.wait_for_selector(".loading", state="detached")
        # Sections are asked when they come into sight.
        while (hidden := self.page.query_selector(".unseen")) is not None:
            with contextlib.suppress(playwright.Error):  # it came into sight by itself
                hidden.scroll_into_view_if_needed()
            self.page.wait_for_load_state("networkidle")
            self.page.wait_for_selector(".loading", state="detached")
        return self.page

    def require_clean(self) -> None:
        """Nothing failed, and nothing came from elsewhere."""
        assert self.faults == []
        assert self.hosts <= {self.base, "data:"}


@pytest.fixture
def visit(browser: Any, demo_address: str) -> Iterator[Visit]:
    made = Visit(browser, demo_address)
    yield made
    made.page.close()


@pytest.fixture(scope="module")
def names(demo: Path) -> dict[str, str]:
    """Names of the demo."""
    return names_of(demo / "out" / "demo.duckdb")


# Names of an atlas: well connected ones, the largest, the most frequent.
NAMES = {
    "neuron": "SELECT neuron_id FROM neurons WHERE in_degree > 9 AND out_degree > 9 ORDER BY graph_count DESC, layer, neuron LIMIT 1",
    "circuit": "SELECT circuit_id FROM circuits WHERE kind = 'input' ORDER BY size DESC, circuit_id LIMIT 1",
    "cluster": "SELECT circuit_id FROM circuits WHERE kind = 'cluster' AND is_primary ORDER BY size DESC, circuit_id LIMIT 1",
    "edge": "SELECT 'L' || src_layer || '/N' || src_neuron || '~L' || tgt_layer || '/N' || tgt_neuron FROM edges ORDER BY graph_count DESC, ALL LIMIT 1",
    "graph": "SELECT min(graph_id) FROM graphs",
    "token": "SELECT token FROM tokens WHERE token IS NOT NULL ORDER BY input_graph_count DESC, token_id LIMIT 1",
    "feature": "SELECT 'L' || layer || '/F' || unit FROM activation_stats WHERE unit_type = 'feature' ORDER BY active_count DESC, unit LIMIT 1",
}


def names_of(file: Path) -> dict[str, str]:
    """Names by kind; those that the atlas does not have are left out."""
    with atlas.open(file) as opened:
        found = {
            kind: opened.sql(sql.replace(", ALL", ", src_layer, src_neuron, tgt_layer, tgt_neuron")).fetchall()
            for kind, sql in NAMES.items()
        }
    return {kind: str(rows[0][0]) for kind, rows in found.items() if rows}


def pages(names: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Addresses of all pages, with a text that must be on each."""
    return {
        "home": ("", "Hubs"),
        "neuron": (f"neuron/{names['neuron']}", "Driven by"),
        "feature": (f"feature/{names['feature']}", "Tokens that it promotes"),
        "circuit": (f"circuit/{quote(names['circuit'])}", "Wiring"),
        "cluster": (f"circuit/{quote(names['cluster'])}", "Members"),
        "matrix": (f"circuit/{quote(names['circuit'])}?view=matrix", "Drawing"),
        "circuits": ("circuits", "largest first"),
        "clusterings": ("clusterings", "how far to trust"),
        "graphs": ("graphs", "prompt"),
        "graph": (f"graph/{names['graph']}", "Nodes by token and layer"),
        "edge": (f"edge/{quote(names['edge'])}", "Weights over graphs"),
        "token": (f"token/{quote(names['token'], safe='')}", "Neurons that it drives"),
        "search": ("search?q=self", "Neurons"),
        "find": (f"find?q={quote('layer >= 2 && graphs >= 2')}", "Common inputs"),
        "compared": (f"compare?where_a={quote('graph_id % 2 = 0')}", "What differs"),
        "compare": ("compare?first=1&second=2", "differ most"),
        "map": ("map", "A disc is a circuit"),
        "reports": ("reports", "claims, not measurements"),
        "sql": (f"sql?q={quote('SELECT layer, count(*) AS n FROM neurons GROUP BY layer ORDER BY layer')}", "Rows"),
        "chart": (
            f"sql?q={quote('SELECT layer, count(*) AS n FROM neurons GROUP BY layer ORDER BY layer')}&chart=1",
            "Table",
        ),
    }


PAGES = sorted(pages(dict.fromkeys(("neuron", "circuit", "cluster", "edge", "graph", "token", "feature"), "")))


@pytest.mark.parametrize("name", PAGES)
def test_every_page(name: str, visit: Visit, names: dict[str, str]) -> None:
    from axe_playwright_python.sync_playwright import Axe

    path, words = pages(names)[name]
    page = visit.open(path)
    assert words in page.inner_text("main")
    assert page.query_selector("[role=alert]") is None
    visit.require_clean()
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        found = Axe().run(page).response["violations"]
        serious = [
            (one["id"], [node["target"] for node in one["nodes"]][:3])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == [], theme


def test_every_page_of_gemma(data: Path, tmp_path: Path, browser: Any) -> None:
    """Features of circuit-tracer, 65 graphs, without activations."""
    recipe = load_recipe(
        ROOT / "build" / "gemma-2-2b-clt-hp.toml", [], {"DATA": str(data)}, output=tmp_path / "gemma.duckdb"
    )
    run_recipe(recipe)
    known = names_of(tmp_path / "gemma.duckdb")
    with serving(tmp_path / "gemma.duckdb") as base:
        visit = Visit(browser, base)
        for name, (path, words) in pages(dict.fromkeys(NAMES, "") | known).items():
            if name not in ("feature", "circuit", "matrix", "compare") or known.get(name):
                page = visit.open(path)
                assert words in page.inner_text("main"), name
                assert page.query_selector("[role=alert]") is None, name
        visit.require_clean()
        visit.page.close()


@pytest.mark.parametrize("name", PAGES)
def test_every_page_on_a_telephone(name: str, browser: Any, demo_address: str, names: dict[str, str]) -> None:
    narrow = Visit(browser, demo_address, width=400)
    page = narrow.open(pages(names)[name][0])
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    narrow.require_clean()
    page.close()


def test_from_the_search_to_a_neuron_an_edge_and_back(visit: Visit, names: dict[str, str]) -> None:
    page = visit.open("")
    page.keyboard.press("/")
    page.keyboard.type(names["neuron"])
    page.keyboard.press("Enter")
    visit.ready()
    assert page.inner_text("h1").startswith(names["neuron"])
    page.fill("input[type=number]", "3")
    page.keyboard.press("Tab")
    visit.ready()
    assert "min_graphs=3" in page.url
    page.click("[data-query=upstream] tbody tr td.number a")
    visit.ready()
    assert "→" in page.inner_text("h1")
    page.go_back()
    visit.ready()
    assert "min_graphs=3" in page.url
    assert page.input_value("input[type=number]") == "3"
    visit.require_clean()


def test_rows_are_those_of_the_library(visit: Visit, names: dict[str, str], demo: Path) -> None:
    page = visit.open(f"neuron/{names['neuron']}")
    shown = page.locator("[data-query=upstream] tbody tr td:first-child").all_inner_texts()
    with atlas.open(demo / "out" / "demo.duckdb") as opened:
        assert shown == [row[0] for row in opened.upstream(names["neuron"], limit=10).fetchall()]
    page.click("[data-query=upstream] button:has-text('Show 50')")
    visit.ready()
    assert page.locator("[data-query=upstream] tbody tr").count() > 10
    page.click("[data-query=upstream] thead button >> nth=0")
    assert page.get_attribute("[data-query=upstream] thead th >> nth=0", "aria-sort") == "ascending"
    with page.expect_response("**/api/upstream.csv**") as answer:
        page.evaluate("fetch(document.querySelector('[data-query=upstream] .tools a:nth-child(2)').href)")
    assert next(csv.reader(answer.value.text().splitlines()))[0] == "neuron_id"
    page.click("[data-query=upstream] button:has-text('SQL')")
    visit.page.wait_for_selector("dialog pre")
    assert f'$neuron = "{names["neuron"]}"' in page.inner_text("dialog pre")
    page.click("dialog button:has-text('Close')")
    page.click("[data-query=upstream] button:has-text('Python')")
    page.wait_for_selector("dialog pre")
    scope: dict[str, Any] = {}
    exec(
        page.inner_text("dialog pre")
        .replace("demo.duckdb", str(demo / "out" / "demo.duckdb"))
        .replace("\nmodel.", "\nfound = model."),
        scope,
    )
    assert scope["found"].fetchall()
    scope["model"].close()
    visit.require_clean()


def test_a_drawing_answers_to_the_keyboard(visit: Visit, names: dict[str, str]) -> None:
    page = visit.open(f"circuit/{quote(names['circuit'])}")
    first = page.locator("svg.network circle").first
    first.focus()
    page.keyboard.press("Enter")
    assert first.get_attribute("aria-pressed") == "true"
    assert page.locator("svg.network .faded").count() > 0
    page = visit.open(f"graph/{names['graph']}")
    page.locator("svg circle").nth(1).press("Enter")
    assert re.search(r"pin=\d+", page.url)
    visit.ready()
    assert "Unpin 1" in page.inner_text("main")
    visit.require_clean()


def test_a_wrong_name_is_told(visit: Visit) -> None:
    for path, words in (
        ("neuron/L99/N1", "in no graph"),
        ("circuit/nothing", "no circuit nothing"),
        ("edge/L0/N0~L0/N1", "no edge"),
        ("nowhere", "no page"),
    ):
        assert words in visit.open(path).inner_text("main")
    # A refusal of the server is shown in the place of the rows.
    for path in (f"find?q={quote('layr = 1')}", "graph/99999", f"sql?q={quote('DROP TABLE edges')}"):
        page = visit.open(path)
        assert page.inner_text("[role=alert] >> nth=0").strip()
        assert page.query_selector("header.top") is not None
    assert all("400" in fault for fault in visit.faults)


HOSTILE = [
    "<script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 1">',
    "\u202eright to left\u2066",
    "x" * 10_000,
    "javascript:window.hacked=1",
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas in which every text is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    make_small_atlas(folder)
    import duckdb

    with duckdb.connect(str(folder / "small.duckdb")) as con:
        for table, column, data_type in con.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal AND data_type IN ('VARCHAR', 'VARCHAR[]') "
            "AND table_name IN (SELECT table_name FROM duckdb_tables()) AND table_name NOT IN ('help')"
        ).fetchall():
            if re.search(
                r"(^|_)(id|kind|path|clustering|role|unit_type|key|section|direction|type|method|evidence)$|^cluster|^circuit",
                column,
            ):
                continue
            if (table, column) == ("metadata", "value"):
                continue
            picked = "CASE rowid % 5 " + " ".join(f"WHEN {at} THEN $t{at}" for at in range(5)) + " END"
            value = picked if data_type == "VARCHAR" else f"list_transform({column}, lambda one: {picked})"
            try:
                con.execute(
                    f'UPDATE {table} SET "{column}" = {value} WHERE "{column}" IS NOT NULL',
                    {f"t{at}": text for at, text in enumerate(HOSTILE)},
                )
            except duckdb.Error:
                continue  # a generated column
    return folder / "small.duckdb"


def test_hostile_texts_are_harmless(browser: Any, hostile: Path) -> None:
    with serving(hostile) as base:
        visit = Visit(browser, base)
        for path in (
            "",
            "neuron/L1/N2",
            "circuit/1",
            "circuits",
            "graphs",
            "graph/3",
            "search?q=script",
            "map",
            "reports",
            f"token/{quote(HOSTILE[0], safe='')}",
            f"sql?q={quote('FROM labels')}",
        ):
            page = visit.open(path)
            assert page.evaluate("window.hacked") is None
            assert page.query_selector("main script, main img, main iframe") is None
            assert page.evaluate(
                "[...document.querySelectorAll('main a')].every((a) => /^(https?:|#)/.test(a.href) || a.href.startsWith(location.origin))"
            )
            assert "\u202e" not in page.inner_text("main")
            assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        visit.require_clean()
        visit.page.close()


def test_every_address_names_the_atlas_that_was_chosen(browser: Any, small_atlas: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.duckdb"
    shutil.copy(small_atlas, other)
    with serving(small_atlas, other) as base:
        visit = Visit(browser, base)
        page = visit.open("")
        page.select_option("header.top select", "other")
        visit.ready()
        page.click("nav a:has-text('Graphs')")
        visit.ready()
        assert "atlas=other" in page.url
        assert page.input_value("header.top select") == "other"
        page = visit.open("graph/3?atlas=other")
        assert page.get_attribute("a[download]", "href") == "graphs/3/neuronpedia.json?atlas=other"
        page.click("[data-query=unusual_neurons] button:has-text('Python')")
        page.wait_for_selector("dialog pre")
        assert 'atlas.open("other.duckdb")' in page.inner_text("dialog pre")
        visit.require_clean()
        visit.page.close()


def test_vendored_files_are_those_of_the_lock_file() -> None:
    import hashlib
    import json

    vendor = ROOT / "atlas" / "web" / "explorer" / "vendor"
    listed = dict(reversed(line.split("  ")) for line in (vendor / "SHA256SUMS").read_text().splitlines())
    assert set(listed) == {path.name for path in vendor.iterdir()} - {"SHA256SUMS"}
    for name, digest in listed.items():
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest
    locked = json.loads((ROOT / "build" / "explorer" / "package-lock.json").read_text())["packages"]
    licences = (vendor / "LICENSES.txt").read_text()
    for name in ("preact", "htm"):
        assert f"{name} {locked[f'node_modules/{name}']['version']} (" in licences
