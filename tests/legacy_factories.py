"""Files of earlier tools, made field by field as their formats say, of any size."""

from __future__ import annotations

import json
import math
import pickle
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

Key = tuple[int, int, int, int]
Neuron = tuple[int, int]


class Corpus:
    """Links of made graphs, counted by the plain loop of the earlier aggregator."""

    def __init__(self, graphs: int = 40, *, layers: int = 6, neurons: int = 30, links: int = 60, seed: int = 3) -> None:
        rng = random.Random(seed)
        self.layers, self.neurons_per_layer = layers, neurons
        self.files = [f"graph_{number:05d}.json" for number in range(graphs)]
        self.edges: dict[Key, list[Any]] = {}
        self.neurons: dict[Neuron, int] = defaultdict(int)
        self.neuron_graphs: dict[Neuron, list[tuple[str, int]]] = defaultdict(list)
        self.links = 0
        for number, name in enumerate(self.files):
            seen: dict[Neuron, None] = {(0, 0): None}  # one neuron is in every graph
            for _ in range(links):
                low, high = sorted(rng.sample(range(layers), 2))
                key = (low, int(rng.random() ** 3 * neurons), high, int(rng.random() ** 3 * neurons))
                self._add(key, rng.gauss(0, 1) * 10 ** rng.randint(-2, 2))
                seen |= {key[:2]: None, key[2:]: None}
            for neuron in seen:
                self.neurons[neuron] += 1
                self.neuron_graphs[neuron].append((name, number if number % 5 else -1))

    def _add(self, key: Key, weight: float) -> None:
        self.links += 1
        now = self.edges.setdefault(key, [0, 0.0, 0.0, 0.0, math.inf, -math.inf])
        self.edges[key] = [
            now[0] + 1,
            now[1] + weight,
            now[2] + abs(weight),
            now[3] + weight * weight,
            min(now[4], weight),
            max(now[5], weight),
        ]

    def header(self) -> dict[str, int]:
        """The first pickle of version 2."""
        return {"graphs_processed": len(self.files), "total_edge_observations": self.links, "version": 2}

    def parts(self, *, texts: bool = False, shared: bool = False) -> list[Any]:
        """The five pickles of version 2; with `texts`, layers as `L24`; with `shared`, one pair for all neurons of a graph."""

        def layer(number: int) -> Any:
            return f"L{number}" if texts else number

        edges = {(layer(a), b, layer(c), d): values for (a, b, c, d), values in self.edges.items()}
        neurons = {(layer(a), b): count for (a, b), count in self.neurons.items()}
        one = {pair: pair for graphs in self.neuron_graphs.values() for pair in graphs}
        graphs = {
            (layer(a), b): [one[pair] if shared else (*pair,) for pair in pairs]
            for (a, b), pairs in self.neuron_graphs.items()
        }
        return [self.header(), edges, neurons, set(self.files), graphs]

    def write(self, path: Path, *, protocol: int = 5, **options: Any) -> Path:
        """A checkpoint of version 2."""
        with path.open("wb") as stream:
            for part in self.parts(**options):
                pickle.dump(part, stream, protocol)
        return path

    def write_old(self, path: Path, version: int, *, protocol: int = 4, **options: Any) -> Path:
        """A checkpoint of version 0 (tuples as keys) or 1 (texts as keys)."""
        header, edges, neurons, files, graphs = self.parts(texts=True, **options)
        if version == 1:
            edges = {"|".join(map(str, key)): values for key, values in edges.items()}
            neurons = {"|".join(map(str, key)): count for key, count in neurons.items()}
            files = sorted(files)
        separator = "|" if version == 1 else "_"
        graphs = {separator.join(map(str, key)): [list(pair) for pair in pairs] for key, pairs in graphs.items()}
        whole = {"edges": edges, "neurons": neurons, "processed_files": files, "neuron_graphs": graphs}
        whole |= {key: value for key, value in header.items() if key != "version"}
        path.write_bytes(pickle.dumps(whole, protocol))
        return path


