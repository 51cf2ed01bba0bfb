"""The kernel against a dictionary, for any observations, batches and devices."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

from atlas.aggregate import edge_sample, kernels
from atlas.aggregate.kernels import Kernel, cpu_kernel, numpy_cooccurrence, numpy_kernel, sort_words
from atlas.aggregate.kernels.key_stats import KeyStats
from atlas.aggregate.kernels.numba_kernel import NumbaKernel
from atlas.aggregate.kernels.numba_kernel.cooccurrence import joint_counts as compiled_joint_counts
from atlas.aggregate.kernels.numba_kernel.links import numbered_runs, sampled_cells
from atlas.aggregate.kernels.numba_kernel.partners import top_partners as compiled_top_partners
from atlas.aggregate.kernels.numpy_kernel import NumpyKernel
from atlas.aggregate.kernels.torch_kernel import torch_kernel
from atlas.errors import UsageError
from atlas.runtime.devices import choose_device

KERNELS = ["numpy", "numba", "torch:cpu", *(["cuda"] if torch.cuda.is_available() else [])]
EXACT = ("key", "count", "graph_count", "positive_count", "half_count", "weight_min", "weight_max")
SUMS = ("weight_sum", "weight_abs_sum", "weight_sq_sum", "half_weight_sum")

weights = st.floats(-1e6, 1e6, allow_nan=False)
graphs = st.lists(st.lists(st.tuples(st.integers(0, 4) | st.integers(0, 2**62 - 1), weights), max_size=12), max_size=6)


def kernel_of(name: str) -> Kernel:
    if name == "numpy":
        return NumpyKernel()
    return NumbaKernel() if name == "numba" else torch_kernel(name)


def statistics(kernel: Kernel, key: np.ndarray, graph: np.ndarray, weight: np.ndarray) -> KeyStats:
    """Statistics of rows in any order."""
    return kernel.reduce(*kernel.sort(key, graph, weight))[0]


def reduce(
    observed: list[list[tuple[int, float]]], first: int = 0, kernel: str = "numpy", shuffle: int = 0
) -> KeyStats:
    """Statistics of graphs numbered from `first`; even graphs are the first half."""
    rows = [
        (key, (first + number) << 1 | (first + number) % 2, weight)
        for number, graph in enumerate(observed)
        for key, weight in graph
    ]
    if shuffle:
        random.Random(shuffle).shuffle(rows)
    key, graph, weight = zip(*rows, strict=True) if rows else ((), (), ())
    columns = np.array(key, np.int64), np.array(graph, np.uint32), np.array(weight, np.float64)
    return statistics(kernel_of(kernel), *columns)


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
            "half_count": sum(number % 2 == 0 for number, _ in values),
            "half_weight_sum": math.fsum(weight for number, weight in values if number % 2 == 0),
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


@pytest.mark.parametrize("kernel", KERNELS)
@given(observed=graphs, shuffle=st.integers(0, 3))
@examples(80)
def test_reduce_is_the_dictionary(kernel: str, shuffle: int, observed: list[list[tuple[int, float]]]) -> None:
    """Also where the graphs of a key come mixed up, as in a shuffled table."""
    assert_same(reduce(observed, kernel=kernel, shuffle=shuffle), twin(observed))


@pytest.mark.parametrize("kernel", KERNELS)
@given(observed=graphs, cut=st.integers(0, 6))
@examples(80)
def test_two_halves_merged_are_one_run(kernel: str, observed: list[list[tuple[int, float]]], cut: int) -> None:
    cut = min(cut, len(observed))
    split_half = [reduce(observed[:cut], kernel=kernel), reduce(observed[cut:], first=cut, kernel=kernel)]
    merged, whole = kernel_of(kernel).merge(split_half), reduce(observed, kernel=kernel)
    for name in EXACT:
        assert np.array_equal(getattr(merged, name), getattr(whole, name)), name
    assert_same(merged, twin(observed))


@pytest.mark.parametrize("bits", [0, 5, 17, 31])
def test_all_kernels_agree_on_many_observations(bits: int) -> None:
    """With few and with many distinct keys, so that packed words and the plain argsort both run."""
    rng = np.random.default_rng(bits)
    n = 50_000
    key = rng.integers(0, 1 << bits, n) << 31 | rng.integers(0, 1 << bits, n)
    graph = (np.sort(rng.integers(0, 300, n)) << 1 | 1).astype(np.uint32)
    weight = rng.standard_normal(n)
    first, *others = (statistics(kernel_of(name), key, graph, weight) for name in KERNELS)
    for other in others:
        for name in EXACT:
            assert np.array_equal(getattr(first, name), getattr(other, name)), name
        for name in SUMS:
            assert np.allclose(getattr(first, name), getattr(other, name), rtol=1e-12, atol=1e-9), name
    # The two CPU kernels take turns by the number of rows: they must not differ in one bit.
    assert all(np.array_equal(getattr(first, name), getattr(others[0], name)) for name in SUMS)


@pytest.mark.parametrize("wide", [False, True])
@given(data=st.data())
@examples(60)
def test_sorting_splitting_and_ends_are_the_same_compiled(wide: bool, data: st.DataObject) -> None:
    unit = st.integers(0, 2**31 - 1) if wide else st.integers(0, 3).map(lambda i: i << 24 | i)
    rows = data.draw(st.lists(st.tuples(unit, unit, st.integers(0, 5), weights), max_size=60))
    key = np.array([source << 31 | target for source, target, *_ in rows], np.int64)
    graph = np.array([graph for *_, graph, _ in rows], np.uint32)
    weight = np.array([weight + 0.0 for *_, weight in rows], np.float64)
    found = []
    for kernel in (NumpyKernel(), NumbaKernel()):
        ordered = kernel.sort(key, graph, weight)
        stats, *rest = kernel.reduce(*ordered, 3)
        endpoints, counts = kernel.endpoints(key, np.sort(graph), 6)
        kept = (counts.kept, counts.self_loops, counts.backward)
        found.append([*ordered, *stats.columns().values(), *rest, endpoints.neuron, endpoints.graph, *kept])
    assert all(np.array_equal(one, other) for one, other in zip(*found, strict=True))


def index_of(graph_of: list[set[int]], graph_total: int, bitmaps: int) -> tuple[Any, ...]:
    """Arrays of an index of neurons by rank; `bitmaps` of them have their graphs as bits, too."""
    graphs = np.array([graph for mine in graph_of for graph in sorted(mine)], np.uint32)
    stops = np.cumsum([len(mine) for mine in graph_of])
    starts = stops - [len(mine) for mine in graph_of]
    members = [
        [i for i, mine in enumerate(graph_of) if graph in mine and len(mine) > 1] for graph in range(graph_total)
    ]
    offsets = np.cumsum([0, *map(len, members)])
    words = -(-graph_total // 64)
    bits = np.zeros((min(bitmaps, len(graph_of)), words), np.uint64)
    for row in range(len(bits)):
        for graph in graph_of[row]:
            bits[row, graph // 64] |= np.uint64(1 << graph % 64)
    flat = np.array([i for mine in members for i in mine], np.uint32)
    return graphs, starts, stops, flat, offsets, bits.ravel(), words


@given(
    graph_of=st.lists(st.sets(st.integers(0, 5) | st.integers(0, 199), min_size=1), min_size=2, max_size=12),
    bitmaps=st.integers(0, 12),
    visits=st.sampled_from([0, 3, 1000]),
)
@examples(80)
def test_both_kernels_count_shared_graphs_of_edges(graph_of: list[set[int]], bitmaps: int, visits: int) -> None:
    """Against sets. Every neuron has an edge to every one; few graphs, many graphs, either way of counting."""
    n, graph_total = len(graph_of), 200
    graph_of.sort(key=len, reverse=True)
    index = index_of(graph_of, graph_total, bitmaps)
    source, target = np.repeat(np.arange(n), n), np.tile(np.arange(n), n)
    expected = [len(one & other) for one in graph_of for other in graph_of]
    # Some graphs that have both link them.
    linked = np.array([max(count - (i % 3), 0) for i, count in enumerate(expected)])
    for joint_counts in (numpy_cooccurrence.joint_counts, compiled_joint_counts):
        counts, marks = np.zeros(n, np.uint32), np.zeros(index[-1], np.uint64)
        both = np.zeros(n * n, np.int64)
        joint_counts(source, target, linked, *index, visits, counts, marks, both)
        assert both.tolist() == expected
        assert not counts.any()
        assert not marks.any()


@given(
    graph_of=st.lists(st.sets(st.integers(0, 7), min_size=1), min_size=2, max_size=14),
    top=st.integers(1, 4),
    limit=st.integers(1, 9),
    least=st.integers(2, 3),
    whole=st.integers(0, 8),
    visits=st.integers(0, 9),
    bitmaps=st.integers(0, 14),
)
@examples(80)
def test_both_kernels_find_the_same_partners(
    graph_of: list[set[int]], top: int, limit: int, least: int, whole: int, visits: int, bitmaps: int
) -> None:
    n, graph_total = len(graph_of), 8
    graph_of.sort(key=len, reverse=True)
    index = index_of(graph_of, graph_total, bitmaps)
    rows = np.arange(n)[::-1].copy()
    found = []
    for top_partners in (numpy_cooccurrence.top_partners, compiled_top_partners):
        scratch = np.zeros(n, np.uint32), np.zeros(n + 1, np.uint32), *np.zeros((2, max(index[-1], 1)), np.uint64)
        best, candidates = np.full((n, top), -1, np.int64), np.full((1, 4 * top), -1, np.int64)
        top_partners(rows, *index, visits, whole, limit, least, *scratch, candidates, best)
        found.append((-np.sort(-best, axis=1)).tolist())
        assert not scratch[0].any()
        assert not scratch[2].any()
        assert not scratch[3].any()
        assert (candidates == -1).all()
    assert found[0] == found[1]
    for row, scores in zip(rows.tolist(), found[0], strict=True):
        shared = {i: len(graph_of[row] & mine) for i, mine in enumerate(graph_of) if i != row and len(mine) > 1}
        mine = sorted((count << 32 | i for i, count in shared.items() if count >= least), reverse=True)[:top]
        kept = [score for score in scores if score >= 0]
        if len(graph_of[row]) <= limit and len(graph_of[row]) >= least:
            assert kept == mine
        # Counts are exact, however partners are chosen.
        assert all(shared[score & 0xFFFF_FFFF] == score >> 32 for score in kept)


@given(key=st.lists(st.integers(0, 3) | st.integers(0, 2**62 - 1), max_size=40))
def test_the_order_is_that_of_a_stable_sort(key: list[int]) -> None:
    rows, starts = numpy_kernel.order_by_key(np.array(key, np.int64))
    expected = sorted(range(len(key)), key=lambda row: key[row])
    assert rows.tolist() == expected
    assert starts.tolist() == [i for i, row in enumerate(expected) if i == 0 or key[row] != key[expected[i - 1]]]


@pytest.mark.parametrize("n", [0, 1, kernels.COMPILE_FROM])
def test_words_are_sorted_few_and_many(n: int) -> None:
    words = np.random.default_rng(0).integers(0, 2**62, n)
    assert np.array_equal(sort_words(words.copy()), np.array(sorted(words.tolist()), np.int64))


@given(observed=graphs)
@examples(50)
def test_the_same_input_gives_the_same_bits(observed: list[list[tuple[int, float]]]) -> None:
    first, second = reduce(observed), reduce(observed)
    assert all(np.array_equal(getattr(first, name), getattr(second, name)) for name in (*EXACT, *SUMS))


def test_worked_fixture_of_the_earlier_tool() -> None:
    """FORMATS section 10: 3, -1, 5 gives count 3, sum 7, abs 9, sq 35, min -1, max 5."""
    stats = reduce([[(1, 3.0), (1, -1.0), (1, 5.0)]])
    assert [getattr(stats, name).item() for name in EXACT[1:]] == [3, 1, 2, 3, -1.0, 5.0]
    assert [getattr(stats, name).item() for name in SUMS] == [7.0, 9.0, 35.0, 7.0]


def test_extrema_are_never_seeded_with_zero() -> None:
    """WRONG once: the minimum of {3} stayed 0, and so did the maximum of all-negative weights."""
    stats = reduce([[(1, 3.0), (2, -4.0)]])
    assert stats.weight_min.tolist() == [3.0, -4.0]
    assert stats.weight_max.tolist() == [3.0, -4.0]


def test_devices() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") in ("cpu", "cuda")
    assert isinstance(cpu_kernel(kernels.COMPILE_FROM - 1), NumpyKernel)
    assert isinstance(cpu_kernel(kernels.COMPILE_FROM), NumbaKernel)
    with pytest.raises(UsageError, match="choose auto, cpu or cuda"):
        choose_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_without_a_card_is_an_error_that_says_so() -> None:
    with pytest.raises(UsageError, match="no CUDA device is available"):
        choose_device("cuda")


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9), weights), max_size=80),
    st.sampled_from([0, 2**31, 2**32 - 1]),
)
def test_the_compiled_sample_is_that_of_numpy(rows: list[tuple[int, int, float]], below: int) -> None:
    first = 5
    rows = sorted(rows, key=lambda row: row[0])
    key, graph, weight = (np.array(values) for values in zip(*rows, strict=True)) if rows else (np.zeros(0),) * 3
    marked = ((graph + first).astype(np.uint32) << 1) | 1
    buckets = np.random.default_rng(0).integers(0, 16, 10).astype(np.uint32)
    seen = key.astype(np.int64), marked.astype(np.uint32), weight.astype(np.float64)
    expected = edge_sample.sample_of(*seen, buckets, first, below)
    found = sampled_cells(*seen, buckets, first, below, edge_sample.BUCKETS)
    for values, wanted in zip(found, expected.values(), strict=True):
        assert values.tolist() == wanted.tolist()


@given(st.lists(st.integers(0, 5) | st.integers(0, 2**31 - 1), max_size=50), st.booleans(), st.booleans())
def test_numbers_are_those_of_numpy_for_any_order(values: list[int], ordered: bool, is_long: bool) -> None:
    given_values = np.array(sorted(values) if ordered else values, np.int64 if is_long else np.int32)
    expected, inverse = np.unique(given_values, return_inverse=True)
    compiled = numbered_runs(given_values)
    assert (compiled is None) == bool((given_values[1:] < given_values[:-1]).any())
    for distinct, numbers in filter(None, (compiled, kernels.numbered(given_values))):
        assert distinct.tolist() == expected.tolist()
        assert numbers.tolist() == inverse.tolist()
        assert numbers.dtype == np.uint32


@pytest.mark.parametrize("name", KERNELS)
def test_no_sum_is_a_negative_zero(name: str) -> None:
    rows = np.array([1, 2, 2, 3]), np.array([1, 1, 3, 0], np.uint32), np.array([-0.5, -0.5, -0.25, -0.5])
    found = statistics(kernel_of(name), *rows).half_weight_sum
    assert found.tolist() == [0.0, 0.0, -0.5]
    assert not np.signbit(found[:2]).any()
