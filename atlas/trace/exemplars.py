"""Where in a corpus a neuron fires most, by sign, with the words in front; and labels made from that."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from atlas.schema import DATASETS
from atlas.trace.linear import activation
from atlas.trace.model import TracedModel
from atlas.trace.tracer import Prompt

SIGNS = (1.0, -1.0)
CONTEXT = 12  # tokens in front of an exemplar
SOURCE = "automatic"
_NAMED_TOKENS = 3
PRUNED_TOKENS = 1 << 20


class Exemplars:
    """The `top` strongest activations of every neuron, positive and negative, over batches of prompts."""

    def __init__(self, model: TracedModel, *, top: int = 8) -> None:
        self._model = model
        self._top = top
        shape = (len(SIGNS), len(model.blocks), model.neurons, top)
        self._value = torch.zeros(shape)
        self._place = torch.full(shape, -1, dtype=torch.long)  # number of the token in all prompts
        # The prompts that exemplars stand in, and those since the last look at which these are.
        self._tokens = np.zeros(0, np.int32)
        self._starts = np.zeros(0, np.int64)
        self._paths: list[str] = []
        self._most = PRUNED_TOKENS

    def add(self, prompts: list[Prompt]) -> None:
        """Run the model on some prompts and keep what fires most; their first token is left out.

        What a model does on its first token is the same in every prompt.
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
                # What is no number fires nowhere.
                active = activation(kept)[row, 1:n].T.float().cpu().nan_to_num(0.0, 0.0, 0.0)
                for side, sign in enumerate(SIGNS):
                    self._keep(side, layer, active * sign, places)
        if len(self._tokens) > self._most:
            self._prune()

    def _keep(self, side: int, layer: int, active: Tensor, places: Tensor) -> None:
        value = torch.cat([self._value[side, layer], active.clamp_min(0)], 1)
        place = torch.cat([self._place[side, layer], places.expand(len(active), -1)], 1)
        # Stable: of equal activations the first in the corpus stays.
        order = torch.argsort(value, dim=1, descending=True, stable=True)[:, : self._top]
        self._value[side, layer], self._place[side, layer] = value.gather(1, order), place.gather(1, order)

    def _prune(self) -> None:
        """Forget the prompts in which nothing fires most: memory follows the neurons, not the corpus."""
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
        """Rows of `exemplars`."""
        value, place = self._value.numpy(), self._place.numpy()
        side, layer, neuron, rank = np.nonzero(value > 0)
        at = place[side, layer, neuron, rank]
        order = np.lexsort((rank, side, neuron, layer))
        side, layer, neuron, rank, at = (column[order] for column in (side, layer, neuron, rank, at))
        tokens, starts = self._tokens, self._starts
        prompt = np.searchsorted(starts, at, side="right") - 1
        texts = self._model.token_texts(tokens[at].tolist())
        contexts = [
            readable("".join(self._model.token_texts(tokens[max(starts[row], place - CONTEXT) : place].tolist())))
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


def readable(token: str) -> str:
    """A token as people write it: byte-level and sentencepiece spellings of blanks undone.

    >>> readable("Ġself"), readable("ĊĠĠ")
    (' self', '\\\\n  ')
    """
    for spelling, text in (("Ġ", " "), ("▁", " "), ("Ċ", "\\n"), ("ĉ", "\\t"), ("č", "\\r")):
        token = token.replace(spelling, text)
    return token


def automatic_labels(exemplars: pa.Table, projections: Callable[[int], dict[tuple[int, str], list[str]]]) -> pa.Table:
    """Two labels per neuron that ever fires: on which tokens (input), and towards which tokens (output).

    `projections` gives for a layer the tokens of (neuron, direction) of the output projection, strongest
    first. A neuron whose strongest activation is negative pushes what its weights suppress.
    """
    rows: list[dict[str, Any]] = []
    for layer, neurons in _by_neuron(exemplars):
        promoted = projections(layer)
        for neuron, found in neurons.items():
            strongest = max(found, key=lambda row: abs(row["activation"]))
            same = [row for row in found if row["sign"] == strongest["sign"]]
            direction = "promotes" if strongest["sign"] > 0 else "suppresses"
            fires = _listed(row["token"] for row in same)
            says = _listed(promoted.get((neuron, direction), []))
            common = {"layer": layer, "neuron": neuron, "source": SOURCE, "score": abs(strongest["activation"])}
            common |= {"confidence": "low", "num_exemplars": len(found)}
            common["description"] = f"{strongest['context']}[{readable(strongest['token'])}]"
            rows.append(common | {"kind": "output", "label": f"on {fires}: {says}" if says else f"on {fires}"})
            rows.append(common | {"kind": "input", "label": f"on {fires}"})
    return DATASETS["projections.automatic_labels"].table(
        {name: [row[name] for row in rows] for name in DATASETS["projections.automatic_labels"].schema.names}
    )


def _by_neuron(exemplars: pa.Table) -> Iterable[tuple[int, dict[int, list[dict[str, Any]]]]]:
    layers: dict[int, dict[int, list[dict[str, Any]]]] = {}
    for row in exemplars.to_pylist():
        layers.setdefault(row["layer"], {}).setdefault(row["neuron"], []).append(row)
    return layers.items()


def _listed(tokens: Iterable[str]) -> str:
    """The first distinct tokens, as people write them."""
    distinct = list(dict.fromkeys(map(readable, tokens)))[:_NAMED_TOKENS]
    return " ".join(f"‘{token}’" for token in distinct)
