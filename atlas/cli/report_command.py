"""Command `atlas report`: reports of units in Markdown, or of neurons and circuits as a folder of pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlas.cli.help_and_errors import Command, option
from atlas.cli.options import FILE, atlas_options
from atlas.errors import UsageError

if TYPE_CHECKING:
    from atlas.cli.terminal import Limits


@click.command(cls=Command)
@atlas_options
@click.argument("units", nargs=-1, metavar="UNIT...")
@option(
    "--circuit",
    "circuits",
    heading="Pages",
    multiple=True,
    metavar="ID",
    help="Circuit to report, such as 12.3 or input:276.",
)
@option("--within", heading="Pages", metavar="SET", help="Report the neurons of a set, as of atlas find.")
@option("--all-labelled", heading="Pages", is_flag=True, help="Report every neuron with a label.")
@option(
    "-o",
    "--output",
    heading="Output",
    type=FILE,
    help="Folder for pages; or a Markdown file (.md), which is printed otherwise.",
)
@option("--plots", heading="Markdown", type=FILE, help="Folder for pictures of the histograms, which the report shows.")
@option("--compare", heading="Markdown", is_flag=True, help="Set two units side by side.")
def report(
    file: Path,
    limits: Limits,
    units: tuple[str, ...],
    circuits: tuple[str, ...],
    within: str | None,
    all_labelled: bool,
    output: Path | None,
    plots: Path | None,
    compare: bool,
) -> None:
    """Report UNITS (L24/N5326, L2/F10) in Markdown, or neurons and circuits as a folder of pages.

    The folder holds html/, json/, index.html with a filter, and index.json; it opens without a server. Reports of earlier runs stay in it.
    """
    as_pages = bool(circuits or within or all_labelled) or (output is not None and output.suffix != ".md")
    if not units and not as_pages:
        raise click.UsageError("name units such as L24/N5326, or --circuit, --within or --all-labelled")
    if not as_pages:
        _markdown(file, limits, units, output, plots, compare)
    elif output is None or output.suffix == ".md" or plots is not None or compare:
        raise UsageError("pages need a folder: -o DIR; --plots and --compare are of reports in Markdown")
    else:
        _pages(file, limits, units, circuits, within, all_labelled, output)


def _markdown(
    file: Path, limits: Limits, units: Sequence[str], output: Path | None, plots: Path | None, compare: bool
) -> None:
    from atlas.cli.terminal import opened, say
    from atlas.cli.unit_reports import drawn_histograms
    from atlas.ids import UnitId
    from atlas.io.files import replaced_file
    from atlas.query.unit_report import unit_comparison, unit_report

    found = [UnitId.parse(unit) for unit in units]
    if compare and len(found) != 2:
        raise click.UsageError(f"--compare sets two units side by side, not {len(found)}")
    with opened(file, limits) as atlas:
        pictures = drawn_histograms(atlas, found, plots, output) if plots is not None else None
        text = unit_comparison(atlas, *found) if compare else unit_report(atlas, found, pictures)
    if output is None:
        click.echo(text, nl=False)
        return
    with replaced_file(output) as path:
        path.write_text(text, encoding="utf-8")
    say(f"  report in {output}")


def _pages(
    file: Path,
    limits: Limits,
    units: Sequence[str],
    circuits: Sequence[str],
    within: str | None,
    all_labelled: bool,
    output: Path,
) -> None:
    from atlas.cli.terminal import opened, progress, say
    from atlas.ids import NeuronId
    from atlas.query.parameters import neurons_of
    from atlas.web.reports import labelled_neurons, write_reports

    with opened(file, limits) as atlas, progress() as update:
        neurons = [NeuronId.parse(unit) for unit in units]
        if within is not None:
            found = atlas.find(neurons_of(within)).project("layer, neuron").fetchall()
            neurons += [NeuronId(*row) for row in found]
        if all_labelled:
            neurons += labelled_neurons(atlas)
        chosen = list(dict.fromkeys(neurons))
        summary = write_reports(atlas, output, neurons=chosen, circuits=list(dict.fromkeys(circuits)), progress=update)
    say(
        f"  {summary.neurons:,} neurons and {summary.circuits:,} circuits reported; {summary.listed:,} in {output / 'index.html'}"
    )
