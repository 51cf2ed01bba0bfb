"""Stages of a recipe with `[collect]`: a store of activations, and its statistics."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from atlas.errors import needs_extra
from atlas.options import DOCUMENT_KEYS, CollectOptions, DocumentOptions, part_of
from atlas.pipeline.recipe import CollectSection, Recipe
from atlas.pipeline.trace_stages import TracedStages
from atlas.pipeline.tracing import collect_activations
from atlas.runtime.memory import parse_bytes
from atlas.runtime.progress import Progress


class CollectedStages:
    """Stages `activations` and `measures`; the model of `[trace]` is loaded once for both."""

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
        return given

    def collect(self, folder: Path) -> object:
        """Collect the store in `folder`."""
        section, trace = self._section, self._recipe.trace
        is_traced = section.model is None and self._traced is not None
        corpus = {name: getattr(section, name) for name in DOCUMENT_KEYS}
        if section.text is None and trace is not None:
            corpus = {name: getattr(trace, name) for name in DOCUMENT_KEYS}
        return collect_activations(
            self._traced.model if is_traced and self._traced is not None else str(section.model),
            self._text,
            folder,
            options=part_of(section, CollectOptions),
            sae=Path(section.sae) if section.sae else None,
            corpus=DocumentOptions(**corpus),
            name=section.name,
            device=self._recipe.aggregate.device,
            dtype=section.dtype,
            batch=section.batch,
            memory=parse_bytes(self._recipe.aggregate.memory),
            fresh=True,
            progress=self._progress,
        )


def measure_store(store: Path, folder: Path, memory: int, progress: Progress) -> object:
    """Compute the statistics of a store in `folder`."""
    with needs_extra("trace"):
        from atlas.activations import measure
    return measure(store, folder, memory=memory, progress=progress)
