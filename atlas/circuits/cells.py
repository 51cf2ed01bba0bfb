"""Weights of pairs by bucket of groups, so that any resample of the groups is a weighted sum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from atlas.stages.manifest import read_manifest
from atlas.stages.resamples import BUCKETS, Floats, Ints, opened_by_bucket, script


@dataclass(frozen=True)
class Cells:
    """Weights of pairs by bucket.

    Attributes:
        first: First end of every pair, such as a token (n_pairs,).
        second: Second end, such as a packed neuron (n_pairs,).
        starts: Place of the first cell of every pair (n_pairs,).
        bucket: Bucket of every cell (n_cells,).
        signed: Sum of the weights (n_cells,).
        absolute: Sum of the absolute weights (n_cells,).
    """

    first: Ints
    second: Ints
    starts: Ints
    bucket: Ints
    signed: Floats
    absolute: Floats

    @classmethod
    def of(cls, columns: dict[str, NDArray[Any]]) -> Cells:
        """Return the cells of rows `first`, `second`, `bucket`, `signed` and `absolute`, which may be in any order.

        Args:
            columns: Arrays (n_cells,) by name; several rows of a pair and a bucket count together.

        Returns:
            The cells, sorted by pair.
        """
        order = np.lexsort((columns["bucket"], columns["second"], columns["first"]))
        first, second = (columns[name][order].astype(np.int64) for name in ("first", "second"))
        is_new = np.ones(len(first), np.bool_)
        is_new[1:] = (np.diff(first) != 0) | (np.diff(second) != 0)
        starts = np.flatnonzero(is_new)
        bucket = columns["bucket"][order].astype(np.int64)
        signed, absolute = (columns[name][order].astype(np.float64) for name in ("signed", "absolute"))
        return cls(first[starts], second[starts], starts, bucket, signed, absolute)

    @cached_property
    def places(self) -> tuple[Ints, Ints]:
        """Number of each end among the different ones, two arrays (n_pairs,)."""
        first, second = (np.unique(ends, return_inverse=True)[1] for ends in (self.first, self.second))
        return first, second

    @cached_property
    def pair(self) -> Ints:
        """Row of the pair of every cell (n_cells,)."""
        found: Ints = np.repeat(np.arange(len(self.starts)), np.diff(self.starts, append=len(self.bucket)))
        return found

    @property
    def total(self) -> Floats:
        """Sum of the weights of every pair over all buckets (n_pairs,)."""
        return self.sums(np.ones(int(self.bucket.max(initial=0)) + 1))[0]

    def sums(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return the sum of the weights, and of the absolute weights, of every pair in a resample.

        Args:
            weights: How often each bucket counts (buckets,).

        Returns:
            Two arrays (n_pairs,).
        """
        if not len(self.starts):
            return np.zeros(0), np.zeros(0)
        times = weights[self.bucket]
        signed, absolute = (np.add.reduceat(values * times, self.starts) for values in (self.signed, self.absolute))
        return signed, absolute


@dataclass(frozen=True)
class Observations:
    """Links from tokens, between neurons, and to outputs, by bucket: the input of anchored circuits."""

    cells: dict[str, Cells]  # by kind: `input` (token, neuron), `output` (token, neuron)
    edges: Cells  # (source, target)
    anchors: dict[str, list[tuple[int, int, int]]]  # by kind: token, graphs, groups
    texts: dict[int, str]
    occurrences: dict[str, tuple[Ints, Ints, Ints]]  # by kind: token, graph and group of every graph with the token
    bucket_count: int
    graph_count: int
    group_count: int

    def counts(self, kind: str, tokens: Sequence[int]) -> tuple[int, int]:
        """Return the number of different graphs, and of their groups, with at least one of some tokens."""
        token, graph, group = self.occurrences[kind]
        mine = np.isin(token, tokens)
        return len(np.unique(graph[mine])), len(np.unique(group[mine]))


def read_observations(stats: Path, buckets: int = BUCKETS) -> Observations:
    """Read the links of single graphs, and the edges by group, of a stats folder.

    Args:
        stats: Stats folder.
        buckets: Number of buckets at most.

    Returns:
        The observations.

    Raises:
        InputError: The folder holds no single graphs.
        StageError: The folder is no stats folder, or is damaged.
    """
    with opened(stats, buckets) as con:
        cells = {}
        for kind, token_kind in (("input", "token"), ("output", "logit")):
            con.execute("SET VARIABLE token_kind = $1", [token_kind])
            cells[kind] = Cells.of(con.sql(_script("tokens")).fetchnumpy())
        edges = Cells.of(con.sql(_script("edges")).fetchnumpy())
        anchors: dict[str, list[tuple[int, int, int]]] = {"input": [], "output": []}
        for kind, *facts in con.sql("FROM anchors ORDER BY ALL").fetchall():
            anchors[kind].append((facts[0], facts[1], facts[2]))
        seen = con.sql("FROM occurrences ORDER BY ALL").fetchnumpy()
        occurrences = {
            kind: (seen["token_id"][mine], seen["graph_id"][mine], seen["group_id"][mine])
            for kind in anchors
            for mine in [np.asarray(seen["kind"]) == kind]
        }
        texts = dict(con.sql("SELECT token_id, token FROM given_tokens WHERE token IS NOT NULL").fetchall())
        found = con.sql(
            "SELECT coalesce(max(bucket), -1) + 1, count(*), count(DISTINCT group_id) FROM graph_buckets"
        ).fetchall()[0]
    return Observations(cells, edges, anchors, texts, occurrences, *map(int, found))


@dataclass(frozen=True)
class Places:
    """Items of every traced prompt: neurons that are nodes, and tokens that are inputs or outputs, each (n,)."""

    prompt: Ints
    kind: NDArray[Any]  # `neuron`, `input` or `output`
    item: Ints  # packed neuron, or token
    bucket: Ints
    group: Ints  # of prompts


def read_places(stats: Path, buckets: int = BUCKETS) -> Places:
    """Read which neurons and tokens are in which traced prompt.

    Args:
        stats: Stats folder.
        buckets: Number of buckets at most.

    Returns:
        The items of every prompt, by its number in the file of prompts.

    Raises:
        InputError: The folder holds no single graphs.
        StageError: The folder is no stats folder, or is damaged.
    """
    with opened(stats, buckets) as con:
        found = con.sql(_script("places")).fetchnumpy()
    prompt, item, bucket, group = (
        np.asarray(found[name]).astype(np.int64) for name in ("prompt", "item", "bucket", "group_id")
    )
    return Places(prompt, np.asarray(found["kind"]).astype(str), item, bucket, group)


@contextmanager
def opened(stats: Path, buckets: int = BUCKETS) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the single graphs of a stats folder.

    Args:
        stats: Stats folder.
        buckets: Number of buckets at most.

    Yields:
        A connection with views of single graphs and of edges by group, and the buckets of groups.
    """
    read_manifest(stats, "stats")
    with opened_by_bucket(stats, ("graph_nodes", "graph_links", "edge_groups", "tokens"), buckets) as con:
        con.execute(_script("prepare"))
        yield con


def _script(name: str) -> str:
    return script("circuits", name)
