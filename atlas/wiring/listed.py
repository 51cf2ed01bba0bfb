"""The lists of both directions as one table of connections, and as the edges of a stats folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from atlas import __version__
from atlas.graph import Space
from atlas.schema import DATASETS, VERSION, datasets_of
from atlas.storage import MANIFEST, write_json, write_parquet
from atlas.wiring.state import State
from atlas.wiring.strongest import Strongest
from atlas.wiring.weights import Shape, Weights

METHOD = "weight_graph"
LEAST_MB = 256  # below, DuckDB cannot join
_BATCH = 4096  # neurons at a time

# Pairs of mixed sign are in no list, so both products have one sign and the strength is their sum.
_JOINED = """
CREATE TABLE joined AS
SELECT
    src_layer, src_neuron, tgt_layer, tgt_neuron,
    coalesce(down.c_up, up.c_up) AS c_up,
    coalesce(down.c_gate, up.c_gate) AS c_gate,
    up.rank AS upstream_rank,
    down.rank AS downstream_rank
FROM (FROM listed WHERE direction = 'downstream') AS down
FULL JOIN (FROM listed WHERE direction = 'upstream') AS up USING (src_layer, src_neuron, tgt_layer, tgt_neuron)
"""
_CONNECTIONS = """
SELECT
    src_layer, src_neuron, tgt_layer, tgt_neuron, c_up, c_gate,
    (c_up + c_gate)::FLOAT AS strength,
    CASE WHEN c_up > 0 THEN 'excitatory' ELSE 'inhibitory' END AS polarity,
    (least(abs(c_up), abs(c_gate)) / greatest(abs(c_up), abs(c_gate)))::FLOAT AS confidence,
    upstream_rank, downstream_rank
FROM joined ORDER BY src_layer, src_neuron, tgt_layer, tgt_neuron
"""
# A connection is one observation of its strength.
_EDGES = f"""
SELECT
    src_layer, src_neuron, tgt_layer, tgt_neuron, '{METHOD}' AS method, 1::BIGINT AS count,
    NULL::BIGINT AS graph_count, (c_up > 0)::BIGINT AS positive_count,
    (c_up + c_gate)::FLOAT::DOUBLE AS weight_sum, abs(weight_sum) AS weight_abs_sum, weight_sum ** 2 AS weight_sq_sum,
    weight_sum AS weight_min, weight_sum AS weight_max,
    NULL::BIGINT AS half_count, NULL::DOUBLE AS half_weight_sum, NULL::BIGINT AS both_graphs
FROM joined ORDER BY src_layer, src_neuron, tgt_layer, tgt_neuron
"""


def write_stats(
    folder: Path, state: State, weights: Weights, name: str, options: Mapping[str, Any], memory: int
) -> tuple[int, int, int]:
    """Write the stats folder of the lists in `state`, in `memory` bytes; the numbers of connections, and of those listed
    downstream and upstream."""
    shape = weights.shape
    for dataset in datasets_of("stats"):
        path = dataset.path(folder)
        write_parquet(dataset.empty(), path / "part-00000.parquet" if dataset.parted else path)
    write_parquet(_neurons(shape), DATASETS["stats.neurons"].path(folder) / "part-00000.parquet")
    with duckdb.connect(
        str(state.path("joined.duckdb")), config={"memory_limit": f"{max(memory // 10**6, LEAST_MB)}MB"}
    ) as con:
        counts = _join(con, state, shape)
        for sql, path in (
            (_CONNECTIONS, DATASETS["stats.connections"].path(folder)),
            (_EDGES, DATASETS["stats.edges"].path(folder) / "part-00000.parquet"),
        ):
            con.execute(
                f"COPY ({sql}) TO '{str(path).replace(chr(39), chr(39) * 2)}' (FORMAT parquet, COMPRESSION zstd)"
            )
    space = Space(name, None, "neuron", METHOD)
    manifest = {"stage": "stats", "version": VERSION, "tool_version": __version__, "space": space._asdict()}
    inputs = [path.name for path in weights.inputs()]
    facts = {"neurons": shape.layers * shape.neurons, "edges": counts[0]}
    manifest |= {"method": METHOD, "inputs": inputs, "options": dict(options), "sample_below": 0, "counts": facts}
    write_json(manifest, folder / MANIFEST)
    return counts


def _join(con: duckdb.DuckDBPyConnection, state: State, shape: Shape) -> tuple[int, int, int]:
    """Fill the table `joined`; the numbers of its rows, and of those of each direction."""
    con.execute(
        "CREATE OR REPLACE TABLE listed (direction VARCHAR, src_layer INTEGER, src_neuron INTEGER, tgt_layer INTEGER, "
        "tgt_neuron INTEGER, c_up FLOAT, c_gate FLOAT, rank INTEGER)"
    )
    con.execute("DROP TABLE IF EXISTS joined")
    for upper in range(1, shape.layers):
        _insert(con, "upstream", state.upstream(upper), upper * shape.neurons, shape)
    downstream = state.downstream()
    if downstream is not None:
        _insert(con, "downstream", downstream, 0, shape)
    con.execute(_JOINED)
    found = con.execute("SELECT count(*), count(downstream_rank), count(upstream_rank) FROM joined").fetchone()
    assert found is not None
    return found[0], found[1], found[2]


def _insert(con: duckdb.DuckDBPyConnection, direction: str, lists: Strongest, first: int, shape: Shape) -> None:
    """Rows of `listed` of the neurons from number `first` on."""
    for start in range(0, lists.strength.shape[1], _BATCH):
        some = lists.rows(slice(start, start + _BATCH))
        strength, partner, up, gate = (
            getattr(some, key).cpu().numpy() for key in ("strength", "partner", "up", "gate")
        )
        polarity, row, rank = np.nonzero(strength > 0)
        mine = first + start + row
        other = partner[polarity, row, rank]
        source, target = (other, mine) if direction == "upstream" else (mine, other)
        columns = {
            "direction": pa.array([direction] * len(mine)),
            "src_layer": source // shape.neurons,
            "src_neuron": source % shape.neurons,
            "tgt_layer": target // shape.neurons,
            "tgt_neuron": target % shape.neurons,
            "c_up": up[polarity, row, rank],
            "c_gate": gate[polarity, row, rank],
            "rank": rank + 1,
        }
        con.register("incoming", pa.table(columns))
        con.execute("INSERT INTO listed FROM incoming")
        con.unregister("incoming")


def _neurons(shape: Shape) -> pa.Table:
    """Every neuron of the model; no graph holds any."""
    dataset, count = DATASETS["stats.neurons"], shape.layers * shape.neurons
    number = np.arange(count)
    known = {"layer": number // shape.neurons, "neuron": number % shape.neurons}
    zeros = dict.fromkeys(
        ("graph_count", "node_count", "activation_count", "influence_count"), np.zeros(count, np.int64)
    )
    columns: dict[str, Any] = {name: values.astype(np.int32) for name, values in known.items()} | zeros
    empty = {field.name: pa.nulls(count, field.type) for field in dataset.schema if field.name not in columns}
    return dataset.table(columns | empty)
