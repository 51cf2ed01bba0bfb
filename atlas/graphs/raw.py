"""Decoder of JSON text to typed raw nodes and links. It reads only the required keys, and is fast for clean files.

msgspec decodes a clean file in one pass. If msgspec refuses a file, the standard library reads it again and accepts
the NaN and Infinity of Python's own `json.dump`. Nodes and links are then converted one by one, so that a malformed
link is counted and does not lose the graph.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from typing import Annotated, Any, TypeVar

import msgspec

from atlas.errors import GraphError
from atlas.graphs.limits import ReadLimits
from atlas.ids import well_formed

MAX_TEXT = 2**20
MAX_ID = 256
_MOST_DIGITS = 300  # a number of at most this many digits is finite as a float
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
Id = Annotated[str, msgspec.Meta(max_length=MAX_ID)]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]  # msgspec bounds stop short of the full range
T = TypeVar("T", bound=msgspec.Struct)


class RawNode(msgspec.Struct, gc=False):
    """A node as written in the file; unknown keys are ignored."""

    node_id: Id
    layer: int | Text | None = None
    ctx_idx: Int64 | None = None
    position: Int64 | None = None
    feature: int | float | Text | None = None
    feature_type: Text | None = None
    isLogit: bool | None = None  # noqa: N815 (the key of the format)
    clerp: Text | None = None
    activation: float | None = None
    influence: float | None = None
    token_prob: float | None = None
    token: Text | None = None


class RawLink(msgspec.Struct, gc=False):
    """A link as written in the file."""

    source: Id
    target: Id
    weight: float


class RawInfo(msgspec.Struct):
    """Value of `metadata.info`, which names the feature space."""

    transcoder_set: Text | None = None
    neuronpedia_source_set: Text | None = None
    source_urls: list[Text] | Text | None = None


class RawFeatureDetails(msgspec.Struct):
    """Value of `metadata.feature_details`, in which Neuronpedia names the feature space."""

    neuronpedia_source_set: Text | None = None


class RawMetadata(msgspec.Struct):
    """Value of `metadata`; every key may be absent."""

    slug: Text | None = None
    scan: Text | list[Text] | None = None
    prompt: Text | None = None
    prompt_tokens: list[Text] | None = None
    transcoder_list: list[Text] | None = None
    info: RawInfo | None = None
    feature_details: RawFeatureDetails | None = None
    source: Text | None = None
    prompt_group: Text | Int64 | None = None
    corpus_index: Int64 | None = None
    sample_index: Int64 | None = None
    trace_hash: Text | None = None
    link_weight: Text | None = None
    rules: Text | None = None
    baseline: Text | None = None
    metric: Text | None = None

    @property
    def attribution(self) -> dict[str, str | None]:
        """Facts of the tracer about its weights, by the names of `Space`."""
        return {name: getattr(self, name) for name in ("link_weight", "rules", "baseline", "metric")}

    unit_type: Text | None = None
    nodes_exceeded: bool | None = None


class RawGraph(msgspec.Struct):
    """Content of one graph file; `links` are objects, or columns if `scan` has read them."""

    nodes: list[RawNode]
    links: Any
    metadata: RawMetadata | None = None
    nodes_exceeded: bool | None = None


class _WithObjects(RawGraph):
    links: list[RawLink]


class _WithText(RawGraph):
    links: msgspec.Raw


_decoder = msgspec.json.Decoder(_WithObjects)
_text_decoder = msgspec.json.Decoder(_WithText)


def decode(data: bytes, limits: ReadLimits) -> tuple[RawGraph, Counter[str]]:
    """Decode one JSON graph, and count malformed `nodes` and `links`, and nodes with an `odd_key`.

    Raises `GraphError` with its reason if the text holds no graph.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise GraphError("empty_file", "the file is empty")
    try:
        return _scan(data) or _decoder.decode(data), Counter()
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeDecodeError):
        return _decode_tolerantly(data, limits)


