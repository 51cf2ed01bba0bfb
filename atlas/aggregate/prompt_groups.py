"""Groups of prompts. Graphs of one template or of near-duplicate prompts count as one observation.

The group of a graph is the first of these that applies:

    stated          the group that its file or the corpus names (`prompt_group`)
    source          its `corpus_source`, if all graphs without a stated group have one, of at least `LEAST_SOURCES`
    near_duplicate  the group of similar prompts, see `near_duplicates`
    graph           the graph alone, if it has no prompt or groups are disabled

Two prompts are similar if the Jaccard similarity of their shapes is at least `SIMILARITY`. A shape is the set of words
and of pairs of adjacent words, in lower case, with every number as 0, and without special tokens at the start.
Candidates come from MinHash signatures in bands (Broder, 1997; Leskovec, Rajaraman and Ullman, "Mining of
Massive Datasets", chapter 3); each is checked exactly. A group is a connected component.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.errors import InputError
from atlas.graph import Ints
from atlas.ids import well_formed

STATED, SOURCE, NEAR_DUPLICATE, GRAPH = "stated", "source", "near_duplicate", "graph"
SIMILARITY = 0.3
# A corpus with only a few sources ("fineweb", "c4") is not grouped by source.
LEAST_SOURCES = 8
_MANY = 32  # prompts of one bucket, above which each is compared with all others at once
# 84 bands of 3 hashes of the pairs of words. Two prompts that share a quarter of their pairs share a band with
# probability 0.73, with a half 0.99999; unrelated prose, which shares 0.02, with 0.0007. A prompt of a template, 0.4 of
# whose pairs are the template's, has no band to be met by with probability 0.004.
_HASHES, _BAND = 252, 3
_WORDS = re.compile(r"[^\W\d_]+|\d+|_+|[^\w\s]|\n[ \t]*")
_SPECIAL = re.compile(r"(?:\s*<[^<>\s]{1,40}>)+")
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))

Hashes = NDArray[np.uint64]


class Shape(NamedTuple):
    """Hashes of the words of a prompt, (n_words,), and of its pairs of words, (n_pairs,); sorted and distinct."""

    single: Hashes
    pairs: Hashes


@dataclass(frozen=True)
class PromptGroups:
    """The group of every graph: its name and the rule that made it, both (n_graphs,)."""

    names: list[str]
    rules: list[str]


@dataclass(frozen=True)
class GraphGroups:
    """The groups of an aggregation.

    Attributes:
        names: Names of the groups, sorted; the place of a name is the number of the group.
        numbers: Per input, the group of each of its graphs, (n_graphs,).
        rules: Per input, the rule that made the group of each graph, (n_graphs,).
        renumbered: Per input of earlier statistics, the number of each of its groups, (n_earlier_groups,); else None.
        is_grouped: True if edges are counted by group, False if every graph is a group of its own.
    """

    names: list[str]
    numbers: list[Ints]
    rules: list[list[str]]
    renumbered: list[Ints | None]
    is_grouped: bool

    @functools.cached_property
    def buckets(self) -> NDArray[np.uint8]:
        """Sixteenth of the corpus that each group is in, (n_groups,)."""
        return np.array([bucket_of_group(name) for name in self.names], np.uint8)

    def digest(self) -> str:
        """Return a hash of the groups of all graphs."""
        facts = [self.names, [numbers.tolist() for numbers in self.numbers], self.is_grouped]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def filled(self, graphs: pa.Table, number: int) -> pa.Table:
        """Return the rows of `graphs` of one input, with the columns of their groups filled in."""
        columns = {
            "prompt_group": [self.names[group] for group in self.numbers[number].tolist()],
            "group_id": self.numbers[number],
            "group_rule": self.rules[number],
            "split_bucket": self.buckets[self.numbers[number]],
        }
        for name, values in columns.items():
            place = graphs.column_names.index(name)
            field = graphs.schema.field(place)
            graphs = graphs.set_column(place, field, pa.array(values).cast(field.type))
        return graphs


def read_group_file(path: Path) -> dict[str, str]:
    """Read the groups that a file states.

    Args:
        path: .csv, .jsonl or .parquet with a column `graph` (path, file name or slug of a graph) and `prompt_group`.

    Returns:
        Group by graph.

    Raises:
        InputError: The file cannot be read, or lacks a column.
    """
    import polars as pl  # takes longer to load than most runs take to group

    readers: dict[str, Callable[[Path], pl.DataFrame]] = {
        ".csv": lambda path: pl.read_csv(path, infer_schema=False),
        ".jsonl": pl.read_ndjson,
        ".parquet": pl.read_parquet,
    }
    if path.suffix not in readers:
        raise InputError(
            f"{path} states no groups: give a .csv, .jsonl or .parquet file with the columns graph and prompt_group"
        )
    try:
        table = readers[path.suffix](path)
        rows = table.select("graph", "prompt_group").drop_nulls().cast(pl.String).rows()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(
            f"{path} states no groups ({' '.join(str(error).split())[:200]}); it needs the columns graph and prompt_group"
        ) from error
    groups: dict[str, str] = {}
    for graph, group in rows:
        if group and groups.setdefault(graph, well_formed(group)) != well_formed(group):
            raise InputError(f"{path} states two groups of {graph}: {groups[graph]!r} and {group!r}")
    return groups


def assign_groups(
    stated: Sequence[str | None],
    sources: Sequence[str | None],
    prompts: Sequence[str | None],
    hashes: Sequence[str],
) -> PromptGroups:
    """Assign every graph to its group.

    Args:
        stated: Group that the file or the corpus names, or None, (n_graphs,).
        sources: `corpus_source` of each graph, or None, (n_graphs,).
        prompts: Text of each graph, or None, (n_graphs,).
        hashes: Content hash of each graph, (n_graphs,); names the groups of near-duplicates.

    Returns:
        Name and rule of each graph's group. The names do not depend on the order of the graphs.
    """
    names: list[str] = [name or "" for name in stated]
    rules = [STATED if name else "" for name in stated]
    left = [i for i, rule in enumerate(rules) if not rule]
    named = {sources[i] for i in left}
    if left and None not in named and len(named) >= LEAST_SOURCES:
        for i in left:
            names[i], rules[i] = str(sources[i]), SOURCE
        return PromptGroups(names, rules)
    with_prompt = [i for i in left if prompts[i]]
    components = near_duplicates([str(prompts[i]) for i in with_prompt])
    first: dict[int, str] = {}
    for i, component in zip(with_prompt, components.tolist(), strict=True):
        first[component] = min(hashes[i], first.get(component, hashes[i]))
    for i, component in zip(with_prompt, components.tolist(), strict=True):
        names[i], rules[i] = f"near:{first[component][:16]}", NEAR_DUPLICATE
    for i in left:
        if not prompts[i]:
            names[i], rules[i] = single_group(hashes[i]), GRAPH
    return PromptGroups(names, rules)


def single_groups(hashes: Sequence[str]) -> PromptGroups:
    """Return one group per graph, named by its content hash."""
    return PromptGroups([single_group(found) for found in hashes], [GRAPH] * len(hashes))


def single_group(content_hash: str) -> str:
    """Return the name of the group of one graph alone."""
    return f"graph:{content_hash[:16]}"


def bucket_of_group(name: str) -> int:
    """Return the sixteenth of the corpus that a group is in; even buckets are the first half.

    Groups that are named by a content hash use its first digit, so that a graph alone is in the bucket of its hash.
    """
    kind, _, digits = name.partition(":")
    if kind not in ("near", "graph") or not re.fullmatch(r"[0-9a-f]+", digits):
        digits = hashlib.sha256(name.encode()).hexdigest()
    return int(digits[0], 16)


class _Components:
    """Connected components of numbered prompts."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def root(self, i: int) -> int:
        """Return the number that stands for the component of a prompt."""
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i

    def join(self, left: int, right: int) -> None:
        """Make the components of two prompts one."""
        low, high = sorted((self.root(left), self.root(right)))
        self._parent[high] = low

    def of(self, members: Sequence[int]) -> dict[int, list[int]]:
        """Return some prompts by their components."""
        found: dict[int, list[int]] = {}
        for i in members:
            found.setdefault(self.root(i), []).append(i)
        return found


