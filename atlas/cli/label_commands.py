"""Command `atlas label`: labels of one's own, with their history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from atlas.cli.help_and_errors import Command
from atlas.cli.options import FILE
from atlas.errors import UsageError, needs_extra


@click.command(cls=Command)
@click.argument("file", type=FILE)
@click.argument("unit", required=False)
@click.argument("text", required=False)
@click.option("--kind", help="Kind of the label: output, input, activation+ or activation-.")
@click.option("--confidence", help="How sure you are, such as high or low.")
@click.option("--notes", help="A longer description.")
@click.option("--author", help="Name of the author; $ATLAS_AUTHOR, or your user name.")
@click.option("--consolidated", type=FILE, help="Write the labels that hold to this JSON file, by feature.")
def label(file: Path, unit: str | None, text: str | None, consolidated: Path | None, **options: Any) -> None:
    """Add a label of a UNIT (L24/N5326 or L2/F10) to FILE (.jsonl); without TEXT, show its history.

    Lines are only ever added. The last label of a unit holds, and an empty one takes it back. An atlas takes the file as
    [[labels.files]].
    """
    from atlas.cli.terminal import say, show, table
    from atlas.ids import UnitId

    with needs_extra("aggregate"):
        from atlas.labels.history import append_label, export_consolidated, label_history
    if consolidated is not None:
        say(f"  {export_consolidated(file, consolidated):,} labels in {consolidated}")
        return
    found = UnitId.parse(unit) if unit is not None else None
    if text is None:
        rows = label_history(file, found)
        columns = ("layer", "neuron", "feature", "kind", "label", "author", "time")
        cells = [[str(row.get(name) if row.get(name) is not None else "") for name in columns] for row in rows]
        show(table(columns, cells, title=f"Labels of {found or file}, the oldest first"))
        return
    if found is None:
        raise UsageError("name the unit before the label: atlas label FILE L24/N5326 TEXT")
    row = append_label(file, found, text, **options)
    was = f" (was: {row['replaces']})" if row["replaces"] else ""
    say(f"  {found}: {row['label'] or 'no label'}{was}, by {row['author']}")
