"""Reports of neurons and circuits: a folder of pages that open by themselves, their facts as JSON, and an index with a filter."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlas.errors import InputError, OutputError
from atlas.ids import NeuronId
from atlas.io.files import replaced_file, translated_os_errors
from atlas.query.client import Atlas
from atlas.query.export import json_safe
from atlas.web.report_index import index_page
from atlas.web.report_pages import circuit_html, circuit_report, file_of, neuron_html, neuron_report

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ReportSummary:
    """Numbers of reports that were written."""

    neurons: int
    circuits: int
    listed: int  # in the index, with those of earlier runs


def write_reports(
    atlas: Atlas,
    out: Path,
    *,
    neurons: Sequence[NeuronId] = (),
    circuits: Sequence[str] = (),
    progress: Progress = lambda _step, _done, _total: None,
) -> ReportSummary:
    """Write reports into a folder; those of earlier runs stay in it and in its index.

    Args:
        atlas: An open atlas.
        out: Folder with `html/`, `json/`, `index.html` and `index.json`; made where it is missing.
        neurons: Neurons to report.
        circuits: Circuits to report, by id.
        progress: Called with the step, and how many reports are done of how many.

    Returns:
        Numbers of reports.

    Raises:
        InputError: A neuron or circuit is not in the atlas; what was written before stays.
        OutputError: A file cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; reports need a folder")
    with translated_os_errors(out):
        for folder in ("html", "json"):
            (out / folder).mkdir(parents=True, exist_ok=True)
    names = {file_of(str(neuron)) for neuron in neurons} | {file_of(name) for name in circuits}
    names |= {path.stem for path in (out / "html").glob("*.html")}
    total = len(neurons) + len(circuits)
    for done, neuron in enumerate(neurons):
        progress("reports", done, total)
        report = neuron_report(atlas, neuron)
        _write(out, file_of(str(neuron)), report, neuron_html(atlas, report, names))
    for done, name in enumerate(circuits, start=len(neurons)):
        progress("reports", done, total)
        found = circuit_report(atlas, name)
        _write(out, file_of(name), found, circuit_html(atlas, found, names))
    progress("reports", total, total)
    return ReportSummary(len(neurons), len(circuits), _write_index(atlas, out))


def labelled_neurons(atlas: Atlas) -> list[NeuronId]:
    """Return all neurons with a label, by layer.

    Args:
        atlas: An open atlas.

    Returns:
        The neurons.
    """
    found = atlas.sql("SELECT layer, neuron FROM neurons WHERE label IS NOT NULL ORDER BY layer, neuron").fetchall()
    return [NeuronId(*row) for row in found]


def _write(out: Path, name: str, report: dict[str, Any], text: str) -> None:
    for folder, content in (
        ("json", json.dumps(json_safe(report), ensure_ascii=False, indent=1, default=str) + "\n"),
        ("html", text),
    ):
        path = out / folder / f"{name}.{folder}"
        with translated_os_errors(path), replaced_file(path) as fresh:
            fresh.write_text(content, encoding="utf-8")


def _write_index(atlas: Atlas, out: Path) -> int:
    """Write the index of all reports in the folder; return their number."""
    neurons, circuits = [], []
    for path in sorted((out / "json").glob("*.json")):
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} is no report: {error}; remove it") from error
        if not isinstance(report, dict) or not {"neuron_id", "circuit_id"} & set(report):
            raise InputError(f"{path} is no report: it names neither a neuron nor a circuit; remove it")
        entry = {"filename": f"{path.stem}.html", "title": report.get("title"), "summary": report.get("summary")}
        if "neuron_id" in report:
            place = {key: report[key] for key in ("neuron_id", "layer", "neuron_idx")}
            neurons.append({**place, **entry, "func_type": report.get("func_type")})
        else:
            circuits.append(
                {"circuit_id": report.get("circuit_id"), **entry, "size": report.get("facts", {}).get("neurons")}
            )
    neurons.sort(key=lambda one: (one["layer"], one["neuron_idx"]))
    circuits.sort(
        key=lambda one: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", one["circuit_id"])]
    )
    for name, content in (
        ("index.json", json.dumps(neurons, ensure_ascii=False, indent=1) + "\n"),
        ("circuits.json", json.dumps(circuits, ensure_ascii=False, indent=1) + "\n"),
        ("index.html", index_page(atlas, neurons, circuits)),
    ):
        with translated_os_errors(out / name), replaced_file(out / name) as fresh:
            fresh.write_text(content, encoding="utf-8")
    return len(neurons) + len(circuits)
