"""Conversion of raw nodes and links to the arrays of a `Graph`. Every node and link is kept or counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from atlas.errors import GraphError
from atlas.graph import LINK_TABLES, MAX_WEIGHT, Floats, Graph, GraphInfo, Ints, Links, NodeKind, Nodes
from atlas.graphs.dialects import Dialect, token_text
from atlas.graphs.identity import feature_unit, whole
from atlas.graphs.raw import RawGraph, RawLink, RawNode
from atlas.graphs.raw_links import LinkColumns
from atlas.graphs.vocabularies import vocabulary_of
from atlas.ids import INDEX_BITS, MAX_INDEX, MAX_LAYER
from atlas.io.text import visible

# Ids that always fit: two digits of layer, seven digits of index.
_SMALL_NEURON_ID = re.compile(r"(\d{1,2})_(\d{1,7})(?:_\d{1,12})?\Z", re.ASCII)
_TOKEN_ID = re.compile(r"E_(\d{1,12})(?:_|\Z)", re.ASCII)
_LOGIT_ID = re.compile(r"(?:L|\d{1,9})_(\d{1,12})(?:_|\Z)", re.ASCII)
MAX_TOKEN = 2**31 - 1
MAX_POSITION = 2**31 - 1
_MISSING, _AMBIGUOUS = -1, -2
_MOST_TYPES, _MOST_TYPE = 16, 40  # most names of other types per graph, and their maximum length
_FINE = np.zeros((len(NodeKind), len(NodeKind)), dtype=bool)
for _pair in LINK_TABLES:
    _FINE[_pair] = True


def assemble(raw: RawGraph, malformed: Counter[str], dialect: Dialect, info: GraphInfo) -> Graph:
    """Return the arrays of one graph; `malformed` holds the counts of `decode`.

    Raises `GraphError` if no neuron or feature can be used, but nodes have unknown types or unreadable ids.
    """
    oddities: Counter[str] = +Counter({"malformed": malformed["nodes"], "odd_key": malformed["odd_key"]})
    types = OtherTypes()
    vocabulary = vocabulary_of(info.space.model)
    rows, index = _index_nodes(raw.nodes, dialect, vocabulary, types, oddities)
    nodes = _node_arrays(rows, dialect, info.prompt_tokens, oddities)
    _require_units(nodes.kind, types, oddities)
    links, dropped = link_arrays(raw.links, index, nodes, types)
    dropped += Counter({"malformed": malformed["links"]})
    return Graph(info, nodes, links, len(raw.links) + malformed["links"], dropped, oddities)


_Row = tuple[RawNode, NodeKind, int]


def _require_units(kind: NDArray[np.int8], types: OtherTypes, oddities: Counter[str]) -> None:
    """Raise `GraphError` if a graph names units but none can be used: an empty result would hide the failure."""
    lost = {NodeKind.OTHER: "unknown_types", NodeKind.BAD_ID: "unknown_ids"}
    counts = np.bincount(kind, minlength=len(NodeKind))
    if counts[NodeKind.NEURON] or not any(counts[which] for which in lost):
        return
    reason = lost[NodeKind.OTHER if counts[NodeKind.OTHER] >= counts[NodeKind.BAD_ID] else NodeKind.BAD_ID]
    told = ", ".join(f"{name} {count:,}" for name, count in (types.counts + oddities).most_common(8) if count)
    of_known = len(kind) - counts[NodeKind.OTHER]
    what = (
        f"{of_known:,} of {len(kind):,} nodes are of a known type" if reason == "unknown_types" else "no id can be read"
    )
    raise GraphError(reason, f"holds no neuron or feature that can be used; {what} ({told})")


class OtherTypes:
    """Node types of a graph that are not aggregated, each with a short name."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.counts: Counter[str] = Counter()

    def number(self, feature_type: str | None) -> int:
        """Count one node of a type, and return the number of its name."""
        name = visible(feature_type or "none")[:_MOST_TYPE]
        if name not in self.names and len(self.names) >= _MOST_TYPES:
            name = "others"
        if name not in self.names:
            self.names.append(name)
        self.counts[name] += 1
        return self.names.index(name)

    def reason(self, number: int) -> str:
        """Return the reason for dropping the links of a type."""
        return f"other_unit_type: {self.names[number]}"


