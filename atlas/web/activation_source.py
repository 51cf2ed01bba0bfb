"""Activations that the server gives out: those of an atlas, or of a store of activations."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import duckdb

from atlas.errors import UsageError
from atlas.query.client import Atlas
from atlas.query.connection import limited_time
from atlas.stages import DATASETS, require
from atlas.stages.manifest import read_manifest


@dataclass(frozen=True)
class Layer:
    """Units of one layer that have activations."""

    unit_type: str
    layer: int
    unit_count: int


class Source(Protocol):
    """Place that activations are read from."""

    def layers(self) -> list[Layer]:
        """Return the layers with activations, features of dictionaries first."""

    def ask(self, sql: str, values: Mapping[str, Any]) -> contextlib.AbstractContextManager[duckdb.DuckDBPyRelation]:
        """Run SQL on the tables `activations`, `contexts` and `vocabulary`; the relation is read inside of the block."""


class AtlasSource:
    """Activations of an atlas."""

    def __init__(self, atlas: Atlas, timeout: float) -> None:
        """Read from an open `atlas`; a query is stopped after `timeout` seconds."""
        self._atlas, self._timeout = atlas, timeout

    def layers(self) -> list[Layer]:
        """Return the layers with activations, features of dictionaries first."""
        sql = "SELECT unit_type, layer, max(unit) + 1 FROM activation_stats GROUP BY unit_type, layer ORDER BY unit_type, layer"
        return [Layer(*row) for row in self._atlas.sql(sql).fetchall()]

    @contextlib.contextmanager
    def ask(self, sql: str, values: Mapping[str, Any]) -> Iterator[duckdb.DuckDBPyRelation]:
        """Run SQL on the tables of the atlas."""
        with self._atlas.limited(self._timeout) as atlas:
            yield atlas.sql(sql, values)


class StoreSource:
    """Activations of a store, straight from its Parquet files."""

    def __init__(self, folder: Path, timeout: float) -> None:
        """Open the store in `folder`; a query is stopped after `timeout` seconds. Raises `StageError` where it is none."""
        self._space = read_manifest(folder, "activations")["space"]
        self._timeout = timeout
        self._con = duckdb.connect()
        for name in ("activations", "contexts", "vocabulary", "units"):
            dataset = DATASETS[f"activations.{name}"]
            files = require(folder, dataset)
            pattern = str(files / "*.parquet") if files.is_dir() else str(files)
            rows = self._con.read_parquet(pattern).project(", ".join(dataset.schema.names))
            if name == "activations":
                rows = rows.project(f"'{self._space['unit_type']}' AS unit_type, *")
            rows.create_view(name)

    def layers(self) -> list[Layer]:
        """Return the layers of the store."""
        found = self._con.cursor().execute("SELECT layer, unit_count FROM units ORDER BY layer").fetchall()
        return [Layer(self._space["unit_type"], *row) for row in found]

    @contextlib.contextmanager
    def ask(self, sql: str, values: Mapping[str, Any]) -> Iterator[duckdb.DuckDBPyRelation]:
        """Run SQL on the files of the store."""
        cursor = self._con.cursor()
        with limited_time(self._timeout, cursor.interrupt):
            yield cursor.sql(sql, params=dict(values) or None)


def layer_of(source: Source, wanted: int | None, unit_type: str | None = None) -> Layer:
    """Choose the layer of a unit that is given by its number alone.

    Args:
        source: Where the activations come from.
        wanted: Layer, where it is stated.
        unit_type: Kind of the unit, `neuron` or `feature`, where it is stated.

    Returns:
        That layer, or the only one of the first kind of units.

    Raises:
        UsageError: There are several layers and none is stated, or the stated one has no activations.
    """
    layers = [one for one in source.layers() if unit_type in (None, one.unit_type)]
    if not layers:
        raise UsageError("no activations are served; build the atlas with a store, or name one with --activations")
    chosen = (
        [one for one in layers if one.unit_type == layers[0].unit_type]
        if wanted is None
        else [one for one in layers if one.layer == wanted]
    )
    if not chosen or (wanted is None and len(chosen) > 1):
        there = ", ".join(map(str, sorted({one.layer for one in layers})))
        raise UsageError(
            f"say which layer: {there}"
            if wanted is None
            else f"layer {wanted} has no activations; say which layer: {there}"
        )
    return chosen[0]
