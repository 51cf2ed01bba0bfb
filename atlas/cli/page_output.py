"""Pages as text, Markdown, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from atlas.cli.terminal import PageTable, plain, say, show, shown
from atlas.errors import UsageError
from atlas.io.files import replaced_file
from atlas.io.text import markdown

_FORMS = {".md": "markdown", ".json": "json", ".csv": "csv", ".txt": "text"}


def print_page(page: RenderableType, fmt: str | None, output: Path | None) -> None:
    """Print a page, or write it to a file.

    Args:
        page: Texts and tables.
        fmt: `text`, `markdown`, `json` or `csv`; by default that of the ending of `output`, or text.
        output: File to write.

    Raises:
        UsageError: The ending of the file names no form.
    """
    form = fmt or _form_of(output)
    if form == "text" and output is None:
        show(page)
        return
    text = _TEXTS[form](page)
    if output is None:
        click.echo(text, nl=False)
        return
    with replaced_file(output) as path:
        path.write_text(text, encoding="utf-8")
    say(f"  page in {output}")


def _form_of(output: Path | None) -> str:
    if output is None:
        return "text"
    if output.suffix not in _FORMS:
        raise UsageError(
            f"-o {output}: a page is written as {', '.join(_FORMS)}; use one of these endings, or say --format"
        )
    return _FORMS[output.suffix]


def _parts(page: RenderableType) -> Iterator[PageTable | str]:
    """Yield the tables of a page, and the texts between them, in order."""
    waiting: list[str] = []
    for item in _flat(page):
        if isinstance(item, PageTable):
            if waiting:
                yield "\n".join(waiting)
                waiting = []
            yield item
        elif item.strip():
            waiting.append(item.strip("\n"))
    if waiting:
        yield "\n".join(waiting)


def _flat(page: RenderableType) -> Iterator[PageTable | str]:
    if isinstance(page, Group):
        for item in page.renderables:
            yield from _flat(item)
    elif isinstance(page, PageTable):
        yield page
    else:
        yield page.plain if isinstance(page, Text) else plain(page)


def _columns(table: PageTable) -> list[int]:
    """Return the places of the columns that hold values; bars, whose head is their scale, only draw them."""
    return [place for place, column in enumerate(table.columns) if column and not column.startswith("−")]


def _markdown(page: RenderableType) -> str:
    lines: list[str] = []
    for part in _parts(page):
        if isinstance(part, str):
            lines += [*(f"{markdown(line.strip())}  " for line in part.split("\n") if line.strip()), ""]
            continue
        kept = _columns(part)
        if part.title:
            lines += [f"**{markdown(part.title.strip())}**", ""]
        if part.rows:
            lines += [f"| {' | '.join(markdown(part.columns[place]) for place in kept)} |", f"|{' --- |' * len(kept)}"]
            lines += [f"| {' | '.join(_cell(row[place]) for place in kept)} |" for row in part.rows]
            lines.append("")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return markdown(shown(value))


def _json(page: RenderableType) -> str:
    found: list[dict[str, Any]] = []
    for part in _parts(page):
        if isinstance(part, str):
            found.append({"text": part.split("\n")})
            continue
        kept = _columns(part)
        rows = [{part.columns[place]: row[place] for place in kept} for row in part.rows]
        found.append({"title": part.title.strip() if part.title else None, "rows": rows})
    return json.dumps(found, ensure_ascii=False, indent=1, default=str) + "\n"


def _csv(page: RenderableType) -> str:
    """Return the tables one below the other, each under its title; texts of a page are no table."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for part in _parts(page):
        if isinstance(part, str) or not part.rows:
            continue
        kept = _columns(part)
        if stream.tell():
            stream.write("\n")
        if part.title:
            stream.write(f"# {part.title.strip()}\n")
        writer.writerow([part.columns[place] for place in kept])
        for row in part.rows:
            writer.writerow([shown(row[place]) if isinstance(row[place], list) else row[place] for place in kept])
    return stream.getvalue()


_TEXTS: dict[str, Callable[[RenderableType], str]] = {
    "text": lambda page: plain(page),
    "markdown": _markdown,
    "json": _json,
    "csv": _csv,
}
