"""Drawings of lines, dots and texts, as SVG, PNG and PDF; notebooks show them."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atlas.errors import UsageError, needs_extra
from atlas.io.files import replaced_file, translated_os_errors
from atlas.io.pictures import plain_text, save_figure
from atlas.io.text import visible

UP, DOWN, INK, SOFT = "#1a6fb5", "#b6402c", "#1c2430", "#59636f"


@dataclass(frozen=True)
class Curve:
    """Line between two points that leaves and arrives upright, bent by `bend`."""

    start: tuple[float, float]
    end: tuple[float, float]
    bend: float
    colour: str
    width: float
    opacity: float
    title: str = ""

    def controls(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the control points of the Bézier curve."""
        return (self.start[0], self.start[1] - self.bend), (self.end[0], self.end[1] + self.bend)


@dataclass(frozen=True)
class Dot:
    """Circle around a point, with an address to follow where there is one."""

    at: tuple[float, float]
    radius: float
    fill: str = "#ffffff"
    title: str = ""
    href: str | None = None


@dataclass(frozen=True)
class Bar:
    """Rectangle with its lower left corner at a point."""

    at: tuple[float, float]
    width: float
    height: float
    fill: str
    title: str = ""


@dataclass(frozen=True)
class Words:
    """Text beside a point."""

    at: tuple[float, float]
    text: str
    anchor: str = "middle"  # start, middle or end of the text is at the point
    colour: str = INK
    size: float = 11.0


@dataclass(frozen=True)
class Drawing:
    """Picture of a given size, y downwards, in points of 1/72 inch."""

    title: str
    width: float
    height: float
    items: Sequence[Curve | Dot | Bar | Words]

    def svg(self) -> str:
        """Return the drawing as SVG without scripts; every text is escaped."""
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" width="{self.width:g}" role="img" '
            f'font-family="system-ui, sans-serif"><title>{_text(self.title)}</title>'
        ]
        parts += map(_svg, self.items)
        return "\n".join([*parts, "</svg>\n"])

    def _repr_svg_(self) -> str:
        return self.svg()

    def save(self, path: str | Path) -> None:
        """Write the drawing.

        Args:
            path: File that ends in `.svg`, `.png` or `.pdf`; PNG and PDF need the extra [plot].

        Raises:
            UsageError: The ending is another one.
            MissingExtra: matplotlib is not installed.
            OutputError: The file cannot be written.
        """
        file = Path(path)
        if file.suffix == ".svg":
            with translated_os_errors(file), replaced_file(file) as fresh:
                fresh.write_text(self.svg(), encoding="utf-8")
            return
        if file.suffix not in (".png", ".pdf"):
            raise UsageError(f"{file}: a drawing is written as .svg, .png or .pdf")
        _draw(file, self)


def _text(text: str) -> str:
    return html.escape(visible(text), quote=True)


def _svg(item: Curve | Dot | Bar | Words) -> str:
    if isinstance(item, Words):
        x, y = item.at
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{item.anchor}" font-size="{item.size:g}" fill="{item.colour}">{_text(item.text)}</text>'
    title = f"<title>{_text(item.title)}</title>" if item.title else ""
    if isinstance(item, Curve):
        (a, b), (c, d), ((e, f), (g, h)) = item.start, item.end, item.controls()
        return (
            f'<path d="M{a:.1f} {b:.1f}C{e:.1f} {f:.1f} {g:.1f} {h:.1f} {c:.1f} {d:.1f}" fill="none" stroke="{item.colour}" '
            f'stroke-width="{item.width:.2f}" opacity="{item.opacity:.2f}">{title}</path>'
        )
    if isinstance(item, Bar):
        x, y = item.at
        return f'<rect x="{x:.1f}" y="{y - item.height:.1f}" width="{item.width:.1f}" height="{item.height:.1f}" fill="{item.fill}">{title}</rect>'
    x, y = item.at
    dot = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{item.radius:g}" fill="{item.fill}" stroke="{INK}">{title}</circle>'
    return f'<a href="{html.escape(item.href, quote=True)}">{dot}</a>' if item.href else dot


def _draw(path: Path, drawing: Drawing) -> None:
    """Draw with matplotlib."""
    with needs_extra("plot"):
        from matplotlib.figure import Figure
        from matplotlib.patches import Circle, PathPatch, Rectangle
        from matplotlib.path import Path as Line
    figure = Figure(figsize=(drawing.width / 72, drawing.height / 72))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, drawing.width)
    axes.set_ylim(drawing.height, 0)
    axes.axis("off")
    for item in drawing.items:
        if isinstance(item, Curve):
            line = Line([item.start, *item.controls(), item.end], [Line.MOVETO, *[Line.CURVE4] * 3])
            axes.add_patch(PathPatch(line, fill=False, edgecolor=item.colour, linewidth=item.width, alpha=item.opacity))
        elif isinstance(item, Dot):
            axes.add_patch(Circle(item.at, item.radius, facecolor=item.fill, edgecolor=INK, zorder=3))
        elif isinstance(item, Bar):
            axes.add_patch(Rectangle(item.at, item.width, -item.height, facecolor=item.fill))
        else:
            side = {"start": "left", "middle": "center", "end": "right"}[item.anchor]
            axes.text(*item.at, plain_text(item.text), fontsize=0.8 * item.size, color=item.colour, ha=side, zorder=4)
    save_figure(figure, path)
