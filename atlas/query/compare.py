"""Comparison of two atlases or stats folders per neuron and edge: differences, intervals, false discovery rates."""

from __future__ import annotations

import glob
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from atlas._version import __version__
from atlas.database import open_atlas
from atlas.database.scripts import quoted, script
from atlas.errors import InputError, OutputError, SpaceMismatch
from atlas.io.files import only_writer, rename, sync, translated_os_errors
from atlas.stages import DATASETS, require
from atlas.stages.manifest import read_manifest

_STORAGE_VERSION = "v1.2.0"
_OF_ATLAS = {
    "neurons": "SELECT layer, neuron, label, appearance_count AS graph_count FROM {0}.neurons",
    "edges": "SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, count, graph_count, mean_weight, std_weight FROM {0}.edges WHERE method <> 'weight_graph'",
}
_DEVIATION = "sqrt(greatest(weight_sq_sum / count - (weight_sum / count) ** 2, 0))"
_OF_STATS = {
    "neurons": "SELECT layer, neuron, NULL::VARCHAR AS label, graph_count FROM {neurons}",
    "edges": "SELECT src_layer, src_neuron, tgt_layer, tgt_neuron, count, graph_count, weight_sum / count AS mean_weight, "
    f"CASE WHEN weight_sq_sum IS NOT NULL THEN {_DEVIATION} END AS std_weight FROM {{edges}} WHERE method <> 'weight_graph'",
}


@dataclass(frozen=True)
class Comparison:
    """Result of a comparison: counts, and numbers of differences at a false discovery rate of 5 %."""

    path: Path
    graphs: tuple[int | None, int | None]
    neurons: int
    edges: int
    different_neurons: int
    different_edges: int  # in frequency
    different_means: int
    seconds: float


def compare(left: Path, right: Path, out: Path, *, memory: int = 4_000_000_000) -> Comparison:
    """Write the comparison of two atlases or stats folders to the DuckDB file `out` (replaced if it is a comparison).

    Raises `SpaceMismatch` where they are of different models or transcoders, `InputError`, `AtlasFileError`,
    `OutputError`.
    """
    started = time.monotonic()
    out = out.resolve()
    for path in (left, right):
        if not path.exists():
            raise InputError(f"{path} does not exist; give two atlas files or stats folders")
    spaces = [_space(path) for path in (left, right)]
    if spaces[0] != spaces[1]:
        raise SpaceMismatch(
            f"{left} is of {_named(spaces[0])}, {right} of {_named(spaces[1])}; neurons of two feature spaces cannot be compared"
        )
    with only_writer(out):
        _refuse_foreign(out)
        fresh = out.parent / f".{out.name}.new"
        fresh.unlink(missing_ok=True)
        try:
            with translated_os_errors(out):
                found = _write(fresh, (left, right), memory)
                sync(fresh)
                rename(fresh, out)
        finally:
            fresh.unlink(missing_ok=True)
            fresh.with_name(fresh.name + ".wal").unlink(missing_ok=True)
    graphs, counts = found
    return Comparison(out, graphs, **counts, seconds=time.monotonic() - started)


def _space(path: Path) -> tuple[str, str | None, str]:
    """Return model, transcoder set and unit type of an atlas or a stats folder."""
    if path.is_dir():
        space = read_manifest(path, "stats")["space"]
        return str(space["model"]), space["transcoder_set"], str(space["unit_type"])
    with open_atlas(path) as con:
        facts = dict(con.execute("SELECT key, value FROM metadata").fetchall())
    return facts.get("model", "unknown"), facts.get("transcoder_set"), facts.get("unit_type", "neuron")


def _named(space: tuple[str, str | None, str]) -> str:
    return " ".join(part for part in space if part)


def _refuse_foreign(out: Path) -> None:
    if not out.exists():
        return
    try:
        with duckdb.connect(str(out), read_only=True) as con:
            is_ours = con.execute("SELECT count(*) FROM metadata WHERE key = 'comparison_of'").fetchall() == [(1,)]
    except duckdb.Error:
        is_ours = False
    if not is_ours:
        raise OutputError(f"{out} exists and is no comparison; choose another -o, or remove it first")


