"""Runner of recipes: runs the stages that are out of date, in order."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from atlas.database import BuildResult, Inputs, StoreInputs, build_database, open_atlas, refuse_foreign
from atlas.errors import AtlasFileError, SourceChanged, needs_extra
from atlas.importers import IMPORTERS
from atlas.io import package_data as resources
from atlas.io.files import only_writer, translated_os_errors
from atlas.io.paths import local_path, recorded
from atlas.options import AUTO, NONE, WireOptions, part_of
from atlas.pipeline.aggregation import aggregate_graphs, find_inputs
from atlas.pipeline.circuit_stage import anchored_stage, verify_stage
from atlas.pipeline.cluster_stage import clustering_stage
from atlas.pipeline.collect_stages import Stores
from atlas.pipeline.fingerprints import Fingerprints, deciding, files_of
from atlas.pipeline.import_stages import imported_files, is_empty, matches, require_inputs, run_import
from atlas.pipeline.recipe import IMPORTED_STATS, Recipe
from atlas.pipeline.sections import ImportSection, WireSection
from atlas.pipeline.trace_stages import TracedStages
from atlas.runtime.memory import parse_bytes, peak_memory_mb
from atlas.runtime.progress import Progress, silent
from atlas.stages import DATASETS, is_whole


@dataclass(frozen=True)
class StageRun:
    """Stage of a build: `ran` is False where it was up to date; `seconds` is the duration of its last run."""

    name: str
    ran: bool
    seconds: float
    result: Any = None


@dataclass(frozen=True)
class Skipped:
    """Reason why a stage was skipped."""

    reason: str

    def lines(self) -> list[str]:
        """Return the lines to print."""
        return [self.reason]


@dataclass(frozen=True)
class PipelineResult:
    """All stages of a build, and the atlas."""

    path: Path
    stages: list[StageRun]
    build: BuildResult | None  # None where the atlas was up to date


def run_recipe(recipe: Recipe, *, recipe_path: Path | None = None, progress: Progress = silent) -> PipelineResult:
    """Run the stages of a recipe that are out of date, and build its atlas.

    Args:
        recipe: Recipe to run.
        recipe_path: File of the recipe; errors and the atlas name it.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        The atlas file, and which stages ran.

    Raises:
        AtlasError: A stage failed. Finished stages are kept, so the same call continues after them.
    """
    # Fail before hours of work, not after them.
    refuse_foreign(recipe.output_path)
    require_inputs(recipe)
    with only_writer(recipe.work_path):
        with translated_os_errors(recipe.work_path):
            recipe.work_path.mkdir(parents=True, exist_ok=True)
        return _Run(recipe, recipe_path, progress).all()


@dataclass(frozen=True)
class _Stages:
    """Folders that an atlas is built from."""

    stats: Path
    clusters: list[Path]
    circuits: Path | None
    effects: Path | None
    labels: Path | None
    projections: Path | None
    wiring: Path | None
    reports: Path | None
    stores: list[StoreInputs]


class _Run:
    def __init__(self, recipe: Recipe, recipe_path: Path | None, progress: Progress) -> None:
        self.recipe = recipe
        self.recipe_path = recipe_path
        self.base = recipe_path.resolve().parent if recipe_path else None
        self.progress = progress
        self.work = recipe.work_path
        self.fingerprints = Fingerprints(self.work)
        self.stages: list[StageRun] = []

    def all(self) -> PipelineResult:
        traced = TracedStages(self.recipe.trace, self.recipe, self.progress) if self.recipe.trace else None
        imported = {item.kind: item for item in self.recipe.imports if item.kind != "assignments"}
        source = next((imported[kind] for kind in IMPORTED_STATS if kind in imported), None)
        observed = self._traced_stats(traced) if traced else self._stats() if self.recipe.graphs else None
        observed = self._import(source, "stats") if source else observed
        wiring = self._wiring(self.recipe.wire) if self.recipe.wire else None
        if "wiring-cache" in imported:
            wiring = self._import(imported["wiring-cache"], "wiring")
        stats = observed or wiring
        assert stats is not None  # a recipe has a source of statistics, or of wiring
        projections = self._projections(traced) if traced else None
        if "projections" in imported:
            projections = self._import(imported["projections"], "projections")
        stores = Stores(self.recipe, self.fingerprints, self._stage, self.progress)
        stores.collect(traced)
        for kind in (kind for kind in ("activations", "samples") if kind in imported):
            stores.add(self._import(imported[kind], f"{kind}-imported"))
        reports = self._import(imported["reports"], "reports") if "reports" in imported else None
        assigned = [item for item in self.recipe.imports if item.kind == "assignments" and not is_empty(item)]
        clusters = [self._import(item, f"clusters-{item.name or item.method}") for item in assigned]
        found = [self._clusters(stats, index) for index in range(len(self.recipe.cluster))]
        clusters += [folder for folder in found if folder is not None]
        folder = self.work / "circuits"
        section = self.recipe.circuits
        circuits = anchored_stage(section, stats, folder, self.fingerprints, self._stage, self.progress)
        folder, cut = self.work / "verify", self.recipe.verify
        to_cut = [*([circuits] if circuits else []), *(one for one in found if one is not None)]
        effects = verify_stage(cut, stats, to_cut, folder, traced, self.fingerprints, self._stage)
        labels = self._labels(stats, projections)
        folders = _Stages(
            stats=stats,
            clusters=clusters,
            circuits=circuits,
            effects=effects,
            labels=labels,
            projections=projections,
            wiring=wiring,
            reports=reports,
            stores=stores.found,
        )
        build = self._atlas(folders, traced)
        return PipelineResult(self.recipe.output_path, self.stages, build)

    def _stage(self, name: str, fingerprint: str, is_there: bool, run: Callable[[], Any]) -> StageRun:
        last = self.fingerprints.last(name)
        if is_there and last.get("fingerprint") == fingerprint and isinstance(last.get("seconds"), int | float):
            stage = StageRun(name, False, float(last["seconds"]))
        else:
            self.fingerprints.forget(name)
            started = time.monotonic()
            result = run()
            stage = StageRun(name, True, round(time.monotonic() - started, 3), result)
            self.fingerprints.save(name, fingerprint, stage.seconds)
        self.stages.append(stage)
        return stage

    def _traced_stats(self, traced: TracedStages) -> Path:
        folder = self.work / "stats"
        fingerprint = self.fingerprints.fingerprint("stats", traced.trace_parameters(), traced.inputs())
        # A killed run resumes. Work of another model, other options or other prompts does not belong to this atlas.
        begun = self.fingerprints.last("stats-begun").get("fingerprint") == fingerprint

        def run() -> Any:
            self.fingerprints.save("stats-begun", fingerprint, 0.0)
            return traced.trace(folder, fresh=not begun or is_whole(folder, "stats"))

        self._stage("stats", fingerprint, is_whole(folder, "stats"), run)
        return folder

    def _projections(self, traced: TracedStages) -> Path:
        folder = self.work / "projections"
        fingerprint = self.fingerprints.fingerprint("projections", traced.project_parameters(), traced.inputs())
        is_there = is_whole(folder, "projections")
        self._stage("projections", fingerprint, is_there, lambda: traced.project(folder))
        return folder

    def _stats(self) -> Path:
        section, how = self.recipe.graphs, self.recipe.aggregate
        assert section is not None  # a recipe without [graphs] has [trace]
        folder = self.work / "stats"
        found, _ = find_inputs(section.paths)
        inputs: list[tuple[str, Path]] = [*found]
        # Device, memory and threads do not change the statistics, so a new GPU reruns nothing.
        parameters: dict[str, Any] = {
            "model": section.model,
            "transcoder_set": section.transcoder_set,
            "unit_type": section.unit_type,
            "strict": section.strict,
            "cooccurrence": how.cooccurrence,
            "groups": how.groups,
            "graph_links": how.graph_links,
        }
        if how.groups not in (AUTO, NONE):
            inputs.append(("groups", local_path(how.groups)))
            parameters["groups"] = "file"
        # An unreadable graph is a reject of the stage; it must not stop the build before that.
        fingerprint = self.fingerprints.fingerprint("stats", parameters, inputs, missing_ok=True)

        def run(*, fresh: bool = False) -> object:
            return aggregate_graphs(
                section.paths,
                folder,
                device=how.device,
                memory=parse_bytes(how.memory),
                threads=how.threads or None,
                fresh=fresh,
                progress=self.progress,
                **parameters | {"groups": how.groups},
            )

        def run_anyhow() -> object:
            try:
                return run()
            except SourceChanged:
                # The recipe decides the inputs of the atlas, so changed files need no confirmation.
                return run(fresh=True)

        self._stage("stats", fingerprint, is_whole(folder, "stats"), run_anyhow)
        return folder

    def _wiring(self, section: WireSection) -> Path:
        with needs_extra("trace"):
            from atlas.wiring import Weights, are_of, wire

        folder, model = self.work / "wiring", Path(section.model)
        files = [(f"model/{path.name}", path) for path in Weights(model).inputs()]
        parameters = asdict(section) | {"model": section.name or model.resolve().name}
        how = self.recipe.aggregate
        # Traced neurons of this model state in which regime they fire.
        stats = self.work / "stats"
        regimes = stats if self.recipe.trace and are_of(stats, Weights(model)) else None
        if regimes is not None:
            files.append(("regimes", DATASETS["stats.regimes"].path(regimes)))

        def run() -> object:
            options = part_of(section, WireOptions)
            memory = parse_bytes(how.memory)
            return wire(
                model,
                folder,
                options,
                name=section.name,
                regimes=regimes,
                device=how.device,
                memory=memory,
                progress=self.progress,
            )

        fingerprint = self.fingerprints.fingerprint("wiring", parameters, files)
        self._stage("wiring", fingerprint, is_whole(folder, "stats"), run)
        return folder

    def _import(self, section: ImportSection, name: str) -> Path:
        """Run the stage of an import and return its folder."""
        folder = self.work / name
        paths = imported_files(section)
        fingerprint = self.fingerprints.fingerprint(
            name, asdict(section) | {"paths": None}, [(path.name, path) for path in paths]
        )
        memory = parse_bytes(self.recipe.aggregate.memory)
        is_there = is_whole(folder, IMPORTERS[section.kind].stage)
        self._stage(name, fingerprint, is_there, lambda: run_import(section, folder, memory, self.progress))
        return folder

    def _clusters(self, stats: Path, index: int) -> Path | None:
        """Run a clustering and return its folder, or None where no edge reaches the threshold, as with few graphs."""
        options = self.recipe.cluster[index]
        folder, why_not = clustering_stage(options, stats, self.work, self.fingerprints, self._stage, self.progress)
        if why_not is not None:
            self.stages.append(StageRun(f"clusters-{options.title}", True, 0.0, Skipped(why_not)))
        return folder

    def _labels(self, stats: Path, projections: Path | None) -> Path | None:
        from atlas.labels import KINDS, UNINFORMATIVE, LabelFile, Precedence, content, import_labels

        section = self.recipe.labels
        files = [
            LabelFile(path, item.source, item.kind, item.model, item.same_units)
            for item in section.files
            for path in matches(item.path)
        ]
        inputs = [(path.name, path) for item in files for path in content(item.path)]
        if projections is not None and self.recipe.trace and self.recipe.project.labels:
            path = DATASETS["projections.automatic_labels"].path(projections)
            files.append(LabelFile(path))
            inputs.append(("automatic_labels", path))
        if section.from_graphs:
            # After the files: chosen label files take precedence over the labels in graphs.
            files.append(LabelFile(stats))
            inputs.append(("graph_labels", stats / "graph_labels.parquet"))
        if not files:
            return None
        precedence = Precedence(
            section.precedence,
            section.kinds or KINDS,
            UNINFORMATIVE if section.uninformative is None else section.uninformative,
        )
        fingerprint = self.fingerprints.fingerprint("labels", _recorded(asdict(section), self.base), inputs)
        folder = self.work / "labels"
        self._stage("labels", fingerprint, is_whole(folder, "labels"), lambda: import_labels(files, folder, precedence))
        return folder

    def _sources(self, traced: TracedStages | None) -> list[tuple[str, str, int | None, str | None]]:
        """Return path, role, size and hash of the recipe and of the files that it names."""
        sources: list[tuple[str, str, int | None, str | None]] = []
        if self.recipe_path is not None:
            path = self.recipe_path
            sources.append((path.name, "recipe", path.stat().st_size, self.fingerprints.content_hash(path)))
        for name, path in traced.inputs() if traced else []:
            role = name.partition("/")[0]
            sources.append((path.name, role, path.stat().st_size, self.fingerprints.content_hash(path)))
        for item in self.recipe.imports:
            for path in imported_files(item):
                sources.append((path.name, item.kind, path.stat().st_size, self.fingerprints.content_hash(path)))
        return sources

    def _atlas(self, stages: _Stages, traced: TracedStages | None) -> BuildResult | None:
        recipe, out = self.recipe, self.recipe.output_path
        # The SQL is part of the atlas, so a changed view rebuilds the file.
        inputs = files_of(stages.stats, "stats") + files_of(resources.folder("sql"), "sql")
        others = [stages.circuits, stages.effects, stages.labels, stages.projections, stages.wiring, stages.reports]
        others += [folder for store in stages.stores for folder in (store.store, store.measures, store.features)]
        for folder in [*stages.clusters, *(folder for folder in others if folder)]:
            inputs += files_of(folder, folder.name)
        parameters = asdict(recipe)
        fingerprint = self.fingerprints.fingerprint("atlas", _recorded(deciding(parameters), self.base), inputs)
        metadata = {"recipe": json.dumps(_recorded(parameters, self.base), sort_keys=True), "recipe_name": recipe.name}
        metadata |= {f"seconds_{stage.name}": str(stage.seconds) for stage in self.stages}
        metadata["peak_memory_mb"] = f"{peak_memory_mb():.0f}"
        section = recipe.atlas
        given = Inputs(
            stats=stages.stats,
            clusters=stages.clusters,
            circuits=stages.circuits,
            effects=stages.effects,
            labels=stages.labels,
            projections=stages.projections,
            wiring=stages.wiring,
            reports=stages.reports,
            stores=stages.stores,
            primary=section.primary,
            graph_links=section.graph_links,
            strong_share=section.strong_share,
            min_count=section.min_count,
            memory=parse_bytes(section.memory),
            metadata=metadata,
            card={name: text for name, text in asdict(recipe.card).items() if text is not None},
            other_sources=self._sources(traced),
        )

        def run() -> BuildResult:
            return build_database(out, given, report=lambda step: self.progress(step, 0, 0))

        result: BuildResult | None = self._stage("atlas", fingerprint, _is_atlas(out), run).result
        return result


_PATH_KEYS = {"paths", "path", "model", "prompts", "output", "work", "groups", "text", "sae"}


def _recorded(value: object, base: Path | None, key: str = "") -> object:
    """Return a recipe with its absolute paths as `recorded` gives them."""
    if isinstance(value, dict):
        return {name: _recorded(item, base, name) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_recorded(item, base, key) for item in value]
    return recorded(value, base) if isinstance(value, str) and key in _PATH_KEYS and os.path.isabs(value) else value  # noqa: PTH117


def _is_atlas(path: Path) -> bool:
    try:
        open_atlas(path).close()
    except AtlasFileError:
        return False
    return True
