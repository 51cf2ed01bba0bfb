"""Commands that start from a model: `atlas trace`, `atlas project`, `atlas wire`."""

from __future__ import annotations

import time
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from atlas.cli.help_and_errors import Command, option
from atlas.cli.options import FILE, device_option, engine_options, several, size
from atlas.errors import needs_extra
from atlas.options import (
    BASELINES,
    DIRECT,
    FLOW,
    MEMORY,
    METRICS,
    OF_METRIC,
    OF_SCORES,
    RULE_NAMES,
    ProjectOptions,
    PromptOptions,
    TraceOptions,
    WireOptions,
)

T = TypeVar("T")

document_options = several(
    option("--column", heading="Prompts", help="Name of the text; prompt, text or content by default."),
    option("--separator", heading="Prompts", help="Text that separates prompts in a .txt file; line ends by default."),
    option("--chat", is_flag=True, heading="Prompts", help="Wrap each prompt as a user's turn by the chat template."),
    option("--limit", type=int, heading="Prompts", help="Number of prompts at most."),
    option("--seed", type=int, heading="Prompts", help="Draw the --limit prompts at random; the first by default."),
)
prompt_options = several(
    document_options,
    option(
        "--min-tokens",
        default=PromptOptions.min_tokens,
        show_default=True,
        heading="Prompts",
        help="Reject shorter prompts.",
    ),
    option(
        "--max-tokens",
        default=PromptOptions.max_tokens,
        show_default=True,
        heading="Prompts",
        help="Reject longer prompts.",
    ),
    option(
        "--truncate", is_flag=True, heading="Prompts", help="Keep the first --max-tokens of longer prompts instead."
    ),
)
model_options = several(
    option(
        "--name", heading="Model", help="Name of the model in graphs and statistics; its folder or hub name by default."
    ),
    option(
        "--dtype", heading="Model", help="float32, bfloat16, float16 or float64 weights; sums are float32 at least."
    ),
    option(
        "--batch",
        type=click.IntRange(1, 4096),
        heading="Resources",
        help="Prompts that run at once; by default 1 on a CPU, 8 on a GPU.",
    ),
)


def taken(options: dict[str, Any], kind: type[T]) -> T:
    """Remove the options of one kind from those of a command and return them."""
    names = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: options.pop(name) for name in names})


@click.command(cls=Command)
@click.argument("model")
@click.argument("prompts", type=FILE)
@option("-o", "--output", type=FILE, required=True, help="Folder for the statistics, or for the graph files.")
@option(
    "--format",
    "form",
    default="stats",
    show_default=True,
    type=click.Choice(["stats", "relp", "viewer", "neuronpedia"]),
    help="Statistics, or one graph file per prompt.",
)
@option(
    "--rules",
    default=TraceOptions.rules,
    show_default=True,
    heading="Graph",
    type=click.Choice(RULE_NAMES),
    help="What is held constant where effects are computed.",
)
@option(
    "--baseline",
    heading="Graph",
    type=click.Choice(BASELINES),
    help="What a source is compared with; zero by default, mean for integrated-gradients.",
)
@option(
    "--metric",
    default=TraceOptions.metric,
    show_default=True,
    heading="Graph",
    type=click.Choice(METRICS),
    help="What is traced at the last token.",
)
@option(
    "--steps", default=TraceOptions.steps, show_default=True, heading="Graph", help="Points of integrated-gradients."
)
@option(
    "--tau",
    type=float,
    heading="Graph",
    help="Keep neurons whose |score| is this share of the scale; 0.001 of the scores or 0.005 of the metric by default.",
)
@option(
    "--tau-of",
    default=TraceOptions.tau_of,
    show_default=True,
    heading="Graph",
    type=click.Choice([OF_SCORES, OF_METRIC]),
    help="Scale of --tau: the sum of all |scores| of the prompt, or the |metric|.",
)
@option(
    "--top-logits",
    default=TraceOptions.top_logits,
    show_default=True,
    heading="Graph",
    help="Logits traced where a prompt names no target.",
)
@option(
    "--max-nodes",
    default=TraceOptions.max_nodes,
    show_default=True,
    heading="Graph",
    help="Neurons per graph; the strongest stay.",
)
@option(
    "--link-weight",
    default=TraceOptions.link_weight,
    show_default=True,
    heading="Graph",
    type=click.Choice([DIRECT, FLOW]),
    help="Source activation x derivative of the target, or that times the target's score over its activation.",
)
@option(
    "--ablations",
    default=TraceOptions.ablations,
    show_default=True,
    heading="Graph",
    help="Random nodes, edges, and edges to outputs of the whole corpus to cut in the model; for statistics.",
)
@prompt_options
@model_options
@option("--save-graphs", default=0, type=click.IntRange(0), help="Also keep the first N graphs as files.")
@engine_options
@option("--fresh", is_flag=True, help="Start over instead of adding to the statistics that are there.")
@option(
    "--scheduler", heading="Resources", metavar="ADDRESS", help="Share the prompts out over a Dask cluster, or local."
)
@option(
    "--shards",
    heading="Resources",
    type=click.IntRange(1),
    help="Parts into which --scheduler cuts the prompts; by default one per worker.",
)
def trace(model: str, prompts: Path, output: Path, memory: str, **options: Any) -> None:
    """Trace PROMPTS (.jsonl, .txt, .parquet, .yaml) through MODEL (a folder or hub name) into edge statistics.

    A row of .jsonl may name `target` and `contrast` tokens. Prompts that were traced are not traced again.
    """
    from atlas.cli.summaries import print_aggregate_summary, print_trace_summary
    from atlas.cli.terminal import progress, resource_usage, say
    from atlas.runtime.memory import parse_bytes

    with needs_extra("trace"):
        from atlas.pipeline import trace_prompts

    started = time.monotonic()
    traced_with = taken(options, TraceOptions)
    corpus = taken(options, PromptOptions)
    with progress() as update:
        traced, summary = trace_prompts(
            model,
            prompts,
            output,
            options=traced_with,
            corpus=corpus,
            memory=parse_bytes(memory),
            progress=update,
            **options,
        )
    print_trace_summary(traced)
    if summary is not None:
        print_aggregate_summary(summary)
    what = "statistics" if options["form"] == "stats" else "graphs"
    say(f"  {resource_usage(started)}; {what} in {output}")


