"""Circuits of tokens on made graphs: noise that must have none, planted ones that must be found; time and memory by size.

python tests/bench/bench_circuits.py [--noise 200] [--planted 20]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from test_circuits import EACH, found, make, planted

from atlas.circuits import anchored_circuits
from atlas.options import CircuitOptions
from atlas.runtime.memory import peak_memory_mb


def noise(count: int, folder: Path) -> None:
    """Print in how many atlases of noise a circuit counts as found again."""
    options = CircuitOptions(min_graphs=4, min_groups=3)
    any_of, circuits = 0, 0
    for seed in range(count):
        stats = make(folder / f"noise-{seed}", seed=seed, signal=False)
        summary = anchored_circuits(stats, folder / "out", options)
        any_of += any(summary.replicated.values())
        circuits += sum(summary.circuits.values())
    print(
        f"noise: {any_of} of {count} atlases have a circuit that counts as found again ({circuits:,} circuits in all)"
    )


def signal(count: int, folder: Path) -> None:
    """Print how many planted neurons are members, and how many members are planted, by the number of groups."""
    print(f"{'groups':>8}{'found again':>13}{'recall':>8}{'precision':>11}{'seconds':>9}")
    for groups in (4, 8, 12, 24, 48):
        again, recall, precision, seconds = [], [], [], []
        for seed in range(count):
            stats = make(folder / f"planted-{groups}-{seed}", seed=seed, groups=groups)
            started = time.perf_counter()
            summary = anchored_circuits(stats, folder / "out", CircuitOptions(min_graphs=4, min_groups=3, merge=1.0))
            seconds.append(time.perf_counter() - started)
            again.append(sum(summary.replicated.values()) / max(1, sum(summary.circuits.values())))
            circuits, members = found(folder / "out")
            for circuit, row in circuits.items():
                mine = {(m["layer"], m["neuron"]) for m in members[circuit] if m["role"] == "anchored"}
                truth = {(1, neuron) for neuron in planted(row["token_ids"][0] % 50)}
                recall.append(len(mine & truth) / EACH)
                precision.append(len(mine & truth) / len(mine))
        columns = [
            f"{statistics.fmean(again):.0%}",
            f"{statistics.fmean(recall):.2f}",
            f"{statistics.fmean(precision):.2f}",
        ]
        print(f"{groups:>8}{columns[0]:>13}{columns[1]:>8}{columns[2]:>11}{statistics.fmean(seconds):>9.2f}")


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--noise", type=int, default=200)
    parser.add_argument("--planted", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        noise(given.noise, Path(scratch))
        signal(given.planted, Path(scratch))
    print(f"peak memory {peak_memory_mb():.0f} MB")


if __name__ == "__main__":
    main()
