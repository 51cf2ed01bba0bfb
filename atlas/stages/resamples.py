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

from atlas.errors import AtlasFileError, InputError, UsageError
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
def opened_by_bucket(
    given: Path, names: Sequence[str], buckets: int = BUCKETS, where: str | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a stats folder or an atlas with the buckets of its groups.

    Args:
        given: Stats folder or atlas file.
        names: Datasets, beside the graphs, that are views `given_...`, without a leading `graph_`.
        buckets: Number of buckets at most.
        where: SQL condition on the graphs, of which the others are left out; all where None.

    Yields:
        A connection with the views, the tables `graph_buckets` and `group_buckets`, and the variable `index_bits`.

    Raises:
        AtlasFileError: The file is no atlas.
        InputError: The source lacks one of the datasets, or no graph has the condition.
        StageError: The folder is no stats folder, or is damaged.
        UsageError: `where` is no SQL condition.
    """
    with duckdb.connect() as con:
        for name, relation in _relations(con, given, ("graphs", *names), where).items():
            relation.create_view("every_graph" if name == "graphs" else f"given_{name.removeprefix('graph_')}")
        _select(con, given, where)
        con.execute("SET VARIABLE buckets = $1", [buckets])
        con.execute("SET VARIABLE index_bits = $1", [INDEX_BITS])
        con.execute(script("resamples", "buckets"))
        yield con


def _relations(
    con: duckdb.DuckDBPyConnection, given: Path, names: Sequence[str], where: str | None
) -> dict[str, duckdb.DuckDBPyRelation]:
    found: dict[str, duckdb.DuckDBPyRelation] = {}
    if given.is_dir():
        read_manifest(given, "stats")
        for name in names:
            dataset = DATASETS[f"stats.{name}"]
            if dataset.optional and not dataset.path(given).exists():
                option = "--groups auto" if name == "edge_groups" else "--graph-links auto"
                why = "so it is not known which links repeat" if where is None else "so single graphs are not known"
                raise InputError(f"{given} has no {name}, {why}; aggregate it again with {option}")
            path = require(given, dataset)
            found[name] = con.read_parquet(str(path / "*.parquet" if path.is_dir() else path))
        return found
    attach_atlas(con, given)
    for name in names:
        found[name] = con.table(f"given_atlas.{name}")
        if not found[name].limit(1).fetchall():
            raise InputError(
                f"{given} has no rows in {name}, so it is not known which links repeat; give a stats folder"
            )
    return found


def attach_atlas(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Attach an atlas, read only, as the catalog `given_atlas`.

    Args:
        con: Connection.
        path: Atlas file.

    Raises:
        AtlasFileError: The file is no atlas.
        InputError: There is no such file.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a stats folder or an atlas file")
    try:
        con.execute("ATTACH '{}' AS given_atlas (READ_ONLY)".format(str(path).replace("'", "''")))
        con.execute("FROM given_atlas.edges LIMIT 0")
    except duckdb.Error as error:
        raise AtlasFileError("foreign", f"{path} is no atlas: {' '.join(str(error).split())[:200]}") from error


def _select(con: duckdb.DuckDBPyConnection, given: Path, where: str | None) -> None:
    """Create the view `given_graphs` of the graphs that have a condition."""
    if where is None:
        con.execute("CREATE VIEW given_graphs AS FROM every_graph")
        return
    graphs = con.view("every_graph").to_arrow_table()
    try:
        # The condition runs where nothing but the graphs can be read: it may be of the recipe of somebody else.
        with duckdb.connect(config={"enable_external_access": "false"}) as alone:
            found = alone.from_arrow(graphs).filter(where).project("graph_id").to_arrow_table()
    except duckdb.Error as error:
        said = " ".join(str(error).split())[:300]
        shown = where if len(where) <= 200 else f"{where[:197]}..."
        raise UsageError(
            f"{shown!r} is no SQL condition on the graphs, which have {', '.join(graphs.column_names)}: {said}"
        ) from error
    con.from_arrow(found).create("selected")
    if not con.execute("SELECT count(*) FROM selected").fetchall()[0][0]:
        raise InputError(f"no graph of {given} has {where}")
    con.execute("CREATE VIEW given_graphs AS FROM every_graph SEMI JOIN selected USING (graph_id)")


def script(folder: str, name: str) -> str:
    """Return the text of `sql/<folder>/<name>.sql`."""
    return (package_folder("sql") / folder / f"{name}.sql").read_text(encoding="utf-8")