def near_duplicates(prompts: Sequence[str]) -> Ints:
    """Return the number of the connected component of near-duplicates of each prompt, (n_prompts,)."""
    shapes = [shape_of(prompt) for prompt in prompts]
    joined = _Components(len(prompts))
    compared: list[frozenset[int]] = []
    for members in _buckets(shapes):
        # Pairs in one component are not compared. Between two components, all pairs are compared until two are alike.
        # So the components do not depend on the order of the prompts, and more prompts never split one.
        components = joined.of(members)
        if len(components) < 2 or any(known.issuperset(members) for known in compared):
            continue
        for left, right in _alike(shapes, components):
            joined.join(left, right)
        # A phrase that many prompts share puts them into one bucket again and again.
        if len(members) > _MANY:
            compared.append(frozenset(members))
    return np.array([joined.root(i) for i in range(len(prompts))], np.int64)


def _buckets(shapes: Sequence[Shape]) -> Iterator[list[int]]:
    """Yield the prompts that share a band of their signatures, band by band."""
    signatures = _signatures(shapes)
    for start in range(0, _HASHES, _BAND):
        buckets: dict[bytes, list[int]] = {}
        for i, shape in enumerate(shapes):
            if len(shape.single):
                buckets.setdefault(signatures[i, start : start + _BAND].tobytes(), []).append(i)
        yield from buckets.values()


