"""Stores of activations in the catalog `input`: one set of views over all stores of an atlas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from atlas.database.scripts import quoted, script
from atlas.database.tables import arrow_table, rows_of
from atlas.errors import SpaceMismatch, UsageError
from atlas.stages import DATASETS, Dataset, datasets_of, require
from atlas.stages.manifest import read_manifest
from atlas.stages.store.digest import require_measures_of

_SHARED = (
    "contexts",
    "vocabulary",
    "token_stats",
    "units",
    "vectors",
    "reconstruction",
)  # without the type of their units


@dataclass(frozen=True)
class StoreInputs:
    """Stage folders of a store of activations: the store, its statistics, and the features of its dictionary."""

    store: Path
    measures: Path | None = None
    features: Path | None = None

    @property
    def manifest(self) -> dict[str, Any]:
        """Manifest of the store."""
        return read_manifest(self.store, "activations")

    @property
    def unit_type(self) -> str:
        """Type of its units: `neuron`, `feature` or `dimension`."""
        return str(self.manifest["space"]["unit_type"])


def attach_stores(con: duckdb.DuckDBPyConnection, stores: Sequence[StoreInputs]) -> None:
    """Create the views of the stages `activations`, `measures` and `features`; those of no store are empty.

    A context that several stores hold is one context: later stores take the number that the first one gave it. Rows of units say
    the type of their units.

    Args:
        con: Connection with the catalog `input`.
        stores: Stores, the main one first.

    Raises:
        SpaceMismatch: Two stores are of different models or vocabularies.
        StageError: A folder is not a whole stage.
        UsageError: Two stores hold units of the same type and layer.
    """
    _require_fit(stores)
    _number_contexts(con, stores)
    _vocabulary(con, stores)
    for stage in ("activations", "measures", "features"):
        for dataset in datasets_of(stage):
            if dataset.name not in ("contexts", "vocabulary"):
                _union(con, stage, dataset, stores)


def _require_fit(stores: Sequence[StoreInputs]) -> None:
    held: dict[tuple[str, int], Path] = {}
    for store in stores:
        first = stores[0].manifest["space"]
        mine = store.manifest["space"]
        if store.measures is not None:
            require_measures_of(store.measures, store.store)
        for name in ("model", "revision"):
            if None not in (mine[name], first[name]) and mine[name] != first[name]:
                raise SpaceMismatch(
                    f"{store.store} is of {name} {mine[name]}, and {stores[0].store} of {first[name]}; an atlas is of one model"
                )
        layers = pq.read_table(require(store.store, DATASETS["activations.units"]), columns=["layer"])
        for layer in layers["layer"].to_pylist():
            key = (store.unit_type, layer)
            if key in held:
                raise UsageError(
                    f"{store.store} and {held[key]} both hold units of type {key[0]} of layer {layer}; an atlas has one of them"
                )
            held[key] = store.store


def _number_contexts(con: duckdb.DuckDBPyConnection, stores: Sequence[StoreInputs]) -> None:
    """Create the table `contexts` of all stores, and of each later store a table from its numbers to those."""
    dataset = DATASETS["activations.contexts"]
    arrow_table(con, "contexts", dataset.empty())
    for number, store in enumerate(stores):
        con.execute(f"CREATE VIEW input.contexts_{number} AS {rows_of(dataset, require(store.store, dataset))}")
        con.execute(f"CREATE OR REPLACE VIEW input.their_contexts AS FROM input.contexts_{number}")
        con.execute(f"CREATE TABLE input.numbers_{number} AS {script('context_numbers')}")
        con.execute(
            f"INSERT INTO input.contexts BY NAME SELECT c.* REPLACE (n.number AS context_id) "
            f"FROM input.contexts_{number} AS c JOIN input.numbers_{number} AS n USING (context_id) WHERE n.is_new"
        )


def _vocabulary(con: duckdb.DuckDBPyConnection, stores: Sequence[StoreInputs]) -> None:
    """Create the table `vocabulary` of all stores; raises `SpaceMismatch` where a token has two texts."""
    dataset = DATASETS["activations.vocabulary"]
    arrow_table(con, "vocabulary", dataset.empty())
    for store in stores:
        con.execute(
            f"CREATE OR REPLACE VIEW input.their_vocabulary AS {rows_of(dataset, require(store.store, dataset))}"
        )
        other = con.execute(
            "SELECT a.token_id, a.token, b.token FROM input.vocabulary AS a JOIN input.their_vocabulary AS b USING (token_id) "
            "WHERE a.token <> b.token ORDER BY 1 LIMIT 1"
        ).fetchall()
        if other:
            raise SpaceMismatch(
                f"{store.store} calls token {other[0][0]} {other[0][2]!r}, and {stores[0].store} {other[0][1]!r}; "
                "an atlas holds stores of one vocabulary"
            )
        con.execute(
            "INSERT INTO input.vocabulary FROM input.their_vocabulary ANTI JOIN input.vocabulary USING (token_id)"
        )


def _union(con: duckdb.DuckDBPyConnection, stage: str, dataset: Dataset, stores: Sequence[StoreInputs]) -> None:
    selects = []
    for number, store in enumerate(stores):
        folder = {"activations": store.store, "measures": store.measures, "features": store.features}[stage]
        if folder is None or (dataset.optional and not dataset.path(folder).exists()):
            continue
        read_manifest(folder, stage)
        selects.append(_select(dataset, require(folder, dataset), store, number))
        if dataset.name == "token_stats":
            break  # of the contexts, which the stores of one text share
    if selects:
        con.execute(f"CREATE VIEW input.{dataset.name} AS {' UNION ALL BY NAME '.join(selects)}")
        return
    head = "" if dataset.name in _SHARED else "'' AS unit_type, "
    arrow_table(con, f"no_{dataset.name}", dataset.empty())
    con.execute(f"CREATE VIEW input.{dataset.name} AS SELECT {head}* FROM input.no_{dataset.name}")


def _select(dataset: Dataset, path: Path, store: StoreInputs, number: int) -> str:
    head = "" if dataset.name in _SHARED else f"{quoted(store.unit_type)} AS unit_type, "
    if "context_id" not in dataset.schema.names or number == 0:
        return f"SELECT {head}* FROM ({rows_of(dataset, path)})"
    return (
        f"SELECT {head}r.* REPLACE (n.number AS context_id) FROM ({rows_of(dataset, path)}) AS r "
        f"JOIN input.numbers_{number} AS n USING (context_id)"
    )
