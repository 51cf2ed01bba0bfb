"""Comparison of two atlases or stats folders per neuron and edge: differences, intervals, false discovery rates."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from atlas._version import __version__
from atlas.database import open_atlas
from atlas.database.scripts import quoted, script
from atlas.errors import InputError, OutputError, SpaceMismatch, UsageError
from atlas.io.files import only_writer, rename, sync, translated_os_errors
from atlas.query.compare_sides import Side, attach, match_groups, select_graphs
from atlas.runtime.interrupts import interruptible
from atlas.stages.manifest import read_manifest

_STORAGE_VERSION = "v1.2.0"
_GROUP_COUNTS = {
    "groups_a": "SELECT count(*) FILTER (graphs_a > 0) FROM groups",
    "groups_b": "SELECT count(*) FILTER (graphs_b > 0) FROM groups",
    "shared_groups": "SELECT count(*) FILTER (graphs_a > 0 AND graphs_b > 0) FROM groups",
}
_TEST_COUNTS = {
    "neurons": "SELECT count(*) FROM neurons",
    "edges": "SELECT count(*) FROM edges",
    "tested_neurons": "SELECT count(p_value) FROM neurons",
    "tested_edges": "SELECT count(p_value) FROM edges",
    "tested_means": "SELECT count(mean_p_value) FROM edges",
    "different_neurons": "SELECT count(*) FROM neurons WHERE q_value < 0.05",
    "different_edges": "SELECT count(*) FROM edges WHERE q_value < 0.05",
    "different_means": "SELECT count(*) FROM edges WHERE mean_q_value < 0.05",
}


@dataclass(frozen=True)
class Comparison:
    """Result of a comparison: counts, and numbers of differences at a false discovery rate of 5 %."""

    path: Path
    graphs: tuple[int | None, int | None]
    groups: tuple[int, int]  # of prompts; 0 where graphs are taken as independent
    shared_groups: int
    neurons: int
    edges: int
    tested_neurons: int
    tested_edges: int  # in frequency
    tested_means: int
    different_neurons: int
    different_edges: int  # in frequency
    different_means: int
    seconds: float

    @property
    def detectable(self) -> float | None:
        """Difference of frequencies that is found with a probability of 80 % by one test; None where groups are unknown.

        (1.96 + 0.84) standard errors of a frequency of one half, with groups as draws: Cohen, 1988, chapter 6.
        """
        if not all(self.groups):
            return None
        return min(2.8 * math.sqrt(0.25 * sum(1 / count for count in self.groups)), 1.0)


def compare(
    left: Path,
    right: Path,
    out: Path,
    *,
    where_a: str | None = None,
    where_b: str | None = None,
    memory: int = 4_000_000_000,
) -> Comparison:
    """Write the comparison of two corpora to a DuckDB file. The unit of replication is the group of prompts.

    Args:
        left: Atlas or stats folder of side A.
        right: Atlas or stats folder of side B; may be the same atlas.
        out: File to write; an earlier comparison is replaced.
        where_a: SQL condition on the table `graphs` of an atlas: the graphs of side A. All if None.
        where_b: The same of side B. If None and both sides are one atlas, side B is the graphs that `where_a` leaves.
        memory: Bytes that DuckDB may take before it spills.

    Returns:
        Counts, and numbers of differences.

    Raises:
        SpaceMismatch: The two are of different models or transcoders.
        InputError: A path does not exist, or no graph has a condition.
        AtlasFileError: A file is not an atlas.
        OutputError: `out` cannot be written, or is not a comparison.
        UsageError: A condition is no SQL.
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
    sides = _sides(left, right, where_a, where_b)
    with only_writer(out):
        _refuse_foreign(out)
        fresh = out.parent / f".{out.name}.new"
        fresh.unlink(missing_ok=True)
        try:
            with translated_os_errors(out):
                found = _write(fresh, sides, memory)
                sync(fresh)
                rename(fresh, out)
        finally:
            fresh.unlink(missing_ok=True)
            fresh.with_name(fresh.name + ".wal").unlink(missing_ok=True)
    graphs, counts = found
    groups = (counts.pop("groups_a"), counts.pop("groups_b"))
    return Comparison(out, graphs, groups, **counts, seconds=time.monotonic() - started)