def _index_nodes(
    raw: Sequence[RawNode], dialect: Dialect, vocabulary: int | None, types: OtherTypes, oddities: Counter[str]
) -> tuple[list[_Row], dict[str, int]]:
    """Return the distinct nodes, and the row of each id. An id of two different nodes refers to neither."""
    rows: list[_Row] = []
    index: dict[str, int] = {}
    twice: dict[str, list[tuple[NodeKind, int]]] = {}
    kind_of, match = dialect.kinds.get, _SMALL_NEURON_ID.match
    for node in raw:
        node_id = node.node_id
        # Nearly every node is a plain neuron; the others take the slow path.
        plain = not node.isLogit and kind_of(node.feature_type or "") is NodeKind.NEURON
        found = match(node_id) if plain else None
        layer = int(found[1]) if found is not None else 0
        if found is not None and (node.layer in (found[1], layer) or whole(node.layer) in (layer, None)):
            kind, key = NodeKind.NEURON, layer << INDEX_BITS | int(found[2])
        else:
            kind, key = _kind_and_key(node, dialect, vocabulary, types, oddities)
        if node_id in index:
            known = twice.setdefault(node_id, [rows[index[node_id]][1:]] if index[node_id] >= 0 else [])
            if (kind, key) in known:
                oddities["duplicate"] += 1
                continue
            known.append((kind, key))
            index[node_id] = _AMBIGUOUS
            oddities["ambiguous_id"] += 1
        else:
            index[node_id] = len(rows)
        rows.append((node, kind, key))
    return rows, index


def _kind_and_key(
    node: RawNode, dialect: Dialect, vocabulary: int | None, types: OtherTypes, oddities: Counter[str]
) -> tuple[NodeKind, int]:
    kind = _kind(node, dialect)
    key: int | None = 0
    if kind is NodeKind.NEURON:
        return _unit(node, oddities)
    if kind in (NodeKind.TOKEN, NodeKind.LOGIT):
        found = (_TOKEN_ID if kind is NodeKind.TOKEN else _LOGIT_ID).match(node.node_id)
        key = int(found[1]) if found else None
        if key is not None and key > MAX_TOKEN:
            kind, key = NodeKind.OUT_OF_RANGE, 0
        elif kind is NodeKind.LOGIT and key is not None and vocabulary is not None and key >= vocabulary:
            oddities["virtual_token"] += 1
            return NodeKind.VIRTUAL, 0
    if key is None:
        oddities["bad_id"] += 1
        return NodeKind.BAD_ID, 0
    if kind is NodeKind.OUT_OF_RANGE:
        oddities["out_of_range"] += 1
    elif kind is NodeKind.OTHER:
        key = types.number(node.feature_type)
        oddities[types.reason(key)] += 1
    return kind, key


def _unit(node: RawNode, oddities: Counter[str]) -> tuple[NodeKind, int]:
    """Return kind and key of a neuron or feature."""
    unit = feature_unit(node)
    if unit is None:
        oddities["contradictory_id" if _SMALL_NEURON_ID.match(node.node_id) else "bad_id"] += 1
        return NodeKind.BAD_ID, 0
    if unit[0] > MAX_LAYER or unit[1] > MAX_INDEX:
        oddities["out_of_range"] += 1
        return NodeKind.OUT_OF_RANGE, 0
    if _reads_otherwise(node.node_id, unit):
        oddities["id_in_other_order"] += 1
    return NodeKind.NEURON, unit[0] << INDEX_BITS | unit[1]


def _reads_otherwise(node_id: str, unit: tuple[int, int]) -> bool:
    """Return True if an id of the usual form is read as another unit than the one that it spells."""
    found = _SMALL_NEURON_ID.match(node_id)
    return found is not None and (int(found[1]), int(found[2])) != unit


def _kind(node: RawNode, dialect: Dialect) -> NodeKind:
    if node.isLogit:
        return NodeKind.LOGIT
    if node.feature_type:
        return dialect.kinds.get(node.feature_type, NodeKind.OTHER)
    # Without a type, as in old fixtures, the layer decides, then the prefix of the id.
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
    probability = np.full(len(rows), np.nan)
    neuron_text = dialect.neuron_text
    for row, (node, kind, _) in enumerate(rows):
        if kind is NodeKind.NEURON:
            clerp = node.clerp
            texts.append(neuron_text(clerp) if clerp else None)
        else:
            text, stated = _text(node, kind, prompt_tokens)
            texts.append(text)
            if stated is not None:
                probability[row] = stated
    raw = [row[0] for row in rows]
    return Nodes(
        kind=np.array([row[1] for row in rows], dtype=np.int8),
        key=np.array([row[2] for row in rows], dtype=np.int64),
        position=_positions(raw),
        activation=_finite([node.activation for node in raw], oddities, "non_finite_activation"),
        influence=_finite([node.influence for node in raw], oddities, "non_finite_influence"),
        probability=probability,
        text=texts,
    )


def _positions(raw: Sequence[RawNode]) -> NDArray[np.int32]:
    stated = [node.ctx_idx for node in raw]
    if None in stated:
        return np.array([_position(node) for node in raw], dtype=np.int32)
    positions = np.array(stated, dtype=np.int64)
    positions[(positions < 0) | (positions > MAX_POSITION)] = -1
    return positions.astype(np.int32)


