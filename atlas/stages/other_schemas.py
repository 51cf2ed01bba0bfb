"""Datasets of the stages `clusters`, `labels`, `projections` and `reports`."""

from __future__ import annotations

import pyarrow as pa

from atlas.stages.dataset import NAME, NEURON, Dataset, fields, required

CLUSTER_TRUST = (
    *("conductance", "sign_coherence", "seed_support", "support", "control_support"),
    *("half_agreement", "control_agreement", "null_p", "null_fdr"),
)


def _scores(*names: str) -> list[tuple[str, pa.DataType]]:
    return [(name, pa.float64()) for name in names]


STAGES = (
    Dataset(
        "clusterings",
        "clusters",
        pa.schema(
            [
                *required(("name", pa.string()), ("method", pa.string()), ("options", pa.string())),
                *fields(
                    ("seed", pa.int64()),
                    ("trial_count", pa.int32()),
                    ("codelength", pa.float64()),
                    ("one_level_codelength", pa.float64()),
                    ("quality", pa.float64()),
                    ("edge_count", pa.int64()),
                    ("neuron_count", pa.int64()),
                    ("cluster_count", pa.int64()),
                    ("top_cluster_count", pa.int64()),
                    ("max_level", pa.int32()),
                    ("singleton_count", pa.int64()),
                    ("largest_share", pa.float64()),
                    ("tested_count", pa.int64()),
                    ("found_again_count", pa.int64()),
                    ("stable_count", pa.int64()),
                    ("stable_share", pa.float64()),
                    *_scores(
                        *("seed_ami", "seed_similarity", "half_ami", "half_similarity"),
                        *("gain", "gain_swapped", "gain_permuted", "base_auc", "held_out_auc", "held_out_bits"),
                    ),
                    ("is_overlapping", pa.bool_()),
                ),
            ]
        ),
        "one clustering: method, options, seed and how good it is",
    ),
    Dataset(
        "members",
        "clusters",
        pa.schema(
            [
                *NEURON,
                *required(("cluster_path", pa.string()), ("top_cluster", pa.int32())),
                *fields(("sub_module", pa.int32()), ("subsub_module", pa.int32())),
                *required(("hierarchy_depth", pa.int32())),
                *fields(*_scores("flow", "confidence"), ("level_confidence", pa.list_(pa.float64()))),
            ]
        ),
        "one neuron's place in the clustering",
    ),
    Dataset(
        "memberships",
        "clusters",
        pa.schema([*NEURON, *required(("cluster_path", pa.string())), *fields(*_scores("weight", "confidence"))]),
        "one neuron in one of the clusters of a clustering whose clusters overlap",
        optional=True,
    ),
    Dataset(
        "half_members",
        "clusters",
        pa.schema([*NEURON, *required(("cluster_path", pa.string()))]),
        "one neuron of a cluster as one half of the groups of prompts finds it, to cut it on the other half",
        optional=True,
    ),
    Dataset(
        "half_groups",
        "clusters",
        pa.schema(required(("group_id", pa.int64()), ("finds", pa.bool_()))),
        "one group of prompts, and whether it is of the half that finds the members of half_members",
        optional=True,
    ),
    Dataset(
        "resolutions",
        "clusters",
        pa.schema(
            [
                *required(("resolution", pa.float64()), ("cluster_count", pa.int64())),
                *fields(*_scores("largest_share", "gain", "half_ami"), ("stable_count", pa.int64())),
                *required(("is_chosen", pa.bool_())),
            ]
        ),
        "what a method finds at one resolution of its profile",
        optional=True,
    ),
    Dataset(
        "left_out",
        "clusters",
        pa.schema([*NEURON, *required(("reason", pa.string()))]),
        "one neuron with edges that is in no cluster, and why",
        optional=True,
    ),
    Dataset(
        "clusters",
        "clusters",
        pa.schema(
            [
                *required(("cluster_path", pa.string()), ("level", pa.int32()), ("top_cluster", pa.int32())),
                *fields(("sub_module", pa.int32()), ("subsub_module", pa.int32()), ("parent_path", pa.string())),
                *required(
                    ("size", pa.int64()),
                    ("layer_min", pa.int32()),
                    ("layer_max", pa.int32()),
                    ("median_layer", pa.float64()),
                ),
                *fields(("flow", pa.float64()), ("name", pa.string())),
                *fields(*_scores(*CLUSTER_TRUST)),
            ]
        ),
        "one cluster at any level; every prefix of a cluster_path is one",
    ),
    Dataset(
        "circuits",
        "circuits",
        pa.schema(
            [
                *required(("circuit_id", pa.string()), ("kind", NAME), ("anchor", pa.string())),
                *fields(("token_ids", pa.list_(pa.int64()))),
                *required(("anchored_count", pa.int64())),
                *fields(
                    ("graph_count", pa.int64()),
                    ("group_count", pa.int64()),
                    ("sign_coherence", pa.float64()),
                    ("support", pa.float64()),
                    ("half_agreement", pa.float64()),
                    ("control_agreement", pa.float64()),
                    ("null_p", pa.float64()),
                    ("null_fdr", pa.float64()),
                ),
            ]
        ),
        "one anchored circuit: the token, contrast or set that it is of, and how surely it is found again",
    ),
    Dataset(
        "circuit_members",
        "circuits",
        pa.schema(
            [
                *required(("circuit_id", pa.string())),
                *NEURON,
                *required(("role", NAME), ("step", pa.int32()), ("rank", pa.int32())),
                *fields(("weight", pa.float64()), ("confidence", pa.float64())),
            ]
        ),
        "one neuron of one anchored circuit; it may be in several",
    ),
    Dataset(
        "circuit_paths",
        "circuits",
        pa.schema(
            [
                *required(("circuit_id", pa.string()), ("rank", pa.int32()), ("token_id", pa.int64())),
                *required(("layers", pa.list_(pa.int32())), ("neurons", pa.list_(pa.int32()))),
                *required(("output_id", pa.int64()), ("strength", pa.float64())),
                *required(("graph_count", pa.int64()), ("group_count", pa.int64())),
            ]
        ),
        "one path of one anchored circuit, from an input token through its neurons to an output token",
        optional=True,
    ),
    Dataset(
        "circuit_effects",
        "verify",
        pa.schema(
            [
                *required(("circuit_id", pa.string())),
                *fields(("clustering", pa.string())),
                *required(("tested_count", pa.int32())),
                *required(("topic_prompt_count", pa.int32()), ("other_prompt_count", pa.int32())),
                *required(("effect", pa.float64()), ("effect_elsewhere", pa.float64()), ("control_count", pa.int32())),
                *fields(("control_effect", pa.float64()), ("control_effect_max", pa.float64())),
                *required(("is_above_controls", pa.bool_())),
                *fields(("sufficiency", pa.float64())),
            ]
        ),
        "one circuit that was cut from the model on prompts that it was not found on, beside random sets of neurons",
    ),
    Dataset(
        "labels",
        "labels",
        pa.schema(
            [
                *NEURON,
                *fields(
                    ("rank", pa.int32()),
                    ("kind", pa.string()),
                    ("text", pa.string()),
                    ("description", pa.string()),
                    ("source", pa.string()),
                    ("model", pa.string()),
                    ("confidence", pa.string()),
                    ("interpretability", pa.string()),
                    ("type", pa.string()),
                    ("score", pa.float64()),
                    ("num_exemplars", pa.int32()),
                    ("max_activation", pa.float64()),
                ),
                *required(("is_uninformative", pa.bool_()), ("file", pa.string())),
                *fields(
                    ("sources", pa.list_(pa.string())), ("subject_model", pa.string()), ("dictionary", pa.string())
                ),
            ]
        ),
        "one label of one neuron; rank 1 is the one shown, uninformative ones have no rank",
    ),
    Dataset(
        "label_files",
        "labels",
        pa.schema(
            required(
                ("path", pa.string()),
                ("size_bytes", pa.int64()),
                ("content_hash", pa.string()),
                ("row_count", pa.int64()),
                ("kept_count", pa.int64()),
                ("uninformative_count", pa.int64()),
                ("malformed_count", pa.int64()),
            )
        ),
        "one label file and what became of its rows",
    ),
    Dataset(
        "projections",
        "projections",
        pa.schema(
            [
                *NEURON,
                *required(("projection_kind", NAME), ("direction", NAME), ("rank", pa.int32())),
                *fields(("token_id", pa.int64()), ("token", pa.string())),
                *required(("weight", pa.float64())),
            ]
        ),
        "tokens that a neuron's weights promote, suppress or answer to",
    ),
    Dataset(
        "neuron_norms",
        "projections",
        pa.schema(
            [
                *NEURON,
                *fields(("output_norm", pa.float64()), ("up_norm", pa.float64()), ("gate_norm", pa.float64())),
            ]
        ),
        "one neuron's lengths of what it writes and reads",
    ),
    Dataset(
        "direct_effects",
        "projections",
        pa.schema(
            [
                *NEURON,
                *required(("ratio_mean", pa.float64()), ("effect_type", NAME)),
                *fields(
                    ("prompt_count", pa.int32()),
                    ("ratio_std", pa.float64()),
                    ("ratio_min", pa.float64()),
                    ("ratio_max", pa.float64()),
                ),
            ]
        ),
        "one neuron's direct effect ratio over prompts",
    ),
    Dataset(
        "exemplars",
        "projections",
        pa.schema(
            [
                *NEURON,
                *required(
                    ("sign", pa.int32()), ("rank", pa.int32()), ("activation", pa.float64()), ("token_id", pa.int64())
                ),
                *fields(("token", pa.string()), ("context", pa.string())),
                *required(("position", pa.int32()), ("prompt_path", pa.string())),
            ]
        ),
        "one place in a corpus where a neuron fires most",
    ),
    Dataset(
        "automatic_labels",
        "projections",
        pa.schema(
            [
                *NEURON,
                *required(("kind", pa.string()), ("label", pa.string())),
                *fields(
                    ("description", pa.string()),
                    ("source", pa.string()),
                    ("confidence", pa.string()),
                    ("num_exemplars", pa.int32()),
                    ("score", pa.float64()),
                ),
            ]
        ),
        "labels made by rule from exemplars and projections; a label file like any other",
    ),
    Dataset(
        "reports",
        "reports",
        pa.schema(
            [
                *NEURON,
                *required(("kind", pa.string())),
                *fields(
                    ("title", pa.string()),
                    ("summary", pa.string()),
                    ("input_function", pa.string()),
                    ("output_function", pa.string()),
                    ("function_type", pa.string()),
                    ("polarity", pa.string()),
                    ("regime", pa.string()),
                    ("confidence", pa.float64()),
                    ("verdict", pa.string()),
                    ("skeptic_verdict", pa.string()),
                    ("experiment_count", pa.int32()),
                    ("findings", pa.list_(pa.string())),
                    ("open_questions", pa.list_(pa.string())),
                    ("reported", pa.string()),
                    ("details", pa.string()),
                ),
                *required(("file", pa.string())),
            ]
        ),
        "one file about one neuron: what an investigation of it found",
    ),
    Dataset(
        "report_examples",
        "reports",
        pa.schema(
            [
                *NEURON,
                *required(("kind", pa.string()), ("rank", pa.int32())),
                *fields(
                    ("prompt", pa.string()),
                    ("token", pa.string()),
                    ("position", pa.int32()),
                    ("other_layer", pa.int32()),
                    ("other_neuron", pa.int32()),
                    ("value", pa.float64()),
                    ("text", pa.string()),
                    ("details", pa.string()),
                ),
                *required(("file", pa.string())),
            ]
        ),
        "one piece of evidence of a report",
    ),
)
