"""Runs a recipe: each stage that is out of date, in order, and nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlas import __version__, resources
from atlas.database import BuildResult, Inputs, build_database, open_atlas, refuse_foreign
from atlas.errors import AtlasFileError, InputError, SourceChanged, needs_extra
from atlas.recipe import Recipe, parse_bytes
from atlas.schema import VERSION, is_whole
from atlas.storage import only_writer, sha256_of, translated_os_errors, write_json

if TYPE_CHECKING:
    from atlas.aggregate import Summary
    from atlas.graph import Source

DEFAULT_MEMORY = 2_000_000_000  # bytes

Progress = Callable[[str, int, int], None]  # what, done, of


def _silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


def peak_memory_mb() -> float:
    """Peak resident memory of this process so far, in MB."""
    return _peak_mb(resource.RUSAGE_SELF)


def peak_worker_mb() -> float:
    """Peak resident memory of the largest worker process that has ended, in MB; 0 without any."""
    return _peak_mb(resource.RUSAGE_CHILDREN)


def _peak_mb(whose: int) -> float:
    peak = resource.getrusage(whose).ru_maxrss
    return peak / 1e3 if sys.platform != "darwin" else peak / 1e6


def find_inputs(paths: Sequence[str | Path]) -> tuple[list[Source], bool]:
    """The files under `paths`, and whether they hold observations (Parquet, Arrow) rather than graphs.

    A folder with graph files is a folder of graphs, whatever else lies in it. Raises `InputError`
    where there is nothing, or where both kinds are named.
    """
    with needs_extra("aggregate"):
        from atlas.aggregate import SUFFIXES, is_observations
        from atlas.graphs import find_sources

    named = [path for path in paths if is_observations(str(path)) and not Path(path).is_dir()]
    if named and len(named) < len(paths):
        raise InputError(f"{named[0]} holds observations, other paths graphs; aggregate them apart, then atlas merge")
    if named:
        return find_sources(paths, SUFFIXES), True
    try:
        return find_sources(paths), False
    except InputError as error:
        if "no graph files" not in str(error):
            raise
        try:
            return find_sources(paths, SUFFIXES), True
        except InputError:
            raise error from None


def aggregate_graphs(
    paths: Sequence[str | Path],
    out: Path,
    *,
    device: str = "auto",
    memory: int = DEFAULT_MEMORY,
    threads: int | None = None,
    fresh: bool = False,
    model: str | None = None,
    transcoder_set: str | None = None,
    unit_type: str = "neuron",
    strict: bool = False,
    together: int = 20,
    scheduler: str | None = None,
    work: str | None = None,
    progress: Progress = _silent,
) -> Summary:
    """Read graph files (or observations in Parquet or Arrow) and write their statistics to the folder `out`.

    Files that `out` holds already are not read again; a run that was stopped goes on where it was; `fresh`
    starts over. `memory` (bytes) bounds all processes together, `threads` is the number of worker
    processes (one per core where None), `scheduler` a Dask scheduler (`local` or an address) that runs the
    tasks instead, with `work` as the folder or URL that its workers share; none of them changes a count.
    `model` replaces what the files say (RelP files name the wrong model), `transcoder_set` is used where
    they say none, `unit_type` says what observations are of. `together` is the number of co-occurring
    neurons kept of each; 0 leaves co-occurrence out.

    Raises `InputError` (also for a counted file that has changed or is gone, unless `fresh`, and with
    `strict` for any file that cannot be read), `SpaceMismatch`, `OutputError`, `UsageError`, `MissingExtra`.
    """
    with needs_extra("aggregate"):
        from atlas.aggregate import How, Options, Together, aggregate_files, aggregate_observations
        from atlas.graph import Space
        from atlas.graphs import read_graphs

    found, observed = find_inputs(paths)
    options = Options(memory=memory, device=device, together=Together(top=together) if together else None)
    how = How([str(path) for path in paths], options, threads, progress, fresh, work, scheduler)
    if observed:
        return aggregate_observations(found, out, Space(model, transcoder_set, unit_type), how)
    return aggregate_files(found, out, read_graphs, how, model=model, transcoder_set=transcoder_set, strict=strict)


def merge_stats(
    folders: Sequence[Path],
    out: Path,
    *,
    device: str = "auto",
    memory: int = DEFAULT_MEMORY,
    threads: int | None = None,
    together: int = 20,
    skip_duplicates: bool = False,
    progress: Progress = _silent,
) -> Summary:
    """Merge stats folders: the same statistics as aggregating all their graphs together (sums to 1e-12).

    Raises `SpaceMismatch` where they are of different feature spaces, `InputError` where a graph stands in
    two of them (with `skip_duplicates`, a folder all of whose graphs stand in the others is left out).
    """
    with needs_extra("aggregate"):
        from atlas.aggregate import How, Options, Together
        from atlas.aggregate import merge_stats as run

    options = Options(memory=memory, device=device, together=Together(top=together) if together else None)
    return run(folders, out, How([], options, threads, progress), skip_duplicates=skip_duplicates)


@dataclass(frozen=True)
class StageRun:
    """One stage of a build: whether it ran, and how long its last run took."""

    name: str
    ran: bool
    seconds: float
    result: Any = None


@dataclass(frozen=True)
class PipelineResult:
    """All stages of a build, and the atlas."""

    path: Path
    stages: list[StageRun]
    build: BuildResult | None  # None where the atlas was up to date


class _Stamps:
    """What each stage was last run with; a stage whose inputs and parameters hash the same is up to date."""

    def __init__(self, work: Path) -> None:
        self._folder = work / ".stamps"
        self._hashes_path = self._folder / "hashes.json"
        self._hashes: dict[str, list[Any]] = self._read(self._hashes_path)

    @staticmethod
    def _read(path: Path) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            value = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(value, dict):
                return value
        return {}

    def content_hash(self, path: Path, *, missing_ok: bool = False) -> str:
        """SHA-256 of a file; read again only where size or time of change differ.

        Raises `InputError` where it cannot be read; with `missing_ok` that is a hash of its own.
        """
        try:
            stat = path.stat()
            key = str(path.resolve())
            known = self._hashes.get(key)
            if not isinstance(known, list) or len(known) != 3 or known[:2] != [stat.st_size, stat.st_mtime_ns]:
                self._hashes[key] = known = [stat.st_size, stat.st_mtime_ns, sha256_of(path)]
        except OSError as error:
            if not missing_ok:
                raise InputError(f"{path} cannot be read: {error.strerror}") from error
            return "unreadable"
        return str(known[2])

    def fingerprint(
        self, stage: str, parameters: Any, inputs: Sequence[tuple[str, Path]], *, missing_ok: bool = False
    ) -> str:
        """One hash over all that the result of a stage depends on."""
        facts = {
            "stage": stage,
            "tool": __version__,
            "schema": VERSION,
            "parameters": parameters,
            "inputs": [[name, self.content_hash(path, missing_ok=missing_ok)] for name, path in inputs],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def last(self, stage: str) -> dict[str, Any]:
        """What is known of the last run of a stage."""
        return self._read(self._folder / f"{stage}.json")

    def save(self, stage: str, fingerprint: str, seconds: float) -> None:
        """Note a finished run."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_json({"fingerprint": fingerprint, "seconds": seconds}, self._folder / f"{stage}.json")
        write_json(self._hashes, self._hashes_path)


