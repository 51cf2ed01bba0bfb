"""Import of edge statistics (per-neuron profiles, raw or enriched) to a stats folder.

Profiles state only the number of links and their mean weight, for the strongest partners of each neuron. Sums of
absolute or squared weights, minima and maxima are NULL, and the quality is `mean_only`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from atlas.errors import IdError, InputError
from atlas.graph import Space
from atlas.ids import NeuronId, TokenId, parse_node
from atlas.importers.summary import ImportSummary, appearance_note, quality_note
from atlas.importers.values import Progress, as_json, neuron_of, number, whole
from atlas.io.json_stream import members
from atlas.io.package_data import folder as shipped
from atlas.options import MEMORY
from atlas.stages.connections_writer import LEAST_MB
from atlas.stages.manifest import replaced_folder
from atlas.stages.stats_writer import MEAN_ONLY, StatsWriter

_BATCH = 1 << 17  # rows
_TABLES = {
    "profiles": (pa.int32(), pa.int32(), pa.int64()),
    "listed": (pa.int32(), pa.int32(), pa.int64(), pa.int32(), pa.int32(), pa.int64(), pa.int64(), pa.float64()),
    "together": (pa.int32(), pa.int32(), pa.int32(), pa.int32(), pa.int64()),
}
_TOGETHER = ("top_cooccurring_neurons", "co_occurring_neurons")
_TOTALS = (("total_graphs",), ("processed",), ("total_prompts",), ("num_domain_prompts", "num_baseline_prompts"))


@dataclass
class EdgeStatsSummary(ImportSummary):
    """Counts of items; every item in a list is in a table or malformed."""

    profiles: int = 0
    neurons: int = 0
    edges: int = 0
    token_edges: int = 0
    logit_edges: int = 0
    cooccurrence: int = 0
    total_graphs: int | None = None
    quality: str = MEAN_ONLY
    counts_graphs: bool = True  # False where a neuron has more appearances than there are graphs: they are nodes

    def notes(self) -> list[str]:
        """Return notes about the quality of the file."""
        return quality_note(self.quality) + appearance_note(self.counts_graphs)


def import_edge_stats(
    given: Sequence[Path],
    out: Path,
    *,
    model: str | None = None,
    memory: int = MEMORY,
    progress: Progress = lambda *_: None,
) -> EdgeStatsSummary:
    """Write the statistics of profiles, and of their co-occurrence files, to the stats folder `out`.

    Raises `InputError` where a file holds neither, is cut off or damaged, and `OutputError`.
    """
    summary = EdgeStatsSummary()
    about: dict[str, Any] = {}
    with replaced_folder(out, "stats") as folder, tempfile.TemporaryDirectory(dir=out.resolve().parent) as work:
        writer = StatsWriter(folder)
        config: dict[str, Any] = {"memory_limit": f"{max(memory // 10**6, LEAST_MB)}MB"}
        try:
            with duckdb.connect(str(Path(work) / "lists.duckdb"), config=config) as con:
                for name in ("formulas.sql", "edge_stats.sql"):
                    con.execute((shipped("sql") / name).read_text(encoding="utf-8"))
                for place, path in enumerate(given):
                    progress("reading profiles", place, len(given))
                    _read(con, path, summary, about)
                progress("joining lists", 0, 0)
                _write(con, writer, summary, about)
            counts = {"neurons": summary.neurons, "edges": summary.edges}
            space = Space(model or str(about.get("model") or "unknown"), None, "neuron", "attribution_flow")
            options = {
                "stated": {
                    key: value if isinstance(value, str | int | float) else as_json(value)
                    for key, value in about.items()
                }
            }
            writer.finish(
                space,
                "relp",
                [path.name for path in given],
                options=options,
                counts=counts,
                quality=MEAN_ONLY,
                graphs_stated=summary.total_graphs,
            )
        finally:
            writer.close()
    return summary


def _read(con: duckdb.DuckDBPyConnection, path: Path, summary: EdgeStatsSummary, about: dict[str, Any]) -> None:
    waiting: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _TABLES}
    rows = 0
    for member in members(path, ("profiles", "metadata")):
        if member.container == "metadata":
            about[str(member.key)] = member.value
            continue
        for table, row in _rows(member.container, member.key, member.value, summary):
            rows += 1
            waiting[table].append(row)
            if len(waiting[table]) >= _BATCH:
                _flush(con, table, waiting)
    for table in waiting:
        _flush(con, table, waiting)
    if not rows:
        raise InputError(
            f"{path} holds no edge statistics: it needs a list `profiles`, or lists of co-occurring neurons by neuron"
        )


def _rows(
    container: str | None, key: str | None, value: object, summary: EdgeStatsSummary
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield table and row for each item of a member: a profile, or a neuron's list in a co-occurrence file."""
    if container == "profiles":
        if not isinstance(value, dict):
            summary.malformed["no_profile"] += 1
            return
        try:
            mine = neuron_of(value)
        except IdError:
            summary.malformed["bad_neuron"] += 1
            return
        summary.profiles += 1
        appearances = whole(value.get("appearance_count"))
        yield "profiles", (*mine, appearances if appearances and appearances > 0 else None)
        yield from _edges(mine, value, summary)
        for name in _TOGETHER:
            yield from _together(mine, value.get(name), summary)
    elif key is not None and isinstance(value, list):
        try:
            mine = NeuronId.parse(key)
        except IdError:
            return  # a fact about the file
        yield from _together(mine, value, summary)


