"""Slow, obvious reference_impl of the aggregation, written from the definition of the statistics alone.

Both read the JSON with the standard library and share no code with the package.
"""

from __future__ import annotations

import gzip
import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import polars as pl

NEURON_TYPES = ("cross layer transcoder", "mlp_neuron")
TABLES = {
    ("neuron", "neuron"): "edges",
    ("token", "neuron"): "token_edges",
    ("neuron", "logit"): "logit_edges",
    ("token", "logit"): "token_logit_edges",
    ("error", "neuron"): "error_mass",
    ("error", "logit"): "logit_error_mass",
}


def load(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)


def unit(node: dict[str, Any]) -> tuple[str, tuple[int, ...]]:
    """Kind of a node and the columns that name it."""
    parts = node["node_id"].split("_")
    kind = node["feature_type"]
    if kind in NEURON_TYPES:
        return "neuron", (int(parts[0]), int(parts[1]))
    if kind == "embedding":
        return "token", (int(parts[1]),)
    if kind == "logit":
        return "logit", (int(parts[1]),)
    return "error", ()


def observations(graphs: list[dict[str, Any]]) -> list[tuple[str, tuple[int, ...], int, float]]:
    """(table, key, graph number, weight) of every link that belongs to a table."""
    found = []
    for number, graph in enumerate(graphs):
        known: dict[str, Any] = {}
        for node in graph["nodes"]:
            known.setdefault(node["node_id"], set()).add(unit(node))
        for item in graph["links"]:
            ends = [known.get(item["source"], set()), known.get(item["target"], set())]
            if any(len(end) != 1 for end in ends):
                continue
            (source_kind, source), (target_kind, target) = (next(iter(end)) for end in ends)
            table = TABLES.get((source_kind, target_kind))
            if table:
                found.append((table, source + target, number, item["weight"]))
    return found


def loop(graphs: list[dict[str, Any]]) -> dict[str, dict[tuple[int, ...], dict[str, float]]]:
    """The statistics by a plain loop over a dictionary of lists."""
    weights: dict[tuple[str, tuple[int, ...]], list[tuple[int, float]]] = defaultdict(list)
    for table, key, number, weight in observations(graphs):
        weights[table, key].append((number, weight))
    result: dict[str, dict[tuple[int, ...], dict[str, float]]] = {table: {} for table in TABLES.values()}
    for (table, key), seen in weights.items():
        values = [weight for _, weight in seen]
        result[table][key] = {
            "count": len(values),
            "graph_count": len({number for number, _ in seen}),
            "positive_count": sum(value > 0 for value in values),
            "weight_sum": math.fsum(values),
            "weight_abs_sum": math.fsum(map(abs, values)),
            "weight_sq_sum": math.fsum(value * value for value in values),
            "weight_min": min(values),
            "weight_max": max(values),
        }
    return result


def polars(graphs: list[dict[str, Any]], table: str) -> pl.DataFrame:
    """The statistics of one table by a Polars group-by; the key's parts are k0, k1, ..."""
    rows = [(*key, number, weight) for name, key, number, weight in observations(graphs) if name == table]
    if not rows:
        return pl.DataFrame()
    width = len(rows[0]) - 2
    keys = [f"k{i}" for i in range(width)]
    frame = pl.DataFrame(
        rows, schema=[*((key, pl.Int64) for key in keys), ("graph", pl.Int64), ("w", pl.Float64)], orient="row"
    )
    return (
        frame.group_by(keys)
        .agg(
            count=pl.len().cast(pl.Int64),
            graph_count=pl.col("graph").n_unique().cast(pl.Int64),
            positive_count=(pl.col("w") > 0).sum().cast(pl.Int64),
            weight_sum=pl.col("w").sum(),
            weight_abs_sum=pl.col("w").abs().sum(),
            weight_sq_sum=(pl.col("w") ** 2).sum(),
            weight_min=pl.col("w").min(),
            weight_max=pl.col("w").max(),
        )
        .sort(keys)
    )


def neurons(graphs: list[dict[str, Any]]) -> dict[tuple[int, ...], dict[str, Any]]:
    """Per neuron: graphs, nodes, activation and influence, by a plain loop."""
    seen: dict[tuple[int, ...], list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for number, graph in enumerate(graphs):
        for node in {node["node_id"] + node["feature_type"]: node for node in reversed(graph["nodes"])}.values():
            kind, key = unit(node)
            if kind == "neuron":
                seen[key].append((number, node))
    result = {}
    for key, nodes in seen.items():
        row: dict[str, Any] = {"graph_count": len({number for number, _ in nodes}), "node_count": len(nodes)}
        for name in ("activation", "influence"):
            values = [node[name] for _, node in nodes if node.get(name) is not None]
            row[f"{name}_count"] = len(values)
            row[f"{name}_sum"] = math.fsum(values) if values else None
            row[f"{name}_min"] = min(values, default=None)
            row[f"{name}_max"] = max(values, default=None)
        result[key] = row
    return result
