"""Checkpoints of the earlier aggregator: every version, to the bit; no code is run, and what is cut off is refused."""

from __future__ import annotations

import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import duckdb
import legacy_factories
import pyarrow.parquet as pq
import pytest
from legacy_factories import Corpus

from atlas.database import Inputs, build_database
from atlas.errors import InputError, UsageError
from atlas.importers.checkpoint import import_checkpoint
from atlas.importers.pickle_stream import stream as containers
from atlas.stages import is_whole

STATISTICS = ("count", "weight_sum", "weight_abs_sum", "weight_sq_sum", "weight_min", "weight_max")


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus()


def edges_of(stats: Path) -> dict:
    rows = pq.read_table(stats / "edges").to_pylist()
    return {
        tuple(row[name] for name in ("src_layer", "src_neuron", "tgt_layer", "tgt_neuron")): [
            row[name] for name in STATISTICS
        ]
        for row in rows
    }


def graphs_of(stats: Path) -> dict:
    graphs = pq.read_table(stats / "graphs.parquet").to_pylist()
    found: dict = {}
    for row in pq.read_table(stats / "neuron_graphs").to_pylist():
        graph = graphs[row["graph_id"]]
        assert graph["graph_id"] == row["graph_id"]
        found.setdefault((row["layer"], row["neuron"]), set()).add((graph["path"], graph["corpus_index"]))
    return found


def assert_same(stats: Path, corpus: Corpus) -> None:
    assert edges_of(stats) == corpus.edges
    neurons = pq.read_table(stats / "neurons").to_pylist()
    assert {(row["layer"], row["neuron"]): row["graph_count"] for row in neurons} == corpus.neurons
    assert {row["node_count"] for row in neurons} == {None}
    expected = {
        neuron: {(name, None if index < 0 else index) for name, index in graphs}
        for neuron, graphs in corpus.neuron_graphs.items()
    }
    assert graphs_of(stats) == expected
    names = pq.read_table(stats / "graphs.parquet")["path"].to_pylist()
    assert names == corpus.files  # in the order of their names
    assert is_whole(stats, "stats")


@pytest.mark.parametrize("options", [{}, {"texts": True}, {"shared": True}, {"texts": True, "shared": True}], ids=str)
@pytest.mark.parametrize("protocol", [4, 5])
def test_version_2_is_read_to_the_bit(corpus: Corpus, tmp_path: Path, options: dict, protocol: int) -> None:
    path = corpus.write(tmp_path / "latest.dat", protocol=protocol, **options)
    summary = import_checkpoint(path, tmp_path / "stats")
    assert_same(tmp_path / "stats", corpus)
    assert (summary.version, summary.links, summary.graphs) == (2, corpus.links, len(corpus.files))
    assert not summary.left_out
    assert not summary.only_in_edges


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("shared", [False, True])
def test_older_versions_are_read_to_the_bit(corpus: Corpus, tmp_path: Path, version: int, shared: bool) -> None:
    path = corpus.write_old(tmp_path / "old.dat", version, shared=shared)
    summary = import_checkpoint(path, tmp_path / "stats")
    assert summary.version == version
    assert_same(tmp_path / "stats", corpus)


def test_protocol_2_and_3_have_other_opcodes(corpus: Corpus, tmp_path: Path) -> None:
    # Sets are no plain opcode there; as a list of names the file is one of version 1.
    for protocol in (2, 3):
        import_checkpoint(corpus.write_old(tmp_path / "old.dat", 1, protocol=protocol), tmp_path / "stats")
        assert_same(tmp_path / "stats", corpus)


def test_lists_as_long_as_the_corpus_are_read_in_pieces(tmp_path: Path) -> None:
    corpus = Corpus(graphs=3300, links=2, layers=3, neurons=5)
    assert max(map(len, corpus.neuron_graphs.values())) == 3300  # three batches of a pickle, and a rest
    import_checkpoint(corpus.write(tmp_path / "latest.dat"), tmp_path / "stats")
    assert_same(tmp_path / "stats", corpus)