def hostile_pickles() -> Iterator[tuple[str, bytes, str]]:
    """Name, bytes and what is said of pickles that no checkpoint is."""

    class Reduced:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            import os

            return os.system, ("touch /tmp/never",)

    frame = b"\x80\x05\x95"
    yield "reduce", pickle.dumps({"edges": Reduced()}, 5), "opcode (STACK|SHORT_BIN|REDUCE|STACK_GLOBAL)"
    yield "global", b"\x80\x02cos\nsystem\n.", "opcode GLOBAL.* was not run"
    yield "persistent", b"\x80\x02Pfile\n.", "opcode PERSID"
    yield "extension", b"\x80\x02\x82\x01.", "opcode EXT1"
    yield "build", b"\x80\x02}}b.", "opcode BUILD"
    yield "bytes", pickle.dumps({b"edges": 1}, 4), "opcode SHORT_BINBYTES"
    yield (
        "billion memos",
        b"\x80\x05}" + b"r\xff\xff\xff\x7f" * 100 + b"(]" + b"\x94" * 5000 + b"K\x01u.",
        "ends|stack|no edges",
    )
    yield "long frame", frame + (1 << 40).to_bytes(8, "little") + b"}.", "frame"
    yield "negative frame", frame + b"\xff" * 8 + b"}.", "frame"
    yield "short frame", frame + (2).to_bytes(8, "little") + b"}K\x01K\x02s.", "frame"
    yield "frame in a frame", frame + (12).to_bytes(8, "little") + b"\x95" + (2).to_bytes(8, "little") + b"}..", "frame"
    yield "itself", b"\x80\x05]\x94h\x00a.", "refers back"
    yield "itself in a dictionary", b"\x80\x05}\x94(K\x01h\x00u.", "refers back"
    yield "a number that is not there", b"\x80\x05h\x07.", "stack"
    yield "nested", b"\x80\x05" + b"(" * 100_000 + b".", "nested"
    yield "nested lists", b"\x80\x05" + b"]" * 5_000_000 + b".", "larger than anything"
    yield "long text", b"\x80\x05X\xff\xff\xff\xff....", "too long"
    yield "longer text", b"\x80\x05\x8d" + b"\xff" * 8 + b".", "too long"
    yield "long number", b"\x80\x05\x8a\x80" + b"\xff" * 128 + b".", "too long"
    yield "a million on the stack", b"\x80\x05(" + b"K\x01" * 5_000_000 + b"t.", "larger than anything"
    yield "empty stack", b"\x80\x05e.", "stack"
    yield "odd items", b"\x80\x05}(K\x01u.", "stack"
    yield "items of a number", b"\x80\x05K\x01(K\x01K\x02u.", "stack"
    yield "below the mark", b"\x80\x05}K\x01(K\x02s.", "stack"
    yield "version 9", b"\x80\x09}.", "too long"
    yield "text", b"(dp0\nS'edges'\n.", "opcode DICT"
    yield "msgpack", b"\x86\xa5edges\x80", "stack|opcode"
    header, files = pickle.dumps({"version": 2}, 4), pickle.dumps({"a.json"}, 4)
    parts = (
        header + pickle.dumps({(1, 2, 3, 4): [1, 1.0, 1.0, 1.0, 1.0, 1.0]}, 4) + pickle.dumps({(1, 2): 1}, 4) + files
    )
    pairs = b"".join(b"]" + b"(" + b"K\x01" * 7 + b"e" for _ in range(601))
    yield "a long list of graphs", parts + b"\x80\x04](" + pairs + b"e.", "are a list, not a dictionary"
    yield "a long odd list", parts + b"\x80\x04](" + b"K\x01" * 601 + b"e.", "are a list, not a dictionary"
    yield "a set of graphs", parts + pickle.dumps({"a", "b"}, 4), "are a set|no dictionary"
    yield "nothing", b"", "empty"
    yield "an empty dictionary", b"\x80\x05}.", "pickle 1 of 5|no edges"


