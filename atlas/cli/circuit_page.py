"""Pages of circuits: clusters and their inner circuits, and circuits of tokens with how surely they are found again."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

from rich.console import Group
from rich.text import Text

from atlas.cli.clustering_page import clusterings_note
from atlas.cli.page_parts import neuron_name, percent, row_count, signed_bars, titled
from atlas.cli.terminal import shown, table
from atlas.errors import InputError
from atlas.options import AGREES, RATE, is_found_again
from atlas.query.client import Atlas
from atlas.query.connection import rows_of

_Row = dict[str, Any]


def circuit_page(atlas: Atlas, cluster_path: str, *, clustering: str | None = None, limit: int = 15) -> Group:
    """Return the page of a circuit: trust, effect, members, partners, wiring and inner circuits.

    Raises `InputError` for an unknown path.
    """
    given = cluster_path if clustering is None else f"{clustering}/{cluster_path}"
    # The clustering is given once more, so that a wrong name is told as one.
    found = rows_of(atlas.circuits(path=given, clustering=clustering))
    if not found or found[0]["kind"] != "cluster":
        return anchored_page(atlas, given, limit=limit)
    row = found[0]
    circuit = row["circuit_id"]
    name = row["anchor"] or (f"{row['name']} (automatic name)" if row["name"] else "")
    acts = (
        ""
        if row["graph_count"] is None
        else f"; acts in {row['graph_count']:,} graphs, of {_counted(row['group_count'] or 0)}"
    )
    head = [
        Text(f"circuit {circuit}  {name}".rstrip(), style="bold"),
        Text(f"  trust      {_trust(row)}"),
        *_effect(atlas, circuit),
        Text(
            f"  size       {row['size']:,} neurons, {row['labelled_count']:,} with a label, on level {row['level']}{acts}"
        ),
        Text(f"  layers     {row['layer_min']} to {row['layer_max']}, median {shown(row['median_layer'])}"),
        *([Text(f"  labels     {shown(row['sample_labels'])}")] if row["sample_labels"] else []),
        # Sources have no flow of their own: a walk reaches them by teleportation alone.
        *([Text(f"  flow       {shown(row['flow'])} of the random walk")] if row["flow"] else []),
    ]
    parts: list[Any] = [*head, _members(atlas, circuit, row["size"], limit)]
    parts += [_partners(atlas, circuit, limit), _ends(atlas, circuit, limit), _graphs(atlas, circuit, limit)]
    parts.append(_wiring(atlas, circuit, limit))
    inner = {"parent": row["cluster_path"], "clustering": clustering, "kind": "cluster"}
    if total := row_count(atlas.circuits(**inner)):
        columns = ("circuit_id", "size", "layer_min", "layer_max", "labelled_count", "sample_labels")
        cells = [[item[name] for name in columns] for item in rows_of(atlas.circuits(**inner, limit=limit))]
        parts.append(table(columns, cells, title=titled("Circuits inside", total, limit)))
    return Group(*(part for part in parts if part is not None))


def _counted(groups: int) -> str:
    return "1 group of prompts" if groups == 1 else f"{groups:,} groups of prompts"


def _partners(atlas: Atlas, circuit: str, limit: int) -> Any:
    """Return the circuits that it drives, beside those that drive it; None without any."""
    rows = rows_of(atlas.circuit_partners(circuit))
    total = {
        way: sum(row["weight_abs_sum"] for row in rows if row["direction"] == way) for way in ("driven by", "drives")
    }
    columns = [[row for row in rows if row["direction"] == way][: min(limit, 6)] for way in total]
    if not rows:
        return None
    cells = []
    for pair in itertools.zip_longest(*columns):
        texts = [
            (f"{row['circuit_id']} {shown(row['name'])}", percent(row["weight_abs_sum"] / total[row["direction"]]))
            if row
            else ("", "")
            for row in pair
        ]
        cells.append([text for both in texts for text in both])
    return table(("driven by", "share", "drives", " share"), cells, title="\nOther circuits (share of |weight|)")


def _members(atlas: Atlas, cluster_path: str, size: int, limit: int) -> Any:
    rows = rows_of(atlas.circuit(cluster_path, limit=limit))
    # How surely a neuron is a member is not known of every clustering; inner clusters are told where there are some.
    is_known = any(row["confidence"] is not None for row in rows)
    has_inner = not is_known or len({row["cluster_path"] for row in rows}) > 1
    cells = [
        (
            *(neuron_name(row), row["weight_inside"], row["graph_count"]),
            *((row["role"], percent(row["confidence"])) if is_known else ()),
            *((row["cluster_path"],) if has_inner else ()),
            row["label"],
        )
        for row in rows
    ]
    heads = ["neuron", "weight", "graphs", *(("role", "confidence") if is_known else ())]
    heads += [*(("cluster",) if has_inner else ()), "label"]
    return table(heads, cells, title=titled("Members by weight inside", size, limit))


def _wiring(atlas: Atlas, cluster_path: str, limit: int) -> Any:
    rows = rows_of(atlas.circuit_edges(cluster_path, limit=limit))
    scale, bars = signed_bars(rows)
    cells = [
        (
            neuron_name(row, "src_"),
            neuron_name(row, "tgt_"),
            signed,
            row["mean_weight"],
            row["graph_count"],
            " → ".join(shown(row[name]) or "?" for name in ("src_label", "tgt_label")),
        )
        for row, signed in zip(rows, bars, strict=True)
    ]
    columns = ("source", "target", scale, "mean weight", "graphs", "labels")
    return table(columns, cells, title=titled("Wiring inside", row_count(atlas.circuit_edges(cluster_path)), limit))


def anchored_page(atlas: Atlas, given: str, *, limit: int = 15) -> Group:
    """Return the page of an anchored circuit, by id or by the text of its token. Raises `InputError` for an unknown one."""
    row = _anchored(atlas, given)
    circuit = row["circuit_id"]
    members = rows_of(atlas.circuit_neurons(circuit))
    roles = Counter(member["role"] for member in members)
    parts: list[Any] = [
        Text(f"circuit {circuit}  {_KINDS.get(row['kind'], 'of')} ‘{shown(row['anchor'])}’", style="bold"),
        Text(f"  trust      {_trust(row)}"),
        *_effect(atlas, circuit),
        Text(
            f"  size       {roles['anchored']:,} neurons carry it; {roles['upstream']:,} upstream and {roles['downstream']:,} downstream of them"
        ),
        Text(f"  layers     {row['layer_min']} to {row['layer_max']}, median {shown(row['median_layer'])}"),
    ]
    cells = [
        (
            neuron_name(member),
            shown(member["role"]) + (f" {member['step']}" if member["step"] > 1 else ""),
            member["weight"],
            percent(member["confidence"]),
            member["label"],
        )
        for member in members[:limit]
    ]
    heads = ("neuron", "role", "weight", "confidence", "label")
    parts.append(table(heads, cells, title=titled("Members", len(members), limit)))
    parts += [_paths(atlas, circuit, limit), _partners(atlas, circuit, limit), _ends(atlas, circuit, limit)]
    parts += [_graphs(atlas, circuit, limit), _wiring(atlas, circuit, limit)]
    return Group(*(part for part in parts if part is not None))


def _paths(atlas: Atlas, circuit: str, limit: int) -> Any:
    """Return the strongest paths from an input token to an output token; None without any."""
    rows = rows_of(atlas.circuit_paths(circuit, limit=limit))
    cells = [
        (
            f"‘{shown(row['token'])}’ → {' → '.join(row['neurons'].split())} → ‘{shown(row['output'])}’",
            row["strength"],
            row["graph_count"],
        )
        for row in rows
    ]
    heads = ("path", "strength", "graphs with all of it")
    return table(heads, cells, title="\nPaths (strength: product of the shares of the steps)") if rows else None


_KINDS = {
    "input": "of the input token",
    "output": "of the output token",
    "contrast": "of the contrast",
    "set": "around the neurons",
}


def _anchored(atlas: Atlas, given: str) -> _Row:
    """Return the circuit with this id, or the surest one of a token with this text."""
    found = rows_of(atlas.circuits(path=given))
    if found:
        return found[0]
    rows = [row for row in rows_of(atlas.circuits()) if row["kind"] != "cluster"]
    alike = [row for row in rows if row["anchor"] == given] or [
        row for row in rows if given.strip() and given.strip() in [part.strip() for part in row["anchor"].split(", ")]
    ]
    if not alike:
        kinds = "a path such as 12 or 12.3" + (f", an id such as {rows[0]['circuit_id']}, or a token" if rows else "")
        raise InputError(
            f"{atlas.path} has no circuit {given} ({kinds}); list them with: atlas query {atlas.path} circuits"
        )
    return max(alike, key=lambda row: (row["half_agreement"] or 0.0, row["circuit_id"]))


def _trust(row: _Row) -> str:
    """Return in a sentence how surely a circuit is found again."""
    if row["half_agreement"] is None:
        return "not known: too small, too large or no circuit of tokens, or the graphs are of one group of prompts"
    chance = "random neurons" if row["kind"] == "cluster" else "those of other tokens"
    control = "" if row["control_agreement"] is None else f" ({row['control_agreement']:.2f} with {chance})"
    is_sure = is_found_again(row["half_agreement"], row["null_fdr"])
    verdict = "found again" if is_sure else "not reliably found again"
    rate = "" if row["null_fdr"] is None else f", false discovery rate {row['null_fdr']:.3f}"
    return f"{verdict}: two halves of the prompts agree by {row['half_agreement']:.2f}{control}{rate}; support {row['support']:.2f}"


def _effect(atlas: Atlas, circuit: str) -> list[Text]:
    """Return a line about the effect of the circuit in the model; none where it was not cut."""
    shown_id = circuit.replace("'", "''")
    found = rows_of(atlas.sql(f"FROM circuit_effects WHERE circuit_id = '{shown_id}'"))
    if not found:
        return []
    row = found[0]
    verdict = "matters more than" if row["is_above_controls"] else "no more than the largest of"
    return [
        Text(
            f"  effect     without it the prediction changes by {row['effect']:.3f} nats (KL) on {row['topic_prompt_count']} held-out prompts on "
            f"topic, {row['effect_elsewhere']:.3f} elsewhere: {verdict} {row['control_count']} random sets of alike neurons "
            f"(largest {shown(row['control_effect_max'])})"
        )
    ]


def _ends(atlas: Atlas, circuit: str, limit: int) -> Any:
    """Return the input tokens that drive the neurons, beside the outputs that they push up and down."""
    ends = sorted(rows_of(atlas.circuit_ends(circuit)), key=lambda row: -abs(row["weight"]))
    columns = [
        [row for row in ends if row["side"] == "input"][:limit],
        [row for row in ends if row["side"] == "output" and row["weight"] > 0][:limit],
        [row for row in ends if row["side"] == "output" and row["weight"] < 0][:limit],
    ]
    cells = []
    for trio in itertools.zip_longest(*columns):
        cells.append(
            tuple(text for row in trio for text in ((f"‘{shown(row['token'])}’", row["weight"]) if row else ("", "")))
        )
    heads = ("driven by", "", "promotes", " ", "suppresses", "  ")
    return table(heads, cells[: min(limit, 8)], title="\nTokens at its ends (weight per graph)")


def _graphs(atlas: Atlas, circuit: str, limit: int) -> Any:
    rows = rows_of(atlas.circuit_graphs(circuit, limit=min(limit, 5)))
    cells = [(percent(row["active_share"]), shown(row["prompt"])) for row in rows]
    title = titled("Graphs with its neurons", row_count(atlas.circuit_graphs(circuit)), min(limit, 5))
    return table(("of its neurons", "prompt"), cells, title=title)


def clusters_note(atlas: Atlas) -> str | None:
    """Return how many clusters are found again; None where the atlas has no clustering."""
    rows = rows_of(atlas.clusterings())
    return clusterings_note(rows) if rows else None


def anchored_note(atlas: Atlas) -> str | None:
    """Return how many circuits of tokens are found again; None where the atlas has none."""
    rows = [row for row in rows_of(atlas.circuits()) if row["kind"] in ("input", "output")]
    if not rows:
        return None
    if all(row["half_agreement"] is None for row in rows):
        return (
            f"{len(rows):,} circuits of tokens; with one group of prompts it is not known whether they are found again"
        )
    sure = [row for row in rows if is_found_again(row["half_agreement"], row["null_fdr"])]
    if not sure:
        return f"No reliable circuits: of {len(rows):,} circuits of tokens, none is found again in another half of the prompts"
    return (
        f"{len(sure):,} of {len(rows):,} circuits of tokens are found again in another half of the groups of prompts "
        f"(Jaccard {AGREES:g} or more, false discovery rate below {RATE:g}): atlas query FILE circuits --kind input --min-agreement {AGREES:g}"
    )
