"""Recipes: TOML files, read into a frozen `Recipe`. An error names the wrong key and the known ones."""

from __future__ import annotations

import functools
import os
import re
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from atlas.errors import RecipeError, UsageError, needs_extra
from atlas.importers import IMPORTERS
from atlas.io.package_data import folder, names
from atlas.options import ClusterOptions, out_of_bounds
from atlas.pipeline.sections import (
    AggregateSection,
    AtlasSection,
    CardSection,
    CircuitsSection,
    CollectSection,
    GraphsSection,
    ImportSection,
    LabelFileSection,
    LabelsSection,
    ProjectSection,
    TraceSection,
    VerifySection,
    WireSection,
)
from atlas.runtime.memory import parse_bytes

HERE = "HERE"  # the folder of the recipe, as in ${HERE}/model
IMPORTED_STATS = tuple(
    kind for kind, importer in IMPORTERS.items() if importer.stage == "stats" and kind != "wiring-cache"
)
_IMPORT_OPTIONS = {"name", "model", "min_count", "method", "leaf_ranks", "layer", "units", "value_kind"}
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "a table",
    "array": "a list",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


@dataclass(frozen=True)
class Recipe:
    """Recipe of one atlas: its inputs and the parameters of every stage."""

    name: str
    graphs: GraphsSection | None = None
    trace: TraceSection | None = None
    wire: WireSection | None = None
    collect: tuple[CollectSection, ...] = ()
    imports: tuple[ImportSection, ...] = ()
    output: str | None = None
    work: str | None = None
    project: ProjectSection = field(default_factory=ProjectSection)
    aggregate: AggregateSection = field(default_factory=AggregateSection)
    cluster: tuple[ClusterOptions, ...] = (ClusterOptions(),)
    circuits: CircuitsSection = field(default_factory=CircuitsSection)
    verify: VerifySection = field(default_factory=VerifySection)
    labels: LabelsSection = field(default_factory=LabelsSection)
    atlas: AtlasSection = field(default_factory=AtlasSection)
    card: CardSection = field(default_factory=CardSection)

    @property
    def output_path(self) -> Path:
        """Path of the atlas file: `output`, or out/NAME.duckdb."""
        return Path(self.output or f"out/{self.name}.duckdb")

    @property
    def work_path(self) -> Path:
        """Folder of the stages: `work`, or the path of the atlas file with the suffix `.stages`."""
        return Path(self.work) if self.work else self.output_path.with_suffix(".stages")


def find_recipe(given: str) -> Path:
    """Return the path of a recipe, given by path or by the name of a shipped recipe. Raises `RecipeError`."""
    path = Path(given)
    if os.path.isfile(path):  # noqa: PTH113 (Path.is_file raises for a name that is too long)
        return path
    shipped = folder("build") / f"{given}.toml"
    if _NAME.match(given) and shipped.is_file():
        return shipped
    raise RecipeError(
        f"no recipe {given}: it is no file, and the recipes that ship are {', '.join(names('build', '.toml'))}"
    )


