"""Killed, cut off, out of disk, changed under our hands: the same command ends with the bytes of an undisturbed run."""

from __future__ import annotations

import errno
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import factories
import polars as pl
import pyarrow.parquet as pq
import pytest
from test_aggregate import assert_equals_loop, bytes_of, rows
from test_disks import ATLAS, in_namespace, lines

from atlas.errors import AtlasError, InputError, OutputError, SourceChanged, SpaceMismatch
from atlas.io import work_dir as store
from atlas.pipeline import aggregate_graphs, merge_stats
from atlas.runtime import journal as journal
from atlas.stages import datasets_of

KILLS = 6


def graphs(folder: Path, count: int = 60, *, first: int = 0, **options: int) -> list[dict]:
    made = [factories.random_graph(seed, **options) for seed in range(first, first + count)]
    for number, graph in enumerate(made, first):
        factories.write(folder / f"graph_{number:05d}.json", graph)
    return made


# Small tasks and small ranges, so that a corpus of a second has many of both.
SMALL = (
    "from atlas.aggregate import plan; import sys\n"
    "plan.Budget.of = classmethod(lambda cls, memory, device='cpu': cls(400))\n"
    "from atlas.cli.main import main; main()"
)


def command(folder: Path, out: Path, *options: str) -> list[str]:
    return [sys.executable, "-c", SMALL, "aggregate", str(folder), "-o", str(out), *options]


@pytest.fixture
def small_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    from atlas.aggregate import plan

    monkeypatch.setattr(plan.Budget, "of", classmethod(lambda cls, memory, device="cpu": cls(400)))


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])
def test_killed_at_random_moments(threads: str, tmp_path: Path) -> None:
    """KILLS / 2 kills with and without worker processes; after every third the command may finish."""
    folder = tmp_path / "graphs"
    made = graphs(folder)
    subprocess.run(command(folder, tmp_path / "whole"), check=True, capture_output=True)
    expected = bytes_of(tmp_path / "whole")
    rng = random.Random(threads)
    for kill in range(KILLS // 2):
        run = subprocess.Popen(command(folder, tmp_path / "stats", "--threads", threads), stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.3, 1.6))
        run.send_signal(signal.SIGKILL)
        run.wait()
        if (tmp_path / "stats").exists():
            # It was quicker than the kill, or died after the swap: whole, or not there at all.
            assert bytes_of(tmp_path / "stats") == expected
        if kill % 3 == 2:
            subprocess.run(command(folder, tmp_path / "stats", "--threads", threads), check=True, capture_output=True)
            assert bytes_of(tmp_path / "stats") == expected
            assert {path.name for path in tmp_path.iterdir()} == {
                "graphs",
                "whole",
                "stats",
                ".stats.lock",
                ".whole.lock",
            }
            subprocess.run(["rm", "-rf", str(tmp_path / "stats")], check=True)
    assert_equals_loop(tmp_path / "whole", made)


# Dies at the n-th file that is given its name, just before or just after.
DYING = (
    "import os, sys, itertools\nfrom pathlib import Path\n"
    "count, when = itertools.count(), sys.argv.pop()\nreal = Path.replace\n"
    "def replace(self, target):\n"
    "    mine = next(count)\n"
    "    if when == f'before {mine}': os._exit(9)\n"
    "    found = real(self, target)\n"
    "    if when == f'after {mine}': os._exit(9)\n"
    "    return found\n"
    "Path.replace = replace\n"
)


