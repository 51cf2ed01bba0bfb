"""Pieces of a page of HTML without scripts, every text escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from atlas.io.text import visible

STYLE = """
:root { color-scheme: light dark; --line: #dcdfe3; --soft: #59636f; --link: #0b5cad; --faint: #f0f2f4; --mark: #fff1c2; }
@media (prefers-color-scheme: dark) { :root { --line: #313a46; --soft: #9ba6b3; --link: #7db8f0; --faint: #222933; --mark: #4d4220; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1rem auto; max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.35rem; } h1 small { color: var(--soft); font-weight: 400; } h2 { font-size: 1.05rem; margin: 1.4rem 0 0.4rem; }
a { color: var(--link); } .soft { color: var(--soft); } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; } th { color: var(--soft); text-align: left; }
th, td { padding: 0.15rem 0.9rem 0.15rem 0; border-bottom: 1px solid var(--faint); vertical-align: top; overflow-wrap: anywhere; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.1rem 1rem; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
code, .token { background: var(--faint); border-radius: 3px; padding: 0 0.2rem; white-space: pre-wrap; font-family: ui-monospace, monospace; font-size: 0.88em; }
mark { background: var(--mark); color: inherit; } figure { margin: 0; background: #fff; overflow-x: auto; } svg { max-width: 100%; height: auto; }
"""


class Raw(str):
    """Text that is HTML already."""


def escaped(value: Any) -> str:
    """Return a value as HTML: numbers short, lists joined, hidden characters visible, all of it escaped."""
    if isinstance(value, Raw):
        return str(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return "; ".join(escaped(one) for one in value)
    return html.escape(visible(str(value)))


def link(href: str, text: str) -> Raw:
    """Return a link."""
    return Raw(f'<a href="{html.escape(href, quote=True)}">{escaped(text)}</a>')


def token(text: str | None) -> Raw:
    """Return a token, whose spaces are seen."""
    return Raw(f'<span class="token">{escaped(text or "")}</span>')


def facts(pairs: Mapping[str, Any]) -> str:
    """Return names and values, without those that are not known."""
    known = [(name, value) for name, value in pairs.items() if value not in (None, "", [])]
    return "<dl>" + "".join(f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>" for name, value in known) + "</dl>"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], note: str = "") -> str:
    """Return a table under its title, or nothing where there are no rows."""
    lines = ["<tr>" + "".join(f"<td{_number(cell)}>{escaped(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    if not lines:
        return ""
    head = "".join(f'<th scope="col">{escaped(column)}</th>' for column in columns)
    more = f'<p class="soft">{escaped(note)}</p>' if note else ""
    return f'<h2>{escaped(title)}</h2>{more}<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _number(cell: Any) -> str:
    return ' class="number"' if isinstance(cell, int | float) and not isinstance(cell, bool) else ""


def figure(svg: str) -> str:
    """Return a drawing."""
    return f"<figure>{svg}</figure>"


def page(title: str, parts: Iterable[str], *, head: str = "") -> str:
    """Return a whole page.

    Args:
        title: Title of the window.
        parts: HTML.
        head: Further HTML of the head.

    Returns:
        A document that loads nothing.
    """
    body = "\n".join(part for part in parts if part)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(title)}</title><style>{STYLE}</style>{head}</head><body>\n{body}\n</body></html>\n"
    )
