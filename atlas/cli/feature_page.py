"""Page of a feature of a dictionary: where it is active, what it promotes, and which neurons and circuits it belongs to."""

from __future__ import annotations

import itertools
from typing import Any

from rich.console import Group
from rich.text import Text

from atlas.cli.activation_page import activity_parts
from atlas.cli.terminal import shown, table
from atlas.errors import InputError
from atlas.ids import UnitId
from atlas.query.client import Atlas
from atlas.query.connection import rows_of

_Row = dict[str, Any]
_RELATIONS = {"active with": "active on the same tokens", "written_by": "writes to it", "read_by": "reads it"}


def feature_page(atlas: Atlas, unit: UnitId, *, limit: int = 5) -> Group:
    """Return the page of a feature. Raises `InputError` where the atlas does not hold it."""
    where = f"layer = {unit.layer} AND unit = {unit.unit}"
    weights = rows_of(atlas.sql(f"FROM features WHERE {where}"))
    activity = activity_parts(atlas, unit)
    if not weights and not activity:
        held = rows_of(
            atlas.sql("SELECT DISTINCT layer FROM activation_stats WHERE unit_type = 'feature' ORDER BY layer")
        )
        layers = ", ".join(str(row["layer"]) for row in held) or "none"
        raise InputError(f"{atlas.path} has no feature {unit}; layers with features: {layers}")
    parts: list[Any] = [Text(f"{unit}: a feature of the dictionary of block {unit.layer}", style="bold")]
    # Labels of units that are no neurons of this atlas: of its dictionaries.
    labels = atlas.sql(
        f"SELECT text, source FROM labels WHERE layer = {unit.layer} AND neuron = {unit.unit} AND NOT is_of_atlas"
    )
    parts += [Text(f"label: {shown(text)} ({shown(source)})") for text, source in labels.fetchall()]
    if weights:
        parts.append(_weights(weights[0]))
    parts += activity
    promoted = [
        row
        for row in rows_of(atlas.feature_tokens(unit))
        if row["projection_kind"] == "output_folded" and row["rank"] <= limit
    ]
    if promoted:
        parts.append(_promoted(promoted))
    neurons = rows_of(atlas.feature_neurons(unit))
    if neurons:
        parts += [_neurons(neurons, limit), _circuits(neurons)]
    similar = rows_of(atlas.similar_units(unit))
    if similar:
        parts.append(_similar(similar))
    return Group(*parts)


def _weights(row: _Row) -> Text:
    return Text(
        f"norms: encoder {shown(row['encoder_norm'])}, decoder {shown(row['decoder_norm'])}, cosine between them "
        f"{shown(row['encoder_decoder_cosine'])}; its logits have kurtosis {shown(row['logit_kurtosis'])} (3: no preference)"
    )


def _promoted(rows: list[_Row]) -> Any:
    sides = [[row for row in rows if row["direction"] == side] for side in ("promotes", "suppresses")]
    cells = []
    for pair in itertools.zip_longest(*sides):
        cells.append(
            tuple(
                text
                for row in pair
                for text in ((f"‘{shown(row['token'])}’", shown(row["centred_weight"])) if row else ("", ""))
            )
        )
    title = "\nWhat it does to the logits (norm folded in, above the mean of the vocabulary)"
    return table(("promotes", "", "suppresses", " "), cells, title=title)


def _neurons(rows: list[_Row], limit: int) -> Any:
    cells = [
        (
            words,
            f"L{row['neuron_layer']}/N{row['neuron']}",
            shown(row["strength"]),
            shown(row["cluster_path"]),
            shown(row["label"]),
        )
        for relation, words in _RELATIONS.items()
        for row in [row for row in rows if row["relation"] == relation][:limit]
    ]
    title = "\nNeurons of the feature (strength: Jaccard of tokens, or cosine of weights)"
    return table(("relation", "neuron", "strength", "circuit", "label"), cells, title=title)


def _circuits(rows: list[_Row]) -> Any:
    """Return the circuits of its neurons: how many of each relation are members."""
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        if row["cluster_path"]:
            top = str(row["cluster_path"]).partition(".")[0]
            found = counts.setdefault(top, dict.fromkeys(_RELATIONS, 0))
            found[row["relation"]] += 1
    if not counts:
        return Text("None of these neurons is in a circuit.")
    ordered = sorted(counts.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    cells = [(path, *(str(number) for number in found.values())) for path, found in ordered[:5]]
    return table(("circuit", *_RELATIONS.values()), cells, title="\nCircuits of these neurons")


def _similar(rows: list[_Row]) -> Any:
    cells = []
    for kind, group in itertools.groupby(rows, key=lambda row: row["similarity_kind"]):
        best = list(group)[:3]
        cells.append(
            (kind, ", ".join(f"L{row['other_layer']}/F{row['other_unit']} ({row['similarity']:.2f})" for row in best))
        )
    return table(("similar by", "features"), cells, title="\nSimilar features")
