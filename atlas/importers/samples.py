"""Importer of examples that other tools chose for a unit: windows of tokens with the activations on them.

| files | layout |
|---|---|
| sample folder | feature_00000_samples.json with statistics and top_samples |
| SAEDashboard | batch-0.json with features, each with activations |
| Neuronpedia | {source}/activations/batch-0.jsonl.gz, or these files |
| OpenAI | {atom}.json with top, random, density |
| circuit-tracer | {feature}.json with examples_quantiles |

The windows were chosen for their activations, so how often a unit is active is not known: counts of tokens are no denominators, and what
follows from them is NULL. Numbers that the files state are kept apart (`stated_stats`), with what they mean there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from atlas.errors import InputError
from atlas.importers.sample_contexts import FACTS
from atlas.importers.sample_files import Sample, Stated, read_samples, sample_files
from atlas.importers.summary import ImportSummary
from atlas.io.files import read_json_object
from atlas.options import MEMORY
from atlas.stages import DATASETS
from atlas.stages.store.byte_tokens import decoded_vocabulary
from atlas.stages.store.cells import Context
from atlas.stages.store.collector import VOCABULARY, Collector
from atlas.stages.store.spaces import ActivationSpace

Progress = Callable[[str, int, int], None]
_STATED = DATASETS["activations.stated_stats"]


@dataclass
class SampleImportSummary(ImportSummary):
    """Counts of an import of examples."""

    files: int = 0
    units: int = 0
    examples: int = 0
    contexts: int = 0
    stated: int = 0
    unplaced: int = 0  # examples whose active token cannot be told

    def notes(self) -> list[str]:
        """Return what is not known, and what was left out."""
        found = ["the windows were chosen for their activations: how often a unit is active is not known, and is NULL"]
        if self.unplaced:
            found.append(f"{self.unplaced:,} examples were left out: the token that is active cannot be told")
        return found


@dataclass
class _Window:
    """A window of tokens, with the activations of all units that it was chosen for."""

    cells: dict[tuple[int, int, int], float] = field(default_factory=dict)  # (layer, unit, position)
    groups: set[str] = field(default_factory=set)


def import_samples(
    paths: Sequence[Path],
    out: Path,
    *,
    model: str | None = None,
    layer: int | None = None,
    memory: int = MEMORY,
    progress: Progress = lambda *_: None,
) -> SampleImportSummary:
    """Import examples of another tool into a store whose contexts are samples.

    Args:
        paths: Files or folders in the layouts above.
        out: Folder of the store, which is replaced.
        model: Name of the model, where the files state none.
        layer: Layer, where the files name none and no export.json beside them does.
        memory: Bytes that sorting may take.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of what was read and left out.

    Raises:
        InputError: A file is of another kind, or damaged. Nothing is written then.
        OutputError: The folder cannot be written.
    """
    files = sample_files(paths)
    summary = SampleImportSummary(files=len(files))
    windows: dict[tuple[int, ...], _Window] = {}
    numbers: dict[str, int] = {}  # of the tokens, in the order of their first place
    stated: list[Stated] = []
    units: dict[int, int] = {}
    named = model
    for number, file in enumerate(files):
        progress("reading examples", number, len(files))
        for item in read_samples(file, layer if layer is not None else _exported_layer(file)):
            if isinstance(item, Stated):
                stated.append(item)
            elif item.values is None:
                summary.unplaced += 1
            else:
                _keep(windows, numbers, item)
                summary.examples += 1
            units[item.layer] = max(units.get(item.layer, 0), item.unit + 1)
            named = named or item.model
    if not windows:
        raise InputError(f"{paths[0]} holds no examples with tokens")
    space = ActivationSpace(named, hook="imported", unit_type="feature", value_kind=None, sampled=True)
    with Collector(out, space=space, layers=units, memory=memory, fresh=True, progress=progress) as collector:
        for place, (tokens, window) in enumerate(windows.items()):
            _add(collector, place, tokens, window)
        words = {"token_id": list(numbers.values()), "token": decoded_vocabulary(numbers)}
        table = VOCABULARY.table({**words, "is_special": [None] * len(numbers)})
        collector.write(table, stated=_stated_table(stated), imported_from=paths[0].name)
    known = {(layer, unit) for window in windows.values() for layer, unit, _ in window.cells}
    summary.units, summary.contexts, summary.stated = len(known), len(windows), len(stated)
    return summary


def _exported_layer(file: Path) -> int | None:
    """Return the layer of an export of this package that holds a file; None of other files, and of several layers."""
    for folder in file.parents:
        if (folder / FACTS).is_file():
            layers = read_json_object(folder / FACTS, "it says what was exported").get("layers")
            return int(next(iter(layers))) if isinstance(layers, dict) and len(layers) == 1 else None
    return None


def _keep(windows: dict[tuple[int, ...], _Window], numbers: dict[str, int], sample: Sample) -> None:
    ids = tuple(numbers.setdefault(token, len(numbers)) for token in sample.tokens)
    window = windows.setdefault(ids, _Window())
    window.groups.add(sample.group)
    for position, value in (sample.values or {}).items():
        if value:
            window.cells[sample.layer, sample.unit, position] = value


def _add(collector: Collector, place: int, ids: tuple[int, ...], window: _Window) -> None:
    context = Context(ids, f"example {place}", attributes=(("groups", ", ".join(sorted(window.groups))),))
    ordered = sorted(window.cells.items())
    columns = {
        name: np.array([key[at] for key, _ in ordered], np.int64)
        for at, name in enumerate(("layer", "unit", "position"))
    }
    cells: dict[str, Any] = {**columns, "context": np.zeros(len(ordered), np.int64)}
    collector.add_cells(cells | {"value": np.array([value for _, value in ordered], np.float64)}, [context])


def _stated_table(stated: Sequence[Stated]) -> Any:
    ordered = sorted(stated, key=lambda item: (item.layer, item.unit, item.name))
    columns = {
        name: [getattr(item, name) for item in ordered] for name in ("layer", "unit", "name", "value", "definition")
    }
    return _STATED.table(columns)
