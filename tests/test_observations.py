"""Observations from Parquet, Arrow, arrays and tensors: whatever their order and cut, the plain loop's statistics."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from test_aggregate import EXACT, SUMS, rows

from atlas.aggregate import Aggregator
from atlas.aggregate.edge_sample import sampled, threshold
from atlas.errors import InputError, OutputError, SourceChanged, SpaceMismatch, UsageError
from atlas.graph import Space
from atlas.pipeline import aggregate_graphs

COLUMNS = ("graph_id", "src_layer", "src_neuron", "tgt_layer", "tgt_neuron", "weight")
KEY = COLUMNS[1:5]
SPACE = Space("toy", None, "neuron")


def made(graphs: int = 40, links: int = 60, seed: int = 0) -> list[tuple[Any, ...]]:
    rng = random.Random(seed)
    return [
        (graph, rng.randrange(3), rng.randrange(6), rng.randrange(3), rng.randrange(6), rng.gauss(0, 1))
        for graph in range(graphs)
        for _ in range(rng.randrange(links))
    ]


def table(observed: list[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*observed, strict=True)) or [()] * 6
    kinds = [pa.int64(), *[pa.int32()] * 4, pa.float64()]
    return pa.table({name: pa.array(values, kind) for name, values, kind in zip(COLUMNS, columns, kinds, strict=True)})


def assert_equals_polars(stats: Path, observed: list[tuple[Any, ...]]) -> None:
    weight = pl.col("weight")
    expected = (
        pl.from_arrow(table(observed))
        .group_by(KEY)
        .agg(
            count=pl.len().cast(pl.Int64),
            graph_count=pl.col("graph_id").n_unique().cast(pl.Int64),
            positive_count=(weight > 0).sum().cast(pl.Int64),
            weight_sum=weight.sum(),
            weight_abs_sum=weight.abs().sum(),
            weight_sq_sum=(weight**2).sum(),
            weight_min=weight.min(),
            weight_max=weight.max(),
        )
        .sort(KEY)
    )
    found = pl.DataFrame(rows(stats, "edges"), infer_schema_length=None)
    assert found.select(KEY).rows() == expected.select(KEY).rows()
    for name in EXACT:
        assert found[name].to_list() == expected[name].to_list(), name
    for name, scale in SUMS.items():
        assert ((found[name] - expected[name]).abs() <= 1e-12 * expected[scale] + 1e-300).all(), name
    graphs: dict[tuple[int, int], set[int]] = {}
    for graph, *key, _ in observed:
        for end in (key[:2], key[2:]):
            graphs.setdefault(tuple(end), set()).add(graph)
    neurons = {(row["layer"], row["neuron"]): row["graph_count"] for row in rows(stats, "neurons")}
    assert neurons == {key: len(found) for key, found in graphs.items()}
    for row in rows(stats, "edges"):
        ends = [graphs[row[f"{end}_layer"], row[f"{end}_neuron"]] for end in ("src", "tgt")]
        assert row["joint_graph_count"] == len(ends[0] & ends[1])
    assert sum(row["link_count"] for row in rows(stats, "graphs")) == len(observed)


@pytest.mark.slow
@pytest.mark.parametrize("group", [pytest.param(7, marks=pytest.mark.slow), 64, 5000])
@pytest.mark.parametrize("order", ["by graph", "shuffled", "backward"])
@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_any_order_and_any_cut_equal_polars(
    form: str, order: str, group: int, tmp_path: Path, tiny_chunks: None
) -> None:
    observed = made()
    given = {
        "by graph": observed,
        "shuffled": random.Random(1).sample(observed, len(observed)),
        "backward": observed[::-1],
    }
    whole = table(given[order])
    (tmp_path / "data").mkdir()
    for number, part in enumerate((whole.slice(0, 500), whole.slice(500))):
        path = tmp_path / "data" / f"part-{number}.{form}"
        if form == "parquet":
            pq.write_table(part, path, row_group_size=group)
        else:
            with pa.ipc.new_file(path, part.schema) as file:
                file.write_table(part, max_chunksize=group)
    summary = aggregate_graphs([tmp_path / "data"], tmp_path / "stats", model="toy", threads=1)
    assert_equals_polars(tmp_path / "stats", observed)
    assert summary.links == len(observed) == summary.kept["edges"]


def test_parquet_without_statistics_and_with_float32_weights(tmp_path: Path, tiny_chunks: None) -> None:
    observed = [(*row[:5], float(torch.tensor(row[5], dtype=torch.float32))) for row in made()]
    narrow = table(observed).set_column(5, "weight", table(observed)["weight"].cast(pa.float32()))
    pq.write_table(narrow, tmp_path / "a.parquet", row_group_size=50, write_statistics=False)
    aggregate_graphs([tmp_path / "a.parquet"], tmp_path / "stats", threads=1)
    assert_equals_polars(tmp_path / "stats", observed)


def test_rows_that_do_not_count_are_counted_by_reason(tmp_path: Path) -> None:
    good = made(3)
    bad = [
        (0, 1, 1, 2, 2, float("nan")),
        (0, 1, 1, 2, 2, float("inf")),
        (1, 1, 1, 2, 2, 1e31),
        (1, 128, 1, 2, 2, 1.0),
        (2, 1, -1, 2, 2, 1.0),
        (2, 1, 1, 2, 2**24, 1.0),
        (2, 1, 1, 2, 2, None),
    ]
    pq.write_table(table(sorted(good + bad, key=lambda row: row[0])), tmp_path / "a.parquet")
    summary = aggregate_graphs([tmp_path / "a.parquet"], tmp_path / "stats")
    assert summary.dropped == {"non_finite_weight": 3, "huge_weight": 1, "out_of_range": 3}
    assert summary.kept["edges"] == len(good)
    for row in rows(tmp_path / "stats", "graphs"):
        assert row["link_count"] == row["kept_count"] + row["dropped_count"]


@pytest.mark.parametrize(
    ("column", "value", "match"),
    [("graph_id", None, "graph_id is null in 1 "), ("graph_id", -1, "graph_id -1 is negative")],
)
def test_graph_ids_must_be_numbers_from_0(column: str, value: Any, match: str, tmp_path: Path) -> None:
    pq.write_table(table([(value, 1, 1, 2, 2, 1.0)]), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=match):
        aggregate_graphs([tmp_path / "a.parquet"], tmp_path / "stats")


def test_a_table_of_something_else_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1], "weight": [1.0]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="a.parquet holds no observations: it lacks graph_id, src_layer"):
        aggregate_graphs([tmp_path / "a.parquet"], tmp_path / "stats")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="b.parquet cannot be read as observations"):
        aggregate_graphs([tmp_path / "b.parquet"], tmp_path / "stats")


def test_new_files_of_a_dataset_are_added(tmp_path: Path) -> None:
    observed = made()
    (tmp_path / "data").mkdir()
    pq.write_table(table([row for row in observed if row[0] < 20]), tmp_path / "data" / "a.parquet")
    aggregate_graphs([tmp_path / "data"], tmp_path / "stats")
    pq.write_table(table([row for row in observed if row[0] >= 20]), tmp_path / "data" / "b.parquet")
    summary = aggregate_graphs([tmp_path / "data"], tmp_path / "stats")
    assert_equals_polars(tmp_path / "stats", observed)
    assert 0 < summary.new_graphs < summary.graphs
    assert "nothing new" in aggregate_graphs([tmp_path / "data"], tmp_path / "stats").work


def batches(observed: list[tuple[Any, ...]]) -> list[list[tuple[Any, ...]]]:
    """Batches of whole graphs, graphs within a batch mixed up."""
    found = [[row for row in observed if row[0] // 7 == number] for number in range(30)]
    return [random.Random(number).sample(batch, len(batch)) for number, batch in enumerate(found) if batch]


def tensors(batch: list[tuple[Any, ...]], device: str) -> dict[str, torch.Tensor]:
    columns = list(zip(*batch, strict=True))
    return {
        name: torch.tensor(values, dtype=torch.float64 if name == "weight" else torch.int64, device=device)
        for name, values in zip(COLUMNS, columns, strict=True)
    }


DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["table", "record batch", "arrays", *DEVICES])
def test_an_aggregator_takes_batches_of_whole_graphs(form: str, tmp_path: Path, tiny_chunks: None) -> None:
    observed = made()
    aggregator = Aggregator(tmp_path / "stats", space=SPACE, device="cpu", threads=1)
    for batch in batches(observed):
        given: Any = table(batch)
        if form == "record batch":
            given = given.combine_chunks().to_batches()[0]
        elif form == "arrays":
            given = {name: given[name].to_numpy() for name in COLUMNS}
        elif form != "table":
            given = tensors(batch, form)
        aggregator.add(given)
    summary = aggregator.write()
    assert_equals_polars(tmp_path / "stats", observed)
    assert summary.links == len(observed)
    assert not (tmp_path / ".stats.work").exists()


@pytest.mark.slow
def test_tensors_and_tables_give_the_same_sample_and_halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    observed = made(200)
    for name, most in (("whole", 10**9), ("part", 300)):
        monkeypatch.setattr("atlas.aggregate.edge_sample.SAMPLE_LINKS", most)
        for form in ("table", "tensors"):
            aggregator = Aggregator(tmp_path / name / form, space=SPACE, device="cpu", threads=1)
            for batch in batches(observed):
                aggregator.add(table(batch) if form == "table" else tensors(batch, "cpu"))
            aggregator.write()
        first, second = (pl.DataFrame(rows(tmp_path / name / form, "edge_samples")) for form in ("table", "tensors"))
        assert first.drop("weight_sum").equals(second.drop("weight_sum"))
        split_half = [
            [(row["half_count"], round(row["half_weight_sum"], 9)) for row in rows(tmp_path / name / form, "edges")]
            for form in ("table", "tensors")
        ]
        assert split_half[0] == split_half[1]
    # The sample shrinks as links come, and is in the end that of all of them.
    key = ["src_layer", "src_neuron", "tgt_layer", "tgt_neuron"]
    whole, part = (pl.DataFrame(rows(tmp_path / name / "table", "edge_samples")) for name in ("whole", "part"))
    layer, neuron, other_layer, other = (whole[name].to_numpy().astype(np.int64) for name in key)
    packed = ((layer << 24 | neuron) << 31) | (other_layer << 24 | other)
    expected = whole.filter(pl.Series(sampled(packed, threshold(len(observed)))))
    assert 0 < len(part) < len(whole) / 2
    assert part.equals(expected)


def test_an_aggregator_goes_on_with_what_was_flushed(tmp_path: Path) -> None:
    observed = made()
    hashes = {graph: f"{graph:064x}" for graph in range(40)}
    first = Aggregator(tmp_path / "stats", space=SPACE, threads=1)
    for batch in batches(observed)[:3]:
        first.add(table(batch), hashes=hashes)
        first.flush()
    first.close()
    again = Aggregator(tmp_path / "stats", space=SPACE, threads=1)
    assert again.hashes == {hashes[row[0]] for batch in batches(observed)[:3] for row in batch}
    for batch in batches(observed):
        again.add(table(batch), hashes=hashes)
    again.write()
    assert_equals_polars(tmp_path / "stats", observed)


def test_a_graph_in_two_batches_and_another_space_are_refused(tmp_path: Path) -> None:
    aggregator = Aggregator(tmp_path / "stats", space=SPACE, threads=1)
    aggregator.add(table(made(2)))
    with pytest.raises(UsageError, match="graph_id 0 came in an earlier batch"):
        aggregator.add(table(made(2)))
    aggregator.flush()
    aggregator.close()
    with pytest.raises(SpaceMismatch, match="two feature spaces do not mix"):
        Aggregator(tmp_path / "stats", space=SPACE._replace(model="other"), threads=1)


def test_the_torch_kernel_writes_what_numpy_writes(
    tmp_path: Path, tiny_chunks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way with the device kernel, on the CPU: counts and extrema to the bit."""
    observed = random.Random(3).sample(made(), len(made()))
    pq.write_table(table(observed), tmp_path / "a.parquet", row_group_size=64)
    for name, device in (("numpy", "cpu"), ("torch", "torch:cpu")):
        monkeypatch.setattr("atlas.aggregate.api.choose_device", lambda _, device=device: device)
        aggregate_graphs([tmp_path / "a.parquet"], tmp_path / name, threads=1)
        assert_equals_polars(tmp_path / name, observed)
    for table_name in ("neurons", "neuron_graphs", "cooccurrence", "graphs"):
        assert rows(tmp_path / "numpy", table_name) == rows(tmp_path / "torch", table_name)


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_empty_groups_and_files_between_the_rows_of_a_graph(form: str, tmp_path: Path, tiny_chunks: None) -> None:
    """Once counted twice: the bounds of an empty group were taken for graph 0."""
    observed = made()
    whole = table(observed)
    (tmp_path / "data").mkdir()
    for number, part in enumerate((whole.slice(0, 333), whole.slice(0, 0), whole.slice(333))):
        path = tmp_path / "data" / f"{number}.{form}"
        if form == "parquet":
            with pq.ParquetWriter(path, part.schema) as file:
                for start in range(0, max(len(part), 1), 50):
                    file.write_table(part.slice(start, 50))
                    file.write_table(part.slice(0, 0))
        else:
            with pa.ipc.new_file(path, part.schema) as file:
                for batch in part.combine_chunks().to_batches(50):
                    file.write_batch(batch)
                    file.write_batch(batch.slice(0, 0))
    aggregate_graphs([tmp_path / "data"], tmp_path / "stats", threads=1)
    assert_equals_polars(tmp_path / "stats", observed)


