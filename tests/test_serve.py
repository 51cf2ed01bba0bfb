"""The server: every query in every form, refusals kept apart, limits, guards, and the clients of the earlier server."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pyarrow as pa
import pytest

import atlas
from atlas import Atlas
from atlas.query.catalogue import catalogue

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
from serving import get, serving

from atlas.web.answers import MOST_BYTES, fetched
from atlas.web.calls import properties, required

# `thread` of uvicorn and sockets of urllib are closed by the collector of garbage.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def base(small_atlas: Path):
    with serving(small_atlas) as address:
        yield address


@pytest.fixture(scope="module")
def small(small_atlas: Path):
    with atlas.open(small_atlas) as opened:
        yield opened


def example(name: str) -> dict[str, str]:
    """Values of the required parameters of a query, as an address has them."""
    query = catalogue()[name]
    types = {one.name: one for one in query.parameters}
    found = {}
    for key in required(query):
        one = types.get(key)
        if key == "unit" or key.endswith("neuron"):
            found[key] = "L1/N2"
        elif one is not None and one.choices:
            found[key] = one.choices[0]
        else:
            found[key] = "layer = 1" if one is not None and one.type == "NEURONS" else "1"
    return found


def expected(small: Atlas, name: str, limit: int) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The same from the library, by its own parameters."""
    query = catalogue()[name]
    given: dict[str, Any] = {}
    for one in query.parameters:
        if not one.required:
            continue
        ids = {"layer": 1, "neuron": 2, "unit": 2}
        end = one.name.removeprefix("from_").removeprefix("to_")
        given[one.name] = (
            ids[end]
            if end in ids
            else one.choices[0]
            if one.choices
            else {"INTEGER": 1, "NEURONS": "layer = 1"}.get(one.type, "1")
        )
    if "unit_type" in {one.name for one in query.parameters}:
        given["unit_type"] = "neuron"
    relation = small.query(name, **given).limit(limit)
    return relation.columns, relation.fetchall()


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value if value is None or isinstance(value, int | float | str | bool) else str(value)


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_every_query(name: str, base: str, small: Atlas) -> None:
    columns, rows = expected(small, name, 7)
    answer = get(f"{base}/api/{name}?{urlencode(example(name) | {'limit': '7'})}")
    assert answer.status == 200, answer.body
    found = answer.json()
    assert found["columns"] == columns
    assert found["rows"] == [[plain(value) for value in row] for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(catalogue()))
def test_every_query_in_every_form(name: str, base: str, small: Atlas) -> None:
    require_forms(name, base, small)


def test_the_forms_of_some_queries(base: str, small: Atlas) -> None:
    for name in ("neurons", "graphs_of", "motifs", "metadata"):
        require_forms(name, base, small)


def require_forms(name: str, base: str, small: Atlas) -> None:
    """CSV and Arrow have the columns and the number of the rows."""
    columns, rows = expected(small, name, 7)
    address, query = f"{base}/api/{name}", urlencode(example(name) | {"limit": "7"})
    table = pa.ipc.open_stream(get(f"{address}.arrow?{query}").body).read_all()
    assert table.column_names == columns
    assert table.num_rows == len(rows)
    text = list(csv.reader(io.StringIO(get(f"{address}.csv?{query}").body.decode())))
    assert text[0] == columns
    assert len(text) == len(rows) + 1
    assert get(f"{address}?{query}&format=csv").body.decode().startswith(columns[0])


def test_a_set_names_no_file_of_the_server(base: str) -> None:
    assert get(f"{base}/api/find?chosen=%40%2Fetc%2Fpasswd").json()["rows"] == []


def test_rows_are_paged_and_cuts_are_told(base: str, small: Atlas) -> None:
    everything = small.neurons().fetchall()
    pages = []
    for offset in range(0, len(everything), 7):
        found = get(f"{base}/api/neurons?limit=7&offset={offset}").json()
        assert found["truncated"] == (offset + 7 < len(everything))
        pages += found["rows"]
    assert [row[0] for row in pages] == [row[0] for row in everything]
    assert get(f"{base}/api/neurons.csv").body.count(b"\n") == len(everything) + 1
    assert get(f"{base}/api/neurons.csv?limit=3&offset=2").body.decode().splitlines()[1].startswith(everything[2][0])


