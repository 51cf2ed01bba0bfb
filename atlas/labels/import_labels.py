"""Import of label files: every label of every neuron, ranked by a stated precedence."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from atlas.errors import IdError, LabelFileError
from atlas.ids import FEATURE, well_formed
from atlas.io.files import sha256_of, write_parquet
from atlas.labels.delphi import explanation_files, is_explanations, score_file
from atlas.labels.dialects import Row
from atlas.labels.files import (
    LABEL_COLUMNS,
    NEEDED,
    NUMBER_COLUMNS,
    TEXT_COLUMNS,
    read_rows,
)
from atlas.labels.history import is_history
from atlas.labels.precedence import KINDS, Precedence, ranked
from atlas.labels.units import first, text_of, unit_of
from atlas.stages import DATASETS
from atlas.stages.manifest import replaced_folder, write_manifest

_BATCH = 1 << 15  # labels


@dataclass(frozen=True)
class LabelFile:
    """Label file, with defaults for its rows."""

    path: Path
    source: str | None = None
    kind: str | None = None
    model: str | None = None
    same_units: bool = False  # the labels are of the units of the atlas, whatever model and dictionary the rows name


@dataclass
class LabelFileResult:
    """Counts of the rows of one label file; kept labels have a rank."""

    path: str
    from_graphs: bool = False
    row_count: int = 0
    kept_count: int = 0
    uninformative_count: int = 0
    malformed: Counter[str] = field(default_factory=Counter)
    units: Counter[str] = field(default_factory=Counter)  # labels by the model and dictionary that their rows name


def import_labels(files: Sequence[LabelFile], out: Path, precedence: Precedence | None = None) -> list[LabelFileResult]:
    """Read label files and write a labels folder.

    Args:
        files: Label files, with defaults for their rows.
        out: Labels folder, which is replaced.
        precedence: Order that decides which label of a neuron is shown; the default order where None.

    Returns:
        One result per file: rows, labels kept, and rows left out with reasons.

    Raises:
        LabelFileError: A file is of another kind or has the wrong columns.
        OutputError: `out` cannot be written.
        UsageError: A kind is unknown.
    """
    order = (precedence or Precedence()).checked()
    schema = DATASETS["labels.labels"]
    labels = _Labels()
    results = [_read_file(file, labels, order) for file in files]
    frame = pl.from_arrow(labels.table())
    assert isinstance(frame, pl.DataFrame)
    table = ranked(frame, order)
    with replaced_folder(out, "labels") as folder:
        write_parquet(table.to_arrow().cast(schema.schema), schema.path(folder))
        files_table = DATASETS["labels.label_files"]
        write_parquet(files_table.table(_file_columns(files, results)), files_table.path(folder))
        write_manifest(folder, "labels", **_facts(order, results))
    return results


class _Labels:
    """Collector of labels in Arrow columns; as Python objects, a million labels would take gigabytes."""

    def __init__(self) -> None:
        self._schema = DATASETS["labels.labels"]
        self._waiting: dict[str, list[Any]] = {name: [] for name in self._schema.schema.names}
        self._tables = [self._schema.empty()]

    def add(self, label: dict[str, Any]) -> None:
        """Add one label, by column."""
        for name, values in self._waiting.items():
            values.append(label[name])
        if len(self._waiting["layer"]) >= _BATCH:
            self._tables.append(self._schema.table(self._waiting))
            self._waiting = {name: [] for name in self._waiting}

    def table(self) -> pa.Table:
        """Return all labels in the order of import."""
        return pa.concat_tables([*self._tables, self._schema.table(self._waiting)])


def _read_file(file: LabelFile, labels: _Labels, order: Precedence) -> LabelFileResult:
    result = LabelFileResult(well_formed(file.path.name), file.path.is_dir() and not is_explanations(file.path))
    keys: list[str] = []
    for row in read_rows(file.path):
        result.row_count += 1
        keys = keys or sorted(row or ())
        label, reason = _label(row, file)
        if label is None:
            result.malformed[reason] += 1
            continue
        if named := [text for text in (label["subject_model"], label["dictionary"]) if text]:
            result.units[" / ".join(named)] += 1
        label["is_uninformative"] = order.is_uninformative(label["text"])
        label["rank"] = None
        label["file"] = result.path
        labels.add(label)
        result.uninformative_count += label["is_uninformative"]
        result.kept_count += not label["is_uninformative"]
    if result.row_count and not result.kept_count + result.uninformative_count:
        reasons = ", ".join(f"{count} {reason}" for reason, count in result.malformed.items())
        raise LabelFileError(
            f"{file.path} holds no label ({reasons}): it has the columns {', '.join(keys)[:200] or 'of no table'}; needed are {NEEDED}"
        )
    return result


def _label(row: Row | None, file: LabelFile) -> tuple[dict[str, Any] | None, str]:
    """Return the label of a row, or None and the reason why there is none."""
    if row is None:
        return None, "bad_row"
    if not any(key in row for key in LABEL_COLUMNS):
        return None, "no_label_column"
    try:
        unit = unit_of(row)
    except IdError:
        return None, "bad_neuron"
    except (TypeError, ValueError, OverflowError):
        return None, "no_neuron"
    if unit is None:
        return None, "no_neuron"
    label: dict[str, Any] = dict(zip(("layer", "neuron"), unit.neuron, strict=True))
    label["text"] = text_of(first(row, LABEL_COLUMNS))
    # A label that was given to a feature of a dictionary is never one of the neuron with its number.
    is_neuron = file.same_units and not (is_history(row) and FEATURE in row)
    label["subject_model"], label["dictionary"] = (None, None) if is_neuron else (unit.model, unit.dictionary)
    defaults = {
        "kind": file.kind,
        "source": file.source or well_formed(file.path.name.split(".")[0]),
        "model": file.model,
    }
    for name in TEXT_COLUMNS:
        label[name] = text_of(row.get(name)) or defaults.get(name)
    if label["kind"] is not None and label["kind"] not in KINDS:
        return None, "unknown_kind"
    for name in NUMBER_COLUMNS:
        label[name] = _number(row.get(name))
    label["sources"] = [label["source"]]
    label["num_exemplars"] = None if label["num_exemplars"] is None else int(label["num_exemplars"])
    return label, ""


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) < 2**31 else None


def _file_columns(files: Sequence[LabelFile], results: Sequence[LabelFileResult]) -> dict[str, list[Any]]:
    return {
        "path": [result.path for result in results],
        "size_bytes": [sum(path.stat().st_size for path in content(file.path)) for file in files],
        "content_hash": [_hash_of(content(file.path)) for file in files],
        "row_count": [result.row_count for result in results],
        "kept_count": [result.kept_count for result in results],
        "uninformative_count": [result.uninformative_count for result in results],
        "malformed_count": [result.malformed.total() for result in results],
    }


def content(path: Path) -> list[Path]:
    """List the files that are read for a path.

    Args:
        path: Label file, or a folder of them.

    Returns:
        The file itself, or the files of the folder.
    """
    if not path.is_dir():
        return [path]
    if not is_explanations(path):
        return [DATASETS["stats.graph_labels"].path(path)]
    files = explanation_files(path)
    return files + [score for score in map(score_file, files) if score.is_file()]


def _hash_of(paths: Sequence[Path]) -> str:
    """Return the SHA-256 of one file, or of the hashes of several files in order."""
    hashes = [sha256_of(path) for path in paths]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _facts(order: Precedence, results: Sequence[LabelFileResult]) -> dict[str, Any]:
    files = [
        {
            "path": r.path,
            "rows": r.row_count,
            "kept": r.kept_count,
            "uninformative": r.uninformative_count,
            "malformed": dict(r.malformed),
        }
        for r in results
    ]
    precedence = {
        "sources": list(order.sources),
        "kinds": list(order.kinds),
        "uninformative": list(order.uninformative),
    }
    return {
        "precedence": precedence,
        "files": files,
    }