def _scan(data: bytes) -> RawGraph | None:
    """Return the graph with links as columns, or None if numba is not loaded or the links have another form."""
    # With many graphs, the kernels of the aggregation have already loaded numba. Few graphs are read without it.
    if "numba" not in sys.modules:
        return None
    from atlas.graphs.scan import scan_links

    graph = _text_decoder.decode(data)
    links = scan_links(memoryview(graph.links))
    return RawGraph(graph.nodes, links, graph.metadata, graph.nodes_exceeded) if links is not None else None


def _decode_tolerantly(data: bytes, limits: ReadLimits) -> tuple[RawGraph, Counter[str]]:
    if len(data) > limits.tolerant_bytes:
        size = limits.tolerant_bytes // 2**20
        raise GraphError(
            "too_large",
            f"no clean graph, and with more than {size} MiB too large to be read piece by piece; raise --memory",
        )
    try:
        value = json.loads(data, parse_int=_integer)
    except RecursionError:
        raise GraphError("too_deep", "nested too deeply to be a graph") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise GraphError("bad_json", f"no valid JSON: {' '.join(str(error).split())[:200]}") from error
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("nodes"), list)
        or not isinstance(value.get("links"), list)
    ):
        keys = f"keys {', '.join(map(str, list(value)[:8]))}" if isinstance(value, dict) else type(value).__name__
        raise GraphError("not_a_graph", f"no list of nodes and list of links; found {keys}"[:300])
    malformed: Counter[str] = Counter()
    nodes = [node for item in value["nodes"] if (node := _node(item, malformed)) is not None]
    links = [link for item in value["links"] if (link := _link(item, malformed)) is not None]
    metadata = _each_key(value.get("metadata"), RawMetadata)
    exceeded = value.get("nodes_exceeded")
    return RawGraph(nodes, links, metadata, exceeded if isinstance(exceeded, bool) else None), malformed


def _integer(text: str) -> int | float:
    """Return a whole number as an integer, or as infinity if it is too large for a float, like 1e400."""
    return int(text) if len(text) <= _MOST_DIGITS else float(text)


def _node(item: object, counts: Counter[str]) -> RawNode | None:
    """Convert a node, or count it in `nodes` and return None.

    Optional keys with invalid values are left out, and the node is counted in `odd_key`.
    """
    try:
        return msgspec.convert(_clean(item), RawNode)
    except msgspec.ValidationError as error:
        _refuse_long_text(error)
    node = _each_key(item, RawNode)
    counts["nodes" if node is None else "odd_key"] += 1
    return node


def _link(item: object, counts: Counter[str]) -> RawLink | None:
    try:
        return msgspec.convert(_clean(item), RawLink)
    except msgspec.ValidationError as error:
        _refuse_long_text(error)
        counts["links"] += 1
        return None


def _each_key(value: object, kind: type[T]) -> T | None:
    """Convert a structure key by key, leaving out keys of an unexpected type.

    Returns None if a required key is missing or invalid.
    """
    if not isinstance(value, dict):
        return None
    kept = {}
    for field in msgspec.structs.fields(kind):
        if field.name not in value:
            continue
        try:
            kept[field.name] = msgspec.convert(_clean(value[field.name]), field.type)
        except msgspec.ValidationError as error:
            _refuse_long_text(error)
            inner = {"info": RawInfo, "feature_details": RawFeatureDetails}.get(field.name)
            if kind is RawMetadata and inner is not None:
                kept[field.name] = _each_key(value[field.name], inner)
    try:
        return kind(**kept)
    except TypeError:
        return None


def _refuse_long_text(error: msgspec.ValidationError) -> None:
    if found := re.search(r"length <= (\d+)", str(error)):
        raise GraphError("text_too_long", f"a text or id of more than {found[1]} characters") from error


def _clean(item: object) -> object:
    """Return a value with well-formed texts, also in the items of a dictionary or list, but not in nested ones."""
    if isinstance(item, str):
        return well_formed(item)
    if isinstance(item, dict):
        return {key: well_formed(value) if isinstance(value, str) else value for key, value in item.items()}
    if isinstance(item, list):
        return [well_formed(value) if isinstance(value, str) else value for value in item]
    return item
