"""The explorer without a server: a folder on a host of ranges, and one file, both asked in a real browser."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import pytest
from click.testing import CliRunner

import atlas
from atlas.cli.main import main
from atlas.errors import InputError, UsageError
from atlas.web import static_site
from atlas.web.static_site import EXPLORER, export_html, export_site

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HAS_ENGINE = (EXPLORER / "duckdb" / "worker.js").exists()
in_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(not HAS_ENGINE, reason="no DuckDB for browsers: make vendor"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.mark.slow
def test_without_the_engine_nothing_is_written(small_atlas: Path, tmp_path: Path) -> None:
    for form, name in (("site", "site"), ("html", "a.html")):
        result = run("export", form, small_atlas, "-o", tmp_path / name, "--engine", tmp_path)
        assert (result.exit_code, "run: make vendor" in result.stderr) == (1, True)
        assert len(result.stderr.splitlines()) == 1
    with pytest.raises(InputError, match=r"duckdb-eh\.wasm\.gz"):
        export_site(small_atlas, tmp_path / "site", engine=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_single_file_is_bounded(small_atlas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tmp_path / "engine"
    engine.mkdir()
    for name in ("duckdb.js", "worker.js", "duckdb-eh.wasm.gz", "LICENSES.txt"):
        (engine / name).touch()
    monkeypatch.setattr(static_site, "MOST_BYTES", 1_000_000)
    with pytest.raises(UsageError, match="a browser opens no more than 1 MB in one page"):
        export_html(small_atlas, tmp_path / "a.html", engine=engine)
    assert not (tmp_path / "a.html").exists()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextlib.contextmanager
def hosted(folder: Path) -> Iterator[str]:
    """A host of static files that answers ranges."""
    uvicorn = pytest.importorskip("uvicorn")
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles

    app = Starlette(routes=[Mount("/", StaticFiles(directory=folder, html=True))])
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
        thread.start()
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


class Reader:
    """A page without a server, what it moved and what went wrong."""

    def __init__(self, browser: Any, base: str) -> None:
        self.base, self.faults, self.moved, self.others = base, [], 0, []
        self.page = browser.new_page()
        self.page.set_default_timeout(60_000)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)
        self.page.on("response", self._count)
        self.page.on(
            "request",
            lambda request: (
                self.others.append(request.url)
                if not request.url.startswith((base.split("#")[0], "blob:", "data:"))
                else None
            ),
        )

    def _count(self, answer: Any) -> None:
        if answer.url.endswith("atlas.duckdb") and answer.request.method == "GET":
            assert answer.status == 206
            self.moved += int(answer.headers["content-length"])

    def open(self, path: str, wanted: str = "main h1") -> Any:
        """Open a page and wait for what is wanted of it: sections are asked when they come into sight."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.base}#/{path}")
        self.page.wait_for_selector(wanted, state="attached")
        return self.page


def require_answers(reader: Reader, file: Path) -> None:
    """The pages say what the library says."""
    with atlas.open(file) as opened:
        page = reader.open("neuron/L1/N2", "[data-query=upstream] tbody tr")
        shown = page.locator("[data-query=upstream] tbody tr td:first-child").all_inner_texts()
        assert shown == [row[0] for row in opened.upstream("L1/N2", limit=10).fetchall()] != []
        chosen = 'layer >= 2 && label ~ "label"'
        page = reader.open(f"find?q={quote(chosen)}", "[data-query=find] tbody tr")
        shown = page.locator("[data-query=find] tbody tr td:first-child").all_inner_texts()
        assert shown == [row[0] for row in opened.find(chosen, limit=50).fetchall()] != []
        page = reader.open("search?q=label", "[data-query=search] tbody tr")
        shown = page.locator("[data-query=search] tbody tr td:first-child").all_inner_texts()
        assert shown == [row[0] for row in opened.search("label", limit=20).fetchall()] != []
        page = reader.open(f"sql?q={quote('SELECT count(*) AS n FROM edges')}", "tbody td")
        assert page.inner_text("tbody td").replace(",", "") == str(
            opened.sql("SELECT count(*) FROM edges").fetchall()[0][0]
        )
        page = reader.open("circuit/1", "svg.network circle")
        assert page.locator("svg.network circle").count() > 1
        for wrong in ("COPY edges TO 'x'", "DROP TABLE edges", "SELECT * FROM read_csv('/etc/passwd')"):
            page = reader.open(f"sql?q={quote(wrong)}", "[role=alert]")
            assert page.inner_text("[role=alert]")
        page = reader.open(f"find?q={quote('layr = 1')}", "[role=alert]")
        assert "layr" in page.inner_text("[role=alert] >> nth=0")
    assert reader.others == []