def _edges(mine: NeuronId, profile: dict[str, Any], summary: EdgeStatsSummary) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for name, end in (("top_upstream_sources", "source"), ("top_downstream_targets", "target")):
        items = profile.get(name)
        for item in items if isinstance(items, list) else ():
            row = _edge(mine, item, end)
            if isinstance(row, str):
                summary.malformed[row] += 1
            else:
                yield "listed", row


def _edge(mine: NeuronId, item: object, end: str) -> tuple[Any, ...] | str:
    """Return one row of `listed`, or the reason why it is malformed."""
    if not isinstance(item, dict) or not isinstance(item.get(end), str):
        return "no_partner"
    try:
        other = parse_node(item[end])
    except IdError:
        return "bad_partner"
    count, mean = whole(item.get("count")), number(item.get("avg_weight"))
    if not count or count < 1 or mean is None:
        return "no_statistics"
    if isinstance(other, TokenId):
        if (other.role == "embedding") != (end == "source"):
            return "token_at_the_wrong_end"
        if other.token_id >= 2**31:
            return "bad_partner"
        there: tuple[Any, ...] = (None, None, other.token_id)
    else:
        there = (*other, None)
    here = (*mine, None)
    return (*there, *here, count, mean) if end == "source" else (*here, *there, count, mean)


def _together(mine: NeuronId, items: object, summary: EdgeStatsSummary) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for item in items if isinstance(items, list) else ():
        count = whole(item.get("count")) if isinstance(item, dict) else None
        try:
            other = neuron_of(item) if isinstance(item, dict) else None
        except IdError:
            other = None
        if other is None or not count or count < 1 or other == mine:
            summary.malformed["bad_cooccurrence"] += 1
        else:
            yield "together", (*mine, *other, count)


def _flush(con: duckdb.DuckDBPyConnection, table: str, waiting: dict[str, list[tuple[Any, ...]]]) -> None:
    rows = waiting[table]
    if rows:
        columns = zip(zip(*rows, strict=True), _TABLES[table], strict=True)
        arrays = [pa.array(values, kind) for values, kind in columns]
        con.register("incoming", pa.table(arrays, names=[f"c{place}" for place in range(len(arrays))]))
        con.execute(f"INSERT INTO {table} FROM incoming")
        con.unregister("incoming")
        waiting[table] = []


def _write(
    con: duckdb.DuckDBPyConnection, writer: StatsWriter, summary: EdgeStatsSummary, about: dict[str, Any]
) -> None:
    """Write the datasets from the tables."""
    totals = (sum(max(whole(about.get(name)) or 0, 0) for name in names) for names in _TOTALS)
    stated = next((total for total in totals if total), None)
    most = con.execute("SELECT max(appearance_count) FROM profiles").fetchall()[0][0]
    summary.total_graphs = stated
    # Some writers counted a neuron once per token position. Then it appears more often than there are graphs.
    summary.counts_graphs = stated is None or most is None or most <= stated
    column = "graph_count" if summary.counts_graphs else "node_count"
    for name in ("edges", "token_edges", "logit_edges"):
        more = {"method": "relp"} if name == "edges" else {}
        _copy(con, writer, name, f"FROM {name}", more)
    _copy(con, writer, "neurons", f"SELECT layer, neuron, appearance_count AS {column} FROM neurons", {})
    _copy(con, writer, "tokens", "FROM tokens", {})
    graphs = stated if summary.counts_graphs and stated else "NULL::BIGINT"
    _copy(con, writer, "cooccurrence", f"FROM cooccurrence({graphs})", {})
    for name in ("neurons", "edges", "token_edges", "logit_edges", "cooccurrence"):
        setattr(summary, name, writer.counts.get(name, 0))


def _copy(con: duckdb.DuckDBPyConnection, writer: StatsWriter, name: str, sql: str, more: dict[str, Any]) -> None:
    reader: pa.RecordBatchReader = con.sql(sql).to_arrow_reader(_BATCH)
    for batch in reader:
        writer.add(name, {key: batch[key] for key in batch.schema.names} | more)