def edge_stats(corpus: Corpus, *, top: int = 20, enriched: bool = False, graphs: bool = True) -> dict[str, Any]:
    """Profiles of the neurons of a corpus, as the earlier tool wrote them; enriched with all that its later steps added."""
    rng = random.Random(1)
    profiles = []
    for (layer, neuron), appearances in sorted(corpus.neurons.items(), key=lambda item: -item[1]):
        into = [(key, value) for key, value in corpus.edges.items() if key[2:] == (layer, neuron)]
        out = [(key, value) for key, value in corpus.edges.items() if key[:2] == (layer, neuron)]
        sources = [_partner("source", key[:2], value, appearances) for key, value in into]
        sources.append({"source": "E_791", "count": 2, "frequency": 0.1, "avg_weight": 0.25})
        targets = [_partner("target", key[2:], value, appearances) for key, value in out]
        targets.append({"target": f"L_{neuron}", "count": 3, "frequency": 0.1, "avg_weight": -0.5})
        profile: dict[str, Any] = {
            "layer": layer,
            "neuron": neuron,
            "neuron_id": f"L{layer}/N{neuron}",
            "appearance_count": appearances if graphs else appearances * 7,
            "domain_appearance_count": appearances,
            "baseline_appearance_count": 0,
            "domain_specificity": 1.0,
            "top_upstream_sources": sorted(sources, key=lambda item: -item["frequency"])[:top],
            "top_downstream_targets": sorted(targets, key=lambda item: -item["frequency"])[:top],
            "output_token_associations": [{"token": " the", "count": 4, "frequency": 4 / appearances}],
            "top_cooccurring_neurons": [
                {"neuron_id": f"L{other[0]}/N{other[1]}", "count": both, "frequency": both / appearances}
                for other, both in together(corpus, (layer, neuron))[:5]
            ],
        }
        if enriched:
            profile |= _enrichment(rng, layer, neuron)
        profiles.append(profile)
    metadata = {
        "model": "llama-3.1-8b",
        "tau": 0.005,
        "k": 5,
        "total_graphs": len(corpus.files),
        "projections_added": enriched,
    }
    return {"metadata": metadata, "summary": {"total_neurons": len(profiles)}, "profiles": profiles}


def _partner(end: str, other: Neuron, value: list[Any], appearances: int) -> dict[str, Any]:
    return {
        end: "_".join(map(str, other)),
        "count": value[0],
        "frequency": value[0] / appearances,
        "avg_weight": value[1] / value[0],
    }


def together(corpus: Corpus, neuron: Neuron) -> list[tuple[Neuron, int]]:
    """Other neurons by the number of graphs that hold both."""
    mine = {name for name, _ in corpus.neuron_graphs[neuron]}
    counts = {
        other: len(mine & {name for name, _ in graphs})
        for other, graphs in corpus.neuron_graphs.items()
        if other != neuron
    }
    return sorted(((other, count) for other, count in counts.items() if count), key=lambda item: (-item[1], item[0]))


def _enrichment(rng: random.Random, layer: int, neuron: int) -> dict[str, Any]:
    tokens = [f" t{rng.randrange(99)}" for _ in range(3)]
    weights = sorted((round(rng.random(), 4) for _ in range(3)), reverse=True)
    return {
        "transluce_label_positive": f"numbers like {neuron}",
        "transluce_label_negative": f"words, not {neuron}",
        "output_projection": {
            "promoted": [{"token": token, "weight": weight} for token, weight in zip(tokens, weights, strict=True)],
            "suppressed": [{"token": token, "weight": -weight} for token, weight in zip(tokens, weights, strict=True)],
        },
        "input_projection": {"activates": [{"token": tokens[0], "token_id": 7, "weight": 0.123456}]},
        "direct_effect_ratio": {
            "mean": 0.8,
            "std": 0.1,
            "min": 0.5,
            "max": 0.9,
            "effect_type": "logit",
            "n_prompts": 50,
        },
    }