def test_a_changed_dataset_file_is_noticed_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for weight in (0.5, 0.25):
        pq.write_table(
            table([(0, 1, 1, 2, 2, weight)] * 50),
            path,
            write_statistics=False,
            compression="none",
            use_dictionary=False,
        )
        if weight == 0.5:
            aggregate_graphs([path], tmp_path / "stats")
    with pytest.raises(SourceChanged, match="a.parquet has changed"):
        aggregate_graphs([path], tmp_path / "stats")


def test_a_graph_id_that_is_counted_already_is_refused(tmp_path: Path) -> None:
    (tmp_path / "g").mkdir()
    pq.write_table(table(made(5)), tmp_path / "g" / "a.parquet")
    aggregate_graphs([tmp_path / "g"], tmp_path / "stats")
    pq.write_table(table(made(5, seed=9)), tmp_path / "g" / "b.parquet")
    with pytest.raises(
        InputError, match=r"g/b.parquet#\d and g/a.parquet#\d, which is counted already, have one graph_id"
    ):
        aggregate_graphs([tmp_path / "g"], tmp_path / "stats")
    assert aggregate_graphs([tmp_path / "g"], tmp_path / "stats", fresh=True).graphs == 5


ODD = {
    "text": ("src_layer", pa.array(["one", "two"]), "src_layer of the observations holds string, not whole numbers"),
    "nan neuron": ("src_neuron", pa.array([1.0, float("nan")]), "src_neuron of the observations holds double"),
    "half neuron": ("tgt_neuron", pa.array([1.5, 2.0]), "tgt_neuron of the observations holds double"),
    "huge id": ("graph_id", pa.array([1, 2**63 + 1], pa.uint64()), "graph_id"),
    "list weight": ("weight", pa.array([[1.0], [2.0]]), "weight of the observations holds list"),
    "binary id": ("graph_id", pa.array([b"x", b"y"]), "graph_id"),
}


