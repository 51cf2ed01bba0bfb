"""The store of activations: against a dictionary of all cells, killed and resumed, added to, with hostile input."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from atlas.errors import InputError, OutputError, SpaceMismatch, StageError, UsageError
from atlas.stages.store.cells import Context
from atlas.stages.store.collector import Collector
from atlas.stages.store.spaces import ActivationSpace

LAYERS = {0: 7, 3: 5}
SPACE = ActivationSpace("m", skips_first=True, skipped_tokens=(9,))
Cell = tuple[int, int, str, int]


def batches(seed: int, count: int = 12) -> list[tuple[dict[int, np.ndarray], list[Context]]]:
    """Random activations, of either sign and mostly small, on contexts of different lengths."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        size, width = int(rng.integers(1, 4)), int(rng.integers(2, 9))
        contexts = [
            Context(tuple(rng.integers(1, 12, int(rng.integers(1, width + 1))).tolist()), f"doc-{seed}-{number}", row)
            for row in range(size)
        ]
        values = {layer: rng.normal(0, 1, (size, width, units)).astype(np.float32) for layer, units in LAYERS.items()}
        found.append((values, contexts))
    return found


def expected(given: list[tuple[dict[int, np.ndarray], list[Context]]], threshold: float) -> dict[Cell, float]:
    """All cells above the threshold, one at a time."""
    found = {}
    for values, contexts in given:
        for row, context in enumerate(contexts):
            for at, token in enumerate(context.token_ids):
                if at == 0 or token == 9:
                    continue
                for layer, units in LAYERS.items():
                    for unit in range(units):
                        value = values[layer][row, at, unit]
                        if abs(value) > threshold:
                            found[layer, unit, context.content_hash, at] = float(value)
    return found


def tokens(given: list[tuple[dict[int, np.ndarray], list[Context]]]) -> int:
    return sum(token != 9 for _, contexts in given for context in contexts for token in context.token_ids[1:])


def collect(out: Path, given: Any, *, threshold: float = 1.0, memory: int = 10**9, **options: Any) -> Any:
    thresholds = dict.fromkeys(LAYERS, threshold)
    with Collector(out, space=SPACE, layers=LAYERS, thresholds=thresholds, memory=memory, **options) as collector:
        for values, contexts in given:
            collector.add(values, contexts)
    return collector.summary


def stored(out: Path) -> dict[Cell, float]:
    """Cells of a store, by the hash of the context; checks the order of rows."""
    contexts = pq.read_table(out / "contexts.parquet").to_pylist()
    assert [row["context_id"] for row in contexts] == list(range(len(contexts)))
    rows = [row for part in sorted((out / "activations").glob("*.parquet")) for row in pq.read_table(part).to_pylist()]
    keys = [(row["layer"], row["unit"], row["context_id"], row["position"]) for row in rows]
    assert keys == sorted(set(keys))
    return {
        (key[0], key[1], contexts[key[2]]["content_hash"], key[3]): row["value"]
        for key, row in zip(keys, rows, strict=True)
    }


def bytes_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("memory", [10**9, 20_000, 1])
def test_a_store_holds_every_cell_above_the_threshold(tmp_path: Path, memory: int) -> None:
    given = batches(1)
    summary = collect(tmp_path / "store", given, memory=memory)
    assert stored(tmp_path / "store") == expected(given, 1.0)
    units = pq.read_table(tmp_path / "store" / "units.parquet").to_pylist()
    count = sum(len(contexts) for _, contexts in given)
    assert units == [
        {"layer": layer, "unit_count": size, "threshold": 1.0, "token_count": tokens(given), "context_count": count}
        for layer, size in LAYERS.items()
    ]
    assert (summary.contexts, summary.tokens, summary.activations) == (count, tokens(given), len(expected(given, 1.0)))
    if memory == 1:
        assert len(list((tmp_path / "store" / "activations").glob("*"))) > 3


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    given = batches(2)
    collect(tmp_path / "whole", given, memory=10**6)
    first = Collector(
        tmp_path / "store", space=SPACE, layers=LAYERS, thresholds=dict.fromkeys(LAYERS, 1.0), memory=10**6
    )
    for values, contexts in given[:7]:
        first.add(values, contexts)
        first.flush()
    first.add(*given[7])  # never flushed
    first.close()
    assert not (tmp_path / "store").exists()
    summary = collect(tmp_path / "store", given, memory=10**6)
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "whole")
    assert summary.known_contexts == sum(len(contexts) for _, contexts in given[:7])
    assert not list(tmp_path.glob(".*collecting"))


def test_contexts_are_added_to_a_store(tmp_path: Path) -> None:
    one, two = batches(3), batches(4)
    collect(tmp_path / "store", one)
    summary = collect(tmp_path / "store", one[:3] + two)
    assert stored(tmp_path / "store") == expected(one + two, 1.0)
    assert summary.tokens == tokens(one + two)
    collect(tmp_path / "both", one + two)
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "both")
    before = bytes_of(tmp_path / "store")
    again = collect(tmp_path / "store", two)
    assert again.new_contexts == 0
    assert again.activations == len(expected(one + two, 1.0))
    assert bytes_of(tmp_path / "store") == before
    collect(tmp_path / "store", two, fresh=True)
    assert stored(tmp_path / "store") == expected(two, 1.0)


