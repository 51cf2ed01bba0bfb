"""Readers of the files of examples, each to the same rows: windows of tokens with activations, and stated numbers."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlas.errors import InputError
from atlas.io.files import opened, read_json_object
from atlas.io.lines import LineTooLong, filled_lines

Row = Mapping[str, Any]
_NAMES = ("feature_*_samples.json", "batch-*.json", "batch-*.jsonl.gz", "batch-*.jsonl")
_LAYER = re.compile(r"(\d+)(?:-|\Z)")
_PLACED = 1_000_000  # files of circuit-tracer may be numbered layer * 1,000,000 + feature
_LONGEST_LINE = 1 << 26
_DEFINITIONS = {
    "activation_count": "activations above the threshold of the collection, on tokens whose number is not stated",
    "max_activation": "largest activation of the samples that were held",
    "mean_activation": "mean of the samples that were held, at most 100, and not of all activations",
    "frac_nonzero": "share of all tokens, padding included, rounded to 0.001 %",
    "n_prompts_total": "number of prompts that were run",
    "n_tokens_in_prompt": "tokens per prompt",
    "maxActApprox": "largest activation that was seen",
    "density": "share of tokens with an activation above 0",
    "mean_act": "mean over all tokens, also those without activation",
    "mean_act_squared": "mean of the squares over all tokens",
    "activation_frequency": "share of tokens with an activation, as the tool counts it",
    "act_min": "smallest activation of the histogram",
    "act_max": "largest activation of the histogram",
}


@dataclass(frozen=True)
class Sample:
    """A window of tokens and the activations of one unit in it; `values` is None where they have no place."""

    layer: int
    unit: int
    tokens: Sequence[str]
    values: Mapping[int, float] | None
    group: str
    model: str | None = None


@dataclass(frozen=True)
class Stated:
    """A number that a file states about a unit."""

    layer: int
    unit: int
    name: str
    value: float
    definition: str
    model: str | None = None


def sample_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files of examples in files and folders; raises `InputError` where a path holds none."""
    found: list[Path] = []
    for path in paths:
        if path.is_file():
            found.append(path)
            continue
        mine = sorted({file for pattern in _NAMES for file in path.rglob(pattern)}) if path.is_dir() else []
        # Atoms of OpenAI, and features of circuit-tracer, are called by their number.
        mine = mine or sorted(file for file in path.glob("*.json") if file.stem.isdecimal()) if path.is_dir() else []
        mine = mine or sorted(file for file in path.glob("atoms/*.json") if file.stem.isdecimal())
        if not mine:
            raise InputError(f"{path} holds no examples: none of {', '.join(_NAMES)} or {{number}}.json")
        found += mine
    return [file for file in found if "explanations" not in file.parts]


def read_samples(file: Path, layer: int | None) -> Iterator[Sample | Stated]:
    """Yield the examples and stated numbers of a file.

    Args:
        file: File of one of the layouts.
        layer: Layer, where the file names none.

    Yields:
        Examples, and numbers.

    Raises:
        InputError: The file is of another kind, or damaged.
    """
    try:
        if ".jsonl" in file.name:
            yield from _neuronpedia(file, layer)
            return
        found = read_json_object(file, "a file of examples")
        for key, read in _LAYOUTS.items():
            if key in found:
                yield from read(file, found, layer)
                return
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file} is damaged or of another version: {type(error).__name__} {error}") from error
    raise InputError(f"{file} holds no examples of a known tool; it has {', '.join(found)[:200]}")


def _needed(layer: int | None, file: Path) -> int:
    if layer is None:
        raise InputError(f"{file} does not name the layer; give it with --layer N")
    return layer


def _numbers(layer: int, unit: int, row: Row, names: Sequence[str], model: str | None = None) -> Iterator[Stated]:
    for name in names:
        value = row.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield Stated(layer, unit, name, float(value), _DEFINITIONS[name], model)


def _folder(file: Path, found: Row, layer: int | None) -> Iterator[Sample | Stated]:
    """A sample folder: the window holds tokens on either side of the active one, fewer at the start of a sequence."""
    place = _needed(layer, file)
    facts, samples = found["statistics"], found["top_samples"]
    unit = int(facts["feature_idx"])
    yield from _numbers(place, unit, facts, ("activation_count", "max_activation", "mean_activation"))
    half = max((len(row["context_tokens"]) - 1 for row in samples), default=0) // 2
    for row in samples:
        tokens, last = [str(token) for token in row["context_tokens"]], row["tokens"][-1:]
        at = min(int(row["position"]), half)
        if not (at < len(tokens) and [tokens[at]] == last):
            # The context is cut at an edge in another way; the token is where it stands only once.
            places = [number for number, token in enumerate(tokens) if [token] == last]
            at = places[0] if len(places) == 1 else -1
        values = {at: float(row["activation_value"])} if at >= 0 else None
        yield Sample(place, unit, tokens, values, "top")


