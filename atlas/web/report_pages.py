"""Facts of the reports of a neuron and of a circuit, and their pages."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from atlas.errors import InputError
from atlas.ids import NEURON, NeuronId, UnitId
from atlas.query.cards import Card
from atlas.query.client import Atlas
from atlas.query.connection import rows_of
from atlas.query.drawings import bars
from atlas.query.unit_report import histogram_of
from atlas.web.html_page import Raw, escaped, facts, figure, link, page, table, token

Row = dict[str, Any]
_NEAR, _FEW, _EXAMPLES = 20, 10, 30
_FACTS = (
    "description",
    "cluster_path",
    "graph_count",
    "node_count",
    "in_degree",
    "out_degree",
    "min_activation",
    "max_activation",
    "mean_activation",
)
_NEIGHBOURS = ("neuron_id", "label", "mean_weight", "graph_count", "group_count", "target_share", "positive_share")
_OF_TOKENS = ("token", "mean_weight", "graph_count", "count")
# Tables of the page of a neuron: key in its facts, heading, columns.
_TABLES = (
    ("upstream", "Driven by", _NEIGHBOURS),
    ("downstream", "Drives", _NEIGHBOURS),
    ("tokens_in", "Input tokens", _OF_TOKENS),
    ("logits_out", "Output tokens", _OF_TOKENS),
    ("projection", "Tokens that its weights promote and suppress", ("projection_kind", "direction", "token", "weight")),
    ("tokens_of", "Tokens that it is active on", ("relation", "token", "mass_share", "precision", "recall", "lift")),
    ("exemplars", "Where it fires most", ("activation", "token", "context")),
    ("circuits", "Circuits", ("circuit_id", "kind", "name", "size", "role", "confidence", "is_found_again")),
    ("graphs", "Graphs", ("graph_id", "prompt", "activation_max")),
)
# Kinds of evidence of imported investigations, under the headings of their reports.
_EVIDENCE = {
    "activating": "Prompts that activate it",
    "non_activating": "Prompts that do not",
    "negatively_activating": "Prompts that activate it negatively",
    "promotes": "Cutting it: what it promotes",
    "suppresses": "Cutting it: what it suppresses",
    "steering": "Steering",
    "upstream": "Upstream, as the report says",
    "downstream": "Downstream, as the report says",
    "relp": "Attribution graphs of the report",
    "hypothesis": "Hypotheses",
    "test": "Tests of a second investigator",
    "review": "Reviews",
}


def file_of(name: str) -> str:
    """Return the stem of the files of a report: `L24_N5326`, `circuit_12.3`, `circuit_input_276`."""
    if re.fullmatch(r"L\d+/N\d+", name):
        return name.replace("/", "_")
    return "circuit_" + re.sub(r"[^\w.-]", "_", name)


def neuron_report(atlas: Atlas, neuron: NeuronId) -> Row:
    """Collect the report of a neuron.

    Args:
        atlas: An open atlas.
        neuron: The neuron.

    Returns:
        Identity, title, summary and rows of queries by name, for JSON.

    Raises:
        InputError: The neuron is in no graph of the atlas.
    """
    found = rows_of(atlas.neuron(neuron))
    if not found:
        raise InputError(f"{neuron} is in no graph of {atlas.path}; a report needs one that is")
    row, unit = found[0], UnitId(NEURON, *neuron)
    claims = rows_of(
        atlas.sql("FROM reports WHERE layer = $layer AND neuron = $neuron ORDER BY kind, file", neuron._asdict())
    )
    return {
        "neuron_id": str(neuron),
        "layer": neuron.layer,
        "neuron_idx": neuron.neuron,
        "title": next((one["title"] for one in claims if one["title"]), None) or row["label"],
        "summary": next((one["summary"] for one in claims if one["summary"]), None)
        or row["description"]
        or row["label"],
        "func_type": next((one["function_type"] for one in claims if one["function_type"]), None),
        "facts": row,
        "labels": rows_of(atlas.labels(neuron)),
        "upstream": rows_of(atlas.upstream(neuron, limit=_NEAR)),
        "downstream": rows_of(atlas.downstream(neuron, limit=_NEAR)),
        "tokens_in": rows_of(atlas.tokens_in(neuron, limit=_FEW)),
        "logits_out": rows_of(atlas.logits_out(neuron, limit=_FEW)),
        "projection": rows_of(atlas.projection(neuron, limit=2 * _NEAR)),
        "tokens_of": rows_of(atlas.tokens_of(unit, limit=_FEW)),
        "examples": rows_of(atlas.examples(unit, limit=_EXAMPLES)),
        "exemplars": rows_of(atlas.exemplars(neuron, limit=_FEW)),
        "circuits": rows_of(atlas.circuits_of(neuron, limit=_NEAR)),
        "graphs": rows_of(atlas.graphs_of(neuron, limit=_FEW)),
        "reports": claims,
        "evidence": rows_of(atlas.report_evidence(neuron)),
    }


def neuron_html(atlas: Atlas, report: Row, known: Collection[str]) -> str:
    """Return the page of a report of a neuron.

    Args:
        atlas: Atlas that it is of.
        report: Facts, as `neuron_report` returns them.
        known: Stems of the pages in the same folder, which names lead to.

    Returns:
        A page without scripts.
    """
    name, row = report["neuron_id"], report["facts"]
    title = report["title"]
    return page(
        f"{name} {title or ''}",
        [
            f"<h1>{name} <small>{escaped(title)}</small></h1>",
            _source(atlas),
            facts({key.replace("_", " "): row[key] for key in _FACTS}),
            _claims(report),
            _rows("Labels", report["labels"], ("text", "kind", "source", "confidence", "score"), known),
            _drawing(atlas.card(name), "Strongest neighbours"),
            *(_rows(heading, report[key], columns, known) for key, heading, columns in _TABLES),
            _sizes(atlas, name),
            table(
                "Where it is active, by stratum",
                ("stratum", "value", "text"),
                [(one["stratum"], one["value"], _context(one)) for one in report["examples"]],
            ),
            *_evidence(report),
        ],
    )


def _sizes(atlas: Atlas, name: str) -> str:
    histogram = histogram_of(atlas, UnitId.parse(name))
    return (
        f"<h2>Sizes of activations</h2>{figure(bars(f'Activations of {name}', histogram).svg())}" if histogram else ""
    )


def circuit_report(atlas: Atlas, name: str) -> Row:
    """Collect the report of a circuit.

    Args:
        atlas: An open atlas.
        name: Id of the circuit.

    Returns:
        Identity, title, summary and rows of queries by name, for JSON.

    Raises:
        InputError: The atlas has no such circuit.
    """
    found = rows_of(atlas.circuits(path=name))
    if not found:
        raise InputError(f"{atlas.path} has no circuit {name!r}; list them with: atlas query {atlas.path} circuits")
    row = found[0]
    trust = (
        "is_found_again",
        "half_agreement",
        "control_agreement",
        "support",
        "null_p",
        "null_fdr",
        "effect",
        "control_effect_max",
        "sign_coherence",
        "conductance",
    )
    return {
        "circuit_id": row["circuit_id"],
        "title": row["name"],
        "summary": "; ".join(row["sample_labels"] or []) or None,
        "facts": {
            "kind": row["kind"],
            "neurons": row["size"],
            "layers": [row["layer_min"], row["layer_max"]],
            "graphs": row["graph_count"],
        }
        | {key: row[key] for key in trust},
        "members": rows_of(atlas.circuit_neurons(name)),
        "edges": rows_of(atlas.circuit_edges(name, limit=200)),
        "ends": rows_of(atlas.circuit_ends(name, limit=2 * _NEAR)),
        "partners": rows_of(atlas.circuit_partners(name, limit=_NEAR)),
        "graphs": rows_of(atlas.circuit_graphs(name, limit=_FEW)),
    }


def circuit_html(atlas: Atlas, report: Row, known: Collection[str]) -> str:
    """Return the page of a report of a circuit.

    Args:
        atlas: Atlas that it is of.
        report: Facts, as `circuit_report` returns them.
        known: Stems of the pages in the same folder, which names lead to.

    Returns:
        A page without scripts.
    """
    name = report["circuit_id"]
    again = {
        True: "It is found again in other prompts.",
        False: "It is not found again in other prompts: do not build on it.",
        None: "Whether it is found again was not tested.",
    }
    drawn = atlas.wiring(name)
    return page(
        f"Circuit {name}",
        [
            f"<h1>Circuit {escaped(name)} <small>{escaped(report['title'])}</small></h1>",
            _source(atlas),
            f"<p>{again[report['facts']['is_found_again']]}</p>",
            facts(
                {key.replace("_", " "): value for key, value in report["facts"].items()} | {"labels": report["summary"]}
            ),
            f"<h2>Wiring</h2>{figure(drawn.svg())}" if drawn else "",
            _rows("Members", report["members"], ("neuron_id", "label", "role", "rank", "weight", "confidence"), known),
            _rows("Tokens in and out", report["ends"], ("side", "token", "neuron_count", "weight"), known),
            _rows(
                "Circuits that it drives, and that drive it",
                report["partners"],
                ("direction", "circuit_id", "name", "edge_count", "weight_sum", "is_found_again"),
                known,
            ),
            _rows(
                "Graphs in which it acts",
                report["graphs"],
                ("graph_id", "prompt", "active_count", "active_share"),
                known,
            ),
            _rows(
                "Edges inside, the strongest",
                report["edges"],
                ("src_id", "src_label", "tgt_id", "tgt_label", "mean_weight", "graph_count"),
                known,
            ),
        ],
    )


def _source(atlas: Atlas) -> str:
    model = dict(atlas.metadata().fetchall()).get("model", "unknown model")
    return f'<p class="soft">{escaped(model)}, from {escaped(atlas.path.name)}. <a href="../index.html">All reports</a></p>'


def _drawing(card: Card, title: str) -> str:
    return f"<h2>{title}</h2>{figure(card.drawing.svg())}" if card.drawing is not None else ""


def _rows(title: str, rows: list[Row], columns: tuple[str, ...], known: Collection[str]) -> str:
    """Return a table of some columns, of those that have values."""
    kept = [column for column in columns if any(row[column] is not None for row in rows)]
    cells = [[_cell(column, row[column], known) for column in kept] for row in rows]
    return table(title, [column.removesuffix("_id").replace("_", " ") for column in kept], cells)


def _cell(column: str, value: Any, known: Collection[str]) -> Any:
    if column == "token" and value is not None:
        return token(value)
    if column == "graph_id":
        return str(value)
    if column.endswith("_id") and isinstance(value, str) and file_of(value) in known:
        return link(f"{file_of(value)}.html", value)
    return value


def _context(row: Row) -> Raw:
    before, at, behind = (escaped(row[name] or "") for name in ("before", "token", "behind"))
    return Raw(f'<span class="token">{before}<mark>{at}</mark>{behind}</span>')


def _claims(report: Row) -> str:
    """Return what investigations say of the neuron, each with its source."""
    parts = []
    for claim in report["reports"]:
        names = (
            "summary",
            "input_function",
            "output_function",
            "function_type",
            "confidence",
            "verdict",
            "skeptic_verdict",
            "experiment_count",
            "findings",
            "open_questions",
            "reported",
            "file",
        )
        parts.append(
            f"<h2>{escaped(claim['kind']).capitalize()}, a claim</h2>"
            + facts({name.replace("_", " "): claim[name] for name in names})
        )
    return "".join(parts)


def _evidence(report: Row) -> list[str]:
    """Return the evidence of investigations by kind."""
    found = []
    for kind, title in _EVIDENCE.items():
        rows = [row for row in report["evidence"] if row["kind"] == kind]
        found.append(_rows(title, rows, ("prompt", "token", "other_id", "value", "text", "file"), ()))
    return found
