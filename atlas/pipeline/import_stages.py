"""Import stages of a recipe, and the check that every file of a recipe exists."""

from __future__ import annotations

import glob
from pathlib import Path

from atlas.errors import InputError, RecipeError, needs_extra
from atlas.importers import IMPORTERS
from atlas.importers.summary import ImportSummary
from atlas.io.paths import local_path, matching
from atlas.pipeline.recipe import Recipe
from atlas.pipeline.sections import ImportSection
from atlas.runtime.progress import Progress


def _given(section: ImportSection) -> list[Path]:
    """Return the paths of a section, with globs resolved."""
    found = [match for path in section.paths for match in matches(path)]
    if not IMPORTERS[section.kind].takes_many and len(found) != 1:
        raise RecipeError(f"imports of kind {section.kind} take one path, not {len(found)}: {', '.join(section.paths)}")
    return found


def imported_files(section: ImportSection) -> list[Path]:
    """Return every file that an import reads; for a folder, all files in it."""
    if section.kind == "checkpoint":
        with needs_extra("aggregate"):
            from atlas.importers.checkpoint import find_checkpoint
        return [find_checkpoint(path) for path in _given(section)]
    return [
        file
        for path in _given(section)
        for file in (sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path])
    ]


def is_empty(section: ImportSection) -> bool:
    """Return True where a legacy atlas holds no clusters to import; its recipe then continues without them."""
    with needs_extra("aggregate"):
        from atlas.importers.cluster_assignments import has_clusters
    return section.kind == "assignments" and not has_clusters(_given(section)[0])


def run_import(section: ImportSection, folder: Path, memory: int, progress: Progress) -> ImportSummary:
    """Read the files of a section into `folder`; return the importer's summary."""
    importer = IMPORTERS[section.kind]
    options = {name: memory if name == "memory" else getattr(section, name) for name in importer.options}
    return importer.run(_given(section), folder, progress=progress, **options)


def require_inputs(recipe: Recipe) -> None:
    """Raise `InputError` that lists every missing file of a recipe, with its role and description."""
    wanted: list[tuple[str, str, str | None]] = []
    if recipe.graphs:
        wanted += [(path, "graphs", recipe.graphs.description) for path in recipe.graphs.paths]
    for item in recipe.imports:
        wanted += [(path, item.kind, item.description) for path in item.paths]
    wanted += [(item.path, "labels", item.description) for item in recipe.labels.files]
    if recipe.trace:
        wanted.append((recipe.trace.prompts, "prompts", None))
    if recipe.wire:
        wanted.append((recipe.wire.model, "model", "config.json and *.safetensors"))
    missing = [item for item in wanted if not any(path.exists() for path in matches(item[0]))]
    if missing:
        roles: dict[str, list[str]] = {}
        for path, role, _ in missing:
            roles.setdefault(path, []).append(role)
        known = {path: text for path, _, text in reversed(missing) if text}
        told = "; ".join(
            f"{path} ({', '.join(dict.fromkeys(names))}{f': {known[path]}' if path in known else ''})"
            for path, names in roles.items()
        )
        what = "1 input that is" if len(roles) == 1 else f"{len(roles)} inputs that are"
        raise InputError(f"recipe {recipe.name} needs {what} not there: {told}")


def matches(path: str) -> list[Path]:
    """Return a path, or the paths that a pattern matches."""
    given = local_path(path)
    if given.exists() or not glob.has_magic(str(given)):
        return [given]
    return matching(str(given))
