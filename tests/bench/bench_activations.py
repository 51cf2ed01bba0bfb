"""One unit of a large store of activations, from every back end; and building the store beside DuckDB and Polars.

    make bench-activations
    python tests/bench/bench_activations.py --values 20000000
    python tests/bench/bench_activations.py --values 1000000000 --build-only

A store of 2,048 features over 850,000 samples is generated, with densities from 0.01 % to 60 % (log-uniform), 10^8 values by
default. Each contender builds in a process of its own, with its peak of memory: our collector, DuckDB's sort into a table, Polars'
sort into a Parquet file. Then every back end fetches all values of the features nearest to 100,000 and 500,000 values, ten times
each (three times from batch Zarr, which reads every chunk); the median is printed, and all must give the same answer. The .npy files
and the rows of the transposed array are of the asked features alone; the batches are whole.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from measure import run
from zarr.codecs import ZstdCodec

from atlas.stages.store.backends import BatchZarrBackend, Cells, NpyBackend, StoreBackend, TransposedZarrBackend
from atlas.stages.store.cells import Context
from atlas.stages.store.collector import Collector
from atlas.stages.store.spaces import ActivationSpace

FEATURES, SAMPLES, CHUNK = 2048, 850_000, 10_000
MEMORY = 2_000_000_000
ROWS = 20_000  # samples at a time
Columns = dict[str, np.ndarray]


def generated(values: int, seed: int = 0) -> Iterator[tuple[int, Columns]]:
    """The first sample and the cells (unit, context from there on, value) of every batch of samples."""
    rng = np.random.default_rng(seed)
    density = np.exp(rng.uniform(np.log(1e-4), np.log(0.6), FEATURES))
    low, high = 0.0, 1e4
    for _ in range(60):  # the scale at which the densities, at most 0.95, add up to the wanted number
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(density * middle, 0.95).sum() * SAMPLES < values else (low, middle)
    density = np.minimum(density * low, 0.95).astype(np.float32)
    for first in range(0, SAMPLES, ROWS):
        count = min(ROWS, SAMPLES - first)
        here = np.random.default_rng([seed, first])
        context, unit = np.nonzero(here.random((count, FEATURES), np.float32) < density)
        value = here.exponential(1.0, len(unit)).astype(np.float32) + 0.01
        yield first, {"unit": unit, "context": context, "value": value}


def build_ours(folder: Path, values: int) -> float:
    """Our store, of one context of one token per sample. Seconds without the generation of values."""
    spent = 0.0
    collector = Collector(
        folder / "store", space=ActivationSpace("bench", hook="sae"), layers={0: FEATURES}, memory=MEMORY
    )
    for first, cells in generated(values):
        zeros = np.zeros(len(cells["unit"]), np.int64)
        started = time.perf_counter()
        contexts = [Context((1,), f"{first + row}") for row in range(min(ROWS, SAMPLES - first))]
        collector.add_cells({**cells, "layer": zeros, "position": zeros}, contexts)
        spent += time.perf_counter() - started
    started = time.perf_counter()
    collector.write()
    return spent + time.perf_counter() - started


def build_duckdb(folder: Path, values: int) -> float:
    """The same rows sorted by DuckDB into a table, within the same memory."""
    config = {"memory_limit": f"{MEMORY // 10**6}MB", "temp_directory": str(folder / "spill"), "threads": "2"}
    spent = 0.0
    with duckdb.connect(str(folder / "sorted.duckdb"), config=config) as con:
        con.execute("CREATE TABLE raw (unit INTEGER, context_id INTEGER, value FLOAT)")
        for first, cells in generated(values):
            table = arrow(first, cells)
            started = time.perf_counter()
            con.register("given_rows", table)
            con.execute("INSERT INTO raw FROM given_rows")
            spent += time.perf_counter() - started
        started = time.perf_counter()
        con.execute("CREATE TABLE activations AS FROM raw ORDER BY unit, context_id")
        con.execute("DROP TABLE raw")
        con.execute("CHECKPOINT")
        return spent + time.perf_counter() - started


def build_polars(folder: Path, values: int) -> float:
    """The same rows sorted by Polars' streaming engine from Parquet files to one."""
    spent = 0.0
    (folder / "raw").mkdir()
    for first, cells in generated(values):
        table = arrow(first, cells)
        started = time.perf_counter()
        pq.write_table(table, folder / "raw" / f"{first:07d}.parquet", compression="lz4")
        spent += time.perf_counter() - started
    started = time.perf_counter()
    lazy = pl.scan_parquet(folder / "raw" / "*.parquet").sort("unit", "context_id")
    lazy.sink_parquet(folder / "sorted.parquet", compression="zstd")
    return spent + time.perf_counter() - started


def arrow(first: int, cells: Columns) -> pa.Table:
    context = (cells["context"] + first).astype(np.int32)
    return pa.table({"unit": cells["unit"].astype(np.int32), "context_id": context, "value": cells["value"]})


BUILDERS = {"our store": build_ours, "DuckDB, sorted table": build_duckdb, "Polars, sorted Parquet": build_polars}