def test_the_description_names_everything(base: str) -> None:
    found = get(f"{base}/openapi.json").json()
    assert found["openapi"].startswith("3.1")
    for name, query in catalogue().items():
        operation = found["paths"][f"/api/{name}"]["get"]
        stated = {one["name"]: one for one in operation["parameters"]}
        assert set(properties(query)) | {"atlas", "format", "limit", "offset"} == set(stated)
        assert {key for key, one in stated.items() if one["required"]} == set(required(query))
        assert all(one["description"] for one in operation["parameters"])
        assert operation["summary"] == query.doc
    assert {"/sql", "/health", "/activations/{unit}", "/context/vocab"} <= set(found["paths"])
    listed = get(f"{base}/api").json()
    assert [one["name"] for one in listed["queries"]] == list(catalogue())
    assert all(one["sql"] for one in listed["queries"])


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/upstreem", 404, "no query is called 'upstreem'"),
        ("/api/upstream", 400, "needs neuron (id, such as L24/N5326)"),
        ("/api/upstream?neuron=L1/X2", 400, "is no neuron id"),
        ("/api/upstream?neuron=L1/N2&min_graphs=many", 400, "min_graphs is of type integer"),
        ("/api/upstream?neuron=L1/N2&neuron=L1/N3", 400, "neuron is given twice"),
        ("/api/upstream?neuron=L1/N2&depth=2", 400, "has no parameter depth"),
        ("/api/upstream?neuron=L1/N2&limit=-1", 400, "limit is a whole number"),
        ("/api/upstream?neuron=L1/N2&limit=100001", 400, "limit is 0 to 100,000"),
        ("/api/upstream?neuron=L1/N2&format=xml", 400, "format is one of json, csv, arrow"),
        ("/api/upstream?neuron=L1/N2&atlas=other", 404, "no atlas is called 'other'"),
        ("/api/find?chosen=layr+%3D+1", 400, "layr"),
        ("/api/graph_nodes?graph_id=99999", 400, "has no graph 99999"),
        ("/activations/zzz", 404, "is no unit"),
        ("/activations/999999?layer=1", 404, "there is no feature 999999"),
        ("/activations/1?layer=77", 400, "say which layer"),
        ("/activations/1?layer=1&sample_frac=2", 400, "sample_frac is a share"),
        ("/explorer/../server.py", 404, ""),
        ("/explorer/%2e%2e/server.py", 404, ""),
        ("/nothing", 404, ""),
        ("/sql", 400, "give one SELECT"),
        ("/sql?sql=SELEC+1", 400, ""),
    ],
)
def test_refusals_are_told_apart(path: str, status: int, words: str, base: str) -> None:
    answer = get(base + path)
    assert (answer.status, words in answer.json()["detail"]) == (status, True), answer.body
    assert "root:" not in answer.body.decode()


@pytest.mark.parametrize(
    "text",
    [
        "DROP TABLE edges",
        "COPY edges TO 'x.csv'",
        "ATTACH 'x.duckdb'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "PRAGMA database_list; DROP TABLE edges",
        "SELECT 1; SELECT 2",
        "FROM read_csv('/etc/passwd')",
        "FROM '/etc/passwd'",
        "FROM read_text('/etc/hosts')",
        "SELECT getenv('HOME')",
        "CREATE TABLE x AS SELECT 1",
    ],
)
def test_sql_reads_the_atlas_and_nothing_else(text: str, base: str, small_atlas: Path) -> None:
    before = small_atlas.stat().st_mtime_ns
    for answer in (get(f"{base}/sql?sql={quote(text)}"), get(f"{base}/sql", body=text.encode())):
        assert answer.status == 400, answer.body
    assert small_atlas.stat().st_mtime_ns == before


