"""Cards: an atlas, a neuron or a circuit as notebooks show them."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from atlas.errors import IdError, InputError
from atlas.ids import NeuronId
from atlas.io.drawing import Drawing
from atlas.io.text import visible
from atlas.query.circuit_queries import CircuitQueries
from atlas.query.connection import rows_of
from atlas.query.drawings import Edge, wiring

_NEAR = 12  # neurons on either side of a neuron in its drawing
_STYLE = "font-size:90%;border-collapse:collapse;margin:0 1em 0.5em 0;display:inline-table;vertical-align:top"


@dataclass(frozen=True)
class CardTable:
    """One table of a card."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Card:
    """Title, facts and tables, which a notebook shows as HTML and a prompt as text. Every text is escaped."""

    title: str
    facts: dict[str, Any]
    tables: Sequence[CardTable] = ()
    drawing: Drawing | None = None

    def draw(self) -> Drawing:
        """Return the drawing of the card, which a notebook shows and `save` writes as SVG, PNG or PDF.

        Returns:
            The wiring of a circuit, or a neuron with its strongest neighbours.

        Raises:
            InputError: There are no edges to draw.
        """
        if self.drawing is None:
            raise InputError(f"{self.title} has no edges to draw")
        return self.drawing

    def _repr_html_(self) -> str:
        facts = "".join(f"<tr><th>{_html(name)}</th><td>{_html(value)}</td></tr>" for name, value in self.facts.items())
        parts = [f"<h4>{_html(self.title)}</h4>", f'<table style="{_STYLE}">{facts}</table>']
        for table in self.tables:
            head = "".join(f"<th>{_html(column)}</th>" for column in table.columns)
            rows = "".join(
                "<tr>" + "".join(f"<td>{_html(value)}</td>" for value in row) + "</tr>" for row in table.rows
            )
            caption = f'<caption style="text-align:left;font-weight:bold">{_html(table.title)}</caption>'
            parts.append(
                f'<table style="{_STYLE}">{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
            )
        if self.drawing is not None:
            parts.append(f'<div style="max-width:60rem;overflow:auto;background:#fff">{self.drawing.svg()}</div>')
        return "".join(parts)

    def __str__(self) -> str:
        lines = [visible(self.title), *(f"  {name:10} {_text(value)}" for name, value in self.facts.items())]
        for table in self.tables:
            lines += ["", visible(table.title), "  " + "  ".join(table.columns)]
            lines += ["  " + "  ".join(_text(value) for value in row) for row in table.rows]
        return "\n".join(lines)

    __repr__ = __str__


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return " | ".join(map(_text, value))
    return visible(f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value))


def _html(value: Any) -> str:
    return html.escape(_text(value))