def beside(folder: Path, values: int, store: StoreBackend, units: list[int]) -> None:
    """The other layouts: whole batches of Zarr; .npy files and rows of the transposed array of the asked features."""
    for number, (first, cells) in enumerate(generated(values)):
        count = min(ROWS, SAMPLES - first)
        dense = np.zeros((count, FEATURES), np.float32)
        dense[cells["context"], cells["unit"]] = cells["value"]
        path = folder / "batches" / "activations" / f"batch_{number:04d}.zarr"
        array(path, dense.shape, (1000, FEATURES))[:] = dense
    wide = array(folder / "wide" / "transposed_activations.zarr", (FEATURES, SAMPLES), (1, CHUNK))
    for unit in units:
        cells = store.load((0, unit))
        assert cells is not None
        dense = np.zeros(SAMPLES, np.float32)
        dense[cells.context] = cells.value
        wide[unit] = dense
        target = folder / "npy" / f"neuron_{unit:04d}"
        target.mkdir(parents=True)
        np.save(target / "idxs.npy", cells.context)
        np.save(target / "acts.npy", cells.value)


def array(path: Path, shape: tuple[int, int], chunks: tuple[int, int]) -> zarr.Array:
    codec = ZstdCodec(level=3)
    return zarr.create_array(
        store=str(path), shape=shape, chunks=chunks, dtype="float32", compressors=codec, fill_value=0.0
    )


def timed(fetch: Callable[[], Cells], times: int) -> tuple[float, Cells]:
    found = fetch()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        fetch()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1e3, found


def fetches(root: Path, values: int) -> None:
    store = StoreBackend(root / "store")
    counts = duckdb.sql(f"SELECT unit, count(*) FROM '{root}/store/activations/*.parquet' GROUP BY unit").fetchall()
    asked = list(
        dict.fromkeys(min(counts, key=lambda row, goal=goal: abs(row[1] - goal))[0] for goal in (100_000, 500_000))
    )
    beside(root / "other", values, store, asked)
    with duckdb.connect(str(root / "sorted.duckdb"), read_only=True) as con:

        def from_table(unit: tuple[int, int]) -> Cells:
            found = con.execute("SELECT context_id, value FROM activations WHERE unit = $1", [unit[1]]).fetchnumpy()
            return Cells(found["context_id"].astype(np.int64), np.zeros(0, np.int32), found["value"])

        def by_duckdb(unit: tuple[int, int]) -> Cells:
            sql = f"SELECT context_id, value FROM '{root}/store/activations/*.parquet' WHERE layer = 0 AND unit = {unit[1]}"
            found = con.execute(sql).fetchnumpy()
            return Cells(found["context_id"].astype(np.int64), np.zeros(0, np.int32), found["value"])

        contenders: list[tuple[str, Callable[[tuple[int, int]], Cells | None], int]] = [
            ("our store (StoreBackend)", store.load, 10),
            ("our store (DuckDB reads its Parquet)", by_duckdb, 10),
            ("DuckDB table, as in an atlas", from_table, 10),
            (".npy pair per feature", NpyBackend(root / "other" / "npy").load, 10),
            ("transposed Zarr", TransposedZarrBackend(root / "other" / "wide").load, 10),
            ("batch Zarr", BatchZarrBackend(root / "other" / "batches").load, 3),
        ]
        for unit in asked:
            expected = store.load((0, unit))
            assert expected is not None
            for name, load, times in contenders:

                def fetch(load: Callable[[tuple[int, int]], Cells | None] = load, unit: int = unit) -> Cells:
                    found = load((0, unit))
                    assert found is not None
                    return found

                milliseconds, found = timed(fetch, times)
                assert np.array_equal(found.context, expected.context)
                assert np.array_equal(found.value, expected.value)
                print(f"  {len(found.value):9,} values  {name:38} {milliseconds:10.1f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--values", type=int, default=100_000_000)
    parser.add_argument("--build-only", action="store_true", help="leave the other layouts and the fetches out")
    parser.add_argument("--contender", choices=BUILDERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(BUILDERS[options.contender](options.folder, options.values)))
        return
    with tempfile.TemporaryDirectory() as work:
        root = Path(work)
        files = {
            "our store": "store/activations",
            "DuckDB, sorted table": "sorted.duckdb",
            "Polars, sorted Parquet": "sorted.parquet",
        }
        first = None
        for name in BUILDERS:
            command = [__file__, "--values", str(options.values), "--contender", name, "--folder", str(root)]
            seconds, _, peak = run(command)
            path = root / files[name]
            size = sum(part.stat().st_size for part in path.iterdir()) if path.is_dir() else path.stat().st_size
            if first is None:
                rows = sum(pq.read_metadata(part).num_rows for part in path.glob("*.parquet"))
                print(f"{FEATURES:,} features, {SAMPLES:,} samples, {rows:,} values")
            first = first or seconds
            print(
                f"build: {name:24} {seconds:7.1f} s ({seconds / first:.2f}x), {rows / seconds / 1e6:.1f} M values/s, "
                f"{size / rows:.2f} bytes per value, peak {peak:,.0f} MB",
                flush=True,
            )
        if not options.build_only:
            fetches(root, options.values)


if __name__ == "__main__":
    main()
