"""Part of the page of a neuron or feature: how often and how strongly it is active on text, on which tokens, and where."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from atlas.cli.terminal import bar, shown, table
from atlas.ids import UnitId
from atlas.query.client import Atlas
from atlas.query.connection import rows_of
from atlas.query.unit_report import histogram_of

_Row = dict[str, Any]
_WIDTH = 30  # of the longest bar of a histogram
_TOKENS, _EXAMPLES = 5, 5
# A few examples of every stratum.
_PER_STRATUM = {"top": _EXAMPLES, "quarter 2": 1, "quarter 3": 1, "quarter 4": 1, "same token": 2}


def activity_parts(atlas: Atlas, unit: UnitId) -> list[Any]:
    """Return what is known of the activations of a unit; nothing where the atlas has no store of such units."""
    where = f"layer = {unit.layer} AND unit = {unit.unit} AND unit_type = '{unit.unit_type}'"
    stats = rows_of(atlas.sql(f"FROM activation_stats WHERE {where}"))
    if not stats:
        return []
    parts: list[Any] = [Text(f"\n{_headline(stats[0])}")]
    histogram = histogram_of(atlas, unit)
    if histogram:
        parts.append(_histogram(histogram))
    tokens = [row for row in rows_of(atlas.tokens_of(unit)) if row["relation"] in ("same", "in")]
    if tokens:
        parts.append(_tokens(tokens[:_TOKENS]))
    examples = rows_of(atlas.examples(unit))
    if examples:
        parts.append(_examples(examples))
    return parts


def _headline(stats: _Row) -> str:
    if stats["token_count"] is None:
        return (
            f"Active on {stats['active_count']:,} tokens of {stats['context_count']:,} contexts. How often it is active is not known, because contexts or "
            f"activations were chosen{_sizes(stats)}"
        )
    looked_at = f"{stats['token_count']:,} tokens of {stats['context_count']:,} contexts"
    if stats["is_dead"]:
        return f"Active on text: never, on {looked_at} (|value| > {shown(stats['threshold'])})"
    span = f"{stats['density']:.2%} ({stats['density_low']:.2%} to {stats['density_high']:.2%})"
    kind = ", dense" if stats["is_dense"] else ""
    return (
        f"Active on text: {span} of {looked_at} (|value| > {shown(stats['threshold'])}){kind}; "
        f"in {stats['active_context_count']:,} contexts, mean {shown(stats['mean_active'])}"
    )


def _sizes(stats: _Row) -> str:
    if stats["mean_active"] is None:
        return ""
    return f". Mean {shown(stats['mean_active'])}, largest {shown(stats['max_active'])}"


def _histogram(bins: list[tuple[float, float, int]]) -> Any:
    largest = max(count for _, _, count in bins)
    cells = [
        (f"{low:.3g} to {high:.3g}", f"{count:,}", bar(count, largest, _WIDTH).strip() if count else "")
        for low, high, count in bins
    ]
    return table(("value", "tokens", ""), cells)


def _tokens(rows: list[_Row]) -> Any:
    cells = [
        (
            f"‘{shown(row['token'])}’",
            f"{row['mass_share']:.0%}",
            "unknown" if row["precision"] is None else f"{row['precision']:.0%}",
            f"{row['active_count']:,}" + (f" of {row['token_count']:,}" if row["token_count"] is not None else ""),
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
        cells.append(
            (row["stratum"], "not active" if row["value"] is None else shown(row["value"]), words, row["document"])
        )
    return table(("stratum", "value", "words", "document"), cells, title="\nWhere it fires")
