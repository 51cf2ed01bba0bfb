"""Statistics of a store of activations: density, distribution, tokens, examples and coactivation of every unit."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from atlas.errors import InputError, SpaceMismatch
from atlas.io.files import parquet_writer
from atlas.io.package_data import folder as package_folder
from atlas.options import MEMORY, WHOLE, MeasureOptions
from atlas.stages import DATASETS, require
from atlas.stages.manifest import read_manifest, replaced_folder, write_manifest
from atlas.stages.store.check import check_store
from atlas.stages.store.digest import store_digest
from atlas.stages.store.spaces import ActivationSpace

Progress = Callable[[str, int, int], None]
RESULTS = (
    "activation_stats",
    "activation_histograms",
    "activation_tokens",
    "activation_examples",
    "token_stats",
    "coactivation",
)
COACTIVE_PAIRS = 500_000_000  # with more pairs of activations on one token, coactivation is left out
_BATCH = 100_000
_LEAST_MB = 256


@dataclass(frozen=True)
class MeasureSummary:
    """Counts of the statistics of a store."""

    units: int
    dead: int | None  # None where it is not known on which tokens units are silent
    dense: int | None
    coactive: int | None  # rows; None where pairs are too many


def measure(
    store: Path,
    out: Path,
    options: MeasureOptions | None = None,
    *,
    beside: Path | None = None,
    memory: int = MEMORY,
    progress: Progress = lambda *_: None,
) -> MeasureSummary:
    """Write the statistics of a store to a folder.

    Every statistic is about the activations that the store keeps, on the tokens that were looked at. A unit is active
    where |value| is above the threshold of its layer. Each part of the store holds whole units, so memory is
    bounded by a part.

    Args:
        store: Folder of the store.
        out: Folder of the statistics, which is replaced.
        options: Numbers of tokens, examples and partners; the defaults where None.
        beside: Store of other units on the same contexts, such as neurons beside features: its units are also partners in
            `coactivation`.
        memory: Bytes that DuckDB may take; above it, it spills to disk.
        progress: Called with the name of the step, the number done and the total.

    Returns:
        Counts of units.

    Raises:
        InputError: The store holds vectors alone.
        OutputError: `out` holds something else.
        SpaceMismatch: The store beside it lacks contexts, or looked at other tokens.
        StageError: `store` is none, is damaged, or contradicts itself.
    """
    options = options or MeasureOptions()
    check_store(store)
    manifest = read_manifest(store, "activations")
    if not len(pq.read_table(DATASETS["activations.units"].path(store))):
        raise InputError(f"{store} holds vectors and no activations of units, so there is nothing to measure")
    space = ActivationSpace.of(manifest["space"])
    parts = sorted(require(store, DATASETS["activations.activations"]).glob("*.parquet"))
    with replaced_folder(out, "measures") as folder, tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{max(memory // 10**6, _LEAST_MB)}MB",
            "temp_directory": scratch,
        }
        with duckdb.connect(config=config) as con:
            _prepare(con, store, space, options)
            _leave_out(con, manifest.get("unknown_units", {}))
            for number, part in enumerate(parts):
                progress("measuring units", number, len(parts))
                con.read_parquet(str(part)).create_view("given_part", replace=True)
                _run(con, "part")
            has_partners = _coactivation(con, store, parts, space, beside, progress)
            _run(con, "finish")
            for name in RESULTS:
                if name != "coactivation" or has_partners:
                    _write(con, folder, name)
            units, dead, dense = con.sql(
                "SELECT count(*), count_if(is_dead), count_if(is_dense) FROM activation_stats"
            ).fetchall()[0]
            rows = int(con.sql("SELECT count(*) FROM coactivation").fetchall()[0][0]) if has_partners else None
        progress("measuring units", len(parts), len(parts))
        facts = {"space": manifest["space"], "store": store_digest(store), "options": vars(options)}
        write_manifest(folder, "measures", **facts, coactivation=has_partners)
    if not space.is_counted:
        dead = dense = None
    return MeasureSummary(units, dead, dense, rows)


def _run(con: duckdb.DuckDBPyConnection, name: str) -> None:
    con.execute((package_folder("sql") / "measures" / f"{name}.sql").read_text(encoding="utf-8"))


def _prepare(con: duckdb.DuckDBPyConnection, store: Path, space: ActivationSpace, options: MeasureOptions) -> None:
    con.execute((package_folder("sql") / "probabilities.sql").read_text(encoding="utf-8"))
    for name in ("contexts", "units", "vocabulary"):
        path = require(store, DATASETS[f"activations.{name}"])
        con.read_parquet(str(path)).create_view(f"given_{name}", replace=True)
    settings: dict[str, Any] = {name: [value] for name, value in vars(options).items()}
    settings["unit_type"] = [space.unit_type]
    settings["is_counted"] = [space.is_counted]
    settings["is_whole"] = [space.positions == WHOLE]
    settings["first_position"] = [int(space.skips_first)]
    settings["skipped"] = pa.array([list(space.skipped_tokens)], pa.list_(pa.int32()))
    if not space.is_counted:
        con.execute("CREATE TABLE stated_units AS FROM given_units")
        con.execute(
            "CREATE OR REPLACE VIEW given_units AS SELECT * REPLACE (NULL::BIGINT AS token_count) FROM stated_units"
        )
    con.register("given_settings", pa.table(settings))
    con.execute("CREATE TABLE settings AS FROM given_settings")
    con.unregister("given_settings")
    _run(con, "prepare")


def _leave_out(con: duckdb.DuckDBPyConnection, unknown: dict[str, list[int]]) -> None:
    """Fill the table `unknown_units`: units of which the store does not know whether they are ever active."""
    rows = [(int(layer), unit) for layer, units in unknown.items() for unit in units]
    columns = {"layer": [layer for layer, _ in rows], "unit": [unit for _, unit in rows]}
    con.register("unknown_rows", pa.table(columns, schema=pa.schema([("layer", pa.int32()), ("unit", pa.int32())])))
    con.execute("CREATE TABLE unknown_units AS FROM unknown_rows")
    con.unregister("unknown_rows")


def _coactivation(
    con: duckdb.DuckDBPyConnection,
    store: Path,
    parts: list[Path],
    space: ActivationSpace,
    beside: Path | None,
    progress: Progress,
) -> bool:
    """Fill the table `coactivation`; it stays empty where a join would make too many pairs. Return True if it was made."""
    con.read_parquet([str(part) for part in parts]).create_view("all_activations", replace=True)
    con.execute("CREATE VIEW own AS SELECT (SELECT unit_type FROM settings) AS unit_type, * FROM all_activations")
    con.execute("CREATE VIEW all_partners AS FROM own")
    if beside is not None:
        _view_beside(con, store, space, beside)
        con.execute("CREATE OR REPLACE VIEW all_partners AS FROM own UNION ALL BY NAME FROM other")
    predicted = con.sql(
        "SELECT coalesce(sum(mine * partners), 0) FROM "
        "(SELECT count(*) AS mine, context_id, position FROM all_activations GROUP BY ALL) "
        "JOIN (SELECT count(*) AS partners, context_id, position FROM all_partners GROUP BY ALL) USING (context_id, position)"
    ).fetchall()[0][0]
    fits = bool(predicted <= COACTIVE_PAIRS)
    progress("measuring coactivation", 0, 0)
    for name, source in (("given_activations", "all_activations"), ("given_partners", "all_partners")):
        con.execute(f"CREATE VIEW {name} AS FROM {source} {'' if fits else 'LIMIT 0'}")
    _run(con, "coactivation")
    return fits


def _view_beside(con: duckdb.DuckDBPyConnection, store: Path, space: ActivationSpace, beside: Path) -> None:
    """Create the view `other`: activations of another store on the contexts of this one, with their numbers here."""
    check_store(beside)
    theirs = ActivationSpace.of(read_manifest(beside, "activations")["space"])
    if (theirs.skips_first, theirs.skipped_tokens) != (space.skips_first, space.skipped_tokens):
        raise SpaceMismatch(
            f"{beside} looked at other tokens than {store} (first or special tokens); collect it the same way"
        )
    if not len(pq.read_table(DATASETS["activations.units"].path(beside))):
        raise InputError(f"{beside} holds vectors and no activations of units, so there are no partners in it")
    if theirs.unit_type == space.unit_type:
        raise SpaceMismatch(
            f"{beside} and {store} both hold units of type {space.unit_type}; one of neurons and one of features are set side by side"
        )
    con.read_parquet(str(DATASETS["activations.contexts"].path(beside))).create_view("other_contexts")
    pattern = str(require(beside, DATASETS["activations.activations"]) / "*.parquet")
    con.read_parquet(pattern).create_view("other_activations")
    missing = con.sql("SELECT count(*) FROM given_contexts ANTI JOIN other_contexts USING (content_hash)").fetchall()[
        0
    ][0]
    if missing:
        raise SpaceMismatch(
            f"{beside} lacks {missing:,} contexts of {store}; collect both from the same text with the same window"
        )
    con.execute("CREATE TABLE other_type AS SELECT $1 AS unit_type", [theirs.unit_type])
    con.execute(
        "CREATE VIEW other AS SELECT (SELECT unit_type FROM other_type) AS unit_type, a.* REPLACE (mine.context_id AS context_id) "
        "FROM other_activations AS a JOIN other_contexts AS theirs USING (context_id) "
        "JOIN given_contexts AS mine USING (content_hash)"
    )


def _write(con: duckdb.DuckDBPyConnection, folder: Path, name: str) -> None:
    dataset = DATASETS[f"measures.{name}"]
    reader: pa.RecordBatchReader = con.sql(f"FROM sorted_{name}").to_arrow_reader(_BATCH)
    with parquet_writer(dataset.path(folder), dataset.schema) as writer:
        for batch in reader:
            table = pa.Table.from_batches([batch]).select(dataset.schema.names)
            writer.write_table(table.cast(dataset.schema))
