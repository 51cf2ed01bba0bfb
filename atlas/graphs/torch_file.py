"""circuit-tracer `.pt` files, loaded without running anything that the file brings.

circuit-tracer's own loader unpickles freely. Here `torch.load(weights_only=True)` reads tensors and
plain containers; the few classes that such files are known to hold (a model configuration, logit
targets) become inert records, and any other class is an error that names it.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import Counter
from typing import Any

import numpy as np

from atlas.errors import GraphError, needs_extra
from atlas.graph import Graph, GraphInfo, NodeKind, Nodes, Space
from atlas.graphs.assemble import MAX_VALUE, keep_links
from atlas.graphs.files import MAX_BYTES
from atlas.ids import INDEX_BITS, MAX_INDEX, MAX_LAYER

DIALECT = "circuit-tracer-pt"
# Modules whose classes stand in such files; their instances are read as plain records.
_INERT_MODULES = ("circuit_tracer.", "transformer_lens.", "transformers.", "nnsight.")
_KEYS = (
    "input_tokens",
    "active_features",
    "selected_features",
    "activation_values",
    "adjacency_matrix",
    "logit_targets",
)


class _Record:
    """Stands in for a class of another package: keeps what the file says, does nothing."""

    def __new__(cls, *args: Any, **_: Any) -> _Record:
        record = super().__new__(cls)
        record.__dict__["args"] = args
        return record

    def __init__(self, *args: Any, **_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update({key: value for key, value in state.items() if isinstance(key, str)})


def read(data: bytes, path: str, content_hash: str) -> Graph:
    """One `.pt` graph; raises `GraphError` where it is none, `MissingExtra` without torch."""
    content = _load(data)
    missing = [key for key in _KEYS if key not in content]
    if missing:
        raise GraphError("not_a_graph", f"lacks {', '.join(missing)}; it has {', '.join(map(str, content))}"[:300])
    try:
        return _graph(content, path, len(data), content_hash)
    except (TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        raise GraphError("not_a_graph", f"shapes do not fit: {' '.join(str(error).split())[:200]}") from error


def _load(data: bytes) -> dict[str, Any]:
    with needs_extra("aggregate"):
        import torch
    _refuse_bomb(data)
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data))
        foreign = [name for name in names if not name.startswith(_INERT_MODULES)]
        if foreign:
            raise GraphError("unsafe_pickle", f"holds {', '.join(sorted(foreign))[:200]}, which is not read")
        stand_ins: list[Any] = [(type("Record", (_Record,), {}), name) for name in names]
        with torch.serialization.safe_globals(stand_ins):
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, ValueError, EOFError, KeyError, OSError, AttributeError) as error:
        raise GraphError("unreadable", f"no circuit-tracer .pt file: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(content, dict):
        raise GraphError("not_a_graph", f"holds a {type(content).__name__}, not a dictionary")
    return content


def _refuse_bomb(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except zipfile.BadZipFile as error:
        raise GraphError("unreadable", f"no circuit-tracer .pt file: {error}") from error
    if unpacked > MAX_BYTES:
        raise GraphError("too_large", f"more than {MAX_BYTES // 2**20} MiB unpacked")


def _array(value: Any) -> np.ndarray[Any, Any]:
    import torch

    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        # A stride of 0 lets a file of a few bytes claim a matrix of any size.
        raise GraphError("unsafe_tensor", f"a tensor of shape {tuple(value.shape)} is larger than the file's data")
    return value.to(torch.float64).numpy() if value.is_floating_point() else value.to(torch.int64).numpy()


def _graph(content: dict[str, Any], path: str, size: int, content_hash: str) -> Graph:
    tokens = _array(content["input_tokens"]).reshape(-1)
    targets = _logit_targets(content["logit_targets"])
    adjacency = _array(content["adjacency_matrix"])  # (n_nodes, n_nodes), rows are targets
    selected = _array(content["selected_features"]).reshape(-1)
    features = _array(content["active_features"])[selected]  # (n_features, 3): layer, position, feature
    counts = (len(features), len(adjacency) - len(features) - len(tokens) - len(targets), len(tokens), len(targets))
    if adjacency.ndim != 2 or adjacency.shape[0] != adjacency.shape[1] or counts[1] < 0:
        raise ValueError(
            f"adjacency {adjacency.shape} for {counts[0]} features, {counts[2]} tokens, {counts[3]} logits"
        )
    oddities: Counter[str] = Counter()
    nodes = _nodes(features, _activations(content, selected), tokens, targets, content, counts, oddities)
    row, column = np.nonzero(adjacency)
    links, dropped = keep_links(column, row, adjacency[row, column], nodes.kind)
    return Graph(_info(content, path, size, content_hash), nodes, links, len(row), dropped, oddities)


def _activations(content: dict[str, Any], selected: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """One activation per selected feature; files store them for all active features, some for the selected."""
    values = _array(content["activation_values"]).reshape(-1)
    return values if len(values) == len(selected) != len(content["active_features"]) else values[selected]


def _nodes(
    features: np.ndarray[Any, Any],
    activations: np.ndarray[Any, Any],
    tokens: np.ndarray[Any, Any],
    targets: list[tuple[int, str | None]],
    content: dict[str, Any],
    counts: tuple[int, int, int, int],
    oddities: Counter[str],
) -> Nodes:
    """Nodes in the file's order: features, errors layer-major by position, tokens, logits."""
    n_features, n_errors, n_tokens, n_logits = counts
    kinds = (NodeKind.NEURON, NodeKind.ERROR, NodeKind.TOKEN, NodeKind.LOGIT)
    kind = np.repeat(np.array(kinds, dtype=np.int8), counts)
    in_range = (
        (features[:, 0] >= 0) & (features[:, 0] <= MAX_LAYER) & (features[:, 2] >= 0) & (features[:, 2] <= MAX_INDEX)
    )
    kind[:n_features][~in_range] = NodeKind.OUT_OF_RANGE
    if not in_range.all():
        oddities["out_of_range"] += int((~in_range).sum())
    feature_key = np.where(in_range, features[:, 0] << INDEX_BITS | features[:, 2], 0)
    error = np.arange(n_errors)
    unknown = np.full(len(kind), np.nan)
    activation, probability = unknown.copy(), unknown.copy()
    activation[:n_features] = np.where(np.abs(activations) <= MAX_VALUE, activations, np.nan)
    stated = _array(content.get("logit_probabilities", unknown[:n_logits])).reshape(-1)
    probability[len(kind) - n_logits :] = np.where((stated >= 0) & (stated <= 1), stated, np.nan)
    key = np.concatenate([feature_key, error // max(n_tokens, 1), tokens, [target for target, _ in targets]])
    last = np.full(n_logits, n_tokens - 1)
    position = np.concatenate([features[:, 1], error % max(n_tokens, 1), np.arange(n_tokens), last])
    text: list[str | None] = [*([None] * (len(kind) - n_logits)), *(token for _, token in targets)]
    return Nodes(kind, key.astype(np.int64), position.astype(np.int32), activation, unknown, probability, text)


def _logit_targets(value: Any) -> list[tuple[int, str | None]]:
    """Token id and text of every logit: a tensor of ids in older files, records in newer ones."""
    if isinstance(value, list | tuple):
        return [_logit_target(item) for item in value]
    return [(int(token), None) for token in _array(value).reshape(-1)]


def _logit_target(item: Any) -> tuple[int, str | None]:
    if isinstance(item, _Record):
        fields = {**dict(zip(("token_str", "vocab_idx"), item.__dict__["args"], strict=False)), **item.__dict__}
        return int(fields["vocab_idx"]), str(fields["token_str"]) or None
    if isinstance(item, tuple | list):
        return int(item[1]), str(item[0]) or None
    return int(item), None


def _info(content: dict[str, Any], path: str, size: int, content_hash: str) -> GraphInfo:
    scan = content.get("scan_name", content.get("scan"))
    name = "+".join(map(str, scan)) if isinstance(scan, list | tuple) else scan
    prompt = content.get("input_string")
    return GraphInfo(
        path=path,
        content_hash=content_hash,
        size_bytes=size,
        dialect=DIALECT,
        space=Space(str(name) if name else None, None, "feature"),
        prompt=prompt if isinstance(prompt, str) else None,
    )
