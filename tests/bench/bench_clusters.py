"""Clusters on made networks: what each method finds of planted circuits, what noise shows, and time and memory by size.

python tests/bench/bench_clusters.py [--noise 200] [--planted 5] [--edges 1 5 10] [--methods leiden ...]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cluster_networks import planted_links, write_stats

from atlas.cluster import ClusterOptions, cluster
from atlas.options.clusters import METHODS
from atlas.runtime.memory import peak_memory_mb

QUICK = {"min_count": 4, "weight": "abs_weight_graphs", "trials": 2, "seeds": 5, "resamples": 10, "draws": 1000}
NETWORKS = {
    "plain": {"hubs": 0, "negative": 0.0},
    "hubs, signs": {"hubs": 3, "negative": 0.4},
    "weak": {"hubs": 3, "negative": 0.3, "share": 0.4},
    "large": {"blocks": 24, "extra": 400, "noise": 2500, "groups": 32},
}


def planted(count: int, folder: Path, methods: Sequence[str]) -> None:
    """Print what every method finds of planted circuits, and how well it says so."""
    from sklearn.metrics import adjusted_mutual_info_score

    heads = ("network", "method", "AMI", "again", "pure", "halves", "gain", "null gain", "AUC +", "seconds")
    print("".join(f"{head:>12}" for head in heads))
    for name, options in NETWORKS.items():
        made = [planted_links(np.random.default_rng(seed), **options) for seed in range(count)]
        stats = [write_stats(folder / f"{name}-{seed}", links, single=True) for seed, (links, _) in enumerate(made)]
        for method in methods:
            rows = []
            for (_, block), one in zip(made, stats, strict=True):
                started = time.perf_counter()
                found = cluster(one, folder / "out", ClusterOptions(method=method, **QUICK))
                seconds = time.perf_counter() - started
                members = pl.read_parquet(folder / "out" / "members.parquet")
                truth = block[members["neuron"].to_numpy()]
                is_planted = truth >= 0
                ami = adjusted_mutual_info_score(truth[is_planted], members["cluster_path"].to_numpy()[is_planted])
                row = pl.read_parquet(folder / "out" / "clusterings.parquet").to_dicts()[0]
                auc = (row["held_out_auc"] or 0) - (row["base_auc"] or 0)
                pure = _purity(folder / "out", block)
                rows.append(
                    (
                        ami,
                        found.found_again_count,
                        pure,
                        row["half_ami"],
                        row["gain"],
                        row["gain_swapped"],
                        auc,
                        seconds,
                    )
                )
            means = [
                statistics.fmean([value for value in column if value is not None] or [float("nan")])
                for column in zip(*rows, strict=True)
            ]
            print(f"{name:>12}{method:>12}" + "".join(f"{value:>12.2f}" for value in means), flush=True)


def _purity(folder: Path, block: np.ndarray) -> float | None:
    """Return the share of the members of clusters found again that are of the block that most are of."""
    clusters = pl.read_parquet(folder / "clusters.parquet").filter(
        pl.col("half_agreement") >= 0.5, pl.col("null_fdr") < 0.05
    )
    name = "memberships" if (folder / "memberships.parquet").exists() else "members"
    members = pl.read_parquet(folder / f"{name}.parquet")
    sizes, right = 0, 0
    for path in clusters["cluster_path"]:
        mine = members.filter((pl.col("cluster_path") + ".").str.starts_with(path + "."))["neuron"].to_numpy()
        values = block[mine]
        right += int(np.bincount(values[values >= 0]).max(initial=0))
        sizes += len(mine)
    return right / sizes if sizes else None


def noise(count: int, folder: Path, methods: Sequence[str]) -> None:
    """Print in how many networks of noise any cluster counts as found again, by method."""
    print(f"{'method':>12}{'networks':>10}{'with any':>10}{'tested':>8}{'seconds':>9}")
    for method in methods:
        any_of, tested, started = 0, 0, time.perf_counter()
        # Consensus clusters each resample twenty times.
        number = count if method != "consensus" else max(1, count // 10)
        for seed in range(number):
            links, _ = planted_links(np.random.default_rng(1000 + seed), share=0, groups=(16, 24, 40)[seed % 3])
            stats = write_stats(folder / f"noise-{method}", links, single=True)
            options = ClusterOptions(method=method, **QUICK | {"trials": 1, "seeds": 1, "resamples": 4})
            found = cluster(stats, folder / "out", options)
            any_of += bool(found.found_again_count)
            tested += found.tested_count or 0
        print(f"{method:>12}{number:>10}{any_of:>10}{tested:>8}{time.perf_counter() - started:>9.0f}", flush=True)


_ONE = """
import sys, time
from pathlib import Path
import numpy as np
sys.path.insert(0, {tests!r})
from atlas.cluster import network as made
from atlas.cluster.methods import find
from atlas.options import ClusterOptions
from atlas.runtime.memory import peak_memory_mb
rng = np.random.default_rng(1)
count, links = 340_000, int(sys.argv[1]) * 1_000_000
layer = np.sort(rng.integers(0, 60, count))
block = rng.integers(0, 5_000, count)
order = np.argsort(block, kind="stable")
first = np.searchsorted(block[order], np.arange(5_000)); size = np.bincount(block, minlength=5_000)
source = rng.integers(0, count, int(links * 2.1))
inside = rng.random(len(source)) < 0.5
target = np.where(inside, order[first[block[source]] + rng.integers(0, 10**9, len(source)) % size[block[source]]], rng.integers(0, count, len(source)))
kept = layer[source] < layer[target]
key = np.unique(source[kept] * count + target[kept])[:links]
weight = rng.lognormal(0, 1, len(key))
neurons = (layer << 24) | np.arange(count)
network = made.Network(neurons, key // count, key % count, weight, weight, np.arange(count))
del source, target, kept, inside, order
method, _, objective = sys.argv[2].partition(" ")
options = ClusterOptions(method=method, trials=1, objective=objective or "modularity", resolution=0.01 if objective == "cpm" else 1.0)
started = time.perf_counter()
found = find(None, np.ones(1), network, options, seed=1, trials=1)
print(f"{{sys.argv[2]:>18}}{{len(key) / 1e6:>10.1f}}{{len(set(found.paths)):>10,}}{{time.perf_counter() - started:>10.0f}}{{peak_memory_mb():>10,.0f}}", flush=True)
"""


# Directed modularity takes leidenalg an hour from some millions of links on.
_LARGE = ("louvain", "leiden undirected", "leiden cpm", "infomap")


def scale(sizes: list[int], methods: Sequence[str]) -> None:
    """Print seconds and peak memory of one trial on 340,000 neurons, each in a process of its own."""
    print(f"{'method':>18}{'M links':>10}{'modules':>10}{'seconds':>10}{'peak MB':>10}")
    code = _ONE.format(tests=str(Path(__file__).resolve().parents[1]))
    for size in sizes:
        for method in (name for name in _LARGE if name.split(" ")[0] in methods):
            subprocess.run([sys.executable, "-c", code, str(size), method], check=True)


def main() -> None:
    """Run all three."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--noise", type=int, default=200)
    parser.add_argument("--planted", type=int, default=5)
    parser.add_argument(
        "--edges", type=int, nargs="*", default=[1, 5, 10], help="millions of links; none leaves this out"
    )
    parser.add_argument("--methods", nargs="*", default=[name for name in METHODS if name != "nested-block-model"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if given.planted:
            planted(given.planted, Path(scratch), given.methods)
        if given.noise:
            noise(given.noise, Path(scratch), given.methods)
    print(f"peak memory {peak_memory_mb():.0f} MB")
    scale(given.edges, given.methods)


if __name__ == "__main__":
    main()
