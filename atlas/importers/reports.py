"""Import of neuron reports to a reports folder, with findings and evidence as rows.

Files are `L15_N7890_investigation.json`, `..._dashboard.json` and `..._pi_result.json`. Items are in `evidence` or at
the top level, prompts may be plain texts, and older files name the neuron of a connection `neuron`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from atlas.errors import IdError, InputError
from atlas.ids import NeuronId, well_formed
from atlas.importers.report_examples import READ, examples
from atlas.importers.summary import ImportSummary
from atlas.importers.values import Progress, as_json, neuron_of, number, small, text, texts
from atlas.io.files import write_parquet
from atlas.stages import datasets_of
from atlas.stages.manifest import replaced_folder, write_manifest

_KINDS = {"investigation": "investigation", "dashboard": "dashboard", "pi_result": "review"}
_NAME = re.compile(r"_(investigation|dashboard|pi_result)\.json\Z")
_NEURON = re.compile(r"L(\d+)[_/]?N(\d+)")
_HOLDERS = ("evidence", "activation_patterns")
MAX_BYTES = 1 << 26
Row = dict[str, Any]


@dataclass
class ReportsSummary(ImportSummary):
    """Counts of the import of reports."""

    files: int = 0
    neurons: int = 0
    examples: int = 0
    rejects: Counter[str] = field(default_factory=Counter)


def import_reports(given: Sequence[Path], out: Path, *, progress: Progress = lambda *_: None) -> ReportsSummary:
    """Write the reports of files, or of the folders that hold them, to the reports folder `out`.

    A file that cannot be read is counted and skipped. Raises `InputError` where no file can be read.
    """
    paths = [file for path in given for file in (sorted(path.rglob("*.json")) if path.is_dir() else [path])]
    paths = [path for path in paths if path.name != "index.json"]
    summary, reports, evidence = ReportsSummary(), [], []
    neurons = set()
    for place, path in enumerate(paths):
        progress("reading reports", place, len(paths))
        content, reason = _content(path)
        neuron = _neuron(path, content) if content is not None else None
        if content is None or neuron is None:
            summary.rejects[reason or "no_neuron"] += 1
            continue
        kind = _kind(path, content)
        where = {**neuron._asdict(), "file": well_formed(path.name)}
        reports.append(where | _report(kind, content))
        evidence += [where | row for row in examples(kind, content)]
        neurons.add(neuron)
    if not reports:
        what = ", ".join(f"{count} {reason}" for reason, count in summary.rejects.items()) or "no .json file"
        raise InputError(
            f"{', '.join(map(str, given))} holds no neuron report ({what}); they are called L15_N7890_investigation.json and the like"
        )
    summary.files, summary.neurons, summary.examples = len(reports), len(neurons), len(evidence)
    with replaced_folder(out, "reports") as folder:
        rows = {"reports": reports, "report_examples": evidence}
        for dataset in datasets_of("reports"):
            write_parquet(pa.Table.from_pylist(rows[dataset.name], dataset.schema), dataset.path(folder))
        counts = {name: len(found) for name, found in rows.items()}
        write_manifest(folder, "reports", rejects=dict(summary.rejects), counts=counts)
    return summary


def _content(path: Path) -> tuple[Mapping[str, Any] | None, str]:
    """Return the object in a file, or None and the reason why there is none."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return None, "too_large"
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError:
        return None, "unreadable"
    except (ValueError, RecursionError):
        return None, "bad_json"
    return (value, "") if isinstance(value, dict) else (None, "no_report")


def _neuron(path: Path, content: Mapping[str, Any]) -> NeuronId | None:
    try:
        return neuron_of(content)
    except IdError:
        named = _NEURON.search(path.name)
        if named is None:
            return None
        try:
            return NeuronId.checked(int(named[1]), int(named[2]))
        except IdError:
            return None


def _kind(path: Path, content: Mapping[str, Any]) -> str:
    named = _NAME.search(path.name)
    if named is not None:
        return _KINDS[named[1]]
    return "dashboard" if "summary_card" in content else "review" if "final_verdict" in content else "investigation"


def _part(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def _first(*values: object) -> str | None:
    return next((found for found in map(text, values) if found is not None), None)


def _rest(value: dict[str, Any]) -> dict[str, Any]:
    """Return the values that are in no column and no row of evidence, without empty ones."""
    within = {
        key: _rest({name: found for name, found in item.items() if name not in READ}) if key in _HOLDERS else item
        for key, item in value.items()
        if key not in _HOLDERS or isinstance(item, dict)
    }
    return {key: item for key, item in within.items() if item not in (None, [], {})}


def _report(kind: str, content: Mapping[str, Any]) -> Row:
    """Return the row of a file; values without a column of their own are in `details`."""
    about, summary_card = _part(content, "characterization"), _part(content, "summary_card")
    skeptic, said = _part(content, "skeptic_report"), _part(content, "findings")
    timeline = _part(content, "hypothesis_timeline")
    confidence = number(content.get("confidence"))
    taken = ("neuron_id", "layer", "neuron_idx", "hypotheses_tested", *READ)
    row = {
        "kind": kind,
        "title": _first(about.get("title"), summary_card.get("initial_label"), content.get("initial_label")),
        "summary": _first(
            about.get("final_hypothesis"), about.get("one_line_summary"), summary_card.get("summary"), timeline.get("final_hypothesis"),
            skeptic.get("revised_hypothesis"), skeptic.get("original_hypothesis"),
        ),
        "input_function": _first(about.get("input_function"), summary_card.get("input_function")),
        "output_function": _first(about.get("output_function"), summary_card.get("output_function")),
        "function_type": _first(about.get("function_type"), summary_card.get("function_type")),
        "polarity": _first(content.get("polarity_mode")),
        "regime": _first(content.get("operating_regime")),
        "confidence": confidence if confidence is not None else number(summary_card.get("confidence")),
        "verdict": _first(content.get("final_verdict")),
        "skeptic_verdict": _first(skeptic.get("verdict")),
        "experiment_count": small(content.get("total_experiments")) or small(summary_card.get("total_experiments")),
        "findings": texts(content.get("key_findings")) or texts(said.get("key_findings")) or texts(skeptic.get("key_challenges")),
        "open_questions": texts(content.get("open_questions")) or texts(said.get("open_questions")),
        "reported": _first(content.get("timestamp"), _part(content, "metadata").get("timestamp")),
        "details": as_json(_rest({key: value for key, value in content.items() if key not in taken})),
    }  # fmt: skip
    return row
