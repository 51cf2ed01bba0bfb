"""Reader of circuit-tracer `.pt` files, which runs no code from the file.

circuit-tracer's own loader unpickles any class. Here, `torch.load(weights_only=True)` reads tensors and plain
containers. The few classes that such files are known to hold (a model configuration, logit targets) become inert
records. Any other class is an error that names the class.
"""

from __future__ import annotations

import io
import operator
import zipfile
from collections import Counter
from typing import Any

import numpy as np

from atlas.errors import GraphError, needs_extra
from atlas.graph import MAX_WEIGHT, Floats, Graph, GraphInfo, Ints, NodeKind, Nodes, Space
from atlas.graphs.assemble import MAX_POSITION, MAX_TOKEN, OtherTypes, keep_links
from atlas.graphs.limits import ReadLimits
from atlas.graphs.raw import MAX_TEXT
from atlas.graphs.vocabularies import vocabulary_of
from atlas.ids import INDEX_BITS, MAX_INDEX, MAX_LAYER, well_formed

DIALECT = "circuit-tracer-pt"
# Modules with classes in such files. Instances of these classes are read as plain records.
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
    """Inert replacement for a class of another package, which only keeps the values in the file."""

    def __new__(cls, *args: object, **_: object) -> _Record:
        record = super().__new__(cls)
        record.__dict__["args"] = args
        return record

    def __init__(self, *args: object, **_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.__dict__.update({key: value for key, value in state.items() if isinstance(key, str)})


def read(data: bytes, path: str, content_hash: str, limits: ReadLimits) -> Graph:
    """Read one `.pt` graph; raises `GraphError` if it is not a graph, `MissingExtra` without torch."""
    with needs_extra("aggregate"):
        import torch  # noqa: F401 (imported here, so that a missing torch is not reported as a fault of the file)
    reason = "unreadable"
    try:
        content = _load(data, limits)
        reason = "not_a_graph"
        missing = [key for key in _KEYS if key not in content]
        if missing:
            raise GraphError("not_a_graph", f"lacks {', '.join(missing)}; it has {', '.join(map(str, content))[:200]}")
        return _graph(content, path, len(data), content_hash)
    except GraphError:
        raise
    except Exception as error:
        # Pickle and shapes come from another tool, so any error in them is reported as a fault of this file.
        kind, text = type(error).__name__, " ".join(str(error).split())[:200]
        raise GraphError(reason, f"no circuit-tracer .pt file ({kind}: {text})") from error


def _load(data: bytes, limits: ReadLimits) -> dict[str, Any]:
    import torch

    _refuse_bomb(data, limits)
    names = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data))
    foreign = [name for name in names if not name.startswith(_INERT_MODULES)]
    if foreign:
        raise GraphError("unsafe_pickle", f"holds {', '.join(sorted(foreign))[:200]}, which is not read")
    stand_ins: list[Any] = [(type("Record", (_Record,), {}), name) for name in names]
    with torch.serialization.safe_globals(stand_ins):
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise GraphError("not_a_graph", f"holds a {type(content).__name__}, not a dictionary")
    return content


def _refuse_bomb(data: bytes, limits: ReadLimits) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    limits.require(unpacked)


def _numbers(content: dict[str, Any], key: str) -> Floats:
    """Return a tensor of real numbers as float64."""
    return _tensor(content[key], key, real=True).astype(np.float64)


def _integers(content: dict[str, Any], key: str) -> Ints:
    """Return a tensor of integers as int64. Floats and booleans are refused: they would be cut or read as indices."""
    return _tensor(content[key], key, real=False).astype(np.int64)


def _tensor(value: object, key: str, *, real: bool) -> np.ndarray[Any, Any]:
    import torch

    tensor = value if isinstance(value, torch.Tensor) else torch.as_tensor(value)
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        # A stride of 0 lets a file of a few bytes claim a matrix of any size.
        raise GraphError(
            "unsafe_tensor", f"{key}: a tensor of shape {tuple(tensor.shape)} is larger than the file's data"
        )
    whole = not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)
    if tensor.is_complex() or not (whole or (real and tensor.is_floating_point())):
        raise ValueError(f"{key} holds {tensor.dtype}")
    return (tensor.to(torch.float64) if real else tensor.to(torch.int64)).numpy()


def _graph(content: dict[str, Any], path: str, size: int, content_hash: str) -> Graph:
    tokens = _integers(content, "input_tokens").reshape(-1)
    targets = _logit_targets(content["logit_targets"])
    size_of, target, source, weight = _links_of(content["adjacency_matrix"])
    active = _integers(content, "active_features")  # (n_active, 3): layer, position, feature
    selected = _integers(content, "selected_features").reshape(-1)
    if len(selected) and (selected.min() < 0 or len(np.unique(selected)) < len(selected)):
        raise ValueError("selected_features are negative or repeat")
    features = active.reshape(-1, 3)[selected]
    counts = (len(features), size_of - len(features) - len(tokens) - len(targets), len(tokens), len(targets))
    if counts[1] < 0:
        raise ValueError(f"adjacency of {size_of} for {counts[0]} features, {counts[2]} tokens, {counts[3]} logits")
    oddities: Counter[str] = Counter()
    nodes = _nodes(features, _activations(content, selected), tokens, targets, content, counts, oddities)
    links, dropped = keep_links(source, target, weight, nodes, OtherTypes())
    return Graph(_info(content, path, size, content_hash), nodes, links, len(target), dropped, oddities)


