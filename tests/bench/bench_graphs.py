"""Graph files to edge statistics, side by side: this package on one core and on two, the plain json loop, Polars, DuckDB.

    make bench-graphs             # 2,000 generated RelP graphs of about 600 KB, and the real graphs where there are any
    python tests/bench/bench_graphs.py --graphs 200

Each contender runs in processes of its own, reads the same files and ends with the same columns for
neuron -> neuron edges; their row counts must agree. This package writes all its other tables as well
(tokens, logits, neurons, incidences, co-occurrence, bookkeeping). Times include starting Python and
importing the library; peak memory is that of all processes of a contender together.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from pathlib import Path

import measure

NEURON_TYPES = ("mlp_neuron", "cross layer transcoder")


def generate(folder: Path, count: int) -> None:
    """RelP graphs of 500 nodes and 5,000 links, drawn from 20,000 neurons with a power law."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import factories

    for number in range(count):
        rng = random.Random(number)
        cells = {(rng.randrange(32), int(14_336 * rng.random() ** 4), rng.randrange(20)) for _ in range(520)}
        nodes = [
            factories.relp_node(*cell, activation=rng.gauss(0, 1), influence=rng.gauss(0, 1))
            for cell in sorted(cells)[:488]
        ]
        nodes += [factories.relp_token(rng.randrange(100_000), position) for position in range(7)]
        nodes += [factories.relp_logit(rng.randrange(100_000), 19) for _ in range(5)]
        ids = [node["node_id"] for node in nodes]
        links = [factories.link(rng.choice(ids[:488]), rng.choice(ids[:488]), rng.gauss(0, 1)) for _ in range(4_600)]
        links += [factories.link(rng.choice(ids[488:495]), rng.choice(ids[:488]), 1.0) for _ in range(200)]
        links += [factories.link(rng.choice(ids[:488]), rng.choice(ids[495:]), 1.0) for _ in range(200)]
        factories.write(
            folder / f"graph_{number:05d}.json",
            factories.relp_graph(nodes, links, prompt="x" * 1000, sample_index=number),
            indent=1,
        )


def ours(paths: list[Path], out: Path, threads: int, cooccurrence: int = 20) -> int:
    from atlas.pipeline import aggregate_graphs

    return aggregate_graphs(paths, out / "stats", device="cpu", threads=threads, cooccurrence=cooccurrence).edges


def load(path: Path) -> dict:
    import gzip

    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)


def observed(path: Path) -> list[tuple[tuple[int, ...], float]]:
    """(key, weight) of every neuron -> neuron link, kinds by the node table."""
    graph = load(path)
    neurons = {
        node["node_id"]: tuple(map(int, node["node_id"].split("_")[:2]))
        for node in graph["nodes"]
        if node["feature_type"] in NEURON_TYPES
    }
    return [
        (neurons[link["source"]] + neurons[link["target"]], link["weight"])
        for link in graph["links"]
        if link["source"] in neurons and link["target"] in neurons
    ]


def plain_loop(paths: list[Path], out: Path) -> int:
    edges: dict[tuple[int, ...], list[float]] = {}
    last_graph: dict[tuple[int, ...], int] = {}
    for number, path in enumerate(paths):
        for key, weight in observed(path):
            row = edges.get(key)
            if row is None:
                edges[key] = row = [0, 0, 0, 0.0, 0.0, 0.0, weight, weight]
            row[0] += 1
            if last_graph.get(key) != number:
                row[1] += 1
                last_graph[key] = number
            row[2] += weight > 0
            row[3] += weight
            row[4] += abs(weight)
            row[5] += weight * weight
            row[6] = min(row[6], weight)
            row[7] = max(row[7], weight)
    import pickle

    (out / "edges.pkl").write_bytes(pickle.dumps(edges))
    return len(edges)


def polars(paths: list[Path], out: Path) -> int:
    import polars as pl

    frames = []
    for number, path in enumerate(paths):
        graph = load(path)
        nodes = (
            pl.DataFrame(
                {"id": [n["node_id"] for n in graph["nodes"]], "type": [n["feature_type"] for n in graph["nodes"]]}
            )
            .filter(pl.col("type").is_in(NEURON_TYPES))
            .select("id")
        )
        links = pl.DataFrame(graph["links"], schema={"source": pl.String, "target": pl.String, "weight": pl.Float64})
        links = links.join(nodes, left_on="source", right_on="id").join(nodes, left_on="target", right_on="id")
        parts = [
            pl.col(end).str.split("_").list.get(i).cast(pl.Int32).alias(f"{end}_{i}")
            for end in ("source", "target")
            for i in (0, 1)
        ]
        frames.append(links.select(*parts, "weight", graph=pl.lit(number)))
    weight = pl.col("weight")
    result = (
        pl.concat(frames)
        .lazy()
        .group_by("source_0", "source_1", "target_0", "target_1")
        .agg(
            pl.len(), pl.col("graph").n_unique(), (weight > 0).sum().alias("positive"), weight.sum().alias("sum"),
            weight.abs().sum().alias("abs"), (weight**2).sum().alias("sq"), weight.min().alias("min"), weight.max().alias("max"),
        )
        .sort("source_0", "source_1", "target_0", "target_1")
        .collect(engine="streaming")
    )  # fmt: skip
    result.write_parquet(out / "edges.parquet")
    return len(result)


