"""The Arrow schema of every Parquet dataset that passes between two stages.

A stage reads datasets and writes datasets; any of them may be replaced by a user's own script that
keeps these columns. `version` is raised when a dataset changes in a way that readers notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from atlas.errors import StageError
from atlas.storage import read_manifest

VERSION = 2

_NAME = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class Dataset:
    """One Parquet dataset: a file, or a folder of part files, inside a stage's folder."""

    name: str
    stage: str
    schema: pa.Schema
    doc: str
    parted: bool = False

    def path(self, folder: Path) -> Path:
        """Where the dataset lies inside the folder of its stage."""
        return folder / self.name if self.parted else folder / f"{self.name}.parquet"

    def table(self, columns: Mapping[str, Any]) -> pa.Table:
        """A table of this schema from columns by name; a missing column is an error."""
        return pa.table({field.name: columns[field.name] for field in self.schema}, schema=self.schema)

    def empty(self) -> pa.Table:
        """The dataset without rows."""
        return self.schema.empty_table()


def _fields(*pairs: tuple[str, pa.DataType]) -> list[pa.Field]:
    return [pa.field(name, kind) for name, kind in pairs]


def _required(*pairs: tuple[str, pa.DataType]) -> list[pa.Field]:
    return [pa.field(name, kind, nullable=False) for name, kind in pairs]


