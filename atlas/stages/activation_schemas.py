"""Datasets of the stages `activations` (a store of contexts and activations) and `measures` (statistics of a store)."""

from __future__ import annotations

import pyarrow as pa

from atlas.stages.dataset import NAME, Dataset, fields, required

UNIT = required(("layer", pa.int32()), ("unit", pa.int32()))

ACTIVATIONS = (
    Dataset(
        "contexts",
        "activations",
        pa.schema(
            [
                *required(("context_id", pa.int32()), ("token_ids", pa.list_(pa.int32()))),
                *fields(
                    ("document", pa.string()),
                    ("start", pa.int32()),
                    ("source", pa.string()),
                    ("split", pa.string()),
                    ("content_hash", pa.string()),
                    ("attributes", pa.map_(pa.string(), pa.string())),
                ),
            ]
        ),
        "one window of tokens that activations were collected on",
    ),
    Dataset(
        "activations",
        "activations",
        pa.schema(
            [
                *UNIT,
                *required(("context_id", pa.int32()), ("position", pa.int32()), ("value", pa.float32())),
            ]
        ),
        "one kept activation of one unit on one token, sorted by unit",
        parted=True,
    ),
    Dataset(
        "units",
        "activations",
        pa.schema(
            [
                *required(("layer", pa.int32()), ("unit_count", pa.int32()), ("threshold", pa.float64())),
                *fields(("token_count", pa.int64())),
                *required(("context_count", pa.int64())),
            ]
        ),
        "one layer: its units, the threshold of kept activations, and the tokens they were looked for on",
    ),
    Dataset(
        "vectors",
        "activations",
        pa.schema(
            [
                *required(("layer", pa.int32()), ("context_id", pa.int32()), ("position", pa.int32())),
                *required(("vector", pa.list_(pa.float32()))),
            ]
        ),
        "one dense vector of the residual stream at one token",
        parted=True,
        optional=True,
    ),
    Dataset(
        "stated_stats",
        "activations",
        pa.schema([*UNIT, *required(("name", NAME), ("value", pa.float64()), ("definition", NAME))]),
        "a number that files of another tool state about a unit, with what it means there",
        optional=True,
    ),
    Dataset(
        "vocabulary",
        "activations",
        pa.schema([*required(("token_id", pa.int64()), ("token", pa.string())), *fields(("is_special", pa.bool_()))]),
        "one token of the vocabulary, as readable text",
    ),
    Dataset(
        "activation_stats",
        "measures",
        pa.schema(
            [
                *UNIT,
                *required(
                    ("threshold", pa.float64()),
                    ("context_count", pa.int64()),
                    ("active_count", pa.int64()),
                    ("active_context_count", pa.int64()),
                    ("positive_count", pa.int64()),
                ),
                *fields(
                    ("token_count", pa.int64()),
                    ("density", pa.float64()),
                    ("density_low", pa.float64()),
                    ("density_high", pa.float64()),
                    ("is_dead", pa.bool_()),
                    ("is_dense", pa.bool_()),
                    ("mean_active", pa.float64()),
                    ("std_active", pa.float64()),
                    ("min_active", pa.float64()),
                    ("max_active", pa.float64()),
                    ("quantiles", pa.list_(pa.float64())),
                    ("duplicate_context_count", pa.int64()),
                    ("mean_all", pa.float64()),
                    ("mean_sq_all", pa.float64()),
                    ("token_entropy", pa.float64()),
                    ("is_single_token", pa.bool_()),
                ),
            ]
        ),
        "one unit over all contexts of a store",
    ),
    Dataset(
        "activation_histograms",
        "measures",
        pa.schema(
            [
                *UNIT,
                *required(("sign", pa.int32()), ("bin", pa.int32()), ("low", pa.float64()), ("high", pa.float64())),
                *required(("count", pa.int64())),
            ]
        ),
        "one bin of the kept activations of one unit, by powers of two to the half",
    ),
    Dataset(
        "activation_tokens",
        "measures",
        pa.schema(
            [
                *UNIT,
                *required(("relation", NAME), ("rank", pa.int32()), ("token_id", pa.int64())),
                *required(("active_count", pa.int64())),
                *fields(
                    ("token_count", pa.int64()),
                    ("recall", pa.float64()),
                    ("precision", pa.float64()),
                    ("precision_low", pa.float64()),
                    ("precision_high", pa.float64()),
                    ("lift", pa.float64()),
                    ("mean_active", pa.float64()),
                    ("mass_share", pa.float64()),
                    ("tfidf", pa.float64()),
                ),
            ]
        ),
        "a token that a unit fires on, or before or after it",
    ),
    Dataset(
        "activation_examples",
        "measures",
        pa.schema(
            [
                *UNIT,
                *required(
                    ("stratum", NAME), ("rank", pa.int32()), ("context_id", pa.int32()), ("position", pa.int32())
                ),
                *fields(("value", pa.float64()), ("weight", pa.float64())),
            ]
        ),
        "a context in which a unit fires, one per context, by strata of its strength; and contexts in which it does not",
    ),
    Dataset(
        "token_stats",
        "measures",
        pa.schema(
            required(
                ("token_id", pa.int64()),
                ("token_count", pa.int64()),
                ("context_count", pa.int64()),
                ("idf", pa.float64()),
            )
        ),
        "one token: how often it was looked at, and its inverse document frequency over contexts",
    ),
    Dataset(
        "coactivation",
        "measures",
        pa.schema(
            [
                *UNIT,
                *required(
                    ("other_unit_type", NAME),
                    ("rank", pa.int32()),
                    ("other_layer", pa.int32()),
                    ("other_unit", pa.int32()),
                ),
                *required(("joint_count", pa.int64()), ("active_count", pa.int64()), ("other_count", pa.int64())),
                *required(("jaccard", pa.float64()), ("cosine", pa.float64())),
                *fields(("pearson", pa.float64()), ("pmi", pa.float64()), ("npmi", pa.float64())),
                *fields(("association_p", pa.float64())),
            ]
        ),
        "units that are active on the same tokens",
        optional=True,
    ),
    Dataset(
        "features",
        "features",
        pa.schema(
            [
                *UNIT,
                *required(
                    ("encoder_norm", pa.float64()), ("decoder_norm", pa.float64()), ("encoder_bias", pa.float64())
                ),
                *fields(
                    ("encoder_decoder_cosine", pa.float64()),
                    ("logit_std", pa.float64()),
                    ("logit_skew", pa.float64()),
                    ("logit_kurtosis", pa.float64()),
                ),
            ]
        ),
        "one feature of a dictionary: norms of its weights, and the shape of what it adds to the logits",
    ),
    Dataset(
        "feature_tokens",
        "features",
        pa.schema(
            [
                *UNIT,
                *required(
                    ("projection_kind", NAME),
                    ("direction", NAME),
                    ("rank", pa.int32()),
                    ("token_id", pa.int64()),
                    ("token", pa.string()),
                    ("weight", pa.float64()),
                ),
                *fields(("centred_weight", pa.float64())),
            ]
        ),
        "a token that the decoder of a feature promotes or suppresses",
    ),
    Dataset(
        "feature_neurons",
        "features",
        pa.schema(
            [
                *UNIT,
                *required(
                    ("relation", NAME), ("rank", pa.int32()), ("neuron_layer", pa.int32()), ("neuron", pa.int32())
                ),
                *required(("weight", pa.float64()), ("cosine", pa.float64())),
            ]
        ),
        "a neuron whose weights write to the encoder of a feature, or read its decoder",
    ),
    Dataset(
        "similar_units",
        "features",
        pa.schema(
            [
                *UNIT,
                *required(("similarity_kind", NAME), ("rank", pa.int32()), ("other_layer", pa.int32())),
                *required(("other_unit", pa.int32()), ("similarity", pa.float64())),
            ]
        ),
        "a feature whose weights are alike",
    ),
    Dataset(
        "reconstruction",
        "features",
        pa.schema(
            [
                *required(("layer", pa.int32()), ("text", pa.string()), ("token_count", pa.int64())),
                *required(("feature_count", pa.int64())),
                *fields(
                    ("l0", pa.float64()),
                    ("fvu", pa.float64()),
                    ("mse", pa.float64()),
                    ("dead_count", pa.int64()),
                    ("loss", pa.float64()),
                    ("loss_reconstructed", pa.float64()),
                    ("loss_zero", pa.float64()),
                    ("loss_recovered", pa.float64()),
                ),
            ]
        ),
        "how well a dictionary reconstructs the residual stream on a text",
    ),
    Dataset(
        "explanation_scores",
        "scores",
        pa.schema(
            [
                *UNIT,
                *required(("explanation", pa.string()), ("role", NAME), ("task", NAME), ("measure", NAME)),
                *fields(("score", pa.float64()), ("score_low", pa.float64()), ("score_high", pa.float64())),
                *required(("example_count", pa.int64()), ("failure_count", pa.int64())),
            ]
        ),
        "one measure of an explanation on examples that it was not made from",
    ),
    Dataset(
        "predictions",
        "scores",
        pa.schema(
            [
                *UNIT,
                *required(("explanation", pa.string()), ("role", NAME), ("task", NAME)),
                *required(("context_id", pa.int32()), ("stratum", NAME), ("truth", pa.list_(pa.float64()))),
                *fields(("answer", pa.list_(pa.float64()))),
            ]
        ),
        "one answer of the judge, beside the truth; NULL where it failed",
    ),
)
