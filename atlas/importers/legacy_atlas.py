"""Import of a legacy atlas, or of an export of the legacy aggregator, to a stats folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from atlas.errors import InputError
from atlas.graph import Space
from atlas.ids import INDEX_BITS, MAX_INDEX, MAX_LAYER
from atlas.importers.legacy_database import LegacyDatabase, open_legacy
from atlas.importers.summary import ImportSummary, appearance_note, quality_note
from atlas.importers.values import Progress, whole
from atlas.stages.manifest import replaced_folder
from atlas.stages.stats_writer import EXACT, MEAN_ONLY, ROUNDED, StatsWriter

_PAIR = ("src_layer", "src_neuron", "tgt_layer", "tgt_neuron")
_SUMS = ("weight_sum", "weight_abs_sum", "weight_sq_sum", "weight_min", "weight_max")
_MEANS = ("mean_weight", "mean_abs_weight")


@dataclass
class LegacyAtlasSummary(ImportSummary):
    """Counts of the import of a legacy atlas."""

    neurons: int = 0
    edges: int = 0
    graphs: int = 0
    quality: str = EXACT
    method: str = "relp"
    only_in_edges: int = 0  # neurons of edges that have no row of their own
    counts_graphs: bool = True  # False where a neuron has more appearances than there are graphs: they are nodes
    metadata: dict[str, str] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """Return notes about the quality of the file."""
        return quality_note(self.quality) + appearance_note(self.counts_graphs)


def import_legacy_atlas(
    given: Path,
    out: Path,
    *,
    model: str | None = None,
    progress: Progress = lambda *_: None,
) -> LegacyAtlasSummary:
    """Write neurons, edges and graphs of an atlas of the legacy pipeline to the stats folder `out`.

    Sums stored as 32-bit numbers have the quality `rounded`. Where minimum and maximum are equal on all edges with
    several links, they were filled in from the mean: they become NULL, and the quality is `mean_only`.
    `atlas import labels` and `atlas import assignments` read labels and clusters from the same file. Raises
    `InputError`, `AtlasFileError`, `OutputError`.
    """
    with replaced_folder(out, "stats") as folder, open_legacy(given) as legacy:
        if not {"layer", "neuron"} <= set(legacy.columns.get("neurons", ())) or not set(_PAIR) <= set(
            legacy.columns.get("edges", ())
        ):
            raise InputError(
                f"{given} is no atlas of the earlier tool: it needs neurons(layer, neuron) and edges({', '.join(_PAIR)})"
            )
        summary = LegacyAtlasSummary(metadata=legacy.metadata())
        summary.quality, summary.method = _quality(legacy), _method(summary.metadata)
        writer = StatsWriter(folder)
        try:
            known = _add_neurons(legacy, writer, summary)
            seen = _add_edges(legacy, writer, summary, progress)
            _add_missing(writer, seen - known, summary)
            _add_graphs(legacy, writer, summary)
            summary.neurons, summary.edges = (writer.counts.get(name, 0) for name in ("neurons", "edges"))
            counts = {"graphs": summary.graphs, "neurons": summary.neurons, "edges": summary.edges}
            space = Space(
                model or summary.metadata.get("model", "unknown"), None, "neuron", _link_weight(summary.method)
            )
            options = {"legacy_metadata": summary.metadata}
            writer.finish(
                space,
                summary.method,
                [given.name],
                options=options,
                counts=counts,
                quality=summary.quality,
                graphs_stated=_stated_graphs(summary),
            )
        except pa.ArrowException as error:
            raise InputError(
                f"{given} is no atlas of the earlier tool: {' '.join(str(error).split())[:300]}"
            ) from error
        finally:
            writer.close()
    return summary


def _stated_graphs(summary: LegacyAtlasSummary) -> int | None:
    """Return the number of graphs that the file states."""
    found = (whole(summary.metadata.get(key)) for key in ("total_graphs", "graphs_processed"))
    return next((number for number in found if number is not None and number > 0), None)


def _method(metadata: dict[str, str]) -> str:
    return "weight_graph" if metadata.get("edge_method") == "weight_graph" else "relp"


def _link_weight(method: str) -> str:
    return method if method == "weight_graph" else "attribution_flow"


def _quality(legacy: LegacyDatabase) -> str:
    """Return the quality of the statistics of edges."""
    names = set(legacy.columns["edges"])
    if not {"count", "weight_min", "weight_max"} <= names:
        return MEAN_ONLY
    varied = legacy.answer("SELECT count(*) FROM edges WHERE count > 1 AND weight_min < weight_max")
    repeated = legacy.answer("SELECT count(*) FROM edges WHERE count > 1")
    if repeated and not varied:
        return MEAN_ONLY
    return ROUNDED if legacy.answer("SELECT count(*) FROM edges WHERE typeof(weight_sum) = 'FLOAT'") else EXACT


def _add_neurons(legacy: LegacyDatabase, writer: StatsWriter, summary: LegacyAtlasSummary) -> set[int]:
    """Write the neurons; return the packed ids of the valid ones."""
    known: set[int] = set()
    stated = _stated_graphs(summary)
    column = next((name for name in ("graph_count", "appearance_count") if name in legacy.columns["neurons"]), None)
    most = legacy.answer(f"SELECT max({column}) FROM neurons") if column else None
    # One legacy writer counted token positions, which shows where a neuron is in more graphs than there are.
    summary.counts_graphs = not stated or most is None or most <= stated
    for batch in legacy.batches("neurons", ("layer", "neuron", "appearance_count", "graph_count")):
        packed, keep = _packed(batch, ("layer", "neuron"))
        summary.malformed["bad_neuron"] += int((~keep).sum())
        rows = pa.table(batch).filter(pa.array(keep))
        counts = next((rows[name] for name in ("graph_count", "appearance_count") if name in rows.column_names), None)
        # The legacy pipeline wrote 0 for an unknown count.
        counts = None if counts is None else pc.if_else(pc.greater(counts, 0), counts.cast(pa.int64()), None)
        known |= set(packed[keep].tolist())
        columns = {name: rows[name].cast(pa.int32()) for name in ("layer", "neuron")}
        writer.add("neurons", columns | {"graph_count" if summary.counts_graphs else "node_count": counts})
    return known


def _add_edges(
    legacy: LegacyDatabase, writer: StatsWriter, summary: LegacyAtlasSummary, progress: Progress
) -> set[int]:
    """Write the edges; return the packed ids of their ends."""
    seen: set[int] = set()
    total, done = legacy.answer("SELECT count(*) FROM edges"), 0
    for batch in legacy.batches("edges", (*_PAIR, "count", *_SUMS, *_MEANS)):
        progress("reading edges", done, total)
        done += len(batch)
        source, left = _packed(batch, _PAIR[:2])
        target, right = _packed(batch, _PAIR[2:])
        keep = left & right
        rows = pa.table(batch).filter(pa.array(keep))
        columns = _statistics(rows, summary.quality)
        sound = pc.and_kleene(pc.greater_equal(columns["count"], 1), pc.is_finite(columns["weight_sum"])).fill_null(
            False
        )
        ends = {name: rows[name].cast(pa.int32()) for name in _PAIR}
        found = pa.table(ends | columns).filter(sound)
        summary.malformed["bad_edge"] += len(batch) - len(found)
        named = dict(zip(found.column_names, found.columns, strict=True))
        writer.add("edges", named | {"method": summary.method})
        seen |= set(np.unique(source[keep]).tolist()) | set(np.unique(target[keep]).tolist())
    return seen


def _statistics(rows: pa.Table, quality: str) -> dict[str, Any]:
    """Return the statistics of the rows: the stated sums, or sums computed from the means."""
    count = rows["count"].cast(pa.int64()) if "count" in rows.column_names else pa.array(np.ones(len(rows), np.int64))
    doubles = {name: rows[name].cast(pa.float64()) for name in (*_SUMS, *_MEANS) if name in rows.column_names}
    total = doubles.get("weight_sum")
    if "mean_weight" in doubles:
        # Weight-based edges state a mean alone; their sums were left at 0.
        from_mean = pc.multiply(doubles["mean_weight"], count.cast(pa.float64()))
        stated = pa.nulls(len(rows), pa.float64()) if total is None else total
        is_left = pc.and_kleene(pc.equal(stated.fill_null(0), 0), pc.not_equal(from_mean.fill_null(0), 0))
        total = pc.if_else(is_left, from_mean, stated)
        doubles |= {name: pc.if_else(is_left, None, doubles[name]) for name in _SUMS[1:] if name in doubles}
    if total is None:
        total = pa.nulls(len(rows), pa.float64())
    columns = {"count": count, "weight_sum": total}
    if quality != MEAN_ONLY:
        columns |= {name: doubles[name] for name in _SUMS[1:] if name in doubles}
    return columns


def _packed(batch: pa.RecordBatch, names: tuple[str, ...]) -> tuple[Any, Any]:
    """Return packed neurons, and a mask of those that are in range."""
    layer, index = (batch[name].cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False) for name in names)
    keep = (layer >= 0) & (layer <= MAX_LAYER) & (index >= 0) & (index <= MAX_INDEX)
    return layer << INDEX_BITS | index, keep


def _add_missing(writer: StatsWriter, missing: set[int], summary: LegacyAtlasSummary) -> None:
    packed = np.array(sorted(missing), np.int64)
    summary.only_in_edges = len(packed)
    columns = {"layer": packed >> INDEX_BITS, "neuron": packed & MAX_INDEX}
    writer.add("neurons", {name: values.astype(np.int32) for name, values in columns.items()})


def _add_graphs(legacy: LegacyDatabase, writer: StatsWriter, summary: LegacyAtlasSummary) -> None:
    """Add the graphs, numbered in order of their names, and their neurons, which exports of the aggregator state."""
    wanted = ("layer", "neuron", "graph_file", "corpus_index")
    if not set(wanted[:3]) <= set(legacy.columns.get("neuron_graphs", ())):
        return
    index: dict[str, int] = {}
    for batch in legacy.batches("neuron_graphs", ("graph_file", "corpus_index")):
        rows = batch.to_pydict()
        for name, corpus in zip(rows["graph_file"], rows.get("corpus_index", [None] * len(batch)), strict=True):
            if name is not None:
                index.setdefault(str(name), corpus if corpus is not None else -1)
    names = sorted(index)
    numbers = {name: place for place, name in enumerate(names)}
    corpora = np.array([index[name] for name in names], np.int64)
    columns = {"graph_id": np.arange(len(names), dtype=np.int32), "path": pa.array(names, pa.string())}
    writer.add("graphs", columns | {"corpus_index": pa.array(corpora, mask=corpora < 0)})
    summary.graphs = len(names)
    for batch in legacy.batches("neuron_graphs", wanted[:3]):
        _, keep = _packed(batch, wanted[:2])
        batch = pa.table(batch).filter(pc.and_(pa.array(keep), pc.is_valid(batch["graph_file"])))
        graph = pa.array([numbers[str(name)] for name in batch["graph_file"].to_pylist()], pa.int32())
        writer.add(
            "neuron_graphs",
            {"layer": batch["layer"].cast(pa.int32()), "neuron": batch["neuron"].cast(pa.int32()), "graph_id": graph},
        )
