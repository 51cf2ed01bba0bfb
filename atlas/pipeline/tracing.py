"""Library calls that run a model: traces, projections, activations and the training of dictionaries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlas.errors import UsageError, needs_extra
from atlas.options import AUTO, MEMORY, AggregateOptions
from atlas.pipeline.models import load
from atlas.runtime.progress import Progress, silent

if TYPE_CHECKING:
    from atlas.activations import CollectSummary, ProjectSummary
    from atlas.aggregate import Summary
    from atlas.models import TracedModel
    from atlas.options import (
        CollectOptions,
        DocumentOptions,
        ProjectOptions,
        PromptOptions,
        TraceOptions,
    )
    from atlas.trace import Tracer, TraceSummary


def trace_prompts(
    model: str | TracedModel,
    prompts: Path,
    out: Path,
    *,
    form: str = "stats",
    options: TraceOptions | None = None,
    corpus: PromptOptions | None = None,
    name: str | None = None,
    device: str = "auto",
    dtype: str | None = None,
    batch: int | None = None,
    save_graphs: int = 0,
    memory: int = MEMORY,
    threads: int | None = None,
    cooccurrence: int = AggregateOptions.cooccurrence,
    groups: str = AUTO,
    graph_links: str = AUTO,
    fresh: bool = False,
    scheduler: str | None = None,
    shards: int | None = None,
    progress: Progress = silent,
) -> tuple[TraceSummary, Summary | None]:
    """Trace prompts to statistics, or to graph files. Prompts that an earlier run traced are skipped.

    Args:
        model: Folder, name on the model hub, or loaded model.
        prompts: .jsonl, .txt or .parquet.
        out: Stats folder, or folder of graph files.
        form: `stats`, or a format of graph files: `relp`, `viewer` or `neuronpedia`.
        options: Options that decide a graph; the defaults where None.
        corpus: Options that select the prompts of the file; the defaults where None.
        name: Name of the model in graphs and statistics.
        device: `auto`, `cpu`, `cuda` or one GPU.
        dtype: Type of the weights, as for `load_model`.
        batch: Number of prompts per forward pass. Where None, 1 on a CPU, which repeats to the bit, and 8 on a GPU.
        save_graphs: Number of graphs of the run to keep as files in `out` + `.graphs`.
        memory: Bytes that all processes of the aggregation may take together.
        threads: Number of worker processes of the aggregation.
        cooccurrence: Co-occurring neurons to keep of each neuron; 0 leaves co-occurrence out.
        groups: `auto` groups graphs by their prompts and counts edges by group, `none` takes every graph as a group of its
            own; or a file that states groups.
        graph_links: `auto` keeps the nodes and links of every graph, up to 100 million links; `none` keeps none.
        fresh: Discard earlier results and start over.
        scheduler: Dask scheduler: `local` or an address. The prompts are traced in shards, each on its own GPU where
            there are several, and the shards are merged.
        shards: Number of shards; one per worker where None.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of the traces, and of the statistics, or None where no statistics were written.

    Raises:
        InputError: The model or the prompts cannot be read.
        MissingExtra: A library is not installed.
        OutputError: A folder cannot be written.
        SpaceMismatch: `out` holds graphs of another model or link weight.
        UsageError: An option has an invalid value.
    """
    with needs_extra("trace"):
        from atlas.options import PromptOptions, TraceOptions
        from atlas.trace import Tracer, baseline_of, trace_to_files
    with needs_extra("aggregate"):
        from atlas.pipeline.trace_shards import Shard, trace_on_cluster

    corpus, options = corpus or PromptOptions(), options or TraceOptions()
    if batch is not None and batch < 1:
        raise UsageError("a batch is 1 prompt or more")
    if form != "stats" and save_graphs:
        raise UsageError("--save-graphs keeps graphs beside statistics; --format writes all of them")
    if scheduler is not None:
        if form != "stats" or save_graphs or not isinstance(model, str):
            raise UsageError("--scheduler traces to statistics alone, and loads the model by its name on every worker")
        kept = (cooccurrence, groups, graph_links, memory)
        shared = Shard(0, 1, model, prompts.resolve(), out, options, corpus, name, device, dtype, batch, *kept)
        return trace_on_cluster(shared, out, scheduler, shards, memory, threads, fresh=fresh, progress=progress)
    loaded = load(model, name=name, device=device, dtype=dtype)
    batch = batch or loaded.usual_batch
    tracer = Tracer(loaded, options, baseline=baseline_of(loaded, options, prompts, corpus))
    if form != "stats":
        return trace_to_files(
            tracer, prompts, corpus, out, form=form, batch=batch, fresh=fresh, progress=progress
        ), None
    settings: dict[str, Any] = {
        "memory": memory,
        "threads": threads,
        "cooccurrence": cooccurrence,
        "groups": groups,
        "graph_links": graph_links,
        "fresh": fresh,
    }
    return _into_stats(tracer, prompts, corpus, out, batch, save_graphs, progress, settings)


def _into_stats(
    tracer: Tracer,
    prompts: Path,
    corpus: PromptOptions,
    out: Path,
    batch: int,
    save_graphs: int,
    progress: Progress,
    settings: dict[str, Any],
) -> tuple[TraceSummary, Summary | None]:
    from atlas.aggregate import Aggregator
    from atlas.trace import SaveGraphs, trace_to_sink

    whole = out.resolve()
    saving = SaveGraphs(whole.with_name(f"{whole.name}.graphs"), save_graphs) if save_graphs else None
    aggregator = Aggregator(
        out,
        space=tracer.space,
        device=tracer.model.device.type,
        inputs=[prompts.name],
        progress=progress,
        made_with=tracer.made_with,
        **settings,
    )
    try:
        traced = trace_to_sink(tracer, prompts, corpus, aggregator, batch=batch, saving=saving, progress=progress)
        return traced, aggregator.write() if aggregator.is_new else None
    finally:
        aggregator.close()


def project_model(
    model: str | TracedModel,
    out: Path,
    *,
    prompts: Path | None = None,
    options: ProjectOptions | None = None,
    corpus: PromptOptions | None = None,
    name: str | None = None,
    device: str = "auto",
    dtype: str | None = None,
    batch: int | None = None,
    progress: Progress = silent,
) -> ProjectSummary:
    """Write projections and norms of a model; with prompts also direct effect ratios, exemplars and labels.

    Args:
        model: Folder, name on the model hub, or loaded model.
        out: Folder of the stage, which is replaced.
        prompts: Corpus: .jsonl, .txt or .parquet.
        options: Numbers of tokens, exemplars and prompts for ratios; the defaults where None.
        corpus: Options that select the prompts of the corpus; the defaults where None.
        name: Name of the model.
        device: `auto`, `cpu`, `cuda` or one GPU.
        dtype: Type of the weights, as for `load_model`.
        batch: Number of prompts per forward pass; where None, 1 on a CPU and 8 on a GPU.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of neurons, prompts, exemplars and labels.

    Raises:
        InputError: The model or the prompts cannot be read.
        MissingExtra: transformers is not installed.
        OutputError: The folder cannot be written.
        UsageError: An option has an invalid value.
    """
    with needs_extra("trace"):
        from atlas.activations import project

    loaded = load(model, name=name, device=device, dtype=dtype)
    size = batch or loaded.usual_batch
    return project(loaded, out, options, prompts=prompts, corpus=corpus, batch=size, progress=progress)


def collect_activations(
    model: str | TracedModel,
    text: Path,
    out: Path,
    *,
    options: CollectOptions | None = None,
    sae: Path | None = None,
    corpus: DocumentOptions | None = None,
    name: str | None = None,
    device: str = "auto",
    dtype: str | None = None,
    batch: int | None = None,
    memory: int = MEMORY,
    fresh: bool = False,
    progress: Progress = silent,
) -> CollectSummary:
    """Collect the activations of a model on text into a store. Contexts that the store holds are skipped.

    Args:
        model: Folder, name on the model hub, or loaded model.
        text: .jsonl, .txt or .parquet.
        out: Folder of the store.
        options: What is collected; the defaults where None.
        sae: Folder or file of a sparse autoencoder, for the hook `sae`.
        corpus: Options that select the documents of the text; the defaults where None.
        name: Name of the model.
        device: `auto`, `cpu`, `cuda` or one GPU.
        dtype: Type of the weights, as for `load_model`.
        batch: Number of contexts per forward pass; where None, 1 on a CPU and 8 on a GPU.
        memory: Bytes that sorting may take.
        fresh: Discard an earlier store and start over.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of the store.

    Raises:
        InputError: The model, the dictionary or the text cannot be read.
        MissingExtra: transformers is not installed.
        SpaceMismatch: The folder holds a store of something else.
        UsageError: An option has an invalid value, or the options do not fit the model.
    """
    with needs_extra("trace"):
        from atlas.activations import collect, load_dictionary

    loaded = load(model, name=name, device=device, dtype=dtype)
    dictionary = load_dictionary(sae).to(loaded.device) if sae is not None else None
    size = batch or loaded.usual_batch
    return collect(
        loaded,
        text,
        out,
        options,
        dictionary=dictionary,
        corpus=corpus,
        batch=size,
        memory=memory,
        fresh=fresh,
        progress=progress,
    )
