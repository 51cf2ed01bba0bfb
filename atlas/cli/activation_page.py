"""Part of the page of a neuron: how often and how strongly it is active on text, on which tokens, and where."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from atlas.cli.terminal import bar, shown, table
from atlas.ids import NeuronId
from atlas.query.client import Atlas

_Row = dict[str, Any]
_WIDTH = 30  # of the longest bar of a histogram
_TOKENS, _EXAMPLES = 5, 5
# A few examples of every stratum.
_PER_STRATUM = {"top": _EXAMPLES, "quarter 1": 0, "quarter 2": 1, "quarter 3": 1, "quarter 4": 1}


def activity_parts(atlas: Atlas, neuron: NeuronId, unit_type: str) -> list[Any]:
    """Return what is known of a neuron's activations; nothing where the atlas has no store of such units."""
    stated = atlas.sql("SELECT value FROM metadata WHERE key = 'activation_unit_type'").fetchall()
    if stated != [(unit_type,)]:
        return []
    where = f"layer = {neuron.layer} AND unit = {neuron.neuron}"
    stats = _rows(atlas, f"activation_stats WHERE {where}")
    if not stats:
        return []
    parts: list[Any] = [Text(f"\n{_headline(stats[0])}")]
    histogram = _rows(atlas, f"activation_histograms WHERE {where}")
    if histogram:
        parts.append(_histogram(histogram))
    tokens = _rows(atlas, f"fires_on({neuron.layer}, {neuron.neuron}) WHERE relation = 'same' LIMIT {_TOKENS}")
    if tokens:
        parts.append(_tokens(tokens))
    examples = _rows(atlas, f"examples_of({neuron.layer}, {neuron.neuron})")
    if examples:
        parts.append(_examples(examples))
    return parts


def _rows(atlas: Atlas, source: str) -> list[_Row]:
    relation = atlas.sql(f"FROM {source}")
    columns = relation.columns
    return [dict(zip(columns, row, strict=True)) for row in relation.fetchall()]


def _headline(stats: _Row) -> str:
    looked_at = f"{stats['token_count']:,} tokens of {stats['context_count']:,} contexts"
    if stats["is_dead"]:
        return f"Active on text: never, on {looked_at} (|value| > {shown(stats['threshold'])})"
    span = f"{stats['density']:.2%} ({stats['density_low']:.2%} to {stats['density_high']:.2%})"
    kind = ", dense" if stats["is_dense"] else ""
    return (
        f"Active on text: {span} of {looked_at} (|value| > {shown(stats['threshold'])}){kind}; "
        f"in {stats['active_context_count']:,} contexts, mean {shown(stats['mean_active'])}"
    )


def _histogram(rows: list[_Row]) -> Any:
    """Return the histogram, from the most negative bin to the most positive one."""
    ordered = sorted(rows, key=lambda row: row["sign"] * row["low"])
    largest = max(row["count"] for row in ordered)
    cells = []
    for row in ordered:
        low, high = sorted((row["sign"] * row["low"], row["sign"] * row["high"]))
        cells.append((f"{low:.3g} to {high:.3g}", f"{row['count']:,}", bar(row["count"], largest, _WIDTH).strip()))
    return table(("value", "tokens", ""), cells)


def _tokens(rows: list[_Row]) -> Any:
    cells = [
        (
            f"‘{shown(row['token'])}’",
            f"{row['mass_share']:.0%}",
            f"{row['precision']:.0%}",
            f"{row['active_count']:,} of {row['token_count']:,}",
            shown(row["mean_active"]),
        )
        for row in rows
    ]
    heads = ("fires on", "of its activation", "of the token's places", "places", "mean")
    return table(heads, cells, title="\nTokens it fires on")


def _examples(rows: list[_Row]) -> Any:
    cells = []
    seen: set[int] = set()
    for row in rows:
        most = _PER_STRATUM.get(row["stratum"], 0)
        if row["rank"] > most or row["context_id"] in seen:
            continue
        seen.add(row["context_id"])
        words = f"{shown(row['before'] or '')}[{shown(row['token'])}]{shown(row['behind'] or '')}"
        cells.append((row["stratum"], shown(row["value"]), words, row["document"]))
    return table(("stratum", "value", "words", "document"), cells, title="\nWhere it fires")
