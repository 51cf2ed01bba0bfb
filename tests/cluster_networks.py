"""Statistics of made networks: planted circuits, template hubs and noise, by group of prompts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from atlas.io.files import write_parquet
from atlas.stages import DATASETS
from atlas.stages.manifest import write_manifest

LAYERS = 4


def planted_links(
    rng: np.random.Generator,
    *,
    blocks: int = 8,
    size: int = 8,
    extra: int = 100,
    groups: int = 16,
    noise: int = 400,
    share: float = 0.7,
    hubs: int = 3,
    negative: float = 0.3,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return links by group of prompts, and the block of every neuron (-1 of noise).

    In every group, links inside a block run from lower to higher layers with probability `share`; hubs and random links come on top. A
    share of the links is negative. With `share` 0 there is only noise, whose neurons have degrees of their own in every group alike.
    """
    count = blocks * size + extra
    block = np.concatenate([np.repeat(np.arange(blocks), size), np.full(extra, -1)])
    layer = np.arange(count) % LAYERS
    pull = rng.pareto(1.5, count) + 0.2
    pull[rng.choice(count, hubs, replace=False)] *= 20
    one, other = np.nonzero((block[:, None] == block) & (block >= 0)[:, None] & (layer[:, None] < layer))
    parts = []
    for group in range(groups):
        kept = rng.random(len(one)) < share
        planted = np.stack([one[kept], other[kept], np.full(kept.sum(), group)])
        ends = rng.choice(count, (2, noise), p=pull / pull.sum())
        ends = ends[:, layer[ends[0]] < layer[ends[1]]]
        drawn = np.stack([*ends, np.full(ends.shape[1], group)])
        strength = np.concatenate([np.full(kept.sum(), 2.0), np.full(ends.shape[1], 1.0)])
        weight = strength * rng.lognormal(0, 0.4, len(strength))
        parts.append(np.concatenate([planted, drawn], 1))
        weight[rng.random(len(weight)) < negative] *= -1
        parts[-1] = np.vstack([parts[-1], weight])
    source, target, group, weight = np.concatenate(parts, 1)
    links = {"source": source.astype(int), "target": target.astype(int), "group": group.astype(int), "weight": weight}
    return {**links, "layer": layer}, block


def write_stats(folder: Path, links: dict[str, np.ndarray], *, each: int = 2, single: bool = False) -> Path:
    """Write a stats folder in which every group has `each` graphs, all with the links of their group; `single` graphs, too, if asked for."""
    layer = links["layer"]
    key = (links["source"] * len(layer) + links["target"]) * 10_000 + links["group"]
    found, place = np.unique(key, return_inverse=True)
    group, pair = found % 10_000, found // 10_000
    sums = {
        "count": np.bincount(place) * each,
        "graph_count": np.full(len(found), each),
        "positive_count": np.bincount(place, links["weight"] > 0) * each,
        "weight_sum": np.bincount(place, links["weight"]) * each,
        "weight_abs_sum": np.bincount(place, np.abs(links["weight"])) * each,
        "weight_sq_sum": np.bincount(place, links["weight"] ** 2) * each,
    }
    _write(folder, "edge_groups", {**_ends(pair, layer), "group_id": group, **sums})
    pairs, row = np.unique(pair, return_inverse=True)
    whole = {name: np.bincount(row, values) for name, values in sums.items()}
    _write(
        folder,
        "edges",
        {**_ends(pairs, layer), **whole, "group_count": np.bincount(row), "method": ["relp"] * len(pairs)},
    )
    groups = int(links["group"].max()) + 1
    _write(
        folder,
        "graphs",
        {
            "graph_id": np.arange(groups * each),
            "path": [f"g{number}" for number in range(groups * each)],
            "group_id": np.arange(groups * each) // each,
        },
    )
    ends = np.concatenate([links["source"], links["target"]]) * 10_000 + np.tile(links["group"], 2)
    seen = np.unique(ends)
    neuron = np.repeat(seen // 10_000, each)
    graph = np.repeat(seen % 10_000, each) * each + np.tile(np.arange(each), len(seen))
    _write(folder, "neuron_graphs", {"layer": layer[neuron], "neuron": neuron, "graph_id": graph})
    names, counts = np.unique(neuron, return_counts=True)
    group_count = np.bincount(seen // 10_000, minlength=len(layer))[names]
    _write(
        folder,
        "neurons",
        {
            "layer": layer[names],
            "neuron": names,
            "graph_count": counts,
            "group_count": group_count,
            "node_count": counts,
        },
    )
    if single:
        _write_graphs(folder, links, each)
    write_manifest(folder, "stats", space={}, method="relp", inputs=[])
    return folder


def _write_graphs(folder: Path, links: dict[str, np.ndarray], each: int) -> None:
    """Write the nodes and links of every graph; a node has the number of its neuron."""
    layer = links["layer"]
    graph = np.repeat(links["group"], each) * each + np.tile(np.arange(each), len(links["group"]))
    source, target, weight = (np.repeat(links[name], each) for name in ("source", "target", "weight"))
    order = np.argsort(graph, kind="stable")
    columns = {"graph_id": graph[order], "source": source[order], "target": target[order], "weight": weight[order]}
    _write(folder, "graph_links", columns)
    seen = np.unique(np.concatenate([graph * len(layer) + source, graph * len(layer) + target]))
    node = seen % len(layer)
    nodes = {"graph_id": seen // len(layer), "node": node, "kind": ["neuron"] * len(seen)}
    _write(folder, "graph_nodes", {**nodes, "layer": layer[node], "neuron": node})


def _ends(pair: np.ndarray, layer: np.ndarray) -> dict[str, np.ndarray]:
    source, target = pair // len(layer), pair % len(layer)
    return {"src_layer": layer[source], "src_neuron": source, "tgt_layer": layer[target], "tgt_neuron": target}


def _write(folder: Path, name: str, columns: dict[str, object]) -> None:
    dataset = DATASETS[f"stats.{name}"]
    count = len(next(iter(columns.values())))  # type: ignore[arg-type]
    arrays = []
    for field in dataset.schema:
        if field.name not in columns:
            arrays.append(pa.nulls(count, field.type))
            continue
        values = pa.array(columns[field.name])
        arrays.append(values.dictionary_encode() if pa.types.is_dictionary(field.type) else values.cast(field.type))
    table = pa.table(arrays, schema=pa.schema([field.with_nullable(True) for field in dataset.schema]))
    table = table.cast(dataset.schema) if not any(pa.types.is_dictionary(f.type) for f in dataset.schema) else table
    path = dataset.path(folder)
    (path if dataset.parted else path.parent).mkdir(parents=True, exist_ok=True)
    write_parquet(table, path / "part-00000.parquet" if dataset.parted else path)
