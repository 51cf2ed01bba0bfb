"""Log of an atlas: the runs that made its stages, as their manifests tell, and its own build."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from atlas._version import __version__
from atlas.database.inputs import Inputs
from atlas.database.scripts import script
from atlas.database.tables import arrow_table
from atlas.stages.manifest import MANIFEST

_RUNS = pa.schema(
    [
        ("place", pa.int32()),
        ("command", pa.string()),
        ("name", pa.string()),
        ("parameters", pa.string()),
        ("inputs", pa.list_(pa.string())),
        ("output", pa.string()),
        ("figures", pa.string()),
        ("seconds", pa.float64()),
        ("finished", pa.timestamp("us")),
        ("tool_version", pa.string()),
    ]
)
# Command of the stage of a folder; statistics say by their options whether they were traced.
_COMMANDS = {
    "clusters": "cluster",
    "circuits": "circuits",
    "verify": "verify",
    "labels": "import labels",
    "projections": "project",
    "activations": "collect",
    "measures": "measure",
    "features": "features",
    "reports": "import reports",
}
_INPUTS = ("inputs", "prompts", "text", "files", "store")
_PARAMETERS = (
    "options",
    "space",
    "model",
    "method",
    "precedence",
    "revision",
    "layer",
    "dictionary",
    "density",
    "top",
    "name",
)
_HIDDEN = {"stage", "version", "tool_version", "set_names", "sample_below"}


@dataclass(frozen=True)
class Run:
    """One run: what it did, with what, and what came out."""

    command: str
    name: str
    parameters: Mapping[str, Any]
    inputs: list[str]
    output: str
    figures: Mapping[str, Any]
    seconds: float | None
    finished: datetime.datetime | None
    tool_version: str | None


def write_runs(con: duckdb.DuckDBPyConnection, runs: list[Run]) -> None:
    """Append runs to the table `experiments` of the current catalog; the catalog `input` is there."""
    rows = [
        {
            **vars(run),
            "place": place,
            "parameters": _json(run.parameters),
            "figures": _json(run.figures),
        }
        for place, run in enumerate(runs)
    ]
    arrow_table(con, "runs", pa.Table.from_pylist(rows, schema=_RUNS))
    con.execute(script("load_experiments"))


def runs_of(inputs: Inputs) -> list[Run]:
    """Return the runs that made the inputs of an atlas, in the order of the flow."""
    seconds = {
        key.removeprefix("seconds_"): float(value)
        for key, value in inputs.metadata.items()
        if key.startswith("seconds_")
    }
    return [run_of(folder, seconds.get(folder.name)) for folder in _folders(inputs)]


def _folders(inputs: Inputs) -> Iterator[Path]:
    yield inputs.stats
    yield from filter(None, (inputs.wiring, inputs.projections))
    for store in inputs.stores:
        yield from filter(None, (store.store, store.measures, store.features))
    yield from inputs.clusters
    yield from filter(None, (inputs.circuits, inputs.effects, inputs.labels, inputs.reports))


def run_of(folder: Path, seconds: float | None = None, command: str | None = None) -> Run:
    """Return the run that wrote a stage folder, as its manifest tells; what it does not tell is left out."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    parameters: dict[str, Any] = {}
    for key in _PARAMETERS:
        value = manifest.get(key)
        parameters |= value if isinstance(value, dict) else {} if value is None else {key: value}
    named = [manifest[key] for key in _INPUTS if manifest.get(key)]
    read = [
        str(one["path"]) if isinstance(one, dict) and "path" in one else str(one)
        for part in named
        for one in (part if isinstance(part, list) else [part])
    ]
    figures = dict(manifest.get("counts") or {})
    figures |= {
        key: value
        for key, value in manifest.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and key not in (*_PARAMETERS, *_HIDDEN)
    }
    known = command or _COMMANDS.get(manifest["stage"]) or _command_of_stats(manifest)
    finished = datetime.datetime.fromtimestamp((folder / MANIFEST).stat().st_mtime, datetime.UTC).replace(tzinfo=None)
    return Run(
        known, folder.name, parameters, read, folder.name, figures, seconds, finished, manifest.get("tool_version")
    )


def _command_of_stats(manifest: Mapping[str, Any]) -> str:
    options = manifest.get("options") or {}
    if manifest.get("method") == "weight_graph":
        return "wire"
    return "trace" if "tau" in options else "aggregate" if options else "import"


def build_run(inputs: Inputs, out: str, counts: Mapping[str, int], seconds: float) -> Run:
    """Return the build of an atlas."""
    parameters = json.loads(inputs.metadata.get("recipe", "null")) or {"min_count": inputs.min_count}
    finished = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    name = inputs.metadata.get("recipe_name", "atlas")
    return Run(
        "build",
        name,
        parameters,
        [folder.name for folder in _folders(inputs)],
        out,
        counts,
        seconds,
        finished,
        __version__,
    )


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
