"""Datasets of the stage `stats`."""

from __future__ import annotations

import pyarrow as pa

from atlas.stages.dataset import (
    HALVES,
    METHOD,
    NAME,
    NEURON,
    NODE_VALUES,
    PAIR,
    STATISTICS,
    TOGETHER,
    TOKEN,
    Dataset,
    fields,
    required,
)

STATS = (
    Dataset(
        "graphs",
        "stats",
        pa.schema(
            [
                *required(("graph_id", pa.int32()), ("path", pa.string())),
                *fields(
                    ("file", pa.string()),
                    ("member", pa.string()),
                    ("content_hash", pa.string()),
                    ("graph_hash", pa.string()),
                    ("size_bytes", pa.int64()),
                    ("dialect", NAME),
                    ("slug", pa.string()),
                    ("prompt", pa.string()),
                    ("prompt_tokens", pa.list_(pa.string())),
                    ("corpus_source", pa.string()),
                    ("prompt_group", pa.string()),
                    ("group_id", pa.int32()),
                    ("group_rule", NAME),
                    ("split_bucket", pa.int32()),
                    ("corpus_index", pa.int64()),
                    ("nodes_exceeded", pa.bool_()),
                    ("original_token_count", pa.int32()),
                    ("node_count", pa.int32()),
                    ("neuron_count", pa.int32()),
                    ("link_count", pa.int32()),
                    ("kept_count", pa.int32()),
                    ("dropped_count", pa.int32()),
                    ("self_loop_count", pa.int32()),
                    ("backward_count", pa.int32()),
                ),
            ]
        ),
        "one attribution graph: where it came from and how many of its links were kept",
    ),
    Dataset(
        "link_counts",
        "stats",
        pa.schema(
            required(
                ("graph_id", pa.int32()),
                ("subject", NAME),
                ("kept", pa.bool_()),
                ("reason", NAME),
                ("count", pa.int64()),
            )
        ),
        "per graph, how many links went to which table, or were dropped for which reason; and oddities of nodes",
    ),
    Dataset(
        "neurons",
        "stats",
        pa.schema(
            [
                *NEURON,
                *fields(("graph_count", pa.int64()), ("group_count", pa.int64()), ("node_count", pa.int64())),
                *NODE_VALUES,
            ]
        ),
        "one neuron (or transcoder feature) over all graphs",
        parted=True,
    ),
    Dataset(
        "neuron_graphs",
        "stats",
        pa.schema(
            [
                *NEURON,
                *required(("graph_id", pa.int32())),
                *fields(
                    ("node_count", pa.int32()),
                    ("positions", pa.list_(pa.int32())),
                    ("activation_min", pa.float64()),
                    ("activation_max", pa.float64()),
                    ("influence_min", pa.float64()),
                    ("influence_max", pa.float64()),
                ),
            ]
        ),
        "one neuron in one graph, with the token positions where it is a node",
        parted=True,
    ),
    Dataset(
        "edges",
        "stats",
        pa.schema([*PAIR, *STATISTICS, *fields(("group_count", pa.int64())), *HALVES, *TOGETHER, *METHOD]),
        "neuron -> neuron",
        parted=True,
    ),
    Dataset(
        "edge_groups",
        "stats",
        pa.schema(
            [
                *PAIR,
                *required(
                    ("group_id", pa.int32()),
                    ("count", pa.int64()),
                    ("graph_count", pa.int64()),
                    ("positive_count", pa.int64()),
                    ("weight_sum", pa.float64()),
                    ("weight_abs_sum", pa.float64()),
                    ("weight_sq_sum", pa.float64()),
                ),
            ]
        ),
        "neuron -> neuron within one group of prompts: the unit of replication",
        parted=True,
        optional=True,
    ),
    Dataset(
        "connections",
        "stats",
        pa.schema(
            [
                *PAIR,
                *fields(("c_up", pa.float32()), ("c_gate", pa.float32())),
                *fields(("strength", pa.float32()), ("derivative", pa.float32())),
                *required(("polarity", NAME)),
                *fields(("confidence", pa.float32()), ("upstream_rank", pa.int32()), ("downstream_rank", pa.int32())),
            ]
        ),
        "neuron -> neuron by the weights alone: both products, and the rank in the lists of either end",
        optional=True,
    ),
    Dataset("token_edges", "stats", pa.schema([*TOKEN, *NEURON, *STATISTICS]), "input token -> neuron", parted=True),
    Dataset("logit_edges", "stats", pa.schema([*NEURON, *TOKEN, *STATISTICS]), "neuron -> output token", parted=True),
    Dataset(
        "token_logit_edges",
        "stats",
        pa.schema([*required(("src_token_id", pa.int64()), ("tgt_token_id", pa.int64())), *STATISTICS]),
        "input token -> output token",
        parted=True,
    ),
    Dataset("error_mass", "stats", pa.schema([*NEURON, *STATISTICS]), "error nodes -> neuron", parted=True),
    Dataset("logit_error_mass", "stats", pa.schema([*TOKEN, *STATISTICS]), "error nodes -> output token", parted=True),
    Dataset(
        "cooccurrence",
        "stats",
        pa.schema(
            [
                *NEURON,
                *required(
                    ("rank", pa.int32()),
                    ("other_layer", pa.int32()),
                    ("other_neuron", pa.int32()),
                    ("joint_graph_count", pa.int64()),
                ),
                *fields(("lift", pa.float64()), ("pmi", pa.float64()), ("npmi", pa.float64())),
            ]
        ),
        "per neuron, the neurons that are in the same graphs most tellingly",
        parted=True,
    ),
    Dataset(
        "graph_nodes",
        "stats",
        pa.schema(
            [
                *required(("graph_id", pa.int32()), ("node", pa.int32()), ("kind", NAME)),
                *fields(
                    ("layer", pa.int32()),
                    ("neuron", pa.int32()),
                    ("token_id", pa.int64()),
                    ("position", pa.int32()),
                    ("activation", pa.float32()),
                    ("influence", pa.float32()),
                    ("score_gradient", pa.float32()),
                    ("probability", pa.float32()),
                ),
            ]
        ),
        "one node of one graph: a neuron, token, logit or error at a position",
        parted=True,
        optional=True,
    ),
    Dataset(
        "graph_links",
        "stats",
        pa.schema(
            required(("graph_id", pa.int32()), ("source", pa.int32()), ("target", pa.int32()), ("weight", pa.float32()))
        ),
        "one link of one graph, between two of its nodes",
        parted=True,
        optional=True,
    ),
    Dataset(
        "regimes",
        "stats",
        pa.schema(
            [
                *NEURON,
                *required(
                    ("node_count", pa.int64()),
                    ("up_factor_sum", pa.float64()),
                    ("gate_factor_sum", pa.float64()),
                    ("both_positive_count", pa.int64()),
                    ("up_negative_count", pa.int64()),
                    ("gate_negative_count", pa.int64()),
                    ("both_negative_count", pa.int64()),
                ),
            ]
        ),
        "one traced neuron: how its activation depends on its up and gate where it is a node",
        optional=True,
    ),
    Dataset(
        "ablated_nodes",
        "stats",
        pa.schema(
            [
                *required(("graph_id", pa.int32())),
                *NEURON,
                *required(("position", pa.int32()), ("score", pa.float64()), ("score_gradient", pa.float64())),
                *required(("score_sum", pa.float64()), ("effect", pa.float64())),
            ]
        ),
        "one node of a random sample, taken away in the model: its score beside the effect on the metric",
        optional=True,
    ),
    Dataset(
        "ablated_edges",
        "stats",
        pa.schema(
            [
                *required(("graph_id", pa.int32()), ("src_layer", pa.int32()), ("src_neuron", pa.int32())),
                *required(("src_position", pa.int32())),
                *fields(("tgt_layer", pa.int32()), ("tgt_neuron", pa.int32()), ("tgt_token_id", pa.int64())),
                *required(("tgt_position", pa.int32()), ("predicted", pa.float64()), ("effect", pa.float64())),
                *required(("target_value", pa.float64())),
            ]
        ),
        "one edge of a random sample, to a neuron or an output, cut in the model: prediction beside effect",
        optional=True,
    ),
    Dataset(
        "edge_samples",
        "stats",
        pa.schema(
            [
                *PAIR,
                *required(("bucket", pa.int32()), ("count", pa.int64()), ("weight_sum", pa.float64())),
            ]
        ),
        "a sample of the edges by hash-sixteenth of the graphs: how reliable edges are against the number of graphs",
    ),
    Dataset(
        "files",
        "stats",
        pa.schema(
            [
                *required(("path", pa.string()), ("size_bytes", pa.int64()), ("mtime_ns", pa.int64())),
                *fields(("content_hash", pa.string())),
                *required(("graph_count", pa.int64()), ("reject_count", pa.int64())),
            ]
        ),
        "one input file as it was when its graphs were read: what an increment does not read again",
    ),
    Dataset(
        "tokens",
        "stats",
        pa.schema(
            [
                *TOKEN,
                *fields(
                    ("token", pa.string()),
                    ("input_graph_count", pa.int64()),
                    ("output_graph_count", pa.int64()),
                    ("probability_max", pa.float64()),
                ),
            ]
        ),
        "one vocabulary entry that was an input or a traced output",
    ),
    Dataset(
        "graph_labels",
        "stats",
        pa.schema([*NEURON, *required(("text", pa.string()), ("graph_count", pa.int64()))]),
        "texts that the graph files themselves carry for a neuron (clerp)",
    ),
    Dataset(
        "rejects",
        "stats",
        pa.schema(
            [
                *required(("path", pa.string()), ("reason", pa.string()), ("message", pa.string())),
                *fields(("size_bytes", pa.int64()), ("file", pa.string()), ("member", pa.string())),
            ]
        ),
        "one file that was not read, and why",
    ),
)