@click.command(cls=Command)
@click.argument("model")
@option("-o", "--output", type=FILE, required=True, help="Folder for the projections (replaced if it holds some).")
@option("--prompts", type=FILE, help="Prompts for direct effect ratios, exemplars and automatic labels.")
@option("--top-tokens", default=ProjectOptions.top_tokens, show_default=True, help="Tokens of each kind and direction.")
@option(
    "--exemplars",
    default=ProjectOptions.exemplars,
    show_default=True,
    help="Places where a neuron fires most, of each sign.",
)
@option(
    "--effects",
    default=ProjectOptions.effects,
    show_default=True,
    help="Prompts for direct effect ratios; 0 leaves them out.",
)
@prompt_options
@model_options
@device_option
def project(model: str, output: Path, prompts: Path | None, **options: Any) -> None:
    """Read from the weights of MODEL which tokens each neuron promotes, suppresses and answers to."""
    from atlas.cli.summaries import print_projections_summary
    from atlas.cli.terminal import progress, resource_usage, say

    with needs_extra("trace"):
        from atlas.pipeline import project_model

    started = time.monotonic()
    kept = taken(options, ProjectOptions)
    corpus = taken(options, PromptOptions)
    with progress() as update:
        summary = project_model(model, output, prompts=prompts, options=kept, corpus=corpus, progress=update, **options)
    print_projections_summary(summary)
    say(f"  {resource_usage(started)}; projections in {output}")


@click.command(cls=Command)
@click.argument("model", type=FILE)
@option("-o", "--output", type=FILE, required=True, help="Folder for the statistics (replaced if it holds some).")
@option(
    "--top-connections",
    default=WireOptions.top_connections,
    show_default=True,
    help="Connections of each polarity and direction per neuron.",
)
@option(
    "--fold-norms/--no-fold-norms",
    default=None,
    help="Count the gains of the MLPs' norms into the weights; by default for OLMo 2 and 3.",
)
@option("--regimes", type=FILE, help="Statistics of a trace of the model: predict its neurons as they fire there.")
@option("--name", help="What the statistics call the model; its folder where left out.")
@device_option
@option(
    "--memory",
    heading="Resources",
    default=size(MEMORY),
    show_default=True,
    metavar="SIZE",
    help="Memory of the tiles of products; a layer's weights and what is found come on top.",
)
@option("--fresh", is_flag=True, help="Start over instead of going on with an unfinished run.")
def wire(model: Path, output: Path, memory: str, **options: Any) -> None:
    """Connect the neurons of MODEL (a folder with config.json and *.safetensors) by its weights alone.

    Every neuron gets its strongest excitatory, inhibitory and mixed connections, upstream and downstream.
    """
    from atlas.cli.summaries import print_wiring_summary
    from atlas.cli.terminal import progress, resource_usage, say
    from atlas.runtime.memory import parse_bytes

    with needs_extra("trace"):
        from atlas.wiring import wire as wire_model

    started = time.monotonic()
    given = taken(options, WireOptions)
    with progress() as update:
        summary = wire_model(model, output, given, memory=parse_bytes(memory), progress=update, **options)
    print_wiring_summary(summary)
    say(f"  {resource_usage(started)}; statistics in {output}")
