"""The clusterings of an atlas side by side, as a page of the terminal and of a browser."""

from __future__ import annotations

from html import escape
from typing import Any

from rich.console import Group
from rich.text import Text

from atlas.cli.page_parts import percent
from atlas.cli.terminal import shown, table
from atlas.errors import InputError, needs_extra
from atlas.options import AGREES, RATE
from atlas.query.client import Atlas
from atlas.query.connection import rows_of

_MOST = 50  # circuits that a page lists of each clustering
Row = dict[str, Any]
Likeness = list[list[float | None]]


def likeness(atlas: Atlas) -> tuple[list[str], Likeness]:
    """Return the names of the clusterings, and the adjusted mutual information of every two over the neurons in both.

    Raises `InputError` where the atlas has no clustering.
    """
    with needs_extra("cluster"):
        from atlas.cluster.agreement import likeness as measured
    names = [row["clustering"] for row in rows_of(atlas.clusterings())]
    if not names:
        raise InputError(f"{atlas.path} has no clustering; build it with a [[cluster]] in its recipe")
    found = atlas.sql(
        "SELECT clustering, layer, neuron, dense_rank() OVER (PARTITION BY clustering ORDER BY cluster_path) AS place FROM cluster_members"
    )
    return names, measured(names, found.fetchnumpy())


def clusterings_page(atlas: Atlas, names: list[str], ami: Likeness) -> Group:
    """Return the table of the clusterings, what is found again, and how alike they are."""
    rows = rows_of(atlas.clusterings())
    parts: list[Any] = [table(_HEADS, [_cells(row) for row in rows], title="Clusterings (* is the primary one)")]
    parts.append(Text(f"\n{clusterings_note(rows)}"))
    if len(names) > 1:
        cells = [[name, *(_number(value) for value in values)] for name, values in zip(names, ami, strict=True)]
        parts.append(table(["", *names], cells, title="\nHow alike they are (AMI)"))
    return Group(*parts)


_HEADS = (
    *("clustering", "neurons", "clusters", "largest", "found again", "with neurons", "halves AMI", "seeds AMI"),
    *("gain", "swapped", "permuted", "held-out AUC"),
)


def _cells(row: Row) -> list[Any]:
    again = None if row["tested_count"] is None else f"{row['found_again_count']:,} of {row['tested_count']:,}"
    auc = (
        None
        if row["held_out_auc"] is None
        else f"{row['held_out_auc']:.3f} ({row['held_out_auc'] - row['base_auc']:+.3f})"
    )
    return [
        row["clustering"] + ("*" if row["is_primary"] else ""),
        f"{row['neuron_count']:,}",
        f"{row['cluster_count']:,}",
        percent(row["largest_share"]),
        again,
        None if row["stable_count"] is None else f"{row['stable_count']:,}",
        *(_number(row[name]) for name in ("half_ami", "seed_ami", "gain", "gain_swapped", "gain_permuted")),
        auc,
    ]


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def clusterings_note(rows: list[Row]) -> str:
    """Return in a sentence how many clusters are found again."""
    known = [row for row in rows if row["tested_count"] is not None]
    if not known:
        return "Whether clusters are found again is not known: that needs single groups of prompts (aggregate --groups auto)."
    best = max(known, key=lambda row: row["found_again_count"])
    rule = (
        f"in the other half of the groups of prompts (Jaccard {AGREES:g} or more, false discovery rate below {RATE:g})"
    )
    if not best["found_again_count"]:
        return f"No reliable circuits: no cluster of any clustering is found again {rule}."
    told = next((row for row in known if row["is_primary"]), best)
    which = "the primary clustering, are" if told["is_primary"] else "not the primary clustering, are"
    return f"{told['found_again_count']:,} of {told['tested_count']:,} clusters of {told['clustering']}, {which} found again {rule}."


def clusterings_html(atlas: Atlas, names: list[str], ami: Likeness) -> str:
    """Return a page without scripts: the table, the likeness as a drawing, and the circuits that are found again."""
    rows = rows_of(atlas.clusterings())
    parts = [
        f"<h1>Clusterings of {escape(atlas.path.name)}</h1>",
        f"<p>{escape(clusterings_note(rows))}</p>",
        _html_table(_HEADS, [_cells(row) for row in rows]),
        "<h2>How alike they are</h2><p>Adjusted mutual information over the neurons in both: 1 is equal, 0 is chance.</p>",
        _drawing(names, ami),
    ]
    heads = ("circuit", "name", "size", "layers", "halves agree", "by chance", "support", "q", "labels")
    for name in names:
        found = rows_of(atlas.circuits(kind="cluster", clustering=name, found_again=True))
        found.sort(key=lambda row: (-row["half_agreement"], row["circuit_id"]))
        if found:
            cut = f" (the surest {_MOST} of {len(found):,})" if len(found) > _MOST else ""
            parts.append(f"<h2>Found again: {escape(name)}{cut}</h2>")
            parts.append(_html_table(heads, [_circuit_cells(row) for row in found[:_MOST]]))
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Clusterings</title>'
        '<meta name="viewport" content="width=device-width"><style>'
        "body{font:15px system-ui,sans-serif;margin:2em;color-scheme:light dark}table{border-collapse:collapse;margin:1em 0}"
        "td,th{border-bottom:1px solid #8885;padding:.3em .7em;text-align:left}svg text{font:12px system-ui,sans-serif}"
        f"</style></head><body>\n{body}\n</body></html>\n"
    )


def _circuit_cells(row: Row) -> list[Any]:
    return [
        row["circuit_id"],
        row["name"],
        row["size"],
        f"{row['layer_min']} to {row['layer_max']}",
        *(_number(row[name]) for name in ("half_agreement", "control_agreement", "support")),
        f"{row['null_fdr']:.3f}",
        row["sample_labels"],
    ]


def _html_table(heads: Any, rows: list[list[Any]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(shown(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _drawing(names: list[str], ami: Likeness) -> str:
    """Return the likeness as SVG: darker is more alike."""
    side, left, top = 56, 150, 30
    parts = []
    for row, (name, values) in enumerate(zip(names, ami, strict=True)):
        y = top + row * side
        parts.append(
            f'<text x="{left - 8}" y="{y + side / 2 + 4}" text-anchor="end" fill="currentColor">{escape(name)}</text>'
        )
        parts.append(
            f'<text x="{left + (row + 0.5) * side}" y="{top - 8}" text-anchor="middle" fill="currentColor">{row + 1}</text>'
        )
        for column, value in enumerate(values):
            share = min(1.0, max(0.0, value or 0.0))
            place = f'x="{left + column * side}" y="{y}"'
            parts.append(
                f'<rect {place} width="{side - 2}" height="{side - 2}" fill="#4477aa" fill-opacity="{share:.3f}"/>'
            )
            middle = f'x="{left + (column + 0.5) * side - 1}" y="{y + side / 2 + 4}"'
            parts.append(
                f'<text {middle} text-anchor="middle" fill="currentColor">{"" if value is None else f"{value:.2f}"}</text>'
            )
    width, height = left + len(names) * side, top + len(names) * side
    return (
        f'<svg role="img" aria-label="Likeness of clusterings" width="{width}" height="{height}">{"".join(parts)}</svg>'
    )
