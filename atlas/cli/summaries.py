"""Summaries of finished stages, printed to stderr."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from atlas.cli.terminal import say
from atlas.io.text import counted

if TYPE_CHECKING:
    from atlas.activations import CollectSummary, FeatureSummary, MeasureSummary, ProjectSummary, TrainSummary
    from atlas.aggregate import Summary
    from atlas.circuits import CircuitSummary
    from atlas.circuits.effects import EffectSummary
    from atlas.cluster import Clustering
    from atlas.importers.summary import ImportSummary
    from atlas.labels import LabelFileResult
    from atlas.pipeline import StageRun
    from atlas.query.compare import Comparison
    from atlas.trace import TraceSummary
    from atlas.wiring import WireSummary


def print_aggregate_summary(summary: Summary) -> None:
    """Print counts of an aggregation: graphs and links, kept and dropped, with reasons."""
    if summary.work:
        say(f"  {summary.work}")
    if 0 < summary.new_graphs < summary.graphs:
        say(f"  {summary.new_graphs:,} new graphs added to {summary.graphs - summary.new_graphs:,}")
    groups = (
        f" in {summary.groups:,} group{'s' if summary.groups > 1 else ''} of prompts"
        if 0 < summary.groups < summary.graphs
        else ""
    )
    say(f"  {summary.graphs:,} graphs{groups}, {summary.neurons:,} neurons, {summary.edges:,} edges")
    say(f"  {summary.links:,} links = {summary.kept.total():,} kept + {summary.dropped.total():,} dropped")
    say(f"    kept: {counted(summary.kept)}")
    for what, counts in (
        ("  dropped", summary.dropped),
        ("nodes to look at", summary.node_oddities),
        ("files not read (see rejects.parquet)", summary.rejects),
    ):
        if counts:
            say(f"  {what}: {counted(counts)}")


def print_stage_summary(stage: StageRun) -> None:
    """Print the summary of a stage of a build, if it has one."""
    if hasattr(stage.result, "lines"):
        print_imported_summary(stage.result)
    elif stage.name == "stats":
        traced, summary = stage.result if isinstance(stage.result, tuple) else (None, stage.result)
        if traced is not None:
            print_trace_summary(traced)
        if summary is not None:
            print_aggregate_summary(summary)
    else:
        # Stages of which there are several are numbered; those of clusterings have a name.
        name = "clusters" if stage.name.startswith("clusters-") else stage.name.rstrip("0123456789").rstrip("-")
        # An imported clustering has a summary of its own.
        printer = None if name == "clusters" and not hasattr(stage.result, "half_ami") else _PRINTERS.get(name)
        if printer is not None:
            printer(stage.result)


def print_trace_summary(summary: TraceSummary) -> None:
    """Print counts of traced prompts and of rejects."""
    if summary.known:
        say(f"  {summary.known:,} prompts were traced already")
    if summary.graphs:
        speed = summary.graphs / max(summary.seconds, 1e-9)
        say(
            f"  {summary.graphs:,} prompts traced at {speed:,.1f} a second: "
            f"{summary.nodes:,} nodes, {summary.links:,} links"
        )
    if summary.exceeded:
        say(f"  in {summary.exceeded:,} of them more neurons passed tau than fit; the strongest were kept")
    if summary.rejects:
        say(f"  prompts not traced: {counted(summary.rejects)}")
    if summary.saved:
        say(f"  {summary.saved:,} graph files written")


def print_wiring_summary(summary: WireSummary) -> None:
    """Print counts of neurons and connections."""
    say(
        f"  {summary.neurons:,} neurons in {summary.layers} layers: {summary.connections:,} connections "
        f"({summary.downstream:,} downstream, {summary.upstream:,} upstream)"
    )
    if summary.pairs and summary.seconds > 0:
        speed = summary.operations / summary.seconds / 1e12
        say(f"  {summary.pairs:,} pairs of neurons in {summary.seconds:,.1f} s, {speed:,.2f} TFLOP/s")


def print_imported_summary(summary: ImportSummary) -> None:
    """Print the summary of an import."""
    for line in summary.lines():
        say(f"  {line}")


def print_projections_summary(summary: ProjectSummary) -> None:
    """Print counts of projections, exemplars and labels."""
    say(f"  {summary.neurons:,} neurons: {summary.projections:,} projections, {summary.exemplars:,} exemplars")
    if summary.ratio_prompts:
        say(f"  direct effect ratios on {summary.ratio_prompts} prompts: {counted(Counter(summary.effect_types))}")
    if summary.rejects:
        say(f"  prompts not used: {counted(summary.rejects)}")


def print_collect_summary(summary: CollectSummary) -> None:
    """Print counts of a store of activations."""
    store = summary.store
    if store.known_contexts:
        say(f"  {store.known_contexts:,} contexts were collected already")
    units = f"{sum(summary.units.values()):,} units in {len(summary.units)} layers, " if summary.units else ""
    say(
        f"  {store.contexts:,} contexts, {store.tokens:,} tokens looked at: {units}{store.activations:,} activations kept"
    )
    if len(set(summary.thresholds.values()) - {0.0}) > 0:
        told = ", ".join(f"{layer}: {value:.3g}" for layer, value in list(summary.thresholds.items())[:8])
        say(f"  kept above |value| by layer: {told}{', ...' if len(summary.thresholds) > 8 else ''}")
    if summary.rejects:
        say(f"  documents not used: {counted(summary.rejects)}")


def print_train_summary(summary: TrainSummary) -> None:
    """Print how long an autoencoder was trained, and how well it reconstructs."""
    say(f"  {summary.features:,} features, {summary.steps:,} steps, {summary.tokens:,} tokens")
    where = "held-out documents" if summary.held_out else "the text of the training, which is too small to hold any out"
    say(f"  measured on {summary.measures['token_count']:,} tokens of {where}:")
    say("    " + reconstruction_line(summary.measures))


def reconstruction_line(measures: dict[str, Any]) -> str:
    """Return the measures of a reconstruction in one line."""

    def told(name: str, form: str) -> str:
        value = measures[name]
        return "unknown" if value is None else format(value, form)

    if not measures["token_count"]:
        return "not known: no token of the text was looked at"
    dead, count = measures["dead_count"], measures["feature_count"]
    return (
        f"L0 {told('l0', '.1f')}, unexplained variance {told('fvu', '.3f')}, "
        f"{dead:,} of {count:,} features never active ({dead / count:.1%}), "
        f"loss recovered {told('loss_recovered', '.1%')} "
        f"({told('loss', '.3f')}; {told('loss_reconstructed', '.3f')} reconstructed, {told('loss_zero', '.3f')} of zeros)"
    )


def print_features_summary(summary: FeatureSummary) -> None:
    """Print the number of features, and how well their dictionary reconstructs."""
    say(f"  {summary.features:,} features of the dictionary of block {summary.layer}")
    if summary.measures is not None:
        say(f"  on {summary.measures['token_count']:,} tokens: {reconstruction_line(summary.measures)}")


def print_measure_summary(summary: MeasureSummary) -> None:
    """Print counts of the statistics of a store."""
    if summary.dead is None or summary.dense is None:
        say(
            f"  {summary.units:,} units: how often they are active is not known, because contexts or activations were chosen"
        )
    else:
        say(
            f"  {summary.units:,} units: {summary.dead:,} never active, {summary.dense:,} active on more than 10 % of the tokens"
        )
    if summary.coactive is None:
        say("  coactivation left out: too many activations on the same tokens")
    else:
        say(f"  {summary.coactive:,} pairs of coactive units")


# With fewer graphs, no difference of frequencies can be significant.
_FEW_GRAPHS = 5
_COARSE = 0.3  # difference of frequencies


def _tell_particular(found: Comparison, limit: int, side: str) -> None:
    """Print the neurons of a side with too few graphs, rarest on the other side first."""
    import duckdb

    from atlas.cli.terminal import show, table

    count = min(count for count in found.graphs if count is not None)
    graphs = "1 graph has" if count == 1 else f"{count} graphs have"
    say(f"  {graphs} no statistical power: no difference can be told from chance. Instead, what is particular to it:")
    other = "b" if side == "a" else "a"
    columns = f"layer, neuron, label, graphs_{side}, graphs_{other}, frequency_{other}"
    sql = (
        f"SELECT {columns} FROM neurons WHERE graphs_{side} > 0 ORDER BY frequency_{other}, layer, neuron LIMIT $limit"
    )
    with duckdb.connect(str(found.path), read_only=True) as con:
        show(table(columns.split(", "), con.execute(sql, {"limit": limit}).fetchall()))


def print_comparison_summary(found: Comparison, limit: int) -> None:
    """Print the numbers of differences between two corpora, and the neurons that differ most."""
    import duckdb

    from atlas.cli.terminal import show, table

    graphs = " and ".join("an unknown number of" if count is None else f"{count:,}" for count in found.graphs)
    groups = ""
    if all(found.groups):
        groups = f" in {found.groups[0]:,} and {found.groups[1]:,} groups of prompts"
        groups += f", {found.shared_groups:,} of them on both sides" if found.shared_groups else ""
    say(f"  {graphs} graphs{groups}; {found.neurons:,} neurons, {found.edges:,} edges")
    if not groups:
        say("  a side does not know its graphs, so graphs are taken as independent; templates make that too sure")
    elif (found.detectable or 0) > _COARSE:
        say(f"  power: with so few groups, differences of frequency below {found.detectable:.0%} are mostly missed")
    known = [count for count in found.graphs if count is not None]
    if known and min(known) < _FEW_GRAPHS:
        _tell_particular(found, limit, "a" if found.graphs[0] == min(known) else "b")
        return
    if not found.tested_neurons + found.tested_edges + found.tested_means:
        say(
            "  nothing can be tested: a difference needs several groups of prompts on each side, and more that are on one side"
        )
        return
    told = [
        f"{different:,} of {tested:,} {what}" if tested else f"no {what} (not tested)"
        for different, tested, what in (
            (found.different_neurons, found.tested_neurons, "neurons"),
            (found.different_edges, found.tested_edges, "edges in frequency"),
            (found.different_means, found.tested_means, "edges in mean weight"),
        )
    ]
    say(f"  different at a false discovery rate of 5 %, of those tested: {', '.join(told)}")
    columns = "layer, neuron, label, frequency_a, frequency_b, difference, difference_low, difference_high, q_value"
    with duckdb.connect(str(found.path), read_only=True) as con:
        rows = con.execute(f"SELECT {columns} FROM different_neurons LIMIT $limit", {"limit": limit}).fetchall()
        enriched = con.execute(
            "SELECT * EXCLUDE (p_value) FROM enrichment WHERE q_value < 0.05 LIMIT $limit", {"limit": limit}
        )
        heads, sets = [column[0] for column in enriched.description or ()], enriched.fetchall()
    if rows:
        show(table(columns.split(", "), rows))
    if sets:
        show(table(heads, sets, title="\nLayers, circuits and labels with more different neurons than by chance"))


def print_labels_summary(results: Sequence[LabelFileResult]) -> None:
    """Print counts of the rows of label files, kept and left out."""
    for result in results:
        parts = [
            f"{result.row_count:,} rows",
            f"{result.kept_count:,} labels",
            f"uninformative {result.uninformative_count:,}",
        ]
        if result.malformed:
            parts.append(f"malformed {result.malformed.total():,} ({counted(result.malformed)})")
        if result.units:
            parts.append(f"of {counted(result.units)}; they are shown only where the atlas is of these")
        name = "texts in the graphs" if result.from_graphs else result.path
        say(f"  {name}: {', '.join(parts)}")


def print_atlas_summary(counts: dict[str, int]) -> None:
    """Print how many labels and clusters match neurons of the graphs, with a hint where few do."""
    labels, here = counts["total_labels"], counts["labels_in_atlas"]
    if labels:
        say(f"  {here:,} of {labels:,} labels belong to a neuron of the graphs; the others are kept in `labels`")
    if others := counts.get("labels_of_other_units"):
        say(
            f"  {others:,} labels name another model or dictionary than the graphs and are not shown; "
            "where the names mean the same: labels.files.same_units = true"
        )
    if here * 10 < labels:
        say("  few labels fit: are they of the same model and transcoder set as the graphs?")
    if not counts["total_clusters"]:
        return
    neurons, clustered = counts["total_neurons"], counts["clustered_neurons"]
    say(f"  {clustered:,} of {neurons:,} neurons are in a circuit")
    if clustered * 20 < neurons:
        say("  few neurons are: for few graphs, lower the threshold with --set cluster.min_count=2")


def print_clustering_summary(found: Clustering) -> None:
    """Print counts and quality of a clustering, and how much of it is found again."""
    say(
        f"  {found.name}: {found.neuron_count:,} neurons and {found.edge_count:,} edges in {found.top_cluster_count:,} top clusters, "
        f"{found.cluster_count:,} clusters; levels {found.max_level}; largest {found.largest_top_cluster:,}"
    )
    for one in found.resolutions:
        chosen = "; chosen" if one.is_chosen else ""
        say(
            f"  resolution {one.resolution:g}: {one.cluster_count:,} clusters, largest {one.largest_share:.0%}, gain {one.gain:.2f}, "
            f"AMI of halves {one.half_ami:.2f}, {one.stable_count:,} neurons in clusters found again{chosen}"
        )
    if found.codelength is not None:
        say(f"  codelength {found.codelength:.4f} bits, {found.one_level_codelength:.4f} without clusters")
    if found.quality is not None:
        say(f"  quality {found.quality:.6g}")
    if found.tested_count is None:
        say("  how far to trust it is not measured: that needs two groups of prompts or more, and --trust")
        return
    if not found.tested_count:
        say("  no cluster has three neurons or more and at most half of all, so none can be found again")
        return
    alike = "" if found.half_ami is None else f"; two halves agree by an AMI of {found.half_ami:.2f}"
    if found.found_again_count:
        say(f"  {found.found_again_count:,} of {found.tested_count:,} clusters are found again in other prompts{alike}")
    else:
        say(f"  no reliable circuits: none of {found.tested_count:,} clusters is found again in other prompts{alike}")


def print_circuits_summary(summary: CircuitSummary, lower: str = "--min-graphs, --min-groups") -> None:
    """Print how many circuits of tokens there are, and how many are found again; `lower` names the options to have more."""
    if not summary.circuits:
        say(f"  no token is in enough graphs and groups of prompts to have a circuit; lower them with {lower}")
        return
    for kind, count in summary.circuits.items():
        sure = summary.replicated[kind]
        told = (
            f"{sure:,} found again in another half of {summary.groups:,} groups" if summary.groups > 1 else "one group"
        )
        say(f"  {count:,} circuits of kind {kind}: {told}")
    if summary.groups > 1 and not any(summary.replicated.values()):
        say("  no reliable circuits: none is found again in another half of the groups of prompts")


def print_effects_summary(summary: EffectSummary) -> None:
    """Print how many circuits matter more to their topic than random sets of neurons do."""
    say(
        f"  {summary.circuits:,} circuits cut from the model on held-out prompts: {summary.above_controls:,} matter more to their topic "
        "than every random set of alike neurons"
    )
    if not summary.circuits and not summary.untested:
        say(
            "  none of them is found again, or how far to trust them was not measured (--no-trust, one group of prompts)"
        )
    if summary.untested:
        say(f"  {summary.untested:,} more have too few held-out prompts")


_PRINTERS: dict[str, Callable[[Any], None]] = {
    "clusters": print_clustering_summary,
    "wiring": print_wiring_summary,
    "circuits": functools.partial(
        print_circuits_summary, lower="--set circuits.min_graphs=1 --set circuits.min_groups=1"
    ),
    "verify": print_effects_summary,
    "activations": print_collect_summary,
    "measures": print_measure_summary,
    "features": print_features_summary,
    "projections": print_projections_summary,
    "labels": print_labels_summary,
}
