"""Own labels: a file of JSON lines that is only ever added to, with author and time; the last label of a unit holds.

    {"layer": 24, "neuron": 5326, "label": "months", "author": "ada", "time": "2026-11-26T10:00:00+00:00"}

A feature has `feature` and `dictionary` instead of `neuron`. An empty label takes the labels of a unit back.
"""

from __future__ import annotations

import datetime
import fcntl
import getpass
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from atlas.errors import InputError, UsageError
from atlas.ids import FEATURE, UnitId, well_formed
from atlas.io.files import replaced_file, translated_os_errors, write_json
from atlas.labels.precedence import KINDS

TIME = "time"
Row = dict[str, Any]


def author_name() -> str:
    """Return the name of the author: $ATLAS_AUTHOR, or the user of the machine."""
    try:
        return os.environ.get("ATLAS_AUTHOR") or getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def append_label(
    file: Path,
    unit: UnitId,
    text: str,
    *,
    kind: str | None = None,
    confidence: str | None = None,
    notes: str | None = None,
    author: str | None = None,
) -> Row:
    """Add a label to a file. Two processes may do so at the same time; neither loses the label of the other.

    Args:
        file: File of JSON lines, which is made where it does not exist.
        unit: Neuron or feature.
        text: The label; empty to take earlier ones back.
        kind: Kind of the label, such as output or input.
        confidence: How sure the author is.
        notes: Longer description.
        author: Name of the author; `author_name` where None.

    Returns:
        The line that was written, with the label that it replaces.

    Raises:
        InputError: The file holds something else.
        OutputError: The file cannot be written.
        UsageError: The kind is unknown.
    """
    if kind is not None and kind not in KINDS:
        raise UsageError(f"unknown label kind {kind!r}; there are {', '.join(KINDS)}")
    row = _unit_row(unit) | {"label": well_formed(text).strip()}
    given = {"kind": kind, "confidence": confidence, "description": notes}
    row |= {name: well_formed(value) for name, value in given.items() if value}
    row |= {"author": well_formed(author or author_name())}
    row |= {TIME: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}
    with translated_os_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        stream = file.open("a+", encoding="utf-8")
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        earlier = [other for other in label_history(file, unit) if other.get("kind") == row.get("kind")]
        row["replaces"] = earlier[-1]["label"] if earlier else None
        with translated_os_errors(file):
            stream.seek(0, os.SEEK_END)
            needs_break = stream.tell() > 0 and not file.read_bytes().endswith(b"\n")
            stream.write(("\n" if needs_break else "") + json.dumps(row, ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
    return row


def _unit_row(unit: UnitId) -> Row:
    if unit.unit_type == FEATURE:
        return {"layer": unit.layer, "feature": unit.unit, "dictionary": "sae"}
    return {"layer": unit.layer, "neuron": unit.unit}


def label_history(file: Path, unit: UnitId | None = None) -> list[Row]:
    """Return the labels of a file, or of one unit in it, the oldest first.

    Args:
        file: File of JSON lines.
        unit: Neuron or feature; all units where None.

    Returns:
        The lines.

    Raises:
        InputError: The file is missing, or a line is no label.
    """
    rows = []
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    found = json.loads(line)
                    if not isinstance(found, dict) or not {"layer", "label"} <= found.keys():
                        raise InputError(
                            f"{file}, line {number} is no label; give a file that atlas label wrote, or a new one"
                        )
                    rows.append(found)
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file} cannot be read as JSON lines: {error}") from error
    if unit is None:
        return rows
    return [row for row in rows if _is_of(row, unit)]


def _is_of(row: Row, unit: UnitId) -> bool:
    """Return True for the row of a unit; features are told from neurons by their key, whatever dictionary the row names."""
    key = FEATURE if unit.unit_type == FEATURE else "neuron"
    return (row.get("layer"), row.get(key)) == (unit.layer, unit.unit)


def last_labels(rows: Iterable[Row]) -> list[Row]:
    """Return the last label of every unit and kind, in the order of their first labels; those that were taken back are left out.

    Args:
        rows: Lines of a history, the oldest first.

    Returns:
        The labels that hold.
    """
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        found[tuple(row.get(name) for name in ("layer", "neuron", "feature", "dictionary", "kind"))] = row
    return [row for row in found.values() if row["label"]]


def is_history(row: Mapping[str, Any]) -> bool:
    """Return True for a line that `append_label` wrote."""
    return {"author", TIME, "replaces"} <= row.keys()


def export_consolidated(file: Path, out: Path, model_type: str = "full") -> int:
    """Write the labels of the features of one layer as a consolidated file, which labels features by number.

    Args:
        file: File of JSON lines.
        out: JSON file, which is replaced.
        model_type: Model type that the file states.

    Returns:
        Number of labels.

    Raises:
        InputError: The labels are of several layers, which the format cannot tell apart.
    """
    rows = last_labels(label_history(file))
    layers = {row["layer"] for row in rows}
    if len(layers) > 1:
        raise InputError(f"{file} has labels of the layers {sorted(layers)}; a consolidated file names no layer")
    labels: dict[str, Row] = {}
    for row in rows:
        number = row.get("feature", row.get("neuron"))
        if str(number) in labels:
            raise InputError(
                f"{file} has several labels of number {number} (of kinds, or of a neuron and a feature); the format has one"
            )
        labels[str(number)] = {
            "feature_id": number,
            "model_type": model_type,
            "dashboard_name": row["label"],
            "dashboard_category": row.get("kind") or "none",
            "dashboard_notes": row.get("description"),
            "research_label": None,
            "research_state_path": None,
            "hypothesis_confidence": None,
            "display_name": row["label"],
            "source": row.get("author"),
            "last_updated": str(row.get(TIME) or "").partition("+")[0] or None,
        }
    with replaced_file(out) as path:
        write_json(labels, path)
    return len(labels)