@pytest.mark.slow
def test_dying_at_every_kind_of_commit(tmp_path: Path, small_budget: None) -> None:
    folder = tmp_path / "graphs"
    graphs(folder, 30)
    subprocess.run(command(folder, tmp_path / "whole"), check=True, capture_output=True)
    expected = bytes_of(tmp_path / "whole")
    rng = random.Random(1)
    moments = [f"{word} {number}" for number in range(70) for word in ("before", "after")]
    for moment in rng.sample(moments, 8):
        dying = [
            sys.executable,
            "-c",
            DYING + SMALL,
            *command(folder, tmp_path / "stats", "--threads", "1")[3:],
            moment,
        ]
        first = subprocess.run(dying, capture_output=True, text=True, check=False)
        assert first.returncode in (0, 9), first.stderr
        aggregate_graphs([folder], tmp_path / "stats", threads=1)
        assert bytes_of(tmp_path / "stats") == expected, moment
        subprocess.run(["rm", "-rf", str(tmp_path / "stats")], check=True)


@pytest.mark.slow
def test_threads_and_file_order_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "graphs"
    graphs(folder)
    found = {}
    for threads in ("1", "2", "4"):
        subprocess.run(command(folder, tmp_path / threads, "--threads", threads), check=True, capture_output=True)
        found[threads] = bytes_of(tmp_path / threads)
    assert found["1"] == found["2"] == found["4"]
    real = os.walk
    monkeypatch.setattr(
        os, "walk", lambda *a, **k: ((f, d, random.Random(3).sample(n, len(n))) for f, d, n in real(*a, **k))
    )
    from atlas.aggregate import plan

    monkeypatch.setattr(plan.Budget, "of", classmethod(lambda cls, memory, device="cpu": cls(400)))
    aggregate_graphs([folder], tmp_path / "shuffled", threads=1)
    assert bytes_of(tmp_path / "shuffled") == found["1"]


def assert_same_statistics(first: Path, second: Path) -> None:
    """Counts, minima and maxima to the bit, sums to 1e-12 of the sum of absolute values."""
    for dataset in datasets_of("stats"):
        if dataset.optional:
            continue
        one, other = (pl.DataFrame(rows(folder, dataset.name), infer_schema_length=None) for folder in (first, second))
        assert one.shape == other.shape, dataset.name
        for name in one.columns:
            if name.endswith("sum"):
                scale = one["weight_abs_sum"] if "weight_abs_sum" in one.columns else one[name].abs() + 1
                scale = one["weight_sq_sum"] if name == "weight_sq_sum" else scale
                assert ((one[name] - other[name]).abs() <= 1e-12 * scale + 1e-300).fill_null(True).all(), (
                    dataset.name,
                    name,
                )
                assert one[name].is_null().equals(other[name].is_null())
            elif name != "mtime_ns":
                assert one[name].equals(other[name]), (dataset.name, name)


