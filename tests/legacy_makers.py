"""Files of earlier tools, made field by field as their formats say, of any size."""

from __future__ import annotations

import math
import pickle
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
            (layer(a), b): [one[pair] if shared else tuple([*pair]) for pair in pairs]
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
    yield "billion memos", b"\x80\x05}" + b"r\xff\xff\xff\x7f" * 100 + b"(]" + b"\x94" * 5000 + b"K\x01u.", "ends|stack|no edges"
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
    yield "nothing", b"", "empty"
    yield "an empty dictionary", b"\x80\x05}.", "pickle 1 of 5|no edges"
