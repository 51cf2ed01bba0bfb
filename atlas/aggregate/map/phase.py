"""Map phase: runs the unfinished tasks, and removes graphs that are in two tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from atlas.aggregate.context import JobContext, Run
from atlas.aggregate.inputs import Input, read_inputs
from atlas.aggregate.map.duplicates import copies
from atlas.aggregate.map.graph_tasks import (
    FinishedTask,
    GraphReading,
    Task,
    read_finished_task,
    refuse_other_space,
    run_task,
    runs_name,
)
from atlas.aggregate.plan import Plan, bookkeeping_name
from atlas.graph import Space
from atlas.runtime.journal import Journal
from atlas.runtime.worker import Call
from atlas.stages.manifest import read_manifest


def map_graphs(run: Run, plan: Plan, reading: GraphReading, previous: Sequence[Path]) -> list[Input]:
    """Read the graph files of a plan, and return the inputs of the reduce phase.

    Tasks that contain duplicate graphs are run again, skipping the later copy.

    Raises:
        SpaceMismatch: Two tasks, or a task and earlier statistics, have different feature spaces.
    """
    context = JobContext(
        run.store.url, run.options.device, plan.links, plan.sample_below, plan.combine, plan.keep_graphs
    )
    tasks = [
        Task(number, tuple(known.source for known in files), reading, context)
        for number, files in enumerate(plan.tasks)
    ]
    sizes = {task.number: len(task.sources) for task in tasks}
    run_tasks(run, run_task, tasks, sizes, "graph files", previous)
    skips: dict[int, dict[str, str]] = {}
    while twice := copies(run.store, len(tasks), previous):
        # Skipping one copy may reveal the next one, so the skipped graphs of a task accumulate.
        for number, skip in twice.items():
            skips.setdefault(number, {}).update(skip)
        again = [replace(tasks[number], skip=skips[number]) for number in twice]
        run_tasks(run, run_task, again, sizes, "graph files", previous, again=True)
    return read_inputs(run.store, len(tasks), previous)


def run_tasks(
    run: Run,
    function: Call,
    tasks: Sequence[Any],
    sizes: Mapping[int, int],
    what: str,
    previous: Sequence[Path] = (),
    *,
    again: bool = False,
    on_device: bool = False,
) -> None:
    """Run the numbered tasks that are not done yet.

    Args:
        run: The aggregation.
        function: Runs one task and returns its `FinishedTask`.
        tasks: Tasks with a `number`.
        sizes: Number of counted items by task number, for the progress.
        what: Name of the counted items.
        previous: Folders of earlier statistics.
        again: Also run tasks that are already done.
        on_device: Run in this process if it uses a GPU.

    Raises:
        SpaceMismatch: A task has another feature space than an earlier one.
    """
    journal = Journal.opened(run.store)
    finished = set() if again else journal.trusted
    missing = [task for task in tasks if bookkeeping_name(task.number) not in finished]
    known = _first_space(previous)
    for task in tasks:
        if task not in missing:
            known = _same_space(known, read_finished_task(run.store.url, task.number, [])[0])
    total = sum(sizes[task.number] for task in tasks)
    done = total - sum(sizes[task.number] for task in missing)
    run.progress(what, done, total)
    for result in (run.near_device if on_device else run.workers).run(function, missing):
        known = _same_space(known, result)
        journal.note(runs_name(result.number), bookkeeping_name(result.number))
        done += sizes[result.number]
        run.progress(what, done, total)


def _first_space(previous: Sequence[Path]) -> tuple[Space | None, str]:
    for folder in previous:
        return Space(**read_manifest(folder, "stats")["space"]), str(folder)
    return None, ""


def _same_space(known: tuple[Space | None, str], done: FinishedTask) -> tuple[Space | None, str]:
    refuse_other_space(*known, done.space, done.space_path)
    return known if known[0] is not None else (done.space, done.space_path)
