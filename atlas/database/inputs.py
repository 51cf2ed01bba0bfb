"""Catalog `input`: views of the Parquet datasets of the stages, under the names that load.sql reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from atlas.database.store_inputs import StoreInputs, attach_stores
from atlas.database.tables import arrow_table, rows_of
from atlas.errors import UsageError
from atlas.options import AUTO, DIRECT, NONE, ZERO
from atlas.stages import DATASETS, Dataset, datasets_of, require
from atlas.stages.manifest import read_manifest

# Rows of edges by group, and links of graphs, that an atlas holds at most: about 0.5 GB each.
EMBEDDED_ROWS = 20_000_000
EMBED, BESIDE = "embed", "beside"


_CARD = pa.schema([("place", pa.int32()), ("section", pa.string()), ("text", pa.string())])


@dataclass(frozen=True)
class Inputs:
    """Inputs of an atlas: one stats folder, any number of clusterings, and optional folders of other stages.

    `wiring` is a stats folder of weight wiring. Its connections are added beside the edges of `stats`.
    """

    stats: Path
    clusters: Sequence[Path] = ()
    labels: Path | None = None
    projections: Path | None = None
    wiring: Path | None = None
    reports: Path | None = None
    stores: Sequence[StoreInputs] = ()  # of activations
    circuits: Path | None = None  # anchored ones
    effects: Path | None = None  # of circuits, in the model
    graph_links: str = AUTO  # embed, beside or none; auto embeds up to EMBEDDED_ROWS links, and puts more beside
    strong_share: float = 0.05  # a link is strong from this share of its target's activation on
    primary: str | None = None  # name of the clustering that `neurons` shows; the one that is most found again if None
    min_count: int = 1
    memory: int = 4_000_000_000  # DuckDB's limit while building; above it, DuckDB spills beside the target
    metadata: Mapping[str, str] = field(default_factory=dict)
    card: Mapping[str, str] = field(default_factory=dict)  # section and text, as the recipe states them
    other_sources: Sequence[tuple[str, str, int | None, str | None]] = ()  # path, role, size, hash


def attach_inputs(con: duckdb.DuckDBPyConnection, inputs: Inputs, metadata: Mapping[str, str]) -> None:
    """Attach the catalog `input` and fill it.

    Raises `StageError` for a folder that is missing or damaged, `UsageError` for a clustering name that is unknown or
    occurs twice.
    """
    con.execute("ATTACH ':memory:' AS input")
    manifest = read_manifest(inputs.stats, "stats")
    for dataset in datasets_of("stats"):
        source = inputs.wiring if inputs.wiring and dataset.name == "connections" else inputs.stats
        if dataset.optional and not dataset.path(source).exists():
            arrow_table(con, dataset.name, dataset.empty())
        else:
            _view(con, dataset, require(source, dataset))
    _other_stages(con, inputs)
    attach_stores(con, inputs.stores)
    if inputs.wiring is not None:
        read_manifest(inputs.wiring, "stats")
    _clusterings(con, inputs)
    arrow_table(con, "parameters", pa.table(_parameters(inputs, manifest)))
    arrow_table(
        con, "metadata", pa.table({"key": list(metadata), "value": [str(value) for value in metadata.values()]})
    )
    card = pa.table(
        {"place": range(1, len(inputs.card) + 1), "section": list(inputs.card), "text": list(inputs.card.values())},
        schema=_CARD,
    )
    arrow_table(con, "stated_card", card)
    schema = pa.schema(
        [("path", pa.string()), ("role", pa.string()), ("size_bytes", pa.int64()), ("content_hash", pa.string())]
    )
    columns = list(zip(*inputs.other_sources, strict=True)) or [()] * len(schema)
    arrow_table(con, "other_sources", pa.table(dict(zip(schema.names, columns, strict=True)), schema=schema))


def _other_stages(con: duckdb.DuckDBPyConnection, inputs: Inputs) -> None:
    """Fill the datasets of all stages but statistics and clusterings; those of a missing stage are empty."""
    for stage, folder in (
        ("circuits", inputs.circuits),
        ("verify", inputs.effects),
        ("labels", inputs.labels),
        ("projections", inputs.projections),
        ("reports", inputs.reports),
    ):
        if folder is not None:
            read_manifest(folder, stage)
        for dataset in datasets_of(stage):
            if folder is not None and (not dataset.optional or dataset.path(folder).exists()):
                _view(con, dataset, require(folder, dataset))
            else:
                arrow_table(con, dataset.name, dataset.empty())


def _parameters(inputs: Inputs, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of the one row of `parameters`, which load.sql reads."""
    parameters: dict[str, Any] = {"min_count": [inputs.min_count], "unit_type": [manifest["space"]["unit_type"]]}
    parameters["embed_edge_groups"] = [_rows(inputs.stats, "edge_groups") <= EMBEDDED_ROWS]
    parameters["embed_graph_links"] = [place_of_graphs(inputs) == EMBED]
    parameters["embed_activations"] = [embeds_activations(inputs)]
    parameters["strong_share"] = [inputs.strong_share]
    # Graphs that do not say what their weights measure are of circuit-tracer: direct effects.
    parameters["weights_are_effects"] = [manifest["space"].get("link_weight") in (None, DIRECT)]
    parameters["baseline_is_zero"] = [manifest["space"].get("baseline") in (None, ZERO)]
    parameters["stat_quality"] = [manifest.get("stat_quality", "exact")]
    space = manifest["space"]
    names = [name for name in (space["transcoder_set"], *manifest.get("set_names", ())) if name]
    parameters |= {"model": pa.array([space["model"]], pa.string())}
    # Neuronpedia calls the neurons of an MLP the dictionary `neurons`.
    parameters |= {
        "set_names": pa.array([["neurons"] if space["unit_type"] == "neuron" else names], pa.list_(pa.string()))
    }
    return parameters