class Cards(CircuitQueries):
    """Methods of `Atlas` that show things in notebooks."""

    def card(self, name: str, *, limit: int = 10) -> Card:
        """Return the card of a neuron or a circuit.

        Args:
            name: `L24/N5326`, or the id of a circuit, such as `12.3` or `input:276`.
            limit: Rows of each table.

        Returns:
            A card, which a notebook shows as tables.

        Raises:
            InputError: The atlas has no such neuron or circuit.
        """
        try:
            neuron = NeuronId.parse(name)
        except IdError:
            return self._circuit_card(name, limit)
        return self._neuron_card(neuron, limit)

    def _neuron_card(self, neuron: NeuronId, limit: int) -> Card:
        found = rows_of(self.query("neuron", layer=neuron.layer, neuron=neuron.neuron))
        if not found:
            raise InputError(f"{neuron} is in no graph of {self.path}")
        row = found[0]
        names = (
            "label",
            "description",
            "cluster_path",
            "graph_count",
            "node_count",
            "in_degree",
            "out_degree",
            "max_activation",
        )
        columns = ("neuron_id", "mean_weight", "graph_count", "target_share", "label")
        tables = [
            CardTable(
                title,
                columns,
                [[one[column] for column in columns] for one in rows_of(self._near(side, neuron, limit))],
            )
            for title, side in (("Driven by", "upstream"), ("Drives", "downstream"))
        ]
        tokens = ("token", "mean_weight", "graph_count")
        tables += [
            CardTable(
                title, tokens, [[one[column] for column in tokens] for one in rows_of(self._near(side, neuron, limit))]
            )
            for title, side in (("Input tokens", "tokens_in"), ("Output tokens", "logits_out"))
        ]
        facts = {name: row[name] for name in names if row[name] is not None}
        title = f"{neuron}  {row['label'] or ''}".rstrip()
        return Card(
            title, facts, [table for table in tables if table.rows], self._drawn_near(neuron, row["label"], title)
        )

    def _drawn_near(self, neuron: NeuronId, label: str | None, title: str) -> Drawing | None:
        labels, edges = {str(neuron): label}, []
        for side in ("upstream", "downstream"):
            for one in rows_of(self._near(side, neuron, _NEAR)):
                other = one["neuron_id"]
                source, target = (other, str(neuron)) if side == "upstream" else (str(neuron), other)
                labels.setdefault(other, one["label"])
                edges.append(Edge(source, target, one["mean_weight"], one["graph_count"]))
        return wiring(title, labels, edges, marked=str(neuron)) if edges else None

    def _near(self, query: str, neuron: NeuronId, limit: int) -> Any:
        return self.query(query, layer=neuron.layer, neuron=neuron.neuron, limit=limit)

    def _circuit_card(self, name: str, limit: int) -> Card:
        found = rows_of(self.circuits(path=name))
        if not found:
            raise InputError(f"{self.path} has no neuron and no circuit {name!r}; list circuits with circuits()")
        row = found[0]
        names = (
            "kind",
            "size",
            "layer_min",
            "layer_max",
            "graph_count",
            "is_found_again",
            "support",
            "half_agreement",
            "null_fdr",
            "effect",
        )
        members = ("neuron_id", "weight_inside", "confidence", "label")
        edges = ("src_id", "tgt_id", "mean_weight", "graph_count")
        ends = ("side", "token", "neuron_count", "weight")
        tables = [
            CardTable(
                "Members",
                members,
                [[one[key] for key in members] for one in rows_of(self.circuit(row["circuit_id"], limit=limit))],
            ),
            CardTable(
                "Edges inside",
                edges,
                [[one[key] for key in edges] for one in rows_of(self.circuit_edges(row["circuit_id"], limit=limit))],
            ),
            CardTable(
                "Tokens",
                ends,
                [[one[key] for key in ends] for one in rows_of(self.circuit_ends(row["circuit_id"], limit=limit))],
            ),
        ]
        facts = {key: row[key] for key in names if row[key] is not None}
        return Card(
            f"circuit {row['circuit_id']}  {row['name'] or ''}".rstrip(),
            facts,
            [table for table in tables if table.rows],
            self.wiring(row["circuit_id"]),
        )

    def wiring(self, circuit: str, *, most: int = 400) -> Drawing | None:
        """Draw the strongest edges inside a circuit, in rows of layers.

        Args:
            circuit: Id of the circuit, such as `12.3` or `input:276`.
            most: Number of edges at most; the title says what is left out.

        Returns:
            The drawing; None where the circuit has no edges inside.
        """
        found = rows_of(self.circuit_edges(circuit, limit=most + 1))
        if not found:
            return None
        edges = [Edge(row["src_id"], row["tgt_id"], row["mean_weight"], row["graph_count"]) for row in found[:most]]
        labels = {row[f"{end}_id"]: row[f"{end}_label"] for row in found[:most] for end in ("src", "tgt")}
        cut = f", the strongest {most} edges" if len(found) > most else ""
        return wiring(f"Wiring of circuit {circuit}{cut}", labels, edges)

    def _repr_html_(self) -> str:
        facts = dict(self.sql("SELECT key, value FROM metadata").fetchall())
        names = (
            "model",
            "unit_type",
            "method",
            "total_graphs",
            "total_groups",
            "total_neurons",
            "total_edges",
            "total_clusters",
            "total_labels",
        )
        columns = ("circuit_id", "name", "size", "is_found_again", "sample_labels")
        rows = [[one[key] for key in columns] for one in rows_of(self.circuits(limit=5))]
        shown = {name.replace("_", " "): facts[name] for name in names if name in facts}
        return Card(self.path.name, shown, [CardTable("Largest circuits", columns, rows)])._repr_html_()
