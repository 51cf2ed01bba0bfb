"""The two sides of a comparison as catalogs of views: an atlas, a selection of its graphs, or a stats folder."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from atlas.database.scripts import quoted, script
from atlas.errors import InputError, QueryError, UsageError
from atlas.query.connection import AtlasFile
from atlas.runtime.interrupts import interruptible
from atlas.stages import DATASETS, require
from atlas.stages.manifest import read_manifest

EDGE = "src_layer, src_neuron, tgt_layer, tgt_neuron"
# A graph without a group is one of its own.
_SELECTED = (
    "SELECT graph_id, group_id, coalesce(prompt_group, 'graph:' || path) AS name, group_rule::VARCHAR AS rule, prompt "
    "FROM {graphs}"
)


@dataclass(frozen=True)
class Side:
    """One side: an atlas or a stats folder, and which of an atlas's graphs.

    Attributes:
        path: Atlas file or stats folder.
        where: Condition that selected the graphs, in words; all graphs if None.
        graphs: Numbers of the selected graphs of the atlas; all if None.
    """

    path: Path
    where: str | None = None
    graphs: Sequence[int] | None = None


def match_groups(con: duckdb.DuckDBPyConnection) -> None:
    """Give groups of near-duplicate prompts of both sides one name where their prompts are alike.

    The name of such a group comes from the graphs of its own corpus, so two corpora name the same template differently.
    Without numpy, which finds near-duplicates, the names stay.
    """
    try:
        from atlas.aggregate.prompt_groups import NEAR_DUPLICATE, near_duplicates
    except ImportError:
        return
    alike = {"rule": NEAR_DUPLICATE}
    found = [
        con.execute(
            f"SELECT name, prompt FROM {side}.selected WHERE rule = $rule AND prompt IS NOT NULL", alike
        ).fetchall()
        for side in ("a", "b")
    ]
    rows = sorted({row for side in found for row in side})
    components = near_duplicates([prompt for _, prompt in rows]).tolist()
    names = {name: name for name, _ in rows}

    def first(name: str) -> str:
        while names[name] != name:
            name = names[name]
        return name

    named: dict[int, str] = {}
    for (name, _), component in zip(rows, components, strict=True):
        low, high = sorted((first(name), first(named.setdefault(component, name))))
        names[high] = low
    changed = [[first(name), name] for name in names if first(name) != name]
    for side in ("a", "b"):
        if changed:
            con.executemany(f"UPDATE {side}.selected SET name = ? WHERE name = ?", changed)


def select_graphs(path: Path, where: str) -> list[int]:
    """Return the graphs of an atlas that have a condition.

    The condition runs where nothing but the atlas can be read.

    Args:
        path: Atlas file.
        where: SQL condition on the table `graphs`.

    Returns:
        Numbers of the graphs.

    Raises:
        InputError: No graph has it.
        UsageError: It is no SQL condition, or `path` is a stats folder.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a stats folder; graphs are selected from an atlas (build it first)")
    condition = f"{where}\n"  # a comment at its end must not hide what follows
    with AtlasFile(path) as atlas, interruptible(atlas.interrupt):
        try:
            # In brackets it must be one expression, too: what closes a parenthesis before it opens one is none there.
            duckdb.extract_statements(f"SELECT [{condition}]")
            rows = atlas.sql(f"SELECT graph_id, ({condition}) IS TRUE FROM graphs").fetchall()
        except (QueryError, duckdb.Error) as error:
            said = " ".join(str(error).split())
            raise UsageError(f"{where!r} is no SQL condition on the table graphs: {said}") from error
    if not any(chosen for _, chosen in rows):
        raise InputError(f"no graph of {path} has {where}; list them with: atlas graphs {path}")
    return [graph for graph, chosen in rows if chosen]


def attach(con: duckdb.DuckDBPyConnection, name: str, side: Side) -> int | None:
    """Attach one side as the catalog `name`.

    Args:
        con: Connection.
        name: `a` or `b`.
        side: What is compared.

    Returns:
        Number of graphs; None if it is unknown.

    Raises:
        InputError: The atlas cannot give the edges of a selection.
    """
    con.execute(f"ATTACH ':memory:' AS {name}")
    if side.path.is_dir():
        return _attach_stats(con, name, side.path)
    return _attach_atlas(con, name, side)