def place_of_graphs(inputs: Inputs) -> str:
    """Return where the links of graphs go: `embed`, `beside` or `none`."""
    rows = _rows(inputs.stats, "graph_links")
    if not DATASETS["stats.graph_links"].path(inputs.stats).exists() or inputs.graph_links == NONE:
        return NONE
    if inputs.graph_links == AUTO:
        return EMBED if rows <= EMBEDDED_ROWS else BESIDE
    return inputs.graph_links


def embeds_activations(inputs: Inputs) -> bool:
    """Return True if the activations of the stores go into the atlas, up to `EMBEDDED_ROWS` of them."""
    return sum(int(store.manifest["counts"]["activations"]) for store in inputs.stores) <= EMBEDDED_ROWS


def _rows(stats: Path, name: str) -> int:
    """The number of rows of a dataset in parts; 0 if the stats do not hold it."""
    return sum(pq.read_metadata(part).num_rows for part in DATASETS[f"stats.{name}"].path(stats).glob("*.parquet"))


def _clusterings(con: duckdb.DuckDBPyConnection, inputs: Inputs) -> None:
    names: list[str] = []
    tables: dict[str, list[pa.Table]] = {dataset.name: [] for dataset in datasets_of("clusters")}
    for folder in inputs.clusters:
        name, found = clustering_tables(folder)
        if name in names:
            raise UsageError(f"two clusterings are called {name!r}; give one of them another name")
        names.append(name)
        for dataset_name, table in found.items():
            tables[dataset_name].append(table)
    if inputs.primary is not None and inputs.primary not in names:
        raise UsageError(f"no clustering is called {inputs.primary!r}; there are {', '.join(names) or 'none'}")
    primary = inputs.primary or _most_found_again(tables["clusterings"])
    if any(
        row["name"] == primary and row["is_overlapping"] for table in tables["clusterings"] for row in table.to_pylist()
    ):
        raise UsageError(f"the clusters of {primary!r} overlap, so it cannot be the primary clustering; name another")
    for dataset in datasets_of("clusters"):
        joined = pa.concat_tables([_named(dataset).empty_table(), *tables[dataset.name]])
        if dataset.name == "clusterings":
            flags = [name == primary for name in joined["clustering"].to_pylist()]
            joined = joined.append_column("is_primary", pa.array(flags, pa.bool_()))
        arrow_table(con, dataset.name, joined)


def clustering_tables(folder: Path) -> tuple[str, dict[str, pa.Table]]:
    """Read a clusters folder.

    Args:
        folder: Clusters folder.

    Returns:
        The name of the clustering, and the tables of the stage, each with the column `clustering`.

    Raises:
        StageError: The folder is no such folder, or is damaged.
    """
    read_manifest(folder, "clusters")
    name = pq.read_table(require(folder, DATASETS["clusters.clusterings"]))["name"][0].as_py()
    tables = {}
    for dataset in datasets_of("clusters"):
        if dataset.optional and not dataset.path(folder).exists():
            table = dataset.empty()
        else:
            table = pq.read_table(require(folder, dataset)).select(dataset.schema.names)
        tables[dataset.name] = table.append_column("clustering", pa.array([name] * len(table), pa.string()))
    return name, tables


def _most_found_again(clusterings: Sequence[pa.Table]) -> str | None:
    """Return the name of the clustering with most neurons in clusters that are found again; the first of equal ones.

    A clustering whose clusters overlap gives a neuron no single place, so it is never the primary one.
    """
    rows = [row for table in clusterings for row in table.to_pylist() if not row["is_overlapping"]]
    # `max` keeps the first of equal ones.
    best = max(rows, key=lambda row: row["stable_count"] or 0, default=None)
    return best["name"] if best else None


def _named(dataset: Dataset) -> pa.Schema:
    return dataset.schema.append(pa.field("clustering", pa.string()))


def _view(con: duckdb.DuckDBPyConnection, dataset: Dataset, path: Path) -> None:
    con.execute(f"CREATE VIEW input.{dataset.name} AS {rows_of(dataset, path)}")
