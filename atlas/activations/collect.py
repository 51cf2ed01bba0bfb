"""Collection of the activations of a model on text: neurons, residual streams, and features of a dictionary."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.activations.dictionaries import Dictionary, layer_of_dictionary
from atlas.errors import InputError, UsageError
from atlas.graph import Reject
from atlas.models.load import enough_memory
from atlas.models.model import NEURONS, RESIDUAL_STREAM, TracedModel
from atlas.models.prompts import Prompt, count_prompts, read_prompts
from atlas.models.tokens import shown
from atlas.options import DICTIONARY, LAST, MEMORY, MLP, RESIDUAL, CollectOptions, DocumentOptions
from atlas.stages import DATASETS, is_whole
from atlas.stages.manifest import read_manifest
from atlas.stages.store.cells import Context, StoreSummary, looked_at_cells
from atlas.stages.store.collector import VOCABULARY, Collector
from atlas.stages.store.spaces import ActivationSpace

Progress = Callable[[str, int, int], None]
FLUSH_SECONDS = 30.0  # a killed run loses at most this much work
_SITES = {MLP: NEURONS, RESIDUAL: RESIDUAL_STREAM}
FIRST_CONTEXTS = 100  # from which the threshold of a density is taken


@dataclass
class CollectSummary:
    """Counts of a collection."""

    store: StoreSummary
    units: dict[int, int]
    thresholds: dict[int, float]
    rejects: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Reader:
    """Reader of activations from a model: the hook, the layers, and the dictionary of features."""

    model: TracedModel
    options: CollectOptions
    layers: tuple[int, ...]
    dictionary: Dictionary | None

    @property
    def units(self) -> dict[int, int]:
        """Number of units of every layer; none for residual streams."""
        if self.options.hook == RESIDUAL:
            return {}
        count = self.dictionary.features if self.dictionary else self.model.neurons
        return dict.fromkeys(self.layers, count)

    def values(self, contexts: Sequence[Context]) -> dict[int, Tensor]:
        """Return the activations on contexts by layer, (contexts, positions, units or d)."""
        ids = [list(context.token_ids) for context in contexts]
        with enough_memory():
            site = self.dictionary.site if self.dictionary else _SITES[self.options.hook]
            found = self.model.values(ids, self.layers, site)
            if self.dictionary is None:
                return found
            return {layer: self.dictionary.encode(values) for layer, values in found.items()}

    def space(self, skipped: Sequence[int]) -> ActivationSpace:
        """Return the identity of the store."""
        kinds = {MLP: ("neuron", "activation"), RESIDUAL: ("dimension", "activation"), DICTIONARY: ("feature", "code")}
        unit_type, value_kind = kinds[self.options.hook]
        return ActivationSpace(
            model=self.model.name,
            revision=self.model.fingerprint,
            hook=self.options.hook,
            unit_type=unit_type,
            value_kind=value_kind,
            dictionary=self.dictionary.fingerprint if self.dictionary else None,
            window=self.options.window,
            skips_first=self.options.skip_first,
            skipped_tokens=tuple(skipped),
            dtype=str(self.model.model.dtype).removeprefix("torch."),
            positions=self.options.positions if self.options.hook == RESIDUAL else None,
            top_per_context=self.options.top_per_context,
            vector_layers=self.layers if self.options.hook == RESIDUAL else (),
        )


def collect(
    model: TracedModel,
    text: Path,
    out: Path,
    options: CollectOptions | None = None,
    *,
    dictionary: Dictionary | None = None,
    corpus: DocumentOptions | None = None,
    batch: int = 8,
    memory: int = MEMORY,
    fresh: bool = False,
    progress: Progress,
) -> CollectSummary:
    """Collect the activations of a model on text into a store. Contexts that the store holds are skipped.

    Args:
        model: Model with its tokenizer.
        text: .jsonl, .txt or .parquet.
        out: Folder of the store.
        options: What is collected; the defaults where None.
        dictionary: Sparse autoencoder, for the hook `sae`.
        corpus: Options that select the documents of the text.
        batch: Number of contexts per forward pass.
        memory: Bytes that the store may take while it is sorted; the model needs additional memory.
        fresh: Discard an earlier store and start over.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of the store.

    Raises:
        InputError: The text cannot be read, or no context is left.
        SpaceMismatch: The folder holds a store of something else.
        UsageError: The hook, the layers and the dictionary do not fit each other or the model.
    """
    options, corpus = options or CollectOptions(), corpus or DocumentOptions()
    reader = Reader(model, options, _layers(model, options, dictionary), dictionary)
    special = model.special_tokens if options.skip_special else []
    rejects: Counter[str] = Counter()
    contexts = read_contexts(text, model, corpus, options.window, rejects)
    thresholds = _held_thresholds(reader, out, fresh) or _thresholds(reader, text, corpus, special)
    total = count_prompts(text, corpus)
    collector = Collector(
        out,
        space=reader.space(special),
        layers=reader.units,
        thresholds=thresholds,
        memory=memory,
        fresh=fresh,
        progress=progress,
    )
    try:
        flushed = time.monotonic()
        for group in _batched(contexts, batch):
            waiting = [context for _, context in group if not collector.holds(context)]
            if waiting:
                _add(collector, reader, waiting)
            progress("collecting activations", group[-1][0], total)
            if time.monotonic() - flushed > FLUSH_SECONDS:
                collector.flush()
                flushed = time.monotonic()
        facts = {"text": text.name, "density": options.density if options.threshold is None else None}
        summary = collector.write(vocabulary(model), **facts)
    finally:
        collector.close()
    return CollectSummary(summary, reader.units, thresholds, rejects)


def _layers(model: TracedModel, options: CollectOptions, dictionary: Dictionary | None) -> tuple[int, ...]:
    """Return the layers to read; raises `UsageError` where the options do not fit."""
    if (options.hook == DICTIONARY) != (dictionary is not None):
        raise UsageError("the hook sae needs a dictionary, and other hooks have none; give --hook sae --sae FOLDER")
    count = len(model.blocks)
    if dictionary is not None:
        if options.layers is not None and len(options.layers) != 1:
            raise UsageError("a dictionary reads one layer; give it with --layers N")
        return (layer_of_dictionary(dictionary, model, options.layers[0] if options.layers else None),)
    layers = options.layers if options.layers is not None else tuple(range(count))
    wrong = [layer for layer in layers if not 0 <= layer < count]
    if wrong or not layers:
        raise UsageError(f"layer {wrong[0] if wrong else layers} is none of the model's layers 0 to {count - 1}")
    return tuple(sorted(set(layers)))


def read_contexts(
    text: Path, model: TracedModel, corpus: DocumentOptions, window: int, rejects: Counter[str]
) -> Iterator[tuple[int, Context]]:
    """Yield the windows of all documents of a text.

    Args:
        text: .jsonl, .txt or .parquet.
        model: Model with its tokenizer.
        corpus: Options that select the documents.
        window: Maximum number of tokens of a window.
        rejects: Counts of the documents that cannot be used, by reason, which are added to.

    Yields:
        The number of documents read so far, and a window.
    """
    most = min(window, model.most_positions)
    for done, item in enumerate(read_prompts(text, model, corpus), 1):
        if isinstance(item, Reject):
            rejects[item.reason] += 1
            continue
        yield from ((done, context) for context in windows(item, most))


def windows(document: Prompt, most: int) -> Iterator[Context]:
    """Yield the windows of a document, of at most `most` tokens; a rest of one token is left out.

    Args:
        document: Text with its tokens.
        most: Maximum number of tokens.

    Yields:
        Contexts in order, which do not overlap.
    """
    # Equal texts are one document, wherever they stand.
    identity = hashlib.blake2b(np.array(document.ids, "<i4").tobytes(), digest_size=16).hexdigest()
    for start in range(0, len(document.ids), most):
        ids = document.ids[start : start + most]
        if len(ids) > 1:
            # The row of the file alone would name other documents of other files alike.
            name = f"{Path(document.path).parent.name}:{document.index}:{identity[:8]}"
            yield Context(ids, name, start, document.source, identity, document.attributes)


def _batched(items: Iterator[tuple[int, Context]], size: int) -> Iterator[list[tuple[int, Context]]]:
    while group := list(itertools.islice(items, size)):
        seen: dict[str, tuple[int, Context]] = {}
        for done, context in group:
            seen.setdefault(context.content_hash, (done, context))
        yield list(seen.values())


def _add(collector: Collector, reader: Reader, contexts: list[Context]) -> None:
    values = reader.values(contexts)
    if reader.options.hook == RESIDUAL:
        collector.add_vectors(values, contexts, last=reader.options.positions == LAST)
        return
    if reader.options.top_per_context is not None:
        space = collector.space
        cells = looked_at_cells(contexts, skips_first=space.skips_first, skipped_tokens=space.skipped_tokens)
        values = {layer: _strongest(found, cells, reader.options.top_per_context) for layer, found in values.items()}
    collector.add(values, contexts)


def _strongest(values: Tensor, looked_at: NDArray[np.bool_], count: int) -> Tensor:
    """Return values (contexts, positions, units) with all but the `count` largest |values| of each context set to 0."""
    mask = torch.from_numpy(looked_at).to(values.device)[..., None]
    seen = torch.where(mask, values[:, : mask.shape[1]].float(), 0.0)
    flat = seen.flatten(1)
    best = torch.topk(flat.abs(), min(count, flat.shape[1]), dim=1, sorted=False).indices
    return torch.zeros_like(flat).scatter(1, best, flat.gather(1, best)).view_as(seen)


def _held_thresholds(reader: Reader, out: Path, fresh: bool) -> dict[int, float] | None:
    """Return the thresholds of the store that text is added to, if they were taken from the same density."""
    options = reader.options
    if (
        fresh
        or options.threshold is not None
        or options.top_per_context is not None
        or options.hook != MLP
        or not is_whole(out, "activations")
    ):
        return None
    if read_manifest(out, "activations").get("density") != options.density:
        return None
    rows = pq.read_table(DATASETS["activations.units"].path(out)).to_pylist()
    held = {row["layer"]: row["threshold"] for row in rows}
    return held if held.keys() == set(reader.layers) else None


def _thresholds(reader: Reader, text: Path, corpus: DocumentOptions, special: Sequence[int]) -> dict[int, float]:
    """Return the threshold of every layer: as given, 0 for a dictionary, or by the density of the first contexts."""
    options = reader.options
    if options.hook == RESIDUAL:
        return {}
    if options.threshold is not None or options.top_per_context is not None or options.hook == DICTIONARY:
        return dict.fromkeys(reader.layers, options.threshold or 0.0)
    first = read_contexts(text, reader.model, corpus, options.window, Counter())
    found: dict[int, list[Tensor]] = {layer: [] for layer in reader.layers}
    for _, context in itertools.islice(first, FIRST_CONTEXTS):
        mask = torch.from_numpy(looked_at_cells([context], skips_first=options.skip_first, skipped_tokens=special))
        for layer, values in reader.values([context]).items():
            found[layer].append(values[mask].float().abs().flatten().cpu())
    return {layer: _quantile(pieces, options.density) for layer, pieces in found.items()}


def _quantile(pieces: list[Tensor], density: float) -> float:
    """Return the value above which a share `density` of the values is."""
    values = torch.cat(pieces) if pieces else torch.zeros(0)
    if not len(values):
        raise InputError("the first contexts hold no token that is looked at; give a --threshold")
    kept = max(1, int(len(values) * density))
    return float(values.kthvalue(len(values) - kept).values) if kept < len(values) else 0.0


def vocabulary(model: TracedModel) -> pa.Table:
    """Return the readable text of every token.

    Args:
        model: Model with its tokenizer.

    Returns:
        Rows of the dataset `vocabulary`.
    """
    ids = list(range(model.vocabulary))
    special = model.special_tokens
    return VOCABULARY.table({"token_id": ids, "token": shown(model, ids), "is_special": np.isin(ids, special)})
