"""Readers of label files (JSONL, JSON, CSV, TSV, Parquet) and of labels in stats folders; rows are dictionaries."""

from __future__ import annotations

import csv
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from atlas.errors import InputError, LabelFileError
from atlas.io.files import opened
from atlas.io.json_stream import Member, members
from atlas.io.lines import LineTooLong, filled_lines
from atlas.labels.delphi import delphi_rows, is_explanations
from atlas.labels.dialects import CONTAINERS, Row, expand, explained
from atlas.labels.history import is_history, last_labels
from atlas.labels.units import ID_COLUMNS, INDEX_COLUMNS
from atlas.stages import DATASETS, require
from atlas.stages.manifest import MANIFEST

LABEL_COLUMNS = ("label", "text")
UNIT_COLUMNS = ("subject_model", "dictionary")
TEXT_COLUMNS = ("kind", "description", "source", "model", "confidence", "interpretability", "type")
NUMBER_COLUMNS = ("score", "num_exemplars", "max_activation")
COLUMNS = frozenset(
    ("layer", *INDEX_COLUMNS, *ID_COLUMNS, *LABEL_COLUMNS, *UNIT_COLUMNS, *TEXT_COLUMNS, *NUMBER_COLUMNS)
)
NEEDED = "layer and neuron (or feature, index) or neuron_id, and label (or text)"
_KINDS = ".jsonl, .json, .csv, .tsv (each also .gz), .parquet, a stats folder, a folder of explanations or a run of delphi, or an earlier atlas (.duckdb)"
_LAYER_OF_FILE = re.compile(r"layer[s_.-]*(\d+)", re.IGNORECASE)
# Longer JSON lines and explanations are refused; the csv module has its own limit.
_MAX_LINE = 2**24
_HEAD = 1 << 16  # bytes that hold the first line
_DELIMITERS = (",", "\t", ";", "|")
# Facts that a file may state once for all of its rows.
_ABOUT = ("layer", "model_id", "sae_set", "model")
_OLDER_COLUMNS = ("layer", "neuron", "label", "description", "num_exemplars", "max_activation")
_NEURON_KEY = re.compile(r"L?\d+[/_]N?\d+")


def read_rows(path: Path) -> Iterator[Row | None]:
    """Yield every row of a label file with lower-case keys; None for a malformed row.

    Raises `LabelFileError` where the file is of another kind or cannot be read.
    """
    if not path.exists():
        raise LabelFileError(f"label file {path} does not exist")
    if not path.is_dir() and not path.is_file():
        raise LabelFileError(f"{path} is a pipe or device, which cannot be read twice; write it to a file first")
    if path.is_dir():
        yield from delphi_rows(path) if is_explanations(path) else _stats_rows(path)
        return
    name = path.name.removesuffix(".gz")
    reader = {
        ".jsonl": _jsonl_rows,
        ".ndjson": _jsonl_rows,
        ".json": _json_rows,
        ".csv": _csv_rows,
        ".tsv": _csv_rows,
        ".parquet": _parquet_rows,
        ".duckdb": _legacy_rows,
    }
    read = reader.get(Path(name).suffix)
    if read is None:
        raise LabelFileError(f"{path} is no label file; give {_KINDS}")
    try:
        for row in read(path):
            yield from expand(row) if row is not None else (None,)
    except (OSError, EOFError, ValueError, zlib.error, csv.Error, pa.ArrowException) as error:
        raise LabelFileError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error


def _jsonl_rows(path: Path) -> Iterator[Row | None]:
    history: list[Row] = []
    with opened(path) as stream:
        try:
            for _, line in filled_lines(stream, _MAX_LINE):
                row = _json_row(line.removeprefix(b"\xef\xbb\xbf"))
                # Of a history, which is only ever added to, the last labels hold.
                if row is not None and is_history(row):
                    history.append(row)
                else:
                    yield row
        except LineTooLong as error:
            raise LabelFileError(f"{path}: {error}") from error
    for row in last_labels(history):
        yield {**row, "source": row["author"]}


def _json_rows(path: Path) -> Iterator[Row | None]:
    """Yield the rows of a JSON file, read as a stream.

    Rows are in a list or by neuron. Texts by number need the layer in the file name.
    """
    named = _LAYER_OF_FILE.search(path.name)
    about: Row = {"layer": named[1]} if named else {}
    count, seen = 0, set[str]()
    try:
        for member in members(path, CONTAINERS):
            seen |= {"supernodes"} & set(member.value if isinstance(member.value, dict) else ())
            if member.container is None and member.key in _ABOUT and not isinstance(member.value, dict):
                about[member.key] = member.value
                continue
            for row in _member_rows(member, about):
                count += 1
                yield row
    except InputError as error:
        raise LabelFileError(str(error)) from error
    if not count:
        if "supernodes" in seen:
            raise LabelFileError(
                f"{path} holds supernodes, which are groups of nodes and no labels; import them with: "
                f"atlas import assignments {path} -o DIR"
            )
        raise LabelFileError(
            f"{path} holds no label: rows stand in a list, by neuron (L24/N5326), or under {', '.join(CONTAINERS)}; "
            "texts by number need the layer in the file's name (layer_4)"
        )


