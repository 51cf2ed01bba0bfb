"""Wiring run: model weights to a stats folder of weight-based edges. A killed run resumes at its last saved layer."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from atlas.errors import OutputError
from atlas.io.files import only_writer, translated_os_errors
from atlas.options import WireOptions
from atlas.runtime.devices import choose_device
from atlas.stages import is_whole
from atlas.stages.connections_writer import METHOD
from atlas.stages.manifest import MANIFEST, read_manifest, replaced_folder
from atlas.wiring.regimes import REGIMES, comparable, read_regimes
from atlas.wiring.state import State
from atlas.wiring.top_k import POLARITIES, TopK, connect
from atlas.wiring.weights import Weights, on
from atlas.wiring.write_stats import write_stats

Progress = Callable[[str, int, int], None]
SAVE_SECONDS = 60.0
_FLOPS_PER_PAIR = 4  # times the width: two products of one multiplication and one addition each


@dataclass(frozen=True)
class WireSummary:
    """Counts of a wiring run."""

    layers: int
    neurons: int
    connections: int  # distinct pairs
    downstream: int  # pairs in the list of their source
    upstream: int  # pairs in the list of their target
    pairs: int  # pairs of neurons that this run compared
    seconds: float  # of products and top K alone
    operations: int  # multiplications and additions of the products


def wire(
    model: Path,
    out: Path,
    options: WireOptions | None = None,
    *,
    name: str | None = None,
    regimes: Path | None = None,
    device: str = "auto",
    memory: int = 2_000_000_000,
    fresh: bool = False,
    progress: Progress = lambda *_: None,
) -> WireSummary:
    """Write the strongest connections of every neuron, by its weights alone, to a stats folder.

    Args:
        model: Folder with config.json and *.safetensors of the Llama family.
        out: Stats folder, which is replaced.
        options: Number of connections to keep; the defaults where None.
        name: Name of the model in the statistics; the folder's name where None.
        regimes: Stats folder of a trace of this model. Its neurons are predicted in the regime in which they were traced.
        device: `auto`, `cpu` or `cuda`.
        memory: Bytes for the tiles of products and for the join of the lists. Three matrices of a layer and 40 bytes
            per held connection need additional memory.
        fresh: Discard an unfinished run and start over.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of neurons and connections.

    Raises:
        InputError: The folder holds no gated MLP of the Llama family, or `regimes` states none.
        OutputError: `out` exists and is not the stats folder of a wiring.
        UsageError: An option has an invalid value.
    """
    options = options or WireOptions()
    weights = Weights(model)
    _refuse_graphs(out)
    where = choose_device(device)
    folds = weights.norm_is_behind if options.fold_norms is None else options.fold_norms
    options = dataclasses.replace(options, fold_norms=folds)
    factors = read_regimes(regimes, weights) if regimes is not None else None
    files = weights.inputs() if regimes is None else [*weights.inputs(), REGIMES.path(regimes)]
    purpose = {"options": asdict(options), "files": [_facts(path) for path in files], "polarities": POLARITIES}
    with replaced_folder(out, "stats") as folder, only_writer(work_folder(out)), translated_os_errors(out):
        state = State(work_folder(out), out / MANIFEST, json.dumps(purpose, sort_keys=True), fresh=fresh)
        seconds, pairs = _connect_layers(weights, options, factors, state, where, memory, progress)
        progress("writing connections", 0, 0)
        counts = write_stats(folder, state, weights, factors, name or model.resolve().name, asdict(options), memory)
    state.remove()
    shape = weights.shape
    operations = pairs * _FLOPS_PER_PAIR * shape.width
    return WireSummary(shape.layers, shape.layers * shape.neurons, *counts, pairs, seconds, operations)


def _refuse_graphs(out: Path) -> None:
    """Raise `OutputError` if a folder holds statistics of graphs, which took longer to make than a wiring."""
    if is_whole(out, "stats") and read_manifest(out, "stats")["method"] != METHOD:
        raise OutputError(f"{out} holds statistics of graphs; choose another -o for the wiring")


def work_folder(out: Path) -> Path:
    """Return the work folder of an unfinished run."""
    whole = out.resolve()
    return whole.with_name(f".{whole.name}.wiring")


def _facts(path: Path) -> list[str | int]:
    stat = path.stat()
    return [path.name, stat.st_size, stat.st_mtime_ns]


def _connect_layers(
    weights: Weights,
    options: WireOptions,
    factors: Tensor | None,
    state: State,
    device: str,
    memory: int,
    progress: Progress,
) -> tuple[float, int]:
    """Connect all layer pairs and save the lists in `state`; return the seconds and the pairs of neurons."""
    shape = weights.shape
    every = shape.layers * shape.neurons
    downstream = state.downstream() or TopK.none(every, options.top_connections, device)
    downstream = downstream.to(device)
    saved, started, pairs = time.monotonic(), time.monotonic(), 0
    total = shape.layers * (shape.layers - 1) // 2
    # Memory for the rows of a tile: products, strengths, a mask and the buffers of top K.
    rows = max(min(memory // (40 * shape.neurons), shape.neurons), 1)
    folds = bool(options.fold_norms)
    for upper in range(state.done + 1, shape.layers):
        reads = weights.reads(upper, fold_norms=folds)
        regimes = comparable(factors[upper]).to(device) if factors is not None else None
        up, gate = (on(device, value) for value in reads)
        upstream = TopK.none(shape.neurons, options.top_connections, device)
        for lower in range(upper):
            progress("connecting layers", upper * (upper - 1) // 2 + lower, total)
            writes = on(device, weights.writes(lower, fold_norms=folds))
            mine = downstream.rows(slice(lower * shape.neurons, (lower + 1) * shape.neurons))
            connect((up, gate), writes, regimes, (lower, upper), upstream, mine, rows)
            pairs += shape.neurons**2
        state.save_upstream(upper, upstream)
        if time.monotonic() - saved > SAVE_SECONDS:
            state.save_downstream(upper, downstream)
            saved = time.monotonic()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    seconds = time.monotonic() - started
    state.save_downstream(shape.layers - 1, downstream)
    progress("connecting layers", total, total)
    return seconds, pairs
