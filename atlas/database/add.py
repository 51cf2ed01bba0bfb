"""Addition of a clustering, or of labels, to an atlas that is there, without building the rest again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from atlas.database.beside import attach_new
from atlas.database.build import refuse_foreign
from atlas.database.check import run_checks
from atlas.database.connect import activations_file, graphs_folder, open_atlas
from atlas.database.experiments import run_of, write_runs
from atlas.database.inputs import clustering_tables
from atlas.database.map_discs import write_map
from atlas.database.scripts import script
from atlas.database.tables import arrow_table
from atlas.errors import CheckError, InputError, StageError, UsageError
from atlas.io.files import only_writer, rename, sync, translated_os_errors
from atlas.stages import DATASETS, require
from atlas.stages.manifest import read_manifest

Report = Callable[[str], None]
KINDS = ("clusters", "labels")


def add_stage(
    path: Path, folder: Path, *, out: Path | None = None, primary: bool = False, report: Report | None = None
) -> str:
    """Add the clustering or the labels of a stage's folder to an atlas. Readers see the old file or the whole new one.

    A clustering replaces one of the same name. Added labels come before those that are there.

    Args:
        path: Atlas file.
        folder: Folder of `atlas cluster`, `atlas import assignments` or `atlas import labels`.
        out: File to write; the atlas itself where None.
        primary: Make the clustering the primary one.
        report: Called with the name of each step.

    Returns:
        A line that says what was added.

    Raises:
        AtlasFileError: `path` is no atlas, or of another version.
        CheckError: The rows contradict each other. Nothing is written.
        InputError: The folder does not fit the atlas.
        OutputError: The file cannot be written.
        StageError: `folder` is of no such stage, or is damaged.
        UsageError: Labels cannot be primary.
    """
    kind = _kind_of(folder)
    if primary and kind != "clusters":
        raise UsageError("--primary is for a clustering; these are labels")
    tell = report or (lambda _: None)
    open_atlas(path).close()
    target = (out or path).resolve()
    with only_writer(target):
        refuse_foreign(target)
        fresh = target.with_name(f".{target.name}.new")
        try:
            with translated_os_errors(target):
                tell("copying the atlas")
                shutil.copyfile(path, fresh)
            line = _add(fresh, folder, kind, primary, tell)
            with translated_os_errors(target):
                sync(fresh)
                if target != path.resolve():
                    _copy_beside(path, target)
                rename(fresh, target)
        finally:
            for rest in (fresh, fresh.with_name(fresh.name + ".wal")):
                rest.unlink(missing_ok=True)
    return line


def _kind_of(folder: Path) -> str:
    for kind in KINDS:
        try:
            read_manifest(folder, kind)
        except StageError as error:
            wrong = error
        else:
            return kind
    raise StageError(
        f"{folder} is neither a clustering nor labels: give a folder of atlas cluster or atlas import labels ({wrong})"
    )


def _add(fresh: Path, folder: Path, kind: str, primary: bool, tell: Report) -> str:
    with duckdb.connect() as con:
        attach_new(con, fresh, "atlas")
        con.execute("USE atlas")
        con.execute("ATTACH ':memory:' AS input")
        con.execute(script("counts"))
        tell(f"adding {kind}")
        line = _add_clusters(con, folder, primary) if kind == "clusters" else _add_labels(con, folder)
        tell("writing circuits")
        con.execute(script("add_finish"))
        con.execute(script("load_circuits"))
        con.execute(script("load_card"))
        if kind == "clusters":
            write_map(con)
        size = sum(file.stat().st_size for file in folder.rglob("*.parquet"))
        con.execute("INSERT INTO sources VALUES ($1, $2, $3, NULL)", [folder.name, kind, size])
        write_runs(con, [run_of(folder, command="add")])
        failed = [result.describe() for result in run_checks(con) if not result.passed]
        if failed:
            raise CheckError(f"the added {kind} contradict the atlas, nothing was written: {' | '.join(failed)}")
        con.execute("USE memory")
        con.execute("DETACH atlas")
    return line


def _add_clusters(con: duckdb.DuckDBPyConnection, folder: Path, primary: bool) -> str:
    name, tables = clustering_tables(folder)
    known = con.execute("SELECT clustering, is_primary FROM clusterings").fetchall()
    is_overlapping = bool(tables["clusterings"]["is_overlapping"][0].as_py())
    was_primary = any(item == name and flag for item, flag in known)
    if is_overlapping and (primary or was_primary):
        raise UsageError(
            f"the clusters of {name!r} overlap, so it cannot be the primary clustering; give it another name"
        )
    is_primary = primary or was_primary or not (is_overlapping or any(flag for _, flag in known))
    flags = pa.array([is_primary], pa.bool_())
    tables["clusterings"] = tables["clusterings"].append_column("is_primary", flags)
    for table_name, table in tables.items():
        arrow_table(con, table_name, table)
    con.execute("SET VARIABLE clustering = $1", [name])
    con.execute("SET VARIABLE make_primary = $1", [is_primary])
    for step in ("add_clusters", "load_clusters", *(("add_primary",) if is_primary else ())):
        con.execute(script(step))
    lost = con.execute(
        "SELECT effect_count - (SELECT count(*) FROM circuit_effects) FROM input.effects_before"
    ).fetchall()[0][0]
    left = f"; {lost:,} causal effects of the earlier clusters are left out" if lost else ""
    count = len(tables["clusters"])
    what = "replaced" if any(item == name for item, _ in known) else "added"
    return f"{what} the clustering {name}: {count:,} clusters" + (", the primary one" if is_primary else "") + left


def _add_labels(con: duckdb.DuckDBPyConnection, folder: Path) -> str:
    facts = dict(con.execute("SELECT key, value FROM metadata").fetchall())
    unit = con.execute("SELECT any_value(unit_type) FROM neurons").fetchall()[0][0]
    names = ["neurons"] if unit == "neuron" else [facts[key] for key in ("transcoder_set",) if facts.get(key)]
    arrow_table(
        con,
        "parameters",
        pa.table(
            {
                "model": pa.array([facts.get("model")], pa.string()),
                "set_names": pa.array([names], pa.list_(pa.string())),
            }
        ),
    )
    labels = pq.read_table(require(folder, DATASETS["labels.labels"])).select(DATASETS["labels.labels"].schema.names)
    if not len(labels):
        raise InputError(f"{folder} holds no label")
    arrow_table(con, "labels", labels)
    con.execute("CREATE VIEW input.neurons AS SELECT layer, neuron FROM atlas.neurons")
    for step in ("add_labels", "load_labels", "show_labels", "load_terms"):
        con.execute(script(step))
    shown = con.execute(
        "SELECT count(*) FROM input.labels_here AS l JOIN neurons AS n USING (layer, neuron) WHERE l.is_of_atlas"
    )
    return f"added {len(labels):,} labels, {shown.fetchall()[0][0]:,} of neurons of the atlas"


def _copy_beside(path: Path, target: Path) -> None:
    """Copy the files beside an atlas, which hold activations and the links of graphs."""
    for source, copy in (
        (activations_file(path), activations_file(target)),
        (graphs_folder(path), graphs_folder(target)),
    ):
        if source.is_dir():
            shutil.copytree(source, copy, dirs_exist_ok=True)
        elif source.exists():
            shutil.copyfile(source, copy)
