"""Observations that must not be counted wrongly: ids of any size, files that change, rows of which none counts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atlas.aggregate.map.observation_files import COLUMNS
from atlas.errors import InputError, NothingReadable, SourceChanged
from atlas.pipeline import aggregate_graphs


def shuffled(ids: np.ndarray, folder: Path, weight: float = 1.0) -> pa.Table:
    """Write one file of small row groups, with graphs in the order of `ids`."""
    rows = len(ids)
    found = pa.table(
        {
            "graph_id": ids,
            **{name: np.arange(rows, dtype=np.int32) % 5 for name in COLUMNS[1:5]},
            "weight": np.full(rows, weight),
        }
    )
    folder.mkdir(exist_ok=True)
    pq.write_table(found, folder / "a.parquet", row_group_size=100)
    return found


@pytest.mark.parametrize("first", [0, 2**62 - 3, 2**63 - 8])
def test_large_ids_in_any_order_are_counted(first: int, tmp_path: Path, tiny_chunks: None) -> None:
    """Ranges of the shuffle once ended at 2**62, and rows beyond it were lost without a word."""
    ids = np.arange(1000) % 7 + first
    shuffled(ids, tmp_path / "obs")
    summary = aggregate_graphs([tmp_path / "obs"], tmp_path / "stats", model="toy", cooccurrence=0)
    assert (summary.graphs, summary.links) == (7, 1000)
    edges = pq.read_table(tmp_path / "stats" / "edges")
    assert sum(edges["count"].to_pylist()) == 1000
    assert set(edges["graph_count"].to_pylist()) == {7}


def test_a_negative_id_is_refused_in_any_order(tmp_path: Path, tiny_chunks: None) -> None:
    shuffled(np.arange(1000) % 7 - 1, tmp_path / "obs")
    with pytest.raises(InputError, match=r"a\.parquet: graph_id -1 is negative; number the graphs from 0"):
        aggregate_graphs([tmp_path / "obs"], tmp_path / "stats", model="toy", cooccurrence=0)


def test_bounds_are_those_of_the_column_and_not_of_a_nested_one(tmp_path: Path, tiny_chunks: None) -> None:
    found = shuffled(np.arange(1000) % 7, tmp_path / "obs")
    meta = pa.array([{"graph_id": row // 100} for row in range(1000)])
    pq.write_table(found.add_column(0, "meta", meta), tmp_path / "obs" / "a.parquet", row_group_size=100)
    summary = aggregate_graphs([tmp_path / "obs"], tmp_path / "stats", model="toy", cooccurrence=0)
    assert (summary.graphs, summary.links) == (7, 1000)
    assert set(pq.read_table(tmp_path / "stats" / "edges")["graph_count"].to_pylist()) == {7}


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    shuffled(np.arange(300) // 10, tmp_path / "obs")

    def replace(what: str, done: int, total: int) -> None:
        if what == "observations" and done == total:
            shuffled(np.arange(300) // 10, tmp_path / "obs", weight=2.0)

    with pytest.raises(SourceChanged, match=r"a\.parquet changed while it was read; repeat the command"):
        aggregate_graphs([tmp_path / "obs"], tmp_path / "stats", model="toy", cooccurrence=0, progress=replace)
    aggregate_graphs([tmp_path / "obs"], tmp_path / "stats", model="toy", cooccurrence=0)
    assert sum(pq.read_table(tmp_path / "stats" / "edges")["weight_sum"].to_pylist()) == 600.0


def test_losing_all_observations_is_no_success(tmp_path: Path) -> None:
    shuffled(np.arange(300) // 10, tmp_path / "obs", weight=math.nan)
    with pytest.raises(NothingReadable, match="none of the 300 observations can be counted: 300 non_finite_weight"):
        aggregate_graphs([tmp_path / "obs"], tmp_path / "stats", model="toy", cooccurrence=0)
    shuffled(np.arange(0), tmp_path / "obs")
    with pytest.raises(NothingReadable, match=r"a\.parquet: no file has a row"):
        aggregate_graphs([tmp_path / "obs"], tmp_path / "stats", model="toy", cooccurrence=0)


def test_a_column_of_another_type_is_named_with_its_file(tmp_path: Path) -> None:
    found = shuffled(np.arange(300) // 10, tmp_path / "obs")
    days = found.set_column(1, "src_layer", pa.array(np.zeros(300, np.int32)).cast(pa.date32()))
    pq.write_table(days, tmp_path / "obs" / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: the column src_layer of the observations holds date32"):
        aggregate_graphs([tmp_path / "obs"], tmp_path / "stats", model="toy", cooccurrence=0)