def _alike(shapes: Sequence[Shape], components: dict[int, list[int]]) -> Iterator[tuple[int, int]]:
    """Yield pairs of alike prompts of different components, enough to connect all components that any pair connects."""
    members = [i for group in components.values() for i in group]
    if len(members) <= _MANY:
        for left, right in itertools.combinations(components.values(), 2):
            pairs = itertools.product(left, right)
            found = next((pair for pair in pairs if similarity(*(shapes[i] for i in pair)) >= SIMILARITY), None)
            if found is not None:
                yield found
        return
    label = np.repeat(np.arange(len(components)), [len(group) for group in components.values()])
    for row, alike in enumerate(_alike_rows([shapes[i] for i in members])):
        labels = np.unique(label[alike])
        for other in labels[labels != label[row]].tolist():
            yield members[row], members[int(np.argmax(label == other))]
        label[np.isin(label, labels)] = labels[0]
        if (label == label[0]).all():
            return


def _alike_rows(shapes: Sequence[Shape]) -> Iterator[Ints]:
    """Yield for each shape the rows of all shapes that are alike, itself too: by the shapes that hold each element."""
    sizes = np.array([len(shape.single) + len(shape.pairs) for shape in shapes])
    # Words and pairs of words are told apart by their last bit.
    marked = ((shape.single << np.uint64(1), shape.pairs << np.uint64(1) | np.uint64(1)) for shape in shapes)
    elements = np.concatenate([part for parts in marked for part in parts])
    _, place = np.unique(elements, return_inverse=True)
    order = np.argsort(place, kind="stable")
    holders = np.repeat(np.arange(len(shapes)), sizes)[order]
    starts = np.append(0, np.cumsum(np.bincount(place)))
    bounds = np.append(0, np.cumsum(sizes))
    for row in range(len(shapes)):
        mine = place[bounds[row] : bounds[row + 1]]
        held = np.concatenate([holders[starts[element] : starts[element + 1]] for element in mine])
        shared = np.bincount(held, minlength=len(shapes))
        yield np.flatnonzero(shared >= SIMILARITY * (sizes + sizes[row] - shared))


def similarity(left: Shape, right: Shape) -> float:
    """Return the Jaccard similarity of two shapes: shared elements over all elements."""
    shared = sum(len(np.intersect1d(*both, assume_unique=True)) for both in zip(left, right, strict=True))
    return shared / max(sum(map(len, left)) + sum(map(len, right)) - shared, 1)


def shape_of(prompt: str) -> Shape:
    """Return the normalised shape of a prompt."""
    text = prompt[special.end() :] if (special := _SPECIAL.match(prompt)) else prompt
    words = _WORDS.findall(text.lower())
    single = np.array(
        [_hash_of("0" if word.isdigit() else word[0] if word[0] == "\n" else word) for word in words], np.uint64
    )
    return Shape(np.unique(single), np.unique(_mixed(single[:-1] * np.uint64(3) + single[1:])))


@functools.lru_cache(1 << 16)
def _hash_of(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def _mixed(values: Hashes) -> Hashes:
    # The finaliser of splitmix64 (Steele, Lea, Flood, 2014).
    for shift, factor in zip((30, 27), _MIX, strict=True):
        values = (values ^ (values >> np.uint64(shift))) * factor
    return values ^ (values >> np.uint64(31))


def _signatures(shapes: Sequence[Shape]) -> Hashes:
    """Return MinHash signatures, (n_shapes, n_hashes): the minimum over the pairs of a shape under each hash."""
    found = np.zeros((len(shapes), _HASHES), np.uint64)
    salts = _mixed(np.arange(1, _HASHES + 1, dtype=np.uint64))
    for i, shape in enumerate(shapes):
        elements = shape.pairs if len(shape.pairs) else shape.single
        if len(elements):
            found[i] = _mixed(elements[:, None] ^ salts).min(axis=0)
    return found
