"""Dialects of label files: rows of other tools become rows of one label each; plain rows stay as they are.

The keys of a row (lower case) tell its dialect: the neuron function database of two labelling passes, the batch
labeler, OLMo's enriched labels, Qwen's feature labels, profiles with NeuronDB (Transluce) labels, NeuronDB's table,
explanations exported by Neuronpedia or scored by an evaluation, and SAEDashboard's features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Row = dict[str, Any]
NEURONDB = "neurondb"
_WHERE = (
    "subject_model",
    "dictionary",
    "layer",
    "neuron",
    "neuron_idx",
    "feature",
    "index",
    "feature_index",
    "neuron_id",
    "id",
)
# Members that hold the rows of a .json file of one object; all its other members are facts about the file.
CONTAINERS = ("neurons", "profiles", "labels", "explanations", "features", "results")


def expand(row: Row) -> Iterator[Row]:
    """Yield the labels of a row, each as a row of its own; a row of no known dialect is yielded unchanged."""
    for marks, read in _DIALECTS:
        if marks(row):
            yield from read(row)
            return
    yield row


def _where(row: Row) -> Row:
    return {key: row[key] for key in _WHERE if row.get(key) is not None}


def _said(row: Row, label: str, **columns: str) -> Iterator[Row]:
    """Yield one label of a row, with `columns` taken from the keys they name; nothing where its text is missing."""
    if row.get(label) is not None:
        yield {name: row.get(key) for name, key in columns.items()} | {"label": row[label]}


def _passes(row: Row) -> Iterator[Row]:
    """Yield an output and an input label of the function database or the batch labeler, each with its own facts."""
    first = "function" if "function_label" in row else "output"
    names = {"function": ("interpretability", "confidence"), "output": ("output_interpretability", "confidence")}
    readable, sure = names[first]
    score = {"score": "interestingness_score"} if "interestingness_score" in row else {}
    output = {"description": f"{first}_description", "type": f"{first}_type", "interpretability": readable}
    given = {"description": "input_description", "type": "input_type", "interpretability": "input_interpretability"}
    for found in _said(row, f"{first}_label", confidence=sure, **output, **score):
        yield _where(row) | found | {"kind": "output", "max_activation": row.get("max_activation")}
    for found in _said(row, "input_label", confidence="input_confidence", **given):
        yield _where(row) | found | {"kind": "input"}
    yield from _neurondb(row)


def _olmo(row: Row) -> Iterator[Row]:
    """Yield OLMo's enriched labels, the short label first; output and input labels have their own confidence."""
    facts = {"type": "type", "interpretability": "interpretability", "confidence": "confidence"}
    texts = dict.fromkeys(str(row[key]) for key in ("short_label", "label") if row.get(key))
    for text in texts:
        yield (
            _where(row)
            | {"label": text, "kind": "output", "description": row.get("output_function")}
            | {name: row.get(key) for name, key in facts.items()}
        )
    given = {"type": "input_type", "interpretability": "input_interpretability", "confidence": "input_confidence"}
    for found in _said(row, "input_label", description="input_function", **given):
        yield _where(row) | found | {"kind": "input"}
    for found in _said(row, "autointerp_label"):
        yield _where(row) | found | {"source": "autointerp"}


def _neurondb(row: Row) -> Iterator[Row]:
    """Yield NeuronDB's labels in profiles: of positive and of negative activations of a neuron."""
    for key, kind in (
        ("transluce_label_positive", "activation+"),
        ("transluce_label_negative", "activation-"),
        ("max_act_label", "activation+"),
        ("neurondb_label", "activation+"),
    ):
        for found in _said(row, key):
            source = "transluce" if key.startswith("transluce") else NEURONDB
            yield _where(row) | found | {"kind": kind, "source": source}


def _qwen(row: Row) -> Iterator[Row]:
    """Yield the labels of a feature from its list; the parsed answer holds the description of a label."""
    about = row["feature_metadata"]
    where = {key: about.get(key) for key in ("layer", "neuron", "num_exemplars", "max_activation")}
    for item in row["labels"] or [{}]:
        answer = _within(item, "metadata", "parsed_response")
        text = item.get("label") if isinstance(item, dict) else None
        yield where | {"label": text or answer.get("label"), "description": answer.get("description")}


