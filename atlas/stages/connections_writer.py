"""Writer of the connections and edges of a stats folder, one row per pair, from lists of strongest connections."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from atlas.io.package_data import folder
from atlas.stages.stats_writer import StatsWriter

METHOD = "weight_graph"
LEAST_MB = 256  # with less memory, DuckDB cannot join
_BATCH = 1 << 18  # rows


class Connections:
    """Lists of strongest connections, held in a DuckDB file until they are joined."""

    def __init__(self, path: Path, memory: int) -> None:
        self._con = duckdb.connect(str(path), config={"memory_limit": f"{max(memory // 10**6, LEAST_MB)}MB"})
        self._con.execute((folder("sql") / "connections.sql").read_text(encoding="utf-8"))

    def __enter__(self) -> Connections:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._con.close()

    def add(self, direction: str, columns: Mapping[str, Any]) -> None:
        """Add rows to the lists of sources (`downstream`) or of targets (`upstream`).

        The columns are those of `listed` in sql/connections.sql. `strength` is negative for an inhibitory connection.
        All values may be null, or left out, except that without a polarity the strength is needed.
        """
        rows = len(columns["rank"])
        incoming = pa.table({"direction": pa.repeat(direction, rows), **columns})
        self._con.register("incoming", incoming)
        self._con.execute("INSERT INTO listed BY NAME FROM incoming")
        self._con.unregister("incoming")

    def write(self, writer: StatsWriter) -> tuple[int, int, int]:
        """Write both datasets; return the numbers of all pairs, of those listed downstream, and of those upstream."""
        counts = np.zeros(3, np.int64)
        reader: pa.RecordBatchReader = self._con.sql("FROM connections").to_arrow_reader(_BATCH)
        for batch in reader:
            columns = {name: batch[name] for name in batch.schema.names}
            writer.add("connections", columns)
            listed = [len(batch) - batch[name].null_count for name in ("downstream_rank", "upstream_rank")]
            counts += [len(batch), *listed]
            # A connection is one observation of its derivative, or of its strength. Without a regime, a mixed pair is no edge:
            # it has no sign.
            predicted = pc.coalesce(batch["derivative"], batch["strength"])
            weight = predicted.drop_null().to_numpy().astype(np.float64)
            ends = {
                name: columns[name].filter(predicted.is_valid())
                for name in ("src_layer", "src_neuron", "tgt_layer", "tgt_neuron")
            }
            sums = {"weight_sum": weight, "weight_abs_sum": abs(weight), "weight_sq_sum": weight**2}
            about = {"method": METHOD, "count": 1, "positive_count": (weight > 0).astype(np.int64)}
            writer.add("edges", ends | sums | about | {"weight_min": weight, "weight_max": weight})
        return int(counts[0]), int(counts[1]), int(counts[2])

    def ends(self) -> pa.Table:
        """Return layer and neuron of every neuron in a pair."""
        sql = "SELECT src_layer AS layer, src_neuron AS neuron FROM listed UNION SELECT tgt_layer, tgt_neuron FROM listed ORDER BY ALL"
        table: pa.Table = self._con.sql(sql).to_arrow_table()
        return table