def load_recipe(
    path: Path,
    settings: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    *,
    output: Path | None = None,
) -> Recipe:
    """Read a recipe, apply `key=value` settings, and replace `${NAME}` from the environment.

    `output` replaces the recipe's key of that name.

    Raises `RecipeError` that names the wrong key or value and the possible ones.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path} cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:  # int() refuses a number of thousands of digits
        raise RecipeError(f"recipe {path} is no valid TOML: {error}") from error
    for setting in settings:
        _apply(table, setting)
    table.setdefault("name", path.stem)
    if output is not None:
        table["output"] = str(output)
    # Keys first: a misspelt --set must not be reported as a variable that is not set.
    _recipe(table, str(path))
    variables = {**(environment or os.environ), HERE: str(path.resolve().parent)}
    recipe = _recipe(_with_variables(table, variables, str(path)), str(path))
    _check_sources(recipe, str(path))
    _check_numbers(recipe, str(path))
    if not recipe.output_path.name or recipe.output_path.is_dir():
        raise RecipeError(
            f"{path}: output {str(recipe.output_path)!r} must name a file, such as out/{recipe.name}.duckdb"
        )
    if not _NAME.match(recipe.name):
        raise RecipeError(f"{path}: name {recipe.name!r} must be letters, digits, '.', '_' and '-'")
    taken = [item.name or item.method for item in recipe.imports if item.kind == "assignments"]
    taken += [options.title for options in recipe.cluster]
    for name in taken:
        if not _NAME.match(name) or taken.count(name) > 1:
            raise RecipeError(
                f"{path}: cluster.name {name!r} must be a file name, and each must be another; there are {', '.join(taken)}"
            )
    if recipe.atlas.primary is not None and recipe.atlas.primary not in taken:
        raise RecipeError(
            f"{path}: atlas.primary {recipe.atlas.primary!r} is no clustering; there are {', '.join(taken) or 'none'}"
        )
    return recipe


def _check_sources(recipe: Recipe, where: str) -> None:
    """Check the imports, and that there is one source of statistics, of wiring, or of each."""
    kinds = [item.kind for item in recipe.imports]
    _check_stores(kinds, where)
    for kind in kinds:
        if kind not in IMPORTERS:
            raise RecipeError(f"{where}: imports.kind {kind!r} is none of {', '.join(IMPORTERS)}")
    for item in recipe.imports:
        for key in sorted(_IMPORT_OPTIONS - set(IMPORTERS[item.kind].options)):
            if getattr(item, key) != getattr(ImportSection, key):
                takers = ", ".join(kind for kind, importer in IMPORTERS.items() if key in importer.options)
                raise RecipeError(f"{where}: imports.{key} has no meaning for kind {item.kind}; it is for {takers}")
    sources = [recipe.graphs, recipe.trace, *(kind for kind in kinds if kind in IMPORTED_STATS)]
    wiring = [recipe.wire, *(kind for kind in kinds if kind == "wiring-cache")]
    given, wired = (sum(item is not None for item in items) for items in (sources, wiring))
    if given > 1 or wired > 1 or not given + wired:
        names = "names no input" if not given + wired else "names several inputs of one kind"
        raise RecipeError(
            f"{where}: the recipe {names}; give one of [graphs] (with paths), [trace] (with model and prompts) and [[imports]] of one kind of "
            f"{', '.join(IMPORTED_STATS)}; and with it or alone one of [wire] (with model) and [[imports]] of a wiring-cache"
        )
    if recipe.trace is None and not all(section.model and section.text for section in recipe.collect):
        raise RecipeError(f"{where}: [collect] names model and text, unless the recipe has [trace]")
    if kinds.count("reports") > 1 or kinds.count("projections") > (recipe.trace is None):
        raise RecipeError(
            f"{where}: give all files of one kind of imports in one list of paths; [trace] makes projections by itself"
        )


def _check_stores(kinds: Sequence[str], where: str) -> None:
    """Check the imports of activations: an atlas takes one store of each kind."""
    if "vectors" in kinds:
        raise RecipeError(f"{where}: imports of kind vectors are no part of an atlas; use activations or samples")
    if kinds.count("activations") > 1 or kinds.count("samples") > 1:
        raise RecipeError(
            f"{where}: give one import of activations and one of samples; merge stores with atlas merge first"
        )


def _check_clusterings(recipe: Recipe, where: str) -> None:
    for item in recipe.cluster:
        try:
            item.check()
        except UsageError as error:
            dot = "." if str(error).split(" ")[0] in vars(item) else ": "
            raise RecipeError(f"{where}: cluster{dot}{error}") from error


def _check_numbers(recipe: Recipe, where: str) -> None:
    """Check memory sizes, and that whole numbers are within the range of every stage."""
    for key, size in (("atlas.memory", recipe.atlas.memory), ("aggregate.memory", recipe.aggregate.memory)):
        try:
            parse_bytes(size)
        except UsageError as error:
            raise RecipeError(f"{where}: {key}: {error}") from error
    _check_clusterings(recipe, where)
    if not 0 <= recipe.aggregate.threads < 2**10 or not 0 <= recipe.aggregate.cooccurrence < 2**10:
        raise RecipeError(f"{where}: aggregate.threads and aggregate.cooccurrence must be from 0 to {2**10 - 1}")
    bounds = [("imports.min_count", item.min_count) for item in recipe.imports]
    for key, value in [*bounds, ("atlas.min_count", recipe.atlas.min_count)]:
        if problem := out_of_bounds(key, value):
            raise RecipeError(f"{where}: {problem}")
    if recipe.aggregate.graph_links not in ("auto", "none"):
        raise RecipeError(f"{where}: aggregate.graph_links {recipe.aggregate.graph_links!r} is none of auto, none")
    if recipe.atlas.graph_links not in ("auto", "embed", "beside", "none"):
        raise RecipeError(
            f"{where}: atlas.graph_links {recipe.atlas.graph_links!r} is none of auto, embed, beside, none"
        )
    if not 0 < recipe.atlas.strong_share <= 1:
        raise RecipeError(f"{where}: atlas.strong_share must be above 0 and at most 1, not {recipe.atlas.strong_share}")


def _apply(table: dict[str, Any], setting: str) -> None:
    """Set one `dotted.key=value`; in a list of tables, set the key in each of them."""
    key, separator, text = setting.partition("=")
    if not separator or not key.strip():
        raise RecipeError(f"--set {setting}: write it as key=value, such as cluster.min_count=3")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text
    *parents, last = key.strip().split(".")
    nodes: list[Any] = [table]
    for parent in [*parents, None]:
        for node in nodes:
            if not isinstance(node, dict):
                raise RecipeError(f"--set {setting}: {'.'.join(parents)} goes through a value, which has no keys")
            if parent is None:
                node[last] = value
        if parent is not None:
            found = [node.setdefault(parent, [{}] if parent == "cluster" else {}) for node in nodes]
            nodes = [item for node in found for item in (node if isinstance(node, list) else [node])]


def _with_variables(value: Any, environment: Mapping[str, str], where: str) -> Any:
    if isinstance(value, dict):
        return {key: _with_variables(item, environment, where) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_variables(item, environment, where) for item in value]
    if not isinstance(value, str):
        return value
    if "\0" in value:
        raise RecipeError(f"{where}: {value!r} holds a NUL character")

    def replaced(found: re.Match[str]) -> str:
        if not environment.get(found[1]):
            raise RecipeError(
                f"{where} needs the variable {found[1]} (in {value!r}): set it, as in {found[1]}=/path/to/it"
            )
        return environment[found[1]]

    text = _VARIABLE.sub(replaced, value)
    return os.path.expanduser(text) if text.startswith("~/") else text  # noqa: PTH111 (a pattern is not a path)


def _recipe(table: dict[str, Any], where: str) -> Recipe:
    """Convert the table to a `Recipe`; msgspec checks types, required keys and the rules of the options."""
    with needs_extra("aggregate"):
        import msgspec
    whole = _whole(Recipe, table, "", where)
    try:
        return msgspec.convert(whole, Recipe)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at `$")
        keys = re.findall(r"\w+", place)
        name = ".".join(key for key in keys if not key.isdigit())
        if said.startswith("Object missing"):
            name = ".".join(filter(None, [name, said.split("`")[1]]))
            said = f"the key {name} is missing; add it, or give it with --set {name}=..."
        elif said.startswith("Expected"):
            value = functools.reduce(lambda found, key: found[int(key) if key.isdigit() else key], keys, whole)
            word = _WORDS[said.split("`")[1].split(" ")[0]]
            size = re.search(r"of length (\d+)", said)
            said = f"{name} must be {word}{f' of {size[1]} values' if size else ''}, not {value!r}"
        else:
            said = f"{name}: {said}"
        raise RecipeError(f"{where}: {said}") from error


def _whole(hint: Any, value: Any, key: str, where: str) -> Any:
    """Return a value with its abbreviations expanded. Raises `RecipeError` for an unknown key."""
    if isinstance(hint, types.UnionType):
        hint = next(option for option in typing.get_args(hint) if option is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        items = value if isinstance(value, list) else [value]
        return [_whole(typing.get_args(hint)[0], item, key, where) for item in items]
    if hint is LabelFileSection and isinstance(value, str):
        return {"path": value}
    if is_dataclass(hint) and isinstance(value, dict):
        prefix, hints = f"{key}." if key else "", typing.get_type_hints(hint)
        known = [item.name for item in fields(hint)]
        for name in value:
            if name not in known:
                there = ", ".join(prefix + other for other in known)
                raise RecipeError(f"{where}: unknown key {prefix}{name}; there are {there}")
        return {name: _whole(hints[name], item, prefix + name, where) for name, item in value.items()}
    # A size in bytes, as on the command line.
    return str(value) if key.endswith(".memory") and type(value) is int else value