def wiring_cache(
    folder: Path, *, layers: int = 5, width: int = 12, top: int = 3, seed: int = 2, sign: int = -1
) -> dict:
    """A cache of made products, its files in `folder`; {(direction, source, target): (c_up, c_gate, rank)} of all lists.

    `sign` is that of the inhibitory strengths in the file; earlier tools wrote either.
    """
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    cells = [(layer, neuron) for layer in range(layers) for neuron in range(width)]
    products = {(a, b): (rng.gauss(0, 1), rng.gauss(0, 1)) for a in cells for b in cells if a[0] < b[0]}
    listed: dict = {}
    for layer in range(layers):
        entries = {}
        for neuron in range(width):
            mine, entry = (layer, neuron), {}
            for direction in ("downstream", "upstream"):
                entry[direction] = {}
                for polarity, factor in (("excitatory", 1), ("inhibitory", -1)):
                    found = [
                        (pair, both) for pair, both in products.items()
                        if pair[0 if direction == "downstream" else 1] == mine and min(factor * both[0], factor * both[1]) > 0
                    ]  # fmt: skip
                    found.sort(key=lambda item: -abs(sum(item[1])))
                    items = []
                    for rank, (pair, (up, gate)) in enumerate(found[:top], start=1):
                        other = pair[1 if direction == "downstream" else 0]
                        strength = abs(up) + abs(gate)
                        listed[direction, *pair] = (up, gate, rank)
                        items.append(
                            {"layer": other[0], "neuron": other[1], "neuron_id": f"L{other[0]}/N{other[1]}", "c_up": up, "c_gate": gate,
                             "c_combined": strength, "effective_strength": strength if factor > 0 else sign * strength,
                             "predicted_polarity": polarity, "polarity_confidence": 0.5, "label": "x"}
                        )  # fmt: skip
                    entry[direction][polarity] = items
            entry["projections"] = {"promotes": [{"token": " a", "token_id": 3, "weight": 1.5}], "suppresses": []}
            entries[str(neuron)] = entry
        (folder / f"layer_{layer}.json").write_text(json.dumps(entries))
    return listed


def assignments(
    neurons: list[Neuron], *, form: str = "qwen", leaf_ranks: bool = True, seed: int = 4
) -> tuple[dict, dict]:
    """An assignments file and {neuron: real path}; `form` is qwen, clusterer, llama or bare."""
    rng = random.Random(seed)
    paths = {
        neuron: (rng.randint(1, 3), rng.randint(1, 2), *([rng.randint(1, 2)] if rng.random() < 0.3 else []))
        for neuron in neurons
    }
    if form == "llama":
        flat = {f"L{a}/N{b}": paths[a, b][0] for a, b in neurons}
        return {"method": "infomap", "stats": {"total_clusters": 3}, "neuron_assignments": flat}, {
            neuron: path[:1] for neuron, path in paths.items()
        }
    ranks: dict[tuple[int, ...], int] = defaultdict(int)
    found = {}
    for (layer, neuron), path in paths.items():
        ranks[path] += 1
        full = (*path, ranks[path]) if leaf_ranks else path
        key = f"L{layer}/{neuron}" if form == "qwen" else f"L{layer}/N{neuron}"
        found[key] = {
            "path": ".".join(map(str, full)), "top": full[0], "sub": full[1], "subsub": full[2] if len(full) > 2 else None,
            "depth": len(full), "flow": 1 / len(neurons),
        }  # fmt: skip
    if form == "bare":
        return found, paths
    return {
        "assignments": found,
        "stats": {"codelength": 7.5, "total_clusters": 9},
        "top_clusters": [{"id": 1, "size": 3}],
    }, paths


