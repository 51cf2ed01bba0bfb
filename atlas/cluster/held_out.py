"""Held-out score: do clusters of one half of the prompts say which neurons are linked in the other half?

Logistic regressions predict whether a pair of neurons is linked in the second half, from what the first half knows of both ends: degrees,
strengths, and how often both act in the same groups of prompts; then also from whether both are in one cluster. Half of the pairs fit, the
others score. Pairs without a link are of the same two layers as one with.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from atlas.cluster.edges import Edges
from atlas.cluster.network import Network
from atlas.stages.resamples import Floats, Ints

_PAIRS = 5_000  # of each kind at most
_FEWEST = 50


class HeldOut(NamedTuple):
    """Scores of one split."""

    base_auc: float  # area under the ROC curve without clusters
    auc: float  # and with them
    bits: float  # mean log loss that clusters save per pair, in bits


def held_out(
    edges: Edges, half: Floats, network: Network, other: Network, labels: Ints, rng: np.random.Generator
) -> HeldOut | None:
    """Score the clusters of one half in the other.

    Args:
        edges: Statistics by bucket.
        half: How often each bucket counts in the first half (n_buckets,).
        network: Network of the first half.
        other: Network of the second half.
        labels: Cluster of every neuron of `edges` in the first half, -1 where it is in none (n_neurons,).
        rng: Generator of the pairs.

    Returns:
        The scores; None where there are too few links.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss, roc_auc_score

    size = len(edges.neurons)
    linked = other.rows[other.source] * size + other.rows[other.target]
    taken = rng.permutation(len(linked))[:_PAIRS]
    without = _unlinked(linked[taken] // size, linked[taken] % size, linked, edges.layers, rng)
    if min(len(taken), len(without)) < _FEWEST:
        return None
    pairs = np.concatenate([linked[taken], without])
    is_linked = np.arange(len(pairs)) < len(taken)
    source, target = pairs // size, pairs % size
    features = _features(edges, half, network, source, target)
    same = ((labels[source] == labels[target]) & (labels[source] >= 0)).astype(float)[:, None]
    order = rng.permutation(len(pairs))
    fit, score = order[::2], order[1::2]
    found = []
    for columns in (features, np.concatenate([features, same], 1)):
        scaled = (columns - columns[fit].mean(0)) / np.maximum(columns[fit].std(0), 1e-9)
        model = LogisticRegression(max_iter=500).fit(scaled[fit], is_linked[fit])
        chance = model.predict_proba(scaled[score])[:, 1]
        found.append((roc_auc_score(is_linked[score], chance), log_loss(is_linked[score], chance) / np.log(2)))
    return HeldOut(found[0][0], found[1][0], found[0][1] - found[1][1])


def _unlinked(source: Ints, target: Ints, linked: Ints, layers: Ints, rng: np.random.Generator) -> Ints:
    """Return random pairs of the same two layers as each given pair, without those that are linked."""
    size = len(layers)
    order = np.argsort(layers, kind="stable")
    first = np.searchsorted(layers[order], layers)
    count = np.searchsorted(layers[order], layers, side="right") - first
    drawn = [order[first[end] + rng.integers(0, count[end])] for end in (source, target)]
    pairs = np.unique(drawn[0] * size + drawn[1])
    found: Ints = pairs[~np.isin(pairs, linked) & (pairs // size != pairs % size)]
    return found


def _features(edges: Edges, half: Floats, network: Network, source: Ints, target: Ints) -> Floats:
    """Return the logarithms of degrees, strengths and common presence of pairs in the first half (n_pairs, 5)."""
    size = len(edges.neurons)
    out, into = network.rows[network.source], network.rows[network.target]
    degrees = np.bincount(out, minlength=size)[source], np.bincount(into, minlength=size)[target]
    strengths = np.bincount(out, network.weight, size)[source], np.bincount(into, network.weight, size)[target]
    share = edges.presence / np.maximum(edges.graph_totals, 1)
    common = np.einsum("ij,ij,j->i", share[source], share[target], edges.graph_totals * half)
    smallest = [max(values[values > 0].min(initial=1.0), 1e-300) for values in strengths]
    logs = [np.log1p(degree) for degree in degrees]
    logs += [np.log(np.maximum(values, least)) for values, least in zip(strengths, smallest, strict=True)]
    return np.stack([*logs, np.log1p(common)], 1)
