"""Exports as files of tensors: windows of W&B artefacts, latent caches of delphi, and residual shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from atlas.activations.exports.source import ExportSource
from atlas.errors import UsageError, needs_extra
from atlas.io.files import write_json
from atlas.stages import DATASETS
from atlas.stages.store.backends.windows import TOKENS
from atlas.stages.store.byte_tokens import spelled

Progress = Callable[[str, int, int], None]
_UINT16 = 1 << 16


def export_wandb(source: ExportSource, folder: Path, progress: Progress) -> int:
    """Write activation_data/{hook}.pt of windows of one unit, and all_token_ids.pt.

    A row is a window in which the unit is active on any token. Readers of the format keep rows by their sum, which may be 0.
    """
    _require_units(source)
    target = folder / "activation_data"
    target.mkdir()
    width = max(map(len, source.token_ids), default=0)
    total, facts = 0, {}
    names = {layer: _hook(source, layer) for layer in source.backend.layers}
    for layer, columns in _by_layer(source, progress):
        key = np.stack([columns["context"], columns["unit"]], 1)
        rows, place = np.unique(key, axis=0, return_inverse=True)
        values = np.zeros((len(rows), width), np.float32)
        values[place.ravel(), columns["position"]] = columns["value"]
        kept = {
            "nonzero_activations": torch.from_numpy(values).to(getattr(torch, source.options.dtype)),
            "data_indices": torch.from_numpy(rows[:, 0].astype(np.int64)),
            "neuron_indices": torch.from_numpy(rows[:, 1].astype(np.int64)),
        }
        torch.save(kept, target / f"{names[layer].replace('.', '--')}.pt")
        alive = len(np.unique(columns["unit"]))
        facts[names[layer]] = {
            "alive_dict_components": alive,
            "alive_dict_components_proportion": alive / source.backend.layers[layer],
        }
        total += len(columns["value"])
    torch.save(
        [[spelled(token) for token in source.tokens_of(c)] for c in range(len(source.token_ids))], target / TOKENS
    )
    write_json(facts, target / "evaluation_metrics.json")
    source.write_contexts(folder, "wandb")
    return total


def _hook(source: ExportSource, layer: int) -> str:
    return f"blocks.{layer}.mlp.hook_post" if source.space.hook == "mlp" else f"blocks.{layer}.hook_resid_post"


def export_delphi(source: ExportSource, folder: Path, progress: Progress) -> int:
    """Write latents/{module}/{first}_{last}.safetensors with locations, activations and tokens."""
    with needs_extra("trace"):
        from safetensors.torch import save
    _require_units(source)
    total, step = 0, source.options.features_per_file
    width = max(map(len, source.token_ids), default=0)
    # Sequences of a cache have one length; padding is behind the tokens.
    tokens = torch.tensor([ids + [0] * (width - len(ids)) for ids in source.token_ids], dtype=torch.int64)
    for layer, columns in _by_layer(source, progress):
        name = f"layers.{layer}.mlp" if source.space.hook == "mlp" else f"layers.{layer}"
        module = folder / "latents" / name
        module.mkdir(parents=True)
        units = source.backend.layers[layer]
        for first in range(0, units, step):
            last = min(first + step, units)
            mine = (columns["unit"] >= first) & (columns["unit"] < last)
            place = np.stack([columns["context"], columns["position"], columns["unit"] - first], 1)[mine]
            fits = max(len(source.token_ids), last - first) < _UINT16
            found = {
                "locations": torch.from_numpy(place.astype(np.int64)).to(torch.uint16 if fits else torch.uint32),
                "activations": torch.from_numpy(columns["value"][mine]).to(getattr(torch, source.options.dtype)),
                "tokens": tokens,
            }
            (module / f"{first}_{last - 1}.safetensors").write_bytes(save(found))
            total += len(place)
        facts = {"model_name": source.space.model, "cache_ctx_len": width, "n_tokens": int(tokens.numel())}
        facts |= {"n_splits": -(-units // step), "batch_size": 1, "dataset_repo": None, "dataset_split": None}
        write_json(facts | {"dataset_name": None, "dataset_column": None}, module / "config.json")
    source.write_contexts(folder, "delphi")
    return total


def export_shards(source: ExportSource, folder: Path, progress: Progress) -> int:
    """Write layer_00/shard_000.pt, ... of the vectors of a store, (rows, d), and metadata.json."""
    dataset = DATASETS["activations.vectors"]
    if not dataset.path(source.store).is_dir():
        raise UsageError(f"{source.store} holds no vectors; export activations of units as wandb, delphi, zarr or npy")
    layers: set[int] = set()
    rows = width = 0
    for layer, vectors in _vectors(dataset.path(source.store)):
        target = folder / f"layer_{layer:02d}"
        target.mkdir(exist_ok=True)
        for number, first in enumerate(range(0, len(vectors), source.options.batch_rows)):
            part = torch.from_numpy(vectors[first : first + source.options.batch_rows].copy())
            torch.save(part.to(getattr(torch, source.options.dtype)), target / f"shard_{number:03d}.pt")
        layers.add(layer)
        rows, width = len(vectors), vectors.shape[1]
        progress("writing layers", len(layers), 0)
    facts: dict[str, Any] = {
        "model_name": source.space.model,
        "dataset_name": None,
        "load_in_4bit": False,
        "split": folder.name.strip("."),
    }
    facts |= {"total_examples": rows, "shard_size": source.options.batch_rows, "batch_size": source.options.batch_rows}
    facts |= {"hidden_dim": width, "num_layers": len(layers), "dtype": source.options.dtype, "hook": "resid_post"}
    write_json(facts | {"positions": source.space.positions}, folder / "metadata.json")
    source.write_contexts(folder, "shards")
    return rows * len(layers)


def _vectors(folder: Path) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the vectors of every layer, in the order of contexts and positions."""
    parts = sorted(folder.glob("*.parquet"))
    layers = sorted(
        {layer for part in parts for layer in pq.read_table(part, columns=["layer"])["layer"].unique().to_pylist()}
    )
    for layer in layers:
        pieces = [pq.read_table(part, filters=[("layer", "=", layer)])["vector"] for part in parts]
        found = [np.stack(piece.to_numpy(zero_copy_only=False)) for piece in pieces if len(piece)]
        yield layer, np.concatenate(found).astype(np.float32)


def _require_units(source: ExportSource) -> None:
    if not source.backend.layers:
        raise UsageError(f"{source.store} holds vectors and no activations of units; export them as shards")
    if source.is_whole:
        raise UsageError(
            "this format holds positions, and the store has one value per context; export it as zarr or npy"
        )


def _by_layer(source: ExportSource, progress: Progress) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
    """Yield the activations of every layer, in the order of contexts, positions and units."""
    for number, layer in enumerate(source.backend.layers):
        pieces: dict[str, list[NDArray[Any]]] = {name: [] for name in ("context", "position", "unit", "value")}
        for batch in source.backend.batches(10_000):
            mine = batch.layer == layer
            for name, found in pieces.items():
                found.append(getattr(batch, name)[mine])
        yield layer, {name: np.concatenate(found) for name, found in pieces.items()}
        progress("writing layers", number + 1, len(source.backend.layers))
