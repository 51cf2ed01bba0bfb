"""Inputs of the reduce phase: earlier statistics first, then the finished tasks of this run, with their graphs."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from atlas.aggregate.context import Provenance
from atlas.aggregate.map.graph_tasks import read_bookkeeping, read_finished_task, refuse_other_space, runs_name
from atlas.aggregate.spill.run_files import RunFile
from atlas.aggregate.spill.sorted_sources import SortedSource
from atlas.errors import NothingReadable
from atlas.graph import Ints, Space
from atlas.io.work_dir import Store
from atlas.stages import DATASETS
from atlas.stages.manifest import read_manifest

_FIRST = 3  # rejects in a message
IDENTITY = ["path", "content_hash"]
_PLACE = ["file", "member", "graph_hash"]


@dataclass
class Input:
    """A finished task of this run, or the folder of earlier statistics, with its graphs.

    `graphs` has the columns path, content_hash, file, member and graph_hash.
    """

    source: SortedSource
    graphs: pa.Table
    space: Space | None
    space_path: str
    folder: Path | None = None
    sample_below: int = 0
    set_names: tuple[str, ...] = ()


def read_inputs(store: Store, tasks: int, previous: Sequence[Path]) -> list[Input]:
    """Return earlier statistics and then the finished tasks, in the order in which their values are added."""
    inputs: list[Input] = []
    first = 0
    for folder in previous:
        manifest = read_manifest(folder, "stats")
        graphs = pq.read_table(DATASETS["stats.graphs"].path(folder), columns=IDENTITY + _PLACE)
        source = SortedSource(len(inputs), first, folder=str(folder.resolve()))
        below, names = int(manifest.get("sample_below", 0)), tuple(manifest.get("set_names", ()))
        inputs.append(Input(source, graphs, Space(**manifest["space"]), str(folder), folder, below, names))
        first += len(graphs)
    for number in range(tasks):
        done, graphs = read_finished_task(store.url, number, IDENTITY + _PLACE)
        source = SortedSource(len(inputs), first, runs=runs_name(number))
        inputs.append(Input(source, graphs, done.space, done.space_path, set_names=done.set_names))
        first += len(graphs)
    return inputs


def spill_files(store: Store, inputs: Sequence[Input]) -> list[RunFile]:
    """Return the spill files of the tasks of this run."""
    return [RunFile(store, item.source.runs) for item in inputs if item.source.runs]


def read_rejects(store: Store, inputs: Sequence[Input]) -> pa.Table:
    """Return the rejects of the tasks of this run."""
    tables = [read_bookkeeping(file, "rejects") for file in spill_files(store, inputs)]
    return pa.concat_tables([DATASETS["stats.rejects"].empty(), *tables])


def bookkeeping_tables(store: Store, name: str, inputs: Sequence[Input]) -> Iterator[tuple[Input, pa.Table]]:
    """Yield one bookkeeping table of every input; graph_id counts within its input."""
    for item in inputs:
        if item.folder is not None:
            yield item, pq.read_table(DATASETS[f"stats.{name}"].path(item.folder))
        elif name == "graphs":
            yield item, read_finished_task(store.url, int(Path(str(item.source.runs)).stem))[1]
        else:
            yield item, read_bookkeeping(RunFile(store, str(item.source.runs)), name)


def common_space(store: Store, inputs: Sequence[Input], provenance: Provenance) -> Space:
    """Return the feature space of all inputs.

    Raises:
        NothingReadable: There is no graph at all.
        SpaceMismatch: Two inputs are of different feature spaces.
    """
    space: Space | None = None
    path = ""
    for item in inputs:
        refuse_other_space(space, path, item.space, item.space_path)
        if space is None:
            space, path = item.space, item.space_path
    if space is None:
        raise NothingReadable(_nothing_readable(read_rejects(store, inputs), provenance.inputs))
    return space


def _nothing_readable(rejects: pa.Table, paths: Sequence[str]) -> str:
    """Why there is nothing to aggregate: the reasons with their counts, and the first files with what is wrong in them."""
    rows = rejects.select(["path", "reason", "message"]).to_pylist()
    reasons = Counter(row["reason"] for row in rows)
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "no files"
    first = "; ".join(f"{row['path']}: {row['message']}" for row in rows[:_FIRST])
    more = f"; and {len(rows) - _FIRST:,} more" if len(rows) > _FIRST else ""
    return f"none of the files is a readable graph ({told}) under {', '.join(paths)[:300]}: {first}{more}"


def identity_columns(inputs: Sequence[Input]) -> list[list[list[str]]]:
    """Return path and content hash of the graphs of every input."""
    return [[item.graphs[name].to_pylist() for item in inputs] for name in IDENTITY]


def signature(inputs: Sequence[Input], provenance: Provenance) -> str:
    """Return one hash of the graphs behind a run, and of what decides their statistics."""
    options: Mapping[str, object] = dict(provenance.options)
    text = json.dumps([identity_columns(inputs), provenance.sample_below, options])
    return hashlib.sha256(text.encode()).hexdigest()


def final_ids(paths: Sequence[Sequence[str]], hashes: Sequence[Sequence[str | None]]) -> list[Ints]:
    """Return, for the graphs of every input, their final graph_id: the rank of the path, lines of a file by number."""
    flat = [
        (*_natural(path), content_hash or "", origin, row)
        for origin, (names, found) in enumerate(zip(paths, hashes, strict=True))
        for row, (path, content_hash) in enumerate(zip(names, found, strict=True))
    ]
    flat.sort()
    ids = [np.zeros(len(names), np.int64) for names in paths]
    for rank, (*_, origin, row) in enumerate(flat):
        ids[origin][row] = rank
    return ids


def _natural(path: str) -> tuple[str, int, str]:
    name, mark, line = path.rpartition("#")
    return (name, int(line), path) if mark and line.isascii() and line.isdigit() else (path, 0, path)