def _dashboard(file: Path, found: Row, layer: int | None) -> Iterator[Sample | Stated]:
    place, model = _layer_of(found.get("layer"), layer, file), found.get("model_id")
    for feature in found["features"]:
        unit = int(feature["feature_index"])
        names = ("frac_nonzero", "n_prompts_total", "n_tokens_in_prompt")
        yield from _numbers(place, unit, feature, names, model)
        for row in feature["activations"]:
            yield _window(place, unit, row, _interval(row.get("bin_min"), row.get("bin_max")), model)


def _neuronpedia(file: Path, layer: int | None) -> Iterator[Sample | Stated]:
    for row in _lines(file):
        place, unit, model = _layer_of(row["layer"], layer, file), int(row["index"]), row.get("modelId")
        if "tokens" in row:
            yield _window(place, unit, row, _interval(row.get("binMin"), row.get("binMax")), model)
        else:
            yield from _numbers(place, unit, row, ("frac_nonzero", "maxActApprox"), model)


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    try:
        with opened(file) as stream:
            for _, line in filled_lines(stream, _LONGEST_LINE):
                found = json.loads(line)
                if not isinstance(found, dict):
                    raise InputError(f"{file} holds a line that is no object")
                yield found
    except (OSError, EOFError, ValueError, zlib.error, RecursionError, LineTooLong) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file} cannot be read: {' '.join(str(error).split())[:200]}") from error


def _window(layer: int, unit: int, row: Row, group: str, model: str | None) -> Sample:
    tokens, values = [str(token) for token in row["tokens"]], row["values"]
    if len(tokens) != len(values):
        return Sample(layer, unit, tokens, None, group, model)
    return Sample(layer, unit, tokens, {at: float(value) for at, value in enumerate(values)}, group, model)


def _interval(low: Any, high: Any) -> str:
    """Return the group of an example: the strongest ones have no lower bound."""
    return "top" if low in (None, -1) else f"interval {low} to {high}"


def _layer_of(stated: Any, given: int | None, file: Path) -> int:
    """Return the layer that a file states, as in `6-res-jb`, or the given one."""
    if isinstance(stated, int):
        return stated
    found = _LAYER.match(str(stated)) if stated is not None else None
    return int(found[1]) if found else _needed(given, file)


def _atom(file: Path, found: Row, layer: int | None) -> Iterator[Sample | Stated]:
    """An atom of OpenAI's viewer: the strongest examples, and a random sample beside them."""
    place, unit = _needed(layer, file), _number(file)
    yield from _numbers(place, unit, found, ("density", "mean_act", "mean_act_squared"))
    for group in ("top", "random"):
        for row in found.get(group) or []:
            yield _window(place, unit, {"tokens": row["tokens"], "values": row["acts"]}, group, None)


def _viewer(file: Path, found: Row, layer: int | None) -> Iterator[Sample | Stated]:
    """A feature of circuit-tracer's viewer; the number of its file may hold the layer."""
    number = _number(file)
    place, unit = (
        divmod(number, _PLACED) if number >= _PLACED else (_needed(layer, file), int(found.get("index", number)))
    )
    yield from _numbers(place, unit, found, ("activation_frequency", "act_min", "act_max"))
    for quantile in found["examples_quantiles"]:
        for row in quantile["examples"]:
            named = {"tokens": row["tokens"], "values": row["tokens_acts_list"]}
            yield _window(place, unit, named, str(quantile.get("quantile_name")), None)


def _number(file: Path) -> int:
    if not file.stem.isdecimal():
        raise InputError(f"{file} is not called by the number of its feature, such as 1234.json")
    return int(file.stem)


_LAYOUTS: dict[str, Callable[[Path, Row, int | None], Iterator[Sample | Stated]]] = {
    "top_samples": _folder,
    "features": _dashboard,
    "examples_quantiles": _viewer,
    "random": _atom,
    "top": _atom,
}
