"""Names and defaults that options share."""

from __future__ import annotations

MEMORY = 2_000_000_000  # bytes that all processes of an aggregation may take together
DIRECT, FLOW = "direct_effect", "attribution_flow"
RELP, RELP_LIVE_NORMS, GRADIENT, INTEGRATED = "relp", "relp-live-norms", "gradient", "integrated-gradients"
HOOKS = MLP, RESIDUAL, DICTIONARY = "mlp", "resid", "sae"
POSITIONS = ALL, LAST = "all", "last"
WHOLE = "whole"  # one value per context, which is a set of tokens
EXPORTS = ("zarr", "zarr-transposed", "npy", "wandb", "delphi", "shards", "samples", "neuronpedia", "arrow")
SCORE_TASKS = DETECTION, FUZZING, SIMULATION = "detection", "fuzzing", "simulation"
TRAINED_KINDS = RELU, TOPK, BATCH_TOPK = "relu", "topk", "batchtopk"
ZERO, MEAN = "zero", "mean"
MEANS = "means_of_the_first_prompts"  # hash of the baseline `mean`, as an option of a trace
SUM, LOGPROB, LOGIT_DIFF, CENTRED = "sum", "logprob", "logit-diff", "centred"
OF_SCORES, OF_METRIC = "scores", "metric"
TAUS = {OF_SCORES: 0.001, OF_METRIC: 0.005}
RULE_NAMES, BASELINES = (RELP, RELP_LIVE_NORMS, GRADIENT, INTEGRATED), (ZERO, MEAN)
METRICS = (SUM, LOGPROB, LOGIT_DIFF, CENTRED)
AUTO, NONE = "auto", "none"
GROUP_LINKS = 100_000_000  # with more links, the dataset of edges by group would be as large as all links