def older_atlas(
    path: Path, corpus: Corpus, *, columns: int = 18, mean_only: bool = False, weights: bool = False
) -> Path:
    """An atlas of the earlier schema with 18 or 13 columns of neurons."""
    import duckdb

    qwen = (
        "layer INTEGER, neuron INTEGER, feature_id INTEGER, label VARCHAR, description VARCHAR, max_activation FLOAT, num_exemplars INTEGER, "
        "cluster_path VARCHAR, top_cluster INTEGER, sub_module INTEGER, subsub_module INTEGER, hierarchy_depth INTEGER, infomap_flow FLOAT"
    )
    more = ", unit_type VARCHAR DEFAULT 'neuron', input_label VARCHAR, output_label VARCHAR, appearance_count INTEGER DEFAULT 0, output_norm FLOAT"
    with duckdb.connect(str(path)) as con:
        con.execute(f"CREATE TABLE neurons ({qwen}{more if columns == 18 else ''})")
        con.execute(
            "CREATE TABLE edges (src_layer INTEGER, src_neuron INTEGER, tgt_layer INTEGER, tgt_neuron INTEGER, count INTEGER DEFAULT 1, "
            "weight_sum FLOAT, weight_abs_sum FLOAT, weight_sq_sum FLOAT, weight_min FLOAT, weight_max FLOAT, mean_weight FLOAT, mean_abs_weight FLOAT)"
        )
        con.execute("CREATE TABLE clusters (cluster_path VARCHAR, level INTEGER)")
        con.execute("CREATE TABLE metadata (key VARCHAR PRIMARY KEY, value VARCHAR)")
        method = "weight_graph" if weights else "relp"
        con.executemany(
            "INSERT INTO metadata VALUES (?, ?)", [["model", "llama"], ["edge_method", method], ["total_graphs", "40"]]
        )
        for place, ((layer, neuron), count) in enumerate(sorted(corpus.neurons.items())):
            row = {
                "layer": layer,
                "neuron": neuron,
                "label": f"label {place}",
                "max_activation": 1.5,
                "num_exemplars": 4,
            }
            row |= {"cluster_path": f"{place % 3 + 1}.{place + 1}", "infomap_flow": 0.01}
            if columns == 18:
                row |= {"appearance_count": count, "input_label": f"input {place}", "output_norm": 2.5}
            marks = ", ".join("?" * len(row))
            con.execute(f"INSERT INTO neurons ({', '.join(row)}) VALUES ({marks})", list(row.values()))
        for key, (count, total, absolute, squares, low, high) in corpus.edges.items():
            mean = total / count
            sums = [total, absolute, squares, low, high, mean, absolute / count]
            if mean_only:
                sums = [total, abs(mean) * count, mean * mean * count, mean, mean, mean, abs(mean)]
            if weights:
                count, sums = 1, [0.0, 0.0, 0.0, mean, mean, mean, abs(mean)]
            con.execute(f"INSERT INTO edges VALUES ({', '.join('?' * 12)})", [*key, count, *sums])
    return path


