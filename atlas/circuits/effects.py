"""Causal effects of circuits: what the model predicts without them, on prompts that they were not found on.

A circuit is found again on one half of the groups of prompts and cut on the other. Its neurons take their mean, at the first
position and at all others; the effect is the Kullback-Leibler divergence of the prediction at the last token. It stands beside
the effect elsewhere, and beside that of random sets of neurons of the same layers that are about as often nodes where the token is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from atlas.circuits.anchored import OUTPUT, Anchors
from atlas.circuits.cells import Observations, Places, read_observations, read_places
from atlas.errors import InputError
from atlas.ids import INDEX_BITS, MAX_INDEX
from atlas.io.files import write_parquet
from atlas.models.load import enough_memory
from atlas.models.model import TracedModel
from atlas.models.prompts import Prompt, read_prompts
from atlas.options import PromptOptions, VerifyOptions, is_found_again
from atlas.stages import DATASETS, require
from atlas.stages.manifest import read_manifest, replaced_folder, write_manifest
from atlas.stages.resamples import Ints

Progress = Callable[[str, int, int], None]
_NEAR = 10  # neurons with the nearest frequency, of which a control is drawn


@dataclass(frozen=True)
class EffectSummary:
    """Counts of circuits that were cut."""

    circuits: int
    above_controls: int
    untested: int  # circuits that are found again, without enough held-out prompts


def circuit_effects(
    stats: Path,
    circuits: Path,
    model: TracedModel,
    prompts: Path,
    out: Path,
    options: VerifyOptions | None = None,
    *,
    corpus: PromptOptions | None = None,
    progress: Progress = lambda *_: None,
) -> EffectSummary:
    """Measure the causal effects of the circuits of tokens that are found again, and write them to a folder.

    Args:
        stats: Stats folder of the traced prompts.
        circuits: Folder of the circuits.
        model: Model that was traced.
        prompts: File of the prompts that were traced.
        out: Folder of the stage `verify`, which is replaced.
        options: Numbers of circuits, prompts and controls, and the seed; the defaults where None.
        corpus: Options that select the prompts, as they were traced.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of circuits.

    Raises:
        InputError: The statistics are not of these prompts.
        OutputError: `out` cannot be written.
        StageError: A folder is no stage, or is damaged.
    """
    options = options or VerifyOptions()
    ids = {
        item.index: item.ids
        for item in read_prompts(prompts, model, corpus or PromptOptions())
        if isinstance(item, Prompt) and item.index is not None
    }
    rows = _chosen(circuits, options.most)
    bench = _Bench(model, ids, read_places(stats), read_observations(stats), options)
    found: list[dict[str, Any]] = []
    with replaced_folder(out, "verify") as folder, enough_memory(), torch.no_grad():
        for number, row in enumerate(rows):
            progress("cutting circuits", number, len(rows))
            if (effect := bench.effect(row)) is not None:
                found.append(effect)
        dataset = DATASETS["verify.circuit_effects"]
        columns = {name: [row[name] for row in found] for name in dataset.schema.names}
        write_parquet(dataset.table(columns), dataset.path(folder))
        write_manifest(folder, "verify", model=model.name, revision=model.fingerprint, options=vars(options))
    above = sum(row["is_above_controls"] for row in found)
    return EffectSummary(len(found), above, len(rows) - len(found))


def _chosen(circuits: Path, most: int) -> list[dict[str, Any]]:
    """Return the circuits of tokens that are found again, the surest of each kind first, `most` of them, of both kinds alike."""
    read_manifest(circuits, "circuits")
    table: pa.Table = pq.read_table(require(circuits, DATASETS["circuits.circuits"]))
    sure = [
        row
        for row in table.to_pylist()
        if row["kind"] in ("input", "output") and is_found_again(row["half_agreement"], row["null_fdr"])
    ]
    sure.sort(key=lambda row: (-row["half_agreement"], row["circuit_id"]))
    by_kind = [[row for row in sure if row["kind"] == kind] for kind in ("output", "input")]
    first = [rows[: (most + 1) // 2] for rows in by_kind]
    rest = sorted((row for rows in by_kind for row in rows[(most + 1) // 2 :]), key=lambda row: -row["half_agreement"])
    return [row for rows in first for row in rows][:most] + rest[: max(0, most - sum(map(len, first)))]


def _are_of(places: Places, ids: dict[int, tuple[int, ...]]) -> bool:
    """Return True if every input token of the statistics is one of its prompt."""
    if not set(np.unique(places.prompt).tolist()) <= ids.keys():
        return False
    inputs = places.kind == "input"
    return all(
        item in ids[prompt]
        for prompt, item in zip(places.prompt[inputs].tolist(), places.item[inputs].tolist(), strict=True)
    )


class _Bench:
    """Prompts in two halves, and the model that circuits are cut from."""

    def __init__(
        self,
        model: TracedModel,
        ids: dict[int, tuple[int, ...]],
        places: Places,
        seen: Observations,
        options: VerifyOptions,
    ) -> None:
        if not len(places.prompt) or not _are_of(places, ids):
            raise InputError(
                "the statistics are of other prompts than these; give the file that was traced, read as it was"
            )
        self.model, self.ids, self.places, self.seen, self.options = model, ids, places, seen, options
        self.rng = np.random.default_rng(options.seed)
        half = np.zeros(max(seen.bucket_count, 1), np.bool_)
        half[self.rng.permutation(seen.bucket_count)[: seen.bucket_count // 2]] = True
        self.finds = half  # buckets on which circuits are found; the others test
        self.test_prompts = np.unique(places.prompt[~half[places.bucket]])
        self.means = self._means()
        self._clean: dict[int, Tensor] = {}

    def effect(self, row: dict[str, Any]) -> dict[str, Any] | None:
        """Return the effect of a circuit, or None where too few held-out prompts have its token."""
        has_token = (self.places.kind == row["kind"]) & np.isin(self.places.item, row["token_ids"])
        topic = np.unique(self.places.prompt[has_token])
        inside = self._some(np.intersect1d(topic, self.test_prompts))
        outside = self._some(np.setdiff1d(self.test_prompts, topic))
        members = self._members(row)
        if min(len(inside), len(outside)) < self.options.least_prompts or not len(members):
            return None
        controls = self._controls(members, topic)
        here = self._divergence(members, inside)
        beside = [self._divergence(control, inside) for control in controls]
        everything = self._all()
        lost = self._divergence(everything, inside)
        kept = self._divergence(np.setdiff1d(everything, members), inside)
        return {
            "circuit_id": row["circuit_id"],
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

    def _members(self, row: dict[str, Any]) -> Ints:
        """Return the neurons that carry the token on the half that finds circuits."""
        cells = self.seen.cells[row["kind"]]
        anchors = Anchors.of(cells, [tuple(row["token_ids"])], is_output=row["kind"] == OUTPUT)
        scores = anchors.scores(self.finds.astype(np.float64))
        chosen = anchors.best(scores, np.array([row["anchored_count"]]))
        return anchors.cells.second[chosen]

    def _controls(self, members: Ints, topic: Ints) -> list[Ints]:
        """Return random sets with a neuron of the same layer, about as often a node on topic, for every member."""
        is_topic = (self.places.kind == "neuron") & np.isin(self.places.prompt, topic)
        neurons, counts = np.unique(self.places.item[is_topic & self.finds[self.places.bucket]], return_counts=True)
        free = ~np.isin(neurons, members)
        neurons, counts = neurons[free], counts[free]
        often = dict(zip(neurons.tolist(), counts.tolist(), strict=True))
        found = []
        for _ in range(self.options.controls):
            taken: set[int] = set()
            for member in members.tolist():
                near = [n for n in neurons[neurons >> INDEX_BITS == member >> INDEX_BITS].tolist() if n not in taken]
                if near:
                    wanted = self._frequency(member, topic)
                    near.sort(key=lambda n: (abs(often[n] - wanted), n))
                    taken.add(int(self.rng.choice(near[:_NEAR])))
            if len(taken) == len(members):
                found.append(np.array(sorted(taken), np.int64))
        return found

    def _frequency(self, neuron: int, topic: Ints) -> int:
        held = (self.places.kind == "neuron") & (self.places.item == neuron) & self.finds[self.places.bucket]
        return int(np.isin(self.places.prompt[held], topic).sum())

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
