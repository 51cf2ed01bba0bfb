"""Inputs of the reduce phase: earlier statistics, then the finished tasks of this run, with their graphs."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from atlas.aggregate.context import Provenance
from atlas.aggregate.map.graph_tasks import read_bookkeeping, read_finished_task, refuse_other_space, runs_name
from atlas.aggregate.prompt_groups import STATED, GraphGroups, assign_groups, read_group_file, single_groups
from atlas.aggregate.spill.sorted_sources import SortedSource
from atlas.errors import InputError, NothingReadable, SourceChanged, StageError
from atlas.graph import Ints, Space
from atlas.io.run_files import RunFile
from atlas.io.work_dir import Store
from atlas.options import AUTO, NONE
from atlas.stages import DATASETS
from atlas.stages.manifest import read_manifest

_FIRST = 3  # number of rejects to name in a message
IDENTITY = ["path", "content_hash"]
_PLACE = ["file", "member", "graph_hash"]
_COUNTS = ["link_count", "dropped_count"]
_GROUPING = ["slug", "prompt", "corpus_source", "prompt_group", "group_id", "group_rule"]

_COLUMNS = IDENTITY + _PLACE + _COUNTS + _GROUPING


@dataclass
class Input:
    """A finished task of this run, or the folder of earlier statistics, with its graphs.

    `graphs` has the columns path, content_hash, file, member, graph_hash, counts of links, and those that decide the groups of
    prompts.
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
        graphs = pq.read_table(DATASETS["stats.graphs"].path(folder), columns=_COLUMNS)
        source = SortedSource(len(inputs), first, folder=str(folder.resolve()))
        below, names = int(manifest.get("sample_below", 0)), tuple(manifest.get("set_names", ()))
        inputs.append(Input(source, graphs, Space(**manifest["space"]), str(folder), folder, below, names))
        first += len(graphs)
    for number in range(tasks):
        done, graphs = read_finished_task(store.url, number, _COLUMNS)
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
    """Yield one bookkeeping table per input. Its graph_id is numbered within the input."""
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
        NothingReadable: No input holds a graph.
        SpaceMismatch: Two inputs have different feature spaces.
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
    """Return the message for inputs without graphs: counts of the reasons, and the first files with their errors."""
    rows = rejects.select(["path", "reason", "message"]).to_pylist()
    reasons = Counter(row["reason"] for row in rows)
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "no files"
    first = "; ".join(f"{row['path']}: {row['message']}" for row in rows[:_FIRST])
    more = f"; and {len(rows) - _FIRST:,} more" if len(rows) > _FIRST else ""
    return f"none of the files is a readable graph ({told}) under {', '.join(paths)[:300]}: {first}{more}"


def identity_columns(inputs: Sequence[Input]) -> list[list[list[str]]]:
    """Return the paths and the content hashes of the graphs of every input."""
    return [[item.graphs[name].to_pylist() for item in inputs] for name in IDENTITY]


def signature(inputs: Sequence[Input], provenance: Provenance) -> str:
    """Return a hash of all graphs and of the options that decide their statistics."""
    options: Mapping[str, object] = dict(provenance.options)
    text = json.dumps([identity_columns(inputs), provenance.sample_below, options])
    return hashlib.sha256(text.encode()).hexdigest()


def final_ids(paths: Sequence[Sequence[str]], hashes: Sequence[Sequence[str | None]]) -> list[Ints]:
    """Return the final graph_id of the graphs of every input: the rank of the path, with lines sorted by number."""
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


def group_graphs(inputs: Sequence[Input], option: str) -> GraphGroups:
    """Return the groups of prompts of all graphs.

    Args:
        inputs: Inputs of the reduce phase.
        option: `auto`, `none`, or a file that states groups.

    Raises:
        InputError: A file of groups names none of the graphs.
        SourceChanged: Graphs of one group of earlier statistics are in two groups now.
        StageError: Earlier statistics do not hold edges by group.
    """
    columns = {name: [item.graphs[name].to_pylist() for item in inputs] for name in (*IDENTITY, "file", *_GROUPING)}
    flat = {name: list(itertools.chain.from_iterable(values)) for name, values in columns.items()}
    hashes = [found or path for found, path in zip(flat["content_hash"], flat["path"], strict=True)]
    is_grouped = option != NONE
    if is_grouped:
        stated = [
            name if rule in (None, STATED) else None
            for name, rule in zip(flat["prompt_group"], flat["group_rule"], strict=True)
        ]
        if option != AUTO:
            stated = _stated(Path(option), flat, stated)
        found = assign_groups(stated, flat["corpus_source"], flat["prompt"], hashes)
    else:
        found = single_groups(hashes)
    names = sorted(set(found.names))
    number = {name: place for place, name in enumerate(names)}
    sizes = np.cumsum([len(item.graphs) for item in inputs])[:-1]
    numbers = np.split(np.array([number[name] for name in found.names], np.int64), sizes)
    ends = [0, *sizes.tolist(), len(hashes)]
    rules = [found.rules[first:last] for first, last in itertools.pairwise(ends)]
    renumbered = [_renumbered(item, new) if is_grouped else None for item, new in zip(inputs, numbers, strict=True)]
    return GraphGroups(names, numbers, rules, renumbered, is_grouped)


def _stated(path: Path, flat: Mapping[str, Sequence[Any]], stated: Sequence[str | None]) -> list[str | None]:
    """Return the groups that a file states by path, file name or slug of a graph, else those that graphs state."""
    groups = read_group_file(path)
    names = list(zip(flat["path"], flat["file"], flat["slug"], strict=True))
    known = [(full, Path(file or full).name, slug) for full, file, slug in names]
    if not groups.keys() & {name for row in known for name in row}:
        raise InputError(
            f"{path} names none of the graphs; its column graph has their paths, file names or slugs, such as {flat['path'][0]}"
        )
    found = [
        next((groups[name] for name in row if name in groups), own) for row, own in zip(known, stated, strict=True)
    ]
    return found


def _renumbered(item: Input, numbers: Ints) -> Ints | None:
    """Return the new number of each group of earlier statistics; None for a task."""
    if item.folder is None:
        return None
    if not DATASETS["stats.edge_groups"].path(item.folder).exists():
        raise StageError(
            f"{item.folder} does not count edges by group of prompts; start over with --fresh, or take every graph as a "
            "group of its own with --groups none"
        )
    old = item.graphs["group_id"].to_numpy()
    found = np.zeros(int(old.max(initial=-1)) + 1, np.int64)
    found[old] = numbers
    if (found[old] != numbers).any():
        raise SourceChanged(
            f"graphs of one group of {item.folder} are in different groups now; aggregate the files of all graphs together (--fresh)"
        )
    return found