def test_small_buffers_change_nothing(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Every opcode is cut somewhere, and every array grows.
    monkeypatch.setattr(containers, "CHUNK", 61)
    monkeypatch.setattr(containers, "_ROWS", 8)
    monkeypatch.setattr(containers, "_STREAMED", 7)
    for number, path in enumerate(
        (corpus.write(tmp_path / "a.dat", texts=True), corpus.write_old(tmp_path / "b.dat", 1))
    ):
        import_checkpoint(path, tmp_path / f"stats{number}")
        assert_same(tmp_path / f"stats{number}", corpus)


def test_rare_edges_are_left_out_and_counted(corpus: Corpus, tmp_path: Path) -> None:
    summary = import_checkpoint(corpus.write(tmp_path / "latest.dat"), tmp_path / "stats", min_count=3)
    frequent = {key: values for key, values in corpus.edges.items() if values[0] >= 3}
    assert edges_of(tmp_path / "stats") == frequent
    assert (summary.edges, summary.rare) == (len(frequent), len(corpus.edges) - len(frequent))
    assert summary.links == corpus.links
    with pytest.raises(UsageError, match="--min-count must be 1 or more, not 0"):
        import_checkpoint(tmp_path / "latest.dat", tmp_path / "stats", min_count=0)


def test_what_is_no_entry_is_counted_and_no_reason_to_stop(tmp_path: Path) -> None:
    good = [2, 1.0, 3.0, 5.0, -1.0, 2.0]
    edges: dict = {
        (1, 2, 3, 4): good,
        ("E", 5, "L3", 4): good,
        ("L1", 5, "L", 4): good,
        ("24", 5, "L30", 6): good,
        (1, 2, 3): good,
        (-1, 2, 3, 4): good,
        (200, 2, 3, 4): good,
        (1, 1 << 30, 3, 4): good,
        ("Lx", 2, 3, 4): good,
        ("", 2, 3, 4): good,
        (5, 5, 6, 6): [2, 1.0],
        (5, 5, 6, 7): [2, float("nan"), 3.0, 5.0, -1.0, 2.0],
        (5, 5, 6, 8): [0, 1.0, 3.0, 5.0, -1.0, 2.0],
        (5, 5, 6, 9): None,
        (5, 5, 7, 1): [2, 1.0, 3.0, 5.0, -1.0, None],
        (5, 5, 7, 2): [2, 1, 3, 5, -1, 2],
        7: good,
    }
    # Each edge has a list of its own; one that is shared is no tree.
    edges = {key: list(values) if values is good else values for key, values in edges.items()}
    neurons = {(1, 2): 2, ("E", 1): 5, "no": 1, (3, 4): "two"}
    graphs = {(1, 2): [("a.json", 3), "b.json", ["c.json", 1], 5, (1, 3)], (3, 4): [], "x": [("a.json", 1)], (3, 5): 7}
    with (tmp_path / "odd.dat").open("wb") as stream:
        for part in ({"version": 2, "more": {"a": [1]}}, edges, neurons, {"b.json", 3}, graphs):
            pickle.dump(part, stream, 5)
    summary = import_checkpoint(tmp_path / "odd.dat", tmp_path / "stats")
    assert edges_of(tmp_path / "stats") == {(1, 2, 3, 4): good, (24, 5, 30, 6): good, (5, 5, 7, 2): good}
    assert summary.left_out == {
        "tokens among edges": 2,
        "malformed edges": 12,
        "tokens among neurons": 1,
        "malformed neurons": 2,
        "malformed processed_files": 1,
        "malformed neuron_graphs": 4,
    }
    assert summary.only_in_edges == 5
    assert graphs_of(tmp_path / "stats") == {(1, 2): {("a.json", 3), ("b.json", None), ("c.json", 1)}}


HOSTILE = list(legacy_factories.hostile_pickles())


@pytest.mark.parametrize(("name", "content", "said"), HOSTILE, ids=[name for name, *_ in HOSTILE])
def test_hostile_pickles_are_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / "bad.dat").write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=said):
        import_checkpoint(tmp_path / "bad.dat", tmp_path / "stats")
    assert not (tmp_path / "stats").exists()
    assert not Path("/tmp/never").exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB


