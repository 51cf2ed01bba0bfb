"""Merged stores against a store that collected everything at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from atlas.cli.main import main
from atlas.errors import SpaceMismatch, UsageError
from atlas.stages.store.cells import Context
from atlas.stages.store.collector import VOCABULARY, Collector
from atlas.stages.store.join import merge_stores
from atlas.stages.store.spaces import ActivationSpace

SPACE = ActivationSpace("m", skips_first=True, skipped_tokens=(2,))
LAYERS = {0: 5, 3: 4}


def values(number: int) -> dict[int, Any]:
    rng = np.random.default_rng(number)
    return {layer: rng.normal(0, 1, (1, 6, units)) for layer, units in LAYERS.items()}


def context(number: int) -> Context:
    ids = np.random.default_rng(100 + number).integers(0, 6, 6)
    return Context(tuple(ids.tolist()), f"doc {number}", attributes=(("n", str(number)),))


def make(
    folder: Path,
    numbers: range,
    layers: tuple[int, ...] = (0, 3),
    *,
    space: ActivationSpace = SPACE,
    threshold: float = 0.7,
    words: str = "abcdef",
    backwards: bool = False,
) -> Path:
    kept = {layer: LAYERS[layer] for layer in layers}
    with Collector(folder, space=space, layers=kept, thresholds=dict.fromkeys(kept, threshold)) as collector:
        for number in reversed(numbers) if backwards else numbers:
            collector.add({layer: values(number)[layer] for layer in layers}, [context(number)])
        table = {"token_id": range(6), "token": list(words), "is_special": [None] * 6}
        collector.write(VOCABULARY.table(table))
    return folder


def test_a_store_is_not_replaced_by_its_merge(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a", range(3)), make(tmp_path / "b", range(3, 6))
    before = content(first)
    with pytest.raises(UsageError, match="would be replaced"):
        merge_stores([first, second], tmp_path / "b" / ".." / "a")
    assert content(first) == before


def content(store: Path) -> dict[str, Any]:
    manifest = json.loads((store / "manifest.json").read_text())
    names = ("contexts", "units", "vocabulary")
    return {name: pq.read_table(store / f"{name}.parquet").to_pylist() for name in names} | {
        "cells": [row for part in sorted((store / "activations").glob("*")) for row in pq.read_table(part).to_pylist()],
        "counts": manifest["counts"],
        "space": manifest["space"],
    }


def test_more_contexts(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole", range(20))
    parts = [make(tmp_path / f"p{n}", numbers) for n, numbers in enumerate((range(8), range(5, 14), range(14, 20)))]
    summary = merge_stores(parts, tmp_path / "out")
    assert content(tmp_path / "out") == content(whole)
    assert (summary.contexts, summary.tokens) == (20, content(whole)["counts"]["tokens"])
    # With little memory there are many parts, and the same activations.
    merge_stores(parts, tmp_path / "small", memory=1)
    assert content(tmp_path / "small") == content(whole)
    assert len(list((tmp_path / "small" / "activations").iterdir())) > 5


def test_more_layers_on_the_same_contexts(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole", range(9))
    first = make(tmp_path / "first", range(9), (0,))
    second = make(tmp_path / "second", range(9), (3,), backwards=True)
    merge_stores([first, second], tmp_path / "out")
    assert content(tmp_path / "out") == content(whole)
    with pytest.raises(UsageError, match="must hold the same contexts"):
        merge_stores([first, make(tmp_path / "fewer", range(8), (3,))], tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_vectors_are_merged(tmp_path: Path) -> None:
    space = ActivationSpace("m", hook="resid", unit_type="dimension", positions="all", vector_layers=(1,))

    def vectors(folder: Path, numbers: range) -> Path:
        with Collector(folder, space=space, layers={}) as collector:
            for number in numbers:
                collector.add_vectors({1: values(number)[3]}, [context(number)])
        return folder

    whole = vectors(tmp_path / "whole", range(6))
    merge_stores([vectors(tmp_path / "a", range(4)), vectors(tmp_path / "b", range(2, 6))], tmp_path / "out")
    found, expected = (
        [row for part in sorted((store / "vectors").iterdir()) for row in pq.read_table(part).to_pylist()]
        for store in (tmp_path / "out", whole)
    )
    assert found == expected
    assert len(expected) == 36


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    first = make(tmp_path / "first", range(3))
    other = make(tmp_path / "other", range(3), space=ActivationSpace("n", skips_first=True, skipped_tokens=(2,)))
    with pytest.raises(SpaceMismatch, match="do not mix: model is 'n' in"):
        merge_stores([first, other], tmp_path / "out")
    with pytest.raises(UsageError, match="other units or thresholds of one layer"):
        merge_stores([first, make(tmp_path / "higher", range(3), threshold=0.9)], tmp_path / "out")
    with pytest.raises(SpaceMismatch, match="token 1 is 'B' in"):
        merge_stores([first, make(tmp_path / "words", range(3, 5), words="aBcdef")], tmp_path / "out")
    with pytest.raises(UsageError, match="two stores or more"):
        merge_stores([first], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command(tmp_path: Path) -> None:
    parts = [str(make(tmp_path / name, numbers)) for name, numbers in (("a", range(3)), ("b", range(2, 6)))]
    found = CliRunner().invoke(main, ["merge", *parts, "-o", str(tmp_path / "out")])
    assert found.exit_code == 0, found.output
    assert "6 contexts" in found.output
    assert content(tmp_path / "out") == content(make(tmp_path / "whole", range(6)))


def test_rows_without_tokens_are_told_apart_by_their_files(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from atlas.importers.vectors import import_vectors

    def shards(folder: Path, layer: int, seed: int) -> Path:
        (folder / "EM" / f"layer_{layer:02d}").mkdir(parents=True)
        generator = torch.Generator().manual_seed(seed)
        torch.save(torch.randn(3, 4, generator=generator), folder / "EM" / f"layer_{layer:02d}" / "shard_000.pt")
        import_vectors(folder / "EM", folder / "store")
        return folder / "store"

    first, second = shards(tmp_path / "a", 0, 1), shards(tmp_path / "b", 0, 2)
    merge_stores([first, second], tmp_path / "out")
    assert sum(pq.read_metadata(part).num_rows for part in (tmp_path / "out" / "vectors").iterdir()) == 6
    with pytest.raises(SpaceMismatch, match="vector_layers"):
        merge_stores([first, shards(tmp_path / "c", 5, 1)], tmp_path / "other")