@pytest.mark.slow
@pytest.mark.parametrize("memory", [pytest.param(256_000_000, marks=pytest.mark.slow), 4_000_000_000])
def test_memory_merges_and_increments_change_no_statistic(
    memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run with early sums against merged split_half, an increment, and other budgets."""
    from atlas.aggregate import plan

    made = graphs(tmp_path / "a", 20, links=300) + graphs(tmp_path / "b", 25, first=20, links=300)
    aggregate_graphs([tmp_path / "a", tmp_path / "b"], tmp_path / "whole", memory=memory, threads=1)
    assert_equals_loop(tmp_path / "whole", made)
    monkeypatch.setattr(plan, "COMBINE_LINKS", 0)
    monkeypatch.setattr(plan.Budget, "of", classmethod(lambda cls, memory, device="cpu": cls(memory // 500_000)))
    aggregate_graphs([tmp_path / "a", tmp_path / "b"], tmp_path / "combined", memory=memory, threads=1)
    for name in "ab":
        aggregate_graphs([tmp_path / name], tmp_path / f"s{name}", memory=memory, threads=1)
    merge_stats([tmp_path / "sb", tmp_path / "sa"], tmp_path / "merged", memory=memory, threads=1)
    aggregate_graphs([tmp_path / "a"], tmp_path / "grown", memory=memory, threads=1)
    summary = aggregate_graphs([tmp_path / "a", tmp_path / "b"], tmp_path / "grown", memory=memory, threads=1)
    assert (summary.new_graphs, summary.graphs) == (25, 45)
    for name in ("combined", "merged", "grown"):
        assert_same_statistics(tmp_path / "whole", tmp_path / name)


def test_new_files_are_read_and_old_ones_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs(tmp_path / "g", 5)
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats")
    graphs(tmp_path / "g", 2, first=5)
    (tmp_path / "g" / "bad.json").write_text("{")
    opened = []
    import atlas.graphs as reading

    real = reading.read_graphs
    monkeypatch.setattr(
        reading, "read_graphs", lambda source, **options: opened.append(source.name) or real(source, **options)
    )
    summary = aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    assert opened == ["g/bad.json", "g/graph_00005.json", "g/graph_00006.json"]
    assert (summary.new_graphs, summary.graphs, summary.rejects) == (2, 7, {"bad_json": 1})
    opened.clear()
    # What could not be read is tried again, and for that alone nothing is written.
    before = bytes_of(tmp_path / "stats")
    assert "nothing new" in aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1).work
    assert (opened, bytes_of(tmp_path / "stats")) == (["g/bad.json"], before)
    factories.write(tmp_path / "g" / "bad.json", factories.random_graph(99))
    summary = aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    assert (summary.new_graphs, summary.graphs, summary.rejects) == (1, 8, {})


def test_changed_and_missing_files_are_refused_unless_fresh(tmp_path: Path) -> None:
    graphs(tmp_path / "g", 4)
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats")
    first, second = sorted((tmp_path / "g").iterdir())[:2]
    os.utime(first, ns=(1, 1))
    # Another time and the same bytes is the same file.
    assert "nothing new" in aggregate_graphs([tmp_path / "g"], tmp_path / "stats").work
    before = bytes_of(tmp_path / "stats")
    factories.write(first, factories.random_graph(77))
    with pytest.raises(
        SourceChanged, match=r"g/graph_00000.json has changed since .*stats counted it; start over with --fresh"
    ):
        aggregate_graphs([tmp_path / "g"], tmp_path / "stats")
    second.unlink()
    factories.write(first, factories.random_graph(0))
    with pytest.raises(SourceChanged, match="graph_00001.json was counted in .*stats and is not among the files"):
        aggregate_graphs([tmp_path / "g"], tmp_path / "stats")
    assert bytes_of(tmp_path / "stats") == before
    assert aggregate_graphs([tmp_path / "g"], tmp_path / "stats", fresh=True).graphs == 3


def test_other_options_than_before_are_refused(tmp_path: Path) -> None:
    graphs(tmp_path / "g", 2)
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats")
    for options in ({"model": "other"}, {"cooccurrence": 5}):
        with pytest.raises(SourceChanged, match="was made with"):
            aggregate_graphs([tmp_path / "g"], tmp_path / "stats", **options)


def test_a_changed_file_of_an_unfinished_run_is_refused(
    tmp_path: Path, small_budget: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs(tmp_path / "g", 10)
    from atlas.aggregate import api

    monkeypatch.setattr(api, "reduce_and_finalize", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    monkeypatch.undo()
    factories.write(tmp_path / "g" / "graph_00003.json", factories.random_graph(500))
    with pytest.raises(SourceChanged, match="g/graph_00003.json has changed since an unfinished run counted it"):
        aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    assert aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1, fresh=True).graphs == 10


def test_copies_in_other_tasks_and_in_earlier_stats_count_once(tmp_path: Path, small_budget: None) -> None:
    made = graphs(tmp_path / "g", 12)
    factories.write(tmp_path / "g" / "graph_00099.json", factories.random_graph(0))
    summary = aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    assert (summary.graphs, summary.rejects) == (12, {"duplicate": 1})
    assert_equals_loop(tmp_path / "stats", made)
    factories.write(tmp_path / "g" / "graph_00100.json", factories.random_graph(5))
    made += graphs(tmp_path / "g", 1, first=101)
    summary = aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    assert (summary.graphs, summary.new_graphs) == (13, 1)
    assert {row["path"] for row in rows(tmp_path / "stats", "rejects")} == {"g/graph_00099.json", "g/graph_00100.json"}
    assert_equals_loop(tmp_path / "stats", made)


@pytest.mark.slow
def test_merging_refuses_what_overlaps(tmp_path: Path) -> None:
    graphs(tmp_path / "a", 4)
    graphs(tmp_path / "b", 4, first=2)
    graphs(tmp_path / "c", 2, first=10)
    for name in "abc":
        aggregate_graphs([tmp_path / name], tmp_path / f"s{name}")
    with pytest.raises(InputError, match="2 of 4 graphs of .*sb stand in the other folders too"):
        merge_stats([tmp_path / "sa", tmp_path / "sb"], tmp_path / "m")
    with pytest.raises(InputError, match="sums cannot be taken apart again"):
        merge_stats([tmp_path / "sa", tmp_path / "sb"], tmp_path / "m", skip_duplicates=True)
    merge_stats([tmp_path / "sa", tmp_path / "sc"], tmp_path / "m")
    with pytest.raises(InputError, match="--skip-duplicates"):
        merge_stats([tmp_path / "sa", tmp_path / "m"], tmp_path / "n")
    summary = merge_stats([tmp_path / "sa", tmp_path / "m"], tmp_path / "n", skip_duplicates=True)
    assert (summary.graphs, summary.work) == (6, "left out 1 of 2 folders: all their graphs stand in the others")
    factories.write(tmp_path / "d" / "x.json", factories.ct_graph([factories.ct_feature(0, 1)], [], scan="other"))
    aggregate_graphs([tmp_path / "d"], tmp_path / "sd")
    with pytest.raises(SpaceMismatch, match="two feature spaces do not mix"):
        merge_stats([tmp_path / "sa", tmp_path / "sd"], tmp_path / "o")


def test_a_power_cut_costs_only_what_was_not_on_the_disk(
    tmp_path: Path, small_budget: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs(tmp_path / "g", 12)
    from atlas.aggregate import api

    real = api.reduce_and_finalize
    monkeypatch.setattr(journal, "SECONDS", 0.0)
    monkeypatch.setattr(api, "reduce_and_finalize", lambda *_, **__: (_ for _ in ()).throw(OutputError("power")))
    with pytest.raises(OutputError):
        aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    monkeypatch.setattr(api, "reduce_and_finalize", real)
    tasks = sorted((tmp_path / ".stats.work" / "tasks").glob("*.parquet"))
    assert len(tasks) == 3
    # After the boot only what the journal names is trusted; a file that the cut left empty is not among it.
    safe = store.open_store(tmp_path / ".stats.work")
    note = journal.Journal(safe)
    note._safe = [name for name in note._safe if "000001" not in name]
    note.flush()
    (tmp_path / ".stats.work" / "tasks" / "000001.runs").write_bytes(b"")
    monkeypatch.setattr(journal, "boot_id", lambda: "another boot")
    times = {path.name: path.stat().st_mtime_ns for path in tasks}
    aggregate_graphs([tmp_path / "g"], tmp_path / "kept", threads=1)
    before = safe.names()
    found = journal.Journal(safe)
    assert safe.names() == before  # looking removes nothing
    found.drop_untrusted()
    left = {path.name: path.stat().st_mtime_ns for path in (tmp_path / ".stats.work" / "tasks").glob("*.parquet")}
    assert left == {name: when for name, when in times.items() if name != "000001.parquet"}
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    assert bytes_of(tmp_path / "stats") == bytes_of(tmp_path / "kept")


@pytest.mark.slow
def test_a_worker_that_is_killed_is_told_and_the_run_goes_on_later(tmp_path: Path) -> None:
    folder = tmp_path / "graphs"
    graphs(folder)
    fatal = (
        "import os, atlas.runtime.executors as w; real, calls = w._Child.call, []\n"
        "def call(self, function, item):\n"
        "    calls.append(item)\n"
        "    if len(calls) == 3: os.kill(self.pid, 9)\n"
        "    return real(self, function, item)\n"
        "w._Child.call = call\n"
    )
    run = command(folder, tmp_path / "stats", "--threads", "2")
    run[2] = fatal + run[2]
    graphs(folder, 40, first=100, links=400)
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "a worker process was killed by signal 9; if memory was short, lower --threads or --memory" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert subprocess.run(command(folder, tmp_path / "stats"), check=False, capture_output=True).returncode == 0


def test_a_part_that_does_not_reach_the_disk_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from atlas.io import work_dir as store

    graphs(tmp_path / "graphs")
    real = store.LocalStore.sync

    def sync(self: store.LocalStore, name: str) -> None:
        if name.startswith("parts/"):
            raise OSError(errno.EIO, "Input/output error")
        real(self, name)

    monkeypatch.setattr(store.LocalStore, "sync", sync)
    with pytest.raises(OutputError, match="cannot be written: .*Input/output error"):
        aggregate_graphs([tmp_path / "graphs"], tmp_path / "stats", threads=1)
    assert not (tmp_path / "stats").exists()
    monkeypatch.undo()
    aggregate_graphs([tmp_path / "graphs"], tmp_path / "stats", threads=1)


def test_signs_in_file_names_are_part_of_the_name(tmp_path: Path) -> None:
    """A `#` or `!` in a name is no line and no member: forgetting one reject must not forget another's."""
    folder = tmp_path / "graphs"
    graphs(folder, 3)
    for name in ("a.json", "a.json#b.json", "a.json!b.json", "a#1.jsonl"):
        (folder / name).write_text("no graph")
    aggregate_graphs([folder], tmp_path / "stats", threads=1)
    rejects = pl.read_parquet(tmp_path / "stats" / "rejects.parquet")
    assert dict(rejects.select("path", "file").rows()) == {
        "graphs/a.json": "graphs/a.json",
        "graphs/a.json#b.json": "graphs/a.json#b.json",
        "graphs/a.json!b.json": "graphs/a.json!b.json",
        "graphs/a#1.jsonl#1": "graphs/a#1.jsonl",
    }
    assert rejects.filter(pl.col("member").is_not_null()).select("path", "member").rows() == [
        ("graphs/a#1.jsonl#1", "1")
    ]
    factories.write(folder / "a.json", factories.random_graph(40))
    graphs(folder, 1, first=50)
    aggregate_graphs([folder], tmp_path / "stats", threads=1)
    left = pl.read_parquet(tmp_path / "stats" / "rejects.parquet")["path"].to_list()
    assert "graphs/a.json" not in left
    assert {"graphs/a.json#b.json", "graphs/a.json!b.json", "graphs/a#1.jsonl#1"} <= set(left)


@pytest.mark.slow
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_space(tmp_path: Path) -> None:
    graphs(tmp_path / "graphs", 40, neurons=400, links=3000)
    disk = tmp_path / "disk"
    disk.mkdir()
    done = in_namespace(
        f"mount -t tmpfs -o size=1500k none {disk} || exit 77; {ATLAS} aggregate {tmp_path}/graphs -o {disk}/stats; echo code $?; "
        f"ls {disk}/.stats.work/tasks | wc -l; mount -o remount,size=64m {disk}; "
        f"{ATLAS} aggregate {tmp_path}/graphs -o {disk}/stats; echo code $?; cp -r {disk}/stats {shlex.quote(str(tmp_path))}/stats"
    )
    if done.returncode == 77:
        pytest.skip("no mount namespace here")
    first, kept, second = done.stdout.split("\n")[:3]
    assert (first, second) == ("code 1", "code 0")
    assert int(kept) > 0
    assert "disk full while writing" in lines(done)[0]
    assert "free some space" in lines(done)[0]
    aggregate_graphs([tmp_path / "graphs"], tmp_path / "whole")
    assert bytes_of(tmp_path / "stats") == bytes_of(tmp_path / "whole")


def test_damaged_spill_files_are_named(tmp_path: Path) -> None:
    from atlas.io.run_files import RunFile

    for content in (b"", b"short", b"x" * 1000):
        (tmp_path / "a.runs").write_bytes(content)
        with pytest.raises(AtlasError, match="a.runs in .* is damaged .*; run again with --fresh"):
            RunFile(store.open_store(tmp_path), "a.runs")


def test_the_bookkeeping_is_per_graph_and_per_file(tmp_path: Path) -> None:
    graphs(tmp_path / "g", 3)
    (tmp_path / "g" / "x.jsonl").write_text("\n".join(["{}", (tmp_path / "g" / "graph_00000.json").read_text()]))
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats")
    files = pq.read_table(tmp_path / "stats" / "files.parquet").to_pylist()
    assert [(row["path"], row["graph_count"], row["reject_count"]) for row in files] == [
        ("g/graph_00000.json", 1, 0),
        ("g/graph_00001.json", 1, 0),
        ("g/graph_00002.json", 1, 0),
        ("g/x.jsonl", 0, 2),
    ]
    for row in files:
        stat = (tmp_path / row["path"]).stat()
        assert (row["size_bytes"], row["mtime_ns"]) == (stat.st_size, stat.st_mtime_ns)


@pytest.mark.parametrize("kind", ["graphs", "observations"])
def test_what_a_killed_run_left_is_not_taken_for_another(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while parts were written, then files are added; killed after the swap, then files are added."""
    from test_observations import assert_equals_polars, made, table

    from atlas.aggregate import finalize

    observed = made(30)
    loops = [factories.random_graph(seed) for seed in range(30)]

    def write(first: int, last: int) -> None:
        if kind == "observations":
            (tmp_path / "g").mkdir(exist_ok=True)
            mine = [row for row in observed if first <= row[0] < last]
            pq.write_table(table(mine), tmp_path / "g" / f"{first:02d}.parquet", row_group_size=50)
        else:
            for number in range(first, last):
                factories.write(tmp_path / "g" / f"{number:02d}.json", loops[number])

    def check(last: int) -> None:
        if kind == "observations":
            assert_equals_polars(tmp_path / "stats", [row for row in observed if row[0] < last])
        else:
            assert_equals_loop(tmp_path / "stats", loops[:last])

    def dies(where: str, owner: type) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(owner, where, lambda *_, **__: (_ for _ in ()).throw(OutputError("killed")))
            with pytest.raises(OutputError, match="killed"):
                aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)

    write(0, 10)
    dies("write_stats", finalize)
    assert list((tmp_path / ".stats.work" / "parts" / "edges").iterdir())
    write(10, 15)
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    check(15)
    # The work is left behind after the new folder is in place.
    write(15, 20)
    real, calls = store.LocalStore.remove, []
    monkeypatch.setattr(
        store.LocalStore, "remove", lambda self: calls.append(self) or (real(self) if len(calls) < 2 else None)
    )
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    monkeypatch.undo()
    assert (tmp_path / ".stats.work").exists()
    check(20)
    write(20, 30)
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    check(30)
    assert not (tmp_path / ".stats.work").exists()


def test_a_copy_of_a_dataset_file_is_refused(tmp_path: Path) -> None:
    from test_observations import made, table

    (tmp_path / "g").mkdir()
    for name in ("a", "b"):
        pq.write_table(table(made(5)), tmp_path / "g" / f"{name}.parquet")
    with pytest.raises(InputError, match=r"g/b.parquet is a copy of g/a.parquet"):
        aggregate_graphs([tmp_path / "g"], tmp_path / "stats")
    (tmp_path / "g" / "b.parquet").unlink()
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats")
    pq.write_table(table(made(5)), tmp_path / "g" / "b.parquet")
    with pytest.raises(InputError, match=r"g/b.parquet is a copy of g/a.parquet"):
        aggregate_graphs([tmp_path / "g"], tmp_path / "stats")


def test_a_fresh_run_that_was_stopped_goes_on_fresh(
    tmp_path: Path, small_budget: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from atlas.aggregate import api

    graphs(tmp_path / "g", 10)
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    factories.write(tmp_path / "g" / "graph_00003.json", factories.random_graph(500))
    with monkeypatch.context() as patch:
        patch.setattr(api, "reduce_and_finalize", lambda *_, **__: (_ for _ in ()).throw(OutputError("killed")))
        with pytest.raises(OutputError):
            aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1, fresh=True)
    tasks = {path: path.stat().st_mtime_ns for path in (tmp_path / ".stats.work" / "tasks").iterdir()}
    seen = {}
    real = api.reduce_and_finalize
    monkeypatch.setattr(
        api,
        "reduce_and_finalize",
        lambda *a, **k: seen.update({p: p.stat().st_mtime_ns for p in tasks}) or real(*a, **k),
    )
    assert aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1, fresh=True).graphs == 10
    assert seen == tasks


def test_an_aggregator_adds_to_what_is_there(tmp_path: Path) -> None:
    from test_observations import SPACE, assert_equals_polars, batches, made, table

    from atlas.aggregate import Aggregator

    observed = made()
    hashes = {graph: f"{graph:064x}" for graph in range(40)}
    for part in (batches(observed)[:2], batches(observed)):
        with Aggregator(tmp_path / "stats", space=SPACE, threads=1) as aggregator:
            for batch in part:
                aggregator.add(table(batch), hashes=hashes)
    assert_equals_polars(tmp_path / "stats", observed)


def test_two_copies_of_a_counted_graph_end(tmp_path: Path, small_budget: None) -> None:
    """Once an endless loop: each pass left out one copy and let the other in."""
    made = graphs(tmp_path / "g", 3)
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    for name in ("x", "y", "z"):
        factories.write(tmp_path / "g" / f"{name}.json", factories.random_graph(0))
    made += graphs(tmp_path / "g", 1, first=3)
    summary = aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    assert (summary.graphs, summary.rejects) == (4, {"duplicate": 3})
    assert_equals_loop(tmp_path / "stats", made)


def test_rejected_members_are_listed_once_however_often_they_are_tried(tmp_path: Path) -> None:
    graphs(tmp_path / "g", 2)
    (tmp_path / "g" / "bad.jsonl").write_text("{}\n[]\n")
    for count in (2, 3, 4):
        graphs(tmp_path / "g", 1, first=count)
        aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
        assert [row["path"] for row in rows(tmp_path / "stats", "rejects")] == ["g/bad.jsonl#1", "g/bad.jsonl#2"]


def test_an_unfinished_run_lets_bad_files_be_repaired_and_good_ones_be_touched(
    tmp_path: Path, small_budget: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from atlas.aggregate import api

    made = graphs(tmp_path / "g", 10)
    for name in ("a_bad.json", "b_bad.json"):
        (tmp_path / "g" / name).write_text("{")
    with monkeypatch.context() as patch:
        patch.setattr(api, "reduce_and_finalize", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    os.utime(tmp_path / "g" / "graph_00002.json", ns=(5, 5))
    factories.write(tmp_path / "g" / "a_bad.json", factories.random_graph(50))
    (tmp_path / "g" / "b_bad.json").unlink()
    summary = aggregate_graphs([tmp_path / "g"], tmp_path / "stats", threads=1)
    assert (summary.graphs, summary.rejects) == (11, {})
    assert_equals_loop(tmp_path / "stats", [factories.random_graph(50), *made])