@pytest.mark.parametrize("form", [pytest.param("site", marks=in_browser), pytest.param("html", marks=in_browser)])
def test_it_answers_without_a_server(form: str, small_atlas: Path, tmp_path: Path, browser: Any) -> None:
    out = tmp_path / ("site" if form == "site" else "small.html")
    result = run("export", form, small_atlas, "-o", out, "--top", 50)
    assert result.exit_code == 0, result.stderr
    assert "MB; the atlas in it" in result.stdout + result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    with hosted(out) if form == "site" else contextlib.nullcontext(out.as_uri()) as base:
        reader = Reader(browser, base)
        require_answers(reader, small_atlas)
        assert "slim" in reader.page.inner_text("footer")
        assert (reader.moved > 0) == (form == "site")
        assert reader.faults == []
        reader.page.close()


@pytest.mark.parametrize("form", [pytest.param("html", marks=in_browser)])
def test_hostile_texts_are_harmless_in_a_file(form: str, small_atlas: Path, tmp_path: Path, browser: Any) -> None:
    path = tmp_path / "hostile.duckdb"
    shutil.copy(small_atlas, path)
    text = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    with duckdb.connect(str(path)) as con:
        con.execute("UPDATE graphs SET prompt = $text", {"text": text})
        con.execute("UPDATE labels SET description = $text WHERE description IS NOT NULL", {"text": text})
        con.execute("UPDATE card SET text = $text", {"text": text})
    assert run("export", form, path, "-o", tmp_path / "a.html").exit_code == 0
    reader = Reader(browser, (tmp_path / "a.html").as_uri())
    for name in ("", "neuron/L1/N2", "graphs", "search?q=label"):
        page = reader.open(name)
        page.wait_for_selector(".loading", state="detached")
        assert page.evaluate("window.hacked") is None
        assert page.query_selector("main img, main script") is None
    assert reader.faults == []
    reader.page.close()


@pytest.mark.parametrize("form", [pytest.param("site", marks=in_browser)])
def test_values_are_bound_as_literals(form: str, small_atlas: Path, tmp_path: Path, browser: Any) -> None:
    assert run("export", form, small_atlas, "-o", tmp_path / "site").exit_code == 0
    with hosted(tmp_path / "site") as base:
        reader = Reader(browser, base)
        page = reader.open("sql")
        call = "async ([name, values]) => (await import('/explorer/driver.js'))[name](...values)"
        assert (
            page.evaluate(call, ["bound", ["SELECT $a, '$a', \"$a\", $b, $c -- $a", {"a": "it's", "b": 3}]])
            == "SELECT 'it''s', '$a', \"$a\", 3, NULL -- $a"
        )
        assert page.evaluate(call, ["setSql", ["L1/N2, L0/N3"]]).endswith("WHERE neuron_id IN ('L1/N2', 'L0/N3')")
        assert page.evaluate(call, ["setSql", ["circuit(1')"]]).endswith("circuit_named('1''')")
        assert "contains(lower(label), lower('a''; DROP'))" in page.evaluate(call, ["setSql", ['label ~ "a\'; DROP"']])
        rows = page.evaluate(
            "async (words) => (await (await import('/explorer/driver.js')).ask('search', { words })).rows.length",
            "'; DROP TABLE edges; --",
        )
        assert rows == 0
        reader.page.close()