@pytest.mark.slow
def test_a_cut_file_says_what_was_whole(corpus: Corpus, tmp_path: Path) -> None:
    whole = corpus.write(tmp_path / "whole.dat").read_bytes()
    parts = [len(pickle.dumps(part, 5)) for part in corpus.parts()]
    for length in [*range(1, len(whole), len(whole) // 60), len(whole) - 1]:
        (tmp_path / "cut.dat").write_bytes(whole[:length])
        with pytest.raises(InputError, match="ends in the middle of pickle|ends after pickle|frame is not as long"):
            import_checkpoint(tmp_path / "cut.dat", tmp_path / "stats")
        assert not (tmp_path / "stats").exists()
    (tmp_path / "cut.dat").write_bytes(whole[: sum(parts[:3])])
    with pytest.raises(
        InputError, match=f"after pickle 3 of 5: {len(corpus.edges):,} edges, {len(corpus.neurons)} neurons and 0 names"
    ):
        import_checkpoint(tmp_path / "cut.dat", tmp_path / "stats")
    # Without frames the end is found where it is.
    corpus.write_old(tmp_path / "old.dat", 1, protocol=3)
    (tmp_path / "cut.dat").write_bytes((tmp_path / "old.dat").read_bytes()[:-200])
    with pytest.raises(InputError, match=rf"in the middle of pickle 1, at byte [\d,]+: {len(corpus.edges):,} edges"):
        import_checkpoint(tmp_path / "cut.dat", tmp_path / "stats")


def test_the_newest_of_a_folder_is_read(corpus: Corpus, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    with pytest.raises(InputError, match="without latest.dat or checkpoint_"):
        import_checkpoint(folder, tmp_path / "stats")
    (folder / "checkpoint_500.dat").write_bytes(b"old")
    os.utime(folder / "checkpoint_500.dat", (1, 1))
    corpus.write(folder / "checkpoint_1000.dat")
    import_checkpoint(folder, tmp_path / "stats")
    assert_same(tmp_path / "stats", corpus)
    (folder / "latest.dat").symlink_to("checkpoint_500.dat")
    with pytest.raises(InputError, match="latest.dat is no checkpoint"):
        import_checkpoint(folder, tmp_path / "stats")
    with pytest.raises(InputError, match="does not exist"):
        import_checkpoint(tmp_path / "nowhere", tmp_path / "stats")


@pytest.mark.slow
def test_the_atlas_of_a_checkpoint_passes_every_check(corpus: Corpus, tmp_path: Path, atlas_command) -> None:
    path = corpus.write(tmp_path / "latest.dat", texts=True)
    done = atlas_command("import", "checkpoint", path, "-o", tmp_path / "stats", "--model", "qwen3-32b")
    assert done.returncode == 0, done.stderr
    assert f"{len(corpus.files)} graphs, {len(corpus.neurons):,} neurons, {len(corpus.edges):,} edges" in done.stderr
    atlas = build_database(tmp_path / "a.duckdb", Inputs(tmp_path / "stats")).path
    assert atlas_command("check", atlas).returncode == 0
    assert "qwen3-32b" in atlas_command("info", atlas).stdout
    key, values = max(corpus.edges.items(), key=lambda item: item[1][0])
    with duckdb.connect(str(atlas), read_only=True) as con:
        row = con.execute(
            "SELECT count, weight_sum, std_weight, graph_count, stat_quality FROM edges "
            "WHERE (src_layer, src_neuron, tgt_layer, tgt_neuron) = (?, ?, ?, ?)",
            list(key),
        ).fetchall()[0]
        assert row[0] == values[0]
        assert row[1] == pytest.approx(values[1], rel=1e-6)
        assert row[2] == pytest.approx(max(values[3] / values[0] - (values[1] / values[0]) ** 2, 0) ** 0.5, rel=1e-4)
        assert row[3:] == (None, "exact")
        assert len(con.execute("FROM graphs_of(0, 0)").fetchall()) == len(corpus.files)
    for command in ("neuron", "circuit"):
        page = atlas_command(command, atlas, "L0/N0" if command == "neuron" else "1")
        assert "Traceback" not in page.stderr


def test_a_cut_file_ends_the_command_with_one_line(corpus: Corpus, tmp_path: Path, atlas_command) -> None:
    whole = corpus.write(tmp_path / "whole.dat", protocol=4).read_bytes()
    (tmp_path / "cut.dat").write_bytes(whole[:-100])
    done = atlas_command("import", "checkpoint", tmp_path / "cut.dat", "-o", tmp_path / "stats")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.glob("*stats*")) == [tmp_path / ".stats.lock"]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Peak memory of 30 MB and of 120 MB of checkpoint, each in a process of its own."""
    code = (
        "import sys; from pathlib import Path; from atlas.importers.checkpoint import import_checkpoint; "
        "import_checkpoint(Path(sys.argv[1]), Path(sys.argv[2])); "
        # What getrusage says is inherited from this process.
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    peaks = []
    for size in (400_000, 1_600_000):
        edges = {(i % 30, i // 30 % 1000, 31, i // 30_000): [1, 0.5, 0.5, 0.25, 0.5, 0.5] for i in range(size)}
        path = tmp_path / f"{size}.dat"
        with path.open("wb") as stream:
            for part in ({"version": 2}, edges, {(0, 0): 1}, {"a.json"}, {(0, 0): [("a.json", 0)]}):
                pickle.dump(part, stream, 5)
        done = subprocess.run(
            [sys.executable, "-c", code, path, tmp_path / "stats"], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 60_000, peaks  # KiB; the dictionary itself would be 600 MB larger


def test_names_in_lists_of_any_length_are_all_counted(tmp_path: Path) -> None:
    """Version 1 keeps names in a list; what stands behind the last thousand counts too."""
    for count in (3, 600, 2003):
        whole = {
            "edges": {"L1|2|L3|4": [1, 1.0, 1.0, 1.0, 1.0, 1.0]},
            "neurons": {"L1|2": 1, "L3|4": 1},
            "processed_files": [f"graph_{number}.json" for number in range(count)],
            "neuron_graphs": {"L1|2": [["graph_1.json", 5]]},
            "graphs_processed": count,
        }
        (tmp_path / "old.dat").write_bytes(pickle.dumps(whole, 4))
        assert import_checkpoint(tmp_path / "old.dat", tmp_path / "stats").graphs == count


def test_texts_that_are_no_utf_8_and_counts_without_end_are_no_traceback(tmp_path: Path) -> None:
    edges = {(1, 2, 3, 4): [2**63 - 1, 1.0, 1.0, 1.0, 1.0, 1.0], (1, 2, 3, 5): [2, 1.0, 1.0, 1.0, 1.0, 1.0]}
    with (tmp_path / "odd.dat").open("wb") as stream:
        pickle.dump({"version": 2}, stream, 4)
        pickle.dump(edges, stream, 4)
        pickle.dump({(1, 2): 1}, stream, 4)
        stream.write(b"\x80\x04\x8f(\x8c\x02\xff\xfe\x90.")
        pickle.dump({}, stream, 4)
    summary = import_checkpoint(tmp_path / "odd.dat", tmp_path / "stats")
    assert (summary.links, summary.left_out, summary.graphs) == (2, {"malformed edges": 1}, 1)


def test_a_pickle_behind_an_old_checkpoint_changes_nothing(corpus: Corpus, tmp_path: Path) -> None:
    path = corpus.write_old(tmp_path / "old.dat", 0)
    path.write_bytes(path.read_bytes() + pickle.dumps({"more": 1}, 4))
    import_checkpoint(path, tmp_path / "stats")
    assert_same(tmp_path / "stats", corpus)
