"""Conversion of the sections of a checkpoint to the datasets of a stats folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.errors import InputError
from atlas.graph import Ints
from atlas.ids import LAYER_BITS, MAX_LAYER, NEURON_BITS, well_formed
from atlas.importers.pickle_stream import checkpoint_rows as entries
from atlas.importers.pickle_stream.opcodes import KEPT, TEXT
from atlas.importers.pickle_stream.stream import PickleBatch
from atlas.importers.summary import ImportSummary
from atlas.io.text import counted
from atlas.runtime.jit import ByteArray
from atlas.stages.stats_writer import StatsWriter

SECTIONS = ("header", "edges", "neurons", "processed_files", "neuron_graphs")
_BATCH = 1 << 18  # rows of a table at a time
_MOST_ITEMS = 1 << 16  # entries of one batch; Python pickles dictionaries in batches of a thousand
_SUMS = ("weight_sum", "weight_abs_sum", "weight_sq_sum", "weight_min", "weight_max")
# Kernels take the fields of a batch as single arguments, which a type checker cannot count.
_edges: Any = entries.edges
_neurons: Any = entries.neurons
_appearances: Any = entries.appearances
_ENDS = ("src_layer", "src_neuron", "tgt_layer", "tgt_neuron")
_UNSEEN = -2  # corpus index of a graph that is not read yet; -1 is a graph without one


@dataclass
class CheckpointSummary(ImportSummary):
    """Counts of entries: kept, rare, dropped (an embedding or a logit) or malformed."""

    version: int = 2
    graphs: int = 0
    neurons: int = 0
    edges: int = 0
    rare: int = 0  # edges of fewer links than `min_count`
    links: int = 0  # of all edges, rare ones included
    only_in_edges: int = 0  # neurons without a known number of graphs
    appearances: int = 0  # of neurons in graphs
    left_out: Counter[str] = field(default_factory=Counter)
    header: dict[str, Any] = field(default_factory=dict)
    size_bytes: int = 0
    seconds: float = 0.0

    def lines(self) -> list[str]:
        """Return the lines to print."""
        size, speed = self.size_bytes / 1e6, self.size_bytes / 1e6 / max(self.seconds, 1e-9)
        lines = [
            f"checkpoint version {self.version}, {size:,.1f} MB at {speed:,.0f} MB/s",
            f"{self.graphs:,} graphs, {self.neurons:,} neurons, {self.edges:,} edges, {self.links:,} links",
        ]
        if self.rare:
            lines.append(f"{self.rare:,} edges of fewer links left out")
        if self.left_out:
            lines.append(f"left out: {counted(self.left_out)}")
        if self.only_in_edges:
            lines.append(f"{self.only_in_edges:,} neurons are named by edges alone; their graphs are unknown")
        stated = self.header.get("total_edge_observations")
        if isinstance(stated, int) and stated != self.links:
            lines.append(f"the file's header says {stated:,} links, its edges add up to {self.links:,}")
        return lines


class CheckpointTables:
    """Receiver of the items of a checkpoint's pickles (a `stream.Sink`)."""

    def __init__(self, path: Path, writer: StatsWriter, min_count: int) -> None:
        self._path, self._writer, self._min_count = path, writer, min_count
        self._takers: dict[str, Callable[[PickleBatch], None]] = {
            "edges": self._edges,
            "neurons": self._neurons,
            "processed_files": self._files,
            "neuron_graphs": self._appearances,
        }
        self._summary = CheckpointSummary()
        self._nested = False
        self._found = np.empty(4, np.int64)  # numbers of one key; kernels do not allocate arrays
        self._tally = {name: np.zeros(3, np.int64) for name in SECTIONS}
        self._waiting: dict[str, list[tuple[Any, ...]]] = {}
        self._rows_waiting: dict[str, int] = {}
        self.begin(0)

    def begin(self, part: int) -> None:
        """Discard the items of a pickle; for the first pickle those of all sections, since it may hold them all."""
        if part and self._nested:
            return  # the first pickle holds everything
        for name in SECTIONS if part == 0 else SECTIONS[part : part + 1]:
            self._tally[name][:] = 0
            self._waiting[name] = []
            self._rows_waiting[name] = 0
            if name in ("edges", "neurons", "neuron_graphs"):
                self._writer.forget(name)
            if name == "edges":
                self._ids = np.empty((4, _BATCH + _MOST_ITEMS), np.int32)
                self._counts = np.empty(_BATCH + _MOST_ITEMS, np.int64)
                self._sums = np.empty((5, _BATCH + _MOST_ITEMS))
                # One bit per packed neuron; the system allocates a page when it is first written.
                self._ends = np.zeros(1 << (NEURON_BITS - 3), np.uint8)
                self._rows, self._summary.links = 0, 0
            elif name == "neurons":
                self._known = np.zeros(1 << (NEURON_BITS - 3), np.uint8)
            elif name == "processed_files":
                self._names: dict[str, int] = {}
                self._is_numbered = False
            elif name == "neuron_graphs":
                self._of_text = np.full(1024, -1, np.int32)
                self._corpus = np.full(1024, _UNSEEN, np.int64)
                self._neurons_of = np.zeros(1024, np.int64)
                self._summary.appearances = 0

    def take(self, part: int, items: PickleBatch) -> None:
        """Read a batch of items of one section; items outside the sections are ignored."""
        if items.rows > 2 * _MOST_ITEMS:
            raise InputError(f"{self._path} is no checkpoint: one batch holds {items.rows:,} items")
        # The key of a list identifies it; the row below may be the dictionary around it or the value before it.
        if part == 0 and items.is_list and items.owner and items.value(items.owner - 1) == "processed_files":
            self._nested = True
            self._files(items)
        elif part == 0 and items.section is None:
            self._header(items)
        elif part == 0 and items.section in self._takers:
            self._nested = True
            self._takers[str(items.section)](items)
        elif 0 < part < len(SECTIONS) and not self._nested:
            self._takers[SECTIONS[part]](items)

    def taken(self) -> str:
        """Describe the complete items so far, for an error message."""
        edges, neurons = (int(self._tally[name].sum()) for name in ("edges", "neurons"))
        names = len(self._names)
        return f"{edges:,} edges, {neurons:,} neurons and {names:,} names of graphs were whole; nothing was written"

    def _header(self, items: PickleBatch) -> None:
        for row in range(items.first, items.first + items.rows - 1, 2):
            key, value = items.value(row), items.value(row + 1)
            if key == "processed_files" and value is ...:
                # The rest of a long list, whose chunks came before, or a whole short list.
                for name in items.listed(row + 1):
                    if name is not None:
                        self._graph_id(name)
            elif isinstance(key, str) and value is not ...:
                self._summary.header[key] = value

    def _dictionary(self, items: PickleBatch, name: str) -> tuple[Ints, int, int, Ints, ByteArray, ByteArray, Ints]:
        if items.is_set:
            raise InputError(f"{self._path} is no checkpoint: its {name} are a set, not a dictionary")
        return items.stack, items.first, items.rows, items.arena, items.letters, items.texts, items.ends

    def _edges(self, items: PickleBatch) -> None:
        given = self._dictionary(items, "edges")
        if items.is_list:
            return  # too long for an edge; the rest of it counts as malformed
        if self._nested:
            self._summary.version = int(items.stack[items.first, 0] in (TEXT, KEPT))
        tally = self._tally["edges"]
        self._rows = _edges(
            *given,
            self._ids,
            self._counts,
            self._sums,
            self._sums.view(np.int64),
            self._ends,
            tally,
            self._found,
            self._rows,
        )
        if self._rows >= _BATCH:
            self._flush_edges()

    def _flush_edges(self) -> None:
        rows = self._rows
        self._summary.links += int(self._counts[:rows].sum())
        keep = np.flatnonzero(self._counts[:rows] >= self._min_count)
        columns = {name: self._ids[place][keep] for place, name in enumerate(_ENDS)}
        columns |= {name: self._sums[place][keep] for place, name in enumerate(_SUMS)}
        self._writer.add("edges", {**columns, "count": self._counts[keep], "method": "relp"})
        self._rows = 0

    def _wait(self, name: str, columns: tuple[str, ...], *arrays: NDArray[Any]) -> None:
        """Buffer rows of a dataset and write them `_BATCH` at a time; without arrays, write the buffered rows."""
        waiting = self._waiting[name]
        if arrays:
            waiting.append(arrays)
            self._rows_waiting[name] += len(arrays[0])
        if waiting and (not arrays or self._rows_waiting[name] >= _BATCH):
            joined = (np.concatenate(column) for column in zip(*waiting, strict=True))
            self._writer.add(name, dict(zip(columns, joined, strict=True)))
            waiting.clear()
            self._rows_waiting[name] = 0

    def _neurons(self, items: PickleBatch) -> None:
        given = self._dictionary(items, "neurons")
        if items.is_list:
            return
        ids, counts = np.empty((2, items.rows // 2), np.int32), np.empty(items.rows // 2, np.int64)
        rows = _neurons(*given, ids, counts, self._known, self._tally["neurons"], self._found, 0)
        self._wait("neurons", ("layer", "neuron", "graph_count"), ids[0, :rows], ids[1, :rows], counts[:rows])

    def _files(self, items: PickleBatch) -> None:
        for row in range(items.first, items.first + items.rows):
            name = items.value(row)
            if isinstance(name, str):
                self._graph_id(name)
            else:
                self._tally["processed_files"][entries.MALFORMED] += 1

    def _appearances(self, items: PickleBatch) -> None:
        given = self._dictionary(items, "neuron_graphs")
        if not self._is_numbered:
            self._names = {name: place for place, name in enumerate(sorted(self._names))}
            self._is_numbered = True
        if items.is_list and items.owner < 1:
            raise InputError(f"{self._path} is no checkpoint: its neuron_graphs are a list, not a dictionary")
        key = items.owner - 1 if items.is_list else -1
        tally = np.zeros(3, np.int64)
        room, rows = max(items.rows, 1024), -1
        while rows < 0:
            tally[:] = 0
            ids, graphs = np.empty((2, room), np.int32), np.empty((room, 4), np.int64)
            rows = _appearances(given[0], key, *given[1:], ids, graphs, tally, self._found)
            room *= 2
        self._tally["neuron_graphs"] += tally
        graph = self._graphs_of(items, graphs[:rows])
        self._wait("neuron_graphs", ("layer", "neuron", "graph_id"), ids[0, :rows], ids[1, :rows], graph)
        self._summary.appearances += rows

    def _graphs_of(self, items: PickleBatch, rows: Ints) -> NDArray[np.int32]:
        """Return the graph number of each row; a name that is not among the processed files gets the next number."""
        kept = rows[:, 0] == KEPT
        text = np.where(kept, rows[:, 1], 0)
        self._of_text = _longer(self._of_text, text, -1)
        for number in np.unique(text[kept & (self._of_text[text] < 0)]).tolist():
            self._of_text[number] = self._graph_id(items.text(KEPT, number, 0))
        graph = self._of_text[text]
        for row in np.flatnonzero(~kept).tolist():
            graph[row] = self._graph_id(items.text(*(int(value) for value in rows[row, :3])))
        self._corpus = _longer(self._corpus, graph, _UNSEEN)
        self._neurons_of = _longer(self._neurons_of, graph, 0)
        np.add.at(self._neurons_of, graph, 1)
        new = np.flatnonzero(self._corpus[graph] == _UNSEEN)
        self._corpus[graph[new]] = rows[new, 3]
        return graph

    def _graph_id(self, name: str) -> int:
        return self._names.setdefault(well_formed(name), len(self._names))

    def finish(self, parts: int) -> CheckpointSummary:
        """Write the buffered rows after the last pickle, and return the summary."""
        if not self._nested and parts != len(SECTIONS):
            raise InputError(f"{self._path} ends after pickle {parts} of {len(SECTIONS)}: {self.taken()}")
        if not self._tally["edges"].sum() and not self._tally["neurons"].sum():
            raise InputError(f"{self._path} is no checkpoint: it holds no edges and no neurons")
        self._flush_edges()
        self._wait("neurons", ("layer", "neuron", "graph_count"))
        self._wait("neuron_graphs", ("layer", "neuron", "graph_id"))
        self._add_neurons_of_edges()
        self._write_graphs()
        summary, counts = self._summary, self._writer.counts
        summary.edges, summary.neurons = counts.get("edges", 0), counts.get("neurons", 0)
        summary.rare = int(self._tally["edges"][entries.VALID]) - summary.edges
        for name, tally in self._tally.items():
            for word, kind in (("tokens among", entries.SKIPPED), ("malformed", entries.MALFORMED)):
                if tally[kind]:
                    summary.left_out[f"{word} {name}"] = int(tally[kind])
        return summary

    def _add_neurons_of_edges(self) -> None:
        """Write the neurons that only edges name, without counts."""
        step = 1 << 16
        for start in range(0, len(self._ends), step):
            missing = self._ends[start : start + step] & ~self._known[start : start + step]
            if missing.any():
                place = np.flatnonzero(np.unpackbits(missing, bitorder="little")) + 8 * start
                columns = {"layer": place & MAX_LAYER, "neuron": place >> LAYER_BITS}
                self._writer.add("neurons", {name: values.astype(np.int32) for name, values in columns.items()})
                self._summary.only_in_edges += len(place)

    def _write_graphs(self) -> None:
        names = sorted(self._names)
        self._summary.graphs = len(names)
        if not names:
            return
        places = np.array([self._names[name] for name in names])  # the number of each name while reading
        has_graphs = bool(self._summary.appearances)
        if has_graphs and not np.array_equal(places, np.arange(len(names))):
            rank = np.argsort(places).astype(np.int32)
            self._writer.rewrite("neuron_graphs", lambda batch: {"graph_id": rank[batch["graph_id"].to_numpy()]})
        corpus = _longer(self._corpus, places, _UNSEEN)[places]
        neurons = _longer(self._neurons_of, places, 0)[places]
        columns = {"graph_id": np.arange(len(names), dtype=np.int32), "path": names}
        columns["corpus_index"] = pa.array(corpus, mask=corpus < 0)
        self._writer.add("graphs", columns | ({"neuron_count": neurons.astype(np.int32)} if has_graphs else {}))


def _longer(array: NDArray[Any], places: NDArray[np.integer], fill: int) -> NDArray[Any]:
    """Return the array, extended with `fill` so that it has all places."""
    needed = int(places.max(initial=-1)) + 1
    if needed <= len(array):
        return array
    return np.concatenate([array, np.full(max(needed, 2 * len(array)) - len(array), fill, array.dtype)])
