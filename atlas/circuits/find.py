"""Circuits of all anchors of a stats folder: chosen, merged where they are alike, and grown."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np

from atlas.circuits.anchored import INPUT, OUTPUT, Anchors
from atlas.circuits.cells import Cells, Observations, read_observations
from atlas.circuits.growth import Grown, Growth
from atlas.circuits.paths import Ends
from atlas.circuits.replication import Replication, replicate
from atlas.errors import IdError, InputError, UsageError
from atlas.ids import NeuronId
from atlas.options import CircuitOptions
from atlas.stages.resamples import Floats, Ints, bootstraps
from atlas.stages.store.byte_tokens import decoded_vocabulary

Progress = Callable[[str, int, int], None]
CONTRAST, SET = "contrast", "set"


@dataclass
class Kind:
    """Circuits of one kind: their anchors, the neurons that carry them, and those that were added."""

    name: str
    texts: list[str]  # of the anchors
    tokens: list[tuple[int, ...]]
    graph_count: list[int | None]
    group_count: list[int | None]
    anchors: Anchors | None = None  # of tokens
    replication: Replication | None = None
    neurons: list[tuple[int, ...]] = field(default_factory=list)  # of sets
    grown: list[Grown] = field(default_factory=list)

    def ends(self) -> list[Ends]:
        """Return where the paths of every circuit may start and end, and which neurons it has."""
        circuit, neuron = self.members()
        every = [(circuit, neuron), *((grown.circuit, grown.neuron) for grown in self.grown)]
        owner, unit = (np.concatenate(column) for column in zip(*every, strict=True))
        found = []
        for row, tokens in enumerate(self.tokens):
            anchor = frozenset(tokens)
            found.append(
                Ends(
                    np.unique(unit[owner == row]),
                    frozenset(neuron[circuit == row].tolist()),
                    tokens=anchor if self.name == INPUT else None,
                    outputs=anchor if self.name in (OUTPUT, CONTRAST) else None,
                )
            )
        return found

    def members(self) -> tuple[Ints, Ints]:
        """Return the circuit and the packed neuron of every member that is not grown."""
        if self.anchors is not None and self.replication is not None:
            pairs = self.replication.chosen
            return self.anchors.anchor[pairs], self.anchors.cells.second[pairs]
        rows = [(row, neuron) for row, neurons in enumerate(self.neurons) for neuron in neurons]
        found = np.array(rows, np.int64).reshape(-1, 2)
        return found[:, 0], found[:, 1]


@dataclass(frozen=True)
class Found:
    """Circuits of all kinds."""

    kinds: list[Kind]
    groups: int  # of prompts
    seen: Observations


def find_circuits(stats: Path, options: CircuitOptions, progress: Progress) -> Found:
    """Find the circuits of a stats folder.

    Args:
        stats: Stats folder with single graphs.
        options: Thresholds, sizes, resamples and seed.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        The circuits.
    """
    progress("reading links by group", 0, 0)
    seen = read_observations(stats)
    rng = np.random.default_rng(options.seed)
    kinds = [kind for name in (INPUT, OUTPUT) if (kind := _of_tokens(name, seen, options, rng, progress))]
    if options.contrasts:
        kinds.append(_of_contrasts(seen, options, rng))
    if options.around:
        kinds.append(_of_sets(options.around, seen))
    if options.grow and options.steps:
        progress("growing circuits", 0, 0)
        resamples = bootstraps(seen.bucket_count, options.resamples, rng) if seen.bucket_count > 1 else np.zeros((0, 1))
        growth = Growth(seen.edges, seen.bucket_count, resamples)
        for kind in kinds:
            kind.grown = growth.rounds(*kind.members(), options.grow, options.least_confidence, options.steps)
    return Found(kinds, seen.group_count, seen)


def _of_tokens(
    name: str, seen: Observations, options: CircuitOptions, rng: np.random.Generator, progress: Progress
) -> Kind | None:
    """Return the circuits of the tokens that are often enough an input or an output; None where there are none."""
    held = set(np.unique(seen.cells[name].first).tolist())
    # A token of nearly all graphs, such as that of the beginning, sets none of them apart.
    most = options.max_graph_share * seen.graph_count
    counts = {
        token: (graphs, groups)
        for token, graphs, groups in seen.anchors[name]
        if options.min_graphs <= graphs <= most and groups >= options.min_groups and token in held
    }
    if not counts:
        return None
    progress(f"circuits of {name} tokens", 0, 0)
    ordered = sorted(counts, key=lambda token: (-counts[token][0], token))
    single = Anchors.of(seen.cells[name], [(token,) for token in ordered], is_output=name == OUTPUT)
    size = np.full(len(ordered), options.size or 20)
    chosen = single.best(single.scores(np.ones(seen.bucket_count)), size)
    # Neurons that push two outputs in opposite directions do not make them one.
    is_positive = single.cells.total > 0
    groups = merged(ordered, single.anchor[chosen], (2 * single.cells.second + is_positive)[chosen], options.merge)
    anchors = Anchors.of(seen.cells[name], groups, is_output=name == OUTPUT)
    replication = replicate(anchors, seen.bucket_count, size=options.size, resamples=options.resamples, rng=rng)
    texts = [", ".join(seen.texts.get(token, str(token)) for token in group) for group in groups]
    both = [seen.counts(name, group) for group in groups]
    graph_count, group_count = ([count[at] for count in both] for at in (0, 1))
    return Kind(name, texts, groups, [*graph_count], [*group_count], anchors, replication)


def merged(tokens: list[int], anchor: Ints, neuron: Ints, least: float) -> list[tuple[int, ...]]:
    """Put tokens with nearly the same neurons together.

    Args:
        tokens: Tokens, the most frequent first.
        anchor: Row of the token of every pair (n,).
        neuron: Its neuron, or its neuron and sign (n,).
        least: Jaccard index from which on a token joins a more frequent one.

    Returns:
        Groups of tokens. Each member is alike to the first, which is the most frequent.
    """
    sizes: Counter[int] = Counter(anchor.tolist())
    by_neuron: dict[int, list[int]] = defaultdict(list)
    for row, unit in zip(anchor.tolist(), neuron.tolist(), strict=True):
        by_neuron[unit].append(row)
    both: Counter[tuple[int, int]] = Counter()
    for rows in by_neuron.values():
        both.update(combinations(sorted(rows), 2))
    near: dict[int, list[int]] = defaultdict(list)
    for (one, other), count in sorted(both.items()):
        if count / (sizes[one] + sizes[other] - count) >= least:
            near[one].append(other)
    groups, taken = [], set[int]()
    for row, token in enumerate(tokens):
        if row in taken:
            continue
        joined = [other for other in near[row] if other not in taken]
        taken.update([row, *joined])
        groups.append((token, *(tokens[other] for other in joined)))
    return groups


def _of_contrasts(seen: Observations, options: CircuitOptions, rng: np.random.Generator) -> Kind:
    """Return the circuits of differences of two output tokens."""
    readable = dict(zip(decoded_vocabulary(seen.texts.values()), seen.texts, strict=True))
    by_text = readable | {text: token for token, text in seen.texts.items()}
    output = {token: (graphs, groups) for token, graphs, groups in seen.anchors[OUTPUT]}
    pairs = []
    for given in options.contrasts:
        unknown = [text for text in given if by_text.get(text) not in output]
        if unknown:
            raise InputError(f"{unknown[0]!r} is no traced output token; write it with its leading space, as in ' not'")
        pairs.append(tuple(by_text[text] for text in given))
    cells = seen.cells[OUTPUT]
    token = cells.first[cells.pair]
    columns: dict[str, list[np.ndarray]] = defaultdict(list)
    for row, (one, other) in enumerate(pairs):
        for sign, mine in ((1.0, token == one), (-1.0, token == other)):
            columns["first"].append(np.full(int(mine.sum()), row))
            columns["second"].append(cells.second[cells.pair][mine])
            columns["bucket"].append(cells.bucket[mine])
            # Per graph with the token, so that what a frequent and a rare token share cancels, too.
            graphs = output[one if sign > 0 else other][0]
            columns["signed"].append(sign * cells.signed[mine] / graphs)
            columns["absolute"].append(cells.absolute[mine] / graphs)
    joined = Cells.of({name: np.concatenate(parts) for name, parts in columns.items()})
    anchors = Anchors(joined, [(row,) for row in range(len(pairs))], joined.first, is_output=True)
    replication = replicate(anchors, seen.bucket_count, size=options.size, resamples=options.resamples, rng=rng)
    texts = [f"{one} rather than {other}" for one, other in options.contrasts]
    counts = [[min(output[token][at] for token in pair) for pair in pairs] for at in (0, 1)]
    return Kind(CONTRAST, texts, pairs, [*counts[0]], [*counts[1]], anchors, replication)


def _of_sets(around: Iterable[str], seen: Observations) -> Kind:
    """Return the given sets of neurons as circuits that grow."""
    known = set(np.union1d(seen.edges.first, seen.edges.second).tolist())
    sets, texts = [], []
    for text in around:
        try:
            named = text.replace(",", " ").split()
            neurons = tuple(dict.fromkeys(NeuronId.parse(part).packed for part in named))
        except IdError as error:
            raise UsageError(f"circuits.around: {error}") from error
        missing = [neuron for neuron in neurons if neuron not in known]
        if missing or not neurons:
            raise InputError(
                f"circuits.around: no edge has {NeuronId.unpack(missing[0]) if missing else 'an empty set'}"
            )
        sets.append(neurons)
        texts.append(" ".join(str(NeuronId.unpack(neuron)) for neuron in neurons))
    nothing: list[int | None] = [None] * len(sets)
    return Kind(SET, texts, [()] * len(sets), nothing, nothing, neurons=sets)


def coherence(weight: Floats, circuit: Ints, count: int) -> Floats:
    """Return |sum of the weights| / sum of the |weights| of every circuit; NaN without weights (count,)."""
    total, size = np.bincount(circuit, weight, count), np.bincount(circuit, np.abs(weight), count)
    found: Floats = np.divide(np.abs(total), size, out=np.full(count, np.nan), where=size > 0)
    return found