def run_recipe(recipe: Recipe, *, recipe_path: Path | None = None, progress: Progress = _silent) -> PipelineResult:
    """Run the stages of a recipe that are out of date, and build its atlas.

    Raises `AtlasError` of the stage that fails; finished stages stay, so the same call goes on there.
    """
    # Before hours of work, not after them.
    refuse_foreign(recipe.output_path)
    with only_writer(recipe.work_path):
        with translated_os_errors(recipe.work_path):
            recipe.work_path.mkdir(parents=True, exist_ok=True)
        return _Run(recipe, recipe_path, progress).all()


class _Run:
    def __init__(self, recipe: Recipe, recipe_path: Path | None, progress: Progress) -> None:
        self.recipe = recipe
        self.recipe_path = recipe_path
        self.progress = progress
        self.work = recipe.work_path
        self.stamps = _Stamps(self.work)
        self.stages: list[StageRun] = []

    def all(self) -> PipelineResult:
        stats = self._stats()
        clusters = [self._clusters(stats, index) for index in range(len(self.recipe.cluster))]
        labels = self._labels(stats)
        build = self._atlas(stats, clusters, labels)
        return PipelineResult(self.recipe.output_path, self.stages, build)

    def _stage(self, name: str, fingerprint: str, is_there: bool, run: Callable[[], Any]) -> StageRun:
        last = self.stamps.last(name)
        if is_there and last.get("fingerprint") == fingerprint and isinstance(last.get("seconds"), int | float):
            stage = StageRun(name, False, float(last["seconds"]))
        else:
            started = time.monotonic()
            result = run()
            stage = StageRun(name, True, round(time.monotonic() - started, 3), result)
            self.stamps.save(name, fingerprint, stage.seconds)
        self.stages.append(stage)
        return stage

    def _stats(self) -> Path:
        section, how = self.recipe.graphs, self.recipe.aggregate
        folder = self.work / "stats"
        sources, _ = find_inputs(section.paths)
        # Device, memory and threads change no count and no byte that matters; a GPU appearing reruns nothing.
        parameters: dict[str, Any] = {
            "model": section.model,
            "transcoder_set": section.transcoder_set,
            "unit_type": section.unit_type,
            "strict": section.strict,
            "together": how.together,
        }
        # A graph that cannot be read is a reject of the stage, and no reason to stop before it.
        fingerprint = self.stamps.fingerprint("stats", parameters, sources, missing_ok=True)

        def run(*, fresh: bool = False) -> Any:
            return aggregate_graphs(
                section.paths,
                folder,
                device=how.device,
                memory=parse_bytes(how.memory),
                threads=how.threads or None,
                fresh=fresh,
                progress=self.progress,
                **parameters,
            )

        def run_anyhow() -> Any:
            try:
                return run()
            except SourceChanged:
                # The recipe says what the atlas is made of; nobody is asked whether that may change.
                return run(fresh=True)

        self._stage("stats", fingerprint, is_whole(folder, "stats"), run_anyhow)
        return folder

    def _clusters(self, stats: Path, index: int) -> Path:
        with needs_extra("cluster"):
            from atlas.cluster import cluster

        options = self.recipe.cluster[index]
        name = f"clusters-{options.title}"
        folder = self.work / name
        inputs = _files(stats / "edges", "edges")
        fingerprint = self.stamps.fingerprint(name, asdict(options), inputs)

        def run() -> Any:
            self.progress(f"clustering {options.title}", 0, 0)
            return cluster(stats, folder, options)

        self._stage(name, fingerprint, is_whole(folder, "clusters"), run)
        return folder

    def _labels(self, stats: Path) -> Path | None:
        from atlas.labels import JUNK, KINDS, LabelFile, Precedence, import_labels

        section = self.recipe.labels
        files = [LabelFile(Path(item.path), item.source, item.kind, item.model) for item in section.files]
        inputs = [(item.path.name, item.path) for item in files]
        if section.from_graphs:
            # After the files: a label file that somebody chose comes before what the graphs happen to carry.
            files.append(LabelFile(stats))
            inputs.append(("graph_labels", stats / "graph_labels.parquet"))
        if not files:
            return None
        precedence = Precedence(
            section.precedence, section.kinds or KINDS, JUNK if section.junk is None else section.junk
        )
        fingerprint = self.stamps.fingerprint("labels", asdict(section), inputs)
        folder = self.work / "labels"
        self._stage("labels", fingerprint, is_whole(folder, "labels"), lambda: import_labels(files, folder, precedence))
        return folder

    def _atlas(self, stats: Path, clusters: list[Path], labels: Path | None) -> BuildResult | None:
        recipe, out = self.recipe, self.recipe.output_path
        # The SQL is part of the result: a changed view makes a new file.
        inputs = _files(stats, "stats") + _files(resources.folder("sql"), "sql")
        for folder in [*clusters, *([labels] if labels else [])]:
            inputs += _files(folder, folder.name)
        parameters = asdict(recipe)
        fingerprint = self.stamps.fingerprint("atlas", parameters, inputs)
        metadata = {"recipe": json.dumps(parameters, sort_keys=True), "recipe_name": recipe.name}
        metadata |= {f"seconds_{stage.name}": str(stage.seconds) for stage in self.stages}
        metadata["peak_memory_mb"] = f"{peak_memory_mb():.0f}"
        sources = []
        if self.recipe_path is not None:
            path = self.recipe_path
            sources.append((path.name, "recipe", path.stat().st_size, self.stamps.content_hash(path)))
        section = recipe.atlas
        given = Inputs(stats, clusters, labels, section.primary, section.min_count, section.memory, metadata, sources)

        def run() -> BuildResult:
            return build_database(out, given, report=lambda step: self.progress(step, 0, 0))

        result: BuildResult | None = self._stage("atlas", fingerprint, _is_atlas(out), run).result
        return result


def _is_atlas(path: Path) -> bool:
    try:
        open_atlas(path).close()
    except AtlasFileError:
        return False
    return True


def _files(folder: Path, name: str) -> list[tuple[str, Path]]:
    """Every file of a stage's folder, so that a stage replaced by a user's own script is noticed."""
    return [(f"{name}/{path.relative_to(folder)}", path) for path in sorted(folder.rglob("*")) if path.is_file()]
