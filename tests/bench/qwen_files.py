"""Files as large as those of the Qwen3-32B atlas: a checkpoint, labels, assignments, and the edges apart as Parquet.

The checkpoint is written opcode by opcode from arrays: as a dictionary its edges would take 40 GB.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LAYERS, WIDTH = 64, 25_600
GRAPHS = 712_000
_BATCH = 1000  # entries, as pickle writes them
_ENTRY = np.dtype(
    [("mark", "u1"), ("k0", "u1"), ("src_layer", "u1"), ("m0", "u1"), ("src_neuron", "<u2"), ("k1", "u1"), ("tgt_layer", "u1"),
     ("m1", "u1"), ("tgt_neuron", "<u2"), ("open", "u1", 5), ("j", "u1"), ("count", "<i4"),
     *[item for name in ("weight_sum", "weight_abs_sum", "weight_sq_sum", "weight_min", "weight_max") for item in ((f"g_{name}", "u1"), (name, ">f8"))],
     ("close", "u1")]
)  # fmt: skip
_FIXED = {
    "mark": ord("("),
    "k0": ord("K"),
    "m0": ord("M"),
    "k1": ord("K"),
    "m1": ord("M"),
    "j": ord("J"),
    "close": ord("e"),
}
_NEURON = np.dtype(
    [("k", "u1"), ("layer", "u1"), ("m", "u1"), ("neuron", "<u2"), ("pack", "u1", 2), ("j", "u1"), ("count", "<i4")]
)
_NAMES = [name for name in _ENTRY.names or () if name not in _FIXED and name != "open" and not name.startswith("g_")]
_KINDS = ("semantic", "routing", "lexical", "formatting")
_WORDS = [
    "medical",
    "legal",
    "numeric",
    "closing",
    "opening",
    "plural",
    "French",
    "chemical",
    "ordinal",
    "negated",
    "quoted",
    "capital",
    "aspirin",
    "dosage",
    "clause",
    "river",
]


def edges(total: int, seed: int = 0) -> Iterator[dict[str, np.ndarray]]:
    """Edges of three links or more, one source layer at a time: hubs at both ends, counts with a heavy tail."""
    for layer in range(LAYERS - 1):
        rng = np.random.default_rng([seed, layer])
        share = total * (layer + 1) // (LAYERS - 1) - total * layer // (LAYERS - 1)
        keys = np.zeros(0, np.int64)
        while len(keys) < share:
            more = max(int((share - len(keys)) * 1.5), 1000)
            source = (WIDTH * rng.random(more) ** 3).astype(np.int64)
            target_layer = layer + 1 + np.minimum(rng.geometric(0.15, more) - 1, LAYERS - 2 - layer)
            target = (WIDTH * rng.random(more) ** 3).astype(np.int64)
            keys = np.unique(np.concatenate([keys, (source * LAYERS + target_layer) * WIDTH + target]))
        keys = np.sort(rng.choice(keys, share, replace=False))
        source, rest = np.divmod(keys, LAYERS * WIDTH)
        target_layer, target = np.divmod(rest, WIDTH)
        count = 2 + np.minimum((rng.random(share) ** -0.9).astype(np.int64), 2 * GRAPHS)
        mean = rng.normal(size=share) * 10 ** rng.uniform(-4, 1, share)
        # As in real graphs: 82 % of the edges of three links or more have links of one sign.
        is_mixed = rng.random(share) < 0.18
        spread = abs(mean) * (rng.random(share) + is_mixed)
        excess = is_mixed * spread * rng.random(share) / 4
        yield {
            "src_layer": np.full(share, layer), "src_neuron": source, "tgt_layer": target_layer, "tgt_neuron": target, "count": count,
            "weight_sum": mean * count, "weight_abs_sum": (abs(mean) + excess) * count, "weight_sq_sum": (mean**2 + spread**2 / 4) * count,
            "weight_min": mean - spread, "weight_max": mean + spread,
        }  # fmt: skip


def write_checkpoint(path: Path, truth: Path, total: int) -> None:
    """A v2 checkpoint of `total` edges, and the same edges as Parquet."""
    header = {"graphs_processed": GRAPHS, "total_edge_observations": 0, "version": 2}
    with path.open("wb") as stream:
        writer = None
        pickle.dump(header, stream, 5)
        stream.write(b"\x80\x05}\x94")
        for some in edges(total):
            rows = np.zeros(len(some["count"]), _ENTRY)
            for name, value in _FIXED.items():
                rows[name] = value
            for name in _NAMES:
                rows[name] = some[name]
                if f"g_{name}" in (_ENTRY.names or ()):
                    rows[f"g_{name}"] = ord("G")
            rows["open"] = np.frombuffer(b"t\x94]\x94(", np.uint8)
            for start in range(0, len(rows), _BATCH):
                block = b"(" + rows[start : start + _BATCH].tobytes() + b"u"
                stream.write(b"\x95" + len(block).to_bytes(8, "little") + block)
            table = pa.table(some)
            writer = writer or pq.ParquetWriter(truth, table.schema, compression="none")
            writer.write_table(table)
        stream.write(b".")
        assert writer is not None
        writer.close()
        _write_neurons(stream)
        pickle.dump({f"graph_{number:06d}.json" for number in range(1000)}, stream, 5)
        pickle.dump({}, stream, 5)


def _write_neurons(stream: BinaryIO) -> None:
    rows = np.zeros(LAYERS * WIDTH, _NEURON)
    number = np.arange(LAYERS * WIDTH)
    rows["k"], rows["layer"], rows["m"], rows["neuron"], rows["j"] = (
        ord("K"),
        number // WIDTH,
        ord("M"),
        number % WIDTH,
        ord("J"),
    )
    rows["pack"] = np.frombuffer(b"\x86\x94", np.uint8)
    rows["count"] = np.minimum(1 + (np.random.default_rng(1).random(len(rows)) ** -1.2).astype(np.int64), GRAPHS)
    stream.write(b"\x80\x05}\x94")
    for start in range(0, len(rows), _BATCH):
        stream.write(b"(" + rows[start : start + _BATCH].tobytes() + b"u")
    stream.write(b".")


def write_labels(path: Path, neurons: int, line_bytes: int = 2200) -> None:
    """Labels of the first `neurons` neurons, one JSON object a line, padded to the size of the published file."""
    rng = np.random.default_rng(2)
    words, kinds = rng.integers(0, len(_WORDS), (neurons, 4)), rng.integers(0, len(_KINDS), neurons)
    strengths = rng.random(neurons) * 50
    filler = "The quick brown fox jumps over the lazy dog and so on. " * (line_bytes // 55)
    with path.open("w") as stream:
        for number in range(neurons):
            chosen = [_WORDS[word] for word in words[number]]
            label = f"{chosen[0]} {chosen[1]} tokens before {chosen[2]} {_KINDS[kinds[number]]} {number % 9973}"
            answer = {
                "label": label,
                "description": _description(number, chosen),
            }
            row = {
                "feature_id": number,
                "labels": [{"label": label, "metadata": {"parsed_response": answer, "raw": filler[: line_bytes - 900]}}],
                "feature_metadata": {"layer": number // WIDTH, "neuron": number % WIDTH, "num_exemplars": 20, "max_activation": round(strengths[number], 3)},
            }  # fmt: skip
            stream.write(json.dumps(row))
            stream.write("\n")


def _description(number: int, chosen: list[str]) -> str:
    """A text of its own for every neuron, as long as published ones."""
    return (
        f"Fires on {chosen[0]} words near {chosen[3]} ones in text {number}, mostly where {chosen[1]} phrases open a sentence; "
        f"promotes {chosen[2]} continuations with strength {number * 7919 % 1000}."
    )


def write_assignments(path: Path, neurons: int) -> None:
    """Paths of `neurons` neurons, of which the last number is the rank of a leaf, as in the published file."""
    rng = np.random.default_rng(3)
    chosen = rng.choice(LAYERS * WIDTH, min(neurons, LAYERS * WIDTH), replace=False)
    top = np.minimum((rng.random(len(chosen)) ** -0.8).astype(np.int64), 10_200)
    sub, has_sub = rng.integers(1, 6, len(chosen)), rng.random(len(chosen)) < 0.3
    ranks: dict[tuple[int, ...], int] = {}
    with path.open("w") as stream:
        stream.write('{"assignments": {\n')
        for place, (number, first, second, deep) in enumerate(
            zip(chosen.tolist(), top.tolist(), sub.tolist(), has_sub.tolist(), strict=True)
        ):
            module = (first, second) if deep else (first,)
            ranks[module] = ranks.get(module, 0) + 1
            full = (*module, ranks[module])
            value = {
                "path": ".".join(map(str, full)),
                "top": full[0],
                "sub": full[1],
                "subsub": full[2] if len(full) > 2 else None,
                "depth": len(full),
                "flow": 1 / len(chosen),
            }
            stream.write(("," if place else "") + f'"L{number // WIDTH}/{number % WIDTH}": {json.dumps(value)}\n')
        stream.write("}}\n")
