"""Observations in Parquet to sorted Parquet statistics, side by side: this package, DuckDB, Polars, a plain loop.

    make bench-aggregate                                   # 100 M observations, then 10 M and 500 M of ours
    python tests/bench/bench_aggregate.py --rows 1e7 --scale 1e6 1e8

All write the same columns for every pair of neurons (DESIGN section 5, distinct graphs included), sorted by
source and target; the numbers of rows and the sums of the columns must agree. This package also writes
neurons, incidences, half counts and bookkeeping, and waits until its files are on the disk; its default run finds
co-occurring neurons, too, which no other does. Links are drawn
like those of graphs: 5,000 links among 450 neurons per graph, neurons by a power law, so that an edge is
seen three times in 100 M (3.5 times in the 197 M of the 39,358 FineWeb graphs). Times include starting
Python. Peak memory is that of all processes of a contender together.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import measure
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LAYERS, WIDTH, LINKS, NEURONS, POWER = 32, 14_336, 5_000, 450, 11.0
KEY = ("src_layer", "src_neuron", "tgt_layer", "tgt_neuron")


def block(first: int, graphs: int) -> pa.Table:
    """The links of some graphs; the same for the same numbers."""
    rng = np.random.default_rng([7, first])
    total = LAYERS * WIDTH
    rank = (total * rng.random((graphs, NEURONS)) ** POWER).astype(np.int64)
    neuron = rank * 2_654_435_761 % total  # frequent neurons in all layers
    ends = [np.take_along_axis(neuron, rng.integers(0, NEURONS, (graphs, LINKS)), 1).ravel() for _ in range(2)]
    source, target = np.minimum(*ends), np.maximum(*ends)
    columns: dict[str, Any] = {"graph_id": np.repeat(np.arange(first, first + graphs, dtype=np.int32), LINKS)}
    for name, unit in (("src", source), ("tgt", target)):
        columns |= {
            f"{name}_layer": (unit // WIDTH).astype(np.int32),
            f"{name}_neuron": (unit % WIDTH).astype(np.int32),
        }
    return pa.table(columns | {"weight": rng.standard_normal(len(source))})


def generate(folder: Path, rows: int) -> None:
    folder.mkdir(parents=True)
    per_file = 2_000
    for number, first in enumerate(range(0, rows // LINKS, per_file)):
        table = block(first, min(per_file, rows // LINKS - first))
        pq.write_table(table, folder / f"part-{number:05d}.parquet", row_group_size=1 << 20)


def ours(data: str, out: Path, cooccurrence: int = 0) -> str:
    from atlas.pipeline import aggregate_graphs

    aggregate_graphs([data], out / "stats", device="cpu", model="bench", cooccurrence=cooccurrence)
    return f"{out}/stats/edges/*.parquet"


SUMS = """count(*) FILTER (weight > 0) AS positive_count, sum(weight) AS weight_sum, sum(abs(weight)) AS weight_abs_sum,
          sum(weight * weight) AS weight_sq_sum, min(weight) AS weight_min, max(weight) AS weight_max"""
PLAIN = f"""COPY (SELECT {", ".join(KEY)}, count(*) AS count, count(DISTINCT graph_id) AS graph_count, {SUMS}
            FROM '{{data}}/*.parquet' GROUP BY ALL ORDER BY {", ".join(KEY)}) TO '{{out}}' (COMPRESSION zstd)"""
TWICE = f"""COPY (SELECT {", ".join(KEY)}, sum(count) AS count, count(*) AS graph_count, sum(positive_count) AS positive_count,
                 sum(weight_sum) AS weight_sum, sum(weight_abs_sum) AS weight_abs_sum, sum(weight_sq_sum) AS weight_sq_sum,
                 min(weight_min) AS weight_min, max(weight_max) AS weight_max
            FROM (SELECT graph_id, {", ".join(KEY)}, count(*) AS count, {SUMS} FROM '{{data}}/*.parquet' GROUP BY ALL)
            GROUP BY {", ".join(KEY)} ORDER BY {", ".join(KEY)}) TO '{{out}}' (COMPRESSION zstd)"""


def duckdb_with(sql: str, data: str, out: Path) -> str:
    import duckdb

    con = duckdb.connect(config={"threads": 2, "temp_directory": str(out)})
    con.execute(sql.format(data=data, out=out / "edges.parquet"))
    return f"{out}/edges.parquet"


def polars(data: str, out: Path) -> str:
    import polars as pl

    weight = pl.col("weight")
    aggregates = [
        pl.len().alias("count"), pl.col("graph_id").n_unique().alias("graph_count"), (weight > 0).sum().alias("positive_count"),
        weight.sum().alias("weight_sum"), weight.abs().sum().alias("weight_abs_sum"), (weight**2).sum().alias("weight_sq_sum"),
        weight.min().alias("weight_min"), weight.max().alias("weight_max"),
    ]  # fmt: skip
    frame = pl.scan_parquet(f"{data}/*.parquet").group_by(KEY).agg(aggregates).sort(KEY)
    frame.sink_parquet(out / "edges.parquet", engine="streaming")
    return f"{out}/edges.parquet"


def plain_loop(data: str, out: Path) -> str:
    edges: dict[tuple[int, ...], list[Any]] = {}
    for path in sorted(Path(data).glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches():
            for graph, *key, weight in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                row = edges.get(tuple(key))
                if row is None:
                    edges[tuple(key)] = row = [0, 0, 0, 0.0, 0.0, 0.0, weight, weight, -1]
                row[0] += 1
                row[1] += row[8] != graph
                row[2] += weight > 0
                row[3] += weight
                row[4] += abs(weight)
                row[5] += weight * weight
                row[6] = min(row[6], weight)
                row[7] = max(row[7], weight)
                row[8] = graph
    names = (
        "count",
        "graph_count",
        "positive_count",
        "weight_sum",
        "weight_abs_sum",
        "weight_sq_sum",
        "weight_min",
        "weight_max",
    )
    ordered = sorted(edges.items())
    columns: dict[str, Any] = {name: [key[i] for key, _ in ordered] for i, name in enumerate(KEY)}
    columns |= {name: [row[i] for _, row in ordered] for i, name in enumerate(names)}
    pq.write_table(pa.table(columns), out / "edges.parquet")
    return f"{out}/edges.parquet"


CONTENDERS = {
    "ours": ours,
    "ours, with co-occurrence": lambda data, out: ours(data, out, 20),
    "DuckDB GROUP BY": lambda data, out: duckdb_with(PLAIN, data, out),
    "DuckDB, by graph first": lambda data, out: duckdb_with(TWICE, data, out),
    "Polars streaming": polars,
    "plain loop": plain_loop,
}


def child(name: str, data: str, out: Path) -> None:
    print(json.dumps({"found": CONTENDERS[name](data, out)}))


def agree(files: str) -> tuple[Any, ...]:
    """What all contenders must have in common: rows, counts, and sums to ten digits."""
    import duckdb

    sql = f"""SELECT count(*), sum(count), sum(graph_count), sum(positive_count), sum(hash({", ".join(KEY)}, count::BIGINT, graph_count::BIGINT, positive_count::BIGINT, weight_min, weight_max)),
              round(sum(weight_sum), 3), round(sum(weight_abs_sum) / 1e3, 3), round(sum(weight_sq_sum) / 1e3, 3) FROM '{files}'"""
    return tuple(duckdb.sql(sql).fetchall()[0])


def once(name: str, data: Path, work: Path) -> tuple[float, float, tuple[Any, ...]]:
    with tempfile.TemporaryDirectory(dir=work) as out:
        found, seconds, peak = measure.run([__file__, "--child", name, str(data), out])
        return seconds, peak, agree(found["found"])


def compare(rows: int, work: Path) -> None:
    data = work / "data"
    generate(data, rows)
    print(
        f"\n{rows:,} observations, {sum(p.stat().st_size for p in data.iterdir()) / 1e6:,.0f} MB of Parquet; {measure.cores()}"
    )
    print(f"{'':24} {'seconds':>8} {'x ours':>7} {'ns/row':>7} {'peak MB':>8} {'edges':>12}")
    # Once for the caches: compiled kernels, file pages.
    once("ours", data, work)
    first, answers = 0.0, set()
    for name in CONTENDERS:
        here, count = data, rows
        if name == "plain loop" and rows > 2_000_000:
            here, count = work / "few", 2_000_000
            generate(here, count)
        seconds, peak, answer = once(name, here, work)
        first = first or seconds
        if here == data:
            answers.add(answer)
        print(
            f"{name:24} {seconds:8.2f} {seconds / count * rows / first:7.2f} {seconds / count * 1e9:7.0f} {peak:8,.0f} {answer[0]:12,}"
        )
    assert len(answers) == 1, f"the contenders disagree: {answers}"
    if rows > 2_000_000:
        print("The plain loop ran over 2,000,000 rows; its ratio is per row.")
    shutil.rmtree(data)


def scale(sizes: list[int], work: Path) -> None:
    print(f"\nOurs alone, --memory 2GB\n{'observations':>14} {'seconds':>8} {'ns/row':>7} {'peak MB':>8} {'edges':>12}")
    for rows in sizes:
        data = work / "data"
        generate(data, rows)
        seconds, peak, answer = once("ours", data, work)
        print(f"{rows:14,} {seconds:8.2f} {seconds / rows * 1e9:7.0f} {peak:8,.0f} {answer[0]:12,}")
        shutil.rmtree(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=1e8, help="observations to compare with")
    parser.add_argument("--scale", type=float, nargs="*", default=[1e7, 1e8, 5e8], help="observations of ours alone")
    parser.add_argument(
        "--work", help="folder for the data (some 40 bytes per observation); a temporary one by default"
    )
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], options.child[1], Path(options.child[2]))
        return
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        if options.rows:
            compare(int(options.rows), Path(work))
        scale([int(rows) for rows in options.scale], Path(work))
    print(f"\n{time.perf_counter() - started:.0f} s in all", file=sys.stderr)


if __name__ == "__main__":
    main()
