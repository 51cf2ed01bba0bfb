"""Commands `atlas import KIND`, which convert files of other tools to stage folders."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from atlas.cli.help_and_errors import Command
from atlas.cli.options import FILE, size
from atlas.errors import needs_extra
from atlas.options import MEMORY

_STATS = click.option(
    "-o", "--output", type=FILE, required=True, help="Folder for the statistics (replaced if it holds some)."
)
_MEMORY = click.option(
    "--memory", default=size(MEMORY), show_default=True, metavar="SIZE", help="Memory for joining lists."
)
_MODEL = click.option("--model", help="What the statistics call the model, where the file does not say.")


def _run(kind: str, paths: Sequence[Path], output: Path, **options: Any) -> None:
    """Run an importer and print its summary."""
    from atlas.cli.summaries import print_imported_summary
    from atlas.cli.terminal import progress, resource_usage, say
    from atlas.importers import IMPORTERS

    started = time.monotonic()
    with progress() as update:
        summary = IMPORTERS[kind].run(paths, output, progress=update, **options)
    print_imported_summary(summary)
    say(f"  {resource_usage(started)}; written to {output}")


@click.command("checkpoint", cls=Command)
@click.argument("checkpoint", type=FILE)
@_STATS
@_MODEL
@click.option("--min-count", default=1, show_default=True, help="Leave out edges of fewer links.")
def import_checkpoint(checkpoint: Path, output: Path, **options: Any) -> None:
    """Import a CHECKPOINT of the earlier aggregator (or the newest in a folder), of any version and size.

    It is read as a stream of plain numbers; code in it is refused, not run.
    """
    _run("checkpoint", [checkpoint], output, **options)


@click.command("edge-stats", cls=Command)
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@_STATS
@_MODEL
@_MEMORY
def import_edge_stats(files: Sequence[Path], output: Path, memory: str, model: str | None) -> None:
    """Import edge statistics of the earlier tool: a FILE of profiles, raw or enriched, and co-occurrence files beside it.

    They state links and mean of the strongest partners of each neuron; what they do not state is NULL.
    """
    from atlas.runtime.memory import parse_bytes

    _run("edge-stats", files, output, model=model, memory=parse_bytes(memory))


@click.command("wiring-cache", cls=Command)
@click.argument("paths", nargs=-1, required=True, type=FILE, metavar="PATH...")
@_STATS
@_MODEL
@_MEMORY
def import_wiring_cache(paths: Sequence[Path], output: Path, memory: str, model: str | None) -> None:
    """Import a wiring cache: the folder of its layer_0.json, layer_1.json, ..., or these files."""
    from atlas.runtime.memory import parse_bytes

    _run("wiring-cache", paths, output, model=model, memory=parse_bytes(memory))


@click.command("legacy-atlas", cls=Command)
@click.argument("file", type=FILE)
@_STATS
@_MODEL
def import_legacy_atlas(file: Path, output: Path, model: str | None) -> None:
    """Import neurons and edges of an atlas of the earlier tool: a .duckdb FILE, or its export as a folder of Parquet.

    Labels and clusters of the same file: atlas import labels FILE, atlas import assignments FILE.
    """
    _run("legacy-atlas", [file], output, model=model)


@click.command("assignments", cls=Command)
@click.argument("file", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="Folder for the clustering (replaced if it holds one).")
@click.option("--name", help="Name of the clustering in the atlas; the method where left out.")
@click.option("--method", default="infomap", show_default=True, help="Method that made it.")
@click.option(
    "--leaf-ranks",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "strip", "keep"]),
    help="Paths of Infomap may end in the rank of a neuron in its module, which is no cluster.",
)
def import_assignments(file: Path, output: Path, **options: Any) -> None:
    """Import cluster assignments: FILE is JSON by neuron, or an atlas of the earlier tool (.duckdb)."""
    _run("assignments", [file], output, **options)


@click.command("projections", cls=Command)
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option(
    "-o", "--output", type=FILE, required=True, help="Folder for the projections (replaced if it holds some)."
)
def import_projections(files: Sequence[Path], output: Path) -> None:
    """Import projections, norms and direct effect ratios.

    FILE is enriched profiles, projections_task_N.json, a function database, layer_N.json of a wiring cache, ratios in a
    batch file, SAEDashboard features, influences.parquet, or an atlas of the earlier tool.
    """
    _run("projections", files, output)


@click.command("reports", cls=Command)
@click.argument("paths", nargs=-1, required=True, type=FILE, metavar="PATH...")
@click.option("-o", "--output", type=FILE, required=True, help="Folder for the reports (replaced if it holds some).")
def import_reports(paths: Sequence[Path], output: Path) -> None:
    """Import neuron reports: *_investigation.json, *_dashboard.json, *_pi_result.json, or the folders that hold them."""
    _run("reports", paths, output)


@click.command("labels", cls=Command)
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option("-o", "--output", type=FILE, required=True, help="Folder for the labels (replaced if it holds some).")
@click.option("--source", help="Source of labels whose rows name none; the file's name where left out.")
@click.option("--kind", help="Kind of labels whose rows name none: output, input, activation+ or activation-.")
@click.option("--model", help="Model behind labels whose rows name none.")
@click.option(
    "--same-units",
    is_flag=True,
    help="The labels are of the atlas's own units, whatever model or dictionary they name.",
)
@click.option("--precedence", multiple=True, metavar="SOURCE", help="Sources, the one to show first; repeat.")
def import_labels(
    files: Sequence[Path],
    output: Path,
    source: str | None,
    kind: str | None,
    model: str | None,
    same_units: bool,
    precedence: Sequence[str],
) -> None:
    """Import labels: .jsonl, .json, .csv, .tsv, .parquet, or a stats folder for the labels that the graphs carry.

    Label files of other tools are known by their keys (docs/labels.md)."""
    from atlas.cli.summaries import print_labels_summary
    from atlas.cli.terminal import say
    from atlas.labels import LabelFile, Precedence
    from atlas.labels import import_labels as run

    results = run(
        [LabelFile(path, source, kind, model, same_units) for path in files], output, Precedence(sources=precedence)
    )
    print_labels_summary(results)
    say(f"  labels in {output}")


@click.command("llama2c", cls=Command)
@click.argument("weights", type=FILE)
@click.argument("tokenizer", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="Folder for the model.")
def import_llama2c(weights: Path, tokenizer: Path, output: Path) -> None:
    """Convert a llama2.c model (WEIGHTS .bin, TOKENIZER .bin) to a folder that `atlas trace` loads."""
    from atlas.cli.terminal import say

    with needs_extra("trace"):
        from atlas.importers.llama2c import convert
    shape = convert(weights, tokenizer, output)
    say(f"  {shape}; model in {output}")


_STORE = click.option(
    "-o", "--output", type=FILE, required=True, help="Folder for the store (replaced if it holds one)."
)


@click.command("activations", cls=Command)
@click.argument("folder", type=FILE)
@_STORE
@_MODEL
@click.option("--units", type=click.IntRange(1), help="Units of every layer, where the files do not say.")
@click.option("--layer", type=click.IntRange(0), help="Layer, where the files name none; 0 by default.")
@click.option("--value-kind", help="What a value is, such as code or gate; the files do not say.")
@_MEMORY
def import_activations(folder: Path, output: Path, memory: str, **options: Any) -> None:
    """Import activations: the FOLDER of a W&B artefact, a delphi run, or of Zarr or .npy arrays (docs/activations.md)."""
    from atlas.runtime.memory import parse_bytes

    _run("activations", [folder], output, memory=parse_bytes(memory), **options)


@click.command("samples", cls=Command)
@click.argument("paths", nargs=-1, required=True, type=FILE, metavar="PATH...")
@_STORE
@_MODEL
@click.option("--layer", type=click.IntRange(0), help="Layer, where the files name none.")
@_MEMORY
def import_samples(paths: Sequence[Path], output: Path, memory: str, **options: Any) -> None:
    """Import examples that another tool chose: sample folders, SAEDashboard batches, Neuronpedia exports, OpenAI atoms, or
    circuit-tracer features.

    How often a unit is active is not known from them, and is NULL.
    """
    from atlas.runtime.memory import parse_bytes

    _run("samples", paths, output, memory=parse_bytes(memory), **options)


@click.command("vectors", cls=Command)
@click.argument("folder", type=FILE)
@_STORE
@_MODEL
@_MEMORY
def import_vectors(folder: Path, output: Path, memory: str, model: str | None) -> None:
    """Import residual vectors: a FOLDER of layer_00/, layer_01/, ... with shards, or of a SAELens cache (data-*.arrow)."""
    from atlas.runtime.memory import parse_bytes

    _run("vectors", [folder], output, model=model, memory=parse_bytes(memory))


IMPORTS = (
    import_activations,
    import_assignments,
    import_checkpoint,
    import_edge_stats,
    import_labels,
    import_llama2c,
    import_legacy_atlas,
    import_projections,
    import_reports,
    import_samples,
    import_vectors,
    import_wiring_cache,
)
