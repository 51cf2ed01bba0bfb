"""Attribution graphs made by hand, in each dialect, as plain dictionaries."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any


def write(path: Path, graph: object, **options: Any) -> Path:
    """Write one graph file; `.gz` is compressed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = json.dumps(graph, **options).encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def relp_node(layer: int, neuron: int, position: int = 0, **more: Any) -> dict[str, Any]:
    node_id = f"{layer}_{neuron}_{position}"
    return {
        "node_id": node_id,
        "feature": neuron,
        "layer": layer,
        "ctx_idx": position,
        "feature_type": "mlp_neuron",
        "jsNodeId": node_id,
        "clerp": f"L{layer}/N{neuron}",
        "influence": 0.5,
        "activation": 1.5,
        **more,
    }


def relp_token(token: int, position: int, **more: Any) -> dict[str, Any]:
    node_id = f"E_{token}_{position}"
    return {
        "node_id": node_id,
        "feature": token,
        "layer": "embedding",
        "ctx_idx": position,
        "feature_type": "embedding",
        "jsNodeId": node_id,
        "clerp": f"Token: tok{token}",
        "influence": None,
        "activation": 1.0,
        **more,
    }


def relp_logit(token: int, position: int, **more: Any) -> dict[str, Any]:
    node_id = f"L_{token}_{position}"
    return {
        "node_id": node_id,
        "feature": token,
        "layer": "logit",
        "ctx_idx": position,
        "feature_type": "logit",
        "jsNodeId": node_id,
        "clerp": f"Logit: out{token} (p=0.9492)",
        "influence": None,
        "activation": None,
        **more,
    }


def link(source: str, target: str, weight: Any) -> dict[str, Any]:
    return {"source": source, "target": target, "weight": weight}


def relp_graph(nodes: list[dict[str, Any]], links: list[dict[str, Any]], **metadata: Any) -> dict[str, Any]:
    """The raw dialect."""
    return {
        "metadata": {
            "slug": "relp-test",
            "scan": "llama-3.1-8b-instruct",
            "prompt_tokens": ["a", "b", "c"],
            "prompt": "abc",
            "node_threshold": 0.005,
            **metadata,
        },
        "qParams": {},
        "nodes": nodes,
        "links": links,
        "nodes_exceeded": False,
    }


def to_viewer(graph: dict[str, Any]) -> dict[str, Any]:
    """The same graph after the format-for-viewer step of the earlier tool."""
    top = max((node["layer"] for node in graph["nodes"] if node["feature_type"] == "mlp_neuron"), default=0)
    nodes = []
    for node in graph["nodes"]:
        kind = node["feature_type"]
        layer = {"embedding": "E", "logit": str(top + 1)}.get(kind, str(node["layer"]))
        clerp = node["clerp"].removeprefix("Logit: ")
        nodes.append({**node, "layer": layer, "isLogit": kind == "logit", "clerp": clerp})
    metadata = {**graph["metadata"], "scan": "llama-3.1-8b"}
    return {**graph, "metadata": metadata, "nodes": nodes, "features": [], "qParams": {"pinnedIds": []}}


def ct_feature(layer: int, feature: int, position: int = 0, *, encoding: str = "cantor", **more: Any) -> dict[str, Any]:
    total = layer + feature
    encoded = {"cantor": total * (total + 1) // 2 + feature, "decimal": layer * 100_000 + feature, "raw": feature}
    return {
        "node_id": f"{layer}_{feature}_{position}",
        "feature": encoded[encoding],
        "layer": str(layer),
        "ctx_idx": position,
        "feature_type": "cross layer transcoder",
        "token_prob": 0.0,
        "is_target_logit": False,
        "jsNodeId": f"{layer}_{feature}-0",
        "clerp": "",
        "influence": 0.7,
        "activation": 2.5,
        **more,
    }


def ct_error(layer: int, position: int, *, new: bool, **more: Any) -> dict[str, Any]:
    return {
        "node_id": f"{layer}_-1_{position}" if new else f"0_{layer}_{position}",
        "feature": -1,
        "layer": str(layer),
        "ctx_idx": position,
        "feature_type": "mlp reconstruction error",
        "clerp": "",
        "influence": 0.4,
        "activation": None,
        **more,
    }


def ct_token(token: int, position: int, **more: Any) -> dict[str, Any]:
    return {
        "node_id": f"E_{token}_{position}",
        "feature": position,
        "layer": "E",
        "ctx_idx": position,
        "feature_type": "embedding",
        "clerp": "",
        "influence": 0.05,
        "activation": None,
        **more,
    }


def ct_logit(layer: int, token: int, position: int, **more: Any) -> dict[str, Any]:
    return {
        "node_id": f"{layer}_{token}_{position}",
        "feature": token,
        "layer": str(layer),
        "ctx_idx": position,
        "feature_type": "logit",
        "token_prob": 0.281,
        "is_target_logit": True,
        "clerp": 'Output " rain" (p=0.281)',
        "influence": None,
        "activation": None,
        **more,
    }


def ct_graph(nodes: list[dict[str, Any]], links: list[dict[str, Any]], **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "slug": "test",
            "scan": "gemma-2-2b",
            "transcoder_list": [],
            "prompt_tokens": ["<bos>", " a", " b"],
            "prompt": "<bos> a b",
            "node_threshold": 0.8,
            "schema_version": 1,
            "info": {"transcoder_set": "clt-hp"},
            **metadata,
        },
        "qParams": {"linkType": "both"},
        "nodes": nodes,
        "links": links,
    }


