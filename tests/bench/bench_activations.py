"""One unit of a large store of activations, from every layout: seconds to fetch all its values, and bytes per value.

    make bench-activations
    python tests/bench/bench_activations.py --values 20000000

A store of 2,048 features over 850,000 samples is generated, with densities from 0.01 % to 60 % (log-uniform), 10^8 values by
default. Our store is built by the collector; beside it stand a DuckDB table sorted by unit, one .npy pair per feature, and dense
transposed rows of the features that are asked, compressed with zstd in chunks of 10,000 as in a transposed Zarr store. Asked are
the features nearest to 100,000 and 500,000 values, ten times each; the median is printed. Building is timed beside DuckDB's own
sort of the same rows within the same memory.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from atlas.stages.store.cells import Context
from atlas.stages.store.collector import Collector
from atlas.stages.store.spaces import ActivationSpace

FEATURES, SAMPLES, CHUNK = 2048, 850_000, 10_000
MEMORY = 2_000_000_000
ROWS = 20_000  # samples at a time


def generate(values: int, seed: int = 0) -> Any:
    """Densities of the features, scaled to this number of values, and a function from samples to their cells."""
    rng = np.random.default_rng(seed)
    density = np.exp(rng.uniform(np.log(1e-4), np.log(0.6), FEATURES))
    density = np.minimum(density * values / (density.sum() * SAMPLES), 0.65)

    def cells(first: int, count: int) -> dict[str, np.ndarray]:
        here = np.random.default_rng([seed, first])
        fires = here.binomial(count, density)
        unit = np.repeat(np.arange(FEATURES), fires)
        context = np.concatenate([here.choice(count, size, replace=False) for size in fires])
        value = here.exponential(1.0, len(unit)).astype(np.float32) + 0.01
        return {"layer": np.zeros(len(unit), np.int64), "unit": unit, "context": context, "value": value}

    return density, cells


def build(folder: Path, cells: Callable[[int, int], dict[str, np.ndarray]]) -> float:
    """Build our store; one context of one token per sample. Seconds without the generation of values."""
    spent = 0.0
    collector = Collector(folder, space=ActivationSpace("bench", hook="sae"), layers={0: FEATURES}, memory=MEMORY)
    for first in range(0, SAMPLES, ROWS):
        count = min(ROWS, SAMPLES - first)
        given = cells(first, count)
        contexts = [Context((1,), f"{first + row}") for row in range(count)]
        started = time.perf_counter()
        collector.add_cells(given | {"position": np.zeros(len(given["unit"]), np.int64)}, contexts)
        spent += time.perf_counter() - started
    started = time.perf_counter()
    collector.write()
    return spent + time.perf_counter() - started


def duckdb_sort(file: Path, cells: Callable[[int, int], dict[str, np.ndarray]]) -> float:
    """The same rows sorted by DuckDB into a table, within the same memory. Seconds without the generation."""
    config = {"memory_limit": f"{MEMORY // 10**6}MB", "temp_directory": str(file.parent / "spill"), "threads": "2"}
    spent = 0.0
    with duckdb.connect(str(file), config=config) as con:
        con.execute("CREATE TABLE raw (unit INTEGER, context_id INTEGER, value FLOAT)")
        for first in range(0, SAMPLES, ROWS):
            given = cells(first, min(ROWS, SAMPLES - first))
            table = pa.table(
                {
                    "unit": given["unit"].astype(np.int32),
                    "context_id": (given["context"] + first).astype(np.int32),
                    "value": given["value"],
                }
            )
            started = time.perf_counter()
            con.register("given_rows", table)
            con.execute("INSERT INTO raw FROM given_rows")
            spent += time.perf_counter() - started
        started = time.perf_counter()
        con.execute("CREATE TABLE activations AS FROM raw ORDER BY unit, context_id")
        con.execute("DROP TABLE raw")
        con.execute("CHECKPOINT")
        return spent + time.perf_counter() - started


def from_store(store: Path, unit: int) -> tuple[np.ndarray, np.ndarray]:
    chosen = pads.dataset(store / "activations", format="parquet").to_table(
        columns=["context_id", "value"], filter=(pads.field("layer") == 0) & (pads.field("unit") == unit)
    )
    return chosen["context_id"].to_numpy(), chosen["value"].to_numpy()


def timed(fetch: Callable[[], tuple[np.ndarray, np.ndarray]]) -> tuple[float, int]:
    rows = len(fetch()[0])
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        fetch()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1e3, rows


def beside(folder: Path, store: Path, units: list[int]) -> None:
    """The other layouts, of the asked features alone: .npy pairs, and dense rows in compressed chunks."""
    for unit in units:
        context, value = from_store(store, unit)
        (folder / f"{unit}").mkdir(parents=True)
        np.save(folder / f"{unit}" / "idxs.npy", context.astype(np.int64))
        np.save(folder / f"{unit}" / "acts.npy", value)
        dense = np.zeros(SAMPLES, np.float32)
        dense[context] = value
        codec = pa.Codec("zstd", 3)
        for number, first in enumerate(range(0, SAMPLES, CHUNK)):
            piece = dense[first : first + CHUNK].tobytes()
            (folder / f"{unit}" / f"{number}.zst").write_bytes(codec.compress(piece, asbytes=True))


def from_npy(folder: Path, unit: int) -> tuple[np.ndarray, np.ndarray]:
    return np.load(folder / f"{unit}" / "idxs.npy"), np.load(folder / f"{unit}" / "acts.npy")


def from_dense(folder: Path, unit: int) -> tuple[np.ndarray, np.ndarray]:
    codec, pieces = pa.Codec("zstd"), []
    for number, first in enumerate(range(0, SAMPLES, CHUNK)):
        size = min(CHUNK, SAMPLES - first) * 4
        data = (folder / f"{unit}" / f"{number}.zst").read_bytes()
        pieces.append(np.frombuffer(codec.decompress(data, size), np.float32))
    dense = np.concatenate(pieces)
    context = np.flatnonzero(dense)
    return context, dense[context]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--values", type=int, default=100_000_000)
    options = parser.parse_args()
    _, cells = generate(options.values)
    with tempfile.TemporaryDirectory() as work:
        root = Path(work)
        ours = build(root / "store", cells)
        theirs = duckdb_sort(root / "sorted.duckdb", cells)
        parts = sorted((root / "store" / "activations").glob("*.parquet"))
        rows = sum(pq.read_metadata(part).num_rows for part in parts)
        size = sum(part.stat().st_size for part in parts)
        print(f"{FEATURES:,} features, {SAMPLES:,} samples, {rows:,} values")
        print(f"build: our store {ours:.1f} s ({rows / ours / 1e6:.1f} M values/s), {size / rows:.2f} bytes per value")
        print(
            f"       DuckDB    {theirs:.1f} s ({theirs / ours:.2f}x), {(root / 'sorted.duckdb').stat().st_size / rows:.2f} bytes per value"
        )
        counts = duckdb.sql(f"SELECT unit, count(*) FROM '{root}/store/activations/*.parquet' GROUP BY unit").fetchall()
        goals = (100_000, min(500_000, options.values // 40))
        asked = list(dict.fromkeys(min(counts, key=lambda row, goal=goal: abs(row[1] - goal))[0] for goal in goals))
        beside(root / "other", root / "store", asked)
        with duckdb.connect(str(root / "sorted.duckdb"), read_only=True) as con:

            def from_duckdb(unit: int) -> tuple[np.ndarray, np.ndarray]:
                found = con.execute("SELECT context_id, value FROM activations WHERE unit = $1", [unit]).fetchnumpy()
                return found["context_id"], found["value"]

            def parquet_by_duckdb(unit: int) -> tuple[np.ndarray, np.ndarray]:
                sql = f"SELECT context_id, value FROM '{root}/store/activations/*.parquet' WHERE layer = 0 AND unit = {unit}"
                found = con.execute(sql).fetchnumpy()
                return found["context_id"], found["value"]

            for unit in asked:
                expected = from_npy(root / "other", unit)
                for name, fetch in (
                    ("our store (Arrow)", lambda unit=unit: from_store(root / "store", unit)),
                    ("our store (DuckDB)", lambda unit=unit: parquet_by_duckdb(unit)),
                    ("DuckDB table, as in an atlas", lambda unit=unit: from_duckdb(unit)),
                    (".npy pair per feature", lambda unit=unit: from_npy(root / "other", unit)),
                    ("transposed dense chunks", lambda unit=unit: from_dense(root / "other", unit)),
                ):
                    milliseconds, count = timed(fetch)
                    found = fetch()
                    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
                    print(f"  {count:9,} values  {name:32} {milliseconds:8.1f} ms", flush=True)


if __name__ == "__main__":
    main()