def _position(node: RawNode) -> int:
    for value in (node.ctx_idx, node.position):
        if value is not None:
            return value if 0 <= value <= MAX_POSITION else -1
    return -1


def _finite(values: Sequence[float | None], oddities: Counter[str], reason: str) -> Floats:
    """Return floats, with NaN for unknown values. Huge values and values that are not finite are counted as unknown."""
    # numpy reads None as NaN.
    array = np.array(values, dtype=np.float64)
    usable = np.abs(array) <= MAX_WEIGHT
    if not usable.all():
        if bad := int(np.count_nonzero(~usable)) - list(values).count(None):
            oddities[reason] += bad
        array[~usable] = np.nan
    return array


def _text(node: RawNode, kind: NodeKind, prompt_tokens: list[str] | None) -> tuple[str | None, float | None]:
    """Return the text of a token or logit, and the probability of a logit."""
    if kind is NodeKind.TOKEN:
        position = _position(node)
        if prompt_tokens and 0 <= position < len(prompt_tokens):
            return prompt_tokens[position], None
        return node.token or token_text(node.clerp)[0], None
    if kind in (NodeKind.LOGIT, NodeKind.VIRTUAL):
        text, stated = token_text(node.clerp)
        probability = node.token_prob or stated
        return node.token or text, probability if probability is not None and 0 <= probability <= 1 else None
    return None, None


def link_arrays(
    raw: Sequence[RawLink] | LinkColumns, index: dict[str, int], nodes: Nodes, types: OtherTypes
) -> tuple[Links, Counter[str]]:
    """Return the links between known nodes, and the number of dropped links by the first reason that applies."""
    find, count = index.get, len(raw)
    if isinstance(raw, LinkColumns):
        rows = np.array([find(name, _MISSING) for name in raw.ids], np.int64)
        return keep_links(rows[raw.source], rows[raw.target], raw.weight, nodes, types)
    source: Ints = np.fromiter([find(link.source, _MISSING) for link in raw], np.int64, count)
    target: Ints = np.fromiter([find(link.target, _MISSING) for link in raw], np.int64, count)
    weight: Floats = np.fromiter([link.weight for link in raw], np.float64, count)
    return keep_links(source, target, weight, nodes, types)


def keep_links(
    source: Ints, target: Ints, weight: Floats, nodes: Nodes, types: OtherTypes
) -> tuple[Links, Counter[str]]:
    """Return the links that belong to a table, and the number of dropped links by reason.

    `source` and `target` are rows of `nodes`, -1 for a missing node, or -2 for an ambiguous id.
    """
    kind = nodes.kind
    weight = weight + 0.0  # turns -0.0 into 0.0
    dropped: Counter[str] = Counter()
    if len(source) and min(source.min(), target.min()) >= 0 and _FINE[kind[source], kind[target]].all():
        # In most graphs, every link joins two known nodes, of kinds with a table.
        with np.errstate(invalid="ignore"):
            if (np.abs(weight) <= MAX_WEIGHT).all():
                return Links(source, target, weight), dropped
    kept = np.ones(len(source), dtype=bool)

    def drop(reason: str, mask: NDArray[np.bool_]) -> None:
        hit = kept & mask
        if hit.any():
            dropped[reason] += int(hit.sum())
            kept[hit] = False

    drop("missing_node", (source == _MISSING) | (target == _MISSING))
    drop("ambiguous_id", (source == _AMBIGUOUS) | (target == _AMBIGUOUS))
    drop("non_finite_weight", ~np.isfinite(weight))
    drop("huge_weight", np.abs(weight) > MAX_WEIGHT)
    # Rows -1 and -2 are already dropped; the padding only keeps their lookup inside the array.
    padded = np.append(kind, [NodeKind.OTHER, NodeKind.OTHER])
    source_kind, target_kind = padded[source], padded[target]
    for bad in (NodeKind.OUT_OF_RANGE, NodeKind.BAD_ID):
        drop(bad.name.lower(), (source_kind == bad) | (target_kind == bad))
    drop("virtual_token", (source_kind == NodeKind.VIRTUAL) | (target_kind == NodeKind.VIRTUAL))
    for number in range(len(types.names)):
        other = np.append((kind == NodeKind.OTHER) & (nodes.key == number), [False, False])
        drop(types.reason(number), other[source] | other[target])
    drop("from_logit", source_kind == NodeKind.LOGIT)
    drop("into_token", target_kind == NodeKind.TOKEN)
    drop("into_error", target_kind == NodeKind.ERROR)
    return Links(source[kept], target[kept], weight[kept]), dropped
