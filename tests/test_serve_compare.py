"""Comparisons over HTTP: those of the library, of files and of selections; refusals, time, and their files."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode

import duckdb
import pyarrow as pa
import pytest
from serving import get, serving
from starlette.exceptions import HTTPException

from atlas.errors import AtlasFileError, UsageError
from atlas.query.compare import compare
from atlas.web.comparison_job import Sides
from atlas.web.comparisons import TABLES, Comparisons

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
EVEN = "graph_id % 2 = 0"
# It looks for a number that nothing has.
ENDLESS = "(SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE a.range + b.range = -graph_id - 1) > 0"


@pytest.fixture(scope="module")
def files(small_atlas: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("compared")
    shutil.copy(small_atlas, folder / "twin.duckdb")
    compare(small_atlas, small_atlas, folder / "even.duckdb", where_a=EVEN)
    return {"small": small_atlas, "twin": folder / "twin.duckdb", "even": folder / "even.duckdb"}


@pytest.fixture(scope="module")
def base(files: dict[str, Path]):
    with serving(*files.values(), timeout=600) as address:
        yield address


def plain(rows: list[Any]) -> list[Any]:
    """Rows in one order. Sums over edges are made in the order of threads, so the last digits differ from run to run."""
    by_name = sorted(rows, key=lambda row: [one for one in row if isinstance(one, str | int)])
    return [
        tuple(pytest.approx(one, rel=1e-6, abs=1e-12) if isinstance(one, float) else one for one in row)
        for row in by_name
    ]


def test_a_selection_is_compared_as_the_library_does(base: str, files: dict[str, Path]) -> None:
    with duckdb.connect(str(files["even"]), read_only=True) as con:
        expected = con.execute(
            "SELECT 'L' || layer || '/N' || neuron, graphs_a, graphs_b, q_value FROM neurons ORDER BY layer, neuron"
        ).fetchall()
        edges = con.execute("SELECT count(*) FROM edges").fetchall()[0][0]
    address = f"{base}/compare/neurons?{urlencode({'where_a': EVEN, 'limit': 1000})}"
    found = get(address).json()
    assert not found["truncated"]
    rows = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    assert [row["p_value"] for row in rows] == sorted(row["p_value"] for row in rows)
    taken = [(row["neuron_id"], row["graphs_a"], row["graphs_b"], row["q_value"]) for row in rows]
    assert plain(taken) == plain(expected)
    # A file of the same comparison has the same rows, in every form and table.
    for table in TABLES:
        address = f"{base}/compare/{table}"
        made, read = (
            get(f"{address}?{part}&limit=10000").json() for part in (f"where_a={quote(EVEN)}", "comparison=even")
        )
        assert made["columns"] == read["columns"]
        assert plain(made["rows"]) == plain(read["rows"])
        csv = get(f"{address}.csv?comparison=even").body.decode()
        assert csv.splitlines()[0] == ",".join(read["columns"])
        arrow = pa.ipc.open_stream(get(f"{address}.arrow?comparison=even").body).read_all()
        assert [tuple(row.values()) for row in arrow.to_pylist()] == [tuple(row) for row in read["rows"]]
    assert len(get(f"{base}/compare/edges.csv?where_a={quote(EVEN)}").body.splitlines()) == edges + 1


@pytest.mark.slow
def test_two_atlases_of_one_content_do_not_differ(base: str) -> None:
    found = dict(get(f"{base}/compare/facts?other=twin").json()["rows"])
    assert found["graphs_a"] == found["graphs_b"]
    assert found["different_neurons"] == found["different_edges"] == "0"
    assert get(f"{base}/compare/facts?atlas=twin&other=small").status == 200


@pytest.mark.slow
def test_what_cannot_be_compared_is_said(base: str, files: dict[str, Path], tmp_path: Path) -> None:
    for address, status, text in (
        ("neurons", 400, "does not differ from itself"),
        ("neurons?where-a=true", 400, "it has atlas, other, where_a, where_b"),
        ("neurons?comparison=even&where_a=true", 400, "it has comparison"),
        (f"neurons?where_a={quote('1) IS TRUE, (2')}", 400, "no SQL condition"),
        (f"neurons?where_a={quote('true) IS TRUE FROM graphs UNION ALL SELECT NULL, (true')}", 400, "no SQL condition"),
        ("neurons?where_a=nonsense", 400, "no SQL condition"),
        ("neurons?where_a=false", 400, "no graph of"),
        ("neurons?where_a=%00", 400, "no SQL condition"),
        (f"neurons?where_a={quote('exists (FROM read_csv($$/etc/passwd$$))')}", 400, "no SQL condition"),
        ("neurons?other=none", 404, "no atlas is called 'none'"),
        ("neurons?other=even", 404, "no atlas is called 'even'"),
        ("neurons?comparison=small", 404, "there are even"),
        ("hubs?other=twin", 404, "facts, neurons, edges, enrichment"),
        (f"neurons?where_a={quote(EVEN)}&limit=x", 400, "whole number"),
    ):
        answer = get(f"{base}/compare/{address}")
        assert (answer.status, text in answer.json()["detail"]) == (status, True), (address, answer.body)
    assert get(f"{base}/api").json()["comparisons"] == [{"name": "even", "atlas": "small"}]
    assert get(f"{base}/api/hubs?atlas=even").status == 404
    with pytest.raises(UsageError, match="served beside its atlases"), serving(files["even"]):
        pass
    with duckdb.connect(str(tmp_path / "other.duckdb")) as con:
        con.execute(f"ATTACH '{files['even']}' AS even (READ_ONLY); COPY FROM DATABASE even TO other")
        con.execute("UPDATE metadata SET value = 'another' WHERE starts_with(key, 'atlas_id')")
    with pytest.raises(UsageError, match="of which none is served"), serving(files["small"], tmp_path / "other.duckdb"):
        pass


@pytest.mark.slow
def test_a_comparison_ends_with_its_time_and_leaves_nothing(small_atlas: Path) -> None:
    with contextlib.closing(Comparisons(0.5, "1GB")) as made:
        with pytest.raises(UsageError, match="longer than 3 s"):
            made.of(Sides(small_atlas, small_atlas, ENDLESS))
        folder = made._folder
        assert folder is not None
        assert list(folder.iterdir()) == []
    assert not folder.exists()
    with contextlib.closing(Comparisons(60, "1GB")) as made, pytest.raises(UsageError, match="no SQL condition"):
        made.of(Sides(small_atlas, small_atlas, "x x"))


@pytest.mark.slow
def test_few_comparisons_are_kept_and_a_replaced_atlas_is_compared_anew(small_atlas: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    shutil.copy(small_atlas, path)
    with contextlib.closing(Comparisons(120, "1GB")) as made:
        first = made.of(Sides(path, path, "graph_id <= 1"))
        assert made.of(Sides(path, path, "graph_id <= 1")) is first
        kept = first.path.parent.parent
        shutil.copy(small_atlas, tmp_path / "b.duckdb")
        (tmp_path / "b.duckdb").rename(path)
        again = made.of(Sides(path, path, "graph_id <= 1"))
        assert again is not first
        for number in range(2, 10):
            made.of(Sides(path, path, f"graph_id <= {number}"))
        assert len(list(kept.iterdir())) == 8
        # One that is being read stays readable.
        assert first.sql("SELECT count(*) FROM neurons").fetchall()[0][0] > 0
    first.close()
    again.close()


@pytest.mark.slow
def test_what_is_known_does_not_wait_and_few_may(small_atlas: Path) -> None:
    with contextlib.closing(Comparisons(600, "1GB")) as made:
        known = made.of(Sides(small_atlas, small_atlas, EVEN))
        with ThreadPoolExecutor(3) as pool:
            waiting = [
                pool.submit(made.of, Sides(small_atlas, small_atlas, f"{ENDLESS} AND {i} = {i}")) for i in range(3)
            ]
            while made._process is None or made._waiting._value:
                assert not any(one.done() for one in waiting)
            assert made.of(Sides(small_atlas, small_atlas, EVEN)) is known
            with pytest.raises(HTTPException, match="other comparisons"):
                made.of(Sides(small_atlas, small_atlas, "graph_id = 1"))
            made.stop()
            for one in waiting:
                with pytest.raises(HTTPException, match="the server ends"):
                    one.result()


@pytest.mark.slow
def test_a_room_that_was_removed_is_made_again_and_a_lost_atlas_is_said(small_atlas: Path, tmp_path: Path) -> None:
    with contextlib.closing(Comparisons(120, "1GB")) as made:
        made.of(Sides(small_atlas, small_atlas, EVEN))
        assert made._folder is not None
        shutil.rmtree(made._folder)
        made.of(Sides(small_atlas, small_atlas, "graph_id = 1"))
        with pytest.raises(AtlasFileError, match="cannot be read"):
            made.of(Sides(small_atlas, tmp_path / "none.duckdb"))
        (tmp_path / "text.duckdb").write_text("text")
        with pytest.raises(AtlasFileError, match="DuckDB file"):
            made.of(Sides(small_atlas, tmp_path / "text.duckdb"))


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_server_and_its_comparison_at_once(sent: int, small_atlas: Path, tmp_path: Path) -> None:
    """From a folder with a module of the name of a library, which must not be imported."""
    (tmp_path / "duckdb.py").write_text("raise SystemExit('evil')")
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-P", "-m", "atlas", "serve", str(small_atlas), "--port", "0", "--timeout", "600"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        address = re.findall(r"http://\S+", server.stderr.readline())[0]
        assert get(f"{address}compare/facts?where_a={quote(EVEN)}").status == 200
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(get, f"{address}compare/facts?where_a={quote(ENDLESS)}")
            while len(list((tmp_path / "tmp").glob("atlas-comparisons-*/*"))) < 2:
                assert not asked.done()
            server.send_signal(sent)
            with contextlib.suppress(OSError, HTTPError):
                assert asked.result().status == 503
        said = server.communicate(timeout=300)[1]
    assert "Traceback" not in said
    assert list((tmp_path / "tmp").glob("atlas-comparisons-*")) == []


def test_a_comparison_on_the_command_line_stops_at_ctrl_c(small_atlas: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "atlas", "compare", str(small_atlas), "--where-a", ENDLESS]
    with subprocess.Popen([*command, "-o", str(tmp_path / "x.duckdb")], stderr=subprocess.PIPE, text=True) as running:
        # One signal may come before the command listens to any.
        while running.poll() is None:
            running.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(1)
        assert running.stderr is not None
        said = running.stderr.read()
    assert running.returncode in (130, -signal.SIGINT)
    assert "Error" not in said or "KeyboardInterrupt" in said


def test_openapi_names_the_addresses(base: str) -> None:
    paths = get(f"{base}/openapi.json").json()["paths"]
    assert {"/compare/{table}", "/sql", "/graphs/{graph}/neuronpedia.json"} <= paths.keys()
    assert paths["/sql"].keys() == {"get", "post"}
    assert {"401", "403"} <= paths["/api/hubs"]["get"]["responses"].keys()
