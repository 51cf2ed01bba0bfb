"""Stores that contradict themselves, one fault at a time: each is refused in one line before anything is computed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atlas.activations.measures import measure
from atlas.errors import SpaceMismatch, StageError
from atlas.stages.store.cells import Context
from atlas.stages.store.check import check_store
from atlas.stages.store.collector import VOCABULARY, Collector
from atlas.stages.store.digest import require_measures_of, store_digest
from atlas.stages.store.join import merge_stores
from atlas.stages.store.spaces import ActivationSpace

Rows = list[dict[str, Any]]


def make(folder: Path, *, seed: int = 1, whole: bool = False) -> Path:
    """Two layers with gaps between their numbers, contexts of different lengths, a skipped token."""
    space = ActivationSpace("m", skips_first=not whole, skipped_tokens=() if whole else (3,))
    if whole:
        space = ActivationSpace("m", positions="whole")
    rng = np.random.default_rng(seed)
    with Collector(folder, space=space, layers={1: 4, 4: 3}, thresholds={1: 0.5, 4: 0.5}) as collector:
        for number in range(9):
            length = int(rng.integers(2, 6))
            context = Context(tuple(rng.integers(0, 5, length).tolist()), f"doc {number}")
            if whole:
                unit = np.arange(3)
                cells = {"layer": np.full(3, 4), "context": unit * 0, "position": unit * 0, "unit": unit}
                collector.add_cells({**cells, "value": rng.normal(2, 0.1, 3)}, [context])
            else:
                shapes = {1: (1, length, 4), 4: (1, length, 3)}
                collector.add({layer: rng.normal(0, 1, shape) for layer, shape in shapes.items()}, [context])
        collector.write(VOCABULARY.table({"token_id": range(5), "token": list("abcde"), "is_special": [None] * 5}))
    return folder


def rewritten(path: Path, change: Callable[[Rows], Any]) -> None:
    """Change the rows of a file; columns may become nullable, as files of other tools are."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows = change(rows) or rows
    schema = pa.schema([pa.field(field.name, field.type) for field in table.schema])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)


def put(row: int, **values: Any) -> Callable[[Rows], None]:
    return lambda rows: rows[row].update(values)


def swapped(rows: Rows) -> None:
    rows[3], rows[9] = rows[9], rows[3]


def doubled(rows: Rows) -> None:
    rows[4].update({key: rows[5][key] for key in ("layer", "unit", "context_id", "position")})


CELLS, CONTEXTS, UNITS = "activations/part-00000.parquet", "contexts.parquet", "units.parquet"
FAULTS = {
    "unit": (CELLS, put(-1, unit=3), "a unit behind the last one of its layer"),
    "negative unit": (CELLS, put(0, unit=-1), "a unit behind the last one"),
    "layer": (CELLS, put(-1, layer=5), "a layer that units.parquet lacks"),
    "layer between": (CELLS, put(-1, layer=2), "a layer that units.parquet lacks"),
    "negative layer": (CELLS, put(0, layer=-1), "a layer that units.parquet lacks"),
    "context": (CELLS, put(-1, context_id=9), "a context that is not there"),
    "position": (CELLS, put(-1, position=40), "a position outside of its context"),
    "first position": (CELLS, put(0, position=0), "a token that was not looked at"),
    "nan": (CELLS, put(2, value=float("nan")), "NaN or infinite"),
    "null": (CELLS, put(2, value=None), "an activation has a NULL"),
    "below": (CELLS, put(2, value=0.25), "a value at most the threshold"),
    "order": (CELLS, swapped, "not sorted"),
    "twice": (CELLS, doubled, "not sorted"),
    "context number": (CONTEXTS, put(2, context_id=1), "context_id does not count"),
    "no tokens": (CONTEXTS, put(2, token_ids=None), "a context has no token_ids"),
    "no token": (CONTEXTS, put(2, token_ids=[1, None]), "a context has no token_ids"),
    "negative token": (CONTEXTS, put(2, token_ids=[-7, 1]), "a token id is -7"),
    "one hash": (CONTEXTS, lambda rows: rows[2].update(content_hash=rows[1]["content_hash"]), "one content_hash"),
    "no hash": (CONTEXTS, put(2, content_hash=None), "or one has none"),
    "token count": (UNITS, put(0, token_count=3), "units.parquet states 3 tokens"),
    "context count": (UNITS, put(1, context_count=8), "and 8 contexts of layer 4"),
    "layer twice": (UNITS, put(1, layer=1), "states a layer twice"),
    "no units": (UNITS, put(1, unit_count=0), "or one without units"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_store_that_contradicts_itself_is_refused(name: str, tmp_path: Path) -> None:
    store = make(tmp_path / "store")
    check_store(store)
    file, change, message = FAULTS[name]
    rewritten(store / file, change)
    with pytest.raises(StageError, match=message) as caught:
        measure(store, tmp_path / "measures")
    assert "\n" not in str(caught.value)
    with pytest.raises(StageError, match=message):
        merge_stores([make(tmp_path / "other", seed=2), store], tmp_path / "merged")
    assert not (tmp_path / "measures").exists()
    assert not (tmp_path / "merged").exists()


def test_values_of_whole_contexts_have_no_position(tmp_path: Path) -> None:
    store = make(tmp_path / "store", whole=True)
    check_store(store)
    rewritten(store / CELLS, put(0, position=0))
    with pytest.raises(StageError, match="one value per context"):
        check_store(store)


@pytest.mark.parametrize("counts", [None, {}, {"contexts": 9, "tokens": 1, "activations": "many"}])
def test_a_manifest_without_counts_is_refused(counts: Any, tmp_path: Path) -> None:
    store = make(tmp_path / "store")
    manifest = json.loads((store / "manifest.json").read_text())
    manifest["counts"] = counts
    (store / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StageError, match="lacks the counts"):
        check_store(store)
    del manifest["counts"]
    (store / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StageError, match="lacks counts"):
        check_store(store)


def test_statistics_are_of_one_state_of_one_store(tmp_path: Path) -> None:
    first, same, other = make(tmp_path / "a"), make(tmp_path / "b"), make(tmp_path / "c", seed=2)
    measure(first, tmp_path / "m")
    assert store_digest(first) == store_digest(same) != store_digest(other)
    require_measures_of(tmp_path / "m", same)
    with pytest.raises(SpaceMismatch, match="measure it again"):
        require_measures_of(tmp_path / "m", other)


def test_a_store_of_no_tokens_knows_nothing_of_its_units(tmp_path: Path) -> None:
    space = ActivationSpace("m", skips_first=True)
    with Collector(tmp_path / "store", space=space, layers={0: 2}) as collector:
        collector.add({0: np.ones((1, 1, 2))}, [Context((4,), "a")])
        collector.write(VOCABULARY.table({"token_id": [4], "token": ["a"], "is_special": [None]}))
    measure(tmp_path / "store", tmp_path / "measures")
    rows = pq.read_table(tmp_path / "measures" / "activation_stats.parquet").to_pylist()
    names = ("token_count", "density", "density_low", "density_high", "is_dead", "is_dense", "mean_all")
    assert [[row[name] for name in names] for row in rows] == [[0, *[None] * 6]] * 2
