"""Summaries of imports: the counts of one run, and the lines that the command prints."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from atlas.io.text import counted

_QUALITY = {
    "rounded": "the file kept sums as 32-bit numbers",
    "mean_only": "the file states links and mean alone, or extremes made up of the mean; what it does not know is NULL",
}


@dataclass
class ImportSummary:
    """Counts of one import. Subclasses add whole-number fields, which are printed under their names."""

    malformed: Counter[str] = field(default_factory=Counter, kw_only=True)

    def lines(self) -> list[str]:
        """Return the lines to print: counts, malformed items and rejects by reason, and notes."""
        counts = [
            f"{value:,} {name.replace('_', ' ')}" for name, value in vars(self).items() if type(value) is int and value
        ]
        lines = [", ".join(counts)]
        for name, value in vars(self).items():
            if name in ("malformed", "rejects") and value.total():
                lines.append(f"{name}: {counted(value)}")
        return lines + self.notes()

    def notes(self) -> list[str]:
        """Return notes about the file."""
        return []


def quality_note(quality: str) -> list[str]:
    """Return a note where statistics are not exact."""
    return [] if quality == "exact" else [f"statistics are {quality}: {_QUALITY[quality]}"]


def appearance_note(counts_graphs: bool) -> list[str]:
    """Return a note where a neuron has more appearances than there are graphs."""
    if counts_graphs:
        return []
    return ["some neurons appear more often than there are graphs: appearances are taken for nodes, not graphs"]
