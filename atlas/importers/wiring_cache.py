"""Import of wiring caches (layer_N.json) to a stats folder of weight-based edges."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from atlas.errors import IdError, InputError
from atlas.graph import Space
from atlas.ids import NeuronId
from atlas.importers.summary import ImportSummary
from atlas.importers.values import Progress, Where, number, whole
from atlas.io.json_stream import members
from atlas.options import MEMORY
from atlas.stages.connections_writer import METHOD, Connections
from atlas.stages.manifest import replaced_folder
from atlas.stages.stats_writer import StatsWriter

LAYER_FILE = re.compile(r"layer_?(\d+)\.json(?:\.gz)?\Z")
_BATCH = 1 << 18  # rows
_LEAST = 1e-37  # smaller strengths do not fit a 32-bit number
_COLUMNS = (
    ("src_layer", pa.int32()), ("src_neuron", pa.int32()), ("tgt_layer", pa.int32()), ("tgt_neuron", pa.int32()),
    ("c_up", pa.float32()), ("c_gate", pa.float32()), ("strength", pa.float32()), ("confidence", pa.float32()),
    ("rank", pa.int32()),
)  # fmt: skip


@dataclass
class WiringCacheSummary(ImportSummary):
    """Counts of connections; every connection in a list is part of a pair or malformed."""

    files: int = 0
    neurons: int = 0
    listed: int = 0  # connections in all lists
    connections: int = 0  # distinct pairs
    downstream: int = 0  # pairs in the list of their source
    upstream: int = 0  # pairs in the list of their target


def import_wiring_cache(
    given: Sequence[Path],
    out: Path,
    *,
    model: str | None = None,
    memory: int = MEMORY,
    progress: Progress = lambda *_: None,
) -> WiringCacheSummary:
    """Write the connections of cache files, or of the folders that hold them, to the stats folder `out`.

    Lists of sources and of targets are both kept: a pair is one row with its rank in each list. Raises `InputError`
    where there is no layer_N.json or one is damaged, and `OutputError`.
    """
    paths = wiring_caches(given)
    summary = WiringCacheSummary(files=len(paths))
    with replaced_folder(out, "stats") as folder, tempfile.TemporaryDirectory(dir=out.resolve().parent) as work:
        writer = StatsWriter(folder)
        try:
            with Connections(Path(work) / "lists.duckdb", memory) as lists:
                neurons = _read(paths, lists, summary, progress)
                if not summary.listed:
                    raise InputError(
                        f"{paths[0]} and the files beside it list no connection; give layer_N.json of a wiring cache"
                    )
                progress("joining lists", 0, 0)
                summary.connections, summary.downstream, summary.upstream = lists.write(writer)
                neurons |= {tuple(row.values()) for row in lists.ends().to_pylist()}
            columns = list(zip(*sorted(neurons), strict=True))
            writer.add(
                "neurons",
                {
                    "layer": pa.array(columns[0], pa.int32()),
                    "neuron": pa.array(columns[1], pa.int32()),
                    "graph_count": 0,
                    "node_count": 0,
                },
            )
            summary.neurons = len(neurons)
            counts = {"neurons": len(neurons), "edges": summary.connections}
            space = Space(model or "unknown", None, "neuron", METHOD)
            writer.finish(space, METHOD, [path.name for path in paths], options={}, counts=counts)
        finally:
            writer.close()
    return summary


def wiring_caches(given: Sequence[Path]) -> list[Path]:
    """Return the files layer_N.json by layer. Raises `InputError` where there are none, or two of one layer."""
    found: dict[int, Path] = {}
    for path in given:
        inside = (file for file in sorted(path.glob("layer*")) if LAYER_FILE.search(file.name)) if path.is_dir() else ()
        for file in inside if path.is_dir() else (path,):
            named = LAYER_FILE.search(file.name)
            if named is None:
                raise InputError(
                    f"{file} is no file of a wiring cache; they are called layer_0.json, layer_1.json, ..."
                )
            layer = int(named[1])
            if layer in found:
                raise InputError(f"{file} and {found[layer]} are both of layer {layer}")
            found[layer] = file
    if not found:
        raise InputError(f"{', '.join(map(str, given))} holds no layer_N.json of a wiring cache")
    return [found[layer] for layer in sorted(found)]


def _read(paths: Sequence[Path], lists: Connections, summary: WiringCacheSummary, progress: Progress) -> set[Where]:
    """Fill the lists; return the neurons that have an entry of their own."""
    neurons: set[Where] = set()
    waiting: dict[str, list[tuple[Any, ...]]] = {"upstream": [], "downstream": []}
    for done, path in enumerate(paths):
        progress("reading the wiring cache", done, len(paths))
        named = LAYER_FILE.search(path.name)
        assert named is not None  # wiring_caches returns matches only
        for member in members(path):
            try:
                mine = NeuronId.checked(int(named[1]), int(member.key or ""))
            except (IdError, ValueError):
                summary.malformed["bad_neuron"] += 1
                continue
            neurons.add(tuple(mine))
            for direction, row in _rows(mine, member.value, summary):
                waiting[direction].append(row)
                if len(waiting[direction]) >= _BATCH:
                    _flush(lists, direction, waiting)
    for direction in waiting:
        _flush(lists, direction, waiting)
    return neurons


def _rows(mine: NeuronId, entry: object, summary: WiringCacheSummary) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the direction and row of each connection in one neuron's lists."""
    for direction in ("upstream", "downstream"):
        lists = entry.get(direction) if isinstance(entry, dict) else None
        for polarity, sign in (("excitatory", 1), ("inhibitory", -1)):
            found = lists.get(polarity) if isinstance(lists, dict) else None
            for rank, item in enumerate(found if isinstance(found, list) else (), start=1):
                summary.listed += 1
                row = _row(mine, item, direction, sign, rank)
                if isinstance(row, str):
                    summary.malformed[row] += 1
                else:
                    yield direction, row