def _attach_atlas(con: duckdb.DuckDBPyConnection, name: str, side: Side) -> int | None:
    # A file is attached once, whichever side it is.
    source = f"source_{hashlib.sha256(str(side.path.resolve()).encode()).hexdigest()[:16]}"
    con.execute(f"ATTACH IF NOT EXISTS {quoted(str(side.path))} AS {source} (READ_ONLY)")
    facts = dict(con.execute(f"SELECT key, value FROM {source}.metadata").fetchall())
    _select(con, name, source, side)
    tables = {"graphs": f"{source}.graphs", "neuron_graphs": f"{source}.neuron_graphs"}
    by_group = (
        f"SELECT {EDGE}, name, graph_count AS graphs, count AS links, mean_weight::DOUBLE * count AS weight_sum "
        f"FROM {source}.edge_groups JOIN (SELECT DISTINCT group_id, name FROM {name}.selected) USING (group_id)"
    )
    if side.graphs is None:
        views = _views(name, tables, by_group)
        views["neurons"] = (
            f"SELECT layer, neuron, label, top_cluster, appearance_count AS graph_count FROM {source}.neurons"
        )
        views["edges"] = (
            f"SELECT {EDGE}, count, graph_count, mean_weight, std_weight FROM {source}.edges WHERE method <> 'weight_graph'"
        )
        stated = int(facts.get("total_graphs", 0)) or int(facts.get("graphs_stated", 0)) or None
    else:
        views = _views(name, tables, _selected_edges(con, name, source, side, by_group))
        stated = None
    is_whole = (
        facts.get("stat_quality", "exact") != "mean_only"
        and facts.get("min_edge_count", "1") == "1"
        and facts.get("method") != "weight_graph"
    )
    has_edges = side.graphs is not None or _any(con, f"{source}.edge_groups")
    return _create(con, name, views, stated, is_whole=is_whole, has_edges=has_edges, labels=f"{source}.neurons")


def _select(con: duckdb.DuckDBPyConnection, name: str, source: str, side: Side) -> None:
    """Write the selected graphs to the table `selected`."""
    sql = _SELECTED.format(graphs=f"{source}.graphs")
    if side.graphs is None:
        con.execute(f"CREATE TABLE {name}.selected AS {sql}")
        return
    chosen = {"ids": list(side.graphs)}
    con.execute(f"CREATE TABLE {name}.selected AS {sql} WHERE graph_id IN (SELECT unnest($ids::INTEGER[]))", chosen)


def _selected_edges(con: duckdb.DuckDBPyConnection, name: str, source: str, side: Side, by_group: str) -> str:
    """Return the SQL of edges by group in the selected graphs: from whole groups, or from the links of graphs."""
    parted = con.execute(
        f"SELECT count(*) FROM {source}.graphs WHERE graph_id NOT IN (SELECT graph_id FROM {name}.selected) "
        f"AND group_id IN (SELECT group_id FROM {name}.selected)"
    ).fetchall()
    if parted == [(0,)] and _any(con, f"{source}.edge_groups"):
        return by_group
    if not _any(con, f"{source}.graph_links"):
        raise InputError(
            f"{side.where} parts groups of prompts, and {side.path} does not embed the links of graphs; select whole "
            "groups, or build it with --set atlas.graph_links=embed"
        )
    return script("compare_selection").format(source=source, selected=f"{name}.selected")


