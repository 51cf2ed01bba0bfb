"""Command `atlas cluster`: clusters of a network of edges; `atlas cluster compare` sets those of an atlas side by side."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from atlas.cli.help_and_errors import Command, option
from atlas.cli.options import FILE, atlas_options
from atlas.errors import UsageError, needs_extra
from atlas.options import ClusterOptions
from atlas.options.clusters import HUBS, METHODS, OBJECTIVES, SIGNS, WEIGHTS

if TYPE_CHECKING:
    from atlas.cli.terminal import Limits

_F = TypeVar("_F", bound=Callable[..., object])
_NETWORK, _METHOD, _TRUST = "Network", "Method", "Trust"


class ClusterCommand(Command):
    """Command with one command of its own, `compare`, where its first argument names a file otherwise."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the arguments, as those of `compare` where that is the first."""
        if args[:1] == [compare_clusterings.name]:
            name = f"{info_name} {compare_clusterings.name}"
            return compare_clusterings.make_context(name, args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


def numbers(given: str | None) -> tuple[float, ...]:
    """Return the numbers of a list with commas."""
    if given is None:
        return ()
    try:
        return tuple(float(one) for one in given.split(","))
    except ValueError:
        raise click.BadParameter(f"{given!r} is no list of numbers, such as 0.5,1,2") from None


def _default(*names: str, heading: str, **attributes: Any) -> Callable[[_F], _F]:
    """Return a decorator that adds an option whose default is that of `ClusterOptions`."""
    key = names[-1].removeprefix("--").replace("-", "_")
    default = getattr(ClusterOptions, key)
    return option(*names, heading=heading, default=default, show_default=default is not None, **attributes)


@click.command(cls=ClusterCommand)
@click.argument("source", type=FILE, metavar="STATS|ATLAS")
@option("-o", "--output", type=FILE, required=True, help="Folder for the clustering (replaced if it holds one).")
@option("--name", help="Name of the clustering in the atlas; the method where left out.")
@_default("--seed", heading="Options", help="Random seed; the same seed gives the same clusters.")
@_default("--weight", heading=_NETWORK, type=click.Choice(WEIGHTS), help="Formula of the weight of an edge.")
@option(
    "--graphs",
    metavar="SQL",
    heading=_NETWORK,
    help='Only graphs with a condition, such as "graph_id = 12" or "prompt LIKE \'%Texas%\'".',
)
@_default("--min-count", heading=_NETWORK, help="Only edges with at least this many links.")
@_default("--min-graphs", heading=_NETWORK, help="Only edges in at least this many graphs.")
@_default(
    "--min-groups",
    heading=_NETWORK,
    type=int,
    help="Only edges in at least this many groups of prompts; 1 to 5 by the number of groups where left out.",
)
@_default("--max-graph-share", heading=_NETWORK, help="Leave out neurons in more than this share of the graphs.")
@_default(
    "--signs", heading=_NETWORK, type=click.Choice(SIGNS), help="Take |weights|, positive ones, or layers of both."
)
@_default("--hubs", heading=_NETWORK, type=click.Choice(HUBS), help="Keep hubs, or damp their weights.")
@option(
    "--above-null",
    is_flag=True,
    heading=_NETWORK,
    help="Only edges stronger than the strengths of their ends let expect between their layers.",
)
@_default("--method", heading=_METHOD, type=click.Choice(METHODS), help="How to cluster.")
@_default("--trials", heading=_METHOD, help="Independent trials; the best is kept.")
@option("--two-level", is_flag=True, heading=_METHOD, help="Infomap: one level of clusters instead of a hierarchy.")
@_default("--markov-time", heading=_METHOD, help="Infomap: larger values give larger clusters.")
@_default("--objective", heading=_METHOD, type=click.Choice(OBJECTIVES), help="Leiden: what is maximal.")
@_default("--resolution", heading=_METHOD, help="Leiden, Louvain, consensus: larger values give smaller clusters.")
@option(
    "--resolutions",
    metavar="NUMBERS",
    heading=_METHOD,
    callback=lambda _, __, given: numbers(given),
    help="Leiden, Louvain: compare resolutions, such as 0.5,1,2, and take the one whose clusters are most found again.",
)
@_default(
    "--max-size",
    heading=_METHOD,
    help="Leiden: divide larger clusters again; profiles, both NMF, local, links: largest circuit, 80 where 0.",
)
@_default("--min-size", heading=_METHOD, help="Profiles, consensus, local, links, both NMF: smallest circuit.")
@_default("--clusters", heading=_METHOD, type=int, help="Spectral, block-model, both NMF: number of clusters.")
@option("--trust/--no-trust", default=True, heading=_TRUST, help="Measure how far the clusters can be trusted.")
@_default("--seeds", heading=_TRUST, help="Other seeds to cluster with.")
@_default("--resamples", heading=_TRUST, help="Bootstraps of the groups of prompts.")
@_default("--splits", heading=_TRUST, help="Splits of the groups into halves.")
@_default("--draws", heading=_TRUST, help="Networks of the null model.")
def cluster(source: Path, output: Path, **options: Any) -> None:
    """Cluster the edges of a stats folder or an atlas into circuits, and measure how far to trust them.

    atlas cluster compare FILE sets the clusterings of an atlas side by side.
    """
    from atlas.cli.summaries import print_clustering_summary
    from atlas.cli.terminal import progress, resource_usage, say

    with needs_extra("cluster"):
        from atlas.cluster import cluster as run

    started = time.monotonic()
    given = ClusterOptions(**options).check()
    if unused := given.unused():
        raise UsageError(
            f"{given.method} does not use {', '.join(unused).replace('_', '-')}; leave {'them' if unused[1:] else 'it'} out or choose another --method"
        )
    with progress() as update:
        found = run(source, output, given, progress=update)
    print_clustering_summary(found)
    say(f"  {resource_usage(started)}; clusters in {output}")


@click.command("compare", cls=Command)
@atlas_options
@option("--png", type=FILE, help="Picture of how alike the clusterings are.")
@option("--html", type=FILE, help="Page with the table, the picture and the clusters that are found again.")
def compare_clusterings(file: Path, limits: Limits, png: Path | None, html: Path | None) -> None:
    """Set the clusterings of an atlas side by side: sizes, trust, and how alike they are."""
    from atlas.cli.clustering_page import clusterings_html, clusterings_page, likeness
    from atlas.cli.terminal import opened, say, show
    from atlas.io.files import replaced_file
    from atlas.io.pictures import draw_heat

    with opened(file, limits) as atlas:
        names, ami = likeness(atlas)
        show(clusterings_page(atlas, names, ami))
        if png is not None:
            title = "Adjusted mutual information of clusterings"
            draw_heat(png, names, names, ami, title=title, labels=("clustering", "clustering"))
            say(f"  picture in {png}")
        if html is not None:
            with replaced_file(html) as fresh:
                fresh.write_text(clusterings_html(atlas, names, ami), encoding="utf-8")
            say(f"  page in {html}")
