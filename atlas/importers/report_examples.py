"""Evidence in a neuron report: one row per prompt, token, connection, hypothesis, test and review."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from atlas.errors import IdError
from atlas.ids import NeuronId
from atlas.importers.values import as_json, neuron_of, number, small, text

Row = dict[str, Any]
_PROMPTS = {
    "activating_prompts": "activating",
    "positive_examples": "activating",
    "non_activating_prompts": "non_activating",
    "negative_examples": "non_activating",
    "negatively_activating_prompts": "negatively_activating",
}
_TOKENS = {"promotes": "promotes", "promote": "promotes", "suppresses": "suppresses", "suppress": "suppresses"}
_ENDS = {
    "upstream_neurons": "upstream",
    "upstream": "upstream",
    "downstream_targets": "downstream",
    "downstream_neurons": "downstream",
    "downstream": "downstream",
}


# Lists that become rows; all other keys stay in the details of the report.
READ = {*_PROMPTS, "ablation_effects", "ablation", "steering_results", "steering", "relp_results", "connectivity"}


def examples(kind: str, content: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the evidence of a report of one kind; ranks count from 1 within each kind of evidence."""
    read = _of_review if kind == "review" else _of_investigation
    ranks: dict[str, int] = {}
    for row in read(content):
        ranks[row["kind"]] = ranks.get(row["kind"], 0) + 1
        yield row | {"rank": ranks[row["kind"]]}


def _of_investigation(content: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the evidence of lists in `evidence`, in the parts of a dashboard, or at the top level."""
    parts = [content.get(name) for name in ("evidence", "activation_patterns", "detailed_experiments", "relp_analysis")]
    places = [part for part in parts if isinstance(part, dict)] + [content]
    for name, kind in _PROMPTS.items():
        for item in _items(places, name):
            yield _prompt(item, kind)
    yield from _ablations(content, places)
    for item in _items(places, "steering_results", "steering"):
        yield _row("steering", item, prompt="prompt", value="steering_value")
    for place in places:
        found = place.get("connectivity")
        for name, kind in _ENDS.items():
            for item in _items([found] if isinstance(found, dict) else [], name):
                yield _connection(item, kind)
    for item in _items(places, "relp_results", "results"):
        yield _row("relp", item, prompt="prompt", value="neuron_relp_score", text_="source")
    timeline = content.get("hypothesis_timeline")
    told = [timeline] if isinstance(timeline, dict) else []
    for item in _items([content, *told], "hypotheses_tested", "hypotheses"):
        yield _hypothesis(item)


def _ablations(content: Mapping[str, Any], places: list[Any]) -> Iterator[Row]:
    """Yield the tokens that an ablation promotes or suppresses: by prompt, or in one list of a dashboard."""
    for item in _items(places, "ablation_effects", "ablation"):
        yield from _shifts(item)
    effects = content.get("ablation_effects")
    for item in _items([effects] if isinstance(effects, dict) else [], "effects"):
        direction = str(item.get("direction")) if isinstance(item, dict) else ""
        yield _row(_TOKENS.get(direction, "promotes"), item, token="token", value="shift")


def _of_review(content: Mapping[str, Any]) -> Iterator[Row]:
    skeptic = content.get("skeptic_report")
    found = [skeptic] if isinstance(skeptic, dict) else []
    for item in _items(found, "boundary_tests"):
        yield _row("test", item, prompt="prompt", value="actual_activation", text_="description")
    for item in _items(found, "alternative_hypotheses"):
        yield _row("hypothesis", item, text_="alternative")
    for item in _items([content], "review_history"):
        yield _row("review", item, text_="feedback", value="iteration")


def _items(places: list[Any], *names: str) -> Iterator[Any]:
    """Yield the items of the lists of these names, each list once."""
    seen: list[Any] = []
    for place in places:
        for name in names:
            items = place.get(name)
            if isinstance(items, list) and items not in seen:
                seen.append(items)
                yield from items


def _row(kind: str, item: object, *, prompt: str = "", token: str = "", value: str = "", text_: str = "") -> Row:
    """Return a row of an item; each column is read from the given key, and all other keys go to `details`."""
    if not isinstance(item, dict):
        return {"kind": kind, "text": text(item)}
    used = {prompt, token, value, text_, "position"}
    rest = {key: value for key, value in item.items() if key not in used and value is not None}
    return {
        "kind": kind,
        "prompt": text(item.get(prompt)),
        "token": text(item.get(token)),
        "position": small(item.get("position")),
        "value": number(item.get(value)),
        "text": text(item.get(text_)),
        "details": as_json(rest) if rest else None,
    }


def _prompt(item: object, kind: str) -> Row:
    if isinstance(item, dict):
        return _row(kind, item, prompt="prompt", token="token", value="activation")
    return {"kind": kind, "prompt": text(item)}


def _shifts(item: object) -> Iterator[Row]:
    """Yield the tokens that an ablation promotes and suppresses, from pairs of token and shift."""
    if not isinstance(item, dict):
        return
    for name in ("promotes", "suppresses"):
        pairs = item.get(name)
        for pair in pairs if isinstance(pairs, list) else ():
            known = {"kind": name, "prompt": text(item.get("prompt"))}
            if isinstance(pair, list | tuple) and len(pair) == 2:
                yield known | {"token": text(pair[0]), "value": number(pair[1])}
            elif isinstance(pair, dict):
                yield known | {"token": text(pair.get("token")), "value": number(pair.get("shift"))}
            else:
                yield known | {"token": text(pair)}


def _connection(item: object, kind: str) -> Row:
    """Return the row of a connection to a neuron, or to a token with a name such as `LOGIT(tok)`."""
    row = _row(kind, item, value="weight", text_="label")
    if isinstance(item, dict):
        named = next(
            (item[key] for key in ("neuron_id", "neuron", "target", "source") if isinstance(item.get(key), str)), None
        )
        try:
            other = NeuronId.parse(named) if named else neuron_of(item)
            row |= {"other_layer": other.layer, "other_neuron": other.neuron}
        except IdError:
            row["token"] = text(named)
    return row


def _hypothesis(item: object) -> Row:
    row = _row("hypothesis", item, value="posterior_probability", text_="hypothesis")
    if isinstance(item, dict) and row["value"] is None:
        row["value"] = number(item.get("confidence"))
    return row
