"""Digest of a store, by which statistics state of which store they are. It needs no extra."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow.parquet as pq

from atlas.errors import SpaceMismatch
from atlas.stages import DATASETS
from atlas.stages.manifest import read_manifest

CONTEXTS, UNITS, CELLS = (DATASETS[f"activations.{name}"] for name in ("contexts", "units", "activations"))


def store_digest(folder: Path) -> str:
    """Return a hash that tells stores apart by their contexts, layers and numbers and bounds of values.

    Args:
        folder: Folder of a whole store.

    Returns:
        The hash; only footers of the activations are read.
    """
    found = hashlib.blake2b(digest_size=16)
    hashes = pq.read_table(CONTEXTS.path(folder), columns=["content_hash"])["content_hash"]
    for value in [*hashes.to_pylist(), *map(sorted, map(dict.items, pq.read_table(UNITS.path(folder)).to_pylist()))]:
        found.update(f"{value}\0".encode())
    for path in sorted(CELLS.path(folder).glob("*.parquet")):
        meta = pq.read_metadata(path)
        for number in range(meta.num_row_groups):
            group = meta.row_group(number)
            bounds = [group.column(place).statistics for place in range(group.num_columns)]
            found.update(f"{group.num_rows} {[(one.min, one.max) for one in bounds if one]}\0".encode())
    return found.hexdigest()


def require_measures_of(measures: Path, store: Path) -> None:
    """Check that statistics are those of a store as it is now.

    Args:
        measures: Folder of the statistics.
        store: Folder of the store.

    Raises:
        SpaceMismatch: They are of another store, or the store has grown since.
    """
    if read_manifest(measures, "measures").get("store") != store_digest(store):
        raise SpaceMismatch(
            f"{measures} holds the statistics of another store than {store}, or of an earlier state of it; measure it again"
        )