def _member_rows(member: Member, about: Row) -> Iterator[Row | None]:
    """Yield the row of a member; a fact about the file gives none. `about` completes rows that do not state a fact."""
    key, value, layer = member.key, member.value, about.get("layer")
    if key is not None and (found := explained(key, value, layer)) is not None:
        yield from found
    elif isinstance(value, dict):
        row = {str(name).lower(): item for name, item in value.items()}
        if key is not None and key.isdigit() and layer is not None:
            yield {**about, "neuron": key, **row}
        elif key is None or "layer" in row or _NEURON_KEY.match(key):
            yield {"neuron_id": key, **row} if key is not None else {**about, **row}
    elif isinstance(value, str) and key is not None and layer is not None and key.isdigit():
        yield {"layer": layer, "neuron": key, "label": value.strip().removeprefix("Explanation:")}
    elif isinstance(value, str) and key is not None and _NEURON_KEY.match(key):
        yield {"neuron_id": key, "label": value}
    elif member.container is not None or key is None:
        yield None


def _json_row(line: bytes) -> Row | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return {str(key).lower(): item for key, item in value.items()} if isinstance(value, dict) else None


def _csv_rows(path: Path) -> Iterator[Row | None]:
    # In a TSV a quote is a plain character. In a CSV an unclosed quote must not swallow the rows after it.
    encoding, delimiter = _form_of(path)
    is_tsv = path.name.removesuffix(".gz").endswith(".tsv")
    form: dict[str, Any] = {"quoting": csv.QUOTE_NONE} if is_tsv else {"strict": True}
    with opened(path) as raw, io.TextIOWrapper(raw, encoding=encoding, newline="") as stream:
        try:
            for row in csv.DictReader(stream, delimiter=delimiter, **form):
                # Too few or too many fields: the columns of this row cannot be trusted.
                if None in row or None in row.values():
                    yield None
                else:
                    yield {key.strip().lower(): value if value != "" else None for key, value in row.items()}
        except UnicodeError as error:
            raise LabelFileError(f"{path} is no {encoding.upper()} text ({error}); save it as UTF-8") from error


def _form_of(path: Path) -> tuple[str, str]:
    """Return the encoding (by the byte order mark) and the delimiter (with the most known columns) of a text table."""
    with opened(path) as raw:
        head = raw.read(_HEAD)
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    line = head.decode(encoding, "replace").partition("\n")[0]
    fields = {mark: {name.strip().strip('"').lower() for name in line.split(mark)} for mark in _DELIMITERS}
    return encoding, max(_DELIMITERS, key=lambda mark: len(fields[mark] & COLUMNS))


def _parquet_rows(path: Path) -> Iterator[Row | None]:
    with pq.ParquetFile(path) as parquet:
        # Other columns may be of any type, even one that Python cannot hold.
        known = [name for name in parquet.schema_arrow.names if name.lower() in COLUMNS]
        if not known:
            raise LabelFileError(
                f"{path} holds no label: it has the columns {', '.join(parquet.schema_arrow.names)[:200]}; needed are {NEEDED}"
            )
        for batch in parquet.iter_batches(columns=known):
            for row in batch.to_pylist():
                yield {key.lower(): value for key, value in row.items()}


def _legacy_rows(path: Path) -> Iterator[Row | None]:
    """Yield the labels of a legacy atlas: the label that is shown, and the input and output labels."""
    try:
        with duckdb.connect(str(path), read_only=True, config={"enable_external_access": False}) as con:
            columns = [name for name, *_ in con.execute("DESCRIBE neurons").fetchall()]
            known = [name for name in (*_OLDER_COLUMNS, "input_label", "output_label") if name in columns]
            if not {"layer", "neuron", "label"} <= set(known):
                raise LabelFileError(f"{path} is no earlier atlas: its neurons need layer, neuron and label")
            reader: pa.RecordBatchReader = con.sql(f"SELECT {', '.join(known)} FROM neurons").to_arrow_reader(1 << 16)
            for batch in reader:
                for row in batch.to_pylist():
                    yield from _legacy_labels(row)
    except duckdb.Error as error:
        raise LabelFileError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error


def _legacy_labels(row: Row) -> Iterator[Row]:
    if row["label"] is not None:
        yield {name: row.get(name) for name in _OLDER_COLUMNS}
    for kind in ("input", "output"):
        text = row.get(f"{kind}_label")
        if text is not None and text != row["label"]:
            yield {"layer": row["layer"], "neuron": row["neuron"], "label": text, "kind": kind}


def _stats_rows(folder: Path) -> Iterator[Row | None]:
    """Yield the texts of graph files (clerp); the relabel tool joins output and input label in one text."""
    if not (folder / MANIFEST).is_file():
        raise LabelFileError(f"{folder} is no stats folder; give {_KINDS}")
    path = require(folder, DATASETS["stats.graph_labels"])
    for row in pq.read_table(path).to_pylist():
        common = {
            "layer": row["layer"],
            "neuron": row["neuron"],
            "source": "graphs",
            "score": float(row["graph_count"]),
        }
        text, separator, fires = row["text"].partition(" | fires: ")
        if separator:
            yield {**common, "label": text, "kind": "output"}
            yield {**common, "label": fires, "kind": "input"}
        else:
            yield {**common, "label": text}
