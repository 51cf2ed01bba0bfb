"""Resamples of the groups of prompts, without reading a graph again.

What is known of every group is summed once per bucket of groups. A resample is then a weighted sum over buckets: a weight of 2 counts a
bucket twice, a weight of 0 leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from atlas.errors import InputError
from atlas.ids import INDEX_BITS
from atlas.io.package_data import folder as package_folder
from atlas.stages import DATASETS, require
from atlas.stages.manifest import read_manifest

BUCKETS = 64  # of groups; up to so many groups have a bucket each
FEWEST_BUCKETS = 8  # below which the splits that choose are nearly those that measure, so replication chooses nothing
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def bootstraps(buckets: int, count: int, rng: np.random.Generator) -> Floats:
    """Return how often each bucket counts in each bootstrap (count, buckets)."""
    return rng.multinomial(buckets, np.full(buckets, 1 / buckets), size=count).astype(np.float64)


def halves(buckets: int, count: int, rng: np.random.Generator) -> list[tuple[Floats, Floats]]:
    """Return both halves of each random split of the buckets, 1 where a bucket counts, two arrays (buckets,)."""
    found = []
    for _ in range(count):
        half = np.zeros(buckets)
        half[rng.permutation(buckets)[: buckets // 2]] = 1
        found.append((half, 1 - half))
    return found


def ranks(groups: Ints) -> Ints:
    """Return the rank from 0 of every row in its group, of rows that are sorted by group (n,)."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    found: Ints = np.arange(len(groups)) - np.repeat(starts, np.diff(starts, append=len(groups)))
    return found


def false_discovery_rate(p: Floats) -> Floats:
    """Return the false discovery rate at each p-value (Benjamini & Hochberg 1995).

    Args:
        p: P-values (n,).

    Returns:
        The smallest rate at which each is a discovery (n,).
    """
    order = np.argsort(p, kind="stable")
    rates = p[order] * len(p) / np.arange(1, len(p) + 1)
    found = np.empty(len(p))
    found[order] = np.minimum(np.minimum.accumulate(rates[::-1])[::-1], 1)
    return found


@contextmanager
def opened_by_bucket(stats: Path, names: Sequence[str], buckets: int = BUCKETS) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a stats folder with the buckets of its groups.

    Args:
        stats: Stats folder.
        names: Datasets, beside the graphs, that are views `given_...`, without a leading `graph_`.
        buckets: Number of buckets at most.

    Yields:
        A connection with the views, the tables `graph_buckets` and `group_buckets`, and the variable `index_bits`.

    Raises:
        InputError: The folder lacks one of the datasets.
        StageError: The folder is no stats folder, or is damaged.
    """
    read_manifest(stats, "stats")
    with duckdb.connect() as con:
        for name in ("graphs", *names):
            dataset = DATASETS[f"stats.{name}"]
            if dataset.optional and not dataset.path(stats).exists():
                option = "--groups auto" if name == "edge_groups" else "--graph-links auto"
                raise InputError(
                    f"{stats} has no {name}, so it is not known which links repeat; aggregate it again with {option}"
                )
            path = require(stats, dataset)
            con.read_parquet(str(path / "*.parquet" if path.is_dir() else path)).create_view(
                f"given_{name.removeprefix('graph_')}"
            )
        con.execute("SET VARIABLE buckets = $1", [buckets])
        con.execute("SET VARIABLE index_bits = $1", [INDEX_BITS])
        con.execute(script("resamples", "buckets"))
        yield con


def script(folder: str, name: str) -> str:
    """Return the text of `sql/<folder>/<name>.sql`."""
    return (package_folder("sql") / folder / f"{name}.sql").read_text(encoding="utf-8")