def _space(path: Path) -> tuple[str, str | None, str]:
    """Return model, transcoder set and unit type of an atlas or a stats folder."""
    if path.is_dir():
        space = read_manifest(path, "stats")["space"]
        return str(space["model"]), space["transcoder_set"], str(space["unit_type"])
    with open_atlas(path) as con:
        facts = dict(con.execute("SELECT key, value FROM metadata").fetchall())
    if "comparison_of" in facts:
        raise UsageError(f"{path} is a comparison, not an atlas; compare the atlases or stats folders behind it")
    return facts.get("model", "unknown"), facts.get("transcoder_set"), facts.get("unit_type", "neuron")


def _identity(path: Path) -> str | None:
    """Return the id of an atlas; None of a stats folder, or of an atlas without one."""
    if path.is_dir():
        return None
    with open_atlas(path) as con:
        found = con.execute("SELECT value FROM metadata WHERE key = 'atlas_id'").fetchall()
    return str(found[0][0]) if found else None


def _sides(left: Path, right: Path, where_a: str | None, where_b: str | None) -> tuple[Side, Side]:
    """Return both sides with their graphs; side B of the same atlas without a condition is the rest of it."""
    graphs_a = None if where_a is None else select_graphs(left, where_a)
    if graphs_a is not None and where_b is None and left.resolve() == right.resolve():
        chosen = set(graphs_a)
        rest = [graph for graph in select_graphs(left, "true") if graph not in chosen]
        if not rest:
            raise InputError(f"all graphs of {left} have {where_a}; none is left for side B")
        return Side(left, where_a, graphs_a), Side(left, f"NOT ({where_a})", rest)
    graphs_b = None if where_b is None else select_graphs(right, where_b)
    return Side(left, where_a, graphs_a), Side(right, where_b, graphs_b)


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


def _write(fresh: Path, given: tuple[Side, Side], memory: int) -> tuple[tuple[int | None, int | None], dict[str, int]]:
    spill = str(fresh.with_name(fresh.name + ".tmp"))
    config: dict[str, Any] = {"memory_limit": f"{memory // 10**6}MB", "temp_directory": spill}
    with duckdb.connect(config=config) as con, interruptible(con.interrupt):
        # In a worker process DuckDB takes itself for interactive.
        con.execute("SET enable_progress_bar = false")
        for name in ("formulas", "probabilities"):
            con.execute(script(name))
        graphs = attach(con, "a", given[0]), attach(con, "b", given[1])
        if given[0].path.resolve() != given[1].path.resolve():
            match_groups(con)
        con.execute(f"ATTACH {quoted(str(fresh))} AS comparison (STORAGE_VERSION '{_STORAGE_VERSION}')")
        con.execute("USE comparison")
        con.execute(script("compare"))
        con.execute("CREATE TABLE metadata (key VARCHAR NOT NULL, value VARCHAR, PRIMARY KEY (key))")
        facts: dict[str, Any] = {
            "comparison_of": f"{given[0].path.name}, {given[1].path.name}",
            "where_a": given[0].where,
            "where_b": given[1].where,
            "tool": "circuit-atlas",
            "tool_version": __version__,
            "graphs_a": graphs[0],
            "graphs_b": graphs[1],
        }
        counts = _counts(con, _GROUP_COUNTS)
        facts |= counts
        facts |= {f"atlas_id_{name}": _identity(side.path) for name, side in zip("ab", given, strict=True)}
        con.executemany(
            "INSERT INTO metadata VALUES (?, ?)",
            [[key, str(value)] for key, value in facts.items() if value is not None],
        )
        con.execute("COMMENT ON TABLE metadata IS 'What was compared.'")
        counts |= _counts(con, _TEST_COUNTS)
        con.execute("USE memory")
        con.execute("DETACH comparison")
    return graphs, counts


def _counts(con: duckdb.DuckDBPyConnection, asked: Mapping[str, str]) -> dict[str, int]:
    return {name: int(con.execute(sql).fetchall()[0][0]) for name, sql in asked.items()}
