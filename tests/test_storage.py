"""Atomic folders: a reader finds the old one or the new one, and nobody's files are lost."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from atlas.database import Inputs, build_database
from atlas.errors import NewerVersion, OutputError, StageError
from atlas.io import files as storage
from atlas.io.files import only_writer, replaced_file, write_error, write_json
from atlas.pipeline import aggregate_graphs
from atlas.stages import is_whole
from atlas.stages.manifest import MANIFEST, VERSION, read_manifest, replaced_folder


def write(target: Path, text: str) -> None:
    with replaced_folder(target, "stats") as folder:
        (folder / "data").write_text(text)
        write_json({"stage": "stats", "space": {}, "method": "relp", "inputs": []}, folder / MANIFEST)


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    write(tmp_path / "out", "one")
    (tmp_path / "out" / "extra").write_text("from an earlier version")
    write(tmp_path / "out", "two")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["data", MANIFEST]
    assert (tmp_path / "out" / "data").read_text() == "two"


def test_a_failure_leaves_the_old_folder_and_no_rest(tmp_path: Path) -> None:
    write(tmp_path / "out", "one")
    with pytest.raises(ZeroDivisionError), replaced_folder(tmp_path / "out", "stats") as folder:
        (folder / "data").write_text("two")
        raise ZeroDivisionError
    assert (tmp_path / "out" / "data").read_text() == "one"
    assert {path.name for path in tmp_path.iterdir()} == {"out", ".out.lock"}


def test_a_kill_between_the_two_renames_is_repaired(tmp_path: Path) -> None:
    write(tmp_path / "out", "one")
    (tmp_path / "out").rename(tmp_path / ".out.old")
    (tmp_path / ".out.new").mkdir()
    with pytest.raises(ZeroDivisionError), replaced_folder(tmp_path / "out", "stats"):
        raise ZeroDivisionError
    assert (tmp_path / "out" / "data").read_text() == "one"


def test_other_peoples_folders_and_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "x").write_text("x")
    (tmp_path / "file").write_text("x")
    write(tmp_path / "out", "one")
    for name, stage in (("dir", "stats"), ("file", "stats"), ("out", "clusters")):
        with pytest.raises(OutputError, match="holds no|is a file"), replaced_folder(tmp_path / name, stage):
            pass
    assert (tmp_path / "dir" / "x").read_text() == "x"


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", "one")
    assert (tmp_path / "out" / "data").read_text() == "one"


def test_the_lock_is_exclusive_and_ends_with_the_block(tmp_path: Path) -> None:
    with only_writer(tmp_path / "x"), pytest.raises(OutputError, match="another process"), only_writer(tmp_path / "x"):
        pass
    with only_writer(tmp_path / "x"):
        pass


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk full while writing"),
        (OSError("write failed: No space left on device"), "disk full"),
        (OSError(errno.EROFS, "Read-only file system"), "cannot be written .*choose another -o"),
        (OSError(errno.EACCES, "Permission denied"), "cannot be written .*choose another -o"),
        (OSError("two\nlines"), "cannot be written: two lines"),
    ],
)
def test_refusals_of_the_system_say_what_to_do(error: OSError, said: str) -> None:
    import re

    assert re.search(said, str(write_error(Path("out"), error)))


@pytest.mark.parametrize("content", [None, "{", "[]", '{"stage": "labels"}'])
def test_a_folder_of_another_stage_or_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(StageError):
        read_manifest(tmp_path, "stats")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """Once, the link was replaced and every later run failed."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for text in ("one", "two"):
        write(tmp_path / "link", text)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "data").read_text() == "two"


def test_odd_leftovers_are_no_dead_end(tmp_path: Path) -> None:
    (tmp_path / ".out.new").write_text("a file")
    (tmp_path / ".out.old").symlink_to(tmp_path)
    write(tmp_path / "out", "one")
    assert (tmp_path / "out" / "data").read_text() == "one"


@pytest.mark.parametrize(
    ("manifest", "taken"),
    [
        ("", True),
        ('{"sta', True),
        ('{"stage": "stats"}', True),
        ('{"stage": "labels"}', False),
        ('{"name": "npm"}', False),
        ("[]", False),
    ],
)
def test_a_manifest_that_a_power_cut_emptied_is_no_dead_end(tmp_path: Path, manifest: str, taken: bool) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MANIFEST).write_text(manifest)
    (tmp_path / "out" / "edges.parquet").write_text("x")
    if taken:
        write(tmp_path / "out", "one")
    else:
        with pytest.raises(OutputError):
            write(tmp_path / "out", "one")


@pytest.mark.parametrize(
    ("version", "kind", "told"),
    [
        (99, NewerVersion, "was written by a newer version of circuit-atlas .* update circuit-atlas"),
        (1, StageError, "is of version 1, this one reads 7; run the stats stage again"),
        ("7", StageError, "is of version 7, this one reads 7"),
    ],
)
def test_the_version_of_a_stage_is_read(
    tmp_path: Path, small_atlas: Path, version: object, kind: type[StageError], told: str
) -> None:
    shutil.copytree(small_atlas.parent / "stats", tmp_path / "stats")
    manifest = read_manifest(tmp_path / "stats", "stats")
    assert is_whole(tmp_path / "stats", "stats")
    write_json(manifest | {"version": version}, tmp_path / "stats" / MANIFEST)
    assert not is_whole(tmp_path / "stats", "stats")
    with pytest.raises(kind, match=told):
        build_database(tmp_path / "a.duckdb", Inputs(tmp_path / "stats"))
    if kind is NewerVersion:
        with pytest.raises(kind, match=told):
            aggregate_graphs([small_atlas.parent / "graphs"], tmp_path / "stats")


@pytest.mark.parametrize("stage", ["stats", "clusters", "labels"])
def test_every_stage_states_its_version(small_atlas: Path, stage: str) -> None:
    assert read_manifest(small_atlas.parent / stage, stage)["version"] == VERSION


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(ZeroDivisionError), replaced_file(tmp_path / "a") as fresh:
        fresh.write_text("half")
        raise ZeroDivisionError
    assert (tmp_path / "a").read_text() == "old"
    with replaced_file(tmp_path / "link") as fresh:
        fresh.write_text("new")
    assert (tmp_path / "a").read_text() == "new"
    assert (tmp_path / "link").is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"a", "link"}


def test_a_rename_is_on_the_disk_with_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(storage, "sync", synced.append)
    write(tmp_path / "out", "one")
    assert synced[-1] == tmp_path
    assert {path.name for path in synced} >= {MANIFEST, "data", ".out.new"}
    synced.clear()
    with replaced_file(tmp_path / "file") as fresh:
        fresh.write_text("x")
    assert synced[-1] == tmp_path
