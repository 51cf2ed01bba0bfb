"""Pictures (PNG) of groups with bounds, of pairs of groups, and of histograms."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atlas.errors import needs_extra
from atlas.io.files import replaced_file, translated_os_errors

_INK, _BAR = "#222222", "#4477aa"
_LONGEST_NAME = 40  # characters
_MOST_GROUPS, _MOST_CELLS = 80, 40  # that fit into a picture; of cells, in each direction
_UPRIGHT = 12  # with more groups, or longer names, they stand below each other


def _figure(width: float, height: float) -> tuple[Any, Any]:
    with needs_extra("plot"):
        from matplotlib.figure import Figure
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure of matplotlib as PNG, or as PDF where the file is called so. Raises `OutputError`."""
    with translated_os_errors(path), replaced_file(path) as fresh, warnings.catch_warnings():
        # A sign that the font lacks is drawn as a box.
        warnings.simplefilter("ignore", UserWarning)
        # Without the version of the library, equal data give equal bytes.
        form = "pdf" if path.suffix == ".pdf" else "png"
        facts = {"Creator": None, "Producer": None, "CreationDate": None} if form == "pdf" else {"Software": None}
        figure.savefig(fresh, format=form, dpi=120, metadata=facts)


def draw_groups(
    path: Path,
    names: Sequence[str],
    means: Sequence[float],
    bounds: Sequence[tuple[float | None, float | None]],
    counts: Sequence[int],
    *,
    title: str,
    ylabel: str,
) -> None:
    """Draw the mean of every group, with its bounds and its number of rows.

    Args:
        path: PNG file, which is replaced.
        names: Names of the groups (n,).
        means: Their means (n,).
        bounds: Low and high bound of each mean (n,), None where unknown.
        counts: Rows of each group (n,).
        title: Title of the picture.
        ylabel: What a mean is of.

    Raises:
        MissingExtra: matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    drawn = min(len(names), _MOST_GROUPS)
    labels = [f"{plain_text(name)} (n={count:,})" for name, count in zip(names, counts, strict=True)][:drawn]
    down, up = (
        [0.0 if bound is None else abs(bound - mean) for mean, bound in zip(means, side, strict=True)][:drawn]
        for side in zip(*bounds, strict=True)
    )
    style = {"fmt": "o", "color": _BAR, "ecolor": _INK, "capsize": 3}
    places, shown = list(range(drawn)), list(means[:drawn])
    if drawn <= _UPRIGHT and max(map(len, labels)) <= _UPRIGHT:
        figure, axis = _figure(max(4.0, 0.9 * drawn + 1), 3.6)
        axis.errorbar(places, shown, yerr=[down, up], **style)
        axis.axhline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
        axis.set_xticks(places, [label.replace(" (", "\n(") for label in labels], fontsize=8)
        axis.set_ylabel(ylabel, fontsize=9)
    else:
        figure, axis = _figure(7.0, max(2.0, 0.22 * drawn + 1))
        axis.errorbar(shown, places, xerr=[down, up], **style)
        axis.axvline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
        axis.set_yticks(places, labels, fontsize=7)
        axis.set_ylim(drawn - 0.5, -0.5)
        axis.set_xlabel(ylabel, fontsize=9)
    axis.set_title(plain_text(title, 100) + _left_out(drawn, len(names), "groups"), fontsize=10)
    save_figure(figure, path)


def draw_heat(
    path: Path,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    *,
    title: str,
    labels: tuple[str, str],
) -> None:
    """Draw the mean of every pair of groups as a heat map; pairs that do not occur stay empty.

    Args:
        path: PNG file, which is replaced.
        rows: Names of the rows (n,).
        columns: Names of the columns (m,).
        values: Means (n, m), None where there are none.
        title: Title of the picture.
        labels: What the rows and the columns are.

    Raises:
        MissingExtra: matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    total = max(len(rows), len(columns))
    rows, columns = rows[:_MOST_CELLS], columns[:_MOST_CELLS]
    values = [row[:_MOST_CELLS] for row in values[:_MOST_CELLS]]
    figure, axis = _figure(1.2 + 0.6 * len(columns) + 1, 1.2 + 0.45 * len(rows))
    plain = [[float("nan") if value is None else value for value in row] for row in values]
    image = axis.imshow(plain, cmap="RdBu_r", aspect="auto")
    largest = max((abs(value) for row in values for value in row if value is not None), default=1.0) or 1.0
    image.set_clim(-largest, largest)
    figure.colorbar(image, ax=axis)
    axis.set_xticks(range(len(columns)), [plain_text(name) for name in columns], fontsize=8)
    axis.set_yticks(range(len(rows)), [plain_text(name) for name in rows], fontsize=8)
    for row, found in enumerate(values):
        for column, value in enumerate(found):
            if value is not None:
                axis.text(
                    column,
                    row,
                    f"{value:.2g}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color=_INK if abs(value) < 0.6 * largest else "white",
                )
    axis.set_ylabel(plain_text(labels[0]), fontsize=9)
    axis.set_xlabel(plain_text(labels[1]), fontsize=9)
    axis.set_title(
        plain_text(title, 100) + _left_out(max(len(rows), len(columns)), total, "rows or columns"), fontsize=10
    )
    save_figure(figure, path)


def draw_histogram(path: Path, bins: Sequence[tuple[float, float, int]], *, title: str) -> None:
    """Draw a histogram of bins of growing width, on a logarithmic count.

    Args:
        path: PNG file, which is replaced.
        bins: Low bound, high bound and count of every bin, ascending.
        title: Title of the picture.

    Raises:
        MissingExtra: matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    figure, axis = _figure(5.0, 3.2)
    places = range(len(bins))
    axis.bar(places, [count for _, _, count in bins], color=_BAR, width=0.9)
    axis.set_yscale("log")
    axis.set_ylim(bottom=0.5)  # so that a bin of one token is seen
    axis.set_xticks(list(places), [f"{low:.2g}" for low, _, _ in bins], rotation=60, fontsize=7)
    axis.set_xlabel("activation, from (bins by powers of two to the half)", fontsize=8)
    axis.set_ylabel("tokens", fontsize=9)
    axis.set_title(plain_text(title, 100), fontsize=10)
    save_figure(figure, path)


def plain_text(text: str, most: int = _LONGEST_NAME) -> str:
    """Return a text that is drawn as it is, shortened: a dollar sign would start a formula."""
    short = text if len(text) <= most else text[: most - 1] + "…"
    return short.replace("$", "\\$")


def _left_out(drawn: int, total: int, what: str) -> str:
    return f"\nthe first {drawn} of {total:,} {what}" if drawn < total else ""
