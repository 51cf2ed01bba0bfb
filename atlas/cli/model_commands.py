"""Commands that start from a model: `atlas trace`, `atlas project`, `atlas wire`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from atlas.cli.options import FILE, engine_options
from atlas.errors import needs_extra

_CORPUS = ("column", "separator", "chat", "limit", "seed", "min_tokens", "max_tokens", "truncate")
_TRACE = ("tau", "top", "max_nodes", "link_weight")


def _options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_corpus_options = _options(
    click.option("--column", help="Where the text is: prompt, text or content where left out."),
    click.option("--separator", help="What stands between prompts of a .txt file; line ends where left out."),
    click.option("--chat", is_flag=True, help="Wrap each prompt as a user's turn by the model's chat template."),
    click.option("--limit", type=int, help="At most this many prompts."),
    click.option("--seed", type=int, help="Draw the --limit prompts at random; the first ones where left out."),
    click.option("--min-tokens", default=2, show_default=True, help="Shorter prompts are rejected."),
    click.option("--max-tokens", default=128, show_default=True, help="Longer prompts are rejected."),
    click.option("--truncate", is_flag=True, help="Keep the first --max-tokens of longer prompts instead."),
)
_model_options = _options(
    click.option("--name", help="What graphs and statistics call the model; its folder or hub name where left out."),
    click.option("--dtype", help="float32, bfloat16, float16 or float64 weights; sums are float32 at least."),
    click.option(
        "--batch", type=click.IntRange(1, 4096), help="Prompts run at once; 1 on a CPU, 8 on a card if left out."
    ),
)


def _taken(options: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: options.pop(name) for name in names}


@click.command()
@click.argument("model")
@click.argument("prompts", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="Folder for the statistics, or for the graph files.")
@click.option(
    "--format",
    "form",
    default="stats",
    show_default=True,
    type=click.Choice(["stats", "relp", "viewer", "neuronpedia"]),
    help="Statistics, or one graph file per prompt.",
)
@click.option("--tau", default=0.005, show_default=True, help="Keep neurons whose |score| is this share of the metric.")
@click.option("--top", default=5, show_default=True, help="Logits traced where a prompt names no target.")
@click.option("--max-nodes", default=500, show_default=True, help="Neurons per graph; the strongest stay.")
@click.option(
    "--link-weight",
    default="direct_effect",
    show_default=True,
    type=click.Choice(["direct_effect", "attribution_flow"]),
    help="Source activation x derivative of the target, or that times the target's score over its activation.",
)
@_corpus_options
@_model_options
@click.option("--save-graphs", default=0, type=click.IntRange(0), help="Also keep the first N graphs as files.")
@engine_options
@click.option("--fresh", is_flag=True, help="Start over instead of adding to the statistics that are there.")
@click.option("--scheduler", metavar="ADDRESS", help="Share the prompts out over a Dask cluster, or local.")
@click.option(
    "--shards", type=click.IntRange(1), help="Parts of the prompts for --scheduler; one per worker if left out."
)
def trace(model: str, prompts: Path, output: Path, memory: str, **options: Any) -> None:
    """Trace PROMPTS (.jsonl, .txt, .parquet) through MODEL (a folder or hub name) into edge statistics.

    A row of .jsonl may name `target` and `contrast` tokens. Prompts that were traced are not traced again.
    """
    from atlas.cli.summaries import tell_summary, tell_trace
    from atlas.cli.terminal import cost, progress, say
    from atlas.runtime.memory import parse_bytes

    with needs_extra("trace"):
        from atlas.models import CorpusOptions
        from atlas.pipeline import trace_prompts
        from atlas.trace import TraceOptions

    started = time.monotonic()
    traced_with = TraceOptions(**_taken(options, _TRACE))
    corpus = CorpusOptions(**_taken(options, _CORPUS))
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
    tell_trace(traced)
    if summary is not None:
        tell_summary(summary)
    what = "statistics" if options["form"] == "stats" else "graphs"
    say(f"  {cost(started)}; {what} in {output}")


@click.command()
@click.argument("model")
@click.option(
    "-o", "--output", type=FILE, required=True, help="Folder for the projections (replaced if it holds some)."
)
@click.option("--prompts", type=FILE, help="Prompts for direct effect ratios, exemplars and automatic labels.")
@click.option("--top", default=20, show_default=True, help="Tokens of each kind and direction.")
@click.option("--exemplars", default=8, show_default=True, help="Places where a neuron fires most, of each sign.")
@click.option("--effects", default=50, show_default=True, help="Prompts for direct effect ratios; 0 leaves them out.")
@_corpus_options
@_model_options
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
def project(model: str, output: Path, prompts: Path | None, **options: Any) -> None:
    """Read from the weights of MODEL which tokens each neuron promotes, suppresses and answers to."""
    from atlas.cli.summaries import tell_projections
    from atlas.cli.terminal import cost, progress, say

    with needs_extra("trace"):
        from atlas.activations import ProjectOptions
        from atlas.models import CorpusOptions
        from atlas.pipeline import project_model

    started = time.monotonic()
    kept = ProjectOptions(**_taken(options, ("top", "exemplars", "effects")))
    corpus = CorpusOptions(**_taken(options, _CORPUS))
    with progress() as update:
        summary = project_model(model, output, prompts=prompts, options=kept, corpus=corpus, progress=update, **options)
    tell_projections(summary)
    say(f"  {cost(started)}; projections in {output}")


@click.command()
@click.argument("model", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="Folder for the statistics (replaced if it holds some).")
@click.option("--top", default=10, show_default=True, help="Connections of each polarity and direction per neuron.")
@click.option("--fold-norms", is_flag=True, help="Count the gains of the MLPs' norms into the weights.")
@click.option("--name", help="What the statistics call the model; its folder where left out.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "--memory",
    default="2GB",
    show_default=True,
    metavar="SIZE",
    help="Memory of the tiles of products; a layer's weights and what is found come on top.",
)
@click.option("--fresh", is_flag=True, help="Start over instead of going on with an unfinished run.")
def wire(model: Path, output: Path, top: int, fold_norms: bool, memory: str, **options: Any) -> None:
    """Connect the neurons of MODEL (a folder with config.json and *.safetensors) by its weights alone.

    Every neuron gets its strongest excitatory and inhibitory connections, upstream and downstream.
    """
    from atlas.cli.summaries import tell_wiring
    from atlas.cli.terminal import cost, progress, say
    from atlas.runtime.memory import parse_bytes

    with needs_extra("trace"):
        from atlas.wiring import WireOptions
        from atlas.wiring import wire as wire_model

    started = time.monotonic()
    given = WireOptions(top, fold_norms)
    with progress() as update:
        summary = wire_model(model, output, given, memory=parse_bytes(memory), progress=update, **options)
    tell_wiring(summary)
    say(f"  {cost(started)}; statistics in {output}")
