"""Raw nodes and links -> the arrays of a `Graph`; every node and link is kept or counted."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import repeat
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from atlas.graph import Floats, Graph, GraphInfo, Ints, Links, NodeKind, Nodes
from atlas.graphs.dialects import Dialect, token_text
from atlas.graphs.raw import RawGraph, RawLink, RawNode
from atlas.ids import INDEX_BITS, MAX_INDEX, MAX_LAYER

_NEURON_ID = re.compile(r"(\d{1,9})_(\d{1,12})(?:_(\d{1,12}))?\Z", re.ASCII)
_TOKEN_ID = re.compile(r"E_(\d{1,12})(?:_|\Z)", re.ASCII)
_LOGIT_ID = re.compile(r"(?:L|\d{1,9})_(\d{1,12})(?:_|\Z)", re.ASCII)
MAX_TOKEN = 2**31 - 1
MAX_POSITION = 2**31 - 1
# Sums of squares of anything below stay finite, and FLOAT columns hold it.
MAX_VALUE = 1e30
_MISSING, _AMBIGUOUS = -1, -2


def assemble(raw: RawGraph, malformed: Counter[str], dialect: Dialect, info: GraphInfo) -> Graph:
    """The arrays of one graph; `malformed` is what `decode` counted."""
    oddities: Counter[str] = +Counter({"malformed": malformed["nodes"], "odd_key": malformed["odd_key"]})
    rows, index = _index_nodes(raw.nodes, dialect, oddities)
    nodes = _node_arrays(rows, dialect, info.prompt_tokens, oddities)
    links, dropped = link_arrays(raw.links, index, nodes.kind)
    dropped += Counter({"malformed": malformed["links"]})
    return Graph(info, nodes, links, len(raw.links) + malformed["links"], dropped, oddities)


_Row = tuple[RawNode, NodeKind, int]


def _index_nodes(raw: Sequence[RawNode], dialect: Dialect, oddities: Counter[str]) -> tuple[list[_Row], dict[str, int]]:
    """Distinct nodes, and the row that each id names; one id for two different nodes names neither."""
    rows: list[_Row] = []
    index: dict[str, int] = {}
    seen: set[tuple[str, NodeKind, int]] = set()
    for node in raw:
        kind, key = _kind_and_key(node, dialect, oddities)
        identity = (node.node_id, kind, key)
        if identity in seen:
            oddities["duplicate"] += 1
            continue
        seen.add(identity)
        if node.node_id in index:
            index[node.node_id] = _AMBIGUOUS
            oddities["ambiguous_id"] += 1
        else:
            index[node.node_id] = len(rows)
        rows.append((node, kind, key))
    return rows, index


def _kind_and_key(node: RawNode, dialect: Dialect, oddities: Counter[str]) -> tuple[NodeKind, int]:
    kind = _kind(node, dialect)
    key: int | None = 0
    if kind is NodeKind.NEURON:
        found = _NEURON_ID.match(node.node_id)
        layer, neuron = (int(found[1]), int(found[2])) if found else (0, 0)
        key = layer << INDEX_BITS | neuron if found else None
        if found and (layer > MAX_LAYER or neuron > MAX_INDEX):
            kind, key = NodeKind.OUT_OF_RANGE, 0
    elif kind in (NodeKind.TOKEN, NodeKind.LOGIT):
        found = (_TOKEN_ID if kind is NodeKind.TOKEN else _LOGIT_ID).match(node.node_id)
        key = int(found[1]) if found else None
        if key is not None and key > MAX_TOKEN:
            kind, key = NodeKind.OUT_OF_RANGE, 0
    if key is None:
        oddities["bad_id"] += 1
        return NodeKind.BAD_ID, 0
    if kind is NodeKind.OUT_OF_RANGE:
        oddities["out_of_range"] += 1
    elif kind is NodeKind.OTHER:
        oddities["other_unit_type"] += 1
    return kind, key


def _kind(node: RawNode, dialect: Dialect) -> NodeKind:
    if node.isLogit:
        return NodeKind.LOGIT
    if node.feature_type:
        return dialect.kinds.get(node.feature_type, NodeKind.OTHER)
    # No type at all, as in old fixtures: the layer, then the id's prefix.
    if node.layer in ("E", "embedding") or node.node_id.startswith("E_"):
        return NodeKind.TOKEN
    if node.layer == "logit" or node.node_id.startswith("L_"):
        return NodeKind.LOGIT
    if node.feature == -1 or "_-1_" in node.node_id:
        return NodeKind.ERROR
    return NodeKind.NEURON


def _node_arrays(
    rows: Sequence[_Row], dialect: Dialect, prompt_tokens: list[str] | None, oddities: Counter[str]
) -> Nodes:
    texts: list[str | None] = []
    probabilities: list[float] = []
    for node, kind, _ in rows:
        text, probability = _text(node, kind, dialect, prompt_tokens)
        texts.append(text)
        probabilities.append(math.nan if probability is None else probability)
    raw = [row[0] for row in rows]
    return Nodes(
        kind=np.array([kind for _, kind, _ in rows], dtype=np.int8),
        key=np.array([key for _, _, key in rows], dtype=np.int64),
        position=np.array([_position(node) for node in raw], dtype=np.int32),
        activation=_finite([node.activation for node in raw], oddities, "non_finite_activation"),
        influence=_finite([node.influence for node in raw], oddities, "non_finite_influence"),
        probability=np.array(probabilities, dtype=np.float64),
        text=texts,
    )


def _position(node: RawNode) -> int:
    for value in (node.ctx_idx, node.position):
        if value is not None:
            return value if 0 <= value <= MAX_POSITION else -1
    return -1


def _finite(values: Sequence[float | None], oddities: Counter[str], reason: str) -> Floats:
    """Floats with NaN for unknown; a value that is not finite (or huge) is unknown, and counted."""
    array = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    usable = np.abs(array) <= MAX_VALUE
    stated = np.array([value is not None for value in values], dtype=bool)
    if bad := int((stated & ~usable).sum()):
        oddities[reason] += bad
    array[~usable] = np.nan
    return array


def _text(
    node: RawNode, kind: NodeKind, dialect: Dialect, prompt_tokens: list[str] | None
) -> tuple[str | None, float | None]:
    if kind is NodeKind.NEURON:
        return (dialect.neuron_text(node.clerp) if node.clerp else None), None
    if kind is NodeKind.TOKEN:
        position = _position(node)
        if prompt_tokens and 0 <= position < len(prompt_tokens):
            return prompt_tokens[position], None
        return token_text(node.clerp)[0], None
    if kind is NodeKind.LOGIT:
        text, stated = token_text(node.clerp)
        probability = node.token_prob or stated
        return text, probability if probability is not None and 0 <= probability <= 1 else None
    return None, None


def link_arrays(raw: Sequence[RawLink], index: dict[str, int], kind: NDArray[np.int8]) -> tuple[Links, Counter[str]]:
    """Links between known nodes, and the others by reason; the first reason that applies counts."""
    count, find = len(raw), index.get
    source: Ints = np.fromiter(map(find, map(attrgetter("source"), raw), repeat(_MISSING)), np.int64, count)
    target: Ints = np.fromiter(map(find, map(attrgetter("target"), raw), repeat(_MISSING)), np.int64, count)
    weight: Floats = np.fromiter(map(attrgetter("weight"), raw), np.float64, count)
    return keep_links(source, target, weight, kind)


def keep_links(source: Ints, target: Ints, weight: Floats, kind: NDArray[np.int8]) -> tuple[Links, Counter[str]]:
    """The links that belong to a table; `source` and `target` are rows of `kind`, or -1 missing, -2 ambiguous."""
    dropped: Counter[str] = Counter()
    kept = np.ones(len(source), dtype=bool)

    def drop(reason: str, mask: NDArray[np.bool_]) -> None:
        hit = kept & mask
        if hit.any():
            dropped[reason] += int(hit.sum())
            kept[hit] = False

    drop("missing_node", (source == _MISSING) | (target == _MISSING))
    drop("ambiguous_id", (source == _AMBIGUOUS) | (target == _AMBIGUOUS))
    drop("non_finite_weight", ~np.isfinite(weight))
    drop("huge_weight", np.abs(weight) > MAX_VALUE)
    # Rows -1 and -2 are dropped by now; the padding only keeps their look-up inside the array.
    padded = np.append(kind, [NodeKind.OTHER, NodeKind.OTHER])
    source_kind, target_kind = padded[source], padded[target]
    for bad in (NodeKind.OUT_OF_RANGE, NodeKind.BAD_ID, NodeKind.OTHER):
        drop(
            "other_unit_type" if bad is NodeKind.OTHER else bad.name.lower(),
            (source_kind == bad) | (target_kind == bad),
        )
    drop("from_logit", source_kind == NodeKind.LOGIT)
    drop("into_token", target_kind == NodeKind.TOKEN)
    drop("into_error", target_kind == NodeKind.ERROR)
    return Links(source[kept], target[kept], weight[kept]), dropped
