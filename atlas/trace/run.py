"""Tracing of a corpus to statistics, without graphs on disk, or to graph files. Both resume an interrupted run."""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from atlas.errors import InputError, SpaceMismatch, UsageError
from atlas.graph import Graph, Reject
from atlas.io.files import only_writer, translated_os_errors
from atlas.models.load import enough_memory
from atlas.models.prompts import Prompt, count_prompts, read_prompts
from atlas.options import PromptOptions
from atlas.trace.graph_files import FORMATS, write_graph, written_as
from atlas.trace.tracer import Traced, Tracer

Progress = Callable[[str, int, int], None]
REJECTS = "rejects.csv"
MOST_ABLATIONS = 50  # of each kind in one graph: more of them say little about other prompts
FLUSH_SECONDS = 30.0  # a killed run loses at most this much work


class Sink(Protocol):
    """Receiver of graphs, such as `Aggregator` of `atlas.aggregate`."""

    hashes: set[str]

    def add_graph(self, graph: Graph) -> None:
        """Add a graph."""

    def reject(self, reject: Reject) -> None:
        """Record a prompt that gave no graph."""

    def flush(self) -> None:
        """Save all graphs and rejects so far, so that they survive this process."""


@dataclass
class TraceSummary:
    """Counts of a trace."""

    graphs: int = 0  # traced now
    known: int = 0  # traced by an earlier run
    rejects: Counter[str] = field(default_factory=Counter)
    exceeded: int = 0  # graphs in which more than `max_nodes` neurons passed tau
    nodes: int = 0
    links: int = 0
    saved: int = 0
    seconds: float = 0.0

    def count(self, item: Traced | Reject, times: int = 1) -> None:
        """Count a traced graph, or the reason of a reject.

        Args:
            item: Traced graph or reject.
            times: Number to add for a graph; -1 takes it back.
        """
        if isinstance(item, Reject):
            self.rejects[item.reason] += 1
            return
        self.graphs += times
        self.exceeded += times * bool(item.graph.info.nodes_exceeded)
        self.nodes += times * len(item.graph.nodes.kind)
        self.links += times * len(item.graph.links.weight)

    def uncount(self, item: Traced) -> None:
        """Move a traced graph to the count of known ones.

        Args:
            item: Traced graph.
        """
        self.count(item, -1)
        self.known += 1


@dataclass(frozen=True)
class SaveGraphs:
    """Graph files to keep next to the statistics: the first `count` graphs of a run in the format `form`, by corpus."""

    folder: Path
    count: int
    form: str = "relp"


def trace_to_sink(
    tracer: Tracer,
    prompts: Path,
    corpus: PromptOptions,
    sink: Sink,
    *,
    batch: int = 8,
    saving: SaveGraphs | None = None,
    required: bool = True,
    progress: Progress,
) -> TraceSummary:
    """Trace the prompts of a file into a sink. Prompts whose hash the sink holds are skipped.

    Memory is bounded by the batch.

    Args:
        tracer: Model and options.
        prompts: .jsonl, .txt or .parquet.
        corpus: Options that select the prompts.
        sink: Receiver of graphs and rejects.
        batch: Number of prompts per forward pass.
        saving: Graphs to keep as files.
        required: Raise an error where no prompt gives a graph.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of the traces.

    Raises:
        InputError: No prompt can be read, or (if `required`) none gives a graph.
    """
    summary = TraceSummary()
    flushed = time.monotonic()

    def known(prompt: Prompt) -> bool:
        return tracer.hash_of(prompt) in sink.hashes

    sample = tracer.options.ablations
    for item in _traced(tracer, prompts, corpus, batch, known, summary, progress, sample=sample):
        if isinstance(item, Reject):
            sink.reject(item)
            continue
        if item.graph.info.content_hash in sink.hashes:
            # The prompt was twice in one batch, so `known` could not see its first copy.
            summary.uncount(item)
            continue
        if saving and summary.saved < saving.count:
            path = saving.folder / item.graph.info.path
            path.parent.mkdir(parents=True, exist_ok=True)
            write_graph(item, path, saving.form)
            summary.saved += 1
        sink.add_graph(item.graph)
        if time.monotonic() - flushed > FLUSH_SECONDS:
            sink.flush()
            flushed = time.monotonic()
    if required:
        _refuse_nothing(summary, prompts)
    return summary


