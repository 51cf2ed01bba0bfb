"""Stage `features`: what the features of a dictionary promote, which neurons write and read them, and which are alike.

    output         unembedding . decoder[f]                      promotes, suppresses
    output_folded  unembedding . (gain of the final norm * decoder[f])
    centred        the same minus its mean over the vocabulary, because the logits of a token matter only beside the others
    written_by     down_proj[:, n] . encoder[f], of blocks up to the one that the dictionary reads
    read_by        (gain of the norm * gate_proj[n]) . decoder[f], of later blocks

Cosines divide by both norms. Special tokens are in no ranking.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from atlas.activations.collect import read_contexts
from atlas.activations.dictionaries import Dictionary, layer_of_dictionary
from atlas.activations.reconstruction import first_batches, reconstruct
from atlas.io.files import parquet_writer, write_parquet
from atlas.models.model import MLP_INPUT, MLP_OUTPUT, RESIDUAL_STREAM, TracedModel
from atlas.models.tokens import shown
from atlas.options import DocumentOptions, FeatureOptions
from atlas.stages import DATASETS
from atlas.stages.manifest import replaced_folder, write_manifest

Progress = Callable[[str, int, int], None]
_PRODUCTS = 1 << 25  # of features and tokens at a time


@dataclass(frozen=True)
class FeatureSummary:
    """Counts of the stage `features`, and the measures of the reconstruction; none without a text."""

    layer: int
    features: int
    measures: dict[str, Any] | None


def read_features(
    model: TracedModel,
    dictionary: Dictionary,
    out: Path,
    options: FeatureOptions | None = None,
    *,
    layer: int | None = None,
    text: Path | None = None,
    corpus: DocumentOptions | None = None,
    batch: int = 8,
    progress: Progress,
) -> FeatureSummary:
    """Write the stage `features` of a dictionary to a folder.

    Args:
        model: Model with its tokenizer.
        dictionary: Sparse autoencoder of the residual stream behind a block.
        out: Folder of the stage, which is replaced.
        options: Numbers of tokens, neurons and features; the defaults where None.
        layer: Number of the block; the one that the dictionary states where None.
        text: Text on which the reconstruction is measured, up to 50,000 tokens; not measured where None.
        corpus: Options that select the documents of the text.
        batch: Number of contexts per forward pass.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Number of features, and the measures of the reconstruction.

    Raises:
        OutputError: The folder cannot be written.
        UsageError: The dictionary does not fit the model, or names no layer.
    """
    options = options or FeatureOptions()
    place = layer_of_dictionary(dictionary, model, layer)
    measures = None
    with replaced_folder(out, "features") as folder:
        _write_weights(model, dictionary, place, options, folder, progress)
        rows = DATASETS["features.reconstruction"].empty()
        if text is not None:
            read = read_contexts(text, model, corpus or DocumentOptions(), options.window, Counter())
            batches = first_batches((context for _, context in read), batch, progress)
            skipped = model.special_tokens if options.skip_special else []
            found = reconstruct(
                model, dictionary, place, batches, skips_first=options.skip_first, skipped_tokens=skipped
            )
            measures = found.facts()
            columns = {name: [value] for name, value in {"layer": place, "text": text.name, **measures}.items()}
            rows = DATASETS["features.reconstruction"].table(columns)
        write_parquet(rows, DATASETS["features.reconstruction"].path(folder))
        facts = {"model": model.name, "revision": model.fingerprint, "dictionary": dictionary.fingerprint}
        write_manifest(folder, "features", **facts, layer=place, options=asdict(options))
    return FeatureSummary(place, dictionary.features, measures)


def _write_weights(
    model: TracedModel, dictionary: Dictionary, layer: int, options: FeatureOptions, folder: Path, progress: Progress
) -> None:
    """Write all datasets that follow from the weights alone, some features at a time."""
    names = ("features", "feature_tokens", "feature_neurons", "similar_units")
    datasets = {name: DATASETS[f"features.{name}"] for name in names}
    texts = np.array(shown(model, list(range(model.vocabulary))), dtype=object)
    writers = {name: parquet_writer(dataset.path(folder), dataset.schema) for name, dataset in datasets.items()}
    opened = {name: writer.__enter__() for name, writer in writers.items()}
    try:
        step = max(1, min(1024, _PRODUCTS // model.vocabulary))
        for start in range(0, dictionary.features, step):
            some = slice(start, min(start + step, dictionary.features))
            part = _Part(model, dictionary, layer, some)
            tables = {
                "feature_tokens": part.tokens(options.top_tokens, texts),
                "features": part.stats(),
                "feature_neurons": part.neurons(options.top_neurons),
                "similar_units": part.similar(options.top_similar),
            }
            for name, table in tables.items():
                opened[name].write_table(table.cast(datasets[name].schema))
            progress("reading features", some.stop, dictionary.features)
    finally:
        for writer in writers.values():
            writer.__exit__(None, None, None)


def _written(block: Any) -> Tensor:
    """Return what each neuron writes (n, d), with the gain of a norm behind the MLP."""
    weight: Tensor = block.mlp.module.down_proj.weight.T
    return weight * block.mlp.norm_after.weight if block.mlp.norm_after is not None else weight


def _read(block: Any) -> Tensor:
    """Return what the gate of each neuron reads (n, d), with the gain of a norm before the MLP."""
    weight: Tensor = block.mlp.module.gate_proj.weight
    return weight * block.mlp.norm_before.weight if block.mlp.norm_before is not None else weight


@dataclass(frozen=True)
class _Best:
    """Neurons with the largest |cosine| so far, each (features, top)."""

    cosine: Tensor
    weight: Tensor
    layer: Tensor
    neuron: Tensor


def _best_of(best: _Best | None, direction: Tensor, weights: Tensor, layer: int, top: int) -> _Best:
    """Return the best of earlier layers and of the neurons (n, d) of one more."""
    product = direction @ weights.T
    cosine = product / (direction.norm(dim=1)[:, None] * weights.norm(dim=1)).clamp(min=1e-12)
    place = torch.topk(cosine.abs(), min(top, cosine.shape[1])).indices
    mine = _Best(cosine.gather(1, place), product.gather(1, place), torch.full_like(place, layer), place)
    if best is None:
        return mine
    both = {name: torch.cat([getattr(best, name), getattr(mine, name)], 1) for name in vars(mine)}
    kept = torch.topk(both["cosine"].abs(), min(top, both["cosine"].shape[1])).indices
    return _Best(**{name: values.gather(1, kept) for name, values in both.items()})


class _Part:
    """Some features of a dictionary."""

    def __init__(self, model: TracedModel, dictionary: Dictionary, layer: int, some: slice) -> None:
        self.model, self.dictionary, self.layer = model, dictionary, layer
        self.numbers = np.arange(some.start, some.stop, dtype=np.int32)
        self.encoder, self.decoder = dictionary.encoder.T[some].float(), dictionary.decoder[some].float()
        self.bias = dictionary.encoder_bias[some].float()
        self.logits = self.decoder @ model.unembedding.float().T

    def stats(self) -> pa.Table:
        moments = _moments(self.logits.double())
        cosine = torch.nn.functional.cosine_similarity(self.encoder, self.decoder)
        columns = {
            "encoder_norm": self.encoder.norm(dim=1),
            "decoder_norm": self.decoder.norm(dim=1),
            "encoder_bias": self.bias,
            "encoder_decoder_cosine": cosine,
            **moments,
        }
        return DATASETS["features.features"].table(self._units(1) | {n: _array(v) for n, v in columns.items()})

    def tokens(self, top: int, texts: np.ndarray) -> pa.Table:
        gain = self.model.final_norm.weight.float()
        folded = (self.decoder * gain) @ self.model.unembedding.float().T
        tables = [self._ranked(k, p, top, texts) for k, p in (("output", self.logits), ("output_folded", folded))]
        return pa.concat_tables(tables)

    def _ranked(self, kind: str, product: Tensor, top: int, texts: np.ndarray) -> pa.Table:
        """Return the rows of one kind; special tokens are in no ranking, and in the mean."""
        shown_product = product.clone()
        top = min(top, product.shape[1] - len(self.model.special_tokens))
        pieces = []
        for largest in (True, False):
            shown_product[:, self.model.special_tokens] = -torch.inf if largest else torch.inf
            pieces.append(torch.topk(shown_product, top, largest=largest))
        token = _array(torch.stack([piece.indices for piece in pieces], 1).reshape(-1))
        weight = torch.stack([piece.values for piece in pieces], 1)
        centred = weight - product.mean(1)[:, None, None]
        count = len(self.numbers)
        return DATASETS["features.feature_tokens"].table(
            self._units(2 * top)
            | {
                "projection_kind": pa.array([kind] * len(token)).dictionary_encode(),
                "direction": pa.array(np.tile(np.repeat(["promotes", "suppresses"], top), count)).dictionary_encode(),
                "rank": np.tile(np.arange(1, top + 1, dtype=np.int32), 2 * count),
                "token_id": token,
                "token": pa.array(texts[token], pa.string()),
                "weight": _array(weight.reshape(-1)).astype(np.float64),
                "centred_weight": _array(centred.reshape(-1)).astype(np.float64),
            }
        )

    def neurons(self, top: int) -> pa.Table:
        """Return the neurons with the largest |cosine| to each feature: those that write to it, and those that read it."""
        here, behind = self.layer, self.layer + 1
        # What a dictionary reads is written by all blocks up to it, by those before its MLP, or by its MLP alone.
        first, last = {RESIDUAL_STREAM: (0, behind), MLP_INPUT: (0, here), MLP_OUTPUT: (here, behind)}[
            self.dictionary.site
        ]
        encoder = self.encoder
        norm = self.model.blocks[here].mlp.norm_before
        if self.dictionary.site == MLP_INPUT and norm is not None:
            encoder = encoder * norm.weight.float()
        tables = [DATASETS["features.feature_neurons"].empty()]
        for relation, start, blocks, weights, direction in (
            ("written_by", first, self.model.blocks[first:last], _written, encoder),
            ("read_by", behind, self.model.blocks[behind:], _read, self.decoder),
        ):
            best: _Best | None = None
            for layer, block in enumerate(blocks, start):
                best = _best_of(best, direction, weights(block).float(), layer, top)
            if best is not None:
                tables.append(self._neuron_rows(relation, best))
        return pa.concat_tables(tables)

    def _neuron_rows(self, relation: str, best: _Best) -> pa.Table:
        top = best.cosine.shape[1]
        return DATASETS["features.feature_neurons"].table(
            self._units(top)
            | {
                "relation": pa.array([relation] * best.cosine.numel()).dictionary_encode(),
                "rank": np.tile(np.arange(1, top + 1, dtype=np.int32), len(self.numbers)),
                "neuron_layer": _array(best.layer.reshape(-1)).astype(np.int32),
                "neuron": _array(best.neuron.reshape(-1)).astype(np.int32),
                "weight": _array(best.weight.reshape(-1)).astype(np.float64),
                "cosine": _array(best.cosine.reshape(-1)).astype(np.float64),
            }
        )

    def similar(self, top: int) -> pa.Table:
        """Return the features with the largest cosine to each one, by decoder and by encoder."""
        tables = [DATASETS["features.similar_units"].empty()]
        top = min(top, self.dictionary.features - 1)
        for kind, mine, all_of in (
            ("decoder_cosine", self.decoder, self.dictionary.decoder.float()),
            ("encoder_cosine", self.encoder, self.dictionary.encoder.T.float()),
        ):
            cosine = _unit_rows(mine) @ _unit_rows(all_of).T
            cosine[torch.arange(len(mine)), torch.from_numpy(self.numbers).long()] = -torch.inf
            best = torch.topk(cosine, top)
            columns = {
                "similarity_kind": pa.array([kind] * best.indices.numel()).dictionary_encode(),
                "rank": np.tile(np.arange(1, top + 1, dtype=np.int32), len(mine)),
                "other_layer": np.full(best.indices.numel(), self.layer, np.int32),
                "other_unit": _array(best.indices.reshape(-1)).astype(np.int32),
                "similarity": _array(best.values.reshape(-1)).astype(np.float64),
            }
            tables.append(DATASETS["features.similar_units"].table(self._units(top) | columns))
        return pa.concat_tables(tables)

    def _units(self, each: int) -> dict[str, Any]:
        return {
            "layer": np.full(len(self.numbers) * each, self.layer, np.int32),
            "unit": np.repeat(self.numbers, each),
        }


def _unit_rows(values: Tensor) -> Tensor:
    return torch.nn.functional.normalize(values, dim=1)


def _moments(values: Tensor) -> dict[str, Tensor]:
    """Return deviation, skew and kurtosis (3 for a normal distribution) of each row."""
    centred = values - values.mean(1, keepdim=True)
    std = centred.square().mean(1).sqrt()
    scaled = centred / std.clamp(min=1e-300)[:, None]
    return {"logit_std": std, "logit_skew": (scaled**3).mean(1), "logit_kurtosis": (scaled**4).mean(1)}


def _array(values: Tensor) -> np.ndarray:
    found: np.ndarray = values.detach().cpu().numpy()
    return found
