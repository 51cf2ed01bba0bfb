"""Causal effects of circuits: what the model predicts without them, on prompts that they were not found on.

A circuit is found again on one half of the groups of prompts and cut on the other. Its neurons take their mean, at the first
position and at all others; the effect is the Kullback-Leibler divergence of the prediction at the last token. It stands beside
the effect elsewhere, and beside that of random sets of neurons of the same layers that are about as often nodes on the same prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from atlas.circuits.anchored import OUTPUT, Anchors
from atlas.circuits.cells import Observations, Places, read_observations, read_places
from atlas.circuits.cutting import Bench
from atlas.errors import InputError, StageError, UsageError
from atlas.ids import INDEX_BITS
from atlas.io.files import write_parquet
from atlas.models.load import enough_memory
from atlas.models.model import TracedModel
from atlas.models.prompts import Prompt, read_prompts
from atlas.options import PromptOptions, VerifyOptions, is_found_again
from atlas.stages import DATASETS, require
from atlas.stages.manifest import read_manifest, replaced_folder, write_manifest
from atlas.stages.resamples import Bools, Ints

Progress = Callable[[str, int, int], None]
ACTS = 0.25  # share of the neurons of a cluster, and two of them, from which on it acts on a prompt


@dataclass(frozen=True)
class EffectSummary:
    """Counts of circuits that were cut."""

    circuits: int
    above_controls: int
    untested: int  # circuits that are found again, without enough held-out prompts


@dataclass(frozen=True)
class _Subject:
    """A circuit to cut: a token's, or a cluster, with the groups of prompts that found its members and those that test."""

    kind: str
    row: dict[str, Any]
    clustering: str | None = None
    groups: dict[int, bool] | None = None
    members: Ints | None = None


def circuit_effects(
    stats: Path,
    circuits: Sequence[Path],
    model: TracedModel,
    prompts: Path,
    out: Path,
    options: VerifyOptions | None = None,
    *,
    corpus: PromptOptions | None = None,
    progress: Progress = lambda *_: None,
) -> EffectSummary:
    """Measure the causal effects of the circuits that are found again, and write them to a folder.

    Args:
        stats: Stats folder of the traced prompts.
        circuits: Folders of anchored circuits and of clusterings.
        model: Model that was traced.
        prompts: File of the prompts that were traced.
        out: Folder of the stage `verify`, which is replaced.
        options: Numbers of circuits, prompts and controls, and the seed; the defaults where None.
        corpus: Options that select the prompts, as they were traced.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of circuits.

    Raises:
        InputError: The statistics are not of these prompts, or a clustering is of other statistics.
        OutputError: `out` cannot be written.
        StageError: A folder is no stage, or is damaged.
        UsageError: Two folders hold the same circuits, or clusterings of one name.
    """
    options = options or VerifyOptions()
    ids = {
        item.index: item.ids
        for item in read_prompts(prompts, model, corpus or PromptOptions())
        if isinstance(item, Prompt) and item.index is not None
    }
    every = [subject for folder in circuits for subject in _found_again(folder)]
    _require_distinct(every)
    subjects = _chosen(every, options.most)
    places = read_places(stats)
    if not len(places.prompt) or not _are_of(places, ids):
        raise InputError(
            "the statistics are of other prompts than these; give the file that was traced, read as it was"
        )
    benches = _Benches(model, ids, places, read_observations(stats), options)
    found: list[dict[str, Any]] = []
    with replaced_folder(out, "verify") as folder, enough_memory(), torch.no_grad():
        for number, subject in enumerate(subjects):
            progress("cutting circuits", number, len(subjects))
            if (effect := benches.effect(subject)) is not None:
                found.append(effect)
        dataset = DATASETS["verify.circuit_effects"]
        columns = {name: [row[name] for row in found] for name in dataset.schema.names}
        write_parquet(dataset.table(columns), dataset.path(folder))
        write_manifest(folder, "verify", model=model.name, revision=model.fingerprint, options=vars(options))
    above = sum(row["is_above_controls"] for row in found)
    return EffectSummary(len(found), above, len(subjects) - len(found))


def _require_distinct(subjects: list[_Subject]) -> None:
    seen = Counter((one.clustering, one.row["circuit_id"]) for one in subjects)
    for (clustering, circuit), count in seen.items():
        if count > 1:
            what = f"clusterings called {clustering!r}" if clustering else "folders with the circuit " + circuit
            raise UsageError(f"there are two {what}; give each folder once, and each clustering a name of its own")


def _found_again(folder: Path) -> Iterator[_Subject]:
    """Yield the circuits of a folder that are found again."""
    try:
        read_manifest(folder, "circuits")
    except StageError as error:
        try:
            read_manifest(folder, "clusters")
        except StageError:
            raise error from None
        yield from _clusters(folder)
        return
    for row in pq.read_table(require(folder, DATASETS["circuits.circuits"])).to_pylist():
        if row["kind"] in ("input", "output") and is_found_again(row["half_agreement"], row["null_fdr"]):
            yield _Subject(row["kind"], row)