def trace_to_files(
    tracer: Tracer,
    prompts: Path,
    corpus: PromptOptions,
    out: Path,
    *,
    form: str,
    batch: int = 8,
    fresh: bool = False,
    progress: Progress,
) -> TraceSummary:
    """Trace the prompts of a file into graph files, and write rejects to rejects.csv.

    An existing file of the same prompt, model, options and format is kept.

    Args:
        tracer: Model and options.
        prompts: .jsonl, .txt or .parquet.
        corpus: Options that select the prompts.
        out: Folder of the graph files.
        form: `relp`, `viewer` or `neuronpedia`.
        batch: Number of prompts per forward pass.
        fresh: Write every file again.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of the traces.

    Raises:
        InputError: No prompt can be read, or none gives a graph.
        SpaceMismatch: The folder holds a file of the same name, of another prompt, model, options or format.
        UsageError: The format is unknown.
    """
    if form not in FORMATS:
        raise UsageError(f"format {form!r} is none; there are {', '.join(FORMATS)}")
    with translated_os_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    summary = TraceSummary()

    def known(prompt: Prompt) -> bool:
        path = out / _name(prompt.path)
        if fresh or not path.exists():
            return False
        if written_as(path) != (form, tracer.hash_of(prompt)):
            raise SpaceMismatch(
                f"{path} was made of another prompt, model or options, or in another format; choose another -o, or start over with --fresh"
            )
        return True

    rejects: list[Reject] = []
    with only_writer(out), translated_os_errors(out):
        for item in _traced(tracer, prompts, corpus, batch, known, summary, progress):
            if isinstance(item, Reject):
                rejects.append(item)
            else:
                write_graph(item, out / _name(item.graph.info.path), form)
                summary.saved += 1
        (out / REJECTS).unlink(missing_ok=True)  # of an earlier run
        if rejects:
            with (out / REJECTS).open("w", encoding="utf-8", newline="") as stream:
                rows = csv.writer(stream)
                rows.writerow(Reject._fields)
                rows.writerows(rejects)
    _refuse_nothing(summary, prompts)
    return summary


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _traced(
    tracer: Tracer,
    prompts: Path,
    corpus: PromptOptions,
    batch: int,
    known: Callable[[Prompt], bool],
    summary: TraceSummary,
    progress: Progress,
    *,
    sample: int = 0,
) -> Iterator[Traced | Reject]:
    """Yield graphs and rejects batch by batch, in the order of the corpus, and count them in `summary`.

    Of the whole corpus, `sample` nodes and edges of each kind are cut in the model, at most `MOST_ABLATIONS` per graph.
    """
    total = count_prompts(prompts, corpus)
    tracer.ablations_per_graph = min(sample / total, MOST_ABLATIONS)
    started, done = time.monotonic(), 0
    progress("tracing prompts", 0, total)
    for group in _batches(read_prompts(prompts, tracer.model, corpus), batch):
        waiting = [item for item in group if isinstance(item, Prompt) and not known(item)]
        summary.known += sum(isinstance(item, Prompt) for item in group) - len(waiting)
        found: list[Any] = [item for item in group if isinstance(item, Reject)]
        with enough_memory():
            traced = tracer.trace(waiting)
        for item in found + traced:
            summary.count(item)
            yield item
        done += len(group)
        progress("tracing prompts", done, total)
    summary.seconds = time.monotonic() - started


def _refuse_nothing(summary: TraceSummary, prompts: Path) -> None:
    if not summary.graphs and not summary.known:
        why = ", ".join(f"{reason}: {count}" for reason, count in summary.rejects.items())
        raise InputError(f"none of the {summary.rejects.total()} prompts of {prompts} gave a graph ({why})")


def _batches(items: Iterator[Prompt | Reject], size: int) -> Iterator[list[Prompt | Reject]]:
    group: list[Prompt | Reject] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
