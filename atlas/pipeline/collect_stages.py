"""Stages of a recipe with `[[collect]]`: stores of activations, their statistics, and the features of dictionaries."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from atlas.database import StoreInputs
from atlas.errors import StageError, needs_extra
from atlas.ids import FEATURE
from atlas.options import DOCUMENT_KEYS, RESIDUAL, CollectOptions, DocumentOptions, FeatureOptions, part_of
from atlas.pipeline.dictionaries import read_dictionary
from atlas.pipeline.fingerprints import Fingerprints, files_of
from atlas.pipeline.recipe import Recipe
from atlas.pipeline.sections import CollectSection
from atlas.pipeline.trace_stages import TracedStages
from atlas.pipeline.tracing import collect_activations
from atlas.runtime.memory import parse_bytes
from atlas.runtime.progress import Progress
from atlas.stages import DATASETS, is_whole
from atlas.stages.manifest import read_manifest

if TYPE_CHECKING:
    from atlas.models import TracedModel

RunStage = Callable[[str, str, bool, Callable[[], Any]], object]


class CollectedStages:
    """Stages `activations` and `features` of one section; the model of `[trace]` is loaded once for both."""

    def __init__(
        self, section: CollectSection, recipe: Recipe, traced: TracedStages | None, progress: Progress
    ) -> None:
        self._section = section
        self._recipe = recipe
        self._traced = traced
        self._progress = progress

    @property
    def _text(self) -> Path:
        trace = self._recipe.trace
        given = self._section.text or (trace.prompts if trace else None)
        assert given is not None  # the recipe was checked
        return Path(given)

    def inputs(self) -> list[tuple[str, Path]]:
        """Return the files that the store depends on; a model on the hub is identified by its name alone."""
        section = self._section
        found = [("text", self._text)]
        if section.model is None and self._traced is not None:
            found += [item for item in self._traced.inputs() if item[0] != "prompts"]
        elif section.model is not None and Path(section.model).is_dir():
            found += [(f"model/{path.name}", path) for path in sorted(Path(section.model).iterdir()) if path.is_file()]
        if section.sae is not None:
            sae = Path(section.sae)
            files = sorted(path for path in sae.iterdir() if path.is_file()) if sae.is_dir() else [sae]
            found += [(f"sae/{path.name}", path) for path in files]
        return found

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that decide the store, except files."""
        given = asdict(self._section) | {"text": None, "sae": None, "batch": None}
        if given["model"] and Path(given["model"]).is_dir():
            given["model"] = Path(given["model"]).name
        # What the section leaves out is that of the trace, which may change.
        trace = self._traced.described() if self._traced is not None else {}
        inherited = [*(("model", "name", "dtype") if self._section.model is None else ())]
        inherited += DOCUMENT_KEYS if self._section.text is None else ()
        return given | {f"trace.{name}": trace.get(name) for name in inherited}

    @property
    def _model(self) -> str | TracedModel:
        if self._section.model is None and self._traced is not None:
            return self._traced.model
        return str(self._section.model)

    @property
    def _corpus(self) -> DocumentOptions:
        trace = self._recipe.trace
        source = trace if self._section.text is None and trace is not None else self._section
        return DocumentOptions(**{name: getattr(source, name) for name in DOCUMENT_KEYS})

    def collect(self, folder: Path) -> object:
        """Collect the store in `folder`."""
        section = self._section
        return collect_activations(
            self._model,
            self._text,
            folder,
            options=part_of(section, CollectOptions),
            sae=Path(section.sae) if section.sae else None,
            corpus=self._corpus,
            name=section.name,
            device=self._recipe.aggregate.device,
            dtype=section.dtype,
            batch=section.batch,
            memory=parse_bytes(self._recipe.aggregate.memory),
            fresh=True,
            progress=self._progress,
        )

    def features(self, folder: Path) -> object:
        """Read the features of the dictionary into `folder`."""
        section = self._section
        return read_dictionary(
            self._model,
            Path(str(section.sae)),
            folder,
            options=FeatureOptions(
                window=section.window, skip_first=section.skip_first, skip_special=section.skip_special
            ),
            layer=section.layers[0] if section.layers else None,
            text=self._text,
            corpus=self._corpus,
            name=section.name,
            device=self._recipe.aggregate.device,
            dtype=section.dtype,
            batch=section.batch,
            progress=self._progress,
        )


