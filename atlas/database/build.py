"""Build of one DuckDB file from the Parquet datasets of the stages, beside the target, checked, then renamed."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from atlas._version import __version__
from atlas.database.beside import attach_new, place_beside, refuse_foreign_beside, write_beside
from atlas.database.check import run_checks
from atlas.database.connect import SCHEMA_VERSION, activations_file, graphs_folder, open_atlas
from atlas.database.definitions import create_tables, create_views
from atlas.database.experiments import build_run, runs_of, write_runs
from atlas.database.inputs import BESIDE, Inputs, attach_inputs, embeds_activations, place_of_graphs
from atlas.database.map_discs import write_map
from atlas.database.scripts import script
from atlas.errors import AtlasError, AtlasFileError, CheckError, InputError, OutputError
from atlas.io.files import (
    only_writer,
    recover_folder,
    rename,
    swap_folder,
    sync,
    translated_os_errors,
    write_error,
)
from atlas.stages import DATASETS
from atlas.stages.manifest import read_manifest

# Scripts that fill the tables, in order.
_LOAD = ("load_clusters", "load_labels", "load", "load_terms", "load_circuits", "load_card")
Report = Callable[[str], None]


@dataclass(frozen=True)
class BuildResult:
    """Result of a build: path, counts, build time and file size of the atlas."""

    path: Path
    counts: dict[str, int]
    seconds: float
    size_bytes: int


def build_database(out: Path, inputs: Inputs, *, report: Report | None = None) -> BuildResult:
    """Build an atlas file. Readers see the old file or the whole new one.

    Args:
        out: Atlas file, which is replaced.
        inputs: Folders of the stages, and metadata of the atlas.
        report: Called with the name of each step.

    Returns:
        Path, counts, build time and file size of the atlas.

    Raises:
        CheckError: The rows contradict each other. No file is written.
        OutputError: The file cannot be written.
        StageError: A folder is not a whole stage.
        UsageError: The inputs do not fit together.
    """
    started = time.monotonic()
    out = out.resolve()
    with only_writer(out):
        refuse_foreign(out)
        fresh = out.parent / f".{out.name}.new"
        _remove(fresh)
        try:
            counts = _write(fresh, inputs, report or (lambda _: None))
            with translated_os_errors(out):
                size = fresh.stat().st_size
                sync(fresh)
                _place_graphs(out, inputs)
                place_beside(fresh, out)
                rename(fresh, out)
        except duckdb.Error as error:
            raise _translated(out, error) from error
        finally:
            _remove(fresh)
    return BuildResult(out, counts, time.monotonic() - started, size)


def _place_graphs(out: Path, inputs: Inputs) -> None:
    """Put the nodes and links of graphs beside the atlas, or remove what an earlier atlas had there."""
    target = graphs_folder(out)
    recover_folder(target)
    if place_of_graphs(inputs) == BESIDE:
        fresh = target.with_name(f".{target.name}.new")
        for name in ("graph_nodes", "graph_links"):
            shutil.copytree(DATASETS[f"stats.{name}"].path(inputs.stats), fresh / name)
        swap_folder(fresh, target)
    else:
        shutil.rmtree(target, ignore_errors=True)


def refuse_foreign(out: Path) -> None:
    """Refuse to replace a file that is not an atlas, so that a mistyped -o never removes other work.

    Args:
        out: File to be written.

    Raises:
        OutputError: The file exists and is not an atlas.
    """
    refuse_foreign_beside(out)
    if not out.exists():
        return
    with translated_os_errors(out), out.open("rb") if out.is_file() else contextlib.nullcontext() as stream:
        head = stream.read(12) if stream is not None else b""
    if head[8:] == b"DUCK":
        try:
            open_atlas(out).close()
        except AtlasFileError as error:
            # A damaged atlas, or one of another version of this tool, may be replaced; any other database may not.
            if error.reason in ("damaged", "schema"):
                return
        else:
            return
    raise OutputError(f"{out} exists and is no atlas; choose another -o, or remove it first")


def _translated(out: Path, error: duckdb.Error) -> AtlasError:
    text = " ".join(str(error).split())
    refused = isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException | duckdb.FatalException)
    # A commit that the disk refuses is a transaction's error, or an internal one.
    if refused or "No space left" in text:
        return write_error(out, error)
    return InputError(f"{out} was not built, the inputs do not fit together: {text[:400]}")


def _remove(path: Path) -> None:
    """Remove an unfinished file and the files that DuckDB writes beside it, also after a kill."""
    beside = activations_file(path)
    for rest in (path, beside):
        rest.unlink(missing_ok=True)
        rest.with_name(rest.name + ".wal").unlink(missing_ok=True)
    shutil.rmtree(_spill(path), ignore_errors=True)


def _spill(path: Path) -> Path:
    # Spill beside the target, on the disk that the user has chosen for the atlas.
    return path.with_name(path.name + ".tmp")


def _write(fresh: Path, inputs: Inputs, report: Report) -> dict[str, int]:
    started = time.monotonic()
    with duckdb.connect(
        config={"temp_directory": str(_spill(fresh)), "memory_limit": f"{inputs.memory // 10**6}MB"}
    ) as con:
        report("reading stages")
        attach_inputs(con, inputs, _facts(inputs))
        attach_new(con, fresh, "atlas")
        con.execute("USE atlas")
        create_tables(con)
        for name in ("formulas", "probabilities", "counts"):
            con.execute(script(name))
        for statement in duckdb.extract_statements("".join(map(script, _LOAD))):
            table = re.search(r"INSERT INTO (\w+)", statement.query)
            report(f"writing {table[1]}" if table else "writing tables")
            con.execute(statement)
        report("writing views")
        create_views(con)
        report("laying out the map")
        write_map(con)
        report("checking")
        _require_checks(con)
        seconds = f"{time.monotonic() - started:.3f}"
        con.execute("INSERT INTO metadata VALUES ('seconds_atlas', $seconds)", {"seconds": seconds})
        counts = {key: int(value) for key, value in _totals(con)}
        out = fresh.name.removeprefix(".").removesuffix(".new")
        write_runs(con, [*runs_of(inputs), build_run(inputs, out, counts, float(seconds))])
        con.execute("USE memory")
        con.execute("DETACH atlas")
        if inputs.stores and not embeds_activations(inputs):
            report("writing activations beside")
            write_beside(con, activations_file(fresh))
    return counts


def _activation_facts(inputs: Inputs) -> dict[str, object]:
    """Return the metadata about the stores of activations, of the main one without prefix; none without a store."""
    facts: dict[str, object] = {}
    for number, store in enumerate(inputs.stores):
        prefix = "activation_" if number == 0 else f"activation_{number + 1}_"
        space, counts = store.manifest["space"], store.manifest["counts"]
        names = ("model", "hook", "unit_type", "value_kind", "window", "dictionary")
        facts |= {prefix + name: space.get(name) for name in names}
        facts[f"{prefix}tokens_looked_at"] = counts["tokens"]
    if facts:
        facts["activations"] = "embed" if embeds_activations(inputs) else "beside"
    return facts


def _facts(inputs: Inputs) -> dict[str, str]:
    """Return the metadata that are known before the tables are loaded."""
    manifest = read_manifest(inputs.stats, "stats")
    space = manifest["space"]
    facts = {
        "atlas_schema": str(SCHEMA_VERSION),
        "atlas_id": uuid.uuid4().hex,
        "tool": "circuit-atlas",
        "tool_version": __version__,
        "duckdb_version": duckdb.__version__,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "model": space["model"],
        "transcoder_set": space["transcoder_set"],
        "unit_type": space["unit_type"],
        "method": manifest["method"],
        **{name: space.get(name) for name in ("link_weight", "rules", "baseline", "metric")},
        "graph_inputs": ", ".join(manifest["inputs"]),
        "stat_quality": manifest.get("stat_quality", "exact"),
        "graphs_stated": manifest.get("graphs_stated"),
        "cooccurrence_method": (manifest.get("cooccurrence") or {}).get("method"),
        "cooccurrence_min_graphs": (manifest.get("cooccurrence") or {}).get("min_joint_graph_count"),
        "graph_links": place_of_graphs(inputs),
        "strong_share": inputs.strong_share,
        "min_edge_count": max(inputs.min_count, manifest.get("options", {}).get("min_count", 1)),
        **_activation_facts(inputs),
        **inputs.metadata,
    }
    if inputs.labels is not None:
        facts["label_precedence"] = json.dumps(read_manifest(inputs.labels, "labels").get("precedence"))
    return {key: str(value) for key, value in facts.items() if value is not None}


def _require_checks(con: duckdb.DuckDBPyConnection) -> None:
    failed = [result.describe() for result in run_checks(con) if not result.passed]
    if failed:
        raise CheckError(f"the inputs contradict each other, nothing was written: {' | '.join(failed)}")


def _totals(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    sql = "SELECT key, value FROM metadata WHERE try_cast(value AS BIGINT) IS NOT NULL AND key SIMILAR TO $keys ORDER BY key"
    return con.execute(sql, {"keys": "(total|labels|links|labelled|clustered|rejected)_.*"}).fetchall()
