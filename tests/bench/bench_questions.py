"""Time the questions of docs/cookbook.md on each atlas given.

python tests/bench/bench_questions.py out/demo.duckdb [qwen.duckdb ...]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import atlas
from atlas.errors import AtlasError


def questions(model: atlas.Atlas) -> dict[str, Callable[[], object]]:
    """The questions, about neurons of middle degree, a hub, and a circuit of about a hundred neurons."""

    def one(sql: str) -> str:
        return str(model.sql(sql).fetchall()[0][0])

    near = "abs(in_degree + out_degree - (SELECT median(in_degree + out_degree) FROM neurons)), layer, neuron LIMIT 1"
    top = int(one("SELECT max(layer) FROM neurons"))
    start = one(f"SELECT neuron_id FROM neurons WHERE layer <= {top // 4} AND out_degree > 5 ORDER BY {near}")
    end = one(f"SELECT neuron_id FROM neurons WHERE layer >= {3 * top // 4} AND in_degree > 5 ORDER BY {near}")
    hub = one("SELECT neuron_id FROM neurons ORDER BY out_degree DESC, layer, neuron LIMIT 1")
    circuit = one("SELECT cluster_path FROM clusters ORDER BY abs(size - 100), cluster_path LIMIT 1")
    words = " ".join(
        one("SELECT label FROM neurons WHERE label IS NOT NULL ORDER BY layer, neuron LIMIT 1").split()[:2]
    )
    members = f"circuit({circuit})"
    token = model.sql("SELECT token FROM tokens ORDER BY input_graph_count DESC LIMIT 1").fetchall()
    output = model.sql("SELECT token FROM tokens ORDER BY output_graph_count DESC LIMIT 1").fetchall()
    found: dict[str, Callable[[], object]] = {
        "1 find": lambda: model.find(f"{members} && graphs >= 2", limit=50).fetchall(),
        "2 search": lambda: model.search(words, limit=20).fetchall(),
        "3 upstream": lambda: model.upstream(end, limit=50).fetchall(),
        "3 downstream of a hub": lambda: model.downstream(hub, limit=50).fetchall(),
        "4 adjacency": lambda: model.adjacency(members, members, limit=50).fetchall(),
        "5 matrix": lambda: model.matrix("adjacency", "mean_weight", starts=members, ends=members),
        "6 common_partners": lambda: model.common_partners(members, limit=50).fetchall(),
        "7 strongest_paths, 4 edges": lambda: model.strongest_paths(start, end, max_hops=4).fetchall(),
        "9 pathways, 2 edges": lambda: model.pathways(start, end, max_hops=2, limit=50).fetchall(),
        "10 path_lengths, 2 edges": lambda: model.path_lengths(members, max_hops=2, limit=50).fetchall(),
        "11 similar_neurons": lambda: model.similar_neurons(end).fetchall(),
        "12 triangles": lambda: model.triangles(first=members, second=members, limit=50).fetchall(),
        "13 grow": lambda: model.grow(end, min_graphs=3, limit=50).fetchall(),
        "14 circuit_partners": lambda: model.circuit_partners(circuit, limit=50).fetchall(),
        "14 flow of layers": lambda: model.flow("layer").fetchall(),
        "15 profile": lambda: model.profile(members).fetchall(),
        "17 network": lambda: model.network(members).to_networkx(),
        "18 recurring_edges": lambda: model.recurring_edges(limit=50).fetchall(),
        "22 circuits": lambda: model.circuits(limit=50).fetchall(),
        "24 examples": lambda: model.examples(end, limit=50).fetchall(),
        "edges of a circuit": lambda: model.circuit_edges(circuit).fetchall(),
    }
    if token:
        found["19 shared_neurons"] = lambda: model.shared_neurons(0, 1).fetchall()
        found["token_paths"] = lambda: model.token_paths(token[0][0], output[0][0]).fetchall()
    return found


def main() -> None:
    """Print a table."""
    columns: list[dict[str, float | None]] = []
    for path in sys.argv[1:]:
        took: dict[str, float | None] = {}
        with atlas.open(path) as model:
            for name, ask in questions(model).items():
                try:
                    ask()
                    times = []
                    for _ in range(3):
                        started = time.perf_counter()
                        ask()
                        times.append(1e3 * (time.perf_counter() - started))
                    took[name] = statistics.median(times)
                except AtlasError as error:
                    print(f"{name}: {error}", file=sys.stderr)
                    took[name] = None
        columns.append(took)
    print(f"| question | {' | '.join(sys.argv[1:])} |")
    print(f"|---|{'---|' * len(columns)}")
    for name in dict.fromkeys(name for took in columns for name in took):
        cells = [took.get(name) for took in columns]
        print(f"| {name} | {' | '.join('' if cell is None else f'{cell:,.0f}' for cell in cells)} |")


if __name__ == "__main__":
    main()
