"""Exports read back: by this package to the same store, and by the libraries that own the formats."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch")
zarr = pytest.importorskip("zarr")

from atlas.activations.exports import export_store  # noqa: E402
from atlas.activations.measures import measure  # noqa: E402
from atlas.errors import InputError, OutputError, SpaceMismatch, StageError, UsageError  # noqa: E402
from atlas.importers.activations import import_activations  # noqa: E402
from atlas.importers.samples import import_samples  # noqa: E402
from atlas.importers.vectors import import_vectors  # noqa: E402
from atlas.options import ExportOptions  # noqa: E402
from atlas.stages.store import backends  # noqa: E402
from atlas.stages.store.backends import (  # noqa: E402
    BatchZarrBackend,
    DelphiBackend,
    DuckDBBackend,
    NpyBackend,
    StoreBackend,
    TransposedZarrBackend,
    WindowBackend,
    open_backend,
)
from atlas.stages.store.cells import Context  # noqa: E402
from atlas.stages.store.collector import VOCABULARY, Collector  # noqa: E402
from atlas.stages.store.spaces import ActivationSpace  # noqa: E402

LAYER, UNITS = 3, 7
WORDS = ["<s>", " self", "é", "中", "\\n", ".", "_x_", "*b*"]


def make(folder: Path, *, whole: bool = False, layers: tuple[int, ...] = (LAYER,)) -> Path:
    """A store with a silent unit, a silent context, contexts of different lengths and negative values."""
    rng = np.random.default_rng(4)
    space = ActivationSpace(
        "org/m",
        "r1",
        hook="sae",
        unit_type="feature",
        value_kind="code",
        skips_first=not whole,
        skipped_tokens=() if whole else (0,),
        positions="whole" if whole else None,
    )
    thresholds = dict.fromkeys(layers, 0.0 if whole else 0.5)
    with Collector(folder, space=space, layers=dict.fromkeys(layers, UNITS), thresholds=thresholds) as collector:
        for number in range(23):
            ids = tuple(rng.integers(0, 8, int(rng.integers(2, 9))).tolist())
            context = Context(ids, f"doc {number}", number, "made", attributes=(("speaker", f"s{number % 3}"),))
            shape = (1, 1 if whole else len(ids), UNITS)
            values = {layer: rng.normal(0, 1, shape).astype(np.float32) for layer in layers}
            for value in values.values():
                value[:, :, 5] = 0
                value[np.abs(value) < 0.8] = 0
                value *= number != 7
            if whole:
                layer, unit = np.nonzero(values[LAYER][0])[0], np.nonzero(values[LAYER][0])[1]
                cells = {"layer": np.full(len(unit), LAYER), "context": layer * 0, "position": layer * 0, "unit": unit}
                collector.add_cells({**cells, "value": values[LAYER][0, 0, unit]}, [context])
            else:
                collector.add(values, [context])
        table = {"token_id": range(8), "token": WORDS, "is_special": [n == 0 for n in range(8)]}
        collector.write(VOCABULARY.table(table))
    return folder


def content(store: Path) -> dict[str, Any]:
    """Everything that a store holds, but the name of what it was imported from."""
    manifest = json.loads((store / "manifest.json").read_text())
    return {
        "cells": [row for part in sorted((store / "activations").glob("*")) for row in pq.read_table(part).to_pylist()],
        **{name: pq.read_table(store / f"{name}.parquet").to_pylist() for name in ("contexts", "units", "vocabulary")},
        "space": manifest["space"],
        "counts": manifest["counts"],
    }


FORMS = {
    "zarr": BatchZarrBackend,
    "zarr-transposed": TransposedZarrBackend,
    "npy": NpyBackend,
    "wandb": WindowBackend,
    "delphi": DelphiBackend,
}


@pytest.mark.parametrize("form", FORMS)
def test_an_export_is_imported_as_the_same_store(form: str, tmp_path: Path) -> None:
    store = make(tmp_path / "store")
    options = ExportOptions(batch_rows=9, features_per_file=3)
    summary = export_store(store, tmp_path / "out", form, options)
    before = content(store)
    assert (summary.rows, summary.contexts) == (len(before["cells"]), 23)
    import_activations(tmp_path / "out", tmp_path / "again")
    assert content(tmp_path / "again") == before
    assert len(before["cells"]) > 100
    # The same command replaces the export, and never a folder of something else.
    export_store(store, tmp_path / "out", form, options)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match="holds no export"):
        export_store(store, tmp_path / "mine", form)


@pytest.mark.parametrize("form", ["zarr", "zarr-transposed", "npy"])
def test_a_store_of_several_layers_comes_back_whole(form: str, tmp_path: Path) -> None:
    store = make(tmp_path / "store", layers=(LAYER, LAYER + 2))
    export_store(store, tmp_path / "out", form)
    summary = import_activations(tmp_path / "out", tmp_path / "again")
    assert content(tmp_path / "again") == content(store)
    assert (summary.layers, summary.units, summary.contexts) == (2, 2 * UNITS, 23)


@pytest.mark.parametrize("form", ["zarr", "zarr-transposed", "npy"])
def test_one_value_per_context(form: str, tmp_path: Path) -> None:
    store = make(tmp_path / "store", whole=True)
    export_store(store, tmp_path / "out", form, ExportOptions(batch_rows=10))
    import_activations(tmp_path / "out", tmp_path / "again")
    assert content(tmp_path / "again") == content(store)
    assert {row["position"] for row in content(store)["cells"]} == {-1}
    with pytest.raises(UsageError, match="this format holds positions"):
        export_store(store, tmp_path / "windows", "wandb")


@pytest.mark.parametrize("form", ["zarr", "npy", "wandb", "delphi"])
def test_values_are_exact_up_to_the_stated_type(form: str, tmp_path: Path) -> None:
    store = make(tmp_path / "store")
    export_store(store, tmp_path / "out", form, ExportOptions(dtype="float16"))
    import_activations(tmp_path / "out", tmp_path / "again")
    for mine, theirs in zip(content(store)["cells"], content(tmp_path / "again")["cells"], strict=True):
        assert theirs == {**mine, "value": float(np.float16(mine["value"]))}


def answers(backend: Any, layer: int = LAYER) -> dict[int, Any]:
    found = {}
    for unit in range(UNITS):
        cells = backend.load((layer, unit))
        found[unit] = [tuple(row) for row in zip(*(part.tolist() for part in cells), strict=True)]
    return found


def test_all_back_ends_give_the_same_answers(tmp_path: Path) -> None:
    import duckdb

    from atlas.database import Inputs, StoreInputs  # noqa: F401 (the file is made by hand)

    store = make(tmp_path / "store", whole=True)
    expected = answers(StoreBackend(store))
    assert sum(map(len, expected.values())) > 30
    assert expected[5] == []
    for form in ("zarr", "zarr-transposed", "npy"):
        export_store(store, tmp_path / form, form, ExportOptions(batch_rows=10))
        backend = open_backend(tmp_path / form)
        assert type(backend) is FORMS[form]
        backend.layer = LAYER
        assert (backend.layers, backend.context_count) == ({LAYER: UNITS}, 23)
        assert answers(backend) == expected
        assert backend.load((LAYER, UNITS)) is None
        assert backend.load((LAYER + 1, 0)) is None
        assert batches(backend, 4) == batches(StoreBackend(store), 6)
    with duckdb.connect(str(tmp_path / "file.duckdb")) as con:
        parts = str(store / "activations" / "*.parquet")
        con.execute(f"CREATE TABLE activations AS SELECT 'feature' AS unit_type, * FROM '{parts}'")
        con.execute("CREATE TABLE metadata AS SELECT 'activation_unit_type' AS key, 'feature' AS value")
        con.execute(
            f"CREATE TABLE activation_stats AS SELECT 'feature' AS unit_type, {LAYER} AS layer, unnest(range({UNITS})) AS unit"
        )
        con.execute(f"CREATE TABLE contexts AS FROM '{store}/contexts.parquet'")
    opened = open_backend(tmp_path / "file.duckdb")
    assert isinstance(opened, DuckDBBackend)
    assert answers(opened) == expected
    assert batches(opened, 5) == batches(StoreBackend(store), 6)


def test_back_ends_of_windows_give_the_same_answers(tmp_path: Path) -> None:
    store = make(tmp_path / "store", layers=(LAYER, 4))
    for form in ("wandb", "delphi"):
        export_store(store, tmp_path / form, form, ExportOptions(features_per_file=3))
        backend = open_backend(tmp_path / form)
        assert type(backend) is FORMS[form]
        backend.units = UNITS  # a file of windows does not state them
        assert (dict(backend.layers), backend.context_count) == ({3: UNITS, 4: UNITS}, 23)
        for layer in (3, 4):
            assert answers(backend, layer) == answers(StoreBackend(store), layer)
        assert batches(backend, 4) == batches(StoreBackend(store), 6)


def batches(backend: Any, size: int) -> list[Any]:
    found = []
    last = 0
    for batch in backend.batches(size):
        assert batch.first == last
        last = batch.last
        columns = (batch.context, batch.position, batch.layer, batch.unit, batch.value)
        rows = list(zip(*(part.tolist() for part in columns), strict=True))
        assert all(batch.first <= row[0] < batch.last for row in rows)
        found += rows
    assert last == backend.context_count
    assert found == sorted(found)
    return found


class OfMine:
    """A back end of somebody else."""

    is_available, layers, context_count = True, {0: 2}, 3

    def load(self, unit: tuple[int, int]) -> Any:
        return (
            backends.Cells(np.array([1]), np.array([0], np.int32), np.array([2.5], np.float32))
            if unit == (0, 1)
            else None
        )

    def batches(self, size: int) -> Any:
        one = np.array([1])
        yield backends.CellBatch(0, 3, one, one * 0, one * 0, one, np.array([2.5], np.float32))


def test_a_back_end_of_ones_own_fills_a_store(tmp_path: Path) -> None:
    mine: backends.ActivationBackend = OfMine()
    contexts = [Context((1, 2), "a"), Context((3,), "b"), Context((4, 5), "c")]
    with Collector(tmp_path / "store", space=ActivationSpace("m"), layers=mine.layers) as collector:
        for batch in mine.batches(10):
            names = ("layer", "context", "position", "unit", "value")
            collector.add_cells({name: getattr(batch, name) for name in names}, contexts[batch.first : batch.last])
    assert StoreBackend(tmp_path / "store").load((0, 1)).value.tolist() == [2.5]
    assert StoreBackend(tmp_path / "store").load((0, 0)).value.tolist() == []


def test_arrays_are_read_by_zarr_and_numpy(tmp_path: Path) -> None:
    store = make(tmp_path / "store")
    cells = content(store)["cells"]
    for form in ("zarr", "zarr-transposed", "npy"):
        export_store(store, tmp_path / form, form, ExportOptions(batch_rows=20))
    rows = pq.read_table(tmp_path / "zarr" / "rows.parquet").to_pylist()
    place = {(row["context_id"], row["position"]): number for number, row in enumerate(rows)}
    dense = np.zeros((len(rows), UNITS), np.float32)
    for cell in cells:
        dense[place[cell["context_id"], cell["position"]], cell["unit"]] = cell["value"]
    parts = sorted((tmp_path / "zarr" / "activations").iterdir())
    assert len(parts) == -(-len(rows) // 20) > 3
    np.testing.assert_array_equal(np.concatenate([zarr.open_array(str(part), mode="r")[:] for part in parts]), dense)
    wide = zarr.open_array(str(tmp_path / "zarr-transposed" / "transposed_activations.zarr"), mode="r")
    np.testing.assert_array_equal(wide[:], dense.T)
    assert wide.chunks[0] == 1
    for unit in range(UNITS):
        folder = tmp_path / "npy" / "neuron_acts" / f"neuron_{unit:04d}"
        values, places = np.load(folder / "acts.npy"), np.load(folder / "idxs.npy")
        np.testing.assert_array_equal(values, dense[places, unit])
        assert np.count_nonzero(dense[:, unit]) == len(values)
    metadata = [pq.read_table(p).to_pylist() for p in sorted((tmp_path / "zarr" / "metadata").iterdir())]
    assert [row["global_index"] for part in metadata for row in part] == list(range(len(rows)))
    with pa.ipc.open_file(str(tmp_path / "npy" / "neuron_acts" / "analysis_df_records.ipc")) as reader:
        assert reader.read_all().num_rows == len(rows)


def test_tensor_files_are_read_by_torch_and_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    store = make(tmp_path / "store")
    cells = {(c["context_id"], c["position"], c["unit"]): c["value"] for c in content(store)["cells"]}
    export_store(store, tmp_path / "wandb", "wandb", ExportOptions())
    folder = tmp_path / "wandb" / "activation_data"
    found = torch.load(folder / f"blocks--{LAYER}--hook_resid_post.pt", weights_only=True)
    seen = {
        (int(window), at, int(unit)): float(value)
        for row, window, unit in zip(
            found["nonzero_activations"], found["data_indices"], found["neuron_indices"], strict=True
        )
        for at, value in enumerate(row)
        if value
    }
    assert seen == cells
    words = torch.load(folder / "all_token_ids.pt", weights_only=True)
    assert [len(row) for row in words] == [len(row["token_ids"]) for row in content(store)["contexts"]]
    export_store(store, tmp_path / "delphi", "delphi", ExportOptions(features_per_file=3))
    module = tmp_path / "delphi" / "latents" / f"layers.{LAYER}"
    assert sorted(path.name for path in module.glob("*.safetensors")) == [
        "0_2.safetensors",
        "3_5.safetensors",
        "6_6.safetensors",
    ]
    seen = {}
    for path in module.glob("*.safetensors"):
        split = load_file(path)
        first = int(path.name.partition("_")[0])
        assert split["locations"].dtype == torch.uint16
        for (context, at, latent), value in zip(
            split["locations"].tolist(), split["activations"].tolist(), strict=True
        ):
            seen[context, at, latent + first] = value
    assert seen == cells


def test_vectors_come_back_from_shards(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    space = ActivationSpace("m", hook="resid", unit_type="dimension", positions="last", vector_layers=(0, 2))
    values = {layer: torch.from_numpy(rng.normal(0, 1, (5, 4, 6)).astype(np.float32)).bfloat16() for layer in (0, 2)}
    with Collector(tmp_path / "store", space=space, layers={}) as collector:
        collector.add_vectors(values, [Context((1, 2, 3, 4), str(n)) for n in range(5)], last=True)
    export_store(tmp_path / "store", tmp_path / "EM", "shards", ExportOptions(dtype="bfloat16", batch_rows=2))
    assert sorted(path.name for path in (tmp_path / "EM" / "layer_02").iterdir()) == [
        f"shard_00{n}.pt" for n in range(3)
    ]
    assert torch.equal(torch.load(tmp_path / "EM" / "layer_02" / "shard_001.pt", weights_only=True), values[2][2:4, 3])
    summary = import_vectors(tmp_path / "EM", tmp_path / "again")
    assert (summary.layers, summary.rows, summary.notes()) == (2, 5, [])
    with pytest.raises(UsageError, match="holds vectors and no activations of units"):
        export_store(tmp_path / "store", tmp_path / "x", "zarr")


@pytest.fixture
def measured(tmp_path: Path) -> tuple[Path, Path]:
    store = make(tmp_path / "store")
    measure(store, tmp_path / "measures")
    return store, tmp_path / "measures"


def test_samples_and_their_report(measured: tuple[Path, Path], tmp_path: Path) -> None:
    store, measures = measured
    export_store(store, tmp_path / "out", "samples", ExportOptions(examples=3), measures=measures)
    stats = {row["unit"]: row for row in pq.read_table(measures / "activation_stats.parquet").to_pylist()}
    summary = json.loads((tmp_path / "out" / "collection_summary.json").read_text())
    assert summary["features_with_samples"] == [0, 1, 2, 3, 4, 6]
    assert summary["total_samples_seen"] == len(content(store)["cells"])
    contexts = content(store)["contexts"]
    for unit in summary["features_with_samples"]:
        found = json.loads((tmp_path / "out" / f"feature_{unit:05d}_samples.json").read_text())
        assert found["statistics"]["activation_count"] == stats[unit]["active_count"]
        assert found["statistics"]["mean_activation"] == stats[unit]["mean_active"]
        assert 0 < len(found["top_samples"]) <= 3
        sizes = [abs(sample["activation_value"]) for sample in found["top_samples"]]
        assert sizes == sorted(sizes, reverse=True)
        for sample in found["top_samples"]:
            assert any(
                sample["tokens"][-1] == WORDS[row["token_ids"][sample["position"]]]
                for row in contexts
                if len(row["token_ids"]) > sample["position"]
            )
    report = (tmp_path / "out" / "report.md").read_text()
    assert report.startswith("# SAE Feature Interpretability Report\n")
    assert "*b*" not in report.replace("\\*b\\*", "")
    with pytest.raises(UsageError, match="give them with --measures"):
        export_store(store, tmp_path / "bare", "samples")
    # The layer is that of export.json.
    import_samples([tmp_path / "out"], tmp_path / "again")
    assert [row["layer"] for row in content(tmp_path / "again")["units"]] == [LAYER]
    assert not (tmp_path / "bare").exists()


def test_statistics_of_another_store_are_refused(measured: tuple[Path, Path], tmp_path: Path) -> None:
    other = make(tmp_path / "other", layers=(LAYER + 1,))
    with pytest.raises(SpaceMismatch, match="statistics of another store"):
        export_store(other, tmp_path / "out", "samples", measures=measured[1])
    assert not (tmp_path / "out").exists()


def test_neuronpedia_files(measured: tuple[Path, Path], tmp_path: Path) -> None:
    store, measures = measured
    summary = export_store(store, tmp_path / "out", "neuronpedia", measures=measures)
    folder = tmp_path / "out" / "org--m" / f"{LAYER}-sae"
    cells: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)
    for cell in content(store)["cells"]:
        cells[cell["context_id"], cell["unit"]][cell["position"]] = cell["value"]
    features, activations = (
        [json.loads(line) for line in gzip.decompress((folder / name / "batch-0.jsonl.gz").read_bytes()).splitlines()]
        for name in ("features", "activations")
    )
    assert [row["index"] for row in features] == list(range(UNITS))
    assert len(activations) == summary.rows > 20
    for row in activations:
        assert len(row["tokens"]) == len(row["values"])
        mine = {at: value for at, value in enumerate(row["values"]) if value}
        assert mine in [found for (_, unit), found in cells.items() if unit == row["index"]]
        assert abs(row["values"][row["qualifyingTokenIndex"]]) == max(map(abs, row["values"]))


def test_an_arrow_stream_of_all_activations(tmp_path: Path) -> None:
    store = make(tmp_path / "store")
    export_store(store, tmp_path / "out", "arrow")
    with pa.ipc.open_stream(str(tmp_path / "out" / "activations.arrows")) as reader:
        assert reader.read_all().to_pylist() == content(store)["cells"]


def test_what_cannot_be_exported_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="is no activations folder"):
        export_store(tmp_path, tmp_path / "out", "zarr")
    with pytest.raises(UsageError, match="format 'csv' is none; there are zarr"):
        export_store(tmp_path, tmp_path / "out", "csv")
    with pytest.raises(UsageError, match="dtype 'float8' is none"):
        ExportOptions(dtype="float8")
    several = make(tmp_path / "several", layers=(1, 2))
    measure(several, tmp_path / "measures")
    with pytest.raises(InputError, match=r"sample folders hold one layer, and .* has \[1, 2\]"):
        export_store(several, tmp_path / "out", "samples", measures=tmp_path / "measures")
    export_store(several, tmp_path / "out", "npy")
    for layer in (1, 2):
        import_activations(tmp_path / "out" / f"layer_{layer:02d}", tmp_path / "again")
        mine = [cell for cell in content(several)["cells"] if cell["layer"] == layer]
        assert content(tmp_path / "again")["cells"] == mine