def test_sql_answers_in_three_forms_and_says_what_is_cut(base: str) -> None:
    body = json.dumps({"sql": "SELECT i, i / 0.0 AS x FROM range(5) AS r(i)", "limit": 3}).encode()
    found = get(f"{base}/sql", body=body, Content_Type="application/json").json()
    assert (found["columns"], found["truncated"]) == (["i", "x"], True)
    assert found["rows"] == [[0, None], [1, None], [2, None]]
    answer = get(f"{base}/sql?sql={quote('FROM range(5)')}&format=csv&limit=4")
    assert (answer.headers["x-truncated"], answer.body) == ("true", b"range\n0\n1\n2\n3\n")
    answer = get(f"{base}/sql?sql={quote('FROM range(5)')}&format=arrow")
    assert answer.headers["x-truncated"] == "false"
    assert pa.ipc.open_stream(answer.body).read_all().num_rows == 5


def test_an_answer_in_memory_is_bounded(small: Atlas) -> None:
    wide = fetched(small.sql("SELECT repeat('x', 100000) AS x FROM range(3000)"), 100_000)
    assert wide.is_truncated
    assert 0.9 * MOST_BYTES < sum(batch.nbytes for batch in wide.batches) <= 1.01 * MOST_BYTES


def test_a_runaway_is_stopped_and_others_go_on(small_atlas: Path) -> None:
    with serving(small_atlas, timeout=1.0) as base:
        answers = []
        slow = threading.Thread(
            target=lambda: answers.append(get(f"{base}/sql?sql={quote('SELECT count(*) FROM range(1000000000000)')}"))
        )
        slow.start()
        while slow.is_alive():
            assert get(f"{base}/api/hubs?limit=2").status == 200
        slow.join()
        assert (answers[0].status, "took longer than 1 s" in answers[0].json()["detail"]) == (400, True)
    with serving(small_atlas, memory="60MB") as base:
        answer = get(f"{base}/sql?sql={quote('SELECT list(i) FROM range(100000000) AS r(i)')}")
        assert (answer.status, "memory" in answer.json()["detail"].lower()) == (400, True)


def test_known_answers_are_not_sent_again_and_a_replaced_file_is_seen(small_atlas: Path, tmp_path: Path) -> None:
    path = tmp_path / "small.duckdb"
    shutil.copy(small_atlas, path)
    with serving(path) as base:
        first = get(f"{base}/api/hubs")
        again = get(f"{base}/api/hubs", If_None_Match=first.headers["etag"])
        assert (again.status, again.body) == (304, b"")
        assert get(f"{base}/api/hubs?limit=1", If_None_Match=first.headers["etag"]).status == 200
        fresh = tmp_path / "fresh.duckdb"
        shutil.copy(small_atlas, fresh)
        fresh.replace(path)
        after = get(f"{base}/api/hubs", If_None_Match=first.headers["etag"])
        assert (after.status, after.body) == (200, first.body)
        assert after.headers["etag"] != first.headers["etag"]
        fresh.write_bytes(b"no atlas")
        fresh.replace(path)
        broken = get(f"{base}/api/hubs")
        assert (broken.status, str(path) in broken.json()["detail"]) == (503, True)
        assert get(f"{base}/health").status == 503


def test_long_answers_are_packed(base: str) -> None:
    packed = get(f"{base}/api/neurons", Accept_Encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) * 2 < len(get(f"{base}/api/neurons").body)


def test_pages_load_nothing_from_elsewhere(base: str) -> None:
    page = get(f"{base}/")
    rules = page.headers["content-security-policy"]
    assert "default-src 'none'" in rules
    assert "unsafe" not in rules
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in page.headers
    part = get(f"{base}/explorer/app.js")
    assert part.headers["cache-control"] == "no-cache"
    assert get(f"{base}/explorer/app.js", If_None_Match=part.headers["etag"]).status == 304
    assert b"http" not in page.body.replace(b"http-equiv", b"")


def test_other_names_of_this_machine_are_refused(base: str) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "evil.example:80", ""):
        assert get(f"{base}/api/hubs", Host=host).status == 400
    assert get(f"{base}/api/hubs", Host="localhost:1234").status == 200