def _row(mine: NeuronId, item: object, direction: str, sign: int, rank: int) -> tuple[Any, ...] | str:
    """Return the row of one connection, or the reason why it is malformed."""
    if not isinstance(item, dict):
        return "no_connection"
    layer, index = whole(item.get("layer")), whole(item.get("neuron"))
    try:
        if layer is not None and index is not None:
            other = NeuronId.checked(layer, index)
        else:
            other = NeuronId.parse(str(item.get("neuron_id")))
    except IdError:
        return "bad_neuron"
    source, target = (other, mine) if direction == "upstream" else (mine, other)
    if source.layer >= target.layer:
        return "not_to_a_higher_layer"
    confidence: float | None
    c_up, c_gate = number(item.get("c_up")), number(item.get("c_gate"))
    if c_up and c_gate:
        if c_up * sign < 0 or c_gate * sign < 0:
            return "mixed_signs"
        strength, confidence = c_up + c_gate, min(abs(c_up), abs(c_gate)) / max(abs(c_up), abs(c_gate))
    else:
        # The strength that the file states; older writers gave inhibitory strengths either sign.
        c_up = c_gate = None
        said = number(item.get("effective_strength"))
        if not said:
            return "no_strength"
        strength, confidence = sign * abs(said), _share(item.get("polarity_confidence"))
    if abs(strength) < _LEAST:
        return "no_strength"
    return (*source, *target, c_up, c_gate, strength, confidence, rank)


def _share(value: object) -> float | None:
    found = number(value)
    return found if found is not None and 0 <= found <= 1 else None


def _flush(lists: Connections, direction: str, waiting: dict[str, list[tuple[Any, ...]]]) -> None:
    rows = waiting[direction]
    if rows:
        columns = zip(_COLUMNS, zip(*rows, strict=True), strict=True)
        lists.add(direction, {name: pa.array(values, kind) for (name, kind), values in columns})
        waiting[direction] = []