def random_graph(seed: int, *, neurons: int = 12, links: int = 60) -> dict[str, Any]:
    """A circuit-tracer graph of every kind of node and link, with duplicates, loops and both signs."""
    rng = random.Random(seed)
    features = {(rng.randrange(5), rng.randrange(6), rng.randrange(3)) for _ in range(neurons)}
    nodes = [
        ct_feature(
            *key,
            activation=rng.uniform(-1, 3) if rng.random() < 0.8 else None,
            influence=rng.choice([None, rng.random()]),
            clerp=rng.choice(["", f"label {key[1]}"]) if key[1] != 5 else "",
        )
        for key in sorted(features)
    ]
    nodes += [ct_error(layer, position, new=True) for layer in range(3) for position in range(2)]
    nodes += [ct_token(token, position) for position, token in enumerate(rng.sample(range(50), 3))]
    nodes += [ct_logit(6, token, 2) for token in rng.sample(range(50), 2)]
    ids = [node["node_id"] for node in nodes]
    sources = [node["node_id"] for node in nodes if node["feature_type"] != "logit"]
    made = [
        link(
            rng.choice(sources if rng.random() < 0.9 else ids),
            rng.choice(ids),
            rng.choice([-1, 1]) * rng.random() * 10 ** rng.randint(-3, 3),
        )
        for _ in range(links)
    ]
    return ct_graph(nodes, made, slug=f"random-{seed}", prompt=" ".join(words_of(seed)))


def words_of(seed: int, count: int = 6) -> list[str]:
    """Made-up words; of two seeds none are the same."""
    rng = random.Random(f"words of {seed}")
    return ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=8)) for _ in range(count)]


def zoo() -> dict[str, list[dict[str, Any]]]:
    """Small corpora that have broken aggregations before."""
    a, b, c = ct_feature(1, 100), ct_feature(2, 200), ct_feature(3, 300)
    ab = link("1_100_0", "2_200_0", 2.0)
    hub = [ct_feature(9, 1), *(ct_feature(1, i) for i in range(40))]
    return {
        "empty": [ct_graph([], [])],
        "nodes only": [ct_graph([a, b], [])],
        "one link": [ct_graph([a, b], [ab])],
        "self-loop": [ct_graph([a], [link("1_100_0", "1_100_0", -3.0)])],
        "duplicate links": [ct_graph([a, b], [ab, ab, link("1_100_0", "2_200_0", -1.0)])],
        "positions": [ct_graph([a, ct_feature(1, 100, 1), b], [ab, link("1_100_1", "2_200_0", 0.5)])],
        "two graphs": [ct_graph([a, b, c], [ab]), ct_graph([a, b], [link("1_100_0", "2_200_0", 4.0)], slug="other")],
        "backward": [ct_graph([a, b], [link("2_200_0", "1_100_0", 1.0)])],
        "hub": [ct_graph(hub, [link(f"1_{i}_0", "9_1_0", (-1) ** i * (i + 1)) for i in range(40)])],
        "zero weights": [ct_graph([a, b], [link("1_100_0", "2_200_0", 0.0), link("1_100_0", "2_200_0", -0.0)])],
        "cancelling": [ct_graph([a, b], [link("1_100_0", "2_200_0", w) for w in (1e16, 1.0, -1e16)])],
        "huge ids": [ct_graph([ct_feature(127, 2**24 - 1), ct_feature(0, 0)], [link("0_0_0", "127_16777215_0", 1.0)])],
        "random": [random_graph(seed) for seed in range(8)],
        "many small": [random_graph(100 + seed, neurons=3, links=4) for seed in range(30)],
    }


