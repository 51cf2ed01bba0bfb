"""Arrow schemas of all Parquet datasets that pass between stages.

A stage reads and writes datasets. A user's own script may replace any stage if it keeps these columns. `VERSION` is
increased when a dataset changes in a way that readers notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from atlas.errors import StageError
from atlas.stages.activation_schemas import ACTIVATIONS
from atlas.stages.dataset import STATISTICS, Dataset
from atlas.stages.manifest import VERSION, read_manifest
from atlas.stages.other_schemas import STAGES
from atlas.stages.stats_schema import STATS

__all__ = ["DATASETS", "STATISTICS", "VERSION", "Dataset", "datasets_of", "is_whole", "require"]

_DATASETS = (*STATS, *STAGES, *ACTIVATIONS)
DATASETS: Mapping[str, Dataset] = {f"{dataset.stage}.{dataset.name}": dataset for dataset in _DATASETS}


def datasets_of(stage: str) -> list[Dataset]:
    """List the datasets of a stage.

    Args:
        stage: Name of the stage.

    Returns:
        The datasets that it writes.
    """
    return [dataset for dataset in _DATASETS if dataset.stage == stage]


def is_whole(folder: Path, stage: str) -> bool:
    """Return True if a stage folder is complete.

    Args:
        folder: Folder of the stage.
        stage: Name of the stage.

    Returns:
        True if the folder holds the manifest, and every dataset that is not optional, with its columns.
    """
    try:
        read_manifest(folder, stage)
        for dataset in datasets_of(stage):
            if not dataset.optional or dataset.path(folder).exists():
                require(folder, dataset)
    except StageError:
        return False
    return True


def require(folder: Path, dataset: Dataset) -> Path:
    """Check that a dataset exists and has the columns of its schema, and return its path.

    Args:
        folder: Folder of the stage.
        dataset: The dataset.

    Returns:
        Its path.

    Raises:
        StageError: The dataset is missing, or lacks a column.
    """
    import pyarrow.dataset as pads

    path = dataset.path(folder)
    try:
        found = pads.dataset(path, format="parquet").schema
    except (OSError, pa.ArrowInvalid) as error:
        raise StageError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error
    missing = [field.name for field in dataset.schema if field.name not in found.names]
    if missing:
        raise StageError(f"{path} lacks the column {', '.join(missing)}; it has {', '.join(found.names)}")
    return path
