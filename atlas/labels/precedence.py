"""Precedence of labels: the order that decides which label of a neuron is shown. No other module orders labels.

Labels are compared by source (as listed in the recipe, other sources after them in order of import), kind,
confidence, score (higher first) and order of import. Scores of two sources are never compared.
An uninformative label is kept and never ranked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from atlas.errors import UsageError

KINDS = ("output", "input", "activation+", "activation-")
# Texts of labelers that found no label, and spellings of a missing value.
UNINFORMATIVE = (
    "",
    "uninterpretable",
    "uninterpretable-routing",
    "uninterpretable-trigger",
    "unknown",
    "nan",
    "none",
    "null",
    "na",
    "n/a",
    "<na>",
    "no label",
    "unlabeled",
    "unlabelled",
)
# Placeholders: the bare number of a feature, and the error of a tool that found no text.
_PLACEHOLDER = re.compile(
    r"F#?\d+|(?:feature|neuron|latent)[ _#]*\d+|L\d+[/_ ]?[NF]?#?\d+|[\[(<](?:\w+ ){0,2}error\b.*|error: .*|[\[(<](?:not found|missing|empty|todo)\b.*",
    re.IGNORECASE | re.DOTALL,
)
_LONGEST_PLACEHOLDER = 300  # characters
_CONFIDENCE = ("human", "verified", "high", "medium", "llm-auto", "low", "unknown")


@dataclass(frozen=True)
class Precedence:
    """Order of labels. A label without a kind comes after the first of `kinds`, one of an unlisted kind last."""

    sources: Sequence[str] = ()
    kinds: Sequence[str] = KINDS
    uninformative: Sequence[str] = UNINFORMATIVE

    def checked(self) -> Precedence:
        """Check the kinds.

        Returns:
            The precedence itself.

        Raises:
            UsageError: A kind is unknown.
        """
        wrong = [kind for kind in self.kinds if kind not in KINDS]
        if wrong:
            raise UsageError(f"unknown label kind {', '.join(map(repr, wrong))}; there are {', '.join(KINDS)}")
        return self

    def is_uninformative(self, text: str | None) -> bool:
        """Return True where a text is uninformative.

        Args:
            text: Text of a label, or None.

        Returns:
            True for None, a word of the list, the bare number of a feature, and the error of a tool.
        """
        if text is None or text.strip().casefold() in self._words:
            return True
        return _PLACEHOLDER.fullmatch(text.strip()[:_LONGEST_PLACEHOLDER]) is not None

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(word.casefold() for word in ("", *self.uninformative))


def ranked(labels: pl.DataFrame, precedence: Precedence) -> pl.DataFrame:
    """Return the labels sorted by neuron and rank. Rank 1 is shown; uninformative labels come last, without a rank.

    `labels` has the columns of the labels dataset, and rows in order of import.
    """
    kinds = {kind: 2 * place for place, kind in enumerate(precedence.kinds)}
    imported = labels["source"].unique(maintain_order=True).to_list()
    sources = {source: place for place, source in enumerate(dict.fromkeys([*precedence.sources, *imported]))}
    confidence = {word: place for place, word in enumerate(_CONFIDENCE)}

    def place(column: str, order: dict[str, int], otherwise: int) -> pl.Expr:
        return pl.col(column).replace_strict(order, default=otherwise, return_dtype=pl.Int32)

    ordered = labels.with_row_index("_order").with_columns(
        _source=place("source", sources, len(sources)),
        _kind=pl.when(pl.col("kind").is_null()).then(1).otherwise(place("kind", kinds, 2 * len(kinds))),
        _confidence=place("confidence", confidence, len(confidence)),
        _score=-pl.col("score").fill_null(float("-inf")),
    )
    ordered = ordered.sort("layer", "neuron", "is_uninformative", "_source", "_kind", "_confidence", "_score", "_order")
    ordered = _stated_once(ordered)
    position = pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("layer", "neuron")
    return ordered.with_columns(rank=pl.when(pl.col("is_uninformative")).then(None).otherwise(position)).select(
        labels.columns
    )


def _stated_once(labels: pl.DataFrame) -> pl.DataFrame:
    """Return the labels without repeated statements; the first row of a statement lists all its sources.

    Rows are the same statement where text, kind and unit agree and their descriptions do not differ.
    """
    unit = ["layer", "neuron", "text", "kind", "is_uninformative", "subject_model", "dictionary"]
    filled = labels.with_columns(
        description=pl.col("description").fill_null(pl.col("description").drop_nulls().first().over(unit))
    )
    statement = [*unit, "description"]
    sources = pl.col("sources").explode().unique(maintain_order=True)
    merged = filled.group_by(statement, maintain_order=True).agg(sources, pl.col("_order").first())
    return (
        filled.drop("sources")
        .filter(pl.col("_order").is_in(merged["_order"].implode()))
        .join(merged.select("_order", "sources"), on="_order", how="left", maintain_order="left")
    )