def _write(fresh: Path, given: tuple[Path, Path], memory: int) -> tuple[tuple[int | None, int | None], dict[str, int]]:
    spill = str(fresh.with_name(fresh.name + ".tmp"))
    with duckdb.connect(config={"memory_limit": f"{memory // 10**6}MB", "temp_directory": spill}) as con:
        graphs = _attach(con, "a", given[0]), _attach(con, "b", given[1])
        con.execute(f"ATTACH {quoted(str(fresh))} AS comparison (STORAGE_VERSION '{_STORAGE_VERSION}')")
        con.execute("USE comparison")
        con.execute(script("compare"))
        con.execute("CREATE TABLE metadata (key VARCHAR NOT NULL, value VARCHAR, PRIMARY KEY (key))")
        facts: dict[str, Any] = {
            "comparison_of": f"{given[0].name}, {given[1].name}",
            "tool": "circuit-atlas",
            "tool_version": __version__,
            "graphs_a": graphs[0],
            "graphs_b": graphs[1],
        }
        con.executemany(
            "INSERT INTO metadata VALUES (?, ?)",
            [[key, str(value)] for key, value in facts.items() if value is not None],
        )
        con.execute("COMMENT ON TABLE metadata IS 'What was compared.'")
        asked = {
            "neurons": "SELECT count(*) FROM neurons",
            "edges": "SELECT count(*) FROM edges",
            "different_neurons": "SELECT count(*) FROM neurons WHERE q_value < 0.05",
            "different_edges": "SELECT count(*) FROM edges WHERE q_value < 0.05",
            "different_means": "SELECT count(*) FROM edges WHERE mean_q_value < 0.05",
        }
        counts = {name: int(con.execute(sql).fetchall()[0][0]) for name, sql in asked.items()}
        con.execute("USE memory")
        con.execute("DETACH comparison")
    return graphs, counts


def _attach(con: duckdb.DuckDBPyConnection, name: str, path: Path) -> int | None:
    """Create the catalog of one side; return its number of graphs, None where that is unknown."""
    con.execute(f"ATTACH ':memory:' AS {name}")
    if path.is_dir():
        manifest = read_manifest(path, "stats")
        sources = {}
        for dataset in ("neurons", "edges", "graphs"):
            given = require(path, DATASETS[f"stats.{dataset}"])
            pattern = glob.escape(str(given)) + ("/*.parquet" if given.is_dir() else "")
            sources[dataset] = f"read_parquet({quoted(pattern)})"
        views = {key: sql.format(**sources) for key, sql in _OF_STATS.items()}
        count = con.execute(f"SELECT count(*) FROM {sources['graphs']}").fetchall()[0][0]
        graphs, quality = count or manifest.get("graphs_stated"), manifest.get("stat_quality", "exact")
        is_cut = manifest.get("options", {}).get("min_count", 1) > 1 or manifest["method"] == "weight_graph"
    else:
        con.execute(f"ATTACH {quoted(str(path))} AS source_{name} (READ_ONLY)")
        views = {key: sql.format(f"source_{name}") for key, sql in _OF_ATLAS.items()}
        facts = dict(con.execute(f"SELECT key, value FROM source_{name}.metadata").fetchall())
        graphs = int(facts.get("total_graphs", 0)) or int(facts.get("graphs_stated", 0)) or None
        quality = facts.get("stat_quality", "exact")
        is_cut = facts.get("min_edge_count", "1") != "1" or facts.get("method") == "weight_graph"
    for view, sql in views.items():
        con.execute(f"CREATE VIEW {name}.{view} AS {sql}")
    con.execute(
        f"CREATE TABLE {name}.facts AS SELECT $graphs::BIGINT AS graphs, $is_whole AS is_whole",
        {"graphs": graphs, "is_whole": quality != "mean_only" and not is_cut},
    )
    return graphs
