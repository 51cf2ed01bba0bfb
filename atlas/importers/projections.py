"""Import of projections, norms and direct effect ratios of other tools to a projections folder.

Inputs are enriched profiles, projection files by task, wiring caches, function databases, files of direct effect
ratios, SAEDashboard features, influences of features on tokens (.parquet), and the norms in a legacy atlas. The legacy pipeline gave the name `input_projection`
to two products: embed . up_proj, and SiLU(embed . gate) * (embed . up). Only the second comes with a norm or a
`suppresses` list, which tells them apart.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from atlas.errors import IdError, InputError
from atlas.ids import NeuronId, well_formed
from atlas.importers.legacy_database import open_legacy
from atlas.importers.precomputed import influences
from atlas.importers.summary import ImportSummary
from atlas.importers.values import Progress, neuron_of, number, small, text, whole
from atlas.importers.wiring_cache import LAYER_FILE
from atlas.io.files import parquet_writer
from atlas.io.json_stream import Member, members
from atlas.stages import DATASETS, datasets_of
from atlas.stages.manifest import replaced_folder, write_manifest

_INTO = ("profiles", "neurons", "results", "features")
_BATCH = 1 << 17  # rows
_DIRECTIONS = {
    "promotes": ("promotes", 1), "promoted": ("promotes", 1), "promote": ("promotes", 1), "activates": ("activates", 1),
    "suppresses": ("suppresses", -1), "suppressed": ("suppresses", -1), "suppress": ("suppresses", -1),
}  # fmt: skip
_WEIGHTS = ("weight", "logit_contribution", "projection", "frequency")
_EFFECTS = ("logit", "mixed", "routing")
Row = dict[str, Any]


@dataclass
class ProjectionsSummary(ImportSummary):
    """Counts of the import; where several files describe a neuron, the first file counts, kind by kind."""

    neurons: int = 0
    projections: int = 0
    norms: int = 0
    direct_effects: int = 0
    errors: int = 0  # neurons that the legacy pipeline failed on
    repeated: int = 0


def import_projections(given: Sequence[Path], out: Path, *, progress: Progress = lambda *_: None) -> ProjectionsSummary:
    """Write projections, norms and direct effect ratios to the projections folder `out`.

    Raises `InputError` where a file holds none of these, is cut off or damaged, and `OutputError`.
    """
    summary = ProjectionsSummary()
    with replaced_folder(out, "projections") as folder, contextlib.ExitStack() as stack:
        writers = {
            item.name: stack.enter_context(parquet_writer(item.path(folder), item.schema))
            for item in datasets_of("projections")
        }
        waiting: dict[str, list[Row]] = {name: [] for name in writers}
        counts: Counter[str] = Counter()
        seen: set[tuple[int, str]] = set()
        neurons: set[int] = set()

        def flush(name: str) -> None:
            if waiting[name]:
                writers[name].write_table(pa.Table.from_pylist(waiting[name], DATASETS[f"projections.{name}"].schema))
                counts[name] += len(waiting[name])
                waiting[name] = []

        for place, path in enumerate(given):
            progress("reading projections", place, len(given))
            found = False
            for neuron, kind, name, rows in _facts(path, summary):
                found = True
                if (neuron.packed, kind) in seen:
                    summary.repeated += 1
                    continue
                seen.add((neuron.packed, kind))
                neurons.add(neuron.packed)
                waiting[name] += [neuron._asdict() | row for row in rows]
                if len(waiting[name]) >= _BATCH:
                    flush(name)
            if not found:
                raise InputError(f"{path} holds no projections, norms or direct effect ratios of neurons")
        for name in writers:
            flush(name)
        summary.neurons, summary.projections = len(neurons), counts["projections"]
        summary.norms, summary.direct_effects = counts["neuron_norms"], counts["direct_effects"]
        write_manifest(folder, "projections", inputs=[path.name for path in given], counts=dict(counts))
    return summary


def _facts(path: Path, summary: ProjectionsSummary) -> Iterator[tuple[NeuronId, str, str, list[Row]]]:
    """Yield neuron, kind of fact, dataset and rows of every fact in a file."""
    if path.suffix == ".duckdb":
        yield from _legacy_norms(path)
        return
    if not path.exists():
        raise InputError(f"{path} does not exist; give a file with projections")
    named = LAYER_FILE.search(path.name)
    layer = int(named[1]) if named else None
    if path.suffix == ".parquet":
        for unit, direction, items in influences(path):
            sign = 1 if direction == "promotes" else -1
            rows = list(_ranked(items, "output", direction, sign, summary))
            yield NeuronId.checked(layer or 0, unit), f"output {direction}", "projections", rows
        return
    for member in members(path, _INTO):
        if not isinstance(member.value, dict):
            if member.container is None and member.key == "layer":
                layer = whole(member.value)
            continue
        try:
            neuron = _neuron(member, layer)
        except IdError:
            summary.malformed["bad_neuron"] += member.container is not None
            continue
        if isinstance(member.value.get("error"), str):
            summary.errors += 1
            continue
        yield from _of_neuron(neuron, member.value, summary, is_ratio=member.container == "results")


def _legacy_norms(path: Path) -> Iterator[tuple[NeuronId, str, str, list[Row]]]:
    with open_legacy(path) as legacy:
        for batch in legacy.batches("neurons", ("layer", "neuron", "output_norm")):
            for row in batch.to_pylist():
                norm = number(row.get("output_norm"))
                if norm is not None and row.get("layer") is not None and row.get("neuron") is not None:
                    yield NeuronId.checked(row["layer"], row["neuron"]), "norm", "neuron_norms", [{"output_norm": norm}]


def _neuron(member: Member, layer: int | None) -> NeuronId:
    """Return the neuron of a member; `layer` is the layer that the file states for all members."""
    index = member.key if member.key is not None and member.key.isdigit() else member.value.get("feature_index")
    place = whole(index)
    if layer is not None and place is not None:
        return NeuronId.checked(layer, place)
    if member.key is not None and member.container != "profiles":
        return NeuronId.parse(member.key)
    return neuron_of(member.value)


def _of_neuron(
    neuron: NeuronId, value: Mapping[str, Any], summary: ProjectionsSummary, *, is_ratio: bool
) -> Iterator[tuple[NeuronId, str, str, list[Row]]]:
    """Yield all facts about one neuron."""
    ratio = value if is_ratio else value.get("direct_effect_ratio")
    if ratio is not None:
        effect = _direct_effect(ratio)
        if effect is None:
            summary.malformed["bad_ratio"] += 1
        else:
            yield neuron, "ratio", "direct_effects", [effect]
    given = value.get("input_projection")
    sources = [
        (name, value.get(name), "output") for name in ("output_projection", "projections", "direct_logit_effects")
    ]
    sources.append(("input_projection", given, _input_kind(given)))
    for _, lists, kind in sources:
        rows = list(_projections(lists, kind, summary)) if isinstance(lists, dict) else []
        if rows:
            yield neuron, kind, "projections", rows
    for name, kind, direction in (
        ("output_token_associations", "output_token", "promotes"),
        ("input_token_associations", "input_token", "activates"),
    ):
        rows = list(_ranked(value.get(name), kind, direction, 1, summary))
        if rows:
            yield neuron, kind, "projections", rows
    dashboard = [
        row for side, direction, sign in (("pos", "promotes", 1), ("neg", "suppresses", -1))
        for row in _ranked(_paired(value, side), "output", direction, sign, summary)
    ]  # fmt: skip
    if dashboard:
        yield neuron, "output", "projections", dashboard
    output = value.get("output_projection")
    norm = number(output.get("output_norm")) if isinstance(output, dict) else None
    norm = number(value.get("output_norm")) if norm is None else norm
    if norm is not None:
        yield neuron, "norm", "neuron_norms", [{"output_norm": norm}]


def _paired(feature: Mapping[str, Any], side: str) -> list[Row]:
    """Return tokens with their weights, which SAEDashboard keeps in two lists."""
    tokens, weights = feature.get(f"{side}_str"), feature.get(f"{side}_values")
    if not isinstance(tokens, list) or not isinstance(weights, list):
        return []
    return [{"token": token, "weight": weight} for token, weight in zip(tokens, weights, strict=False)]


def _input_kind(lists: object) -> str:
    """Return the kind of an input projection, `input_gated` or `input_up`."""
    gated = isinstance(lists, dict) and ("input_norm" in lists or "suppresses" in lists)
    return "input_gated" if gated else "input_up"


def _projections(lists: Mapping[str, Any], kind: str, summary: ProjectionsSummary) -> Iterator[Row]:
    for name, items in lists.items():
        if name in _DIRECTIONS:
            direction, sign = _DIRECTIONS[name]
            yield from _ranked(items, kind, direction, sign, summary)


def _ranked(items: object, kind: str, direction: str, sign: int, summary: ProjectionsSummary) -> Iterator[Row]:
    """Yield the tokens of a list, strongest first; suppressed tokens get a negative weight, whatever the file says."""
    found = []
    for item in items if isinstance(items, list) else ():
        weight = next((number(item[key]) for key in _WEIGHTS if key in item), None) if isinstance(item, dict) else None
        if weight is None or (text(item.get("token")) is None and item.get("token_id") is None):
            summary.malformed["bad_token"] += 1
        else:
            found.append((-abs(weight) if sign < 0 else weight, item))
    found.sort(key=lambda pair: -sign * pair[0])
    for rank, (weight, item) in enumerate(found, start=1):
        token = item.get("token")
        about = {"projection_kind": kind, "direction": direction, "rank": rank, "token_id": whole(item.get("token_id"))}
        yield about | {"token": well_formed(token) if isinstance(token, str) else text(token), "weight": weight}


def _direct_effect(ratio: object) -> Row | None:
    """Return the row of a ratio, given as an object of statistics or as the mean alone; None where it is invalid."""
    given = ratio if isinstance(ratio, dict) else {"mean": ratio}
    mean = number(given.get("mean"))
    if mean is None or not -1e-6 <= mean <= 1 + 1e-6:
        return None
    effect = given.get("effect_type")
    if effect not in _EFFECTS:
        effect = "logit" if mean > 0.7 else "routing" if mean < 0.3 else "mixed"
    others = {f"ratio_{name}": number(given.get(name)) for name in ("std", "min", "max")}
    return {"ratio_mean": mean, "effect_type": effect, "prompt_count": small(given.get("n_prompts")), **others}