@pytest.mark.parametrize("name", ODD)
def test_columns_that_hold_no_numbers_are_named(name: str, tmp_path: Path) -> None:
    column, values, told = ODD[name]
    good = table([(0, 1, 1, 2, 2, 1.0), (1, 1, 1, 2, 2, 1.0)])
    pq.write_table(good.set_column(COLUMNS.index(column), column, values), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=told):
        aggregate_graphs([tmp_path / "a.parquet"], tmp_path / "stats")


def test_numbers_of_other_types_are_numbers(tmp_path: Path) -> None:
    observed = made(6)
    odd = table(observed)
    kinds = [pa.uint64(), pa.uint8(), pa.uint16(), pa.float64(), pa.string(), pa.float64()]
    for place, (name, kind) in enumerate(zip(COLUMNS, kinds, strict=True)):
        odd = odd.set_column(place, name, odd[name].cast(kind))
    nulls = pa.chunked_array([pa.array([None], pa.uint8())])
    extra = odd.slice(0, 1).set_column(1, "src_layer", nulls)
    pq.write_table(pa.concat_tables([odd, extra]), tmp_path / "a.parquet", row_group_size=40)
    summary = aggregate_graphs([tmp_path / "a.parquet"], tmp_path / "stats", threads=1)
    assert summary.dropped == {"out_of_range": 1}
    assert summary.kept["edges"] == len(observed)


