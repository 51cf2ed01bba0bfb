"""An atlas as large as that of Qwen3-32B from its files: import, build, size, and how long questions take.

python tests/bench/bench_qwen.py [--edges 84e6] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import duckdb
from measure import cores, run
from qwen_files import LAYERS, WIDTH, write_assignments, write_checkpoint, write_labels

ROOT = Path(__file__).resolve().parents[2]
_BUILD = """
import json, sys, time
from pathlib import Path
from atlas.pipeline import run_recipe
from atlas.pipeline.recipe import load_recipe
recipe = load_recipe(Path(sys.argv[1]), [], {"DATA": sys.argv[2]}, output=Path(sys.argv[3]))
last = [time.monotonic(), ""]
def progress(step, done, total):
    if step != last[1]:
        print(f"{time.monotonic() - last[0]:8.1f} s  {step}", file=sys.stderr, flush=True)
        last[1] = step
result = run_recipe(recipe, progress=progress)
stages = {stage.name: stage.seconds for stage in result.stages}
print(json.dumps({"stages": stages, "size": result.path.stat().st_size}))
"""


# What a search without an index reads, and the label column alone.
_SCAN = "SELECT count(*) FROM labels WHERE contains(lower(text), lower(?)) OR contains(lower(description), lower(?))"

_TEXT_SCAN = "SELECT count(*) FROM labels WHERE contains(lower(text), lower(?))"


def generate(folder: Path, edges: int) -> None:
    """The input files, kept for the next run."""
    scale = edges / 84e6
    made = {
        "latest.dat": lambda path: write_checkpoint(path, folder / "truth.parquet", edges),
        "labels.jsonl": lambda path: write_labels(path, int(min(scale, 1) * (LAYERS * WIDTH - 2))),
        "qwen32b_infomap_assignments.json": lambda path: write_assignments(path, int(339_200 * min(scale, 1))),
    }
    for name, make in made.items():
        if not (folder / name).exists():
            started = time.monotonic()
            make(folder / f"{name}.new")
            (folder / f"{name}.new").rename(folder / name)
            print(
                f"made {name}: {(folder / name).stat().st_size / 1e9:.2f} GB in {time.monotonic() - started:.0f} s",
                flush=True,
            )


def same_edges(stats: Path, truth: Path) -> bool:
    """Whether the imported edges are the generated ones, bit for bit: numbers and sums of hashes of whole rows."""
    columns = "src_layer::INTEGER, src_neuron::INTEGER, tgt_layer::INTEGER, tgt_neuron::INTEGER, count::BIGINT, weight_sum, weight_abs_sum, weight_sq_sum, weight_min, weight_max"
    with duckdb.connect() as con:
        found = [
            con.execute(f"SELECT count(*), sum(hash({columns})::HUGEINT) FROM read_parquet('{path}')").fetchall()
            for path in (f"{stats}/edges/*.parquet", truth)
        ]
    return found[0] == found[1]


def questions(con: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[str, list]]]:
    """Each question of several neurons, words or circuits."""

    def ids(sql: str) -> list:
        return [list(row) for row in con.execute(sql).fetchall()]

    hubs = ids("SELECT layer, neuron FROM neurons ORDER BY in_degree + out_degree DESC LIMIT 10")
    middle = ids(
        "SELECT layer, neuron FROM neurons WHERE in_degree > 0 AND out_degree > 0 ORDER BY abs(in_degree + out_degree - (SELECT median(in_degree + out_degree) FROM neurons)), layer, neuron LIMIT 20"
    )
    circuits = ids("SELECT cluster_path FROM clusters ORDER BY abs(size - 1000) LIMIT 5")
    words = [["aspirin dosage"], ["French"], ["closing quoted tokens"], ["no such label"]]
    return {
        "downstream of a hub, 50 rows": [("FROM downstream(?, ?, 50)", hub) for hub in hubs],
        "upstream of a hub, 50 rows": [("FROM upstream(?, ?, 50)", hub) for hub in hubs],
        "downstream of a hub, LIMIT 50": [("FROM downstream(?, ?) LIMIT 50", hub) for hub in hubs],
        "upstream of a hub, LIMIT 50": [("FROM upstream(?, ?) LIMIT 50", hub) for hub in hubs],
        "downstream of a median neuron": [("FROM downstream(?, ?)", one) for one in middle],
        "upstream of a median neuron": [("FROM upstream(?, ?)", one) for one in middle],
        "edges of one neuron, no labels": [
            ("SELECT * FROM edges WHERE src_layer = ? AND src_neuron = ?", one) for one in middle
        ],
        "label search, 20 rows": [("FROM search(?, 20)", word) for word in words],
        "scan of texts and descriptions": [(_SCAN, [*word, *word]) for word in words],
        "scan of texts": [(_TEXT_SCAN, word) for word in words],
        "members of a circuit of 1,000": [("FROM circuit(?)", one) for one in circuits],
        "edges inside a circuit of 1,000": [("FROM circuit_edges(?)", one) for one in circuits],
    }


def latencies(path: Path, repeats: int = 5) -> dict[str, tuple[float, float]]:
    """Median and 95th percentile of milliseconds, warm, results fetched."""
    found = {}
    with duckdb.connect(str(path), read_only=True, config={"threads": 2}) as con:
        for name, asked in questions(con).items():
            times = []
            for sql, parameters in asked:
                con.execute(sql, parameters).fetchall()
                for _ in range(repeats):
                    started = time.perf_counter()
                    con.execute(sql, parameters).fetchall()
                    times.append(1e3 * (time.perf_counter() - started))
            times.sort()
            found[name] = statistics.median(times), times[int(0.95 * (len(times) - 1))]
    return found


def show(found: dict[str, tuple[float, float]]) -> None:
    """Print latencies."""
    for name, (median, late) in found.items():
        print(f"  {name:34} median {median:7.1f} ms   p95 {late:7.1f} ms")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--edges", type=float, default=84e6)
    parser.add_argument("--folder", type=Path, help="keep the generated files here")
    parser.add_argument("--ask", type=Path, help="ask this atlas, and build none")
    given = parser.parse_args()
    if given.ask is not None:
        show(latencies(given.ask))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{cores()}; {int(given.edges):,} edges")
        generate(folder, int(given.edges))
        out = folder / "out"
        built, seconds, peak = run(
            ["-c", _BUILD, str(ROOT / "build" / "qwen3-32b.toml"), str(folder), str(out / "qwen.duckdb")]
        )
        megabytes = (folder / "latest.dat").stat().st_size / 1e6
        for name, took in built["stages"].items():
            more = f", {megabytes / took:.0f} MB/s" if name == "stats" and took else ""
            print(f"  {name:20} {took:7.1f} s{more}")
        print(f"  everything           {seconds:7.1f} s, peak memory {peak:,.0f} MB, file {built['size'] / 1e9:.2f} GB")
        print(
            f"  edges as generated, bit for bit: {same_edges(out / 'qwen.stages' / 'stats', folder / 'truth.parquet')}"
        )
        found = latencies(out / "qwen.duckdb")
        show(found)
        print(json.dumps({"seconds": seconds, "peak_mb": peak, "size": built["size"], "latencies": found}))


if __name__ == "__main__":
    main()