def write_projections(folder: Path) -> None:
    """The stage `projections` of a model of 3 layers with 6 neurons each, as a user's own script might write it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from atlas.stages import datasets_of

    rng = random.Random(5)
    cells = [{"layer": layer, "neuron": neuron} for layer in range(3) for neuron in range(6)]
    kinds = {"output": ("promotes", "suppresses"), "input_up": ("activates", "suppresses")}
    rows: dict[str, list[dict[str, Any]]] = {dataset.name: [] for dataset in datasets_of("projections")}
    for cell in cells:
        for kind, directions in kinds.items():
            for sign, direction in zip((1, -1), directions, strict=True):
                for rank in range(1, 4):
                    token = rng.randrange(90)
                    about = {"projection_kind": kind, "direction": direction, "rank": rank, "token_id": token}
                    rows["projections"].append(cell | about | {"token": f"t{token}", "weight": sign * (5.0 - rank)})
        rows["neuron_norms"].append(cell | {"output_norm": rng.random(), "up_norm": 1.0, "gate_norm": 2.0})
        low, high = sorted((rng.random(), rng.random()))
        effect = "logit" if (low + high) / 2 > 0.7 else "routing" if (low + high) / 2 < 0.3 else "mixed"
        ratios = {"ratio_mean": (low + high) / 2, "ratio_std": (high - low) / 2, "ratio_min": low, "ratio_max": high}
        rows["direct_effects"].append(cell | ratios | {"prompt_count": 2, "effect_type": effect})
        for rank in range(1, 3):
            about = {"sign": 1, "rank": rank, "activation": 3.0 / rank, "token_id": 7, "token": "t7"}
            rows["exemplars"].append(cell | about | {"context": "so", "position": rank, "prompt_path": f"p/{rank}"})
    folder.mkdir(parents=True)
    for dataset in datasets_of("projections"):
        pq.write_table(pa.Table.from_pylist(rows[dataset.name], dataset.schema), dataset.path(folder))
    (folder / "manifest.json").write_text(json.dumps({"stage": "projections", "tool_version": "made"}))


def write_activations(folder: Path, layers: int = 5, units: int = 8) -> None:
    """Stores of random activations of the neurons of `random_graph` and of features, with statistics and a vocabulary.

    Folders `store` and `measures` are of features, `neuron_store` and `neuron_measures` of neurons on the same contexts.
    """
    import numpy as np

    from atlas.activations.measures import measure
    from atlas.options import MeasureOptions
    from atlas.stages import DATASETS
    from atlas.stages.store.cells import Context
    from atlas.stages.store.collector import Collector
    from atlas.stages.store.spaces import ActivationSpace

    words = DATASETS["activations.vocabulary"]
    ids = list(range(9))
    table = words.table({"token_id": ids, "token": [f" t{n}" for n in ids], "is_special": [n == 0 for n in ids]})
    options = MeasureOptions(top_tokens=3, top_examples=2, drawn_examples=1, least_joint=2, top_partners=3)
    for seed, prefix, hook, kind in ((11, "", "sae", "feature"), (12, "neuron_", "mlp", "neuron")):
        rng = np.random.default_rng(seed)
        texts = np.random.default_rng(5)
        space = ActivationSpace("made", hook=hook, unit_type=kind, value_kind="code", skips_first=True)
        every = dict.fromkeys(range(layers), units)
        with Collector(
            folder / f"{prefix}store", space=space, layers=every, thresholds=dict.fromkeys(every, 1.5)
        ) as collector:
            for number in range(12):
                tokens = tuple(texts.integers(0, 9, 6).tolist())
                values = {layer: rng.normal(0, 1, (1, 6, units)) for layer in range(layers)}
                collector.add(values, [Context(tokens, f"doc-{number}", 0, "made")])
            numbers = {
                "layer": [1],
                "unit": [2],
                "name": ["frac_nonzero"],
                "value": [0.02],
                "definition": ["as rounded"],
            }
            collector.write(table, stated=DATASETS["activations.stated_stats"].table(numbers))
    measure(folder / "neuron_store", folder / "neuron_measures", options)
    measure(folder / "store", folder / "measures", options, beside=folder / "neuron_store")


def write_features(folder: Path, layers: int = 5, units: int = 8) -> None:
    """The stage `features`, as random weights leave it."""
    from atlas.io.files import write_parquet
    from atlas.stages import DATASETS
    from atlas.stages.manifest import replaced_folder, write_manifest

    rng = random.Random(8)
    rows: dict[str, list[dict[str, object]]] = {
        name: [] for name in ("features", "feature_tokens", "feature_neurons", "similar_units", "reconstruction")
    }
    for layer in range(layers):
        rows["reconstruction"].append(
            {"layer": layer, "text": "made", "token_count": 60, "feature_count": units, "l0": 3.5, "fvu": 0.25}
            | {
                "mse": 0.1,
                "dead_count": 1,
                "loss": 2.0,
                "loss_reconstructed": 2.5,
                "loss_zero": 7.0,
                "loss_recovered": 0.9,
            }
        )
        for unit in range(units):
            who = {"layer": layer, "unit": unit}
            norms = {"encoder_norm": 1.5, "decoder_norm": 1.0, "encoder_bias": 0.1, "encoder_decoder_cosine": 0.5}
            rows["features"].append(
                who | norms | {"logit_std": 1.0, "logit_skew": 0.0, "logit_kurtosis": rng.random() * 9}
            )
            for rank in (1, 2):
                for kind in ("output", "output_folded"):
                    for direction, sign in (("promotes", 1), ("suppresses", -1)):
                        weight = sign * (3 - rank + rng.random())
                        token = rng.randrange(9)
                        rows["feature_tokens"].append(
                            who
                            | {"projection_kind": kind, "direction": direction, "rank": rank, "token_id": token}
                            | {"token": f" t{token}", "weight": weight, "centred_weight": weight - 0.5}
                        )
                for relation, place in (("written_by", max(layer - 1, 0)), ("read_by", layer + 1)):
                    found = {"relation": relation, "rank": rank, "neuron_layer": place, "neuron": rng.randrange(8)}
                    rows["feature_neurons"].append(who | found | {"weight": rng.gauss(0, 1), "cosine": 0.9 / rank})
                for kind in ("decoder_cosine", "encoder_cosine"):
                    other = {"other_layer": layer, "other_unit": (unit + rank) % units, "similarity": 0.8 / rank}
                    rows["similar_units"].append(who | {"similarity_kind": kind, "rank": rank} | other)
    with replaced_folder(folder, "features") as fresh:
        for name, found in rows.items():
            dataset = DATASETS[f"features.{name}"]
            table = dataset.table({key: [row[key] for row in found] for key in dataset.schema.names})
            write_parquet(table, dataset.path(fresh))
        write_manifest(fresh, "features", model="made", revision=None, dictionary=None, layer=1)


def write_traced_facts(stats: Path) -> None:
    """Regimes and ablations, as a trace leaves them, of neurons and graphs that are there."""
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

    from atlas.stages import DATASETS

    neurons = duckdb.sql(f"SELECT layer, neuron FROM '{stats}/neurons/*.parquet' ORDER BY ALL LIMIT 12").fetchall()
    rng = random.Random(3)
    regimes, nodes, edges = [], [], []
    for number, (layer, neuron) in enumerate(neurons):
        signs = [rng.randrange(5) for _ in range(4)]
        sums = {"up_factor_sum": rng.gauss(0, 1), "gate_factor_sum": rng.gauss(0, 1)}
        counts = dict(zip(("both_positive", "up_negative", "gate_negative", "both_negative"), signs, strict=True))
        regimes.append(
            {"layer": layer, "neuron": neuron, "node_count": sum(signs) or 1, **sums}
            | {f"{name}_count": value for name, value in counts.items()}
        )
        score, effect = rng.gauss(0, 1), rng.gauss(0, 1)
        where = {"graph_id": number % 5, "position": 1}
        facts = {"score": score, "score_gradient": effect + rng.gauss(0, 0.1), "score_sum": 60.0, "effect": effect}
        nodes.append(where | {"layer": layer, "neuron": neuron} | facts)
        target = {"tgt_layer": layer + 1, "tgt_neuron": 1} if number % 2 else {"tgt_token_id": number}
        ends = {"src_layer": layer, "src_neuron": neuron, "src_position": 0, "tgt_position": 1}
        edges.append(
            {
                "graph_id": number % 5,
                **ends,
                **target,
                "predicted": score,
                "effect": effect,
                "target_value": rng.gauss(0, 9),
            }
        )
    for name, rows in (("regimes", regimes), ("ablated_nodes", nodes), ("ablated_edges", edges)):
        dataset = DATASETS[f"stats.{name}"]
        pq.write_table(pa.Table.from_pylist(rows, dataset.schema), dataset.path(stats))


def write_connections(stats: Path) -> None:
    """Weight wiring beside the edges of a stats folder: half of the edges that go up, and pairs that no graph shows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from atlas.stages import DATASETS

    rng = random.Random(9)
    columns = ["src_layer", "src_neuron", "tgt_layer", "tgt_neuron"]
    edges = pq.read_table(DATASETS["stats.edges"].path(stats), columns=columns).to_pylist()
    pairs = {tuple(row.values()) for row in edges[::2] if row["src_layer"] < row["tgt_layer"]}
    pairs |= {(layer, 990 + layer, layer + 1, 995) for layer in range(3)}
    rows = []
    for pair in sorted(pairs):
        sign, up, gate = rng.choice((1, -1)), rng.random() + 0.1, rng.random() + 0.1
        about = {"c_up": sign * up, "c_gate": sign * gate, "strength": sign * (up + gate)}
        about |= {"polarity": "excitatory" if sign > 0 else "inhibitory", "confidence": min(up, gate) / max(up, gate)}
        rows.append(
            dict(zip(columns, pair, strict=True))
            | about
            | {"upstream_rank": rng.randint(1, 9), "downstream_rank": None}
        )
    dataset = DATASETS["stats.connections"]
    pq.write_table(pa.Table.from_pylist(rows, dataset.schema), dataset.path(stats))


