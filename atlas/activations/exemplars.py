"""Exemplars: the places of a corpus where a neuron fires most, by sign, with their context; and automatic labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from atlas.models.cache import activation
from atlas.models.model import TracedModel
from atlas.models.prompts import Prompt
from atlas.models.tokens import passage, shown
from atlas.stages import DATASETS

SIGNS = (1.0, -1.0)
CONTEXT = 12  # tokens before an exemplar
SOURCE = "automatic"
_NAMED_TOKENS = 3
PRUNED_TOKENS = 1 << 20


class Exemplars:
    """Collector of the `top` strongest activations of every neuron, positive and negative, over batches of prompts."""

    def __init__(self, model: TracedModel, *, top: int = 8) -> None:
        self._model = model
        self._top = top
        shape = (len(SIGNS), len(model.blocks), model.neurons, top)
        self._value = torch.zeros(shape)
        self._place = torch.full(shape, -1, dtype=torch.long)  # row of the token in `_tokens`
        # Prompts that hold an exemplar, and all prompts since the last `_prune`.
        self._tokens = np.zeros(0, np.int32)
        self._starts = np.zeros(0, np.int64)
        self._paths: list[str] = []
        self._most = PRUNED_TOKENS

    def add(self, prompts: list[Prompt]) -> None:
        """Run the model on prompts and keep the strongest activations.

        The first token of a prompt is left out, since the activations on it are the same in every prompt.
        """
        cache = self._model.forward([list(prompt.ids) for prompt in prompts])
        starts = len(self._tokens) + np.cumsum([0, *(len(prompt.ids) for prompt in prompts)])
        self._tokens = np.concatenate([self._tokens, *(np.array(prompt.ids, np.int32) for prompt in prompts)])
        self._starts = np.concatenate([self._starts, starts[:-1]])
        self._paths += [prompt.path for prompt in prompts]
        for row, (prompt, first) in enumerate(zip(prompts, starts.tolist(), strict=False)):
            n = len(prompt.ids)
            places = torch.arange(first + 1, first + n)
            for layer, kept in enumerate(cache.layers):
                # NaN and infinity count as no activation.
                if n == 1:
                    continue
                active = activation(kept)[row, 1:n].T.float().cpu().nan_to_num(0.0, 0.0, 0.0)
                for side, sign in enumerate(SIGNS):
                    self._keep(side, layer, active * sign, places)
        if len(self._tokens) > self._most:
            self._prune()

    def _keep(self, side: int, layer: int, active: Tensor, places: Tensor) -> None:
        held, held_places = self._value[side, layer], self._place[side, layer]
        # Most neurons have stronger exemplars already and are skipped.
        rows = torch.nonzero(active.amax(1) > held[:, -1]).flatten()
        value = torch.cat([held[rows], active[rows].clamp_min(0)], 1)
        place = torch.cat([held_places[rows], places.expand(len(rows), -1)], 1)
        # Stable: of equal activations, the first in the corpus is kept.
        order = torch.argsort(value, dim=1, descending=True, stable=True)[:, : self._top]
        held[rows], held_places[rows] = value.gather(1, order), place.gather(1, order)

    def _prune(self) -> None:
        """Drop the prompts without an exemplar, so that memory grows with the neurons and not with the corpus."""
        place = self._place.numpy()
        held = place >= 0
        prompt = np.searchsorted(self._starts, place[held], side="right") - 1
        kept = np.unique(prompt)
        ends = np.append(self._starts[1:], len(self._tokens))
        lengths = (ends - self._starts)[kept]
        starts = np.cumsum(lengths) - lengths
        place[held] += (starts - self._starts[kept])[np.searchsorted(kept, prompt)]
        inside = np.repeat(self._starts[kept] - starts, lengths) + np.arange(lengths.sum())
        self._tokens, self._starts = self._tokens[inside], starts
        self._paths = [self._paths[number] for number in kept.tolist()]
        self._most = max(PRUNED_TOKENS, 2 * len(self._tokens))

    def table(self) -> pa.Table:
        """Return the rows of the dataset `exemplars`."""
        value, place = self._value.numpy(), self._place.numpy()
        side, layer, neuron, rank = np.nonzero(value > 0)
        at = place[side, layer, neuron, rank]
        order = np.lexsort((rank, side, neuron, layer))
        side, layer, neuron, rank, at = (column[order] for column in (side, layer, neuron, rank, at))
        tokens, starts = self._tokens, self._starts
        prompt = np.searchsorted(starts, at, side="right") - 1
        texts = self._model.token_texts(tokens[at].tolist())
        contexts = [
            passage(self._model, tokens[max(starts[row], place - CONTEXT) : place].tolist())
            for row, place in zip(prompt.tolist(), at.tolist(), strict=True)
        ]
        return DATASETS["projections.exemplars"].table(
            {
                "layer": layer.astype(np.int32),
                "neuron": neuron.astype(np.int32),
                "sign": np.array(SIGNS, np.int32)[side],
                "rank": rank.astype(np.int32) + 1,
                "activation": value[side, layer, neuron, rank].astype(np.float64) * np.array(SIGNS)[side],
                "token_id": tokens[at].astype(np.int64),
                "token": texts,
                "context": contexts,
                "position": (at - starts[prompt]).astype(np.int32),
                "prompt_path": [self._paths[row] for row in prompt.tolist()],
            }
        )


def automatic_labels(
    model: TracedModel, exemplars: pa.Table, projections: Callable[[int], dict[tuple[int, str], list[int]]]
) -> pa.Table:
    """Return two labels per neuron that fires: the tokens it fires on (input), and the tokens it promotes (output).

    `projections` returns the tokens of each (neuron, direction) of the output projection of a layer, strongest
    first. A neuron whose strongest activation is negative promotes the tokens that its weights suppress.
    """
    dataset = DATASETS["projections.automatic_labels"]
    tables = [dataset.empty()]
    for layer in pc.unique(exemplars["layer"]).to_pylist():
        promoted = projections(layer)
        rows: list[dict[str, Any]] = []
        for neuron, found in _by_neuron(exemplars.filter(pc.field("layer") == layer)).items():
            rows += _labels_of(model, layer, neuron, found, promoted)
        tables.append(dataset.table({name: [row[name] for row in rows] for name in dataset.schema.names}))
    return pa.concat_tables(tables)


def _labels_of(
    model: TracedModel,
    layer: int,
    neuron: int,
    found: list[dict[str, Any]],
    promoted: dict[tuple[int, str], list[int]],
) -> list[dict[str, Any]]:
    strongest = max(found, key=lambda row: abs(row["activation"]))
    same = [row["token_id"] for row in found if row["sign"] == strongest["sign"]]
    direction = "promotes" if strongest["sign"] > 0 else "suppresses"
    fires = _listed(model, same)
    says = _listed(model, promoted.get((neuron, direction), []))
    common = {"layer": layer, "neuron": neuron, "source": SOURCE, "score": abs(strongest["activation"])}
    common |= {"confidence": "low", "num_exemplars": len(found)}
    common["description"] = f"{strongest['context']}[{shown(model, [strongest['token_id']])[0]}]"
    return [
        common | {"kind": "output", "label": f"on {fires}: {says}" if says else f"on {fires}"},
        common | {"kind": "input", "label": f"on {fires}"},
    ]


def _by_neuron(exemplars: pa.Table) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in exemplars.to_pylist():
        found.setdefault(row["neuron"], []).append(row)
    return found


def _listed(model: TracedModel, tokens: Sequence[int]) -> str:
    """Return the first distinct tokens as readable text in quotes."""
    distinct = list(dict.fromkeys(shown(model, tokens)))[:_NAMED_TOKENS]
    return " ".join(f"‘{token}’" for token in distinct)