def _attach_stats(con: duckdb.DuckDBPyConnection, name: str, path: Path) -> int | None:
    manifest = read_manifest(path, "stats")
    tables = {}
    for dataset in ("neurons", "edges", "graphs", "neuron_graphs", "edge_groups"):
        found = DATASETS[f"stats.{dataset}"]
        given = found.path(path) if found.optional else require(path, found)
        if given.exists():
            pattern = glob.escape(str(given)) + ("/*.parquet" if given.is_dir() else "")
            tables[dataset] = f"read_parquet({quoted(pattern)})"
    con.execute(f"CREATE TABLE {name}.selected AS {_SELECTED.format(graphs=tables['graphs'])}")
    by_group = (
        f"SELECT {EDGE}, name, graph_count AS graphs, count AS links, weight_sum FROM {tables['edge_groups']} "
        f"JOIN (SELECT DISTINCT group_id, name FROM {name}.selected) USING (group_id)"
        if "edge_groups" in tables
        else None
    )
    views = _views(name, tables, by_group)
    views["neurons"] = (
        f"SELECT layer, neuron, NULL::VARCHAR AS label, NULL::INTEGER AS top_cluster, graph_count FROM {tables['neurons']}"
    )
    views["edges"] = (
        f"SELECT {EDGE}, count, graph_count, weight_sum / count AS mean_weight, deviation_of(count, weight_sum, "
        f"weight_sq_sum) AS std_weight FROM {tables['edges']} WHERE method <> 'weight_graph'"
    )
    stated = con.execute(f"SELECT count(*) FROM {name}.selected").fetchall()[0][0] or manifest.get("graphs_stated")
    is_cut = manifest.get("options", {}).get("min_count", 1) > 1 or manifest["method"] == "weight_graph"
    is_whole = manifest.get("stat_quality", "exact") != "mean_only" and not is_cut
    return _create(con, name, views, stated, is_whole=is_whole, has_edges=by_group is not None)


def _views(name: str, tables: Mapping[str, str], by_group: str | None) -> dict[str, str]:
    """Return the SQL of the views that both kinds of side make of their graphs."""
    nothing = f"SELECT {', '.join(f'NULL::INTEGER AS {column}' for column in EDGE.split(', '))}, NULL::VARCHAR AS name, 0 AS graphs, 0 AS links, 0.0 AS weight_sum WHERE false"
    return {
        "group_sizes": f"SELECT name, count(*) AS graphs FROM {name}.selected GROUP BY name",
        "neuron_groups": f"SELECT layer, neuron, name, count(*) AS graphs FROM {tables['neuron_graphs']} "
        f"JOIN {name}.selected USING (graph_id) GROUP BY ALL",
        "edge_groups": by_group or nothing,
    }


def _create(
    con: duckdb.DuckDBPyConnection,
    name: str,
    views: dict[str, str],
    stated: int | None,
    *,
    is_whole: bool,
    has_edges: bool,
    labels: str | None = None,
) -> int | None:
    """Create the views and the facts of a side; return its number of graphs."""
    for view in ("group_sizes", "neuron_groups", "edge_groups"):
        con.execute(f"CREATE VIEW {name}.{view} AS {views[view]}")
    if "neurons" not in views:
        views["neurons"] = (
            f"SELECT layer, neuron, label, top_cluster, sum(graphs)::BIGINT AS graph_count FROM {name}.neuron_groups "
            f"JOIN (SELECT layer, neuron, label, top_cluster FROM {labels}) USING (layer, neuron) GROUP BY ALL"
        )
        views["edges"] = (
            f"SELECT {EDGE}, sum(links)::BIGINT AS count, sum(graphs)::BIGINT AS graph_count, "
            f"sum(weight_sum) / sum(links) AS mean_weight, NULL::DOUBLE AS std_weight FROM {name}.edge_groups GROUP BY ALL"
        )
    for view in ("neurons", "edges"):
        con.execute(f"CREATE VIEW {name}.{view} AS {views[view]}")
    graphs = con.execute(f"SELECT count(*) FROM {name}.selected").fetchall()[0][0] or stated
    knows_neurons = _any(con, f"{name}.neuron_groups") or not _any(con, f"{name}.neurons")
    is_grouped = _any(con, f"{name}.selected") and knows_neurons
    con.execute(
        f"CREATE TABLE {name}.facts AS SELECT $graphs::BIGINT AS graphs, $is_whole AS is_whole, $is_grouped AS is_grouped, "
        "$has_edges AS has_edge_groups",
        {"graphs": graphs, "is_whole": is_whole, "is_grouped": is_grouped, "has_edges": has_edges and is_whole},
    )
    return graphs


def _any(con: duckdb.DuckDBPyConnection, table: str) -> bool:
    return bool(con.execute(f"SELECT EXISTS (FROM {table})").fetchall()[0][0])