class Stores:
    """All stores of a recipe: collected ones, then an imported one."""

    def __init__(self, recipe: Recipe, fingerprints: Fingerprints, stage: RunStage, progress: Progress) -> None:
        self._recipe, self._fingerprints, self._stage, self._progress = recipe, fingerprints, stage, progress
        self._work = recipe.work_path
        self.found: list[StoreInputs] = []

    def collect(self, traced: TracedStages | None) -> None:
        """Run the stages of every `[[collect]]`.

        Args:
            traced: The traced model, if there is one.
        """
        for section in self._recipe.collect:
            stages = CollectedStages(section, self._recipe, traced, self._progress)
            fingerprint = self._fingerprints.fingerprint("activations", stages.parameters(), stages.inputs())
            store = self._run("activations", fingerprint, stages.collect)
            features = None
            if section.sae is not None:
                fingerprint = self._fingerprints.fingerprint("features", stages.parameters(), stages.inputs())
                features = self._run("features", fingerprint, stages.features)
            self.add(store, features, measured=section.hook != RESIDUAL)

    def add(self, store: Path, features: Path | None = None, *, measured: bool = True) -> None:
        """Compute the statistics of a store, beside those of the first one.

        Args:
            store: Folder of the store.
            features: Folder of the features of its dictionary.
            measured: False for vectors, which have no statistics.
        """
        measures = self._measures(store) if measured else None
        self.found.append(StoreInputs(store, measures, features))

    def _measures(self, store: Path) -> Path:
        first = self.found[0] if self.found and self.found[0].measures else None
        differs = first is not None and first.unit_type != StoreInputs(store).unit_type
        beside = first.store if first is not None and differs and holds_contexts(first.store, store) else None
        inputs = files_of(store, "activations") + (files_of(beside, "beside") if beside else [])
        memory = parse_bytes(self._recipe.aggregate.memory)
        fingerprint = self._fingerprints.fingerprint("measures", {}, inputs)
        return self._run(
            "measures", fingerprint, lambda folder: measure_store(store, folder, beside, memory, self._progress)
        )

    def _run(self, stage: str, fingerprint: str, run: Callable[[Path], object]) -> Path:
        """Run one stage in a folder of its own where it is out of date; return the folder."""
        name = stage if not self.found else f"{stage}-{len(self.found) + 1}"
        folder = self._work / name
        self._stage(name, fingerprint, is_whole(folder, stage), lambda: run(folder))
        return folder


def holds_contexts(store: Path, other: Path) -> bool:
    """Return True if a store holds all contexts of another one, so that their units can be set side by side.

    Args:
        store: Folder of a store.
        other: Folder of another store.

    Returns:
        Whether it does, and looked at the same tokens.
    """
    path = DATASETS["activations.contexts"].path
    hashes = [
        set(pq.read_table(path(folder), columns=["content_hash"])["content_hash"].to_pylist())
        for folder in (store, other)
    ]
    spaces = [read_manifest(folder, "activations")["space"] for folder in (store, other)]
    return hashes[0] >= hashes[1] and all(
        spaces[0][name] == spaces[1][name] for name in ("skips_first", "skipped_tokens")
    )


def measure_store(store: Path, folder: Path, beside: Path | None, memory: int, progress: Progress) -> object:
    """Compute the statistics of a store in `folder`."""
    with needs_extra("trace"):
        from atlas.activations import measure
    return measure(store, folder, beside=beside, memory=memory, progress=progress)


def is_store(folder: Path) -> bool:
    """Return True if a folder holds a store of activations.

    Args:
        folder: Any folder.

    Returns:
        Whether it is a store.
    """
    try:
        read_manifest(folder, "activations")
    except StageError:
        return False
    return True


def read_explanations(labels: Path, store: Path) -> dict[tuple[int, int], str]:
    """Read the first label of every unit of a label file, of the type of units that a store holds.

    Args:
        labels: Label file of any kind that `atlas import labels` reads. Rows of features name a dictionary.
        store: Folder of the store.

    Returns:
        Text by layer and number.

    Raises:
        LabelFileError: The file cannot be read.
    """
    from atlas.labels import LabelFile, import_labels

    with tempfile.TemporaryDirectory() as scratch:
        import_labels([LabelFile(labels, same_units=True)], Path(scratch) / "labels")
        rows = pq.read_table(DATASETS["labels.labels"].path(Path(scratch) / "labels")).to_pylist()
    is_feature = read_manifest(store, "activations")["space"]["unit_type"] == FEATURE
    named = [row for row in rows if row["dictionary"] is not None]
    rows = named if is_feature and named else rows
    found: dict[tuple[int, int], str] = {}
    for row in sorted(rows, key=lambda row: (row["rank"] is None, row["rank"])):
        # A row that names no dictionary may be of either type, as most files have one.
        fits = row["dictionary"] is None or is_feature
        if row["text"] and not row["is_uninformative"] and fits:
            found.setdefault((row["layer"], row["neuron"]), row["text"])
    return found
