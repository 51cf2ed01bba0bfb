"""Terminal output: tables, signed bars, progress. Results go to stdout, messages and progress to stderr."""

from __future__ import annotations

import contextlib
import io
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
import duckdb
import pyarrow as pa
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from atlas.database import is_duckdb_file
from atlas.errors import QueryError, UsageError
from atlas.io.files import replaced_file
from atlas.io.text import visible, visible_lines
from atlas.query.client import Atlas
from atlas.query.export import Stream, write_arrow, write_csv, write_json_rows, write_markdown, write_parquet
from atlas.runtime.interrupts import interruptible
from atlas.runtime.memory import parse_bytes

# Rows of a table on the terminal by default; more rows are better read from a file.
SHOWN_ROWS = 40
# Text up to this length is never wrapped.
SHORT = 12
# Lines in a pipe or a file are not wrapped.
PIPE_WIDTH = 100_000


@dataclass(frozen=True)
class Limits:
    """Bounds of the queries of one command."""

    timeout: float | None  # seconds
    memory: str


@contextlib.contextmanager
def opened(file: Path, limits: Limits) -> Iterator[Atlas]:
    """Open an atlas for one command. Queries stop at Ctrl-C or at the time limit, and stay within the memory limit.

    Raises `QueryError` at the time limit, `UsageError` where the memory is not a size, and `AtlasFileError`.
    """
    memory = f"{max(parse_bytes(limits.memory) // 10**6, 1)}MB"
    with Atlas(file, memory=memory) as atlas, interruptible(atlas.interrupt, limits.timeout):
        for (slim,) in atlas.sql("SELECT value FROM metadata WHERE key = 'slim'").fetchall():
            say(f"{file} is slim: it holds {slim}")
        yield atlas


def show(*items: RenderableType) -> None:
    """Print results on stdout; in a pipe at full width, without colours or trailing spaces."""
    if sys.stdout.isatty():
        _SafeConsole(highlight=False).print(*items, sep="\n")
        return
    click.echo(plain(*items), nl=False)


class _SafeConsole(Console):
    """Console that makes control characters in any printed text visible."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield the segments of a renderable, with control characters made visible."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible_lines(segment.text))


def plain(*items: RenderableType) -> str:
    """Return results as they are printed in a pipe: at full width, without colours or trailing spaces."""
    stream = io.StringIO()
    _SafeConsole(file=stream, width=PIPE_WIDTH, highlight=False).print(*items, sep="\n")
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().split("\n")[:-1])


def say(text: str) -> None:
    """Print a message on stderr."""
    click.echo(visible_lines(text), err=True)


def shown(value: object) -> str:
    """Return a value as the text of a table cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return " | ".join(shown(item) for item in value)
    return visible(str(value))


@dataclass(frozen=True)
class PageTable:
    """Table of a page: its columns, rows and title, which other forms of the page take as they are."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Yield the table as the terminal shows it."""
        yield _drawn(self.columns, self.rows, self.title)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None) -> PageTable:
    """Return a plain table: numbers right-aligned, text left-aligned, nothing interpreted as markup.

    Where the terminal is too narrow for all columns, it is shown as one line per value, so that no column is lost.
    A titled table without rows is its title alone.
    """
    return PageTable(columns, rows, title)


def _drawn(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None) -> Table | Text:
    if title and not rows:
        return Text(title, style="bold")
    cells = [[shown(value) for value in row] for row in rows]
    least = [_least_width(columns[place], [row[place] for row in rows]) for place in range(len(columns))]
    if sum(least) + 2 * (len(least) - 1) > terminal_width() and rows:
        return _vertical(columns, cells, title)
    result = Table(box=None, pad_edge=False, title=title, title_justify="left", header_style="bold", title_style="bold")
    for place, column in enumerate(columns):
        values = [row[place] for row in rows]
        justify: Literal["right", "left"] = "right" if any(map(_is_number, values)) else "left"
        fixed = least[place] >= max((len(row[place]) for row in cells), default=0)
        result.add_column(Text(column), justify=justify, min_width=least[place], no_wrap=fixed, overflow="fold")
    for row in cells:
        result.add_row(*map(Text, row))
    return result


def grouped(value: str) -> str:
    """Return a whole number with thousands separators, and any other text of the metadata unchanged."""
    return f"{int(value):,}" if value.isascii() and value.isdigit() and len(value) < 40 else value


def command_name() -> str:
    """Return the command to type: `atlas`, or its path where the shell would not find it."""
    given = Path(sys.argv[0])
    if given.name != "atlas" or shutil.which("atlas"):
        return "atlas"
    return min(os.path.relpath(given), str(given), key=len)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _least_width(column: str, values: Sequence[Any]) -> int:
    """Return the minimum width of a column: numbers, ids and short words are never cut, longer text may wrap."""
    widest = max((len(shown(value)) for value in values), default=0)
    return max(len(column), widest if any(map(_is_number, values)) else min(widest, SHORT))


def _vertical(columns: Sequence[str], cells: list[list[str]], title: str | None) -> Text:
    width = max(map(len, columns))
    lines = [title] if title else []
    for number, row in enumerate(cells, 1):
        lines.append(f"── row {number} ──")
        lines += [f"{column:{width}}  {value}" for column, value in zip(columns, row, strict=True)]
    return Text("\n".join(lines))


