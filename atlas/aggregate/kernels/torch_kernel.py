"""Kernel in torch: the same arithmetic as `numpy_kernel`, on a CUDA device (or on the CPU, for tests).

Columns are copied to the GPU through pinned buffers, on a separate stream, so that the copy of one column overlaps
with the work on another. Values are added one by one (`segment_reduce`), without atomics, so that every run gives the
same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.aggregate.kernels.key_stats import COLUMNS, EMPTY, LOW, Endpoints, KeyStats, LinkBatch, LinkCounts
from atlas.aggregate.kernels.numpy_kernel import NumpyKernel
from atlas.errors import InputError
from atlas.graph import MAX_WEIGHT, Floats, Ints
from atlas.ids import INDEX_BITS, MAX_INDEX, MAX_LAYER, NEURON_BITS

Column = NDArray[Any] | Tensor  # one number per link
_MINMAX = {"weight_min": "min", "weight_max": "max"}


@dataclass(frozen=True)
class DeviceLinks:
    """Links of whole graphs on a device: key, graph (index into ids) and weight (n_links,), endpoints and counts."""

    ids: Ints  # (n_graphs,) numpy, ascending
    key: Tensor
    graph: Tensor
    weight: Tensor
    ends: Endpoints
    counts: LinkCounts


class TorchKernel:
    """Implementation of `Kernel` on one torch device."""

    def __init__(self, device: str = "cuda") -> None:
        self.device = torch.device(device)
        self._copies = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None

    def put(self, values: Column) -> Tensor:
        """Copy an array to the device, and return the tensor."""
        tensor = values if isinstance(values, Tensor) else torch.from_numpy(_signed(values))
        if self._copies is None or tensor.device.type == "cuda":
            return tensor.to(self.device)
        pinned = tensor.pin_memory()
        with torch.cuda.stream(self._copies):
            there = pinned.to(self.device, non_blocking=True)
        # The work on the column waits for its copy, the next copy does not wait for the work.
        torch.cuda.current_stream(self.device).wait_stream(self._copies)
        there.record_stream(torch.cuda.current_stream(self.device))
        return there

    def observe(self, batch: Mapping[str, Any], max_weight: float) -> DeviceLinks:
        """Return columns of observations (tensors on any device) as links of numbered graphs on this device."""
        if any(values.is_floating_point() for name, values in batch.items() if name != "weight"):
            raise InputError("graph_id, layers and neurons must be whole numbers, not floats")
        if len({len(values) for values in batch.values()}) > 1:
            raise InputError("the tensors of a batch must have one length")
        columns = {name: self.put(values).to(torch.int64) for name, values in batch.items() if name != "weight"}
        weight = self.put(batch["weight"]).to(torch.float64)
        if len(weight) and int(columns["graph_id"].min()) < 0:
            raise InputError(f"graph_id {int(columns['graph_id'].min())} is negative; number the graphs from 0")
        usable = weight.abs() <= max_weight  # False for NaN
        in_range = torch.ones_like(usable)
        for name, largest in (("layer", MAX_LAYER), ("neuron", MAX_INDEX)):
            for end in ("src", "tgt"):
                in_range &= (columns[f"{end}_{name}"] >= 0) & (columns[f"{end}_{name}"] <= largest)
        finite = torch.isfinite(weight)
        dropped = {"non_finite_weight": ~finite, "huge_weight": finite & ~usable, "out_of_range": usable & ~in_range}
        source = columns["src_layer"] << INDEX_BITS | columns["src_neuron"]
        target = columns["tgt_layer"] << INDEX_BITS | columns["tgt_neuron"]
        ids, graph = torch.unique(columns["graph_id"], return_inverse=True)
        return self._links(ids.cpu().numpy(), graph, source << NEURON_BITS | target, weight, dropped)

    def observe_keys(self, seen: LinkBatch, graph: Column, graphs: int) -> DeviceLinks:
        """Return observations with keys and graph numbers from the CPU as links on this device."""
        dropped = {reason: self.put(mask) for reason, mask in seen.dropped.items()}
        ids = np.arange(graphs)
        return self._links(ids, self.put(graph).to(torch.int64), self.put(seen.key), self.put(seen.weight), dropped)

    def _links(
        self, ids: Ints, graph: Tensor, key: Tensor, weight: Tensor, dropped: Mapping[str, Tensor]
    ) -> DeviceLinks:
        n = len(ids)

        def per_graph(of: Tensor) -> Ints:
            return torch.bincount(of, minlength=n).cpu().numpy()

        lost = {reason: per_graph(graph[mask]) for reason, mask in dropped.items() if bool(mask.any())}
        if lost:
            mine = ~torch.stack(list(dropped.values())).any(0)
            graph, key, weight = graph[mine], key[mine], weight[mine]
        source, target = key >> NEURON_BITS, key & LOW
        counts = LinkCounts(
            per_graph(graph),
            per_graph(graph[source == target]),
            per_graph(graph[source >> INDEX_BITS >= target >> INDEX_BITS]),
            lost,
        )
        words = torch.unique(torch.cat([source, target]) << 32 | torch.cat([graph, graph])).cpu().numpy()
        return DeviceLinks(ids, key, graph, weight, Endpoints(words >> 32, words & 0xFFFFFFFF), counts)

    def only(self, batch: Mapping[str, Any], ids: NDArray[np.integer]) -> dict[str, Any]:
        """Return the rows of the graphs with these ids."""
        mine = torch.isin(batch["graph_id"], torch.as_tensor(ids, device=batch["graph_id"].device))
        return {name: values[mine] for name, values in batch.items()}

    def graph_and_half(self, graph: Tensor, buckets: NDArray[np.integer]) -> Tensor:
        """Return `graph number << 1 | half` of each row."""
        return graph << 1 | (self.put(buckets.astype(np.int64))[graph] & 1)

    def sampled(self, links: DeviceLinks, below: int) -> tuple[Ints, Ints, Floats]:
        """Return key, graph and weight of the links of sampled edges, on the CPU; see `edge_sample.sampled`."""
        mixed = links.key
        for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
            # Logical shifts: torch has no unsigned arithmetic, int64 products wrap as uint64 ones do.
            mixed = (mixed ^ (mixed >> shift & (1 << 64 - shift) - 1)) * factor
        mixed = mixed ^ (mixed >> 31 & (1 << 33) - 1)
        mine = (mixed >> 32 & (1 << 32) - 1) < below
        return tuple(values[mine].cpu().numpy() for values in (links.key, links.graph, links.weight))  # type: ignore[return-value]

    def pack(self, ends: Sequence[Column], weight: Column) -> tuple[Ints, int]:
        """Return the keys, and the number of invalid rows."""
        layer, neuron, other_layer, other = (self.put(values).to(torch.int64) for values in ends)
        wrong = ~(self.put(weight).abs() <= MAX_WEIGHT)
        wrong |= ((layer | other_layer) >> NEURON_BITS - INDEX_BITS) != 0
        wrong |= ((neuron | other) >> INDEX_BITS) != 0
        key = (layer << INDEX_BITS | neuron) << NEURON_BITS | other_layer << INDEX_BITS | other
        return key.cpu().numpy(), int(wrong.sum())

    def sort(self, key: Ints, graph: NDArray[np.uint32], weight: Floats) -> tuple[Ints, NDArray[np.uint32], Floats]:
        """Return the rows sorted by key."""
        ordered, rows = torch.sort(self.put(key), stable=True)
        columns = (ordered, self.put(graph)[rows], (self.put(weight) + 0.0)[rows])
        key, graph, weight = (values.cpu().numpy() for values in columns)
        return key, graph.astype(np.uint32), weight

    def reduce(
        self, key: Ints, graph: NDArray[np.uint32], weight: Floats, at_least: int = 1
    ) -> tuple[KeyStats, Ints, NDArray[np.uint32], Floats]:
        """Return the statistics of frequent keys, and the rows of the other keys."""
        if at_least > 1:
            return NumpyKernel().reduce(key, graph, weight, at_least)
        return self.statistics(key, graph, weight), key[:0], graph[:0], weight[:0]

    def endpoints(self, key: Ints, graph: NDArray[np.uint32], graph_total: int) -> tuple[Endpoints, LinkCounts]:
        """Return the neurons and the link counts of each graph."""
        links = self.observe_keys(LinkBatch(graph, key, np.zeros(len(key))), graph, graph_total)
        return links.ends, links.counts

    def statistics(self, key: Column, graph: Column, weight: Column) -> KeyStats:
        """Return the statistics of links in any order."""
        if not len(key):
            return EMPTY
        order = self.put(key)
        weight = self.put(weight) + 0.0  # one sign of zero, as on the CPU
        order, rows = torch.sort(order, stable=True)
        graph, weight = self.put(graph).to(torch.int64)[rows], weight[rows]
        starts, lengths = _runs(order)
        in_half = (graph & 1) == 0
        found = {
            "key": order[starts],
            "count": lengths,
            "graph_count": _distinct(order, graph >> 1, starts, lengths),
            "positive_count": _int_sums((weight > 0).to(torch.int64), starts, lengths),
            "half_count": _int_sums(in_half.to(torch.int64), starts, lengths),
            "weight_sum": _segments(weight, "sum", lengths),
            "weight_abs_sum": _segments(weight.abs(), "sum", lengths),
            "weight_sq_sum": _segments(weight * weight, "sum", lengths),
            "half_weight_sum": _segments(weight * in_half + 0.0, "sum", lengths),
            "weight_min": _segments(weight, "min", lengths),
            "weight_max": _segments(weight, "max", lengths),
        }
        return KeyStats(**{name: found[name].cpu().numpy() for name in COLUMNS})

    def merge(self, parts: Sequence[KeyStats]) -> KeyStats:
        """Return the statistics of the union of the parts; see `Kernel.merge`."""
        parts = [part for part in parts if len(part)]
        if len(parts) < 2:
            return parts[0] if parts else EMPTY
        columns = {name: self.put(np.concatenate([getattr(part, name) for part in parts])) for name in COLUMNS}
        key, rows = torch.sort(columns.pop("key"), stable=True)
        starts, lengths = _runs(key)
        merged = {"key": key[starts]}
        for name, values in columns.items():
            if values.dtype == torch.int64:
                merged[name] = _int_sums(values[rows], starts, lengths)
            else:
                merged[name] = _segments(values[rows], _MINMAX.get(name, "sum"), lengths)
        return KeyStats(**{name: values.cpu().numpy() for name, values in merged.items()})


def _signed(values: NDArray[Any]) -> NDArray[Any]:
    """Return an array with a signed type, because torch has no arithmetic for unsigned integers."""
    kinds = {np.dtype(np.uint16): np.int32, np.dtype(np.uint32): np.int64}
    return np.ascontiguousarray(values, kinds.get(values.dtype))


def _runs(key: Tensor) -> tuple[Tensor, Tensor]:
    """Return start (n_keys,) and length (n_keys,) of every run of equal keys in a sorted tensor."""
    lengths = torch.unique_consecutive(key, return_counts=True)[1]
    return torch.cumsum(lengths, 0) - lengths, lengths


def _distinct(key: Tensor, graph: Tensor, starts: Tensor, lengths: Tensor) -> Tensor:
    """Count the distinct graphs of each run of keys. Graphs are mostly in ascending order."""
    same_key = key[1:] == key[:-1]
    if bool((same_key & (graph[1:] < graph[:-1])).any()):
        # Sort by graph, then stably by key, so that equal graphs of one key are adjacent.
        by_graph = torch.argsort(graph, stable=True)
        rows = by_graph[torch.argsort(key[by_graph], stable=True)]
        graph = graph[rows]
    new = torch.ones_like(key)
    new[1:] = ~same_key | (graph[1:] != graph[:-1])
    return _int_sums(new, starts, lengths)


def _int_sums(values: Tensor, starts: Tensor, lengths: Tensor) -> Tensor:
    """Return exact sums of int64 runs, as differences of one running total."""
    total = torch.cat([values.new_zeros(1), torch.cumsum(values, 0)])
    return total[starts + lengths] - total[starts]


def _segments(values: Tensor, how: str, lengths: Tensor) -> Tensor:
    """Reduce float64 runs one element after the other: deterministic on CPU and CUDA, without atomics."""
    return torch.segment_reduce(values, how, lengths=lengths, unsafe=True)


def torch_kernel(device: str) -> TorchKernel:
    """Return the kernel of a device; `torch:cpu` runs it without a GPU, for tests."""
    return TorchKernel(device.removeprefix("torch:"))