DUCKDB = """
COPY (
    WITH raw AS (
        SELECT filename, nodes, links FROM read_json($paths, columns = {
            nodes: 'STRUCT(node_id VARCHAR, feature_type VARCHAR)[]',
            links: 'STRUCT(source VARCHAR, target VARCHAR, weight DOUBLE)[]'}, maximum_object_size = 100000000, filename = true)
    ),
    node AS (SELECT DISTINCT filename, n.node_id AS id FROM (SELECT filename, unnest(nodes) AS n FROM raw)
             WHERE n.feature_type IN ('mlp_neuron', 'cross layer transcoder')),
    link AS (SELECT filename, l.source, l.target, l.weight FROM (SELECT filename, unnest(links) AS l FROM raw))
    SELECT split_part(source, '_', 1)::INTEGER AS sl, split_part(source, '_', 2)::INTEGER AS sn,
           split_part(target, '_', 1)::INTEGER AS tl, split_part(target, '_', 2)::INTEGER AS tn,
           count(*), count(DISTINCT link.filename), count(*) FILTER (weight > 0), sum(weight), sum(abs(weight)),
           sum(weight * weight), min(weight), max(weight)
    FROM link JOIN node s ON s.filename = link.filename AND s.id = source JOIN node t ON t.filename = link.filename AND t.id = target
    GROUP BY ALL ORDER BY sl, sn, tl, tn
) TO '{out}/edges.parquet'
"""


def duckdb(paths: list[Path], out: Path) -> int:
    import duckdb

    con = duckdb.connect(config={"threads": 2})
    con.execute(DUCKDB.replace("{out}", str(out)), {"paths": [str(path) for path in paths]})
    return con.sql(f"SELECT count(*) FROM '{out}/edges.parquet'").fetchall()[0][0]


CONTENDERS = {
    "ours, 1 core": lambda paths, out: ours(paths, out, 1),
    "ours, 1 core, no cooccurrence": lambda paths, out: ours(paths, out, 1, 0),
    "ours, 2 cores": lambda paths, out: ours(paths, out, 2),
    "plain json loop": plain_loop,
    "polars": polars,
    "duckdb": duckdb,
}
MOST = {"duckdb": 300}  # files: it holds all of them in memory at once


def child(name: str, folder: Path, count: int) -> None:
    """Run one contender and print what it found."""
    paths = sorted(path for path in folder.iterdir() if ".json" in path.name)[:count]
    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        rows = CONTENDERS[name](paths, Path(out))
    print(json.dumps({"rows": rows}))


def compare(title: str, folder: Path, work: Path) -> None:
    paths = list(folder.iterdir())
    size = sum(path.stat().st_size for path in paths)
    print(f"\n{title}: {len(paths)} files, {size / 1e6:,.0f} MB; {measure.cores()}")
    print(f"{'':26} {'seconds':>8} {'x 1 core':>8} {'ms/graph':>8} {'peak MB':>8} {'edges':>10}")
    link = work / "files"
    link.symlink_to(folder.resolve())
    first, rows = 0.0, set()
    for name in CONTENDERS:
        count = min(len(paths), MOST.get(name, len(paths)))
        found, seconds, peak = measure.run([__file__, "--child", name, str(link), str(count)])
        each = seconds / count
        first = first or each
        if count == len(paths):
            rows.add(found["rows"])
        print(f"{name:26} {seconds:8.2f} {each / first:8.2f} {each * 1e3:8.2f} {peak:8,.0f} {found['rows']:10,}")
    link.unlink()
    assert len(rows) == 1, "the contenders disagree"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=2_000, help="how many graphs to generate")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], Path(options.child[1]), int(options.child[2]))
        return
    real = (
        Path(os.environ.get("ATLAS_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
        / "graphs"
        / "gemma-2-2b_clt-hp"
    )
    with tempfile.TemporaryDirectory() as work:
        if real.is_dir():
            compare("real circuit-tracer graphs, gzipped", real, Path(work))
        generate(Path(work) / "graphs", options.graphs)
        compare("generated RelP graphs", Path(work) / "graphs", Path(work))


if __name__ == "__main__":
    main()
