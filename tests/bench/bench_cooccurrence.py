"""Measure what co-occurrence costs: the default aggregation beside the same one without it.

    make bench-cooccurrence                                      # four corpora of observations, some minutes
    python tests/bench/bench_cooccurrence.py --only 450 10,000   # some of them

A corpus is named by the neurons of a graph. Neurons are drawn by a power law, links between the neurons of their graph. Times
include starting Python; peak memory is that of all processes together. `predicted` is what the plan says before it starts: the
visits of a neuron in a graph, and the seconds of one core that they take.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measure
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

WIDTH = 14_336


@dataclass(frozen=True)
class Corpus:
    """Graphs with links between neurons of a model with `total` neurons, rank = total * random ** power."""

    graphs: int
    neurons: int
    links: int
    total: int
    power: float


CORPORA = {
    "450": Corpus(4_000, 450, 5_000, 32 * WIDTH, 11.0),
    "7,000": Corpus(1_000, 7_000, 20_000, 32 * WIDTH, 4.0),
    "10,000": Corpus(500, 10_000, 40_000, 32 * WIDTH, 4.0),
    "500 in 712,000 graphs": Corpus(712_000, 500, 300, 20_000, 4.0),
}


def block(corpus: Corpus, first: int, graphs: int) -> pa.Table:
    """The links of some graphs; the same for the same numbers."""
    rng = np.random.default_rng([7, first])
    rank = (corpus.total * rng.random((graphs, corpus.neurons)) ** corpus.power).astype(np.int64)
    neuron = rank * 2_654_435_761 % corpus.total  # frequent neurons in all layers
    ends = [
        np.take_along_axis(neuron, rng.integers(0, corpus.neurons, (graphs, corpus.links)), 1).ravel() for _ in range(2)
    ]
    columns: dict[str, Any] = {"graph_id": np.repeat(np.arange(first, first + graphs, dtype=np.int32), corpus.links)}
    for name, unit in (("src", np.minimum(*ends)), ("tgt", np.maximum(*ends))):
        columns |= {
            f"{name}_layer": (unit // WIDTH).astype(np.int32),
            f"{name}_neuron": (unit % WIDTH).astype(np.int32),
        }
    return pa.table(columns | {"weight": rng.standard_normal(len(ends[0]))})


def generate(folder: Path, corpus: Corpus) -> None:
    per_file = max(8_000_000 // corpus.links, 1)
    for number, first in enumerate(range(0, corpus.graphs, per_file)):
        with pq.ParquetWriter(folder / f"part-{number:05d}.parquet", block(corpus, 0, 1).schema) as writer:
            last = min(first + per_file, corpus.graphs)
            step = max(1_000_000 // max(corpus.links, corpus.neurons), 1)
            for start in range(first, last, step):
                writer.write_table(block(corpus, start, min(step, last - start)))


def child(data: str, out: str, top: int) -> None:
    from atlas.pipeline import aggregate_graphs

    summary = aggregate_graphs([data], Path(out) / "stats", device="cpu", model="bench", cooccurrence=top)
    manifest = json.loads((Path(out) / "stats" / "manifest.json").read_text())
    print(json.dumps({"edges": summary.edges, "plan": manifest.get("cooccurrence")}))


def compare(name: str, corpus: Corpus, work: Path, runs: int) -> None:
    with tempfile.TemporaryDirectory(dir=work) as folder:
        data = Path(folder) / "data"
        data.mkdir()
        generate(data, corpus)
        found: dict[int, list[tuple[float, float]]] = {0: [], 20: []}
        for _ in range(runs):
            for top, times in found.items():
                with tempfile.TemporaryDirectory(dir=work) as out:
                    told, seconds, peak = measure.run([__file__, "--child", str(data), out, str(top)])
                    times.append((seconds, peak))
                    plan = told["plan"] or {}
        (without, _), (default, peak) = (min(times) for times in found.values())
        steps = plan.get("steps", 0)
        print(
            f"{name:24} {corpus.graphs * corpus.links:13,} {without:9.2f} {default:9.2f} {default / without:6.2f} {peak:8,.0f} "
            f"{steps:16,} {steps * 3e-9:8.1f}  {plan.get('method', '')}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(CORPORA), default=list(CORPORA), help="corpora by name")
    parser.add_argument("--runs", type=int, default=1, help="runs of each; the fastest counts")
    parser.add_argument("--work", help="folder for the data, up to 8 GB; a temporary one by default")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], options.child[1], int(options.child[2]))
        return
    print(measure.cores())
    print(
        f"{'neurons of a graph':24} {'observations':>13} {'without s':>9} {'default s':>9} {'ratio':>6} {'peak MB':>8} {'visits':>16} {'core s':>8}"
    )
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        for name in options.only:
            compare(name, CORPORA[name], Path(work), options.runs)


if __name__ == "__main__":
    main()