def test_an_aggregator_refuses_what_cannot_be_right_and_goes_on(tmp_path: Path) -> None:
    aggregator = Aggregator(str(tmp_path / "stats"), space=SPACE, threads=1)
    good = table(made(3))
    with pytest.raises(UsageError, match="it lacks weight"):
        aggregator.add(good.drop_columns(["weight"]))
    with pytest.raises(UsageError, match="one length"):
        aggregator.add({name: [1] if name == "weight" else [1, 2] for name in COLUMNS})
    with pytest.raises(InputError, match="negative"):
        aggregator.add(table([(0, 1, 1, 2, 2, 1.0), (-1, 1, 1, 2, 2, 1.0)]))
    with pytest.raises(InputError, match="whole numbers"):
        aggregator.add({name: torch.tensor([1.0]) for name in COLUMNS})
    with pytest.raises(OutputError, match="is being written by another process"):
        Aggregator(tmp_path / "stats", space=SPACE, threads=1)
    aggregator.add(good)
    assert aggregator.write().graphs == len({row[0] for row in made(3)})
    with pytest.raises(UsageError, match="are written"):
        aggregator.write()
    with pytest.raises(InputError, match="nothing was added"):
        Aggregator(tmp_path / "none", space=SPACE, threads=1).write()
    assert not (tmp_path / ".none.work").exists()
