"""Stages of a recipe that start from a model: `[trace]` and `[project]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlas.errors import needs_extra
from atlas.options import ProjectOptions, PromptOptions, TraceOptions, VerifyOptions, part_of
from atlas.pipeline.models import load
from atlas.pipeline.recipe import Recipe
from atlas.pipeline.sections import TraceSection
from atlas.pipeline.tracing import project_model, trace_prompts
from atlas.runtime.memory import parse_bytes
from atlas.runtime.progress import Progress

if TYPE_CHECKING:
    from atlas.models import TracedModel

# Keys that change no graph: the number of prompts per forward pass.
_NO_MATTER = ("batch",)
# Files that `transformers` reads in a model folder: weights, configuration, tokenizer, chat template.
_MODEL_FILES = (".safetensors", ".bin", ".json", ".model", ".txt", ".jinja")


class TracedStages:
    """Stages `[trace]` and `[project]` of a recipe; the model is loaded once, and only if a stage runs."""

    def __init__(self, section: TraceSection, recipe: Recipe, progress: Progress) -> None:
        self._section = section
        self._recipe = recipe
        self._progress = progress

    @cached_property
    def model(self) -> TracedModel:
        """Model of `[trace]`."""
        section = self._section
        self._progress("loading the model", 0, 0)
        return load(section.model, name=section.name, device=self._recipe.aggregate.device, dtype=section.dtype)

    def inputs(self) -> list[tuple[str, Path]]:
        """Return the files that both stages depend on; a model on the hub is identified by its name alone."""
        section, model = self._section, Path(self._section.model)
        files = sorted(path for path in model.iterdir() if path.suffix in _MODEL_FILES) if model.is_dir() else []
        return [("prompts", Path(section.prompts)), *((f"model/{path.name}", path) for path in files)]

    def trace_parameters(self) -> dict[str, Any]:
        """Return the parameters that decide the statistics, except files."""
        return self.described() | {
            name: getattr(self._recipe.aggregate, name) for name in ("cooccurrence", "groups", "graph_links")
        }

    def project_parameters(self) -> dict[str, Any]:
        """Return the parameters that decide the projections, except files."""
        return self.described() | asdict(self._recipe.project)

    def described(self) -> dict[str, Any]:
        """Return the section without what decides no result."""
        # The path of the model folder may differ on another machine; its files are inputs.
        given = asdict(self._section) | {"prompts": None}
        if Path(self._section.model).is_dir():
            given["model"] = Path(self._section.model).name
        return {key: value for key, value in given.items() if key not in _NO_MATTER}

    def trace(self, folder: Path, *, fresh: bool) -> object:
        """Trace the prompts to statistics in `folder`."""
        section, how = self._section, self._recipe.aggregate
        return trace_prompts(
            self.model,
            Path(section.prompts),
            folder,
            options=part_of(section, TraceOptions),
            corpus=part_of(section, PromptOptions),
            batch=section.batch,
            memory=parse_bytes(how.memory),
            threads=how.threads or None,
            cooccurrence=how.cooccurrence,
            groups=how.groups,
            graph_links=how.graph_links,
            fresh=fresh,
            progress=self._progress,
        )

    def verify(self, stats: Path, circuits: Sequence[Path], folder: Path, options: VerifyOptions) -> object:
        """Cut circuits from the model, and write their effects to `folder`."""
        with needs_extra("trace"):
            from atlas.circuits.effects import circuit_effects

        return circuit_effects(
            stats,
            circuits,
            self.model,
            Path(self._section.prompts),
            folder,
            part_of(options, VerifyOptions),
            corpus=part_of(self._section, PromptOptions),
            progress=self._progress,
        )

    def project(self, folder: Path) -> object:
        """Write projections, ratios, exemplars and labels to `folder`."""
        section, given = self._section, self._recipe.project
        return project_model(
            self.model,
            folder,
            prompts=Path(section.prompts),
            options=part_of(given, ProjectOptions),
            corpus=part_of(section, PromptOptions),
            batch=section.batch,
            progress=self._progress,
        )