def test_pages_of_other_sites_may_not_ask(base: str, small_atlas: Path) -> None:
    for site in ("cross-site", "same-site"):
        answer = get(f"{base}/api/hubs", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors")
        assert (answer.status, "--cors" in answer.json()["detail"]) == (403, True)
        assert get(f"{base}/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate").status == 200
    assert get(f"{base}/api/hubs", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors").status == 200
    with serving(small_atlas, origins=("https://lab.example",)) as allowed:
        asked = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "cors"}
        assert get(f"{allowed}/api/hubs", Origin="https://lab.example", **asked).status == 200
        assert get(f"{allowed}/api/hubs", Origin="https://evil.example", **asked).status == 403


def test_beyond_this_machine_a_token_is_needed(small_atlas: Path) -> None:
    with serving(small_atlas, host="0.0.0.0", token="secret-token", origins=("https://lab.example",)) as base:
        assert [
            get(base + path).status for path in ("/", "/api/hubs", "/health", "/explorer/app.js", "/openapi.json")
        ] == [401] * 5
        assert get(f"{base}/api/hubs", Authorization="Bearer wrong").status == 401
        allowed = get(f"{base}/api/hubs", Authorization="Bearer secret-token", Origin="https://lab.example")
        assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (200, "https://lab.example")
        other = get(f"{base}/api/hubs", Authorization="Bearer secret-token", Origin="https://evil.example")
        assert "access-control-allow-origin" not in other.headers
        # In the address once: a cookie instead, and an address without it.
        import http.client

        connection = http.client.HTTPConnection(base.removeprefix("http://"))
        connection.request("GET", "/?token=secret-token&atlas=small")
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("location")) == (303, "/?atlas=small")
        cookie = answer.getheader("set-cookie")
        assert "httponly" in cookie.lower()
        assert "samesite=lax" in cookie.lower()
        connection.close()
        assert get(f"{base}/api/hubs", Cookie=cookie.split(";")[0]).status == 200


@pytest.mark.slow
def test_many_readers_at_once(base: str, small: Atlas) -> None:
    wanted = get(f"{base}/api/upstream?neuron=L1/N2").body
    with ThreadPoolExecutor(100) as pool:
        found = list(pool.map(lambda _: get(f"{base}/api/upstream?neuron=L1/N2"), range(300)))
    assert {(one.status, one.body) for one in found} == {(200, wanted)}


def test_two_atlases(small_atlas: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.duckdb"
    shutil.copy(small_atlas, other)
    with serving(small_atlas, other) as base:
        assert [one["name"] for one in get(f"{base}/api").json()["atlases"]] == ["small", "other"]
        assert get(f"{base}/api/hubs?atlas=other").json() == get(f"{base}/api/hubs").json()
        assert get(f"{base}/sql?atlas=other&sql={quote('SELECT current_database() AS name')}").json()["rows"] == [
            ["other"]
        ]


def test_a_graph_for_the_viewer_of_neuronpedia(base: str) -> None:
    found = get(f"{base}/graphs/1/neuronpedia.json").json()
    assert {"metadata", "qParams", "nodes", "links"} == set(found)
    assert get(f"{base}/graphs/99999/neuronpedia.json").status == 404


def test_the_command_says_where_it_is_and_stops(small_atlas: Path) -> None:
    command = [sys.executable, "-m", "atlas", "serve", str(small_atlas), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        assert line.startswith("small: http://127.0.0.1:")
        address = line.split()[1]
        assert get(f"{address}health").json()["status"] == "healthy"
        taken = subprocess.run(
            [*command[:-1], address.rsplit(":", 1)[1].strip("/")], capture_output=True, text=True, check=False
        )
        assert (taken.returncode, len(taken.stderr.splitlines())) == (1, 1)
        assert "choose another with --port" in taken.stderr
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert "Traceback" not in rest
    assert process.returncode in (0, 130)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT CASE WHEN i = 50000 THEN error('boom') ELSE i::VARCHAR END AS x FROM range(1000000) AS r(i)",
        "SELECT '\ud800'",
    ],
)
def test_what_fails_while_rows_are_read_is_told(text: str, base: str) -> None:
    answer = get(
        f"{base}/sql", body=json.dumps({"sql": text, "limit": 100_000}).encode(), Content_Type="application/json"
    )
    assert (answer.status, "Traceback" in answer.body.decode()) == (400, False)


