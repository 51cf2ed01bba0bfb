"""Weighted network to cluster: which edges of a resample count, and how much."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atlas.cluster.edges import Edges, Sums
from atlas.cluster.read_edges import read_edges
from atlas.errors import InputError, NothingToCluster
from atlas.options import ClusterOptions
from atlas.options.clusters import DAMP, POSITIVE, least_count
from atlas.stages.resamples import Floats, Ints

_PRIOR = 5.0  # graphs that are added to both sides of a lift, so that few graphs make no large one
FREQUENT, WEAK = "frequent", "weak"  # why a neuron is in no network


@dataclass(frozen=True, slots=True)
class Network:
    """Directed weighted network over `neurons`; `source` and `target` are rows of that array."""

    neurons: Ints  # (n_neurons,) packed, ascending
    source: Ints  # (n_links,)
    target: Ints  # (n_links,)
    weight: Floats  # (n_links,), positive
    signed: Floats  # (n_links,), mean weight with its sign
    rows: Ints  # (n_neurons,), rows of `Edges.neurons`

    def with_links(self, source: Ints, target: Ints, weight: Floats, signed: Floats) -> Network:
        """Return the network with other links over the same neurons."""
        return Network(self.neurons, source, target, weight, signed, self.rows)


def load_network(given: Path, options: ClusterOptions) -> Network:
    """Return the network of a stats folder or an atlas.

    Args:
        given: Stats folder or atlas file.
        options: Thresholds, weight and what else decides the network.

    Returns:
        The network.

    Raises:
        InputError: The file lacks what the options need.
        NothingToCluster: No edge is left.
    """
    edges = read_edges(given, options)
    return make_network(edges, options, np.ones(edges.buckets))


def make_network(edges: Edges, options: ClusterOptions, weights: Floats) -> Network:
    """Return the network of a resample.

    Args:
        edges: Statistics by bucket.
        options: Thresholds, which are scaled by the share of the groups in the resample, and what else decides the network.
        weights: How often each bucket counts (n_buckets,).

    Returns:
        The network.

    Raises:
        InputError: The file lacks what the options need.
        NothingToCluster: No edge is left.
    """
    sums = edges.sums(weights)
    presence, total = edges.presence @ weights, float(edges.graph_totals @ weights)
    kept = reaching(edges, sums, options, weights)
    if options.max_graph_share < 1:
        is_rare = ~is_frequent(edges, options, weights)
        kept &= is_rare[edges.source] & is_rare[edges.target]
    if options.signs == POSITIVE:
        kept &= sums.signed > 0
    chosen = np.flatnonzero(kept)
    rows, links = _renumbered(edges.source[chosen], edges.target[chosen])
    if len(chosen):
        taken = sums.of(chosen)
        weight = _weights(taken, options, *links, presence[rows], total, len(rows))
        if options.above_null:
            weight = np.where(weight > _expected(*links, weight, edges.layers[rows]), weight, 0.0)
        if options.hubs == DAMP:
            strength = np.bincount(links[0], weight, len(rows)) + np.bincount(links[1], weight, len(rows))
            scale = np.sqrt(strength[links[0]] * strength[links[1]])
            weight = np.divide(weight, scale, out=np.zeros(len(weight)), where=scale > 0)
        flows = weight > 0
        inner, links = _renumbered(links[0][flows], links[1][flows])
        rows, weight, signed = rows[inner], weight[flows], (taken.signed / taken.count)[flows]
    if not len(chosen):
        raise NothingToCluster(
            f"no edge is left of {len(edges.source):,}: lower min_count ({options.min_count}), min_graphs ({options.min_graphs}) or min_groups, "
            f"or raise max_graph_share ({options.max_graph_share:g})"
        )
    if not len(weight):
        raise NothingToCluster(
            f"none of {len(chosen):,} edges with at least {options.min_count} links has a {options.weight} above 0, so "
            "nothing flows; choose another weight or lower the thresholds"
        )
    return Network(edges.neurons[rows], *links, weight, signed, rows)


def reaching(edges: Edges, sums: Sums, options: ClusterOptions, weights: Floats) -> NDArray[np.bool_]:
    """Return True for edges that reach the thresholds of links, graphs and groups in a resample (n_edges,)."""
    part = weights.sum() / len(weights)
    kept: NDArray[np.bool_] = sums.count >= least_count(options, float(edges.graph_totals.sum())) * part
    for value, least in ((sums.graphs, options.min_graphs), (sums.groups, options.groups_needed(edges.group_total))):
        if least > 1:
            kept &= value >= least * part
    return kept & (sums.count > 0)


def is_frequent(edges: Edges, options: ClusterOptions, weights: Floats) -> NDArray[np.bool_]:
    """Return True for neurons in more than `max_graph_share` of the graphs of a resample (n_neurons,)."""
    presence, total = edges.presence @ weights, float(edges.graph_totals @ weights)
    if options.max_graph_share < 1 and not (np.isfinite(presence).all() and np.isfinite(total)):
        raise InputError(
            "max_graph_share needs the number of graphs of every neuron, which the statistics do not state"
        )
    found: NDArray[np.bool_] = presence > options.max_graph_share * total
    return found


def _renumbered(source: Ints, target: Ints) -> tuple[Ints, tuple[Ints, Ints]]:
    """Return the neurons with a link, and the links between them by their new rows."""
    rows = np.union1d(np.unique(source), np.unique(target))
    return rows, (np.searchsorted(rows, source), np.searchsorted(rows, target))


def _weights(
    sums: Sums, options: ClusterOptions, source: Ints, target: Ints, presence: Floats, total: float, size: int
) -> Floats:
    """Return the weight of every edge by its formula, 0 or more."""
    name = options.weight
    if name in ("lift", "npmi"):
        return _together(name, _known(sums.graphs, "graph_count", name), presence[source], presence[target], total)
    base = np.abs(sums.signed) if name == "abs_mean_weight_sq" else sums.absolute
    if options.signs == POSITIVE:
        base = np.maximum(sums.signed, 0)
    elif name != "abs_mean_weight_sq":
        base = _known(base, "weight_abs_sum", name)
    if name == "abs_weight_sum":
        return base
    if name == "share":
        into = np.bincount(target, base, size)[target]
        return np.divide(base, into, out=np.zeros(len(base)), where=into > 0)
    mean: Floats = base / sums.count
    if name == "abs_weight_graphs":
        return mean * _known(sums.graphs, "graph_count", name)
    return mean if name == "mean_abs_weight" else mean**2


def _known(values: Floats, column: str, weight: str) -> Floats:
    if np.isnan(values).any():
        other = "abs_mean_weight_sq" if column == "weight_abs_sum" else "mean_abs_weight"
        raise InputError(
            f"some edges have no {column}, which --weight {weight} needs: their file states less; choose --weight {other} (in a recipe --set cluster.weight={other})"
        )
    return values


def _together(name: str, graphs: Floats, source: Floats, target: Floats, total: float) -> Floats:
    """Return the shrunk lift or the npmi of the graphs with an edge, 0 where negative.

    The lift is ln((graphs with the edge + 5) / (graphs expected of its ends + 5)). The npmi is that of Bouma 2009.
    """
    if not np.isfinite(source + target + total).all():
        raise InputError(
            f"--weight {name} needs the number of graphs of every neuron, which the statistics do not state"
        )
    expected = source * target / total
    if name == "lift":
        return np.maximum(np.log((graphs + _PRIOR) / (expected + _PRIOR)), 0)
    share = graphs / total
    with np.errstate(divide="ignore", invalid="ignore"):
        npmi = np.where(share < 1, np.log(graphs / np.maximum(expected, 1e-300)) / -np.log(share), 0)
    return np.nan_to_num(np.maximum(npmi, 0))


def _expected(source: Ints, target: Ints, weight: Floats, layers: Ints) -> Floats:
    """Return the weight that the strengths of both ends, within their pair of layers, let expect of every link."""
    span = int(layers.max(initial=0)) + 1
    out = source * span + layers[target]
    into = target * span + layers[source]
    pair = layers[source] * span + layers[target]
    places = [np.unique(key, return_inverse=True)[1] for key in (out, into, pair)]
    given, taken, whole = (np.bincount(place, weight)[place] for place in places)
    found: Floats = np.divide(given * taken, whole, out=np.zeros(len(whole)), where=whole > 0)
    return found
