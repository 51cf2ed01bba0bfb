"""Back ends of activations: one way to ask for all values of a unit, whatever holds them.

| class | holds |
|---|---|
| `StoreBackend` | a store of this package, Parquet sorted by unit |
| `DuckDBBackend` | the table `activations` of an atlas, or of any DuckDB file |
| `BatchZarrBackend` | Zarr arrays (samples, features), one per batch, with Parquet metadata |
| `TransposedZarrBackend` | one Zarr array (features, samples) |
| `NpyBackend` | folders neuron_0000/ with acts.npy and idxs.npy |
| `WindowBackend` | .pt files of windows, one per layer (W&B artefacts) |
| `DelphiBackend` | latents/{module}/ of safetensors (delphi) |

Any object with these methods is a back end.
"""

from __future__ import annotations

from pathlib import Path

from atlas.errors import InputError
from atlas.stages.store.backends.dense import BatchZarrBackend, NpyBackend, OneLayer, TransposedZarrBackend
from atlas.stages.store.backends.own import DuckDBBackend, StoreBackend
from atlas.stages.store.backends.protocol import ActivationBackend, CellBatch, Cells
from atlas.stages.store.backends.windows import DelphiBackend, WindowBackend

__all__ = [
    "ActivationBackend",
    "BatchZarrBackend",
    "CellBatch",
    "Cells",
    "DelphiBackend",
    "DuckDBBackend",
    "NpyBackend",
    "OneLayer",
    "StoreBackend",
    "TransposedZarrBackend",
    "WindowBackend",
    "open_backend",
]
_KINDS = (
    StoreBackend,
    DuckDBBackend,
    BatchZarrBackend,
    TransposedZarrBackend,
    NpyBackend,
    DelphiBackend,
    WindowBackend,
)


def open_backend(path: Path) -> ActivationBackend:
    """Open the activations that a path holds.

    Args:
        path: Folder or file of any of the kinds above.

    Returns:
        The first back end that is available there.

    Raises:
        InputError: None is.
    """
    for kind in _KINDS:
        backend: ActivationBackend = kind(path)
        if backend.is_available:
            return backend
    raise InputError(
        f"{path} holds no activations that are known: no store, .duckdb, batch_0000.zarr, transposed_activations.zarr, "
        "neuron_0000/, latents/ of delphi, or layer files .pt of windows with all_token_ids.pt"
    )
