"""Experiments on the contexts of a store: how a unit answers to tokens of a family, to two families, or to an attribute.

All contexts count, also those in which the unit is not active: a sweep over active ones alone would not see a token that switches
the unit on or off. Activations below the threshold of the store count as 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from atlas.errors import InputError, UsageError
from atlas.ids import UnitId
from atlas.io.package_data import folder as package_folder
from atlas.options import WHOLE
from atlas.stages import DATASETS
from atlas.stages.manifest import read_manifest
from atlas.stages.store.backends import StoreBackend
from atlas.stages.store.merge import require_whole
from atlas.stages.store.spaces import ActivationSpace

COUNT, TOKEN = "count", "token"
Encode = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class Family:
    """Tokens that belong together, such as all spellings of a word."""

    name: str
    token_ids: tuple[int, ...]


def token_family(store: Path, texts: Sequence[str] = (), pattern: str | None = None) -> Family:
    """Find the tokens of a family in the vocabulary of a store.

    Args:
        store: Folder of the store.
        texts: Texts of tokens, as the vocabulary spells them, with their leading space.
        pattern: Regular expression that the whole text of a token matches.

    Returns:
        The family.

    Raises:
        InputError: A text is no token, or nothing matches.
        UsageError: The pattern is no regular expression.
    """
    rows = pq.read_table(DATASETS["activations.vocabulary"].path(store)).to_pylist()
    by_text: dict[str, list[int]] = {}
    for row in rows:
        by_text.setdefault(row["token"], []).append(row["token_id"])
    found: list[int] = []
    for text in texts:
        if text not in by_text:
            near = [other for other in by_text if other.strip() == text.strip()]
            hint = f"; there is {near[0]!r}" if near else ""
            raise InputError(f"{store} has no token {text!r}{hint}")
        found += by_text[text]
    if pattern is not None:
        try:
            matching = re.compile(pattern)
        except re.error as error:
            raise UsageError(f"{pattern!r} is no regular expression: {error}") from error
        found += [number for text, numbers in by_text.items() if matching.fullmatch(text) for number in numbers]
    if not found:
        raise InputError(f"no token of {store} matches {pattern or 'nothing'}")
    return Family(pattern or " ".join(repr(text) for text in texts), tuple(sorted(set(found))))


def require_unit_type(store: Path, unit: UnitId) -> None:
    """Check that a store holds units of the type of a unit.

    Args:
        store: Folder of the store.
        unit: Neuron or feature.

    Raises:
        StageError: The folder is no store.
        UsageError: It holds units of another type.
    """
    held = read_manifest(store, "activations")["space"]["unit_type"]
    if held != unit.unit_type:
        raise UsageError(f"{store} holds units of type {held}, and {unit} is a {unit.unit_type}")


def sweep(
    store: Path,
    unit: tuple[int, int],
    *,
    family: Family | None = None,
    by: str = COUNT,
    other: Family | None = None,
    attribute: str | None = None,
) -> pa.Table:
    """Compare the activation of a unit between groups of contexts, or between tokens.

    Args:
        store: Folder of the store.
        unit: Layer and number.
        family: Tokens to sweep over.
        by: `count`, the number of tokens of the family in a context; or `token`, the activation on each of them.
        other: A second family: every pair of numbers is a group (with `by` count).
        attribute: Instead of a family: `document`, `source`, `split`, or a name in `contexts.attributes`.

    Returns:
        One row per group: `first_group`, `second_group`, `row_count`, `active_count`, `active_share`, `mean` (over all rows),
        `difference` to the first group, each with 95 % bounds, and `mean_active`. Contexts of one document are not
        independent, so bounds are too narrow where a document has several.

    Raises:
        InputError: The store has no such unit or attribute.
        UsageError: The options do not fit together.
    """
    require_whole(store)
    if (family is None) == (attribute is None):
        raise UsageError("sweep over the tokens of a family, or over an attribute")
    if by not in (COUNT, TOKEN) or (by == TOKEN and (family is None or other is not None)):
        raise UsageError("by is count, or token with one family")
    if attribute is not None and other is not None:
        raise UsageError("an attribute stands alone; a second family goes with a first one")
    cells = StoreBackend(store).load(unit)
    if cells is None:
        raise InputError(f"{store} has no unit {unit[1]} in layer {unit[0]}")
    space = ActivationSpace.of(read_manifest(store, "activations")["space"])
    if not space.is_counted:
        raise UsageError(
            f"{store} holds chosen contexts or activations alone, so it is not known where a unit is silent; collect a store with a threshold"
        )
    if by == TOKEN and space.positions == WHOLE:
        raise UsageError("the store has one value per context, so a token has none of its own; sweep by count")
    with duckdb.connect() as con:
        _given(con, store, space)
        con.register(
            "given_cells", pa.table({"context_id": cells.context, "position": cells.position, "value": cells.value})
        )
        for name, tokens in (("first_family", family), ("second_family", other)):
            ids = pa.array(tokens.token_ids if tokens else (), pa.int64())
            con.register("ids", pa.table({"token_id": ids}))
            con.execute(f"CREATE TABLE {name} AS FROM ids")
        con.execute("SET VARIABLE attribute = $1", [attribute])
        con.execute(_script(by if by == TOKEN else "contexts"))
        if attribute is not None and not con.sql("SELECT count(attribute) FROM sweep_rows").fetchall()[0][0]:
            raise InputError(f"no context of {store} has the attribute {attribute!r}")
        return _grouped(con, is_counted=by == COUNT and attribute is None, has_second=other is not None)


def sweep_made(values: NDArray[np.float32], members: Sequence[str]) -> pa.Table:
    """Compare the activation of a unit between contexts that were made for it.

    Args:
        values: Activation of the unit on each made context (n_members, n_templates).
        members: What was put into the templates (n_members,).

    Returns:
        One row per member, with the columns of `sweep`.
    """
    names, count = np.array(members, object), values.shape[1]
    table = pa.table(
        {
            "attribute": pa.array(np.repeat(names, count), pa.string()),
            "first_count": np.zeros(values.size, np.int64),
            "second_count": np.zeros(values.size, np.int64),
            "place": np.repeat(np.arange(len(names)), count),
            "value": values.ravel().astype(np.float64),
            "is_active": values.ravel() != 0,
        }
    )
    with duckdb.connect() as con:
        con.execute((package_folder("sql") / "probabilities.sql").read_text(encoding="utf-8"))
        con.register("made_rows", table)
        con.execute("CREATE TABLE sweep_rows AS FROM made_rows")
        return _grouped(con, is_counted=False, has_second=False)


def _given(con: duckdb.DuckDBPyConnection, store: Path, space: ActivationSpace) -> None:
    con.execute((package_folder("sql") / "probabilities.sql").read_text(encoding="utf-8"))
    for name in ("contexts", "vocabulary"):
        con.read_parquet(str(DATASETS[f"activations.{name}"].path(store))).create_view(f"given_{name}")
    skipped = pa.array([list(space.skipped_tokens)], pa.list_(pa.int32()))
    con.register("given_settings", pa.table({"first_position": [int(space.skips_first)], "skipped": skipped}))
    con.execute("CREATE TABLE settings AS FROM given_settings")


def _script(name: str) -> str:
    return (package_folder("sql") / "sweeps" / f"{'tokens' if name == TOKEN else name}.sql").read_text(encoding="utf-8")


def _grouped(con: duckdb.DuckDBPyConnection, *, is_counted: bool, has_second: bool) -> pa.Table:
    con.execute("SET VARIABLE first_column = $1", ["first_count" if is_counted else "attribute"])
    con.execute("SET VARIABLE second_column = $1", ["second_count" if has_second else None])
    return con.sql(_script("groups")).to_arrow_table()
