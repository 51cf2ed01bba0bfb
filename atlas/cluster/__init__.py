"""Clustering of edges, one module per method, and how far to trust it. No other package imports the GPL libraries."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.cluster.edges import Edges
from atlas.cluster.methods import find, gain
from atlas.cluster.network import FREQUENT, WEAK, Network, is_frequent, make_network, reaching
from atlas.cluster.partition import (
    Matrix,
    Partition,
    found_sets,
    leaves,
    modules,
    placed,
    prefixes,
    without_singletons,
    without_weights,
)
from atlas.cluster.profiles import paths_of
from atlas.cluster.read_edges import read_edges, read_resamples
from atlas.cluster.resolutions import Resolution, profile
from atlas.cluster.runs import runner
from atlas.cluster.trust import Trust, found_again, measure
from atlas.options import ClusterOptions
from atlas.options.clusters import BY_TRIAL, METHODS, OF_GROUPS, WEIGHTS
from atlas.stages.clusters_writer import Clusters, write_clusters
from atlas.stages.resamples import Floats, Ints

__all__ = ["METHODS", "WEIGHTS", "ClusterOptions", "Clustering", "cluster"]

ALONE, UNRELIABLE = "alone", "unreliable"  # why a neuron of the network is in no cluster
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Clustering:
    """Result of a clustering; codelengths (Infomap) are bits per step, lower is better; of quality (other methods), more is."""

    name: str
    neuron_count: int
    edge_count: int
    cluster_count: int
    top_cluster_count: int
    max_level: int
    largest_top_cluster: int
    codelength: float | None
    one_level_codelength: float | None
    quality: float | None
    tested_count: int | None = None  # clusters whose trust is known
    found_again_count: int | None = None  # of them
    half_ami: float | None = None
    resolutions: tuple[Resolution, ...] = ()


def cluster(
    given: Path, out: Path, options: ClusterOptions | None = None, *, progress: Progress = lambda *_: None
) -> Clustering:
    """Cluster the edges of a stats folder or an atlas and write a clusters folder.

    Args:
        given: Stats folder or atlas file.
        out: Clusters folder, which is replaced.
        options: Method, weight, thresholds and seed; the defaults where None.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        The clustering: counts of neurons, edges and clusters, the codelength, and how much of it is found again.

    Raises:
        InputError: No edge reaches the threshold.
        MissingExtra: The library of the method is not installed.
        OutputError: `out` cannot be written.
        UsageError: An option has an invalid value.
    """
    chosen_options = (options or ClusterOptions()).check()
    return _Work(given, chosen_options, progress).write(out)


class _Work:
    """One clustering: its network, its result, and its trust."""

    def __init__(self, given: Path, options: ClusterOptions, progress: Progress) -> None:
        is_needed = options.trust or options.method in OF_GROUPS or options.graphs is not None
        is_needed |= bool(options.resolutions)
        resampled = read_resamples(given, options) if is_needed else None
        edges = resampled if resampled is not None and options.graphs is not None else read_edges(given, options)
        self.edges = edges
        whole = np.ones(edges.buckets)
        self.resolutions = (
            profile(edges if resampled is None else resampled, options, progress) if options.resolutions else []
        )
        chosen = [one.resolution for one in self.resolutions if one.is_chosen]
        self.options = options = replace(options, resolution=chosen[0]) if chosen else options
        self.network = make_network(edges, options, whole)
        self.found = self._find(resampled, progress)
        self._resampled_neurons = self.edges.neurons if resampled is None else resampled.neurons
        is_known = resampled is not None and resampled.group_total > 1
        self.trust = self._trust(resampled, progress) if resampled is not None and is_known and options.trust else None
        self._half_groups: dict[int, bool] = {}
        if resampled is not None and self.trust is not None:
            finds = self.trust.half[resampled.group_bucket]
            self._half_groups = dict(zip(resampled.group_ids.tolist(), finds.tolist(), strict=True))
        self.sets, self.paths = self._settled()
        self.gain = gain(self.network, self.found._replace(paths=self.paths))

    def _find(self, resampled: Edges | None, progress: Progress) -> Partition:
        """Return the result of the method, without modules of one neuron."""
        edges = self.edges if resampled is None or self.options.method not in OF_GROUPS else resampled
        network = self.network if edges is self.edges else make_network(edges, self.options, np.ones(edges.buckets))
        self.network = network
        options, step = self.options, f"clustering {self.options.title}"
        progress(step, 0, 0)
        if options.method in BY_TRIAL and options.trials > 1:
            with runner(edges, options, progress) as run:
                found = run.best(options.seed, options.trials, step)
        else:
            found = find(edges, np.ones(edges.buckets), network, options, seed=options.seed, trials=options.trials)
        return found._replace(paths=without_singletons(found.paths))

    def _trust(self, resampled: Edges, progress: Progress) -> Trust:
        """Measure how far to trust the modules at all levels, or choose among the candidates."""
        rows = np.searchsorted(resampled.neurons, self.network.neurons)
        labels = np.full(len(resampled.neurons), -1)
        labels[rows] = leaves(self.found.paths)
        return measure(
            resampled,
            placed(found_sets(self.found), rows, len(resampled.neurons)),
            labels,
            self.options,
            own=self._own(),
            is_choice=self.found.candidates is not None,
            overlaps=self.found.overlaps,
            tell=progress,
        )

    def _own(self) -> Ints:
        """Return the rows of the sets that the method chooses by itself: all of them, but for candidates of which its modules are some."""
        if self.found.candidates is None or self.found.overlaps:
            return np.arange(found_sets(self.found).shape[0])
        return _rows_of(self.found.candidates, self.found.paths)

    def _settled(self) -> tuple[Matrix, list[tuple[int, ...]]]:
        """Return the clusters with the weights of their members, and the path of every neuron."""
        candidates = self.found.candidates
        if candidates is None:
            return modules(self.found.paths, prefixes(self.found.paths)), self.found.paths
        rows = self._own() if self.trust is None else self.trust.rows
        return candidates[rows].tocsr(), paths_of(candidates, rows)

    def write(self, out: Path) -> Clustering:
        """Write the folder and return what it holds."""
        options, found = self.options, self.found
        described = {key: value for key, value in asdict(options).items() if key != "name"}
        clustering: dict[str, Any] = {
            "name": options.title,
            "method": options.method,
            "options": json.dumps(described, sort_keys=True),
            "seed": options.seed,
            "trial_count": options.trials,
            "edge_count": len(self.network.weight),
            "codelength": found.codelength,
            "one_level_codelength": found.one_level_codelength,
            "quality": found.quality,
            "gain": self.gain,
        }
        clustering |= self._trust_of_all()
        names = ("name", "edge_count", "codelength", "one_level_codelength", "quality")
        known: dict[str, Any] = {key: clustering[key] for key in names}
        manifest = {**known, "options": asdict(options)}
        counts = write_clusters(out, self._clusters(), clustering, manifest)
        trusted = {key: clustering.get(key) for key in ("tested_count", "found_again_count", "half_ami")}
        found_counts: dict[str, Any] = {**known, **counts, **trusted, "resolutions": tuple(self.resolutions)}
        return Clustering(**found_counts)

    def _clusters(self) -> Clusters:
        """Return what is to be written."""
        trust = {**described(self.network, self.sets), **(self.trust.sets if self.trust else {})}
        confidence = self._confidence()
        own = None if confidence is None else _by_level(confidence, self.paths, overlaps=self.found.overlaps)
        shared = self._memberships(confidence) if self.found.overlaps else None
        flows = self.found.flows
        return Clusters(
            self.network.neurons,
            self.paths,
            flows,
            trust=trust,
            confidence=own,
            memberships=shared,
            left_out=self._left_out(),
            half_members=self._half_members(),
            half_groups=self._half_groups,
            resolutions=[asdict(one) for one in self.resolutions],
        )

    def _half_members(self) -> dict[str, Any] | None:
        """Return what the clusters are by one half of the groups; None where it is not known."""
        if self.trust is None:
            return None
        sets = self.trust.half_sets.tocoo()
        every = [(row + 1,) for row in range(sets.shape[0])] if self.found.overlaps else prefixes(self.paths)
        order = np.lexsort((sets.col, sets.row))
        return {
            "neuron": self._resampled_neurons[sets.col[order]].tolist(),
            "path": [every[row] for row in sets.row[order].tolist()],
        }

    def _confidence(self) -> Matrix | None:
        """Return the confidence of members over the neurons of the network (n_sets, n_neurons); None where it is not known."""
        if self.trust is None:
            return None
        rows = np.searchsorted(self._resampled_neurons, self.network.neurons)
        return self.trust.confidence[:, rows].tocsr()

    def _memberships(self, confidence: Matrix | None) -> dict[str, Any]:
        sets = self.sets.tocoo()
        surely = np.full(len(sets.row), np.nan)
        if confidence is not None and len(sets.row):
            surely = np.asarray(confidence[sets.row, sets.col]).reshape(-1)
        return {
            "neuron": self.network.neurons[sets.col].tolist(),
            "path": [(row + 1,) for row in sets.row.tolist()],
            "weight": sets.data,
            "confidence": surely,
        }

    def _left_out(self) -> dict[str, Any]:
        """Return the neurons with an edge that are in no cluster, by reason."""
        inside = np.isin(self.edges.neurons, self.network.neurons)
        frequent = is_frequent(self.edges, self.options, np.ones(self.edges.buckets)) & ~inside
        alone = np.array([not path for path in self.paths], np.bool_)
        reason = ALONE if self.found.candidates is None else UNRELIABLE
        return {
            FREQUENT: self.edges.neurons[frequent],
            WEAK: self.edges.neurons[~inside & ~frequent & self._reached()],
            reason: self.network.neurons[alone],
        }

    def _reached(self) -> NDArray[np.bool_]:
        """Return True for neurons with an edge that reaches the thresholds; of a selection, weaker edges are read, too."""
        edges, whole = self.edges, np.ones(self.edges.buckets)
        kept = reaching(edges, edges.sums(whole), self.options, whole)
        found = np.zeros(len(edges.neurons), np.bool_)
        found[edges.source[kept]] = found[edges.target[kept]] = True
        return found

    def _trust_of_all(self) -> dict[str, Any]:
        """Return the columns of the clustering that say how far to trust it."""
        if self.trust is None:
            return {}
        again = found_again(self.trust.sets)
        members = np.unique(self.sets[again].indices)
        known = {name: None if np.isnan(value) else value for name, value in self.trust.clustering.items()}
        return {
            **known,
            "tested_count": int(self.trust.tested.sum()),
            "found_again_count": len(again),
            "stable_count": len(members),
            "stable_share": len(members) / len(self.network.neurons),
        }


def described(network: Network, sets: Matrix) -> dict[str, Floats]:
    """Return the conductance and the sign coherence of every set.

    Args:
        network: Network that was clustered.
        sets: Sets (n_sets, n_neurons).

    Returns:
        `conductance`: weight of the links between the set and the rest, over that of all links of its smaller side; `sign_coherence`:
        |sum of the mean weights inside| / sum of the |mean weights| inside; NaN without links; each (n_sets,).
    """
    from atlas.cluster.null_model import inner_weights

    ones = without_weights(sets)
    inside = inner_weights(network.source, network.target, network.weight, ones)
    ends = np.concatenate([network.source, network.target])
    strength = np.bincount(ends, np.tile(network.weight, 2), len(network.neurons))
    volume = np.asarray(ones @ strength).reshape(-1)
    rest = np.minimum(volume, strength.sum() - volume)
    signed, absolute = (
        inner_weights(network.source, network.target, values, ones)
        for values in (network.signed, np.abs(network.signed))
    )
    unknown = np.full(len(inside), np.nan)
    return {
        "conductance": np.divide(volume - 2 * inside, rest, out=unknown.copy(), where=rest > 0),
        "sign_coherence": np.divide(np.abs(signed), absolute, out=unknown.copy(), where=absolute > 0),
    }


def _rows_of(candidates: Matrix, paths: list[tuple[int, ...]]) -> Ints:
    """Return the rows of the candidates that are modules of flat paths, in the order of the modules."""
    count = max((path[0] for path in paths if path), default=0)
    wanted = {
        frozenset(row for row, path in enumerate(paths) if path == (number,)): number for number in range(1, count + 1)
    }
    found = {}
    for row in range(candidates.shape[0]):
        number = wanted.get(frozenset(candidates.indices[candidates.indptr[row] : candidates.indptr[row + 1]].tolist()))
        if number is not None:
            found[number] = row
    return np.array([found[number] for number in sorted(found)], np.int64)


def _by_level(confidence: Matrix, paths: list[tuple[int, ...]], *, overlaps: bool) -> list[list[float]]:
    """Return the confidence of every neuron in the modules of its path, the top one first."""
    if overlaps:  # the path is the number of one of its sets
        return [[float(confidence[path[0] - 1, column])] if path else [] for column, path in enumerate(paths)]
    place = {path: row for row, path in enumerate(prefixes(paths))}
    pairs = [(place[path[:level]], column) for column, path in enumerate(paths) for level in range(1, len(path) + 1)]
    if not pairs:
        return [[] for _ in paths]
    rows, columns = zip(*pairs, strict=True)
    values = iter(np.asarray(confidence[list(rows), list(columns)]).reshape(-1).tolist())
    return [[next(values) for _ in path] for path in paths]
