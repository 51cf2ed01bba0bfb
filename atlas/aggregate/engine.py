"""The engine: graphs stream in, batches go through the kernel, partial results merge into `stats/`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from atlas import __version__
from atlas.aggregate.kernel import KeyStats, choose_device, merge, reduce_observations
from atlas.aggregate.nodes import NodeCollector
from atlas.aggregate.tables import TABLES, split_links
from atlas.errors import InputError, SpaceMismatch
from atlas.graph import LINK_TABLES, Floats, Graph, Ints, NodeKind, Space
from atlas.ids import INDEX_BITS
from atlas.schema import DATASETS, VERSION
from atlas.storage import MANIFEST, write_json, write_parquet

BATCH_LINKS = 4_000_000


@dataclass
class Summary:
    """What an aggregation read, kept and dropped."""

    graphs: int = 0
    links: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    node_oddities: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    neurons: int = 0
    edges: int = 0


class Aggregator:
    """Takes graphs one by one, in a fixed order, and writes their statistics.

    Every graph counts wholly or not at all. The same graphs in the same order give the same bytes.
    """

    def __init__(self, *, device: str = "auto", batch_links: int = BATCH_LINKS) -> None:
        self._device = choose_device(device)
        self._batch_links = batch_links
        self._space: Space | None = None
        self._space_path = ""
        self._pending: dict[str, list[tuple[int, Ints, Floats]]] = {table.name: [] for table in TABLES}
        self._pending_links = 0
        self._partials: dict[str, list[KeyStats]] = {table.name: [] for table in TABLES}
        self._nodes = NodeCollector()
        self._graph_rows: list[dict[str, Any]] = []
        self._count_rows: list[tuple[int, str, bool, str, int]] = []
        self._reject_rows: list[dict[str, Any]] = []
        self._hashes: dict[str, str] = {}
        self.summary = Summary()

    def add(self, graph: Graph) -> None:
        """Take one graph; a byte-identical copy of an earlier one is a reject.

        Raises `SpaceMismatch` where its feature space is not that of the graphs before.
        """
        info = graph.info
        self._guard_space(info.space, info.path)
        first = self._hashes.get(info.content_hash)
        if first is not None:
            self.reject(info.path, "duplicate_content", f"the same bytes as {first}", info.size_bytes)
            return
        self._hashes[info.content_hash] = info.path
        graph_id = len(self._graph_rows)
        kept: Counter[str] = Counter()
        for name, (keys, weights) in split_links(graph).items():
            kept[name] = len(keys)
            self._pending[name].append((graph_id, keys, weights))
        self._nodes.add(graph_id, graph)
        self._record(graph_id, graph, kept)
        self._pending_links += len(graph.links.weight)
        if self._pending_links >= self._batch_links:
            self._flush()

    def reject(self, path: str, reason: str, message: str, size_bytes: int | None) -> None:
        """Note one file that does not count."""
        self._reject_rows.append({"path": path, "reason": reason, "message": message, "size_bytes": size_bytes})
        self.summary.rejects[reason] += 1

    def _guard_space(self, space: Space, path: str) -> None:
        if self._space is None:
            self._space, self._space_path = space, path
        elif space != self._space:
            raise SpaceMismatch(
                f"two feature spaces do not mix: {self._space} (in {self._space_path}) and {space} (in {path}); "
                "aggregate them apart"
            )

    def _record(self, graph_id: int, graph: Graph, kept: Counter[str]) -> None:
        info, nodes = graph.info, graph.nodes
        neurons = nodes.kind == NodeKind.NEURON
        mine = neurons[graph.links.source] & neurons[graph.links.target]
        source, target = nodes.key[graph.links.source[mine]], nodes.key[graph.links.target[mine]]
        self._graph_rows.append(
            {
                **{name: getattr(info, name) for name in _INFO_COLUMNS},
                "graph_id": graph_id,
                "node_count": len(nodes.kind),
                "neuron_count": len(np.unique(nodes.key[neurons])),
                "link_count": graph.link_total,
                "kept_count": kept.total(),
                "dropped_count": graph.dropped_links.total(),
                "self_loop_count": int((source == target).sum()),
                "backward_count": int(((source >> INDEX_BITS) >= (target >> INDEX_BITS)).sum()),
            }
        )
        for subject, is_kept, counts in (
            ("link", True, kept),
            ("link", False, graph.dropped_links),
            ("node", False, graph.node_oddities),
        ):
            self._count_rows += [(graph_id, subject, is_kept, reason, n) for reason, n in sorted(counts.items()) if n]
        summary = self.summary
        summary.graphs += 1
        summary.links += graph.link_total
        summary.kept += kept
        summary.dropped += graph.dropped_links
        summary.node_oddities += graph.node_oddities

    def _flush(self) -> None:
        for name, chunks in self._pending.items():
            keys = np.concatenate([np.zeros(0, np.int64), *(keys for _, keys, _ in chunks)])
            weights = np.concatenate([np.zeros(0), *(weights for _, _, weights in chunks)])
            lengths = np.array([len(keys) for _, keys, _ in chunks], dtype=np.int64)
            graphs = np.repeat(np.array([graph for graph, _, _ in chunks], dtype=np.int64), lengths)
            tensors = (torch.from_numpy(array).to(self._device) for array in (keys, graphs, weights))
            self._partials[name].append(reduce_observations(*tensors).to("cpu"))
            chunks.clear()
        self._pending_links = 0

    def write(self, folder: Path, inputs: Sequence[str]) -> Summary:
        """Write all datasets and the manifest into an empty folder.

        Raises `InputError` where no graph was taken at all.
        """
        if self._space is None:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.summary.rejects.items()))
            raise InputError(
                f"none of the files is a readable graph ({reasons or 'no files'}): {', '.join(inputs)[:300]}"
            )
        self._flush()
        for table in TABLES:
            stats = merge(self._partials[table.name])
            constants = {"method": self._space.method} if table.name == "edges" else {}
            self._write(folder, table.name, table.arrow(stats, **constants))
            if table.name == "edges":
                self.summary.edges = len(stats)
        for name, arrow in self._nodes.tables().items():
            self._write(folder, name, arrow)
            if name == "neurons":
                self.summary.neurons = len(arrow)
        self._write_books(folder)
        write_json(self._manifest(inputs), folder / MANIFEST)
        return self.summary

    def _write(self, folder: Path, name: str, arrow: pa.Table) -> None:
        dataset = DATASETS[f"stats.{name}"]
        path = dataset.path(folder)
        write_parquet(arrow, path / "part-00000.parquet" if dataset.parted else path)

    def _write_books(self, folder: Path) -> None:
        """Which graphs were read, what became of their links, and which files were not read."""
        graphs = DATASETS["stats.graphs"]
        rows = {field.name: [row[field.name] for row in self._graph_rows] for field in graphs.schema}
        self._write(folder, "graphs", graphs.table(rows))
        counts = DATASETS["stats.link_counts"]
        columns = list(zip(*self._count_rows, strict=True)) or [()] * len(counts.schema)
        self._write(folder, "link_counts", counts.table(dict(zip(counts.schema.names, columns, strict=True))))
        rejects = DATASETS["stats.rejects"]
        ordered = sorted(self._reject_rows, key=lambda row: (row["path"], row["reason"]))
        self._write(
            folder, "rejects", rejects.table({name: [row[name] for row in ordered] for name in rejects.schema.names})
        )

    def _manifest(self, inputs: Sequence[str]) -> dict[str, Any]:
        assert self._space is not None
        summary = self.summary
        return {
            "stage": "stats",
            "version": VERSION,
            "tool_version": __version__,
            "space": self._space._asdict(),
            "method": self._space.method,
            "inputs": list(inputs),
            "counts": {
                "graphs": summary.graphs,
                "neurons": summary.neurons,
                "edges": summary.edges,
                "links": summary.links,
                "links_kept": {name: summary.kept[name] for name in LINK_TABLES.values()},
                "links_dropped": dict(summary.dropped),
                "node_oddities": dict(summary.node_oddities),
                "rejects": dict(summary.rejects),
            },
        }


_INFO_COLUMNS = (
    "path",
    "content_hash",
    "size_bytes",
    "dialect",
    "slug",
    "prompt",
    "prompt_tokens",
    "corpus_source",
    "corpus_index",
    "nodes_exceeded",
)
