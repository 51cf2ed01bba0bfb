"""Slim atlas: a copy with the strongest edges of every neuron, and without what only large atlases need."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from atlas.database.beside import attach_new
from atlas.database.build import refuse_foreign
from atlas.database.check import run_checks
from atlas.database.connect import open_atlas
from atlas.database.definitions import create_tables, create_views, table_columns
from atlas.database.scripts import quoted, script
from atlas.errors import CheckError, UsageError
from atlas.io.files import only_writer, rename, sync, translated_os_errors

# Left out: tables as large as the links of all graphs, or as all activations.
LEFT_OUT = frozenset(
    [
        "edge_groups",
        "edge_samples",
        "edge_strengths",
        "graph_nodes",
        "graph_links",
        "ablated_nodes",
        "ablated_edges",
        "activations",
        "contexts",
        "report_examples",
        "connections",
        "cooccurrence",
    ]
)
_EDGES = frozenset(("edges", "edges_by_target", "edges_inside"))
# Tables of a row per neuron, or several, of which those of the chosen neurons stay.
_OF_NEURONS = frozenset(
    [
        "neurons",
        "labels",
        "label_documents",
        "neuron_graphs",
        "token_edges",
        "logit_edges",
        "error_mass",
        "projections",
        "direct_effects",
        "exemplars",
        "reports",
        "regimes",
        "cluster_members",
        "cluster_memberships",
        "circuit_members",
        "anchored_members",
    ]
)
_FILLED_LATER = frozenset(("help", "metadata", "label_terms", "label_postings", "label_documents"))


@dataclass(frozen=True)
class SlimResult:
    """Result of `slim_atlas`: size of the file in bytes, and rows left out by table."""

    size_bytes: int
    left_out: dict[str, int]


def slim_atlas(
    path: Path,
    out: Path,
    chosen: str,
    *,
    said: str,
    top: int = 20,
    report: Callable[[str], None] | None = None,
) -> SlimResult:
    """Write a slim copy of an atlas. Numbers of neurons and circuits stay those of the whole atlas; cosines are of the kept edges.

    Args:
        path: Atlas file.
        out: File to write, which is replaced.
        chosen: SQL of the neurons to keep, with the columns layer and neuron, on the tables of the atlas.
        said: The same in words, for the metadata.
        top: Edges to keep of every neuron in each direction.
        report: Called with the name of each step.

    Returns:
        Size of the file, and rows left out by table.

    Raises:
        AtlasFileError: `path` is no atlas, or of another version.
        CheckError: The copy contradicts itself. Nothing is written.
        OutputError: The file cannot be written.
        UsageError: `out` is `path`, or no neuron is chosen.
    """
    open_atlas(path).close()
    target = out.resolve()
    if target == path.resolve():
        raise UsageError(f"{out} is the atlas itself; write the slim one to another file")
    with only_writer(target):
        refuse_foreign(target)
        fresh = target.with_name(f".{target.name}.new")
        try:
            left_out = _write(path, fresh, chosen, said, top, report or (lambda _: None))
            with translated_os_errors(target):
                size = fresh.stat().st_size
                sync(fresh)
                rename(fresh, target)
        finally:
            for rest in (fresh, fresh.with_name(fresh.name + ".wal")):
                rest.unlink(missing_ok=True)
    return SlimResult(size, left_out)


def _write(path: Path, fresh: Path, chosen: str, said: str, top: int, report: Callable[[str], None]) -> dict[str, int]:
    with duckdb.connect() as con:
        con.execute(f"ATTACH {quoted(str(path))} AS whole (READ_ONLY)")
        con.execute("USE whole")
        con.execute(f"CREATE TEMP TABLE chosen AS {chosen}")
        if not con.execute("SELECT count(*) FROM chosen").fetchall()[0][0]:
            raise UsageError(f"no neuron is in {said}, so the slim atlas would be empty")
        report("choosing edges")
        con.execute("SET VARIABLE top = $1", [top])
        con.execute(script("slim"))
        # A browser reads it in small parts: a page of the demo took 31 MB of 47 with blocks of 256 KB, and takes 12.
        attach_new(con, fresh, "atlas", in_parts=True)
        con.execute("USE atlas")
        create_tables(con)
        left_out: dict[str, int] = {}
        for table, columns in table_columns(computed=False).items():
            if table not in _FILLED_LATER:
                report(f"copying {table}")
                lost = _copy(con, table, columns)
                if lost:
                    left_out[table] = lost
        con.execute(script("slim_norms"))
        _fill_metadata(con, said, top, left_out)
        report("writing words of labels")
        con.execute("ATTACH ':memory:' AS input")
        con.execute(script("load_terms"))
        report("writing views")
        create_views(con)
        report("checking")
        failed = [result.describe() for result in run_checks(con) if not result.passed]
        if failed:
            raise CheckError(f"the slim atlas contradicts itself, nothing was written: {' | '.join(failed)}")
        con.execute("USE memory")
        con.execute("DETACH atlas")
    return left_out


def _copy(con: duckdb.DuckDBPyConnection, table: str, columns: list[str]) -> int:
    """Copy the rows of a table that a slim atlas keeps; return the number of those left out."""
    total = int(con.execute(f"SELECT count(*) FROM whole.{table}").fetchall()[0][0])
    if table in LEFT_OUT:
        return total
    rows = f"SELECT {', '.join(columns)} FROM whole.{table}"
    if table in _EDGES:
        rows += " SEMI JOIN kept_edges USING (src_layer, src_neuron, tgt_layer, tgt_neuron)"
    elif table in _OF_NEURONS:
        rows += " SEMI JOIN chosen USING (layer, neuron)"
    con.execute(f"INSERT INTO {table} BY NAME {rows}")
    return total - int(con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def _fill_metadata(con: duckdb.DuckDBPyConnection, said: str, top: int, left_out: dict[str, int]) -> None:
    """Copy the metadata, with the counts of the copy, its own identity, and what it leaves out."""
    con.execute("INSERT INTO metadata FROM whole.metadata")
    counts = {
        f"total_{table}": con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
        for table in ("neurons", "edges", "clusters", "graphs", "labels")
    }
    whole = dict(con.execute("SELECT key, value FROM whole.metadata").fetchall())
    facts = {
        **counts,
        "atlas_id": uuid.uuid4().hex,
        "slim": f"the {top} strongest edges of every neuron in each direction, of {said}",
        "slim_of": whole["atlas_id"],
        "slim_left_out": json.dumps(left_out),
        "graph_links": "none",
    }
    note = f"Slim: {facts['slim']}. Numbers of neurons and circuits are those of the whole atlas."
    con.execute("INSERT INTO card SELECT max(place) + 1, 'limits', $1 FROM card", [note])
    for key, value in facts.items():
        con.execute("INSERT OR REPLACE INTO metadata VALUES ($1, $2)", [key, str(value)])
