"""Experiments on made contexts: members are put into templates, and the activation of a unit at the last token is compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from atlas.activations.dictionaries import Dictionary, layer_of_dictionary
from atlas.activations.sweeps import sweep_made
from atlas.errors import UsageError
from atlas.ids import FEATURE, UnitId
from atlas.models.load import enough_memory
from atlas.models.model import NEURONS, TracedModel

PLACE = "{}"


def probe(
    model: TracedModel,
    unit: UnitId,
    templates: Sequence[str],
    members: Sequence[str],
    *,
    dictionary: Dictionary | None = None,
) -> pa.Table:
    """Compare the activation of a unit between members that are put into templates.

    Args:
        model: Model with its tokenizer.
        unit: Neuron, or feature of the dictionary.
        templates: Texts with `{}` where a member goes (n_templates,).
        members: Texts to put there (n_members,); the first one is the reference.
        dictionary: Sparse autoencoder, for a feature.

    Returns:
        One row per member, with the columns of `sweep`; a row of the experiment is one template. The activation is that at
        the last token.

    Raises:
        UsageError: A template has no place, a text is empty, or the unit is none of the model or dictionary.
    """
    wrong = next((text for text in templates if PLACE not in text), None)
    if wrong is not None or not templates or len(members) < 2:
        raise UsageError(
            f"the template {wrong!r} has no {{}}"
            if wrong is not None
            else "give a template or more, and two members or more"
        )
    if (unit.unit_type == FEATURE) != (dictionary is not None):
        raise UsageError("a feature (L2/F10) needs its autoencoder (--sae), and a neuron none")
    count = dictionary.features if dictionary is not None else model.neurons
    layer = layer_of_dictionary(dictionary, model) if dictionary is not None else unit.layer
    if unit.layer != layer or not 0 <= layer < len(model.blocks) or unit.unit >= count:
        raise UsageError(f"{unit} is none of the {count:,} units of layer {layer}")
    values = np.zeros((len(members), len(templates)), np.float32)
    for row, member in enumerate(members):
        for column, template in enumerate(templates):
            values[row, column] = _last_value(model, unit, template.replace(PLACE, member), dictionary)
    return sweep_made(values, members)


def _last_value(model: TracedModel, unit: UnitId, text: str, dictionary: Dictionary | None) -> float:
    ids = list(model.tokenizer(text)["input_ids"])
    if not ids or len(ids) > model.most_positions:
        raise UsageError(f"{text[:40]!r} has {len(ids)} tokens; the model takes 1 to {model.most_positions}")
    with enough_memory():
        site = dictionary.site if dictionary is not None else NEURONS
        found = model.values([ids], [unit.layer], site)[unit.layer][0, -1]
        codes = found if dictionary is None else dictionary.encode(found[None])[0]
    return float(codes[unit.unit])