def _clusters(folder: Path) -> Iterator[_Subject]:
    """Yield the clusters of a clustering that are found again, with their members by one half of the groups."""
    dataset, halves = DATASETS["clusters.half_members"], DATASETS["clusters.half_groups"]
    if not dataset.path(folder).exists() or not halves.path(folder).exists():
        return
    name = pq.read_table(require(folder, DATASETS["clusters.clusterings"]))["name"][0].as_py()
    table = pq.read_table(halves.path(folder))
    groups = dict(zip(table["group_id"].to_pylist(), table["finds"].to_pylist(), strict=True))
    members: dict[str, list[int]] = {}
    for row in pq.read_table(dataset.path(folder)).to_pylist():
        members.setdefault(row["cluster_path"], []).append(row["layer"] << INDEX_BITS | row["neuron"])
    for row in pq.read_table(require(folder, DATASETS["clusters.clusters"])).to_pylist():
        mine = members.get(row["cluster_path"])
        if mine and is_found_again(row["half_agreement"], row["null_fdr"]):
            row["circuit_id"] = row["cluster_path"]
            yield _Subject(f"cluster of {name}", row, name, groups, np.array(sorted(mine), np.int64))


def _chosen(subjects: list[_Subject], most: int) -> list[_Subject]:
    """Return `most` circuits, the surest of each kind first, of all kinds alike."""
    ordered = sorted(subjects, key=lambda one: (-one.row["half_agreement"], one.row["circuit_id"]))
    # Outputs before inputs; clusters after both.
    kinds = sorted({one.kind for one in ordered}, key=lambda kind: (kind.startswith("cluster"), kind != OUTPUT, kind))
    turns = [
        (rank, place, one)
        for place, kind in enumerate(kinds)
        for rank, one in enumerate(one for one in ordered if one.kind == kind)
    ]
    return [one for *_, one in sorted(turns, key=lambda turn: turn[:2])[:most]]


def _are_of(places: Places, ids: dict[int, tuple[int, ...]]) -> bool:
    """Return True if every input token of the statistics is one of its prompt."""
    if not set(np.unique(places.prompt).tolist()) <= ids.keys():
        return False
    inputs = places.kind == "input"
    return all(
        item in ids[prompt]
        for prompt, item in zip(places.prompt[inputs].tolist(), places.item[inputs].tolist(), strict=True)
    )


class _Benches:
    """One bench for circuits of tokens, and one for each clustering, which is found on a half of its own."""

    def __init__(
        self,
        model: TracedModel,
        ids: dict[int, tuple[int, ...]],
        places: Places,
        seen: Observations,
        options: VerifyOptions,
    ) -> None:
        self.places, self.seen = places, seen
        self._given, self._options = (model, ids, places), options
        self.half = np.zeros(max(seen.bucket_count, 1), np.bool_)
        order = np.random.default_rng(options.seed).permutation(seen.bucket_count)
        self.half[order[: seen.bucket_count // 2]] = True
        self._benches: dict[str | None, Bench] = {}

    def _finds(self, subject: _Subject) -> Bools:
        """Return True for the places whose prompts find the circuit."""
        if subject.groups is None:
            found: Bools = self.half[self.places.bucket]
            return found
        if not set(subject.groups) <= set(np.unique(self.places.group).tolist()):
            raise InputError(
                f"the clustering {subject.clustering} is of other statistics than these: it has groups of prompts that they have not"
            )
        # Prompts of groups that are in neither half, as of a selection of graphs, found nothing: they test.
        return np.isin(self.places.group, [group for group, finds in subject.groups.items() if finds])

    def effect(self, subject: _Subject) -> dict[str, Any] | None:
        """Return the row of a circuit, or None where it cannot be tested."""
        bench = self._benches.get(subject.clustering)
        if bench is None:
            bench = self._benches[subject.clustering] = Bench(*self._given, self._finds(subject), self._options)
        members = self._members(subject) if subject.members is None else subject.members
        topic = self._with_token(subject.row) if subject.members is None else self._acting(members)
        found = bench.effect(members, topic)
        told = {"circuit_id": subject.row["circuit_id"], "clustering": subject.clustering}
        return None if found is None else told | found

    def _members(self, subject: _Subject) -> Ints:
        """Return the neurons that carry the token on the half that finds circuits."""
        row = subject.row
        cells = self.seen.cells[subject.kind]
        anchors = Anchors.of(cells, [tuple(row["token_ids"])], is_output=subject.kind == OUTPUT)
        scores = anchors.scores(self.half.astype(np.float64))
        chosen = anchors.best(scores, np.array([row["anchored_count"]]))
        return anchors.cells.second[chosen]

    def _with_token(self, row: dict[str, Any]) -> Ints:
        has_token = (self.places.kind == row["kind"]) & np.isin(self.places.item, row["token_ids"])
        return np.unique(self.places.prompt[has_token])

    def _acting(self, members: Ints) -> Ints:
        """Return the prompts on which enough of some neurons are nodes."""
        is_one = (self.places.kind == "neuron") & np.isin(self.places.item, members)
        prompts, counts = np.unique(self.places.prompt[is_one], return_counts=True)
        return prompts[counts >= max(2, ACTS * len(members))]
