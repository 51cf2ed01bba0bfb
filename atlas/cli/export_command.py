"""Command `atlas export`: networks, graphs, profiles and slim copies of an atlas, and stores of activations, in the formats of other tools."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from atlas.cli.help_and_errors import Command, option
from atlas.cli.options import FILE
from atlas.errors import UsageError, needs_extra
from atlas.options import EXPORTS, ExportOptions

# Formats of networks: a set of neurons, or one graph.
NETWORKS = ("graphml", "gexf", "json", "dot", "mermaid", "edges", "h5ad")
SITES = ("site", "html")
OF_ATLAS = (*NETWORKS, "profiles", "slim", *SITES)
_ALL = "all()"


@click.command(cls=Command)
@click.argument("form", type=click.Choice(sorted({*OF_ATLAS, *EXPORTS})), metavar="FORMAT")
@click.argument("source", type=FILE, metavar="FILE|STORE")
@click.argument("chosen", required=False, metavar="[SET]")
@option("-o", "--output", type=FILE, required=True, help="File or folder to write (an earlier one is replaced).")
@option(
    "--graph",
    heading="Of an atlas",
    metavar="NAME",
    help="One graph instead of a set: its number, or a part of its name or prompt.",
)
@option(
    "--clustering",
    heading="Of an atlas",
    help="Clustering whose clusters are the supernodes of a graph; the primary one where left out.",
)
@option(
    "--engine",
    heading="Of an atlas",
    type=FILE,
    metavar="DIR",
    help="DuckDB for browsers, for site and html; that of the package where left out.",
)
@option("--min-graphs", heading="Of an atlas", type=click.IntRange(1), help="Only edges in at least this many graphs.")
@option(
    "--top",
    heading="Of an atlas",
    default=20,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Partners of a profile, or edges of every neuron of a slim atlas, in each direction.",
)
@option("--measures", heading="Of a store", type=FILE, help="Statistics of the store, for samples and neuronpedia.")
@option(
    "--features", heading="Of a store", type=FILE, help="Features of its dictionary, for the logits of neuronpedia."
)
@option(
    "--dtype",
    heading="Of a store",
    default=ExportOptions.dtype,
    show_default=True,
    type=click.Choice(["float32", "float16", "bfloat16"]),
    help="Type of the values, where the format has one.",
)
@option(
    "--batch-rows",
    heading="Of a store",
    default=ExportOptions.batch_rows,
    show_default=True,
    help="Rows of a batch or shard.",
)
@option(
    "--features-per-file",
    heading="Of a store",
    default=ExportOptions.features_per_file,
    show_default=True,
    help="Features of a split.",
)
@option(
    "--examples", heading="Of a store", default=ExportOptions.examples, show_default=True, help="Examples per unit."
)
def export(form: str, source: Path, chosen: str | None, output: Path, **options: Any) -> None:
    """Write an atlas FILE, or a STORE of activations, in the FORMAT of another tool.

    Of an atlas: the neurons of SET and the edges among them, or with --graph one graph, as graphml, gexf, json (node-link), dot, mermaid, edges
    (CSV) or h5ad; neuronpedia: one graph as circuit-tracer writes it, in which circuits group nodes as supernodes; profiles: the strongest
    partners of every neuron as statistics JSON; slim: an atlas with the strongest edges of every neuron; site: that with the explorer as a folder for any web host; html: as one file that opens
    by itself. SET is an expression as of atlas find,
    or @FILE with ids; all neurons where left out.

    Of a store: zarr, zarr-transposed, npy, wandb, delphi, shards, samples, neuronpedia or arrow (docs/activations.md).
    """
    of_atlas = {name: options.pop(name) for name in ("graph", "clustering", "min_graphs", "top", "engine")}
    if form in OF_ATLAS or source.is_file():
        _of_atlas(form, source, chosen, output, **of_atlas)
    else:
        if chosen is not None:
            raise UsageError(f"a store is exported whole; {chosen!r} is for an atlas")
        _of_store(form, source, output, **options)


def _of_store(
    form: str, store: Path, output: Path, measures: Path | None, features: Path | None, **options: Any
) -> None:
    from atlas.cli.terminal import progress, resource_usage, say

    with needs_extra("trace"):
        from atlas.activations.exports import export_store

    started = time.monotonic()
    with progress() as update:
        summary = export_store(
            store, output, form, ExportOptions(**options), measures=measures, features=features, progress=update
        )
    say(f"  {summary.contexts:,} contexts, {summary.rows:,} rows written as {form}")
    say(f"  {resource_usage(started)}; export in {output}")


def _of_atlas(form: str, file: Path, chosen: str | None, output: Path, **options: Any) -> None:
    from atlas.cli.terminal import say
    from atlas.query.client import Atlas

    if form not in (*OF_ATLAS, "neuronpedia"):
        raise UsageError(
            f"{form} is a format of stores of activations; an atlas is written as {', '.join((*OF_ATLAS, 'neuronpedia'))}"
        )
    if options["graph"] is not None and (chosen is not None or form in ("profiles", "slim", *SITES)):
        raise UsageError(f"--graph exports one graph whole, as {', '.join(NETWORKS)} or neuronpedia; leave out the set")
    with Atlas(file) as atlas:
        if form in SITES:
            line = _site(atlas, form, chosen, output, options["top"], options["engine"])
        elif form == "slim":
            line = _slim(atlas, chosen, output, options["top"])
        elif form == "profiles":
            line = _profiles(atlas, chosen, output, options["top"])
        elif form == "neuronpedia":
            line = _neuronpedia(atlas, output, options["graph"], options["clustering"])
        else:
            line = _network(atlas, form, chosen, output, options["graph"], options["min_graphs"])
    say(f"  {line}; in {output}")


def _network(atlas: Any, form: str, chosen: str | None, output: Path, graph: str | None, min_graphs: int | None) -> str:
    from atlas.io.files import replaced_file
    from atlas.query.network import network_of_graph, network_of_set
    from atlas.query.network_files import write_network
    from atlas.query.parameters import neurons_of

    if graph is not None:
        network = network_of_graph(atlas.graph(graph))
    else:
        network = network_of_set(atlas, neurons_of(chosen or _ALL), min_graphs=min_graphs, name=chosen)
    with needs_extra("export"), replaced_file(output) as path:
        write_network(network, path, form)
    return f"{len(network.nodes):,} nodes and {len(network.edges):,} edges as {form}"


def _neuronpedia(atlas: Any, output: Path, graph: str | None, clustering: str | None) -> str:
    from atlas.io.files import replaced_file
    from atlas.query.graph_json import graph_json

    if graph is None:
        raise UsageError("neuronpedia is the format of one graph; name it with --graph (atlas graphs FILE lists them)")
    found = graph_json(atlas, atlas.graph(graph), clustering=clustering)
    with replaced_file(output) as path:
        path.write_text(json.dumps(found, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    groups = found["qParams"]["supernodes"]
    return f"{len(found['nodes']):,} nodes, {len(found['links']):,} links, {len(groups)} supernodes of {sum(len(one) - 1 for one in groups)} nodes"


def _profiles(atlas: Any, chosen: str | None, output: Path, top: int) -> str:
    from atlas.io.files import replaced_file
    from atlas.query.parameters import neurons_of
    from atlas.query.profiles_json import write_profiles

    with replaced_file(output) as path:
        count = write_profiles(atlas, neurons_of(chosen or _ALL), path, top=top)
    return f"{count:,} profiles of up to {top} partners in each direction"


def _site(atlas: Any, form: str, chosen: str | None, output: Path, top: int, engine: Path | None) -> str:
    """Write a slim copy of the atlas with the explorer: as a folder, or as one file."""
    import tempfile

    from atlas.web.static_site import export_html, export_site

    with tempfile.TemporaryDirectory(dir=output.absolute().parent, prefix=f".{output.name}.") as folder:
        # Under the name of the atlas, which pages show.
        slim = Path(folder) / atlas.path.name
        left = _slim(atlas, chosen, slim, top)
        write = export_html if form == "html" else export_site
        found = write(
            slim,
            output,
            note=f"The file is slim: {chosen or 'all neurons'}, the {top} strongest edges of each.",
            engine=engine,
        )
    return f"{found.size_bytes / 1e6:.1f} MB; the atlas in it: {left}"


def _slim(atlas: Any, chosen: str | None, output: Path, top: int) -> str:
    from atlas.database.slim import slim_atlas
    from atlas.query.parameters import neurons_of

    sql = atlas.set_sql(neurons_of(chosen or _ALL))
    found = slim_atlas(atlas.path, output, sql, said=chosen or "all neurons", top=top)
    left = ", ".join(
        f"{count:,} rows of {table}" for table, count in sorted(found.left_out.items(), key=lambda one: -one[1])[:4]
    )
    return f"{found.size_bytes / 1e6:.1f} MB of {atlas.path.stat().st_size / 1e6:.1f} MB; left out: {left or 'nothing'} (all: metadata.slim_left_out)"
