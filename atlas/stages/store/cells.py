"""Contexts, and the cells of dense activations that a store keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.errors import UsageError
from atlas.graph import Ints
from atlas.stages import DATASETS

CONTEXTS = DATASETS["activations.contexts"]

SPLITS = ("explain", "score")  # halves by document, so that labels are scored on other documents

UNKNOWN_TOKEN = -1  # of contexts of which files do not state the tokens
_MOST_TOKEN = (1 << 31) - 1


def _fits(token: int) -> bool:
    return UNKNOWN_TOKEN <= token <= _MOST_TOKEN


@dataclass(frozen=True)
class Context:
    """Window of tokens: `start` is the place of its first token in the document.

    `identity` tells documents apart, such as a hash of the text; the name `document` does where it is None. `attributes` are
    further facts by name, such as a speaker; a mapping is taken, too.
    """

    token_ids: tuple[int, ...]
    document: str | None = None
    start: int = 0
    source: str | None = None
    identity: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    known_hash: str | None = None  # of a context that comes from another store, and
    known_split: str | None = None  # its half

    def __post_init__(self) -> None:
        given: Any = self.attributes
        pairs = tuple(given.items()) if isinstance(given, Mapping) else tuple(given)
        if not all(isinstance(part, str) for pair in pairs for part in pair):
            raise UsageError(f"attributes of a context are texts by name, not {dict(pairs)!r}"[:200])
        object.__setattr__(self, "attributes", pairs)
        bounds = (min(self.token_ids, default=0), max(self.token_ids, default=0))
        wrong = [token for token in bounds if not _fits(token)]
        if wrong:
            raise UsageError(f"token id {wrong[0]} cannot be stored; token ids go from 0 to {_MOST_TOKEN}")

    @cached_property
    def content_hash(self) -> str:
        """Hash of the place and the tokens. A context of one hash is collected once."""
        if self.known_hash is not None:
            return self.known_hash
        place = f"{self.identity or self.document}\0{self.start}\0".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(place + np.array(self.token_ids, "<i4").tobytes(), digest_size=16).hexdigest()

    @property
    def split(self) -> str:
        """Half of the documents to which it belongs."""
        if self.known_split is not None:
            return self.known_split
        name = self.identity or (self.document if self.document is not None else self.content_hash)
        return SPLITS[hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=1).digest()[0] & 1]


def contexts_of(table: pa.Table) -> list[Context]:
    """Return rows of the dataset `contexts` as contexts, with their hashes.

    Args:
        table: Rows of the dataset.

    Returns:
        The contexts.
    """
    return [
        Context(
            tuple(row["token_ids"]),
            row["document"],
            row["start"],
            row["source"],
            attributes=tuple((str(name), str(value)) for name, value in row["attributes"] or ()),
            known_hash=row["content_hash"],
            known_split=row["split"],
        )
        for row in table.to_pylist()
    ]


def context_table(contexts: Sequence[Context], first: int) -> pa.Table:
    """Return contexts as rows of their dataset, numbered from `first`."""
    columns: dict[str, Any] = {
        name: [getattr(context, name) for context in contexts]
        for name in ("document", "start", "source", "split", "content_hash")
    }
    tokens = np.fromiter((token for context in contexts for token in context.token_ids), np.int32)
    offsets = np.cumsum([0, *(len(context.token_ids) for context in contexts)])
    columns["token_ids"] = pa.ListArray.from_arrays(offsets.astype(np.int32), pa.array(tokens))
    columns["attributes"] = [list(context.attributes) for context in contexts]
    columns["context_id"] = np.arange(first, first + len(contexts), dtype=np.int32)
    return CONTEXTS.table(columns)


@dataclass
class StoreSummary:
    """Counts of a store."""

    contexts: int = 0
    tokens: int = 0  # that were looked at, without skipped ones
    activations: int = 0
    new_contexts: int = 0
    known_contexts: int = 0  # that an earlier run collected


def looked_at_cells(
    contexts: Sequence[Context], *, skips_first: bool, skipped_tokens: Sequence[int]
) -> NDArray[np.bool_]:
    """Return True for the cells that are looked at.

    Args:
        contexts: Windows of tokens (n,).
        skips_first: Leave out the first position of every context.
        skipped_tokens: Token ids to leave out.

    Returns:
        A mask (n, longest context); padding is False.
    """
    lengths = np.array([len(context.token_ids) for context in contexts], np.int64)
    width = int(lengths.max(initial=0))
    mask = np.arange(width) < lengths[:, None]
    if skipped_tokens:
        tokens = np.fromiter((token for context in contexts for token in context.token_ids), np.int64)
        mask[mask] = ~np.isin(tokens, skipped_tokens)
    if skips_first and width:
        mask[:, 0] = False
    return mask


def dense_rows(values: Any, rows: Sequence[int]) -> NDArray[np.float32]:
    """Return some rows of an array or tensor as float32; bfloat16 is widened exactly."""
    if hasattr(values, "is_cuda"):
        values = values[list(rows)].float().cpu().numpy()
        return np.asarray(values)
    return np.asarray(values)[list(rows)].astype(np.float32)


def kept_cells(
    values: Any, rows: list[int], looked_at: NDArray[np.bool_], threshold: float
) -> tuple[Ints, Ints, Ints, NDArray[Any]]:
    """Return row, position, unit and value of the cells that are looked at and have |value| > threshold.

    `values` is an array or tensor (contexts, positions, units); a tensor is searched on its device. Cells are in the
    order of rows, positions and units. NaN is kept, so that it is noticed.
    """
    width = looked_at.shape[1]
    if hasattr(values, "is_cuda"):
        return _kept_on_device(values[rows, :width].float(), looked_at, threshold)
    chosen = np.asarray(values)[rows, :width]
    row, position, unit = np.nonzero(looked_at[..., None] & ~(np.abs(chosen) <= threshold))
    return row, position, unit, chosen[row, position, unit]


def _kept_on_device(
    values: Any, looked_at: NDArray[np.bool_], threshold: float
) -> tuple[Ints, Ints, Ints, NDArray[Any]]:
    # Methods of the tensor alone: whoever gives tensors has torch loaded.
    mask = (values.new_tensor(looked_at.astype(np.float32)) > 0)[..., None] & ~(values.abs() <= threshold)
    row, position, unit = mask.nonzero(as_tuple=True)
    found = values[row, position, unit].cpu().numpy()
    return row.cpu().numpy(), position.cpu().numpy(), unit.cpu().numpy(), found
