"""Statistics to an atlas file at scale: seconds, peak memory, size, checks, neighbours of one neuron.

python tests/bench/bench_atlas.py [--edges 1e7]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from atlas.database import Inputs, build_database, open_atlas
from atlas.io.files import write_json, write_parquet
from atlas.stages import DATASETS, datasets_of

LAYERS, WIDTH = 64, 25_600


def generate(folder: Path, edges: int) -> tuple[int, int]:
    """A stats folder of a Qwen shape: random edges between neurons whose use falls as a power."""
    rng = np.random.default_rng(0)
    neurons = np.unique(rng.integers(0, LAYERS * WIDTH, 500_000))
    ends = [neurons[(len(neurons) * rng.random(edges) ** 3).astype(int)] for _ in range(2)]
    pairs = np.unique(ends[0] * (LAYERS * WIDTH) + ends[1])
    source, target = pairs // (LAYERS * WIDTH), pairs % (LAYERS * WIDTH)
    count, weight = 1 + rng.geometric(0.3, len(pairs)), rng.normal(size=len(pairs))
    named = {"layer": neurons // WIDTH, "neuron": neurons % WIDTH}
    ones, zeros = np.ones(len(neurons), dtype=int), np.zeros(len(neurons))
    columns = {
        "neurons": named | {name: ones if name.endswith("count") else zeros for name in DATASETS["stats.neurons"].schema.names[2:]},
        "neuron_graphs": named
        | {"graph_id": ones, "node_count": ones, "positions": pa.array([[0]] * len(neurons))}
        | dict.fromkeys(("activation_min", "activation_max", "influence_min", "influence_max"), zeros),
        "edges": {
            "src_layer": source // WIDTH, "src_neuron": source % WIDTH, "tgt_layer": target // WIDTH, "tgt_neuron": target % WIDTH,
            "count": count, "graph_count": np.ones(len(pairs), dtype=int), "positive_count": count * (weight > 0),
            "weight_sum": weight * count, "weight_abs_sum": abs(weight) * count, "weight_sq_sum": weight**2 * count * 1.01,
            "weight_min": weight - 0.1, "weight_max": weight + 0.1,
            "half_count": count // 2, "half_weight_sum": weight * (count // 2), "joint_graph_count": np.ones(len(pairs), dtype=int),
            "method": pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(pairs), np.int32)), ["relp"]),
        },
    }  # fmt: skip
    for dataset in datasets_of("stats"):
        path = dataset.path(folder)
        table = dataset.table(columns[dataset.name]) if dataset.name in columns else dataset.empty()
        write_parquet(table, path / "part-00000.parquet" if dataset.parted else path)
    space = {"model": "generated", "transcoder_set": None, "unit_type": "neuron"}
    write_json({"stage": "stats", "space": space, "method": "relp", "inputs": []}, folder / "manifest.json")
    return len(neurons), len(pairs)


def milliseconds(con, sql: str) -> float:
    """Best of five, warm."""
    times = []
    for _ in range(6):
        started = time.perf_counter()
        con.execute(sql).fetchall()
        times.append(time.perf_counter() - started)
    return min(times[1:]) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edges", type=float, default=1e7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own, so that the peak below is that of the build.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            neurons, edges = pool.apply(generate, (folder / "stats", int(options.edges)))
        print(f"{neurons:,} neurons, {edges:,} edges")
        started = time.perf_counter()
        built = build_database(
            folder / "a.duckdb",
            Inputs(folder / "stats"),
            report=lambda step: print(f"  {time.perf_counter() - started:6.1f} s {step}"),
        )
        print(f"  {built.seconds:6.1f} s done; peak {peak():,.0f} MB; file {built.size_bytes / 1e6:,.0f} MB")
        with open_atlas(built.path) as con:
            for macro in ("downstream", "upstream"):
                print(f"{macro}(10, 5): {milliseconds(con, f'FROM {macro}(10, 5)'):.1f} ms")


def peak() -> float:
    """Peak resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    main()
