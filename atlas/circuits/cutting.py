"""Cutting of neurons from a model: what its predictions lose on prompts that the neurons were not found on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atlas.circuits.cells import Places
from atlas.ids import INDEX_BITS, MAX_INDEX
from atlas.models.model import TracedModel
from atlas.options import VerifyOptions
from atlas.stages.resamples import Bools, Ints

_NEAR = 10  # neurons with the nearest frequency, of which a control is drawn


class Bench:
    """Prompts in two halves, and the model that neurons are cut from.

    Attributes:
        model: Model that was traced.
        ids: Token ids of every prompt.
        places: Neurons and tokens of every prompt.
        finds: True for the rows of `places` whose prompts find circuits (n_places,); the others test.
        options: Numbers of prompts and controls, and the seed.
        test_prompts: Prompts that test.
        means: Mean of every neuron at the first position and at all others (n_layers, 2, n_neurons).
    """

    def __init__(
        self, model: TracedModel, ids: dict[int, tuple[int, ...]], places: Places, finds: Bools, options: VerifyOptions
    ) -> None:
        self.model, self.ids, self.places, self.finds, self.options = model, ids, places, finds, options
        self.rng = np.random.default_rng(options.seed)
        self.test_prompts = np.unique(places.prompt[~finds])
        self.means = self._means()
        self._clean: dict[int, Tensor] = {}

    def effect(self, members: Ints, topic: Ints) -> dict[str, Any] | None:
        """Return the effect of cutting neurons, or None where too few held-out prompts are on topic, or too few are not.

        Args:
            members: Packed neurons (n,).
            topic: Prompts on which the neurons act.

        Returns:
            Columns of the dataset `circuit_effects`.
        """
        inside = self._some(np.intersect1d(topic, self.test_prompts))
        outside = self._some(np.setdiff1d(self.test_prompts, topic))
        if min(len(inside), len(outside)) < self.options.least_prompts or not len(members):
            return None
        controls = self._controls(members, topic)
        here = self._divergence(members, inside)
        beside = [self._divergence(control, inside) for control in controls]
        everything = self._all()
        lost = self._divergence(everything, inside)
        kept = self._divergence(np.setdiff1d(everything, members), inside)
        return {
            "tested_count": len(members),
            "topic_prompt_count": len(inside),
            "other_prompt_count": len(outside),
            "effect": here,
            "effect_elsewhere": self._divergence(members, outside),
            "control_count": len(beside),
            "control_effect": float(np.mean(beside)) if beside else None,
            "control_effect_max": max(beside, default=None),
            "is_above_controls": bool(beside) and here > max(beside),
            "sufficiency": 1 - kept / lost if lost > 0 else None,
        }

    def _some(self, prompts: Ints) -> Ints:
        return np.sort(self.rng.permutation(prompts)[: self.options.prompts])

    def _controls(self, members: Ints, topic: Ints) -> list[Ints]:
        """Return random sets with a neuron of the same layer, about as often a node on topic, for every member."""
        is_topic = (self.places.kind == "neuron") & np.isin(self.places.prompt, topic)
        neurons, counts = np.unique(self.places.item[is_topic & self.finds], return_counts=True)
        often = dict(zip(neurons.tolist(), counts.tolist(), strict=True))
        free = neurons[~np.isin(neurons, members)]
        found = []
        for _ in range(self.options.controls):
            taken: set[int] = set()
            for member in members.tolist():
                near = [n for n in free[free >> INDEX_BITS == member >> INDEX_BITS].tolist() if n not in taken]
                if near:
                    wanted = often.get(member, 0)
                    near.sort(key=lambda n: (abs(often[n] - wanted), n))
                    taken.add(int(self.rng.choice(near[:_NEAR])))
            if len(taken) == len(members):
                found.append(np.array(sorted(taken), np.int64))
        return found

    def _all(self) -> Ints:
        layers = np.arange(len(self.model.blocks))
        found: Ints = (layers[:, None] << INDEX_BITS | np.arange(self.model.neurons)).reshape(-1)
        return found

    def _means(self) -> Tensor:
        """Return the mean of every neuron at the first position and at all others, over the prompts that find circuits."""
        layers = list(range(len(self.model.blocks)))
        total = torch.zeros(len(layers), 2, self.model.neurons, dtype=torch.float64, device=self.model.device)
        counts = torch.zeros(2, dtype=torch.float64, device=self.model.device)
        finding = np.setdiff1d(np.unique(self.places.prompt), self.test_prompts)[: self.options.mean_prompts]
        for group in self._batches(finding):
            values = self.model.values([list(self.ids[prompt]) for prompt in group], layers, "neurons")
            for row, prompt in enumerate(group):
                length = len(self.ids[prompt])
                counts += torch.tensor([1, length - 1], device=counts.device)
                for layer in layers:
                    mine = values[layer][row, :length].double()
                    total[layer, 0] += mine[0]
                    total[layer, 1] += mine[1:].sum(0)
        return total / counts.clamp(min=1)[None, :, None]

    def _batches(self, prompts: Ints) -> list[list[int]]:
        ordered = sorted(prompts.tolist(), key=lambda prompt: (len(self.ids[prompt]), prompt))
        size = self.options.batch
        return [ordered[start : start + size] for start in range(0, len(ordered), size)]

    def _divergence(self, neurons: Ints, prompts: Ints) -> float:
        """Return the mean KL divergence of the predictions from those without the neurons, in nats."""
        by_layer = {
            layer: torch.from_numpy(neurons[neurons >> INDEX_BITS == layer] & MAX_INDEX).to(self.model.device)
            for layer in np.unique(neurons >> INDEX_BITS).tolist()
        }

        def write(layer: int, active: Tensor) -> Tensor:
            if layer not in by_layer:
                return active
            mine, changed = by_layer[layer], active.clone()
            first, others = self.means[layer].to(active.dtype)
            changed[:, :1, mine] = first[mine]
            changed[:, 1:, mine] = others[mine]
            return changed

        total = 0.0
        for group in self._batches(prompts):
            ids = [list(self.ids[prompt]) for prompt in group]
            clean = self._predictions(group, ids)
            with self.model.writing(write):
                cut = torch.log_softmax(self.model.last_logits(ids).double(), -1)
            total += float((clean.exp() * (clean - cut)).sum())
        return total / len(prompts)

    def _predictions(self, group: Sequence[int], ids: list[list[int]]) -> Tensor:
        missing = [row for row, prompt in enumerate(group) if prompt not in self._clean]
        if missing:
            logits = torch.log_softmax(self.model.last_logits([ids[row] for row in missing]).double(), -1)
            self._clean.update({group[row]: logits[place] for place, row in enumerate(missing)})
        return torch.stack([self._clean[prompt] for prompt in group])
