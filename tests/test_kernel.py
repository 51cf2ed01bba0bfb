"""The kernel against a dictionary, for any observations, batches and devices."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas.aggregate.kernel import KeyStats, choose_device, merge, reduce_observations
from atlas.errors import UsageError

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
EXACT = ("key", "count", "graph_count", "positive_count", "weight_min", "weight_max")
SUMS = ("weight_sum", "weight_abs_sum", "weight_sq_sum")

weights = st.floats(-1e6, 1e6, allow_nan=False)
graphs = st.lists(st.lists(st.tuples(st.integers(0, 4) | st.integers(0, 2**62 - 1), weights), max_size=12), max_size=6)


def reduce(observed: list[list[tuple[int, float]]], first: int = 0, device: str = "cpu") -> KeyStats:
    rows = [(key, first + number, weight) for number, graph in enumerate(observed) for key, weight in graph]
    key, graph, weight = zip(*rows, strict=True) if rows else ((), (), ())
    return reduce_observations(
        torch.tensor(key, dtype=torch.int64, device=device),
        torch.tensor(graph, dtype=torch.int64, device=device),
        torch.tensor(weight, dtype=torch.float64, device=device),
    ).to("cpu")


def twin(observed: list[list[tuple[int, float]]]) -> dict[int, dict[str, float]]:
    seen: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for number, graph in enumerate(observed):
        for key, weight in graph:
            seen[key].append((number, weight))
    return {
        key: {
            "count": len(values),
            "graph_count": len({number for number, _ in values}),
            "positive_count": sum(weight > 0 for _, weight in values),
            "weight_sum": math.fsum(weight for _, weight in values),
            "weight_abs_sum": math.fsum(abs(weight) for _, weight in values),
            "weight_sq_sum": math.fsum(weight**2 for _, weight in values),
            "weight_min": min(weight for _, weight in values),
            "weight_max": max(weight for _, weight in values),
        }
        for key, values in sorted(seen.items())
    }


def assert_same(found: KeyStats, expected: dict[int, dict[str, float]]) -> None:
    assert found.key.tolist() == list(expected)
    for place, row in enumerate(expected.values()):
        for name, value in row.items():
            mine = getattr(found, name)[place].item()
            if name in SUMS:
                scale = row["weight_sq_sum" if name == "weight_sq_sum" else "weight_abs_sum"]
                assert abs(mine - value) <= 1e-12 * scale + 1e-300, name
            else:
                assert mine == value, name


@pytest.mark.parametrize("device", DEVICES)
@given(observed=graphs)
@settings(deadline=None, max_examples=150)
def test_reduce_is_the_dictionary(device: str, observed: list[list[tuple[int, float]]]) -> None:
    assert_same(reduce(observed, device=device), twin(observed))


@given(observed=graphs, cut=st.integers(0, 6))
@settings(deadline=None, max_examples=150)
def test_two_halves_merged_are_one_run(observed: list[list[tuple[int, float]]], cut: int) -> None:
    halves = [reduce(observed[:cut]), reduce(observed[cut:], first=min(cut, len(observed)))]
    merged, whole = merge(halves), reduce(observed)
    for name in EXACT:
        assert torch.equal(getattr(merged, name), getattr(whole, name)), name
    assert_same(merged, twin(observed))


@given(observed=graphs)
@settings(deadline=None, max_examples=50)
def test_the_same_input_gives_the_same_bits(observed: list[list[tuple[int, float]]]) -> None:
    first, second = reduce(observed), reduce(observed)
    assert all(torch.equal(getattr(first, name), getattr(second, name)) for name in (*EXACT, *SUMS))


def test_worked_fixture_of_the_earlier_tool() -> None:
    """FORMATS section 10: 3, -1, 5 gives count 3, sum 7, abs 9, sq 35, min -1, max 5."""
    stats = reduce([[(1, 3.0), (1, -1.0), (1, 5.0)]])
    assert [getattr(stats, name).item() for name in EXACT[1:]] == [3, 1, 2, -1.0, 5.0]
    assert [getattr(stats, name).item() for name in SUMS] == [7.0, 9.0, 35.0]


def test_extrema_are_never_seeded_with_zero() -> None:
    """WRONG once: the minimum of {3} stayed 0, and so did the maximum of all-negative weights."""
    stats = reduce([[(1, 3.0), (2, -4.0)]])
    assert stats.weight_min.tolist() == [3.0, -4.0]
    assert stats.weight_max.tolist() == [3.0, -4.0]


def test_devices() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in ("cpu", "cuda")
    with pytest.raises(UsageError, match="choose auto, cpu or cuda"):
        choose_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_without_a_card_is_an_error_that_says_so() -> None:
    with pytest.raises(UsageError, match="no CUDA device is available"):
        choose_device("cuda")