def report_files(folder: Path) -> None:
    """Reports of three neurons: the newer and the older shape of investigations, a dashboard, a review, and damaged files."""
    folder.mkdir(parents=True, exist_ok=True)
    investigation = {
        "neuron_id": "L15/N7890", "layer": 15, "neuron_idx": 7890, "polarity_mode": "positive", "timestamp": "2025-12-01", "total_experiments": 34,
        "confidence": 0.85, "operating_regime": "standard",
        "characterization": {"final_hypothesis": "It fires on drugs.", "input_function": "drug names", "output_function": "dosage", "function_type": "semantic"},
        "evidence": {
            "activating_prompts": [{"prompt": "Take aspirin", "activation": 3.5, "position": 1, "token": "aspirin"}, "bare text"],
            "non_activating_prompts": [{"prompt": "Hello", "activation": 0.0, "position": 0, "token": "Hello"}],
            "ablation_effects": [{"prompt": "Take aspirin", "promotes": [["no", 0.5]], "suppresses": [["mg", -1.25], ["pill", -0.5]]}],
            "connectivity": {"upstream_neurons": [{"neuron_id": "L3/N4", "label": "pain", "weight": 0.5, "polarity": "excitatory"}], "downstream_targets": [{"target": "LOGIT(mg)", "weight": 2.0}]},
            "relp_results": [{"prompt": "Take aspirin", "tau": 0.01, "neuron_found": True, "neuron_relp_score": 0.125, "in_causal_pathway": True, "source": "live"}],
            "dose_response_results": [{"dose": 1}],
            "steering_results": [{"prompt": "Take", "steering_value": 5, "promotes": ["mg"]}],
        },
        "hypotheses_tested": [{"hypothesis_id": "H1", "hypothesis": "drugs", "status": "confirmed", "prior_probability": 0.5, "posterior_probability": 0.9}],
        "key_findings": ["selective", {"z": 3}], "open_questions": ["why?"],
        "skeptic_report": {"verdict": "SUPPORTED"},
    }  # fmt: skip
    older = {
        "layer": 3, "neuron_idx": 4, "characterization": {"final_hypothesis": "pain"},
        "connectivity": {"downstream_neurons": [{"neuron": "L15/N7890", "weight": -0.5}]}, "negatively_activating_prompts": [{"prompt": "x", "activation": -1}],
    }  # fmt: skip
    dashboard = {
        "neuron_id": "L15/N7890", "layer": 15, "neuron_idx": 7890,
        "summary_card": {"summary": "drugs", "function_type": "semantic", "confidence": 0.7, "total_experiments": 30, "initial_label": "aspirin"},
        "activation_patterns": {"positive_examples": [{"prompt": "p", "activation": 2.0, "position": 3, "token": "t", "is_positive": True}], "negative_examples": []},
        "ablation_effects": {"effects": [{"token": "mg", "shift": -0.5, "direction": "suppresses", "consistency": 0.9}]},
        "hypothesis_timeline": {"hypotheses": [{"hypothesis": "drugs", "confidence": 0.75, "status": "confirmed"}], "final_hypothesis": "drugs"},
        "connectivity": {"upstream": [{"neuron_id": "L3/N4", "label": "pain", "weight": 0.5, "direction": "up", "is_logit": False}], "downstream": []},
        "findings": {"key_findings": ["a"], "open_questions": []}, "metadata": {"timestamp": "2025-12-02"},
    }  # fmt: skip
    review = {
        "neuron_id": "L15/N7890", "iterations": 2, "final_verdict": "APPROVE",
        "review_history": [{"verdict": "REQUEST_CHANGES", "feedback": "more tests", "iteration": 1}, {"verdict": "APPROVE", "feedback": "fine", "iteration": 2}],
        "skeptic_report": {"verdict": "WEAKENED", "original_hypothesis": "drugs", "boundary_tests": [{"description": "vitamins", "prompt": "Take C", "actual_activation": 0.5, "passed": False}],
                           "alternative_hypotheses": [{"alternative": "verbs", "verdict": "refuted"}], "key_challenges": ["vitamins fire"]},
    }  # fmt: skip
    for name, value in (
        ("L15_N7890_investigation", investigation), ("L3_N4_investigation", older), ("L15_N7890_dashboard", dashboard), ("L15_N7890_pi_result", review),
        ("index", [{"neuron_id": "L15/N7890"}]), ("list", [1]), ("nobody", {"a": 1}),
    ):  # fmt: skip
        (folder / f"{name}.json").write_text(json.dumps(value))
    (folder / "bad.json").write_text("{")
    (folder / "deep.json").write_text("[" * 200_000)
    (folder / "latin.json").write_bytes('{"layer": 1, "neuron": 2, "a": "é"}'.encode("latin-1"))


# What tests of importers read and write.

PAIR = ("src_layer", "src_neuron", "tgt_layer", "tgt_neuron")


def written(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value, indent=2))
    return path


def rows_of(folder: Path, name: str) -> list[dict]:
    path = folder / name if (folder / name).is_dir() else folder / f"{name}.parquet"
    return pq.read_table(path).to_pylist()


def by_pair(rows: list[dict]) -> dict:
    return {tuple(row[name] for name in PAIR): row for row in rows}


def members_of(folder: Path) -> dict:
    return {
        (row["layer"], row["neuron"]): tuple(map(int, row["cluster_path"].split(".")))
        for row in rows_of(folder, "members")
    }
