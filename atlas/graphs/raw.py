"""JSON text -> typed raw nodes and links: only the keys that are needed, fast where the file is clean.

Clean files are decoded in one pass by msgspec. A file that this refuses is read again by the
standard library, which accepts what Python's own `json.dump` writes (NaN, Infinity), and node by
node and link by link, so that one bad link is one counted link and not a lost graph.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated, Any, TypeVar

import msgspec

from atlas.errors import GraphError

MAX_TEXT = 2**20
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
Id = Annotated[str, msgspec.Meta(max_length=256)]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]  # msgspec bounds stop short of the full range
T = TypeVar("T")


class RawNode(msgspec.Struct, gc=False):
    """A node as written; unknown keys are passed over."""

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


class RawLink(msgspec.Struct, gc=False):
    """A link as written."""

    source: Id
    target: Id
    weight: float


class RawInfo(msgspec.Struct):
    """`metadata.info`, where the feature space is named."""

    transcoder_set: Text | None = None
    neuronpedia_source_set: Text | None = None
    source_urls: list[Text] | None = None


class RawMetadata(msgspec.Struct):
    """`metadata`; every key may be absent."""

    slug: Text | None = None
    scan: Text | list[Text] | None = None
    prompt: Text | None = None
    prompt_tokens: list[Text] | None = None
    transcoder_list: list[Text] | None = None
    info: RawInfo | None = None
    source: Text | None = None
    corpus_index: Int64 | None = None
    sample_index: Int64 | None = None
    nodes_exceeded: bool | None = None


class RawGraph(msgspec.Struct):
    """One graph file."""

    nodes: list[RawNode]
    links: list[RawLink]
    metadata: RawMetadata | None = None
    nodes_exceeded: bool | None = None


_decoder = msgspec.json.Decoder(RawGraph)


def decode(data: bytes) -> tuple[RawGraph, Counter[str]]:
    """Read one JSON graph, and count the `nodes` and `links` that are none.

    Raises `GraphError` with its reason where there is no graph.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise GraphError("empty_file", "the file is empty")
    try:
        return _decoder.decode(data), Counter()
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeDecodeError):
        return _decode_tolerantly(data)


def _decode_tolerantly(data: bytes) -> tuple[RawGraph, Counter[str]]:
    try:
        value = json.loads(data)
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
    nodes = _convert_each(value["nodes"], RawNode, malformed, "nodes")
    links = _convert_each(value["links"], RawLink, malformed, "links")
    metadata = _convert_metadata(value.get("metadata"))
    exceeded = value.get("nodes_exceeded")
    return RawGraph(nodes, links, metadata, exceeded if isinstance(exceeded, bool) else None), malformed


def _convert_each(items: list[Any], kind: type[T], malformed: Counter[str], name: str) -> list[T]:
    converted = []
    for item in items:
        try:
            converted.append(msgspec.convert(_clean(item), kind))
        except msgspec.ValidationError as error:
            _refuse_long_text(error)
            malformed[name] += 1
    return converted


def _convert_metadata(value: Any) -> RawMetadata | None:
    """The metadata, key by key: one key of an unexpected type does not cost the others."""
    if not isinstance(value, dict):
        return None
    kept = {}
    for key in RawMetadata.__struct_fields__:
        if key in value:
            try:
                part = msgspec.convert({key: _clean(value[key])}, RawMetadata)
            except msgspec.ValidationError as error:
                _refuse_long_text(error)
                continue
            kept[key] = getattr(part, key)
    return RawMetadata(**kept)


def _refuse_long_text(error: msgspec.ValidationError) -> None:
    if "length <=" in str(error):
        raise GraphError("text_too_long", f"a text of more than {MAX_TEXT} characters ({error})") from error


def _clean(item: Any) -> Any:
    """Replace lone surrogates, which JSON can spell and no UTF-8 file can hold."""
    if isinstance(item, str):
        return item if item.isascii() else item.encode("utf-8", "replace").decode("utf-8")
    if isinstance(item, dict):
        return {key: _clean(value) if isinstance(value, str) else value for key, value in item.items()}
    if isinstance(item, list):
        return [_clean(value) if isinstance(value, str) else value for value in item]
    return item
