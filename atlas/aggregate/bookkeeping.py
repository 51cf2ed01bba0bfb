"""Bookkeeping of graphs: one row per graph, counts of kept and dropped links, tokens, texts and files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from atlas.aggregate.traced_facts import TracedFacts
from atlas.graph import Graph, GraphInfo, NodeKind, Reject, Space, member_of
from atlas.ids import INDEX_BITS, MAX_INDEX
from atlas.stages import DATASETS

INFO_COLUMNS = (
    "path",
    "content_hash",
    "size_bytes",
    "dialect",
    "slug",
    "prompt",
    "prompt_tokens",
    "corpus_source",
    "prompt_group",
    "corpus_index",
    "nodes_exceeded",
    "original_token_count",
)
COUNTED = ("link", "node")


class GraphCounts(NamedTuple):
    """Counts of the nodes and links of one graph, kept and dropped."""

    kept: Counter[str]
    neuron_count: int
    self_loop_count: int
    backward_count: int


@dataclass
class _Token:
    text: str | None = None
    input_graph_count: int = 0
    output_graph_count: int = 0
    probability_max: float | None = None


@dataclass
class Bookkeeping:
    """Collector of the bookkeeping of one task."""

    space: Space | None = None
    space_path: str = ""
    set_names: set[str] = field(default_factory=set)
    _graphs: list[pa.Table] = field(default_factory=list)
    _count_rows: list[tuple[int, str, bool, str, int]] = field(default_factory=list)
    _reject_rows: list[Reject] = field(default_factory=list)
    _file_rows: list[dict[str, Any]] = field(default_factory=list)
    _tokens: dict[int, _Token] = field(default_factory=dict)
    _labels: Counter[tuple[int, str]] = field(default_factory=Counter)
    _traced: TracedFacts = field(default_factory=TracedFacts)

    def add(self, graphs: Sequence[Graph], counts: Sequence[GraphCounts], first: int) -> None:
        """Add graphs, numbered from `first`."""
        rows = []
        for number, (graph, count) in enumerate(zip(graphs, counts, strict=True), first):
            rows.append(_graph_row(number, graph, count))
            for subject, is_kept, reasons in (
                ("link", True, count.kept),
                ("link", False, graph.dropped_links),
                ("node", False, graph.node_oddities),
            ):
                self._count_rows += [(number, subject, is_kept, why, n) for why, n in sorted(reasons.items()) if n]
            self._add_texts(graph)
            self._traced.add(number, graph)
            self.set_names |= graph.info.set_names
        self._graphs.append(pa.Table.from_pylist(rows, DATASETS["stats.graphs"].schema))

    def reject(self, reject: Reject) -> None:
        """Record one rejected file or member."""
        self._reject_rows.append(reject)

    @property
    def rejects(self) -> int:
        """Number of recorded rejects."""
        return len(self._reject_rows)

    def file(self, **columns: object) -> None:
        """Record one input file."""
        self._file_rows.append(columns)

    def _add_texts(self, graph: Graph) -> None:
        nodes = graph.nodes
        seen: dict[int, set[int]] = {NodeKind.TOKEN: set(), NodeKind.LOGIT: set()}
        labels = set()
        for kind, key, text, probability in zip(
            nodes.kind.tolist(), nodes.key.tolist(), nodes.text, nodes.probability.tolist(), strict=True
        ):
            if kind in seen:
                seen[kind].add(key)
                token = self._tokens.setdefault(key, _Token())
                # A token normally has one text. Otherwise take the smallest, so that the order of files has no effect.
                token.text = text if token.text is None or (text is not None and text < token.text) else token.text
                if probability == probability and probability > (token.probability_max or -1.0):
                    token.probability_max = probability
            elif text is not None and kind == NodeKind.NEURON:
                labels.add((key, text))
        self._labels.update(labels)
        for key in seen[NodeKind.TOKEN]:
            self._tokens[key].input_graph_count += 1
        for key in seen[NodeKind.LOGIT]:
            self._tokens[key].output_graph_count += 1

    def tables(self) -> dict[str, pa.Table]:
        """Return the bookkeeping as tables with the declared schemas."""
        counts = DATASETS["stats.link_counts"].schema
        columns = list(zip(*self._count_rows, strict=True)) or [()] * len(counts)
        files = DATASETS["stats.files"].schema
        return {
            "graphs": pa.concat_tables([DATASETS["stats.graphs"].empty(), *self._graphs]),
            "link_counts": pa.table(dict(zip(counts.names, columns, strict=True)), schema=counts),
            "rejects": reject_table(self._reject_rows),
            "tokens": self._token_table(),
            "graph_labels": self._label_table(),
            "files": pa.Table.from_pylist(self._file_rows, files) if self._file_rows else files.empty_table(),
            **self._traced.tables(),
        }

    def _token_table(self) -> pa.Table:
        ids = sorted(self._tokens)
        tokens = [self._tokens[token] for token in ids]
        return DATASETS["stats.tokens"].table(
            {
                "token_id": ids,
                "token": [token.text for token in tokens],
                "input_graph_count": [token.input_graph_count for token in tokens],
                "output_graph_count": [token.output_graph_count for token in tokens],
                "probability_max": [token.probability_max for token in tokens],
            }
        )

    def _label_table(self) -> pa.Table:
        rows = sorted(self._labels.items())
        return DATASETS["stats.graph_labels"].table(
            {
                "layer": [key >> INDEX_BITS for (key, _), _ in rows],
                "neuron": [key & MAX_INDEX for (key, _), _ in rows],
                "text": [text for (_, text), _ in rows],
                "graph_count": [count for _, count in rows],
            }
        )


def _graph_row(number: int, graph: Graph, counts: GraphCounts) -> dict[str, Any]:
    return {
        **{name: getattr(graph.info, name) for name in INFO_COLUMNS},
        **_place(graph.info),
        "graph_hash": graph.info.identity,
        "graph_id": number,
        "node_count": len(graph.nodes.kind),
        "neuron_count": counts.neuron_count,
        "link_count": graph.link_total,
        "kept_count": counts.kept.total(),
        "dropped_count": graph.dropped_links.total(),
        "self_loop_count": counts.self_loop_count,
        "backward_count": counts.backward_count,
    }


def reject_table(rejects: Iterable[Reject]) -> pa.Table:
    """Return rejects as a table, sorted by path and reason."""
    schema = DATASETS["stats.rejects"].schema
    rows = sorted(rejects, key=lambda row: (row.path, row.reason))
    return pa.Table.from_pylist([row._asdict() | _place(row) for row in rows], schema)


def _place(found: GraphInfo | Reject) -> dict[str, str | None]:
    """Return file and member as two columns. A path is never split later, because a name may hold any character."""
    return {"file": found.file or found.path, "member": member_of(found.path, found.file)}