def _neuronpedia(row: Row) -> Iterator[Row]:
    """Yield an exported explanation; `layer` holds the layer and the name of the dictionary, as in `6-res-jb`."""
    yield {
        "layer": str(row.get("layer")),
        "neuron": row["index"],
        "label": row["description"],
        "source": "neuronpedia",
        "subject_model": row.get("modelid"),
        "model": row.get("explanationmodelname"),
        "type": row.get("typename"),
    }


def _table(row: Row) -> Iterator[Row]:
    """Yield the label of a row of NeuronDB's table, which is its description; rows come best first."""
    yield _where(row) | {"label": row["description"], "kind": "activation+", "source": NEURONDB}


def _dashboard(row: Row) -> Iterator[Row]:
    """Yield a label of a SAEDashboard feature, which has none of its own: the first tokens that it promotes."""
    tokens = row["pos_str"] if isinstance(row["pos_str"], list) else []
    words = " ".join(f"‘{token}’" for token in tokens[:3] if isinstance(token, str))
    about = {"kind": "output", "source": "saedashboard", "type": "tokens", "confidence": "low"}
    yield _where(row) | about | {"label": words or None, "model": row.get("model_id")}


def _evaluated(row: Row) -> Iterator[Row]:
    """Yield an explanation that an evaluation of a dictionary wrote and scored."""
    where = _where(row)
    if "latent" in row:
        where["index"] = row["latent"]
    given = {"label": row["explanation"], "score": row.get("score"), "source": row.get("source") or "autointerp"}
    yield where | given | {"model": row.get("explainer") or row.get("model")}


def _described(row: Row) -> Iterator[Row]:
    """Yield the description of a node of one graph; the id of the node names its feature, as in `0_8131_1`."""
    yield _where(row) | {"label": row["generated_description"], "source": row.get("source") or "node descriptions"}


def explained(key: str, value: object, layer: object) -> list[Row] | None:
    """Return the labels of a member of an explanation file of W&B, or of a consolidated label file; None for another member.

    The score of the first dialect is a correlation of simulated activations, on the examples that the text was written from; that of the second
    is an accuracy of detection, in which no answer counts as inactive, and no examples as 0.
    """
    if isinstance(value, dict) and {"sae_position", "neuron_index", "text"} <= value.keys():
        row: Row = {
            "layer": value["sae_position"],
            "neuron": value["neuron_index"],
            "label": value["text"],
            "source": "autointerp",
        }
        return [row | {"score": value.get("score"), "type": "simulation" if value.get("score") is not None else None}]
    if isinstance(value, list) and value and all(isinstance(item, dict) and "neuron_idx" in item for item in value):
        about: Row = {"layer": key, "source": "autointerp", "type": "detection"}
        return [
            about
            | {"neuron": item["neuron_idx"], "label": item.get("explanation"), "score": item.get("detection_score")}
            for item in value
        ]
    if isinstance(value, dict) and "display_name" in value and "feature_id" in value:
        # A feature with an entry and no name is not labelled.
        consolidated: Row = {"layer": layer or 0, "neuron": value["feature_id"], "dictionary": value.get("model_type")}
        facts: Row = {"type": value.get("dashboard_category"), "description": value.get("dashboard_notes") or None}
        label: Row = {"label": value["display_name"], "source": value.get("source") or "dashboard"}
        return [consolidated | facts | label] if value["display_name"] else []
    return None


def _within(value: object, *keys: str) -> Mapping[str, Any]:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


_DIALECTS: tuple[tuple[Callable[[Row], bool], Callable[[Row], Iterator[Row]]], ...] = (
    (lambda row: isinstance(row.get("feature_metadata"), dict) and isinstance(row.get("labels"), list), _qwen),
    (lambda row: "modelid" in row and "description" in row and "index" in row, _neuronpedia),
    (lambda row: "generated_description" in row and "label" not in row, _described),
    (lambda row: "pos_str" in row and "feature_index" in row, _dashboard),
    (lambda row: "explanation" in row and "label" not in row, _evaluated),
    (lambda row: "short_label" in row or "output_function" in row, _olmo),
    (lambda row: "label" not in row and bool({"function_label", "output_label", "input_label"} & row.keys()), _passes),
    (lambda row: any(key.startswith("transluce_label") or key in ("max_act_label", "neurondb_label") for key in row), _neurondb),
    (lambda row: set(row) == {"layer", "neuron", "description"}, _table),
)  # fmt: skip