def write_effects(circuits: Path, folder: Path) -> None:
    """Effects of two circuits of tokens, one above its controls, one not, and of the first cluster."""
    import pyarrow.parquet as pq

    from atlas.stages import DATASETS
    from atlas.stages.manifest import write_manifest

    rows = pq.read_table(DATASETS["circuits.circuits"].path(circuits)).to_pylist()
    chosen = [row["circuit_id"] for kind in ("input", "output") for row in rows if row["kind"] == kind][:2]
    dataset = DATASETS["verify.circuit_effects"]
    columns: dict[str, Any] = {
        "circuit_id": [*chosen, "1"],
        "clustering": [None, None, "infomap"],
        "tested_count": [3, 3, 4],
        "topic_prompt_count": [4, 4, 6],
        "other_prompt_count": [5, 5, 6],
        "effect": [0.5, 0.1, 0.7],
        "effect_elsewhere": [0.01, 0.2, 0.3],
        "control_count": [10, 10, 10],
        "control_effect": [0.1, 0.2, 0.25],
        "control_effect_max": [0.3, 0.4, 0.6],
        "is_above_controls": [True, False, True],
        "sufficiency": [0.4, None, 0.2],
    }
    folder.mkdir()
    pq.write_table(dataset.table(columns), dataset.path(folder))
    write_manifest(folder, "verify")


def write_reports(folder: Path) -> None:
    """The stage `reports` with two reports of the neuron L1/N2 and two pieces of its evidence."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from atlas.stages import datasets_of

    where = {"layer": 1, "neuron": 2, "file": "L1_N2_investigation.json"}
    report = where | {
        "kind": "investigation",
        "summary": "It fires on numbers.",
        "confidence": 0.8,
        "findings": ["a", "b"],
    }
    evidence = where | {"kind": "activating", "prompt": "1 2 3", "token": "3", "position": 2, "value": 4.5}
    other = where | {"kind": "upstream", "other_layer": 0, "other_neuron": 3, "value": -0.5, "text": "digits"}
    second = report | {"kind": "dashboard", "summary": "Digits.", "file": "L1_N2_dashboard.json"}
    rows = {"reports": [report, second], "report_examples": [evidence | {"rank": 1}, other | {"rank": 1}]}
    folder.mkdir(parents=True)
    for dataset in datasets_of("reports"):
        pq.write_table(pa.Table.from_pylist(rows[dataset.name], dataset.schema), dataset.path(folder))
    (folder / "manifest.json").write_text(json.dumps({"stage": "reports", "tool_version": "made"}))