# Counts, sums and extrema over links: DESIGN section 5. Only the number of links is always known: files of
# earlier tools state no distinct graphs, some only means; what is unknown is null.
STATISTICS = [
    *_required(("count", pa.int64())),
    *_fields(
        ("graph_count", pa.int64()),
        ("positive_count", pa.int64()),
        ("weight_sum", pa.float64()),
        ("weight_abs_sum", pa.float64()),
        ("weight_sq_sum", pa.float64()),
        ("weight_min", pa.float64()),
        ("weight_max", pa.float64()),
    ),
]
_NEURON = _required(("layer", pa.int32()), ("neuron", pa.int32()))
_PAIR = _required(
    ("src_layer", pa.int32()), ("src_neuron", pa.int32()), ("tgt_layer", pa.int32()), ("tgt_neuron", pa.int32())
)
_TOKEN = _required(("token_id", pa.int64()))
_METHOD = _required(("method", _NAME))
# One hash-half of the graphs; the other half is the rest. And the graphs that hold both ends, linked or not.
_HALVES = _fields(("half_count", pa.int64()), ("half_weight_sum", pa.float64()))
_TOGETHER = _fields(("both_graphs", pa.int64()))
# One row of how often a unit was seen active, and how strongly.
_NODE_VALUES = _fields(
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

_DATASETS = (
    Dataset(
        "graphs",
        "stats",
        pa.schema(
            [
                *_required(("graph_id", pa.int32()), ("path", pa.string())),
                *_fields(
                    ("content_hash", pa.string()),
                    ("size_bytes", pa.int64()),
                    ("dialect", _NAME),
                    ("slug", pa.string()),
                    ("prompt", pa.string()),
                    ("prompt_tokens", pa.list_(pa.string())),
                    ("corpus_source", pa.string()),
                    ("corpus_index", pa.int64()),
                    ("nodes_exceeded", pa.bool_()),
                ),
                *_required(
                    ("node_count", pa.int32()),
                    ("neuron_count", pa.int32()),
                    ("link_count", pa.int32()),
                    ("kept_count", pa.int32()),
                    ("dropped_count", pa.int32()),
                    ("self_loop_count", pa.int32()),
                    ("backward_count", pa.int32()),
                ),
            ]
        ),
        "one attribution graph: where it came from and how many of its links were kept",
    ),
    Dataset(
        "link_counts",
        "stats",
        pa.schema(
            _required(
                ("graph_id", pa.int32()),
                ("subject", _NAME),
                ("kept", pa.bool_()),
                ("reason", _NAME),
                ("count", pa.int64()),
            )
        ),
        "per graph, how many links went to which table, or were dropped for which reason; and oddities of nodes",
    ),
    Dataset(
        "neurons",
        "stats",
        pa.schema([*_NEURON, *_required(("graph_count", pa.int64()), ("node_count", pa.int64())), *_NODE_VALUES]),
        "one neuron (or transcoder feature) over all graphs",
        parted=True,
    ),
    Dataset(
        "neuron_graphs",
        "stats",
        pa.schema(
            [
                *_NEURON,
                *_required(("graph_id", pa.int32()), ("node_count", pa.int32())),
                *_fields(
                    ("positions", pa.list_(pa.int32())),
                    ("activation_max", pa.float64()),
                    ("influence_min", pa.float64()),
                    ("influence_max", pa.float64()),
                ),
            ]
        ),
        "one neuron in one graph, with the token positions where it is a node",
        parted=True,
    ),
    Dataset(
        "edges",
        "stats",
        pa.schema([*_PAIR, *STATISTICS, *_HALVES, *_TOGETHER, *_METHOD]),
        "neuron -> neuron",
        parted=True,
    ),
    Dataset("token_edges", "stats", pa.schema([*_TOKEN, *_NEURON, *STATISTICS]), "input token -> neuron", parted=True),
    Dataset("logit_edges", "stats", pa.schema([*_NEURON, *_TOKEN, *STATISTICS]), "neuron -> output token", parted=True),
    Dataset(
        "token_logit_edges",
        "stats",
        pa.schema([*_required(("src_token_id", pa.int64()), ("tgt_token_id", pa.int64())), *STATISTICS]),
        "input token -> output token",
        parted=True,
    ),
    Dataset("error_mass", "stats", pa.schema([*_NEURON, *STATISTICS]), "error nodes -> neuron", parted=True),
    Dataset("logit_error_mass", "stats", pa.schema([*_TOKEN, *STATISTICS]), "error nodes -> output token", parted=True),
    Dataset(
        "cooccurrence",
        "stats",
        pa.schema(
            [
                *_NEURON,
                *_required(
                    ("rank", pa.int32()),
                    ("other_layer", pa.int32()),
                    ("other_neuron", pa.int32()),
                    ("both_graphs", pa.int64()),
                    ("lift", pa.float64()),
                    ("pmi", pa.float64()),
                ),
                *_fields(("npmi", pa.float64())),
            ]
        ),
        "per neuron, the neurons that are in the same graphs most tellingly",
        parted=True,
    ),
    Dataset(
        "edge_samples",
        "stats",
        pa.schema(
            [
                *_PAIR,
                *_required(("bucket", pa.int32()), ("count", pa.int64()), ("weight_sum", pa.float64())),
            ]
        ),
        "a sample of the edges by hash-sixteenth of the graphs: how reliable edges are against the number of graphs",
    ),
    Dataset(
        "files",
        "stats",
        pa.schema(
            [
                *_required(("path", pa.string()), ("size_bytes", pa.int64()), ("mtime_ns", pa.int64())),
                *_fields(("content_hash", pa.string())),
                *_required(("graph_count", pa.int64()), ("reject_count", pa.int64())),
            ]
        ),
        "one input file as it was when its graphs were read: what an increment does not read again",
    ),
    Dataset(
        "tokens",
        "stats",
        pa.schema(
            [
                *_TOKEN,
                *_fields(("token", pa.string())),
                *_required(("input_graph_count", pa.int64()), ("output_graph_count", pa.int64())),
                *_fields(("probability_max", pa.float64())),
            ]
        ),
        "one vocabulary entry that was an input or a traced output",
    ),
    Dataset(
        "graph_labels",
        "stats",
        pa.schema([*_NEURON, *_required(("text", pa.string()), ("graph_count", pa.int64()))]),
        "texts that the graph files themselves carry for a neuron (clerp)",
    ),
    Dataset(
        "rejects",
        "stats",
        pa.schema(
            [
                *_required(("path", pa.string()), ("reason", pa.string()), ("message", pa.string())),
                *_fields(("size_bytes", pa.int64())),
            ]
        ),
        "one file that was not read, and why",
    ),
    Dataset(
        "clusterings",
        "clusters",
        pa.schema(
            [
                *_required(("name", pa.string()), ("method", pa.string()), ("options", pa.string())),
                *_fields(
                    ("seed", pa.int64()),
                    ("trial_count", pa.int32()),
                    ("codelength", pa.float64()),
                    ("one_level_codelength", pa.float64()),
                    ("quality", pa.float64()),
                    ("edge_count", pa.int64()),
                    ("neuron_count", pa.int64()),
                    ("cluster_count", pa.int64()),
                    ("top_cluster_count", pa.int64()),
                    ("max_level", pa.int32()),
                ),
            ]
        ),
        "one clustering: method, options, seed and how good it is",
    ),
    Dataset(
        "members",
        "clusters",
        pa.schema(
            [
                *_NEURON,
                *_required(("cluster_path", pa.string()), ("top_cluster", pa.int32())),
                *_fields(("sub_module", pa.int32()), ("subsub_module", pa.int32())),
                *_required(("hierarchy_depth", pa.int32())),
                *_fields(("flow", pa.float64())),
            ]
        ),
        "one neuron's place in the clustering",
    ),
    Dataset(
        "clusters",
        "clusters",
        pa.schema(
            [
                *_required(("cluster_path", pa.string()), ("level", pa.int32()), ("top_cluster", pa.int32())),
                *_fields(("sub_module", pa.int32()), ("subsub_module", pa.int32()), ("parent_path", pa.string())),
                *_required(
                    ("size", pa.int64()),
                    ("layer_min", pa.int32()),
                    ("layer_max", pa.int32()),
                    ("median_layer", pa.float64()),
                ),
                *_fields(("flow", pa.float64())),
            ]
        ),
        "one cluster at any level; every prefix of a cluster_path is one",
    ),
    Dataset(
        "labels",
        "labels",
        pa.schema(
            [
                *_NEURON,
                *_fields(
                    ("rank", pa.int32()),
                    ("kind", pa.string()),
                    ("text", pa.string()),
                    ("description", pa.string()),
                    ("source", pa.string()),
                    ("model", pa.string()),
                    ("confidence", pa.string()),
                    ("interpretability", pa.string()),
                    ("type", pa.string()),
                    ("score", pa.float64()),
                    ("num_exemplars", pa.int32()),
                    ("max_activation", pa.float64()),
                ),
                *_required(("is_junk", pa.bool_()), ("file", pa.string())),
            ]
        ),
        "one label of one neuron; rank 1 is the one shown, junk has no rank",
    ),
    Dataset(
        "label_files",
        "labels",
        pa.schema(
            _required(
                ("path", pa.string()),
                ("size_bytes", pa.int64()),
                ("content_hash", pa.string()),
                ("row_count", pa.int64()),
                ("kept_count", pa.int64()),
                ("junk_count", pa.int64()),
                ("malformed_count", pa.int64()),
            )
        ),
        "one label file and what became of its rows",
    ),
    Dataset(
        "projections",
        "projections",
        pa.schema(
            [
                *_NEURON,
                *_required(
                    ("projection_kind", _NAME), ("direction", _NAME), ("rank", pa.int32()), ("token_id", pa.int64())
                ),
                *_fields(("token", pa.string())),
                *_required(("weight", pa.float64())),
            ]
        ),
        "tokens that a neuron's weights promote, suppress or answer to",
    ),
    Dataset(
        "neuron_norms",
        "projections",
        pa.schema(
            [
                *_NEURON,
                *_required(("output_norm", pa.float64()), ("up_norm", pa.float64()), ("gate_norm", pa.float64())),
            ]
        ),
        "one neuron's lengths of what it writes and reads",
    ),
    Dataset(
        "direct_effects",
        "projections",
        pa.schema(
            [
                *_NEURON,
                *_required(
                    ("prompt_count", pa.int32()),
                    ("ratio_mean", pa.float64()),
                    ("ratio_std", pa.float64()),
                    ("ratio_min", pa.float64()),
                    ("ratio_max", pa.float64()),
                    ("effect_type", _NAME),
                ),
            ]
        ),
        "one neuron's direct effect ratio over prompts",
    ),
    Dataset(
        "exemplars",
        "projections",
        pa.schema(
            [
                *_NEURON,
                *_required(
                    ("sign", pa.int32()), ("rank", pa.int32()), ("activation", pa.float64()), ("token_id", pa.int64())
                ),
                *_fields(("token", pa.string()), ("context", pa.string())),
                *_required(("position", pa.int32()), ("prompt_path", pa.string())),
            ]
        ),
        "one place in a corpus where a neuron fires most",
    ),
    Dataset(
        "automatic_labels",
        "projections",
        pa.schema(
            [
                *_NEURON,
                *_required(("kind", pa.string()), ("label", pa.string())),
                *_fields(
                    ("description", pa.string()),
                    ("source", pa.string()),
                    ("confidence", pa.string()),
                    ("num_exemplars", pa.int32()),
                    ("score", pa.float64()),
                ),
            ]
        ),
        "labels made by rule from exemplars and projections; a label file like any other",
    ),
)

DATASETS: Mapping[str, Dataset] = {f"{dataset.stage}.{dataset.name}": dataset for dataset in _DATASETS}


def datasets_of(stage: str) -> list[Dataset]:
    """The datasets that a stage writes."""
    return [dataset for dataset in _DATASETS if dataset.stage == stage]


def is_whole(folder: Path, stage: str) -> bool:
    """Whether a stage is there: its manifest, and every dataset with its columns."""
    try:
        read_manifest(folder, stage)
        for dataset in datasets_of(stage):
            require(folder, dataset)
    except StageError:
        return False
    return True


def require(folder: Path, dataset: Dataset) -> Path:
    """The dataset's path, once its columns are those of the contract; raises `StageError`."""
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