def test_tensors_give_what_arrays_give(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    given = batches(5)
    collect(tmp_path / "arrays", given)
    collect(
        tmp_path / "tensors",
        [({k: torch.from_numpy(v) for k, v in values.items()}, contexts) for values, contexts in given],
    )
    assert bytes_of(tmp_path / "tensors") == bytes_of(tmp_path / "arrays")


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    given = batches(6)
    collect(tmp_path / "store", given)
    with pytest.raises(SpaceMismatch, match="hook is 'mlp' in .* and 'sae' here"):
        Collector(
            tmp_path / "store",
            space=ActivationSpace("m", hook="sae", skips_first=True, skipped_tokens=(9,)),
            layers=LAYERS,
        )
    with pytest.raises(UsageError, match="other layers, units or thresholds"):
        Collector(tmp_path / "store", space=SPACE, layers=LAYERS)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(OutputError, match="holds no activations"):
        Collector(tmp_path / "mine", space=SPACE, layers=LAYERS)
    collector = Collector(tmp_path / "new", space=SPACE, layers=LAYERS)
    context = Context((1, 2, 3))
    with pytest.raises(UsageError, match="the layers \\[0, 3\\] are needed, not \\[0\\]"):
        collector.add({0: np.zeros((1, 3, 7))}, [context])
    with pytest.raises(UsageError, match="layer 3 have the shape \\(1, 3, 6\\)"):
        collector.add({0: np.zeros((1, 3, 7)), 3: np.zeros((1, 3, 6))}, [context])
    bad = np.zeros((1, 3, 7))
    bad[0, 1, 1] = np.nan
    fine = np.zeros((1, 3, 7))
    fine[0, 1, 2] = 2.0
    for wrong in (bad, fine * 1e300):
        with pytest.raises(InputError, match="layer 3 has an activation that is NaN, infinite or beyond 32 bits"):
            collector.add({0: fine, 3: wrong[:, :, :5]}, [context])
    with pytest.raises(UsageError, match="needed are 2 contexts"):
        collector.add({0: fine, 3: np.zeros((1, 3, 5))}, [context, Context((1, 2))])
    # A refused batch changes nothing: the corrected one is added whole.
    collector.add({0: fine, 3: np.ones((1, 3, 5))}, [context])
    assert collector.write().activations == 1 + 2 * 5
    with pytest.raises(InputError, match="no context was added"):
        Collector(tmp_path / "empty", space=SPACE, layers=LAYERS).write()


def test_layers_that_a_store_cannot_hold_are_refused(tmp_path: Path) -> None:
    for layers, thresholds, said in (
        ({-1: 3}, {}, "layer -1 of 3 units cannot be stored"),
        ({5000: 3}, {}, "layers go from 0 to 127"),
        ({0: 0}, {}, "layer 0 of 0 units"),
        ({0: 3}, {0: float("nan")}, "the threshold of layer 0 is nan"),
        ({0: 3}, {0: -1.0}, "must be 0 or more"),
    ):
        with pytest.raises(UsageError, match=said):
            Collector(tmp_path / "s", space=SPACE, layers=layers, thresholds=thresholds)


def test_a_store_without_activations_is_added_to(tmp_path: Path) -> None:
    one, two = batches(7), batches(8)
    collect(tmp_path / "store", one, threshold=99.0)
    collect(tmp_path / "store", two, threshold=99.0)
    assert stored(tmp_path / "store") == {}
    assert len(pq.read_table(tmp_path / "store" / "contexts.parquet")) == sum(len(c) for _, c in one + two)


def test_a_damaged_store_is_not_replaced(tmp_path: Path) -> None:
    given = batches(9)
    collect(tmp_path / "store", given, memory=1)
    part = sorted((tmp_path / "store" / "activations").glob("*"))[1]
    part.unlink()
    with pytest.raises(StageError, match="a part is missing"):
        collect(tmp_path / "store", batches(10))
    (tmp_path / "store" / "contexts.parquet").write_bytes(b"PAR1")
    with pytest.raises(StageError, match="cannot be read"):
        collect(tmp_path / "store", batches(10))
    collect(tmp_path / "store", given, fresh=True)
    assert stored(tmp_path / "store") == expected(given, 1.0)


def test_splits_are_of_documents() -> None:
    splits = {name: {Context((1, n), name, n).split for n in range(5)} for name in ("a", "b", "c", "d", "e", "f")}
    assert all(len(found) == 1 for found in splits.values())
    assert len(set.union(*splits.values())) == 2


def test_contexts_that_cannot_be_stored() -> None:
    assert Context((1,), attributes={"speaker": "anna"}).attributes == (("speaker", "anna"),)  # type: ignore[arg-type]
    assert Context((-1, 2)).token_ids == (-1, 2)  # -1: not known
    for ids in ((1 << 31,), (3, -2)):
        with pytest.raises(UsageError, match="cannot be stored"):
            Context(ids)
    with pytest.raises(UsageError, match="texts by name"):
        Context((1,), attributes={"turn": 3})  # type: ignore[arg-type]