def test_values_that_json_and_python_do_not_have(base: str) -> None:
    sql = "SELECT MAP {'a': 'nan'::DOUBLE} AS m, 'infinity'::DATE AS d, '200000-01-01'::DATE AS e, sum(i) AS s FROM range(3) AS r(i)"
    found = json.loads(get(f"{base}/sql?sql={quote(sql)}").body, parse_constant=lambda name: pytest.fail(name))
    assert found["rows"][0][0] == [["a", None]]
    assert found["rows"][0][3] == 3
    assert get(f"{base}/sql?format=csv&sql={quote(sql)}").status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"sql": 3}',
        b"[]",
        b'{"sql": "FROM hubs", "limit": true}',
        b'{"sql": "FROM hubs", "format": ["csv"]}',
    ],
)
def test_odd_bodies_are_refused(body: bytes, base: str) -> None:
    assert get(f"{base}/sql", body=body, Content_Type="application/json").status == 400


def test_wide_rows_are_cut_by_their_size(small: Atlas) -> None:
    whole = fetched(small.sql("SELECT repeat('x', 20000) AS x FROM range(1000)"), 1_000)
    assert not whole.is_truncated
    wide = fetched(small.sql("SELECT repeat('x', 200000) AS x FROM range(1000)"), 1_000)
    assert wide.is_truncated
    assert (
        sum(batch.num_rows for batch in wide.batches) == MOST_BYTES // 200_000
        or len(wide.as_json()) <= 1.1 * MOST_BYTES
    )


def test_a_slow_reader_uses_up_its_own_time(small_atlas: Path) -> None:
    with atlas.open(small_atlas) as opened, opened.limited(0.3) as part:
        reader = part.sql("SELECT i FROM range(300000) AS r(i)").to_arrow_reader(1_000)
        part.timer.pause()
        assert part.timer._timer is None
        part.timer.start()
        assert sum(batch.num_rows for batch in reader) == 300_000


def test_cookies_of_others_and_links_from_elsewhere(small_atlas: Path) -> None:
    with serving(small_atlas, token="p#s+1") as base:
        import http.client

        connection = http.client.HTTPConnection(base.removeprefix("http://"))
        connection.request("GET", "//evil.example/x?token=p%23s%2B1")
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("location")) == (303, "/evil.example/x")
        cookie = answer.getheader("set-cookie")
        # A page of another site may link here.
        assert "samesite=lax" in cookie.lower()
        connection.close()
        ours = cookie.split(";")[0]
        for other in ("a/b=1", 'x={"a": 1}', "foo bar", "user@x=1"):
            assert get(f"{base}/api/hubs", Cookie=other).status == 401
            assert get(f"{base}/api/hubs", Cookie=f"{other}; {ours}").status == 200


def test_an_allowed_site_may_ask_first(small_atlas: Path) -> None:
    with serving(small_atlas, token="secret", origins=("https://lab.example/",)) as base:
        request = urllib.request.Request(f"{base}/sql", method="OPTIONS", headers={"Origin": "https://lab.example"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 204
            assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
            assert "X-Truncated" in answer.headers["Access-Control-Expose-Headers"]


def test_units_of_the_kind_that_is_named(base: str, small: Atlas) -> None:
    for unit_type, letter in (("feature", "F"), ("neuron", "N")):
        layer, unit, count = small.sql(
            "SELECT layer, unit, count(*)::INTEGER FROM activations WHERE unit_type = $kind GROUP BY ALL ORDER BY count(*) DESC, ALL LIMIT 1".replace(
                ", ALL", ", layer, unit"
            ),
            {"kind": unit_type},
        ).fetchall()[0]
        found = get(f"{base}/activations/L{layer}-{letter}{unit}").json()
        assert (found["n_rows"], found["truncated"]) == (count, False)
        few = get(f"{base}/activations/L{layer}-{letter}{unit}?limit=1").json()
        assert (few["n_rows"], few["truncated"]) == (1, False)
        assert get(f"{base}/activations/L{layer}-{letter}{unit}?limit=0").json()["n_rows"] == 0
    assert get(f"{base}/activations/L77-F1").status == 404
    assert get(f"{base}/activations/{'9' * 5000}?layer=1").status == 404
