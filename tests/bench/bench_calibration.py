"""Does `atlas compare` call differences where there are none? Splits of one corpus, and a real difference.

    make bench-calibration                                   # 20 splits of each kind of the demo
    python tests/bench/bench_calibration.py ATLAS --splits 5

Splits: `random` (half of the graphs, groups of prompts on both sides), `groups` (half of the groups of every source),
`few` (4 groups against the others). No split differs in kind, so every discovery is false. Printed are discoveries at a
false discovery rate of 5 %, the share of p-values below 0.05, and histograms of p-values in tenths (0 first). Exact tests
of rare units have few possible p-values, most of them 1: such histograms rise at the end. `imports` against the rest is
a real difference: its discoveries are power.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb

from atlas.query.compare import compare

FAMILIES = {"neurons": ("neurons", "p_value"), "edges": ("edges", "p_value"), "means": ("edges", "mean_p_value")}
BARS = " ▁▂▃▄▅▆▇█"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("atlas", nargs="?", type=Path, help="atlas of the demo; built if left out")
    parser.add_argument("--splits", type=int, default=20, help="splits of each kind")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = options.atlas or built(Path(folder))
        for kind in ("random", "groups", "few"):
            report(kind, [run(file, where, Path(folder)) for where in splits(file, kind, options.splits, options.seed)])
        report("imports", [run(file, "corpus_source = 'imports'", Path(folder))])


def built(folder: Path) -> Path:
    out = folder / "demo.duckdb"
    command = [sys.executable, "-m", "atlas", "build", "demo", "-o", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return out


def splits(file: Path, kind: str, count: int, seed: int) -> Iterator[str]:
    """Conditions on `graphs` of one side; the other side is the rest."""
    rng = random.Random(seed)
    with duckdb.connect(str(file), read_only=True) as con:
        graphs = con.execute("SELECT graph_id, prompt_group, corpus_source FROM graphs ORDER BY graph_id").fetchall()
    source = {group: name for _, group, name in graphs}
    for _ in range(count):
        if kind == "random":
            chosen = set(rng.sample([graph for graph, *_ in graphs], len(graphs) // 2))
        elif kind == "few":
            groups = rng.sample(sorted(source), 4)
            chosen = {graph for graph, group, _ in graphs if group in groups}
        else:
            groups = []
            for name in sorted(set(source.values())):
                mine = sorted(group for group in source if source[group] == name)
                groups += rng.sample(mine, len(mine) // 2)
            chosen = {graph for graph, group, _ in graphs if group in groups}
        yield f"graph_id IN ({', '.join(map(str, sorted(chosen)))})"


def run(file: Path, where: str, folder: Path) -> dict[str, tuple[int, Counter[int], int]]:
    """Discoveries, histogram of p-values in tenths, and p-values below 0.05 of each family."""
    found = compare(file, file, folder / "c.duckdb", where_a=where, where_b=f"NOT ({where})")
    counts = {"neurons": found.different_neurons, "edges": found.different_edges, "means": found.different_means}
    rows = {}
    with duckdb.connect(str(folder / "c.duckdb"), read_only=True) as con:
        for family, (table, column) in FAMILIES.items():
            sql = f"SELECT least(floor({column} * 10), 9)::INTEGER, count(*), count(*) FILTER ({column} < 0.05) FROM {table} WHERE {column} IS NOT NULL GROUP BY 1"
            found_rows = con.execute(sql).fetchall()
            histogram = Counter({tenth: count for tenth, count, _ in found_rows})
            rows[family] = (counts[family], histogram, sum(row[2] for row in found_rows))
    return rows


def report(kind: str, runs: list[dict[str, tuple[int, Counter[int], int]]]) -> None:
    for family in FAMILIES:
        discoveries = [found[family][0] for found in runs]
        total = sum((found[family][1] for found in runs), Counter[int]())
        small, tests = sum(found[family][2] for found in runs), total.total()
        if not tests:
            print(f"{kind:8} {family:8} nothing tested")
            continue
        largest = max(total.values())
        bars = "".join(BARS[round(total[tenth] / largest * 8)] for tenth in range(10))
        split = sum(count > 0 for count in discoveries)
        print(
            f"{kind:8} {family:8} {sum(discoveries):7,} discoveries in {split} of {len(runs)} runs, "
            f"{tests // len(runs):9,} tests each, p < 0.05: {small / tests:6.1%}   |{bars}|"
        )


if __name__ == "__main__":
    main()
