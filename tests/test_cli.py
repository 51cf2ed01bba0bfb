"""The command line: results on stdout, words on stderr, one line and exit 1 for an error."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import factories
import polars as pl
import pytest
from click.testing import CliRunner

from atlas.cli.main import main
from atlas.database import scripts


@pytest.fixture
def run():
    """Runs a command in this process; stdout and stderr stay apart."""

    def invoke(*arguments: object, code: int = 0):
        result = CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="atlas")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return invoke


@pytest.fixture
def graphs(tmp_path: Path) -> Path:
    for seed in range(6):
        factories.write(tmp_path / "graphs" / f"{seed}.json", factories.random_graph(seed, neurons=20, links=100))
    return tmp_path / "graphs"


def test_the_whole_path_by_hand(run, graphs: Path, tmp_path: Path) -> None:
    (graphs / "bad.json").write_text("{")
    told = run("aggregate", graphs, "-o", tmp_path / "stats")
    assert told.stdout == ""
    assert "6 graphs" in told.stderr
    found = re.search(r"([\d,]+) links = ([\d,]+) kept \+ ([\d,]+) dropped", told.stderr)
    links, kept, dropped = (int(part.replace(",", "")) for part in found.groups())
    assert links == kept + dropped == 600
    assert "files not read (see rejects.parquet): bad_json 1" in told.stderr
    told = run("cluster", tmp_path / "stats", "-o", tmp_path / "clusters", "--min-count", 2, "--trials", 2)
    assert re.search(r"infomap: \d+ neurons and \d+ edges in \d+ top clusters", told.stderr)
    assert "codelength" in told.stderr
    (tmp_path / "l.csv").write_text("layer,neuron,label\n1,2,x\n1,,y\n")
    told = run("import", "labels", tmp_path / "l.csv", "-o", tmp_path / "labels", "--source", "me")
    assert "l.csv: 2 rows, 1 labels, uninformative 0, malformed 1 (no_neuron 1)" in told.stderr


def test_build_info_and_every_question(run, graphs: Path, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("layer,neuron,label\n1,2,[red]hot[/red]\n")
    (tmp_path / "r.toml").write_text(f'[graphs]\npaths = "{graphs}"\n[[cluster]]\nmin_count = 1\ntrials = 1\n')
    out = tmp_path / "a.duckdb"
    told = run("build", tmp_path / "r.toml", "-o", out, "--set", f"labels.files={tmp_path}/l.csv")
    assert "stats" in told.stderr
    assert f"next: atlas info {out}" in told.stderr
    assert (
        "up to date" in run("build", tmp_path / "r.toml", "-o", out, "--set", f"labels.files={tmp_path}/l.csv").stderr
    )
    info = run("info", out).stdout
    for said in (
        "total graphs",
        "total neurons",
        "total edges",
        "kept in",
        "dropped:",
        "links in the files",
        "Largest circuits",
        "gemma-2-2b",
    ):
        assert said in info
    assert run("check", out).stdout.count("ok    ") == len(scripts("checks"))
    page = run("neuron", out, "L1/N2").stdout
    for said in ("[red]hot[/red]", "Upstream", "Downstream", "Tokens in", "Logits out", "Graphs", "█", "cluster"):
        assert said in page
    assert "feature_id" in run("schema", out, "neurons").stdout
    assert "edges_by_target" in run("schema", out).stdout
    assert "[red]hot[/red]" in run("search", out, "HOT").stdout
    assert "no label of" in run("search", out, "zzz").stderr


def test_formats_agree(run, small_atlas: Path, tmp_path: Path) -> None:
    query = ("query", small_atlas, "upstream", "--layer", 1, "--neuron=2", "--limit", 5)
    records = json.loads(run(*query, "--format", "json").stdout)
    assert len(records) == 5
    rows = list(csv.DictReader(io.StringIO(run(*query, "--format", "csv").stdout)))
    assert [int(row["neuron"]) for row in rows] == [record["neuron"] for record in records]
    run(*query, "--format", "parquet", "-o", tmp_path / "x.parquet")
    assert pl.read_parquet(tmp_path / "x.parquet")["neuron"].to_list() == [record["neuron"] for record in records]
    run(*query, "--format", "json", "-o", tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text()) == records
    assert "mean_abs_weight" in run(*query).stdout


def test_a_cut_table_says_so(run, small_atlas: Path) -> None:
    told = run("sql", small_atlas, "FROM range(100)")
    assert "the first 40 rows; all of them: --limit 0" in told.stderr
    assert len(run("sql", small_atlas, "FROM range(100)", "--limit", 0).stdout.splitlines()) == 101
    assert len(run("sql", small_atlas, "FROM range(100)", "--format", "csv").stdout.splitlines()) == 101


def test_sql_from_files_and_pipes_in_markdown_and_arrow(small_atlas: Path, tmp_path: Path) -> None:
    script = tmp_path / "q.sql"
    script.write_text("SELECT 'a|b' AS \"x|y\", NULL AS n, ['c', 'd'] AS l, E'e\\nf' AS t -- end")
    expected = '| x\\|y | n | l | t |\n| --- | --- | --- | --- |\n| a\\|b |  | ["c", "d"] | e<br>f |\n'
    for words, text in ((["-f", str(script)], None), (["-"], script.read_text())):
        done = CliRunner().invoke(main, ["sql", str(small_atlas), *words, "--format", "markdown"], input=text)
        assert done.exit_code == 0, done.output
        assert done.output == expected
    done = CliRunner().invoke(main, ["sql", str(small_atlas), "-f", str(script), "-o", str(tmp_path / "x.arrow")])
    assert done.exit_code == 0, done.output
    assert pl.read_ipc(tmp_path / "x.arrow").rows() == [("a|b", None, ["c", "d"], "e\nf")]
    for words, said in (
        ([], "give the SQL as TEXT"),
        (["SELECT 1", "-f", str(script)], "give the SQL as TEXT"),
        (["-f", str(tmp_path / "none.sql")], "cannot be read"),
        (["SELECT 1", "--format", "arrow"], "needs -o FILE"),
    ):
        wrong = CliRunner().invoke(main, ["sql", str(small_atlas), *words])
        assert wrong.exit_code == 1
        assert said in wrong.output


def test_list_columns_and_nulls_in_every_format(run, small_atlas: Path) -> None:
    sql = "SELECT [1, NULL] AS a, NULL AS b, true AS c, TIMESTAMP '2020-01-01' AS d, 'x\ny' AS e"
    assert json.loads(run("sql", small_atlas, sql, "--format", "json").stdout)[0]["a"] == [1, None]
    assert next(csv.DictReader(io.StringIO(run("sql", small_atlas, sql, "--format", "csv").stdout)))["a"] == "[1, null]"
    assert "x⏎y" in run("sql", small_atlas, sql).stdout


def test_control_characters_do_not_reach_the_terminal(run, small_atlas: Path) -> None:
    assert "\x1b" not in run("sql", small_atlas, "SELECT chr(27) || '[2J' AS a").stdout


def test_queries_are_listed_and_shown(run, small_atlas: Path) -> None:
    listed = run("query", small_atlas).stdout
    assert "upstream" in listed
    assert "--layer INTEGER" in listed
    assert run("query", small_atlas, "upstream", "--show-sql").stdout.startswith("-- Neurons that drive")


ERRORS = [
    (("info", "none.duckdb"), "does not exist"),
    (("info", "FOLDER"), "is a folder; give the atlas file"),
    (("neuron", "L1/N2", "ATLAS"), "the atlas file comes first"),
    (("neuron", "ATLAS", "xyz"), "'xyz' is no neuron id"),
    (("neuron", "ATLAS", "L99/N5"), "is a node of no graph .* it has 'nowhere' as a label"),
    (("neuron", "ATLAS", "L99/N6"), "is a node of no graph"),
    (("schema", "ATLAS", "nothing"), "has no table or view nothing"),
    (("query", "ATLAS", "nothing"), "no query is called 'nothing'; there are"),
    (("query", "ATLAS", "upstraem"), "did you mean upstream?"),
    (("query", "ATLAS", "upstream", "xyz"), "'xyz' is no neuron id"),
    (("circuit", "ATLAS", "77.7"), r"has no circuit 77.7 \(a path such as 12 or 12.3.*\); list them with: atlas query"),
    (("search", "ATLAS", " "), "say what to look for"),
    (("sql", "ATLAS", "SELECT 1; SELECT 2"), "one statement at a time"),
    (("sql", "ATLAS", "SELECT 1", "-o", "x.xyz"), "the ending names no form; use .csv"),
    (
        ("query", "ATLAS", "upstream", "--layr", "1"),
        "query upstream takes no option --layr; its options are --layer INTEGER",
    ),
    (("query", "ATLAS", "upstream", "--layer"), "option --layer needs a value"),
    (("query", "ATLAS", "upstream", "--layer", "x"), "option --layer: 'x' is no INTEGER"),
    (("query", "ATLAS", "upstream"), "query upstream needs layer, neuron"),
    (("query", "ATLAS", "neurons", "--labelled", "maybe"), "'maybe' is no BOOLEAN"),
    (("sql", "ATLAS", "SELECT nothing FROM neurons"), "nothing"),
    (("sql", "ATLAS", "DROP TABLE edges"), "read-only"),
    (("sql", "ATLAS", "SELECT error('late') FROM neurons"), "late"),
    (("sql", "ATLAS", "SELECT 1", "--format", "parquet"), "needs -o FILE"),
    (("sql", "ATLAS", "SELECT 1", "-o", "/proc/none/x.csv"), "cannot be written"),
    (("aggregate", "none", "-o", "OUT"), "none does not exist"),
    (("aggregate", "BAD", "-o", "OUT"), "none of the files is a readable graph"),
    (("aggregate", "BAD", "-o", "OUT", "--strict"), "is no readable graph"),
    (("aggregate", "BAD", "-o", "OUT", "--device", "tpu"), "choose auto, cpu or cuda"),
    (("cluster", "none", "-o", "OUT"), "none does not exist"),
    (("import", "labels", "BAD", "-o", "OUT"), "ends in the middle; 0 members are whole"),
    (("import", "labels", "CSV", "-o", "OUT"), "needed are layer and neuron"),
    (("build", "nothing"), "no recipe nothing"),
    (("build", "atlas", "--set", "graphs.paths=x", "--set", "nonsense"), "write it as key=value"),
    (("build", "atlas", "--set", "graphs.paths=BAD", "--set", "wrong=1"), "unknown key wrong"),
]


@pytest.mark.parametrize(("arguments", "said"), ERRORS, ids=[" ".join(arguments[:4]) for arguments, _ in ERRORS])
def test_an_error_is_one_line_and_exit_code_1(
    run, small_atlas: Path, tmp_path: Path, arguments: tuple, said: str, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    names = {
        "ATLAS": small_atlas,
        "OUT": tmp_path / "out",
        "BAD": tmp_path / "bad.json",
        "CSV": tmp_path / "x.csv",
        "FOLDER": tmp_path,
    }
    told = run(*(names.get(argument, argument) for argument in arguments), code=1)
    assert told.stdout == ""
    assert told.stderr.startswith("atlas: ")
    assert told.stderr.count("\n") == 1
    assert re.search(said, told.stderr), told.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [("nothing",), ("info",), ("aggregate",), ("build", "x", "--nothing"), ("sql", "x", "y", "--format", "xml")],
)
def test_wrong_usage_is_exit_code_2(run, arguments: tuple) -> None:
    run(*arguments, code=2)


def test_a_failing_check_names_the_rows_and_exits_1(run, small_atlas: Path, tmp_path: Path) -> None:
    import shutil

    import duckdb

    shutil.copy(small_atlas, tmp_path / "a.duckdb")
    with duckdb.connect(str(tmp_path / "a.duckdb")) as con:
        con.execute("UPDATE clusters SET size = size + 1 WHERE cluster_path = '1'")
    told = run("check", tmp_path / "a.duckdb", code=1)
    assert re.search(r"FAIL  clusters_sizes_true: 1 row: cluster_path 1, size \d+, member_count \d+", told.stdout)
    assert f"1 of {len(scripts('checks'))} checks failed: clusters_sizes_true" in told.stderr


def test_a_reader_that_has_seen_enough_ends_the_command_quietly(small_atlas: Path) -> None:
    import subprocess
    import sys

    code = "from atlas.cli.main import main; main()"
    command = f"{sys.executable} -c '{code}' sql {small_atlas} 'FROM range(200000)' --format csv | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("range\n", "")


def test_ctrl_c_is_no_traceback(graphs: Path, tmp_path: Path, monkeypatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("atlas.pipeline.aggregate_graphs", interrupted)
    result = CliRunner().invoke(main, ["aggregate", str(graphs), "-o", str(tmp_path / "x")])
    assert result.exit_code == 130
    assert "stopped" in result.output


def test_an_atlas_without_neurons_has_an_info_page(run, tmp_path: Path) -> None:
    graph = factories.ct_graph(
        [factories.ct_token(5, 0), factories.ct_logit(17, 8, 1)], [factories.link("E_5_0", "17_8_1", 1.25)], scan="²"
    )
    factories.write(tmp_path / "g" / "a.json", graph)
    (tmp_path / "r.toml").write_text(f'cluster = []\n[graphs]\npaths = "{tmp_path}/g"\n')
    run("build", tmp_path / "r.toml", "-o", tmp_path / "a.duckdb")
    assert "²" in run("info", tmp_path / "a.duckdb").stdout
    run("check", tmp_path / "a.duckdb")


def test_a_damaged_atlas_is_one_line_wherever_the_damage_shows(run, small_atlas: Path, tmp_path: Path) -> None:
    whole = small_atlas.read_bytes()
    damaged = bytearray(whole)
    damaged[100_000:-100_000] = b"\xff" * (len(whole) - 200_000)
    for name, data in (("cut", whole[: len(whole) // 3]), ("holes", bytes(damaged))):
        (tmp_path / name).write_bytes(data)
        for command in (("info",), ("neuron", "L1/N2"), ("check",), ("search", "x"), ("sql", "FROM metadata")):
            result = CliRunner().invoke(main, [command[0], str(tmp_path / name), *command[1:]])
            assert result.exit_code == 1
            assert isinstance(result.exception, SystemExit), result.exception
            assert result.stderr.startswith("atlas: ")


def test_paths_of_any_length(run, small_atlas: Path, tmp_path: Path) -> None:
    long = "x" * 300
    for command in (
        ("info", long),
        ("build", long),
        ("aggregate", long, "-o", tmp_path / "o"),
        ("aggregate", tmp_path, "-o", long),
        ("import", "labels", long, "-o", "x"),
        ("cluster", long, "-o", "x"),
    ):
        told = run(*command, code=1)
        assert told.stderr.startswith("atlas: ")
        assert told.stderr.count("\n") == 1


def test_json_is_json(run, small_atlas: Path) -> None:
    sql = "SELECT 'NaN'::FLOAT AS a, 1 AS a, ['inf'::DOUBLE] AS b, {'x': 'NaN'::FLOAT} AS c, INTERVAL 1 DAY AS d"
    (record,) = json.loads(
        run("sql", small_atlas, sql, "--format", "json").stdout, parse_constant=lambda name: pytest.fail(name)
    )
    assert (record["a"], record["a_1"], record["b"], record["c"]) == (None, 1, [None], {"x": None})


def test_the_form_follows_from_the_ending(run, small_atlas: Path, tmp_path: Path) -> None:
    for name in ("a.csv", "a.json", "a.parquet", "a.txt"):
        run("sql", small_atlas, "SELECT 1 AS x, 'y' AS z", "-o", tmp_path / name)
    assert (tmp_path / "a.csv").read_text() == "x,z\n1,y\n"
    assert json.loads((tmp_path / "a.json").read_text()) == [{"x": 1, "z": "y"}]
    assert pl.read_parquet(tmp_path / "a.parquet").rows() == [(1, "y")]
    assert (tmp_path / "a.txt").read_text().split() == ["x", "z", "1", "y"]
    run("sql", small_atlas, "SELECT 1 AS x", "-o", tmp_path / "b.txt", "--format", "csv")
    assert (tmp_path / "b.txt").read_text() == "x\n1\n"


def test_a_neuron_is_spelled_in_queries_as_elsewhere(run, small_atlas: Path) -> None:
    first = run("query", small_atlas, "tokens-in", "L1/N2", "--limit", 3, "--format", "csv").stdout
    assert (
        first
        == run("query", small_atlas, "tokens_in", "--layer", 1, "--neuron", 2, "--limit", 3, "--format", "csv").stdout
    )
    assert "no rows" in run("query", small_atlas, "upstream", "L90/N2").stderr


def test_macros_show_their_sql(run, small_atlas: Path) -> None:
    assert "FROM edges_by_target" in run("schema", small_atlas, "upstream").stdout


@pytest.mark.slow
@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_column_vanishes_on_a_terminal_of_any_width(small_atlas: Path, width: int) -> None:
    """Once, an 80-column terminal cut ids to an ellipsis. A real terminal, of a given width."""
    import os
    import pty
    import subprocess
    import sys
    import termios

    def on_terminal(*arguments: object) -> str:
        leader, follower = pty.openpty()
        termios.tcsetwinsize(follower, (50, width))
        command = [sys.executable, "-c", "from atlas.cli.main import main; main()", *map(str, arguments)]
        environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")} | {
            "TERM": "xterm"
        }
        with subprocess.Popen(command, stdout=follower, stderr=follower, env=environment) as run:
            os.close(follower)
            chunks = []
            while True:
                try:
                    chunk = os.read(leader, 65536)
                except OSError:
                    break
                if not chunk:
                    break
                chunks.append(chunk)
            run.wait()
        os.close(leader)
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", b"".join(chunks).decode())

    wide = on_terminal("sql", small_atlas, "FROM neurons WHERE layer = 1 AND neuron = 2")
    assert "infomap_flow" in wide
    assert "L1/N2" in wide
    assert "…" not in wide
    page = on_terminal("neuron", small_atlas, "L1/N2", "--limit", 3)
    assert "…" not in page
    assert len(re.findall(r"L\d/N\d", page)) >= 7
    assert "█" in page


@pytest.mark.slow
def test_ctrl_c_in_a_real_process_leaves_no_rest(graphs: Path, tmp_path: Path) -> None:
    import signal
    import subprocess
    import sys
    import time

    slow = (
        "import time, atlas.graphs as g; real = g.read_graphs\n"
        "def read(source, **options):\n    time.sleep(0.5)\n    yield from real(source, **options)\n"
        "g.read_graphs = read\nfrom atlas.cli.main import main; main()"
    )
    command = [sys.executable, "-c", slow, "aggregate", str(graphs), "-o", str(tmp_path / "out" / "stats")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        deadline = time.monotonic() + 60
        while not (tmp_path / "out" / ".stats.new").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        told = run.stderr.read()
    assert run.returncode == 130
    assert told.splitlines() == ["atlas: stopped; a command that writes goes on where it was when it is run again"]
    # What was done so far stays, for the same command to go on with.
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".stats.lock", ".stats.work"}
    command[2] = "from atlas.cli.main import main; main()"
    assert subprocess.run(command, check=False).returncode == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".stats.lock", "stats"}


def test_the_page_of_a_circuit(run, small_atlas: Path) -> None:
    import atlas

    with atlas.open(small_atlas) as small:
        path, size = small.circuits(kind="cluster", limit=1).project("circuit_id, size").fetchall()[0]
        member = small.circuit(path, limit=1).fetchall()[0][1:3]
        edges = len(small.circuit_edges(path).fetchall())
        inside = len(small.circuits(parent=path).fetchall())
    page = run("circuit", small_atlas, path, "--limit", 2).stdout
    assert f"circuit {path}" in page
    assert f"size       {size} neurons" in page
    assert f"Members by weight inside: 2 of {size}" in page
    assert f"L{member[0]}/N{member[1]}" in page
    assert f"Wiring inside: 2 of {edges}" in page
    assert ("Circuits inside" in page) == (inside > 0)
    assert "█" in page


def test_how_reliable_edges_are(run, small_atlas: Path) -> None:
    told = run("info", small_atlas, "--reliability").stdout
    assert "Two sets of so many graphs each" in told
    assert "are in both halves of the groups of prompts" in told.replace("\n", " ")
    assert "rank correlation" in told
    assert "graphs of the edge" in told
    assert any(words in told for words in ("Forecast (Spearman-Brown", "Too few edges", "No forecast"))


def test_the_forecast_is_the_formula_of_spearman_and_brown() -> None:
    from atlas.cli.pages import _forecast

    level = {"graph_count": 100, "fixed_rank_correlation": 0.5, "fixed_count": 50, "both_share": 0.6}
    told = _forecast([level], 8)
    # k * r / (1 + (k - 1) * r) with r = 0.5 is 0.8 for k = 4, and 0.9 for k = 9.
    assert "0.8 with about 400" in told
    assert "0.9 with about 900" in told
    for levels in ([], [level | {"fixed_rank_correlation": None}], [level | {"fixed_count": 9}]):
        assert "Too few edges" in _forecast(levels, 8)
    assert "less than half of the edges are in both halves" in _forecast([level | {"both_share": 0.49}], 8)
    assert "a half has 7 groups of prompts" in _forecast([level], 7)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--memory", "lots"], 1, "'lots' is no size; write it like 2GB or 512MB"),
        (["--threads", "0"], 2, "0 is not in the range"),
        (["--device", "tpu"], 1, "choose auto, cpu or cuda"),
        (["--scheduler", "nonsense"], 1, "write local, or an address such as tcp://host:8786"),
    ],
)
def test_wrong_engine_options(arguments: list[str], code: int, told: str, run, tmp_path: Path) -> None:
    factories.write(tmp_path / "g" / "a.json", factories.random_graph(1))
    result = run("aggregate", tmp_path / "g", "-o", tmp_path / "s", *arguments, code=code)
    assert told in result.stderr


def test_merging_on_the_command_line(run, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        factories.write(tmp_path / name / "x.json", factories.random_graph(seed))
        run("aggregate", tmp_path / name, "-o", tmp_path / f"s{name}")
    assert "2 graphs" in run("merge", tmp_path / "sa", tmp_path / "sb", "-o", tmp_path / "m").stderr
    assert (
        "stand in the other folders too"
        in run("merge", tmp_path / "sa", tmp_path / "m", "-o", tmp_path / "n", code=1).stderr
    )
    assert not (tmp_path / "n").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["qury"], "No such command 'qury'. Did you mean 'query'? (help: atlas --help)"),
        (["neuron"], "Missing argument 'FILE'. (help: atlas neuron --help)"),
        (["--nope"], "No such option '--nope'. (help: atlas --help)"),
        (["import", "labels", "--nope", "x"], "(help: atlas import labels --help)"),
    ],
)
def test_a_wrong_command_line_is_one_line(run, words: list[str], said: str) -> None:
    told = run(*words, code=2)
    assert told.stdout == ""
    assert said in told.stderr
    assert told.stderr.startswith("atlas: ")
    assert told.stderr.count("\n") == 1


def test_a_query_says_that_its_neuron_is_in_no_graph(run, small_atlas: Path) -> None:
    told = run("query", small_atlas, "upstream", "L9/N99999")
    assert told.stderr == f"no rows; L9/N99999 is in no graph of {small_atlas}\n"
    told = run("query", small_atlas, "circuits", "L9/N9", code=1)
    assert "query circuits takes no argument L9/N9; its options are [--path VARCHAR]" in told.stderr


def test_a_missing_folder_is_named(run, small_atlas: Path, tmp_path: Path) -> None:
    told = run("query", small_atlas, "circuits", "-o", tmp_path / "none" / "x.csv", code=1)
    assert f"there is no folder {tmp_path / 'none'}; make it, or choose another -o" in told.stderr
    assert ".new" not in told.stderr
