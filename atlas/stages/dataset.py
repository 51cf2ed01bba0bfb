"""Datasets, and the columns that several of them share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

NAME = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class Dataset:
    """One Parquet dataset: a file, or a folder of part files, inside a stage's folder."""

    name: str
    stage: str
    schema: pa.Schema
    doc: str
    parted: bool = False
    optional: bool = False  # only some runs of the stage write it

    def path(self, folder: Path) -> Path:
        """Return the path of the dataset inside the folder of its stage.

        Args:
            folder: Folder of the stage.

        Returns:
            A file, or a folder of parts.
        """
        return folder / self.name if self.parted else folder / f"{self.name}.parquet"

    def table(self, columns: Mapping[str, Any]) -> pa.Table:
        """Make a table of this schema.

        Args:
            columns: Values by name, all of one length (n_rows,); none may be missing.

        Returns:
            The table, with its columns in the order of the schema.
        """
        return pa.table({field.name: columns[field.name] for field in self.schema}, schema=self.schema)

    def empty(self) -> pa.Table:
        """Return an empty table of the dataset.

        Returns:
            A table of the schema.
        """
        return self.schema.empty_table()


def fields(*pairs: tuple[str, pa.DataType]) -> list[pa.Field]:
    """Return columns that may be null, because a source may not know them."""
    return [pa.field(name, kind) for name, kind in pairs]


def required(*pairs: tuple[str, pa.DataType]) -> list[pa.Field]:
    """Return columns that every row fills."""
    return [pa.field(name, kind, nullable=False) for name, kind in pairs]


# Counts, sums and extrema over links: DESIGN section 5. Only the number of links is always known. Files of earlier
# tools do not state distinct graphs, and some state only means. Unknown values are null.
STATISTICS = [
    *required(("count", pa.int64())),
    *fields(
        ("graph_count", pa.int64()),
        ("positive_count", pa.int64()),
        ("weight_sum", pa.float64()),
        ("weight_abs_sum", pa.float64()),
        ("weight_sq_sum", pa.float64()),
        ("weight_min", pa.float64()),
        ("weight_max", pa.float64()),
    ),
]
NEURON = required(("layer", pa.int32()), ("neuron", pa.int32()))
PAIR = required(
    ("src_layer", pa.int32()), ("src_neuron", pa.int32()), ("tgt_layer", pa.int32()), ("tgt_neuron", pa.int32())
)
TOKEN = required(("token_id", pa.int64()))
METHOD = required(("method", NAME))
# HALVES: sums over one hash-half of the graphs; the rest is the other half. TOGETHER: number of graphs that hold both
# ends, linked or not.
HALVES = fields(("half_count", pa.int64()), ("half_weight_sum", pa.float64()))
TOGETHER = fields(("joint_graph_count", pa.int64()))
# Counts, sums and extrema of the activation and the influence of a unit.
NODE_VALUES = fields(
    ("activation_count", pa.int64()),
    ("activation_sum", pa.float64()),
    ("activation_sq_sum", pa.float64()),
    ("activation_min", pa.float64()),
    ("activation_max", pa.float64()),
    ("influence_count", pa.int64()),
    ("influence_sum", pa.float64()),
    ("influence_abs_sum", pa.float64()),
    ("influence_min", pa.float64()),
    ("influence_max", pa.float64()),
)
