"""Commands about activations: `atlas collect`, `atlas measure`, `atlas train-sae`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from atlas.cli.help_and_errors import Command, option
from atlas.cli.model_commands import document_options, model_options, taken
from atlas.cli.options import FILE, device_option, several, size
from atlas.errors import UsageError, needs_extra
from atlas.options import (
    DOCUMENT_KEYS,
    HOOKS,
    MEMORY,
    POSITIONS,
    RESIDUAL,
    TRAINED_KINDS,
    CollectOptions,
    DocumentOptions,
    FeatureOptions,
    MeasureOptions,
    TrainOptions,
)

_memory_option = option(
    "--memory",
    heading="Resources",
    default=size(MEMORY),
    show_default=True,
    metavar="SIZE",
    help="Memory for sorting and statistics, 256 MB or more; models, and the tokens of the contexts, come on top.",
)
_window_options = several(
    option("--window", default=CollectOptions.window, show_default=True, help="Tokens of a context at most."),
    option(
        "--skip-first/--keep-first",
        default=True,
        show_default=True,
        help="Look at the first token of a context, or not.",
    ),
    option("--skip-special/--keep-special", default=True, show_default=True, help="Look at special tokens, or not."),
)


def _layers(text: str | None) -> tuple[int, ...] | None:
    """Return the layers that a text such as `0-3,7` names.

    >>> _layers("0-3,7")
    (0, 1, 2, 3, 7)
    """
    if text is None:
        return None
    found: list[int] = []
    for part in text.split(","):
        first, mark, last = part.strip().partition("-")
        if not first.isdecimal() or (mark and not last.isdecimal()):
            raise UsageError(f"--layers {text!r} is no list of layers; write it like 0-3,7")
        if mark and int(last) < int(first):
            raise UsageError(f"--layers {text!r} is no list of layers: {part.strip()} ends before it begins")
        found += range(int(first), int(last if mark else first) + 1)
    return tuple(found)


@click.command(cls=Command)
@click.argument("model")
@click.argument("text", type=FILE)
@option("-o", "--output", type=FILE, required=True, help="Folder of the store (new text is added to it).")
@option(
    "--hook",
    default=CollectOptions.hook,
    show_default=True,
    type=click.Choice(HOOKS),
    help="Neurons of MLPs, residual streams behind blocks, or features of a sparse autoencoder.",
)
@option("--layers", help="Layers such as 0-3,7; all by default, or the one that a sparse autoencoder names.")
@option("--sae", type=FILE, help="Sparse autoencoder: SAELens, dictionary_learning or sparsify folder, or .pt.")
@option("--threshold", type=float, help="Keep activations with |value| above it; all but 0 of a sparse autoencoder.")
@option(
    "--density",
    default=CollectOptions.density,
    show_default=True,
    help="Without --threshold: share of the activations of neurons to keep.",
)
@option(
    "--top-per-context",
    type=click.IntRange(1),
    help="Keep so many activations of each context and layer, the strongest, instead of a threshold.",
)
@option(
    "--positions",
    default=CollectOptions.positions,
    show_default=True,
    type=click.Choice(POSITIONS),
    help="Residual vectors of all tokens, or of the last one.",
)
@_window_options
@document_options
@model_options
@device_option
@_memory_option
@option("--fresh", is_flag=True, help="Start over instead of adding to the store that is there.")
def collect(model: str, text: Path, output: Path, memory: str, layers: str | None, **options: Any) -> None:
    """Collect where neurons or features of MODEL fire in TEXT (.jsonl, .txt, .parquet) into a store.

    Text that is in the store already is not run again. `atlas measure` computes statistics of the store.
    """
    from atlas.cli.summaries import print_collect_summary
    from atlas.cli.terminal import progress, resource_usage, say
    from atlas.runtime.memory import parse_bytes

    with needs_extra("trace"):
        from atlas.pipeline import collect_activations

    started = time.monotonic()
    corpus = DocumentOptions(**{name: options.pop(name) for name in DOCUMENT_KEYS})
    options["layers"] = _layers(layers)
    chosen = taken(options, CollectOptions)
    with progress() as update:
        summary = collect_activations(
            model, text, output, options=chosen, corpus=corpus, memory=parse_bytes(memory), progress=update, **options
        )
    print_collect_summary(summary)
    has_units = chosen.hook != RESIDUAL
    step = f"    next: atlas measure {output} -o {output}.measures" if has_units else ""
    say(f"  {resource_usage(started)}; store in {output}{step}")


@click.command(cls=Command)
@click.argument("store", type=FILE)
@option("-o", "--output", type=FILE, required=True, help="Folder for the statistics (replaced if it holds some).")
@option("--top-tokens", default=MeasureOptions.top_tokens, show_default=True, help="Tokens to keep of each unit.")
@option(
    "--top-examples",
    default=MeasureOptions.top_examples,
    show_default=True,
    help="Strongest contexts to keep of each unit.",
)
@option(
    "--drawn-examples",
    default=MeasureOptions.drawn_examples,
    show_default=True,
    help="Contexts to draw of each quarter of the active ones.",
)
@option("--seed", default=MeasureOptions.seed, show_default=True, help="Seed of the drawn contexts.")
@option(
    "--beside", type=FILE, help="Store of other units on the same contexts: they are partners in coactivation, too."
)
@_memory_option
def measure(store: Path, output: Path, memory: str, beside: Path | None, **options: Any) -> None:
    """Compute density, distribution, tokens, examples and coactivation of every unit of STORE."""
    from atlas.cli.summaries import print_measure_summary
    from atlas.cli.terminal import progress, resource_usage, say
    from atlas.runtime.memory import parse_bytes

    with needs_extra("trace"):
        from atlas.activations import measure as measure_store

    started = time.monotonic()
    with progress() as update:
        summary = measure_store(
            store, output, MeasureOptions(**options), beside=beside, memory=parse_bytes(memory), progress=update
        )
    print_measure_summary(summary)
    say(f"  {resource_usage(started)}; statistics in {output}")


@click.command("train-sae", cls=Command)
@click.argument("model")
@click.argument("text", type=FILE)
@option("-o", "--output", type=FILE, required=True, help="Folder of the autoencoder (an unfinished one goes on).")
@option("--layer", type=int, required=True, help="Block behind which the residual stream is read.")
@option(
    "--kind",
    default=TrainOptions.kind,
    show_default=True,
    type=click.Choice(TRAINED_KINDS),
    help="ReLU with an L1 penalty, the --k largest codes of a token, or --k per token on average.",
)
@option("--expansion", default=TrainOptions.expansion, show_default=True, help="Features per dimension.")
@option("--k", default=TrainOptions.k, show_default=True, help="Active features per token, of topk and batchtopk.")
@option("--l1", default=TrainOptions.l1, show_default=True, help="Coefficient of the penalty, of relu.")
@option("--epochs", default=TrainOptions.epochs, show_default=True, help="Passes over the text.")
@option("--batch-size", default=TrainOptions.batch_size, show_default=True, help="Tokens of a step.")
@option("--rate", default=TrainOptions.rate, show_default=True, help="Largest learning rate of Adam.")
@option("--buffer", default=TrainOptions.buffer, show_default=True, help="Vectors held and shuffled together.")
@option(
    "--seed-of-weights",
    default=TrainOptions.seed_of_weights,
    show_default=True,
    help="Seed of the initial weights and of the shuffles.",
)
@_window_options
@document_options
@model_options
@device_option
@option("--fresh", is_flag=True, help="Start over, also where the folder holds a training.")
def train_sae(model: str, text: Path, output: Path, layer: int, **options: Any) -> None:
    """Train a sparse autoencoder on the residual stream of MODEL behind a block, on TEXT (.jsonl, .txt, .parquet).

    One document in 16 is held out, and the autoencoder is measured on it: L0, unexplained variance, dead features, and the
    share of the loss that it recovers.
    """
    from atlas.cli.summaries import print_train_summary
    from atlas.cli.terminal import progress, resource_usage, say

    with needs_extra("trace"):
        from atlas.pipeline import train_sae as train

    started = time.monotonic()
    corpus = DocumentOptions(**{name: options.pop(name) for name in DOCUMENT_KEYS})
    chosen = taken(options, TrainOptions)
    with progress() as update:
        summary = train(model, text, output, layer, options=chosen, corpus=corpus, progress=update, **options)
    print_train_summary(summary)
    say(
        f"  {resource_usage(started)}; autoencoder in {output}    "
        f"next: atlas collect {model} {text} -o STORE --hook sae --sae {output}"
    )


@click.command(cls=Command)
@click.argument("model")
@click.argument("sae", type=FILE)
@option("-o", "--output", type=FILE, required=True, help="Folder for the features (replaced if it holds some).")
@option("--layer", type=int, help="Block that the autoencoder reads, where its configuration does not say.")
@option("--text", type=FILE, help="Text on which the reconstruction is measured, up to 50,000 tokens.")
@option("--top-tokens", default=FeatureOptions.top_tokens, show_default=True, help="Tokens to keep per direction.")
@option("--top-neurons", default=FeatureOptions.top_neurons, show_default=True, help="Neurons to keep per relation.")
@option("--top-similar", default=FeatureOptions.top_similar, show_default=True, help="Similar features to keep.")
@_window_options
@document_options
@model_options
@device_option
def features(model: str, sae: Path, output: Path, text: Path | None, layer: int | None, **options: Any) -> None:
    """Read from the weights of MODEL and of a sparse autoencoder SAE what each feature promotes, and which neurons write and read it."""
    from atlas.cli.summaries import print_features_summary
    from atlas.cli.terminal import progress, resource_usage, say

    with needs_extra("trace"):
        from atlas.pipeline import read_dictionary

    started = time.monotonic()
    corpus = DocumentOptions(**{name: options.pop(name) for name in DOCUMENT_KEYS})
    chosen = taken(options, FeatureOptions)
    with progress() as update:
        summary = read_dictionary(
            model, sae, output, options=chosen, layer=layer, text=text, corpus=corpus, progress=update, **options
        )
    print_features_summary(summary)
    say(f"  {resource_usage(started)}; features in {output}")


@click.command(cls=Command)
@click.argument("store", type=FILE)
@click.argument("unit")
@option("--tokens", multiple=True, metavar="TEXT", help="A token of the family, with its leading space; repeat.")
@option("--pattern", help="Regular expression that the tokens of the family match whole.")
@option("--and-tokens", multiple=True, metavar="TEXT", help="A token of a second family: a heat map of both; repeat.")
@option("--and-pattern", help="Regular expression of the second family.")
@option(
    "--by",
    default="count",
    show_default=True,
    type=click.Choice(["count", "token"]),
    help="Number of tokens of the family in a context, or the activation on each token.",
)
@option("--attribute", help="Instead: document, source, split, or another attribute of the contexts.")
@option("-o", "--output", type=FILE, help="CSV file for the rows, which are printed otherwise.")
@option("--plot", type=FILE, help="PNG file for a picture.")
def sweep(
    store: Path,
    unit: str,
    tokens: tuple[str, ...],
    pattern: str | None,
    output: Path | None,
    plot: Path | None,
    **options: Any,
) -> None:
    """Compare the activation of a UNIT (L1/N45, L2/F10) of STORE between tokens, or between groups of contexts.

    All contexts count, also those in which the unit is not active.
    """
    from atlas.cli.sweep_output import draw, print_sweep
    from atlas.ids import UnitId

    with needs_extra("trace"):
        from atlas.activations.sweeps import require_unit_type, token_family
        from atlas.activations.sweeps import sweep as run

    found = UnitId.parse(unit)
    require_unit_type(store, found)
    families = [
        token_family(store, given, wanted) if given or wanted else None
        for given, wanted in ((tokens, pattern), (options["and_tokens"], options["and_pattern"]))
    ]
    table = run(
        store,
        (found.layer, found.unit),
        family=families[0],
        other=families[1],
        by=options["by"],
        attribute=options["attribute"],
    )
    print_sweep(table, output)
    if plot is not None:
        names = [family.name for family in families if family] or [str(options["attribute"])]
        draw(table, plot, f"{found} by {' and '.join(names)}", names)


@click.command(cls=Command)
@click.argument("model")
@click.argument("unit")
@option(
    "--template", "templates", multiple=True, required=True, metavar="TEXT", help="Text with {} for a member; repeat."
)
@option("--member", "members", multiple=True, required=True, metavar="TEXT", help="What goes there; repeat.")
@option("--sae", type=FILE, help="Sparse autoencoder, for a feature.")
@option("-o", "--output", type=FILE, help="CSV file for the rows, which are printed otherwise.")
@option("--plot", type=FILE, help="PNG file for a picture.")
@option("--dtype", heading="Model", help="float32, bfloat16, float16 or float64 weights.")
@device_option
def probe(
    model: str,
    unit: str,
    templates: tuple[str, ...],
    members: tuple[str, ...],
    sae: Path | None,
    output: Path | None,
    plot: Path | None,
    **options: Any,
) -> None:
    """Compare the activation of a UNIT of MODEL at the last token of texts that are made from templates and members."""
    from atlas.cli.sweep_output import draw, print_sweep
    from atlas.ids import UnitId

    with needs_extra("trace"):
        from atlas.pipeline import probe_model

    found = UnitId.parse(unit)
    table = probe_model(model, found, templates, members, sae=sae, **options)
    print_sweep(table, output)
    if plot is not None:
        draw(table, plot, f"{found} at the end of {len(templates)} texts")
