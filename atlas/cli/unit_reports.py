"""Pictures of a report of units."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from atlas.ids import UnitId
from atlas.io.files import translated_os_errors
from atlas.io.pictures import draw_histogram
from atlas.query.client import Atlas
from atlas.query.unit_report import histogram_of


def drawn_histograms(atlas: Atlas, units: Sequence[UnitId], folder: Path, report: Path | None) -> dict[UnitId, Path]:
    """Draw the histogram of every unit that is active; return the pictures, as the report names them."""
    with translated_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for unit in units:
        bins = histogram_of(atlas, unit)
        if bins:
            path = folder / f"{str(unit).replace('/', '-')}.png"
            draw_histogram(path, bins, title=f"{unit}: activations above the threshold")
            start = report.parent if report is not None else Path()
            found[unit] = Path(os.path.relpath(path, start))
    return found