def terminal_width() -> int:
    """Return the width of the terminal in characters; practically unlimited in a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH


def bar(value: float | None, largest: float, width: int = 10) -> str:
    """Return a signed bar around a middle line: negative to the left, positive to the right.

    >>> bar(0.5, 1.0, 4)
    '    │██  '
    >>> bar(-1.0, 1.0, 4)
    '████│    '
    """
    if value is None or not math.isfinite(value) or largest <= 0:
        return " " * width + "│" + " " * width
    filled = min(width, round(abs(value) / largest * width)) or 1
    left, right = ("█" * filled, "") if value < 0 else ("", "█" * filled)
    return f"{left:>{width}}│{right:<{width}}"


def print_relation(
    relation: duckdb.DuckDBPyRelation,
    given: str | None,
    path: Path | None,
    limit: int | None = None,
    *,
    empty: str = "no rows",
) -> None:
    """Print a relation, or write it to a file, batch by batch; print the message `empty` where it has no rows.

    A table on the terminal shows 40 rows, any other output all. `limit` sets another number; 0 means all.

    The format is `given`, or follows from the suffix of `path`. Raises `QueryError` where DuckDB fails while running
    the query, `UsageError` for an unknown suffix.
    """
    chosen = relation.limit(limit) if limit else relation
    if not _print(chosen, given or _form_of(path), path, SHOWN_ROWS if limit is None else None):
        say(empty)


def _form_of(path: Path | None) -> str:
    if path is None:
        return "table"
    forms = {
        ".csv": "csv",
        ".json": "json",
        ".md": "markdown",
        ".parquet": "parquet",
        ".arrow": "arrow",
        ".txt": "table",
    }
    if path.suffix not in forms:
        raise UsageError(f"-o {path}: the ending names no form; use {', '.join(forms)}, or say --format")
    return forms[path.suffix]


def _print(relation: duckdb.DuckDBPyRelation, fmt: str, path: Path | None, rows: int | None) -> int:
    """Print or write a relation; return the number of rows."""
    if path is not None and is_duckdb_file(path):
        raise UsageError(f"-o {path} is a DuckDB database; a result never overwrites one, choose another -o")
    try:
        if path is not None:
            with replaced_file(path) as fresh:
                return _write(relation, fmt, fresh)
        if fmt == "table":
            return _print_table(relation, rows)
        if fmt in _BINARY:
            raise UsageError(f"--format {fmt} needs -o FILE")
        return _WRITERS[fmt](relation, _Screen() if sys.stdout.isatty() else sys.stdout)
    except duckdb.OutOfMemoryException as error:
        raise QueryError(
            "the query needs more memory than it may use; give it more with --memory, or ask for less: fewer hops, edges in more graphs, a smaller set"
        ) from error
    except (duckdb.Error, pa.ArrowException) as error:
        raise QueryError(" ".join(str(error).split())[:400]) from error


def _write(relation: duckdb.DuckDBPyRelation, fmt: str, path: Path) -> int:
    if fmt in _BINARY:
        return _BINARY[fmt](relation, path)
    with path.open("w", encoding="utf-8") as stream:
        return _WRITERS[fmt](relation, stream)


class _Screen:
    """Standard output on a terminal, without the control characters of a result."""

    def write(self, text: str) -> int:
        """Print text, with line breaks kept and other control characters made visible."""
        return sys.stdout.write(visible_lines(text))


def _print_table(relation: duckdb.DuckDBPyRelation, rows: int | None) -> int:
    values = (relation if rows is None else relation.limit(rows + 1)).fetchall()
    show(table(list(relation.columns), values[:rows]))
    if rows is not None and len(values) > rows:
        say(f"the first {rows} rows; all of them: --limit 0, or --format csv|json|markdown|parquet|arrow")
    return len(values[:rows])


def _write_table(relation: duckdb.DuckDBPyRelation, stream: Stream) -> int:
    rows = relation.fetchall()
    stream.write(plain(table(list(relation.columns), rows)))
    return len(rows)


_WRITERS: dict[str, Callable[[duckdb.DuckDBPyRelation, Stream], int]] = {
    "json": write_json_rows,
    "csv": write_csv,
    "markdown": write_markdown,
    "table": _write_table,
}
_BINARY: dict[str, Callable[[duckdb.DuckDBPyRelation, Path], int]] = {"parquet": write_parquet, "arrow": write_arrow}


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield the update function of a progress bar on stderr, with rate and remaining time, on a terminal only."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda *_: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as display:
        current, task = "starting", display.add_task("starting", total=None, rate="")

        def update(what: str, done: int, total: int) -> None:
            nonlocal current, task
            if what != current:
                display.remove_task(task)
                current, task = what, display.add_task(what, total=total or None, rate="")
            speed = next((item.speed for item in display.tasks if item.id == task), None)
            display.update(task, completed=done, rate=f"{speed:.0f}/s" if speed else "")

        yield update


def resource_usage(started: float) -> str:
    """Return the seconds since `started` and the peak memory as text."""
    from atlas.runtime.memory import peak_memory_mb, peak_worker_mb

    workers = f" and {peak_worker_mb():,.0f} MB in a worker" if peak_worker_mb() else ""
    return f"{time.monotonic() - started:.1f} s, peak memory {peak_memory_mb():,.0f} MB{workers}"
