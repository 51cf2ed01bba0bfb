"""Rows of the datasets of the stage `circuits`: circuits, their members and their paths."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from atlas.circuits.find import CONTRAST, SET, Found, Kind, coherence
from atlas.circuits.growth import DOWNSTREAM, UPSTREAM
from atlas.circuits.paths import Ends, TokenPath, Wires, graph_counts
from atlas.ids import INDEX_BITS, MAX_INDEX
from atlas.stages import DATASETS
from atlas.stages.resamples import ranks

ANCHORED = "anchored"
_ROLES = (ANCHORED, UPSTREAM, DOWNSTREAM)
_CANDIDATES, _MORE = 6, 60  # paths for each that is kept, of which those that no graph has are left out
_TRUST = ("support", "half_agreement", "control_agreement", "null_p", "null_fdr")


def circuit_ids(kind: Kind) -> list[str]:
    """Return the ids of the circuits of a kind, such as `input:276`: of the first token, or counted from 1."""
    numbered = kind.name == SET
    return [
        f"{kind.name}:{row + 1 if numbered else '-'.join(map(str, tokens[:1] if kind.name != CONTRAST else tokens))}"
        for row, tokens in enumerate(kind.tokens)
    ]


def circuit_table(found: Found) -> pa.Table:
    """Return one row per circuit.

    Args:
        found: Circuits of all kinds.

    Returns:
        Rows of the dataset `circuits`.
    """
    dataset = DATASETS["circuits.circuits"]
    return pa.concat_tables([dataset.empty(), *(dataset.table(_circuits(kind)) for kind in found.kinds)])


def _circuits(kind: Kind) -> dict[str, Any]:
    circuit, _ = kind.members()
    count = len(kind.texts)
    columns: dict[str, Any] = {
        "circuit_id": circuit_ids(kind),
        "kind": [kind.name] * count,
        "anchor": kind.texts,
        "token_ids": [list(tokens) for tokens in kind.tokens],
        "anchored_count": np.bincount(circuit, minlength=count),
        "graph_count": kind.graph_count,
        "group_count": kind.group_count,
        "sign_coherence": _known(np.full(count, np.nan)),
        **{name: _known(np.full(count, np.nan)) for name in _TRUST},
    }
    if kind.anchors is not None and kind.replication is not None:
        weight = kind.anchors.cells.total
        columns["sign_coherence"] = _known(coherence(weight[kind.replication.chosen], circuit, count))
        columns |= {name: _known(getattr(kind.replication, name)) for name in _TRUST}
    return columns


def _known(values: np.ndarray) -> pa.Array:
    """Return values with NULL for NaN."""
    return pa.array(values, pa.float64(), from_pandas=True)


def member_table(found: Found) -> pa.Table:
    """Return one row per circuit and neuron: those that carry the anchor by rank, then those that were added.

    Args:
        found: Circuits of all kinds.

    Returns:
        Rows of the dataset `circuit_members`.
    """
    dataset = DATASETS["circuits.circuit_members"]
    tables = [dataset.empty(), *(dataset.table(_members(kind)) for kind in found.kinds)]
    return pa.concat_tables(tables).combine_chunks()


def path_table(found: Found, stats: Path, count: int) -> pa.Table:
    """Return one row per circuit and path, the strongest first, of the paths that a graph has.

    Args:
        found: Circuits of all kinds.
        stats: Stats folder, whose graphs with all links of a path are counted.
        count: Number of paths of a circuit at most.

    Returns:
        Rows of the dataset `circuit_paths`.
    """
    every = [(name, ends) for kind in found.kinds for name, ends in zip(circuit_ids(kind), kind.ends(), strict=True)]
    kept: list[_Kept] = []
    if count:
        wires = Wires(found.seen)
        kept = _that_graphs_have(wires, every, stats, count, _CANDIDATES * count)
        full = Counter(row[0] for row in kept)
        # Where few of the strongest are in a graph, more are looked at.
        rest = [(name, ends) for name, ends in every if full[name] < count]
        again = _that_graphs_have(wires, rest, stats, count, _MORE * count)
        names = {name for name, _ in rest}
        kept = [row for row in kept if row[0] not in names] + again
        place = {name: number for number, (name, _) in enumerate(every)}
        kept.sort(key=lambda row: (place[row[0]], row[1]))
    return DATASETS["circuits.circuit_paths"].table(
        {
            "circuit_id": [row[0] for row in kept],
            "rank": [row[1] for row in kept],
            "token_id": [one.token for _, _, one, *_ in kept],
            "layers": [[neuron >> INDEX_BITS for neuron in one.neurons] for _, _, one, *_ in kept],
            "neurons": [[neuron & MAX_INDEX for neuron in one.neurons] for _, _, one, *_ in kept],
            "output_id": [one.output for _, _, one, *_ in kept],
            "strength": [one.strength for _, _, one, *_ in kept],
            "graph_count": [row[3] for row in kept],
            "group_count": [row[4] for row in kept],
        }
    )


_Kept = tuple[str, int, TokenPath, int, int]  # circuit, rank, path, graphs, groups


def _that_graphs_have(
    wires: Wires, circuits: list[tuple[str, Ends]], stats: Path, count: int, candidates: int
) -> list[_Kept]:
    """Return the strongest paths of circuits, of so many candidates, without those that only join links of several graphs."""
    rows = [(name, one) for name, ends in circuits for one in wires.strongest(ends, candidates)]
    counts = graph_counts(stats, [one for _, one in rows]) if rows else []
    number: Counter[str] = Counter()
    kept: list[_Kept] = []
    for (name, one), (graphs, groups) in zip(rows, counts, strict=True):
        if graphs and number[name] < count:
            number[name] += 1
            kept.append((name, number[name], one, graphs, groups))
    return kept


def _members(kind: Kind) -> dict[str, Any]:
    circuit, neuron = kind.members()
    weight, confidence = np.full(len(circuit), np.nan), np.full(len(circuit), np.nan)
    score = np.zeros(len(circuit))
    if kind.anchors is not None and kind.replication is not None:
        pairs = kind.replication.chosen
        # The weights of a contrast are per graph already.
        counts = [1 if kind.name == CONTRAST else count or 1 for count in kind.graph_count]
        graphs = np.array(counts, np.float64)
        weight = kind.anchors.cells.total[pairs] / graphs[circuit]
        confidence, score = kind.replication.confidence[pairs], kind.replication.scores[pairs]
    parts = [
        (circuit, neuron, np.zeros(len(circuit), np.int64), np.zeros(len(circuit), np.int64), weight, confidence, score)
    ]
    for grown in kind.grown:
        size = len(grown.circuit)
        role, step = (np.full(size, value, np.int64) for value in (_ROLES.index(grown.direction), grown.step))
        parts.append((grown.circuit, grown.neuron, role, step, grown.share, grown.confidence, grown.share))
    circuit, neuron, role, step, weight, confidence, score = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    order = np.lexsort((neuron, -score, step, role, circuit))
    circuit, role, step = circuit[order], role[order], step[order]
    ids = np.array(circuit_ids(kind), object)
    rank = ranks(circuit * len(_ROLES) + role) + 1
    return {
        "circuit_id": pa.array(ids[circuit], pa.string()),
        "layer": neuron[order] >> INDEX_BITS,
        "neuron": neuron[order] & MAX_INDEX,
        "role": pa.array(np.array(_ROLES, object)[role], pa.string()).dictionary_encode(),
        "step": step,
        "rank": rank,
        "weight": _known(weight[order]),
        "confidence": _known(confidence[order]),
    }
