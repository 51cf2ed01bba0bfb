"""Detection of graphs that are in two tasks, or in a task and in earlier statistics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from atlas.aggregate.map.graph_tasks import read_finished_task
from atlas.io.work_dir import Store
from atlas.stages import DATASETS

_SAME = ["path", "graph_hash"]


def copies(store: Store, tasks: int, earlier: Sequence[Path]) -> dict[int, dict[str, str]]:
    """Return, by task, the paths of graphs that are also in an earlier task or in earlier statistics.

    Each path maps to the path of the first copy.
    """
    seen: dict[str, str] = {}
    for folder in earlier:
        graphs = pq.read_table(DATASETS["stats.graphs"].path(folder), columns=_SAME)
        seen |= dict(zip(graphs["graph_hash"].to_pylist(), graphs["path"].to_pylist(), strict=True))
    found: dict[int, dict[str, str]] = {}
    for number in range(tasks):
        graphs = read_finished_task(store.url, number, _SAME)[1]
        for graph_hash, path in zip(graphs["graph_hash"].to_pylist(), graphs["path"].to_pylist(), strict=True):
            first = seen.setdefault(graph_hash, path)
            if first != path:
                found.setdefault(number, {})[path] = first
    return found