def _links_of(value: object) -> tuple[int, Ints, Ints, Floats]:
    """Return the number of nodes, and target, source and weight of the nonzero entries of an adjacency matrix.

    The matrix (n_nodes, n_nodes), dense or sparse, has targets as rows.
    """
    import torch

    matrix = value if isinstance(value, torch.Tensor) else torch.as_tensor(value)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"adjacency_matrix has the shape {tuple(matrix.shape)}, not that of a square matrix")
    if matrix.layout == torch.strided:
        dense = _tensor(matrix, "adjacency_matrix", real=True).astype(np.float64)
        target, source = np.nonzero(dense)
        return len(dense), target, source, dense[target, source]
    entries = (matrix if matrix.layout == torch.sparse_coo else matrix.to_sparse_coo()).coalesce()
    ends = _tensor(entries.indices(), "adjacency_matrix", real=False).astype(np.int64)
    weight = _tensor(entries.values(), "adjacency_matrix", real=True).astype(np.float64)
    stated = weight != 0
    order = np.lexsort((ends[1][stated], ends[0][stated]))
    return len(matrix), ends[0][stated][order], ends[1][stated][order], weight[stated][order]


def _activations(content: dict[str, Any], selected: Ints) -> Floats:
    """Return one activation per selected feature. Most files store all active features, some only the selected ones."""
    values = _numbers(content, "activation_values").reshape(-1)
    return values if len(values) == len(selected) != len(content["active_features"]) else values[selected]


def _nodes(
    features: Ints,
    activations: Floats,
    tokens: Ints,
    targets: list[tuple[int, str | None]],
    content: dict[str, Any],
    counts: tuple[int, int, int, int],
    oddities: Counter[str],
) -> Nodes:
    """Return the nodes in the file's order: features, errors (by layer, then position), tokens, logits."""
    n_features, n_errors, n_tokens, n_logits = counts
    kinds = (NodeKind.NEURON, NodeKind.ERROR, NodeKind.TOKEN, NodeKind.LOGIT)
    kind = np.repeat(np.array(kinds, dtype=np.int8), counts)
    layer, where, index = features.T
    error = np.arange(n_errors)
    logits = np.array([target for target, _ in targets], dtype=np.int64)
    in_range = np.concatenate(
        [
            (layer >= 0) & (layer <= MAX_LAYER) & (index >= 0) & (index <= MAX_INDEX),
            np.ones(n_errors, dtype=bool),
            *((ids >= 0) & (ids <= MAX_TOKEN) for ids in (tokens, logits)),
        ]
    )
    key = np.concatenate([layer << INDEX_BITS | index, error // max(n_tokens, 1), tokens, logits])
    if not in_range.all():
        kind[~in_range], key[~in_range] = NodeKind.OUT_OF_RANGE, 0
        oddities["out_of_range"] += int((~in_range).sum())
    vocabulary = _vocabulary(content)
    virtual = (kind == NodeKind.LOGIT) & (key >= vocabulary) if vocabulary is not None else np.zeros(len(kind), bool)
    if virtual.any():
        kind[virtual], key[virtual] = NodeKind.VIRTUAL, 0
        oddities["virtual_token"] += int(virtual.sum())
    position = np.concatenate([where, error % max(n_tokens, 1), np.arange(n_tokens), np.full(n_logits, n_tokens - 1)])
    position[(position < 0) | (position > MAX_POSITION)] = -1
    unknown = np.full(len(kind), np.nan)
    activation, probability = unknown.copy(), unknown.copy()
    activation[:n_features] = np.where(np.abs(activations) <= MAX_WEIGHT, activations, np.nan)
    if "logit_probabilities" in content:
        stated = _numbers(content, "logit_probabilities").reshape(-1)
        probability[len(kind) - n_logits :] = np.where((stated >= 0) & (stated <= 1), stated, np.nan)
    text: list[str | None] = [*([None] * (len(kind) - n_logits)), *(token for _, token in targets)]
    return Nodes(kind, key, position.astype(np.int32), activation, unknown, probability, text)


def _vocabulary(content: dict[str, Any]) -> int | None:
    """Return the vocabulary size that the file states, or else that of the model by its name."""
    stated = content.get("vocab_size")
    if isinstance(stated, int) and not isinstance(stated, bool) and stated > 0:
        return stated
    return vocabulary_of(_scan_name(content))


def _scan_name(content: dict[str, Any]) -> str | None:
    scan = content.get("scan_name", content.get("scan"))
    return _text("+".join(map(str, scan)) if isinstance(scan, list | tuple) else scan)


def _logit_targets(value: object) -> list[tuple[int, str | None]]:
    """Return token id and text of every logit. Older files hold a tensor of ids, newer files hold records."""
    if isinstance(value, list | tuple):
        return [_logit_target(item) for item in value]
    return [(int(token), None) for token in _integers({"logit_targets": value}, "logit_targets").reshape(-1)]


def _logit_target(item: object) -> tuple[int, str | None]:
    if isinstance(item, _Record):
        fields = {**dict(zip(("token_str", "vocab_idx"), item.__dict__["args"], strict=False)), **item.__dict__}
        return _token_id(fields["vocab_idx"]), _text(fields["token_str"])
    if isinstance(item, tuple | list):
        return _token_id(item[1]), _text(item[0])
    return _token_id(item), None


def _token_id(value: Any) -> int:
    """Return a token id as an integer. An id outside of any vocabulary becomes -1, which is out of range."""
    number = operator.index(value)
    return number if 0 <= number <= MAX_TOKEN else -1


def _text(value: object) -> str | None:
    return well_formed(value)[:MAX_TEXT] if isinstance(value, str) and value else None


def _info(content: dict[str, Any], path: str, size: int, content_hash: str) -> GraphInfo:
    return GraphInfo(
        path=path,
        content_hash=content_hash,
        size_bytes=size,
        dialect=DIALECT,
        space=Space(_scan_name(content), None, "feature"),
        prompt=_text(content.get("input_string")),
    )
