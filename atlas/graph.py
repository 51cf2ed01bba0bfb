"""One attribution graph in memory: the output of every reader and the input of the aggregation.

Nodes and links are arrays, not objects: a link is three numbers, and its ends are row numbers of the node arrays.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atlas.ids import INDEX_BITS, NEURON_BITS

# Sums of squares of smaller weights stay finite, and FLOAT columns can hold them.
MAX_WEIGHT = 1e30
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Source(NamedTuple):
    """One file to read; `name` is its path as stored, the same on every machine."""

    name: str
    path: Path


class Reject(NamedTuple):
    """One file or archive member that was not read: the row of `rejects`."""

    path: str
    reason: str
    message: str
    size_bytes: int | None = None
    file: str | None = None  # the file, if `path` names a member or line of it


def member_of(path: str, file: str | None) -> str | None:
    """Return the member of `file` that `path` names: an archive member, a line or a graph id; None for the file."""
    return path[len(file) + 1 :] or None if file is not None else None


class NodeKind(IntEnum):
    """Kind of a node, from the node table of its graph and never from the form of its id."""

    NEURON = 0
    TOKEN = 1
    LOGIT = 2
    ERROR = 3
    OTHER = 4  # another unit type (attention features, ...): not aggregated, counted
    OUT_OF_RANGE = 5  # layer or index does not fit the packed key: not aggregated, counted
    BAD_ID = 6  # an id that cannot be read, or that contradicts its keys: not aggregated, counted
    VIRTUAL = 7  # a target that a tool made up for one graph, beyond the vocabulary: not aggregated, counted


# Table that a link between two kinds belongs to; every other pair of kinds is dropped and counted.
LINK_TABLES: dict[tuple[NodeKind, NodeKind], str] = {
    (NodeKind.NEURON, NodeKind.NEURON): "edges",
    (NodeKind.TOKEN, NodeKind.NEURON): "token_edges",
    (NodeKind.NEURON, NodeKind.LOGIT): "logit_edges",
    (NodeKind.TOKEN, NodeKind.LOGIT): "token_logit_edges",
    (NodeKind.ERROR, NodeKind.NEURON): "error_mass",
    (NodeKind.ERROR, NodeKind.LOGIT): "logit_error_mass",
}


class Space(NamedTuple):
    """The feature space of a graph; statistics of two spaces never mix."""

    model: str | None
    transcoder_set: str | None
    unit_type: str
    link_weight: str | None = None  # direct_effect or attribution_flow, if the tracer stated it
    rules: str | None = None  # what the tracer held constant: relp, gradient, ...
    baseline: str | None = None  # what it compared sources with: zero or mean
    metric: str | None = None  # what it traced: sum, logprob, ...

    def __str__(self) -> str:
        said = "".join(f" / {part}" for part in (self.link_weight, self.rules, self.baseline, self.metric) if part)
        return (
            f"{self.model or 'unknown model'} / {self.transcoder_set or 'no transcoder set'} / {self.unit_type}{said}"
        )

    @property
    def method(self) -> str:
        """Method of the links: `relp` for neurons, `transcoder` for features."""
        return "relp" if self.unit_type == "neuron" else "transcoder"


@dataclass(frozen=True, slots=True)
class GraphInfo:
    """Origin of a graph: `path` is the name of its `file`, followed by the member or line if the file holds several.

    `content_hash` identifies the graph. It is the hash of the bytes. For a graph of this package's tracer, in memory or
    from a file, it is the hash of prompt, model and options, and `file_hash` is the hash of the bytes.
    """

    path: str
    content_hash: str
    size_bytes: int
    dialect: str
    space: Space
    slug: str | None = None
    prompt: str | None = None
    prompt_tokens: list[str] | None = None
    corpus_source: str | None = None
    corpus_index: int | None = None
    nodes_exceeded: bool | None = None
    prompt_group: str | None = None  # stated; graphs of one group are one observation
    original_token_count: int | None = None  # of a prompt, if only its beginning was traced
    file_hash: str | None = None
    set_names: frozenset[str] = frozenset()  # all names of the transcoder set
    graph_hash: str | None = None  # of the content in any format; two files with one hash are one graph
    file: str | None = None

    @property
    def identity(self) -> str:
        """Hash that identifies the graph. Graphs of one identity count once."""
        return self.graph_hash or self.content_hash


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes of one graph, each id once. All arrays have shape (n_nodes,)."""

    kind: NDArray[np.int8]
    key: Ints  # packed neuron, token id, the layer of an error node, or the number of another type
    position: NDArray[np.int32]  # token position, -1 if the file states none
    activation: Floats  # NaN if the file states none
    influence: Floats  # NaN if the file states none
    probability: Floats  # of a logit, NaN elsewhere
    text: list[str | None]  # token text of tokens and logits, clerp of neurons


@dataclass(frozen=True, slots=True)
class Links:
    """Links between known nodes. All arrays have shape (n_links,)."""

    source: Ints  # row of Nodes
    target: Ints  # row of Nodes
    weight: Floats  # finite


@dataclass(frozen=True, slots=True)
class Ablated:
    """Ablations of one graph in the real model. All arrays of a kind have the same length."""

    node: Ints  # row of Nodes
    node_effect: Floats  # metric with the node less metric without it
    source: Ints  # row of Nodes
    target: Ints  # row of Nodes
    predicted: Floats  # direct effect by the rules of the graph
    edge_effect: Floats  # target with the edge less target without it
    target_value: Floats  # of the target as it is


@dataclass(frozen=True, slots=True)
class Tracing:
    """Facts of a tracer about the nodes of a graph. Arrays have shape (n_nodes,), NaN for other nodes than neurons."""

    score_gradient: Floats  # the score by the plain gradient
    gate: Floats  # before the activation function
    up: Floats
    score_sum: float  # sum of |score| over all neurons of the prompt, kept or not
    ablated: Ablated | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """One attribution graph; `link_total` counts the links in the file, dropped ones included."""

    info: GraphInfo
    nodes: Nodes
    links: Links
    link_total: int
    dropped_links: Counter[str] = field(default_factory=Counter)
    node_oddities: Counter[str] = field(default_factory=Counter)
    tracing: Tracing | None = None


def pack_units(layer: ArrayLike, index: Ints) -> Ints:
    """Return packed units of arrays of layers and indices, int64."""
    return np.asarray(layer).astype(np.int64) << INDEX_BITS | index


def pack_pairs(src_layer: ArrayLike, src: ArrayLike, tgt_layer: ArrayLike, tgt: ArrayLike) -> Ints:
    """Return packed pairs `source << 31 | target` of arrays of layers and indices, int64."""
    key = np.asarray(src_layer).astype(np.int64)
    for bits, values in ((INDEX_BITS, src), (NEURON_BITS - INDEX_BITS, tgt_layer), (INDEX_BITS, tgt)):
        key <<= bits
        key |= np.asarray(values).astype(np.int64, copy=False)
    return key
