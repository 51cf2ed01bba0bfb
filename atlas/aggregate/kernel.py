"""The kernel: sort observations by key, reduce each run of equal keys. The same code on CPU and CUDA.

An observation is `(key, graph_id, weight)`. The key is any int64 (a packed pair of neurons, a token
and a neuron, ...). A stable sort keeps observations of one key in order of arrival, so that sums are
added in that order on every device, and graphs of one key stay together, so that distinct graphs
are counted by comparing neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from atlas.errors import UsageError


@dataclass(frozen=True, slots=True)
class KeyStats:
    """Statistics per key, sorted by key. All tensors have shape (n_keys,)."""

    key: Tensor  # int64, ascending, distinct
    count: Tensor  # int64
    graph_count: Tensor  # int64
    positive_count: Tensor  # int64
    weight_sum: Tensor  # float64
    weight_abs_sum: Tensor  # float64
    weight_sq_sum: Tensor  # float64
    weight_min: Tensor  # float64
    weight_max: Tensor  # float64

    def __len__(self) -> int:
        return len(self.key)

    def to(self, device: torch.device | str) -> KeyStats:
        """The same statistics on another device."""
        return KeyStats(*(getattr(self, field.name).to(device) for field in fields(self)))


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one; raises `UsageError` for `cuda` where there is none."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: no CUDA device is available here; use --device auto or cpu")
    if name not in ("cpu", "cuda"):
        raise UsageError(f"--device {name}: choose auto, cpu or cuda")
    return torch.device(name)


def reduce_observations(key: Tensor, graph_id: Tensor, weight: Tensor) -> KeyStats:
    """Statistics of observations; graphs must arrive one after the other (graph_id not falling).

    key (n,) int64, graph_id (n,) int64, weight (n,) float64, all on one device. A weight of NaN is
    an error of the caller: readers drop such links before.
    """
    key, order = torch.sort(key, stable=True)
    graph_id, weight = graph_id[order], weight[order]
    starts, lengths = _runs(key)
    new_graph = torch.ones_like(key)
    new_graph[1:] = (key[1:] != key[:-1]) | (graph_id[1:] != graph_id[:-1])
    return KeyStats(
        key=key[starts],
        count=lengths,
        graph_count=_int_sums(new_graph, starts, lengths),
        positive_count=_int_sums((weight > 0).to(torch.int64), starts, lengths),
        weight_sum=_segments(weight, "sum", lengths),
        weight_abs_sum=_segments(weight.abs(), "sum", lengths),
        weight_sq_sum=_segments(weight * weight, "sum", lengths),
        weight_min=_segments(weight, "min", lengths),
        weight_max=_segments(weight, "max", lengths),
    )


def merge(parts: Sequence[KeyStats]) -> KeyStats:
    """Statistics of the union of observations; the parts must not share graphs.

    Sums are added in the order of `parts`, so that the same parts give the same bits.
    """
    if len(parts) == 1:
        return parts[0]
    joined = {field.name: torch.cat([getattr(part, field.name) for part in parts]) for field in fields(KeyStats)}
    key, order = torch.sort(joined.pop("key"), stable=True)
    starts, lengths = _runs(key)
    merged = {"key": key[starts]}
    for name, values in joined.items():
        if values.dtype == torch.int64:
            merged[name] = _int_sums(values[order], starts, lengths)
        else:
            how = {"weight_min": "min", "weight_max": "max"}.get(name, "sum")
            merged[name] = _segments(values[order], how, lengths)
    return KeyStats(**merged)


def _runs(key: Tensor) -> tuple[Tensor, Tensor]:
    """Start (n_keys,) and length (n_keys,) of every run of equal keys in a sorted tensor."""
    lengths = torch.unique_consecutive(key, return_counts=True)[1]
    return torch.cumsum(lengths, 0) - lengths, lengths


def _int_sums(values: Tensor, starts: Tensor, lengths: Tensor) -> Tensor:
    """Exact sums of int64 runs, as differences of one running total."""
    total = torch.cat([values.new_zeros(1), torch.cumsum(values, 0)])
    return total[starts + lengths] - total[starts]


def _segments(values: Tensor, how: str, lengths: Tensor) -> Tensor:
    """Reduce float64 runs one element after the other: deterministic on CPU and CUDA, without atomics."""
    if not len(lengths):
        return values.new_zeros(0)
    return torch.segment_reduce(values, how, lengths=lengths, unsafe=True)
