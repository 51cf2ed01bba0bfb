"""Entry point of the `atlas` command."""

from __future__ import annotations

import click

from atlas._version import __version__
from atlas.cli.activation_commands import collect, features, measure, probe, sweep, train_sae
from atlas.cli.add_command import add
from atlas.cli.circuit_commands import circuits, verify
from atlas.cli.cluster_commands import cluster
from atlas.cli.diff_command import diff
from atlas.cli.export_command import export
from atlas.cli.help_and_errors import Group
from atlas.cli.import_commands import IMPORTS
from atlas.cli.label_commands import label
from atlas.cli.log_command import log
from atlas.cli.make_commands import aggregate, build, merge
from atlas.cli.mcp_command import mcp
from atlas.cli.model_commands import project, trace, wire
from atlas.cli.query_commands import check, compare, query, schema, search, shell, sql
from atlas.cli.report_command import report
from atlas.cli.score_commands import score
from atlas.cli.serve_command import serve
from atlas.cli.set_commands import find, set_
from atlas.cli.show_commands import circuit, feature, graph, graphs, info, neuron, token, tour
from atlas.cli.wandb_commands import wandb_


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="atlas")
def main() -> None:
    """Turn many attribution graphs of a language model into one DuckDB file, and ask it."""


@main.group("import", cls=Group)
def import_() -> None:
    """Import files of other tools into stage folders."""


for _command in (
    aggregate,
    merge,
    trace,
    wire,
    project,
    collect,
    train_sae,
    measure,
    features,
    label,
    score,
    cluster,
    circuits,
    verify,
    build,
    add,
):
    main.add_command(_command)
main.add_command(export)
main.add_command(serve)
main.add_command(mcp)
main.add_command(wandb_)
for _command in (
    info,
    neuron,
    feature,
    circuit,
    graphs,
    graph,
    token,
    search,
    find,
    set_,
    query,
    sql,
    shell,
    schema,
    check,
    compare,
    diff,
    log,
    sweep,
    probe,
    report,
    tour,
):
    main.add_command(_command)
for _command in IMPORTS:
    import_.add_command(_command)
