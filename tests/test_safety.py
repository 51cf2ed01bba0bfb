"""SQL of other people changes nothing and reaches no file; their text does not steer the terminal."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

import atlas
from atlas.database import open_atlas
from atlas.errors import AtlasError, QueryError

# One statement at least of every type that DuckDB's parser makes.
STATEMENTS = {
    "SELECT": [
        "SELECT 1",
        "FROM neurons LIMIT 1",
        "DESCRIBE neurons",
        "SUMMARIZE clusters",
        "SHOW TABLES",
        "VALUES (1)",
    ],
    "EXPLAIN": [
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "/* a */ EXPLAIN -- b\n (FORMAT json) SELECT 1",
        "EXPLAIN (ANALYZE, FORMAT json) FROM neurons",
        "EXPLAIN COPY (SELECT 1) TO '{file}' (USE_TMP_FILE false)",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}' (USE_TMP_FILE false)",
        "EXPLAIN /* SELECT 1 */ ANALYZE COPY (SELECT 1) TO '{file}' (USE_TMP_FILE false)",
        "EXPLAIN (FORMAT json) COPY (SELECT 1) TO '{file}'",
        "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1",
        "EXPLAIN ANALYZE DELETE FROM edges",
    ],
    "INSERT": ["INSERT INTO metadata VALUES ('a', 'b')"],
    "UPDATE": ["UPDATE metadata SET value = 'x'"],
    "CREATE": ["CREATE TABLE t (i INTEGER)", "CREATE TEMP TABLE t (i INTEGER)", "CREATE MACRO m(a) AS a + 1"],
    "CREATE_FUNC": [],
    "DELETE": ["DELETE FROM edges", "TRUNCATE edges"],
    "PREPARE": ["PREPARE p AS SELECT 1"],
    "EXECUTE": ["EXECUTE p"],
    "ALTER": ["ALTER TABLE edges ADD COLUMN x INTEGER", "COMMENT ON TABLE edges IS 'x'"],
    "TRANSACTION": ["BEGIN", "COMMIT", "ROLLBACK"],
    "COPY": [
        "COPY (SELECT 'x') TO '{file}' (USE_TMP_FILE false)",
        "COPY (SELECT 'x') TO '{file}.wal'",
        "COPY (SELECT 'x') TO '{file}.tmp/a.csv'",
        "COPY metadata FROM '{file}'",
    ],
    "ANALYZE": ["ANALYZE"],
    "VARIABLE_SET": ["SET VARIABLE a = 1"],
    "DROP": ["DROP TABLE edges", "DEALLOCATE p"],
    "EXPORT": ["EXPORT DATABASE '{file}.tmp'"],
    "PRAGMA": ["PRAGMA database_list", "PRAGMA memory_limit = '1TB'", "IMPORT DATABASE '{file}.tmp'"],
    "VACUUM": ["VACUUM"],
    "CALL": [
        "CALL enable_logging(storage = 'file', storage_path = '{file}.log')",
        "CALL enable_profiling()",
        "CHECKPOINT",
        "FORCE CHECKPOINT",
    ],
    "SET": ["SET memory_limit = '1TB'", "RESET disabled_filesystems", "SET lock_configuration = false", "USE memory"],
    "LOAD": ["LOAD json", "INSTALL httpfs", "UPDATE EXTENSIONS"],
    "ATTACH": ["ATTACH '{file}' AS other", "ATTACH ':memory:' AS other"],
    "DETACH": ["DETACH small"],
    "MULTI": ["PIVOT metadata ON key USING count(*)"],
    "COPY_DATABASE": ["COPY FROM DATABASE small TO memory"],
    "MERGE_INTO": ["MERGE INTO metadata USING (SELECT 1 AS a) ON key = 'x' WHEN MATCHED THEN DELETE"],
    # No text makes these.
    "INVALID": [],
    "RELATION": [],
    "EXTENSION": [],
    "LOGICAL_PLAN": [],
}
READING = {"SELECT", "EXPLAIN"}


@pytest.fixture
def received(small_atlas: Path, tmp_path: Path) -> Path:
    """An atlas in a folder of its own, as somebody received it."""
    (tmp_path / "received").mkdir()
    return Path(shutil.copy(small_atlas, tmp_path / "received" / "small.duckdb"))


def state(file: Path) -> tuple[str, list[str]]:
    return hashlib.sha256(file.read_bytes()).hexdigest(), sorted(path.name for path in file.parent.iterdir())


def test_the_statements_cover_every_type_of_duckdb() -> None:
    assert set(STATEMENTS) == set(duckdb.StatementType.__members__)


@pytest.mark.parametrize("kind", sorted(STATEMENTS))
def test_only_statements_that_read_pass(kind: str, received: Path) -> None:
    before = state(received)
    with atlas.open(received) as opened:
        for text in STATEMENTS[kind]:
            sql = text.format(file=received)
            if kind in READING and not any(word in sql for word in ("COPY", "CREATE", "DELETE")):
                assert opened.sql(sql).fetchall(), sql
                continue
            with pytest.raises(QueryError, match="read-only and takes no|^Parser Error"):
                opened.sql(sql)
    assert state(received) == before


@pytest.mark.slow
def test_a_connection_by_itself_harms_no_file_either(received: Path) -> None:
    before = state(received)
    for texts in STATEMENTS.values():
        for text in texts:
            # A fatal error would make the next one fail to open, or end this process.
            with open_atlas(received) as con, contextlib.suppress(duckdb.Error):
                con.execute(text.format(file=received)).fetchall()
    assert state(received) == before


@pytest.mark.parametrize(
    "text",
    [
        "FROM enable_logging(storage = 'file', storage_path = '{file}.log')",
        "FROM read_text('{file}')",
        "FROM read_blob('/etc/hostname')",
        "FROM glob('*')",
        "FROM '{file}'",
        "FROM query('COPY metadata TO ''{file}''')",
        "FROM query('SELECT 1; DROP TABLE edges')",
        "WITH gone AS (DELETE FROM edges RETURNING *) FROM gone",
        "SELECT 1; DROP TABLE edges",
        "",
        "-- nothing",
    ],
)
def test_functions_inside_a_select_reach_no_file(text: str, received: Path) -> None:
    before = state(received)
    with atlas.open(received) as opened, pytest.raises(QueryError):
        try:
            opened.sql(text.format(file=received)).fetchall()
        except duckdb.Error as error:
            raise QueryError(str(error)) from error
    assert state(received) == before


def test_the_command_refuses_to_write(
    received: Path, atlas_command: Callable[..., subprocess.CompletedProcess]
) -> None:
    before = state(received)
    run = atlas_command("sql", received, f"COPY (SELECT 'x') TO '{received}' (USE_TMP_FILE false)")
    assert (run.returncode, run.stdout) == (1, "")
    assert "an atlas is read-only and takes no COPY statement" in run.stderr
    assert state(received) == before


def test_a_result_never_overwrites_an_atlas_and_a_failed_one_leaves_the_old_file(
    received: Path, tmp_path: Path, atlas_command: Callable[..., subprocess.CompletedProcess]
) -> None:
    before = state(received)
    run = atlas_command("sql", received, "SELECT 1", "-o", received, "--format", "csv")
    assert run.returncode == 1
    assert "is a DuckDB database; a result never overwrites one" in run.stderr
    assert state(received) == before
    old = tmp_path / "old.csv"
    for ending in ("csv", "json", "parquet", "txt"):
        old = tmp_path / f"old.{ending}"
        old.write_text("precious")
        # Fails in the second row, after the header was written.
        failing = "SELECT CASE WHEN range = 20000 THEN error('late') ELSE range END AS a FROM range(30000)"
        run = atlas_command("sql", received, failing, "-o", old)
        assert run.returncode == 1, ending
        assert "late" in run.stderr
        assert old.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["received", "old.csv", "old.json", "old.parquet", "old.txt"]
    )


def test_results_go_to_pipes_and_devices(received: Path) -> None:
    arguments = ["sql", str(received), "SELECT 1 AS a", "-o", "/dev/stdout", "--format", "csv"]
    command = [sys.executable, "-c", "from atlas.cli.main import main; main()", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "a\n1\n"), run.stderr


def test_a_newer_and_a_foreign_file_are_named(received: Path, tmp_path: Path) -> None:
    (tmp_path / "some.sqlite").write_bytes(b"SQLite format 3\0" + bytes(4096))
    with pytest.raises(AtlasError, match="not a DuckDB file"):
        atlas.open(tmp_path / "some.sqlite")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AtlasError, match="is a pipe or device"):
        atlas.open(tmp_path / "pipe")


def test_a_replaced_file_is_opened_anew(received: Path, small_atlas: Path) -> None:
    with atlas.open(received) as old:
        assert old.sql("SELECT count(*) > 0 FROM neurons").fetchall() == [(True,)]
        other = received.with_name("other.duckdb")
        shutil.copy(small_atlas, other)
        with duckdb.connect(str(other)) as con:
            con.execute("UPDATE metadata SET value = 'replaced' WHERE key = 'model'")
        other.replace(received)
        with atlas.open(received) as new:
            assert dict(new.metadata().fetchall())["model"] == "replaced"


def test_an_atlas_and_a_plain_connection_live_side_by_side(received: Path) -> None:
    with atlas.open(received) as opened, duckdb.connect(str(received), read_only=True) as con:
        counts = {source.sql("SELECT count(*) FROM edges").fetchall()[0][0] for source in (opened, con)}
    with duckdb.connect(str(received), read_only=True) as con, atlas.open(received) as opened:
        counts |= {source.sql("SELECT count(*) FROM edges").fetchall()[0][0] for source in (opened, con)}
    assert len(counts) == 1


def test_threads_share_an_atlas_and_processes_open_their_own(received: Path) -> None:
    with atlas.open(received) as opened:
        expected = opened.upstream((1, 2)).fetchall()
        unread = [opened.sql("FROM edges") for _ in range(3)]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: opened.upstream((1, 2)).fetchall(), range(64)))
        assert found == [expected] * 64
        assert all(relation.fetchone() for relation in unread) if hasattr(unread[0], "fetchone") else unread
        with pickle.loads(pickle.dumps(opened)) as again:
            assert again.upstream((1, 2)).fetchall() == expected
            assert again.path == opened.path


@pytest.mark.parametrize("name", ["main", "memory", "temp", "a b", 'quo"te', "Select", "1.2"])
def test_the_name_of_a_file_is_only_a_name(received: Path, name: str) -> None:
    file = received.with_name(f"{name}.duckdb")
    received.rename(file)
    with atlas.open(file) as opened:
        assert opened.circuits().fetchall()
        assert opened.upstream((1, 2)).fetchall()


def test_a_macro_answers_for_its_own_atlas_or_not_at_all(received: Path, tmp_path: Path) -> None:
    import conftest
    from factories import random_graph

    conftest.stats_of(tmp_path, [random_graph(seed, neurons=20, links=120) for seed in range(3)])
    other = atlas.database.build_database(tmp_path / "other.duckdb", atlas.database.Inputs(tmp_path / "stats")).path
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{received}' AS one (READ_ONLY); ATTACH '{other}' AS two (READ_ONLY); USE one")
        for name, arguments in {
            "upstream": "1, 2",
            "downstream": "1, 2",
            "circuit": "'1'",
            "circuit_edges": "'1'",
            "search": "'label'",
            "tokens_in": "1, 2",
            "graphs_of": "1, 2",
            # Nothing there to answer with, and still no answer of another atlas.
            "projection": "90, 2",
        }.items():
            con.execute(f"FROM one.{name}({arguments})").fetchall()
            con.execute(f"FROM {name}({arguments}) LIMIT 1").fetchall()
            with pytest.raises(duckdb.Error, match="of another atlas than the one in use"):
                con.execute(f"FROM two.{name}({arguments})").fetchall()


def test_a_number_is_no_cluster_path(small_atlas: Path) -> None:
    with atlas.open(small_atlas) as opened:
        for ask in (opened.circuit, opened.circuit_edges, lambda path: opened.circuits(parent=path)):
            with pytest.raises(TypeError, match=r"a cluster path is text, such as '12' or '2\.10', not the float 2\.1"):
                ask(2.10)
        assert opened.circuit(1).fetchall() == opened.circuit("1").fetchall()


ENDLESS = "SELECT sum(hash(range)) FROM range(1000000000000)"


def test_a_time_limit_and_a_memory_limit_end_a_query(
    received: Path, atlas_command: Callable[..., subprocess.CompletedProcess]
) -> None:
    run = atlas_command("sql", received, ENDLESS, "--timeout", "0.5")
    assert run.returncode == 1
    assert "stopped after 0.5 s; allow more with --timeout" in run.stderr
    run = atlas_command("sql", received, "SELECT list(range) FROM range(100000000)", "--memory", "100MB")
    assert run.returncode == 1
    assert "more memory than it may use" in run.stderr
    assert state(received)[1] == ["small.duckdb"]


def test_a_view_of_a_received_atlas_that_never_ends(
    received: Path, atlas_command: Callable[..., subprocess.CompletedProcess]
) -> None:
    with duckdb.connect(str(received)) as con:
        columns = [name for name, *_ in con.execute("DESCRIBE circuits").fetchall()]
        listed = ", ".join(f"{int(name == 'level')} AS {name}" for name in columns if name != "size")
        con.execute("DROP TABLE circuits")
        con.execute(f"CREATE VIEW circuits AS SELECT ({ENDLESS}) AS size, {listed}")
    run = atlas_command("info", received, "--timeout", "0.5")
    assert run.returncode == 1
    assert "stopped after 0.5 s" in run.stderr


@pytest.mark.slow
def test_ctrl_c_ends_a_query(received: Path) -> None:
    command = [sys.executable, "-c", "from atlas.cli.main import main; main()", "sql", str(received), ENDLESS]
    # Told to start in a state where the signal is not ignored, whatever runs the tests.
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    # Until it computes; then it must end though the query never would.
    while _cpu_seconds(process.pid) < 2:
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.startswith("atlas: stopped")


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


HOSTILE = "\x1b[2Ja\x07b\x9bc\u202ed\u2028e\u200bf\rg\x00h"
FORBIDDEN = set(HOSTILE) - set("abcdefgh[2J")


@pytest.fixture
def hostile(received: Path) -> Path:
    """An atlas all of whose texts try to steer the terminal."""
    with duckdb.connect(str(received)) as con:
        for table, column in con.execute(
            "SELECT table_name, column_name FROM duckdb_columns() JOIN duckdb_tables() USING (table_name) "
            "WHERE data_type = 'VARCHAR' AND table_name <> 'help' AND column_name NOT IN ('listed_by', 'neuron_id')"  # generated
        ).fetchall():
            keep = {"metadata": "key NOT LIKE 'atlas%' AND key NOT LIKE '%links%' AND key NOT LIKE 'total%'"}.get(
                table, "true"
            )
            if (table, column) != ("metadata", "key") and not column.startswith(("cluster", "circuit_id")):
                con.execute(
                    f'UPDATE "{table}" SET "{column}" = $text WHERE {keep}', {"text": HOSTILE.replace("\0", "")}
                )
    return received


def in_a_terminal(arguments: list[str]) -> str:
    """What a command writes to a terminal of 200 columns."""
    keeper, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}
    code = "from atlas.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=terminal, stderr=terminal, env=environment
    )
    os.close(terminal)
    pieces = []
    try:
        while piece := os.read(keeper, 1 << 16):
            pieces.append(piece)
    except OSError:
        pass  # the other end is closed
    process.wait()
    os.close(keeper)
    return b"".join(pieces).decode().replace("\r\n", "\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["info"],
        ["neuron", "L1/N2"],
        ["circuit", "1"],
        ["circuit", "input:39"],
        ["tour"],
        ["search", "a"],
        ["query", "neurons"],
        ["sql", "SELECT label FROM neurons WHERE label IS NOT NULL LIMIT 3", "--format", "csv"],
        ["sql", "SELECT label FROM neurons WHERE label IS NOT NULL LIMIT 3", "--format", "json"],
        ["sql", f'SELECT 1 AS "{HOSTILE.replace(chr(0), "")}"'],
        ["sql", f'SELECT 1 AS "{HOSTILE.replace(chr(0), "")}"', "--format", "csv"],
        ["sql", f'SELECT "{HOSTILE.replace(chr(0), "")}"'],
        ["check"],
        ["schema", HOSTILE.replace("\0", "")],
        ["search", HOSTILE.replace("\0", "") + "zz"],
    ],
    ids=lambda command: " ".join(command)[:20].encode("ascii", "replace").decode(),
)
def test_text_of_a_file_does_not_steer_the_terminal(command: list[str], hostile: Path) -> None:
    shown = in_a_terminal([command[0], str(hostile), *command[1:]])
    assert len(shown) > 10
    assert not FORBIDDEN & set(shown)


def test_json_in_a_file_keeps_every_character(hostile: Path, tmp_path: Path) -> None:
    from atlas.cli.terminal import print_relation

    with atlas.open(hostile) as opened:
        print_relation(opened.sql("SELECT label FROM neurons LIMIT 1"), None, tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == [{"label": HOSTILE.replace("\0", "")}]
    assert not FORBIDDEN & set(text)


def test_an_interrupt_between_two_queries_is_not_lost() -> None:
    from atlas.runtime.interrupts import interruptible

    calls = threading.Semaphore(0)
    with pytest.raises(QueryError, match="stopped after 0.01 s"), interruptible(calls.release, 0.01):
        assert calls.acquire(timeout=60)
        assert calls.acquire(timeout=60)
        raise ValueError("what an interrupted query raises")
