"""Reports of neurons and features in Markdown: statistics, examples in their context, similar units, logits; and two units side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from atlas.errors import InputError
from atlas.ids import FEATURE, UnitId
from atlas.io.text import markdown
from atlas.query.client import Atlas
from atlas.query.connection import rows_of

Row = dict[str, Any]
_TOKENS, _SIMILAR = 8, 3
_PER_STRATUM = {"top": 8, "quarter 2": 1, "quarter 3": 1, "quarter 4": 1, "special": 2, "same token": 2}
_QUANTILES = ("1 %", "5 %", "25 %", "50 %", "75 %", "95 %", "99 %", "99.9 %")


def unit_report(atlas: Atlas, units: Sequence[UnitId], pictures: Mapping[UnitId, Path] | None = None) -> str:
    """Write a report of units.

    Args:
        atlas: Atlas with activations.
        units: Neurons and features.
        pictures: Picture of the histogram of units, which the report shows.

    Returns:
        Markdown.

    Raises:
        InputError: The atlas holds no statistics of a unit.
    """
    facts = dict(atlas.metadata().fetchall())
    lines = ["# Units of " + markdown(facts.get("model", "an unknown model")), ""]
    lines += [f"From `{atlas.path.name}`. Every number has its denominator; what is not known is left out.", ""]
    for unit in units:
        lines += _unit(atlas, unit, (pictures or {}).get(unit))
    return "\n".join(lines) + "\n"


def unit_comparison(atlas: Atlas, first: UnitId, second: UnitId) -> str:
    """Set two units side by side: statistics, tokens, logits, and where both are active.

    Args:
        atlas: Atlas with activations.
        first: Neuron or feature.
        second: Another one.

    Returns:
        Markdown.

    Raises:
        InputError: The atlas holds no statistics of a unit.
    """
    stats = [_stats(atlas, unit) for unit in (first, second)]
    lines = [f"# {first} and {second}", "", f"| | {first} | {second} |", "|---|---|---|"]
    for name, row in _statistics(stats[0]).items():
        lines.append(f"| {name} | {row} | {_statistics(stats[1]).get(name, '')} |")
    tokens = [
        [row for row in rows_of(atlas.tokens_of(unit)) if row["relation"] in ("same", "in")] for unit in (first, second)
    ]
    shares = [{row["token"]: row["mass_share"] or 0.0 for row in rows} for rows in tokens]
    overlap = sum(min(share, shares[1].get(token, 0.0)) for token, share in shares[0].items())
    lines += ["", f"Tokens: {overlap:.0%} of their activation is on the same tokens.", ""]
    lines += _side_by_side([[_token_cell(row) for row in rows[:_TOKENS]] for rows in tokens], first, second)
    lines += _joint(atlas, first, second)
    promoted = [_promoted(atlas, unit) for unit in (first, second)]
    if any(promoted):
        lines += ["", "What they promote:", "", *_side_by_side(promoted, first, second)]
    return "\n".join(lines) + "\n"


def histogram_of(atlas: Atlas, unit: UnitId) -> list[tuple[float, float, int]]:
    """Return the histogram of a unit as ascending bins of low bound, high bound and count.

    Args:
        atlas: Atlas with activations.
        unit: Neuron or feature.

    Returns:
        The bins, also empty ones between others; none of a unit that is never active.
    """
    rows = rows_of(atlas.sql(f"FROM activation_histograms WHERE {_where(unit)}"))
    counts = {(row["sign"], row["bin"]): int(row["count"]) for row in rows}
    found = []
    for sign in (-1, 1):
        held = [number for side, number in counts if side == sign]
        for number in range(min(held, default=0), max(held, default=-1) + 1):
            # Two bins per power of two, as they were counted.
            low, high = sorted((sign * 2.0 ** (number / 2), sign * 2.0 ** ((number + 1) / 2)))
            found.append((low, high, counts.get((sign, number), 0)))
    return sorted(found)


def _where(unit: UnitId) -> str:
    return f"unit_type = '{unit.unit_type}' AND layer = {unit.layer} AND unit = {unit.unit}"


def _stats(atlas: Atlas, unit: UnitId) -> Row:
    found = rows_of(atlas.sql(f"FROM activation_stats WHERE {_where(unit)}"))
    if not found:
        raise InputError(f"{atlas.path} has no statistics of {unit}; collect and measure its activations")
    return found[0]


def _statistics(row: Row) -> dict[str, str]:
    """Return statistics as texts by name; those that are not known are left out."""
    known = row["token_count"] is not None
    found = {"active on": f"{row['active_count']:,} tokens in {row['active_context_count']:,} contexts"}
    if known:
        found["looked at"] = f"{row['token_count']:,} tokens of {row['context_count']:,} contexts"
        found["density"] = f"{row['density']:.3%} ({row['density_low']:.3%} to {row['density_high']:.3%})"
        kinds = [name for name, is_so in (("dead", row["is_dead"]), ("dense", row["is_dense"])) if is_so]
        kinds += ["one token"] if row["is_single_token"] else []
        found["kind"] = ", ".join(kinds) or "neither dead nor dense"
    if row["mean_active"] is not None:
        found["mean of active"] = f"{row['mean_active']:.4g}"
        found["largest, smallest"] = f"{row['max_active']:.4g}, {row['min_active']:.4g}"
        found["quantiles of active"] = ", ".join(
            f"{name}: {value:.3g}" for name, value in zip(_QUANTILES, row["quantiles"], strict=True)
        )
    if row["token_entropy"] is not None:
        found["entropy of tokens"] = f"{row['token_entropy']:.2f} bits"
    return found


def _unit(atlas: Atlas, unit: UnitId, picture: Path | None) -> list[str]:
    row = _stats(atlas, unit)
    lines = [f"## {unit}", ""]
    lines += [f"- {name}: {text}" for name, text in {**_labels(atlas, unit), **_statistics(row)}.items()]
    if picture is not None:
        lines += ["", f"![activations of {unit}]({quote(picture.as_posix())})"]
    tokens = [found for found in rows_of(atlas.tokens_of(unit)) if found["relation"] in ("same", "in")][:_TOKENS]
    if tokens:
        lines += ["", "Tokens: " + ", ".join(_token_cell(found) for found in tokens)]
    promoted = _promoted(atlas, unit)
    if promoted:
        lines += ["", "Promotes: " + ", ".join(promoted)]
    lines += _example_lines(atlas, unit)
    similar: dict[str, list[str]] = {}
    for found in rows_of(atlas.similar_units(unit)):
        other = UnitId(unit.unit_type, found["other_layer"], found["other_unit"])
        similar.setdefault(found["similarity_kind"], []).append(f"{other} ({found['similarity']:.2f})")
    if similar:
        lines += ["", "Similar units:", ""]
        lines += [f"- {kind.replace('_', ' ')}: {', '.join(names[:_SIMILAR])}" for kind, names in similar.items()]
    return [*lines, ""]


def _labels(atlas: Atlas, unit: UnitId) -> dict[str, str]:
    of_atlas = "NOT is_of_atlas" if unit.unit_type == FEATURE else "is_of_atlas"
    found = atlas.sql(
        f"SELECT text, source FROM labels WHERE layer = {unit.layer} AND neuron = {unit.unit} AND {of_atlas} "
        "AND text IS NOT NULL ORDER BY rank NULLS LAST LIMIT 1"
    ).fetchall()
    return {"label": f"{markdown(found[0][0])} ({markdown(found[0][1] or 'no source')})"} if found else {}


def _token_cell(row: Row) -> str:
    often = f", fires it {row['precision']:.0%}" if row["precision"] is not None else ""
    return f"‘{markdown(row['token'] or '?')}’ ({row['mass_share']:.0%}{often})"


def _promoted(atlas: Atlas, unit: UnitId) -> list[str]:
    """Return the tokens that a unit promotes most, with their weight."""
    if unit.unit_type == FEATURE:
        rows = [row for row in rows_of(atlas.feature_tokens(unit)) if row["projection_kind"] == "output_folded"]
    else:
        rows = rows_of(atlas.projection((unit.layer, unit.unit), kind="output"))
    best = [row for row in rows if row["direction"] == "promotes"][:_TOKENS]
    name = "centred_weight" if unit.unit_type == FEATURE else "weight"  # as the page of a feature shows
    return [f"‘{markdown(row['token'] or '?')}’ ({row[name]:.2f})" for row in best]


def _example_lines(atlas: Atlas, unit: UnitId) -> list[str]:
    lines: list[str] = []
    seen: set[int] = set()
    for row in rows_of(atlas.examples(unit)):
        if row["context_id"] in seen or row["rank"] > _PER_STRATUM.get(row["stratum"], 0):
            continue
        seen.add(row["context_id"])
        value = "not active" if row["value"] is None else f"{row['value']:.4g}"
        words = f"{markdown(row['before'] or '')}<b>{markdown(row['token'] or '')}</b>{markdown(row['behind'] or '')}"
        lines.append(f"| {row['stratum']} | {value} | {words} |")
    return ["", "| stratum | value | words |", "|---|---|---|", *lines] if lines else []


def _side_by_side(columns: Sequence[Sequence[str]], first: UnitId, second: UnitId) -> list[str]:
    longest = max(map(len, columns))
    padded = [[*column, *[""] * (longest - len(column))] for column in columns]
    return [
        f"| {first} | {second} |",
        "|---|---|",
        *(f"| {one} | {other} |" for one, other in zip(*padded, strict=True)),
    ]


def _joint(atlas: Atlas, first: UnitId, second: UnitId) -> list[str]:
    """Return on how many tokens both are active, from the activations themselves."""
    sql = "SELECT context_id, position FROM activations WHERE "
    counts = atlas.sql(
        f"WITH a AS ({sql}{_where(first)}), b AS ({sql}{_where(second)}) "
        "SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b), (SELECT count(*) FROM a JOIN b USING (context_id, position))"
    ).fetchall()[0]
    if not counts[0] or not counts[1]:
        return []
    union = counts[0] + counts[1] - counts[2]
    return [
        "",
        f"Both are active on {counts[2]:,} tokens: Jaccard {counts[2] / union:.3f} ({counts[0]:,} and {counts[1]:,} tokens).",
    ]
